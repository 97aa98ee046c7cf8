"""The heads that `read_fast_head` takes have a single reading: both parsers see the same in them."""

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
ORDINARY = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-A: \xc3\xbc ; b\r\n\r\nhi"


class Bytes(ReceiveBuffer):
    """Bytes after which the connection ends."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.add(data)

    def receive(self) -> bytes:
        return b""


def by_aiohttp(data: bytes) -> Any:
    """The message that aiohttp's parser returns."""

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


def check(data: bytes, fast: FastHead) -> None:
    """Both parsers see the same head, and a body of its length on a connection that is kept."""
    received = Bytes(data)
    ours, theirs = _parse_head(received, received.limits.total), by_aiohttp(data[: fast.size + fast.length])
    assert (ours.status, ours.reason, ours.fields) == (fast.status, fast.reason, list(fast))
    assert (ours.length, ours.is_chunked, ours.is_last) == (fast.length, False, False)
    names = [(name, value.encode()) for name, value in fast]
    assert (theirs.code, theirs.reason) == (fast.status, fast.reason)
    assert [(name.decode(), value) for name, value in theirs.raw_headers] == names or not data.isascii()
    assert (theirs.should_close, theirs.chunked, theirs.upgrade) == (False, False, False)
    codings = [value for name, value in ours.fields if name.lower() == "content-encoding"]
    assert fast.is_encoded == bool(codings)


def test_an_ordinary_head_is_taken() -> None:
    """Nearly all responses have one like it."""
    head = read_fast_head(ORDINARY, LIMITS)
    assert head is not None
    assert (head.status, head.reason, head.length, head.is_encoded) == (200, "OK", 2, False)
    assert ORDINARY[head.size :] == b"hi"
    assert list(head)[2:] == [("Connection", "keep-alive"), ("X-A", "ü ; b")]
    check(ORDINARY, head)


@pytest.mark.parametrize("response", RESPONSES)
def test_the_parsers_agree_on_known_responses(response: bytes) -> None:
    """On all of the wire tables that it takes."""
    head = read_fast_head(response, LIMITS)
    if head is not None:
        check(response, head)


@given(mutated(st.sampled_from([*RESPONSES, ORDINARY, ORDINARY])))
def test_the_parsers_agree_on_random_changes_of_them(response: bytes) -> None:
    """On all that it takes."""
    head = read_fast_head(response, LIMITS)
    if head is not None:
        check(response, head)


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
def test_other_heads_are_left_to_the_parsers(old: bytes, new: bytes) -> None:
    """Every head that has, or might have, another reading."""
    assert old in ORDINARY
    assert read_fast_head(ORDINARY.replace(old, new, 1), LIMITS) is None
