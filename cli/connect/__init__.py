"""Connecting to Salesforce: sign-in, credentials."""
