"""How many bytes a blocking connection requests from the kernel at a time, and how many records of TLS it takes."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from http_service_client import HttpRequest, Timeout
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.transports.over_requests import connection
from http_service_client.transports.over_requests.aborts import OpenConnections
from http_service_client.transports.over_requests.connection import Connection, SelfWaitingConnection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.hooked.exchanges import RequestsResponse
from http_service_client.transports.over_requests.hooked.urllib3_style import Urllib3StyleResponse
from http_service_client.transports.over_requests.open_body import PooledBodySource
from http_service_client.transports.over_requests.pool import PoolResponse

KIB = 1024
RECORD = 16 * KIB
WANT = ssl.SSLWantReadError("no record is here")
EOF = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "[SSL: UNEXPECTED_EOF_WHILE_READING]")
EOF.reason = "UNEXPECTED_EOF_WHILE_READING"


class Wire:
    """A socket on which so many bytes, or an error, wait at each call, as far as they are requested."""

    def __init__(self, *waiting: Any) -> None:
        self.waiting = list(waiting)
        self.requested: list[int] = []

    def settimeout(self, seconds: float | None) -> None: ...

    def recv(self, size: int) -> bytes:
        self.requested.append(size)
        found = self.waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return bytes(min(size, found))


class TlsWire(Wire):
    """The same of TLS, which returns no more than a record."""

    def pending(self) -> int:
        return 0


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The waits for a socket, each of which finds it readable."""
    waits: list[float | None] = []
    monkeypatch.setattr(connection, "read_waiter", lambda sock: lambda wait: waits.append(wait) or True)
    return waits


def in_a_body(wire: Wire, kind: type[Connection] = Connection) -> Connection:
    """A connection that has received the head of a response whose body ends with it."""
    opened = kind(wire, None, ParserSettings(), SimpleNamespace(allows=lambda since: True))  # type: ignore[arg-type]
    opened.parser.begin("GET")
    opened.parser.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    assert isinstance(opened.parser, ResponseParser)
    opened.read_head()
    return opened


def test_a_body_that_fills_its_pieces_is_received_in_larger_ones(looks: list[float | None]) -> None:
    """Fewer system calls, here and where it is written; a slow one is not given the memory for it."""
    wire = Wire(*[KIB * KIB] * 3, 100 * KIB, 10 * KIB, 10 * KIB, 0)
    opened = in_a_body(wire)
    received = [len(opened.receive()) // KIB for _ in range(7)]
    assert received == [64, 256, 256, 100, 10, 10, 0]
    assert [size // KIB for size in wire.requested] == [64, 256, 256, 256, 256, 64, 64]


def test_a_reader_that_prefers_long_pieces_gets_them_in_this_exchange_alone(
    looks: list[float | None],
) -> None:
    """They are worth the memory where they go to a file; the next exchange may be a stream."""
    opened = in_a_body(Wire(*[2 * KIB * KIB] * 8))
    opened.prefer_long_pieces()
    assert [len(opened.receive()) // KIB for _ in range(4)] == [64, 256, 1024, 1024]
    opened.begin("GET", ExchangeTimeouts.starting(Timeout(), 0.0))
    assert [len(opened.receive()) // KIB for _ in range(3)] == [1024, 256, 256]


def opened_by(kind: str, wire: Wire) -> PooledBodySource:
    """The body of a response: of our own pools, or as requests returns it."""
    opened = in_a_body(wire)
    head = SimpleNamespace(status=200, reason="OK", is_encoded=False, is_last=False)
    pool = SimpleNamespace(release=lambda connection: None)
    response: Any = PoolResponse(head, None, opened, pool)  # type: ignore[arg-type]
    if kind == "requests":
        returned = requests.Response()
        returned.raw = Urllib3StyleResponse(response, None)
        returned.status_code, returned.reason = 200, "OK"
        response.fields = []
        response = RequestsResponse(returned)
    return PooledBodySource(HttpRequest("GET", "http://a.test/"), response, OpenConnections())


@pytest.mark.parametrize("kind", ["pool", "requests"])
def test_the_body_of_a_response_is_received_as_its_reader_prefers(
    kind: str, looks: list[float | None]
) -> None:
    """As long as it has a connection: after its end there is nothing to receive."""
    wire = Wire(*[2 * KIB * KIB] * 3, 0)
    body = opened_by(kind, wire)
    body.prefer_long_pieces()
    pieces = [body.read(Timeout()) for _ in range(4)]
    assert [len(piece) // KIB for piece in pieces if isinstance(piece, bytes)] == [64, 256, 1024, 0]
    body.prefer_long_pieces()
    assert body.read(Timeout()) == b""


def test_records_that_are_here_are_one_piece(looks: list[float | None]) -> None:
    """A step for each would take longer than to decrypt it; nothing waits for those that are not here."""
    wire = TlsWire(RECORD, RECORD, 5 * KIB, WANT, RECORD, WANT, *[RECORD] * 17, WANT, 0)
    opened = in_a_body(wire)
    pieces = [len(opened.read_body()) for _ in range(5)]
    assert pieces == [37 * KIB, RECORD, 16 * RECORD, RECORD, 0]
    assert len(looks) == 5


def test_after_an_event_nothing_more_is_looked_for(looks: list[float | None]) -> None:
    """It is a short record, and its reader waits for it."""
    opened = in_a_body(TlsWire(100, 200))
    assert [len(opened.read_body()) for _ in range(2)] == [100, 200]


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (0, None),
        (EOF, None),
        (ConnectionResetError(104, "reset by peer"), ConnectionResetError),
        (ssl.SSLError(1, "bad record mac"), ssl.SSLError),
    ],
    ids=["close_notify", "no close_notify", "reset", "alert"],
)
def test_what_comes_after_the_last_record_is_not_lost(
    looks: list[float | None], end: Any, raised: type[Exception] | None
) -> None:
    """The kernel reports a reset once. A later look would find an end, and a body cut short would be complete."""
    wire = TlsWire(RECORD, RECORD, end)
    opened = in_a_body(wire)
    assert len(opened.read_body()) == 2 * RECORD
    assert not opened.is_reusable()
    waits = list(looks)
    if raised is None:
        assert opened.read_body() == b""
    else:
        with pytest.raises(raised):
            opened.read_body()
    assert looks == waits  # an alert leaves nothing to read in the socket


def test_a_connection_is_not_used_again_after_what_was_found_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although its socket has nothing more: a later exchange would get the end, or the error, as its response."""
    has_more = [True]
    monkeypatch.setattr(connection, "read_waiter", lambda sock: lambda wait: has_more[0])
    for end, is_reusable in ((WANT, True), (0, False), (ConnectionResetError(104, "reset by peer"), False)):
        has_more[0] = True
        opened = in_a_body(TlsWire(RECORD, end))
        assert len(opened.read_body()) == RECORD
        has_more[0] = False
        assert opened.is_reusable() is is_reusable


def test_a_socket_that_waits_itself_is_asked_for_one_record(looks: list[float | None]) -> None:
    """With gevent, to look for one more is to wait for it."""
    wire = TlsWire(RECORD, RECORD)
    opened = in_a_body(wire, SelfWaitingConnection)
    assert [len(opened.read_body()) for _ in range(2)] == [RECORD, RECORD]
