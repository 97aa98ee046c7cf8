"""One concern of a call each: generator functions around a handler. Their order stands in `core.pipeline`."""
