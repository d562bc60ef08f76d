"""REST client and response parsing."""
