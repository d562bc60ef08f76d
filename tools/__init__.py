"""Readers of the project's own files, for the sandbox, the tests and `make`."""
