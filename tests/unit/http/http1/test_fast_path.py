"""What `read_fast_head` takes can be read in one way only: both parsers make the same of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.http1.buffer import ReceiveBuffer
from http_service_client.http.http1.fast_path import FastHead, read_fast_head
from http_service_client.http.http1.framing import HeadLimits
from http_service_client.http.http1.parser import _parse_head
from wire.responses.test_random_responses import RESPONSES, mutated

LIMITS = HeadLimits()
PLAIN = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-A: \xc3\xbc ; b\r\n\r\nhi"


class Bytes(ReceiveBuffer):
    """Bytes after which none come."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.add(data)

    def receive(self) -> bytes:
        return b""


def by_aiohttp(data: bytes) -> Any:
    """The message that aiohttp's parser makes of it."""

    async def parse() -> Any:
        loop = asyncio.get_running_loop()
        parser = HttpResponseParser(
            BaseProtocol(loop),
            loop,
            2**16,
            response_with_body=True,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=LIMITS.size,
            max_field_size=LIMITS.size,
            max_headers=LIMITS.fields,
        )
        return parser.feed_data(data)[0][0][0]

    return asyncio.run(parse())


def check(data: bytes, plain: FastHead) -> None:
    """Both parsers see the same head, and a body of that length on a connection that lives on."""
    ours, theirs = _parse_head(Bytes(data)), by_aiohttp(data[: plain.size + plain.length])
    assert (ours.status, ours.reason, ours.fields) == (plain.status, plain.reason, list(plain))
    assert (ours.length, ours.is_chunked, ours.is_last) == (plain.length, False, False)
    names = [(name, value.encode()) for name, value in plain]
    assert (theirs.code, theirs.reason) == (plain.status, plain.reason)
    assert [(name.decode(), value) for name, value in theirs.raw_headers] == names or not data.isascii()
    assert (theirs.should_close, theirs.chunked, theirs.upgrade) == (False, False, False)
    coding = ours.status and [value for name, value in ours.fields if name.lower() == "content-encoding"]
    assert plain.is_encoded == bool(coding)


def test_a_plain_head() -> None:
    """The one that nearly all responses have."""
    head = read_fast_head(PLAIN, LIMITS)
    assert head is not None
    assert (head.status, head.reason, head.length, head.is_encoded) == (200, "OK", 2, False)
    assert PLAIN[head.size :] == b"hi"
    assert list(head)[2:] == [("Connection", "keep-alive"), ("X-A", "ü ; b")]
    check(PLAIN, head)


@pytest.mark.parametrize("answer", RESPONSES)
def test_of_the_answers_that_are_known(answer: bytes) -> None:
    """Whatever it takes of the tables of response parity."""
    head = read_fast_head(answer, LIMITS)
    if head is not None:
        check(answer, head)


@given(mutated(st.sampled_from([*RESPONSES, PLAIN, PLAIN])))
def test_of_answers_bent_by_chance(answer: bytes) -> None:
    """Whatever it takes of those."""
    head = read_fast_head(answer, LIMITS)
    if head is not None:
        check(answer, head)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"200", b"103"),
        (b"200", b"204"),
        (b"200", b"304"),
        (b"200 OK\r\n", b"200 OK\n"),
        (b"OK", b"O\xe9K"),
        (b"Server:", b"Server :"),
        (b"Server:", b" Server:"),
        (b"Server: nginx", b"Server: nginx\r\n folded"),
        (b"nginx", b"ngi\0nx"),
        (b"nginx", b"ngi\rnx"),
        (b"Length: 2", b"Length: +2"),
        (b"Length: 2", b"Length: 2, 2"),
        (b"Length: 2", b"Length:"),
        (b"Length: 2", b"Length: 2\r\ncontent-LENGTH: 2"),
        (b"Content-Length: 2", b"X: y"),
        (b"X-A:", b"Transfer-Encoding: chunked\r\nX-A:"),
        (b"X-A:", b"Upgrade: h2c\r\nX-A:"),
        (b"X-A:", b"Proxy-Connection: keep-alive\r\nX-A:"),
        (b"X-A:", b"Sec-WebSocket-Key1: x\r\nX-A:"),
        (b"keep-alive", b"close"),
        (b"keep-alive", b"keep-alive, close"),
        (b"\r\n\r\nhi", b"\r\n\r"),
        (b"X-A:", b"X-B: y\r\n" * (LIMITS.fields + 1) + b"X-A:"),
        (b"nginx", b"x" * LIMITS.size),
        (b"HTTP", b"\r\nHTTP"),
    ],
    ids=lambda part: repr(part[:30]),
)
def test_what_is_left_to_the_parsers(old: bytes, new: bytes) -> None:
    """Anything that says, or might say, that there is more to know."""
    assert old in PLAIN
    assert read_fast_head(PLAIN.replace(old, new, 1), LIMITS) is None
