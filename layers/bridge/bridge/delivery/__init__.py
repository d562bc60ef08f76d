"""Records on their way to Salesforce: one now, or many later."""
