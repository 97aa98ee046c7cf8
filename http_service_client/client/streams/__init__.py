"""Responses whose body is read as it arrives: in pieces, lines, events or JSON values, or as a file."""
