"""Measures for how long the machine stood still, and runs a test again that failed because of that.

A test of real connections depends on real time: a server pauses for a tenth of a second, a call must meet its
deadline. If the machine stops for as long, or gives its processors to others, such a test says nothing about the
client. So a thread beside the test measures the time that passed unused, and the kernel says for how long the test's
own thread was ready and had no processor. A test that fails while the machine was running has failed. A test that fails
while the machine stood still, or had no time for it, is run again.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

_BEAT = 0.01  # seconds
# Seconds during a test: half of the shortest timeout in one, since its own work takes time, too.
_STILL = 0.05
# Seconds for which a test's own thread was without a processor. Its servers and its client wait in turn.
_WITHOUT_PROCESSOR = 0.03
_RUNS = 3  # at most
# Tests in these folders, or with these fixtures, take real time.
_FOLDERS = frozenset({"network", "faults", "wire", "libraries", "parity", "frameworks"})
_FIXTURES = frozenset({"server", "tls_server", "runners"})

_run_again: list[str] = []


def _takes_real_time(item: Any) -> bool:
    folders = item.nodeid.partition("::")[0].split("/")
    return not (_FOLDERS.isdisjoint(folders) and _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())))


def _without_processor() -> float:
    """Seconds for which this thread was ready to run and did not, since it began. 0.0 where the kernel does not say so."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


class Metronome:
    """Measures for how long the machine, or another thread of this process, made all threads wait."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        self._without_processor = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._is_over.is_set():
            started = time.monotonic()
            self._is_over.wait(_BEAT)
            late = time.monotonic() - started - _BEAT
            if late > _BEAT:
                self._late.append((started, late))

    def stood_still(self, started: float, ended: float) -> float:
        """For how many seconds, between these instants."""
        return sum(late for at, late in list(self._late) if started - late <= at <= ended)

    def lost_time(self, started: float, ended: float) -> bool:
        """Whether a test between these instants, on the thread that entered, had to wait for the machine."""
        without_processor = _without_processor() - self._without_processor
        return self.stood_still(started, ended) >= _STILL or without_processor >= _WITHOUT_PROCESSOR

    def __enter__(self) -> Metronome:
        self._without_processor = _without_processor()
        self._thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._is_over.set()
        self._thread.join()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: Any, nextitem: Any) -> bool | None:
    if not _takes_real_time(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for run in range(_RUNS):
        if run:
            _run_again.append(item.nodeid)
            item._initrequest()
        started = time.monotonic()
        with Metronome() as metronome:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports) or not metronome.lost_time(started, time.monotonic()):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name in _run_again:
        terminalreporter.write_line(f"run again, since the machine stood still: {name}")
