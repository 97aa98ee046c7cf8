"""URLs that are put together: a base URL, what is put under it, and params."""

from __future__ import annotations

import datetime as dt
import enum
import re
import string
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.urls import RawUrl, UrlUnderBase, check_base_url, is_relative, normalise_url
from kit.rows import each_row


class Colour(str, enum.Enum):
    RED = "red"


class Size(enum.Enum):
    BIG = 3


@each_row(
    ("params", "query"),
    [
        ({"a": None}, ""),
        ({}, ""),
        ({"a": True, "b": False}, "?a=true&b=false"),
        ({"a": Colour.RED, "b": Size.BIG}, "?a=red&b=3"),
        ({"a": 1, "b": 1.5, "c": Decimal("1.0"), "d": -0.0}, "?a=1&b=1.5&c=1.0&d=-0.0"),
        ({"a": dt.date(2024, 1, 2), "b": dt.time(3, 4)}, "?a=2024-01-02&b=03%3A04%3A00"),
        ({"a": dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc)}, "?a=2024-01-02T00%3A00%3A00%2B00%3A00"),
        ({"a": uuid.UUID(int=1)}, "?a=00000000-0000-0000-0000-000000000001"),
        ({"a": [1, None, "x"], "b": ("y",), "c": []}, "?a=1&a=x&b=y"),
        ([("a", 1), ("b", 2), ("a", 3)], "?a=1&b=2&a=3"),
        (iter([("a", 1)]), "?a=1"),
        ({"a b": "c d+e&f=g/é~"}, "?a%20b=c%20d%2Be%26f%3Dg%2F%C3%A9~"),
        ({"a": b"\xff", "b": memoryview(b"\xfe")}, "?a=%FF&b=%FE"),
        ({1: 2}, "?1=2"),
        ("a=b c&d=%c3%a9#", "?a=b%20c&d=%c3%a9%23"),
        (b"a=\xc3\xa9", "?a=%C3%A9"),
        ("", ""),
        (None, ""),
    ],
)
def test_params_have_one_text(params: Any, query: str) -> None:
    """One rule for query values, whatever requests or aiohttp would do with them."""
    url = normalise_url("https://h/x", params)
    assert url == f"https://h/x{query}"
    assert normalise_url(url) == url


def test_params_come_after_the_query_in_the_url() -> None:
    """Both are sent; neither replaces the other."""
    assert normalise_url("https://h/x?a=1#f", {"a": 2}) == "https://h/x?a=1&a=2"


@each_row(
    ("params", "says"),
    [
        ({"q": float("nan")}, "params['q'] is nan"),
        ({"q": Decimal("sNaN")}, "params['q']"),
        ({"q": float("-inf")}, "params['q']"),
        ({"q": {1}}, "params['q'] must be"),
        ({"q": {"a": 1}}, "params['q'] must be"),
        ({"q": object()}, "params['q'] must be"),
        ({"q": [[1]]}, "params['q'] must be"),
        ({"q": (x for x in "a")}, "generator"),
        ({"q": 10**5000}, "too large"),
        ({"q": "\ud800"}, "surrogate"),
        ({None: 1}, "key of params"),
        ({(1, 2): 1}, "key of params"),
        (["ab"], "pairs"),
        ([("a", 1, 2)], "pairs"),
        (5, "mapping"),
        ("a\nb", "control"),
    ],
)
def test_params_without_one_text_are_refused(params: Any, says: str) -> None:
    """The error names the key."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)):
        normalise_url("https://h/", params)


@each_row(
    ("base", "url", "normal"),
    [
        ("https://h/v1", "charges", "https://h/v1/charges"),
        ("https://h/v1", "/charges", "https://h/v1/charges"),
        ("https://h/v1/", "charges", "https://h/v1/charges"),
        ("https://h/v1/", "/charges?x=1", "https://h/v1/charges?x=1"),
        ("https://h", "charges", "https://h/charges"),
        ("https://h/v1", "", "https://h/v1"),
        ("https://h/v1", "?x=1", "https://h/v1?x=1"),
        ("https://h/v1", "items:search", "https://h/v1/items:search"),
        ("https://h/v1", "a/../b", "https://h/v1/b"),
        ("https://h/v1", "http://other/x", "http://other/x"),
        ("https://h/v1", "u?next=http://x", "https://h/v1/u?next=http://x"),
    ],
)
def test_base_url_is_a_prefix(base: str, url: str, normal: str) -> None:
    """A relative URL is appended to it; an absolute one is used as it is."""
    assert normalise_url(url, None, base) == normal


@pytest.mark.parametrize(
    ("base", "url", "says"),
    [
        ("https://h/v1", "//evil.example/x", "two slashes"),
        ("https://h/v1", "../admin", "climbs"),
        ("https://h/v1", "a/%2e%2e/../admin", "climbs"),
        ("https://h/v1", "\\\\evil", "backslash"),
        ("https://h/v1", " a", "white space"),
    ],
)
def test_base_url_cannot_be_left_by_a_relative_url(base: str, url: str, says: str) -> None:
    """A user's id in the path cannot lead to another host or out of the prefix."""
    with pytest.raises(InvalidRequestError, match=says):
        normalise_url(url, None, base)


@each_row(
    ("base", "says"),
    [
        (5, "base_url must be text, not int"),
        ("https://h/v1?x=1", "base_url has a query or fragment; pass params="),
        ("https://h/v1#x", "base_url has a query or fragment; pass params="),
        ("/v1", "base_url '/v1' is not absolute; write it as https://host/path"),
        ("", "base_url '' is not absolute; write it as https://host/path"),
        ("//u:pw@h/v1", "base_url '//***@h/v1' is not absolute"),
        ("ftp://h/v1", "base_url: the URL's scheme is 'ftp'"),
        (
            "unix:///run/app.sock",
            "base_url: the URL's scheme is 'unix'; only http and https can be sent; for a Unix socket write http+unix://%2Frun%2Fapp.sock/path",
        ),
        ("https://u:pw@h/v1", "base_url: the URL has user information"),
    ],
)
def test_a_wrong_base_url_is_named_as_base_url(base: Any, says: str) -> None:
    """Its user knows it by that name; nothing of a password is shown."""
    with pytest.raises(InvalidRequestError, match=f"^{re.escape(says)}") as raised:
        check_base_url(base)
    assert "pw" not in str(raised.value)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none())))
def test_any_params_are_encoded_or_refused(params: dict[str, Any]) -> None:
    """No value changes the rest of the query, and the encoder raises one error type."""
    try:
        url = normalise_url("http://h/", params)
    except InvalidRequestError:
        return
    assert normalise_url(url) == url
    query = url.partition("?")[2]
    assert query.count("=") == sum(value is not None for value in params.values())
    assert set(query) <= set(string.ascii_letters + string.digits + "-._~%=&")


def test_the_argument_of_params_that_are_none_is_named() -> None:
    """The message begins with it."""
    with pytest.raises(InvalidRequestError) as caught:
        normalise_url("https://h/", 7)
    assert str(caught.value) == "params must be a mapping or a list of (key, value) pairs, not int"


def test_which_urls_are_put_under_a_base_url() -> None:
    """One that has been put there, too; a RawUrl never is."""
    assert is_relative("/a")
    assert is_relative(UrlUnderBase("https://h/a"))
    assert not is_relative("https://h/a")
    assert not is_relative(RawUrl("/a"))
    assert normalise_url("X/y", base_url="https://h/v1") == "https://h/v1/X/y"
    with pytest.raises(InvalidRequestError, match=r"^base_url has a query or fragment; pass params="):
        check_base_url("https://h/#a")
