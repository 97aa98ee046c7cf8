"""`gather_in_threads(functions, at_once=20)`: many blocking calls, some of them at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar, overload

from ..core.checks import check_count, check_flag, suggests_arguments
from .gather import GATHER_RENAMED

__all__ = ["gather_in_threads", "run_in_threads"]

T = TypeVar("T")

_SLICE = 0.25 if os.name == "nt" else 1.0  # seconds of a wait at a time, as in `drivers.locks`


@overload
def gather_in_threads(
    functions: Iterable[Callable[[], T]], *, at_once: int = 20, return_exceptions: Literal[False] = False
) -> list[T]: ...
@overload
def gather_in_threads(
    functions: Iterable[Callable[[], T]], *, at_once: int = 20, return_exceptions: bool
) -> list[T | BaseException]: ...
@suggests_arguments(GATHER_RENAMED.get, several="write gather_in_threads([…])")
def gather_in_threads(
    functions: Iterable[Callable[[], Any]], *, at_once: int = 20, return_exceptions: bool = False
) -> list[Any]:
    """The results of many functions in their order, of which at most `at_once` run at a time, each in a thread.

    functions: without arguments, such as ``partial(client.get, url)``. The next one is taken, by the calling thread,
        only when it can start, so a generator may yield any number.
    at_once: how many may run at a time; >= 1.
    return_exceptions: True puts an exception among the results, in its place, and goes on.

    Each function sees the caller's context variables, and so its `deadline`. After the first exception no further
    function starts; those that run cannot be interrupted, so they are awaited before the exception is raised.
    Ctrl-C is raised at once. Calls that run then end with their own timeouts, and do not keep the process alive.

    Raises ConfigurationError for a wrong setting, TypeError for an item that is no plain function.
    """
    check_count("at_once", at_once)
    check_flag("return_exceptions", return_exceptions)
    return run_in_threads(functions, at_once, return_exceptions)


def run_in_threads(
    functions: Iterable[Callable[[], Any]],
    at_once: int,
    return_exceptions: bool = False,
    on_error: Callable[[], object] | None = None,
) -> list[Any]:
    """As `gather_in_threads`.

    on_error: called after the first exception, to end the functions that still run.
    """
    try:
        left = iter(functions)
    except TypeError:
        raise TypeError(
            f"gather_in_threads takes an iterable of functions, not {functions!r}; write gather_in_threads([…])"
        ) from None
    results: list[Any] = []
    ended: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
    running, is_over = 0, False
    error: BaseException | None = None
    try:
        while True:
            while not is_over and running < at_once:
                try:
                    function = next(left)
                    _check(function)
                except StopIteration:
                    is_over = True
                except Exception as raised:
                    error, is_over = raised, True
                    if on_error is not None:
                        on_error()
                else:
                    _start(function, len(results), ended)
                    results.append(None)
                    running += 1
            if not running:
                break
            number, value, raised_there = _wait(ended)
            running -= 1
            if raised_there is None or (return_exceptions and isinstance(raised_there, Exception)):
                results[number] = value if raised_there is None else raised_there
            elif error is None:
                error, is_over = raised_there, True
                if on_error is not None:
                    on_error()
            del value, raised_there
        if error is not None:
            raise error
        return results
    finally:
        del error  # its traceback holds this frame


def _start(function: Callable[[], Any], number: int, ended: SimpleQueue[Any]) -> None:
    """Call the function in a thread with this thread's context; on this thread where none can start."""
    context = copy_context()

    def work() -> None:
        value = error = None
        try:
            value = context.run(_call, function)
        except BaseException as raised:  # SystemExit, too, is for the caller
            error = raised
        ended.put((number, value, error))
        del value, error

    try:
        threading.Thread(target=work, name="http_service_client gather", daemon=True).start()
    except RuntimeError:  # the interpreter ends, or the system allows no more threads
        work()


def _check(function: Any) -> None:
    if not callable(function):
        remedy = "; pass functions, such as partial(client.get, url)"
        if hasattr(type(function), "__await__"):
            remedy = "; await gather(...) for awaitables"
        raise TypeError(f"gather_in_threads takes functions without arguments, not {function!r}{remedy}")


def _call(function: Callable[[], Any]) -> Any:
    value = function()
    if hasattr(type(value), "__await__"):
        if hasattr(value, "close"):
            value.close()  # or it would warn that it was never awaited
        raise TypeError(f"{function!r} is async; await gather(...) for async functions")
    return value


def _wait(ended: SimpleQueue[tuple[int, Any, BaseException | None]]) -> tuple[int, Any, BaseException | None]:
    while True:
        try:
            return ended.get(timeout=_SLICE)
        except Empty:
            pass
