"""What waits in the outbox, by queue counts and log lines: no message is received."""
