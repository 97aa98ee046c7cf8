"""`json_codec`: another library encodes and decodes, and the results are those of the standard one."""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import (
    ConfigurationError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    InvalidRequestError,
    ResponseValidationError,
)
from http_service_client.http.bodies.json import decode_json, encode_json
from http_service_client.http.bodies.json_codecs import JsonCodec, new_codec
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row


@pytest.fixture(params=["orjson", "msgspec"])
def codec(request: pytest.FixtureRequest) -> JsonCodec:
    return _codec(request.param)


def _codec(name: str) -> JsonCodec:
    pytest.importorskip(name, reason="an extra that is not installed here")
    made = new_codec(name)
    assert made is not None
    return made


@pytest.mark.parametrize("name", ["orjson", "msgspec"])
@pytest.mark.parametrize(
    ("encoding", "charset"), [("latin-1", "; charset=latin-1"), ("utf-16", ""), ("utf-8-sig", "")]
)
def test_json_in_another_encoding_is_read(
    front_end: FrontEnd, name: str, encoding: str, charset: str
) -> None:
    """These libraries know plain UTF-8 alone, and what `json()` accepts does not depend on them."""
    _codec(name)
    body = HttpResponse(
        200, headers={"Content-Type": f"application/json{charset}"}, content='{"name": "é"}'.encode(encoding)
    )
    assert Harness(front_end, body, json_codec=name).request().json() == {"name": "é"}


class Size(Enum):
    SMALL = "s"


class Level(IntEnum):
    LOW = 1


@dataclass
class Order:
    id: int
    _note: str = "n"


class Doubled(dict[str, int]):
    """A dict whose items are not what is stored."""

    def items(self) -> Any:
        return [(name, 2 * value) for name, value in super().items()]


Point = namedtuple("Point", "x y")
VALUES = [
    *(
        None,
        True,
        0,
        -1,
        2**63,
        2**64,
        10**40,
        0.5,
        -0.0,
        1e15,
        "",
        "Zoë\u2028\x7f\x00",
        [],
        {},
        [None, {"a": None}],
    ),
    *({1: "a"}, {None: 1}, {True: 1}, {1.5: 1}, (1, 2), Point(1, 2), OrderedDict(b=1, a=2)),
    *(Size.SMALL, Level.LOW, Order(1), UUID(int=5), Decimal("1.10"), date(2026, 1, 2)),
    *(
        datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc),
        datetime(2026, 1, 2),
        datetime(1883, 1, 1, tzinfo=timezone(timedelta(seconds=3208))),
        Doubled(a=1),
        [Order(2), {"at": date(2026, 1, 1)}],
    ),
]


@dataclass(eq=False)
class Equal:
    """It claims to be equal to whatever is read again."""

    amount: Any

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # as it is for any class that defines __eq__


REFUSED: list[Any] = [
    *(math.nan, [math.inf], {"a": {"b": -math.inf}}, "\ud800", {"\ud800": 1}, b"x", {1, 2}, timedelta(1), 1j),
    *({(1, 2): 3}, [object()], Decimal("NaN"), [None, math.nan], [Equal(math.nan)]),
]
TEXTS = [
    *(b"1", b" [1, 2.5]\n", b"12345678901234567890", b"-9223372036854775809", b"[18446744073709551616]"),
    *(b"NaN", b"[Infinity]", b"1e400", b"0.1000000000000000055511151231257827", b"-0", b"-0.0", b"1E-400"),
    *(b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b'"\\ud800"', b'"\\ud83d\\ude00"', '"Zoë"'.encode("utf-16")),
    *(b'"' + b"x" * 40 + b'"', b"1" * 400),
]
WRONG = [b"", b"[1,]", b"{", b"1 2", b"nul", b'"\x01"', b'"\xff"', b"01", b"[" * 200_000, b"<html>", b"\x00"]


@each_row("value", VALUES, ids=lambda value: ascii(value)[:40])
def test_the_same_bytes_are_sent(codec: JsonCodec, value: Any) -> None:
    """Whatever a value consists of."""
    assert codec.encode(value) == encode_json(value)


@each_row("value", REFUSED, ids=lambda value: type(value).__name__)
def test_the_same_values_are_refused(codec: JsonCodec, value: Any) -> None:
    """With the path to the field: neither NaN becomes null, nor bytes text."""
    with pytest.raises(InvalidRequestError) as expected:
        encode_json(value)
    with pytest.raises(InvalidRequestError) as raised:
        codec.encode(value)
    assert str(raised.value) == str(expected.value)


def test_orjson_encodes_none_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many bodies have a null; that it was not NaN needs no second encoder."""
    codec = _codec("orjson")
    monkeypatch.setattr("http_service_client.http.bodies.json_codecs.encode_json", None)
    value = {"note": None, "null": ["null", 1.5, 2**63, None, True], "é": ""}
    assert codec.encode(value) == encode_json(value)
    assert codec.encode({"at": date(2026, 1, 2)}) == b'{"at":"2026-01-02"}'


@pytest.mark.parametrize("error", [TypeError, ValueError, RecursionError])
def test_whatever_orjson_refuses_is_left_to_the_standard_library(error: type[Exception]) -> None:
    """By any of the errors that its versions raise."""
    codec: Any = _codec("orjson")

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise error

    codec._dumps = codec._loads = refuse
    assert codec.encode({"a": 1}) == b'{"a":1}'
    if error is not TypeError:
        assert codec.decode(b'{"a": 1}') == {"a": 1}


@each_row("text", TEXTS, ids=lambda text: ascii(text)[:30])
def test_the_same_value_is_read(codec: JsonCodec, text: bytes) -> None:
    """An amount keeps all of its digits."""
    found, expected = codec.decode(text), decode_json(text)
    assert (repr(found), type(found)) == (repr(expected), type(expected))


@each_row("text", WRONG, ids=lambda text: ascii(text)[:12])
def test_the_same_text_is_refused(codec: JsonCodec, text: bytes) -> None:
    """In the same words."""
    with pytest.raises((ValueError, RecursionError)) as expected:
        decode_json(text)
    with pytest.raises((ValueError, RecursionError)) as raised:
        codec.decode(text)
    assert str(raised.value) == str(expected.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_sent_is_read_again(value: Any) -> None:
    """By each of them, and by the standard library."""
    for name in ("orjson", "msgspec"):
        codec = _codec(name)
        assert codec.decode(encode_json(value)) == decode_json(codec.encode(value)) == value


@pytest.mark.parametrize("name", ["orjson", "msgspec"])
def test_a_client_uses_it(front_end: FrontEnd, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each body of a call, also one that an interceptor replaces, and for each response."""
    codec = type(_codec(name))
    used: list[str] = []
    for method in ("encode", "decode"):
        real = getattr(codec, method)
        monkeypatch.setattr(codec, method, lambda *args, m=method, real=real: used.append(m) or real(*args))

    class Replaces:
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.json = {"n": 2}
            return request

    answer = HttpResponse(200, content=b'{"a": 1}')
    harness = Harness(front_end, answer, json_codec=name, request_interceptors=[Replaces()])
    response = harness.request("POST", json={"n": 1})
    assert (response.json(), harness.transport.sent[0].content) == ({"a": 1}, b'{"n":2}')
    assert used == ["encode", "encode", "decode"]


def test_a_strict_reader_refuses_what_is_not_json(front_end: FrontEnd) -> None:
    """Whatever the codec takes."""

    class Takes:
        def encode(self, value: Any) -> bytes:
            return b"{}"

        def decode(self, content: bytes) -> Any:
            return "anything"

    response = Harness(front_end, HttpResponse(200, content=b"NaN"), json_codec=Takes()).request()
    assert response.json() == "anything"
    with pytest.raises(ResponseValidationError, match="NaN"):
        response.json(strict=True)


class Exact:
    """Amounts as Decimal, and a mark on what it has encoded."""

    def encode(self, value: Any) -> bytes:
        return b" " + encode_json(value)

    def decode(self, content: bytes) -> Any:
        return json.loads(content, parse_float=Decimal)


def amount() -> HttpResponse:
    return HttpResponse(200, content=b'{"amount": 1.10}')


def test_the_response_to_a_kept_request_is_decoded_by_the_sending_client(front_end: FrontEnd) -> None:
    """Whichever client made the request, and also when it was pickled; its bytes stay as they were."""
    exact = Harness(front_end, amount(), amount(), amount(), json_codec=Exact())
    plain = Harness(front_end, amount(), amount())
    request = HttpRequest("POST", "https://api.example.com/", json={"n": 1})
    assert front_end.send(exact.client, request).json() == {"amount": Decimal("1.10")}
    kept = exact.request("POST", json={"n": 1}).request
    unpickled = pickle.loads(pickle.dumps(kept))
    assert front_end.send(exact.client, unpickled).json() == {"amount": Decimal("1.10")}
    assert front_end.send(plain.client, unpickled).json() == {"amount": 1.1}
    assert kept is not None
    assert kept.json == {"n": 1}  # from now on its body has to be encoded again
    front_end.send(plain.client, kept)
    assert [it.content for it in exact.transport.sent] == [b'{"n":1}', b' {"n":1}', b' {"n":1}']
    assert [it.content for it in plain.transport.sent] == [b' {"n":1}', b' {"n":1}']


def test_the_response_to_an_interceptors_own_request_is_decoded_by_it(front_end: FrontEnd) -> None:
    """An interceptor may return another request than it got."""

    class Another:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            return HttpRequest("GET", request.url)

    harness = Harness(front_end, amount(), json_codec=Exact(), request_interceptors=[Another()])
    assert harness.request().json() == {"amount": Decimal("1.10")}


class Odd:
    """A codec that fails, or returns text."""

    def __init__(self, encoded: object = b"{}") -> None:
        self.encoded = encoded

    def encode(self, value: Any) -> Any:
        if isinstance(self.encoded, Exception):
            raise self.encoded
        return self.encoded

    def decode(self, content: bytes) -> Any:
        raise KeyError("secret")


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        (KeyError("secret"), "json cannot be encoded: Odd.encode raised KeyError"),
        ("{}", "Odd.encode must return bytes, not str"),
    ],
)
def test_errors_of_ones_own_codec_when_it_encodes(front_end: FrontEnd, encoded: object, words: str) -> None:
    """Nothing is sent, and no value is shown."""
    error = Harness(front_end, 200, json_codec=Odd(encoded)).error(InvalidRequestError, "POST", json={})
    assert str(error) == words


def test_errors_of_ones_own_codec_when_it_decodes(front_end: FrontEnd) -> None:
    """It is not valid data, whatever the codec raises."""
    response = Harness(front_end, HttpResponse(200, content=b"{}"), json_codec=Odd()).request("POST", json={})
    with pytest.raises(ResponseValidationError, match=r"is not JSON: Odd\.decode raised KeyError"):
        response.json()


@pytest.mark.parametrize("name", ["orjson", "msgspec"])
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration is made."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ConfigurationError, match=rf"json_codec='{name}' needs {name}: pip install '.*\[{name}\]'"
    ):
        HttpClientConfig(json_codec=name)


def test_a_class_in_place_of_a_codec_is_refused() -> None:
    """It has the methods, but no object to call them on."""
    with pytest.raises(ConfigurationError, match=r"not Exact$"):
        HttpClientConfig(json_codec=Exact)  # type: ignore[arg-type]  # what is refused


def test_a_codec_of_async_methods_is_refused() -> None:
    """Nobody would await them."""

    class Asynchronous:
        async def encode(self, value: Any) -> bytes:
            return b""

        def decode(self, content: bytes) -> Any: ...

    with pytest.raises(ConfigurationError, match="plain, not async"):
        HttpClientConfig(json_codec=Asynchronous())


def test_without_a_body_nothing_is_encoded(front_end: FrontEnd) -> None:
    """`json=None` means no body, as without a codec."""
    harness = Harness(front_end, 200, json_codec=Odd(KeyError("not called")))
    harness.request("POST")
    harness.request("POST", data={"a": "1"})
    assert [request.content for request in harness.transport.sent] == [b"", b"a=1"]
