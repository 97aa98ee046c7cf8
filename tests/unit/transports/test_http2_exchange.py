"""One exchange over HTTP/2, in virtual time: what is sent, what is returned, and which limit ended it, and when."""

from __future__ import annotations

import asyncio
import gc
import gzip
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client import HttpRequest, errors
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure, SentState
from http_service_client.transports.over_h2.exchange import Http2Exchange
from kit.http2_frames import data, go_away, head, ping, reset, window
from kit.http2_network import URL, Http2Network

WINDOW = 65_535  # bytes, of a server that has set none
MAYBE, REFUSED, NEVER = SentState.MAYBE_PROCESSED, SentState.REFUSED, SentState.NEVER_SENT


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Http2Network]:
    network = Http2Network(monkeypatch)
    yield network
    network.close()


def told(failure: Any) -> tuple[str, str, SentState]:
    """A failure's type, message and state."""
    assert isinstance(failure, Failure), failure
    return failure.error_type.__name__, failure.message, failure.sent_state


def about(outcome: Any) -> tuple[int, bytes]:
    """A response's status and content."""
    assert not isinstance(outcome, Failure), outcome
    return outcome.status_code, outcome.content


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


# Limits of time.

READ = f"timed out reading from {URL}"
TOTAL = f"no complete response from {URL} within"
WRITE = f"timed out sending the request to {URL}: nothing was accepted for"


@pytest.mark.parametrize(
    ("timeout", "acts", "error", "message", "at"),
    [
        (Timeout(read=2.0), [], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(read=2.0), [(1.5, head(1, 103))], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(first_byte=1.0, read=2.0), [], "ReadTimeoutError", f"{READ}: no first byte within 1 s", 1.0),
        (Timeout(first_byte=3.0, read=2.0), [], "ReadTimeoutError", f"{READ}: no first byte within 3 s", 3.0),
        (Timeout(total=3.0), [], "AttemptTimeoutError", f"{TOTAL} 3 s", 3.0),
        (Timeout(total=3.0, read=2.0), [], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 2.0),
        (Timeout(total=2.0, read=3.0), [], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(total=2.0, read=2.0), [], "AttemptTimeoutError", f"{TOTAL} 2 s", 2.0),
        (Timeout(read=2.0), [(1.0, head(1))], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.0),
        (
            Timeout(read=2.0),
            [(1.0, head(1)), (2.5, data(1, b"x")), (4.0, data(1, b"x"))],
            "ReadTimeoutError",
            f"{READ}: nothing arrived for 2 s",
            6.0,
        ),
        (
            Timeout(first_byte=3.0, read=2.0),
            [(2.5, head(1))],
            "ReadTimeoutError",
            f"{READ}: nothing arrived for 2 s",
            4.5,
        ),
        (
            Timeout(between=1.0, read=2.0),
            [(1.5, head(1))],
            "ReadTimeoutError",
            f"{READ}: nothing arrived for 1 s",
            2.5,
        ),
        (
            Timeout(total=3.0, read=2.0),
            [(0.5, head(1)), (1.0, data(1, b"x")), (2.0, data(1, b"x"))],
            "AttemptTimeoutError",
            f"{TOTAL} 3 s",
            3.0,
        ),
        (Timeout(read=2.0), [(1.0, head(1)), (2.0, ping())], "ReadTimeoutError", f"{READ}: nothing arrived for 2 s", 3.0),
    ],
)  # fmt: skip
def test_the_limits_of_a_response(
    network: Http2Network, timeout: Timeout, acts: list[Any], error: str, message: str, at: float
) -> None:
    """Each wait has its own, and `total` is over all of them. The stream is reset."""
    for when, frame in acts:
        network.at(when, frame)
    assert told(network.send(timeout=timeout)) == (error, message, MAYBE)
    assert network.now == pytest.approx(at)
    assert "RST_STREAM 1 CANCEL" in network.server.sent()


@pytest.mark.parametrize(
    ("timeout", "message", "at"),
    [
        (Timeout(connect=2.0), "could not connect to https://a.test within the connect timeout", 2.0),
        (Timeout(total=2.0), "could not connect to https://a.test in time", 2.0),
        (
            Timeout(total=3.0, connect=2.0),
            "could not connect to https://a.test within the connect timeout",
            2.0,
        ),
        (Timeout(total=2.0, connect=3.0), "could not connect to https://a.test in time", 2.0),
    ],
)
def test_the_limits_of_connecting(network: Http2Network, timeout: Timeout, message: str, at: float) -> None:
    """Nothing was sent."""
    network.connecting = 9.0
    assert told(network.send(timeout=timeout)) == ("ConnectTimeoutError", message, NEVER)
    assert network.now == pytest.approx(at)


def test_the_time_of_connecting_counts(network: Http2Network) -> None:
    """In the whole, not in the wait for the first byte."""
    network.connecting = 3.0
    network.at(4.0, head(1))
    network.at(4.75, data(1, b"ok", ends=True))
    response = network.send(timeout=Timeout(first_byte=2.0, total=5.0))
    assert (about(response), response.elapsed) == ((200, b"ok"), 4.75)
    assert told(network.send(timeout=Timeout(first_byte=0.5)))[1] == f"{READ}: no first byte within 0.5 s"
    assert network.now == pytest.approx(5.25)


@pytest.mark.parametrize(
    ("timeout", "acts", "error", "message", "at"),
    [
        (Timeout(write=2.0), [], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0, read=1.0), [], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0, total=3.0), [], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0, total=1.0), [], "AttemptTimeoutError", f"{TOTAL} 1 s", 1.0),
        (Timeout(total=1.0), [], "AttemptTimeoutError", f"{TOTAL} 1 s", 1.0),
        (Timeout(write=2.0), [(1.0, window(0, 1) + window(1, 1))], "WriteTimeoutError", f"{WRITE} 2 s", 3.0),
        (Timeout(write=2.0), [(1.5, window(0, 5))], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
        (Timeout(write=2.0), [(1.0, head(1))], "WriteTimeoutError", f"{WRITE} 2 s", 2.0),
    ],
)  # fmt: skip
def test_the_limits_of_an_upload(
    network: Http2Network, timeout: Timeout, acts: list[Any], error: str, message: str, at: float
) -> None:
    """The longest time in which nothing more is accepted. What happens else is no progress."""
    for when, frames in acts:
        network.at(when, frames)
    assert told(network.send("POST", timeout, data=b"x" * 100_000)) == (error, message, MAYBE)
    assert network.now == pytest.approx(at)
    assert network.server.sent()[-1] in ("RST_STREAM 1 CANCEL", "GOAWAY 0 NO_ERROR")


def test_the_wait_for_the_first_byte_begins_when_the_request_was_sent(network: Http2Network) -> None:
    """An upload may take longer."""
    network.at(3.0, window(0, 99), window(1, 10))
    network.at(4.5, head(1))
    response = network.open("POST", Timeout(first_byte=2.0), data=b"x" * (WINDOW + 10))
    assert response.waited == 1.5
    response.source.close()
    failure = network.send("POST", Timeout(first_byte=2.0), data=b"x")
    assert told(failure)[1] == f"{READ}: no first byte within 2 s"
    assert network.now == pytest.approx(6.5)


# Bodies of requests.


async def chunks_of(*chunks: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"abc", ["DATA 1 3", "DATA 1 0 end"]),
        (b"x" * 20_000, ["DATA 1 16384", "DATA 1 3616", "DATA 1 0 end"]),
        ([b"ab", b"c"], ["DATA 1 2", "DATA 1 1", "DATA 1 0 end"]),
        (chunks_of(b"ab", b"c"), ["DATA 1 2", "DATA 1 1", "DATA 1 0 end"]),
        (chunks_of(), ["DATA 1 0 end"]),
    ],
    ids=["bytes", "large", "iterable", "asynchronous", "asynchronous, empty"],
)
def test_a_body_is_sent_to_its_end(network: Http2Network, body: Any, sent: list[str]) -> None:
    """In frames as large as the server accepts."""
    network.at(1.0, head(1, ends=True))
    assert about(network.send("POST", data=iter(body) if isinstance(body, list) else body)) == (200, b"")
    assert network.server.sent() == ["HEADERS 1", *sent]


def test_an_empty_body_is_said_in_the_head(network: Http2Network) -> None:
    """It needs no frame."""
    network.at(1.0, head(1, ends=True))
    assert about(network.send("POST")) == (200, b"")
    assert network.server.sent() == ["HEADERS 1 end"]


@pytest.mark.parametrize("kind", ["bytes", "iterable", "asynchronous"])
@pytest.mark.parametrize(
    ("response", "goes_on"),
    [
        (head(1, 200), True),
        (head(1, 299), True),
        (head(1, 300), False),
        (head(1, 500), False),
        (head(1, 200, ends=True), False),
    ],
    ids=["200", "299", "300", "500", "complete"],
)
def test_the_rest_of_a_body_is_sent_if_the_server_wants_it(
    network: Http2Network, kind: str, response: bytes, goes_on: bool
) -> None:
    """After the head of a success: the server may respond as it reads. Else it is dropped, and the stream is reset."""
    content = b"x" * (WINDOW + 1000)
    body: Any = {"bytes": content, "iterable": iter([content]), "asynchronous": chunks_of(content)}[kind]
    network.at(1.0, response)
    network.at(2.0, window(0, 2000), window(1, 1))
    network.at(3.0, window(1, 999))
    if goes_on or not response[4] & 1:
        network.at(4.0, data(1, b"ok", ends=True))
    outcome = network.send("POST", data=body)
    sent = network.server.sent()
    assert (
        sum(int(line.split()[2]) for line in sent if line.startswith("DATA 1")) == len(content)
    ) is goes_on
    assert ("DATA 1 0 end" in sent) is goes_on
    assert ("RST_STREAM 1 CANCEL" in sent) is not goes_on
    assert network.now == (1.0 if outcome.content == b"" else 4.0)


def test_a_response_is_read_while_its_request_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that responds as it reads goes on only if its response is read: up to the limit of a response."""
    network = Http2Network(monkeypatch, max_response_size=50)
    network.at(1.0, head(1), data(1, b"x" * 30))
    network.at(2.0, data(1, b"x" * 19), data(1, b"x"))
    network.at(3.0, window(0, 1), window(1, 1))
    network.at(4.0, data(1, ends=True))
    assert about(network.send("POST", data=b"x" * (WINDOW + 1))) == (200, b"x" * 50)
    opened = [line for line in network.server.sent() if line.startswith("WINDOW_UPDATE 1")]
    assert opened == ["WINDOW_UPDATE 1 30", "WINDOW_UPDATE 1 20"]
    network.close()


def test_a_response_is_read_while_an_asynchronous_body_is_not_ready(network: Http2Network) -> None:
    """Its next chunk may depend on the response."""
    network.at(1.0, head(1), data(1, b"abc"))
    sent: list[str] = []
    network.at(1.2, lambda: sent.extend(network.server.sent()))
    network.at(4.0, data(1, ends=True))
    assert about(network.send("POST", data=chunks_of(b"x", b"y", pause=1.5))) == (200, b"abc")
    assert sent == ["HEADERS 1", "WINDOW_UPDATE 0 3", "WINDOW_UPDATE 1 3"]
    assert network.now == 4.0


def test_an_asynchronous_body_that_waits_ends_with_the_time_for_the_whole(network: Http2Network) -> None:
    """It is closed before the exchange returns."""
    ended: list[float] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.sleep(99)
        finally:
            await asyncio.sleep(0.5)
            ended.append(network.now)

    failure = network.send("POST", Timeout(total=2.0, read=1.0, write=1.0), data=body())
    assert told(failure) == ("AttemptTimeoutError", f"{TOTAL} 2 s", MAYBE)
    assert ended == [pytest.approx(2.5)]


def test_a_coroutine_that_is_closed_does_not_wait_for_its_body(network: Http2Network) -> None:
    """Nothing may be awaited there. The body ends in a later step of the loop."""
    ended: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            await asyncio.sleep(99)
            yield b"x"
        finally:
            await asyncio.sleep(0.5)
            ended.append(True)

    async def run() -> None:
        exchange = network.exchange("POST", data=body())
        waits_for = exchange.send(None)
        while network.now < 1.0:
            await asyncio.sleep(0.1)
            if waits_for is None or waits_for.done():
                waits_for = exchange.send(None)
        exchange.close()
        assert (ended, network.server.sent()) == ([], ["HEADERS 1", "RST_STREAM 1 CANCEL"])
        await asyncio.sleep(1.0)
        assert ended == [True]

    network.run(run())


def test_a_plain_body_that_takes_its_time_ends_with_the_time_for_the_whole(network: Http2Network) -> None:
    """Though the server would accept it, so that nothing waits."""

    def body() -> Iterator[bytes]:
        for _ in range(9):
            network.loop.jump(1.0)
            yield b"x"

    failure = network.send("POST", Timeout(total=2.5, write=1.0), data=body())
    assert told(failure) == ("AttemptTimeoutError", f"{TOTAL} 2.5 s", MAYBE)
    assert network.now == 3.0


@pytest.mark.parametrize("kind", ["bytes", "iterable", "asynchronous", "asynchronous, not ready"])
def test_a_stream_that_is_lost_ends_its_upload(network: Http2Network, kind: str) -> None:
    """At once, whatever it waits for."""
    content = b"x" * (WINDOW + 1000)
    body: Any = {
        "bytes": content,
        "iterable": iter([content]),
        "asynchronous": chunks_of(content),
        "asynchronous, not ready": chunks_of(content, pause=99.0),
    }[kind]
    network.at(1.0, reset(1, ErrorCodes.REFUSED_STREAM))
    failure = network.send("POST", Timeout(total=9.0), data=body)
    assert (failure.error_type, failure.sent_state) == (errors.ConnectionLostError, REFUSED)
    assert network.now == 1.0


def test_an_upload_that_has_waited_is_followed_by_a_response(network: Http2Network) -> None:
    """Whose limits are its own."""
    network.at(1.0, window(0, 99), window(1, 99))
    failure = network.send("POST", Timeout(read=2.0), data=b"x" * (WINDOW + 1))
    assert told(failure) == ("ReadTimeoutError", f"{READ}: nothing arrived for 2 s", MAYBE)
    assert network.now == pytest.approx(3.0)


def test_an_asynchronous_body_ends_with_the_response(network: Http2Network) -> None:
    """Of a refusal, while the body is waited for."""
    network.at(1.0, head(1, 413), data(1, b"no", ends=True))
    assert about(network.send("POST", data=chunks_of(b"x", pause=99.0))) == (413, b"no")
    assert network.now == 1.0


def test_a_failure_while_a_chunk_is_sent_ends_an_asynchronous_body(network: Http2Network) -> None:
    """And is that of the exchange."""
    failure = network.send("POST", Timeout(write=2.0), data=chunks_of(b"x" * WINDOW, b"y", b"z"))
    assert told(failure) == ("WriteTimeoutError", f"{WRITE} 2 s", MAYBE)


@pytest.mark.parametrize("is_async", [True, False])
def test_an_error_of_the_callers_body_is_raised(network: Http2Network, is_async: bool) -> None:
    """As it is; the stream is reset."""
    fault = OSError("the disk is gone")

    async def asynchronous() -> AsyncIterator[bytes]:
        yield b"x"
        raise fault

    def plain() -> Iterator[bytes]:
        yield b"x"
        raise fault

    with pytest.raises(OSError, match="the disk is gone") as caught:
        network.send("POST", data=asynchronous() if is_async else plain())
    assert caught.value is fault
    assert network.server.sent()[-1] == "RST_STREAM 1 CANCEL"


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
