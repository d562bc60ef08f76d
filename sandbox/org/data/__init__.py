"""What an org holds: objects, fields, values, ids, the store and the settings."""
