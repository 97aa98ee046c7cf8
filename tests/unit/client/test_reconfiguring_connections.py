"""Connections are kept while what they are made and read by stays the same, and are made anew for any change of it."""

from __future__ import annotations

import socket
from typing import Any

from http_service_client import ConnectionPoolConfig, EgressPolicy, HttpClientConfig, HttpServiceClient
from kit.rows import each_row

OPTION = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def of_pools() -> dict[str, dict[str, Any]]:
    """Settings of each kind."""
    certificate = {"ssl_cert_file": "/run/client.pem"}
    return {
        "idle for how long": {"keep_alive_timeout": 9.0},
        "requests": {"keep_alive_max_requests": 9},
        "age": {"max_connection_age": 9.0},
        "socket options": {"socket_options": [OPTION]},
        "source address": {"source_address": "127.0.0.1"},
        "Unix socket": {"uds": "/run/service.sock"},
        "certificate": certificate,
        "hosts of the certificate": {**certificate, "ssl_cert_hosts": ["api.example.com"]},
        "authorities": {"ssl_ca_file": "/run/authorities.pem"},
    }


def of_clients() -> dict[str, dict[str, Any]]:
    return {
        "proxy": {"proxy": "http://proxy.example:3128"},
        "egress policy": {"egress_policy": EgressPolicy(denied_hosts=["other.example.com"])},
        "HTTP/2": {"http2": True},
        "size of a response": {"max_response_size": 9},
        "headers of a response": {"max_response_headers": 9},
        "size of the headers": {"max_response_header_size": 99},
        "decoding": {"enable_response_decompression": False},
        "faults": {"tolerated_faults": ["bare-lf-in-chunks"]},
    }


OF_CONNECTIONS = [*of_pools(), *of_clients()]
OF_OTHERS: dict[str, Any] = {
    "timeouts": {"base_timeout": 9.0},
    "how many": {"max_connections": 9, "max_connections_per_host": 9},
    "headers": {"default_headers": {"X-A": "a"}},
    "cookies": {"cookies": True},
    "retries": {"retry_policy_config": {"max_attempts": 9}},
    "how many are idle": {"connection_pool": ConnectionPoolConfig(max_idle_connections=9)},
}


def config_of(name: str) -> HttpClientConfig:
    """Made anew each time, as from a file that is read again."""
    pools = of_pools()
    if name in pools:
        return HttpClientConfig(connection_pool=ConnectionPoolConfig(**pools[name]))
    return HttpClientConfig(**{**of_clients(), **OF_OTHERS}[name])


def keeps_its_connections(client: HttpServiceClient, config: HttpClientConfig) -> bool:
    before = client._backends
    client.reconfigure(config)
    return client._backends is before


@each_row("name", OF_CONNECTIONS)
def test_other_settings_of_connections_are_for_new_ones(name: str) -> None:
    """None of before serves a call of after, nor the other way round."""
    client = HttpServiceClient()
    assert not keeps_its_connections(client, config_of(name))
    assert not keeps_its_connections(client, HttpClientConfig())


@each_row("name", OF_CONNECTIONS)
def test_equal_settings_of_connections_keep_them(name: str) -> None:
    """A file that is read again costs no handshake."""
    client = HttpServiceClient(config_of(name))
    assert keeps_its_connections(client, config_of(name))


@each_row("name", OF_OTHERS)
def test_settings_of_something_else_keep_the_connections(name: str) -> None:
    """How many there may be is no property of one."""
    client = HttpServiceClient()
    assert keeps_its_connections(client, config_of(name))


def test_connections_of_before_end_when_they_are_idle() -> None:
    """Those that are idle at once, and those of calls in flight after their last exchange."""
    client = HttpServiceClient()
    idle = client._backends._settings.idle
    closed: list[str] = []
    idle.add("idle", 0.0, closed.append)
    client.reconfigure(config_of("proxy"))
    assert closed == ["idle"]
    idle.add("of a call in flight", 1.0, closed.append)
    assert closed == ["idle", "of a call in flight"]
