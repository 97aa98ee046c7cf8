"""Retries: which outcomes are worth one, how long to wait before it, and who pays for it."""
