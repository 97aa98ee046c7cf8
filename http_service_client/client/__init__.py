"""The front end: `HttpServiceClient`, its configuration, and what its methods return."""
