"""Headers: names without case, repeated values in order, and nothing that could inject a second header."""

from __future__ import annotations

import copy
import enum
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.headers import (
    SENSITIVE_HEADERS,
    Headers,
    build_headers,
    check_framing,
    redact_headers,
    validate_for_good,
    validate_headers,
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


@pytest.mark.parametrize("name", ["", "x T", "a:b", "é", "a\r\nb", "a\n", "(x)", "a\x00", 'a"b', "a/b"])
def test_a_name_is_a_token(name: str) -> None:
    """RFC 9110 5.6.2."""
    with pytest.raises(InvalidRequestError, match="header name"):
        validate_headers(Headers({name: "x"}))


@pytest.mark.parametrize("bad", ["\r\n", "\n", "\r", "\0", "\x0b", "\x1f", "\x7f", "\ud800"])
@pytest.mark.parametrize("shape", ["s3cret{}", "{}s3cret", "s3{}cret"])
def test_a_value_cannot_inject_and_is_not_shown(bad: str, shape: str) -> None:
    """Control characters and what UTF-8 cannot express are refused, by the header's name only."""
    with pytest.raises(InvalidRequestError, match="'X-Thing'") as caught:
        validate_headers(build_headers({"X-Thing": shape.format(bad)}))
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "a b", "a\tb", "é", "!~", "\x80\xff", "€", "\U0001f355"])
def test_visible_and_obs_text_pass(value: str) -> None:
    """RFC 9110 5.5."""
    validate_headers(Headers({"X-Thing!#$%&'*+-.^_`|~": value}))


@pytest.mark.parametrize(
    ("length", "has_body", "value", "passes"),
    [
        (3, True, "3", True),
        (0, True, "0", True),
        (None, False, "0", True),
        (0, False, "0", True),
        (3, True, "4", False),
        (3, True, "+3", False),
        (3, True, "03", False),
        (3, True, "3, 3", False),
        (3, True, "٣", False),
        (3, True, "9" * 5000, False),
        (3, True, "", False),
        (None, True, "3", False),
        (None, False, "3", False),
        (3, False, "3", False),
    ],
)
def test_content_length_tells_the_truth_or_is_refused(
    length: int | None, has_body: bool, value: str, passes: bool
) -> None:
    """Two truths about where a message ends are request smuggling (RFC 9112 11.2)."""
    headers = Headers({"content-length": value})
    if passes:
        check_framing(headers, length, has_body)
    else:
        with pytest.raises(InvalidRequestError, match="leave it out"):
            check_framing(headers, length, has_body)


def test_transfer_encoding_is_ours_to_set() -> None:
    """Even when it would be right."""
    check_framing(Headers(), 3, True)
    with pytest.raises(InvalidRequestError, match="leave it out"):
        check_framing(Headers({"Transfer-Encoding": "chunked"}), None, True)


def test_nobody_waits_for_a_hundred() -> None:
    """Expect: 100-continue would have a body wait for a server that never says it (RFC 9110 10.1.1)."""
    with pytest.raises(InvalidRequestError, match="leave it out"):
        check_framing(Headers({"Expect": "100-continue"}), 3, True)


@pytest.mark.parametrize("host", ["example.com", "example.com:8080", "127.0.0.1", "[::1]:80", "a_b.example."])
def test_a_host_of_ones_own_may_stand(host: str) -> None:
    """A virtual host behind an address."""
    check_framing(Headers({"Host": host}), 0, False)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "u@a", "a:b", "a:123456", "a,b", "[::1", "a?", "é"])
def test_a_host_is_one_host(host: str) -> None:
    """Whatever else it is, a server must refuse it, or may take it for something else (RFC 9112 3.2)."""
    with pytest.raises(InvalidRequestError, match="one host"):
        check_framing(Headers({"Host": host}), 0, False)
    with pytest.raises(InvalidRequestError, match="one host"):
        check_framing(Headers([("Host", "a"), ("host", "a")]), 0, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda headers: headers.add("X-Good", "line\nbreak"),
        lambda headers: headers.__setitem__("x-good", "line\nbreak"),
        lambda headers: headers.__setitem__("X-Other", "line\nbreak"),
        lambda headers: headers.__setitem__("X Other", "fine"),
    ],
)
def test_what_was_validated_for_good_is_looked_at_again_when_it_is_changed(change: Any) -> None:
    """A copy of what is in order is in order; what is written on it is not, before it has been looked at."""
    headers = Headers({"X-Good": "yes"})
    validate_for_good(headers)
    twin = headers.copy()
    validate_headers(twin)
    change(twin)
    with pytest.raises(InvalidRequestError):
        validate_headers(twin)
    validate_headers(headers)


def test_what_is_wrong_is_not_validated_for_good() -> None:
    """It is refused as ever."""
    with pytest.raises(InvalidRequestError):
        validate_for_good(Headers({"X-Bad": "line\nbreak"}))


def test_redaction_knows_its_names_in_lower_case() -> None:
    """And takes pairs, mappings and a set of one's own."""
    assert all(name == name.lower() for name in SENSITIVE_HEADERS)
    assert redact_headers([("Cookie", "a"), ("X", "b")]) == {"Cookie": "***", "X": "b"}
    assert redact_headers({"X": "b"}, frozenset({"x"})) == {"X": "***"}


@given(
    st.lists(st.tuples(st.text(), st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none())))
)
def test_headers_are_sendable_or_refused(pairs: list[tuple[str, Any]]) -> None:
    """What passes is a token and UTF-8 without line breaks; what does not raises one error type."""
    try:
        headers = build_headers(pairs)
        validate_headers(headers)
    except InvalidRequestError:
        return
    for name, value in headers.multi_items():
        line = f"{name}: {value}".encode()
        assert re.fullmatch(rb"[!-9;-~]+: [\t -~\x80-\xff]*", line)


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "b", "B", "c"]), st.sampled_from("12345"))))
def test_headers_keep_every_value_in_order(pairs: list[tuple[str, str]]) -> None:
    """Against a plain list as the model."""
    headers = Headers(pairs)
    for name in "abc":
        values = [value for key, value in pairs if key.lower() == name]
        assert headers.get_all(name) == values
        assert headers.get(name) == (", ".join(values) if values else None)
    assert sorted(value for _, value in headers.multi_items()) == sorted(value for _, value in pairs)
