"""HTTP/2: servers that would use up memory, and the end of the process."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes

from http_service_client import HttpServiceClient
from http_service_client.drivers.portal import WIRE
from http_service_client.errors import ClientClosedError
from http_service_client.transports.over_h2.connection import Http2Connection
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from network.faults import Certificates, failing, served
from network.http2_calls import ok


def test_a_server_that_floods_and_does_not_read_loses_the_connection(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it asks for would wait in memory without limit."""
    ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
    http2_server.on("/next", ok)
    http2_server.on("/", lambda exchange: exchange.raw(ping * 100))

    class Full:
        """A transport whose peer reads nothing: what is written stays."""

        def __init__(self, transport: Any) -> None:
            self._transport = transport
            self._waiting = 0

        def write(self, data: bytes) -> None:
            self._waiting += len(data) * 1000
            self._transport.write(data)

        def get_write_buffer_size(self) -> int:
            return self._waiting

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

    made = Http2Connection.connection_made

    def connection_made(self: Http2Connection, transport: Any) -> None:
        made(self, transport)
        if len(http2_server.exchanges) == 0:
            self.transport = Full(transport)
            self.pause_writing()

    monkeypatch.setattr(Http2Connection, "connection_made", connection_made)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert len(http2_server.connections) == 2


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",  # PING
        b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x42\x42\x00\x00\x00\x01",  # SETTINGS
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x01",  # DATA
        b"\x00\x00\x00\x20\x00\x00\x00\x00\x00",  # an extension that nobody has agreed to
    ],
    ids=["ping", "settings", "data", "extension"],
)
def test_a_flood_of_frames_that_carry_nothing_ends_the_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, frame: bytes
) -> None:
    """Before they are worked on: they would hold the event loop, and all calls on it."""

    def flood(exchange: Exchange) -> None:
        exchange.head(200)
        exchange.raw(frame * 50_000)

    http2_server.on("/", flood)
    http2_server.on("/next", ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert "flood" in caught.message
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert len(http2_server.connections) == 2


def test_a_fault_of_one_stream_ends_that_one(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A window of more than 2^31 - 1 bytes (RFC 9113, 6.9.1). It is this side that resets the stream."""
    http2_server.on(
        "/", lambda exchange: exchange.raw(b"\0\0\4\x08\0" + struct.pack(">II", exchange.id, 2**31 - 1))
    )
    http2_server.on("/next", ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert "breaks the rules of HTTP/2: FLOW_CONTROL_ERROR" in caught.message
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert len(http2_server.connections) == 1


def test_the_table_of_known_fields_stays_small(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A server may offer any size. Each new value of a header would be kept, and searched for in each request."""

    def offer(exchange: Exchange) -> None:
        exchange.connection.do(lambda h2: h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1}))
        ok(exchange)

    http2_server.on("/", offer, ok)
    for _ in range(3):
        front_end.request(http2_client, "GET", http2_server.url + "/")
    (connection,) = http2_server.connections
    assert connection.h2.decoder.header_table_size == 4096


def test_a_thread_that_waits_at_the_end_of_the_process(
    http2_server: Http2Server, certificates: Certificates
) -> None:
    """The loop of blocking calls stops there: a daemon thread gets an error of this package."""
    has_arrived = threading.Event()
    http2_server.on("/", lambda exchange: has_arrived.set())
    errors: list[BaseException] = []

    def call(client: HttpServiceClient) -> None:
        try:
            client.post(http2_server.url + "/", data=b"pay")
        except BaseException as error:
            errors.append(error)

    with BlockingFrontEnd() as front_end:
        client = front_end.client(http2=True, connection_pool=certificates.pool())
        thread = threading.Thread(target=call, args=(client,), daemon=True)
        thread.start()
        assert has_arrived.wait(5)
        WIRE.stop()  # as `atexit` does
        thread.join(5)
    (error,) = errors
    assert isinstance(error, ClientClosedError)
    assert error.sent_state.value == "abandoned"
    assert len(http2_server.exchanges) == 1


def test_a_refusal_is_read_though_the_server_closed_at_once(
    front_end: FrontEnd, new_client: NewClient, certificates: Certificates
) -> None:
    """With unread bytes of the upload: its reset ends our next write, and what it had sent before is still there."""

    def refuse(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        h2.increment_flow_control_window(2**30)
        requests: list[RequestReceived] = []
        while not requests:
            accepted.sendall(h2.data_to_send())
            events = h2.receive_data(accepted.recv(1000))
            requests = [event for event in events if isinstance(event, RequestReceived)]
        h2.send_headers(requests[0].stream_id, [(":status", "413"), ("content-length", "8")])
        h2.send_data(requests[0].stream_id, b"too much", end_stream=True)
        accepted.recv(16_384)
        accepted.sendall(h2.data_to_send())
        accepted.close()

    context = certificates.server_context()
    context.set_alpn_protocols(["h2"])
    with served(refuse, context) as address:
        client = new_client(enable_retry_policy=False, enable_circuit_breaker=False)
        for _ in range(5):
            response = front_end.request(
                client, "POST", f"https://{address}/", data=b"x" * 20_000_000, timeout=20
            )
            assert (response.status_code, response.text) == (413, "too much")
