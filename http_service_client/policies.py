"""What users hold: the circuit breaker and the retry policy, and `deadline`.

Each policy configures a client, guards one call (`circuit_breaker=`, `retry_policy=`), and guards any
function by `.apply`: plain and `async def`, functions and methods, by the same rules.
"""

from __future__ import annotations

import functools
import inspect
import random as _random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, TypeVar

from .core.backoff import (
    BackoffStrategy,
    ConstantBackoff,
    DecorrelatedBackoff,
    ExponentialBackoff,
    FibonacciBackoff,
    Jitter,
    LinearBackoff,
)
from .core.budget import RetryBudgetSettings
from .core.checks import check_duration
from .core.circuit_breaker import CircuitBreaker, Permit
from .core.circuit_states import (
    CircuitBreakerSettings,
    CircuitBreakerSnapshot,
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from .core.circuits import refused
from .core.conditions import RetryCondition
from .core.deadline import AMBIENT_DEADLINE, Deadline, earliest
from .core.effects import Invoke, Plan, Sleep
from .core.outcomes import is_failure, is_failure_type
from .core.retry import RetrySettings
from .core.retry_after import parse_retry_after
from .core.scope import Scope, enter_scope, leave_scope
from .drivers.blocking import BlockingDriver
from .drivers.clocks import Clock, SystemClock
from .drivers.locks import ForkSafeLock
from .drivers.portal import PORTAL
from .errors import CircuitOpenError, ConfigurationError, HttpClientError, HttpStatusError, SentState
from .messages import HttpResponse

__all__ = [
    "BackoffStrategy",
    "CircuitBreakerPolicy",
    "CircuitBreakerState",
    "ConstantBackoff",
    "DecorrelatedBackoff",
    "ExponentialBackoff",
    "FibonacciBackoff",
    "Jitter",
    "LinearBackoff",
    "RetryBudgetSettings",
    "RetryCondition",
    "RetryPolicy",
    "StateChange",
    "circuit_breaker",
    "deadline",
    "retry_policy",
]

F = TypeVar("F", bound=Callable[..., Any])


class deadline:  # reads as a statement: `with deadline(2.0):`
    """Every call inside is over within so many seconds, waits and retries included.

    seconds: from entering the block; > 0.  Nested deadlines hold by the minimum.
    Works in plain and async code alike, and in tasks started inside.

    Raises ConfigurationError for a duration that is not a positive, finite number.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        check_duration("deadline", seconds, optional=False)
        self._seconds = seconds
        self._clock = clock
        self._token: Token[Deadline | None] | None = None
        self._at = 0.0

    def remaining(self) -> float:
        """Seconds left inside the block; negative when the deadline has passed."""
        return self._at - self._clock()

    def __enter__(self) -> deadline:
        at = earliest(self._seconds, self._clock)
        assert at is not None
        self._at = at
        self._token = AMBIENT_DEADLINE.set(Deadline(at, self._clock))
        return self

    def __exit__(self, *exception: object) -> None:
        if self._token is not None:
            try:
                AMBIENT_DEADLINE.reset(self._token)
            except ValueError:
                pass  # the coroutine is being closed from another context


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
        self._clock = clock
        self.breaker = CircuitBreaker(
            self.settings,
            key=name,
            clock=clock,
            random=_random.random,
            lock=ForkSafeLock(),
            on_change=on_change,
        )
        self._entered: ContextVar[tuple[_Guard, ...]] = ContextVar("http_service_client.entered", default=())

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
        return _guarded(function, self.call, self.call_async)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain function under this policy."""
        with _Guard(self) as guard:
            result = function(*args, **kwargs)
            guard.result = result
        return result

    async def call_async(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call and await an async function under this policy."""
        with _Guard(self) as guard:
            result = await function(*args, **kwargs)
            guard.result = result
        return result

    def __enter__(self) -> CircuitBreakerPolicy:
        guard = _Guard(self)
        guard.__enter__()
        self._entered.set((*self._entered.get(), guard))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        *outer, guard = self._entered.get()
        self._entered.set(tuple(outer))
        guard.__exit__(kind, error, traceback)

    async def __aenter__(self) -> CircuitBreakerPolicy:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        name = f"{self.name!r} " if self.name else ""
        return f"<CircuitBreakerPolicy {name}{self.state.value}>"


class _Guard:
    """One guarded call: a permit, a scope and, with a timeout, a deadline."""

    __slots__ = ("_deadline", "_permit", "_policy", "_scope", "_started", "_token", "result")

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._policy = policy
        self.result: Any = None

    def __enter__(self) -> _Guard:
        permit = self._policy.breaker.try_acquire()
        if type(permit) is Refusal:
            _raise_refusal(permit)
        assert isinstance(permit, Permit)
        self._permit = permit
        self._scope, self._token = enter_scope(retries=False)
        timeout = self._policy.timeout
        if timeout is not None:
            self._started = self._policy._clock()
            self._deadline = deadline(timeout)
            self._deadline.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave_scope(self._token)
        failed = _evidence(error, self.result, self._scope)
        timeout = self._policy.timeout
        if timeout is not None:
            self._deadline.__exit__()
            if not _is_interruption(error) and self._policy._clock() - self._started >= timeout:
                failed = True
        if failed is None:
            self._permit.release()
        elif failed:
            self._permit.record_failure()
        else:
            self._permit.record_success()


def _is_interruption(error: BaseException | None) -> bool:
    """Cancellation, KeyboardInterrupt and the like: the caller's doing."""
    return error is not None and (
        not isinstance(error, Exception) or type(error).__name__ == "CancelledError"
    )


def _evidence(error: BaseException | None, result: Any, scope: Scope) -> bool | None:
    """Whether a guarded call failed: True, False, or None for no evidence.

    it returned            a response speaks by its status; anything else is a success
    it was interrupted     none
    one of our errors      by its type; `raise_for_status()` by the status
    any other exception    a failure, unless the last HTTP outcome inside shows a healthy service
    """
    if error is None:
        return is_failure(result) if isinstance(result, HttpResponse) else False
    if _is_interruption(error):
        return None
    if isinstance(error, HttpStatusError) and error.response is not None:
        return is_failure(error.response)
    if isinstance(error, HttpClientError):
        return None if error.sent_state is SentState.ABANDONED else is_failure_type(type(error))
    last = scope.last_outcome
    return True if last is None else is_failure(last)


def _raise_refusal(refusal: Refusal) -> None:
    failure = refused(refusal)
    raise CircuitOpenError(failure.message, **failure.details)


async def _no_send_async(*_: Any) -> Any:
    raise AssertionError("a guarded function sends nothing itself")


def _no_send(*_: Any) -> Any:
    raise AssertionError("a guarded function sends nothing itself")


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

    def apply(self, function: F) -> F:
        """The function, repeated while a condition holds; the last result or error is what comes out."""
        return _guarded(function, self.call, self.call_async)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a plain function under this policy."""
        driver = BlockingDriver(_no_send, PORTAL, self.clock.sleep)
        scope, token = enter_scope(retries=True)
        try:
            return driver.run(self._attempts(scope, functools.partial(function, *args, **kwargs)))
        finally:
            leave_scope(token)

    async def call_async(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Call and await an async function under this policy."""
        from .drivers.tasks import TaskDriver

        driver = TaskDriver(_no_send_async, self.clock.sleep_async)
        scope, token = enter_scope(retries=True)
        try:
            return await driver.run(self._attempts(scope, functools.partial(function, *args, **kwargs)))
        finally:
            leave_scope(token)

    def _attempts(self, scope: Scope, function: Callable[[], Any]) -> Plan[Any]:
        may_retry = self.nested or scope.outer is None or not scope.outer.retries
        delays: Iterator[float] | None = None
        attempt = 0
        value: Any = None
        error: BaseException | None = None
        try:
            while True:
                attempt += 1
                error = None
                scope.last_outcome = None
                try:
                    value = yield from Invoke(function)
                except Exception as failed:
                    error = failed
                if not may_retry or attempt >= self.max_attempts or not self._is_worth(error, value, scope):
                    break
                if delays is None:
                    delays = self.backoff_strategy.delays(self.random)
                wait = self._wait(next(delays), error, value, scope)
                if wait is None:
                    break
                yield from Sleep(wait)
            if error is not None:
                raise error
            return value
        finally:
            error = None  # its traceback holds this frame

    def _is_worth(self, error: BaseException | None, value: Any, scope: Scope) -> bool:
        if error is None:
            return self.is_worth_it(value)
        if isinstance(error, CircuitOpenError) or _is_interruption(error):
            return False
        last = scope.last_outcome
        return self.is_worth_it(error) or (last is not None and self.is_worth_it(last))

    def _wait(self, delay: float, error: BaseException | None, value: Any, scope: Scope) -> float | None:
        """Seconds to wait, or None when the wait is not to be begun."""
        behind = value if error is None else scope.last_outcome
        if isinstance(behind, HttpResponse):
            asked = parse_retry_after(behind.headers.get("Retry-After"), self.clock.wall())
            cap = getattr(self.backoff_strategy, "max_delay", None)
            if asked is not None:
                if cap is not None and asked > cap:
                    return None
                delay = max(delay, asked)
        ambient = AMBIENT_DEADLINE.get()
        return None if ambient is not None and delay >= ambient.remaining() else delay


def _guarded(function: F, call: Callable[..., Any], call_async: Callable[..., Awaitable[Any]]) -> F:
    """The function with its name and signature, called through a policy."""
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"a policy guards functions that return, not the generator {function.__qualname__}"
        )
    if not callable(function):
        raise ConfigurationError(f"a policy guards functions, not {function!r}")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)
    ):

        @functools.wraps(function)
        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            return await call_async(function, *args, **kwargs)

        return guarded_async  # type: ignore[return-value]  # the same signature, by functools.wraps

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return call(function, *args, **kwargs)

    return guarded  # type: ignore[return-value]  # the same signature, by functools.wraps


class _PolicyOnSelf:
    """A decorator for methods that finds the policy on `self` when the method is called.

    So a class may decorate its methods with a policy that its `__init__` makes.
    """

    def __init__(self, attribute: Literal["circuit_breaker", "retry_policy"]) -> None:
        self._attribute = attribute

    def apply(self, method: F) -> F:
        """The method, guarded by the policy that `self` holds under this name."""

        def call(function: Callable[..., Any], owner: Any, *args: Any, **kwargs: Any) -> Any:
            return self._policy(owner).call(function, owner, *args, **kwargs)

        async def call_async(function: Callable[..., Any], owner: Any, *args: Any, **kwargs: Any) -> Any:
            return await self._policy(owner).call_async(function, owner, *args, **kwargs)

        return _guarded(method, call, call_async)

    def _policy(self, owner: Any) -> Any:
        policy = getattr(owner, self._attribute, None)
        if not hasattr(policy, "call_async"):
            raise ConfigurationError(
                f"{type(owner).__name__}.{self._attribute} must be a policy, not {policy!r}; "
                f"set self.{self._attribute} in __init__"
            )
        return policy


circuit_breaker = _PolicyOnSelf("circuit_breaker")
retry_policy = _PolicyOnSelf("retry_policy")
