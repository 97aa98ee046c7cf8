"""The waits on a lock that a longer wait consists of, on the main thread: between two of them a signal's handler can run."""

from __future__ import annotations

import _thread
import asyncio
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.core.effects import Acquire
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers import blocking, clocks, locks
from http_service_client.drivers.blocking import wait_for_grant
from http_service_client.drivers.clocks import SystemClock
from http_service_client.drivers.locks import ForkSafeLock, acquire_within
from http_service_client.drivers.portal import Portal


@pytest.fixture(autouse=True)
def whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same slices on every system."""
    monkeypatch.setattr(locks, "_SLICE", 1.0)


def waits_for(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch, grant_at: int | None = None, late: float = 0.0
) -> tuple[bool, list[float]]:
    """Whether the slot was granted, and how long each wait on the lock was.

    grant_at: the wait in which it comes.   late: seconds that each wait takes longer.
    """
    waits: list[float] = []
    waiter: Any = SimpleNamespace(notify=lambda release: None, is_granted=False)
    now = [0.0]

    class Lock:
        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is None:  # it is made locked
                return True
            assert len(waits) < 9
            waits.append(timeout)
            now[0] += timeout + late
            waiter.is_granted = len(waits) == grant_at
            return bool(waiter.is_granted)

        def release(self) -> None:
            pass

    monkeypatch.setattr(blocking, "threading", SimpleNamespace(Lock=Lock))
    monkeypatch.setattr(locks, "monotonic", lambda: now[0])
    return wait_for_grant(Acquire(waiter, timeout)), waits


def on_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    here = SimpleNamespace(ident=threading.get_ident())
    monkeypatch.setattr(locks, "main_thread", lambda: here)


@pytest.mark.parametrize(
    ("timeout", "grant_at", "outcome"),
    [
        (2.5, None, (False, [1.0, 1.0, 0.5])),
        (2.5, 2, (True, [1.0, 1.0])),
        (2.5, 3, (True, [1.0, 1.0, 0.5])),
        (2.0, None, (False, [1.0, 1.0])),
        (1.0, None, (False, [1.0])),
        (0.25, 1, (True, [0.25])),
        (-1.0, None, (False, [0.0])),
        (None, 4, (True, [1.0] * 4)),
    ],
)
def test_a_wait_is_cut_into_slices(
    timeout: float | None, grant_at: int | None, outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as long as the whole, and end with the grant; without a timeout there is no last one."""
    on_main_thread(monkeypatch)
    assert waits_for(timeout, monkeypatch, grant_at) == outcome


def test_slices_that_end_late_do_not_make_the_whole_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each of them took longer is taken off the rest."""
    on_main_thread(monkeypatch)
    assert waits_for(3.0, monkeypatch, late=0.25) == (False, [1.0, 1.0, 0.5])


@pytest.mark.parametrize(("timeout", "waits"), [(60.0, [60.0]), (None, [3600.0])])
def test_a_wait_of_another_thread_is_not_cut(
    timeout: float | None, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice costs a wake-up, and signals are handled on the main thread alone."""
    monkeypatch.setattr(locks, "main_thread", lambda: SimpleNamespace(ident=-1))
    assert waits_for(timeout, monkeypatch, grant_at=1) == (True, waits)


def wait_for_a_permit() -> None:
    """A wait that nothing ends."""
    semaphore = FairSemaphore(1, lock=ForkSafeLock())
    semaphore.try_acquire()
    wait_for_grant(Acquire(semaphore.acquire_later(), None))


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    acquire_within(lock, 3600.0)


def wait_for_a_coroutine() -> None:
    async def never() -> None:
        await asyncio.sleep(3600)

    portal = Portal()
    try:
        portal.run(never())
    finally:
        portal.stop()


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come there")
@pytest.mark.parametrize("wait", [wait_for_a_permit, wait_for_a_lock, wait_for_a_coroutine])
def test_an_interrupt_that_does_not_wake_the_thread_is_seen_soon(
    wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C just before the wait began: its handler was not called, and nothing ends the system's own wait."""
    monkeypatch.setattr(locks, "_SLICE", 0.02)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.1, _thread.interrupt_main)  # it marks the signal as arrived, and sends none
    try:
        with pytest.raises(KeyboardInterrupt):  # it may come just after the start
            timer.start()
            wait()
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def test_a_wait_that_the_system_refuses_is_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backoff may ask for thousands of years; `time.sleep` raises OverflowError for some of them."""
    slept: list[float] = []
    monkeypatch.setattr(clocks.time, "sleep", slept.append)
    for seconds in (0.0, 1e6, 2.5e6):
        SystemClock.sleep(seconds)
    assert slept == [0.0, 1e6, 1e6, 1e6, 0.5e6]
