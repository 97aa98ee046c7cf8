"""A request's final form: its framing, and what may be sent at all."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.auth.netrc import parse_netrc
from http_service_client.http.messages import HttpRequest
from http_service_client.http.preparation import METHODS_WITHOUT_CONTENT, Preparation, parse_method
from kit.rows import each_row


def prepared(method: str, /, **changes: Any) -> HttpRequest:
    """A request in its final form, after an interceptor changed it."""
    request = HttpRequest(method, "http://api.test/")
    opened = request.copy()
    for name, value in changes.items():
        setattr(request, name, value)
    Preparation()(request, opened)
    return request


@each_row(
    ("method", "length"),
    [
        ("GET", None),
        ("HEAD", None),
        ("OPTIONS", None),
        ("TRACE", None),
        ("POST", "0"),
        ("PUT", "0"),
        ("PATCH", "0"),
        ("DELETE", "0"),
        ("QUERY", "0"),
        ("PROPFIND", "0"),
    ],
)
def test_a_request_without_a_body_says_so_where_a_body_could_be(method: str, length: str | None) -> None:
    """RFC 9110, 8.6: Content-Length is 0, or absent where the method gives content no meaning."""
    assert prepared(method).headers.get("Content-Length") == length
    assert (method in METHODS_WITHOUT_CONTENT) is (length is None)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_body_has_its_length_with_every_method(method: str) -> None:
    """Also a body on a method that gives it no meaning."""
    assert prepared(method, content=b"abc").headers["Content-Length"] == "3"


def test_a_body_of_unknown_length_has_none() -> None:
    """It is sent in chunks, and the transport says so."""
    request = prepared("POST", data=iter([b"abc"]))
    assert "Content-Length" not in request.headers
    assert request.body.length is None


def test_the_caller_may_declare_the_length_of_a_body() -> None:
    """Of a source that does not know it itself; then it is not sent in chunks."""
    request = prepared("POST", data=iter([b"abc"]), headers={"Content-Length": "3"})
    assert (request.body.length, request.headers["Content-Length"]) == (3, "3")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("url", "HTTP://API.test/a b", "http://api.test/a%20b"),
        ("method", "delete", "DELETE"),
        ("headers", {"X-Own": 1}, {"X-Own": "1"}),
    ],
)
def test_what_an_interceptor_assigns_is_normalised(name: str, value: Any, expected: Any) -> None:
    """It may assign what a caller may pass."""
    assert getattr(prepared("GET", **{name: value}), name) == expected


@each_row(
    ("changes", "message"),
    [
        ({"url": 5}, "url must be a str, not int"),
        ({"url": "/relative"}, "is not absolute"),
        ({"method": "GET /"}, "method must be a name such as 'GET', not 'GET /'"),
        ({"headers": {"X": object()}}, "header 'X' must be text"),
        ({"headers": {"X": "a\nb"}}, "header 'X' has a control character"),
        ({"headers": {"Content-Length": "5"}}, "header Content-Length is '5' but the body is 0 bytes"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "header Transfer-Encoding must not be set"),
        ({"headers": {"Expect": "100-continue"}}, "header Expect must not be set"),
        ({"headers": {"Host": "a b"}}, "header Host is 'a b'"),
        ({"method": "TRACE", "content": b"x"}, "a TRACE request has no body"),
        (
            {"method": "TRACE", "headers": {"X-Api-Key": "k"}},
            "a TRACE request must not have the secret header 'X-Api-Key'",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused(changes: dict[str, Any], message: str) -> None:
    """After the interceptors, which could have assigned anything."""
    with pytest.raises(InvalidRequestError, match=re.escape(message)):
        prepared("GET", **changes)


@pytest.mark.parametrize(
    ("headers", "connection"),
    [
        ({"TE": "trailers"}, "TE"),
        ({"Upgrade": "h2c", "Connection": "keep-alive"}, "keep-alive, Upgrade"),
        ({"te": "trailers", "upgrade": "h2c"}, "TE, Upgrade"),
        ({"TE": "trailers", "Connection": "close, te"}, "close, te"),
        ({"X": "y"}, None),
    ],
)
def test_a_field_of_the_connection_is_listed_there(headers: dict[str, str], connection: str | None) -> None:
    """A proxy that does not know it would pass it on (RFC 9110, 7.8 and 10.1.4)."""
    request = prepared("GET", headers=headers)
    assert request.headers.get("Connection") == connection
    Preparation()(request, request.copy())
    assert request.headers.get("Connection") == connection


def test_cookie_fields_are_joined_by_semicolons() -> None:
    """RFC 6265, 5.4: a request has one Cookie field."""
    request = prepared("GET", headers=[("Cookie", "a=1"), ("cookie", "b=2")])
    assert request.headers.multi_items() == [("Cookie", "a=1; b=2")]


@pytest.mark.parametrize(
    ("own", "sent"),
    [({}, "text/plain; charset=utf-8"), ({"content-type": "text/x"}, "text/x")],
)
def test_the_content_type_is_that_of_the_body_unless_it_is_set(own: dict[str, str], sent: str) -> None:
    """The header of the caller wins."""
    request = prepared("POST", data="text", headers=own)
    assert request.headers.get_all("Content-Type") == [sent]


def test_text_is_encoded_in_the_charset_that_an_interceptor_names() -> None:
    """The header that goes out says how the bytes are to be read."""
    request = prepared("POST", data="é", headers={"Content-Type": "text/plain; charset=latin-1"})
    assert (request.content, request.headers["Content-Length"]) == (b"\xe9", "1")


def test_text_that_was_read_before_its_charset_was_named_is_encoded_again() -> None:
    """An interceptor may look at the bytes, and another one set the header."""
    request = HttpRequest("POST", "http://api.test/", data="é")
    opened = request.copy()
    assert request.content == "é".encode()
    request.headers["Content-Type"] = "text/plain; charset=latin-1"
    Preparation()(request, opened)
    assert (request.content, request.headers["Content-Length"]) == (b"\xe9", "1")


@pytest.mark.parametrize("what", ["data", "json"])
@pytest.mark.parametrize(
    ("charset", "message"),
    [
        ("ISO-8859-1", "the charset 'ISO-8859-1', which cannot express '€'"),
        ("klingon", "'klingon', which is unknown"),
    ],
)
def test_text_that_its_charset_cannot_express_is_refused(what: str, charset: str, message: str) -> None:
    """Any other bytes would be read as other characters."""
    with pytest.raises(InvalidRequestError, match=re.escape(message)):
        prepared("POST", **{"headers": {"Content-Type": f"text/xml; charset={charset}"}, what: "100 €"})


def test_an_interceptor_signs_the_bytes_that_go_out() -> None:
    """`content` is in the charset of the header already."""
    request = HttpRequest(
        "POST", "http://h/", data="é", headers={"Content-Type": "text/xml; charset=ISO-8859-1"}
    )
    assert request.content == b"\xe9"


def test_a_form_with_files_needs_its_own_content_type() -> None:
    """Another one would lack the boundary, without which no server can parse the form."""
    with pytest.raises(InvalidRequestError, match="'multipart/form-data' lacks the boundary of the form"):
        prepared("POST", files={"f": b"x"}, headers={"Content-Type": "multipart/form-data"})


LOGINS = parse_netrc("machine api.test login u password p")


@pytest.mark.parametrize(
    ("url", "own", "sent"),
    [
        ("http://api.test/", {}, "Basic dTpw"),
        ("http://api.test/", {"authorization": "Bearer t"}, "Bearer t"),
        ("http://other.test/", {}, None),
    ],
)
def test_a_login_is_for_its_host_and_requests_without_authorization(
    url: str, own: dict[str, str], sent: str | None
) -> None:
    """A netrc file never overrides the caller."""
    request = HttpRequest("GET", url, headers=own)
    Preparation(LOGINS)(request, request.copy())
    assert request.headers.get("Authorization") == sent


def test_a_trace_gets_no_login() -> None:
    """Its response would repeat it (RFC 9110, 9.3.8)."""
    request = HttpRequest("TRACE", "http://api.test/")
    Preparation(LOGINS)(request, request.copy())
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("method", "name"), [("GET", "GET"), ("get", "GET"), ("query", "QUERY"), ("M-SEARCH", "M-SEARCH")]
)
def test_a_method_is_a_token_in_upper_case(method: str, name: str) -> None:
    """RFC 9110, 9.1."""
    assert parse_method(method) == name


def test_a_method_becomes_plain_text() -> None:
    """`http.HTTPMethod` and enums like it print in another way than they compare."""

    class Method(str, Enum):
        GET = "GET"

    assert type(parse_method(Method.GET)) is str


@each_row(
    ("method", "message"),
    [
        ("", "must be a name such as 'GET', not ''"),
        ("G T", "not 'G T'"),
        (b"GET", "not b'GET'"),
        (None, "not None"),
        (["GET"], "not ['GET']"),
        ("http://u:s3cret@h/", "not 'http://***@h/'"),
        ("connect", "method CONNECT opens a tunnel; for a proxy set HTTPS_PROXY"),
    ],
)
def test_any_other_method_is_refused(method: Any, message: str) -> None:
    """The text may be a misplaced URL, whose password is not shown."""
    with pytest.raises(InvalidRequestError, match=re.escape(message)):
        parse_method(method)
