"""No permit of an adaptive limit is lost, whatever its settings, forks, threads and callers do."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.limits.bulkhead import BulkheadPermit
from http_service_client.core.machines.limits.overload import Evidence
from kit.adaptive_limits import ANSWERED, REFUSED, WALL, acquire, limit_of, rounds
from kit.fakes import FakeClock


def test_reconfiguring_keeps_the_limit_the_permits_and_the_waiters() -> None:
    """And a larger one is granted at once to those that wait."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, initial_limit=2, max_limit=2)
    held = [acquire(limit), acquire(limit)]
    waiter = limit.permits.permit()
    assert waiter.wait_later() is None
    limit.reconfigure(limit.settings.changed({"max_limit": 100, "min_limit": 3, "initial_limit": 50}))
    assert limit.settings.max_limit == 100
    assert waiter.is_granted
    assert (limit.limit, limit.permits.in_use, len(held)) == (3, 3, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_the_limit_and_none_of_the_permits() -> None:
    """What was learned is true there, too; the parent's calls are not in it."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd", max_limit=30)
    rounds(limit, clock, 20)
    permit = acquire(limit)
    assert permit is not None
    limit.reset_after_fork()
    assert (limit.limit, limit.permits.in_use) == (30, 0)
    permit.release()
    assert limit.permits.in_use == 0


def test_threads_lose_no_permit() -> None:
    """Eight threads, whose calls change the limit all the time."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd", initial_limit=4, max_limit=6)

    def work(number: int) -> None:
        for call in range(300):
            permit = limit.permits.permit()
            if permit.try_acquire() or (permit.wait_later() is None and permit.is_granted):
                clock.now += 0.01
                limit.record(clock.now - 0.01, REFUSED if (call + number) % 10 == 0 else ANSWERED)
            else:
                limit.held_up()
            permit.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (limit.permits.in_use, limit.permits.waiting) == (0, 0)
    assert limit.limit == limit.permits.settings.max_concurrent


class LimitMachine(RuleBasedStateMachine):
    """Callers that come, wait, give up and end in any order, while the settings change."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(wall=WALL)
        self.held: list[tuple[BulkheadPermit, float]] = []
        self.waiting: list[BulkheadPermit] = []

    @initialize(algorithm=st.sampled_from(["gradient", "vegas", "aimd"]))
    def begin(self, algorithm: str) -> None:
        self.limit = limit_of(self.clock, algorithm=algorithm, initial_limit=4, max_limit=10, max_waiting=3)

    @rule(count=st.integers(1, 12))
    def call(self, count: int) -> None:
        for _ in range(count):
            permit = self.limit.permits.permit()
            if permit.try_acquire():
                self.held.append((permit, self.clock.now))
                continue
            self.limit.held_up()
            if permit.wait_later() is None:
                self.waiting.append(permit)

    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.held)
    @rule(data=st.data(), count=st.integers(1, 12), evidence=st.sampled_from(Evidence))
    def finish(self, data: st.DataObject, count: int, evidence: Evidence) -> None:
        for _ in range(min(count, len(self.held))):
            permit, began_at = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
            self.limit.record(began_at, evidence)
            permit.release()
            self.collect()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))).release()

    @rule(least=st.integers(1, 3), most=st.integers(4, 12), waiting=st.integers(0, 4))
    def reconfigure(self, least: int, most: int, waiting: int) -> None:
        settings = self.limit.settings
        self.limit.reconfigure(
            settings.changed({"min_limit": least, "max_limit": most, "max_waiting": waiting})
        )

    def collect(self) -> None:
        """Waiters that have been granted a permit are calls from now on."""
        granted = [permit for permit in self.waiting if permit.is_granted]
        self.waiting = [permit for permit in self.waiting if not permit.is_granted]
        self.held.extend((permit, self.clock.now) for permit in granted)

    @invariant()
    def no_permit_is_lost(self) -> None:
        if not hasattr(self, "limit"):
            return
        self.collect()
        limit = self.limit
        assert limit.permits.in_use == len(self.held)
        assert limit.permits.waiting == len(self.waiting)
        assert limit.settings.min_limit <= limit.limit <= limit.settings.max_limit
        assert limit.permits.settings.max_concurrent == limit.limit
        if self.waiting:
            assert limit.permits.in_use >= limit.limit, "somebody waits while a permit is free"

    def teardown(self) -> None:
        if hasattr(self, "limit"):
            while self.held or self.waiting:
                for permit, _ in self.held:
                    permit.release()
                self.held.clear()
                self.collect()
            assert self.limit.permits.in_use == 0


TestLimitMachine = LimitMachine.TestCase


TestLimitMachine.settings = hypothesis_settings(max_examples=50, deadline=None)
