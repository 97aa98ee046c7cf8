"""Responses whose body is read in pieces, lines or events."""
