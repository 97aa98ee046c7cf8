"""Bodies: one kind a request, of known length where possible, and never sent empty a second time."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import gzip
import io
import json
import os
import pathlib
import re
import uuid
from collections import UserDict, deque
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.body import EMPTY
from http_service_client.http.bodies.encoding import UNSET, RequestBody, encode_body
from http_service_client.http.bodies.json import encode_json
from http_service_client.http.content_codings.compression import compress, may_compress
from http_service_client.http.content_codings.decoder import Decoder


def drawn(body: RequestBody) -> bytes:
    """The whole body, and that both ways of drawing it say the same."""

    async def gather() -> bytes:
        return b"".join([chunk async for chunk in body.async_chunks()])

    if not body.is_replayable:
        return b"".join(body.chunks())
    once = asyncio.run(gather())
    assert body.is_async or b"".join(body.chunks()) == once
    return once


@pytest.mark.parametrize(
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
    """What can be encoded at once is, and its length is told."""
    body = encode_body(**arguments)
    assert (body.content, body.length, body.content_type) == (content, len(content), content_type)
    assert body.is_replayable
    assert body.may_send
    assert drawn(body) == drawn(body) == content


@pytest.mark.parametrize(
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
    """Two would have to be guessed between."""
    with pytest.raises(InvalidRequestError, match=f"one body, but {' and '.join(arguments)} were given"):
        encode_body(**arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"data": ["ab", "cd"]}, "list that holds str"),
        ({"data": [1]}, "list that holds int"),
        ({"data": [("a", 1), "bc"]}, "list that holds tuple"),
        ({"data": [("a", 1, 2)]}, "pairs"),
        ({"data": {"a": float("nan")}}, "data['a'] is nan"),
        ({"data": {"a": {1}}}, "data['a'] must be"),
        ({"data": 5}, "not int"),
        ({"data": {b"a", b"b"}}, "not set"),
        ({"data": "\ud800"}, "surrogate"),
        ({"content": {"a": 1}}, "mapping"),
        ({"data": io.StringIO("\ud800")}, "surrogate"),
    ],
)
def test_what_is_no_body_is_refused(arguments: dict[str, Any], says: str) -> None:
    """The error names the argument and what it is."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)):
        encode_body(**arguments)


def test_a_text_file_is_refused(tmp_path: pathlib.Path) -> None:
    """Its length in bytes is unknown, and its newlines are not what is on disk."""
    path = tmp_path / "text"
    path.write_text("x")
    with path.open() as file, pytest.raises(InvalidRequestError, match="binary mode"):
        encode_body(data=file)
    with pytest.raises(InvalidRequestError, match="closed"):
        encode_body(data=file)


@pytest.mark.parametrize("argument", ["data", "content"])
def test_a_file_is_sent_from_where_it_stood_each_time(argument: str, tmp_path: pathlib.Path) -> None:
    """Given a file read to the middle, when it is sent twice, then the second half goes out twice."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 30_000)
    with path.open("rb") as file:
        file.seek(100_000)
        body = encode_body(**{argument: file})
        assert (body.length, body.content, body.is_replayable) == (200_000, None, True)
        assert file.tell() == 100_000
        assert drawn(body) == drawn(body) == b"0123456789" * 20_000
        partly = body.chunks()
        next(partly)
        assert drawn(body) == b"0123456789" * 20_000


def test_a_file_that_grew_is_cut_and_one_that_shrank_is_an_error() -> None:
    """The declared length holds: more would be smuggling, less a hang."""
    file = io.BytesIO(b"abc")
    body = encode_body(data=file)
    file.seek(0, 2)
    file.write(b"def")
    assert drawn(body) == b"abc"
    file.truncate(1)
    with pytest.raises(InvalidRequestError, match="shorter"):
        drawn(body)


def test_a_pipe_is_sent_once() -> None:
    """What cannot be rewound has no length and goes once."""
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        body = encode_body(data=file)
        assert (body.length, body.is_replayable, body.may_send) == (None, False, True)
        assert drawn(body) == b"abc"
        assert not body.may_send


def test_a_compressed_file_is_read_through(tmp_path: pathlib.Path) -> None:
    """One that cannot tell its length, but can be rewound, is replayable and of unknown length."""
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(b"abc")
    with gzip.open(tmp_path / "x.gz", "rb") as file:
        body = encode_body(data=file)
        assert body.is_replayable
        assert drawn(body) == drawn(body) == b"abc"


class Silent(io.RawIOBase):
    """A non-blocking file without data."""

    def read(self, size: int = -1) -> Any:
        return None


def test_a_non_blocking_file_is_an_error() -> None:
    """None from read() is "not now", and not the end of the body."""
    with pytest.raises(InvalidRequestError, match="non-blocking"):
        list(encode_body(data=Silent()).chunks())


def letters() -> Iterator[Any]:
    yield b"a"
    yield b""
    yield "é"
    yield memoryview(b"c")


def test_a_generator_is_sent_once_and_never_empty() -> None:
    """Given a sent one-shot body, when it is to be sent again, then that is an error and not an empty body."""
    body = encode_body(data=letters())
    assert (body.length, body.is_replayable, body.has_started, body.may_send) == (None, False, False, True)
    waiting = body.chunks()
    assert body.may_send, "asking for the chunks draws none"
    assert list(waiting) == [b"a", b"\xc3\xa9", b"c"]
    assert (body.has_started, body.may_send) == (True, False)
    with pytest.raises(InvalidRequestError, match="cannot be replayed"):
        body.chunks()
    with pytest.raises(InvalidRequestError, match="cannot be replayed"):
        body.async_chunks()


def test_two_readers_do_not_share_a_generator() -> None:
    """The first pull takes it; the other reader gets an error."""
    body = encode_body(data=letters())
    first, second = body.chunks(), body.chunks()
    next(first)
    with pytest.raises(InvalidRequestError):
        next(second)


class Afresh:
    """An iterable that starts anew each time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])


def test_an_iterable_that_starts_anew_is_replayable() -> None:
    """Told by whether it is its own iterator."""
    body = encode_body(data=Afresh())
    assert body.is_replayable
    assert body.length is None
    assert drawn(body) == drawn(body) == b"ab"


@pytest.mark.parametrize("chunk", [1, None, ("a", 1), {"a": 1}])
def test_a_chunk_of_another_type_is_refused(chunk: Any) -> None:
    """With its type, in place of a TypeError deep inside a socket."""
    with pytest.raises(InvalidRequestError, match="chunk of the body"):
        list(encode_body(data=iter([chunk])).chunks())


async def pieces() -> AsyncIterator[Any]:
    yield b"a"
    yield b""
    yield "b"


class AsyncAfresh:
    """An async iterable that starts anew each time."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return pieces()


def test_an_async_generator_is_drawn_once_and_only_by_async_calls() -> None:
    """The blocking front end says so at once."""
    body = encode_body(content=pieces())
    assert (body.is_async, body.is_replayable, body.length) == (True, False, None)
    with pytest.raises(InvalidRequestError, match="_async"):
        body.chunks()

    async def draw() -> list[bytes]:
        return [chunk async for chunk in body.async_chunks()]

    assert asyncio.run(draw()) == [b"a", b"b"]
    assert not body.may_send
    with pytest.raises(InvalidRequestError, match="cannot be replayed"):
        asyncio.run(draw())


def test_an_async_iterable_that_starts_anew_is_replayable() -> None:
    """As with plain ones."""
    body = encode_body(data=AsyncAfresh())
    assert body.is_replayable
    assert drawn(body) == drawn(body) == b"ab"


class Line(NamedTuple):
    price: Any


@dataclasses.dataclass
class Order:
    items: list[Any]
    colour: Any = None


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    DAY = dt.date(2024, 1, 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 1.5, None, True]}, '{"a":[1,1.5,null,true]}'),
        ("é\u2028", '"é\u2028"'),
        ({1: 2}, '{"1":2}'),
        (Order([Line(Decimal("1.10"))], Colour.RED), '{"items":[["1.10"]],"colour":"red"}'),
        ([Level.HIGH, Plain.DAY], '[3,"2024-01-02"]'),
        (dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc), '"2024-01-02T00:00:00+00:00"'),
        (dt.time(1, 2), '"01:02:00"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (MappingProxyType({"a": UserDict({"b": deque([1])})}), '{"a":{"b":[1]}}'),
        ({Colour.RED: 1}, '{"red":1}'),
    ],
)
def test_json_is_compact_utf8(value: Any, text: str) -> None:
    """And takes what models are made of."""
    assert encode_json(value).decode() == text


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append({"again": circle})
    return circle


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _order_in_itself() -> Order:
    order = Order([])
    order.items.append(order)
    return order


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "json is nan"),
        ({"items": [1, 2, {"price": b"s3cret"}]}, "json.items[2].price is of type bytes"),
        ({"a b": [{1}]}, "json['a b'][0] is of type set"),
        (Order([Line(object())]), "json.items[0][0] is of type object"),
        ({"x": Decimal("NaN")}, "json.x is of type Decimal"),
        ({"x": float("inf")}, "json.x is inf"),
        ({float("nan"): 1}, "a key of json is nan"),
        ({"x": {(1, 2): 1}}, "json.x has a key of type tuple"),
        ({"x": ["\ud800"]}, "json.x[0] holds a lone surrogate"),
        ({"\ud800": 1}, "a key of json holds a lone surrogate"),
        ({"n": 10**5000}, "json.n is too large"),
        (_circle(), "json[0].again contains itself"),
        (_order_in_itself(), "json.items[0] contains itself"),
        (_deep(100_000), "nested too deeply"),
        (Order, "is of type type"),
        (dt.timedelta(1), "is of type timedelta"),
    ],
)
def test_what_has_no_json_form_is_refused_with_the_path_to_it(value: Any, says: str) -> None:
    """And without its value, which may be a secret."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)) as caught:
        encode_json(value)
    assert "s3cret" not in str(caught.value)


def test_pydantic_models_are_encoded_by_alias_at_any_depth() -> None:
    """Models, and dataclasses of pydantic's, as the receiver names the fields."""
    pydantic = pytest.importorskip("pydantic")

    class Item(pydantic.BaseModel):  # type: ignore[name-defined, misc]  # made in the test: it is optional
        unit_price: Decimal = pydantic.Field(alias="unitPrice")
        at: dt.datetime

    item = Item(unitPrice="1.50", at=dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc))
    text = '{"unitPrice":"1.50","at":"2024-01-02T00:00:00Z"}'
    assert encode_json(item).decode() == text
    assert encode_json({"items": [item]}).decode() == f'{{"items":[{text}]}}'
    with pytest.raises(InvalidRequestError, match=r"json\[0\]"):
        encode_json([pydantic.create_model("M", x=(Any, ...))(x=object())])


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=2)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@given(_JSON)
def test_json_comes_back_as_it_went(value: Any) -> None:
    """What is encoded is decoded to the same; what cannot be is refused, by one error."""
    try:
        content = encode_json(value)
    except InvalidRequestError as error:
        assert str(error).startswith(("json", "a key of json"))  # noqa: PT017  # a value may be refused or not
        return
    assert json.loads(content) == value


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_a_form_comes_back_as_it_went(pairs: list[tuple[str, str]]) -> None:
    """As any server reads it."""
    try:
        body = encode_body(data=pairs)
    except InvalidRequestError:
        return
    assert body.content is not None
    assert (
        parse_qsl(body.content.decode("ascii"), keep_blank_values=True, strict_parsing=bool(pairs)) == pairs
    )


@pytest.mark.parametrize(
    "coding",
    [
        "gzip",
        pytest.param("zstd", marks=pytest.mark.skipif(not may_compress("zstd"), reason="needs zstandard")),
    ],
)
def test_compression_is_deterministic_and_reversible(coding: str) -> None:
    """The same body gives the same bytes, so that a retry and a signature match."""
    body = RequestBody(b"abc" * 1000, "text/x")
    packed = compress(body, coding)
    assert packed is not None
    assert packed.content is not None
    assert Decoder(coding, None).feed(packed.content) == body.content
    assert (packed.length, packed.content_type) == (len(packed.content), "text/x")
    again = compress(body, coding)
    assert again is not None
    assert again.content == packed.content


def test_gzip_tells_no_time() -> None:
    """Its header has a field for it (RFC 1952 2.3.1)."""
    packed = compress(RequestBody(b"abc" * 1000), "gzip")
    assert packed is not None
    assert (packed.content or b"")[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize(
    "body",
    [RequestBody(b"ab"), RequestBody(os.urandom(1000)), EMPTY, encode_body(data=io.BytesIO(b"abc" * 1000))],
)
def test_a_body_that_would_not_gain_is_left_alone(body: RequestBody) -> None:
    """Short, dense, empty or streamed bodies go as they are."""
    assert compress(body, "gzip") is None


def test_a_repr_tells_the_state_and_no_content() -> None:
    """A body may hold anything."""
    assert repr(RequestBody(b"secret")) == "<RequestBody 6 bytes, replayable>"
    assert repr(encode_body(data=letters())) == "<RequestBody unknown length, one-shot>"
