"""One pool of the blocking transport: what it sends, when a connection is used again, and what a failure says of its phase."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import Timeout
from http_service_client.http.headers import Headers
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.failures import BodySourceError, Phase, PhaseError, ProxyRefusedError
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from kit.wired_pools import OK, OPEN, PROXY, Wire, pool_for, send

AUTHORIZED = "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"


@pytest.mark.parametrize("fields", [Headers({"X-Id": "1"}), [("X-Id", "1")]], ids=["headers", "pairs"])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    ("url", "proxy", "has_login"),
    [
        ("http://api.test/", None, False),
        ("http://api.test/", PROXY, True),
        ("https://api.test/", PROXY, False),
        ("http://api.test/", "socks5://user:secret@proxy.test", False),
    ],
)
def test_a_head_has_the_host_the_fields_and_what_the_way_needs(
    wire: Wire, url: str, proxy: str | None, has_login: bool, is_chunked: bool, fields: Any
) -> None:
    """A login is for the proxy that reads the request; in a tunnel, the origin would read it."""
    send(pool_for(url, proxy), wire, fields=fields, is_chunked=is_chunked)
    head = wire.requests[0].decode()
    assert head.startswith("GET /a HTTP/1.1\r\nHost: api.test\r\n")
    added = (AUTHORIZED if has_login else "") + ("Transfer-Encoding: chunked\r\n" if is_chunked else "")
    assert head.endswith(f"X-Id: 1\r\n{added}\r\n")


def test_the_caller_s_own_login_for_the_proxy_is_the_only_one(wire: Wire) -> None:
    """In either form of the fields."""
    own = {"Proxy-Authorization": "Bearer own"}
    for fields in (Headers(own), list(own.items())):
        send(pool_for(proxy=PROXY), wire, fields=fields)
    assert [each.lower().count(b"proxy-authorization") for each in wire.requests] == [1, 1]


def test_a_connection_serves_one_exchange_after_the_other(wire: Wire) -> None:
    """It is idle in between; the latest one is used first."""
    pool = pool_for(size=99)
    first, second = send(pool, wire, OPEN), send(pool, wire, OPEN)
    assert not pool.has_idle_connections
    for response, connection in zip((first, second), wire.connections, strict=True):
        assert response.read() == b"ab"
        connection.peer.sendall(b"cd")
        assert [response.read(), response.read()] == [b"cd", b""]
    assert pool.has_idle_connections
    assert len(pool._settings.idle) == 2
    again = send(pool, wire, OPEN)
    assert len(pool._settings.idle) == 1
    assert [connection.served for connection in wire.connections] == [1, 2]
    assert wire.connections[0].most_early == 99
    again.close()
    assert wire.are_open == [True, False]


def test_an_idle_connection_that_its_peer_has_closed_is_not_used(wire: Wire) -> None:
    """The next one is; none of them is left open."""
    pool = pool_for()
    waiting = [send(pool, wire, OPEN) for _ in range(2)]
    for response, connection in zip(waiting, wire.connections, strict=True):
        connection.peer.sendall(b"cd")
        while response.read():
            pass
    wire.connections[1].peer.close()
    send(pool, wire).read()
    assert (len(wire.connections), wire.are_open) == (2, [True, False])
    assert wire.connections[0].served == 2


@pytest.mark.parametrize(
    ("response", "options", "is_sent"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", {}, True),
        (b"HTTP/1.1 200 OK\r\nKeep-Alive: max=0\r\nContent-Length: 0\r\n\r\n", {}, True),
        (OK, {"is_last": True}, True),
        (OK, {}, False),
    ],
    ids=["response", "keep-alive", "request", "sent in part"],
)
def test_a_connection_that_must_not_be_used_again_is_closed(
    wire: Wire, response: bytes, options: dict[str, Any], is_sent: bool
) -> None:
    """By what the server said, or the request; or since the rest of a request would come first."""
    pool = pool_for()
    wire.is_sent = is_sent
    send(pool, wire, response, **options).read()
    assert (wire.are_open, pool.has_idle_connections) == ([False], False)


def test_a_connection_serves_so_many_exchanges(wire: Wire) -> None:
    """Then it is closed."""
    pool = pool_for(requests=2)
    for _ in range(3):
        send(pool, wire).read()
    assert wire.are_open == [False, True]


def test_head_and_body_have_their_own_limits(wire: Wire) -> None:
    """Where the timeout has phases."""
    send(pool_for(), wire, timeout=Timeout(first_byte=1000.0, between=3.0))
    first, head, body = wire.connections[0].limits
    assert (first.expires_at, body.expires_at, body.read_within) == (None, None, 3.0)
    assert head.expires_at is not None
    send(pool_for(), wire, timeout=Timeout(read=3.0))
    assert len(wire.connections[1].limits) == 1


FAILURES = [
    OSError("x"),
    UnicodeError("x"),
    NotHttpError(),
    ProxyRefusedError("x"),
    BodySourceError(KeyError()),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_failure_says_its_phase_and_closes_the_connection(wire: Wire, error: Exception) -> None:
    """While connecting, through a proxy too; while sending. An idle connection is closed, too."""
    wire.error = error
    for proxy, phase in ((None, Phase.CONNECT), (PROXY, Phase.PROXY)):
        with pytest.raises(PhaseError) as caught:
            send(pool_for(proxy=proxy), wire)
        assert (caught.value.phase, caught.value.error) == (phase, error)
    wire.error = None
    wire.responses.clear()
    with pytest.raises(PhaseError) as caught:
        send(pool_for(), wire, error)
    assert (caught.value.phase, caught.value.error) == (Phase.SEND, error)
    with pytest.raises(PhaseError) as caught:
        send(pool_for(), wire, b"SSH-2.0\r\n")
    assert caught.value.phase is Phase.RECEIVE
    assert wire.are_open == [False, False]


def test_what_is_no_failure_is_raised_as_it_is(wire: Wire) -> None:
    """An interruption, or a bug; the connection is closed."""
    for error in (KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(error)):
            send(pool_for(), wire, error)
    wire.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        send(pool_for(), wire)
    assert wire.are_open == [False, False]


def test_a_failure_is_freed_once_it_is_handled(wire: Wire) -> None:
    """Its traceback has the frame of the pool."""
    gc.disable()
    try:
        try:
            send(pool_for(), wire, OSError("x"))
        except PhaseError as error:
            kept = weakref.ref(error)
        assert kept() is None
    finally:
        gc.enable()


def test_a_response_has_its_head(wire: Wire) -> None:
    """What the transport asks of it; each field by its name in any case."""
    head = b"HTTP/1.1 302 Found\r\nlocation: /b\r\nCONTENT-ENCODING: gzip\r\nContent-Length: 0\r\n\r\n"
    response = send(pool_for(), wire, head)
    assert (response.status, response.reason, response.location) == (302, "Found", "/b")
    assert (response.content_coding, response.is_encoded) == ("gzip", True)
    assert response.headers["Location"] == "/b"
    plain = send(pool_for(), wire)
    assert (plain.location, plain.content_coding, plain.ends_with_connection) == (None, None, False)
    assert send(pool_for(), wire, b"HTTP/1.1 200 OK\r\n\r\nab").ends_with_connection


def test_a_body_that_came_with_its_head_is_read_once(wire: Wire) -> None:
    """The connection is back in the pool by then."""
    pool = pool_for()
    response = send(pool, wire)
    assert pool.has_idle_connections
    response.set_timeouts(ExchangeTimeouts(None, None, None, None))
    assert [response.read(), response.read()] == [b"hi", b""]
    response.close()
    assert wire.are_open == [True]


@pytest.mark.parametrize(
    "error", [OSError("x"), NotHttpError(), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
def test_a_body_that_breaks_closes_its_connection(
    wire: Wire, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised; each later read is of a connection that was closed."""
    response = send(pool_for(), wire, OPEN)

    def fail() -> bytes:
        raise error

    monkeypatch.setattr(wire.connections[0], "read_body", fail)
    with pytest.raises(type(error)) as caught:
        response.read()
    assert caught.value is error
    assert wire.are_open == [False]
    with pytest.raises(ConnectionAbortedError):
        response.read()


def test_the_source_of_a_body_is_not_the_network(wire: Wire) -> None:
    """Its error is kept apart; an interruption of it is none."""

    def chunks(error: BaseException) -> Iterator[bytes]:
        yield b"ab"
        raise error

    with pytest.raises(PhaseError) as caught:
        send(pool_for(), wire, b"", body=chunks(KeyError("x")), is_chunked=True)
    assert isinstance(caught.value.error, BodySourceError)
    assert isinstance(caught.value.error.error, KeyError)
    with pytest.raises(KeyboardInterrupt):
        send(pool_for(), wire, b"", body=chunks(KeyboardInterrupt()), is_chunked=True)


# Bodies.

LARGE = bytes(range(256)) * 1200  # 300 KiB: more than any piece


def in_chunks(*pieces: bytes) -> list[bytes]:
    return [*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("body", "is_chunked", "pieces"),
    [
        (LARGE[: 64 * 1024 + 1], False, [LARGE[: 64 * 1024 + 1]]),
        (LARGE, False, [LARGE[: 256 * 1024], LARGE[256 * 1024 :]]),
        ([b"ab", b"cd"], False, [b"ab", b"cd"]),
        ([b"ab", b"", b"cd"], False, [b"ab", b"cd"]),
        ([b"ab", LARGE[:100]], True, in_chunks(b"ab", LARGE[:100])),
        ([b"ab", b"", b"cd"], True, in_chunks(b"ab", b"cd")),
        ([LARGE[: 64 * 1024]], True, in_chunks(LARGE[: 64 * 1024])),
        (
            [LARGE[: 130 * 1024]],
            True,
            in_chunks(LARGE[: 64 * 1024], LARGE[64 * 1024 : 128 * 1024], LARGE[128 * 1024 : 130 * 1024]),
        ),
        ([], True, in_chunks()),
    ],
    ids=["bytes", "long bytes", "iterator", "empty piece", "chunks", "empty chunk", "chunk", "long chunk", "no chunk"],
)  # fmt: skip
def test_a_body_goes_in_pieces_after_the_head(
    wire: Wire, body: Any, is_chunked: bool, pieces: list[bytes]
) -> None:
    """Of 256 KiB at most; of 64 KiB in chunks. An empty piece is none: as a chunk, it would end the body."""
    given = body if isinstance(body, bytes) else iter(body)
    send(pool_for(), wire, body=given, is_chunked=is_chunked)
    assert wire.requests[0].endswith(b"\r\n\r\n")
    assert [piece == expected for piece, expected in zip(wire.pieces, pieces, strict=True)] == [True] * len(
        pieces
    )


@pytest.mark.parametrize("size", [0, 2, 64 * 1024])
def test_a_small_body_goes_with_the_head(wire: Wire, size: int) -> None:
    """In one packet, if it fits."""
    send(pool_for(), wire, body=LARGE[:size])
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert body == LARGE[:size]
    assert b"Transfer-Encoding" not in head
    assert wire.pieces == []


@pytest.mark.parametrize("body", [LARGE, b"ab"])
def test_a_response_that_comes_early_stops_the_request(wire: Wire, body: bytes) -> None:
    """The rest is not sent, and no other request may follow on this connection."""
    wire.is_sent = False
    assert send(pool_for(), wire, body=body).read() == b"hi"
    assert (wire.pieces, wire.are_open) == ([], [False])
    wire.is_sent, wire.is_all_sent = True, False
    assert send(pool_for(), wire, body=LARGE).read() == b"hi"
    assert wire.are_open == [False, False]


@pytest.mark.parametrize("body", [None, b"ab", LARGE])
@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError()])
def test_a_server_that_closes_may_have_said_why(wire: Wire, body: bytes | None, error: OSError) -> None:
    """Its response is read though the request could not be sent."""
    wire.error_after = error
    pool = pool_for()
    assert send(pool, wire, body=body).read() == b"hi"
    assert (wire.are_open, pool.has_idle_connections) == ([False], False)


def test_a_write_that_fails_of_itself_is_a_failure(wire: Wire) -> None:
    """Whatever has come."""
    wire.error_after = OSError("no route")
    with pytest.raises(PhaseError) as caught:
        send(pool_for(), wire)
    assert caught.value.phase is Phase.SEND


# What a response asks of its connection.


def test_an_open_response_passes_wishes_on_to_its_connection(wire: Wire) -> None:
    """One that is complete, or closed, has none."""
    timeouts = ExchangeTimeouts(None, None, 3.0, None)
    pool = pool_for()
    response = send(pool, wire, OPEN)
    connection = wire.connections[0]
    assert not response.ends_with_connection
    response.set_timeouts(timeouts)
    response.prefer_long_pieces()
    assert connection.limits[-1] is timeouts
    assert connection.prefers_long_pieces
    response.close()
    complete = send(pool, wire)
    for each in (response, complete):
        each.set_timeouts(timeouts)
        each.prefer_long_pieces()
        assert not each.ends_with_connection
    assert [len(each.limits) for each in wire.connections] == [2, 1]


def test_a_response_that_is_closed_as_its_last_piece_comes_is_not_released(wire: Wire) -> None:
    """By another thread. Its connection is closed, and must not be idle."""
    pool = pool_for()
    response = send(pool, wire)
    again = send(pool, wire, OPEN)
    again.close()
    again._release_if_complete()
    response._release_if_complete()
    assert (wire.are_open, pool.has_idle_connections) == ([False], False)


def test_an_idle_connection_keeps_no_response(wire: Wire) -> None:
    """Its head may be large."""
    pool = pool_for()
    response = send(pool, wire, OPEN)
    parser = wire.connections[0].parser
    assert parser.head is not None
    wire.connections[0].peer.sendall(b"cd")
    while response.read():
        pass
    assert pool.has_idle_connections
    assert parser.head is None


def test_faults_that_are_tolerated_are_logged_for_their_origin(wire: Wire) -> None:
    """Others are errors, and nothing is logged."""
    logged: list[tuple[str, str]] = []
    log: Any = SimpleNamespace(for_origin=lambda origin: lambda rule: logged.append((origin, rule.name)))
    faulty = b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nhi"
    tolerant = pool_for(parser=ParserSettings(tolerated=frozenset({"missing-colon"})), faults=log)
    assert send(tolerant, wire, faulty).read() == b"hi"
    assert logged == [("http://api.test", "missing-colon")]
    with pytest.raises(PhaseError):
        send(pool_for(faults=log), wire, faulty)
    assert len(logged) == 1
