"""Bird's media: the host that links lead to, and the store that it redirects to."""
