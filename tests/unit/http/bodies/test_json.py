"""JSON bodies: compact, UTF-8, and refused with the path to a value that has no JSON form."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import re
import uuid
from collections import UserDict, deque
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.json import encode_json, new_encode


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
        ([Reading(1.5), Count(3)], "[1.5,3]"),
        ({Reading(1.5): Count(3)}, '{"1.5":3}'),
    ],
)
def test_json_is_compact_utf8(value: Any, text: str) -> None:
    """It takes what models are made of."""
    assert encode_json(value).decode() == text


def _other_signature(*arguments: object) -> object:
    raise TypeError("takes other arguments")


@pytest.mark.parametrize("c_encoder", [None, _other_signature, lambda *_: lambda *_: ("{}",)])
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
    assert new_encode(c_encoder).__name__ == "<lambda>"


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
def test_a_value_without_a_json_form_is_refused_with_the_path_to_it(value: Any, says: str) -> None:
    """The value may be a secret and is not shown."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)) as caught:
        encode_json(value)
    assert "s3cret" not in str(caught.value)


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
