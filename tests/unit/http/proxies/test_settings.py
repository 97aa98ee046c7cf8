"""Proxy settings: which proxy a URL goes through, by the environment."""

from __future__ import annotations

import pytest

from http_service_client.http.proxies.settings import ProxySettings, unreadable_exceptions
from http_service_client.http.urls import split_url
from kit.rows import each_row


@each_row(
    ("environ", "url", "proxy"),
    [
        ({}, "http://h/", None),
        ({"http_proxy": "http://p:1"}, "http://h/", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "https://h/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://h/", "http://p:1"),
        ({"https_proxy": "http://low", "HTTPS_PROXY": "http://up"}, "https://h/", "http://low"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://up"}, "https://h/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://h/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h/", None),
        ({"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h/", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://h/", "socks5://p:1"),
        ({"all_proxy": ""}, "https://h/", None),
        ({"all_proxy": " ", "ALL_PROXY": "http://p:1"}, "http://h/", None),
        ({"HTTP_PROXY": " http://p:1 "}, "http://h/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a"}, "https://h/", None),
        ({"all_proxy": "http://a", "http_proxy": "http://b"}, "http://h/", "http://b"),
        ({"http_proxy": "p:3128"}, "http://h/", "http://p:3128"),
        ({"http_proxy": "http://u:p@p:1"}, "http://h/", "http://u:p@p:1"),
    ],
)
def test_the_environment_names_the_proxy(environ: dict[str, str], url: str, proxy: str | None) -> None:
    """Lower case wins; under CGI, HTTP_PROXY may come from an attacker."""
    settings = ProxySettings.from_environ(environ)
    assert settings.proxy_for(url) == proxy
    assert settings.proxy_for(split_url(url)) == proxy


@each_row(
    ("no_proxy", "url", "is_direct"),
    [
        ("*", "http://h/", True),
        ("", "http://h/", False),
        ("example.com", "http://example.com/", True),
        ("example.com", "http://a.example.com/", True),
        ("example.com", "http://notexample.com/", False),
        ("EXAMPLE.com", "http://Example.com/", True),
        (".example.com", "http://a.example.com/", True),
        (".example.com", "http://example.com/", True),
        ("*.example.com", "http://a.example.com/", True),
        ("*.example.com", "http://example.com/", False),
        ("example.com", "http://example.com./", True),
        ("bücher.example", "http://bücher.example/", True),
        ("example.com:8080", "http://example.com:8080/", True),
        ("example.com:8080", "http://example.com/", False),
        ("example.com:80", "http://example.com/", True),
        ("a, b c", "http://c/", True),
        ("a,,b", "http://b/", True),
        ("192.0.2.1", "http://192.0.2.1/", True),
        ("192.0.2.1", "http://192.0.2.2/", False),
        ("192.0.2.1:80", "http://192.0.2.1/", True),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.1/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.0.0.0/8", "http://[::1]/", False),
        ("10.0.0.0/8", "http://ten.example/", False),
        ("::1", "http://[::1]/", True),
        ("[::1]", "http://[0:0::1]/", True),
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("[::1]:8080", "http://[::1]/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("fd00::/8", "http://[fe80::1]/", False),
        ("a:b:c:d, h:x, ???, 1.2.3.4/99, http://h", "http://h/", False),
        ("localhost", "http://127.0.0.1/", False),
        ("10.0.0.0/8:8080", "http://10.1.2.3:8080/", True),
        ("10.0.0.0/8:8080", "http://10.1.2.3/", False),
        ("[fd00::/8]:8080", "http://[fd12::1]:8080/", True),
        ("[fd00::/8]:8080", "http://[fd12::1]/", False),
        ("*.example.com:8080", "http://a.example.com:8080/", True),
        ("*.example.com:8080", "http://example.com:8080/", False),
        ("*.example.com:8080", "http://a.example.com/", False),
        (".example.com:8080", "http://a.example.com:8080/", True),
        ("*:8080", "http://anything.example:8080/", True),
        ("*:8080", "http://anything.example/", False),
        ("example.com:443", "https://example.com/", True),
    ],
)
def test_no_proxy_names_the_exceptions(no_proxy: str, url: str, is_direct: bool) -> None:
    """By suffix, port, address and network; malformed entries match nothing."""
    settings = ProxySettings.from_environ({"ALL_PROXY": "http://p:1", "NO_PROXY": no_proxy})
    assert (settings.proxy_for(url) is None) is is_direct


def test_exceptions_that_cannot_be_read_are_listed() -> None:
    """As they were written; the others are in force."""
    listed = "Example.com, a:b:c:d, h:x 1.2.3.4/99,,[::1]:80, ???"
    assert unreadable_exceptions(listed) == ["a:b:c:d", "h:x", "1.2.3.4/99", "???"]
    assert unreadable_exceptions("") == []


def test_settings_are_values_that_show_no_password() -> None:
    """Immutable, comparable, safe to log."""
    settings = ProxySettings.from_environ({"http_proxy": "http://u:hunter2@p:1"})
    assert settings == ProxySettings(http="http://u:hunter2@p:1")
    assert repr(settings) == "ProxySettings(http='http://***@p:1', https=None, no_proxy=0)"
    with pytest.raises(AttributeError):
        settings.http = None  # type: ignore[misc]  # that it is frozen is the point
