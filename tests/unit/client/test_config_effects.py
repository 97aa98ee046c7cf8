"""Settings that are accepted have an effect. (Pool, TLS and sizes: tests/network; the rest: tests/unit/core.)"""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import CircuitBreakerPolicy, ConnectionLostError, ConnectionPoolConfig
from kit.fakes import ORIGIN, RESET, Harness
from kit.front_ends import FrontEnd


def test_default_headers_are_sent_and_overridden(front_end: FrontEnd) -> None:
    """By default, by a call's own, and left out by None, in any spelling."""
    harness = Harness(front_end, default_headers={"X-Team": "blue", "Accept": "application/json"})
    for headers in (
        None,
        {"x-team": "red"},
        {"X-TEAM": None, "User-Agent": None},
        [("X-Team", "a"), ("X-Team", "b")],
        iter([("X-Team", None)]),
        {b"x-team": None},
    ):
        harness.request(headers=headers)
    sent = [request.headers for request in harness.transport.sent]
    assert [headers.get_all("X-Team") for headers in sent] == [["blue"], ["red"], [], ["a", "b"], [], []]
    assert {headers["Accept"] for headers in sent} == {"application/json"}
    assert "User-Agent" not in sent[2]
    assert sent[0]["User-Agent"].startswith("http-service-client/")


def test_compression_is_asked_for_or_not(front_end: FrontEnd) -> None:
    """enable_compression=False asks for the bytes as they are."""
    for wanted, header in [(True, "gzip"), (False, "identity")]:
        harness = Harness(front_end, connection_pool=ConnectionPoolConfig(enable_compression=wanted))
        harness.request()
        assert header in harness.transport.sent[0].headers["Accept-Encoding"]


@pytest.mark.parametrize(("size", "coding"), [(99, None), (100, "gzip"), (5000, "gzip")])
def test_request_compression_by_its_threshold(front_end: FrontEnd, size: int, coding: str | None) -> None:
    """From compression_threshold on, when switched on; the length is that of what is sent."""
    pool = ConnectionPoolConfig(compression_threshold=100)
    for switch in (True, False):
        harness = Harness(front_end, connection_pool=pool, enable_request_compression=switch)
        harness.request("POST", data=b"x" * size)
        (sent,) = harness.transport.sent
        assert sent.headers.get("Content-Encoding") == (coding if switch else None)
        assert sent.headers["Content-Length"] == str(len(harness.transport.bodies[0] or b""))


def test_switches(front_end: FrontEnd) -> None:
    """Breaker, retries and budget are off when switched off."""
    harness = Harness(
        front_end,
        RESET,
        enable_circuit_breaker=False,
        enable_retry_policy=False,
        enable_retry_budget=False,
    )
    for _ in range(7):
        harness.error(ConnectionLostError)
    assert harness.sends == 7
    assert (harness.state.breaker, harness.state.budget) == (None, None)
    assert harness.client.get_circuit_breaker_states() == {}


def test_a_policy_object_in_the_configuration(front_end: FrontEnd) -> None:
    """Its settings hold for each circuit, its `on_change` hears of all of them, even if it fails."""
    heard: list[Any] = []

    def on_change(change: Any) -> None:
        heard.append((change.key, str(change.new)))
        raise RuntimeError("a listener that fails must not fail the call")

    policy = CircuitBreakerPolicy(failure_threshold=1, on_change=on_change)
    harness = Harness(front_end, 500, circuit_breaker_config=policy, enable_retry_policy=False)
    harness.request()
    harness.request(url="https://other.example.com/")
    assert heard == [(ORIGIN, "open"), ("https://other.example.com", "open")]
    assert harness.client.get_circuit_breaker_states() == dict(heard)


def test_max_connections_hold(front_end: FrontEnd) -> None:
    """Both limits are those of the configuration."""
    harness = Harness(front_end, max_connections=7, max_connections_per_host=3)
    harness.request()
    assert [limit.capacity for limit in harness.limits] == [7, 3]
