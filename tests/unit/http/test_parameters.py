"""Query and form values: each Python value has one text."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.encoding import encode_body
from http_service_client.http.parameters import field_pairs, form_text, query_text, scalar_bytes
from kit.fakes import short
from kit.rows import each_row


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


class Ratio(float, enum.Enum):
    HALF = 0.5


class NoName(enum.Enum):
    NONE = None


@pytest.mark.parametrize(
    ("value", "text"), [(Reading(1.5), "1.5"), (Count(3), "3"), (Ratio.HALF, "0.5"), (True, "true")]
)
def test_a_number_of_a_subclass_goes_out_as_a_number(value: Any, text: str) -> None:
    """Whatever text the subclass has for people, in a query and in each kind of form."""
    assert field_pairs({"v": value}, "params") == [(b"v", text.encode())]
    assert encode_body(data={"v": value}).content == b"v=" + text.encode()
    form = encode_body(data={"v": value}, files={"f": b""}).content
    assert b'name="v"\r\n\r\n' + text.encode() + b"\r\n" in (form or b"")


@pytest.mark.parametrize("key", [None, NoName.NONE])
@pytest.mark.parametrize("where", ["params", "data"])
def test_a_key_is_never_dropped(key: Any, where: str) -> None:
    """As a value that is None is: the pair would go out without its name."""
    with pytest.raises(InvalidRequestError, match=f"^a key of {where} is None; a key must be text$"):
        field_pairs([(key, "x")], where)


@each_row(
    ("value", "texts"),
    [
        (None, []),
        ("", [b""]),
        ("ab", [b"ab"]),
        (b"ab", [b"ab"]),
        (bytearray(b"ab"), [b"ab"]),
        (memoryview(b"ab"), [b"ab"]),
        (["a", "b"], [b"a", b"b"]),
        (("a", None, 3), [b"a", b"3"]),
        ([], []),
        (range(2), [b"0", b"1"]),
        (NoName.NONE, []),
    ],
    ids=short,
)
def test_each_value_of_several_is_a_pair(value: Any, texts: list[bytes]) -> None:
    """Text and bytes are one value; None is none."""
    assert field_pairs({"v": value}, "params") == [(b"v", text) for text in texts]
    assert field_pairs([(b"v", value)], "params") == [(b"v", text) for text in texts]


def test_a_space_is_percent_encoded_in_a_query_and_a_plus_in_a_form() -> None:
    """RFC 3986 and WHATWG URL 5.2; a plus itself is escaped in both."""
    pairs = [(b"a b", b"c+d~")]
    assert query_text(pairs) == "a%20b=c%2Bd~"
    assert form_text(pairs) == "a+b=c%2Bd~"


@pytest.mark.parametrize(
    ("value", "fault", "remedy"),
    [
        (float("nan"), "is nan, which is not a number to send", "; use None to drop it"),
        (Decimal("-Infinity"), "is -Infinity, which is not a number to send", "; use None to drop it"),
        ("\udc80", "holds a lone surrogate, which UTF-8 cannot express; pass bytes instead", ""),
    ],
    ids=["nan", "infinite", "surrogate"],
)
def test_a_value_without_a_text_is_refused(value: Any, fault: str, remedy: str) -> None:
    """By the name of its field. None is no remedy where a value is needed."""
    for is_needed, message in ((False, f"x {fault}{remedy}"), (True, f"x {fault}")):
        with pytest.raises(InvalidRequestError) as caught:
            scalar_bytes(value, "x", is_needed=is_needed)
        assert str(caught.value) == message


def test_a_value_with_more_than_one_obvious_text_is_refused() -> None:
    """The message names what can be passed; a part of a path is a single value, and needed."""
    kinds = {False: "UUID, Enum, None or a list of these", True: "UUID or Enum"}
    for is_needed, last in kinds.items():
        with pytest.raises(InvalidRequestError) as caught:
            scalar_bytes({"a": 1}, "x", is_needed=is_needed)
        assert str(caught.value) == (
            f"x must be text, bytes, a number, bool, date, {last}, not dict; convert it first, for example by str()"
        )
