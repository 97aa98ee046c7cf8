"""The URL of a proxy: its address, the login for it, and URLs that are no proxy's."""

from __future__ import annotations

import pytest

from http_service_client.errors import Failure, ProxyError, SentState
from http_service_client.http.proxies.urls import HttpProxy, Proxy, SocksProxy, read_proxy, redact_proxy
from http_service_client.http.urls import Url
from kit.rows import each_row

BASIC = (("Proxy-Authorization", "Basic dTpw"),)
LONGEST = "x" * 255


@each_row(
    ("url", "proxy"),
    [
        ("http://p", HttpProxy(Url("http", "p", 80, "/"))),
        ("https://p", HttpProxy(Url("https", "p", 443, "/"))),
        ("http://P.Example:3128/path?query", HttpProxy(Url("http", "p.example", 3128, "/"))),
        ("http://[2001:DB8::1]:3128", HttpProxy(Url("http", "2001:db8::1", 3128, "/"))),
        ("http://bücher.example:1", HttpProxy(Url("http", "xn--bcher-kva.example", 1, "/"))),
        ("http://u:p@p:1", HttpProxy(Url("http", "p", 1, "/"), BASIC)),
        ("http://%75:%70@p:1", HttpProxy(Url("http", "p", 1, "/"), BASIC)),
        ("http://u@p", HttpProxy(Url("http", "p", 80, "/"), (("Proxy-Authorization", "Basic dTo="),))),
        ("http://:p@p", HttpProxy(Url("http", "p", 80, "/"), (("Proxy-Authorization", "Basic OnA="),))),
        ("socks5://p", SocksProxy("p", 1080, None, resolves=False)),
        ("socks5h://p", SocksProxy("p", 1080, None, resolves=True)),
        ("socks5h://[::1]:1081", SocksProxy("::1", 1081, None, resolves=True)),
        ("socks5://j%C3%B6:a%40b@p", SocksProxy("p", 1080, ("jö".encode(), b"a@b"), resolves=False)),
        ("socks5://u@p", SocksProxy("p", 1080, (b"u", b""), resolves=False)),
        ("socks5://:p@p", SocksProxy("p", 1080, (b"", b"p"), resolves=False)),
        (f"socks5://{LONGEST}:p@p", SocksProxy("p", 1080, (LONGEST.encode(), b"p"), resolves=False)),
    ],
)
def test_a_proxy_is_read_from_its_url(url: str, proxy: Proxy) -> None:
    """With its scheme's default port, a normalised host, and an unescaped login."""
    assert read_proxy(url) == proxy


@each_row(
    ("url", "problem"),
    [
        ("socks4://h:1", "socks4://h:1 has an unknown scheme"),
        ("ftp://u:s3cret@h", "ftp://***@h has an unknown scheme"),
        ("h:3128", "h:3128 has an unknown scheme"),
        ("http://h:0", "http://h:0 has port 0, which is not a valid port"),
        ("http://h:65536", "http://h:65536 is not a valid proxy URL"),
        ("http://h:x", "http://h:x is not a valid proxy URL"),
        ("http://", "http:// is not a valid proxy URL"),
        ("http://[::1", "http://[::1 is not a valid proxy URL"),
        ("http://127.1", "http://127.1 is not a valid proxy URL"),
        ("http://u%3As3cret:p@h", "http://***@h is not a valid proxy URL"),
        ("http://u:s3%00cret@h", "http://***@h is not a valid proxy URL"),
        (f"socks5://{LONGEST}x:s3cret@h", "socks5://***@h is not a valid proxy URL"),
        (f"socks5://u:{LONGEST}x@h", "socks5://***@h is not a valid proxy URL"),
    ],
)
def test_any_other_url_is_a_failure_of_each_request(url: str, problem: str) -> None:
    """Nothing is sent; the message names the URL without its login, and the next step."""
    failure = read_proxy(url)
    assert isinstance(failure, Failure)
    assert (failure.error_type, failure.sent_state) == (ProxyError, SentState.NEVER_SENT)
    assert failure.message == (
        f"{problem}; use http://host:port, https://, socks5:// or socks5h://, or exclude the host by NO_PROXY"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:1", "http://h:1"),
        ("http://u:p@h:1", "http://***@h:1"),
        ("u:p@h:1", "***@h:1"),
        ("http://u:p@q/r?s#t@h:1", "http://***@h:1"),
        ("http://u:p\nq@h", "http://***@h"),
    ],
)
def test_a_login_is_redacted_up_to_the_last_at_sign(url: str, shown: str) -> None:
    """A password may have characters that should be escaped."""
    assert redact_proxy(url) == shown


@pytest.mark.parametrize(
    ("names", "has_own"),
    [
        ([], False),
        (["Accept", "Authorization"], False),
        (["Accept", "PROXY-Authorization"], True),
        (["proxy-authorization", "Accept"], True),
    ],
)
def test_a_request_with_its_own_login_for_the_proxy_gets_no_second_one(
    names: list[str], has_own: bool
) -> None:
    """In any letter case."""
    proxy = HttpProxy(Url("http", "p", 80, "/"), BASIC)
    assert proxy.fields_beside(names) == (() if has_own else BASIC)
