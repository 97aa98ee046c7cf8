"""Redirects: the next request, its headers and body, and where no server can lead us."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import UnsafeRedirectError
from http_service_client.http.headers import Headers, Latin1Text
from http_service_client.http.redirects import (
    BODY_HEADERS,
    REDIRECT_CODES,
    Hop,
    headers_for_hop,
    leads_on,
    next_hop,
)
from http_service_client.http.request import HttpRequest
from http_service_client.http.secret_names import SecretNames
from kit.rows import each_row

REQUESTED = "https://api.example.com/a/b?c=d"


@each_row(
    ("status", "method", "next_method", "keeps_body"),
    [
        (301, "GET", "GET", True),
        (301, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (301, "PATCH", "PATCH", True),
        (301, "DELETE", "DELETE", True),
        (301, "HEAD", "HEAD", True),
        (302, "POST", "GET", False),
        (302, "PUT", "PUT", True),
        (302, "post", "GET", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "GET", "GET", False),
        (303, "HEAD", "HEAD", False),
        (301, "QUERY", "QUERY", True),
        (302, "QUERY", "QUERY", True),
        (303, "QUERY", "GET", False),
        (307, "QUERY", "QUERY", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (308, "DELETE", "DELETE", True),
    ],
)
def test_method_and_body_go_by_the_status(
    status: int, method: str, next_method: str, keeps_body: bool
) -> None:
    """RFC 9110 15.4.2 to 15.4.9."""
    hop = next_hop(method, REQUESTED, status, "/x")
    assert hop == Hop("https://api.example.com/x", next_method, keeps_body, True)


@each_row("status", [100, 200, 201, 300, 304, 305, 306, 309, 400, 503])
def test_other_statuses_are_no_redirects(status: int) -> None:
    """A 300 may have a Location, but a person has to choose; 304 is about a cache."""
    assert status not in REDIRECT_CODES
    assert next_hop("GET", REQUESTED, status, "/x") is None


@pytest.mark.parametrize("location", [None, "", "  ", "\t"])
def test_without_a_location_there_is_nothing_to_follow(location: str | None) -> None:
    """The caller gets the response itself."""
    assert next_hop("GET", REQUESTED, 302, location) is None


@each_row(
    ("location", "url", "same_origin"),
    [
        ("/x", "https://api.example.com/x", True),
        ("x", "https://api.example.com/a/x", True),
        ("../x", "https://api.example.com/x", True),
        ("./", "https://api.example.com/a/", True),
        ("?e=f", "https://api.example.com/a/b?e=f", True),
        ("?", "https://api.example.com/a/b?", True),
        ("#frag", "https://api.example.com/a/b?c=d", True),
        (" /x ", "https://api.example.com/x", True),
        ("/x#frag", "https://api.example.com/x", True),
        ("//other.example/x", "https://other.example/x", False),
        ("https://API.example.com:443/x", "https://api.example.com/x", True),
        ("https://api.example.com:444/x", "https://api.example.com:444/x", False),
        ("https://evil-api.example.com/", "https://evil-api.example.com/", False),
        ("HTTPS://other.example", "https://other.example/", False),
        ("/a b", "https://api.example.com/a%20b", True),
        ("/x?u=http://y", "https://api.example.com/x?u=http://y", True),
        ("a:b", None, None),
        ("./a:b", "https://api.example.com/a/a:b", True),
        ("/caf\u00c3\u00a9", "https://api.example.com/caf%C3%83%C2%A9", True),
        ("/caf\u00e9", "https://api.example.com/caf%C3%A9", True),
        ("/caf\udce9", None, None),
        ("/☃", "https://api.example.com/%E2%98%83", True),
        ("//b\u00fccher.example/", "https://xn--bcher-kva.example/", False),
    ],
)
def test_a_location_is_resolved(location: str, url: str | None, same_origin: bool | None) -> None:
    """RFC 3986 5.2; text beyond ASCII is sent as UTF-8, and not decoded a second time."""
    if url is None:
        with pytest.raises(UnsafeRedirectError):
            next_hop("GET", REQUESTED, 302, location)
        return
    hop = next_hop("GET", REQUESTED, 302, location)
    assert hop is not None
    assert (hop.url, hop.same_origin) == (url, same_origin)


@each_row(
    ("location", "says"),
    [
        ("ftp://h/x", "'ftp'"),
        ("file:///etc/passwd", "'file'"),
        ("javascript:alert(1)", "'javascript'"),
        ("data:text/html,x", "'data'"),
        ("http://api.example.com/x", "leaves https"),
        ("https://user:hunter2@h/", "user information"),
        ("//user:hunter2@h/", "user information"),
        ("https:x", "no host"),
        ("https:///x", "no host"),
        ("///x", "no host"),
        ("https://127.1/", "IPv4"),
        ("https://h\\@evil/", "backslash"),
        ("/\\evil", "backslash"),
        ("\\\\evil", "backslash"),
        ("/x\ty", "control"),
        ("/x\r\nX: y", "control"),
        ("https://h:99999/", "port"),
        ("https://[::1/", "IPv6"),
        ("/\ud800", "surrogate"),
    ],
)
def test_a_server_cannot_lead_us_astray(location: str, says: str) -> None:
    """Out of http(s), down to http, with credentials that it chose, or to an ambiguous URL."""
    with pytest.raises(UnsafeRedirectError, match=re.escape(says)) as caught:
        next_hop("GET", REQUESTED, 302, location)
    assert "hunter2" not in str(caught.value)


def test_http_may_go_up_to_https_as_another_origin() -> None:
    """An upgrade is followed without credentials, since the origin differs."""
    hop = next_hop("GET", "http://h/", 301, "https://h/")
    assert hop == Hop("https://h/", "GET", True, False)
    hop = next_hop("GET", "http://h:8443/", 301, "https://h:8443/")  # the same port is not the same origin
    assert hop == Hop("https://h:8443/", "GET", True, False)
    assert next_hop("GET", "http://h/", 301, "http://h:80/x") == Hop("http://h/x", "GET", True, True)


HEADERS = Headers(
    {
        "Accept": "*/*",
        "Authorization": "Bearer x",
        "Cookie": "a=b",
        "X-API-Key": "k",
        "X-Own": "o",
        "Host": "virtual",
        "Content-Type": "text/plain",
        "Content-Length": "3",
        "Content-Encoding": "gzip",
    }
)


@pytest.mark.parametrize(
    ("keeps_body", "same_origin", "left"),
    [
        (True, True, list(HEADERS)),
        (False, True, ["Accept", "Authorization", "Cookie", "X-API-Key", "X-Own", "Host"]),
        (True, False, ["Accept", "X-Own", "Content-Type", "Content-Length", "Content-Encoding"]),
        (False, False, ["Accept", "X-Own"]),
    ],
)
def test_headers_depend_on_the_hop(keeps_body: bool, same_origin: bool, left: list[str]) -> None:
    """Body headers are sent with the body only, credentials to their origin only."""
    before = HEADERS.copy()
    assert list(headers_for_hop(HEADERS, Hop("https://h/", "GET", keeps_body, same_origin))) == left
    assert before == HEADERS


def test_settings_say_which_headers_go_along() -> None:
    """More of them stay, or fewer; Authorization and Cookie stay whatever the settings say."""
    hop = Hop("https://h/", "GET", True, False)
    kept = headers_for_hop(HEADERS, hop, SecretNames(("x-own",), ("x-api-key", "cookie")))
    assert {"Authorization", "Cookie", "X-Own", "Host"}.isdisjoint(kept)
    assert "X-API-Key" in kept


def test_a_body_keeps_its_description_whatever_is_sensitive() -> None:
    """Without Content-Length it could not be framed."""
    hop = Hop("https://h/", "POST", True, False)
    kept = headers_for_hop(Headers({"Content-Length": "1", "Accept": "x"}), hop, SecretNames(("*",)))
    assert list(kept) == ["Content-Length"]


def test_the_description_of_a_body_goes_with_it() -> None:
    """And nothing else does."""
    names = [
        "Content-Digest",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Content-Length",
        "Content-Location",
        "Content-MD5",
        "Content-Range",
        "Content-Type",
        "Digest",
        "Expect",
        "Last-Modified",
        "Repr-Digest",
        "Trailer",
        "Transfer-Encoding",
    ]
    headers = Headers([(name, "x") for name in ("Accept", *names, "Range")])
    assert list(headers_for_hop(headers, Hop("https://h/", "GET", False, True))) == ["Accept", "Range"]
    assert list(headers_for_hop(headers, Hop("https://h/", "PUT", True, True))) == ["Accept", *names, "Range"]
    assert {name.lower() for name in names} == BODY_HEADERS


@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    st.sampled_from([REQUESTED, "http://h/", "https://[::1]:8443/x//y?z"]),
    st.sampled_from(sorted(REDIRECT_CODES)),
    st.one_of(
        st.text(),
        st.text(st.sampled_from("/.:@?#\\[]%htps x\u00e9")),
        st.binary().map(lambda raw: raw.decode("latin-1")),
    ),
)
def test_any_location_is_followed_safely_or_not_at_all(
    method: str, url: str, status: int, location: str
) -> None:
    """The hop is http(s), printable, without user information and never a downgrade; or it is one error type."""
    try:
        hop = next_hop(method, url, status, location)
    except UnsafeRedirectError:
        return
    if hop is not None:
        assert re.fullmatch(r"https?://[^@/?#]+/[!-~]*", hop.url)
        assert hop.url.startswith("https:") or url.startswith("http:")
        assert hop.method in (method, "GET")


SOCKET = "http+unix://%2Frun%2Fa.sock"


@pytest.mark.parametrize("location", ["/b", "b?c", "//%2Frun%2Fa.sock/b"])
def test_a_redirect_may_stay_at_a_unix_socket(location: str) -> None:
    """Whatever path and query it leads to."""
    hop = next_hop("GET", f"{SOCKET}/a", 302, location)
    assert hop is not None
    assert hop.same_origin
    assert hop.url.startswith(f"{SOCKET}/b")


@pytest.mark.parametrize(
    "location", ["http://localhost/b", "https://%2Frun%2Fa.sock/b", "//%2Frun%2Fb.sock/b"]
)
def test_a_redirect_never_leaves_a_unix_socket(location: str) -> None:
    """Not even for another socket."""
    with pytest.raises(UnsafeRedirectError):
        next_hop("GET", f"{SOCKET}/a", 302, location)


@pytest.mark.parametrize(
    ("url", "location", "leads_to"),
    [
        ("https://h.test/a", "#f", "https://h.test/a"),
        ("https://h.test/a?b", "#f", "https://h.test/a?b"),
        ("https://h.test/a?", "#f", "https://h.test/a?"),
        ("https://h.test/a?b", "?", "https://h.test/a?"),
        ("https://h.test/a", Latin1Text("/\xe9\xff?\xe4"), "https://h.test/%E9%FF?%E4"),
    ],
)
def test_a_location_keeps_the_query_only_without_a_path_and_a_query_of_its_own(
    url: str, location: str, leads_to: str
) -> None:
    """RFC 3986, 5.2.2; bytes that are not UTF-8 are escaped as they came."""
    hop = next_hop("GET", url, 302, location)
    assert hop is not None
    assert hop.url == leads_to


@each_row(
    ("follows", "status", "location", "leads"),
    [
        (True, 302, "/b", True),
        (False, 302, "/b", False),
        (True, 304, "/b", False),
        (True, 200, "/b", False),
        (True, 302, "", False),
        (True, 302, " ", False),
        (True, 302, None, False),
    ],
)
def test_a_response_leads_on_if_its_redirect_is_followed(
    follows: bool, status: int, location: str | None, leads: bool
) -> None:
    """By the request's setting, the status and the Location."""
    request = HttpRequest("GET", "https://h.test/a")
    request.follows_redirects = follows
    assert leads_on(request, status, location) is leads
