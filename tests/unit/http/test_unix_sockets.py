"""URLs of Unix sockets."""

from __future__ import annotations

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.urls import RawUrl, normalise_url, origin_of, split_url
from kit.rows import each_row

DOCKER = "http+unix://%2Frun%2Fdocker.sock"


@each_row(
    ("url", "normal"),
    [
        (DOCKER, DOCKER + "/"),
        (DOCKER + "/a/../b?c=ä#d", DOCKER + "/b?c=%C3%A4"),
        ("HTTP+UNIX://%2frun%2fdocker.sock/", DOCKER + "/"),
        ("http+unix://%2Frun%2F%64ocker%2Esock/", DOCKER + "/"),
        ("http+unix://%2FRun%2Fa%20b@c:80/", "http+unix://%2FRun%2Fa%20b%40c%3A80/"),
        ("http+unix://%2Frun%2F%ff.sock/", "http+unix://%2Frun%2F%FF.sock/"),
    ],
)
def test_a_socket_has_one_spelling(url: str, normal: str) -> None:
    """The path keeps its case; all but unreserved characters are encoded."""
    assert normalise_url(url) == normal
    assert normalise_url(normal) == normal


def test_the_parts_of_a_url_of_a_socket() -> None:
    """The origin is the socket; the Host field names none."""
    parts = split_url(DOCKER + "/info?all=1")
    assert (parts.socket_path, parts.target, parts.host_field) == (
        "/run/docker.sock",
        "/info?all=1",
        "localhost",
    )
    assert parts.origin == origin_of(DOCKER) == DOCKER
    assert split_url("http://localhost/").socket_path is None


def test_the_path_of_a_socket_may_have_any_bytes() -> None:
    """Those that are no UTF-8 are told in the way of Python's own file names."""
    parts = split_url("http+unix://%2Frun%2F%FF%C3%A9.sock/")
    assert parts.socket_path is not None
    assert parts.socket_path.encode("utf-8", "surrogateescape") == b"/run/\xff\xc3\xa9.sock"


def test_a_raw_url_and_params() -> None:
    """As with any other URL."""
    assert normalise_url(RawUrl(DOCKER + "/a/../b|c")) == DOCKER + "/a/../b|c"
    assert normalise_url("/info", {"a": "b c"}, DOCKER + "/v1") == DOCKER + "/v1/info?a=b%20c"


@pytest.mark.parametrize(
    "url",
    [
        "http+unix:///run/docker.sock/info",
        "http+unix://run/docker.sock",
        "http+unix://%2Frun%00x/",
        "http+unix://",
    ],
)
def test_a_path_that_is_not_encoded_or_absolute_is_refused(url: str) -> None:
    """With the form to write."""
    with pytest.raises(InvalidRequestError, match=r"write it as http\+unix://%2Frun%2Fapp.sock/path$"):
        normalise_url(url)


def test_a_host_cannot_be_taken_for_a_socket() -> None:
    """A percent sign is in no host name."""
    with pytest.raises(InvalidRequestError, match="not allowed in a host name"):
        normalise_url("http://%2Frun%2Fdocker.sock/")
