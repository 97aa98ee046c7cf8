"""Policies around functions that are not HTTP calls themselves: plain or async, functions or methods.

What a guarded function came to is judged by the HTTP outcome behind it as well: a 402 that the function
turned into an exception of its own is no failure of the service.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from .core.circuit_states import Refusal
from .core.circuits import refused
from .core.outcomes import is_failure, is_failure_type
from .core.scope import Scope
from .deadlines import deadline
from .errors import CircuitOpenError, ConfigurationError, HttpClientError, HttpStatusError, SentState
from .messages import HttpResponse

if TYPE_CHECKING:
    from .policies import CircuitBreakerPolicy

__all__ = ["Guard", "called_plainly", "circuit_breaker", "guarded", "is_interruption", "retry_policy"]

F = TypeVar("F", bound=Callable[..., Any])


class Guard(Scope):
    """One guarded call, from being made to `settle`: a scope with a permit and, with a timeout, a deadline.

    Raises CircuitOpenError.
    """

    __slots__ = ("_deadline", "_permit", "_policy", "_started")

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        permit = policy.breaker.try_acquire()
        if isinstance(permit, Refusal):
            _raise_refusal(permit)
        Scope.__init__(self, retries=False)
        self._permit = permit
        self._policy = policy
        if policy.timeout is not None:
            self._started = policy._clock()
            self._deadline = deadline(policy.timeout, clock=policy._clock)
            self._deadline.__enter__()

    def settle(self, error: BaseException | None, result: object = None) -> None:
        """Tell the breaker what came of it: an error, or else a result."""
        self.leave()
        failed = _evidence(error, result, self)
        policy = self._policy
        if policy.timeout is not None:
            self._deadline.__exit__()
            if not is_interruption(error) and policy._clock() - self._started >= policy.timeout:
                failed = True
        if failed is None:
            self._permit.release()
        elif failed:
            self._permit.record_failure()
        else:
            self._permit.record_success()


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


def _raise_refusal(refusal: Refusal) -> NoReturn:
    failure = refused(refusal)
    raise CircuitOpenError(failure.message, **failure.details)


def guarded(function: F, call: Callable[..., Any], call_async: Callable[..., Awaitable[Any]]) -> F:
    """The function with its name and signature, called through a policy."""
    if isinstance(function, (classmethod, staticmethod)):
        wrapper: Any = type(function)
        return wrapper(guarded(function.__func__, call, call_async))  # type: ignore[no-any-return]  # of the same kind
    if not callable(function):
        raise ConfigurationError(f"a policy guards functions, not {function!r}")
    if _is(inspect.isasyncgenfunction, function) or _is(inspect.isgeneratorfunction, function):
        raise ConfigurationError(f"a policy guards functions that return, not the generator {function!r}")
    if _is(inspect.iscoroutinefunction, function):

        @functools.wraps(function)
        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            return await call_async(function, *args, **kwargs)

        return guarded_async  # type: ignore[return-value]  # the same signature, by functools.wraps

    @functools.wraps(function)
    def call_guarded(*args: Any, **kwargs: Any) -> Any:
        return call(function, *args, **kwargs)

    return call_guarded  # type: ignore[return-value]  # the same signature, by functools.wraps


def _is(question: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    """Whether it holds for the function, or for what is called when the object is."""
    return question(function) or question(type(function).__call__)


def called_plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a plain function returns, unless that is still to be awaited.

    Its failure would come when the guard has gone, so this would guard nothing.
    """
    result = function(*args, **kwargs)
    if hasattr(result, "__await__"):
        if inspect.iscoroutine(result):
            result.close()  # or Python would warn that nobody awaited it
        raise ConfigurationError(
            f"{function!r} returned an awaitable; make it `async def` to have it guarded"
        )
    return result


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

        def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return self._policy(args).call(function, *args, **kwargs)

        async def call_async(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return await self._policy(args).call_async(function, *args, **kwargs)

        return guarded(method, call, call_async)

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
