"""HTTP caching (RFC 9111) as data and rules: what may be stored, how long it is fresh, and when it may be used stale.

Pure: the caller passes the time. Where the responses are kept is the storages' business.
"""
