"""Content codings (RFC 9110, 8.4): responses are decoded within bounds, request bodies are compressed.

The optional libraries for br and zstd are imported in `libraries` and nowhere else.
"""
