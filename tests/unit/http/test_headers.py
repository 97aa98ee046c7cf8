"""Headers: names without case, repeated values in order, one text for each value, no secret in a repr."""

from __future__ import annotations

import copy
import enum
import pickle
import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.headers import (
    Headers,
    build_headers,
    ends_connection,
    redact_headers,
)
from http_service_client.http.secret_names import SecretNames
from kit.rows import each_row


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
    """RFC 9110 5.2 and 5.3; `get_all` keeps the values apart."""
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
    """A change to a copy does not change the original."""
    headers = Headers([("a", "1"), ("a", "2")])
    twins = [headers.copy(), Headers(headers), copy.copy(headers), copy.deepcopy(headers)]
    twins.append(pickle.loads(pickle.dumps(headers)))
    for twin in twins:
        assert twin == headers
        assert twin.get_all("a") == ["1", "2"]
        twin.add("a", "3")
        twin["b"] = "x"
    assert headers.multi_items() == [("a", "1"), ("a", "2")]


@each_row(
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
def test_headers_are_equal_by_name_and_value(other: Any, is_equal: bool) -> None:
    """The case of names and the order of different names do not count."""
    assert (Headers({"A": "1", "b": "2"}) == other) is is_equal


def test_the_values_of_a_name_are_equal_to_their_list() -> None:
    """One field or several: the meaning is the same (RFC 9110 5.3)."""
    assert Headers([("A", "1"), ("a", "2")]) == {"a": "1, 2"}
    assert Headers([("A", "1"), ("a", "2")]) != {"a": "2, 1"}


def test_a_repr_shows_no_secret() -> None:
    """The values of sensitive headers become ***."""
    text = repr(Headers({"authorization": "Bearer abc", "X-Api-Key": "k3y", "Accept": "*/*"}))
    assert text == "Headers({'authorization': '***', 'X-Api-Key': '***', 'Accept': '*/*'})"


def test_a_key_of_another_type_is_absent() -> None:
    """`in` is false and raises nothing; a missing name is a KeyError."""
    keys: list[object] = [3, None, b"3"]
    assert not any(key in Headers({"3": "x"}) for key in keys)
    with pytest.raises(KeyError):
        Headers()["x"]


class Kind(enum.Enum):
    A = "a"


@each_row(
    ("value", "text"),
    [
        ("x", "x"),
        (" \tx y\t ", "x y"),
        ("é€".encode(), "é€"),
        (3, "3"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (Kind.A, "a"),
        ("", ""),
    ],
)
def test_values_have_one_text(value: Any, text: str) -> None:
    """Text, bytes as UTF-8, numbers; white space around a value is not part of it (RFC 9110 5.5)."""
    assert build_headers({"X": value})["x"] == text
    pairs: list[Any] = [(b"X", value)]
    assert build_headers(pairs)["x"] == text


def _item_set(name: Any, value: Any) -> Headers:
    headers = Headers({"Other": "x"})
    headers[name] = value
    return headers


@each_row("make", [lambda name, value: Headers([(name, value)]), _item_set])
@each_row(("value", "text"), [("x", "x"), (b"x", "x"), (3, "3"), (True, "true"), (Kind.A, "a")])
def test_names_and_values_become_text_at_once(
    make: Callable[[Any, Any], Headers], value: Any, text: str
) -> None:
    """However they are set, so that no reader finds anything else."""
    assert make(b"X", value).multi_items()[-1:] == [("X", text)]


def test_a_kind_of_number_is_written_as_a_number() -> None:
    """The repr of numpy's is `np.float64(1.5)`; of a float, it has all digits."""

    class Ratio(float):
        def __repr__(self) -> str:
            return f"Ratio({float(self)})"

        def __str__(self) -> str:
            return str(float(self))

    assert build_headers([("A", Ratio(1.5)), ("B", 0.1 + 0.2)]) == {"A": "1.5", "B": "0.30000000000000004"}


@pytest.mark.parametrize("make", [Headers, build_headers])
def test_a_pair_is_a_tuple_or_list_of_two(make: Callable[[Any], Headers]) -> None:
    """A text of two letters is none."""
    assert make([["A", "1"], ("B", "2")]).multi_items() == [("A", "1"), ("B", "2")]
    for pair in (["A"], ("A",), ("A", "1", "2"), ["A", "1", "2"], "ab", 5):
        with pytest.raises(
            InvalidRequestError, match=rf"^headers must be \(name, value\) pairs, not {type(pair).__name__}$"
        ):
            make([pair])


def test_bytes_that_are_no_text_are_an_error_that_says_so() -> None:
    """Another message would send the user to look for a wrong type."""
    with pytest.raises(InvalidRequestError, match=r"^header 'X' has bytes in its value that are not UTF-8; "):
        build_headers({"X": b"\xe9"})


@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({}, False),
        ({"Connection": "keep-alive"}, False),
        ({"Connection": "x, Close"}, True),
        ({"Other": "close"}, False),
    ],
)
def test_a_request_says_that_it_is_the_last_one(headers: dict[str, str], ends: bool) -> None:
    """RFC 9112 9.6."""
    assert ends_connection(Headers(headers)) is ends


def test_none_leaves_a_header_out() -> None:
    """requests does so too."""
    assert build_headers({"X": None, "Y": "1"}) == {"Y": "1"}
    assert build_headers(None) == {}


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ("X: a", "not str; write {'Name': 'value'}"),
        (b"X: a", "not bytes; write {'Name': 'value'}"),
        (5, "not int"),
    ],
)
def test_headers_are_no_text(headers: Any, says: str) -> None:
    """As a setting of a file and of the environment is at first."""
    with pytest.raises(
        InvalidRequestError, match=f"^headers must be a mapping or a list .*, {re.escape(says)}$"
    ):
        build_headers(headers)


def test_pairs_of_one_name_are_all_kept() -> None:
    """So are those of a mapping whose keys differ only in case."""
    assert build_headers([("a", "1"), ("A", "2")]).get_all("a") == ["1", "2"]
    assert build_headers({"a": "1", "A": "2"}).get_all("a") == ["1", "2"]


@each_row(
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
def test_a_name_or_value_of_another_type_is_refused(headers: Any) -> None:
    """It is never turned into text by accident."""
    with pytest.raises(InvalidRequestError, match="header"):
        build_headers(headers)


def test_secrets_are_redacted() -> None:
    """In pairs and mappings, by the given names; within URLs too."""
    assert redact_headers([("Cookie", "a"), ("X", "b")]) == {"Cookie": "***", "X": "b"}
    assert redact_headers({"X": "b"}, SecretNames(sensitive=("x",))) == {"X": "***"}
    urls = {"Location": "https://joe:hush@h/?token=hush", "Link": '<https://h/?key=hush&p=1>; rel="next"'}
    assert redact_headers(urls)["Location"] == "https://***@h/?token=***"
    assert redact_headers(urls)["Link"] == '<https://h/?key=***&p=1>; rel="next"'
    for name in ("Content-Location", "location", "Referer", "REFRESH"):
        assert redact_headers({name: "5; url=https://h/?key=hush"}) == {name: "5; url=https://h/?key=***"}


def test_secrets_are_redacted_in_each_link() -> None:
    """The last page's URL has the same token as the next one's."""
    value = '<https://h/?token=hush>; rel="next"; anchor="//a:hush@h/", </?p=9&key=hush>;rel=last,<https://a:hush@h/>'
    assert redact_headers({"Link": value})["Link"] == (
        '<https://h/?token=***>; rel="next"; anchor="//***@h/", </?p=9&key=***>;rel=last,<https://***@h/>'
    )


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b", "B", "c"]), st.sampled_from("12345"))))
def test_headers_keep_all_values_in_order(pairs: list[tuple[str, str]]) -> None:
    """A plain list is the model."""
    headers = Headers(pairs)
    for name in "abc":
        values = [value for key, value in pairs if key.lower() == name]
        assert headers.get_all(name) == values
        assert headers.get(name) == (", ".join(values) if values else None)
    assert sorted(value for _, value in headers.multi_items()) == sorted(value for _, value in pairs)


def test_pairs_join_the_values_of_a_name() -> None:
    """As `items()` does; `multi_items` has them one by one."""
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3"), ("A", "4"), ("C", "5"), ("c", "6")])
    assert headers.pairs() == list(headers.items()) == [("A", "1, 3, 4"), ("B", "2"), ("C", "5, 6")]
    assert headers.multi_items()[:3] == [("A", "1"), ("A", "3"), ("A", "4")]


def test_a_copy_without_some_fields_is_independent() -> None:
    """It knows the same names of secrets."""
    headers = Headers({"A": "1", "X-Mine": "2"})
    headers.secret_names = frozenset({"x-mine"})
    twin = headers.without(frozenset({"a"}))
    twin["C"] = "3"
    assert (twin.multi_items(), twin.secret_names) == ([("X-Mine", "2"), ("C", "3")], headers.secret_names)
    assert headers.multi_items() == [("A", "1"), ("X-Mine", "2")]


def test_a_name_may_be_a_member_of_an_enumeration_or_another_kind_of_text() -> None:
    """Its text is sent, and not what a subclass shows of it."""

    class Shown(str):
        def __str__(self) -> str:
            return "something else"

    class Names(str, Enum):
        TRACE = "X-Trace"

    headers = Headers([(Names.TRACE, "1"), (Shown("X-Own"), "2")])
    assert headers.multi_items() == [("X-Trace", "1"), ("X-Own", "2")]
    assert {type(name) for name in headers} == {str}


@pytest.mark.parametrize("source", [5, object(), Headers])
def test_what_are_no_headers_is_an_error(source: Any) -> None:
    """It names what headers are."""
    with pytest.raises(
        InvalidRequestError, match=r"^headers must be a mapping or a list of \(name, value\) pairs, not "
    ):
        Headers(source)
