"""What starts over in a forked child.

A fork copies the memory. What counts, counts on from the parent's numbers then: whoever adds up the counts of all
processes (a scrape of preforked workers, say) would have those of the parent once for each child.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Resettable", "reset_in_forked_children"]


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
