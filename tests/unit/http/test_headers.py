"""Headers: names without case, repeated values in order, and nothing that could inject a second header."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.headers import (
    SENSITIVE_HEADERS,
    Headers,
    build_headers,
    redact_headers,
)


def test_names_are_compared_without_case_and_shown_as_first_spelled() -> None:
    """RFC 9110 5.1."""
    headers = Headers({"Content-Type": "a"})
    headers["content-type"] = "b"
    assert headers["CONTENT-TYPE"] == "b"
    assert "conTent-type" in headers
    assert list(headers) == ["Content-Type"]
    del headers["content-TYPE"]
    assert len(headers) == 0
    assert headers.get("content-type") is None


def test_repeated_values_join_in_order() -> None:
    """RFC 9110 5.2 and 5.3; `get_all` keeps them apart."""
    headers = Headers([("Via", "a"), ("X", "1"), ("via", "b")])
    assert headers["via"] == "a, b"
    assert headers.get_all("VIA") == ["a", "b"]
    assert headers.get_all("none") == []
    assert headers.multi_items() == [("Via", "a"), ("Via", "b"), ("X", "1")]
    headers.add("x", "2")
    assert headers["x"] == "1, 2"
    headers["VIA"] = "c"
    assert headers.multi_items() == [("Via", "c"), ("X", "1"), ("X", "2")]


def test_copies_are_independent() -> None:
    """A change to one is not seen in the other."""
    headers = Headers([("a", "1"), ("a", "2")])
    twins = [headers.copy(), Headers(headers), copy.copy(headers), copy.deepcopy(headers)]
    twins.append(pickle.loads(pickle.dumps(headers)))
    for twin in twins:
        assert twin == headers
        assert twin.get_all("a") == ["1", "2"]
        twin.add("a", "3")
        twin["b"] = "x"
    assert headers.multi_items() == [("a", "1"), ("a", "2")]


@pytest.mark.parametrize(
    ("other", "is_equal"),
    [
        (Headers({"a": "1", "B": "2"}), True),
        ({"A": "1", "b": "2"}, True),
        ({"b": "2", "a": "1"}, True),
        ({"a": "1"}, False),
        ({"a": "1", "b": "3"}, False),
        ({1: 2}, False),
        ([("a", "1")], False),
        (None, False),
    ],
)
def test_headers_equal_what_says_the_same(other: Any, is_equal: bool) -> None:
    """Case of names and order of different names do not count."""
    assert (Headers({"A": "1", "b": "2"}) == other) is is_equal


def test_a_repr_shows_no_secret() -> None:
    """Values of sensitive headers are replaced."""
    text = repr(Headers({"authorization": "Bearer abc", "X-Api-Key": "k3y", "Accept": "*/*"}))
    assert text == "Headers({'authorization': '***', 'X-Api-Key': '***', 'Accept': '*/*'})"


def test_odd_lookups_are_only_absent() -> None:
    """A key of another type is in no Headers."""
    keys: list[object] = [3, None, b"3"]
    assert not any(key in Headers({"3": "x"}) for key in keys)
    with pytest.raises(KeyError):
        Headers()["x"]


class Kind(enum.Enum):
    A = "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (" \tx y\t ", "x y"),
        ("é€".encode(), "é€"),
        (3, "3"),
        (1.5, "1.5"),
        (True, "true"),
        (Kind.A, "a"),
        ("", ""),
    ],
)
def test_values_have_one_text(value: Any, text: str) -> None:
    """Text, bytes as UTF-8, numbers; white space around it is not part of a value (RFC 9110 5.5)."""
    assert build_headers({"X": value})["x"] == text
    pairs: list[Any] = [(b"X", value)]
    assert build_headers(pairs)["x"] == text


def test_none_leaves_a_header_out() -> None:
    """As in requests."""
    assert build_headers({"X": None, "Y": "1"}) == {"Y": "1"}
    assert build_headers(None) == {}


def test_pairs_of_one_name_are_all_kept() -> None:
    """Also those of a mapping whose keys differ in case."""
    assert build_headers([("a", "1"), ("A", "2")]).get_all("a") == ["1", "2"]
    assert build_headers({"a": "1", "A": "2"}).get_all("a") == ["1", "2"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X": object()},
        {"X": b"\xe9"},
        {"X": ["a"]},
        {"X": float("nan")},
        {"X": {}},
        {3: "x"},
        {None: "x"},
        {"é".encode(): "x"},
        ["ab"],
        [("a", "b", "c")],
        "a: b",
        b"a",
        5,
    ],
)
def test_what_is_no_header_is_refused(headers: Any) -> None:
    """Another type is refused, never turned into text by chance."""
    with pytest.raises(InvalidRequestError, match="header"):
        build_headers(headers)


def test_redaction_knows_its_names_in_lower_case() -> None:
    """And takes pairs, mappings and a set of one's own."""
    assert all(name == name.lower() for name in SENSITIVE_HEADERS)
    assert redact_headers([("Cookie", "a"), ("X", "b")]) == {"Cookie": "***", "X": "b"}
    assert redact_headers({"X": "b"}, frozenset({"x"})) == {"X": "***"}


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b", "B", "c"]), st.sampled_from("12345"))))
def test_headers_keep_every_value_in_order(pairs: list[tuple[str, str]]) -> None:
    """Against a plain list as the model."""
    headers = Headers(pairs)
    for name in "abc":
        values = [value for key, value in pairs if key.lower() == name]
        assert headers.get_all(name) == values
        assert headers.get(name) == (", ".join(values) if values else None)
    assert sorted(value for _, value in headers.multi_items()) == sorted(value for _, value in pairs)
