"""Which settings a connection is made by: when one of them changes, a running client makes other connections."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, EgressPolicy, HttpClientConfig
from http_service_client.client.wiring import connection_settings, transport_settings

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


def test_another_environment_makes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its proxies are read again."""
    before = settings_of(HttpClientConfig())
    monkeypatch.setenv("HTTPS_PROXY", "http://env:3128")
    assert settings_of(HttpClientConfig()) != before
