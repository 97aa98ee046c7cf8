"""Code of the caller's under strategies: `with` blocks, and the blocks of a loop that repeats them.

The plan of the strategies is run until it asks for the `Body`. Then it is held, the block runs, and at the block's end the
plan goes on with its result or its error.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ..core.effects import Effect, Plan
from ..core.operation import Body, Stopped, shown

if TYPE_CHECKING:
    from ..drivers.aio import AsyncioDriver
    from ..drivers.blocking import BlockingDriver
    from ..drivers.on_trio import TrioDriver
    from ..drivers.simulated_functions import EffectAwaiter

__all__ = ["Attempt", "AttemptLoop", "Block", "EnteredBlocks"]

B = TypeVar("B")


_Entered: TypeAlias = "tuple[EnteredBlocks[Any], Any]"

# The blocks that the running code has entered, each with those of its policy. One variable for all policies: a context keeps
# each variable that was ever set in it, and a policy may be made for a single block.
_ENTERED: ContextVar[tuple[_Entered, ...]] = ContextVar("http_service_client.entered", default=())


class EnteredBlocks(Generic[B]):
    """The blocks of one policy that were entered and are not left yet, in all tasks and threads."""

    def __init__(self) -> None:
        self._open: dict[B, None] = {}

    def enter(self, block: B) -> None:
        """A block is entered."""
        entered = _ENTERED.get()
        if entered:  # a task may have those of the code that started it, which were left since
            entered = tuple([each for each in entered if each[1] in each[0]._open])
        _ENTERED.set((*entered, (self, block)))
        self._open[block] = None

    def leave(self, policy: object) -> B:
        """The block that is left now. Raises RuntimeError where none was entered.

        Each task leaves the block that it entered. A fixture or lifespan may leave its block in another context than it
        entered: then it is the last block that is open anywhere.
        """
        if not self._open:
            raise RuntimeError(f"{policy!r} was not entered")
        entered = _ENTERED.get()
        if entered and entered[-1][1] in self._open:  # nearly always
            block: B = entered[-1][1]
            _ENTERED.set(entered[:-1])
        else:
            own = [block for _, block in entered if block in self._open]
            block = (own or [*self._open])[-1]
            _ENTERED.set(tuple([each for each in entered if each[1] is not block]))
        del self._open[block]
        return block


class Block:
    """The plan around one block, or around each attempt of a loop.

    result: of the block, for conditions and breakers that judge results.
    """

    __slots__ = ("_asyncio", "_blocking", "_plan", "result")

    def __init__(
        self, plan: Plan[Any], blocking: BlockingDriver, asyncio: AsyncioDriver | EffectAwaiter | TrioDriver
    ) -> None:
        self._plan = plan
        self._blocking = blocking
        self._asyncio = asyncio
        self.result: Any = None

    def go_on(self, error: BaseException | None = None) -> bool:
        """Whether the block runs (again).   error: that ended it; None at the beginning, and when it ended without one."""
        try:
            return self._blocking.run(self._segment(error))
        finally:
            del error  # its traceback holds this frame

    async def go_on_async(self, error: BaseException | None = None) -> bool:
        """The same in a task."""
        try:
            return await self._asyncio.run(self._segment(error), is_call=False)
        finally:
            del error

    def close(self) -> None:
        """Leave the block without an end."""
        self._plan.close()

    def _segment(self, error: BaseException | None) -> Plan[bool]:
        """The plan until it asks for the body: True; or to its end: False."""
        plan, result, self.result = self._plan, self.result, None
        if isinstance(error, StopIteration):
            error = Stopped(error)
        try:
            effect: Effect[Any] = plan.send(result) if error is None else plan.throw(error)
            while type(effect) is not Body:
                try:
                    answer = yield effect
                except BaseException as raised:
                    effect = plan.throw(raised)
                else:
                    effect = plan.send(answer)
        except StopIteration:
            return False
        finally:
            del error  # its traceback holds this frame
        return True


class AttemptLoop:
    """The attempts of a loop: ``for attempt in pipeline.attempts(): with attempt: …``, or both of them async.

    new_block: makes the block, of the frame of the code that has the loop, and whether the loop is plain.
    """

    __slots__ = ("_new_block",)

    def __init__(self, new_block: Callable[[FrameType, bool], Block]) -> None:
        self._new_block = new_block

    def __iter__(self) -> Iterator[Attempt]:
        block = self._new_block(sys._getframe(1), True)
        number = 0
        try:
            goes_on = block.go_on()
            while goes_on:
                number += 1
                attempt = Attempt(block, number, is_async=False)
                yield attempt
                goes_on = attempt._goes_on()
        finally:
            block.close()

    async def __aiter__(self) -> AsyncIterator[Attempt]:
        block = self._new_block(sys._getframe(1), False)
        number = 0
        try:
            goes_on = await block.go_on_async()
            while goes_on:
                number += 1
                attempt = Attempt(block, number, is_async=True)
                yield attempt
                goes_on = attempt._goes_on()
        finally:
            block.close()


class Attempt:
    """One attempt of a loop, as a context manager. An error in its block is raised unless another attempt follows.

    number: 1-based.   result: of the attempt, for conditions that judge results; set it in the block.
    """

    __slots__ = ("_block", "_is_async", "_outcome", "number")

    def __init__(self, block: Block, number: int, is_async: bool) -> None:
        self._block = block
        self._is_async = is_async
        self._outcome: bool | None = None  # whether another attempt follows; None before its end
        self.number = number

    @property
    def result(self) -> Any:
        """What the attempt has come to, as far as it was set."""
        return self._block.result

    @result.setter
    def result(self, value: Any) -> None:
        self._block.result = value

    def __enter__(self) -> Attempt:
        if self._is_async:
            raise TypeError("write `async with attempt:` in an `async for` loop")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            self._outcome = self._block.go_on(error)
        except BaseException as raised:
            self._outcome = False
            if shown(raised) is error:
                return False
            if type(raised) is Stopped:  # of an attempt before
                raise raised.error from raised.error.__cause__
            raise
        else:
            return error is not None
        finally:
            del error  # its traceback holds this frame

    async def __aenter__(self) -> Attempt:
        if not self._is_async:
            raise TypeError("write `with attempt:` in a plain `for` loop, or `async for` around it")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            self._outcome = await self._block.go_on_async(error)
        except BaseException as raised:
            self._outcome = False
            if shown(raised) is error:
                return False
            if type(raised) is Stopped:  # of an attempt before
                raise raised.error from raised.error.__cause__
            raise
        else:
            return error is not None
        finally:
            del error  # its traceback holds this frame

    def _goes_on(self) -> bool:
        if self._outcome is None:
            how = "async with" if self._is_async else "with"
            raise RuntimeError(f"the loop's block must be inside `{how} attempt:`")
        return self._outcome
