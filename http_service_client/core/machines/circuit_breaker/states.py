"""The settings and states of a circuit breaker, and what it reports of a change or a refusal.

Plain records; the machine is in `core.machines.circuit_breaker.breaker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, NamedTuple

from ....errors import ConfigurationError
from ...checks import (
    check_count,
    check_duration,
    check_flag,
    check_function,
    check_number,
    remedies,
    suggests_keywords,
)
from ..failure_kinds import is_among, parse_kinds

__all__ = [
    "CIRCUIT_RENAMED",
    "CircuitBreakerSettings",
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
CIRCUIT_RENAMED = remedies(
    {
        "it is called failure_threshold": "fail_max max_failures threshold",
        "it is called recovery_timeout": "break_duration open_timeout reset_timeout sleep_window sleep_window_in wait_duration"
        " wait_duration_in_open_state",
        "write recovery_timeout, recovery_multiplier and max_recovery_timeout": "break_duration_generator",
        "it is called failure_rate, a share such as 0.5": "error_threshold_percentage failure_rate_threshold failure_ratio",
        "it is called window": "interval rolling_count_timeout sampling_duration",
        "write window for seconds, or window_calls for a number of calls": "sliding_window_type",
        "write failure_threshold, failure_duration or failure_rate": "ready_to_trip",
        "make a policy for each key": "key",
        "it is called slow_call_rate, a share such as 0.5": "slow_call_rate_threshold",
        "it is called slow_call_duration": "slow_call_duration_threshold",
        "it is called window_calls, or window for seconds": "sliding_window_size",
        "it is called minimum_calls": "minimum_number_of_calls minimum_throughput volume_threshold",
        "it is called trial_count": "permitted_number_of_calls_in_half_open_state",
        "it is called trial_lease": "max_wait_duration_in_half_open_state",
        "it is called trials_at_once; success_threshold says how many close the circuit": "max_requests",
        "name the others in exclude, or judge by is_failure": "exceptions expected_exception",
        "it is called exclude": "exclude_exceptions ignore ignore_exceptions",
        "it is called failures": "record_exceptions",
        "it is called is_failure, and returns True for a failure": "error_filter is_successful record_exception record_result should_handle",
        "it is called on_change": "listener listeners on_break on_closed on_half_opened on_opened on_reset"
        " on_state_change",
        "call isolate() and reset() of the policy": "manual_control",
        "read the state of the policy": "state_provider",
        "write ResiliencePipeline(FallbackPolicy(…), CircuitBreakerPolicy(…))": "fallback fallback_function",
    }
)


# Chosen by simulation: see the decision record on the defaults of the circuit breaker.
_FAILURES_IN_ROW, _FAILING_FOR = 30, 10.0
_FIRST_RECOVERY, _GROWTH, _LONGEST_RECOVERY = 1.0, 1.05, 60.0

_FOLLOWS: Any = None  # the default of a setting that follows from others; see `_complete`


@suggests_keywords(CIRCUIT_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerSettings:
    """When a circuit opens and how it closes again: the settings of a `CircuitBreakerPolicy`, without its circuit.

    Durations are seconds, shares and rates are from 0 to 1. By default a circuit opens when a service is *down*: nothing has
    succeeded for 10 s and 30 calls; it then makes a trial after 1 s, and after a twentieth of the time that the service has
    been down, at most 60 s. Under these settings no service that answers one call in ten is ever cut off for long.

    When it opens, by the tests that are given:

    failure_threshold, failure_duration: failures in a row, and over at least so long. Without any test, 30 and 10.0; a
        threshold alone opens the circuit at once (0.0).
    failure_rate: of the calls in the window.
    slow_call_rate, slow_call_duration: of the calls in the window that took so long or longer. One in flight counts as soon
        as it has taken that long. Both or neither.
    window, window_calls: the span of both rates: so many seconds, or, if given, the last so many calls.
    minimum_calls: calls in the window from which on its rates count.
    opens_when: "any" of the tests given holds, or "all" of them do.

    How it closes:

    recovery_timeout: from its opening to a trial, above 0; 1.0 when not given.
    recovery_multiplier: its growth at each failed trial, 1 or more; reset when the circuit closes. When not given, 1.05 if
        `recovery_timeout` is not given either, else 1.0: no growth.
    max_recovery_timeout: the limit of that growth, at least `recovery_timeout`; when not given, 60.0, or 600.0 likewise.
    recovery_jitter: an open span is prolonged, never shortened, by up to this share at random (also beyond
        `max_recovery_timeout`), so that many clients do not return at the same instant.
    success_threshold, trial_count: so many of so many trials must succeed; the circuit opens again as soon as that has
        become impossible. When `trial_count` is not given, none may fail.
    trials_at_once: trials that may be in flight together.
    trial_lease: a trial that was not settled no longer blocks the next one after that time. Keep it above the attempt
        timeout: the result of a trial that outlives its lease is not used.
    ramp, ramp_step: after the trials, these shares of the calls pass, each for so many seconds, such as (0.1, 0.25, 0.5). As many
        failures as among the trials are tolerated in each.

    What limits it:

    max_rejected: the share of the calls of a minute that may be refused while the service answers some.
    metrics_only: count, change state and report it, but refuse no call (to observe before enforcing).
    shadow: other settings to observe beside these: a second circuit that refuses nothing. Its changes are reported with
        " (shadow)" after the key. What is a failure is judged once, by these settings: the shadow sets no `failures`,
        `is_failure`, `exclude`, `timeout` or `on_change`.

    And:

    timeout: seconds that one guarded call may take, or None. It is for what guards the calls; the circuit has no use
        for it.
    failures: what counts as a failure, in place of the usual: a list of statuses, ranges of them, and exception classes, such as
        ``[503, range(520, 530), ConnectError, RequestTimeoutError]``; all else that is evidence counts as a success.
    is_failure: judges a result or an exception: True for a failure of the service, False for a success, None for no
        evidence. It replaces the rules of `core.outcomes`; cancellation is never evidence.
    exclude: exception types, as a list, that count as a success, since the service answered.
    on_change: the user's listener, called with each `StateChange`, after it; or None.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    failure_threshold: int | None = None
    recovery_timeout: float = _FOLLOWS
    success_threshold: int = 1
    timeout: float | None = None
    failure_duration: float = _FOLLOWS
    failure_rate: float | None = None
    slow_call_rate: float | None = None
    slow_call_duration: float | None = None
    window: float = 30.0
    window_calls: int | None = None
    minimum_calls: int = 20
    opens_when: Literal["any", "all"] = "any"
    recovery_multiplier: float = _FOLLOWS
    max_recovery_timeout: float = _FOLLOWS
    recovery_jitter: float = 0.0
    trial_lease: float = 60.0
    trial_count: int = _FOLLOWS
    trials_at_once: int = 1
    ramp: Sequence[float] = ()
    ramp_step: float = 1.0
    max_rejected: float = 1.0
    metrics_only: bool = False
    failures: Iterable[int | range | type[BaseException]] | None = None
    is_failure: Callable[[Any], bool | None] | None = None
    exclude: Iterable[type[BaseException]] = ()
    on_change: Callable[[StateChange], None] | None = None
    shadow: CircuitBreakerSettings | None = None

    def __post_init__(self) -> None:
        self._complete()
        self._check_opening()
        self._check_closing()
        check_duration("timeout", self.timeout)
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
        if self.failures is not None:
            object.__setattr__(self, "failures", parse_kinds(self.failures))
        if not isinstance(self.shadow, (CircuitBreakerSettings, type(None))):
            raise ConfigurationError(
                f"shadow must be settings or None, not {self.shadow!r}; "
                "write shadow=CircuitBreakerSettings(…), from http_service_client.policies"
            )
        for name in ("failures", "is_failure", "exclude", "timeout", "on_change", "shadow"):
            if self.shadow is not None and getattr(self.shadow, name) not in (None, ()):
                raise ConfigurationError(
                    f"shadow sets {name}, which is that of the circuit beside it; set it there, or leave it out"
                )

    def _complete(self) -> None:
        """Set what was not given and follows from what was."""
        found: dict[str, object] = {}
        has_rate = self.failure_rate is not None or self.slow_call_rate is not None
        if self.failure_threshold is None and not has_rate:
            found["failure_threshold"] = _FAILURES_IN_ROW
            if self.failure_duration is None:
                found["failure_duration"] = _FAILING_FOR
        elif self.failure_duration is None:
            found["failure_duration"] = 0.0
        is_default = self.recovery_timeout is None
        if is_default:
            found["recovery_timeout"] = _FIRST_RECOVERY
        if self.recovery_multiplier is None:
            found["recovery_multiplier"] = _GROWTH if is_default else 1.0
        if self.max_recovery_timeout is None:
            found["max_recovery_timeout"] = _LONGEST_RECOVERY if is_default else 600.0
        if self.trial_count is None:
            found["trial_count"] = self.success_threshold
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def _check_opening(self) -> None:
        if self.failure_threshold is not None:
            check_count("failure_threshold", self.failure_threshold)
        check_number("failure_duration", self.failure_duration, unit="of seconds ")
        for name in ("failure_rate", "slow_call_rate"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), least=0.001, most=1)
        check_duration("slow_call_duration", self.slow_call_duration)
        if (self.slow_call_rate is None) != (self.slow_call_duration is None):
            missing = "slow_call_rate" if self.slow_call_rate is None else "slow_call_duration"
            raise ConfigurationError(
                f"{missing} is missing; slow_call_rate and slow_call_duration go together"
            )
        check_duration("window", self.window, optional=False)
        check_count("minimum_calls", self.minimum_calls)
        if self.window_calls is not None:
            check_count("window_calls", self.window_calls)
            if self.minimum_calls > self.window_calls:
                raise ConfigurationError(
                    f"minimum_calls={self.minimum_calls!r} is above window_calls={self.window_calls!r}, so that the "
                    "circuit could never open; lower it"
                )
        if self.opens_when not in ("any", "all"):
            raise ConfigurationError(f"opens_when must be 'any' or 'all', not {self.opens_when!r}")

    def _check_closing(self) -> None:
        check_duration("recovery_timeout", self.recovery_timeout, optional=False)
        check_count("success_threshold", self.success_threshold)
        check_number("recovery_multiplier", self.recovery_multiplier, least=1)
        check_duration("max_recovery_timeout", self.max_recovery_timeout, optional=False)
        check_number("recovery_jitter", self.recovery_jitter, most=1)
        check_duration("trial_lease", self.trial_lease, optional=False)
        check_count("trials_at_once", self.trials_at_once)
        check_count("trial_count", self.trial_count, least=self.success_threshold)
        if isinstance(self.ramp, (str, bytes)) or not isinstance(self.ramp, Sequence):
            raise ConfigurationError(
                f"ramp must be a list of shares such as [0.1, 0.25, 0.5], not {self.ramp!r}"
            )
        for position, share in enumerate(self.ramp):
            check_number(f"ramp[{position}]", share, least=0.001, most=1)
        object.__setattr__(self, "ramp", tuple(self.ramp))
        check_duration("ramp_step", self.ramp_step, optional=False)
        check_number("max_rejected", self.max_rejected, most=1)
        if self.recovery_multiplier > 1 and self.max_recovery_timeout < self.recovery_timeout:
            raise ConfigurationError(
                f"max_recovery_timeout must be at least recovery_timeout ({self.recovery_timeout!r}) when "
                f"recovery_multiplier is above 1, not {self.max_recovery_timeout!r}"
            )

    def changed(self, changes: Mapping[str, object]) -> CircuitBreakerSettings:
        """These settings but for the changes, `CircuitBreakerChanges`.   Raises TypeError for an unknown name."""
        given: dict[str, Any] = dict(changes)
        # What followed from a setting that changes follows from the new one.
        if self.failure_threshold is None or (
            "failure_threshold" in given
            and (self.failure_threshold, self.failure_duration) == (_FAILURES_IN_ROW, _FAILING_FOR)
        ):
            given.setdefault("failure_duration", None)
        if "recovery_timeout" in given and self.recovery_multiplier == _GROWTH:
            given.setdefault("recovery_multiplier", None)
            if self.max_recovery_timeout == _LONGEST_RECOVERY:
                given.setdefault("max_recovery_timeout", None)
        if self.trial_count == self.success_threshold:
            given.setdefault("trial_count", None)
        return replace(self, **given)

    def judge(self, subject: object, default: bool | None) -> bool | None:
        """The verdict on a result or an exception, where `default` is that of the usual rules."""
        if isinstance(subject, self.exclude):  # type: ignore[arg-type]  # a tuple since __post_init__
            return False
        if self.is_failure is None:
            if self.failures is None or default is None:
                return default
            return is_among(subject, self.failures)
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
    reason: "open", "isolated", "trial in progress" or "recovering".
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
    is_shadow: it is a change of the circuit's shadow, which refuses nothing.
    is_metrics_only: the circuit refuses nothing, whatever its state; that of a shadow, too.
    name: as each event of a call has one, for listeners that get both.
    """

    key: str
    old: CircuitBreakerState
    new: CircuitBreakerState
    reason: str
    at: float
    generation: int
    open_for: float | None
    is_shadow: bool = False
    is_metrics_only: bool = False
    name: str = "circuit_state_changed"
