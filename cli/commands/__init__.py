"""The commands' options and words."""
