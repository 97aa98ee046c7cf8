"""Settings that are accepted have an effect. (Pool, TLS and sizes: tests/network; the rest: tests/unit/core.)"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from http_service_client import CircuitBreakerPolicy, ConnectionLostError, ConnectionPoolConfig, __version__
from kit.fakes import ORIGIN, RESET, Harness
from kit.front_ends import FrontEnd


def test_default_headers_are_sent_and_overridden(front_end: FrontEnd) -> None:
    """A call's own header replaces a default one, and None removes it, whatever the case of its name."""
    harness = Harness(front_end, default_headers={"X-Team": "blue", "Accept": "application/json"})
    for headers in (
        None,
        {"x-team": "red"},
        {"X-TEAM": None, "User-Agent": None},
        [("X-Team", "a"), ("X-Team", "b")],
        iter([("X-Team", None)]),
        {b"x-team": None},
        MappingProxyType({"X-Team": None, "X-Other": "1"}),
    ):
        harness.request(headers=headers)
    sent = [request.headers for request in harness.transport.sent]
    assert [headers.get_all("X-Team") for headers in sent] == [["blue"], ["red"], [], ["a", "b"], [], [], []]
    assert {headers["Accept"] for headers in sent} == {"application/json"}
    assert "User-Agent" not in sent[2]
    assert sent[0]["User-Agent"].startswith("http-service-client/")


def test_every_request_says_who_sends_it_and_what_it_accepts(front_end: FrontEnd) -> None:
    """Without a setting."""
    harness = Harness(front_end)
    harness.request()
    sent = dict(harness.transport.sent[0].headers)
    assert sent.pop("Accept-Encoding")
    assert sent == {"User-Agent": f"http-service-client/{__version__}", "Accept": "*/*"}


@pytest.mark.parametrize("auth", [None, False])
def test_no_auth_leaves_a_default_header(front_end: FrontEnd, auth: Any) -> None:
    """Only credentials conflict with an Authorization header."""
    harness = Harness(front_end, auth=auth, default_headers={"Authorization": "Own x"})
    harness.request()
    assert harness.transport.sent[0].headers["Authorization"] == "Own x"


def test_enable_compression_asks_for_compressed_responses(front_end: FrontEnd) -> None:
    """False asks for uncompressed ones."""
    for is_enabled, codings in [(True, ["gzip", "deflate"]), (False, ["identity"])]:
        harness = Harness(front_end, connection_pool=ConnectionPoolConfig(enable_compression=is_enabled))
        harness.request()
        assert harness.transport.sent[0].headers["Accept-Encoding"].split(", ")[:2] == codings


@pytest.mark.parametrize(("size", "coding"), [(99, None), (100, "gzip"), (5000, "gzip")])
def test_request_bodies_are_compressed_from_the_threshold_on(
    front_end: FrontEnd, size: int, coding: str | None
) -> None:
    """If request compression is enabled. Content-Length is that of the compressed body."""
    pool = ConnectionPoolConfig(compression_threshold=100)
    for is_enabled in (True, False):
        harness = Harness(front_end, connection_pool=pool, enable_request_compression=is_enabled)
        harness.request("POST", data=b"x" * size)
        (sent,) = harness.transport.sent
        assert sent.headers.get("Content-Encoding") == (coding if is_enabled else None)
        assert sent.headers["Content-Length"] == str(len(harness.transport.bodies[0] or b""))


def test_breaker_retries_and_budget_can_be_switched_off(front_end: FrontEnd) -> None:
    """Seven failures are seven sends, and no circuit exists."""
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


def test_a_policy_object_sets_every_circuit_of_a_client(front_end: FrontEnd) -> None:
    """Its settings hold for each circuit, and its `on_change` is called for all of them, even if it raises."""
    changes: list[Any] = []

    def on_change(change: Any) -> None:
        changes.append((change.key, str(change.new)))
        raise RuntimeError("a listener that fails must not fail the call")

    policy = CircuitBreakerPolicy(failure_threshold=1, on_change=on_change)
    harness = Harness(front_end, 500, circuit_breaker_config=policy, enable_retry_policy=False)
    harness.request()
    harness.request(url="https://other.example.com/")
    assert changes == [(ORIGIN, "open"), ("https://other.example.com", "open")]
    assert harness.client.get_circuit_breaker_states() == dict(changes)


def test_the_limits_of_connections_are_those_of_the_configuration(front_end: FrontEnd) -> None:
    """In all, and for one origin."""
    harness = Harness(front_end, max_connections=7, max_connections_per_host=3)
    harness.request()
    assert [limit.capacity for limit in harness.limits] == [7, 3]
