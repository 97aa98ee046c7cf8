"""Fails a test that computes without an end, while it can still say where.

A test that waits for ever is stopped by `faulthandler_timeout`, and the process with it. A loop that never ends uses the
processor meanwhile, and that is measured apart from the time that passes: on a busy machine a test takes longer, but it
does not compute more. So the limit can be short. A loop in another thread that the test waits for is left to `faulthandler_timeout`:
Python runs handlers of signals in the main thread, which does not wake up for one that the other thread has received.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from types import FrameType

import pytest

LIMIT = 20.0  # seconds of the processor's time: no test computes for half of it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    # Windows has no such timer, and only the main thread may have a handler.
    if not hasattr(signal, "SIGPROF") or threading.current_thread() is not threading.main_thread():
        return (yield)
    before = signal.signal(signal.SIGPROF, _fail)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _fail(number: int, frame: FrameType | None) -> None:
    # Not an Exception, so that no handler of the code under test keeps it.
    pytest.fail(f"computed for {LIMIT:g} s: a loop without an end?")
