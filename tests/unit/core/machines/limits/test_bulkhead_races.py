"""Races for a permit of the bulkhead, in which none is lost or granted twice."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import OrderedDict

import pytest

from http_service_client import Priority
from http_service_client.core.effects import Acquire
from http_service_client.core.machines.limits.bulkhead import Bulkhead, BulkheadPermit
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.drivers.blocking import wait_for_grant
from kit.bulkheads import CRITICAL, LOW, bulkhead_of, held, waiter
from kit.fakes import LockWithQueue


@pytest.mark.parametrize("comes", ["before", "after"])
def test_a_caller_that_joins_during_a_release_gets_the_permit(comes: str) -> None:
    """A release takes no lock while nobody waits. One who joins at that instant finds the permit free, or is found."""
    bulkhead = bulkhead_of(1)
    first = held(bulkhead)
    joined: list[BulkheadPermit] = []

    class Holders(set[BulkheadPermit]):
        def discard(self, permit: BulkheadPermit) -> None:
            if comes == "before" and not joined:
                joined.append(waiter(bulkhead))
            super().discard(permit)
            if comes == "after" and not joined:
                joined.append(bulkhead.permit())
                assert joined[0].wait_later() is None

    bulkhead.rest.holders = Holders(bulkhead.rest.holders)
    first.release()
    assert joined[0].is_granted
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


def test_a_waiter_that_is_granted_while_it_leaves_passes_its_permit_on() -> None:
    """The lock decides: the grant came first."""
    lock = LockWithQueue()
    bulkhead = Bulkhead(BulkheadSettings(max_concurrent=1, max_waiting=2), lock=lock)
    holder, first, second = held(bulkhead), waiter(bulkhead), waiter(bulkhead)
    lock.first = holder.release
    first.release()
    assert (first.is_granted, second.is_granted, bulkhead.in_use) == (False, True, 1)


def test_a_caller_that_is_granted_while_it_joins_is_not_refused() -> None:
    """Though the queue is too long: it became shorter, and the collector releases a permit just then."""
    bulkhead, collected = bulkhead_of(1, max_waiting=5), list[BulkheadPermit]()
    holder = held(bulkhead)
    for _ in range(4):
        waiter(bulkhead, LOW)
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=1, max_waiting=2))

    class Queue(OrderedDict[BulkheadPermit, None]):
        def __setitem__(self, permit: BulkheadPermit, value: None) -> None:
            super().__setitem__(permit, value)
            while collected:
                collected.pop().release()

    bulkhead.rest.queue = Queue(bulkhead.rest.queue)
    collected.append(holder)
    caller = bulkhead.permit()
    assert caller.wait_later(CRITICAL) is None
    assert (caller.is_granted, caller.is_held, bulkhead.in_use) == (True, True, 1)


class Collecting(set[BulkheadPermit]):
    """Holders among which the collector runs, once, as one is added."""

    def __init__(self, holders: set[BulkheadPermit], collected: BulkheadPermit) -> None:
        super().__init__(holders)
        self.collected = [collected]

    def add(self, permit: BulkheadPermit) -> None:
        while self.collected:
            self.collected.pop().release()
        super().add(permit)


def test_a_waiter_that_ends_while_it_is_granted_holds_nothing() -> None:
    """Its permit is free, or the next one's."""
    bulkhead = bulkhead_of(1, max_waiting=2)
    holder, first, second = held(bulkhead), waiter(bulkhead), waiter(bulkhead)
    bulkhead.rest.holders = Collecting(bulkhead.rest.holders, first)
    holder.release()
    assert (first.is_held, second.is_held, bulkhead.in_use) == (False, True, 1)


def test_a_waiter_that_is_granted_twice_holds_one_permit() -> None:
    """Another permit is released as it is granted one: that is free."""
    bulkhead = bulkhead_of(2, max_waiting=2)
    first, second, only = held(bulkhead), held(bulkhead), waiter(bulkhead)
    bulkhead.rest.holders = Collecting(bulkhead.rest.holders, second)
    first.release()
    assert (only.is_granted, only.is_held, bulkhead.in_use) == (True, True, 1)


def test_a_permit_that_was_not_acquired_has_nothing_to_release() -> None:
    """An interrupt may come before the first step."""
    bulkhead = bulkhead_of(1)
    holder = held(bulkhead)
    bulkhead.permit().release()
    assert (bulkhead.in_use, holder.is_held) == (1, True)


def test_a_permit_that_becomes_free_before_the_wait_is_taken() -> None:
    """Between `try_acquire` and `wait_later`, another call ended."""
    bulkhead = bulkhead_of(1, max_waiting=0)
    first, second = held(bulkhead), bulkhead.permit()
    assert not second.try_acquire()
    first.release()
    assert second.wait_later() is None
    assert (second.is_granted, bulkhead.in_use) == (True, 1)


def test_a_waiter_that_leaves_is_skipped() -> None:
    """It may leave from the middle of the queue, and is never notified."""
    bulkhead, notified = bulkhead_of(1, max_waiting=9), list[int]()
    holder = held(bulkhead)
    queue = [waiter(bulkhead) for _ in range(3)]
    for number, each in enumerate(queue):
        each.notify(lambda number=number: notified.append(number))  # type: ignore[misc]
    queue[1].release()
    queue[0].release()
    assert bulkhead.waiting == 1
    holder.release()
    assert (notified, bulkhead.in_use, bulkhead.waiting) == ([2], 1, 0)


def test_a_granted_waiter_that_gives_up_passes_its_permit_on() -> None:
    """The grant came just before the cancellation."""
    bulkhead = bulkhead_of(1, max_waiting=2)
    holder, first, second = held(bulkhead), waiter(bulkhead), waiter(bulkhead)
    holder.release()
    assert first.is_granted
    first.release()
    assert second.is_granted
    second.release()
    assert bulkhead.in_use == 0
    assert bulkhead.is_idle


def test_the_permit_of_a_waiter_that_cannot_be_reached_goes_to_the_next() -> None:
    """A thousand may have gone with their event loop."""
    bulkhead = bulkhead_of(1, max_waiting=2000)

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    holder = held(bulkhead)
    unreachable = [waiter(bulkhead) for _ in range(1000)]
    for each in unreachable:
        each.notify(gone)
    last = waiter(bulkhead)
    holder.release()
    assert last.is_granted
    assert not any(each.is_granted for each in unreachable)
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


def test_threads_and_tasks_of_several_loops_share_one_bulkhead() -> None:
    """No more than there are permits run at once, none is lost, and everybody has a turn."""
    bulkhead = Bulkhead(BulkheadSettings(max_concurrent=3, max_waiting=1000), lock=threading.RLock())
    running, most, turns, lock = 0, 0, 0, threading.Lock()

    def begin() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)

    def end() -> None:
        nonlocal running, turns
        with lock:
            running -= 1
            turns += 1

    def in_threads(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            permit = bulkhead.permit()
            try:
                if permit.try_acquire() or (
                    permit.wait_later(chance.choice(list(Priority))) is None
                    and wait_for_grant(Acquire(permit, chance.choice([5.0, 5.0, 1e-6])))
                ):
                    begin()
                    end()
            finally:
                permit.release()

    async def task(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(20):
            permit, granted = bulkhead.permit(), asyncio.Event()
            try:
                if not permit.try_acquire():
                    assert permit.wait_later(chance.choice(list(Priority))) is None
                    loop = asyncio.get_running_loop()
                    permit.notify(lambda loop=loop, granted=granted: loop.call_soon_threadsafe(granted.set))  # type: ignore[misc]
                    await asyncio.wait_for(granted.wait(), 5)
                begin()
                await asyncio.sleep(0)
                end()
            finally:
                permit.release()

    async def tasks() -> None:
        await asyncio.gather(*map(task, range(20)))

    threads = [threading.Thread(target=in_threads, args=(seed,)) for seed in range(4)]
    threads += [threading.Thread(target=asyncio.run, args=(tasks(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert bulkhead.is_idle
    assert most <= 3
    assert turns >= 2 * 20 * 20
