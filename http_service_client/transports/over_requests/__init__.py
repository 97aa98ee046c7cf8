"""The blocking transport: requests, one pooled HTTPAdapter, connections that keep deadlines."""
