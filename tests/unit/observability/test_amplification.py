"""How many exchanges the calls of a client cost, by origin."""

from __future__ import annotations

from typing import Any

from http_service_client import MetricsCollector, SentState
from http_service_client.events import CallFinished
from kit.fakes import Harness
from kit.front_ends import FrontEnd

ORIGIN = "https://api.example.com"


def amplification(harness: Harness) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = harness.client.get_health_summary()["amplification"]
    return found


def test_a_plain_call_costs_one_exchange(front_end: FrontEnd) -> None:
    """Nothing is added."""
    harness = Harness(front_end, 200)
    harness.request()
    assert amplification(harness) == {
        ORIGIN: {
            "calls": 1, "exchanges": 1, "retries": 0, "redirects": 0, "auth": 0, "codings": 0, "hedges": 0,
            "trials": 0, "amplification": 1.0,
        }
    }  # fmt: skip


def test_retries_and_redirects_are_told_apart(front_end: FrontEnd) -> None:
    """Each exchange is counted once, by its cause."""
    harness = Harness(front_end, 503, (302, {"Location": "/b"}), 200, 200)
    harness.request()
    harness.request()
    found = amplification(harness)[ORIGIN]
    assert (found["calls"], found["exchanges"], found["retries"], found["redirects"]) == (2, 4, 1, 1)
    assert found["amplification"] == 2.0


def test_refused_calls_cost_less_than_an_exchange(front_end: FrontEnd) -> None:
    """A circuit that is open lowers it, and its trials are counted."""
    settings: dict[str, Any] = {"failure_threshold": 2, "recovery_timeout": 10.0}
    harness = Harness(front_end, 500, 500, 200, enable_retry_policy=False, circuit_breaker_config=settings)
    harness.request()
    harness.request()
    for _ in range(2):
        harness.error(Exception)
    harness.clock.now += 10.0
    harness.request()
    found = amplification(harness)[ORIGIN]
    assert (found["calls"], found["exchanges"], found["trials"]) == (5, 3, 1)
    assert found["amplification"] == 0.6


def test_each_origin_is_counted_by_itself(front_end: FrontEnd) -> None:
    """And the keys of tenants are not told apart, as in all metrics."""
    harness = Harness(front_end, 200)
    harness.request(key="tenant-a")
    harness.request(url="https://other.example.com/")
    assert {origin: found["calls"] for origin, found in amplification(harness).items()} == {
        ORIGIN: 1,
        "https://other.example.com": 1,
    }


def test_a_service_whose_calls_sent_nothing_has_no_exchanges() -> None:
    """All of them were refused: nothing is known of its attempts, and its amplification is zero."""
    collector = MetricsCollector()
    refused = CallFinished(
        0.0, "GET", ORIGIN, ORIGIN, 0, None, "CircuitOpenError", SentState.NEVER_SENT, None
    )
    collector.collect(refused)
    found = collector.amplification()[ORIGIN]
    assert (found["calls"], found["exchanges"], found["trials"], found["amplification"]) == (1, 0, 0, 0.0)
