"""How long a retry waits: backoff, Retry-After, deadline."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from http_service_client.core.machines.backoff import ConstantBackoff, ExponentialBackoff, LinearBackoff
from http_service_client.errors import (
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    SentState,
)
from http_service_client.events import RetryStopped, StopReason
from http_service_client.policies import RetryPolicy
from http_service_client.policies.deadline import deadline
from kit.fakes import RESET, FakeClock, Harness, short
from kit.front_ends import FrontEnd

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


NOW_DATE = "Sun, 06 Nov 1994 08:48:37 GMT"  # of a fresh FakeClock
LATER_DATE = "Sun, 06 Nov 1994 08:48:47 GMT"  # ten seconds on


@pytest.mark.parametrize(
    ("retry_after", "options", "wait"),
    [
        ("10", {}, 10.0),
        (LATER_DATE, {}, 10.0),
        ("0", {}, 1.0),  # a floor, not a replacement
        (NOW_DATE, {}, 1.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", {}, 1.0),  # past: 0
        ("0.5", {}, 1.0),
        ("30", {}, 30.0),  # as long as the attempt may take
        ("30.001", {}, None),
        ("31", {}, None),  # longer than the attempt's timeout
        ("31", {"timeout": 40.0}, 31.0),
        ("60", {"timeout": None}, 60.0),
        ("61", {"timeout": None}, None),  # longer than max_delay
        ("5", {"timeout": 1.0}, None),  # the seed's own example
        ("10", {"total_timeout": 10.0}, None),  # up to the deadline is across it
        ("10", {"total_timeout": 10.5}, 10.0),
        ("99999999999999999999", {}, None),
        ("9" * 400, {"timeout": None}, None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", {"timeout": None}, None),
        ("soon", {}, 1.0),  # garbage is ignored
        ("-1", {}, 1.0),
        ("nan", {}, 1.0),
        ("inf", {}, 1.0),
        ("1e3", {}, 1.0),
        ("", {}, 1.0),
        ("10, 20", {}, 1.0),
    ],
)
def test_retry_after(
    front_end: FrontEnd, retry_after: str, options: dict[str, Any], wait: float | None
) -> None:
    """A floor of the wait; what is longer than timeout, max_delay or deadline comes back at once."""
    policy = RetryPolicy(2, EXACT)
    harness = Harness(front_end, (503, {"Retry-After": retry_after}), 200, retry_policy_config=policy)
    response = harness.request(**options)
    assert harness.sleeps == ([] if wait is None else [wait])
    assert response.status_code == (503 if wait is None else 200)
    if wait is None:
        with_deadline = "total_timeout" in options
        assert stop_reason(harness) is (
            StopReason.DEADLINE if with_deadline else StopReason.RETRY_AFTER_TOO_LONG
        )


@pytest.mark.parametrize("luck", [0.0, 0.25, 0.999999])
@pytest.mark.parametrize("jitter", ["full", "equal", "none"])
def test_jitter_never_shortens_retry_after(front_end: FrontEnd, jitter: str, luck: float) -> None:
    """A client that comes back before it was told to is what gets clients banned."""
    backoff = ExponentialBackoff(initial_delay=4.0, jitter=jitter)
    harness = Harness(
        front_end,
        (429, {"Retry-After": "3"}),
        (429, {"Retry-After": "3"}),
        200,
        random=lambda: luck,
        retry_policy_config=RetryPolicy(3, backoff),
    )
    harness.request()
    assert len(harness.sleeps) == 2
    assert min(harness.sleeps) >= 3.0


def test_a_constant_backoff_heeds_retry_after(front_end: FrontEnd) -> None:
    """A short constant delay is no reason to ignore the server: up to a minute is waited."""
    policy = RetryPolicy(2, ConstantBackoff(0.1, jitter="none"))
    harness = Harness(front_end, (429, {"Retry-After": "7"}), 200, retry_policy_config=policy)
    assert harness.request().status_code == 200
    assert harness.sleeps == [7.0]


@pytest.mark.parametrize("first", [503, RESET], ids=short)
@pytest.mark.parametrize(("total", "is_waited"), [(1.0, False), (1.001, True), (0.5, False)])
def test_a_wait_across_the_deadline_is_not_begun(
    front_end: FrontEnd, first: Any, total: float, is_waited: bool
) -> None:
    """Nothing is slept: the last outcome is the answer, at once."""
    harness = Harness(front_end, first, 200, retry_policy_config=RetryPolicy(3, EXACT))
    if is_waited:
        assert harness.request(total_timeout=total).status_code == 200
        assert harness.sleeps == [1.0]
        return
    if first == 503:
        assert harness.request(total_timeout=total).status_code == 503
    else:
        harness.error(ConnectionLostError, total_timeout=total)
    assert (harness.sleeps, harness.sends) == ([], 1)
    assert stop_reason(harness) is StopReason.DEADLINE


def test_an_ambient_deadline_holds_as_well(front_end: FrontEnd) -> None:
    """`with deadline(...)` around the call, read from another clock, bounds its waits."""
    harness = Harness(front_end, 503, 200, retry_policy_config=RetryPolicy(3, EXACT))
    with deadline(0.9, clock=FakeClock(now=7.0).monotonic):
        assert harness.request().status_code == 503
    assert harness.sleeps == []
    assert harness.request().status_code == 200


def test_a_deadline_that_has_passed_sends_nothing(front_end: FrontEnd) -> None:
    """No attempt is made, and the error says so."""
    clock = FakeClock()
    harness = Harness(front_end)
    with deadline(1.0, clock=clock.monotonic):
        clock.now += 2.0
        error = harness.error(DeadlineExceededError)
    assert (harness.sends, error.sent_state) == (0, SentState.NEVER_SENT)
    assert [event.name for event in error.timeline] == ["call_finished"]


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (ExponentialBackoff(jitter="none"), [1.0, 2.0, 4.0]),
        (ExponentialBackoff(3.0, max_delay=5.0, jitter="none"), [3.0, 5.0, 5.0]),
        (ExponentialBackoff(), [0.5, 1.0, 2.0]),
        (ExponentialBackoff(jitter="equal"), [0.75, 1.5, 3.0]),
        (ExponentialBackoff(initial_delay=0.0), [0.0, 0.0, 0.0]),
        (LinearBackoff(1.0, 0.5, jitter="none"), [1.0, 1.5, 2.0]),
        (ConstantBackoff(0.25, jitter="none"), [0.25, 0.25, 0.25]),
    ],
    ids=short,
)
def test_the_waits_are_the_strategy_s(front_end: FrontEnd, backoff: Any, waits: list[float]) -> None:
    """A strategy holds no position: a second call begins anew."""
    harness = Harness(front_end, 500, retry_policy_config=RetryPolicy(4, backoff), **NO_BREAKER)
    harness.request()
    assert harness.sleeps == waits
    harness.request()
    assert harness.sleeps == waits * 2


def test_the_cap_comes_before_the_jitter() -> None:
    """Far beyond the cap the waits are spread evenly below it: nobody waits at exactly the cap."""
    from kit.front_ends import BlockingFrontEnd

    backoff = ExponentialBackoff(initial_delay=1.0, max_delay=4.0)
    harness = Harness(
        BlockingFrontEnd(),
        500,
        random=random.Random(20).random,
        retry_policy_config=RetryPolicy(12, backoff),
        enable_retry_budget=False,
        **NO_BREAKER,
    )
    for _ in range(200):
        harness.request()
    late = [wait for index, wait in enumerate(harness.sleeps) if index % 11 >= 3]
    assert len(late) == 1600
    assert max(late) < 4.0
    assert statistics.mean(late) == pytest.approx(2.0, abs=0.1)
    assert [sum(low <= wait < low + 1 for wait in late) / len(late) for low in range(4)] == pytest.approx(
        [0.25] * 4, abs=0.04
    )


class Listed:
    """A strategy of the user's own, whose delays come from a list."""

    def __init__(self, *delays: Any) -> None:
        self._delays = delays

    def delays(self, random: Any) -> Any:
        return iter(self._delays)


def test_a_strategy_that_ends_repeats_its_last_delay(front_end: FrontEnd) -> None:
    """Who lists the first waits means the rest to be like the last."""
    harness = Harness(
        front_end, 503, retry_policy_config=RetryPolicy(max_attempts=5, backoff_strategy=Listed(1, 2.5))
    )
    assert harness.request().status_code == 503
    assert harness.sleeps == [1, 2.5, 2.5, 2.5]


@pytest.mark.parametrize("delays", [(), (-1.0,), (float("nan"),), ("1",), (None,), (float("inf"),)])
def test_a_strategy_that_gives_no_sensible_delay_is_named(front_end: FrontEnd, delays: Any) -> None:
    """A delay that cannot be waited for is a ConfigurationError; nothing is waited for, nothing kept."""
    harness = Harness(front_end, 503, retry_policy_config=RetryPolicy(backoff_strategy=Listed(*delays)))
    assert "Listed" in str(harness.error(ConfigurationError))
    assert (harness.sends, harness.sleeps) == (1, [])
    assert all(limit.in_use == 0 for limit in harness.limits)
