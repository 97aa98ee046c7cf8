"""`Waiter.interrupt`: a caller stops waiting although nothing was granted, and still releases its waiter."""

from __future__ import annotations

import threading

from http_service_client.core.machines.limits.semaphore import FairSemaphore


def taken() -> FairSemaphore:
    limit = FairSemaphore(1, lock=threading.RLock())
    limit.try_acquire()
    return limit


def test_an_interrupted_waiter_is_notified_once_and_holds_nothing() -> None:
    """Also if its turn comes before it is released: then it passes the permit on."""
    limit, calls = taken(), []
    waiter = limit.acquire_later(lambda: calls.append("called"))
    waiter.interrupt()
    waiter.interrupt()
    assert (calls, waiter.is_granted) == (["called"], False)
    limit.release()
    assert calls == ["called"]
    waiter.release()
    assert (limit.in_use, limit.waiting) == (0, 0)


def test_a_waiter_that_is_interrupted_before_it_waits_does_not_wait() -> None:
    """The caller made it, but has not said yet how to reach it."""
    limit, calls = taken(), []
    waiter = limit.acquire_later()
    waiter.interrupt()
    waiter.notify(lambda: calls.append("called"))
    assert calls == ["called"]
    waiter.release()
    assert (limit.in_use, limit.waiting) == (1, 0)


def test_an_interrupt_changes_nothing_for_a_waiter_with_a_permit() -> None:
    """It has stopped waiting already."""
    limit = FairSemaphore(1, lock=threading.RLock())
    waiter = limit.acquire_later()
    waiter.interrupt()
    assert waiter.is_granted
    waiter.release()
    assert limit.in_use == 0


def test_an_interrupt_of_a_caller_that_is_gone_raises_nothing() -> None:
    """Its event loop is closed, say: the others must be interrupted, too."""
    limit = taken()

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    waiter = limit.acquire_later(gone)
    waiter.interrupt()
    waiter.release()
    assert limit.waiting == 0


def test_an_interrupted_waiter_is_not_called_again_for_its_grant() -> None:
    """Nor by a second interrupt: its caller is leaving."""
    limit, calls = taken(), []
    waiter = limit.acquire_later()
    waiter.interrupt()
    waiter.notify(lambda: calls.append("called"))
    waiter.interrupt()
    limit.release()
    assert (calls, waiter.is_granted) == (["called"], True)


def test_a_waiter_that_was_released_calls_nobody() -> None:
    """And keeps no frame of its caller."""
    limit, calls = taken(), []
    waiter = limit.acquire_later()
    waiter.release()
    waiter.interrupt()
    waiter.notify(lambda: calls.append("called"))
    assert (calls, waiter._on_grant) == ([], None)
