"""The blocking transport: requests, one pooled HTTPAdapter, and connections that keep their deadlines."""
