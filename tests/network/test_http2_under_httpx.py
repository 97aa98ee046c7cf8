"""httpx2 over HTTP/2, under a transport of ours: what the server says that it did not process is `refused`."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")
pytest.importorskip("httpx2", reason="httpx2 is not installed")

import httpx2
from h2.errors import ErrorCodes

from http_service_client import HttpServiceClient
from http_service_client.integrations import ResilientTransport, explain
from http_service_client.testing import VirtualClock
from kit.http2_server import Exchange, Http2Server
from network.faults import Certificates
from network.http2_calls import echo


def test_a_refused_stream_is_sent_again(http2_server: Http2Server, certificates: Certificates) -> None:
    """Also a POST: it was not processed (RFC 9113, 8.7). After another reset it may have been."""

    def refuse(exchange: Exchange) -> None:
        exchange.reset(ErrorCodes.REFUSED_STREAM)

    http2_server.on("/", refuse, echo)
    http2_server.on("/lost", lambda exchange: exchange.reset(ErrorCodes.INTERNAL_ERROR), echo)
    trusted = ssl.create_default_context(cafile=certificates.ca_file)
    transport = ResilientTransport(
        client=HttpServiceClient(clock=VirtualClock()),
        transport=httpx2.HTTPTransport(verify=trusted, http2=True),
    )
    with httpx2.Client(transport=transport) as client:
        response = client.post(http2_server.url + "/", content=b"pay")
        assert (response.content, response.http_version) == (b"pay", "HTTP/2")
        assert "refused" in explain(response)
        with pytest.raises(httpx2.RemoteProtocolError) as caught:
            client.post(http2_server.url + "/lost", content=b"pay")
    error: Any = caught.value
    assert error.sent_state.value == "maybe_processed"
    assert [exchange.path for exchange in http2_server.exchanges] == ["/", "/", "/lost"]
