"""The fair semaphore: its capacity, its queue, and races in which no permit is lost or granted twice."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.limits.semaphore import FairSemaphore, Waiter
from http_service_client.errors import ConfigurationError
from kit.fakes import LockWithQueue


def semaphore_of(capacity: int) -> FairSemaphore:
    return FairSemaphore(capacity, lock=threading.Lock())


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Threads switch every few microseconds, so that races become likely."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_all(threads: list[threading.Thread]) -> None:
    with frequent_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads), "a thread is still waiting"


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


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "10", None])
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


# ---- threads and loops


def test_acquire_later_decides_under_the_lock() -> None:
    """If another caller takes the last permit just before, this one waits."""
    lock = LockWithQueue()
    semaphore = FairSemaphore(1, lock=lock)
    lock.first = semaphore.acquire_later
    assert not semaphore.acquire_later().is_granted
    assert (semaphore.in_use, semaphore.waiting) == (1, 1)


def test_try_acquire_decides_under_the_lock() -> None:
    """If another caller takes the last permit just before, `try_acquire` returns False."""
    lock = LockWithQueue()
    semaphore = FairSemaphore(1, lock=lock)
    lock.first = semaphore.acquire_later
    assert not semaphore.try_acquire()
    assert semaphore.in_use == 1


def test_a_release_after_a_fork_reset_adds_no_permit() -> None:
    """When a forked child closes a stream of its parent, the number of free permits must not exceed the capacity."""
    semaphore = semaphore_of(2)
    assert semaphore.try_acquire()
    waiter, last = semaphore.acquire_later(), semaphore.acquire_later()
    semaphore.reset_after_fork()
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)
    semaphore.release()
    waiter.release()
    last.release()
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)


def test_a_release_without_a_waiter_object_decides_under_the_lock() -> None:
    """If another caller joins the queue just before, it gets the permit."""
    lock = LockWithQueue()
    semaphore = FairSemaphore(1, lock=lock)
    assert semaphore.try_acquire()
    lock.first = semaphore.acquire_later
    semaphore.release()
    assert (semaphore.in_use, semaphore.waiting) == (1, 0)


def test_a_release_of_a_waiter_decides_under_the_lock() -> None:
    """If a waiter is granted just before its cancellation, the permit goes to the next waiter."""
    lock = LockWithQueue()
    semaphore = FairSemaphore(1, lock=lock)
    holder, waiter, following = (
        semaphore.acquire_later(),
        semaphore.acquire_later(),
        semaphore.acquire_later(),
    )
    lock.first = holder.release
    waiter.release()
    assert following.is_granted
    assert (semaphore.in_use, semaphore.waiting) == (1, 0)


def test_notify_decides_under_the_lock() -> None:
    """If the waiter is granted just before `notify`, its callback is called at once."""
    lock = LockWithQueue()
    semaphore = FairSemaphore(1, lock=lock)
    holder, waiter = semaphore.acquire_later(), semaphore.acquire_later()
    notified: list[str] = []
    lock.first = holder.release
    waiter.notify(lambda: notified.append("granted"))
    assert notified == ["granted"]


def test_threads_never_hold_more_permits_than_the_capacity() -> None:
    """Sixteen threads share three permits, at most three hold one at a time, and all of them finish."""
    semaphore = semaphore_of(3)
    holding, most, guard = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(300):
            release = semaphore.release
            if not semaphore.try_acquire():
                granted = threading.Event()
                waiter = semaphore.acquire_later(granted.set)
                release = waiter.release
                if not waiter.is_granted:
                    granted.wait()
            with guard:
                holding[0] += 1
                most[0] = max(most[0], holding[0])
            with guard:
                holding[0] -= 1
            release()

    run_all([threading.Thread(target=work) for _ in range(16)])
    assert most[0] <= 3
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)


def test_no_permit_is_lost_or_granted_twice_when_grants_and_cancellations_race() -> None:
    """Waiters give up at any moment, and afterwards exactly the capacity can be acquired."""
    semaphore = semaphore_of(2)
    holding, most, guard = [0], [0], threading.Lock()

    def work(number: int) -> None:
        dice = random.Random(number)
        for _ in range(400):
            granted = threading.Event()
            waiter = semaphore.acquire_later(granted.set if dice.random() < 0.5 else None)
            if dice.random() < 0.5:
                waiter.notify(granted.set)
            if waiter.is_granted or granted.wait(dice.random() * 1e-4):
                with guard:
                    holding[0] += 1
                    most[0] = max(most[0], holding[0])
                with guard:
                    holding[0] -= 1
            waiter.release()
            waiter.release()

    run_all([threading.Thread(target=work, args=(number,)) for number in range(12)])
    assert most[0] <= 2
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)
    assert [semaphore.acquire_later().is_granted for _ in range(3)] == [True, True, False]


def test_a_cancellation_at_the_same_moment_as_a_grant_loses_no_permit() -> None:
    """A holder releases while the first waiter cancels: in either order the next waiter gets the permit."""
    for _ in range(300):
        semaphore = semaphore_of(1)
        holder, waiter, third = (
            semaphore.acquire_later(),
            semaphore.acquire_later(),
            semaphore.acquire_later(),
        )
        start = threading.Barrier(2)

        def release(waiter: Waiter, start: threading.Barrier = start) -> None:
            start.wait()
            waiter.release()

        run_all([threading.Thread(target=release, args=(waiter,)) for waiter in (holder, waiter)])
        assert third.is_granted
        assert (semaphore.in_use, semaphore.waiting) == (1, 0)


def test_tasks_of_two_loops_and_threads_share_one_semaphore() -> None:
    """Permits pass between threads and the tasks of two event loops, and every waiter gets its turn."""
    semaphore = semaphore_of(1)
    served: list[str] = []

    async def task(name: str) -> None:
        loop, granted = asyncio.get_running_loop(), asyncio.Event()
        waiter = semaphore.acquire_later(lambda: loop.call_soon_threadsafe(granted.set))
        try:
            if not waiter.is_granted:
                await granted.wait()
            served.append(name)
            await asyncio.sleep(0)
        finally:
            waiter.release()

    async def tasks(loop: int) -> None:
        await asyncio.gather(*(task(f"task {number} of loop {loop}") for number in range(50)))

    def thread() -> None:
        for number in range(50):
            granted = threading.Event()
            waiter = semaphore.acquire_later(granted.set)
            if not waiter.is_granted:
                granted.wait()
            served.append(f"thread {number}")
            waiter.release()

    run_all(
        [
            threading.Thread(target=asyncio.run, args=(tasks(1),)),
            threading.Thread(target=asyncio.run, args=(tasks(2),)),
            threading.Thread(target=thread),
        ]
    )
    # Each waiter was granted once; those of one loop, and of the thread, in the order in which they came.
    assert [name for name in served if name.endswith("loop 1")] == [f"task {n} of loop 1" for n in range(50)]
    assert [name for name in served if name.endswith("loop 2")] == [f"task {n} of loop 2" for n in range(50)]
    assert [name for name in served if name.startswith("thread")] == [f"thread {n}" for n in range(50)]
    assert len(served) == 150
    assert (semaphore.in_use, semaphore.waiting) == (0, 0)


# ---- the model


class SemaphoreMachine(RuleBasedStateMachine):
    """The semaphore compared with two lists: the holders, and the waiters in order."""

    @initialize(capacity=st.integers(1, 3))
    def begin(self, capacity: int) -> None:
        self.semaphore = semaphore_of(capacity)
        self.holders: list[int] = []
        self.queue: list[int] = []
        self.waiters: list[Waiter] = []
        self.notified: list[int] = []
        self.expected_notified: list[int] = []

    @rule()
    def request(self) -> None:
        number = len(self.waiters)
        self.waiters.append(self.semaphore.acquire_later(lambda: self.notified.append(number)))
        (self.holders if len(self.holders) < self.semaphore.capacity else self.queue).append(number)

    @rule(capacity=st.integers(1, 4))
    def resize(self, capacity: int) -> None:
        self.semaphore.resize(capacity)
        self.grant_free()

    def grant_free(self) -> None:
        while self.queue and len(self.holders) < self.semaphore.capacity:
            self.expected_notified.append(self.queue[0])
            self.holders.append(self.queue.pop(0))

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.waiters) - 1))
        self.waiters[number].release()
        if number in self.queue:
            self.queue.remove(number)
        elif number in self.holders:
            self.holders.remove(number)
            self.grant_free()

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "semaphore"):
            granted = [number for number, waiter in enumerate(self.waiters) if waiter.is_granted]
            assert granted == sorted(self.holders)
            assert (self.semaphore.in_use, self.semaphore.waiting) == (len(self.holders), len(self.queue))
            assert self.notified == self.expected_notified


TestSemaphoreMachine = SemaphoreMachine.TestCase
