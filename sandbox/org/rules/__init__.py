"""What decides whether a record is saved: rights, rules, duplicates."""
