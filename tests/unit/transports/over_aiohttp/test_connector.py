"""How the asyncio transport connects: the steps of each way to an origin, and what is left of one that fails.

No step is a real one: each is noted.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client import EgressPolicy, EgressRefusedError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.proxies.urls import read_proxy
from http_service_client.http.urls import split_url
from http_service_client.transports.failures import Phase, PhaseError, ProxyRefusedError
from http_service_client.transports.network.tls_sessions import RESUMPTION
from http_service_client.transports.over_aiohttp import connector
from http_service_client.transports.over_aiohttp.connection import Connection
from kit.http1_network import Wire
from kit.jumping_loop import JumpingLoop

FOUND: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
SOCKETS = object()


class ProxyWire(Wire):
    """It responds to what is written, after which `error` ends it.   response: of a proxy."""

    response = b""
    error: Exception | None = None

    def write(self, data: Any) -> None:
        super().write(data)
        if self.response:
            self.loop.call_soon(self.says, self.response)
        if self.error is not None:
            self.loop.call_soon(self.loses, self.error)


class Network(JumpingLoop):
    """fails: at the step of this name, in place of it.   closed: whether the pool is."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Any] = []
        self.fails: dict[str, BaseException] = {}
        self.response = TUNNEL
        self.error: Exception | None = None
        self.egress: EgressPolicy | None = None
        self.path: str | None = None
        self.sock = Mock()
        self.wires: list[ProxyWire] = []
        self.pool: Any = SimpleNamespace(
            loop=self, new_connection=self.new_connection, closed=False, forget=Mock()
        )
        self.resumption = Mock()
        self.connection: Any = None

    def note(self, *step: Any) -> None:
        self.steps.append(step)
        if step[0] in self.fails:
            raise self.fails[step[0]]

    def new_connection(self) -> Connection:
        self.connection = Connection(self, ParserSettings(), None, Mock(), Mock())
        return self.connection

    def connect(self, url: str, proxy: str | None = None) -> Any:
        self.steps.clear()
        settings: Any = SimpleNamespace(
            tls=SimpleNamespace(context_for_async=self.context_for),
            egress=self.egress,
            sockets=SOCKETS,
            socket_path=lambda url: self.path,
        )
        found: Any = None if proxy is None else read_proxy(proxy)
        return self.run_until_complete(connector.connect(self.pool, split_url(url), found, settings, 10.0))

    # What the connector calls.

    async def context_for(self, peer: tuple[str, int]) -> Any:
        self.note("context", *peer)
        return peer

    async def resolve(self, host: str, port: int) -> list[Any]:
        self.note("resolve", host, port)
        return FOUND

    async def to_any(self, addresses: list[Any], within: float, sockets: Any) -> Any:
        assert sockets is SOCKETS
        self.note("connect", [address[4][0] for address in addresses], within)
        return self.sock

    async def to_unix(self, path: str, sockets: Any) -> Any:
        assert sockets is SOCKETS
        self.note("connect", path)
        return self.sock

    async def by_socks(self, proxy: Any, host: str, port: int, within: float, sockets: Any) -> Any:
        assert sockets is SOCKETS
        self.note("socks", proxy.host, host, port, within)
        return self.sock

    def resumption_for(self, context: Any, peer: Any) -> Any:
        self.note("resumption", context, *peer)
        return self.resumption

    def tls(self, context: Any, name: str, seconds: float) -> tuple[Any, ...]:
        assert seconds > 1_000_000  # the connect timeout ends it
        return (context, name, RESUMPTION.get() is self.resumption)

    async def create_connection(self, factory: Any, *, sock: Any, **tls: Any) -> Any:  # type: ignore[override]
        assert sock is self.sock
        found = self.tls(tls["ssl"], tls["server_hostname"], tls["ssl_handshake_timeout"]) if tls else ()
        self.note("start", *found)
        wire = ProxyWire(self, factory())
        wire.response, wire.error = self.response, self.error
        self.wires.append(wire)

    async def start_tls(self, transport: Any, protocol: Any, context: Any, **tls: Any) -> Any:  # type: ignore[override]
        assert (transport, protocol) == (self.wires[0], self.connection)
        self.note("tls", *self.tls(context, tls["server_hostname"], tls["ssl_handshake_timeout"]))
        within = ProxyWire(self, protocol)
        self.wires.append(within)
        protocol.transport = transport
        return within


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    made = Network()
    for name, stand_in in (
        ("resolve_async", made.resolve),
        ("connect_to_any_async", made.to_any),
        ("connect_to_unix_async", made.to_unix),
        ("connect_by_socks_async", made.by_socks),
        ("resumption_for", made.resumption_for),
        (
            "forget_half_made",
            lambda loop, sock: made.steps.append(("forget", loop is made, sock is made.sock)),
        ),
    ):
        monkeypatch.setattr(connector, name, stand_in)
    monkeypatch.setattr(connector, "sys", SimpleNamespace(version_info=(3, 11)))
    yield made
    made.close()


A, P = ("a.test", 443), ("proxy.test", 443)
HTTP = "http://user:secret@proxy.test:3128"
DIRECT = ("connect", ["192.0.2.1"], 10.0)

WAYS: list[Any] = [
    ("http://a.test/", None, [("resolve", "a.test", 80), DIRECT, ("start",)]),
    (
        "https://a.test./", None,
        [
            ("context", "a.test.", 443), ("resumption", ("a.test.", 443), "a.test.", 443, None, None),
            ("resolve", "a.test.", 443), DIRECT, ("start", ("a.test.", 443), "a.test", True),
        ],
    ),
    ("http://a.test/", HTTP, [("resolve", "proxy.test", 3128), DIRECT, ("start",)]),
    (
        "http://a.test/", "https://proxy.test",
        [("context", *P), ("resolve", *P), DIRECT, ("start", P, "proxy.test", False)],
    ),
    (
        "https://a.test/", HTTP,
        [
            ("context", *A), ("resumption", A, *A, read_proxy(HTTP), None), ("resolve", "proxy.test", 3128), DIRECT,
            ("start",), ("tls", A, "a.test", True),
        ],
    ),
    ("http://a.test/", "socks5h://proxy.test:9", [("socks", "proxy.test", "a.test", 80, 10.0), ("start",)]),
    (
        "https://a.test/", "socks5://proxy.test:9",
        [
            ("context", *A), ("resumption", A, *A, read_proxy("socks5://proxy.test:9"), None), ("resolve", *A),
            ("socks", "proxy.test", "192.0.2.1", 443, 10.0), ("start", A, "a.test", True),
        ],
    ),
    (
        "https://a.test/", "https://proxy.test",
        [
            ("context", *A), ("context", *P), ("resolve", *P), DIRECT, ("start", P, "proxy.test", False),
            ("tls", A, "a.test", False),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "proxy", "steps"), WAYS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_way_to_an_origin(network: Network, url: str, proxy: str | None, steps: list[Any]) -> None:
    """Only what must be resolved here is; a session is resumed with the origin alone, and kept by the connection."""
    made = network.connect(url, proxy)
    assert network.steps == steps
    assert made is network.connection
    assert made.transport is network.wires[-1]
    is_resumed = "resumption" in [step[0] for step in steps]
    assert made.resumption is (network.resumption if is_resumed else None)
    assert not any(wire.is_aborted for wire in network.wires)
    network.sock.close.assert_not_called()
    network.pool.forget.assert_not_called()


@pytest.mark.parametrize(
    ("url", "proxy", "steps"), WAYS, ids=lambda each: each if isinstance(each, str) else ""
)
@pytest.mark.parametrize("error", [OSError("x"), KeyboardInterrupt()], ids=["OSError", "KeyboardInterrupt"])
def test_a_step_that_fails_leaves_nothing_open(
    network: Network, url: str, proxy: str | None, steps: list[Any], error: BaseException
) -> None:
    """Whichever it is, and whatever the error. A session that was to be resumed may be the reason, and is dropped."""
    for failing in {step[0] for step in steps}:
        network.fails = {failing: error}
        network.wires, network.connection = [], None
        network.sock, network.resumption, network.pool.forget = Mock(), Mock(), Mock()
        with pytest.raises((type(error), PhaseError)):
            network.connect(url, proxy)
        has_begun = network.connection is not None
        assert has_begun is (failing in ("start", "tls"))
        assert network.sock.close.called is has_begun
        assert (("forget", True, True) in network.steps) is has_begun
        if has_begun:
            network.pool.forget.assert_called_once_with(network.connection)
            assert network.connection.must_close
            assert all(wire.is_aborted for wire in network.wires)
            assert network.resumption.failed.called is ("resumption" in [step[0] for step in steps])


@pytest.mark.parametrize(
    ("url", "target"),
    [("https://a.test:8443/", "a.test:8443"), ("https://[2001:db8::1]/", "[2001:db8::1]:443")],
)
def test_a_tunnel_is_asked_for_by_host_and_port(network: Network, url: str, target: str) -> None:
    """With the login for the proxy. What the proxy sent behind its response is not the origin's."""
    network.response = TUNNEL + b"more"
    made = network.connect(url, HTTP)
    login = "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"
    expected = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode()
    assert network.wires[0].written == expected
    assert (made.parser.rest, made.has_unread) == (b"", False)


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        ("200 OK", None),
        ("204 No Content", None),
        ("299 Odd", None),
        ("300 Odd", "300 Odd"),
        ("407 Proxy Authentication Required", "407 Proxy Authentication Required"),
        ("503 ", "503"),
    ],
)
def test_a_proxy_opens_a_tunnel_by_any_success(network: Network, status: str, refusal: str | None) -> None:
    """RFC 9110, 9.3.6. Anything else is its refusal, with its reason if it gave one."""
    network.response = f"HTTP/1.1 {status}\r\n\r\n".encode()
    if refusal is None:
        network.connect("https://a.test/", HTTP)
        return
    with pytest.raises(ProxyRefusedError) as caught:
        network.connect("https://a.test/", HTTP)
    assert str(caught.value) == refusal
    assert network.sock.close.called


@pytest.mark.parametrize("framing", ["Content-Length: x", "Content-Length: 7", "Transfer-Encoding: chunked"])
def test_what_frames_a_body_means_nothing_where_a_tunnel_is_opened(network: Network, framing: str) -> None:
    """RFC 9110, 9.3.6: what follows belongs to the tunnel."""
    network.response = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode()
    assert network.connect("https://a.test/", HTTP).transport is network.wires[1]


def test_a_proxy_that_is_lost_opens_no_tunnel(network: Network) -> None:
    network.response, network.error = b"", ConnectionResetError("lost")
    with pytest.raises(ConnectionResetError, match="lost"):
        network.connect("https://a.test/", HTTP)


def test_tls_within_tls_is_refused_before_anything_is_done(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Python 3.10."""
    monkeypatch.setattr(connector, "sys", SimpleNamespace(version_info=(3, 10, 99)))
    with pytest.raises(ProxyRefusedError) as caught:
        network.connect("https://a.test/", "https://proxy.test")
    assert str(caught.value) == (
        "asyncio supports TLS within TLS from Python 3.11 on; use an http:// proxy for https:// URLs"
    )
    assert network.steps == [("context", *A)]
    network.connect("http://a.test/", "https://proxy.test")  # one TLS alone


def test_a_unix_socket_is_the_whole_way(network: Network) -> None:
    """No name is resolved. TLS within it is that of the host, and its sessions are of this socket."""
    network.path = "/run/a.sock"
    network.connect("https://a.test/")
    assert network.steps == [
        ("context", *A),
        ("resumption", A, *A, None, "/run/a.sock"),
        ("connect", "/run/a.sock"),
        ("start", A, "a.test", True),
    ]


@pytest.mark.parametrize("proxy", [None, "socks5://proxy.test"])
def test_an_address_that_is_not_permitted_is_not_connected_to(network: Network, proxy: str | None) -> None:
    """Directly, or by a SOCKS proxy for which it was resolved here."""
    network.egress = EgressPolicy()
    with pytest.raises(EgressRefusedError):
        network.connect("http://a.test/", proxy)
    assert network.steps == [("resolve", "a.test", 80)]


@pytest.mark.parametrize("error", [OSError("x"), UnicodeError("x")])
def test_a_name_that_is_not_resolved_for_a_proxy_is_no_fault_of_the_proxy(
    network: Network, error: Exception
) -> None:
    """It is as without one."""
    network.fails = {"resolve": error}
    with pytest.raises(PhaseError) as caught:
        network.connect("http://a.test/", "socks5://proxy.test")
    assert (caught.value.phase, caught.value.error) == (Phase.CONNECT, error)


@pytest.mark.parametrize("closed", [False, True])
def test_a_connection_that_is_made_for_a_closed_pool_is_closed(network: Network, closed: bool) -> None:
    """It was closed in the meantime."""
    network.pool.closed = closed
    assert network.connect("http://a.test/").must_close is closed
    assert network.wires[0].is_aborted is closed
