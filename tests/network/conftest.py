"""Fixtures for real connections: certificates, and servers on loopback, two of which never respond."""

from __future__ import annotations

import gc
import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.over_aiohttp import connector as over_aiohttp_connector
from http_service_client.transports.over_requests import connector as over_requests_connector
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from network.faults import Certificates, served, swallowing
from network.hooked_path import go_through_aiohttp

if TYPE_CHECKING:
    from kit.http2_server import Http2Server, NewClient


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A scripted server on loopback."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that only these tests trust."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def ca_file(certificates: Certificates, tmp_path: Path) -> str:
    """A copy of the authority's file, so that no other test shares its context."""
    return str(shutil.copy(certificates.ca_file, tmp_path / "ca.pem"))


@pytest.fixture
def tls_server(certificates: Certificates) -> Iterator[LoopbackServer]:
    """A scripted server on loopback that speaks TLS."""
    with LoopbackServer(tls=certificates.server_context()) as server:
        yield server


@pytest.fixture
def hole() -> Iterator[str]:
    """The host:port of a server with a full backlog: it neither accepts nor refuses."""
    with swallowing() as address:
        yield address


@pytest.fixture
def mute() -> Iterator[str]:
    """The host:port of a server that accepts connections and never sends anything."""
    with served(lambda accepted, is_over: is_over.wait(10)) as address:
        yield address


@pytest.fixture
def big(server: LoopbackServer) -> bytes:
    """The content of a body of a megabyte, at /big."""
    content = bytes(range(256)) * 4096
    server.script("/big", respond(body=content))
    return content


@pytest.fixture(params=["blocking", "asyncio", "asyncio, through aiohttp"])
def each_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    """Both front ends, and asyncio once more through aiohttp, as if something had hooked in."""
    if request.param.endswith("through aiohttp"):
        go_through_aiohttp(monkeypatch)
    with (BlockingFrontEnd if request.param == "blocking" else AsyncioFrontEnd)() as front_end:
        yield front_end


@pytest.fixture
def http2_server(certificates: Certificates) -> Iterator[Http2Server]:
    """A server that speaks HTTP/2."""
    from kit.http2_server import Http2Server  # it needs an extra

    with Http2Server(certificates.server_context()) as server:
        yield server


@pytest.fixture
def new_client(front_end: FrontEnd, certificates: Certificates) -> NewClient:
    """Makes clients that use HTTP/2 and trust the server.   pool: settings of their connection pool."""

    def new(pool: dict[str, Any] | None = None, **settings: Any) -> HttpServiceClient:
        pool_config = certificates.pool(**(pool or {}))
        return front_end.client(
            **{"http2": True, "base_timeout": 5.0, "connection_pool": pool_config, **settings}
        )

    return new


@pytest.fixture
def http2_client(new_client: NewClient) -> HttpServiceClient:
    """Such a client with default settings."""
    return new_client()


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system buffers few bytes of an upload, as over a slow network."""
    connect, connect_async = (
        over_requests_connector.connect_to_any,
        over_aiohttp_connector.connect_to_any_async,
    )

    def made(*about: Any) -> socket.socket:
        return small(connect(*about))

    async def made_async(*about: Any) -> socket.socket:
        return small(await connect_async(*about))

    def small(sock: socket.socket) -> socket.socket:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return sock

    monkeypatch.setattr(over_requests_connector, "connect_to_any", made)
    monkeypatch.setattr(over_aiohttp_connector, "connect_to_any_async", made_async)


@pytest.fixture
def nothing_left_unclosed() -> Any:
    """A transport or a socket that is garbage-collected unclosed fails the test."""
    yield
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert not [str(warning.message) for warning in caught]
