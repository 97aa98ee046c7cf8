"""HTTP/2 and mocks: a mock sees the calls of a client that speaks HTTP/2, too."""

from __future__ import annotations

import pytest
import responses
from aioresponses import aioresponses

pytest.importorskip("h2", reason="the extra http2 is not installed")

from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Http2Server
from network.faults import Certificates


def test_no_exchange_passes_a_mock_by(front_end: FrontEnd, certificates: Certificates) -> None:
    """A charge in a test with a mock must not reach the real service. HTTP/2 is back once the mock has gone."""
    with Http2Server(certificates.server_context()) as server:
        server.on("/charge", *[lambda exchange: exchange.respond(200, body=b"real")] * 2)
        url = server.url + "/charge"
        client = front_end.client(http2=True, base_timeout=5.0, connection_pool=certificates.pool())

        def charged() -> str:
            return front_end.request(client, "POST", url, retry_policy=None).text

        mock = aioresponses if isinstance(front_end, AsyncioFrontEnd) else responses.RequestsMock
        assert charged() == "real"
        with mock() as mocked:
            mocked.post(url, body="mocked")
            assert charged() == "mocked"
        assert len(server.exchanges) == 1
        assert charged() == "real"
