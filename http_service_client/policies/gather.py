"""`await gather(calls, at_once=20)`: many calls in asyncio, some of them at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar, overload

from ..core.checks import check_count, check_flag, remedies, suggests_arguments

__all__ = ["GATHER_RENAMED", "gather"]

T = TypeVar("T")
Item = Awaitable[T] | Callable[[], Awaitable[T]]

GATHER_RENAMED = remedies(
    {
        "it is called at_once": "concurrency limit max_concurrency max_concurrent max_workers semaphore workers",
        "write 'with deadline(…)' around it": "timeout total_timeout",
    }
)


@overload
async def gather(
    awaitables: Iterable[Item[T]] | AsyncIterable[Item[T]],
    *,
    at_once: int = 20,
    return_exceptions: Literal[False] = False,
) -> list[T]: ...
@overload
async def gather(
    awaitables: Iterable[Item[T]] | AsyncIterable[Item[T]],
    *,
    at_once: int = 20,
    return_exceptions: bool,
) -> list[T | BaseException]: ...
@suggests_arguments(GATHER_RENAMED.get, several="write gather([…]), or gather(… for … in …)")
async def gather(
    awaitables: Iterable[Item[Any]] | AsyncIterable[Item[Any]],
    *,
    at_once: int = 20,
    return_exceptions: bool = False,
) -> list[Any]:
    """The results of many awaitables in their order, of which at most `at_once` run at a time.

    awaitables: an iterable or an async iterable of awaitables, or of functions without arguments that return one.
        The next one is taken only when it can start, so a generator may yield any number.
    at_once: how many may run at a time; >= 1. Awaitables that are tasks already run, whatever it says.
    return_exceptions: True puts an exception among the results, in its place, and goes on.

    Each runs in a task of its own, with the caller's context, deadline included. On the first exception the others
    are cancelled and awaited, those that have not started are closed, and the exception is raised. The same happens
    when `gather` itself is cancelled. An exception of the iterable is always raised.

    Raises ConfigurationError for a wrong setting, TypeError for an item that cannot be awaited.
    """
    source = _Source(awaitables)
    tasks = _Tasks(return_exceptions)
    item = _NOT_YET
    try:
        check_count("at_once", at_once)
        check_flag("return_exceptions", return_exceptions)
        while True:
            while len(tasks.running) < at_once and (item := source.next_item(tasks.wake)) is not _NOT_YET:
                tasks.start(item)
            if source.is_exhausted and not tasks.running:
                return tasks.results
            await tasks.change()
            tasks.raise_error()
    except BaseException as error:
        if isinstance(error, GeneratorExit):  # this coroutine is being closed and must not await
            tasks.cancel()
        else:
            await tasks.end()
            await source.close()
        raise
    finally:
        del item  # the task that failed, perhaps: the error's traceback holds this frame


_NOT_YET: Any = object()


class _Tasks:
    """The tasks of one `gather`, and their results.

    running: those that have not ended.
    """

    def __init__(self, keeps_errors: bool) -> None:
        self.results: list[Any] = []
        self.running: set[asyncio.Future[Any]] = set()
        self._keeps_errors = keeps_errors
        self._error: BaseException | None = None
        self._changed: asyncio.Future[None] | None = None

    def start(self, item: Any) -> None:
        if hasattr(type(item), "__await__"):
            task = asyncio.ensure_future(item)
        elif callable(item):
            task = asyncio.ensure_future(_call(item))
        else:
            raise TypeError(f"gather takes awaitables, or functions that return one, not {item!r}")
        number = len(self.results)
        self.results.append(None)
        self.running.add(task)
        task.add_done_callback(lambda task: self._finish(number, task))

    def _finish(self, number: int, task: asyncio.Future[Any]) -> None:
        self.running.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self.results[number] = task.result()
        elif self._keeps_errors:
            self.results[number] = error
        elif self._error is None:
            self._error = error
        self.wake()

    def wake(self, _: object = None) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def change(self) -> None:
        """Wait until a task has ended, or the next item is there."""
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    def raise_error(self) -> None:
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback holds this frame

    def cancel(self) -> None:
        for task in self.running:
            task.cancel()

    async def end(self) -> None:
        """Cancel the tasks that are left and wait for them, however often this is cancelled itself.

        They are cancelled once: a second time would interrupt their clean-up.
        """
        cancelled = None
        self.cancel()
        while self.running:
            try:
                await asyncio.wait(self.running)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class _Source:
    """The items that have not been started.

    is_exhausted: there are none left.
    """

    def __init__(self, items: Any) -> None:
        self.is_exhausted = False
        self._items: Any
        self._is_async = hasattr(type(items), "__aiter__")
        if self._is_async:
            self._items = aiter(items)
        elif hasattr(type(items), "__iter__"):
            self._items = iter(items)
        else:
            if inspect.iscoroutine(items):
                items.close()
            raise TypeError(f"gather takes an iterable of awaitables, not {items!r}; write gather([...])")
        # Of a list, the coroutines that never start are closed. An iterator would only make more of them.
        self._is_stored = self._items is not items
        self._coming: asyncio.Future[Any] | None = None  # the next item of an async iterable

    def next_item(self, on_arrival: Callable[[object], None]) -> Any:
        """The next item; _NOT_YET if there is none, or it is still to come, and then `on_arrival` is called."""
        if self.is_exhausted:
            return _NOT_YET
        try:
            if not self._is_async:
                return next(self._items)
            if self._coming is None:
                self._coming = asyncio.ensure_future(_next_of(self._items))
                self._coming.add_done_callback(on_arrival)
            if not self._coming.done():
                return _NOT_YET
            coming, self._coming = self._coming, None
            try:
                item = coming.result()
            finally:
                del coming  # it holds the error, whose traceback holds this frame
            if item is not _NOT_YET:
                return item
        except StopIteration:
            pass
        self.is_exhausted = True
        return _NOT_YET

    async def close(self) -> None:
        """Close what has not started."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])
            if not self._coming.cancelled() and self._coming.exception() is None:
                _close(self._coming.result())
        if self._is_async:
            if hasattr(self._items, "aclose"):
                await self._items.aclose()
        elif self._is_stored:
            for item in self._items:
                _close(item)
        else:
            _close(self._items)


async def _call(function: Callable[[], Any]) -> Any:
    value = function()
    if not hasattr(type(value), "__await__"):
        raise TypeError(
            f"{function!r} returned {value!r}, which cannot be awaited; call plain functions by gather_in_threads"
        )
    return await value


async def _next_of(items: AsyncIterator[Any]) -> Any:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _NOT_YET


def _close(item: Any) -> None:
    """Close a coroutine or a generator. A coroutine that is dropped instead warns that it was never awaited."""
    if inspect.iscoroutine(item) or inspect.isgenerator(item):
        item.close()
