"""`with deadline(2.0):` limits every call inside the block."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Token

from ..core.checks import check_duration
from ..core.deadline import AMBIENT_DEADLINE, Deadline, earliest

__all__ = ["deadline"]


class deadline:  # reads as a statement: `with deadline(2.0):`
    """Every call inside the block ends within this many seconds, waits and retries included.

    seconds: from entering the block; > 0.  Of nested deadlines, the earliest holds.
    Works in plain and async code, in tasks started inside, and in `asyncio.to_thread`; in a thread pool
    only by ``pool.submit(contextvars.copy_context().run, ...)``.

    One object limits one block at a time; entering it again inside raises RuntimeError.
    Raises ConfigurationError for a duration that is not a positive, finite number.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        check_duration("deadline", seconds, optional=False)
        self._seconds = seconds
        self._clock = clock
        self._token: Token[Deadline | None] | None = None
        self._at: float | None = None

    def remaining(self) -> float:
        """Seconds left inside the block; negative when the deadline has passed.

        Raises RuntimeError before the block is entered.
        """
        if self._at is None:
            raise RuntimeError("this deadline has not begun; enter it first: `with deadline(2.0) as limit:`")
        return self._at - self._clock()

    def __enter__(self) -> deadline:
        if self._token is not None:
            raise RuntimeError("this deadline is in use; make one for each block: `with deadline(2.0):`")
        at = earliest(self._seconds, self._clock)
        assert at is not None
        self._at = at
        self._token = AMBIENT_DEADLINE.set(Deadline(at, self._clock))
        return self

    def __repr__(self) -> str:
        left = f", {self.remaining():.3f} s left" if self._token is not None else ""
        return f"<deadline of {self._seconds:g} s{left}>"

    def __exit__(self, *exception: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                AMBIENT_DEADLINE.reset(token)
            except ValueError:
                pass  # the coroutine is being closed from another context
