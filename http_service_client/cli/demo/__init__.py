"""The demo: orders placed by threads and by tasks while the services around them fail."""
