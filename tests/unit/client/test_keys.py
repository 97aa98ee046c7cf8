"""`key`: circuit, retry budget and connection slots of a tenant's own, on the connections of all."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConnectionLostError,
    ConnectionPoolConfig,
    CookieJar,
    PoolTimeoutError,
    StateChange,
    Timeout,
)
from http_service_client.events import AttemptFinished, CallFinished
from http_service_client.testing import LoopbackServer
from kit.fakes import ORIGIN, RESET, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

ONCE: dict[str, Any] = {"retry_policy": False}


def test_tenants_of_one_host_do_not_open_each_other_s_circuits(front_end: FrontEnd) -> None:
    """The error, the events and the log name the key of the tenant that is refused."""
    harness = Harness(front_end, 500, circuit_breaker_config={"failure_threshold": 2})
    for _ in range(2):
        harness.request(key="bad", **ONCE)
    error = harness.error(CircuitOpenError, key="bad", **ONCE)
    assert error.key == f"{ORIGIN} (bad)"
    assert f"the circuit breaker for {ORIGIN} (bad) refused the call" in str(error)
    harness.transport.script[:] = [200]
    assert harness.request(key="good").status_code == 200
    assert harness.request().status_code == 200
    assert harness.client.get_circuit_breaker_states() == {
        f"{ORIGIN} (bad)": "open",
        f"{ORIGIN} (good)": "closed",
        ORIGIN: "closed",
    }
    assert [event.key for event in harness.events if isinstance(event, StateChange)] == [f"{ORIGIN} (bad)"]
    circuit = harness.client.get_circuit_breaker(f"{ORIGIN} (bad)")
    assert circuit is not None
    circuit.reset()
    assert harness.request(key="bad").status_code == 200


def test_metrics_count_by_the_origin_alone(front_end: FrontEnd) -> None:
    """A thousand tenants are one series; the events have the key."""
    harness = Harness(front_end, RESET, circuit_breaker_config={"failure_threshold": 1})
    for tenant in range(3):
        harness.error(ConnectionLostError, key=f"tenant {tenant}", method="POST")
        harness.error(CircuitOpenError, key=f"tenant {tenant}")
    metrics = harness.client.metrics
    assert metrics.total("http_requests_total", {"service": ORIGIN}) == 6
    for name in (
        "http_attempts_total",
        "http_retries_stopped_total",
        "http_circuit_refusals_total",
        "http_circuit_state_changes_total",
    ):
        assert metrics.total(name, {"service": ORIGIN}) == metrics.total(name) == 3
    finished = {event.key for event in harness.events if isinstance(event, (AttemptFinished, CallFinished))}
    assert finished == {f"{ORIGIN} (tenant {tenant})" for tenant in range(3)}


def test_a_circuit_of_a_user_s_own_name_keeps_its_label(front_end: FrontEnd) -> None:
    """Parentheses in a policy's name are no key."""
    harness = Harness(front_end, 500)
    harness.request(circuit_breaker=CircuitBreakerPolicy(1, name="payments (eu)"), **ONCE)
    assert harness.client.metrics.total("http_circuit_state_changes_total", {"service": "payments (eu)"}) == 1


def test_a_key_has_a_retry_budget_of_its_own(front_end: FrontEnd) -> None:
    """One that a tenant has spent leaves that of the others alone."""
    harness = Harness(
        front_end,
        503,
        enable_circuit_breaker=False,
        retry_budget_config={"ratio": 0.0, "min_per_second": 0.2},
    )
    attempts = [harness.request(key=key).attempts for key in ("a", "a", "b", None)]
    assert attempts == [3, 1, 3, 3]


def test_a_key_has_connection_slots_of_its_own(front_end: FrontEnd) -> None:
    """A call of another tenant does not wait for them. `max_connections` bounds all together."""
    harness = Harness(front_end, 200, max_connections_per_host=1, enable_retry_policy=False)
    pool = Timeout(total=5.0, pool=1.0)
    harness.request(key="a")
    origins = harness.client._call_builder.origins
    assert origins.get(f"{ORIGIN} (a)").connections.try_acquire()
    error = harness.error(PoolTimeoutError, key="a", timeout=pool)
    assert f"no connection to {ORIGIN} (a) became free" in str(error)
    assert harness.request(key="b", timeout=pool).status_code == 200
    assert harness.request(timeout=pool).status_code == 200


def test_a_redirect_keeps_the_key_at_the_next_origin(front_end: FrontEnd) -> None:
    """Its slots there are the tenant's too; the circuit is that of the first origin."""
    harness = Harness(front_end, (302, {"Location": "https://other.example.com/"}), 200)
    harness.request(key="a")
    assert [name for name, _ in harness.client._call_builder.origins.items()] == [
        f"{ORIGIN} (a)",
        "https://other.example.com (a)",
    ]


def test_keys_share_the_connections(front_end: FrontEnd) -> None:
    """Three tenants, one after the other, use one connection."""
    with LoopbackServer() as server:
        client = front_end.client(base_url=server.url)
        for key in ("a", "b", "c"):
            front_end.request(client, "GET", "/", key=key)
        front_end.close(client)
        assert [received.connection for received in server.requests] == [1, 1, 1]


def test_a_refused_coding_is_remembered_for_the_key(front_end: FrontEnd) -> None:
    """And no state of the origin itself comes into being."""
    pool = ConnectionPoolConfig(compression_threshold=1)
    harness = Harness(front_end, 415, 200, connection_pool=pool, enable_request_compression=True)
    harness.request("POST", data=b"x" * 500, key="a")
    assert [name for name, _ in harness.client._call_builder.origins.items()] == [f"{ORIGIN} (a)"]


@each_row("key", ["", " ", "a\nb", "x" * 101, 7, b"a", True, CookieJar])
def test_a_wrong_key_is_refused_before_anything_is_sent(front_end: FrontEnd, key: Any) -> None:
    """It is shown in errors and logs, so it is short and printable."""
    harness = Harness(front_end, 200)
    error = harness.error(ConfigurationError, key=key)
    assert str(error).startswith("key must be printable text of 1 to 100 characters")
    assert (harness.sends, len(harness.client.get_circuit_breaker_states())) == (0, 0)


@pytest.mark.parametrize(("key", "shown"), [("a\nb", "a\nb"), ("x" * 100 + "\n", "x" * 20 + "…")])
def test_a_wrong_key_is_shown_unless_it_is_too_long(front_end: FrontEnd, key: str, shown: str) -> None:
    """Of such a one, the beginning is."""
    error = Harness(front_end, 200).error(ConfigurationError, key=key)
    assert str(error).endswith(f", or None, not {shown!r}")


def test_tenant_is_called_key(front_end: FrontEnd) -> None:
    """One name for one thing."""
    error = Harness(front_end, 200).error(TypeError, tenant="a")
    assert str(error) == "a call takes no keyword 'tenant'; it is called key"


@pytest.mark.parametrize("switch", [False, None])
def test_a_call_may_retry_without_the_budget(front_end: FrontEnd, switch: Any) -> None:
    """It takes nothing from the budget, and pays nothing into it."""
    harness = Harness(
        front_end,
        503,
        enable_circuit_breaker=False,
        retry_budget_config={"ratio": 1.0, "min_per_second": 0.0},
    )
    assert [harness.request(retry_budget=switch).attempts for _ in range(2)] == [3, 3]
    assert harness.state.budget.balance == 0
    assert harness.request(retry_budget=True).attempts == 2
    assert harness.request().attempts == 2


def test_a_budget_of_a_call_s_own_is_refused(front_end: FrontEnd) -> None:
    """It would hold for one call, and bound nothing."""
    error = Harness(front_end, 200).error(ConfigurationError, retry_budget={"ratio": 0.1})
    assert "retry_budget must be True, False or None" in str(error)
    assert "retry_budget_config" in str(error)


def test_the_log_names_the_key(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees which tenant is cut off."""
    harness = Harness(front_end, 500, circuit_breaker_config={"failure_threshold": 1})
    with caplog.at_level(logging.WARNING, "http_service_client"):
        harness.request(key="tenant-a", **ONCE)
    assert f"{ORIGIN} (tenant-a)" in caplog.text
