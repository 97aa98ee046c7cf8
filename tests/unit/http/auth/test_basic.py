"""The Authorization header from auth=: Basic or Bearer, and never shown."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from http_service_client.auth import Basic, Bearer
from http_service_client.errors import InvalidRequestError
from http_service_client.http.auth.bearer import bearer
from http_service_client.http.auth.credentials import basic
from http_service_client.http.auth.flow import parse_auth
from http_service_client.http.messages import HttpRequest
from kit.rows import each_row


@each_row(
    ("auth", "header"),
    [
        (None, None),
        (("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        (["u", "p:q"], "Basic " + base64.b64encode(b"u:p:q").decode()),
        (("é", "ü"), "Basic " + base64.b64encode("é:ü".encode()).decode()),
        ((b"u", b""), "Basic dTo="),
        ("abc.d-e_f~g+h/i==", "Bearer abc.d-e_f~g+h/i=="),
        ("1|abc", "Bearer 1|abc"),
        (Basic("u", "p"), "Basic dTpw"),
        (Bearer("t"), "Bearer t"),
    ],
)
def test_auth_is_a_pair_or_a_token(auth: Any, header: str | None) -> None:
    """RFC 7617 in UTF-8, RFC 6750."""
    assert parse_auth(auth) == header


@each_row(
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
def test_any_other_auth_is_refused_and_not_shown(auth: Any) -> None:
    """The message says how to fix it; the value is the secret."""
    with pytest.raises(InvalidRequestError, match="auth") as caught:
        parse_auth(auth)
    assert re.search("s3|cret", str(caught.value).replace("secret", "")) is None


@pytest.mark.parametrize(
    ("user", "password", "says"),
    [
        ("a:b", "p", "the user name in auth has a colon, which Basic authentication cannot express"),
        ("u\n", "p", "the user name in auth must be text without control characters"),
        ("u", "p\n", "the password in auth must be text without control characters"),
    ],
)
def test_a_malformed_pair_is_reported_when_it_is_made(user: str, password: str, says: str) -> None:
    """And which of the two it is; not in the first call."""
    with pytest.raises(InvalidRequestError, match=says):
        Basic(user, password)


def test_a_flow_may_delegate_to_basic() -> None:
    """For one of several services, say: `yield from` its flow."""
    request = HttpRequest("GET", "https://api.test/")
    assert list(Basic("u", "p").auth_flow(request)) == [request]
    assert request.headers["Authorization"] == "Basic dTpw"


@pytest.mark.parametrize(
    ("auth", "says"), [(("u",), "1 item;"), ((), "0 items;"), (["u", "p", "x"], "3 items;")]
)
def test_a_pair_of_another_length_is_reported_as_such(auth: Any, says: str) -> None:
    """It is a tuple or a list, so its type would say nothing."""
    with pytest.raises(InvalidRequestError, match=re.escape(f"this one has {says} write (user, password)")):
        parse_auth(auth)


def test_an_empty_token_is_reported_as_empty() -> None:
    """It usually comes from an unset variable, so the advice to strip a line break would not help."""
    with pytest.raises(InvalidRequestError, match="the token in auth is empty"):
        bearer("")


def test_each_scheme_has_a_function() -> None:
    """`parse_auth` chooses between these two."""
    assert (basic("u", "p"), bearer("t")) == ("Basic dTpw", "Bearer t")
