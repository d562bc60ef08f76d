"""The deployed stack."""
