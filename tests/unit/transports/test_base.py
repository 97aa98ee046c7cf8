"""What the transports have in common."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.headers import Headers
from http_service_client.http.messages import HttpRequest
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.urls import split_url
from http_service_client.transports import base
from http_service_client.transports.base import TransportSettings, smaller
from http_service_client.transports.network.tls import TlsSettings
from kit.rows import each_row

TCP, UNIX = "http://a.test/", "http+unix://%2Frun%2Furl.sock/"


def settings(**others: Any) -> TransportSettings:
    given: dict[str, Any] = {"tls": TlsSettings(), "proxies": ProxySettings(), **others}
    return TransportSettings(60.0, 100, None, **{"decompress": True, **given})


@each_row(
    ("one", "other", "least"), [(1, 2, 1), (2, 1, 1), (None, 2, 2), (1, None, 1), (0, None, 0), (None, None, None)]
)  # fmt: skip
def test_the_smaller_of_two_limits(one: int | None, other: int | None, least: int | None) -> None:
    """None is no limit; 0 is one."""
    assert smaller(one, other) == least


@pytest.mark.parametrize(
    ("uds", "url", "path"),
    [
        (None, TCP, None),
        (None, UNIX, "/run/url.sock"),
        ("/run/set.sock", TCP, "/run/set.sock"),
        ("/run/set.sock", UNIX, "/run/set.sock"),
    ],
)
def test_a_connection_leads_to_a_socket_by_the_settings_or_the_url(
    uds: str | None, url: str, path: str | None
) -> None:
    """The settings come first."""
    assert settings(uds=uds).socket_path(split_url(url)) == path


@each_row("setting", [True, False])
@each_row("of_request", [True, False, None])
def test_a_request_says_whether_its_response_is_decoded(setting: bool, of_request: bool | None) -> None:
    """None leaves it to the settings. A part cannot be decoded, whatever they say; the whole can, as a 206 as well."""
    request = HttpRequest("GET", TCP)
    request.decompress = of_request
    decoded = setting if of_request is None else of_request
    whole = Headers({"Content-Range": "bytes 0-9/10"})
    assert settings(decompress=setting).decompresses(request, 200, Headers()) is decoded
    assert settings(decompress=setting).decompresses(request, 206, whole) is decoded
    assert settings(decompress=setting).decompresses(request, 206, Headers()) is False


@pytest.mark.parametrize(("limit", "most"), [(None, 10 * 1024 * 1024), (0, 0), (99, 99)])
def test_what_comes_before_the_request_is_sent_is_limited(limit: int | None, most: int) -> None:
    """To the size of a response; to 10 MiB where that has no limit."""
    given: dict[str, Any] = {"tls": TlsSettings(), "proxies": ProxySettings()}
    made = TransportSettings(60.0, 100, limit, True, **given)
    assert made.most_early == most


def test_what_is_not_set_is_off() -> None:
    """No limit of age, no socket, no policy, and no HTTP/2."""
    made = settings()
    assert (made.max_connection_age, made.uds, made.egress, made.http2) == (None, None, None, False)


def test_a_connection_lives_as_long_as_the_settings_say() -> None:
    """From the moment it is made."""
    made = settings(max_connection_age=1e-9).new_lifetime()
    assert (made.max_idle, made.max_requests) == (60.0, 100)
    assert made.is_over(served=0)
    assert not settings().new_lifetime().is_over(served=99)


def test_the_limits_of_a_redirect_s_body() -> None:
    """64 KiB and a second: a longer body costs more than a new connection."""
    assert (base.REDIRECT_BODY, base.REDIRECT_WAIT) == (65_536, 1.0)
