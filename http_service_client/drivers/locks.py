"""A lock that a forked child does not inherit in a locked state.

A fork copies the memory, not the threads: a lock that another thread held at that instant would stay
locked for ever in the child.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """A reentrant lock; in a forked child it begins unlocked.

    Reentrant, because the garbage collector may close an abandoned call between any two steps of a
    thread, this lock's holder included. `with` finds the C lock's own methods in the slots, so it
    costs what the C lock costs.
    """

    __slots__ = ("__enter__", "__exit__", "__weakref__")

    def __init__(self) -> None:
        self._renew()
        _LOCKS.add(self)

    def _renew(self) -> None:
        lock = threading.RLock()
        self.__enter__ = lock.__enter__
        self.__exit__ = lock.__exit__


_LOCKS: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_LOCKS):
        lock._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
