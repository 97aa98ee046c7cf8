"""Under gevent and eventlet, many greenlets share a thread, and what asyncio keeps for each thread."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["is_running_here"]


def is_running_here(loop: Any) -> bool:
    """Whether this code is run by the event loop that `asyncio._get_running_loop()` returned; False for None.

    Where the standard library is patched, each greenlet sees the loop that another one of its thread runs, such as the
    portal's. The loop itself remembers its "thread" by a patched function, whose result differs for each greenlet.
    uvloop does not tell; it does not run under these libraries.
    """
    return loop is not None and getattr(loop, "_thread_id", None) in (None, threading.get_ident())
