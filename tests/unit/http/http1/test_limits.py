"""The limits of a head, of its lines, and of what is between two pieces of a body."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.http1.rules import RULES
from kit.rows import each_row

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FIELD = b"A: " + 16 * b"x" + b"\r\n"  # 21 bytes, as the end has; the status line has 17
INTERIM = b"HTTP/1.1 103 Early H\r\n\r\n"


@each_row(
    ("data", "offset"),
    [
        (HEAD + FIELD + FIELD + b"Content-Length: 0\r\n\r\n", None),
        (HEAD + FIELD + b"A: " + 17 * b"x" + b"\r\nContent-Length: 0\r\n\r\n", 79),
        (HEAD + FIELD + FIELD + FIELD + b"\r\n", 80),
        (INTERIM + INTERIM + b"HTTP/1.1 204 None\r\nA: bcdefg\r\n\r\n", None),
        (INTERIM + INTERIM + b"HTTP/1.1 204 None\r\nA: bcdefgh\r\n\r\n", 79),
        (INTERIM + INTERIM + INTERIM + b"HTTP/1.1 204 None\r\n\r\n", 72),
        (40 * b"\r\n", ...),
        (41 * b"\r\n", 80),
        (HEAD + b"A:" + 19 * b"x" + b"\r\nContent-Length: 0\r\n\r\n", None),
        (HEAD + b"A:" + 20 * b"x" + b"\r\nContent-Length: 0\r\n\r\n", 17),
        (HEAD + b"A:" + 20 * b"X" + b"\r\nContent-Length: 0\r\n\r\n", 17),
        (HEAD + b"A:" + 20 * b"x" + b"\0\r\nContent-Length: 0\r\n\r\n", 17),
        (HEAD + b"A:" + 10 * b" " + 19 * b"x" + b"\r\nContent-Length: 0\r\n\r\n", None),
        (HEAD + b"A:" + 10 * b" " + 20 * b"x" + b"\r\nContent-Length: 0\r\n\r\n", 17),
        (HEAD + b"A:" + 58 * b" " + b"x\r\n", ...),
        (HEAD + b"A:" + 59 * b" " + b"x\r\n", 17),
        (HEAD + b"A: bcdef\r\n ghijklm\r\nContent-Length: 0\r\n\r\n", None),
        (HEAD + b"A: bcdef\r\n ghijklmn\r\nContent-Length: 0\r\n\r\n", 27),
    ],
)
@each_row("is_cut", [False, True])
def test_a_head_and_each_of_its_lines_have_a_limit(data: bytes, offset: Any, is_cut: bool) -> None:
    """Here 80 bytes, interim heads included, and 20 beside the colon and what space is before a value. Nothing of what is too large is shown.

    offset: where the line begins that is too large; None for a head that is complete, ... for one that is not.
    """
    parser = ResponseParser(ParserSettings(size=20))
    parser.begin("GET")
    error = None
    try:
        for piece in [data[at : at + 1] for at in range(len(data))] if is_cut else [data]:
            parser.feed(piece)
            parser.read_head()
    except NotHttpError as raised:
        error = raised
    if isinstance(offset, int):
        assert error is not None
        assert (error.rule, error.offset, error.excerpt) == (RULES["head-too-large"], offset, "")
    else:
        assert error is None
        assert (parser.head is None) == (offset is ...)


@pytest.mark.parametrize("is_too_large", [False, True])
def test_a_head_of_the_usual_form_has_that_limit_too(is_too_large: bool) -> None:
    """The interim heads before it count."""
    settings = ParserSettings(size=60)
    before = 8 * INTERIM + HEAD + b"Content-Length: 0\r\nA: "
    value = b"x" * (settings.total - len(before + b"\r\n\r\n") + is_too_large)
    parser = ResponseParser(settings)
    parser.begin("GET")
    parser.feed(before + value + b"\r\n\r\n")
    if is_too_large:
        with pytest.raises(NotHttpError):
            parser.read_head()
    else:
        assert parser.read_head() is not None


@pytest.mark.parametrize("is_too_long", [False, True])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_reason_may_be_as_long_as_a_line(is_cut: bool, is_too_long: bool) -> None:
    """What comes before it does not count."""
    parser = ResponseParser(ParserSettings(size=100))
    parser.begin("GET")
    begun, rest = b"HTTP/1.1 200 " + b"x" * (100 + is_too_long), b"\r\nContent-Length: 0\r\n\r\n"
    parser.feed(begun if is_cut else begun + rest)
    if is_too_long:
        with pytest.raises(NotHttpError):
            parser.read_head()
    else:
        if is_cut:
            assert parser.read_head() is None
            parser.feed(rest)
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


def test_each_response_of_a_connection_has_the_whole_limit() -> None:
    """Of bytes, however many came before it."""
    parser = ResponseParser(ParserSettings(size=20))
    for _ in range(50):
        parser.begin("GET")
        parser.feed(HEAD + FIELD + b"Content-Length: 1\r\n\r\nx")
        assert parser.read_head() is not None
        assert (parser.read_body(), parser.read_body()) == (b"x", b"")
    parser.begin("GET")
    with pytest.raises(NotHttpError) as caught:
        parser.feed(HEAD + FIELD + FIELD + FIELD + b"\r\n")
        parser.read_head()
    assert caught.value.offset == 80, "counted from the first byte of its response"


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (HEAD + b"A: a\r\nB: b\r\nC: c\r\nD: d\r\n", 35),
        (CHUNKED + b"0\r\nA: a\r\nB: b\r\nC: c\r\n", 62),
    ],
)
def test_a_response_has_so_many_fields(data: bytes, offset: int) -> None:
    """Trailers included. The first one too many is named, and not shown."""
    parser = ResponseParser(ParserSettings(fields=3))
    parser.begin("GET")
    parser.feed(data)
    with pytest.raises(NotHttpError) as caught:
        parser.read_head()
        parser.read_body()
    assert (caught.value.rule, caught.value.offset, caught.value.excerpt) == (
        RULES["too-many-fields"],
        offset,
        "",
    )


@pytest.mark.parametrize("is_too_large", [False, True])
def test_trailers_have_a_limit_of_their_own(is_too_large: bool) -> None:
    """Twice that of a line, however long the body before them is."""
    line = b"A: " + 24 * b"x" + b"\r\n"
    parser = ResponseParser(ParserSettings(size=30))
    parser.begin("GET")
    parser.feed(CHUNKED + 20 * b"2\r\nab\r\n" + b"0\r\n" + line + is_too_large * b"B" + line + b"\r\n")
    assert parser.read_head() is not None
    assert parser.read_body() == 20 * b"ab"
    if is_too_large:
        with pytest.raises(NotHttpError) as caught:
            parser.read_body()
        assert caught.value.rule is RULES["head-too-large"]
    else:
        assert parser.read_body() == b""


def test_the_line_before_a_chunk_has_a_limit() -> None:
    """It is not shown."""
    parser = ResponseParser(ParserSettings(size=40))
    parser.begin("GET")
    parser.feed(CHUNKED + b"1;" + 100 * b"a" + b"\r\n")
    assert parser.read_head() is not None
    with pytest.raises(NotHttpError) as caught:
        parser.read_body()
    assert (caught.value.rule, caught.value.offset, caught.value.excerpt) == (
        RULES["chunk-line-too-long"],
        len(CHUNKED),
        "",
    )
