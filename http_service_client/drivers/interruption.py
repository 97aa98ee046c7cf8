"""Ends what a thread waits for, when another thread asks for it: the blocking counterpart of cancelling a task.

A blocking wait cannot be cancelled from outside; only what it waits for can be ended. So each wait of ours says how, for as long as
it lasts: a wait for a permit is interrupted, a socket is shut down, a coroutine on a portal's loop is cancelled. The wait
then raises `CancelledError`, as it does at once when it begins after the interruption.

The interruption of a thread is a context variable, so that it also holds for the coroutines that a portal runs for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

__all__ = ["INTERRUPTION", "Interruption", "cancelled", "interruptible"]


class Interruption:
    """Of one branch of a blocking call.

    is_set: it was interrupted, and waits for nothing any more.
    lock: held while the functions are called. None of them is called once `remove` has returned: by then its socket may belong to
        another call. Reentrant, since the collector may run meanwhile and close an abandoned plan that removes its own.
    """

    __slots__ = ("_ends", "is_set", "lock")

    def __init__(self) -> None:
        self.is_set = False
        self.lock = threading.RLock()
        self._ends: list[Callable[[], object]] = []

    def set(self) -> None:
        """End the wait that goes on now, and all later ones. It does not wait itself."""
        self.is_set = True  # first: a wait that begins now sees it, or its function is called
        with self.lock:
            for end in list(self._ends):
                with suppress(Exception):  # the wait has just ended by itself
                    end()

    def add(self, end: Callable[[], object]) -> None:
        """A wait begins.   end: ends it, from any thread, and does not wait. Raises CancelledError if it must not begin."""
        with self.lock:
            self._ends.append(end)
        if self.is_set:
            self.remove(end)
            raise cancelled()

    def remove(self, end: Callable[[], object]) -> None:
        """The wait is over. A second time does nothing."""
        with self.lock, suppress(ValueError):
            self._ends.remove(end)


INTERRUPTION: ContextVar[Interruption | None] = ContextVar("http_service_client.interruption", default=None)
"""Of the branch that the running code is a part of; None outside of branches."""


def cancelled() -> BaseException:
    """What a wait that was interrupted raises. A program whose calls are never interrupted need not import asyncio."""
    from asyncio import CancelledError

    return CancelledError()


@contextmanager
def interruptible(end: Callable[[], object]) -> Iterator[None]:
    """A block that waits. Raises CancelledError when it is interrupted.   end: see `Interruption.add`."""
    interruption = INTERRUPTION.get()
    if interruption is None:
        yield
        return
    interruption.add(end)
    try:
        yield
    finally:
        interruption.remove(end)
        if interruption.is_set:  # whatever the wait came to
            raise cancelled() from None
