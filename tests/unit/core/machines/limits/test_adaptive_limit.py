"""An adaptive limit: what goes into its windows, its dips, and that no permit is ever lost."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimit, AdaptiveLimitSettings
from http_service_client.core.machines.limits.bulkhead import BulkheadPermit
from http_service_client.core.machines.limits.overload import Evidence
from http_service_client.errors import ConfigurationError
from kit.fakes import FakeClock

ANSWERED, REFUSED, LATE, OTHER, CUT_SHORT, NONE = Evidence
WALL = 1_000_000_000.0  # a multiple of 20


def limit_of(clock: FakeClock, **settings: Any) -> AdaptiveLimit:
    return AdaptiveLimit(
        AdaptiveLimitSettings(**settings),
        key="payments",
        clock=clock.monotonic,
        wall_clock=clock.wall,
        lock=threading.RLock(),
    )


def acquire(limit: AdaptiveLimit) -> BulkheadPermit | None:
    """A permit that is free, or None, as the layer and the policy ask for it."""
    permit = limit.permits.permit()
    if permit.try_acquire():
        return permit
    limit.held_up()
    return None


def end(limit: AdaptiveLimit, permit: BulkheadPermit, began_at: float, evidence: Evidence = ANSWERED) -> None:
    limit.record(began_at, evidence)
    permit.release()


def rounds(
    limit: AdaptiveLimit, clock: FakeClock, count: int, *, seconds: float = 0.1, evidence: Evidence = ANSWERED
) -> list[int]:
    """So many rounds of as many calls as the limit allows, and one more; the limit after each."""
    limits = []
    for _ in range(count):
        began_at = clock.now
        permits = []
        while (permit := acquire(limit)) is not None:
            permits.append(permit)
        clock.now += seconds
        for permit in permits:
            end(limit, permit, began_at, evidence)
        limits.append(limit.limit)
    return limits


def test_it_grows_while_callers_are_held_up_and_nothing_is_slower() -> None:
    """And no further than it may."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd", max_limit=50)
    assert rounds(limit, clock, 30)[-1] == 50
    shown = limit.snapshot()
    assert (shown.limit, shown.in_use, shown.waiting) == (50, 0, 0)
    assert shown.latency == shown.baseline == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("capacity", "in_dip", "enough"),
    [
        (1, False, 10),
        (2, False, 10),
        (3, False, 15),
        (9, False, 45),
        (10, False, 50),
        (11, False, 50),
        (1, True, 5),
        (3, True, 7),
        (200, True, 25),
    ],
)
@pytest.mark.parametrize("counter", ["_count", "_refused", "_late"])
def test_a_window_has_enough_results_for_its_limit(
    counter: str, capacity: int, in_dip: bool, enough: int
) -> None:
    """Five for each permit, ten at least and fifty at most; half of it in a dip, which costs more."""
    limit = limit_of(FakeClock(wall=WALL))
    limit._controller = SimpleNamespace(capacity=capacity, dip=in_dip)  # type: ignore[assignment]
    had_enough = []
    for count in (enough - 1, enough):
        setattr(limit, counter, count)
        had_enough.append(limit._has_enough())
    assert had_enough == [False, True]


@pytest.mark.parametrize("evidence", [REFUSED, LATE])
def test_it_shrinks_when_too_much_is_refused_or_late(evidence: Evidence) -> None:
    """Down to the least limit."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, min_limit=3)
    assert rounds(limit, clock, 150, evidence=evidence)[-1] == 3


@pytest.mark.parametrize("slow", [None, 0.5])
@pytest.mark.parametrize("evidence", [OTHER, NONE])
def test_what_says_nothing_changes_nothing(evidence: Evidence, slow: float | None) -> None:
    """However much of it there is, and however long it takes."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, slow_call_duration=slow)
    rounds(limit, clock, 30, seconds=9.0, evidence=evidence)
    shown = limit.snapshot()
    assert (limit.limit, shown.latency, shown.baseline) == (20, None, None)


def test_a_slow_answer_is_late() -> None:
    """From `slow_call_duration` on. A refusal is a refusal, however long it takes."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, slow_call_duration=0.5, algorithm="aimd")
    rounds(limit, clock, 10, seconds=0.4375)
    before = limit.limit
    assert before > 20
    rounds(limit, clock, 10, seconds=0.5)
    assert limit.limit < before


@pytest.mark.parametrize(
    ("evidence", "seconds", "counts"),
    [
        (ANSWERED, 0.25, (1, 0, 0)),
        (ANSWERED, 0.5, (0, 0, 1)),
        (REFUSED, 9.0, (0, 1, 0)),
        (LATE, 0.25, (0, 0, 1)),
        (OTHER, 9.0, (0, 0, 0)),
        (CUT_SHORT, 0.25, (0, 0, 0)),
        (CUT_SHORT, 0.375, (1, 0, 0)),
        (CUT_SHORT, 9.0, (1, 0, 0)),
        (NONE, 9.0, (0, 0, 0)),
    ],
)
def test_what_a_call_counts_as(evidence: Evidence, seconds: float, counts: tuple[int, int, int]) -> None:
    """A sample of the latency, a refusal, a late call, or nothing. A call is late from half a second on."""
    limit = limit_of(FakeClock(wall=WALL), slow_call_duration=0.5)
    limit._controller.latency = 0.25
    limit._count_locked(seconds, evidence)
    assert (limit._count, limit._refused, limit._late) == counts


def test_an_answer_without_any_latency_is_one_of_a_microsecond() -> None:
    """The clock may be coarse, and zero has no logarithm."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock)
    for _ in range(5):
        rounds(limit, clock, 1, seconds=0.0)
        clock.now += 0.1
    assert limit.snapshot().latency == pytest.approx(1e-6)


def results(limit: AdaptiveLimit, clock: FakeClock, seconds: float, count: int = 50, **given: Any) -> None:
    """So many results of calls, one after the other, that took so long and end now."""
    for _ in range(count):
        permit = limit.permits.permit()
        assert permit.try_acquire()
        end(limit, permit, clock.now - seconds, **given)


def test_a_window_lasts_a_tenth_of_a_second_at_least() -> None:
    """However many results there are. The first one begins at once."""
    clock = FakeClock(wall=WALL)
    began = clock.now
    limit = limit_of(clock)
    results(limit, clock, 0.25)
    clock.now = began + 0.0999
    results(limit, clock, 0.25, 1)
    assert limit.snapshot().latency is None
    clock.now = began + 0.1
    results(limit, clock, 0.25, 1)
    assert limit.snapshot().latency == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("evidence", "seconds", "settles"),
    [
        *((ANSWERED, 0.5, 0.5), (LATE, 2.0, 2.0), (LATE, 0.1, 0.5), (REFUSED, 2.0, 0.5)),
        *((LATE, 60.0, 60.0), (LATE, 600.0, 60.0), (ANSWERED, 600.0, 60.0)),
    ],
)
def test_a_window_begins_when_what_began_before_has_ended(
    evidence: Evidence, seconds: float, settles: float
) -> None:
    """After the latency of the one before, or as long as its late calls took; it lasts as long again.

    A minute is enough: where a machine was suspended, its calls seem to have taken hours.
    """
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock)
    clock.now += 0.125
    results(limit, clock, 0.5, 50)  # it closes the first window
    clock.now += 1.0
    results(limit, clock, seconds, 50, evidence=evidence)
    closed_at = clock.now
    counts = []
    for instant in (settles - 0.01, settles, 2 * settles - 0.01):
        clock.now = closed_at + instant
        results(limit, clock, 0.125, 50)
        counts.append(limit._count)
    assert counts == [0, 50, 100]
    clock.now = closed_at + 2 * settles
    results(limit, clock, 0.125, 1)
    assert limit._count == 0, "the next one"


@pytest.mark.parametrize("is_held_up", [True, False])
def test_it_grows_where_a_caller_is_held_up(is_held_up: bool) -> None:
    """Though fewer permits are in use when the calls end. It is forgotten with the window."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd")
    for expected in (40 if is_held_up else 20, 40 if is_held_up else 20):
        if is_held_up and limit.limit == 20:
            limit.held_up()
        clock.now += 0.5
        results(limit, clock, 0.125)
        assert limit.limit == limit.permits.settings.max_concurrent == expected


def test_it_grows_where_all_permits_are_in_use() -> None:
    """The next caller would have been held up."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd")
    for _ in range(3):
        began_at, permits = clock.now, [acquire(limit) for _ in range(20)]
        clock.now += 0.125
        for permit in permits:
            assert permit is not None
            end(limit, permit, began_at)
    assert limit.limit == 40
    assert not limit._is_limited


@pytest.mark.parametrize(
    ("latency", "every"), [(0.1, 20.0), (0.4, 20.0), (0.401, 40.0), (0.8, 40.0), (0.801, 80.0)]
)
def test_how_often_there_is_a_dip(latency: float, every: float) -> None:
    """Every 20 seconds, or 40, or 80, so that fifty calls lie between one and the next; by the wall clock."""
    clock = FakeClock(wall=WALL + 3.0)
    limit = limit_of(clock)
    limit._controller.latency = latency
    limit._begin_dip_locked(clock.now)
    assert limit._dip_at == clock.now + every - 3.0


def dipped(seconds: float = 0.5) -> tuple[AdaptiveLimit, FakeClock]:
    """A limit in its first dip."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock)
    limit.held_up()
    clock.now += 0.5
    results(limit, clock, seconds)
    assert limit.limit == 10
    return limit, clock


def test_a_dip_has_a_second_and_ten_calls_of_time() -> None:
    """Then it is given up, by whoever comes or ends first."""
    for look in (AdaptiveLimit.held_up, lambda limit: limit.record(0.0, NONE)):
        limit, clock = dipped()
        began = clock.now
        for seconds, expected in ((5.99, 10), (6.0, 20)):
            clock.now = began + seconds
            look(limit)
            assert (limit.limit, limit.permits.settings.max_concurrent) == (expected, expected)
        clock.now += 1.0
        results(limit, clock, 0.25)
        assert limit.snapshot().latency == pytest.approx(0.25), "and the next window is measured"


def test_a_dip_that_has_ended_is_not_given_up_later() -> None:
    """Its time would be over, and with it the window that is being counted by then."""
    limit, clock = dipped()
    clock.now += 1.0
    results(limit, clock, 0.5)
    assert limit._controller.dip == 0
    clock.now += 7.5
    results(limit, clock, 0.5, 9)
    assert limit._count == 9


@pytest.mark.parametrize(("early", "is_dip"), [(0.0625, False), (0.0, True)])
def test_a_dip_begins_with_the_first_call_that_ends_then(early: float, is_dip: bool) -> None:
    """Where callers have been held up."""
    limit, clock = dipped()
    limit._controller.end_dip()
    clock.now = limit._dip_at - early
    limit.record(clock.now, NONE)
    assert (limit._controller.dip == 1) is is_dip


@pytest.mark.parametrize(
    "act",
    [AdaptiveLimit.reset_after_fork, lambda limit: limit.reconfigure(limit.settings)],
    ids=["fork", "reconfigure"],
)
def test_what_ends_a_dip(act: Any) -> None:
    """And the window, of which nothing is kept."""
    limit, clock = dipped()
    clock.now += 0.5
    results(limit, clock, 0.5, 20)
    act(limit)
    assert (limit.limit, limit._count) == (20, 0)
    clock.now += 0.4375
    results(limit, clock, 0.5, 9)
    assert limit._count == 0, "the calls that began before are ending"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (20, 200)),
        ({"min_limit": 8, "max_limit": 8}, (8, 8)),
        ({"min_limit": 300}, (300, 300)),
        ({"initial_limit": 300}, (300, 300)),
        ({"min_limit": 9, "initial_limit": 9, "max_limit": 10}, (9, 10)),
    ],
)
def test_the_limit_at_first_and_at_most(given: dict[str, int], expected: tuple[int, int]) -> None:
    """As they are given, or as near to 20 and 200 as the others allow."""
    settings = AdaptiveLimitSettings(**given)  # type: ignore[arg-type]
    assert (settings.first_limit, settings.largest_limit) == expected


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [
        ({}, 50, 50),
        ({"max_limit": 30}, 50, 30),
        ({"min_limit": 60}, 50, 60),
        ({"initial_limit": 70, "min_limit": 60}, 50, 70),
        ({"initial_limit": 10}, 50, 50),
    ],
)
def test_a_limit_of_a_client_is_no_larger_than_its_connections(
    given: dict[str, int], count: int, expected: int
) -> None:
    """Unless a larger one is set."""
    settings = AdaptiveLimitSettings(**given).with_connections(count)  # type: ignore[arg-type]
    assert settings.largest_limit == expected


@pytest.mark.parametrize(("given", "expected"), [({}, 40), ({"max_waiting": 3}, 3), ({"max_waiting": 0}, 0)])
def test_how_many_calls_may_wait(given: dict[str, int], expected: int) -> None:
    """Twice the limit, or as many as are set; and in a dip those that it holds up."""
    settings = AdaptiveLimitSettings(max_wait=7.0, **given)  # type: ignore[arg-type]
    for permits in (20, 10):
        bulkhead = settings.bulkhead(20, permits)
        assert (bulkhead.max_concurrent, bulkhead.max_waiting) == (permits, expected + 20 - permits)
        assert bulkhead.max_wait == 7.0


def test_a_call_that_its_deadline_cut_short_is_a_sample_if_it_was_long() -> None:
    """The latency is at least that. One that was short says nothing."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock)
    rounds(limit, clock, 10, seconds=0.1)
    rounds(limit, clock, 5, seconds=0.05, evidence=CUT_SHORT)
    assert limit.snapshot().latency == pytest.approx(0.1)
    rounds(limit, clock, 5, seconds=0.2, evidence=CUT_SHORT)
    assert limit.snapshot().latency == pytest.approx(0.2)


def test_a_wait_of_our_own_is_no_latency() -> None:
    """Such as that for a connection, while the permit was held."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock)
    for _ in range(60):
        permit, began_at = acquire(limit), clock.now
        assert permit is not None
        clock.now += 0.5
        limit.record(began_at, ANSWERED, excess=0.4)
        permit.release()
    assert limit.snapshot().latency == pytest.approx(0.1)


def test_calls_that_began_under_the_former_limit_are_not_counted() -> None:
    """They end in the first part of a window."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd")
    rounds(limit, clock, 4, seconds=1.0)
    before = limit.limit
    began_at = clock.now
    permits = [permit for _ in range(before) if (permit := acquire(limit))]
    rounds(limit, clock, 1, seconds=0.0)
    clock.now += 0.5
    for permit in permits:
        end(limit, permit, began_at, LATE)
    assert limit.limit == before


def test_a_dip_begins_at_a_multiple_of_twenty_seconds_of_the_wall_clock() -> None:
    """For all clients of a service at the same time."""
    dips = []
    for offset in (3.0, 11.0):
        clock = FakeClock(wall=WALL + offset)
        limit = limit_of(clock, max_limit=40)
        while clock.wall() < WALL + 70:
            rounds(limit, clock, 1, seconds=0.1)
            if limit.limit < limit._controller.limit - 1 and clock.wall() > WALL + offset + 5:
                dips.append(int((clock.wall() - WALL) / 20))
    assert sorted(set(dips)) == [1, 2, 3]


def test_where_calls_are_long_dips_are_rare() -> None:
    """Each costs some calls one after the other."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, max_limit=20)
    dips = 0
    for _ in range(400):
        before = limit._controller.dip
        rounds(limit, clock, 1, seconds=2.0)
        dips += limit._controller.dip > before
    assert 4 <= dips <= 8  # in 800 s


def test_a_dip_that_comes_to_nothing_ends() -> None:
    """Neither calls that stop coming nor calls that hang leave the limit at a half."""
    clock = FakeClock(wall=WALL + 19.5)
    limit = limit_of(clock, max_limit=20)
    while not limit._controller.dip or clock.wall() < WALL + 20:
        rounds(limit, clock, 1, seconds=0.1)
    assert limit.limit == 10
    hung = [permit for _ in range(10) if (permit := acquire(limit))]
    clock.now += 1.5
    assert acquire(limit) is None
    assert limit.limit == 10
    clock.now += 0.5
    acquire(limit)
    assert (limit.limit, limit.permits.in_use) == (20, 10)
    assert len(hung) == 10


def test_calls_that_a_dip_holds_up_may_wait() -> None:
    """As many as without it are in progress or wait: it costs some calls a moment, and none a refusal."""
    clock = FakeClock(wall=WALL + 19.5)
    limit = limit_of(clock, max_limit=20, max_waiting=3)
    while not limit._controller.dip or clock.wall() < WALL + 20:
        rounds(limit, clock, 1, seconds=0.1)
    permits = [limit.permits.permit() for _ in range(24)]
    got = [permit.try_acquire() or permit.wait_later() is None for permit in permits]
    assert (limit.limit, got.count(True)) == (10, 23)


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "bbr"}, "algorithm must be 'gradient', 'vegas' or 'aimd', not 'bbr'"),
        ({"algorithm": []}, "algorithm must be 'gradient', 'vegas' or 'aimd', not []"),
        ({"min_limit": 0}, "min_limit must be a whole number of 1 or more, not 0"),
        (
            {"initial_limit": 9, "max_limit": 8},
            "initial_limit must be from min_limit=1 to max_limit=8, not 9; change one",
        ),
        ({"initial_limit": 0}, "initial_limit must be a whole number of 1 or more, not 0"),
        (
            {"min_limit": 9, "max_limit": 8},
            "min_limit must be at most max_limit=8, not 9; change one of the two",
        ),
        ({"max_waiting": -1}, "max_waiting must be a whole number of 0 or more, not -1"),
        (
            {"max_wait": 0},
            "max_wait must be a positive, finite number of seconds, not 0; use None for as long as",
        ),
        ({"slow_call_duration": 0}, "slow_call_duration must be a positive, finite number of seconds, not 0"),
        (
            {"overloads": "429"},
            "overloads must be a list of statuses, ranges of them and exception classes, not",
        ),
    ],
)
def test_a_wrong_value_is_refused(settings: dict[str, Any], message: str) -> None:
    """With the field, the value and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        AdaptiveLimitSettings(**settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [({}, 20), ({"max_limit": 5}, 5), ({"min_limit": 30}, 30), ({"initial_limit": 300}, 300)],
)
def test_the_first_limit_is_20_or_as_near_as_it_may_be(bounds: dict[str, int], expected: int) -> None:
    """Nobody has to set three numbers for one."""
    assert limit_of(FakeClock(), **bounds).limit == expected


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
