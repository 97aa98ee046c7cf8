"""What a limiter makes up for when timers fire late, clocks step back and machines stall, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from kit.rate_limiters import Harness


def test_a_late_timer_loses_no_token() -> None:
    """The next call is due as if the timer had fired on time."""
    harness = Harness(rate=10)
    harness.join()
    second = harness.join()
    harness.now += 0.13  # 0.03 late
    second.next_wait()
    assert second.is_granted
    harness.now += 0.0701
    assert harness.passed(2) == 1


@pytest.mark.parametrize("learning", [{}, {"follow_headers": True}], ids=["plain", "learning"])
def test_the_next_caller_has_what_a_late_timer_saved(learning: dict[str, Any]) -> None:
    """Though it comes a little after its turn was due: the schedule stays."""
    harness = Harness(rate=10, **learning)
    harness.join()
    second = harness.join()
    harness.now = 1000.13  # 0.03 late
    second.next_wait()
    harness.now = 1000.22
    assert harness.passed(1) == 1
    assert harness.limiter.retry_after == pytest.approx(0.08)


def test_one_that_gives_up_leaves_to_the_next_what_a_late_timer_saved() -> None:
    """It has used nothing of it."""
    harness = Harness(rate=10)
    harness.join()
    second = harness.join()
    harness.now = 1000.13  # 0.03 late
    second.next_wait()
    harness.join().release()
    harness.now = 1000.22
    assert harness.passed(1) == 1
    assert harness.limiter.retry_after == pytest.approx(0.08)


@pytest.mark.parametrize("instant", [1000.13, 1000.23])
def test_a_token_that_comes_back_saves_what_its_late_timer_did(instant: float) -> None:
    """Also in a bucket that was full again before."""
    harness = Harness(rate=10)
    harness.join()
    second = harness.join()
    harness.now = 1000.13  # 0.03 late
    second.next_wait()
    harness.now = instant
    second.release()
    assert harness.passed(2) == 1
    assert harness.limiter.retry_after == pytest.approx(0.07)


@pytest.mark.parametrize(("late", "retry_after"), [(0.04, 0.16), (0.055, 0.2)])
def test_what_a_late_timer_saved_is_less_at_a_slower_rate(late: float, retry_after: float) -> None:
    """At most 0.05 s of it: one that comes later than that has been slowed down by nobody."""
    harness = Harness(rate=10)
    harness.join()
    second = harness.join()
    harness.now = 1000.13  # 0.03 late
    second.next_wait()
    harness.limiter.reconfigure(RateLimitSettings(rate=5))
    harness.now = 1000.27 + late
    assert harness.passed(1) == 1
    assert harness.limiter.retry_after == pytest.approx(retry_after)


def test_a_change_of_the_rate_saves_nothing() -> None:
    """Whatever lies between."""
    harness = Harness(rate=10)
    for given in ({"rate": 10}, {"rate": 8}, {"follow_headers": True}):
        harness.limiter.reconfigure(RateLimitSettings(**given))
    harness.limiter.reconfigure(RateLimitSettings(rate=10))
    assert harness.passed(2) == 1
    harness.now += 0.13
    assert harness.passed(2) == 1
    assert harness.limiter.retry_after == pytest.approx(0.1)


def test_a_timer_that_was_on_time_saves_nothing() -> None:
    """Though the one before it was late."""
    harness = Harness(rate=8)
    harness.join()
    second, third = harness.join(), harness.join()
    harness.now = 1000.15625  # 1/32 late
    second.next_wait()
    harness.now = 1000.25
    third.next_wait()
    assert third.is_granted
    harness.now = 1000.40625
    assert harness.passed(1) == 1
    assert harness.limiter.retry_after == 0.125


@pytest.mark.parametrize("learning", [{}, {"follow_headers": True}], ids=["plain", "learning"])
def test_a_caller_that_did_not_wait_saves_nothing(learning: dict[str, Any]) -> None:
    """Its token was there; it could have come sooner."""
    harness = Harness(rate=10, **learning)
    for instant in (1000.0, 1000.15, 1000.3, 1000.45):
        harness.now = instant
        assert harness.passed(2) == 1
        assert harness.limiter.retry_after == pytest.approx(0.1)


def test_a_late_timer_does_not_lose_the_token_of_a_caller_that_comes_after_it() -> None:
    """One that makes a call as soon as the last one passed gets its full rate, however late its timers are."""
    harness = Harness(rate=1000)
    calls = 0
    began = harness.now
    while harness.now < began + 1.0:
        turn = harness.join()
        if not turn.is_granted:
            harness.now = turn._wakes_at + 0.0017  # as of an event loop
            turn.next_wait()
        assert turn.is_granted
        calls += 1
        harness.now += 0.0001
    assert calls == pytest.approx(1000, abs=4)


def test_a_long_stall_is_not_made_up_for() -> None:
    """A laptop that slept, or a blocked event loop: at most 0.05 s of the rate comes at once."""
    harness = Harness(rate=100)
    turns = [harness.join() for _ in range(50)]
    harness.now += 10.0
    turns[1].next_wait()
    assert sum(turn.is_granted for turn in turns) == 1 + 6


@pytest.mark.parametrize("seconds", [3600, 5])
def test_a_clock_that_steps_back_loses_nothing_and_repeats_nothing(seconds: float) -> None:
    """No time has passed for that moment; from then on it counts again."""
    harness = Harness(rate=1, burst=2)
    harness.now += 10.0
    assert harness.passed(3) == 2
    harness.now -= seconds
    assert harness.passed(1) == 0
    assert harness.limiter.retry_after == pytest.approx(1.0)
    harness.now += 1.0
    assert harness.passed(2) == 1
