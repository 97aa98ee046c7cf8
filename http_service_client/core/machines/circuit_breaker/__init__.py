"""The circuit breaker: what counts as evidence, when the circuit opens, and how it recovers."""
