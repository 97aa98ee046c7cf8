"""A lock that a forked child does not inherit in a locked state.

A fork copies the memory but not the threads: a lock that another thread held at that instant would stay
locked forever in the child.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["ForkSafeLock"]


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


_LOCKS: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _reset_all() -> None:
    for lock in list(_LOCKS):
        lock._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
