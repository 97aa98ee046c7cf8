"""The rate limiter: its rate, its burst, its queue, and what cancellation, clocks and new settings do to them."""

from __future__ import annotations

import gc
import math
import threading
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.limits.rate_limiter import RateLimiter, Turn
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.http.fields.rate_limits import ReportedQuota
from kit.threads import run_threads

NINE_LEFT = ReportedQuota("a", 9, 200.0, 9)


class Harness:
    """A limiter, and a clock under the test's control."""

    def __init__(self, now: float = 1000.0, **settings: Any) -> None:
        self.now = now
        self.limiter = RateLimiter(
            RateLimitSettings(**settings), clock=lambda: self.now, lock=threading.RLock()
        )

    def passed(self, calls: int) -> int:
        """How many of so many callers that do not wait get a token."""
        return sum(self.limiter.try_acquire() for _ in range(calls))

    def join(self) -> Turn:
        """A turn, with its timer set if it has to wait."""
        turn = self.limiter.acquire_later()
        assert isinstance(turn, Turn)
        turn.next_wait()
        return turn

    def fire(self, turn: Turn) -> None:
        """Advance to the instant of its timer, which then fires; one that was woken sets it first."""
        if turn._wakes_at == -math.inf:
            turn.next_wait()
        self.now = max(self.now, turn._wakes_at)
        turn.next_wait()


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


@pytest.mark.parametrize("learning", [{}, {"follow_headers": True}], ids=["plain", "learning"])
@pytest.mark.parametrize(("missing", "passes"), [(0.5e-9, True), (1e-9, True), (1.5e-9, False)])
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


@pytest.mark.parametrize(
    ("spent", "burst", "tokens"), [(0, 2, 2), (1, 2, 2), (2, 2, 1), (1, 1, 1), (2, 1, 1), (3, 1, 0)]
)
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


def test_a_forked_child_has_the_tokens_and_not_the_queue() -> None:
    """Its parent's threads wait in the parent; what they hold returns nothing here."""
    harness = Harness(rate=1, burst=2)
    inherited = [harness.join() for _ in range(4)]
    harness.limiter.reset_after_fork()
    assert harness.limiter.snapshot()[1:5] == (0.0, 0, 0, 0)
    assert inherited[3].next_wait() is None
    for turn in inherited:
        turn.release()
    assert harness.passed(1) == 0
    harness.now += 1.0
    assert harness.passed(2) == 1


def test_a_forked_child_has_saved_nothing() -> None:
    """The call that was late is the parent's."""
    harness = Harness(rate=10)
    harness.join()
    second = harness.join()
    harness.now = 1000.13  # 0.03 late
    second.next_wait()
    harness.limiter.reset_after_fork()
    harness.now = 1000.22
    assert harness.passed(1) == 1
    assert harness.limiter.retry_after == pytest.approx(0.1)


def test_a_call_of_the_parent_is_not_under_way_in_a_forked_child() -> None:
    """Nothing is taken off for it from what the service says is left."""
    harness = Harness(follow_headers=True)
    assert harness.passed(1) == 1
    harness.limiter.reset_after_fork()
    assert harness.passed(1) == 1
    harness.limiter.finish(1000.0, False, [ReportedQuota("a", 5, 60.0, 9)])
    assert harness.limiter.snapshot().tokens == 5


def test_a_wait_that_nothing_of_ours_ended_was_cut_short() -> None:
    """The client was closed; a timer that is a little early, a grant or a clock that stepped back is no such thing."""
    harness = Harness(rate=1)
    harness.join()
    turn = harness.limiter.acquire_later()
    assert isinstance(turn, Turn)
    assert not turn.is_cut_short, "it has not waited yet"
    turn.next_wait()
    assert turn.is_cut_short
    harness.now -= 1
    assert not turn.is_cut_short
    harness.now = 1001.0 - TIMER_SLACK
    assert not turn.is_cut_short
    harness.now -= 1e-6
    assert turn.is_cut_short
    harness.limiter.reconfigure(RateLimitSettings(rate=1.0001))
    assert not turn.is_cut_short, "it was woken: it is due sooner"
    turn.next_wait()
    harness.limiter.reconfigure(RateLimitSettings(rate=1, burst=2))
    assert turn.is_granted
    assert not turn.is_cut_short


def test_a_waiter_is_notified_outside_the_lock() -> None:
    """What wakes a thread or a task may come back to the limiter."""
    harness = Harness(rate=1)
    harness.join()
    turn, other = harness.join(), harness.join()
    is_free: list[bool] = []

    def look_from_elsewhere() -> None:
        thread = threading.Thread(target=lambda: is_free.append(harness.limiter.try_acquire() is False))
        thread.start()
        thread.join(timeout=5)

    for waiting in (turn, other):
        assert waiting._waiter is not None
        waiting._waiter.notify(look_from_elsewhere)
    harness.now += 1
    harness.limiter.acquire_later()
    assert (turn.is_granted, is_free) == (True, [True])
    harness.limiter.reconfigure(RateLimitSettings(rate=2))
    assert is_free == [True, True]


@pytest.mark.parametrize(
    ("settings", "act"),
    [
        ({"rate": 1}, lambda limiter, holder: holder.release()),
        ({"rate": 1}, lambda limiter, holder: limiter.give_back()),
        ({"rate": 1}, lambda limiter, holder: limiter.reconfigure(RateLimitSettings(rate=1, burst=2))),
        ({"rate": 1}, lambda limiter, holder: limiter.lift()),
        ({"follow_headers": True}, lambda limiter, holder: limiter.finish(1000.0, False, [NINE_LEFT])),
    ],
    ids=["release", "give_back", "reconfigure", "lift", "finish"],
)
def test_whatever_makes_room_wakes_the_one_that_has_it(settings: dict[str, Any], act: Any) -> None:
    """Its timer would fire much later."""
    harness, woken = Harness(**settings), list[str]()
    holder = harness.join()
    harness.limiter.finish(1000.0, False, [ReportedQuota("a", 0, 60.0, 9)])
    turn = harness.join()
    assert turn._waiter is not None
    turn._waiter.notify(lambda: woken.append("woken"))
    act(harness.limiter, holder)
    assert (turn.is_granted, woken) == (True, ["woken"])


@pytest.mark.parametrize(
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


def test_the_limiter_keeps_no_turn_that_ended() -> None:
    """Nor the frames of callers that waited."""
    harness = Harness(rate=1)
    turns = [harness.join() for _ in range(100)]
    for turn in turns:
        turn.release()
    del turns, turn
    gc.collect()
    assert harness.limiter.waiting == 0
    assert not [thing for thing in gc.get_referrers(harness.limiter) if isinstance(thing, Turn)]


def test_a_turn_that_looks_again_waits_once() -> None:
    """Its wait before has ended, and is not remembered."""
    harness = Harness(rate=1)
    harness.join()
    turn = harness.join()
    for _ in range(3):
        turn.next_wait()
    assert repr(turn._latch) == "<Latch closed, 1 waiting>"


def test_a_turn_that_was_released_keeps_no_waiter() -> None:
    """It would hold the frame of the caller that waited, for as long as somebody has the turn."""
    harness = Harness(rate=1)
    granted, waiting = harness.join(), harness.join()
    assert waiting._waiter is not None
    for turn in (waiting, granted, waiting):  # a second time does nothing
        turn.release()
        assert turn._latch is turn._waiter is None
    assert harness.passed(2) == 1


def test_64_threads_get_exactly_the_tokens_that_there_are() -> None:
    """However they race, while the time goes on in steps."""
    harness = Harness(rate=1000, burst=100)
    admitted: list[int] = []

    def work(number: int) -> None:
        own = 0
        for _ in range(50):
            own += harness.limiter.try_acquire()
            if number == 0:
                harness.now += 0.01
        admitted.append(own)

    run_threads(work, 64)
    tokens = harness.limiter.snapshot().tokens
    earned = 100 + 1000 * (harness.now - 1000.0)
    assert sum(admitted) + tokens <= earned + 1
    assert sum(admitted) == harness.limiter.snapshot().admitted


def test_waiters_of_64_threads_pass_exactly_at_the_rate() -> None:
    """At each instant as many as an ideal bucket would have let pass, within one token, whichever timers fire."""
    harness = Harness(rate=333, burst=7)
    turns: list[Turn] = []
    run_threads(lambda number: turns.extend(harness.join() for _ in range(16)), 64)
    for _ in range(30):
        harness.now += 0.0137
        waiting = [turn for turn in turns if not turn.is_granted]
        run_threads(lambda number, waiting=waiting: [turn.next_wait() for turn in waiting[number::7]], 7)
        ideal = 7 + 333 * (harness.now - 1000.0)
        assert ideal - 1 < harness.limiter.snapshot().admitted <= ideal + 1e-6
    assert [turn.is_granted for turn in sorted(turns, key=lambda turn: turn._number)][:140] == [True] * 140


class Model(RuleBasedStateMachine):
    """Against a bucket in exact fractions, with a queue, which is served at each instant at which a token is due.

    Times and rates are multiples of powers of two, so that the limiter's floats are exact, too.
    """

    @initialize(rate=st.sampled_from([0.125, 1, 8, 1024]), burst=st.integers(1, 4))
    def begin(self, rate: float, burst: int) -> None:
        self.harness = Harness(rate=rate, burst=burst)
        self.now, self.stepped = Fraction(1000), Fraction(0)
        self.rate, self.burst, self.level = Fraction(rate), burst, Fraction(burst)
        self.waiting: list[Turn] = []  # of the model: in order
        self.turns: list[Turn] = []  # granted by the model, not released
        self.admitted = 0

    def grant(self) -> None:
        while self.waiting and self.level >= 1:
            self.level -= 1
            self.admitted += 1
            self.turns.append(self.waiting.pop(0))

    @rule(count=st.integers(1, 5))
    def callers_come(self, count: int) -> None:
        for _ in range(count):
            self.waiting.append(self.harness.join())
        self.grant()

    @rule()
    def one_comes_that_does_not_wait(self) -> None:
        passes = not self.waiting and self.level >= 1
        assert self.harness.limiter.try_acquire() is passes
        if passes:
            self.level -= 1
            self.admitted += 1

    @rule(steps=st.integers(1, 64), unit=st.sampled_from([1 / 1024, 0.25, 16]))
    def time_passes(self, steps: int, unit: float) -> None:
        until = self.now + Fraction(steps * unit)
        while self.now < until:
            due = (1 - self.level) / self.rate if self.waiting else None
            step = until - self.now if due is None else min(due, until - self.now)
            self.now += step
            self.level = min(Fraction(self.burst), self.level + step * self.rate)
            self.grant()
        self.fire_timers()

    def fire_timers(self) -> None:
        """Each timer fires at its instant, or at once if its turn was woken, in the order of the instants."""
        until = float(self.now - self.stepped)
        turns = [*self.turns, *self.waiting]
        for _ in range(10_000):
            awake = [turn for turn in turns if not turn.is_granted and turn._wakes_at <= until]
            if not awake:
                break
            turn = min(awake, key=lambda turn: turn._wakes_at)
            self.harness.now = max(self.harness.now, turn._wakes_at)
            turn.next_wait()
        self.harness.now = max(self.harness.now, until)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def a_waiter_is_cancelled(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(turn)
        turn.release()
        turn.release()

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def a_granted_turn_is_not_used(self, data: st.DataObject) -> None:
        turn = data.draw(st.sampled_from(self.turns))
        self.turns.remove(turn)
        turn.release()
        self.level = min(Fraction(self.burst), self.level + 1)
        self.admitted -= 1
        self.grant()

    @rule(rate=st.sampled_from([0.125, 1, 8, 1024]), burst=st.integers(1, 4))
    def settings_change(self, rate: float, burst: int) -> None:
        self.harness.limiter.reconfigure(RateLimitSettings(rate=rate, burst=burst))
        self.level = min(self.level + max(0, burst - self.burst), Fraction(burst))
        self.rate, self.burst = Fraction(rate), burst
        self.grant()

    @rule(seconds=st.sampled_from([0.5, 512.0]))
    def the_clock_steps_back(self, seconds: float) -> None:
        self.stepped += Fraction(seconds)
        self.harness.now -= seconds
        self.harness.limiter.snapshot()
        for turn in self.waiting:
            turn._wakes_at -= seconds  # timers go on: they know durations, no instants

    @invariant()
    def both_grant_the_same_turns(self) -> None:
        if not hasattr(self, "harness"):
            return
        self.fire_timers()
        assert [turn.is_granted for turn in self.turns] == [True] * len(self.turns)
        assert [turn.is_granted for turn in self.waiting] == [False] * len(self.waiting)
        snapshot = self.harness.limiter.snapshot()
        assert (snapshot.admitted, snapshot.waiting) == (self.admitted, len(self.waiting))
        assert snapshot.tokens == pytest.approx(max(0.0, float(self.level)), abs=1e-3)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=25)
