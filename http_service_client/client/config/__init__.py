"""How a client is set up: the records that its user sets, and what they are resolved to."""
