"""What `check` says of the calls of single routes: it is what it says of a client with their settings."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import ConstantBackoff, HttpClientConfig, RetryPolicy, Timeout
from http_service_client.simulation import Finding, check

pytestmark = pytest.mark.once

PLAIN: dict[str, Any] = {"enable_circuit_breaker": False}  # which says nothing of times


def of_route(options: dict[str, Any], caller_timeout: float | None = None, **settings: Any) -> list[Finding]:
    config = HttpClientConfig(routes={"GET /a": options}, **PLAIN | settings)
    return check(config, rate=5, caller_timeout=caller_timeout)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"timeout": 5.0}, []),
        ({"timeout": 10}, ["attempts-over-total"]),
        ({"timeout": 30.0}, ["attempt-over-total"]),
        ({"timeout": Timeout(total=5.0)}, []),
        ({"timeout": Timeout(total=10.0)}, ["attempts-over-total"]),
        ({"timeout": Timeout(read=10.0)}, ["attempts-over-total"]),
        ({"timeout": Timeout(total=10.0, read=5.0)}, []),
        ({"timeout": None}, ["attempt-over-total"]),
        ({"timeout": None, "total_timeout": None}, ["call-without-end"]),
        ({"timeout": 10.0, "total_timeout": None}, []),
        ({"timeout": 10.0, "total_timeout": 60.0}, []),
        ({"timeout": 10.0, "retry_policy": False}, []),
        ({"timeout": 10.0, "retry_policy": None}, []),
        ({"timeout": 10.0, "retry_policy": True}, ["attempts-over-total"]),
        ({"timeout": 10.0, "retry_policy": RetryPolicy(max_attempts=1)}, []),
        ({"total_timeout": 10.0}, ["attempts-over-total"]),
        ({"total_timeout": None}, []),
        ({"retry_policy": {"max_attempts": 4}}, ["attempts-over-total"]),
        ({"retry_policy": True}, []),
        ({"name": "a", "idempotent": True}, []),
    ],
)
def test_the_calls_of_a_route_have_its_times_and_attempts(options: dict[str, Any], rules: list[str]) -> None:
    """And those of the client for what it does not set: three attempts of 5 s in 20 s are no contradiction."""
    found = of_route(options, base_timeout=5.0, total_timeout=20.0)
    assert [finding.rule for finding in found] == rules


def test_a_route_has_the_retries_of_its_own_where_the_client_has_none() -> None:
    """`True` stands for those of the client, and there are none."""
    settings: dict[str, Any] = {"base_timeout": 8.0, "total_timeout": 20.0, "enable_retry_policy": False}
    assert of_route({"retry_policy": True}, **settings) == []
    (finding,) = of_route({"retry_policy": RetryPolicy(max_attempts=3)}, **settings)
    assert finding.rule == "attempts-over-total"


def test_a_finding_of_a_route_names_it_and_its_settings() -> None:
    """A route says `timeout` where a client says `base_timeout`."""
    (finding,) = of_route({"timeout": 30.0}, base_timeout=5.0, total_timeout=20.0)
    assert finding.message == (
        "routes['GET /a']: a silent service gets 0 of 3 attempts in full: the call ends after total_timeout=20; "
        "lower timeout=30 or max_attempts=3"
    )
    (finding,) = of_route({"timeout": None})
    assert finding.message == (
        "routes['GET /a']: nothing ends a call to a service that falls silent; set timeout or total_timeout"
    )
    (finding,) = of_route({"total_timeout": 10.0}, base_timeout=8.0, total_timeout=60.0)
    assert finding.message == (
        "routes['GET /a']: a silent service gets 1 of 3 attempts in full: the call ends after total_timeout=10; "
        "lower base_timeout=8 or max_attempts=3"
    )


def test_a_call_of_a_route_outlasts_its_caller() -> None:
    """Though one of the client does not."""
    settings: dict[str, Any] = {"base_timeout": 2.0, "total_timeout": 9.0}
    found = of_route({"total_timeout": 60.0, "timeout": 24.0}, 10.0, **settings)
    assert [finding.rule for finding in found] == [
        "attempts-over-total",
        "call-over-caller",
        "wait-over-caller",
    ]
    assert all(finding.timeline[-1].at > 10.0 for finding in found)
    assert of_route({"timeout": 1.0}, 10.0, **settings) == []


def test_waits_of_a_route_are_those_of_its_retries() -> None:
    """With the longest jitter."""
    slow = RetryPolicy(5, ConstantBackoff(2.0))
    found = of_route({"retry_policy": slow, "total_timeout": 7.0}, base_timeout=0.1)
    assert [finding.rule for finding in found] == ["attempts-over-total", "waits-over-total"]
    assert found[1].message == (
        "routes['GET /a']: the longest waits alone leave no time for all 5 attempts within total_timeout=7; "
        "shorten the backoff, or lower max_attempts=5"
    )


def test_the_timeout_of_a_circuit_breaker_is_that_of_an_attempt() -> None:
    """Three attempts of 5 s fit into 20 s, those of 8 s do not."""
    config = HttpClientConfig(circuit_breaker_config={"timeout": 5.0}, total_timeout=20.0)
    assert check(config, rate=5) == []
    config = HttpClientConfig(circuit_breaker_config={"timeout": 8.0}, total_timeout=20.0)
    (finding,) = check(config, rate=5)
    assert "gets 2 of 3 attempts in full" in finding.message
