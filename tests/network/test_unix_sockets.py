"""Calls over Unix sockets: by `uds`, for all URLs, and by `http+unix://`, for one socket each."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from http_service_client import ConfigurationError, ConnectionPoolConfig, EgressPolicy, HttpClientConfig
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing, served

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Daemon:
    """A server at the socket `path`: the heads that it received, by connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: list[list[str]] = []
        self.response = OK

    @property
    def url(self) -> str:
        return f"http+unix://{quote(str(self.path), safe='')}"

    def serve(self, accepted: socket.socket, is_over: threading.Event) -> None:
        heads: list[str] = []
        self.connections.append(heads)
        while data := accepted.recv(65536):
            while b"\r\n\r\n" not in data:
                data += accepted.recv(65536)
            head = data.partition(b"\r\n\r\n")[0].decode()
            length = int(
                dict(line.lower().split(": ") for line in head.splitlines()[1:]).get("content-length", 0)
            )
            while len(data) < len(head) + 4 + length:
                data += accepted.recv(65536)
            heads.append(head)
            accepted.sendall(self.response)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts a daemon at a socket of this name."""
    with ExitStack() as stack:

        def start(name: str = "app.sock", tls: ssl.SSLContext | None = None) -> Daemon:
            daemon = Daemon(tmp_path / name)
            stack.enter_context(served(daemon.serve, tls=tls, path=daemon.path))
            return daemon

        yield start


@pytest.mark.parametrize("kind", [str, Path])
def test_all_connections_lead_to_the_socket(each_path: FrontEnd, start: Any, kind: Any) -> None:
    """The URL gives the Host field; its name is not resolved. A connection is kept for the next call."""
    daemon = start()
    client = each_path.client(connection_pool=ConnectionPoolConfig(uds=kind(daemon.path)))
    for _ in range(2):
        assert each_path.request(client, "GET", "http://api.invalid:8080/a?b=c").text == "ok"
    each_path.request(client, "POST", "http://other.invalid/", data=b"x" * 300_000)
    heads = [[head.split("\r\n")[:2] for head in connection] for connection in daemon.connections]
    assert heads == [
        [["GET /a?b=c HTTP/1.1", "Host: api.invalid:8080"]] * 2,
        [["POST / HTTP/1.1", "Host: other.invalid"]],
    ]


def test_tls_is_spoken_over_the_socket(each_path: FrontEnd, start: Any, certificates: Certificates) -> None:
    """An https URL means TLS, and its host is the one that the certificate has to name."""
    daemon = start(tls=certificates.server_context("api.invalid"))
    client = each_path.client(connection_pool=certificates.pool(uds=daemon.path))
    assert each_path.request(client, "GET", "https://api.invalid/").text == "ok"
    assert failing(each_path, client, "GET", "https://other.invalid/").type == "TlsVerificationError"


def test_a_url_names_the_socket(each_path: FrontEnd, start: Any) -> None:
    """The Host field is `localhost`. Each socket has connections and a circuit of its own."""
    one, two = start("one.sock"), start("Two sock@1")
    client = each_path.client()
    for _ in range(2):
        for daemon in (one, two):
            assert each_path.request(client, "GET", f"{daemon.url}/v1/info?all=1").text == "ok"
    each_path.request(client, "PUT", f"{one.url}/big", data=b"x" * 300_000)
    for daemon in (one, two):
        heads = [head.split("\r\n")[:2] for head in daemon.connections[0]]
        assert heads[:2] == [["GET /v1/info?all=1 HTTP/1.1", "Host: localhost"]] * 2
    assert [len(daemon.connections) for daemon in (one, two)] == [1, 1]
    assert sorted(client.get_circuit_breaker_states()) == sorted([one.url, two.url])


def test_a_base_url_and_streams(each_path: FrontEnd, start: Any) -> None:
    """As with any other URL."""
    daemon = start()
    client = each_path.client(base_url=f"{daemon.url}/v1")
    with each_path.stream(client, "GET", "/events") as response:
        assert response.read() == b"ok"
    assert response.url == f"{daemon.url}/v1/events"
    assert daemon.connections[0][0].startswith("GET /v1/events HTTP/1.1\r\n")


@pytest.mark.parametrize("by_url", [True, False])
def test_proxies_do_not_apply(
    each_path: FrontEnd, start: Any, monkeypatch: pytest.MonkeyPatch, by_url: bool
) -> None:
    """No proxy reaches a socket of this machine. One that is set beside `uds` is a contradiction."""
    daemon = start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    pool = ConnectionPoolConfig(uds=None if by_url else daemon.path)
    client = each_path.client(connection_pool=pool, trust_env_proxy_settings=True)
    assert each_path.request(client, "GET", daemon.url if by_url else "http://api.invalid/").text == "ok"
    if not by_url:
        for conflict in (
            lambda: HttpClientConfig(connection_pool=pool, proxy="http://127.0.0.1:9"),
            lambda: client.with_options(proxy="http://127.0.0.1:9"),
        ):
            with pytest.raises(ConfigurationError, match=r"^proxy conflicts with uds=.*; set one$"):
                conflict()


def test_a_socket_that_nobody_listens_on_is_a_connect_error(each_path: FrontEnd, tmp_path: Path) -> None:
    """The request was never sent, and the message has the path."""
    daemon = Daemon(tmp_path / "gone.sock")
    caught = failing(each_path, each_path.client(), "POST", daemon.url + "/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")
    reason = "FileNotFoundError: No such file or directory: "
    assert caught.message == f"could not connect to {daemon.url} ({reason}{str(tmp_path / 'gone.sock')!r})"


def test_a_path_that_is_too_long_is_named(each_path: FrontEnd, tmp_path: Path) -> None:
    """The system has about a hundred bytes for it."""
    daemon = Daemon(tmp_path / ("x" * 120))
    caught = failing(each_path, each_path.client(), "POST", daemon.url + "/")
    assert (caught.type, caught.sent) == ("ConfigurationError", "never_sent")
    assert caught.message == f"'{daemon.path}' is too long for the path of a Unix socket"


@pytest.mark.parametrize(
    "location",
    ["http://localhost/there", "http+unix://%2Frun%2Fother.sock/", "//%2Frun%2Fother.sock/", "//localhost/"],
)
def test_a_redirect_does_not_leave_the_socket(each_path: FrontEnd, start: Any, location: str) -> None:
    """An absolute Location may have our own Host field in it, and would lead to another service."""
    daemon = start()
    daemon.response = (
        b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location.encode()
    )
    caught = failing(each_path, each_path.client(), "GET", daemon.url + "/")
    assert (caught.type, caught.sent) == ("UnsafeRedirectError", "answered")


def test_a_redirect_within_the_socket_is_followed(each_path: FrontEnd, start: Any) -> None:
    """A path alone, as Docker's redirects have it."""
    daemon = start()
    daemon.response = b"HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nLocation: /there\r\n\r\n"
    caught = failing(each_path, each_path.client(allowed_redirect_count=1), "GET", daemon.url + "/here")
    assert caught.type == "TooManyRedirectsError"
    assert [head.split(" ")[1] for head in daemon.connections[0]] == ["/here", "/there"]


def test_a_redirect_does_not_lead_to_a_socket(
    each_path: FrontEnd, server: LoopbackServer, start: Any
) -> None:
    """A stranger's server must not make us speak to the Docker of this machine."""
    daemon = start()
    server.script("/", respond(302, headers={"Location": f"{daemon.url}/containers/json"}))
    caught = failing(each_path, each_path.client(), "GET", server.url + "/")
    assert caught.type == "UnsafeRedirectError"
    assert not daemon.connections


def test_an_egress_policy_refuses_urls_of_sockets(each_path: FrontEnd, start: Any) -> None:
    """Its hosts and addresses say nothing about them. With `uds` it judges the URL, and the operator chose the socket."""
    daemon = start()
    policy = EgressPolicy(allowed_hosts=["api.invalid"], allow_loopback=True)
    caught = failing(each_path, each_path.client(egress_policy=policy), "GET", daemon.url + "/")
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert not daemon.connections
    client = each_path.client(connection_pool=ConnectionPoolConfig(uds=daemon.path), egress_policy=policy)
    assert each_path.request(client, "GET", "http://api.invalid/").text == "ok"
    assert failing(each_path, client, "GET", "http://other.invalid/").type == "EgressRefusedError"


def test_options_of_sockets_in_general_are_set(each_path: FrontEnd, start: Any) -> None:
    """Those of TCP do not apply."""
    daemon = start()
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)]
    client = each_path.client(connection_pool=ConnectionPoolConfig(uds=daemon.path, socket_options=options))
    assert each_path.request(client, "GET", "http://api.invalid/").text == "ok"
