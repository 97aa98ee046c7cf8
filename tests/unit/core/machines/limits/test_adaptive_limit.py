"""An adaptive limit: what goes into its windows, how it grows and shrinks, and its settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimitSettings
from http_service_client.core.machines.limits.overload import Evidence
from http_service_client.errors import ConfigurationError
from kit.adaptive_limits import (
    ANSWERED,
    CUT_SHORT,
    LATE,
    NONE,
    OTHER,
    REFUSED,
    WALL,
    acquire,
    end,
    limit_of,
    results,
    rounds,
)
from kit.fakes import FakeClock
from kit.rows import each_row


def test_it_grows_while_callers_are_held_up_and_nothing_is_slower() -> None:
    """And no further than it may."""
    clock = FakeClock(wall=WALL)
    limit = limit_of(clock, algorithm="aimd", max_limit=50)
    assert rounds(limit, clock, 30)[-1] == 50
    shown = limit.snapshot()
    assert (shown.limit, shown.in_use, shown.waiting) == (50, 0, 0)
    assert shown.latency == shown.baseline == pytest.approx(0.1)


@each_row(
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
@each_row("counter", ["_count", "_refused", "_late"])
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


@each_row(
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


@each_row(
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


@each_row(
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
