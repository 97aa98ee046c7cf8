"""The head of a request, and what the head of a response says of its framing."""

from __future__ import annotations

from itertools import product

import pytest

from http_service_client.http.headers import Headers
from http_service_client.http.http1.head import Head, head_of_request, request_head
from http_service_client.http.http1.response_parser import ResponseParser
from kit.rows import each_row


@each_row("name", ["".join(each) for each in product("hH", "oO", "sS", "tT")])
def test_a_host_among_the_fields_replaces_ours(name: str) -> None:
    """In any letter case; it comes first (RFC 9112, 3.2)."""
    head = request_head("GET", "/", "a.test", [("A", "1"), (name, "b.test"), ("B", "2")])
    assert head == f"GET / HTTP/1.1\r\n{name}: b.test\r\nA: 1\r\nB: 2\r\n\r\n".encode()


@each_row("name", ["HostX", "Hosts", "Xost", "HXst", "HoXt", "HosX", "Hos", "X-Host"])
def test_a_name_that_is_like_host_is_another_field(name: str) -> None:
    """It stays where it is, and ours is sent."""
    head = request_head("GET", "/", "a.test", [("A", "1"), (name, "b.test")])
    assert head == f"GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\n{name}: b.test\r\n\r\n".encode()


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Accept", "*/*"), ("X-Name", "Zoë")],
        [("A", "1"), ("a", "2"), ("B", "3"), ("A", "4")],
        [("A", "1"), ("hOsT", "b.test"), ("B", "2")],
        [("Hosts", "x")],
    ],
    ids=repr,
)
def test_headers_are_written_as_their_pairs(fields: list[tuple[str, str]]) -> None:
    """The values of one name in one line, and a Host among them in place of ours."""
    headers = Headers(fields)
    expected = request_head("GET", "/x", "a.test", headers.pairs())
    assert head_of_request("GET", "/x", "a.test", headers) == expected


@each_row("status", range(100, 600))
def test_a_status_without_a_body_has_none_whatever_the_fields_say(status: int) -> None:
    """RFC 9112, 6.3: all 1xx, 204 and 304. After a 101 the bytes are those of another protocol."""
    has_body = status >= 200 and status not in (204, 304)
    head = Head(b"1.1", status, "", [(b"Content-Length", b"7")])
    assert (head.length, head.is_last) == (7 if has_body else 0, status == 101)
    head = Head(b"1.1", status, "", [(b"Transfer-Encoding", b"Chunked")])
    assert (head.length, head.is_chunked) == (None if has_body else 0, has_body)


@each_row(
    ("version", "name", "value", "is_last"),
    [
        (b"1.1", b"Date", b"x", False),
        (b"1.1", b"Connection", b"close", True),
        (b"1.1", b"connection", b"x, Close", True),
        (b"1.1", b"Proxy-Connection", b"close", True),
        (b"1.1", b"Connection", b"closed", False),
        (b"1.0", b"Date", b"x", True),
        (b"1.0", b"Connection", b"Keep-Alive", False),
        (b"1.0", b"Proxy-Connection", b"keep-alive", False),
        (b"1.0", b"Connection", b"keep-alive, close", True),
    ],
)
def test_whether_a_connection_is_kept(version: bytes, name: bytes, value: bytes, is_last: bool) -> None:
    """In HTTP/1.1 unless it closes, in HTTP/1.0 only if it is to be kept (RFC 9112, 9.3)."""
    assert Head(version, 200, "OK", [(name, value)]).is_last is is_last


def test_chunks_in_http_1_0_are_the_last_that_is_read() -> None:
    """Such a framing is likely to be faulty (RFC 9112, 6.1)."""
    fields = [(b"Connection", b"keep-alive"), (b"Transfer-Encoding", b"chunked")]
    assert Head(b"1.0", 200, "OK", fields).is_last
    assert not Head(b"1.1", 200, "OK", fields).is_last


def test_a_head_has_its_fields_as_they_came_and_as_text() -> None:
    """What the pool and the decoder need is noted at once."""
    fields = [(b"KEEP-alive", b"timeout=5"), (b"Content-encoding", b"gzip"), (b"X-Name", b"Zo\xc3\xab \xc3")]
    head = Head(b"1.1", 200, "OK", fields)
    assert head.raw_fields() == fields
    assert list(head) == [
        ("KEEP-alive", "timeout=5"),
        ("Content-encoding", "gzip"),
        ("X-Name", "Zo\xc3\xab \xc3"),
    ]
    assert (head.status, head.reason, head.keep_alive, head.is_encoded) == (200, "OK", "timeout=5", True)
    plain = Head(b"1.1", 200, "OK", [(b"Keep", b"5"), (b"Content", b"gzip")])
    assert (plain.length, plain.is_chunked, plain.keep_alive, plain.is_encoded) == (None, False, None, False)


def test_a_response_is_the_last_by_its_own_word_alone() -> None:
    """Not by that of the one before it."""
    parser = ResponseParser()
    found = []
    for field in (b"Connection: close\r\n", b""):
        parser.begin("HEAD")
        parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + field + b"\r\n")
        head = parser.read_head()
        assert head is not None
        found.append(head.is_last)
    assert found == [True, False]
