"""Checks of a deployed stack, of its connection, and of the org."""
