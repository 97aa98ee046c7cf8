"""The limit: so many places, a fair queue, and no place lost or doubled in any race."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.semaphore import FairSemaphore, Waiter
from http_service_client.errors import ConfigurationError
from kit.fakes import LockWithQueue


def limit_of(capacity: int) -> FairSemaphore:
    return FairSemaphore(capacity, lock=threading.Lock())


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Threads take turns every few microseconds, so that races show."""
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
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"


def test_a_free_place_is_granted_at_once() -> None:
    """Without calling `on_grant`: the ticket says so itself."""
    limit, told = limit_of(2), []
    tickets = [limit.acquire_later(lambda: told.append("granted")) for _ in range(2)]
    assert [ticket.is_granted for ticket in tickets] == [True, True]
    assert (limit.capacity, limit.in_use, limit.waiting) == (2, 2, 0)
    assert told == []


def test_a_place_without_a_ticket() -> None:
    """Who need not wait enters and leaves; who cannot enter holds nothing, and is not in the queue."""
    limit = limit_of(1)
    assert limit.try_acquire()
    assert not limit.try_acquire()
    assert (limit.in_use, limit.waiting) == (1, 0)
    limit.release()
    assert (limit.in_use, limit.waiting) == (0, 0)
    assert limit.try_acquire()


def test_who_leaves_gives_the_place_to_the_first_in_the_queue() -> None:
    """Without its being free in between; a waiter that is beyond reach is passed over."""
    limit, told = limit_of(1), []

    def unreachable() -> None:
        raise RuntimeError("Event loop is closed")

    assert limit.try_acquire()
    limit.acquire_later(unreachable)
    first = limit.acquire_later(lambda: told.append(limit.try_acquire()))
    second = limit.acquire_later()
    limit.release()
    assert (first.is_granted, second.is_granted, told) == (True, False, [False])
    assert (limit.in_use, limit.waiting) == (1, 1)


def test_waiters_are_served_in_the_order_they_came() -> None:
    """First come, first served, and each told once."""
    limit, told = limit_of(1), []
    holder = limit.acquire_later()
    waiters = [limit.acquire_later(lambda number=number: told.append(number)) for number in range(3)]  # type: ignore[misc]
    assert (limit.in_use, limit.waiting) == (1, 3)
    for ticket in [holder, *waiters]:
        assert ticket.is_granted
        ticket.release()
        assert not ticket.is_granted
    assert told == [0, 1, 2]
    assert (limit.in_use, limit.waiting) == (0, 0)


def test_a_newcomer_cannot_slip_past_the_queue() -> None:
    """A released place belongs to the first waiter before anybody can ask for it."""
    limit = limit_of(1)
    holder, waiter = limit.acquire_later(), limit.acquire_later()
    holder.release()
    assert not limit.acquire_later().is_granted
    assert waiter.is_granted


def test_a_waiter_that_leaves_the_queue_is_passed_over() -> None:
    """From the middle, too; it is never told."""
    limit, told = limit_of(1), []
    holder = limit.acquire_later()
    waiters = [limit.acquire_later(lambda number=number: told.append(number)) for number in range(3)]  # type: ignore[misc]
    waiters[1].release()
    waiters[0].release()
    assert limit.waiting == 1
    holder.release()
    assert told == [2]
    assert waiters[2].is_granted


@pytest.mark.parametrize("times", [2, 5])
def test_releasing_again_changes_nothing(times: int) -> None:
    """A place is given back once, by holders and waiters alike."""
    limit = limit_of(2)
    one, other, waiter = limit.acquire_later(), limit.acquire_later(), limit.acquire_later()
    for _ in range(times):
        waiter.release()
        one.release()
    assert (limit.in_use, limit.waiting) == (1, 0)
    assert other.is_granted


def test_a_grant_that_crosses_a_cancel_is_passed_on() -> None:
    """The waiter gave up just after it was granted: its release hands the place to the next."""
    limit = limit_of(1)
    holder, late, following = limit.acquire_later(), limit.acquire_later(), limit.acquire_later()
    holder.release()
    assert late.is_granted
    late.release()
    assert following.is_granted


def test_waiters_are_told_outside_the_lock() -> None:
    """`on_grant` may use the limit."""
    limit = limit_of(1)
    holder = limit.acquire_later()
    waiter: list[Waiter] = []
    waiter.append(limit.acquire_later(lambda: waiter[0].release()))
    holder.release()
    assert (limit.in_use, limit.waiting) == (0, 0)


def test_a_waiter_that_cannot_be_told_loses_its_turn_not_the_place() -> None:
    """However many are beyond reach, the place gets to one who is not, and the releaser hears nothing."""

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    limit, told = limit_of(1), []
    holder = limit.acquire_later()
    dead = [limit.acquire_later(gone) for _ in range(sys.getrecursionlimit() + 100)]
    alive = limit.acquire_later(lambda: told.append("alive"))
    holder.release()
    assert alive.is_granted
    assert told == ["alive"]
    assert not any(ticket.is_granted for ticket in dead)
    alive.release()
    assert limit.in_use == 0


def test_notify_tells_at_once_when_the_place_is_granted_already() -> None:
    """Whoever asks late misses nothing."""
    limit, told = limit_of(1), []
    holder, waiter = limit.acquire_later(), limit.acquire_later()
    holder.notify(lambda: told.append("holder"))
    assert told == ["holder"]
    waiter.notify(lambda: told.append("first wish"))
    waiter.notify(lambda: told.append("waiter"))
    holder.release()
    assert told == ["holder", "waiter"]
    waiter.release()
    waiter.notify(lambda: told.append("never"))
    assert told == ["holder", "waiter"]


def test_a_waiter_that_left_is_not_kept_alive_by_its_callback() -> None:
    """The ticket lets go of `on_grant`, and with it of the waiter's frame."""
    limit = limit_of(1)
    holder = limit.acquire_later()
    waiter = limit.acquire_later(lambda: None)
    waiter.release()
    assert waiter._on_grant is None
    granted = limit.acquire_later(lambda: None)
    holder.release()
    assert granted._on_grant is None


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "10", None])
def test_a_wrong_capacity_is_refused(wrong: Any) -> None:
    """The message names the field, the value, and what to write instead."""
    with pytest.raises(
        ConfigurationError, match=f"capacity must be a whole number of 1 or more, not {wrong!r}"
    ):
        limit_of(wrong)


def test_reprs_tell_the_state() -> None:
    """A limit and a ticket in a debugger explain themselves."""
    limit = limit_of(1)
    holder, waiter = limit.acquire_later(), limit.acquire_later()
    assert repr(limit) == "<FairSemaphore 1 of 1 in use, 1 waiting>"
    assert repr(holder) == f"<Waiter granted of {limit!r}>"
    assert repr(waiter) == f"<Waiter waiting of {limit!r}>"
    waiter.release()
    assert repr(waiter) == f"<Waiter released of {limit!r}>"


# ---- threads and loops


def test_a_request_is_decided_under_the_lock() -> None:
    """Another caller takes the last place just before: this one waits."""
    lock = LockWithQueue()
    limit = FairSemaphore(1, lock=lock)
    lock.first = limit.acquire_later
    assert not limit.acquire_later().is_granted
    assert (limit.in_use, limit.waiting) == (1, 1)


def test_an_entry_is_decided_under_the_lock() -> None:
    """Another caller takes the last place just before: there is none."""
    lock = LockWithQueue()
    limit = FairSemaphore(1, lock=lock)
    lock.first = limit.acquire_later
    assert not limit.try_acquire()
    assert limit.in_use == 1


def test_a_place_that_was_vacated_is_not_given_back_once_more() -> None:
    """A forked child that closes a stream of its parent's has no more places for that than there are."""
    limit = limit_of(2)
    assert limit.try_acquire()
    ticket = limit.acquire_later()
    limit.reset_after_fork()
    assert limit.in_use == 0
    limit.release()
    ticket.release()
    assert limit.in_use == 0


def test_a_leave_is_decided_under_the_lock() -> None:
    """Another caller queues just before: the place is its own."""
    lock = LockWithQueue()
    limit = FairSemaphore(1, lock=lock)
    assert limit.try_acquire()
    lock.first = limit.acquire_later
    limit.release()
    assert (limit.in_use, limit.waiting) == (1, 0)


def test_a_release_is_decided_under_the_lock() -> None:
    """The waiter is granted just before its cancel: the place goes on to the next."""
    lock = LockWithQueue()
    limit = FairSemaphore(1, lock=lock)
    holder, waiter, following = limit.acquire_later(), limit.acquire_later(), limit.acquire_later()
    lock.first = holder.release
    waiter.release()
    assert following.is_granted
    assert (limit.in_use, limit.waiting) == (1, 0)


def test_a_notify_is_decided_under_the_lock() -> None:
    """The waiter is granted just before it asks to be told: it is told at once."""
    lock = LockWithQueue()
    limit = FairSemaphore(1, lock=lock)
    holder, waiter = limit.acquire_later(), limit.acquire_later()
    told: list[str] = []
    lock.first = holder.release
    waiter.notify(lambda: told.append("granted"))
    assert told == ["granted"]


def test_threads_never_hold_more_places_than_there_are() -> None:
    """Sixteen threads, three places, every one gets its turn."""
    limit = limit_of(3)
    holding, most, guard = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(300):
            give_back = limit.release
            if not limit.try_acquire():
                granted = threading.Event()
                ticket = limit.acquire_later(granted.set)
                give_back = ticket.release
                if not ticket.is_granted:
                    granted.wait()
            with guard:
                holding[0] += 1
                most[0] = max(most[0], holding[0])
            with guard:
                holding[0] -= 1
            give_back()

    run_all([threading.Thread(target=work) for _ in range(16)])
    assert most[0] <= 3
    assert (limit.in_use, limit.waiting) == (0, 0)


def test_no_place_is_lost_or_doubled_when_grants_and_cancels_race() -> None:
    """Waiters that give up at any moment, holders released by two threads at once."""
    limit = limit_of(2)
    in_hand, most, guard = [0], [0], threading.Lock()

    def work(number: int) -> None:
        dice = random.Random(number)
        for _ in range(400):
            granted = threading.Event()
            ticket = limit.acquire_later(granted.set if dice.random() < 0.5 else None)
            if dice.random() < 0.5:
                ticket.notify(granted.set)
            if ticket.is_granted or granted.wait(dice.random() * 1e-4):
                with guard:
                    in_hand[0] += 1
                    most[0] = max(most[0], in_hand[0])
                with guard:
                    in_hand[0] -= 1
            ticket.release()
            ticket.release()

    run_all([threading.Thread(target=work, args=(number,)) for number in range(12)])
    assert most[0] <= 2
    assert (limit.in_use, limit.waiting) == (0, 0)
    assert [limit.acquire_later().is_granted for _ in range(3)] == [True, True, False]


def test_the_cancel_that_meets_the_grant_at_the_very_moment() -> None:
    """A holder releases while the waiter cancels; in either order the place ends with the third."""
    for _ in range(300):
        limit = limit_of(1)
        holder, waiter, third = limit.acquire_later(), limit.acquire_later(), limit.acquire_later()
        start = threading.Barrier(2)

        def release(ticket: Waiter, start: threading.Barrier = start) -> None:
            start.wait()
            ticket.release()

        run_all([threading.Thread(target=release, args=(ticket,)) for ticket in (holder, waiter)])
        assert third.is_granted
        assert (limit.in_use, limit.waiting) == (1, 0)


def test_tasks_of_two_loops_and_threads_share_one_limit() -> None:
    """Places pass between worlds; nobody is forgotten."""
    limit = limit_of(1)
    served: list[str] = []

    async def task(name: str) -> None:
        loop, granted = asyncio.get_running_loop(), asyncio.Event()
        ticket = limit.acquire_later(lambda: loop.call_soon_threadsafe(granted.set))
        try:
            if not ticket.is_granted:
                await granted.wait()
            served.append(name)
            await asyncio.sleep(0)
        finally:
            ticket.release()

    async def tasks() -> None:
        await asyncio.gather(*(task("task") for _ in range(50)))

    def thread() -> None:
        for _ in range(50):
            granted = threading.Event()
            ticket = limit.acquire_later(granted.set)
            if not ticket.is_granted:
                granted.wait()
            served.append("thread")
            ticket.release()

    run_all(
        [
            threading.Thread(target=asyncio.run, args=(tasks(),)),
            threading.Thread(target=asyncio.run, args=(tasks(),)),
            threading.Thread(target=thread),
        ]
    )
    assert sorted(served) == ["task"] * 100 + ["thread"] * 50
    assert (limit.in_use, limit.waiting) == (0, 0)


# ---- the model


class LimitMachine(RuleBasedStateMachine):
    """Against two plain lists: who holds, and who waits, in order."""

    @initialize(capacity=st.integers(1, 3))
    def begin(self, capacity: int) -> None:
        self.limit = limit_of(capacity)
        self.holders: list[int] = []
        self.queue: list[int] = []
        self.tickets: list[Waiter] = []
        self.told: list[int] = []
        self.expected_told: list[int] = []

    @rule()
    def request(self) -> None:
        number = len(self.tickets)
        self.tickets.append(self.limit.acquire_later(lambda: self.told.append(number)))
        (self.holders if len(self.holders) < self.limit.capacity else self.queue).append(number)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.tickets) - 1))
        self.tickets[number].release()
        if number in self.queue:
            self.queue.remove(number)
        elif number in self.holders:
            self.holders.remove(number)
            if self.queue:
                self.expected_told.append(self.queue[0])
                self.holders.append(self.queue.pop(0))

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "limit"):
            granted = [number for number, ticket in enumerate(self.tickets) if ticket.is_granted]
            assert granted == sorted(self.holders)
            assert (self.limit.in_use, self.limit.waiting) == (len(self.holders), len(self.queue))
            assert self.told == self.expected_told


TestLimitMachine = LimitMachine.TestCase
