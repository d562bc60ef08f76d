"""The Salesforce org as an administrator sets it up."""
