"""SOQL and SOSL."""
