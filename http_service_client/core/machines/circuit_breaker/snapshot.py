"""A circuit breaker at one instant. Programs that ask for none do not import it."""

from __future__ import annotations

from dataclasses import dataclass

from .states import CircuitBreakerState

__all__ = ["CircuitBreakerSnapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerSnapshot:
    """A breaker at one instant, for health reports and metrics.

    consecutive_failures: failures in a row while closed; when not closed, those that opened it.
    trial_successes: successful trials in this half-open span.
    successes, failures, abandoned, late, refused: totals since the breaker was made; `reset()` keeps
        them. Each settled permit is counted in exactly one of the first four.
    opened_at: when the circuit last left CLOSED or was opened again; None while closed.
    retry_after: see `CircuitBreaker.retry_after`.
    """

    key: str
    state: CircuitBreakerState
    is_isolated: bool
    generation: int
    consecutive_failures: int
    trial_successes: int
    successes: int
    failures: int
    abandoned: int
    late: int
    refused: int
    opened_at: float | None
    retry_after: float | None
