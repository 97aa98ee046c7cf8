"""The rate limiter: its rate, its burst, its queue, and new settings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.limits.rate_limiter import RateLimiter, Turn
from http_service_client.http.fields.rate_limits import ReportedQuota
from kit.rate_limiters import Harness
from kit.rows import each_row


def test_calls_are_evenly_spaced_by_default() -> None:
    """One at a time, each 1/rate after the last one, and a pause saves nothing."""
    harness = Harness(rate=10)
    assert harness.passed(3) == 1
    harness.now += 0.0999
    assert harness.passed(1) == 0
    harness.now += 0.0002
    assert harness.passed(2) == 1
    harness.now += 60
    assert harness.passed(5) == 1


def test_a_burst_passes_after_a_pause() -> None:
    """A full bucket has `burst` tokens, and fills again at the rate."""
    harness = Harness(rate=2, burst=5)
    assert harness.passed(9) == 5
    harness.now += 1.0
    assert harness.passed(9) == 2
    harness.now += 100.0
    assert harness.passed(9) == 5


@pytest.mark.parametrize(
    ("rate", "per", "seconds"), [(100, 60, 0.6), (1, 1000, 1000.0), (1_000_000, 1, 1e-6), (0.5, 1, 2.0)]
)
def test_a_rate_may_be_of_any_period(rate: float, per: float, seconds: float) -> None:
    """From one call in a quarter of an hour to a million a second."""
    harness = Harness(rate=rate, per=per)
    assert harness.passed(2) == 1
    assert harness.limiter.retry_after == pytest.approx(seconds, rel=1e-3)


def test_those_that_wait_pass_in_their_order() -> None:
    """And nobody overtakes them, also not at the instant at which a token is due."""
    harness = Harness(rate=1)
    turns = [harness.join() for _ in range(4)]
    assert [turn.is_granted for turn in turns] == [True, False, False, False]
    harness.now += 1.0
    assert harness.passed(1) == 0
    harness.fire(turns[1])
    assert [turn.is_granted for turn in turns] == [True, True, False, False]
    harness.fire(turns[2])
    harness.fire(turns[3])
    assert [turn.is_granted for turn in turns] == [True, True, True, True]
    assert harness.now == pytest.approx(1003.0)


def test_a_caller_learns_at_once_that_its_turn_comes_too_late() -> None:
    """It gets the seconds in place of a turn, and those behind it lose nothing."""
    harness = Harness(rate=1)
    harness.join(), harness.join(), harness.join()
    assert harness.limiter.acquire_later(longest=2.9) == pytest.approx(3.0)
    assert isinstance(harness.limiter.acquire_later(longest=3.0), Turn)
    snapshot = harness.limiter.snapshot()
    assert (snapshot.admitted, snapshot.waiting, snapshot.refused) == (1, 3, 1)
    harness.limiter.record_refusal()  # of one that left the queue, for example
    assert harness.limiter.snapshot().refused == 2


def test_each_waiter_has_a_timer_for_its_own_turn() -> None:
    """By its place in the queue, also when it looks again."""
    harness = Harness(rate=1)
    harness.join()
    turns = [harness.join() for _ in range(4)]
    harness.now += 0.25
    waits = [turn.next_wait() for turn in turns]
    assert [wait and wait[1] for wait in waits] == [0.75, 1.75, 2.75, 3.75]
    for turn in turns[1:3]:
        turn.release()
    wait = turns[3].next_wait()
    assert wait is not None
    assert wait[1] == 1.75


def test_a_turn_that_looks_again_wakes_those_whose_turn_it_is() -> None:
    """Not itself: it runs. And the new head, whose timer is for a later instant."""
    harness, woken = Harness(rate=100), list[str]()
    harness.join()
    turns = {name: harness.join() for name in "abcd"}
    for name, turn in turns.items():
        assert turn._waiter is not None
        turn._waiter.notify(lambda name=name: woken.append(name))  # type: ignore[misc]
    turns["b"].release()
    harness.now += 0.01
    turns["d"].next_wait()
    assert [turns["a"].is_granted, woken] == [True, ["a", "c"]]
    harness.now += 0.02
    assert turns["d"].next_wait() is None
    assert [turns["c"].is_granted, turns["d"].is_granted] == [True, True]
    assert woken == ["a", "c"], "both ran by then"


@each_row("learning", [{}, {"follow_headers": True}], ids=["plain", "learning"])
@each_row(("missing", "passes"), [(0.5e-9, True), (1e-9, True), (1.5e-9, False)])
def test_a_token_may_be_missing_by_a_rounding_error(
    missing: float, passes: bool, learning: dict[str, Any]
) -> None:
    """Of a billionth; else a timer that is on time to the last digit would be too early."""
    for asks in (RateLimiter.try_acquire, lambda limiter: limiter.acquire_later().is_granted):
        harness = Harness(0.0, rate=1, **learning)
        assert harness.passed(2) == 1
        harness.now += 1.0 - missing
        assert asks(harness.limiter) is passes


def test_a_wait_lasts_a_microsecond_at_least() -> None:
    """A timer that fires a rounding error early must not fire for ever."""
    harness = Harness(rate=1)
    harness.join()
    turn = harness.join()
    harness.now = 1001.0 - 1e-8
    wait = turn.next_wait()
    assert wait is not None
    assert wait[1] == pytest.approx(1e-6)


def test_a_turn_that_leaves_the_queue_moves_the_others_forward() -> None:
    """The head is woken, sets its timer for the earlier instant, and wakes the next one in its turn."""
    harness = Harness(rate=1)
    _, second, third, fourth = (harness.join() for _ in range(4))
    woken: list[str] = []
    for name, turn in (("third", third), ("fourth", fourth)):
        assert turn._waiter is not None
        turn._waiter.notify(lambda name=name: woken.append(name))  # type: ignore[misc]
    second.release()
    assert woken == ["third"]
    third.next_wait()
    harness.fire(third)
    assert (harness.now, third.is_granted, woken) == (pytest.approx(1001.0), True, ["third", "fourth"])
    fourth.next_wait()
    harness.fire(fourth)
    assert (harness.now, fourth.is_granted) == (pytest.approx(1002.0), True)


def test_a_granted_turn_that_is_not_used_returns_its_token() -> None:
    """To the head of the queue; a second release returns nothing."""
    harness = Harness(rate=1)
    first, second, third = (harness.join() for _ in range(3))
    first.release()
    first.release()
    assert [second.is_granted, third.is_granted] == [True, False]
    assert harness.limiter.snapshot().admitted == 1


def test_a_waiter_that_never_comes_back_stops_nobody() -> None:
    """Its timer never fires; that of the next one grants its token, and soon another."""
    harness = Harness(rate=1)
    _, gone, next_one = (harness.join() for _ in range(3))
    harness.fire(next_one)
    assert (harness.now, gone.is_granted, next_one.is_granted) == (pytest.approx(1002.0), True, False)
    harness.fire(next_one)
    assert (harness.now, next_one.is_granted) == (pytest.approx(1002.95), True)


def test_those_who_wait_move_to_a_faster_rate() -> None:
    """The head is woken; each has its turn as if it had joined under the new rate."""
    harness = Harness(rate=0.01)
    harness.join()
    turns = [harness.join() for _ in range(3)]
    harness.limiter.reconfigure(RateLimitSettings(rate=10))
    for number, turn in enumerate(turns, start=1):
        turn.next_wait()
        harness.fire(turn)
        assert (turn.is_granted, harness.now) == (True, pytest.approx(1000 + number / 10))


def test_those_who_wait_move_to_a_slower_rate() -> None:
    """Their timers fire too early, and are set again."""
    harness = Harness(rate=10)
    harness.join()
    turn = harness.join()
    harness.limiter.reconfigure(RateLimitSettings(rate=0.5))
    assert harness.limiter.settings.rate == 0.5
    harness.fire(turn)
    assert not turn.is_granted
    harness.fire(turn)
    assert (turn.is_granted, harness.now) == (True, pytest.approx(1002.0))


def test_a_larger_burst_adds_tokens_and_a_smaller_one_keeps_the_level() -> None:
    """No call waits longer for a smaller burst than one token takes."""
    harness = Harness(rate=1, burst=2)
    turns = [harness.join() for _ in range(5)]
    harness.limiter.reconfigure(RateLimitSettings(rate=1, burst=4))
    assert [turn.is_granted for turn in turns] == [True, True, True, True, False]
    harness.limiter.reconfigure(RateLimitSettings(rate=1, burst=1))
    harness.fire(turns[4])
    assert (turns[4].is_granted, harness.now) == (True, pytest.approx(1001.0))
    harness.now += 100
    harness.limiter.reconfigure(RateLimitSettings(rate=1, burst=3))
    assert harness.passed(5) == 3


@each_row(("spent", "burst", "tokens"), [(0, 2, 2), (1, 2, 2), (2, 2, 1), (1, 1, 1), (2, 1, 1), (3, 1, 0)])
def test_a_smaller_burst_keeps_the_level_as_far_as_it_goes(spent: int, burst: int, tokens: float) -> None:
    """Of a bucket for three."""
    harness = Harness(rate=1, burst=3)
    harness.now += 10.0
    assert harness.passed(spent) == spent
    harness.limiter.reconfigure(RateLimitSettings(rate=1, burst=burst))
    assert harness.limiter.snapshot().tokens == tokens


def test_a_limit_that_was_lifted_limits_nothing() -> None:
    """Whatever it had learned, and whatever else it hears."""
    harness = Harness(rate=1, follow_headers=True, adaptive="aimd")
    assert harness.passed(2) == 1
    assert harness.limiter.learns
    for _ in range(2):
        harness.limiter.finish(1000.0, True, [ReportedQuota("a", 0, 60.0, 9)])
        harness.limiter.lift()
        assert (harness.limiter.rate, harness.limiter.learns) == (None, False)
        assert harness.passed(100) == 100


def test_the_time_until_one_more_caller_would_have_its_turn() -> None:
    """None while a token is free, and that of those before it, though their timers have not fired."""
    harness = Harness(rate=1)
    assert harness.limiter.retry_after == 0.0
    harness.join(), harness.join()
    harness.now += 1.0
    assert harness.limiter.retry_after == 1.0


def test_without_a_rate_nothing_waits() -> None:
    """Until one is set; those that passed before do not count."""
    harness = Harness(follow_headers=True)
    assert harness.passed(1000) == 1000
    assert harness.limiter.is_at_rest
    harness.limiter.reconfigure(RateLimitSettings(rate=1))
    assert harness.passed(3) == 1
    turn = harness.join()
    harness.limiter.reconfigure(RateLimitSettings(follow_headers=True))
    assert turn.is_granted


def test_only_a_full_bucket_without_a_queue_is_at_rest() -> None:
    """Forgetting it loses nothing then."""
    harness = Harness(rate=1, burst=2)
    assert harness.limiter.is_at_rest
    harness.passed(1)
    assert not harness.limiter.is_at_rest
    harness.now += 1.0
    assert harness.limiter.is_at_rest
    harness.passed(1)
    harness.limiter.reconfigure(RateLimitSettings(follow_headers=True))
    assert harness.limiter.is_at_rest, "it has no bucket any more"
    harness.limiter.finish(1001.0, False, [ReportedQuota("a", 0, 60.0, 9)])
    harness.join()
    assert not harness.limiter.is_at_rest


@each_row(
    ("is_throttled", "reported", "tokens"),
    [
        (None, [], 1),
        (None, [ReportedQuota("a", 7, 60.0, 9)], 1),
        (True, [], 1),
        (True, [ReportedQuota("a", 7, 60.0, 9)], 7),
        (False, [], math.inf),
        (False, [ReportedQuota("a", 7, 60.0, 9)], 7),
    ],
)
def test_what_a_call_that_finds_out_shows(
    is_throttled: bool | None, reported: list[ReportedQuota], tokens: float
) -> None:
    """No evidence shows nothing, and a throttling response without a number does not end the limit."""
    harness = Harness(follow_headers=True)
    assert harness.passed(1) == 1
    harness.limiter.finish(1000.0, False, [ReportedQuota("a", 0, 10.0, 9)])
    harness.now += 9.5
    assert harness.passed(1) == 0
    harness.now += 0.5
    assert harness.passed(2) == 1
    harness.limiter.finish(1010.0, is_throttled, reported)
    assert harness.limiter.snapshot().tokens == tokens
