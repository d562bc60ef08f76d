"""The REST API, without a network."""
