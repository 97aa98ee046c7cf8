"""The smaller header fields: Link, Set-Cookie, Cookie, Authorization."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.auth.basic import authorization, basic, bearer
from http_service_client.http.cookies.header import cookie_header, parse_set_cookie
from http_service_client.http.links import parse_links


@pytest.mark.parametrize(
    ("value", "links"),
    [
        ("", {}),
        ("garbage", {}),
        ("<", {}),
        ('<http://h/2>; rel="next"', {"next": {"url": "http://h/2", "rel": "next"}}),
        (
            '<http://h/?a=1,2;3>; rel=next; title="a, b; \\"c\\"", </1>; REL="prev"',
            {
                "next": {"url": "http://h/?a=1,2;3", "rel": "next", "title": 'a, b; "c"'},
                "prev": {"url": "/1", "rel": "prev"},
            },
        ),
        ("</1>; rel='x'", {"'x'": {"url": "/1", "rel": "'x'"}}),
        ("</1>", {"/1": {"url": "/1"}}),
        ("</1>;; crossorigin ; rel = next ;", {"next": {"url": "/1", "crossorigin": "", "rel": "next"}}),
        (
            '</1>; rel="First last"',
            {"first": {"url": "/1", "rel": "First last"}, "last": {"url": "/1", "rel": "First last"}},
        ),
        ("</1>; rel=next, </2>; rel=next", {"next": {"url": "/1", "rel": "next"}}),
        (
            '</1>; rel="unclosed, </2>; rel=next',
            {"/1": {"url": "/1", "rel": ""}, "next": {"url": "/2", "rel": "next"}},
        ),
    ],
)
def test_links_are_read_by_relation(value: str, links: dict[str, dict[str, str]]) -> None:
    """RFC 8288 3, leniently."""
    assert parse_links(value) == links


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("https://other.test/x", "https://other.test/x"),
        ("/v1/orders?page=2", "https://h/v1/orders?page=2"),
        ("?page=2", "https://h/v1/orders?page=2"),
        ("42", "https://h/v1/42"),
        ("//other.test/x", "https://other.test/x"),
        ("http://[::1/x", "http://[::1/x"),
    ],
)
def test_links_are_resolved(target: str, url: str) -> None:
    """Against the URL of the response (RFC 8288 3.1); what cannot be is left as it is."""
    assert parse_links(f"<{target}>; rel=next", "https://h/v1/orders?page=1")["next"]["url"] == url


@given(
    st.one_of(st.text(), st.text(st.sampled_from('<>;,="\\ arel:[/?'))), st.sampled_from(["", "https://h/"])
)
def test_links_never_fail(value: str, base_url: str) -> None:
    """A server's garbage is no reason to raise."""
    assert isinstance(parse_links(value, base_url), dict)


def test_links_are_read_in_linear_time() -> None:
    """No header, however long, takes a noticeable time."""
    for value in (
        "<" * 100_000,
        "<>" + ";" * 100_000,
        '<>;a="' * 20_000,
        "<>;" + " " * 100_000,
        ", " * 50_000,
    ):
        parse_links(value)


@pytest.mark.parametrize(
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
        (["a=1", "a=; Max-Age=0"], {}),
        (["a=1; max-age=-5"], {}),
        (["a=1; Max-Age=05"], {"a": "1"}),
        (["a=1; Max-Age=x"], {"a": "1"}),
        (["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], {"a": "1"}),
    ],
)
def test_cookies_are_read_as_browsers_do(lines: list[str], cookies: dict[str, str]) -> None:
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
    """None drops one."""
    assert cookie_header(cookies) == header


@pytest.mark.parametrize(
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
    """What would end the cookie or the header is refused, and not shown."""
    with pytest.raises(InvalidRequestError, match="cookie") as caught:
        cookie_header(cookies)
    assert "s3cret" not in str(caught.value)


@given(st.dictionaries(st.text(), st.text()))
def test_cookies_come_back_as_they_went(cookies: dict[str, str]) -> None:
    """Written and read by two rules, they agree."""
    try:
        header = cookie_header(cookies)
    except InvalidRequestError:
        return
    assert parse_set_cookie(filter(None, header.split("; "))) == cookies


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (None, None),
        (("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        (["u", "p:q"], "Basic " + base64.b64encode(b"u:p:q").decode()),
        (("é", "ü"), "Basic " + base64.b64encode("é:ü".encode()).decode()),
        ((b"u", b""), "Basic dTo="),
        ("abc.d-e_f~g+h/i==", "Bearer abc.d-e_f~g+h/i=="),
        ("1|abc", "Bearer 1|abc"),
    ],
)
def test_auth_is_a_pair_or_a_token(auth: Any, header: str | None) -> None:
    """RFC 7617 in UTF-8, RFC 6750."""
    assert authorization(auth) == header


@pytest.mark.parametrize(
    "auth",
    [
        ("s3cret:x", "p"),
        ("u", "s3cret\n"),
        ("u\x00", "s3cret"),
        ("u", None),
        ("u", 3),
        ("s3cret",),
        ("u", "\ud800s3cret"),
        "s3cret\n",
        "s3 cret",
        "",
        "s3creté",
        3,
        {"u": "s3cret"},
    ],
)
def test_other_auth_is_refused_and_not_shown(auth: Any) -> None:
    """The message says what to do; the value is the secret."""
    with pytest.raises(InvalidRequestError, match="auth") as caught:
        authorization(auth)
    assert re.search("s3|cret", str(caught.value).replace("secret", "")) is None


def test_an_empty_token_is_called_so() -> None:
    """It comes from a variable that nobody set, and has no line break to strip."""
    with pytest.raises(InvalidRequestError, match="the token in auth is empty"):
        bearer("")


def test_the_two_schemes_by_name() -> None:
    """What `authorization` chooses between."""
    assert (basic("u", "p"), bearer("t")) == ("Basic dTpw", "Bearer t")
