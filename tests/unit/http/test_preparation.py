"""A request's final form: its framing, and what may be sent at all."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.messages import HttpRequest
from http_service_client.http.preparation import METHODS_WITHOUT_CONTENT, Preparation


def prepared(method: str, **body: Any) -> HttpRequest:
    request = HttpRequest(method, "http://api.test/")
    opened = request.copy()
    for name, value in body.items():
        setattr(request, name, value)
    Preparation()(request, opened)
    return request


@pytest.mark.parametrize(
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
    assert "Content-Length" not in prepared("POST", data=iter([b"abc"])).headers
