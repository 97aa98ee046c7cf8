"""Through a SOCKS5 proxy, without another package."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import EgressPolicy, HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing
from network.socks_server import ConnectRequest, SocksServer, running_socks

ClientFor = Callable[..., HttpServiceClient]


@pytest.fixture
def socks() -> Iterator[SocksServer]:
    """A SOCKS5 proxy on loopback."""
    with running_socks() as proxy:
        yield proxy


@pytest.fixture
def client_through(
    front_end: FrontEnd, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> ClientFor:
    """Makes a client that uses a proxy."""

    def make(proxy_url: str, connection_timeout: float = 5.0, **settings: Any) -> HttpServiceClient:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("ALL_PROXY", proxy_url)
        return front_end.client(
            connection_pool=certificates.pool(connection_timeout=connection_timeout), **settings
        )

    return make


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_call_goes_through_the_proxy(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    socks: SocksServer,
    client_through: ClientFor,
    scheme: str,
    secure: bool,
) -> None:
    """Several calls share one connection; the server receives the same request as without a proxy."""
    server = tls_server if secure else server
    server.script("/a", respond(200, body="by socks"))
    client = client_through(f"{scheme}://{socks.address}")
    for _ in range(2):
        assert front_end.request(client, "POST", server.url + "/a?b", data=b"c" * 200_000).text == "by socks"
    assert socks.requests == [ConnectRequest(1, "127.0.0.1", server.port, None)]
    assert [request.target for request in server.requests] == ["/a?b", "/a?b"]
    assert [request.header("Host") for request in server.requests] == [f"127.0.0.1:{server.port}"] * 2


def test_socks5h_leaves_the_name_to_the_proxy(
    front_end: FrontEnd, server: LoopbackServer, socks: SocksServer, client_through: ClientFor
) -> None:
    """A name that only the proxy knows is sent in ASCII; the client resolves nothing."""
    server.script("/", respond(204))
    socks.names["xn--bcher-kva.test"] = "127.0.0.1"
    client = client_through(f"socks5h://{socks.address}")
    assert front_end.request(client, "GET", f"http://bücher.test:{server.port}/").status_code == 204
    assert socks.requests == [ConnectRequest(3, "xn--bcher-kva.test", server.port, None)]


def test_socks5_resolves_the_name_here(
    front_end: FrontEnd,
    server: LoopbackServer,
    socks: SocksServer,
    client_through: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy is sent an address, an IPv4 one if there is one."""
    real = socket.getaddrinfo

    def fake(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        hosts = ["::1", "127.0.0.1"] if host == "both.test" else [host]
        return [entry for each in hosts for entry in real(each, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server.script("/", respond(204))
    client = client_through(f"socks5://{socks.address}")
    assert front_end.request(client, "GET", f"http://both.test:{server.port}/").status_code == 204
    assert socks.requests == [ConnectRequest(1, "127.0.0.1", server.port, None)]


def test_a_failed_lookup_is_not_a_proxy_error(
    front_end: FrontEnd, socks: SocksServer, client_through: ClientFor
) -> None:
    """A NameResolutionError, as without a proxy."""
    caught = failing(front_end, client_through(f"socks5://{socks.address}"), "GET", "http://nowhere.invalid/")
    assert (caught.type, caught.sent, socks.requests) == ("NameResolutionError", "never_sent", [])


def test_a_login_is_sent_if_the_proxy_requires_one(
    front_end: FrontEnd, server: LoopbackServer, socks: SocksServer, client_through: ClientFor
) -> None:
    """Unescaped and in UTF-8; never to a proxy that requires none."""
    server.script("/", respond(204, close=True))
    client = client_through(f"socks5://j%C3%B6:p%40ss@{socks.address}")
    socks.login = ("jö", "p@ss")
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    socks.login = None
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [request.login for request in socks.requests] == [("jö", "p@ss"), None]


REFUSAL = b"\x05%c\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ({1: b"\x05\xff"}, "it requires another login method"),
        ({1: b"\x05\x01"}, "it requires another login method"),
        ({1: b"HTTP/1.1 400 Bad Request"}, "it does not speak SOCKS5"),
        ({1: b"\x04\x00"}, "it does not speak SOCKS5"),
        ({1: b""}, "ConnectionResetError"),
        ({1: b"\x05"}, "ConnectionResetError"),
        ({2: b"\x01\x01"}, "it refused the login"),
        ({2: b""}, "ConnectionResetError"),
        ({3: REFUSAL % 1}, "it reports a general failure"),
        ({3: REFUSAL % 2}, "it does not allow the connection"),
        ({3: REFUSAL % 4}, "host unreachable"),
        ({3: REFUSAL % 5}, "connection refused"),
        ({3: REFUSAL % 99}, "it replied 99"),
        ({3: b"\x05\x05"}, "connection refused"),
        ({3: b"\x05\x00\x00\x07"}, "it does not speak SOCKS5"),
        ({3: b"\x05\x00\x00\x01\x00"}, "ConnectionResetError"),
    ],
    ids=lambda value: str(value),
)
def test_a_refusal_of_the_proxy_is_a_proxy_error(
    front_end: FrontEnd, socks: SocksServer, client_through: ClientFor, replies: dict[int, bytes], reason: str
) -> None:
    """Nothing was sent. The message has the proxy's reply, and no password."""
    socks.login, socks.replies = ("u", "secret"), replies
    client = client_through(f"socks5h://u:secret@{socks.address}")
    caught = failing(front_end, client, "POST", "https://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert (
        caught.message
        == f"could not connect to https://service.test through the proxy socks5h://***@{socks.address} ({reason})"
    )


def test_a_missing_login_is_reported(
    front_end: FrontEnd, socks: SocksServer, client_through: ClientFor
) -> None:
    """The message says that the proxy requires one."""
    socks.login = ("u", "secret")
    caught = failing(front_end, client_through(f"socks5h://{socks.address}"), "POST", "https://service.test/")
    assert (
        caught.message
        == f"could not connect to https://service.test through the proxy socks5h://{socks.address} (it requires a login)"
    )


@pytest.mark.parametrize("bound", [b"\x03\x04here\x00\x00", b"\x04" + bytes(18)], ids=["name", "IPv6"])
def test_the_proxy_s_own_address_may_be_of_any_kind(
    front_end: FrontEnd, server: LoopbackServer, socks: SocksServer, client_through: ClientFor, bound: bytes
) -> None:
    """The reply is read to its last byte, so that the response begins at its first."""
    server.script("/", respond(200, body="clean"))
    socks.bound = bound
    assert (
        front_end.request(client_through(f"socks5://{socks.address}"), "GET", server.url + "/").text
        == "clean"
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_connections_is_a_proxy_error(
    front_end: FrontEnd, client_through: ClientFor, scheme: str
) -> None:
    """The proxy is to blame, not the service."""
    caught = failing(front_end, client_through("socks5h://127.0.0.1:1"), "POST", f"{scheme}://service.test/")
    assert (caught.type, caught.sent, caught.cause) == ("ProxyError", "never_sent", "ConnectionRefusedError")


def test_a_silent_proxy_is_cut_by_the_connect_timeout(
    front_end: FrontEnd, mute: str, client_through: ClientFor
) -> None:
    """The dialogue with the proxy is a part of connecting."""
    client = client_through(f"socks5h://{mute}", connection_timeout=0.2)
    caught = failing(front_end, client, "GET", "https://service.test/")
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    caught.check_took(0.2)


def test_certificates_are_verified_through_a_proxy(
    front_end: FrontEnd, socks: SocksServer, client_through: ClientFor, certificates: Certificates
) -> None:
    """A tunnel does not make a certificate valid."""
    with LoopbackServer(tls=certificates.server_context("other.test")) as server:
        caught = failing(front_end, client_through(f"socks5://{socks.address}"), "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


def test_resolved_addresses_are_checked_by_the_egress_policy(
    front_end: FrontEnd,
    server: LoopbackServer,
    socks: SocksServer,
    client_through: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With socks5 the client resolves the name, and the proxy is sent an address that was allowed."""
    real = socket.getaddrinfo

    def fake(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        found = {"inside.test": "10.0.0.1", "here.test": "127.0.0.1"}.get(host, host)
        return real(found, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server.script("/", respond(204))
    policy = EgressPolicy(["*", f"127.0.0.1:{server.port}"])
    client = client_through(f"socks5://{socks.address}", egress_policy=policy)
    assert front_end.request(client, "GET", f"http://here.test:{server.port}/").status_code == 204
    caught = failing(front_end, client, "GET", "http://inside.test/")
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert socks.requests == [ConnectRequest(1, "127.0.0.1", server.port, None)]


def test_a_login_that_is_too_long_is_refused(front_end: FrontEnd, client_through: ClientFor) -> None:
    """Its length must fit into a byte (RFC 1929 2)."""
    caught = failing(
        front_end, client_through(f"socks5://{'u' * 256}:p@127.0.0.1:1"), "GET", "http://service.test/"
    )
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert "is not a valid proxy URL" in caught.message


@pytest.mark.parametrize("host", ["[::1]", "six.test"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_destination_may_have_an_ipv6_address(
    front_end: FrontEnd,
    server: LoopbackServer,
    socks: SocksServer,
    client_through: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    host: str,
) -> None:
    """As a literal, or resolved here: the proxy receives that address, and the server the name of the host."""
    real = socket.getaddrinfo

    def fake(name: str, port: Any, *arguments: Any, **options: Any) -> Any:
        return real("::1" if name == "six.test" else name, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server.script("/", respond(204))
    socks.names = {"::1": "127.0.0.1", "six.test": "127.0.0.1"}  # the server's real address
    client = client_through(f"{scheme}://{socks.address}")
    assert front_end.request(client, "GET", f"http://{host}:{server.port}/").status_code == 204
    by_name = scheme == "socks5h" and host == "six.test"
    expected = (
        ConnectRequest(3, "six.test", server.port, None)
        if by_name
        else ConnectRequest(4, "::1", server.port, None)
    )
    assert socks.requests == [expected]
    assert [request.header("Host") for request in server.requests] == [f"{host}:{server.port}"]
