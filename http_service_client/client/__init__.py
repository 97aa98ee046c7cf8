"""The front end: `HttpServiceClient`, its configuration, and what its verbs return."""
