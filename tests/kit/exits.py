"""Ends a process of pytest that a thread keeps alive after the last test.

A test that hangs is stopped by `faulthandler_timeout`. A thread that a test has left behind hangs the end of the process
instead, where nothing would stop it. pytest-xdist ends its workers by force; a single process has to do it itself.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time

import pytest


def _end_after(seconds: float) -> None:
    """End the process when it has tried for so long. As a daemon, this thread does not keep it alive itself."""
    threading.main_thread().join()
    time.sleep(seconds)
    assert sys.__stderr__ is not None
    print("a thread that a test has left behind keeps the process from its end:", file=sys.__stderr__)
    sys.__stderr__.flush()
    faulthandler.dump_traceback(sys.__stderr__)
    os._exit(1)


def patience(config: pytest.Config) -> float:
    """Seconds for which the process may take to end: as long as a test."""
    return float(config.getini("faulthandler_timeout"))


def pytest_unconfigure(config: pytest.Config) -> None:
    threading.Thread(target=_end_after, args=(patience(config),), daemon=True).start()
