"""The AWS stand-in: queues, roles, functions, API Gateway, schedule, event source."""
