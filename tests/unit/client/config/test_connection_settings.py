"""Which settings a connection is made by: when one of them changes, a running client makes other connections."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, ConnectionPoolConfig, EgressPolicy, HttpClientConfig
from http_service_client.client.wiring import connection_settings, transport_settings
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.network.sockets import SocketSettings
from kit.rows import each_row

OF_CALLS = {
    *("max_connections", "max_connections_per_host", "max_idle_connections", "connection_timeout"),
    *("request_timeout", "pool_timeout", "enable_compression", "compression_threshold"),
}
POOL: dict[str, Any] = {
    "max_connections": 7,
    "max_connections_per_host": 7,
    "connection_timeout": 7.0,
    "request_timeout": 7.0,
    "pool_timeout": 7.0,
    "max_idle_connections": 7,
    "keep_alive_timeout": 7.0,
    "keep_alive_max_requests": 7,
    "max_connection_age": 7.0,
    "socket_options": [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)],
    "source_address": "127.0.0.1",
    "uds": "/run/app.sock",
    "ssl_verify": False,
    "ssl_cert_file": "cert.pem",
    "ssl_key_file": "key.pem",
    "ssl_key_password": "hush",
    "ssl_cert_hosts": ["api.example.com"],
    "ssl_ca_file": "ca.pem",
    "ssl_context": ssl.create_default_context,
    "enable_compression": False,
    "compression_threshold": 7,
}
TOP: dict[str, Any] = {
    "max_response_size": 7,
    "max_response_headers": 7,
    "max_response_header_size": 7,
    "enable_response_decompression": False,
    "egress_policy": EgressPolicy(),
    "tolerated_faults": ["repeated-content-length"],
    "proxy": "http://proxy:3128",
    "trust_env_proxy_settings": False,
}


def test_the_table_has_every_setting_of_connections() -> None:
    """Somebody decides for a new one."""
    assert POOL.keys() == {item.name for item in dataclasses.fields(ConnectionPoolConfig)}


def settings_of(config: HttpClientConfig) -> tuple[object, ...]:
    """Those of the connections."""
    return connection_settings(config, transport_settings(config))


def test_a_setting_of_connections_makes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other setting does."""
    monkeypatch.setenv("HTTPS_PROXY", "http://env:3128")
    plain = HttpClientConfig()
    assert settings_of(plain) == settings_of(HttpClientConfig(base_timeout=7.0, auth="token"))
    for name, value in {**POOL, **TOP}.items():
        pool = {name: value} if name in POOL else {}
        if name in ("ssl_key_file", "ssl_key_password", "ssl_cert_hosts"):
            pool["ssl_cert_file"] = "cert.pem"
        config = HttpClientConfig(
            connection_pool=ConnectionPoolConfig(**pool), **({} if name in POOL else {name: value})
        )
        assert (settings_of(config) != settings_of(plain)) is (name not in OF_CALLS), name


@each_row(
    ("options", "source", "expected"),
    [
        ([], None, SocketSettings()),
        ([(6, 9, -(2**31)), [6, 9, 2**31 - 1]], None, SocketSettings(((6, 9, -(2**31)), (6, 9, 2**31 - 1)))),
        ([(-(2**31), 2**31 - 1, True)], None, SocketSettings(((-(2**31), 2**31 - 1, True),))),
        (((6, 9, b"lo"),), None, SocketSettings(((6, 9, b"lo"),))),
        ([], "127.0.0.1", SocketSettings((), ("127.0.0.1", 0))),
        ([], "fe80::1", SocketSettings((), ("fe80::1", 0))),
        ([], ("127.0.0.1", 0), SocketSettings((), ("127.0.0.1", 0))),
        ([], ["127.0.0.1", 65535], SocketSettings((), ("127.0.0.1", 65535))),
    ],
)
def test_what_sockets_take(options: Any, source: Any, expected: SocketSettings) -> None:
    """Whole numbers of 32 bits, switches and bytes; an address alone, or with its port."""
    pool = ConnectionPoolConfig(socket_options=options, source_address=source)
    assert transport_settings(HttpClientConfig(connection_pool=pool)).sockets == expected


def test_the_lists_of_a_pool_do_not_change() -> None:
    """They are copied, so that it is a value: equal by its fields, and the key of a mapping."""
    option, hosts = [6, 9, 1], ["api.example.com"]
    options = [option]
    pool = ConnectionPoolConfig(socket_options=options, ssl_cert_file="cert.pem", ssl_cert_hosts=hosts)  # type: ignore[arg-type]
    same = ConnectionPoolConfig(
        socket_options=((6, 9, 1),), ssl_cert_file="cert.pem", ssl_cert_hosts=("api.example.com",)
    )
    option[2] = 0
    options.clear()
    hosts.clear()
    assert pool == same
    assert hash(pool) == hash(same)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_pool_has_its_ssl_context(how: Callable[[Any], Any]) -> None:
    """A context cannot be copied itself, and is for several pools to share."""
    context = ssl.create_default_context()
    pool = ConnectionPoolConfig(ssl_context=context, max_connections=7)
    assert how(pool) == pool
    assert how({"orders": pool})["orders"].ssl_context is context


def test_no_connection_need_be_kept_and_every_body_may_be_compressed() -> None:
    """Zero is a number of idle connections, of redirects and of bytes."""
    pool = ConnectionPoolConfig(max_idle_connections=0, compression_threshold=0)
    assert HttpClientConfig(connection_pool=pool, allowed_redirect_count=0).pool == pool


@each_row(
    ("settings", "message"),
    [
        ({"uds": "http://app.sock"}, r"^uds must be a path, without a scheme, such as '/run/app.sock', not 'http:"),
        ({"uds": "/run/\0"}, r"^uds must be the path of a Unix socket, or None, not '/run/"),
        ({"uds": Path("/run/a"), "source_address": "::1"}, r"^source_address conflicts with uds=.*'/run/a'.*; set one$"),
        ({"socket_options": [(1, 2)]}, r"^socket_options must have \(level, option, value\) in it, .*, not \(1, 2\)$"),
        ({"socket_options": [(2**31, 2, 3)]}, r"^socket_options must have \(level, option, value\) in it"),
        ({"socket_options": [(1, -(2**31) - 1, 3)]}, r"^socket_options must have \(level, option, value\) in it"),
        ({"socket_options": [(1, 2, -(2**31) - 1)]}, r"^socket_options must have a value of 32 bits or bytes in each"),
        ({"socket_options": [b"abc"]}, r"^socket_options must have \(level, option, value\) in it"),
    ],
)  # fmt: skip
def test_what_sockets_do_not_take(settings: dict[str, Any], message: str) -> None:
    """Each mistake has its own remedy."""
    with pytest.raises(ConfigurationError, match=message):
        ConnectionPoolConfig(**settings)


@pytest.mark.parametrize("proxy", [{"no": "a.test"}, {}])
def test_a_unix_socket_needs_no_proxy(proxy: Any) -> None:
    """And conflicts with none that is not set."""
    pool = ConnectionPoolConfig(uds=Path("/run/app.sock"))
    settings = transport_settings(HttpClientConfig(connection_pool=pool, proxy=proxy))
    assert (settings.uds, settings.proxies) == ("/run/app.sock", ProxySettings())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_unix_socket_conflicts_with_a_proxy_of_any_scheme(scheme: str) -> None:
    """No proxy leads to it."""
    pool = ConnectionPoolConfig(uds="/run/app.sock")
    with pytest.raises(
        ConfigurationError, match=r"^proxy conflicts with uds='/run/app.sock' of connection_pool"
    ):
        HttpClientConfig(connection_pool=pool, proxy={scheme: "http://proxy:3128"})


def test_another_environment_makes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its proxies are read again."""
    before = settings_of(HttpClientConfig())
    monkeypatch.setenv("HTTPS_PROXY", "http://env:3128")
    assert settings_of(HttpClientConfig()) != before


def test_a_pool_goes_through_pickle_with_a_function_that_makes_its_context() -> None:
    """A context itself cannot: the error says what can."""
    pool = ConnectionPoolConfig(ssl_context=ssl.create_default_context)
    assert pickle.loads(pickle.dumps(pool)) == pool
    with pytest.raises(TypeError, match="set ssl_context to a function of a module that makes the context"):
        pickle.dumps(ConnectionPoolConfig(ssl_context=ssl.create_default_context()))
