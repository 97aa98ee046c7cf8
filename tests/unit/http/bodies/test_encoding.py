"""From json, data, files and content to the one body of a request."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.encoding import UNSET, encode_body
from kit.rows import each_row


@each_row(
    ("arguments", "content", "content_type"),
    [
        ({}, b"", None),
        ({"json": None}, b"", None),
        ({"json": UNSET}, b"", None),
        ({"data": {}}, b"", None),
        ({"data": b""}, b"", None),
        ({"data": ""}, b"", None),
        ({"data": []}, b"", None),
        ({"json": {}}, b"{}", "application/json"),
        ({"json": False}, b"false", "application/json"),
        ({"json": 0, "files": {}}, b"0", "application/json"),
        ({"data": b"raw"}, b"raw", None),
        ({"data": bytearray(b"raw")}, b"raw", None),
        ({"data": memoryview(b"raw")}, b"raw", None),
        ({"data": "é"}, b"\xc3\xa9", "text/plain; charset=utf-8"),
        ({"data": io.StringIO("é")}, b"\xc3\xa9", None),
        ({"data": [b"a", b"b"]}, b"ab", None),
        ({"data": {"a": "x y", "b": None, "c": True}}, b"a=x+y&c=true", "application/x-www-form-urlencoded"),
        ({"data": [("a", 1), ("a", 2)]}, b"a=1&a=2", "application/x-www-form-urlencoded"),
        ({"data": {"a": [1, 2], "é&": "+"}}, b"a=1&a=2&%C3%A9%26=%2B", "application/x-www-form-urlencoded"),
        ({"content": b"raw"}, b"raw", None),
        ({"content": "x"}, b"x", "text/plain; charset=utf-8"),
    ],
)
def test_a_body_in_memory_is_whole_and_replayable(
    arguments: dict[str, Any], content: bytes, content_type: str | None
) -> None:
    """What can be encoded at once is encoded, so that its length is known."""
    body = encode_body(**arguments)
    assert (body.content, body.length, body.content_type) == (content, len(content), content_type)
    assert body.is_replayable
    assert body.may_send
    assert [b"".join(body.chunks()) for _ in range(2)] == [content, content]


def pieces() -> Iterator[bytes]:
    yield b"piece"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"piece"


@each_row(
    "arguments",
    [
        {"json": 1, "data": {"a": 1}},
        {"json": 1, "files": {"a": b""}},
        {"json": 1, "content": b""},
        {"data": b"x", "content": b"x"},
        {"files": {"a": b"x"}, "content": b"x"},
        {"json": 1, "data": b"x", "content": b"x"},
        {"json": {}, "data": b""},
    ],
)
def test_a_request_has_one_body(arguments: dict[str, Any]) -> None:
    """With two, the client would have to guess; the error names them."""
    with pytest.raises(InvalidRequestError, match=f"one body, but {' and '.join(arguments)} were given"):
        encode_body(**arguments)


@each_row(
    ("arguments", "says"),
    [
        ({"data": ["ab", "cd"]}, "list that holds str"),
        ({"data": [1]}, "list that holds int"),
        ({"data": [("a", 1), "bc"]}, "list that holds tuple"),
        ({"data": [("a", 1, 2)]}, "pairs"),
        ({"data": {"a": float("nan")}}, "data['a'] is nan"),
        ({"data": {"a": {1}}}, "data['a'] must be"),
        ({"data": 5}, "not int; a mapping is a form, and json= takes what has a JSON form"),
        ({"content": 5}, "content must be bytes, text, a binary file or an iterable of bytes, not int"),
        ({"data": pieces}, "not function; call it, and pass the generator that it returns"),
        ({"data": async_pieces}, "not function; call it, and pass the generator that it returns"),
        ({"data": {b"a", b"b"}}, "not set"),
        ({"data": "\ud800"}, "surrogate"),
        ({"content": {"a": 1}}, "mapping"),
        ({"data": io.StringIO("\ud800")}, "surrogate"),
    ],
)
def test_an_argument_that_is_not_a_body_is_refused(arguments: dict[str, Any], says: str) -> None:
    """The error names the argument and its type."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)):
        encode_body(**arguments)


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_a_form_is_decoded_to_what_was_encoded(pairs: list[tuple[str, str]]) -> None:
    """By the standard library, as any server would."""
    try:
        body = encode_body(data=pairs)
    except InvalidRequestError:
        return
    assert body.content is not None
    assert (
        parse_qsl(body.content.decode("ascii"), keep_blank_values=True, strict_parsing=bool(pairs)) == pairs
    )


@pytest.mark.parametrize(
    ("arguments", "charset"),
    [
        ({"data": "é"}, "utf-8"),
        ({"content": "é"}, "utf-8"),
        ({"data": b"e"}, None),
        ({"json": "é"}, "utf-8"),
        ({}, None),
    ],
)
def test_text_is_sent_in_utf8_and_says_so(arguments: dict[str, Any], charset: str | None) -> None:
    """A Content-Type of the caller's without a charset gets it; bytes are what the caller made them."""
    assert encode_body(**arguments).charset == charset


def test_an_argument_that_is_not_given_is_false() -> None:
    """As None is."""
    assert not UNSET
