"""Who sends a request: the Authorization field and where its logins come from."""
