"""The demo: threads and tasks place orders while the services around them fail."""
