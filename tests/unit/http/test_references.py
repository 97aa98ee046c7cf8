"""References by which a server names URLs, resolved against the URL of the request (RFC 3986, 5.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.headers import Latin1Text
from http_service_client.http.references import in_ascii, location_target, resolve_reference
from kit.rows import each_row

BASE = "http://a/b/c/d;p?q"
SOCKET = "http+unix://%2Frun%2Fapp.sock"


@each_row(
    ("reference", "target"),
    [
        # 5.4.1, the normal examples
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        # 5.4.2, the abnormal ones
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http:g"),
        # No empty segment and no parameter is lost, as by the standard library.
        ("g//h", "http://a/b/c/g//h"),
        ("g;", "http://a/b/c/g;"),
        # A query that is empty is one.
        ("g?", "http://a/b/c/g?"),
        ("?", "http://a/b/c/d;p?"),
    ],
)
def test_the_examples_of_the_rfc(reference: str, target: str) -> None:
    """RFC 3986, 5.4, as strict parsers have them."""
    assert resolve_reference(BASE, reference) == target


@each_row(
    ("base", "reference", "target"),
    [
        (f"{SOCKET}/v1/jobs?all=1", "/v1/jobs/7", f"{SOCKET}/v1/jobs/7"),
        (f"{SOCKET}/v1/jobs?all=1", "?page=2", f"{SOCKET}/v1/jobs?page=2"),
        (f"{SOCKET}/v1/jobs", "http://localhost/v1/jobs/7", "http://localhost/v1/jobs/7"),
        ("https://h", "x", "https://h/x"),
        ("https://h?a", "", "https://h?a"),
        ("", "/x?y", "/x?y"),
        ("/orders", "7", "7"),
    ],
)
def test_bases_of_other_kinds(base: str, reference: str, target: str) -> None:
    """A Unix socket's, one without a path, and what is none: the URL of a response that was made by hand."""
    assert resolve_reference(base, reference) == target


@given(
    st.sampled_from([BASE, f"{SOCKET}/a", ""]), st.one_of(st.text(), st.text(st.sampled_from(":/?#.a%[@")))
)
def test_resolving_never_fails(base: str, reference: str) -> None:
    """Whatever a server writes; only where it leads is judged, later."""
    assert isinstance(resolve_reference(base, reference), str)


def test_octets_beyond_ascii_are_escaped_as_they_came() -> None:
    """Those of a value that is not UTF-8; in UTF-8 they are those of its characters."""
    assert location_target(BASE, in_ascii(Latin1Text("/caf\xe9"))) == "http://a/caf%E9"
    assert location_target(BASE, in_ascii("/caf\xe9")) == "http://a/caf%C3%A9"


@pytest.mark.parametrize("location", ["///x", "http:g", "g:h", "http://[bad", "/x\\y"])
def test_a_location_that_is_no_url_of_http_is_refused(location: str) -> None:
    """It has no host, another scheme, or two readings."""
    with pytest.raises(InvalidRequestError):
        location_target(BASE, location)
