"""Bodies of requests over HTTP/2, in virtual time: how far they are sent, and what ends them early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.errors import ErrorCodes

from http_service_client import errors
from http_service_client.core.timeouts import Timeout
from kit.http2_exchanges import MAYBE, READ, REFUSED, TOTAL, WINDOW, WRITE, about, told
from kit.http2_frames import data, head, reset, window
from kit.http2_network import Http2Network


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


def test_an_asynchronous_body_is_never_ahead_of_what_was_sent(network: Http2Network) -> None:
    """Its next chunk is asked for once the one before was accepted."""
    asked: list[float] = []

    async def body() -> AsyncIterator[bytes]:
        for size in (WINDOW, 10, 10):
            asked.append(network.now)
            yield b"x" * size

    network.at(1.0, window(0, 99), window(1, 5))
    network.at(2.0, window(1, 99))
    network.at(3.0, head(1, ends=True))
    assert about(network.send("POST", data=body())) == (200, b"")
    assert asked == [0.0, 0.0, 2.0]
