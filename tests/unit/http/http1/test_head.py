"""The head of a request, and what the head of a response says of its framing."""

from __future__ import annotations

from itertools import product

import pytest

from http_service_client.http.http1.head import request_head


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
