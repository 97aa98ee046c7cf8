"""Limits: how many at once, how many within a time, and what is refused when a service or this process has too much to do."""
