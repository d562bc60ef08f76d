"""A conversation is one living record: its keys, and how a message finds the record it goes to."""
