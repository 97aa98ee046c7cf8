"""Connections of a client whose settings change: kept where they may be, else closed as they become idle."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import ClientClosedError, HttpClientConfig, HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import AsyncioFrontEnd, FrontEnd


def reconfigure(client: HttpServiceClient, **pool: Any) -> None:
    """Change settings of the connections."""
    config = client.config
    client.reconfigure(replace(config, connection_pool=replace(config.pool, **pool)))


def test_connections_are_kept_while_their_settings_are(each_path: FrontEnd, server: LoopbackServer) -> None:
    """A change of timeouts and limits costs no handshake."""
    server.script("/", respond(body="x"))
    client = each_path.client()
    for changes in ({}, {"request_timeout": 3.0}, {"max_connections": 7, "pool_timeout": 1.0}):
        reconfigure(client, **changes)
        each_path.request(client, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 1, 1]
    reconfigure(client, max_idle_connections=0)
    if isinstance(each_path, AsyncioFrontEnd):  # connections are closed on their loop
        each_path.loop.run_until_complete(asyncio.sleep(0))
    assert server.wait_for(lambda: server.open_connections == 0)


def test_other_settings_of_connections_make_new_ones(each_path: FrontEnd, server: LoopbackServer) -> None:
    """The idle ones are closed at once: they were made with the previous settings."""
    server.script("/", respond(body="x"))
    client = each_path.client()
    each_path.request(client, "GET", server.url + "/")
    reconfigure(client, keep_alive_max_requests=1)
    for _ in range(2):
        each_path.request(client, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 2, 3]
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_stream_goes_on_and_its_connection_is_closed_after_it(
    each_path: FrontEnd, server: LoopbackServer
) -> None:
    """It was opened with the previous settings."""
    server.script("/", respond(body=b"x" * 100_000))
    client = each_path.client()
    with each_path.stream(client, "GET", server.url + "/") as stream:
        pieces = iter(stream.iter_bytes())
        size = len(next(pieces))
        reconfigure(client, max_connection_age=100.0)
        gc.collect()
        each_path.request(client, "GET", server.url + "/")
        size += sum(map(len, pieces))
    assert size == 100_000
    assert [request.connection for request in server.requests] == [1, 2]
    assert server.wait_for(lambda: server.open_connections == 1)


def test_closing_aborts_what_began_before_a_change(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The client keeps track of earlier calls for as long as they last."""
    server.script("/", respond(body=b"x" * 10_000_000))
    client = front_end.client(max_response_size=None)
    with front_end.stream(client, "GET", server.url + "/") as stream:
        pieces = iter(stream.iter_bytes())
        next(pieces)
        for age in (100.0, 200.0):
            reconfigure(client, max_connection_age=age)
        gc.collect()
        assert not client._backends.is_idle()
        client.close(abort=True)
        with pytest.raises(ClientClosedError):
            for _ in pieces:
                pass


def test_what_was_replaced_is_freed(server: LoopbackServer) -> None:
    """A client that is reconfigured every minute must not grow."""
    server.script("/", respond(body="x"))
    with HttpServiceClient(HttpClientConfig()) as client:
        before = []
        for age in range(1, 6):
            client.get(server.url + "/")
            before.append(weakref.ref(client._backends))
            reconfigure(client, max_connection_age=float(age))
        gc.collect()
        assert [reference() for reference in before] == [None] * 5
        assert len(client._backends._all()) == 1


def test_a_view_with_a_proxy_of_its_own_follows(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Its connections are made by the new settings too, through its own proxy."""
    server.script("/", respond(body="x"))
    client = front_end.client(proxy="http://127.0.0.1:9", enable_retry_policy=False)
    view = client.with_options(proxy={})
    front_end.request(view, "GET", server.url + "/")
    reconfigure(client, keep_alive_max_requests=1)
    for _ in range(2):
        front_end.request(view, "GET", server.url + "/")
    assert [request.connection for request in server.requests] == [1, 2, 3]
