"""`with deadline(2.0):` limits every call inside the block."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.checks import check_duration
from ..core.deadline import AMBIENT_DEADLINE, Deadline, virtual_instants
from ..drivers.clocks import check_seconds
from ..errors import ConfigurationError
from .generators import pause_of

__all__ = ["deadline"]

_NO_DECORATOR = "deadline limits a block, not a function; write `with deadline(2.0):` inside the function"


class deadline:  # reads as a statement: `with deadline(2.0):`
    """Every call inside the block ends within this many seconds, waits and retries included.

    seconds: from entering the block; > 0.  Of nested deadlines, the earliest holds.
    Works in plain and async code, in tasks started inside until the block is left, and in `asyncio.to_thread`; in a
    thread pool only by ``pool.submit(contextvars.copy_context().run, ...)``.

    Around a `yield`, it limits the block of a context manager (`contextlib.contextmanager`, a pytest fixture, an
    ``async def`` dependency of FastAPI). In any other generator it limits the generator's own calls, and not those of
    the code that iterates over it. A block that limited no call, though there were some, warns (RuntimeWarning).

    clock: monotonic seconds. With the system's clock, calls of clients on a `testing.VirtualClock` go by that one.

    One object limits one block at a time; entering it again inside raises RuntimeError.
    Raises ConfigurationError for a duration that is not a positive, finite number.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if callable(seconds):
            raise TypeError(_NO_DECORATOR)
        if seconds is None:
            raise ConfigurationError(
                "deadline must be a number of seconds, not None; for no limit, leave the block out"
            )
        check_duration("deadline", seconds, optional=False)
        check_seconds(clock)
        self._seconds = seconds
        self._clock = clock
        self._block: Deadline | None = None

    if not TYPE_CHECKING:  # type checkers say that it cannot be called

        def __call__(self, *args, **kwargs):
            """Say what to write in place of `@deadline(2.0)`."""
            raise TypeError(_NO_DECORATOR)

        async def __aenter__(self):
            raise TypeError(
                "a deadline is entered in asyncio, too, by `with deadline(2.0):`, not by `async with`"
            )

        async def __aexit__(self, *about):  # without it, Python refuses the block with words of its own
            pass

    def remaining(self) -> float:
        """Seconds left inside the block; negative when the deadline has passed.

        Raises RuntimeError before the block is entered.
        """
        if self._block is None:
            raise RuntimeError("this deadline has not begun; enter it first: `with deadline(2.0) as limit:`")
        self._block.was_used = True
        return self._block.least_remaining()

    def __enter__(self) -> deadline:
        self._begin(pause_of(sys._getframe(1)))
        return self

    def _begin(self, is_paused: Callable[[], bool] | None) -> None:
        """Enter the block.   is_paused: see `Deadline`."""
        if self._block is not None and not self._block.has_ended:
            raise RuntimeError("this deadline is in use; make one for each block: `with deadline(2.0):`")
        seconds, clock = self._seconds, self._clock
        virtual = virtual_instants(seconds) if clock is time.monotonic else None
        self._block = block = Deadline(clock() + seconds, clock, AMBIENT_DEADLINE.get(), virtual, is_paused)
        AMBIENT_DEADLINE.set(block)

    def _end(self) -> None:
        """Leave the block."""
        block = self._block
        if block is not None and not block.has_ended:
            block.has_ended = True  # first, and here: Ctrl-C may come before a function has begun
            block.forget()
            # Elsewhere in the meantime: another context, or a block that was entered later and is not left yet.
            if AMBIENT_DEADLINE.get() is block:
                AMBIENT_DEADLINE.set(block.outer)

    def __exit__(self, kind: type[BaseException] | None = None, *about: object) -> None:
        block, loss = self._block, None
        if block is not None and not block.was_used and kind is not GeneratorExit:
            loss = _loss_of(block)
        self._end()
        if loss is not None:
            warnings.warn(
                f"deadline({self._seconds:g}) limited no call: {loss}", RuntimeWarning, stacklevel=2
            )

    def __repr__(self) -> str:
        is_running = self._block is not None and not self._block.has_ended
        left = (
            f", {self._block.least_remaining():.3f} s left" if self._block is not None and is_running else ""
        )
        return f"<deadline of {self._seconds:g} s{left}>"


def _loss_of(block: Deadline) -> str | None:
    """Why a block limited no call, though calls were made that look as if they were inside, and the remedy."""
    if block.was_skipped:
        return "calls outside its generator are not inside; decorate the generator with contextlib.contextmanager"
    around = AMBIENT_DEADLINE.get()
    while around is not None and around is not block:
        around = around.outer
    if around is block:
        return None
    return (
        "its block was left in another context than it was entered in, as in a plain generator dependency of "
        "FastAPI; make the generator async, or enter the deadline where the calls are made"
    )
