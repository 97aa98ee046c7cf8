"""The keywords by which the settings of a circuit breaker are changed: for type checkers alone.

No program imports it. A `TypedDict` of so many keys takes as long to make as most modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypedDict

from .states import CircuitBreakerSettings, StateChange

__all__ = ["CircuitBreakerChanges"]


class CircuitBreakerChanges(TypedDict, total=False):
    """The keywords of `reconfigure`: see `CircuitBreakerSettings`."""

    failure_threshold: int | None
    recovery_timeout: float
    success_threshold: int
    timeout: float | None
    failure_duration: float
    failure_rate: float | None
    slow_call_rate: float | None
    slow_call_duration: float | None
    window: float
    window_calls: int | None
    minimum_calls: int
    opens_when: Literal["any", "all"]
    recovery_multiplier: float
    max_recovery_timeout: float
    recovery_jitter: float
    trial_lease: float
    trial_count: int
    trials_at_once: int
    ramp: Sequence[float]
    ramp_step: float
    max_rejected: float
    metrics_only: bool
    shadow: CircuitBreakerSettings | None
    failures: Iterable[int | range | type[BaseException]] | None
    is_failure: Callable[[Any], bool | None] | None
    exclude: Iterable[type[BaseException]]
    on_change: Callable[[StateChange], None] | None
