"""Putting a policy around any function: plain or async, function or method."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ..errors import ConfigurationError

__all__ = ["NOT_CALLED", "handled_now", "is_interruption", "refuse_awaitable", "wrap"]

# Of a kind, and the name that its user gave it.
NOT_CALLED = "a {0} is not called itself; write @{1}.apply above the function, or call {1}.call(function, …)"

F = TypeVar("F", bound=Callable[..., Any])


def wrap(function: F, guard: Callable[..., Any], guard_async: Callable[..., Any]) -> F:
    """The function, with its name and signature, under one of two guards: for plain or for async functions."""
    if isinstance(function, (classmethod, staticmethod)):
        wrapper: Any = type(function)
        return wrapper(wrap(function.__func__, guard, guard_async))  # type: ignore[no-any-return]  # of the same kind
    if not callable(function):
        raise ConfigurationError(f"a policy guards functions, not {function!r}")
    if _is(inspect.isasyncgenfunction, function) or _is(inspect.isgeneratorfunction, function):
        raise ConfigurationError(f"a policy guards functions that return, not the generator {function!r}")
    suited = guard_async if _is(inspect.iscoroutinefunction, function) else guard
    return functools.wraps(function)(suited(function))  # type: ignore[return-value]  # the same signature


def _is(question: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    """Whether the function, or the `__call__` of a callable object, is of this kind."""
    return question(function) or question(type(function).__call__)


if sys.version_info >= (3, 11):
    handled_now = sys.exception
else:

    def handled_now() -> BaseException | None:
        """The exception that is being handled: the context of all that a function called now raises."""
        return sys.exc_info()[1]


def is_interruption(error: BaseException | None) -> bool:
    """Whether the caller ended the call: cancellation, KeyboardInterrupt and the like."""
    return error is not None and (
        not isinstance(error, Exception) or type(error).__name__ == "CancelledError"
    )


def refuse_awaitable(function: Callable[..., Any], result: object) -> NoReturn:
    """Reject a plain function that returned an awaitable: it would run, and fail, outside the guard."""
    if inspect.iscoroutine(result):
        result.close()  # or Python would warn that nobody awaited it
    raise ConfigurationError(
        f"{function!r} returned an awaitable; use call_async, or make it `async def` and use apply"
    )
