"""How the blocking transport connects: the steps of each way to an origin, the time that each has, and what is left open.

No step is a real one: each takes a second, and is noted.
"""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import EgressPolicy, EgressRefusedError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.proxies.urls import read_proxy
from http_service_client.http.urls import split_url
from http_service_client.transports.failures import Phase, PhaseError, ProxyRefusedError
from http_service_client.transports.network.sockets import SocketSettings
from http_service_client.transports.over_requests import connection, connector, exchange_timeouts, nested_tls
from http_service_client.transports.over_requests.connection import Connection, SelfWaitingConnection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.nested_tls import NestedConnection

FOUND: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Sock:
    """What is connected, to whatever depth.   response: of a proxy."""

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        self.response = network.response
        self.closed = 0
        self.timeouts: list[float | None] = []
        network.sockets.append(self)

    def setsockopt(self, *option: int) -> None:
        self.network.note("setsockopt", *option)

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def send(self, data: bytes) -> int:
        self.network.note("send", bytes(data).decode())
        return len(data)

    def recv(self, size: int) -> bytes:
        response, self.response = self.response, b""
        return response

    def close(self) -> None:
        self.closed += 1


class Context:
    def __init__(self, network: Network, peer: tuple[str, int]) -> None:
        self.network, self.peer = network, peer

    def wrap_socket(self, sock: Sock, **options: Any) -> Sock:
        self.network.note("tls", options.pop("server_hostname"), sock.timeouts[-1], *options.items())
        return Sock(self.network, f"TLS in {sock.name}")


class Resumption:
    def __init__(self, network: Network, session: str | None) -> None:
        self.network, self.session = network, session

    def take(self) -> str | None:
        return self.session

    def failed(self) -> None:
        self.network.note("resumption failed")


class Network:
    """fails: at the step of this name, in place of it.   waits_itself: whether sockets are gevent's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps: list[Any] = []
        self.sockets: list[Sock] = []
        self.response = TUNNEL
        self.fails: dict[str, BaseException] = {}
        self.session: str | None = None
        self.waits_itself = False
        self.settings: Any = None  # of the sockets that were made last

    def note(self, *step: Any) -> None:
        self.steps.append(step)
        self.now += 1.0
        if step[0] in self.fails:
            raise self.fails[step[0]]

    def monotonic(self) -> float:
        return self.now

    # What the connector calls.

    def resolve(self, host: str, port: int, within: float | None) -> list[Any]:
        self.note("resolve", host, port, within)
        return FOUND

    def connect_to_any(self, addresses: list[Any], within: float | None, sockets: Any) -> Sock:
        self.settings = sockets
        self.note("connect", [address[4][0] for address in addresses], within)
        return Sock(self, "TCP")

    def connect_to_unix(self, path: str, within: float | None, sockets: Any) -> Sock:
        self.settings = sockets
        self.note("connect", path, within)
        return Sock(self, "Unix")

    def open_by_socks(self, sock: Sock, proxy: Any, host: str, port: int, left: Any) -> None:
        self.note("socks", host, port, left())

    def start_nested_tls(self, sock: Sock, context: Context, name: str, expires_at: float | None) -> Sock:
        self.note("nested tls", name, context.peer, expires_at)
        return Sock(self, f"TLS in {sock.name}")

    def check_nested_tls(self) -> None:
        self.note("check nested tls")

    def context_for(self, peer: tuple[str, int]) -> Context:
        self.note("context", *peer)
        return Context(self, peer)

    def resumption_for(self, context: Context, peer: Any) -> Resumption:
        self.peer = peer
        return Resumption(self, self.session)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    for name in ("resolve", "connect_to_any", "connect_to_unix", "open_by_socks", "resumption_for"):
        monkeypatch.setattr(connector, name, getattr(made, name))
    for name in ("start_nested_tls", "check_nested_tls"):
        monkeypatch.setattr(nested_tls, name, getattr(made, name))
    monkeypatch.setattr(connector, "must_wait_itself", lambda sock: made.waits_itself)
    monkeypatch.setattr(connector, "_RESET_LOOKS_LIKE_AN_END", "r")
    monkeypatch.setattr(connection, "read_waiter", lambda sock: lambda milliseconds: True)
    monkeypatch.setattr(exchange_timeouts, "time", made)
    monkeypatch.setattr(connection, "time", made)
    return made


LIFETIME = object()
SOCKETS = SocketSettings(source=("127.0.0.1", 0))


def connect(
    network: Network,
    url: str,
    proxy: str | None = None,
    within: float | None = 10.0,
    egress: EgressPolicy | None = None,
    path: str | None = None,
    cut: Any = None,
) -> Connection:
    network.now = 0.0
    settings: Any = SimpleNamespace(
        tls=SimpleNamespace(context_for=network.context_for),
        egress=egress,
        parser=ParserSettings(),
        sockets=SOCKETS,
        socket_path=lambda url: path,
        new_lifetime=lambda: LIFETIME,
    )
    found: Any = None if proxy is None else read_proxy(proxy)
    return connector.connect(split_url(url), found, settings, ExchangeTimeouts(99.0, within, None, None), cut)


NODELAY = ("setsockopt", socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
RAGGED = ("suppress_ragged_eofs", "r")


def tunnel(target: str, login: str = "") -> tuple[str, str]:
    return ("send", f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n")


WAYS: list[Any] = [
    (
        "http://a.test/", None, "TCP",
        [("resolve", "a.test", 80, 10.0), ("connect", ["192.0.2.1"], 9.0), NODELAY],
    ),
    (
        "https://a.test./", None, "TLS in TCP",
        [
            ("context", "a.test.", 443), ("resolve", "a.test.", 443, 9.0), ("connect", ["192.0.2.1"], 8.0),
            NODELAY, ("tls", "a.test", 6.0, RAGGED),
        ],
    ),
    (
        "http://a.test/", "http://proxy.test:3128", "TCP",
        [("resolve", "proxy.test", 3128, 10.0), ("connect", ["192.0.2.1"], 9.0), NODELAY],
    ),
    (
        "http://a.test/", "https://proxy.test", "TLS in TCP",
        [
            ("resolve", "proxy.test", 443, 10.0), ("connect", ["192.0.2.1"], 9.0), NODELAY,
            ("context", "proxy.test", 443), ("tls", "proxy.test", 6.0, RAGGED),
        ],
    ),
    (
        "https://a.test:8443/", "http://user:secret@proxy.test:3128", "TLS in TCP",
        [
            ("context", "a.test", 8443), ("resolve", "proxy.test", 3128, 9.0), ("connect", ["192.0.2.1"], 8.0),
            NODELAY, tunnel("a.test:8443", "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"),
            ("tls", "a.test", 5.0, RAGGED),
        ],
    ),
    (
        "https://[2001:db8::1]/", "http://proxy.test:3128", "TLS in TCP",
        [
            ("context", "2001:db8::1", 443), ("resolve", "proxy.test", 3128, 9.0), ("connect", ["192.0.2.1"], 8.0),
            NODELAY, tunnel("[2001:db8::1]:443"), ("tls", "2001:db8::1", 5.0, RAGGED),
        ],
    ),
    (
        "https://a.test./", "https://proxy.test", "TLS in TLS in TCP",
        [
            ("context", "a.test.", 443), ("check nested tls",), ("resolve", "proxy.test", 443, 8.0),
            ("connect", ["192.0.2.1"], 7.0), NODELAY, ("context", "proxy.test", 443), ("tls", "proxy.test", 4.0, RAGGED),
            tunnel("a.test.:443"), ("nested tls", "a.test", ("a.test.", 443), 10.0),
        ],
    ),
    (
        "http://a.test/", "socks5://proxy.test:9", "TCP",
        [
            ("resolve", "a.test", 80, 10.0), ("resolve", "proxy.test", 9, 9.0), ("connect", ["192.0.2.1"], 8.0), NODELAY,
            ("socks", "192.0.2.1", 80, 6.0),
        ],
    ),
    (
        "https://a.test/", "socks5h://proxy.test:9", "TLS in TCP",
        [
            ("context", "a.test", 443), ("resolve", "proxy.test", 9, 9.0), ("connect", ["192.0.2.1"], 8.0), NODELAY,
            ("socks", "a.test", 443, 6.0), ("tls", "a.test", 5.0, RAGGED),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "proxy", "name", "steps"), WAYS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_way_to_an_origin(
    network: Network, url: str, proxy: str | None, name: str, steps: list[Any]
) -> None:
    """Its steps share the connect timeout. Only what must be resolved here is; a tunnel is for the origin's own TLS."""
    made = connect(network, url, proxy)
    assert network.steps == steps
    assert made.sock.name == name
    assert made.lifetime is LIFETIME
    assert type(made) is (NestedConnection if name == "TLS in TLS in TCP" else Connection)
    assert made._expires_at == 10.0
    assert [sock.closed for sock in network.sockets] == [0] * len(network.sockets)


@pytest.mark.parametrize(
    ("url", "proxy", "name", "steps"), WAYS, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_step_that_fails_leaves_nothing_open(
    network: Network, url: str, proxy: str | None, name: str, steps: list[Any]
) -> None:
    """Whichever it is, and whatever the error: it is raised as it is. What TLS wraps is its own to close."""
    for error in (OSError("x"), KeyboardInterrupt()):
        for failing in {step[0] for step in steps}:
            network.steps, network.sockets = [], []
            network.fails = {failing: error}
            with pytest.raises((type(error), PhaseError)) as caught:
                connect(network, url, proxy)
            assert (caught.value is error) is not isinstance(caught.value, PhaseError)
            if network.sockets:
                assert network.sockets[-1].closed


@pytest.mark.parametrize(
    "proxy", [None, "http://proxy.test:3128", "https://proxy.test", "socks5://proxy.test"]
)
def test_without_a_limit_no_step_has_one(network: Network, proxy: str | None) -> None:
    """None goes all the way down."""
    connect(network, "https://a.test/", proxy, within=None)
    assert not [value for step in network.steps for value in step if isinstance(value, float)]


def test_a_unix_socket_is_the_whole_way(network: Network) -> None:
    """No name is resolved. TLS within it is that of the host, and its sessions are of this socket."""
    made = connect(network, "https://a.test/", path="/run/a.sock")
    assert network.steps == [
        ("context", "a.test", 443),
        ("connect", "/run/a.sock", 9.0),
        ("tls", "a.test", 8.0, RAGGED),
    ]
    assert made.sock.name == "TLS in Unix"
    assert network.peer == ("a.test", 443, None, "/run/a.sock")


@pytest.mark.parametrize("proxy", [None, "http://proxy.test:3128", "socks5h://proxy.test"])
@pytest.mark.parametrize("session", [None, "a session"])
def test_a_session_is_resumed_with_the_origin_over_the_same_way(
    network: Network, proxy: str | None, session: str | None
) -> None:
    """A context of the user's own may know no option for it. The connection keeps the next one."""
    network.session = session
    made = connect(network, "https://a.test/", proxy)
    assert network.steps[-1][3:] == ((RAGGED,) if session is None else (RAGGED, ("session", session)))
    assert isinstance(made.resumption, Resumption)
    assert network.peer == ("a.test", 443, None if proxy is None else read_proxy(proxy), None)


def test_only_the_session_with_the_origin_is_resumed(network: Network) -> None:
    """Not that with a proxy; and plain connections have none."""
    network.session = "a session"
    for url, proxy in (("http://a.test/", "https://proxy.test"), ("https://a.test/", "https://proxy.test")):
        assert connect(network, url, proxy).resumption is None
    assert connect(network, "http://a.test/").resumption is None
    assert not [step for step in network.steps if ("session", "a session") in step]


def test_a_handshake_that_fails_drops_its_sessions(network: Network) -> None:
    """They may be the reason. That with a proxy has none."""
    network.fails = {"tls": ssl.SSLError(1, "x")}
    for proxy, is_dropped in ((None, True), ("https://proxy.test", False)):
        network.steps = []
        with pytest.raises(ssl.SSLError):
            connect(network, "https://a.test/", proxy)
        assert (network.steps[-1] == ("resumption failed",)) is is_dropped


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        ("200 OK", None),
        ("204 No Content", None),
        ("299 Odd", None),
        ("300 Odd", "300 Odd"),
        ("199 Odd", "no response"),
        ("407 Proxy Authentication Required", "407 Proxy Authentication Required"),
        ("503 ", "503"),
    ],
)
def test_a_proxy_opens_a_tunnel_by_any_success(network: Network, status: str, refusal: str | None) -> None:
    """RFC 9110, 9.3.6. Anything else is its refusal, with its reason if it gave one."""
    network.response = f"HTTP/1.1 {status}\r\n\r\n".encode()
    if refusal is None:
        assert connect(network, "https://a.test/", "http://proxy.test").sock.name == "TLS in TCP"
        return
    with pytest.raises(Exception) as caught:  # an interim response is followed by an end
        connect(network, "https://a.test/", "http://proxy.test")
    if refusal != "no response":
        assert isinstance(caught.value, ProxyRefusedError)
        assert str(caught.value) == refusal
    assert network.sockets[-1].closed


@pytest.mark.parametrize("framing", ["Content-Length: x", "Content-Length: 7", "Transfer-Encoding: chunked"])
def test_what_frames_a_body_means_nothing_where_a_tunnel_is_opened(network: Network, framing: str) -> None:
    """RFC 9110, 9.3.6: what follows belongs to the tunnel."""
    network.response = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode()
    assert connect(network, "https://a.test/", "http://proxy.test").sock.name == "TLS in TCP"


@pytest.mark.parametrize("proxy", [None, "http://proxy.test", "socks5h://proxy.test"])
@pytest.mark.parametrize("path", [None, "/run/a.sock"])
def test_sockets_are_made_as_set_and_may_be_cut_if_the_branch_may(
    network: Network, proxy: str | None, path: str | None
) -> None:
    """On any way."""
    connect(network, "http://a.test/", proxy, path=path)
    assert network.settings is SOCKETS
    cut = object()
    connect(network, "http://a.test/", proxy, path=path, cut=cut)
    assert isinstance(network.settings, connector._CuttableSockets)
    assert network.settings.__dict__["_cut"] is cut
    assert network.settings.source == SOCKETS.source


@pytest.mark.parametrize("proxy", [None, "socks5://proxy.test"])
def test_an_address_that_is_not_permitted_is_not_connected_to(network: Network, proxy: str | None) -> None:
    """Directly, or by a SOCKS proxy for which it was resolved here."""
    egress = EgressPolicy()
    with pytest.raises(EgressRefusedError):
        connect(network, "http://a.test/", proxy, egress=egress)
    assert [step[0] for step in network.steps] == ["resolve"]
    assert network.sockets == []


@pytest.mark.parametrize("error", [OSError("x"), UnicodeError("x")])
def test_a_name_that_is_not_resolved_for_a_proxy_is_no_fault_of_the_proxy(
    network: Network, error: Exception
) -> None:
    """It is as without one."""
    network.fails = {"resolve": error}
    with pytest.raises(PhaseError) as caught:
        connect(network, "http://a.test/", "socks5://proxy.test")
    assert (caught.value.phase, caught.value.error) == (Phase.CONNECT, error)
    with pytest.raises(type(error)):
        connect(network, "http://a.test/", "socks5h://proxy.test")


@pytest.mark.parametrize("proxy", [None, "http://proxy.test"])
@pytest.mark.parametrize("url", ["http://a.test/", "https://a.test/"])
def test_a_socket_that_waits_itself_has_a_connection_for_that(
    network: Network, url: str, proxy: str | None
) -> None:
    """With or without TLS, and while a tunnel is opened."""
    network.waits_itself = True
    made = connect(network, url, proxy)
    assert type(made) is SelfWaitingConnection
    if proxy and url.startswith("https:"):
        assert None not in network.sockets[0].timeouts
        assert 0.0 in network.sockets[0].timeouts  # the beginning of a request is not waited for
