"""Generators under strategies: each step, from one item to the next, is one guarded call.

A generator that has raised an exception cannot go on. So a step is repeated, from the beginning, only as long as nothing
was delivered: from then on, a retry passes the error on. Between two steps nothing is held: no permit, no deadline.
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
        self._has_failed = False
        self.has_delivered = False
        self.sent: Any = None
        self.thrown: BaseException | None = None

    def _begin(self) -> Any:
        if self._source is None or (
            (self._has_failed or _is_running(self._source)) and not self.has_delivered
        ):
            self._source, self._has_failed = self._make(), False
        return self._source

    def step(self) -> Any:
        source = self._begin()
        error, self.thrown = self.thrown, None
        try:
            return source.send(self.sent) if error is None else source.throw(error)
        except StopIteration as stop:
            return _End(stop.value)
        except BaseException:
            if source is self._source:  # else it was left behind in its thread
                self._has_failed = True
            raise
        finally:
            self.sent = None
            del error

    async def step_async(self) -> Any:
        source = self._begin()
        error, self.thrown = self.thrown, None
        try:
            return await (source.asend(self.sent) if error is None else source.athrow(error))
        except StopAsyncIteration:
            return _End(None)
        except BaseException:
            self._has_failed = True
            raise
        finally:
            self.sent = None
            del error

    def close(self) -> None:
        # One that was left behind in its thread ends there, at its next `yield`.
        if self._source is not None and not _is_running(self._source):
            self._source.close()

    async def close_async(self) -> None:
        if self._source is not None:
            await self._source.aclose()


def _is_running(source: Any) -> bool:
    """Whether a plain generator was left behind in its thread by a timeout, in the middle of a step."""
    return getattr(source, "gi_running", False) is True


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
