"""Policies around functions that are not HTTP calls themselves: plain or async, functions or methods.

What a guarded function came to is judged by the HTTP outcome behind it as well: a 402 that the function
turned into an exception of its own is no failure of the service.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from .core.backoff import endless_waits
from .core.circuit_breaker import CircuitBreaker, Permit
from .core.circuit_states import Refusal
from .core.circuits import refused
from .core.deadline import AMBIENT_DEADLINE
from .core.outcomes import is_failure, is_failure_type
from .core.retry_after import parse_retry_after
from .core.scope import Scope
from .deadlines import deadline
from .errors import CircuitOpenError, ConfigurationError, HttpClientError, HttpStatusError, SentState
from .messages import HttpResponse

if TYPE_CHECKING:
    from .policies import CircuitBreakerPolicy, RetryPolicy

__all__ = [
    "Guard",
    "breaking",
    "breaking_async",
    "circuit_breaker",
    "guarded",
    "retry_policy",
    "retrying",
    "retrying_async",
]

F = TypeVar("F", bound=Callable[..., Any])


class Guard(Scope):
    """One call under a circuit breaker, from being made until it `returned` or `raised`.

    A scope with leave to call and, with a timeout, a deadline. Raises CircuitOpenError.
    """

    __slots__ = ("_admission", "_deadline", "_is_plain", "_policy", "_started", "_timeout")

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        free_pass = policy.breaker.free_pass
        self._admission: Any = _permit(policy.breaker) if free_pass is None else free_pass
        self._policy = policy
        Scope.__init__(self, False)
        self._timeout = policy.timeout  # as it is now: it may be changed under this call
        self._is_plain = free_pass is not None and self._timeout is None
        if self._timeout is not None:
            self._started = policy._clock()
            self._deadline = deadline(self._timeout, clock=policy._clock)
            self._deadline.__enter__()

    def returned(self, result: object) -> None:
        """Tell the breaker of a result."""
        if self._is_plain and not isinstance(result, HttpResponse):  # as nearly always: nothing to look into
            self.leave()
            self._policy.breaker.record_success(self._admission)
        else:
            self._settle(None, result)

    def raised(self, error: BaseException) -> None:
        """Tell the breaker of an error."""
        self._settle(error, None)

    def _settle(self, error: BaseException | None, result: object) -> None:
        self.leave()
        failed = _evidence(error, result, self)
        policy = self._policy
        if self._timeout is not None:
            self._deadline.__exit__()
            if not is_interruption(error) and policy._clock() - self._started >= self._timeout:
                failed = True
        policy.breaker.settle(self._admission, failed)


def is_interruption(error: BaseException | None) -> bool:
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
    if is_interruption(error):
        return None
    if isinstance(error, HttpStatusError) and error.response is not None:
        return is_failure(error.response)
    if isinstance(error, HttpClientError):
        return None if error.sent_state is SentState.ABANDONED else is_failure_type(type(error))
    last = scope.last_outcome
    return True if last is None else is_failure(last)


def _permit(breaker: CircuitBreaker) -> Permit:
    answer = breaker.try_acquire()
    if isinstance(answer, Refusal):
        failure = refused(answer)
        raise CircuitOpenError(failure.message, **failure.details)
    return answer


class Attempts(Scope):
    """One call under a retry policy, from being made until `leave()`: how often, and when again."""

    __slots__ = ("_delays", "_made", "_policy")

    def __init__(self, policy: RetryPolicy) -> None:
        Scope.__init__(self, retries=True)
        self._policy = policy
        self._made = 0
        self._delays: Iterator[float] | None = None

    def wait_after(self, error: BaseException | None, value: object = None) -> float | None:
        """Seconds until the next attempt; None when what this one came to is the end of it."""
        policy = self._policy
        self._made += 1
        if self._made >= policy.max_attempts or self._is_nested() or not self._is_worth_it(error, value):
            return None
        if self._delays is None:
            self._delays = endless_waits(policy.backoff_strategy, policy.random)
        delay = next(self._delays)
        behind = value if error is None else self.last_outcome
        if isinstance(behind, HttpResponse):
            asked = parse_retry_after(behind.headers.get("Retry-After"), policy.clock.wall())
            cap = getattr(policy.backoff_strategy, "max_delay", None)
            if asked is not None:
                if cap is not None and asked > cap:
                    return None
                delay = max(delay, asked)
        ambient = AMBIENT_DEADLINE.get()
        return None if ambient is not None and delay >= ambient.remaining() else delay

    def _is_nested(self) -> bool:
        return self.outer is not None and self.outer.retries and not self._policy.nested

    def _is_worth_it(self, error: BaseException | None, value: object) -> bool:
        if error is None:
            return self._policy.is_worth_it(value)
        if isinstance(error, CircuitOpenError) or is_interruption(error):
            return False
        last = self.last_outcome
        return self._policy.is_worth_it(error) or (last is not None and self._policy.is_worth_it(last))


def breaking(policy: CircuitBreakerPolicy, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function, each call of it under the circuit breaker."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        guard = Guard(policy)
        try:
            result = function(*args, **kwargs)
            if hasattr(result, "__await__"):
                _refuse_awaitable(function, result)
        except BaseException as error:
            guard.raised(error)
            raise
        guard.returned(result)
        return result

    return guarded


def breaking_async(
    policy: CircuitBreakerPolicy, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """The async function, as `breaking`; one that returns a plain value will do as well."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        guard = Guard(policy)
        try:
            result = function(*args, **kwargs)
            if hasattr(result, "__await__"):
                result = await result
        except BaseException as error:
            guard.raised(error)
            raise
        guard.returned(result)
        return result

    return guarded


def retrying(policy: RetryPolicy, function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function, each call of it under the retry policy."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        attempts = Attempts(policy)
        try:
            while True:
                try:
                    result = function(*args, **kwargs)
                    if hasattr(result, "__await__"):
                        _refuse_awaitable(function, result)
                except Exception as error:
                    wait = attempts.wait_after(error)
                    if wait is None:
                        raise
                else:
                    wait = attempts.wait_after(None, result)
                    if wait is None:
                        return result
                policy.clock.sleep(wait)
                attempts.last_outcome = None
        finally:
            attempts.leave()

    return guarded


def retrying_async(
    policy: RetryPolicy, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """The async function, as `retrying`; one that returns a plain value will do as well."""

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        attempts = Attempts(policy)
        try:
            while True:
                try:
                    result = function(*args, **kwargs)
                    if hasattr(result, "__await__"):
                        result = await result
                except Exception as error:
                    wait = attempts.wait_after(error)
                    if wait is None:
                        raise
                else:
                    wait = attempts.wait_after(None, result)
                    if wait is None:
                        return result
                await policy.clock.sleep_async(wait)
                attempts.last_outcome = None
        finally:
            attempts.leave()

    return guarded


def _refuse_awaitable(function: Callable[..., Any], result: object) -> NoReturn:
    """A plain function's result is still to be awaited: it would fail when the guard has gone."""
    if inspect.iscoroutine(result):
        result.close()  # or Python would warn that nobody awaited it
    raise ConfigurationError(f"{function!r} returned an awaitable; make it `async def` to have it guarded")


def guarded(function: F, guard: Callable[..., Any], guard_async: Callable[..., Any]) -> F:
    """The function with its name and signature, and a guard around it: one of the two, by its kind."""
    if isinstance(function, (classmethod, staticmethod)):
        wrapper: Any = type(function)
        return wrapper(guarded(function.__func__, guard, guard_async))  # type: ignore[no-any-return]  # of the same kind
    if not callable(function):
        raise ConfigurationError(f"a policy guards functions, not {function!r}")
    if _is(inspect.isasyncgenfunction, function) or _is(inspect.isgeneratorfunction, function):
        raise ConfigurationError(f"a policy guards functions that return, not the generator {function!r}")
    suited = guard_async if _is(inspect.iscoroutinefunction, function) else guard
    return functools.wraps(function)(suited(function))  # type: ignore[return-value]  # the same signature


def _is(question: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    """Whether it holds for the function, or for what is called when the object is."""
    return question(function) or question(type(function).__call__)


class _PolicyOnSelf:
    """A decorator for methods that finds the policy on `self` when the method is called.

    So a class may decorate its methods with a policy that its `__init__` makes.
    """

    def __init__(self, attribute: Literal["circuit_breaker", "retry_policy"], kind: str, mark: str) -> None:
        self._attribute = attribute
        self._kind = kind
        self._mark = mark  # an attribute that only this kind of policy has

    def apply(self, method: F) -> F:
        """The method, guarded by the policy that `self` holds under this name."""

        def guard(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **kwargs: self._policy(args).call(function, *args, **kwargs)

        def guard_async(function: Callable[..., Any]) -> Callable[..., Any]:
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                return await self._policy(args).call_async(function, *args, **kwargs)

            return guarded

        return guarded(method, guard, guard_async)

    def _policy(self, args: tuple[Any, ...]) -> Any:
        if not args:
            raise ConfigurationError(
                f"{self._attribute}.apply guards methods, and there is no self here; use a {self._kind}'s own apply"
            )
        owner = args[0]
        policy = getattr(owner, self._attribute, None)
        if not hasattr(policy, self._mark):
            raise ConfigurationError(
                f"{type(owner).__name__}.{self._attribute} must be a {self._kind}, not {policy!r}; "
                f"set self.{self._attribute} in __init__"
            )
        return policy


circuit_breaker = _PolicyOnSelf("circuit_breaker", "CircuitBreakerPolicy", "failure_threshold")
retry_policy = _PolicyOnSelf("retry_policy", "RetryPolicy", "max_attempts")
