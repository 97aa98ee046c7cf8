"""The settings and states of a circuit breaker, and the records that it reports.

Plain records; the machine is in `core.machines.circuit_breaker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple, TypedDict

from ...errors import ConfigurationError
from ..checks import check_count, check_duration, check_flag, check_function, check_number, suggests_keywords

__all__ = [
    "CIRCUIT_RENAMED",
    "CircuitBreakerChanges",
    "CircuitBreakerSettings",
    "CircuitBreakerSnapshot",
    "CircuitBreakerState",
    "Refusal",
    "StateChange",
]


class CircuitBreakerState(str, Enum):
    """The state of a circuit. The value is the label in metrics, logs and health reports."""

    CLOSED = "closed"  # calls pass, failures in a row are counted
    OPEN = "open"  # calls are refused until the recovery time has passed, or until `reset()`
    HALF_OPEN = "half_open"  # one trial at a time passes, all others are refused

    def __str__(self) -> str:  # the same text on every Python: 3.12 changed format()
        return str(self.value)


# Keywords of other libraries.
CIRCUIT_RENAMED = {
    **dict.fromkeys(("fail_max", "failures", "max_failures", "threshold"), "it is called failure_threshold"),
    **dict.fromkeys(
        ("break_duration", "open_timeout", "reset_timeout", "wait_duration"), "it is called recovery_timeout"
    ),
    **dict.fromkeys(
        ("exceptions", "expected_exception"), "name the others in exclude, or judge by is_failure"
    ),
    **dict.fromkeys(("exclude_exceptions", "ignore", "ignore_exceptions"), "it is called exclude"),
    **dict.fromkeys(("listener", "listeners", "on_state_change"), "it is called on_change"),
}


class CircuitBreakerChanges(TypedDict, total=False):
    """The keywords of `reconfigure`: see `CircuitBreakerSettings`."""

    failure_threshold: int
    recovery_timeout: float
    success_threshold: int
    timeout: float | None
    recovery_multiplier: float
    max_recovery_timeout: float
    recovery_jitter: float
    trial_lease: float
    metrics_only: bool
    is_failure: Callable[[Any], bool | None] | None
    exclude: Iterable[type[BaseException]]
    on_change: Callable[[StateChange], None] | None


@suggests_keywords(CIRCUIT_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerSettings:
    """When a circuit opens and how it closes again: the settings of a `CircuitBreakerPolicy`, without its circuit.

    Durations are seconds.

    failure_threshold: failures in a row that open the circuit, 1 or more.
    recovery_timeout: seconds that the circuit is open before a trial call may pass, above 0.
    success_threshold: successful trials in a row that close the circuit, 1 or more.
    timeout: seconds that one guarded call may take, or None. It is for what guards the calls; the circuit has no use
        for it.
    recovery_multiplier: growth of the recovery time at each failed trial, 1 or more; reset when the circuit closes.
    max_recovery_timeout: the limit of that growth. Used only when `recovery_multiplier` is above 1, and must
        then not be below `recovery_timeout`.
    recovery_jitter: 0 to 1. An open span is prolonged, never shortened, by up to this fraction at random
        (also beyond `max_recovery_timeout`), so that many clients do not return at the same instant.
    trial_lease: seconds after which a trial that was not settled no longer blocks the next one. Keep it
        above the attempt timeout: the result of a trial that outlives its lease is not used.
    metrics_only: count, change state and report it, but refuse no call (to observe before enforcing).
    is_failure: judges a result or an exception: True for a failure of the service, False for a success, None for no
        evidence. It replaces the rules of `core.outcomes`; cancellation is never evidence.
    exclude: exception types, as a list, that count as a success, since the service answered.
    on_change: the user's listener, called with each `StateChange`, after it; or None.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    failure_threshold: int = 5
    recovery_timeout: float = 60.0
    success_threshold: int = 3
    timeout: float | None = None
    recovery_multiplier: float = 1.0
    max_recovery_timeout: float = 600.0
    recovery_jitter: float = 0.0
    trial_lease: float = 60.0
    metrics_only: bool = False
    is_failure: Callable[[Any], bool | None] | None = None
    exclude: Iterable[type[BaseException]] = ()
    on_change: Callable[[StateChange], None] | None = None

    def __post_init__(self) -> None:
        check_count("failure_threshold", self.failure_threshold)
        check_duration("recovery_timeout", self.recovery_timeout, optional=False)
        check_count("success_threshold", self.success_threshold)
        check_duration("timeout", self.timeout)
        check_number("recovery_multiplier", self.recovery_multiplier, least=1)
        check_duration("max_recovery_timeout", self.max_recovery_timeout, optional=False)
        check_number("recovery_jitter", self.recovery_jitter, most=1)
        check_duration("trial_lease", self.trial_lease, optional=False)
        check_flag("metrics_only", self.metrics_only)
        for name, function in (("is_failure", self.is_failure), ("on_change", self.on_change)):
            if function is not None:
                check_function(name, function)
        # A tuple: it must not change when the caller's list does.
        excluded: Any = tuple(self.exclude) if isinstance(self.exclude, Iterable) else None
        if excluded is None or not all(
            isinstance(item, type) and issubclass(item, BaseException) for item in excluded
        ):
            raise ConfigurationError(f"exclude must be a list of exception classes, not {self.exclude!r}")
        object.__setattr__(self, "exclude", excluded)
        if self.recovery_multiplier > 1 and self.max_recovery_timeout < self.recovery_timeout:
            raise ConfigurationError(
                f"max_recovery_timeout must be at least recovery_timeout ({self.recovery_timeout!r}) when "
                f"recovery_multiplier is above 1, not {self.max_recovery_timeout!r}"
            )

    def changed(self, changes: CircuitBreakerChanges) -> CircuitBreakerSettings:
        """These settings but for the changes.   Raises TypeError for an unknown name."""
        return replace(self, **changes)

    def judge(self, subject: object, default: bool | None) -> bool | None:
        """The verdict on a result or an exception, where `default` is that of the usual rules."""
        if isinstance(subject, self.exclude):  # type: ignore[arg-type]  # a tuple since __post_init__
            return False
        if self.is_failure is None:
            return default
        verdict = self.is_failure(subject)
        return None if verdict is None else bool(verdict)

    def next_recovery_timeout(self, recovery: float) -> float:
        """The recovery time after one more failed trial, in seconds; `recovery` is the previous one.

            next_recovery_timeout(r) = min(r * recovery_multiplier, max(max_recovery_timeout, recovery_timeout))

        >>> settings = CircuitBreakerSettings(
        ...     recovery_timeout=10.0, recovery_multiplier=3.0, max_recovery_timeout=60.0
        ... )
        >>> (
        ...     settings.next_recovery_timeout(10.0),
        ...     settings.next_recovery_timeout(30.0),
        ...     settings.next_recovery_timeout(60.0),
        ... )
        (30.0, 60.0, 60.0)
        """
        return min(recovery * self.recovery_multiplier, max(self.max_recovery_timeout, self.recovery_timeout))

    def with_jitter(self, recovery: float, random: float) -> float:
        """The length of an open span in seconds; `random` is in [0, 1).

            with_jitter(r) = r * (1 + recovery_jitter * random)

        >>> CircuitBreakerSettings(recovery_jitter=0.5).with_jitter(60.0, random=0.5)
        75.0
        """
        return recovery * (1 + self.recovery_jitter * random)


class Refusal(NamedTuple):
    """Why a call may not be made now.

    key, state: of the circuit that refused.
    retry_after: seconds until a trial may pass; None when unknown (isolated, or a trial in progress).
    reason: "open", "isolated" or "trial in progress".
    """

    key: str
    state: CircuitBreakerState
    retry_after: float | None
    reason: str


class StateChange(NamedTuple):
    """A change of state, as `on_change` gets it. `old` equals `new` only when an open circuit is isolated.

    reason: for people, such as "5 consecutive failures".
    at: the instant of the change, by the breaker's clock.
    generation: the number of the span that begins; it orders the changes of one circuit.
    open_for: seconds until a trial may pass, when `new` is OPEN; None for an isolated circuit.
    """

    key: str
    old: CircuitBreakerState
    new: CircuitBreakerState
    reason: str
    at: float
    generation: int
    open_for: float | None


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
