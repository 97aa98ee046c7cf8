"""Exchanges through requests, for the libraries that have hooked in there (see `over_requests.hook_detection`)."""
