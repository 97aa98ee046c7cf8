"""What starts over in a forked child.

A fork copies the memory. What counts, counts on from the parent's numbers then: code that adds up the counts of all
processes (a scrape of preforked workers, say) would have those of the parent once for each child.
"""

from __future__ import annotations

import os
import time
import weakref
from contextlib import suppress
from types import TracebackType
from typing import Protocol

__all__ = ["ForkBarrier", "Resettable", "reset_in_forked_children"]

_PATIENCE = 1.0  # seconds for which a fork waits
_STEP = 0.001


class Resettable(Protocol):
    """Something of which a forked child must not go on with what its parent had."""

    def _reset_after_fork(self) -> None:
        """Called in the child, where only the thread that forked exists."""


def reset_in_forked_children(thing: Resettable) -> None:
    """Call the thing's `_reset_after_fork` in each forked child for as long as the thing lives."""
    _THINGS[id(thing)] = thing


_THINGS: weakref.WeakValueDictionary[int, Resettable] = weakref.WeakValueDictionary()  # some are not hashable


def _reset_all() -> None:
    for thing in list(_THINGS.values()):
        thing._reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)


class ForkBarrier:
    """A fork waits for the work in its `with` blocks, and new work for the fork. One for each module that needs it.

    A library in C may hold locks of its own during such work. A child has no thread that would release them: its first call
    of that library would wait for ever.

    There is no lock here: a signal handler may fork, or begin such work, in the middle of a block of its own thread.
    A fork in there waits for a second, and then goes on.
    """

    def __init__(self) -> None:
        self._works: list[None] = []  # as long as there are blocks; `append` and `pop` are atomic
        self._forks: list[None] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._forks.pop, after_in_child=self._after_in_child
            )

    def __enter__(self) -> None:
        until = None
        while True:
            self._works.append(None)
            if not self._forks:
                return
            until = until or time.monotonic() + _PATIENCE
            if time.monotonic() >= until:
                return
            self._works.pop()
            time.sleep(_STEP)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(IndexError):  # a signal handler has forked in this block, and this is the child
            self._works.pop()

    def _before(self) -> None:
        self._forks.append(None)
        until = time.monotonic() + _PATIENCE
        while self._works and time.monotonic() < until:
            time.sleep(_STEP)

    def _after_in_child(self) -> None:
        self._works.clear()
        self._forks.clear()
