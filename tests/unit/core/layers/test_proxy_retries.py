"""A proxy on the way that repeats requests, too, is reported: in the timeline, once in the log, in the health summary."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from http_service_client import HttpResponse, RetryPolicy
from http_service_client.events import ProxyRetried
from http_service_client.http.fields.meshes import proxy_attempts
from http_service_client.http.headers import Headers
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

TWICE = (503, {"X-Envoy-Attempt-Count": "2"})
THRICE = (503, {"x-envoy-attempt-count": "3"})
PRESENT = (503, {"server": "istio-envoy", "x-envoy-upstream-service-time": "5", "x-envoy-overloaded": "true"})


def proxied(harness: Harness) -> list[tuple[int, int, bool]]:
    found = [event for event in harness.events if isinstance(event, ProxyRetried)]
    return [(event.attempt, event.attempts, event.is_first) for event in found]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_proxy_that_retries_is_reported(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """Each of its responses in the timeline, the first one of an origin in the log, with what to do about it."""
    harness = Harness(front_end, TWICE, THRICE, 200, TWICE, 200)
    response = harness.request()
    assert proxied(harness) == [(1, 2, True), (2, 3, False)]
    assert response.timeline is not None
    assert "attempt 2: a proxy made 3 attempts of it (x-envoy-attempt-count)\n" in response.explain()
    harness.request()
    assert proxied(harness)[2:] == [(1, 2, False)]
    assert warnings(caplog) == [
        f"{ORIGIN}: attempt 1: a proxy made 2 attempts of it (x-envoy-attempt-count); only one side should retry: "
        "switch it off there (x-envoy-max-retries: 0 in default_headers, where the proxy heeds it), "
        "or here (enable_retry_policy=False)"
    ]


def test_the_health_summary_says_it(front_end: FrontEnd) -> None:
    """With the most that was seen, for as long as the origin is remembered; the summary stays plain values."""
    harness = Harness(front_end, THRICE, TWICE, 200)
    harness.request()
    health = harness.client.get_health_summary()
    assert health["origins"][ORIGIN]["proxy_attempts"] == 3
    problem = (
        "a proxy on the way makes up to 3 attempts of each attempt of this client; only one side should retry"
    )
    assert [each for each in health.problems()[ORIGIN] if each.startswith(problem)]
    assert f"  ! {problem}" in health.explain()
    assert json.loads(json.dumps(health.without_keys()))["origins"][ORIGIN]["proxy_attempts"] == 3


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ([(503, {"x-envoy-attempt-count": "1"}), 200], {}),
        ([PRESENT, 200], {}),
        ([(200, {"x-envoy-attempt-count": "3"})], {}),
        ([THRICE], {"retry_policy": RetryPolicy(max_attempts=1)}),
        ([THRICE], {"retry_policy": False}),
    ],
    ids=["one attempt", "a proxy that shows itself", "a success", "one attempt here", "no retries here"],
)
def test_nothing_is_said_otherwise(
    front_end: FrontEnd, script: list[Any], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a proxy that is there and retries nothing, of a success, and where this client does not retry."""
    harness = Harness(front_end, *script)
    harness.request(**options)
    assert proxied(harness) == warnings(caplog) == []
    assert harness.client.get_health_summary()["origins"][ORIGIN]["proxy_attempts"] == 1


def test_what_an_interceptor_answers_came_through_no_proxy(front_end: FrontEnd) -> None:
    """It may well have kept the response of another origin."""

    class Keeper:
        def intercept_request(self, request: Any, context: Any) -> HttpResponse:
            return HttpResponse(503, headers={"x-envoy-attempt-count": "3"})

    harness = Harness(front_end, 200, request_interceptors=[Keeper()])
    harness.request()
    assert proxied(harness) == []


@each_row(
    ("text", "expected"),
    [("2", 2), ("999", 999), ("1000", 1), ("0", 1), ("-2", 1), ("2, 3", 1), ("\u0663", 1), ("", 1)],
)
def test_a_count_is_a_small_number(text: str, expected: int) -> None:
    """Anything may stand in a header."""
    assert proxy_attempts(Headers({"x-envoy-attempt-count": text})) == expected
