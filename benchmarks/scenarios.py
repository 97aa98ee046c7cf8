"""What each library does in a measurement, and what the two kinds of clients share.

Each keeps a connection alive, has its defaults, and is used as its documentation shows. A library that is not installed (not
every one has a wheel for each Python) is left out.
"""

from __future__ import annotations

import importlib
import json
import ssl
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from http_service_client import ConnectionPoolConfig, HttpClientConfig

from .clients import our_config

Call = Callable[[], Any]


def installed(name: str) -> Any:
    """The module, or None where it is not installed."""
    with suppress(ImportError):
        return importlib.import_module(name)
    return None


class Scenario(NamedTuple):
    """What each library does.

    url: where to.   json: what to POST; None for a GET.   ca_file: for HTTPS.
    connections: how many may be in use, where the library asks; None for its default.
    """

    url: str
    json: Any = None
    ca_file: str | None = None
    connections: int | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For those that take a context; None for plain HTTP."""
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the URL."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    @property
    def path(self) -> str:
        """That of the URL."""
        return urlsplit(self.url).path

    @property
    def ready(self) -> bytes:
        """The request as bytes, for those that send it themselves."""
        parts = urlsplit(self.url)
        if self.json is None:
            return f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()
        content = json.dumps(self.json)
        return (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n{content}"
        ).encode()


def made_by(
    makers: Mapping[str, Callable[..., Call | None]], names: Collection[str], *arguments: Any
) -> dict[str, Call]:
    """The calls of those libraries that are installed, and have one of these names, if there are any."""
    calls = {name: make(*arguments) for name, make in makers.items() if not names or name in names}
    return {name: call for name, call in calls.items() if call is not None}


def our_settings(scenario: Scenario) -> HttpClientConfig:
    """The defaults, two interceptors, and what the scenario asks for."""
    pool: dict[str, Any] = {"ssl_ca_file": scenario.ca_file}
    if scenario.connections:
        pool |= {
            "max_connections": scenario.connections,
            "max_connections_per_host": scenario.connections,
        }
    return our_config(connection_pool=ConnectionPoolConfig(**pool))


def with_authority(builder: Any, scenario: Scenario) -> Any:
    """A builder of pyreqwest's that trusts the server of the benchmarks."""
    if scenario.ca_file is None:
        return builder
    return builder.add_root_certificate_pem(Path(scenario.ca_file).read_bytes())


def wreq_settings(scenario: Scenario) -> dict[str, Any]:
    """Of a client of wreq's, that it may trust the server of the benchmarks."""
    return {"tls_verify": Path(scenario.ca_file)} if scenario.ca_file else {}
