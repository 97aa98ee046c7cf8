"""One exchange over HTTP/2, in virtual time: what is returned, left open or followed, and which failures end it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import weakref
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client import HttpRequest, errors
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure, SentState
from http_service_client.transports.over_h2.exchange import Http2Exchange
from kit.http2_exchanges import MAYBE, NEVER, READ, REFUSED, TOTAL, about, told
from kit.http2_frames import data, go_away, head, ping, reset
from kit.http2_network import URL, Http2Network

# Responses.


def test_a_response_is_what_the_server_sent(network: Http2Network) -> None:
    """With its time since the exchange began."""
    network.at(0.25, head(1, 103))
    network.at(0.5, head(1, 201, [("x-id", "1"), ("x-id", "2")]), data(1, b"o"))
    network.at(0.75, data(1, b"k", ends=True))
    response = network.send()
    assert about(response) == (201, b"ok")
    assert (response.http_version, response.url, response.request.url) == ("HTTP/2", URL, URL)
    assert list(response.headers.pairs()) == [("x-id", "1, 2")]
    assert response.elapsed == network.now == 0.75
    assert network.server.sent() == [
        "HEADERS 1 end",
        "WINDOW_UPDATE 0 1",
        "WINDOW_UPDATE 1 1",
        "WINDOW_UPDATE 0 1",
    ]
    network.at(0.1, head(3, 204, ends=True))
    response = network.send("HEAD")
    assert (about(response), response.elapsed) == ((204, b""), pytest.approx(0.1))


CODED = gzip.compress(b"content", mtime=0)


@pytest.mark.parametrize(
    "codings", [["gzip"], ["gzip", "gzip"], ["gzip, gzip"]], ids=["one", "two", "one field"]
)
def test_a_coded_body_is_decoded(network: Http2Network, codings: list[str]) -> None:
    """Of several fields that name codings, too."""
    content = CODED if codings == ["gzip"] else gzip.compress(CODED)
    network.at(0.1, head(1, 200, [("content-encoding", coding) for coding in codings]))
    for number in range(len(content)):
        network.at(0.2 + number / 1000, data(1, content[number : number + 1]))
    network.at(0.5, data(1, ends=True))
    assert about(network.send()) == (200, b"content")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"junk" * 5, "the response's gzip content is corrupt"),
        (CODED[:-4], "the response's gzip content is cut short"),
    ],
    ids=["corrupt", "cut short"],
)
def test_a_body_that_cannot_be_decoded_is_in_its_error(
    network: Http2Network, content: bytes, message: str
) -> None:
    """As it arrived, with what came after the fault."""
    network.at(0.1, head(1, 200, [("content-encoding", "gzip"), ("x-id", "1")]), data(1, content[:10]))
    network.at(0.2, data(1, content[10:]))
    network.at(0.3, data(1, ends=True))
    failure = network.send()
    assert failure.error_type is errors.DecodingError
    assert failure.message.startswith(message)
    assert failure.sent_state is SentState.ANSWERED
    response = failure.details["response"]
    assert about(response) == (200, content)
    assert (response.headers["x-id"], response.http_version) == ("1", "HTTP/2")


def test_a_body_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its decoded bytes. The rest is not read, and the connection is used again."""
    network = Http2Network(monkeypatch, max_response_size=10)
    network.at(0.1, head(1), data(1, b"x" * 10, ends=True))
    assert about(network.send()) == (200, b"x" * 10)
    network.at(0.1, head(3), data(3, b"x" * 11))
    failure = network.send()
    assert (failure.error_type, failure.sent_state) == (errors.ResponseTooLargeError, SentState.ANSWERED)
    assert network.server.sent()[-1] == "RST_STREAM 3 CANCEL"
    network.at(0.1, head(5, ends=True))
    assert about(network.send()) == (200, b"")
    network.close()


# Failures.


@pytest.mark.parametrize(
    ("acts", "error", "message", "state"),
    [
        (
            reset(1, ErrorCodes.REFUSED_STREAM),
            "ConnectionLostError",
            f"{URL}: the server did not process this request (REFUSED_STREAM)",
            REFUSED,
        ),
        (
            go_away(0),
            "ConnectionLostError",
            f"{URL}: the server closes the connection, and did not process this request (GOAWAY)",
            REFUSED,
        ),
        (
            reset(1, ErrorCodes.INTERNAL_ERROR),
            "ConnectionLostError",
            f"the connection to {URL} was lost (ConnectionError: the server ended the stream: INTERNAL_ERROR)",
            MAYBE,
        ),
        (
            head(1) + reset(1, ErrorCodes.INTERNAL_ERROR),
            "ConnectionLostError",
            f"the connection to {URL} was lost (ConnectionError: the server ended the stream: INTERNAL_ERROR)",
            MAYBE,
        ),
        (
            head(1, 200, [("X-A", "1")]),
            "ProtocolError",
            f"the response from {URL} is not valid HTTP: a header name is not a token "
            "(invalid-header-name; RFC 9110, 5.1)",
            MAYBE,
        ),
        (
            head(1, 200, [("content-length", "3")]) + data(1, b"ab", ends=True),
            "ProtocolError",
            f"the response from {URL} was cut short after 2 bytes",
            MAYBE,
        ),
    ],
)
@pytest.mark.parametrize("leaves_open", [False, True])
def test_what_the_server_does_ends_an_exchange(
    network: Http2Network, acts: bytes, error: str, message: str, state: SentState, leaves_open: bool
) -> None:
    """With what happened, and what became of the request."""
    network.at(1.0, acts)
    outcome = (network.open if leaves_open else network.send)()
    if isinstance(outcome, OpenResponse):
        while True:
            piece = network.run(outcome.source.read_async(Timeout()))  # type: ignore[union-attr]
            if isinstance(piece, Failure):
                outcome = piece
                break
            assert piece
    assert told(outcome) == (error, message, state)


def test_a_server_that_requires_http1_gets_it_from_then_on(network: Http2Network) -> None:
    """The request was not processed, so that it can be sent again."""
    network.at(1.0, reset(1, ErrorCodes.HTTP_1_1_REQUIRED))
    assert told(network.send()) == (
        "ConnectionLostError",
        f"{URL}: the server did not process this request, and requires HTTP/1.1 for it (HTTP_1_1_REQUIRED)",
        REFUSED,
    )
    assert network.send().content == b"over HTTP/1.1"
    assert len(network.servers) == 1


@pytest.mark.parametrize("code", [ErrorCodes.REFUSED_STREAM, ErrorCodes.INTERNAL_ERROR])
def test_a_server_that_requires_nothing_is_asked_again(network: Http2Network, code: int) -> None:
    """On the same connection."""
    network.at(1.0, reset(1, code))
    network.send()
    network.at(1.0, head(3, ends=True))
    assert about(network.send()) == (200, b"")
    assert (len(network.servers), network.http1) == (1, [])


def test_a_connection_without_numbers_is_replaced(network: Http2Network) -> None:
    """The call is sent on another one."""
    network.at(0.1, head(1, ends=True))
    network.send()
    first = network.server
    first.connection._h2.highest_outbound_stream_id = 2**31 - 1
    network.connecting = 1.0
    network.at(3.0, head(1, ends=True))
    assert about(network.send(timeout=Timeout(first_byte=2.5))) == (200, b"")
    assert (len(network.servers), first.wire.is_aborted) == (2, True)


def test_a_limit_of_connecting_holds_for_the_replacement(network: Http2Network) -> None:
    """It is connecting again: nothing was sent."""
    network.at(0.1, head(1, ends=True))
    network.send()
    network.server.connection._h2.highest_outbound_stream_id = 2**31 - 1
    network.refuses = ConnectionResetError(104, "Connection reset by peer")
    failure = network.send()
    assert told(failure) == (
        "ConnectError",
        "could not connect to https://a.test (ConnectionResetError: Connection reset by peer)",
        NEVER,
    )


def test_an_address_that_is_not_allowed_is_refused(network: Http2Network) -> None:
    """As the egress policy says it."""
    refused = errors.EgressRefusedError("10.0.0.1 is private")
    network.refuses = refused
    failure = network.send()
    assert (failure.error_type, failure.sent_state) == (errors.EgressRefusedError, NEVER)
    assert failure.message == str(refused)


def test_a_client_that_is_closed_ends_its_exchanges(network: Http2Network) -> None:
    """Whatever else was about to happen to them."""

    async def run() -> Any:
        exchange = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(1.0)
        await network.transport.close_async()
        return await exchange

    failure = network.run(run())
    assert told(failure) == (
        "ClientClosedError",
        "this HttpServiceClient was closed during the call",
        SentState.ABANDONED,
    )
    assert network.server.sent()[-1] == "GOAWAY 0 NO_ERROR"


def test_a_timer_that_fires_a_little_early_has_reached_its_end(network: Http2Network) -> None:
    """By 0.02 s: it was the time for the whole that ran out."""
    assert (0.0078125 + 0.02) - 0.0078125 == 0.02
    failures = [
        network.send(timeout=Timeout(total=total, read=0.0078125)) for total in (0.0078125 + 0.02, 0.05)
    ]
    assert [failure.error_type for failure in failures] == [
        errors.AttemptTimeoutError,
        errors.ReadTimeoutError,
    ]


def test_a_failure_keeps_nothing_of_its_exchange(
    network: Http2Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle collector is off, so only what nothing refers to is freed."""
    exchanges: list[weakref.ref[Http2Exchange]] = []

    class Watched(Http2Exchange):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            exchanges.append(weakref.ref(self))

    monkeypatch.setattr("http_service_client.transports.over_h2.transport.Http2Exchange", Watched)
    gc.collect()
    gc.disable()
    try:
        failures = [network.send(timeout=Timeout(read=1.0))]
        network.at(1.0, reset(1, ErrorCodes.INTERNAL_ERROR))
        failures.append(network.send())
        network.run(asyncio.sleep(0))
        assert [each() for each in exchanges] == [None, None]
    finally:
        gc.enable()
    assert [failure.error_type for failure in failures] == [
        errors.ReadTimeoutError,
        errors.ConnectionLostError,
    ]


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_task_that_is_cancelled_leaves_nothing(network: Http2Network, seconds: float) -> None:
    """While it connects, and while it waits: its stream is reset."""
    network.connecting = 1.0

    async def run() -> None:
        exchange = asyncio.ensure_future(network.exchange())
        await asyncio.sleep(seconds)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange

    network.run(run())
    if seconds < 1.0:
        assert network.servers == []
    else:
        assert network.server.sent() == ["HEADERS 1 end", "RST_STREAM 1 CANCEL"]


def test_a_request_that_ends_the_connection_is_the_last_on_it(network: Http2Network) -> None:
    """`Connection: close`. The others on it go on."""
    network.at(1.0, head(1, ends=True))
    assert about(network.send(headers={"Connection": "close"})) == (200, b"")
    assert network.server.wire.is_aborted
    network.at(1.0, head(1, ends=True))
    assert about(network.send()) == (200, b"")
    assert len(network.servers) == 2


@pytest.mark.parametrize(("heard_at", "is_doubted"), [(None, True), (0.2, True), (0.25, False), (0.3, False)])
def test_a_wait_in_which_nothing_arrives_puts_the_connection_in_doubt(
    network: Http2Network, heard_at: float | None, is_doubted: bool
) -> None:
    """For half of it. The next call gets another one."""
    if heard_at is not None:
        network.at(heard_at, ping())
    assert told(network.send(timeout=Timeout(read=0.5)))[0] == "ReadTimeoutError"
    assert network.server.wire.is_aborted is is_doubted


# Responses that are left open.


@pytest.mark.parametrize(
    ("status", "is_open"), [(200, True), (204, True), (299, True), (300, False), (404, False), (500, False)]
)
def test_the_body_of_a_success_is_left_open(network: Http2Network, status: int, is_open: bool) -> None:
    """That of any other response is read."""
    network.at(0.5, head(1, status, [("x-id", "1")]))
    network.at(1.0, data(1, ends=True))
    response = network.open()
    assert isinstance(response, OpenResponse) is is_open
    assert (response.status_code, response.headers["x-id"], response.elapsed) == (
        status,
        "1",
        0.5 if is_open else 1.0,
    )
    if is_open:
        assert response.waited == 0.5
        assert network.run(response.source.read_async(Timeout())) == b""
        response.source.close()
    assert network.server.sent() == ["HEADERS 1 end"]


def test_a_body_that_is_left_before_its_end_is_reset_once(network: Http2Network) -> None:
    network.at(0.5, head(1), data(1, b"abc"))
    response = network.open()
    assert network.run(response.source.read_async(Timeout())) == b"abc"
    for _ in range(2):
        response.source.close()
    assert network.server.sent()[-1:] == ["RST_STREAM 1 CANCEL"]
    assert network.server.sent() == []


@pytest.mark.parametrize(
    ("timeout", "error", "message", "at"),
    [
        (Timeout(read=2.0), "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(total=3.0), "AttemptTimeoutError", f"{TOTAL} 3 s", 3.0),
        (Timeout(total=3.0, read=2.0), "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(total=2.0, read=3.0), "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.0, read=2.0), "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.01, read=2.0), "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
    ],
)
@pytest.mark.parametrize("waits", [0.0, 50.0])
def test_each_read_of_an_open_body_has_its_limits(
    network: Http2Network, timeout: Timeout, error: str, message: str, at: float, waits: float
) -> None:
    """From its own beginning: the time between two reads, and the exchange's own limits, do not count."""
    network.at(0.5, head(1), data(1, b"abc"))
    response = network.open(timeout=Timeout(total=1.0))
    assert network.run(response.source.read_async(timeout)) == b"abc"
    network.run(asyncio.sleep(waits))
    began = network.now
    network.at(1.0, ping())
    assert told(network.run(response.source.read_async(timeout))) == (error, message, MAYBE)
    assert network.now - began == pytest.approx(at)
    response.source.close()


# Redirects that are followed.


@pytest.mark.parametrize(
    ("timeout", "ends_at", "size", "content", "at"),
    [
        (Timeout(), 1.4, 5, b"xxxxx", 1.4),
        (Timeout(), 1.6, 5, b"", 1.5),
        (Timeout(), None, 5, b"", 1.5),
        (Timeout(total=2.0), 1.2, 5, b"xxxxx", 1.2),
        (Timeout(total=2.0), 1.3, 5, b"", 1.25),
        (Timeout(total=9.0), 1.6, 5, b"", 1.5),
        (Timeout(first_byte=1.0, between=0.1), 1.4, 5, b"xxxxx", 1.4),
        (Timeout(), 1.4, 64 * 1024, b"x" * 64 * 1024, 1.4),
        (Timeout(), 1.4, 64 * 1024 + 1, b"", 1.0),
    ],
    ids=[
        "in time", "too late", "never", "half of what is left", "more than half", "much is left", "other limits", "large", "too large",
    ],
)  # fmt: skip
def test_the_body_of_a_redirect_is_not_waited_for_long(
    network: Http2Network, timeout: Timeout, ends_at: float | None, size: int, content: bytes, at: float
) -> None:
    """A second, or half of what is left. Its Location counts."""
    request = HttpRequest("GET", URL)
    request.follows_redirects = True
    network.at(0.5, head(1, 302, [("location", "/b")]))
    pieces = [b"x" * min(16_384, size - start) for start in range(0, size, 16_384)]
    network.at(1.0, *(data(1, piece) for piece in pieces))
    if ends_at is not None:
        network.at(ends_at, lambda: network.server.says(data(1, ends=True)))
    response = network.run(network.transport.send_async(request, timeout))
    assert about(response) == (302, content)
    assert network.now == pytest.approx(at)


@pytest.mark.parametrize("leads_on", [True, False])
@pytest.mark.parametrize(
    "fault", [reset(1), data(1, ends=True), go_away(0)], ids=["reset", "coding", "GOAWAY"]
)
def test_a_redirect_needs_no_valid_body(network: Http2Network, leads_on: bool, fault: bytes) -> None:
    """If it is followed."""
    request = HttpRequest("GET", URL)
    request.follows_redirects = True
    fields = [("content-encoding", "gzip"), *[("location", "/b")] * leads_on]
    network.at(0.5, head(1, 302, fields), data(1, CODED[:9]))
    network.at(0.6, fault)
    network.at(0.7, lambda: network.server.wire.is_aborted or network.server.says(reset(1)))
    outcome = network.run(network.transport.send_async(request, Timeout()))
    if leads_on:
        assert about(outcome) == (302, b"")
    else:
        assert isinstance(outcome, Failure)
