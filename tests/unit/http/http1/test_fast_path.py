"""The heads that `read_fast_head` takes have a single reading: the full parser sees the same in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.http1.fast_path import FastHead, read_fast_head, read_fast_response
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.head import Head
from http_service_client.http.http1.response_parser import ResponseParser
from kit.rows import each_row
from wire.responses.test_random_responses import RESPONSES, mutated

LIMITS = ParserSettings()
ORDINARY = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\nConnection: keep-alive\r\nX-A: \xc3\xbc ; b\r\n\r\nhi"


def check(data: bytes, fast: FastHead) -> None:
    """The full parser sees the same head, and a body of the same length."""
    parser = ResponseParser()
    first = data.index(b"\n") + 1
    parser.feed(data[:first])  # not all of it at once: not on the fast path
    assert parser.read_head() is None
    parser.feed(data[first:])
    ours = parser.read_head()
    assert type(ours) is Head
    assert (ours.status, ours.reason, list(ours)) == (fast.status, fast.reason, list(fast))
    assert (ours.length, ours.is_chunked, ours.is_encoded) == (fast.length, fast.is_chunked, fast.is_encoded)
    assert ours.is_last or not fast.is_last


def test_an_ordinary_head_is_taken() -> None:
    """Nearly all responses have one like it."""
    head = read_fast_head(ORDINARY, LIMITS)
    assert head is not None
    assert (head.status, head.reason, head.length, head.is_encoded) == (200, "OK", 2, False)
    assert ORDINARY[head.size :] == b"hi"
    assert list(head)[2:] == [("Connection", "keep-alive"), ("X-A", "ü ; b")]
    check(ORDINARY, head)


@each_row("response", RESPONSES)
def test_the_parsers_agree_on_known_responses(response: bytes) -> None:
    """On all of the wire tables that it takes."""
    head = read_fast_head(response, LIMITS)
    if head is not None:
        check(response, head)


@each_row(
    ("old", "new", "length", "is_last"),
    [
        (b"keep-alive", b"close", 2, True),
        (b"keep-alive", b"Close", 2, True),
        (b"keep-alive", b"keep-alive,\tclose , x", 2, True),
        (b"keep-alive", b"unclose", 2, False),
        (b"keep-alive", b"upgrade\r\nUpgrade: h2c", 2, False),
        (b"X-A:", b"Proxy-Connection: close\r\nX-A:", 2, True),
        (b"keep-alive", b"close\r\nConnection: x", 2, True),
        (b"keep-alive", b"closeX, Xclose", 2, False),
        (b"Length: 2", b"Length: 2 \t", 2, False),
        (b"Content-Length: 2", b"Transfer-Encoding: chunked", None, False),
        (b"200", b"204", 0, False),
        (b"200", b"304", 0, False),
        (b"200 OK\r\nServer: nginx\r\nContent-Length: 2", b"204 No Content", 0, False),
    ],
)
def test_the_framings_that_are_taken(old: bytes, new: bytes, length: int | None, is_last: bool) -> None:
    """A length, chunks, or a status without a body; and a connection that closes."""
    data = ORDINARY.replace(old, new, 1)
    head = read_fast_head(data, LIMITS)
    assert head is not None
    assert (head.length, head.is_chunked, head.is_last) == (length, length is None, is_last)
    check(data, head)


def test_a_coding_and_a_promise_to_keep_the_connection_are_noted() -> None:
    """Such heads are as usual as the others."""
    data = ORDINARY.replace(b"X-A:", b"Content-Encoding: gzip\r\nKeep-Alive: timeout=5 \r\nX-A:")
    head = read_fast_head(data, LIMITS)
    assert head is not None
    assert (head.is_encoded, head.keep_alive, head.is_chunked, head.length) == (True, "timeout=5", False, 2)
    check(data, head)


@given(mutated(st.sampled_from([*RESPONSES, ORDINARY, ORDINARY])))
def test_the_parsers_agree_on_random_changes_of_them(response: bytes) -> None:
    """On all that it takes."""
    head = read_fast_head(response, LIMITS)
    if head is not None:
        check(response, head)
        check_whole(response, "GET")


@each_row(
    ("old", "new"),
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"200", b"103"),
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
        (b"Length: 2", b"Length: 2X"),
        (b"Content-Length: 2", b"Keep-Alive: 2"),
        (b"Content-Length: 2\r\nConnection: keep-alive", b"Connection: chunked"),
        (b"Content-Length: 2", b"Keep-Alive: chunked"),
        (b"Length: 2", b"Length: 2\r\ncontent-LENGTH: 2"),
        (b"Content-Length: 2", b"X: y"),
        (b"X-A:", b"Transfer-Encoding: chunked\r\nX-A:"),
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


def test_a_head_may_be_as_large_as_the_settings_say() -> None:
    """To the byte and to the field; it may begin anywhere in the bytes."""
    head = read_fast_head(ORDINARY, LIMITS)
    assert head is not None
    for settings, is_taken in [
        (ParserSettings(fields=4, size=head.size), True),
        (ParserSettings(fields=3, size=head.size), False),
        (ParserSettings(fields=4, size=head.size - 1), False),
    ]:
        for at in (0, 7):
            found = read_fast_head(b"x" * at + ORDINARY, settings, at)
            assert (found is not None) is is_taken
            assert found is None or found.size == head.size


def test_a_value_ends_in_white_space_only() -> None:
    """Not in a letter."""
    head = read_fast_head(ORDINARY.replace(b"nginx", b"nginX \t"), LIMITS)
    assert head is not None
    assert dict(head)["Server"] == "nginX"


def test_the_size_of_a_chunk_is_hexadecimal() -> None:
    """Of any number of digits."""
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for size in (b"f", b"10", b"010", b"1f", b"0001F"):
        content = b"x" * int(size, 16)
        data = start + size + b"\r\n" + content + b"\r\n0\r\n\r\n"
        found = read_fast_response(data, LIMITS, "GET")
        assert found is not None
        assert found[1] == content
        assert by_the_parser(data, "GET") == (200, False, list(found[0]), content)


def by_the_parser(data: bytes, method: str) -> tuple[object, ...] | None:
    """What the full parser reads, if these bytes are exactly one response; else None."""
    parser = ResponseParser(LIMITS)
    parser.begin(method)
    parser.feed(data)
    head, content = parser.read_head(), b""
    while head is not None and (piece := parser.read_body()):
        content += piece
    if head is None or not parser.is_complete or parser.rest:
        return None
    return head.status, head.is_last, list(head), content


def check_whole(data: bytes, method: str) -> None:
    """If a response is taken whole, the parser reads the same."""
    found = read_fast_response(data, LIMITS, method)
    if found is not None:
        head, content = found
        assert (head.status, head.is_last, list(head), content) == by_the_parser(data, method)


WHOLE = [
    ORDINARY,
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\n0\r\n\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\nhum\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
]


@each_row("method", ["GET", "HEAD"])
@each_row("response", WHOLE)
def test_a_whole_response_is_read_as_by_the_parser(response: bytes, method: str) -> None:
    """At any length, also one that is too long: what is not exactly one response is left to the parser."""
    for data in [response[:end] for end in range(len(response) + 1)] + [response + b"\r\n", response * 2]:
        check_whole(data, method)


@pytest.mark.parametrize(
    ("response", "method"), [(each, "GET") for each in WHOLE[1:5]] + [(WHOLE[9], "HEAD")]
)
def test_the_usual_responses_are_read_whole(response: bytes, method: str) -> None:
    """With a length, without a body, or in one chunk; one byte less is not whole."""
    assert read_fast_response(response, LIMITS, method) is not None
    assert read_fast_response(response[:-1], LIMITS, method) is None
    assert read_fast_response(response + b"\n", LIMITS, method) is None
