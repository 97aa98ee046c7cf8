"""A rate limit that learns: from what responses say is left, and from throttling."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import requests

from http_service_client import (
    HttpClientConfig,
    HttpResponse,
    HttpStatusError,
    RateLimitExceededError,
    RateLimitPolicy,
)
from http_service_client.core.layers.rate_limit import _of_own_origin, is_throttled
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import VirtualClock
from kit.fakes import RESET, Harness, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

FOLLOWING: dict[str, Any] = {
    "rate_limit": {"follow_headers": True},
    "retry_policy_config": {"max_attempts": 1},
}
USED_UP = (200, {"RateLimit": '"default";r=0;t=30', "RateLimit-Policy": '"default";q=10;w=60'})


def rate_of(harness: Harness) -> float | None:
    rate: float | None = harness.state.rate_limiter.snapshot().rate
    return rate


def test_a_quota_that_is_used_up_holds_calls_back_until_its_reset(front_end: FrontEnd) -> None:
    """Then one call finds out how many may follow."""
    harness = Harness(front_end, USED_UP, 200, **FOLLOWING)
    harness.request()
    harness.request()
    assert harness.sleeps == [pytest.approx(30.0)]
    harness.request()
    assert harness.sleeps == [pytest.approx(30.0)]


@each_row(
    "headers",
    [
        {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1704067290"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"},
        {"RateLimit": "limit=60, remaining=0, reset=90"},
    ],
)
def test_a_reset_that_is_too_late_is_a_refusal(front_end: FrontEnd, headers: dict[str, str]) -> None:
    """At once, with the time to come back; a status such as GitHub's 403 makes no difference."""
    date = {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    harness = Harness(front_end, (403, {**headers, **date}), **FOLLOWING)
    harness.request()
    assert harness.error(RateLimitExceededError).retry_after == pytest.approx(90.0, abs=0.01)
    assert harness.sends == 1


def test_retry_after_takes_precedence(front_end: FrontEnd) -> None:
    """The throttle gate keeps to it, and what the response says beside it is not read."""
    headers = {"Retry-After": "5", "RateLimit": '"default";r=0;t=3000'}
    harness = Harness(front_end, (429, headers), 200, **FOLLOWING)
    harness.request()
    harness.request()
    assert harness.sleeps == [pytest.approx(5.5)]


def test_the_headers_of_another_origin_say_nothing_about_this_one(front_end: FrontEnd) -> None:
    """Where a redirect led there."""
    elsewhere = (302, {"Location": "https://other.example.com/"})
    harness = Harness(front_end, elsewhere, USED_UP, 200, **FOLLOWING)
    harness.request()
    harness.request()
    assert harness.sleeps == []


HERE, THERE = "https://api.example.com", "https://other.example.com"


def response(url: str, *history: HttpResponse) -> HttpResponse:
    """After these redirects."""
    found = HttpResponse(200, url=url)
    found.history = history
    return found


FIRST, SECOND, ELSEWHERE = response(f"{HERE}/1"), response(f"{HERE}/2"), response(f"{THERE}/")
MOVED, LEFT = response(f"{HERE}/3", FIRST, SECOND), response(f"{THERE}/", FIRST, SECOND, ELSEWHERE)


@each_row(
    ("outcome", "expected"),
    [
        (FIRST, FIRST),
        (ELSEWHERE, ELSEWHERE),  # of an interceptor, say: there was no redirect
        (MOVED, MOVED),
        (LEFT, SECOND),
        (response(f"{THERE}/", ELSEWHERE), None),
        (RESET, RESET),
    ],
    ids=[
        "no redirect",
        "no redirect, elsewhere",
        "redirected here",
        "redirected there",
        "never here",
        "failed",
    ],
)
def test_a_limit_learns_from_the_last_response_of_its_own_origin(outcome: Any, expected: Any) -> None:
    """Another origin's says nothing about it."""
    assert _of_own_origin(outcome, HttpRequest("GET", f"{HERE}/")) is expected


def of_requests(status: int) -> requests.Response:
    found = requests.Response()
    found.status_code = status
    found.headers["Retry-After"] = "1"
    return found


LATER = {"Retry-After": "1"}


@each_row(
    ("outcome", "expected"),
    [
        (HttpResponse(200), False),
        (HttpResponse(200, headers=LATER), False),
        (HttpResponse(404), False),
        (HttpResponse(428), False),
        (HttpResponse(429), True),
        (HttpResponse(430), False),
        (HttpResponse(500, headers=LATER), None),
        (HttpResponse(502, headers=LATER), None),
        (HttpResponse(503), None),
        (HttpResponse(503, headers=LATER), True),
        (HttpResponse(504, headers=LATER), None),
        (of_requests(429), True),
        (of_requests(503), None),  # its headers are not read
        (RESET, None),
        (ValueError(), None),
        ("a value", False),
        (None, False),
    ],
    ids=short,
)
def test_what_is_a_request_to_come_back_later(outcome: Any, expected: bool | None) -> None:
    """429, and 503 that names a time. A failure says neither this nor that the service works."""
    assert is_throttled(outcome) is expected


def test_what_is_reported_is_not_asked_for_by_default(front_end: FrontEnd) -> None:
    """A plain rate limit costs no look at headers, and is not slowed down by them."""
    harness = Harness(front_end, USED_UP, rate_limit={"rate": 1000, "burst": 10})
    for _ in range(5):
        assert harness.request().status_code == 200
    assert harness.sleeps == []


def test_throttling_slows_down_and_successes_speed_up(front_end: FrontEnd) -> None:
    """Within the rate that was set; a 503 without Retry-After, or a 500, is another trouble."""
    harness = Harness(
        front_end,
        *[200] * 20,
        500,
        503,
        429,
        200,
        rate_limit={"rate": 10, "adaptive": "aimd"},
        retry_policy_config={"max_attempts": 1},
    )
    for _ in range(22):
        harness.request()
    assert rate_of(harness) == 10
    harness.request()
    slow = rate_of(harness)
    assert slow == pytest.approx(7, rel=0.1)
    for _ in range(200):
        harness.request()
    assert slow is not None
    assert (rate_of(harness) or 0) > slow
    assert rate_of(harness) == 10


def test_reconfiguring_keeps_what_was_learned(front_end: FrontEnd) -> None:
    """Until the setting itself is taken away."""
    harness = Harness(front_end, USED_UP, 200, **FOLLOWING)
    harness.request()
    harness.client.reconfigure(HttpClientConfig(rate_limit={"follow_headers": True, "max_wait": 1}))
    harness.error(RateLimitExceededError)
    harness.client.reconfigure(HttpClientConfig(rate_limit={"rate": 10}))
    assert harness.request().status_code == 200


@each_row(
    ("ends", "slower"),
    [
        (HttpResponse(429), True),
        (HttpResponse(503, headers={"Retry-After": "1"}), True),
        (HttpResponse(503), False),
        (HttpStatusError("429", response=HttpResponse(429)), True),
        (HttpStatusError("404", response=HttpResponse(404)), False),
        (ValueError("no"), False),
        ("a value", False),
        (None, False),
    ],
    ids=repr,
)
def test_a_function_is_judged_by_the_response_that_it_returns_or_raises(ends: Any, slower: bool) -> None:
    """Also inside an exception of its own."""
    clock = VirtualClock()
    policy = RateLimitPolicy(10, adaptive="cubic", clock=clock)

    async def function(result: Any) -> Any:
        if isinstance(result, BaseException):
            raise RuntimeError("wrapped") from result
        return result

    async def main() -> None:
        for _ in range(20):
            await policy.call_async(function, "fine")
        try:
            await policy.call_async(function, ends)
        except RuntimeError:
            pass

    asyncio.run(main())
    assert (policy.snapshot().rate == 10) is not slower


def test_a_function_may_follow_headers_too() -> None:
    """Of the responses of this package that it returns."""
    policy = RateLimitPolicy(follow_headers=True, max_wait=0)
    policy.call(lambda: HttpResponse(200, headers={"RateLimit": '"a";r=0;t=30'}))
    with pytest.raises(RateLimitExceededError) as caught:
        policy.call(lambda: HttpResponse(200))
    assert caught.value.retry_after == pytest.approx(30, abs=1)
