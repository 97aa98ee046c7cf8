"""Who is next in a bulkhead: partitions by their share, priorities, age, and nobody starves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client import Priority
from http_service_client.core.machines.limits.bulkhead import Bulkhead, BulkheadPermit
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from kit.bulkheads import BACKGROUND, CRITICAL, HIGH, LOW, NORMAL, bulkhead_of, held, is_refused, waiter


def in_progress(bulkhead: Bulkhead) -> list[BulkheadPermit]:
    """The permits that are held."""
    return [each for partition in bulkhead._all() for each in partition.holders]


def test_of_one_priority_the_first_is_first() -> None:
    """First come, first served."""
    bulkhead = bulkhead_of(1, max_waiting=30)
    holder = held(bulkhead)
    queue = [waiter(bulkhead) for _ in range(20)]
    for each in queue:
        holder.release()
        assert each.is_granted
        holder = each


def test_a_higher_priority_is_first() -> None:
    """Among those of one priority, the first."""
    bulkhead = bulkhead_of(1, max_waiting=9)
    holder = held(bulkhead)
    levels = [LOW, NORMAL, CRITICAL, BACKGROUND, HIGH, CRITICAL]
    queue = [waiter(bulkhead, level) for level in levels]
    order = []
    while bulkhead.waiting:
        holder.release()
        (holder,) = [each for each in queue if each.is_granted]
        order.append(queue.index(holder))
    assert order == [2, 5, 4, 1, 0, 3]


def test_every_eighth_grant_goes_to_the_one_that_has_waited_longest() -> None:
    """However many critical calls come after it."""
    bulkhead = bulkhead_of(1, max_waiting=10)
    holder, patient = held(bulkhead), waiter(bulkhead, BACKGROUND)
    for _ in range(7):
        following = waiter(bulkhead, CRITICAL)
        holder.release()
        assert following.is_granted
        holder = following
    waiter(bulkhead, CRITICAL)
    holder.release()
    assert patient.is_granted


@pytest.mark.parametrize("older", [0, 3, 12])
def test_a_waiter_has_its_turn_after_eight_grants_for_each_that_came_before(older: int) -> None:
    """The bound of the wait, in grants: 8 (n + 1)."""
    bulkhead = bulkhead_of(1, max_waiting=100)
    holder = held(bulkhead)
    for _ in range(older):
        waiter(bulkhead, BACKGROUND)
    patient = waiter(bulkhead, BACKGROUND)
    grants = 0
    while not patient.is_granted:
        waiter(bulkhead, CRITICAL)
        holder.release()
        (holder,) = in_progress(bulkhead)
        grants += 1
    assert grants == 8 * (older + 1)


def test_a_call_of_a_higher_priority_displaces_the_newest_of_the_lowest() -> None:
    """A queue full of prefetching must not refuse a payment."""
    bulkhead, notified = bulkhead_of(1, max_waiting=4), []
    held(bulkhead)
    queue = [waiter(bulkhead, level) for level in (LOW, BACKGROUND, BACKGROUND, HIGH)]
    queue[2].notify(lambda: notified.append("displaced"))
    newcomer = waiter(bulkhead, NORMAL)
    assert [each.was_displaced for each in (*queue, newcomer)] == [False, False, True, False, False]
    assert (bulkhead.waiting, notified, queue[2].is_granted) == (4, ["displaced"], False)
    queue[2].release()
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 4)


def test_a_waiter_that_is_displaced_before_it_waits_does_not_wait() -> None:
    """The newcomer came between its joining of the queue and its wait."""
    bulkhead, notified = bulkhead_of(1, max_waiting=2), []
    held(bulkhead)
    waiter(bulkhead, LOW)
    displaced = waiter(bulkhead, LOW)
    waiter(bulkhead, HIGH)
    displaced.notify(lambda: notified.append("called"))
    assert notified == ["called"]


def test_nobody_is_displaced_by_an_equal() -> None:
    """The newcomer is refused."""
    bulkhead = bulkhead_of(1, max_waiting=2)
    held(bulkhead)
    queue = [waiter(bulkhead, HIGH) for _ in range(2)]
    assert is_refused(bulkhead, HIGH)
    assert is_refused(bulkhead, LOW)
    assert not any(each.was_displaced for each in queue)


def test_the_last_waiter_of_a_priority_is_spared() -> None:
    """So each priority has its turn, under any stream of more important calls."""
    bulkhead = bulkhead_of(1, max_waiting=3)
    holder, patient = held(bulkhead), waiter(bulkhead, BACKGROUND)
    grants = 0
    while not patient.is_granted:
        while not is_refused(bulkhead, CRITICAL):
            pass
        assert not patient.was_displaced
        holder.release()
        (holder,) = in_progress(bulkhead)
        grants += 1
    assert grants <= 8


def test_a_partition_has_its_share_when_it_needs_it() -> None:
    """Whatever the others have waiting."""
    bulkhead = bulkhead_of(10, max_waiting=100, partitions={"interactive": 0.7, "batch": 0.3})
    holders = [held(bulkhead, "batch") for _ in range(10)]
    for _ in range(30):
        waiter(bulkhead, CRITICAL, "batch")
    for _ in range(20):
        waiter(bulkhead, BACKGROUND, "interactive")
    for each in holders:
        each.release()
    assert {name: in_use for name, (in_use, _) in bulkhead.snapshot().partitions.items()} == {
        "interactive": 7,
        "batch": 3,
        "": 0,
    }


def test_an_unused_share_is_free_for_others_and_comes_back() -> None:
    """With the first permits that are released."""
    bulkhead = bulkhead_of(10, max_waiting=100, partitions={"interactive": 0.7, "batch": 0.3})
    holders = [held(bulkhead, "batch") for _ in range(10)]
    waiter(bulkhead, name="batch")
    late = [waiter(bulkhead, name="interactive") for _ in range(3)]
    for each in holders[:3]:
        each.release()
    assert all(each.is_granted for each in late)


def test_a_small_partition_does_not_starve() -> None:
    """It holds none of its share, so the next permit is its, though its share is less than one."""
    bulkhead = bulkhead_of(10, max_waiting=1000, partitions={"large": 0.95, "small": 0.05})
    holders = [held(bulkhead, "large") for _ in range(10)]
    for _ in range(500):
        waiter(bulkhead, CRITICAL, "large")
    small = waiter(bulkhead, BACKGROUND, "small")
    holders[0].release()
    assert small.is_granted


def test_calls_of_no_partition_have_the_rest() -> None:
    """Also where there is none: one permit, when they hold none."""
    bulkhead = bulkhead_of(10, max_waiting=100, partitions={"a": 0.5, "b": 0.5})
    holders = [held(bulkhead, "a") for _ in range(10)]
    waiter(bulkhead, name="a")
    stranger = waiter(bulkhead, name="unknown")
    holders[0].release()
    assert stranger.is_granted


def test_of_one_permit_each_partition_has_its_share_of_the_turns() -> None:
    """All hold nothing when it is released: the first of the settings must not have it each time."""
    bulkhead = bulkhead_of(1, max_waiting=1000, partitions={"a": 0.7, "b": 0.3})
    holder = held(bulkhead, "a")
    for name in ("a", "b", "others"):
        while not is_refused(bulkhead, name=name):
            pass
    turns = []
    for _ in range(100):
        holder.release()
        (holder,) = in_progress(bulkhead)
        turns.append(holder.partition.name)
    assert [turns.count(name) for name in ("a", "b", "")] == [69, 30, 1]


def test_a_partition_that_was_idle_has_saved_no_turns_up() -> None:
    """Else its first burst would keep the others waiting."""
    bulkhead = bulkhead_of(1, max_waiting=1000, partitions={"a": 0.5, "b": 0.5})
    holder = held(bulkhead, "a")
    while not is_refused(bulkhead, name="a"):
        pass
    for _ in range(50):
        holder.release()
        (holder,) = in_progress(bulkhead)
    while not is_refused(bulkhead, name="b"):
        pass
    turns = []
    for _ in range(10):
        holder.release()
        (holder,) = in_progress(bulkhead)
        turns.append(holder.partition.name)
    assert turns.count("b") == 5


def test_each_partition_has_its_share_of_the_queue() -> None:
    """A flood of one must not have the others refused. It is rounded up."""
    bulkhead = bulkhead_of(1, max_waiting=5, partitions={"a": 0.5, "b": 0.4})
    held(bulkhead)
    counts = {}
    for name in ("a", "b", "others"):
        counts[name] = 0
        while not is_refused(bulkhead, name=name):
            counts[name] += 1
    assert counts == {"a": 3, "b": 2, "others": 1}


def test_new_shares_hold_from_the_next_grant_on() -> None:
    """The waiters of a partition that is no more go on waiting among the rest."""
    bulkhead = bulkhead_of(2, max_waiting=10, partitions={"a": 0.5, "b": 0.5})
    holders = [held(bulkhead, "a"), held(bulkhead, "b")]
    asked = bulkhead.permit("a")
    queue = [waiter(bulkhead, name="a"), waiter(bulkhead, name="b")]
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=2, max_waiting=10, partitions={"b": 0.5}))
    assert bulkhead.snapshot().partitions == {"b": (1, 1), "": (1, 1)}
    for each in (*holders, *queue):
        each.release()
    assert bulkhead.is_idle
    assert asked.try_acquire()
    assert bulkhead.snapshot().partitions == {"b": (0, 0), "": (1, 0)}
    held(bulkhead, "a")
    late, latest = bulkhead.permit("a"), bulkhead.permit("b")
    bulkhead.reconfigure(BulkheadSettings(max_concurrent=2, max_waiting=10))
    assert not late.try_acquire()
    assert (late.wait_later(), latest.wait_later()) == (None, None)
    asked.release()
    assert late.is_granted
    late.release()
    assert latest.is_granted


class Turns(RuleBasedStateMachine):
    """A bulkhead beside a list of what everybody was promised.

    After each step: the permits add up, no permit is free while somebody waits, the queue has its bound, and a waiter
    before which n others of its partition waited has seen at most 8 (n + 1) grants there.
    """

    NAMES = ("a", "b", "")

    @initialize(
        capacity=st.integers(1, 4),
        most=st.integers(0, 6),
        shares=st.sampled_from([{}, {"a": 0.5}, {"a": 0.8, "b": 0.2}, {"a": 0.1, "b": 0.3}]),
    )
    def begin(self, capacity: int, most: int, shares: dict[str, float]) -> None:
        self.capacity, self.most, self.shares = capacity, most, shares
        self.bulkhead = bulkhead_of(capacity, max_waiting=most, partitions=shares)
        self.holders: list[BulkheadPermit] = []
        self.waiters: list[BulkheadPermit] = []
        self.left: dict[BulkheadPermit, int] = {}  # grants that its partition may still make before its own
        self.slack = 0  # waiters that came before the queue became shorter

    def _settle(self) -> None:
        """Move those that were granted or displaced."""
        granted = [each for each in self.waiters if each.is_granted]
        self.waiters = [each for each in self.waiters if not each.is_granted and not each.was_displaced]
        self.holders += granted
        for done in granted:
            for other in self.waiters:
                if other.partition is done.partition:
                    self.left[other] -= 1
                    assert self.left[other] > 0

    @rule(level=st.sampled_from(Priority), name=st.sampled_from(NAMES))
    def come(self, level: Priority, name: str) -> None:
        permit = self.bulkhead.permit(name)
        if permit.try_acquire():
            assert not self.waiters
            self.holders.append(permit)
        elif permit.wait_later(level) is None:
            older = sum(other.partition is permit.partition for other in self.waiters)
            self.left[permit] = 8 * (older + 1) + 1
            self.waiters.append(permit)
        else:
            mine = [other for other in self.waiters if other.partition is permit.partition]
            assert len(mine) >= permit.partition.most_waiting
            lower = [other.level for other in mine if other.level < level]
            assert len(mine) > permit.partition.most_waiting or len(set(lower)) == len(lower)
        for other in self.waiters:
            if other.was_displaced:
                assert other.level < level
                assert any(
                    each.level == other.level and each.partition is other.partition
                    for each in self.waiters
                    if not each.was_displaced
                )
                other.release()
        self._settle()

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        permit = self.holders.pop(data.draw(st.integers(0, len(self.holders) - 1)))
        load = {each: len(each.holders) / each.share for each in self.bulkhead._all()}
        load[permit.partition] = (len(permit.partition.holders) - 1) / permit.partition.share
        waiting = {each.partition for each in self.waiters}
        permit.release()
        for granted in [each for each in self.waiters if each.is_granted]:
            assert load[granted.partition] == min(load[each] for each in waiting)
        self._settle()

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.waiters.pop(data.draw(st.integers(0, len(self.waiters) - 1))).release()
        self._settle()

    @rule(capacity=st.integers(1, 4), most=st.integers(0, 6))
    def resize(self, capacity: int, most: int) -> None:
        self.capacity, self.most = capacity, most
        self.bulkhead.reconfigure(
            BulkheadSettings(max_concurrent=capacity, max_waiting=most, partitions=self.shares)
        )
        granted = [each for each in self.waiters if each.is_granted]
        self.holders += granted  # several at once: the bound is checked for one after another
        self.waiters = [each for each in self.waiters if not each.is_granted]
        for other in self.waiters:
            older = sum(
                each.partition is other.partition for each in self.waiters[: self.waiters.index(other)]
            )
            self.left[other] = 8 * (older + 1) + 1

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "bulkhead"):
            return
        assert self.bulkhead.in_use == len(self.holders)
        assert self.bulkhead.waiting == len(self.waiters)
        assert all(each.is_held for each in self.holders)
        assert not (self.waiters and self.bulkhead.in_use < self.capacity)

    def teardown(self) -> None:
        if hasattr(self, "bulkhead"):
            for each in (*self.holders, *self.waiters):
                each.release()
            assert self.bulkhead.is_idle


TestTurns: Any = Turns.TestCase
