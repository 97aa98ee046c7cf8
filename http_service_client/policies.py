"""What users hold: the circuit breaker and the retry policy.

Each policy configures a client, guards one call (`circuit_breaker=`, `retry_policy=`), and guards any
function by `.apply`: plain and `async def`, functions and methods, by the same rules.
"""

from __future__ import annotations

import random as _random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from .core.checks import check_duration, check_function
from .core.circuit_breaker import CircuitBreaker
from .core.circuit_states import (
    CircuitBreakerSettings,
    CircuitBreakerSnapshot,
    CircuitBreakerState,
    StateChange,
)
from .core.retry_settings import RetrySettings
from .drivers.clocks import Clock, SystemClock
from .drivers.locks import ForkSafeLock
from .errors import ConfigurationError
from .guarding import Guard, breaking, breaking_async, guarded, retrying, retrying_async

__all__ = ["CircuitBreakerPolicy", "RetryPolicy"]

F = TypeVar("F", bound=Callable[..., Any])


class CircuitBreakerPolicy:
    """Stop calling what keeps failing; try again, one call at a time, after a while.

    failure_threshold: consecutive failures that open the circuit (>= 1).
    recovery_timeout: seconds it stays open before a trial call may pass (> 0).
    success_threshold: successful trials in a row that close it (>= 1).
    timeout: seconds that one guarded call may take, or None. The client's calls inside are bounded by
        it as by a `deadline`; a guarded call that took longer counts as a failure even if it returned.
        In a client's configuration it bounds each attempt.
    recovery_multiplier, max_recovery_timeout: growth of the open time at each failed trial, and its cap.
    recovery_jitter: 0 to 1; the open time is stretched by up to this fraction.
    trial_lease: seconds after which the place of a trial that never settled comes back.
    metrics_only: count and change state, but refuse nothing.
    name: what the circuit is called in errors and events.
    clock: monotonic seconds.   on_change: told of each `StateChange`, after it.
        In a client's configuration the client's clock counts, and `on_change` hears of all its circuits.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.

    One object may be shared by threads and event loops. What counts as a failure: transport errors,
    408, 429 and 5xx; an exception of the guarded function, unless the HTTP outcome behind it shows a
    healthy service (a 402 turned into an exception is no failure of the service). Cancellation counts
    as nothing.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60.0,
        success_threshold: int = 3,
        timeout: float | None = None,
        *,
        recovery_multiplier: float = 1.0,
        max_recovery_timeout: float = 600.0,
        recovery_jitter: float = 0.0,
        trial_lease: float = 60.0,
        metrics_only: bool = False,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[StateChange], None] | None = None,
    ) -> None:
        check_duration("timeout", timeout)
        if not isinstance(name, str):
            raise ConfigurationError(f"name must be a str, not {name!r}")
        for field_name, value in (("clock", clock), ("on_change", on_change or print)):
            check_function(field_name, value)
        self.settings = CircuitBreakerSettings(
            failure_threshold=failure_threshold,
            recovery_timeout=recovery_timeout,
            success_threshold=success_threshold,
            recovery_multiplier=recovery_multiplier,
            max_recovery_timeout=max_recovery_timeout,
            recovery_jitter=recovery_jitter,
            trial_lease=trial_lease,
            metrics_only=metrics_only,
        )
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.success_threshold = success_threshold
        self.timeout = timeout
        self.name = name
        self.on_change = on_change
        self._clock = clock
        self.breaker = CircuitBreaker(
            self.settings,
            key=name,
            clock=clock,
            random=_random.random,
            lock=ForkSafeLock(),
            on_change=on_change,
        )
        self._entered: ContextVar[tuple[Guard, ...]] = ContextVar("http_service_client.entered", default=())
        self._open: list[Guard] = []

    @property
    def state(self) -> CircuitBreakerState:
        """Closed, open or half-open. A question: it changes nothing."""
        return self.breaker.state

    @property
    def is_isolated(self) -> bool:
        """Whether `isolate()` holds."""
        return self.breaker.is_isolated

    def isolate(self) -> None:
        """Refuse everything until `reset()`."""
        self.breaker.isolate()

    def reset(self) -> None:
        """Close the circuit and forget what was counted."""
        self.breaker.reset()

    def snapshot(self) -> CircuitBreakerSnapshot:
        """State and counts, at one instant."""
        return self.breaker.snapshot()

    def apply(self, function: F) -> F:
        """The function, guarded: refused by `CircuitOpenError` while the circuit is open."""
        return guarded(function, partial(breaking, self), partial(breaking_async, self))

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain function under this policy."""
        return breaking(self, function)(*args, **kwargs)

    async def call_async(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call and await an async function under this policy."""
        return await breaking_async(self, function)(*args, **kwargs)

    def __enter__(self) -> CircuitBreakerPolicy:
        guard = Guard(self)
        self._entered.set((*self._entered.get(), guard))
        self._open.append(guard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Each task leaves the block that it entered. A block that a fixture or lifespan leaves in another
        # context than it entered is the last one that is open anywhere.
        entered = [guard for guard in self._entered.get() if guard in self._open]
        if not (entered or self._open):
            raise RuntimeError(f"{self!r} was not entered")
        guard = (entered or self._open)[-1]
        self._entered.set(tuple(entered[:-1]))
        self._open.remove(guard)
        if error is None:
            guard.returned(None)
        else:
            guard.raised(error)

    async def __aenter__(self) -> CircuitBreakerPolicy:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        name = f"{self.name!r} " if self.name else ""
        return f"<CircuitBreakerPolicy {name}{self.state.value}>"


@dataclass(frozen=True)
class RetryPolicy(RetrySettings):
    """Try again what failed in passing, with growing waits.

    max_attempts: attempts in all, the first one included (>= 1).
    backoff_strategy: the waits; `ExponentialBackoff()` by default.
    retry_conditions: list of `RetryCondition`; one that holds is enough. None: transport errors except
        TLS verification, and statuses 408, 425, 429, 500, 502, 503, 504.
    nested: retry even when an enclosing retry policy is in charge, which multiplies the attempts.
    random: uniform in [0, 1).   clock: the time to wait by.

    On a client's call, an unsafe request is repeated only when it cannot have been processed. On a
    function, the conditions alone decide: whoever guards a function vouches that it may be repeated.
    An ambient `deadline` and a `Retry-After` behind the function's exception are kept to in both.
    """

    random: Callable[[], float] = field(default=_random.random, repr=False, compare=False)
    clock: Clock = field(default=SystemClock(), repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_function("random", self.random)
        if not isinstance(self.clock, Clock):
            raise ConfigurationError(f"clock must be a clock such as SystemClock(), not {self.clock!r}")

    def apply(self, function: F) -> F:
        """The function, repeated while a condition holds; the last result or error is what comes out."""
        return guarded(function, partial(retrying, self), partial(retrying_async, self))

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain function under this policy."""
        return retrying(self, function)(*args, **kwargs)

    async def call_async(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call and await an async function under this policy."""
        return await retrying_async(self, function)(*args, **kwargs)
