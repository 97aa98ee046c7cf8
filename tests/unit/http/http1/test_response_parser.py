"""Parsing a response from any sequence of pieces: where the bytes are cut makes no difference."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.head import request_head
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.http1.rules import RULES
from kit.rows import each_row
from network.test_responses import CUT, READ, REFUSED


def parse(
    pieces: list[bytes],
    method: str = "GET",
    settings: ParserSettings = ParserSettings(),  # noqa: B008  # it is immutable
) -> tuple[ResponseParser, bytes]:
    """Read pieces after which the connection ends."""
    parser = ResponseParser(settings)
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


@each_row(
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


few = settings(max_examples=15)  # for each of many responses


@pytest.mark.parametrize("name", READ)
@few
@given(at=st.lists(st.integers(0, 100_000), max_size=6))
def test_the_cuts_do_not_matter(name: str, at: list[int]) -> None:
    """The same response, however its bytes were cut."""
    data, status, content = READ[name]
    assert read(cut(data, at)) == (status, content)


@pytest.mark.parametrize(
    "name", [name for name in REFUSED if "body in a resp" not in name and "more than the" not in name]
)
@few
@given(at=st.lists(st.integers(0, 100_000), max_size=6))
def test_the_cuts_do_not_matter_for_a_refused_response(name: str, at: list[int]) -> None:
    """The same error, however its bytes were cut."""
    data, words = REFUSED[name]
    expected = ConnectionResetError if words is None else CutShortError if words == CUT else NotHttpError
    with pytest.raises(expected) as caught:
        read(cut(data, at))
    assert type(caught.value) is expected


@each_row("name", READ)
def test_a_response_is_parsed_byte_by_byte(name: str) -> None:
    """The finest of all cuts."""
    data, status, content = READ[name]
    bytewise = [data[index : index + 1] for index in range(min(len(data), 3000))]
    assert read([*bytewise, data[3000:]]) == (status, content)


@each_row(
    ("data", "method", "is_last"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\n", "GET", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\nH", "GET", True),
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
    """By its options, the version of HTTP, and how the body ends: with the connection, or with other bytes behind it."""
    parser, _ = parse([data], method)
    assert parser.head is not None
    assert parser.head.is_last is is_last


@each_row(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: none\r\n",
        b"content-length: 1\r\nContent-Length: 2\r\n",
    ],
)
@each_row("status", [b"200", b"299"])
def test_the_head_that_opens_a_tunnel_frames_no_body(status: bytes, fields: bytes) -> None:
    """Whatever it says of one is ignored (RFC 9110, 9.3.6), however its bytes are cut. Others are taken at their word."""
    data = b"HTTP/1.1 " + status + b" OK\r\n" + fields + b"X: y\r\n\r\n"
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        parser = ResponseParser()
        parser.begin("CONNECT")
        for piece in pieces:
            assert parser.head is None
            parser.feed(piece)
            parser.read_head()
        assert list(parser.head or []) == [("X", "y")]
    for other in (b"199", b"300"):
        parser = ResponseParser()
        parser.begin("CONNECT")
        parser.feed(data.replace(status, other))
        with pytest.raises(NotHttpError):
            parser.read_head()


def test_another_fault_in_the_head_that_opens_a_tunnel_is_refused_before_its_line_ends() -> None:
    """As in any head: the rest of the line may never come."""
    parser = ResponseParser()
    parser.begin("CONNECT")
    parser.feed(b"HTTP/1.1 200 OK\r\nX(a")
    with pytest.raises(NotHttpError) as caught:
        parser.read_head()
    assert caught.value.rule is RULES["invalid-header-name"]


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    """Spaces and tabs, before and after it; a fold and those around it are one space (RFC 9112, 5.2)."""
    data = b"HTTP/1.1 200 OK\r\nA: \t a \t\r\nB:\r\nC: c \r\n\td \r\nContent-Length: 0\r\n\r\n"
    parser, _ = parse([data])
    assert list(parser.head or []) == [("A", "a"), ("B", ""), ("C", "c d"), ("Content-Length", "0")]


def test_a_letter_at_the_end_of_a_line_belongs_to_the_value() -> None:
    """Only the end of the line is cut off, of a folded one too."""
    parser, _ = parse([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nY: X\r\nX: aX\r\n bX\r\n\r\n"])
    assert parser.head is not None
    assert list(parser.head)[1:] == [("Y", "X"), ("X", "aX bX")]


HEAD = b"HTTP/1.1 200 OK\r\n"
TRAILERS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"


@each_row(
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
        parser.begin("GET")
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


@each_row(
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


NO_COLON = frozenset({"missing-colon"})
LENGTHS = frozenset({"repeated-content-length"})
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@each_row(
    ("tolerated", "after_head", "rule", "offset", "excerpt"),
    [
        ((), b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\rX", "missing-chunk-end", 53, r"'\rX'"),
        ((), b"Transfer-Encoding: chunked\r\n\r\n2\r\nabX", "missing-chunk-end", 52, "'X'"),
        ((), b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\nX", "bare-lf-in-chunks", 52, r"'\n'"),
        (NO_COLON, b"no\rcolon\r\n", "bare-cr", 19, r"'no\r'"),
        (NO_COLON, b"no\rcolon\n", "bare-cr", 19, r"'no\r'"),
        (NO_COLON, b"\rno colon\r\n", "bare-cr", 17, "'...'"),
        (NO_COLON, b"no colon\r\n a\rb\r\n", "bare-cr", 29, r"'...\r'"),
        (NO_COLON, b"no colon\r\n a\rb\n", "bare-cr", 29, r"'...\r'"),
        (NO_COLON, b"no colon\r\n content-length: 1\r\n", "missing-colon", 27, "'...'"),
        (LENGTHS, b"Content-Length: 2\r\nContent-Length: 2\r\n 3\r\n", "folded-framing-header", 55, "' '"),
        (
            LENGTHS,
            b"Content-Length: 2\r\nA: b\r\nContent-Length: 2\r\n 3\r\n",
            "folded-framing-header",
            61,
            "' '",
        ),
        (LENGTHS, b"Content-Length: 2, 3\r\n", "conflicting-content-length", 17, "'Content-Length: 2,'"),
    ],
)
def test_a_fault_is_named_at_its_byte(
    tolerated: Iterable[str], after_head: bytes, rule: str, offset: int, excerpt: str
) -> None:
    """Also where others are tolerated: a line that is skipped must not hide one that another reader would see."""
    with pytest.raises(NotHttpError) as caught:
        parse([HEAD + after_head], settings=ParserSettings(tolerated=frozenset(tolerated)))
    assert (caught.value.rule, caught.value.offset, caught.value.excerpt) == (RULES[rule], offset, excerpt)


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        (b"no colon\r\n of its own\r\nA: b\r\n", ("A", "b")),
        (b"no colon\r\nA: b\r\n c\r\n", ("A", "b c")),
        (b"no colon\r\nX-A: b\r\n", ("X-A", "b")),
        (b"no colon\r\nX : b\r\n", ("X", "b")),
        (b"no colon\r\nA : X\r\n", ("A", "X")),
    ],
)
def test_a_line_that_is_skipped_takes_its_folds_along_and_nothing_else(
    lines: bytes, field: tuple[str, str]
) -> None:
    """The lines after them are read as ever."""
    settings = ParserSettings(tolerated=NO_COLON | {"space-before-colon"})
    parser, _ = parse([HEAD + lines + b"Content-Length: 0\r\n\r\n"], settings=settings)
    assert list(parser.head or []) == [field, ("Content-Length", "0")]


@pytest.mark.parametrize(
    "lines", [b"A: b\r\n c\r\n", b"no colon\r\nB: c\r\n", b"no colon\r\n of its own\r\n"]
)
def test_a_head_that_is_there_is_read_at_once(lines: bytes) -> None:
    """Nothing may come that would make the caller look again."""
    parser = ResponseParser(ParserSettings(tolerated=NO_COLON))
    parser.begin("GET")
    parser.feed(HEAD + lines + b"\r\n")
    assert parser.read_head() is not None


@pytest.mark.parametrize(
    ("begun", "is_refused"),
    [(b"A\0", True), (b" \0", False), (b"A b", False)],
    ids=["a line", "a fold", "skipped"],
)
def test_after_a_line_that_is_skipped_the_next_is_judged_before_its_end(
    begun: bytes, is_refused: bool
) -> None:
    """But for a fold, which is skipped, too."""
    parser = ResponseParser(ParserSettings(tolerated=NO_COLON))
    parser.begin("GET")
    parser.feed(HEAD + b"no colon\r\n" + begun)
    if is_refused:
        with pytest.raises(NotHttpError):
            parser.read_head()
    else:
        assert parser.read_head() is None


@pytest.mark.parametrize("before", [b"no colon\r\nContent-Length: 0\r\n\r\n", b"no colon\r\nA: b\r\n"])
def test_nothing_of_one_response_is_left_in_the_next(before: bytes) -> None:
    """Whether it was read to its end or not: no field, and no fault that was tolerated."""
    parser = ResponseParser(ParserSettings(tolerated=NO_COLON))
    parser.begin("GET")
    parser.feed(HEAD + before)
    parser.read_head()
    parser.begin("GET")
    parser.feed(HEAD + b"Content-Length: 0\r\n\r\n")
    head, faults = parser.read_head(), list[object]()
    parser.report_faults(faults.append)
    assert head is not None
    assert (list(head), head.is_last, faults) == ([("Content-Length", "0")], False, [])


def test_a_fault_is_reported_to_whoever_asked_for_it_in_this_response() -> None:
    """Before it was read or after that. Who asked in the response before learns no more."""
    parser = ResponseParser(ParserSettings(tolerated=NO_COLON))
    before: list[object] = []
    after: list[object] = []
    for ask in (parser.report_faults, lambda report: None):
        parser.begin("GET")
        ask(before.append)
        parser.feed(HEAD + b"no colon\r\nContent-Length: 0\r\n\r\n")
        assert parser.read_head() is not None
    parser.report_faults(after.append)
    assert before == after == [RULES["missing-colon"]]


def test_a_connection_that_ends_before_the_first_byte_is_no_malformed_response() -> None:
    """The request may be sent again: it is likely that the server has not seen it."""
    parser = ResponseParser()
    parser.begin("GET")
    parser.feed(b"")
    with pytest.raises(ConnectionResetError):
        parser.read_head()


@pytest.mark.parametrize("cut_at", [0, 5])
def test_the_size_of_a_chunk_is_in_hexadecimal_digits(cut_at: int) -> None:
    """Whether the chunk is there at once or comes in pieces, and whatever line ends are about."""
    content = 45 * b"x" + b"\r\nx"
    data = b"30\r\n" + content + b"\r\n2\r\nab\r\n0\r\n\r\n"
    assert read([CHUNKED + data[:cut_at], data[cut_at:]]) == (200, content + b"ab")


def test_a_response_that_was_read_is_not_the_next_one() -> None:
    """The parser starts over, also where nobody had it forget the last response."""
    parser, _ = parse([HEAD + b"Content-Length: 0\r\n\r\n"])
    parser.begin("GET")
    assert parser.head is None
    assert not parser.is_complete


def test_bytes_after_a_switch_of_protocols_are_left_as_they_are() -> None:
    """They are of the other protocol, line ends, too."""
    parser, body = parse([b"HTTP/1.1 101 Switching Protocols\r\n\r\n\r\n\nhello"])
    assert (body, parser.rest) == (b"", b"\r\n\nhello")


@pytest.mark.parametrize("line", [b"HTTP/1.1 204\r\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.1 204\n"])
def test_a_missing_reason_is_empty(line: bytes) -> None:
    """Wherever the bytes are cut."""
    parser, _ = parse([line, b"\r\n"])
    assert parser.head is not None
    assert parser.head.reason == ""


def test_not_too_many_chunks_are_taken_at_once() -> None:
    """Each of them takes more memory than a tiny chunk has."""
    parser = ResponseParser()
    parser.begin("GET")
    parser.feed(CHUNKED + 2500 * b"1\r\na\r\n" + b"0\r\n\r\n")
    parser.read_head()
    assert [len(parser.read_body() or b"") for _ in range(4)] == [1000, 1000, 500, 0]


def test_a_response_that_is_forgotten_takes_no_memory() -> None:
    """An idle connection would keep the last bytes that it received."""
    data = HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(100_000)
    before = sys.getrefcount(data)
    parser, body = parse([data])
    assert len(body) == 100_000
    assert sys.getrefcount(data) > before
    parser.forget()
    assert sys.getrefcount(data) == before


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
