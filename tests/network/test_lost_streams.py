"""Streams that are lost in reference cycles do not keep their slots for ever."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, PoolTimeoutError, Timeout
from http_service_client.drivers import garbage
from http_service_client.testing import LoopbackServer, raw, respond
from kit.front_ends import AsyncioFrontEnd, FrontEnd


@pytest.fixture(autouse=True)
def no_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It does not run by itself, as where threads only wait."""
    gc.collect()
    gc.disable()
    monkeypatch.setattr(garbage, "_last_at", None)
    yield
    gc.enable()


@pytest.mark.parametrize("limit", ["pool", "deadline"])
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_wait_for_a_slot_collects_lost_streams(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Whatever bounds the wait: the call gets the slot. A collection is not repeated for each wait."""
    server.script("/lost", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", close=False))
    server.script("/", respond(204))
    pool = ConnectionPoolConfig(max_connections=1, pool_timeout=None)
    client = front_end.client(connection_pool=pool, enable_retry_policy=False)

    def within(seconds: float) -> dict[str, Any]:
        return {"timeout": Timeout(pool=seconds)} if limit == "pool" else {"total_timeout": seconds}

    def lose() -> None:
        url = server.url + "/lost"
        if isinstance(front_end, AsyncioFrontEnd):
            response: Any = front_end.loop.run_until_complete(client.stream_async("GET", url).__aenter__())
        else:
            response = client.stream("GET", url).__enter__()
        cycle: list[Any] = [response]
        cycle.append(cycle)

    lose()
    with pytest.warns(ResourceWarning, match="never closed"):
        assert front_end.request(client, "GET", server.url + "/", **within(1.5)).status_code == 204
    with front_end.stream(client, "GET", server.url + "/lost"), pytest.raises(TimeoutError) as caught:
        monkeypatch.setattr(gc, "collect", None)
        front_end.request(client, "GET", server.url + "/", **within(0.1))
    assert (type(caught.value) is PoolTimeoutError) == (limit == "pool")


def test_a_stream_is_left_while_a_mock_replaces_the_class_of_sockets(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class may lack methods that its sockets have, such as `shutdown` (mocket)."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", close=False))
    client = front_end.client()
    with front_end.stream(client, "GET", server.url + "/"):
        monkeypatch.setattr(socket, "socket", type("MockSocket", (), {}))
    monkeypatch.undo()
    assert server.wait_for(lambda: not server.open_connections)
