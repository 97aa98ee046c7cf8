"""Generators under strategies: each step, from one item to the next, is one guarded call.

A generator that has raised an exception cannot go on. So a step is repeated, from the beginning, only as long as nothing
was delivered: from then on, a retry passes the error, or the item, on. Between two steps nothing is held: no permit, no deadline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

__all__ = ["guarded_async_items", "guarded_items", "is_step"]


class _End:
    """The end of a generator, and what it returned."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Steps:
    """What is sent to a generator, plain or async, and what comes of it.   make: makes the generator."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._source: Any = None
        self.has_delivered = False
        self.sent: Any = None
        self.thrown: BaseException | None = None

    def step(self) -> Any:
        if not self.has_delivered:
            self.close()
            self._source = self._make()
        error, self.thrown = self.thrown, None
        try:
            return self._source.send(self.sent) if error is None else self._source.throw(error)
        except StopIteration as stop:
            return _End(stop.value)
        finally:
            del error  # its traceback holds this frame

    async def step_async(self) -> Any:
        if not self.has_delivered:
            await self.close_async()
            self._source = self._make()
        error, self.thrown = self.thrown, None
        try:
            return await (self._source.asend(self.sent) if error is None else self._source.athrow(error))
        except StopAsyncIteration:
            return _End(None)
        finally:
            del error

    def close(self) -> None:
        # One that a timeout left behind in its thread, in the middle of a step, ends there at its next `yield`.
        if self._source is not None and not self._source.gi_running:
            self._source.close()

    async def close_async(self) -> None:
        if self._source is not None:
            await self._source.aclose()


def guarded_items(
    function: Callable[..., Any], run: Callable[[Callable[[], Any], bool], Any]
) -> Callable[..., Any]:
    """The generator function.   run: runs a step under the strategies; the second argument is `Operation.may_repeat`."""

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = _Steps(lambda: function(*args, **kwargs))
        try:
            while True:
                item = run(steps.step, not steps.has_delivered)
                if type(item) is _End:
                    return item.value
                steps.has_delivered = True
                try:
                    steps.sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:
                    steps.thrown = error
        finally:
            steps.close()

    return guarded


def guarded_async_items(
    function: Callable[..., Any], run: Callable[[Callable[[], Any], bool], Awaitable[Any]]
) -> Callable[..., Any]:
    """The async generator function."""

    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps = _Steps(lambda: function(*args, **kwargs))
        try:
            while True:
                item = await run(steps.step_async, not steps.has_delivered)
                if type(item) is _End:
                    return
                steps.has_delivered = True
                try:
                    steps.sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:
                    steps.thrown = error
        finally:
            await steps.close_async()

    return guarded


def is_step(args: tuple[Any, ...]) -> bool:
    """Whether a guarded call with these arguments is a step of a generator."""
    return bool(args) and isinstance(getattr(args[0], "__self__", None), _Steps)
