"""How many threads there are at most, and how long waits take that no caller has asked for. Each number is a decision.

The limits of a process are in its documentation or its modules with their reasons; a change of one belongs in the changelog.
"""

from __future__ import annotations

import _thread
import os
import runpy
from collections import deque
from typing import Any

import pytest

from http_service_client.drivers import (
    aio,
    aio_timers,
    blocking,
    forks,
    garbage,
    imports,
    locks,
    portal,
    threads,
)
from http_service_client.drivers.threads import DaemonThreads
from kit.rows import each_row

THREADS = [
    pytest.param(aio.WORKERS, 32, 1.0, id="work of tasks, such as compression"),
    pytest.param(aio._DISPENSABLE, 32, 1.0, id="work that a call can do without"),
    pytest.param(blocking._BESIDE, 256, 0.0, id="plans that somebody waits for"),
    pytest.param(blocking._BEHIND, 64, 0.0, id="plans that nobody waits for"),
    pytest.param(blocking._BRANCHES, 512, 0.1, id="branches, such as hedges"),
    pytest.param(imports._THREADS, 8, 0.0, id="imports"),
]


@pytest.mark.parametrize(("pool", "most", "idle"), THREADS)
def test_a_process_has_no_more_threads_than_these(
    pool: DaemonThreads, most: int, idle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And keeps those without work for a second at most, since a fork may follow."""
    started: list[Any] = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda *about: started.append(about))
    for name, empty in {"_queue": deque(), "_workers": {}, "_waiting": deque()}.items():
        monkeypatch.setattr(pool, name, empty)
    while not pool.is_full:
        pool.start(lambda: None)
    pool.start(lambda: None)
    assert (len(started), len(pool._queue)) == (most, most + 1)
    assert pool._idle == idle
    pool._queue.clear()  # or threads would be started for it as those are freed


WAITS = [
    pytest.param(aio, "_LAST_WAIT", 0.5, id="a cancelled task waits for a thread that works for it"),
    pytest.param(aio_timers, "_FURTHEST", 60.0, id="a timeout further ahead is looked at again"),
    pytest.param(forks, "_PATIENCE", 1.0, id="a fork waits for an import, and an import for a fork"),
    pytest.param(forks, "_STEP", 0.001, id="and looks how they are"),
    pytest.param(garbage, "_EVERY", 30.0, id="garbage is collected again"),
    pytest.param(imports, "_PATIENCE", 5.0, id="a first call waits for its imports on a thread apart"),
    pytest.param(locks, "_LONGEST", 3600.0, id="a thread waits for a lock, and looks again"),
    pytest.param(portal, "_STOP_TIMEOUT", 5.0, id="a process that ends waits for user code on a portal"),
    pytest.param(threads, "_WAKING", 1.0, id="an idle thread waits for a start that was interrupted"),
]


@each_row(("module", "name", "seconds"), WAITS)
def test_waits_of_our_own_take_no_longer_than_these(module: Any, name: str, seconds: float) -> None:
    """In seconds."""
    assert getattr(module, name) == seconds


@pytest.mark.parametrize(("system", "seconds"), [("posix", 1.0), ("nt", 0.25)])
def test_the_main_thread_sees_a_signal_within_this_time(
    system: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows more often, where Ctrl-C never ends a wait; elsewhere it does, but for those that have not quite begun."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "name", system)
        found = runpy.run_path(str(locks.__file__))
    assert found["_SLICE"] == seconds
