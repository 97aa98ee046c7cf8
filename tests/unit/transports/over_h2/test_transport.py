"""The two transports that speak HTTP/2: which exchanges they leave to HTTP/1.1, how they read a body, how they close."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client import errors
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import SentState
from http_service_client.http.proxies.settings import NoProxyEntry, ProxySettings
from http_service_client.transports.over_h2.connection import Http2Connection
from kit.http2_exchanges import MAYBE, NEVER, READ, WINDOW, WRITE, about, told
from kit.http2_frames import data, head, reset
from kit.http2_network import URL, Http2Network
from kit.http2_sides import CALLS, Side, all_of, kinds


@pytest.fixture(params=["blocking", "asyncio"])
def side(request: Any, network: Http2Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """The transport of each front end."""
    made = Side(network, request.param == "blocking", monkeypatch)
    yield made
    made.end()


@pytest.fixture
def blocking(network: Http2Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """The blocking one alone."""
    made = Side(network, True, monkeypatch)
    yield made
    made.end()


# Which exchanges are for HTTP/2.


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("url", "proxies", "is_hooked", "is_for_http2"),
    [
        (URL, ProxySettings(), False, True),
        (URL, ProxySettings(http="http://proxy.test"), False, True),
        (URL, ProxySettings(https="http://proxy.test", no_proxy=(NoProxyEntry("a.test"),)), False, True),
        (URL, ProxySettings(https="http://proxy.test"), False, False),
        (URL, ProxySettings(), True, False),
        ("http://a.test/path?q=1", ProxySettings(), False, False),
        ("http://a.test/path?q=1", ProxySettings(), True, False),
        ("http://a.test/path?q=1", ProxySettings(http="http://proxy.test"), False, False),
    ],
)
@pytest.mark.parametrize("is_blocking", [True, False], ids=["blocking", "asyncio"])
def test_an_exchange_is_for_http2_if_only_tls_leads_to_its_server(
    network: Http2Network,
    monkeypatch: pytest.MonkeyPatch,
    is_blocking: bool,
    url: str,
    proxies: ProxySettings,
    is_hooked: bool,
    is_for_http2: bool,
    call: str,
) -> None:
    """No proxy, and nothing that has hooked into the library. All else is left to HTTP/1.1 as it is."""
    side = Side(network, is_blocking, monkeypatch, proxies=proxies)
    side.is_hooked = is_hooked
    timeout = Timeout(total=9.0)
    network.at(0.5, lambda: network.servers and network.server.says(head(1, 404, ends=True)))
    outcome = CALLS[call](side, timeout=timeout, url=url)
    network.run(asyncio.sleep(1.0))
    assert len(network.servers) == is_for_http2
    if is_for_http2:
        assert (about(outcome), side.http1.calls) == ((404, b""), [])
    else:
        assert outcome is side.http1.response
        [(name, request, passed)] = side.http1.calls
        assert (name, request.url, passed is timeout) == (call, url, True)
    side.end()


@pytest.mark.parametrize("is_blocking", [True, False], ids=["blocking", "asyncio"])
def test_both_protocols_are_offered_to_a_server(
    network: Http2Network, monkeypatch: pytest.MonkeyPatch, is_blocking: bool
) -> None:
    """In the order of preference, by their names of ALPN."""
    offered: list[tuple[str, ...]] = []
    tls = network.transport._http2._settings.tls

    def offering(*protocols: str) -> Any:
        offered.append(protocols)
        return tls

    side = Side(network, is_blocking, monkeypatch, tls=SimpleNamespace(offering=offering))
    network.at(0.5, head(1, ends=True))
    assert about(side.send()) == (200, b"")
    assert offered == [("h2", "http/1.1")]
    side.end()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("timeout", "connecting", "left"),
    [
        (Timeout(), 1.0, Timeout()),
        (Timeout(read=2.0), 1.0, Timeout(read=2.0)),
        (Timeout(total=3.0, read=2.0, connect=2.5), 1.0, Timeout(total=2.0, read=2.0, connect=2.0)),
        (Timeout(total=1.0, read=2.0), 0.9998, Timeout(total=0.001, read=2.0)),
    ],
    ids=["no limit", "no total", "total", "almost over"],
)
def test_a_server_without_http2_is_asked_over_http1(
    side: Side, call: str, timeout: Timeout, connecting: float, left: Timeout
) -> None:
    """In the time that the handshake has left. Nothing was sent to it, and nothing is lost of the request's body."""
    side.network.protocol, side.network.connecting = "http/1.1", connecting
    for kind in kinds(side):
        side.network.run(asyncio.sleep(600.0))  # it is not asked for HTTP/2 for some minutes
        side.http1.calls.clear()
        outcome = CALLS[call](side, "POST", timeout, data=all_of(b"body", kind))
        assert outcome is side.http1.response
        [(name, request, given)] = side.http1.calls
        assert (name, given.total) == (call, left.total and pytest.approx(left.total))
        assert replace(given, total=None) == replace(left, total=None)
        assert not request.outgoing_body.has_started
    assert all(server.sent() == [] for server in side.network.servers)


def test_a_failure_of_connecting_is_not_tried_over_http1(side: Side) -> None:
    """Whatever the body is."""
    for kind in kinds(side):
        side.network.refuses = ConnectionResetError(104, "Connection reset by peer")
        failure = side.send("POST", data=all_of(b"body", kind))
        assert told(failure) == (
            "ConnectError",
            "could not connect to https://a.test (ConnectionResetError: Connection reset by peer)",
            NEVER,
        )
    assert side.http1.calls == []


@pytest.mark.parametrize("raised", [ValueError("x"), MemoryError()], ids=repr)
def test_what_no_exchange_ends_with_is_raised(side: Side, raised: Any) -> None:
    """Such as an error of code of the user's that makes a TLS context."""

    def made() -> None:
        raise raised

    side.network.made = made
    for kind in kinds(side):
        with pytest.raises(type(raised)) as caught:
            side.send("POST", data=all_of(b"body", kind))
        assert caught.value is raised


def test_an_error_in_the_midst_of_a_head_leaves_no_stream(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would go on with it. The last step of sending this head is to have the connection close after it."""
    failed = MemoryError()
    monkeypatch.setattr(Http2Connection, "drain", Mock(side_effect=failed))
    for kind in kinds(side):
        with pytest.raises(MemoryError) as caught:
            side.send("POST", data=all_of(b"body", kind), headers={"Connection": "close"})
        assert caught.value is failed
        assert side.sent()[-1].startswith("RST_STREAM")
    monkeypatch.undo()


# Bodies.


def test_a_body_is_sent_whole(side: Side) -> None:
    for number, kind in enumerate(kinds(side)):
        stream = 2 * number + 1
        side.network.at(1.0, head(stream, ends=True))
        assert about(side.send("POST", data=all_of(b"body", kind))) == (200, b"")
        parts = [4] if kind == "bytes" else [1, 3]
        assert side.sent() == [
            f"HEADERS {stream}",
            *[f"DATA {stream} {size}" for size in parts],
            f"DATA {stream} 0 end",
        ]


def test_a_source_is_read_on_its_thread_as_the_server_takes_it(blocking: Side) -> None:
    """Not on that of all connections, and no chunk ahead."""
    seen: list[Any] = []

    def body() -> Iterator[bytes]:
        for chunk in (b"a", b"bc"):
            seen.append((asyncio._get_running_loop(), blocking.network.server.sent()))
            yield chunk
        seen.append((asyncio._get_running_loop(), blocking.network.server.sent()))

    blocking.network.at(1.0, head(1, ends=True))
    assert about(blocking.send("POST", data=body())) == (200, b"")
    assert seen == [(None, ["HEADERS 1"]), (None, ["DATA 1 1"]), (None, ["DATA 1 2"])]
    assert blocking.sent() == ["DATA 1 0 end"]


@pytest.mark.parametrize(
    ("body", "steps"),
    [(None, 1), (b"", 1), (b"x", 1), (BytesIO(b""), 1), (BytesIO(b"x"), 4), (iter([b"a", b"b"]), 5)],
    ids=["none", "empty", "bytes", "empty file", "file", "iterable"],
)
def test_a_body_in_memory_is_one_step(blocking: Side, body: Any, steps: int) -> None:
    """Each is a change of threads and back. A source takes one for its beginning, each chunk, its end, and the response."""
    blocking.network.at(1.0, head(1, ends=True))
    assert about(blocking.send("POST", data=body)) == (200, b"")
    assert blocking.portal.runs == steps


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (errors.InvalidRequestError("a chunk is no bytes"), "failure"),
        (errors.ReadTimeoutError("of another service"), "raised"),
        (ValueError("x"), "raised"),
    ],
    ids=["invalid", "another call's", "any other"],
)
def test_a_source_that_fails_ends_its_exchange(side: Side, error: Any, becomes: str) -> None:
    """Its stream is reset. What is no fault of the request is raised as it is."""

    def body() -> Iterator[bytes]:
        yield b"x"
        raise error

    async def body_async() -> AsyncIterator[bytes]:
        yield b"x"
        raise error

    for number, kind in enumerate(kinds(side)[1:]):
        source: Any = body() if kind == "iterable" else body_async()
        stream = 2 * number + 1
        if becomes == "failure":
            failure = side.send("POST", data=source)
            assert (failure.error_type, failure.message) == (type(error), str(error))
        else:
            with pytest.raises(type(error)) as caught:
                side.send("POST", data=source)
            assert caught.value is error
        assert side.sent() == [
            f"HEADERS {stream}",
            f"DATA {stream} 1",
            f"RST_STREAM {stream} CANCEL",
        ]


def test_a_source_that_the_server_refuses_is_not_read_on(side: Side) -> None:
    """The response is the outcome. The rest of the body is not sent, and the stream is reset."""
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for number in range(5):
            read.append(number)
            if number == 1:
                side.network.server.says(head(1, 413), data(1, b"no", ends=True))
            yield b"x"

    assert about(side.send("POST", data=body())) == (413, b"no")
    assert read == [0, 1]
    assert side.sent()[-1] == "RST_STREAM 1 CANCEL"


def test_a_failure_of_sending_is_that_of_the_exchange(side: Side) -> None:
    """Whatever sends the body: the window of the stream is full, and its server opens no more of it."""
    for kind in kinds(side):
        failure = side.send("POST", Timeout(write=2.0), data=all_of(b"x" * (WINDOW + 1), kind))
        assert told(failure) == ("WriteTimeoutError", f"{WRITE} 2 s", MAYBE)
        assert side.sent()[-2:] == ["RST_STREAM 1 CANCEL", "GOAWAY 0 NO_ERROR"]
    assert len(side.network.servers) == len(kinds(side))  # nothing has arrived on the others


def test_no_chunk_is_read_after_a_failure(side: Side) -> None:
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for number in range(5):
            read.append(number)
            yield b"x" * WINDOW

    assert told(side.send("POST", Timeout(write=2.0), data=body()))[0] == "WriteTimeoutError"
    assert read == [0, 1]


def test_a_response_that_does_not_come_is_a_failure(side: Side) -> None:
    """The stream is reset, so that the server does not go on with it."""
    for kind in ("no body", *kinds(side)):
        body = {} if kind == "no body" else {"data": all_of(b"body", kind)}
        failure = side.send("POST", Timeout(read=2.0), **body)
        assert told(failure) == ("ReadTimeoutError", f"{READ}: nothing arrived for 2 s", MAYBE)
        assert side.sent()[-2:] == ["RST_STREAM 1 CANCEL", "GOAWAY 0 NO_ERROR"]


@pytest.mark.parametrize("kind", ["no body", "bytes", "iterable"])
def test_a_body_that_was_left_open_is_read_in_pieces(side: Side, kind: str) -> None:
    """Each with its limits. To close it before its end resets the stream, once."""
    body = {} if kind == "no body" else {"data": all_of(b"body", kind)}
    side.network.at(0.5, head(1), data(1, b"abc"))
    response = side.open("POST", **body)
    assert isinstance(response, OpenResponse)
    assert side.read(response) == b"abc"
    failure = side.read(response, Timeout(read=2.0))
    assert told(failure) == ("ReadTimeoutError", f"{READ}: nothing arrived for 2 s", MAYBE)
    side.network.at(1.0, data(1, b"def"))
    assert side.read(response) == b"def"
    side.sent()
    for _ in range(2):
        response.source.close()
    assert side.sent() == ["RST_STREAM 1 CANCEL"]


@pytest.mark.parametrize("kind", ["no body", "bytes", "iterable"])
def test_a_response_is_whole_unless_it_is_to_be_left_open(side: Side, kind: str) -> None:
    """That of a success, and only that."""
    for number, (call, status) in enumerate([("send", 200), ("open_response", 404)]):
        stream = 2 * number + 1
        side.network.at(0.5, head(stream, status), data(stream, b"abc", ends=True))
        body = {} if kind == "no body" else {"data": all_of(b"body", kind)}
        response = CALLS[call](side, "POST", **body)
        assert not isinstance(response, OpenResponse)
        assert about(response) == (status, b"abc")


def test_a_body_over_http1_is_left_as_it_is(side: Side) -> None:
    """Its source needs no loop."""
    source: Any = object()
    side.is_hooked = True
    side.http1.response = OpenResponse(200, source=source)
    response = side.open()
    assert response is side.http1.response
    assert response.source is source


# The thread of the blocking side.


def test_without_a_free_descriptor_nothing_is_sent(blocking: Side) -> None:
    """The loop cannot start. The reason is the error of the system beneath."""

    def starts() -> None:
        raise OSError("no loop") from OSError(24, "Too many open files")

    blocking.portal.starts = starts
    assert told(blocking.send()) == (
        "ConnectError",
        "could not connect to https://a.test (OSError: Too many open files)",
        NEVER,
    )
    assert blocking.network.servers == []


def test_an_error_of_a_signal_handler_is_raised(blocking: Side) -> None:
    """It ran while the loop started, and is no failure of the exchange."""
    raised = OSError("of the handler")

    def handler(number: int, frame: Any) -> None:
        raise raised

    blocking.portal.starts = lambda: handler(2, sys._getframe())
    with pytest.raises(OSError, match="of the handler") as caught:
        blocking.send()
    assert caught.value is raised


@pytest.mark.parametrize("kind", ["no body", "iterable"])
def test_a_daemon_thread_at_the_end_of_the_process_gets_a_failure(blocking: Side, kind: str) -> None:
    blocking.portal.ends = True
    body = {} if kind == "no body" else {"data": all_of(b"body", kind)}
    assert told(blocking.send("POST", **body)) == (
        "ClientClosedError",
        "the process ended during the call",
        SentState.ABANDONED,
    )
    blocking.portal.ends = False


# Closing.

CLOSED = ("ClientClosedError", "this HttpServiceClient was closed; make a new one", NEVER)


def close(side: Side) -> None:
    """As the front end does."""
    if side.is_blocking:
        side.transport.close()
    else:
        side.network.run(side.transport.close_async())
    side.network.run(asyncio.sleep(0))


def test_a_closed_transport_begins_nothing(side: Side) -> None:
    """Its idle connections are closed, those over HTTP/1.1, too. That transport says itself that it is closed."""
    side.network.at(0.5, head(1, ends=True))
    side.send()
    server = side.network.server
    assert not server.wire.is_aborted
    close(side)
    assert server.wire.is_aborted
    assert side.http1.calls == [("close",)]
    for call in CALLS.values():
        assert told(call(side)) == CLOSED
    assert len(side.network.servers) == 1
    assert side.send(url="http://a.test/") is side.http1.response


def test_closing_from_outside_closes_all(side: Side) -> None:
    """At the end of a process, or by `abort` on the blocking side."""
    side.network.at(0.5, head(1, ends=True))
    side.send()
    side.end()
    assert side.network.server.wire.is_aborted
    assert side.http1.calls == [("abort" if side.is_blocking else "close",)]
    assert told(side.send()) == CLOSED


def test_an_exchange_in_progress_ends_before_its_connection_is_closed(blocking: Side) -> None:
    """By `close`; the blocking side has other threads."""
    blocking.network.at(0.5, blocking.transport.close)
    blocking.network.at(1.0, head(1), data(1, b"ok", ends=True))
    assert about(blocking.send()) == (200, b"ok")
    assert blocking.network.server.wire.is_aborted


def test_a_first_exchange_that_began_before_the_end_is_the_last(blocking: Side) -> None:
    """There was no connection yet that could be closed. The one that it makes is closed after it."""
    blocking.portal.starts = blocking.transport.close
    blocking.network.at(1.0, head(1, ends=True))
    assert about(blocking.send()) == (200, b"")
    blocking.sent()
    assert blocking.network.server.wire.is_aborted


@pytest.mark.parametrize("kind", ["no body", "bytes", "iterable"])
def test_an_exchange_in_progress_fails_by_abort(blocking: Side, kind: str) -> None:
    blocking.network.at(1.0, blocking.transport.abort)
    body = {} if kind == "no body" else {"data": all_of(b"body", kind)}
    assert told(blocking.send("POST", **body)) == (
        "ClientClosedError",
        "this HttpServiceClient was closed during the call",
        SentState.ABANDONED,
    )


def test_a_server_that_requires_http1_gets_it_the_next_time(side: Side) -> None:
    """With all of the time: there is no handshake before it."""
    side.network.at(1.0, reset(1, ErrorCodes.HTTP_1_1_REQUIRED))
    assert (told(side.send())[0], side.http1.calls) == ("ConnectionLostError", [])
    assert side.send(timeout=Timeout(total=3.0)) is side.http1.response
    [(name, _, timeout)] = side.http1.calls
    assert (name, timeout.total) == ("send", 3.0)
