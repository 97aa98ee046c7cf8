"""Work in a forked child."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable

import pytest

__all__ = ["in_a_child", "needs_fork"]


def in_a_child(work: Callable[[], None]) -> int:
    """The exit code of a forked child that does the work."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork in a process with threads, which is the point here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    for _ in range(2000):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        threading.Event().wait(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
