"""A configuration from a mapping, a file or environment variables."""
