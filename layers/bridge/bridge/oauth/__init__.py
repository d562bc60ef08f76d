"""Access tokens: using one, and renewing it."""
