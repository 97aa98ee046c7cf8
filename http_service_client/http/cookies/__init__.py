"""Cookies (RFC 6265): the jar, the Cookie field, and the dates that browsers accept."""
