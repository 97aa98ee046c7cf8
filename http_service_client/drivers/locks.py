"""A lock that a forked child does not inherit in a locked state, and waits for locks that Ctrl-C ends.

A fork copies the memory but not the threads: a lock that another thread held at that instant would stay
locked forever in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from threading import get_ident, main_thread
from time import monotonic
from typing import Any

__all__ = ["ForkSafeLock", "acquire_within"]

# Seconds that the main thread waits for a lock at a time. A signal's handler runs between two steps of that thread, and one that
# waits makes none. On Windows, Ctrl-C does not end such a wait. Elsewhere it does, unless it comes just before the wait begins.
_SLICE = 0.25 if os.name == "nt" else 1.0
_LONGEST = 3600.0  # of any thread: a lock takes no timeout without a limit


def acquire_within(lock: Any, timeout: float | None) -> bool:
    """Acquire a lock in at most `timeout` seconds (None: no limit). False if it was not released in time.

    Ctrl-C on the main thread ends the wait within a second.
    """
    if timeout is not None and timeout <= _SLICE:
        return lock.acquire(timeout=max(0.0, timeout))  # type: ignore[no-any-return]  # of any kind of lock
    longest = _SLICE if get_ident() == main_thread().ident else _LONGEST
    left = timeout
    while left is None or left > longest:
        began = monotonic()
        if lock.acquire(timeout=longest):
            return True
        if left is not None:
            left -= max(longest, monotonic() - began)  # it wakes a little late each time
    return lock.acquire(timeout=max(0.0, left))  # type: ignore[no-any-return]  # the same


class ForkSafeLock:
    """A reentrant lock that starts unlocked in a forked child.

    Reentrant, because the garbage collector may close an abandoned call between any two steps of a
    thread, including the thread that holds this lock. `with` finds the C lock's own methods in the
    slots, so it costs no more than the C lock.
    """

    __slots__ = ("__enter__", "__exit__", "__weakref__")

    def __init__(self) -> None:
        self._reset()
        _LOCKS.add(self)

    def _reset(self) -> None:
        lock = threading.RLock()
        self.__enter__ = lock.__enter__
        self.__exit__ = lock.__exit__

    def __deepcopy__(self, memo: object) -> ForkSafeLock:
        """Another lock: what it guards is a copy, too, and a copied one would not be reset in a child."""
        return ForkSafeLock()


_LOCKS: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _reset_all() -> None:
    for lock in list(_LOCKS):
        lock._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
