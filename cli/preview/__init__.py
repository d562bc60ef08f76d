"""What a body would become, found out on this machine: nothing is sent or written."""
