"""Hedged calls over HTTP/2: both requests on one connection, and the loser's stream is reset at once."""

from __future__ import annotations

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from kit.front_ends import FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient


def test_the_losers_stream_is_reset_and_the_connection_stays(
    front_end: FrontEnd, http2_server: Http2Server, new_client: NewClient
) -> None:
    """Other calls go on with it."""
    begun: list[Exchange] = []

    def second_responds(exchange: Exchange) -> None:
        begun.append(exchange)
        if len(begun) != 1:
            exchange.respond(200, body=b"ok")

    http2_server.on("/", second_responds)
    client = new_client(hedging={"delay": 0.05}, enable_retry_policy=False)
    response = front_end.request(client, "GET", f"{http2_server.url}/")
    assert response.content == b"ok"
    assert begun[0].was_cancelled.wait(5)
    assert begun[0].cancelled == ErrorCodes.CANCEL
    assert front_end.request(client, "GET", f"{http2_server.url}/").content == b"ok"
    assert len({id(exchange.connection) for exchange in begun}) == 1
