"""Set-Cookie and Cookie: parsed as browsers do, written so that no cookie can end the header."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.cookies.header import cookie_header, cookie_names, parse_set_cookie
from kit.rows import each_row


@each_row(
    ("lines", "cookies"),
    [
        ([], {}),
        (["a=b"], {"a": "b"}),
        (["a=b; Path=/; HttpOnly", "c=d"], {"a": "b", "c": "d"}),
        (["a=1", "a=2"], {"a": "2"}),
        (['a="q, r"; Secure'], {"a": '"q, r"'}),
        ([" a = b c "], {"a": "b c"}),
        (["a=b=c"], {"a": "b=c"}),
        (["a="], {"a": ""}),
        (["=b", "novalue", "", ";"], {}),
        (["novalue", "a=1"], {"a": "1"}),
        (["a=1", "a=; Max-Age=0"], {}),
        (["a=1; max-age=-5"], {}),
        (["a=1; Max-Age=05"], {"a": "1"}),
        (["a=1; Max-Age=x"], {"a": "1"}),
        (["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], {"a": "1"}),
    ],
)
def test_cookies_are_parsed_as_browsers_do(lines: list[str], cookies: dict[str, str]) -> None:
    """RFC 6265 5.2."""
    assert parse_set_cookie(lines) == cookies


@pytest.mark.parametrize(
    ("cookies", "header"),
    [
        ({}, ""),
        ({"a": "b", "c": 1, "d": None, "e": True}, "a=b; c=1; e=true"),
        ({"a": '"x y"'}, 'a="x y"'),
        ({"a": "x=y,z"}, "a=x=y,z"),
        ({"a": ""}, "a="),
    ],
)
def test_cookies_are_written(cookies: dict[str, Any], header: str) -> None:
    """None drops a cookie."""
    assert cookie_header(cookies) == header


@each_row(
    "cookies",
    [
        {"a": "s3cret;x"},
        {"a": "s3cret\r\n"},
        {"a": " s3cret"},
        {"a": "s3cret "},
        {"a": "s3creté"},
        {"a": object()},
        {"a b": "s3cret"},
        {"": "s3cret"},
        {"a=": "s3cret"},
        {3: "s3cret"},
        "a=s3cret",
        [("a", "s3cret")],
    ],
)
def test_a_cookie_cannot_smuggle_another(cookies: Any) -> None:
    """A character that would end the cookie or the header is refused; the value is not shown."""
    with pytest.raises(InvalidRequestError, match="cookie") as caught:
        cookie_header(cookies)
    assert "s3cret" not in str(caught.value)


def test_a_refused_cookie_is_named() -> None:
    """With the fault of its value."""
    with pytest.raises(InvalidRequestError, match=r"^cookie 'a' must be text, bytes"):
        cookie_header({"a": object()})
    with pytest.raises(InvalidRequestError, match=r"^cookie 'a' has a character"):
        cookie_header({"a": "x;y"})
    with pytest.raises(InvalidRequestError, match=r"^cookie name 'a b' is not valid"):
        cookie_header({"a b": "x"})


@pytest.mark.parametrize(
    ("header", "names"), [("", []), ("a=1", ["a"]), ("a=1; b=2;\tc = 3", ["a", "b", "c"]), ("a=b=c", ["a"])]
)
def test_the_names_of_a_cookie_header_are_found(header: str, names: list[str]) -> None:
    """In order, without white space."""
    assert cookie_names(header) == names


@given(st.dictionaries(st.text(), st.text()))
def test_written_cookies_are_parsed_to_the_same(cookies: dict[str, str]) -> None:
    """The rules for writing and for parsing agree."""
    try:
        header = cookie_header(cookies)
    except InvalidRequestError:
        return
    assert parse_set_cookie(filter(None, header.split("; "))) == cookies
