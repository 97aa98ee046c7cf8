"""Races of threads and event loops, in which no permit of the semaphore is lost or granted twice, and a model of it."""

from __future__ import annotations

import asyncio
import random
import threading

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.limits.semaphore import FairSemaphore, Waiter
from kit.fakes import LockWithQueue
from kit.semaphores import semaphore_of
from kit.threads import frequent_switches


def run_all(threads: list[threading.Thread]) -> None:
    with frequent_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads), "a thread is still waiting"


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
