"""The commands: their options, and what they print. The other packages do the work."""
