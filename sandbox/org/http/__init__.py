"""The org over HTTP: server, pages, control."""
