"""Responses whose body is read as it arrives: in pieces, lines or events."""
