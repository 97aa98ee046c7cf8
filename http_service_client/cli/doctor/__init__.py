"""The doctor: what stands between this machine and a service, from its name to its headers."""
