"""Callers that wait for a token: what wakes them, what a fork leaves of them, 64 threads, and a model of the queue."""

from __future__ import annotations

import gc
import threading
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.limits.rate_limiter import Turn
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.http.fields.rate_limits import ReportedQuota
from kit.rate_limiters import Harness
from kit.threads import run_threads

NINE_LEFT = ReportedQuota("a", 9, 200.0, 9)


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


def test_a_turn_shows_its_stage() -> None:
    """In the text for a debugger."""
    harness = Harness(rate=1)
    turns = [harness.join() for _ in range(3)]
    turns[2].release()
    stages = [repr(turn).partition(" of <RateLimiter")[0] for turn in turns]
    assert stages == ["<Turn granted", "<Turn waiting", "<Turn released"]


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
