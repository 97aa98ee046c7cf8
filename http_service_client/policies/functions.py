"""Putting a policy around any function: plain or async, function or method."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..core.signals import is_of_signal_handler
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..core.nesting import EndedCall

__all__ = [
    "AWAITABLE",
    "FINISHED",
    "NOT_CALLED",
    "UNFINISHED",
    "applied_to_a_function",
    "handled_now",
    "is_interruption",
    "not_a_function",
    "refuse",
    "wrap",
]

# Of a kind, and the name that its user gave it.
NOT_CALLED = "a {0} is not called itself; write @{1}.apply above the function, or call {1}.call(function, …)"

_NOT_APPLIED = (
    "apply needs a policy and a function: make the policy first, as in policy = RetryPolicy(), and write @policy.apply above "
    "the function; not @RetryPolicy.apply, and not @policy.apply()"
)

F = TypeVar("F", bound=Callable[..., Any])


def applied_to_a_function(apply: F) -> F:
    """The method `apply` of a policy: it says what to write where the class applies it, or nothing follows."""

    @functools.wraps(apply)
    def checked(*arguments: Any, **named: Any) -> Any:
        if len(arguments) + len(named) < 2:
            raise TypeError(_NOT_APPLIED)
        return apply(*arguments, **named)

    return checked  # type: ignore[return-value]  # the same signature


def wrap(
    function: F,
    guard: Callable[..., Any],
    guard_async: Callable[..., Any],
    guard_items: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
) -> F:
    """The function, with its name and signature, under one of two guards: for plain or for async functions.

    guard_items: those for generators and for async generators; None where they are refused.
    """
    if isinstance(function, (classmethod, staticmethod)):
        wrapper: Any = type(function)
        return wrapper(wrap(function.__func__, guard, guard_async, guard_items))  # type: ignore[no-any-return]  # of the same kind
    if not callable(function):
        raise ConfigurationError(f"a policy guards functions, not {function!r}")
    is_async_generator = _is(inspect.isasyncgenfunction, function)
    if is_async_generator or _is(inspect.isgeneratorfunction, function):
        if guard_items is None:
            raise ConfigurationError(
                f"this decorator guards methods that return, not the generator {function!r}; use a policy's own apply"
            )
        suited = guard_items[is_async_generator]
    else:
        suited = guard_async if _is(inspect.iscoroutinefunction, function) else guard
    return functools.wraps(function)(suited(function))  # type: ignore[return-value]  # the same signature


def _is(question: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    """Whether the function, or the `__call__` of a callable object, is of this kind; of a partial, what it calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return question(function) or question(type(function).__call__)


if sys.version_info >= (3, 11):
    handled_now = sys.exception
else:

    def handled_now() -> BaseException | None:
        """The exception that is being handled: the context of all that a function called now raises."""
        return sys.exc_info()[1]


def is_interruption(error: BaseException | None) -> bool:
    """Whether the caller ended the call: by cancellation, KeyboardInterrupt, the handler of a signal and the like."""
    return error is not None and (
        not isinstance(error, Exception)
        or type(error).__name__ == "CancelledError"
        or is_of_signal_handler(error)
    )


def not_a_function(method: str, given: object) -> TypeError:
    """The error of a call that got a result, or a coroutine, in the place of the function."""
    if isinstance(given, CoroutineType):
        given.close()  # or Python would warn that nobody awaited it
    return TypeError(
        f"{method} takes a function and its arguments, not {given!r:.100}; write policy.{method}(function, argument, …)"
    )


class _Kinds(dict[type, "str | None"]):
    """What the results of each type still have to do, None for nothing; one look-up for each result.

    By its type, as Python itself looks for `__await__`: an object with a catch-all `__getattr__` has every attribute.
    """

    def __missing__(self, kind: type) -> str | None:
        if len(self) >= 1024:  # a program may make classes without end
            self.clear()
        self[kind] = found = _unfinished(kind)
        return found


def _unfinished(kind: type) -> str | None:
    if issubclass(kind, (GeneratorType, AsyncGeneratorType)):
        return "a generator"
    if kind.__module__ == "contextlib" and "GeneratorContextManager" in kind.__name__:
        return "a context manager"
    if getattr(kind, "opens_on_entry", False) is True:
        return "a stream that is not open yet"
    return AWAITABLE if hasattr(kind, "__await__") else None


AWAITABLE: Final = "an awaitable"
UNFINISHED = _Kinds()
FINISHED = (None, AWAITABLE)  # what an async function may return: a task, for example, is its caller's


def refuse(function: Callable[..., Any], result: object, last_call: EndedCall | None) -> None:
    """Reject a result that is only begun: its work would run, and fail, outside the guard.

    last_call: a client's call inside the function, or None. With one, the function has done its work (a generator may
        read what is in memory), and an error would lose it.
    """
    kind = UNFINISHED[type(result)]
    if last_call is not None and kind is not AWAITABLE:
        return
    if isinstance(result, CoroutineType):
        result.close()  # or Python would warn that nobody awaited it
    remedy = (
        "use call_async, or make it `async def` and use apply"
        if kind is AWAITABLE
        else "its code runs, and fails, outside the policy; guard the function that uses it"
    )
    raise ConfigurationError(f"{function!r} returned {kind}; {remedy}")
