"""Tests of code that makes calls, with pytest: a scripted network in virtual time, or a server on loopback.

    pytest test_orders.py
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client import ConnectionLostError, HttpResponse, HttpServiceClient
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock, reset, respond


# The code under test.
def reserve(stock: HttpServiceClient, order: int) -> int:
    """Reserve the items of an order once, however often it is tried."""
    headers = {"Idempotency-Key": f"order-{order}"}
    response = stock.post("/reservations", json={"order": order}, headers=headers, total_timeout=30)
    return response.raise_for_status().json()["id"]


# Fixtures: in your project, in conftest.py.
@pytest.fixture
def clock() -> VirtualClock:
    """Waits take no time, and a test can ask how long they were."""
    return VirtualClock()


@pytest.fixture
def network(clock: VirtualClock) -> ScriptedTransport:
    """A service that fails once."""
    script = [HttpResponse(503), HttpResponse(201, content=b'{"id": 5}')]
    return ScriptedTransport(script, clock=clock)


@pytest.fixture
def stock(network: ScriptedTransport, clock: VirtualClock) -> Iterator[HttpServiceClient]:
    """The client as in production, with all of its decisions, but for the network and the time."""
    with HttpServiceClient(base_url="https://stock.test", transport=network, clock=clock) as client:
        yield client


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A real server on loopback, for what only real bytes can show."""
    with LoopbackServer() as server:
        yield server


# The tests.
def test_a_reservation_is_tried_again(stock, network, clock) -> None:
    assert reserve(stock, 7) == 5
    assert len(network.sent) == 2
    assert len(clock.waits) == 1  # the backoff, which took no time
    assert {sent.request.headers["Idempotency-Key"] for sent in network.sent} == {"order-7"}


def test_a_lost_connection_is_repeated_under_the_same_key(server) -> None:
    server.script("/reservations", reset(), respond(201, json={"id": 5}))
    with HttpServiceClient(base_url=server.url) as stock:
        assert reserve(stock, 7) == 5
    assert [request.header("Idempotency-Key") for request in server.requests] == ["order-7"] * 2


def test_an_outage_is_reported(server) -> None:
    server.script("/reservations", reset())
    with HttpServiceClient(base_url=server.url) as stock, pytest.raises(ConnectionLostError) as raised:
        reserve(stock, 7)
    assert raised.value.sent_state == "maybe_processed"
