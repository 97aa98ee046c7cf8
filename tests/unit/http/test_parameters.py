"""Query and form values: each Python value has one text."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from http_service_client.http.bodies.encoding import encode_body
from http_service_client.http.parameters import field_pairs, form_text, query_text


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


@pytest.mark.parametrize(
    ("value", "text"), [(Reading(1.5), "1.5"), (Count(3), "3"), (Ratio.HALF, "0.5"), (True, "true")]
)
def test_a_number_of_a_subclass_goes_out_as_a_number(value: Any, text: str) -> None:
    """Whatever text the subclass has for people, in a query and in each kind of form."""
    assert field_pairs({"v": value}, "params") == [(b"v", text.encode())]
    assert encode_body(data={"v": value}).content == b"v=" + text.encode()
    form = encode_body(data={"v": value}, files={"f": b""}).content
    assert b'name="v"\r\n\r\n' + text.encode() + b"\r\n" in (form or b"")


def test_a_space_is_percent_encoded_in_a_query_and_a_plus_in_a_form() -> None:
    """RFC 3986 and WHATWG URL 5.2; a plus itself is escaped in both."""
    pairs = [(b"a b", b"c+d~")]
    assert query_text(pairs) == "a%20b=c%2Bd~"
    assert form_text(pairs) == "a+b=c%2Bd~"
