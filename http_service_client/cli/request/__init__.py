"""The commands that make one request, one for each verb: `get`, `head`, `post` and the others."""
