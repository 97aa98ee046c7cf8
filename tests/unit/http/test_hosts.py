"""Hosts: one spelling of each machine, and the port of a list's entry."""

from __future__ import annotations

import ipaddress
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.hosts import normalise_host, split_port
from kit.rows import each_row


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


@each_row(
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


@each_row("entry", ["example.com:", "example.com:http", ":80", "[::1]:", "a:123456", "a:٨"])
def test_a_port_that_is_not_a_number_is_an_error(entry: str) -> None:
    """So is a port without a host."""
    with pytest.raises(ValueError, match="port"):
        split_port(entry)


LONG = ".".join(["a" * 63] * 3)  # 191 characters


@each_row(
    ("host", "is_name"),
    [
        ("a" * 63, True),
        ("a" * 64, False),
        (f"{LONG}.{'a' * 61}", True),
        (f"{LONG}.{'a' * 61}.", True),  # 253 characters, and the root
        (f"{LONG}.{'a' * 62}.", False),
        (f"{LONG}.{'a' * 63}", False),
        ("a..b", False),
        ("a..", False),
        (".a", False),
        (".", False),
    ],
)
def test_labels_and_names_have_lengths(host: str, is_name: bool) -> None:
    """1 to 63 characters, and 253 in all (RFC 1035, 2.3.4); a dot may end the name."""
    if is_name:
        assert normalise_host(host.upper()) == host
    else:
        with pytest.raises(InvalidRequestError, match="label"):
            normalise_host(host)


def test_a_typed_name_has_a_thousand_characters_at_most() -> None:
    """idna takes quadratic time; nothing is left of a soft hyphen in a name."""
    assert normalise_host("é" + "\xad" * 999) == "xn--9ca"
    with pytest.raises(InvalidRequestError, match="not a valid international domain name"):
        normalise_host("é" + "\xad" * 1000)


@pytest.mark.parametrize("error", [UnicodeError, ValueError, IndexError])
def test_whatever_idna_raises_is_an_invalid_request(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its errors are UnicodeErrors; some releases raise others for odd names."""

    def encode(*args: object, **kwargs: object) -> bytes:
        raise error("odd")

    monkeypatch.setattr("idna.encode", encode)
    with pytest.raises(InvalidRequestError, match="not a valid international domain name"):
        normalise_host("é")


def test_without_idna_a_name_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to write."""
    monkeypatch.setitem(sys.modules, "idna", None)
    assert normalise_host("xn--9ca") == "xn--9ca"
    with pytest.raises(InvalidRequestError, match=r"the package idna is not installed; write it as xn--"):
        normalise_host("é")


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("a b", "the host 'a b' has"),
        ("a" * 99 + "*b", f"the host '{'a' * 99}*' has"),
        ("user:a b", "the host in the URL has"),
        ("[::g]", "the host '[::g]' is"),
    ],
)
def test_an_error_shows_the_host_but_no_password(host: str, shown: str) -> None:
    """Up to 100 characters; outside brackets, what has a colon may be a login."""
    with pytest.raises(InvalidRequestError) as caught:
        normalise_host(host)
    assert str(caught.value).startswith(shown)
