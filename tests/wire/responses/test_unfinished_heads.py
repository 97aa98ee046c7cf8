"""A head that does not end: where one front end refuses it at once, the other does not wait for a timeout.

The rest of a head may never arrive. Each head here is made of lines about the framing of the body, most of them
contradictory, and is fed to both parsers without a socket.
"""

from __future__ import annotations

import asyncio
import random
from unittest.mock import Mock

import pytest
from aiohttp.helpers import DEBUG
from aiohttp.http_parser import HttpResponseParser, HttpResponseParserPy

from http_service_client.http.http1.buffer import ReceiveBuffer
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import HeadLimits
from http_service_client.http.http1.parser import ResponseBody, read_head
from http_service_client.transports.over_aiohttp.protocol import StrictResponseHandler

pytestmark = pytest.mark.skipif(
    HttpResponseParser is HttpResponseParserPy or DEBUG,
    reason="without its C parser, and in development mode, aiohttp reads differently: see docs/http.md",
)

STATUS = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 204 N",
    "HTTP/1.1 304 N",
    "HTTP/1.1 103 E",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 101 S",
]
NAMES = [
    "Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING", "Connection", "Upgrade", "X",
    "Content-Length ", "Transfer-Encoding ", "Connection  ", "X ",
]  # fmt: skip
VALUES = [
    "5", "0", "2", "", "chunked", "identity", "gzip", "gzip, chunked", "5, 5", "+5", "-1", "5 ", "5\t", "chunked ", "close",
    "5x", "x5", "99999999999999999999", "18446744073709551616", "chunke", "chunked;q=1", "CHUNKED", "0x5", "chunked\t",
]  # fmt: skip
LINE_ENDS = ["\r\n", "\r\n", "\r\n", "\n", "\r\n "]


class Waiting(Exception):
    """The parser wants more bytes."""


class Received(ReceiveBuffer):
    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self._pieces = pieces[::-1]

    def receive(self) -> bytes:
        if not self._pieces:
            raise Waiting
        return self._pieces.pop()


def blocking(pieces: list[bytes], method: str) -> str:
    incoming = Received(pieces)
    try:
        body = ResponseBody(incoming, read_head(incoming), method)
        while body.read():
            pass
    except Waiting:
        return "waits"
    except NotHttpError:
        return "refuses"
    return "complete"


async def over_aiohttp(pieces: list[bytes], method: str) -> str:
    protocol = StrictResponseHandler(asyncio.get_running_loop(), HeadLimits(), None, Mock())
    protocol.connection_made(Mock())
    protocol.begin_parsing(method == "HEAD")
    for piece in pieces:
        protocol.data_received(piece)
    if protocol.fatal_error is not None:
        return "refuses"
    while len(protocol):
        message, payload = await protocol.read()  # type: ignore[misc]  # typed for a single message
        if message.code >= 200 or message.code == 101:
            return "complete" if payload.is_eof() else "waits"
    return "waits"


def begun_head(chance: random.Random) -> list[bytes]:
    """A head, cut somewhere, in one piece or two."""
    text = chance.choice(STATUS) + "\r\n"
    for _ in range(chance.randint(0, 3)):
        space = chance.choice(["", " ", "\t"])
        text += f"{chance.choice(NAMES)}:{space}{chance.choice(VALUES)}{chance.choice(LINE_ENDS)}"
    if chance.random() < 0.3:
        text += "\r\n"
    data = text[: len(text) - chance.randint(0, 3)].encode()
    cut = chance.randint(1, len(data) - 1)
    return [data] if chance.random() < 0.5 else [data[:cut], data[cut:]]


@pytest.mark.parametrize("seed", range(4))
def test_both_front_ends_refuse_or_wait(seed: int) -> None:
    """Seven hundred heads each."""
    chance = random.Random(seed)

    async def compare() -> None:
        for _ in range(700):
            pieces, method = begun_head(chance), chance.choice(["GET", "HEAD"])
            assert blocking(pieces, method) == await over_aiohttp(pieces, method), (pieces, method)

    asyncio.run(compare())
