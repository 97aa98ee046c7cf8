"""What a service said is left: never exceeded before its reset, no promise, and no cliff."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.limits.rate_limiter import RateLimiter, Turn
from http_service_client.core.machines.limits.reported_quotas import ReportedQuotas
from http_service_client.http.fields.rate_limits import ReportedQuota
from kit.rows import each_row


def quota(remaining: int, reset: float, limit: int | None = None, name: str = "a") -> ReportedQuota:
    return ReportedQuota(name, remaining, reset, limit)


def calls(quotas: ReportedQuotas, now: float, count: int = 1) -> int:
    """How many of so many calls may begin now; they end at once, and their responses say nothing."""
    passed = 0
    for _ in range(count):
        if quotas.wait(now) <= 0:
            quotas.take(now)
            quotas.finish()
            passed += 1
    return passed


def test_nothing_is_known_at_first() -> None:
    """So nothing waits."""
    assert calls(ReportedQuotas(), 0.0, 100) == 100


def test_no_more_than_what_is_left_before_the_reset() -> None:
    """Each quota counts by itself."""
    quotas = ReportedQuotas()
    quotas.report([quota(1000, 5.0), quota(3, 60.0, name="b")], 0.0, 0.0)
    passed = sum(calls(quotas, second / 10) for second in range(600))
    assert passed == 3
    assert quotas.wait(59.0) == pytest.approx(1.0)


def test_while_much_is_left_calls_go_as_fast_as_they_like() -> None:
    """And the last fifth of the quota is spread evenly over the time until the reset."""
    quotas = ReportedQuotas()
    quotas.report([quota(100, 30.0, 100)], 0.0, 0.0)
    assert calls(quotas, 0.0, 100) == 80
    instants, now = [], 0.0
    while now < 29.99:
        wait = quotas.wait(now)
        now += max(wait, 1e-9)
        if now < 30.0 and not wait:
            quotas.take(now)
            quotas.finish()
            instants.append(now)
    assert len(instants) == 20
    gaps = [later - earlier for earlier, later in itertools.pairwise(instants)]
    assert min(gaps) == pytest.approx(max(gaps), rel=0.01)


def test_requests_under_way_are_taken_off() -> None:
    """They may or may not be counted in the number; when none is under way any more, it is the truth."""
    quotas = ReportedQuotas()
    for _ in range(3):
        quotas.take(0.0)
    quotas.finish()
    quotas.report([quota(9, 60.0, 10)], 0.1, 0.1)
    assert quotas.left == 7
    quotas.finish()
    quotas.report([quota(7, 60.0, 10)], 0.2, 0.2)
    assert quotas.left == 6
    quotas.finish()
    quotas.report([quota(8, 60.0, 10)], 0.3, 0.3)  # overtaken by the one before
    assert quotas.left == 7


def test_within_a_window_a_number_never_grows_and_a_new_window_begins_again() -> None:
    """A late response of the window before is ignored."""
    quotas = ReportedQuotas()
    quotas.report([quota(2, 10.0, 10)], 0.0, 0.0)
    quotas.report([quota(9, 70.0, 10)], 0.9, 1.0)
    assert quotas.left == 9
    quotas.report([quota(1, 8.0, 10)], 0.5, 2.0)
    assert quotas.left == 9


@each_row(
    ("remaining", "reset", "began_at", "now", "left", "until"),
    [
        (3, 8.0, 3.5, 4.0, 0, 12.0),  # the same window, which ends at 12 at the latest
        (3, 6.0, 3.0, 3.0, 0, 9.0),  # the earliest instant that the first response may have meant
        (3, 5.9, 3.0, 3.0, 0, 13.0),  # it is from the window before
        (3, 10.5, 3.5, 4.0, 3, 14.5),  # the next window: the first one has ended by 13
        (3, 10.4, 3.5, 4.0, 0, 13.0),
        (3, 0.5, 13.0, 13.2, 3, 13.7),
    ],
)
def test_of_which_window_a_response_is(
    remaining: int, reset: float, began_at: float, now: float, left: int, until: float
) -> None:
    """By the instants that it may mean. The first one, of a call from 0 to 3, meant a reset between 9 and 13."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0, 100)], 0.0, 3.0)
    quotas.report([quota(remaining, reset, 100)], began_at, now)
    assert quotas.left == left
    for _ in range(left):
        quotas.take(now)
    assert now + quotas.wait(now) == pytest.approx(until)


def test_each_response_of_a_window_may_narrow_its_reset() -> None:
    """From both sides: what was possible after the first one is too early after the second."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0)], 0.0, 3.0)
    quotas.report([quota(0, 8.0)], 3.5, 4.0)  # between 10.5 and 12
    quotas.report([quota(0, 5.0)], 4.5, 5.0)  # at 10 at the latest
    assert quotas.wait(5.0) == 7.0
    quotas.report([quota(0, 5.5)], 4.5, 5.0)
    assert quotas.wait(5.0) == 5.5


def test_a_response_that_says_nothing_changes_nothing() -> None:
    """Unless its call was to find out."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0)], 0.0, 0.0)
    quotas.report([], 1.0, 1.0)
    assert quotas.wait(1.0) == 9.0


def test_the_first_of_the_last_calls_begins_at_once() -> None:
    """And the next ones keep the distance from each other."""
    quotas = ReportedQuotas()
    quotas.report([quota(4, 30.0, 20)], 0.0, 0.0)
    assert quotas.wait(0.0) == 0.0
    quotas.take(0.0)
    assert [quotas.wait(5.0, position) for position in range(4)] == [1.25, 7.5, 13.75, 25.0]


@pytest.mark.parametrize(("remaining", "is_spread"), [(20, True), (21, False)])
def test_the_size_of_a_quota_is_the_most_that_was_ever_left(remaining: int, is_spread: bool) -> None:
    """Where no response says it; a new window that others use, too, is as large as the one before."""
    quotas = ReportedQuotas()
    quotas.report([quota(100, 10.0)], 0.0, 0.0)
    quotas.report([quota(remaining + 1, 10.0)], 20.0, 20.0)
    quotas.take(20.0)
    assert (quotas.wait(20.0) > 0) is is_spread


def test_a_call_that_finds_out_learns_the_whole_window() -> None:
    """Less the calls under way, which may count in it: what was left before is no longer true."""
    quotas = ReportedQuotas()
    quotas.take(0.0)
    quotas.report([quota(0, 10.0, 5)], 0.0, 0.0)
    assert quotas.wait(10.0) == 0.0
    quotas.take(10.0)
    quotas.finish()
    quotas.report([quota(5, 10.0, 5)], 10.0, 10.2)
    assert quotas.left == 4


def test_a_call_that_finds_out_about_one_quota_changes_no_other() -> None:
    """Its response need not name them all."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0, 5), quota(3, 100.0, 5, name="b")], 0.0, 0.0)
    assert quotas.wait(10.0) == 0.0
    quotas.take(10.0)
    quotas.finish()
    quotas.report([quota(5, 10.0, 5)], 10.0, 10.2)
    assert quotas.left == 2


def test_after_the_reset_one_call_finds_out() -> None:
    """Not all that wait rush in: the service may have given back a part, or nothing."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0, 5)], 0.0, 0.0)
    assert quotas.wait(9.0) == 1.0
    assert [quotas.wait(10.0), quotas.wait(10.0)] == [0.0, 0.0], "to ask is not to call"
    quotas.take(10.0)
    assert quotas.wait(10.1) > 0
    quotas.finish()
    quotas.report([quota(2, 10.0, 5)], 10.0, 10.2)
    assert quotas.left == 2


def test_a_call_that_finds_nothing_is_followed_by_another() -> None:
    """When it got no response, or none for ten seconds; with one that says nothing, the limit is gone."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0, 5)], 0.0, 0.0)
    assert quotas.wait(10.0) == 0
    quotas.take(10.0)
    assert quotas.wait(10.1) == pytest.approx(9.9)
    quotas.finish()
    assert quotas.wait(10.2) == 0
    quotas.take(10.2)
    assert quotas.wait(19.9) > 0
    assert quotas.wait(20.1) == 0
    quotas.take(20.1)
    quotas.finish()
    quotas.report([], 20.1, 20.2)
    assert calls(quotas, 20.2, 50) == 50


def test_nobody_else_finds_out_while_an_earlier_call_is_under_way() -> None:
    """It may find out as well: its response says what is left, too."""
    quotas = ReportedQuotas()
    quotas.take(0.0)
    quotas.report([quota(0, 10.0, 5)], 0.0, 0.0)
    assert quotas.wait(10.0) == 0.0
    quotas.take(10.0)
    quotas.finish()
    assert quotas.wait(10.1) > 0
    quotas.finish()
    assert quotas.wait(10.1) == 0


def test_calls_go_on_one_by_one_until_one_finds_out() -> None:
    """However much time passes: that a reset should have been proves nothing."""
    quotas = ReportedQuotas()
    quotas.report([quota(0, 10.0, 5)], 0.0, 0.0)
    for now in (10.0, 20.0, 30.0):
        assert quotas.wait(now) == 0
        quotas.take(now)
        assert quotas.wait(now + 0.1) > 0
        quotas.finish()


@pytest.mark.parametrize("remaining", [30, 1])
def test_a_quota_that_was_not_used_up_is_forgotten_at_its_reset(remaining: int) -> None:
    """There is nothing to find out, so a response that says nothing ends no other quota."""
    quotas = ReportedQuotas()
    quotas.report([quota(remaining, 10.0, 100), quota(0, 60.0, 100, name="b")], 0.0, 0.0)
    assert quotas.wait(10.0) == 50.0
    quotas.report([], 10.0, 10.0)
    assert quotas.wait(10.0) == 50.0
    quotas.report([quota(9, 70.0, 100, name="b")], 60.0, 60.0)
    assert quotas.left == 9


@pytest.mark.parametrize("end", [ReportedQuotas.give_back, ReportedQuotas.reset_after_fork])
def test_a_call_that_is_none_is_not_under_way(end: Any) -> None:
    """It was not made, or the parent of this process makes it: nothing is taken off for it."""
    quotas = ReportedQuotas()
    quotas.take(0.0)
    end(quotas)
    quotas.report([quota(5, 60.0)], 0.0, 0.0)
    assert quotas.left == 5


def test_no_more_than_16_quotas_are_kept() -> None:
    """A service that names a new one in each response cannot fill the memory."""
    quotas = ReportedQuotas()
    for number in range(100):
        quotas.report([quota(5, 1000.0, name=str(number))], 0.0, 0.0)
    assert len(quotas._quotas) == 16
    quotas.report([quota(0, 1000.0, name="new"), quota(3, 1000.0, name="15")], 0.0, 0.0)
    assert quotas.left == 3, "one that is known is followed, whatever stands before it"


STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 1.0]), st.booleans(), st.integers(0, 9)), min_size=20, max_size=40
)


@given(st.integers(1, 12), STEPS)
def test_a_fixed_window_is_never_exceeded(limit: int, steps: list[tuple[float, bool, int]]) -> None:
    """By calls that overlap in any way, once the service has told the first one what it admits."""
    quotas, now, used, window = ReportedQuotas(), 0.0, 0, 0
    under_way: list[tuple[ReportedQuota, float]] = []
    for seconds, is_response, number in steps:
        now += seconds
        if int(now // 10) != window:
            window, used = int(now // 10), 0
        if under_way and (is_response or now - under_way[0][1] > 9):
            reported, began_at = under_way.pop(number % len(under_way) if is_response else 0)
            quotas.finish()
            quotas.report([reported], began_at, now)
        elif quotas.wait(now) <= 0 and (quotas._quotas or not under_way):
            quotas.take(now)
            used += 1
            assert used <= limit
            under_way.append((quota(limit - used, math.ceil((window + 1) * 10 - now), limit), now))
            if not quotas._quotas:
                quotas.finish()
                quotas.report([under_way.pop()[0]], now, now)


class Harness:
    def __init__(self, **given: Any) -> None:
        self.now = 0.0
        self.limiter = RateLimiter(RateLimitSettings(**given), clock=lambda: self.now, lock=threading.RLock())


def test_a_limiter_keeps_to_both_its_rate_and_the_quotas() -> None:
    """And a report wakes those whose turn is sooner now."""
    harness = Harness(rate=10, follow_headers=True)
    assert harness.limiter.try_acquire()
    harness.limiter.finish(0.0, False, [quota(1, 100.0, 5)])
    harness.now = 0.1
    assert not harness.limiter.try_acquire()  # the last one of five is kept for later
    turn = harness.limiter.acquire_later()
    assert isinstance(turn, Turn)
    _, seconds = turn.next_wait() or (None, 0.0)
    assert seconds == pytest.approx(50.0, abs=1)
    harness.limiter.finish(0.0, False, [quota(5, 200.0, 5)])
    assert turn.is_granted


def test_a_call_that_was_not_made_returns_its_share() -> None:
    """As its token."""
    harness = Harness(follow_headers=True)
    harness.limiter.try_acquire()
    harness.limiter.finish(0.0, False, [quota(5, 100.0, 5)])
    harness.limiter.try_acquire()
    harness.limiter.give_back()
    assert harness.limiter.snapshot().tokens == 5


def test_following_may_be_switched_off() -> None:
    """Those that wait go on at once."""
    harness = Harness(rate=10, follow_headers=True)
    harness.limiter.try_acquire()
    harness.limiter.finish(0.0, False, [quota(0, 100.0, 5)])
    harness.now = 1.0
    turn = harness.limiter.acquire_later()
    assert isinstance(turn, Turn)
    assert not turn.is_granted
    harness.limiter.reconfigure(RateLimitSettings(rate=10))
    assert turn.is_granted
