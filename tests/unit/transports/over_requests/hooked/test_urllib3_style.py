"""A response of ours as a hook of requests has it: what it reads is kept for the exchange."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from http_service_client.http.headers import Headers
from http_service_client.transports.over_requests.hooked.urllib3_style import Urllib3StyleResponse


class Pieces:
    """A response of a pool."""

    def __init__(self, *pieces: bytes, coding: str | None = None) -> None:
        self.status, self.reason = 200, "Because"
        self.headers = Headers({"X-Id": "1"})
        self.content_coding = coding
        self.pieces = list(pieces)
        self.closed = 0

    def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed += 1


def test_a_hook_that_reads_leaves_the_body_to_the_exchange() -> None:
    """In its pieces, and then what it has not read."""
    own: Any = Pieces(b"ab", b"cd", b"ef")
    raw = Urllib3StyleResponse(own, None)
    assert (raw.status, raw.reason, raw.headers["x-id"], raw.version) == (200, "Because", "1", 11)
    assert [raw.read(), raw.read(1, decode_content=True)] == [b"ab", b"cd"]
    assert [raw.next_piece() for _ in range(5)] == [b"ab", b"cd", b"ef", b"", b""]
    assert raw.read() == b""
    assert raw.next_piece() == b""


def test_a_hook_reads_decoded_pieces_and_the_exchange_those_that_came() -> None:
    """Without a wish for it, nothing is decoded; a piece that decodes to nothing yet is none."""
    data = gzip.compress(b"hello", mtime=0)
    for decodes, expected in ((True, [b"hello"]), (False, [data[:3], data[3:]])):
        own: Any = Pieces(data[:3], data[3:], coding="gzip")
        raw = Urllib3StyleResponse(own, None)
        assert list(raw.stream(decode_content=True) if decodes else raw.stream()) == expected
        assert [raw.next_piece(), raw.next_piece(), raw.next_piece()] == [data[:3], data[3:], b""]


@pytest.mark.parametrize(
    ("pieces", "coding", "limit", "seen"),
    [((b"no gzip", b"at all"), "gzip", None, []), ((b"ab", b"cd", b"ef"), None, 3, [b"ab"])],
    ids=["invalid", "too large"],
)
def test_a_hook_reads_to_what_the_exchange_will_refuse(
    pieces: tuple[bytes, ...], coding: str | None, limit: int | None, seen: list[bytes]
) -> None:
    """The error is for the exchange, which has the response then, and all of its bytes."""
    own: Any = Pieces(*pieces, coding=coding)
    raw = Urllib3StyleResponse(own, limit)
    assert list(raw.stream(decode_content=True)) == seen
    assert b"".join(iter(raw.next_piece, b"")) == b"".join(pieces)


@pytest.mark.parametrize("end", ["close", "release_conn"])
def test_a_hook_that_gives_a_response_back_closes_it(end: str) -> None:
    """Its connection cannot serve another exchange before all is read."""
    own: Any = Pieces(b"ab")
    getattr(Urllib3StyleResponse(own, None), end)()
    assert own.closed == 1
