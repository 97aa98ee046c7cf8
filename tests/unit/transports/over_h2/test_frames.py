"""Frames of HTTP/2 one by one: which of them carry nothing, how many of those are too many, and what GOAWAY says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from hpack import Encoder

from http_service_client import HttpRequest
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.urls import split_url
from http_service_client.transports.over_h2.frames import FloodError, FrameSplitter, GoAway
from http_service_client.transports.over_h2.heads import HeadDecoder, request_fields, response_head
from kit.rows import each_row

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, PADDED, ACK = 0x1, 0x8, 0x1


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    """The bytes of a frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def split(*data: bytes) -> list[bytes | GoAway]:
    """What one splitter passes on of pieces that arrive one after the other."""
    splitter = FrameSplitter()
    return [part for piece in data for part in splitter.split(piece)]


CARRY_NOTHING = {
    "settings": frame(SETTINGS, b"\0" * 6, stream=0),
    "settings that acknowledge": frame(SETTINGS, flags=ACK, stream=0),
    "ping": frame(PING, b"\0" * 8, stream=0),
    "priority": frame(PRIORITY, b"\0" * 5),
    "an extension's": frame(CONTINUATION + 1, b"\0" * 9),
    "the last type": frame(255),
    "empty data": frame(DATA),
    "empty data with another flag": frame(DATA, flags=PADDED),
}
CARRY_SOMETHING = {
    "data": frame(DATA, b"x"),
    "the end of a body": frame(DATA, flags=END_STREAM),
    "the end of a body, padded": frame(DATA, b"\0", flags=END_STREAM | PADDED),
    "headers": frame(HEADERS),
    "reset": frame(RST_STREAM, b"\0" * 4),
    "push": frame(PUSH_PROMISE),
    "window": frame(WINDOW_UPDATE, b"\0" * 4),
    "continuation": frame(CONTINUATION),
}


@each_row("name", CARRY_NOTHING)
def test_a_flood_of_frames_that_carry_nothing_is_refused(name: str) -> None:
    """In what is read at once: a quarter of a megabyte of them would hold the event loop. 500 are none."""
    one = CARRY_NOTHING[name]
    assert b"".join(part for part in split(one * 500) if isinstance(part, bytes)) == one * 500
    with pytest.raises(FloodError, match="it is a flood of frames that carry nothing"):
        split(one * 501)
    assert split(one * 500, one * 500) == [one * 500] * 2


@each_row("name", CARRY_SOMETHING)
def test_frames_that_carry_something_are_no_flood(name: str) -> None:
    """However many there are."""
    one = CARRY_SOMETHING[name]
    assert split(one * 600) == [one * 600]


@pytest.mark.parametrize(
    ("payload", "passed"),
    [
        (b"\0\0\0\x07\0\0\0\x02", GoAway(7, 2)),
        (b"\0\0\0\x07\0\0\0\x02bye", GoAway(7, 2, b"bye")),
        (b"\xff\xff\xff\xff\x01\0\x01\0", GoAway(2**31 - 1, 0x1000100)),
    ],
)
def test_goaway_says_the_last_stream_the_code_and_more(payload: bytes, passed: GoAway) -> None:
    """One bit is reserved (RFC 9113, 6.8). It is passed on in its place among the others, once it is whole."""
    before, after = frame(PING, b"\0" * 8, stream=0), frame(DATA, b"x")
    sent = frame(GOAWAY, payload, stream=0)
    assert split(before + sent + after) == [before, passed, after]
    assert split(sent) == [passed]
    assert split(sent[:12], sent[12:] + after) == [passed, after]
    assert split(*(bytes([each]) for each in sent)) == [passed]


def test_flags_of_a_goaway_mean_nothing() -> None:
    """It has none, and what nobody has defined is ignored (RFC 9113, 4.1)."""
    assert split(frame(GOAWAY, b"\0\0\0\x07\0\0\0\x02", flags=0xFF, stream=0)) == [GoAway(7, 2)]


@pytest.mark.parametrize("size", [0, 4, 7])
def test_a_goaway_that_is_too_short_is_left_to_h2(size: int) -> None:
    """It refuses it."""
    sent = frame(GOAWAY, b"\0" * size, stream=0)
    assert split(sent + sent) == [sent + sent]


def test_nothing_is_passed_on_of_what_has_not_arrived() -> None:
    """No empty pieces: each would cost a step."""
    sent = frame(DATA, b"x" * 100)
    assert split(b"", sent[:5], b"", sent[5:50], sent[50:], b"") == [sent[:50], sent[50:]]


# Heads.


def decoded(*fields: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """What h2 gets of these fields."""
    found: list[tuple[bytes, bytes]] = HeadDecoder().decode(Encoder().encode(list(fields)), raw=True)
    return [(name, value) for name, value in found]


def test_the_length_is_hidden_from_h2_and_found_in_the_head() -> None:
    """h2 would end the connection for a body of another length, with the exchanges of all others."""
    fields = ((b":status", b"200"), (b"content-length", b"5"), (b"x-id", b"1"))
    found = decoded(*fields)
    assert [found[0], found[2]] == [fields[0], fields[2]]
    assert found[1][0] not in (b"content-length", b"x-id")
    head = response_head(found, ParserSettings())
    assert (head.status, head.length) == (200, 5)
    assert head.fields == [(b"content-length", b"5"), (b"x-id", b"1")]


@pytest.mark.parametrize("name", [b":path", b":other", b"x-id"])
def test_a_field_whose_value_looks_like_a_status_is_none(name: bytes) -> None:
    """Only the pseudo-header field is the status, at the front."""
    with pytest.raises(NotHttpError):
        response_head([(name, b"200")], ParserSettings())


def test_only_te_may_say_trailers() -> None:
    """Another field of the connection stays behind, whatever its value is."""
    request = HttpRequest(
        "GET", "https://a.test/", headers={"Keep-Alive": "trailers", "Connection": "trailers"}
    )
    assert request_fields(request, split_url(request.url))[4:] == []


def chunks() -> Iterator[bytes]:
    yield b"ab"


@pytest.mark.parametrize("body", [b"ab", None], ids=["bytes", "chunks"])
def test_a_body_that_is_not_empty_is_not_said_to_be(body: bytes | None) -> None:
    """Its length is that of its header field, if any."""
    request = HttpRequest("POST", "https://a.test/", data=chunks() if body is None else body)
    assert request_fields(request, split_url(request.url))[4:] == []
