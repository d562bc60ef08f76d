"""Checks of a deployment and of an org."""
