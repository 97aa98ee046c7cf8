"""A latch: closed until it is opened, and then open for everyone."""

from __future__ import annotations

import threading

from http_service_client.core.machines.limits.semaphore import Latch


def test_a_latch_grants_all_waiters_when_it_opens() -> None:
    """Each is woken once; a second opening does nothing."""
    latch, woken = Latch(lock=threading.RLock()), list[str]()
    waiters = [latch.wait_later() for _ in range(3)]
    for name, waiter in zip("abc", waiters, strict=True):
        waiter.notify(lambda name=name: woken.append(name))  # type: ignore[misc]
    assert not latch.is_open
    assert repr(latch) == "<Latch closed, 3 waiting>"
    assert [waiter.is_granted for waiter in waiters] == [False] * 3
    latch.open()
    latch.open()
    assert latch.is_open
    assert repr(latch) == "<Latch open, 0 waiting>"
    assert [waiter.is_granted for waiter in waiters] == [True] * 3
    assert woken == ["a", "b", "c"]


def test_an_open_latch_lets_everyone_pass() -> None:
    """Also one who comes later, and who is not remembered."""
    latch, woken = Latch(lock=threading.RLock()), list[None]()
    latch.open()
    waiter = latch.wait_later()
    waiter.notify(lambda: woken.append(None))
    assert waiter.is_granted
    assert woken == [None]
    assert repr(latch) == "<Latch open, 0 waiting>"


def test_who_leaves_is_not_woken() -> None:
    """Nor remembered."""
    latch, woken = Latch(lock=threading.RLock()), list[None]()
    waiter = latch.wait_later()
    waiter.notify(lambda: woken.append(None))
    waiter.release()
    assert repr(latch) == "<Latch closed, 0 waiting>"
    assert repr(waiter).startswith("<Waiter released")
    assert waiter._on_grant is None, "it would hold the frame of its caller"
    latch.open()
    assert woken == []
    assert not waiter.is_granted
