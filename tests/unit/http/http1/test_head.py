"""The head of a request, and what the head of a response says of its framing."""

from __future__ import annotations

from itertools import product

import pytest

from http_service_client.http.headers import Headers
from http_service_client.http.http1.head import head_of_request, request_head


@pytest.mark.parametrize("name", ["".join(each) for each in product("hH", "oO", "sS", "tT")])
def test_a_host_among_the_fields_replaces_ours(name: str) -> None:
    """In any letter case; it comes first (RFC 9112, 3.2)."""
    head = request_head("GET", "/", "a.test", [("A", "1"), (name, "b.test"), ("B", "2")])
    assert head == f"GET / HTTP/1.1\r\n{name}: b.test\r\nA: 1\r\nB: 2\r\n\r\n".encode()


@pytest.mark.parametrize("name", ["HostX", "Hosts", "Xost", "HXst", "HoXt", "HosX", "Hos", "X-Host"])
def test_a_name_that_is_like_host_is_another_field(name: str) -> None:
    """It stays where it is, and ours is sent."""
    head = request_head("GET", "/", "a.test", [("A", "1"), (name, "b.test")])
    assert head == f"GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\n{name}: b.test\r\n\r\n".encode()


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Accept", "*/*"), ("X-Name", "Zoë")],
        [("A", "1"), ("a", "2"), ("B", "3"), ("A", "4")],
        [("A", "1"), ("hOsT", "b.test"), ("B", "2")],
        [("Hosts", "x")],
    ],
    ids=repr,
)
def test_headers_are_written_as_their_pairs(fields: list[tuple[str, str]]) -> None:
    """The values of one name in one line, and a Host among them in place of ours."""
    headers = Headers(fields)
    expected = request_head("GET", "/x", "a.test", headers.pairs())
    assert head_of_request("GET", "/x", "a.test", headers) == expected
