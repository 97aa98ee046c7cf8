"""Parsing a response from any sequence of pieces: where the bytes are cut makes no difference."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.head import request_head
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.http1.rules import RULES
from network.test_responses import CUT, READ, REFUSED


def parse(pieces: list[bytes], method: str = "GET") -> tuple[ResponseParser, bytes]:
    """Read pieces after which the connection ends."""
    parser = ResponseParser()
    parser.begin(method)
    waiting = [piece for piece in pieces if piece]
    while parser.read_head() is None:
        parser.feed(waiting.pop(0) if waiting else b"")
    body = b""
    while (piece := parser.read_body()) != b"":
        if piece is None:
            parser.feed(waiting.pop(0) if waiting else b"")
        else:
            body += piece
    return parser, body


def read(pieces: list[bytes], method: str = "GET") -> tuple[int, bytes]:
    parser, body = parse(pieces, method)
    assert parser.is_complete
    assert parser.head is not None
    return parser.head.status, body


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(edge % (len(data) + 1) for edge in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("method", "head", "ends_with_connection"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\n\r\n", True),
        ("GET", b"HTTP/1.0 200 OK\r\n\r\n", True),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", False),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", False),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", False),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", False),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    ],
)
def test_a_body_without_a_length_ends_with_the_connection(
    method: str, head: bytes, ends_with_connection: bool
) -> None:
    """Any other has an end of its own (RFC 9112, 6.3)."""
    parser = ResponseParser()
    parser.begin(method)
    assert not parser.ends_with_connection, "the head has not been read"
    parser.feed(head)
    assert parser.read_head() is not None
    assert parser.ends_with_connection is ends_with_connection
    if ends_with_connection:
        parser.feed(b"")
        assert parser.read_body() == b""
        assert not parser.ends_with_connection, "it has ended"


@pytest.mark.parametrize("name", READ)
@given(at=st.lists(st.integers(0, 100_000), max_size=6))
def test_the_cuts_do_not_matter(name: str, at: list[int]) -> None:
    """The same response, however its bytes were cut."""
    data, status, content = READ[name]
    assert read(cut(data, at)) == (status, content)


@pytest.mark.parametrize(
    "name", [name for name in REFUSED if "body in a resp" not in name and "more than the" not in name]
)
@given(at=st.lists(st.integers(0, 100_000), max_size=6))
def test_the_cuts_do_not_matter_for_a_refused_response(name: str, at: list[int]) -> None:
    """The same error, however its bytes were cut."""
    data, words = REFUSED[name]
    expected = ConnectionResetError if words is None else CutShortError if words == CUT else NotHttpError
    with pytest.raises(expected) as caught:
        read(cut(data, at))
    assert type(caught.value) is expected


@pytest.mark.parametrize("name", READ)
def test_a_response_is_parsed_byte_by_byte(name: str) -> None:
    """The finest of all cuts."""
    data, status, content = READ[name]
    bytewise = [data[index : index + 1] for index in range(min(len(data), 3000))]
    assert read([*bytewise, data[3000:]]) == (status, content)


@pytest.mark.parametrize(
    ("data", "method", "is_last"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", "GET", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nProxy-Connection: x, Close\r\n\r\nhi", "GET", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nhi", "GET", False),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", "GET", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HEAD", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", False),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "GET", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "GET", False),
    ],
)
def test_a_connection_is_kept_or_not(data: bytes, method: str, is_last: bool) -> None:
    """By its options, the version of HTTP, and a body that ends with the connection (RFC 9112, 9.3)."""
    parser, _ = parse([data], method)
    assert parser.head is not None
    assert parser.head.is_last is is_last


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    """Spaces and tabs, before and after it; a folded value keeps those between its lines."""
    data = b"HTTP/1.1 200 OK\r\nA: \t a \t\r\nB:\r\nC: c \r\n\td \r\nContent-Length: 0\r\n\r\n"
    parser, _ = parse([data])
    assert list(parser.head or []) == [("A", "a"), ("B", ""), ("C", "c \td"), ("Content-Length", "0")]


def test_a_letter_at_the_end_of_a_line_belongs_to_the_value() -> None:
    """Only the end of the line is cut off, of a folded one too."""
    parser, _ = parse([b"HTTP/1.1 200 OK\r\nX: aX\r\n bX\r\nY: X\r\nContent-Length: 0\r\n\r\n"])
    assert parser.head is not None
    assert list(parser.head)[:2] == [("X", "aX bX"), ("Y", "X")]


@pytest.mark.parametrize("is_too_long", [False, True])
def test_a_reason_may_be_as_long_as_a_line(is_too_long: bool) -> None:
    """What comes before it does not count."""
    settings = ParserSettings(size=100)
    parser = ResponseParser(settings)
    parser.begin("GET")
    reason = b"x" * (100 + is_too_long)
    parser.feed(b"HTTP/1.1 200 " + reason + b"\r\n")
    parser.feed(b"Content-Length: 0\r\n\r\n")
    if is_too_long:
        with pytest.raises(NotHttpError):
            parser.read_head()
    else:
        assert parser.read_head() is not None


@pytest.mark.parametrize("size", [1000, 300_000])
def test_line_ends_without_a_response_are_not_read_without_end(size: int) -> None:
    """They count as a part of the head, which may not be larger."""
    parser = ResponseParser()
    parser.begin("GET")
    with pytest.raises(NotHttpError) as caught:
        for _ in range(1000):
            parser.feed(b"\r\n" * (size // 2))
            assert parser.read_head() is None
    assert (caught.value.rule, caught.value.offset) == (RULES["head-too-large"], ParserSettings().total)


HEAD = b"HTTP/1.1 200 OK\r\n"
TRAILERS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"


@pytest.mark.parametrize(
    "begun",
    [
        HEAD + b"Content-Length: 2\r\nContent-Length: 3",
        HEAD + b"Content-Length: 2\r\ncontent-length: 2",
        HEAD + b"Content-Length: 2\r\n ",
        HEAD + b"Content-Length: \r",
        HEAD + b"Content-Length: 99999999999999999999",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding:",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length:",
        HEAD + b"Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 2\r",
        HEAD + b"Content-Length: +",
        HEAD + b"Content-Length: 2,",
        TRAILERS + b"Content-Length:",
        TRAILERS + b"Content-Length: 0",
    ],
)
def test_contradictory_framing_is_refused_before_its_line_ends(begun: bytes) -> None:
    """The rest may never arrive, and no end of the line could make it right."""
    with pytest.raises(NotHttpError):
        parser = ResponseParser()
        parser.feed(begun)
        if parser.read_head() is not None:
            parser.read_body()


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (HEAD + b"Content-Length: 2", b"\r\n\r\nhi"),
        (HEAD + b"Content-Length: ", b"2\r\n\r\nhi"),
        (HEAD + b"Content-Lengt", b"h: 2\r\n\r\nhi"),
        (HEAD + b"X-Content-Length: 9\r\nContent-Length: 2 ", b"\r\n\r\nhi"),
        (HEAD + b"Transfer-Encoding:", b" chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ],
)
def test_framing_that_may_still_be_right_is_waited_for(begun: bytes, rest: bytes) -> None:
    """A line that has just begun contradicts nothing yet."""
    assert read([begun, rest]) == (200, b"hi")


@pytest.mark.parametrize(
    ("begun", "rest", "pieces"),
    [
        (b"", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", [(b"abc", True)]),
        (b"2\r\na", b"b\r\n0\r\n\r\n", [(b"a", False), (b"b", True)]),
        (b"2\r\nab", b"\r\n0\r\n\r\n", [(b"ab", False), (b"", True)]),
        (b"", b"2\r\nab\r\n0\r\n\r", [(b"ab", False)]),
        (b"", b"2\r\nab\r\n00\r\n\r\n", [(b"ab", False), (b"", True)]),
        (b"", b"2\r\nab\r\n0\r\nX: 1\r\n\r\n", [(b"ab", False), (b"", True)]),
        (b"", b"c\r\nab\r\n0\r\n\r\n", [(b"ab\r\n0\r\n\r\n", False)]),
    ],
)
def test_a_body_is_complete_with_its_last_bytes_if_its_end_is_there(
    begun: bytes, rest: bytes, pieces: list[tuple[bytes, bool]]
) -> None:
    """Whoever leaves there frees the connection. An end that is unusual, or content, takes a step of its own."""
    parser = ResponseParser()
    parser.begin("GET")
    parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + begun)
    parser.read_head()
    found = []
    for data in (b"", rest):
        if data:
            parser.feed(data)
        while not parser.is_complete and (piece := parser.read_body()) is not None:
            found.append((piece, parser.is_complete))
    assert found == pieces


@given(data=st.binary(max_size=200), method=st.sampled_from(["GET", "HEAD"]))
def test_no_bytes_raise_another_exception(data: bytes, method: str) -> None:
    """Any bytes are a response or one of three errors."""
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        try:
            read([start + data], method)
        except (NotHttpError, ConnectionResetError):
            pass


def test_the_host_is_the_first_field_of_a_request() -> None:
    """A Host among the caller's fields replaces ours and moves to the front."""
    fields = [("A", "1"), ("B", "ä")]
    assert (
        request_head("GET", "/x", "h:1", fields)
        == "GET /x HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nB: ä\r\n\r\n".encode()
    )
    assert (
        request_head("GET", "/x", "h:1", [*fields, ("host", "other")])
        == "GET /x HTTP/1.1\r\nhost: other\r\nA: 1\r\nB: ä\r\n\r\n".encode()
    )
