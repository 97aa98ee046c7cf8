"""For how long the machine stood still, and a second chance for the tests that it did that to.

A test of real connections has its time: a server that is silent for a tenth of a second, a deadline that a call
keeps to. On a machine that stops for as long, or gives its processors to others, such a test says nothing about
the client. So the time that passes unused is measured beside it. A test that fails while the machine went on
has failed; one that fails while the machine stood still is run again.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

_BEAT = 0.01  # seconds
_STILL = 0.1  # seconds in a test: less is what its time allows for
_RUNS = 3  # at most
_OF_REAL_TIME = frozenset({"world", "asyncio_world", "server", "tls_server", "runners"})  # fixtures

_again: list[str] = []


class Metronome:
    """Knows for how long the machine, or another thread of this process, kept everybody waiting."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
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
        """Seconds between these instants."""
        return sum(late for at, late in list(self._late) if started - late <= at <= ended)

    def __enter__(self) -> Metronome:
        self._thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._is_over.set()
        self._thread.join()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: Any, nextitem: Any) -> bool | None:
    if _OF_REAL_TIME.isdisjoint(getattr(item, "fixturenames", ())):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for run in range(_RUNS):
        if run:
            _again.append(item.nodeid)
            item._initrequest()
        started = time.monotonic()
        with Metronome() as metronome:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        still = metronome.stood_still(started, time.monotonic())
        if still < _STILL or not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name in _again:
        terminalreporter.write_line(f"run again, for the machine stood still: {name}")
