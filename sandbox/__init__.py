"""The local stack: Salesforce, AWS and API Gateway on this machine. See README.md beside this."""
