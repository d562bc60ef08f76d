"""Files of a message: downloaded from where Bird has them, and put on the message's record."""
