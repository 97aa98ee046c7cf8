"""Server-sent events: the same as in browsers, however the stream is cut."""

from __future__ import annotations

import codecs
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import DecodingError
from http_service_client.http.bodies.event_stream import EventStreamDecoder, ServerSentEvent
from kit.rows import each_row

Event = ServerSentEvent


def events_of(data: bytes, cuts: list[int], limit: int | None = None) -> list[Event]:
    """The events of `data`, fed in pieces."""
    decoder = EventStreamDecoder(limit)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    events = [event for start, end in pairwise(edges) for event in decoder.feed(data[start:end])]
    return events + decoder.finish()


@each_row(
    ("stream", "events"),
    [
        ("", []),
        ("\n\n\n", []),
        ("data: a\n\n", [Event(data="a")]),
        ("data:a\n\n", [Event(data="a")]),
        ("data:  a \n\n", [Event(data=" a ")]),
        ("data: a\n", []),
        ("data: a", []),
        ("data: a\n\ndata: b\n", [Event(data="a")]),
        # The samples of WHATWG HTML 9.2.6.
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [Event(data="YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [Event(data="first event", id="1"), Event(data="second event"), Event(data=" third event")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [Event(data=""), Event(data="\n")]),
        ("data:test\n\ndata: test\n\n", [Event(data="test"), Event(data="test")]),
        ("event: add\ndata: 73\n\ndata: 1\n\n", [Event("add", "73"), Event(data="1")]),
        ("event: add\n\ndata: 73\n\n", [Event(data="73")]),
        ("event:\ndata: a\n\n", [Event(data="a")]),
        ("event: a\nevent: b\ndata:\n\n", [Event("b")]),
        ("id: 1\n\ndata: a\n\ndata: b\n\n", [Event(data="a", id="1"), Event(data="b", id="1")]),
        ("id: 1\nid: 2\0\ndata: a\n\n", [Event(data="a", id="1")]),
        ("id: 1\nid\ndata: a\n\n", [Event(data="a")]),
        ("retry: 10\ndata: a\n\ndata: b\n\n", [Event(data="a", retry=10), Event(data="b")]),
        ("retry: 10s\nretry: -1\nretry:\nretry: \u0661\nretry: 1e3\ndata: a\n\n", [Event(data="a")]),
        (f"retry: {'9' * 5000}\ndata: a\n\n", [Event(data="a")]),
        ("retry: 1\nretry: 007\ndata: a\n\n", [Event(data="a", retry=7)]),
        (":\n: data: a\n:data\n\n", []),
        ("foo: 10\nid:\ndata: a\n\n", [Event(data="a")]),
        ("data : a\nDATA: a\n data: a\nother: a\nfoo\n\n", []),
        ("data: a: b\n\n", [Event(data="a: b")]),
        ("\ufeffdata: a\n\n", [Event(data="a")]),
        ("\ufeff\ufeffdata: a\n\n", []),
        ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", [Event(data="a"), Event(data="b"), Event(data="c")]),
        ("data: a\r\n\n", [Event(data="a")]),
        ("data: a\u2028b\x85c\x0b\n\n", [Event(data="a\u2028b\x85c\x0b")]),
        ("data: Zoë €😀\n\n", [Event(data="Zoë €😀")]),
    ],
)
def test_a_stream_is_decoded_by_the_standard(stream: str, events: list[Event]) -> None:
    """WHATWG HTML 9.2.6; byte by byte, and in one piece."""
    data = stream.encode()
    assert events_of(data, []) == events
    assert events_of(data, list(range(len(data)))) == events


def test_a_stream_is_utf_8_whatever_its_first_bytes() -> None:
    """The byte order mark of UTF-16 is two invalid bytes."""
    assert events_of(codecs.BOM_UTF16_LE + b"data: a\ndata: b\n\n", []) == [Event(data="b")]


@given(
    st.one_of(st.binary(), st.text("aditevnr: \r\n\0é").map(str.encode)),
    st.lists(st.integers(0, 1000)),
)
@example(b"\xef\xbb\xbfdata: \xe2\x82\xac\xff\r\n\r\n", [1, 2, 9, 10, 11, 13, 14])
def test_cuts_make_no_difference(data: bytes, cuts: list[int]) -> None:
    """Nothing fails: an invalid byte becomes U+FFFD."""
    assert events_of(data, cuts) == events_of(data, [])


@given(
    st.lists(
        st.tuples(
            st.text("abc").filter(lambda name: name != ""),
            st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
            st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])),
        )
    ),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.lists(st.integers(0, 1000)),
)
def test_written_events_are_decoded_to_the_same(
    written: list[tuple[str, str, str]], end: str, cuts: list[int]
) -> None:
    """Any text without line breaks stays unchanged."""
    fields = (f"event: {name}{end}data: {data}{end}id: {id_}{end}{end}" for name, data, id_ in written)
    read = events_of("".join(fields).encode(), cuts)
    assert read == [Event(name, data, id_) for name, data, id_ in written]


def test_the_decoder_keeps_what_reconnecting_needs() -> None:
    """The id of the last complete event, and the wait as soon as its line is there."""
    decoder = EventStreamDecoder(None)
    assert (decoder.last_event_id, decoder.retry) == ("", None)
    decoder.feed(b"id: 1\ndata: a\n\nretry: 50\n\nid: 2\ndata: b\n")
    assert (decoder.last_event_id, decoder.retry) == ("1", 50)
    decoder.feed(b"\n")
    assert decoder.last_event_id == "2"
    decoder.feed(b"id: 3\n")
    assert decoder.finish() == []
    assert decoder.last_event_id == "2"


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 100 + b"\n\n",
        b"data: xx\n" * 40,
        b":" + b"x" * 101,
        b"event: " + b"x" * 100 + b"\n",
    ],
)
def test_an_event_over_the_limit_is_an_error(stream: bytes) -> None:
    """One line or many, complete or not, however it is cut."""
    for cuts in ([], list(range(len(stream)))):
        with pytest.raises(DecodingError, match="larger than 100 characters; raise max_length"):
            events_of(stream, cuts, limit=100)


@each_row("before", [b"", b"data: x\n\n", b"data: " + b"x" * 94 + b"\n\n"])
@each_row("size", [94, 95])
@each_row("lines", [b"data: %b\n", b"data: " + b"x" * 30 + b"\ndata: %b\n"])
def test_an_event_may_have_exactly_the_limit(before: bytes, size: int, lines: bytes) -> None:
    """The current line counts whole, each one before it with its value and an LF."""
    length = size - 31 * (lines.count(b"data") - 1)
    stream = before + lines % (b"y" * length) + b"\n"
    for cuts in ([], list(range(len(stream)))):
        if size == 94:
            assert events_of(stream, cuts, limit=100)[-1].data.endswith("y" * length)
        else:
            with pytest.raises(DecodingError):
                events_of(stream, cuts, limit=100)


def test_the_events_before_one_that_is_too_large_are_kept() -> None:
    """They came in the same bytes."""
    decoder = EventStreamDecoder(10)
    assert decoder.completed == []
    with pytest.raises(DecodingError):
        decoder.feed(b"data: a\n\ndata: 12345678\n\n")
    assert decoder.completed == [Event(data="a")]


def test_a_stream_may_be_longer_than_the_limit() -> None:
    """The limit bounds what is in memory: events and comments that are complete do not count."""
    stream = b"data: " + b"x" * 50 + b"\n\n"
    assert len(events_of(stream * 100, [], limit=100)) == 100
    assert events_of(b": ping\n" * 1000 + b"data: a\n\n", [], limit=20) == [Event(data="a")]
