"""Threads that take turns every few microseconds, so that races show."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

__all__ = ["run_threads"]


def run_threads(work: Callable[[int], object], count: int = 16) -> None:
    """Call `work` with the numbers from 0, each on its own thread, and wait until all have ended."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
