"""Garbage that holds connection slots: streams that were dropped in a reference cycle.

The collector of Python runs when many objects are made. Threads that only wait for a slot make none.
"""

from __future__ import annotations

import gc
import time

__all__ = ["collect_garbage"]

# Seconds: a collection takes about 0.4 s for each million objects, during which nothing else runs.
_EVERY = 30.0

_last_at: float | None = None


def collect_garbage() -> None:
    """Collect garbage, unless that was done a moment ago."""
    global _last_at
    now = time.monotonic()
    if _last_at is None or now - _last_at >= _EVERY:
        _last_at = now
        gc.collect()
