"""The fair semaphore: its capacity, its queue, and a garbage collector that runs between two steps."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.core.machines.limits.semaphore import FairSemaphore, Waiter
from http_service_client.errors import ConfigurationError
from kit.rows import each_row
from kit.semaphores import semaphore_of


def test_a_free_permit_is_granted_at_once() -> None:
    """The waiter is granted when it is returned, and `on_grant` is not called."""
    semaphore, notified = semaphore_of(2), []
    waiters = [semaphore.acquire_later(lambda: notified.append("granted")) for _ in range(2)]
    assert [waiter.is_granted for waiter in waiters] == [True, True]
    assert (semaphore.capacity, semaphore.in_use, semaphore.waiting) == (2, 2, 0)
    assert notified == []


def test_permits_that_are_passed_on_are_counted() -> None:
    """Each once. One that was free, and a waiter that left the queue, are not."""
    semaphore = semaphore_of(2)
    waiters = [semaphore.acquire_later() for _ in range(6)]
    counts = [semaphore.grants]
    waiters.pop(4).release()  # it gives up
    for waiter in waiters:
        waiter.release()
        counts.append(semaphore.grants)
    assert counts == [0, 1, 2, 3, 3, 3]
    assert semaphore.try_acquire()
    assert semaphore.grants == 3


def test_more_permits_are_granted_to_those_that_wait() -> None:
    """In their order, and notified; what is left is free."""
    semaphore, notified = semaphore_of(1), list[int]()
    waiters = [semaphore.acquire_later(lambda n=n: notified.append(n)) for n in range(4)]
    semaphore.resize(3)
    assert [waiter.is_granted for waiter in waiters] == [True, True, True, False]
    assert notified == [1, 2]
    semaphore.resize(5)
    assert (semaphore.in_use, semaphore.waiting, notified) == (4, 0, [1, 2, 3])
    assert semaphore.try_acquire()
    assert not semaphore.try_acquire()


def test_fewer_permits_hold_once_those_beyond_them_are_released() -> None:
    """Nobody loses a permit, and nobody is granted one that is no more."""
    semaphore = semaphore_of(3)
    first = [semaphore.acquire_later() for _ in range(2)]
    assert semaphore.try_acquire()
    last = semaphore.acquire_later()
    semaphore.resize(1)
    first[0].release()
    semaphore.release()
    assert (semaphore.in_use, semaphore.waiting, last.is_granted) == (1, 1, False)
    first[1].release()
    assert (semaphore.in_use, semaphore.waiting, last.is_granted) == (1, 0, True)
    last.release()
    assert semaphore.in_use == 0
    with pytest.raises(ConfigurationError, match="capacity"):
        semaphore.resize(0)


def test_a_permit_can_be_acquired_without_a_waiter() -> None:
    """`try_acquire` takes a free permit; if it returns False, the caller holds nothing and is not queued."""
    semaphore = semaphore_of(1)
    assert semaphore.try_acquire()
    assert not semaphore.try_acquire()
    assert (semaphore.in_use, semaphore.waiting) == (1, 0)
    semaphore.release()
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)
    assert semaphore.try_acquire()


def test_a_released_permit_goes_to_the_first_waiter() -> None:
    """The permit is never free in between, and a waiter that cannot be notified is skipped."""
    semaphore, notified = semaphore_of(1), []

    def unreachable() -> None:
        raise RuntimeError("Event loop is closed")

    assert semaphore.try_acquire()
    semaphore.acquire_later(unreachable)
    first = semaphore.acquire_later(lambda: notified.append(semaphore.try_acquire()))
    second = semaphore.acquire_later()
    semaphore.release()
    assert (first.is_granted, second.is_granted, notified) == (True, False, [False])
    assert (semaphore.in_use, semaphore.waiting) == (1, 1)


def test_waiters_are_granted_in_order_of_arrival() -> None:
    """The queue is first in, first out, and each waiter is notified once."""
    semaphore, notified = semaphore_of(1), []
    holder = semaphore.acquire_later()
    waiters = [semaphore.acquire_later(lambda number=number: notified.append(number)) for number in range(3)]  # type: ignore[misc]
    assert (semaphore.in_use, semaphore.waiting) == (1, 3)
    for waiter in [holder, *waiters]:
        assert waiter.is_granted
        waiter.release()
        assert not waiter.is_granted
    assert notified == [0, 1, 2]
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)


def test_a_new_caller_cannot_overtake_the_queue() -> None:
    """A released permit belongs to the first waiter before another caller can request it."""
    semaphore = semaphore_of(1)
    holder, waiter = semaphore.acquire_later(), semaphore.acquire_later()
    holder.release()
    assert not semaphore.acquire_later().is_granted
    assert waiter.is_granted


def test_a_waiter_that_leaves_the_queue_is_skipped() -> None:
    """A waiter may leave from anywhere in the queue and is never notified."""
    semaphore, notified = semaphore_of(1), []
    holder = semaphore.acquire_later()
    waiters = [semaphore.acquire_later(lambda number=number: notified.append(number)) for number in range(3)]  # type: ignore[misc]
    waiters[1].release()
    waiters[0].release()
    assert semaphore.waiting == 1
    holder.release()
    assert notified == [2]
    assert waiters[2].is_granted


@pytest.mark.parametrize("times", [2, 5])
def test_releasing_again_changes_nothing(times: int) -> None:
    """A second release does nothing, for a holder as for a waiter."""
    semaphore = semaphore_of(2)
    one, other, waiter = semaphore.acquire_later(), semaphore.acquire_later(), semaphore.acquire_later()
    for _ in range(times):
        waiter.release()
        one.release()
    assert (semaphore.in_use, semaphore.waiting) == (1, 0)
    assert other.is_granted


def test_a_waiter_cancelled_after_its_grant_passes_the_permit_on() -> None:
    """If a waiter gives up just after its grant, its release grants the permit to the next waiter."""
    semaphore = semaphore_of(1)
    holder, late, following = semaphore.acquire_later(), semaphore.acquire_later(), semaphore.acquire_later()
    holder.release()
    assert late.is_granted
    late.release()
    assert following.is_granted


def test_waiters_are_notified_outside_the_lock() -> None:
    """`on_grant` may use the semaphore."""
    semaphore = semaphore_of(1)
    holder = semaphore.acquire_later()
    waiter: list[Waiter] = []
    waiter.append(semaphore.acquire_later(lambda: waiter[0].release()))
    holder.release()
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)


def test_a_permit_skips_all_waiters_that_cannot_be_notified() -> None:
    """The permit reaches the first reachable waiter, however many are gone, and `release` does not raise."""

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    semaphore, notified = semaphore_of(1), []
    holder = semaphore.acquire_later()
    dead = [semaphore.acquire_later(gone) for _ in range(sys.getrecursionlimit() + 100)]
    alive = semaphore.acquire_later(lambda: notified.append("alive"))
    holder.release()
    assert alive.is_granted
    assert notified == ["alive"]
    assert not any(waiter.is_granted for waiter in dead)
    alive.release()
    assert semaphore.in_use == 0


def test_a_permit_that_nobody_can_be_given_is_free() -> None:
    """All that wait are gone."""

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    semaphore = semaphore_of(1)
    holder = semaphore.acquire_later()
    for _ in range(3):
        semaphore.acquire_later(gone)
    holder.release()
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)


def test_a_waiter_can_be_released_as_soon_as_it_is_made() -> None:
    """Its caller holds the release before anything else happens, whether it is granted or waits."""
    semaphore, held = semaphore_of(1), list[Callable[[], None]]()
    waiters = [semaphore.acquire_later(None, held) for _ in range(2)]
    assert [waiter.is_granted for waiter in waiters] == [True, False]
    for release in reversed(held):
        release()
    assert (len(held), semaphore.in_use, semaphore.waiting) == (2, 0, 0)


def test_notify_calls_at_once_if_the_permit_is_already_granted() -> None:
    """The last callback counts: called at once after a grant, at the grant before it, never after a release."""
    semaphore, notified = semaphore_of(1), []
    holder, waiter = semaphore.acquire_later(), semaphore.acquire_later()
    holder.notify(lambda: notified.append("holder"))
    assert notified == ["holder"]
    waiter.notify(lambda: notified.append("replaced"))
    waiter.notify(lambda: notified.append("waiter"))
    holder.release()
    assert notified == ["holder", "waiter"]
    waiter.release()
    waiter.notify(lambda: notified.append("never"))
    assert notified == ["holder", "waiter"]


def test_a_waiter_drops_its_callback_when_it_no_longer_waits() -> None:
    """After a release or a grant the waiter drops `on_grant`, and with it the frame of its caller."""
    semaphore = semaphore_of(1)
    holder = semaphore.acquire_later()
    waiter = semaphore.acquire_later(lambda: None)
    waiter.release()
    assert waiter._on_grant is None
    granted = semaphore.acquire_later(lambda: None)
    holder.release()
    assert granted._on_grant is None


@each_row("wrong", [0, -1, 1.5, True, "10", None])
def test_an_invalid_capacity_is_rejected(wrong: Any) -> None:
    """The message names the field, the rejected value and what is allowed."""
    with pytest.raises(
        ConfigurationError, match=f"capacity must be a whole number of 1 or more, not {wrong!r}"
    ):
        semaphore_of(wrong)


def test_reprs_show_the_state() -> None:
    """The reprs of a semaphore and its waiters name what is in use, waiting, granted and released."""
    semaphore = semaphore_of(1)
    holder, waiter = semaphore.acquire_later(), semaphore.acquire_later()
    assert repr(semaphore) == "<FairSemaphore 1 of 1 in use, 1 waiting>"
    assert repr(holder) == f"<Waiter granted of {semaphore!r}>"
    assert repr(waiter) == f"<Waiter waiting of {semaphore!r}>"
    waiter.release()
    assert repr(waiter) == f"<Waiter released of {semaphore!r}>"


# ---- the collector, which may close an abandoned stream wherever something is made


class Collecting(OrderedDict[Waiter, None]):
    """A queue in whose midst the collector runs, once for each of its acts."""

    def __init__(self) -> None:
        super().__init__()
        self.arriving: list[Callable[[], None]] = []
        self.joining: list[Callable[[], None]] = []
        self.leaving: list[Callable[[], None]] = []

    def __setitem__(self, waiter: Waiter, value: None) -> None:
        while self.arriving:
            self.arriving.pop()()
        super().__setitem__(waiter, value)
        while self.joining:
            self.joining.pop()()

    def popitem(self, last: bool = True) -> tuple[Waiter, None]:
        while self.leaving:
            self.leaving.pop()()
        return super().popitem(last)


def collecting(capacity: int) -> tuple[FairSemaphore, Collecting]:
    """A semaphore with all its permits held."""
    semaphore, queue = FairSemaphore(capacity, lock=threading.RLock()), Collecting()
    semaphore._queue = queue
    while semaphore.try_acquire():
        pass
    return semaphore, queue


def test_a_permit_that_is_released_while_a_waiter_joins_is_its_own() -> None:
    """And a second one is free."""
    semaphore, queue = collecting(2)
    queue.joining = [semaphore.release, semaphore.release]
    waiter = semaphore.acquire_later()
    assert (waiter.is_granted, semaphore.in_use, semaphore.waiting) == (True, 1, 0)


def test_a_permit_that_becomes_free_before_a_waiter_joins_is_taken() -> None:
    """It would wait for nothing."""
    semaphore, queue = collecting(1)
    queue.arriving = [semaphore.release]
    waiter = semaphore.acquire_later(lambda: None)
    assert (waiter.is_granted, waiter._on_grant, semaphore.in_use, semaphore.waiting) == (True, None, 1, 0)


def test_a_waiter_is_granted_one_permit_of_two_that_are_released() -> None:
    """The second release, in the midst of the first, finds it first."""
    semaphore, queue = collecting(2)
    waiter = semaphore.acquire_later()
    queue.leaving = [semaphore.release]
    semaphore.release()
    assert (waiter.is_granted, semaphore.in_use, semaphore.waiting) == (True, 1, 0)


def test_a_larger_capacity_finds_that_a_waiter_has_been_granted() -> None:
    """By a release in its midst."""
    semaphore, queue = collecting(1)
    waiter = semaphore.acquire_later()
    queue.leaving = [semaphore.release]
    semaphore.resize(2)
    assert (waiter.is_granted, semaphore.in_use, semaphore.waiting) == (True, 1, 0)
