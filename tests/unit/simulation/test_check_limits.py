"""What `check` says of the limits of a client: the rate of its calls, and how many it makes at once."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpClientConfig
from http_service_client.events import ConnectionAwaited, LimitRefused, LimitWaited
from http_service_client.simulation import Finding, check

pytestmark = pytest.mark.once

PLAIN: dict[str, Any] = {"enable_circuit_breaker": False}


def found(rate: float = 5.0, **settings: Any) -> dict[str, Finding]:
    return {finding.rule: finding for finding in check(HttpClientConfig(**PLAIN | settings), rate=rate)}


@pytest.mark.parametrize(
    ("rate", "settings", "rules"),
    [
        (5, {"rate": 5}, []),
        (5.01, {"rate": 5}, ["rate-over-limit"]),
        (5, {"rate": 300, "per": 60}, []),
        # The call that comes after a burst waits for one turn.
        (5, {"rate": 100, "max_wait": 0.01}, []),
        (5, {"rate": 100, "max_wait": 0.009}, ["turn-over-wait"]),
        (5, {"rate": 100, "burst": 7, "max_wait": 0.01}, []),
        (5, {"rate": 100, "burst": 7, "max_wait": 0.009}, ["turn-over-wait"]),
        (9, {"rate": 8, "max_wait": 0.1}, ["rate-over-limit", "turn-over-wait"]),
        (9, {"rate": 8, "max_wait": 0}, ["rate-over-limit"]),
    ],
)
def test_a_rate_limit_lets_the_calls_pass(rate: float, settings: Any, rules: list[str]) -> None:
    """As many as come in the long run; and one that comes after a burst may wait for its turn."""
    assert list(found(rate, rate_limit=settings)) == rules


def test_a_turn_must_come_within_the_time_of_a_call() -> None:
    """Whatever `max_wait` permits."""
    limit = {"rate": 0.5, "max_wait": 60}
    times: dict[str, Any] = {"base_timeout": 0.1, "enable_retry_policy": False}
    assert list(found(0.1, rate_limit=limit, total_timeout=1.9, **times)) == ["turn-over-wait"]
    assert found(0.1, rate_limit=limit, total_timeout=2.1, **times) == {}


def test_a_finding_of_a_rate_limit_shows_what_becomes_of_a_call() -> None:
    """The one that comes after a burst: it waits for its turn, or is refused."""
    limit = {"rate": 8, "burst": 3, "max_wait": 0.2}
    over = found(9, rate_limit=limit)["rate-over-limit"]
    assert over.message == (
        "rate_limit lets 8 calls a second pass, and 9 are made, so that the others queue up until they are refused; "
        "raise its rate, or make fewer calls"
    )
    (wait,) = [event for event in over.timeline if isinstance(event, LimitWaited)]
    assert (wait.limit, wait.waited) == ("rate limit", pytest.approx(0.125))
    refused = found(9, rate_limit=limit | {"max_wait": 0.1})["turn-over-wait"]
    assert refused.message == (
        "one call more than burst=3 at once would wait 0.125 s for rate_limit, longer than max_wait=0.1 and "
        "total_timeout=None permit; raise them, or set max_wait=0 if no call should wait"
    )
    assert any(isinstance(event, LimitRefused) for event in refused.timeline)


@pytest.mark.parametrize(
    ("pool", "slots", "name"),
    [
        ({"max_connections": 100, "max_connections_per_host": 3}, 3, "max_connections_per_host"),
        ({"max_connections": 3, "max_connections_per_host": 100}, 3, "max_connections"),
        ({"max_connections": 3, "max_connections_per_host": 3}, 3, "max_connections_per_host"),
    ],
)
@pytest.mark.parametrize(
    ("policy", "setting", "message"),
    [
        (
            "bulkhead",
            "max_concurrent",
            "the bulkhead admits max_concurrent={most} calls of an origin, of which {slots} have a connection and the "
            "others hold a permit while they wait for one; lower it to {name}={slots}, or raise that",
        ),
        (
            "adaptive_limit",
            "max_limit",
            "the adaptive limit may become max_limit={most}, and there are {slots} connections, so that these are the "
            "limit; lower it to {name}={slots}, or raise that",
        ),
    ],
)
def test_as_many_calls_are_admitted_as_have_a_connection(
    pool: dict[str, int], slots: int, name: str, policy: str, setting: str, message: str
) -> None:
    """The smaller of two limits decides, and one more than it holds waits for a connection."""

    def findings(most: int, **settings: Any) -> dict[str, Finding]:
        limit = {setting: most} | ({"initial_limit": 1} if policy == "adaptive_limit" else {})
        return found(connection_pool=ConnectionPoolConfig(**pool), **{policy: limit}, **settings)

    assert findings(slots) == {}
    for most in (slots + 1, slots + 50):
        (finding,) = findings(most).values()
        assert finding.rule == f"{policy.replace('_', '-')}-over-connections"
        assert finding.message == message.format(most=most, slots=slots, name=name)
        assert any(isinstance(event, ConnectionAwaited) for event in finding.timeline)
    assert findings(slots + 1, http2=True) == {}  # one connection takes many calls
