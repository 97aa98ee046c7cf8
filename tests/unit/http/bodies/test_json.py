"""JSON bodies: compact, UTF-8, and refused with the path to a value that has no JSON form."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import re
import sys
import uuid
from collections import UserDict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.json import encode_json, in_utf8, new_encode
from kit.rows import each_row


class Line(NamedTuple):
    price: Any


@dataclasses.dataclass
class Order:
    items: list[Any]
    colour: Any = None


class Reading(float):
    """A number that prints with its unit, as some libraries' numbers do."""

    def __str__(self) -> str:
        return f"{float(self):g} °C"

    __repr__ = __str__


class Count(int):
    """The same of an int."""

    def __str__(self) -> str:
        return f"{int(self)} pieces"

    __repr__ = __str__


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    DAY = dt.date(2024, 1, 2)


@each_row(
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
        ([Reading(1.5), Count(3)], "[1.5,3]"),
        ({Reading(1.5): Count(3)}, '{"1.5":3}'),
    ],
)
def test_json_is_compact_utf8(value: Any, text: str) -> None:
    """It takes what models are made of."""
    assert encode_json(value).decode() == text


def _other_signature(*arguments: object) -> object:
    raise TypeError("takes other arguments")


def _in_pieces(*arguments: object) -> Callable[[object, int], Iterator[str]]:
    """As the encoder of older Pythons gives a text."""
    encode = new_encode(None)
    return lambda value, level: iter(encode(value))


@pytest.mark.parametrize("c_encoder", [None, _other_signature, lambda *_: lambda *_: ("{}",), _in_pieces])
def test_json_needs_no_undocumented_encoder(c_encoder: Any) -> None:
    """Where json has none in C, or one that differs, the text is the same."""
    encode = new_encode(c_encoder)
    value = {"a": [1, 1.5, None, True], "é": Order([], Colour.RED)}
    assert encode(value).encode() == encode_json(value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(float("nan"))


def test_the_undocumented_encoder_is_as_expected() -> None:
    """A Python in which it differs is noticed here, and not by its speed."""
    c_encoder = getattr(json.encoder, "c_make_encoder", None)
    if c_encoder is None:
        pytest.skip("this Python has none")
    encode = new_encode(c_encoder)
    assert encode.__name__ == "<lambda>"
    assert encode({"b": 1, "a": 2}) == '{"b":1,"a":2}'
    assert json.loads(encode([1] * 200_000)) == [1] * 200_000
    for wrong in (float("nan"), {(1, 2): 3}):
        with pytest.raises((TypeError, ValueError)):
            encode(wrong)


def test_the_documented_encoder_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the undocumented one has no function to quote with."""
    monkeypatch.delattr(json.encoder, "encode_basestring")
    assert new_encode(lambda *_: None).__name__ == "encode"


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append({"again": circle})
    return circle


def _deep(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def _order_in_itself() -> Order:
    order = Order([])
    order.items.append(order)
    return order


@each_row(
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
        ({"n": 10**4300}, "json.n is too large"),
        ([None, 1.5, True, 2**14_283, "x", b"x"], "json[5] is of type bytes"),
        ({"k" * 100: b""}, f"json.{'k' * 80} is of type bytes"),
        (_deep(400, b""), f"json{'[0]' * 400} is of type bytes"),
        (_deep(401, b""), "json is nested too deeply"),
        (_circle(), "json[0].again contains itself"),
        (_order_in_itself(), "json.items[0] contains itself"),
        (_deep(100_000), "nested too deeply"),
        (Order, "is of type type"),
        (dt.timedelta(1), "is of type timedelta"),
    ],
)
def test_a_value_without_a_json_form_is_refused_with_the_path_to_it(value: Any, says: str) -> None:
    """The value may be a secret and is not shown."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)) as caught:
        encode_json(value)
    assert "s3cret" not in str(caught.value)


def _fails(*errors: Exception) -> Any:
    left = list(errors)

    class Day(dt.date):
        def isoformat(self) -> str:
            if left:
                raise left.pop()
            return "2024-01-02"

    return Day(2024, 1, 2)


def test_a_failure_whose_cause_is_not_found_is_refused_too() -> None:
    """A value that fails only once."""
    with pytest.raises(InvalidRequestError, match=r"json cannot be encoded \(TypeError\); convert it first"):
        encode_json({"day": _fails(TypeError("s3cret"))})


def test_a_value_may_say_itself_why_it_cannot_be_sent() -> None:
    """In the error of this package, which stays as it is."""
    with pytest.raises(InvalidRequestError, match=r"^a day without a year$"):
        encode_json({"day": _fails(InvalidRequestError("a day without a year"))})


def _with_frames_left(left: int, function: Any) -> Any:
    """Call the function where only so many calls may be nested in it."""
    frame: Any = sys._getframe()
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1

    def nested(levels: int) -> Any:
        return function() if levels == 0 else nested(levels - 1)

    return nested(sys.getrecursionlimit() - depth - left)


def test_the_search_for_the_cause_ends_with_the_stack() -> None:
    """A call from deep in a program has less of it."""
    value = _deep(390, b"")
    with pytest.raises(InvalidRequestError, match=r"^json is nested too deeply"):
        _with_frames_left(200, lambda: encode_json(value))


@each_row(
    ("content", "content_type", "text"),
    [
        (b'{"a":1}', None, None),
        ('"é"'.encode(), "application/json; charset=latin-1", None),
        ('"é"'.encode("utf-16"), None, '"é"'),
        ('"é"'.encode("utf-32-be"), None, '"é"'),
        ('"é"'.encode("utf-8-sig"), None, '"é"'),
        ('"é"'.encode("latin-1"), "application/json; charset=latin-1", '"é"'),
        ('"é"'.encode("latin-1"), "application/json; charset=us-ascii", None),
        ('"é"'.encode("latin-1"), "application/json; charset=XX", None),
        ('"é"'.encode("latin-1"), "application/json", None),
        ('"é"'.encode("latin-1"), None, None),
    ],
)
def test_json_in_another_encoding_becomes_utf_8(
    content: bytes, content_type: str | None, text: str | None
) -> None:
    """What its first bytes say, then what its Content-Type says; None where it is UTF-8, or neither fits."""
    assert in_utf8(content, content_type) == (None if text is None else text.encode())


def test_pydantic_models_are_encoded_by_alias_at_any_depth() -> None:
    """The receiver names the fields."""
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
def test_json_is_decoded_to_what_was_encoded(value: Any) -> None:
    """A value that cannot be encoded raises one error type."""
    try:
        content = encode_json(value)
    except InvalidRequestError as error:
        assert str(error).startswith(("json", "a key of json"))  # noqa: PT017  # a value may be refused or not
        return
    assert json.loads(content) == value
