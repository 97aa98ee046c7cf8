"""How long a retry waits: backoff, Retry-After and the deadline."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.other_backoffs import ConstantBackoff, LinearBackoff
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
from kit.rows import each_row

EXACT = ExponentialBackoff(jitter="none")  # 1, 2, 4 ... seconds
NO_BREAKER: dict[str, Any] = {"enable_circuit_breaker": False}


def stop_reason(harness: Harness) -> StopReason | None:
    return next((event.reason for event in harness.events if isinstance(event, RetryStopped)), None)


NOW_DATE = "Sun, 06 Nov 1994 08:48:37 GMT"  # of a fresh FakeClock
LATER_DATE = "Sun, 06 Nov 1994 08:48:47 GMT"  # ten seconds on


@each_row(
    ("retry_after", "options", "wait"),
    [
        ("10", {}, 10.0),
        (LATER_DATE, {}, 10.0),
        ("0", {}, 1.0),  # a floor, not a replacement
        (NOW_DATE, {}, 1.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", {}, 1.0),  # past: 0
        ("0.5", {}, 1.0),
        ("30", {}, 30.0),  # exactly the timeout of an attempt
        ("30.001", {}, None),
        ("31", {}, None),  # longer than the attempt's timeout
        ("31", {"timeout": 40.0}, 31.0),
        ("60", {"timeout": None}, 60.0),
        ("61", {"timeout": None}, None),  # longer than max_delay
        ("5", {"timeout": 1.0}, None),  # longer than the timeout of the call
        ("10", {"total_timeout": 10.0}, None),  # ending exactly at the deadline is too late
        ("10", {"total_timeout": 10.5}, 10.0),
        ("99999999999999999999", {}, None),
        ("9" * 400, {"timeout": None}, None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", {"timeout": None}, None),
        ("soon", {}, 1.0),  # an invalid value is ignored
        ("-1", {}, 1.0),
        ("nan", {}, 1.0),
        ("inf", {}, 1.0),
        ("1e3", {}, 1.0),
        ("", {}, 1.0),
        ("10, 20", {}, 1.0),
    ],
)
def test_retry_after_is_a_minimum_for_the_wait(
    front_end: FrontEnd, retry_after: str, options: dict[str, Any], wait: float | None
) -> None:
    """If it exceeds timeout, max_delay or deadline, the response is returned at once instead."""
    policy = RetryPolicy(2, EXACT)
    harness = Harness(front_end, (503, {"Retry-After": retry_after}), 200, retry_policy_config=policy)
    response = harness.request(**options)
    assert harness.sleeps == ([] if wait is None else [wait])
    assert response.status_code == (503 if wait is None else 200)
    if wait is None:
        has_deadline = "total_timeout" in options
        assert stop_reason(harness) is (
            StopReason.DEADLINE if has_deadline else StopReason.RETRY_AFTER_TOO_LONG
        )


@each_row("dice", [0.0, 0.25, 0.999999])
@each_row("jitter", ["full", "equal", "none"])
def test_jitter_never_shortens_retry_after(front_end: FrontEnd, jitter: str, dice: float) -> None:
    """Servers ban clients that return before Retry-After."""
    backoff = ExponentialBackoff(initial_delay=4.0, jitter=jitter)
    harness = Harness(
        front_end,
        (429, {"Retry-After": "3"}),
        (429, {"Retry-After": "3"}),
        200,
        random=lambda: dice,
        retry_policy_config=RetryPolicy(3, backoff),
    )
    harness.request()
    assert len(harness.sleeps) == 2
    assert min(harness.sleeps) >= 3.0


def test_a_constant_backoff_respects_retry_after(front_end: FrontEnd) -> None:
    """Even with a short constant delay, the client waits up to a minute if the server requests it."""
    policy = RetryPolicy(2, ConstantBackoff(0.1, jitter="none"))
    harness = Harness(front_end, (429, {"Retry-After": "7"}), 200, retry_policy_config=policy)
    assert harness.request().status_code == 200
    assert harness.sleeps == [7.0]


@each_row("first", [503, RESET], ids=short)
@each_row(("total", "is_waited"), [(1.0, False), (1.001, True), (0.5, False)])
def test_a_wait_that_reaches_the_deadline_is_not_started(
    front_end: FrontEnd, first: Any, total: float, is_waited: bool
) -> None:
    """The last outcome is returned or raised at once, without a sleep."""
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


def test_an_ambient_deadline_bounds_the_waits(front_end: FrontEnd) -> None:
    """`with deadline(...)` around the call applies, even if it uses another clock."""
    harness = Harness(front_end, 503, 200, retry_policy_config=RetryPolicy(3, EXACT))
    with deadline(0.9, clock=FakeClock(now=7.0).monotonic):
        assert harness.request().status_code == 503
    assert harness.sleeps == []
    assert harness.request().status_code == 200


def test_after_the_deadline_nothing_is_sent(front_end: FrontEnd) -> None:
    """The call makes no attempt, and its error is NEVER_SENT."""
    clock = FakeClock()
    harness = Harness(front_end)
    with deadline(1.0, clock=clock.monotonic):
        clock.now += 2.0
        error = harness.error(DeadlineExceededError)
    assert (harness.sends, error.sent_state) == (0, SentState.NEVER_SENT)
    assert [event.name for event in error.timeline] == ["call_finished"]


@each_row(
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
def test_the_waits_follow_the_strategy(front_end: FrontEnd, backoff: Any, waits: list[float]) -> None:
    """Each call waits by the strategy's sequence from its start, also the second call."""
    harness = Harness(
        front_end, 500, retry_policy_config=RetryPolicy(4, backoff), enable_retry_budget=False, **NO_BREAKER
    )
    harness.request()
    assert harness.sleeps == waits
    harness.request()
    assert harness.sleeps == waits * 2


def test_the_cap_is_applied_before_the_jitter() -> None:
    """Once the backoff exceeds the cap, waits are uniform below it, and no client waits exactly the cap."""
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
    capped = [wait for index, wait in enumerate(harness.sleeps) if index % 11 >= 3]
    assert len(capped) == 1600
    assert max(capped) < 4.0
    assert statistics.mean(capped) == pytest.approx(2.0, abs=0.1)
    assert [sum(low <= wait < low + 1 for wait in capped) / len(capped) for low in range(4)] == pytest.approx(
        [0.25] * 4, abs=0.04
    )


class Listed:
    """A user-defined strategy whose delays come from a list."""

    def __init__(self, *delays: Any) -> None:
        self._delays = delays

    def delays(self, random: Any) -> Any:
        return iter(self._delays)


def test_a_strategy_that_ends_repeats_its_last_delay(front_end: FrontEnd) -> None:
    """A finite list of delays gives the first waits, and its last delay all later ones."""
    harness = Harness(
        front_end, 503, retry_policy_config=RetryPolicy(max_attempts=5, backoff_strategy=Listed(1, 2.5))
    )
    assert harness.request().status_code == 503
    assert harness.sleeps == [1, 2.5, 2.5, 2.5]


@each_row("delays", [(), (-1.0,), (float("nan"),), ("1",), (None,), (float("inf"),)])
def test_an_invalid_delay_of_a_strategy_is_a_configuration_error(front_end: FrontEnd, delays: Any) -> None:
    """The error names the strategy; the call does not wait, and all its permits are released."""
    harness = Harness(front_end, 503, retry_policy_config=RetryPolicy(backoff_strategy=Listed(*delays)))
    assert "Listed" in str(harness.error(ConfigurationError))
    assert (harness.sends, harness.sleeps) == (1, [])
    assert all(limit.in_use == 0 for limit in harness.limits)
