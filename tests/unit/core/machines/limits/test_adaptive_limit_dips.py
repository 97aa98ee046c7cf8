"""The dips of an adaptive limit: when they begin, how they end, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimit
from kit.adaptive_limits import NONE, WALL, acquire, limit_of, results, rounds
from kit.fakes import FakeClock


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
