"""Records that Salesforce refused."""
