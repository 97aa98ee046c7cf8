"""The adaptive rate: slower by throttling, faster by successes, and both known ways of it."""

from __future__ import annotations

import threading
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.limits.adaptive_rate import AdaptiveRate
from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.limits.rate_limiter import RateLimiter
from kit.rows import each_row

WAYS: list[Literal["aimd", "cubic"]] = ["aimd", "cubic"]


def busy(way: Literal["aimd", "cubic"], rate: float, most: float | None = None) -> AdaptiveRate:
    """After ten seconds of calls at a rate, ending at 10.0."""
    adaptive = AdaptiveRate(way, most, 0.0)
    for number in range(1, int(10 * rate) + 1):
        adaptive.count(number / rate)
    return adaptive


@pytest.mark.parametrize("way", WAYS)
def test_there_is_no_limit_before_the_first_throttling(way: Any) -> None:
    """Successes set none."""
    adaptive = busy(way, 20)
    assert adaptive.succeeded(10.0) is None
    assert adaptive.measured == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("way", WAYS)
def test_successes_before_the_first_throttling_change_nothing(way: Any) -> None:
    """A rate that was set stays: nothing has shown that the service would admit more, or less."""
    adaptive = busy(way, 40, most=20)
    assert [adaptive.succeeded(10.0), adaptive.rate] == [20, 20]


def test_the_measured_rate_is_that_of_half_seconds_smoothed() -> None:
    """0.8 of the new one and 0.2 of the old one; the first one has nothing to be smoothed with."""
    adaptive, measured = AdaptiveRate("cubic", None, 0.0), []
    for instant in (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0):
        adaptive.count(instant)
        measured.append(adaptive.measured)
    assert measured == pytest.approx([0.0, 0.0, 0.0, 0.0, 10.0, 10.0, 0.8 * 4 + 0.2 * 10])


def test_a_throttling_response_in_the_first_moment_goes_by_the_calls_until_then() -> None:
    """As if they had come in half a second, in which no rate is measured yet."""
    adaptive = AdaptiveRate("cubic", None, 0.0)
    for instant in (0.05, 0.1, 0.15, 0.2):
        adaptive.count(instant)
    assert adaptive.throttled(0.25, 0.2) == pytest.approx(0.7 * 8)


def test_a_rate_is_no_lower_than_a_call_in_ten_seconds() -> None:
    """However few calls there were: otherwise nothing would show that the service admits more."""
    adaptive = AdaptiveRate("aimd", None, 0.0)
    adaptive.count(100.0)
    assert adaptive.throttled(100.5, 100.0) == 0.1


@pytest.mark.parametrize("way", WAYS)
def test_a_throttling_response_slows_down_to_0_7_of_the_measured_rate(way: Any) -> None:
    """Of the present rate, if that is lower."""
    assert busy(way, 20).throttled(10.0, 9.9) == pytest.approx(14, rel=0.15)
    assert busy(way, 20, most=10).throttled(10.0, 9.9) == pytest.approx(7, rel=0.15)


@pytest.mark.parametrize("way", WAYS)
def test_throttling_responses_to_calls_under_way_together_are_one(way: Any) -> None:
    """Only a call that began after the slow-down can cause another."""
    adaptive = busy(way, 20)
    rates = [adaptive.throttled(10.0 + number / 100, 9.9) for number in range(10)]
    assert rates == [rates[0]] * 10
    assert adaptive.throttled(10.2, 10.0) == rates[0], "it began at the instant of the slow-down"
    assert adaptive.throttled(10.2, 10.1) == pytest.approx(0.7 * (rates[0] or 0))


def test_the_curve_is_that_of_cubic() -> None:
    """Back at the rate at which it was throttled after k seconds; flat there; then faster again."""
    adaptive = busy("cubic", 20)
    start = adaptive.throttled(10.0, 9.9) or 0
    at = start / 0.7
    k = (at * 0.3 / 0.4) ** (1 / 3)
    for seconds in (0.0, 0.5, k, k + 1):
        expected = 0.4 * (seconds - k) ** 3 + at
        assert adaptive.succeeded(10.0 + seconds) == pytest.approx(expected, rel=1e-6)


def test_the_line_is_back_after_ten_seconds_at_any_rate() -> None:
    """3 % of the rate for each second."""
    for rate in (1.0, 20.0, 300.0):
        adaptive = busy("aimd", rate)
        start = adaptive.throttled(10.0, 9.9) or 0
        assert adaptive.succeeded(15.0) == pytest.approx(start / 0.7 * 0.85)
        assert adaptive.succeeded(20.0) == pytest.approx(start / 0.7)


@pytest.mark.parametrize("way", WAYS)
def test_a_rate_that_is_not_used_does_not_grow(way: Any) -> None:
    """Beyond twice the measured one; a pause lowers nothing."""
    adaptive = busy(way, 20)
    rate = adaptive.throttled(10.0, 9.9)
    for second in range(11, 100):
        adaptive.count(float(second))
        assert adaptive.succeeded(float(second)) == pytest.approx(rate)


@pytest.mark.parametrize("way", WAYS)
def test_it_never_exceeds_the_rate_that_was_set(way: Any) -> None:
    """That is the most, and where it begins."""
    adaptive = busy(way, 20, most=20)
    assert adaptive.rate == 20
    adaptive.throttled(10.0, 9.9)
    for number in range(1, 2000):
        adaptive.count(10 + number / 40)
        adaptive.succeeded(10 + number / 40)
    assert adaptive.rate == 20


@each_row(
    ("most", "is_throttled", "after", "expected"),
    [
        (20, False, 50, 50),
        (20, False, None, None),
        (None, False, 50, 50),
        (20, True, 50, 14),
        (20, True, None, 14),
        (20, True, 5, 5),
        (None, True, 5, 5),
    ],
)
def test_other_settings_keep_what_was_found_out(
    most: float | None, is_throttled: bool, after: float | None, expected: float | None
) -> None:
    """Before the first throttling response nothing was: the rate is the one that is set."""
    adaptive = busy("aimd", 40, most=most)
    if is_throttled:
        adaptive.throttled(10.0, 9.9)
    adaptive.reconfigure("cubic", after)
    assert adaptive.rate == (None if expected is None else pytest.approx(expected))


@given(
    way=st.sampled_from(WAYS),
    most=st.sampled_from([None, 0.01, 5.0, 1e6]),
    events=st.lists(st.tuples(st.floats(0, 100), st.sampled_from("cts"), st.floats(0, 10)), max_size=40),
)
def test_the_rate_is_always_sound(
    way: Any, most: float | None, events: list[tuple[float, str, float]]
) -> None:
    """Positive, at most the one that was set, and lowered by throttling alone."""
    adaptive, now = AdaptiveRate(way, most, 0.0), 0.0
    for seconds, event, latency in events:
        now, before = now + seconds, adaptive.rate
        if event == "c":
            adaptive.count(now)
        elif event == "t":
            adaptive.throttled(now, now - latency)
        else:
            adaptive.succeeded(now)
            assert adaptive.rate == before or before is None or (adaptive.rate or 0) > before
        rate = adaptive.rate
        assert rate is None or 0 < rate <= (1e9 if most is None else most)
        assert rate is None or rate >= min(0.1, most or 0.1)


def test_a_limiter_moves_those_that_wait() -> None:
    """To the slower rate, and back to the faster one; `reconfigure` keeps what was found out."""
    now = 0.0
    limiter = RateLimiter(
        RateLimitSettings(rate=100, adaptive="aimd"), clock=lambda: now, lock=threading.RLock()
    )
    for _ in range(200):
        now += 0.01
        assert limiter.try_acquire()
    limiter.finish(now, True)
    rate = limiter.snapshot().rate
    assert rate == pytest.approx(70, rel=0.1)
    now += 1.0
    limiter.finish(now, None)  # it shows nothing
    assert limiter.snapshot().rate == rate
    limiter.reconfigure(RateLimitSettings(rate=50, adaptive="cubic"))
    assert limiter.snapshot().rate == 50
    limiter.reconfigure(RateLimitSettings(rate=100))
    assert limiter.snapshot().rate == 100


def test_the_first_slow_down_of_a_limiter_allows_no_burst() -> None:
    """The service has just said that it got too many."""
    now = 5.0
    limiter = RateLimiter(
        RateLimitSettings(adaptive="cubic", burst=10), clock=lambda: now, lock=threading.RLock()
    )
    assert all(limiter.try_acquire() for _ in range(40))
    now = 6.0
    limiter.finish(5.0, True)
    assert not limiter.try_acquire()
    assert limiter.snapshot().rate == pytest.approx(28, rel=0.1)
    now = 6.5
    tokens = limiter.snapshot().tokens
    assert tokens == 10
    limiter.finish(6.5, False)
    limiter.finish(6.5, True)
    assert limiter.snapshot().tokens == tokens, "later ones take no tokens: whoever paused may have a burst"
