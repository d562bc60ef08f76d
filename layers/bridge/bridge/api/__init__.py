"""HTTP: what comes in over API Gateway, and the replies."""
