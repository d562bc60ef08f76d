"""OAuth: apps, approvals, sessions, identities."""
