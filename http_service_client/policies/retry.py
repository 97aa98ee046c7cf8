"""The retry policy: for a client, for one call, around any function."""

from __future__ import annotations

import random as _random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ..core.checks import check_function
from ..core.deadline import AMBIENT_DEADLINE
from ..core.machines.backoff import endless_waits
from ..core.machines.retry_decision import Situation, next_wait
from ..core.machines.retry_settings import RetrySettings
from ..core.nesting import Scope
from ..core.outcomes import requested_wait
from ..drivers.clocks import Clock, SystemClock
from ..errors import CircuitOpenError, ConfigurationError
from ..events import StopReason
from .functions import is_interruption, refuse_awaitable, wrap

__all__ = ["RetryPolicy"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class RetryPolicy(RetrySettings):
    """Repeat what failed transiently, after growing waits.

    max_attempts: attempts in all, the first one included (>= 1).
    backoff_strategy: the waits; `ExponentialBackoff()` by default.
    retry_conditions: list of `RetryCondition`; an outcome for which any holds is retried. None: transport errors
        except TLS verification, and statuses 408, 425, 429, 500, 502, 503, 504.
    nested: retry even when an enclosing retry policy does, which multiplies the attempts.
    random: uniform in [0, 1), for jitter.   clock: the clock for the waits.

    In a client's call, an unsafe request is repeated only when it cannot have been processed. Around a
    function, the conditions alone decide: by guarding it, you vouch that it may be repeated. Both respect an
    enclosing `deadline` and a `Retry-After`, also one behind the function's exception.
    """

    random: Callable[[], float] = field(default=_random.random, repr=False, compare=False)
    clock: Clock = field(default=SystemClock(), repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_function("random", self.random)
        if not isinstance(self.clock, Clock):
            raise ConfigurationError(f"clock must be a clock such as SystemClock(), not {self.clock!r}")

    def apply(self, function: F) -> F:
        """The function, repeated while a condition holds. The last result is returned, the last error raised."""
        return wrap(function, partial(with_retries, self), partial(with_retries_async, self))

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain function under this policy."""
        return with_retries(self, function)(*args, **kwargs)

    async def call_async(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call and await an async function under this policy."""
        return await with_retries_async(self, function)(*args, **kwargs)


class RetryScope(Scope):
    """One call under a retry policy, from its creation until `leave()`. Counts attempts and decides the waits."""

    __slots__ = ("_delays", "_made", "_policy")

    def __init__(self, policy: RetryPolicy) -> None:
        Scope.__init__(self, retries=True)
        self._policy = policy
        self._made = 0
        self._delays: Iterator[float] | None = None

    def wait_after(self, error: BaseException | None, value: object = None) -> float | None:
        """Seconds until the next attempt; None when this one was the last."""
        self._made += 1
        if not self._is_worth_it(error, value):
            return None
        policy = self._policy
        if self._delays is None:
            self._delays = endless_waits(policy.backoff_strategy, policy.random)
        ambient = AMBIENT_DEADLINE.get()
        situation = Situation(
            self._made,
            self.outer is not None and self.outer.retries,
            requested_wait(value if error is None else self.last_outcome, policy.clock.wall),
            None if ambient is None else ambient.remaining(),
        )
        wait = next_wait(policy, situation, self._delays)
        return None if isinstance(wait, StopReason) else wait

    def _is_worth_it(self, error: BaseException | None, value: object) -> bool:
        if error is None:
            return self._policy.is_worth_it(value)
        if isinstance(error, CircuitOpenError) or is_interruption(error):
            return False
        last = self.last_outcome
        return self._policy.is_worth_it(error) or (last is not None and self._policy.is_worth_it(last))


def with_retries(policy: RetryPolicy, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function, with each call under the retry policy."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        scope = RetryScope(policy)
        try:
            while True:
                try:
                    result = function(*args, **kwargs)
                    if hasattr(result, "__await__"):
                        refuse_awaitable(function, result)
                except Exception as error:
                    wait = scope.wait_after(error)
                    if wait is None:
                        raise
                else:
                    wait = scope.wait_after(None, result)
                    if wait is None:
                        return result
                policy.clock.sleep(wait)
                scope.last_outcome = None
        finally:
            scope.leave()

    return guarded


def with_retries_async(
    policy: RetryPolicy, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Like `with_retries`, for an async function, or one that returns a plain value."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        scope = RetryScope(policy)
        try:
            while True:
                try:
                    result = function(*args, **kwargs)
                    if hasattr(result, "__await__"):
                        result = await result
                except Exception as error:
                    wait = scope.wait_after(error)
                    if wait is None:
                        raise
                else:
                    wait = scope.wait_after(None, result)
                    if wait is None:
                        return result
                await policy.clock.sleep_async(wait)
                scope.last_outcome = None
        finally:
            scope.leave()

    return guarded
