"""Hosts: one spelling of each machine, and the port of a list's entry."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.hosts import normalise_host, split_port


@given(st.integers(0, 2**128 - 1), st.lists(st.integers(0, 7)))
def test_ipv6_text_means_the_same_address(number: int, zeros: list[int]) -> None:
    """Compression by RFC 5952 is lossless, with any groups of zeros."""
    for group in zeros:
        number &= ~(0xFFFF << 16 * group)
    host = normalise_host(f"[{ipaddress.IPv6Address(number).exploded}]")
    assert int(ipaddress.IPv6Address(host[1:-1])) == number
    assert normalise_host(host) == host
    if number >> 32 != 0xFFFF:
        assert host[1:-1] == str(ipaddress.IPv6Address(number))


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ("example.com", ("example.com", None)),
        ("example.com:8080", ("example.com", 8080)),
        ("*.example.com:80", ("*.example.com", 80)),
        ("10.0.0.0/8:80", ("10.0.0.0/8", 80)),
        ("[::1]:80", ("[::1]", 80)),
        ("[::1]", ("[::1]", None)),
        ("::1", ("::1", None)),
        ("fe80::1:80", ("fe80::1:80", None)),
        ("example.com:99999", ("example.com", 99999)),
    ],
)
def test_an_entry_is_split_at_its_port(entry: str, parts: tuple[str, int | None]) -> None:
    """An IPv6 address without brackets has no port, even where it ends like one."""
    assert split_port(entry) == parts


@pytest.mark.parametrize("entry", ["example.com:", "example.com:http", ":80", "[::1]:", "a:123456", "a:٨"])
def test_a_port_that_is_not_a_number_is_an_error(entry: str) -> None:
    """So is a port without a host."""
    with pytest.raises(ValueError, match="port"):
        split_port(entry)
