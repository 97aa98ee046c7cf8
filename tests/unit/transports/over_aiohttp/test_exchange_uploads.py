"""The bodies of requests in exchanges of an event loop, in virtual time: how they are sent, and what ends them early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import pytest

from http_service_client.core.timeouts import Timeout
from http_service_client.errors import SentState
from kit.http1_network import OK, URL, Http1Network, about, told

HEAD = b"POST /path?q=1 HTTP/1.1\r\nHost: a.test\r\n"
MAYBE = SentState.MAYBE_PROCESSED
TOTAL = f"no complete response from {URL} within"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Http1Network]:
    made = Http1Network(monkeypatch)
    yield made
    made.close()


async def chunks_of(*chunks: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "fields", "sent"),
    [
        (b"", {}, b"Content-Length: 0\r\n\r\n"),
        (b"abc", {"Content-Length": "3"}, b"Content-Length: 3\r\n\r\nabc"),
        (bytes(70_000), {"Content-Length": "70000"}, b"Content-Length: 70000\r\n\r\n" + bytes(70_000)),
        (BytesIO, {}, b"Content-Length: 0\r\n\r\n"),
        ([b"ab", b"c"], {}, CHUNKED),
        ([b"ab", b"c"], {"Content-Length": "3"}, b"Content-Length: 3\r\n\r\nabc"),
        (chunks_of, {}, CHUNKED),
        (chunks_of, {"Content-Length": "3"}, b"Content-Length: 3\r\n\r\nabc"),
    ],
    ids=[
        "empty",
        "short",
        "large",
        "empty file",
        "iterable",
        "with a length",
        "asynchronous",
        "asynchronous with a length",
    ],
)
@pytest.mark.parametrize("timeout", [Timeout(), Timeout(write=1.0)], ids=["no limit", "write"])
def test_a_body_is_sent_to_its_end(
    network: Http1Network, body: Any, fields: dict[str, str], sent: bytes, timeout: Timeout
) -> None:
    """And the connection serves the next exchange."""
    for _ in range(2):
        network.at(0.5, OK)
        if isinstance(body, bytes):
            outcome = network.send("POST", timeout, content=body, headers=fields)
        else:
            data = iter(body) if isinstance(body, list) else body() if body is BytesIO else body(b"ab", b"c")
            outcome = network.send("POST", timeout, data=data, headers=fields)
        assert about(outcome) == (200, b"ok")
    written = network.wire.written
    head, _, rest = written[: len(written) // 2].partition(b"\r\n\r\n")
    fields_sent = [line for line in head.split(b"\r\n")[2:] if not line.startswith(b"Content-Type")]
    assert b"\r\n".join(fields_sent) + b"\r\n\r\n" + rest == sent
    assert head.startswith(HEAD)
    assert len(network.wires) == 1
    if len(sent) < 60 and isinstance(body, bytes):
        assert network.wire.writes == 2  # each with its head


@pytest.mark.parametrize(
    ("write", "total", "error", "message"),
    [
        (2.0, None, "WriteTimeoutError", f"timed out sending the request to {URL}: nothing was accepted for 2 s"),
        (2.0, 1.0, "AttemptTimeoutError", f"{TOTAL} 1 s"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 70_000])
def test_a_server_that_accepts_nothing_ends_an_upload(
    network: Http1Network, write: float, total: float | None, error: str, message: str, size: int
) -> None:
    network.made = lambda: setattr(network.wire, "buffered", 100)
    outcome = network.send("POST", Timeout(write=write, total=total), content=bytes(size))
    assert told(outcome) == (error, message, MAYBE)
    assert network.now == pytest.approx(total or write)
    assert network.wire.is_aborted


def test_the_read_timeout_begins_with_the_end_of_the_upload(network: Http1Network) -> None:
    """So does that of the first byte."""
    for timeout in (Timeout(read=1.0), Timeout(first_byte=1.0)):
        began = network.now
        failure = network.send("POST", timeout, data=chunks_of(b"ab", b"c", pause=2.0))
        assert told(failure)[0] == "ReadTimeoutError"
        assert network.now - began == pytest.approx(5.0)


def test_a_source_that_takes_too_long_ends_with_the_whole(network: Http1Network) -> None:
    failure = network.send("POST", Timeout(total=3.0), data=chunks_of(b"ab", b"c", pause=2.0))
    assert told(failure) == ("AttemptTimeoutError", f"{TOTAL} 3 s", MAYBE)
    assert network.now == pytest.approx(3.0)


def test_an_early_refusal_ends_an_upload(network: Http1Network) -> None:
    """The rest of the body is not sent, so the connection cannot serve another exchange."""
    network.at(1.0, OK.replace(b"200 OK", b"413 No")[:-1])
    network.at(2.0, b"k")
    assert about(network.send("POST", data=chunks_of(b"ab", b"c", pause=1.5))) == (413, b"ok")
    assert network.wire.is_aborted
    assert b"ab" not in network.wire.written


@pytest.mark.parametrize("rest", [b"ok", b"o"], ids=["complete", "begun"])
def test_a_response_that_begins_during_the_upload_is_read_to_its_end(
    network: Http1Network, rest: bytes
) -> None:
    """What came early is its beginning."""
    network.at(1.0, OK[:-2] + rest)
    network.at(4.0, b"" if rest == b"ok" else b"k")
    response = network.send("POST", data=chunks_of(b"ab", b"c", pause=1.5))
    assert about(response) == (200, b"ok")
    assert network.wire.is_aborted is (rest == b"ok")  # the rest of the request did not matter
    assert network.wire.written.endswith(b"0\r\n\r\n") is (rest != b"ok")


@pytest.mark.parametrize("kind", ["iterable", "asynchronous"])
def test_what_a_source_raises_is_raised(network: Http1Network, kind: str) -> None:
    """As it is; the connection is closed."""
    error = LookupError("of the source")

    def chunks() -> Iterator[bytes]:
        yield b"ab"
        raise error

    async def later() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    with pytest.raises(LookupError) as caught:
        network.send("POST", data=chunks() if kind == "iterable" else later())
    assert caught.value is error
    assert error.__context__ is None
    assert network.wire.is_aborted
