"""By way of a SOCKS5 proxy, in both worlds and without another package."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import EgressPolicy, HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing
from network.socks_server import Asked, SocksServer, running_socks

ClientFor = Callable[..., HttpServiceClient]


@pytest.fixture
def socks() -> Iterator[SocksServer]:
    """A SOCKS5 proxy on loopback."""
    with running_socks() as proxy:
        yield proxy


@pytest.fixture
def client_by(front_end: FrontEnd, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> ClientFor:
    """Makes a client that goes by way of a proxy."""

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
def test_a_call_goes_by_way_of_the_proxy(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    socks: SocksServer,
    client_by: ClientFor,
    scheme: str,
    secure: bool,
) -> None:
    """One connection for many calls; the server gets the request as it would directly."""
    server = tls_server if secure else server
    server.script("/a", respond(200, body="by socks"))
    client = client_by(f"{scheme}://{socks.address}")
    for _ in range(2):
        assert front_end.request(client, "POST", server.url + "/a?b", data=b"c" * 200_000).text == "by socks"
    assert socks.asked == [Asked(1, "127.0.0.1", server.port, None)]
    assert [request.target for request in server.requests] == ["/a?b", "/a?b"]
    assert [request.header("Host") for request in server.requests] == [f"127.0.0.1:{server.port}"] * 2


def test_socks5h_leaves_the_name_to_the_proxy(
    front_end: FrontEnd, server: LoopbackServer, socks: SocksServer, client_by: ClientFor
) -> None:
    """A name that only the proxy knows, in ASCII; we look nothing up."""
    server.script("/", respond(204))
    socks.names["xn--bcher-kva.test"] = "127.0.0.1"
    client = client_by(f"socks5h://{socks.address}")
    assert front_end.request(client, "GET", f"http://bücher.test:{server.port}/").status_code == 204
    assert socks.asked == [Asked(3, "xn--bcher-kva.test", server.port, None)]


def test_socks5_resolves_the_name_here(
    front_end: FrontEnd,
    server: LoopbackServer,
    socks: SocksServer,
    client_by: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy is asked for an address, an IPv4 one where there is one."""
    real = socket.getaddrinfo

    def fake(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        hosts = ["::1", "127.0.0.1"] if host == "both.test" else [host]
        return [entry for each in hosts for entry in real(each, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server.script("/", respond(204))
    client = client_by(f"socks5://{socks.address}")
    assert front_end.request(client, "GET", f"http://both.test:{server.port}/").status_code == 204
    assert socks.asked == [Asked(1, "127.0.0.1", server.port, None)]


def test_a_name_that_is_not_found_here_is_no_fault_of_the_proxy(
    front_end: FrontEnd, socks: SocksServer, client_by: ClientFor
) -> None:
    """A NameResolutionError, as without a proxy."""
    caught = failing(front_end, client_by(f"socks5://{socks.address}"), "GET", "http://nowhere.invalid/")
    assert (caught.type, caught.sent, socks.asked) == ("NameResolutionError", "never_sent", [])


def test_a_login_is_given_where_it_is_wanted(
    front_end: FrontEnd, server: LoopbackServer, socks: SocksServer, client_by: ClientFor
) -> None:
    """Unescaped, in UTF-8; never to a proxy that asks for none."""
    server.script("/", respond(204, close=True))
    client = client_by(f"socks5://j%C3%B6:p%40ss@{socks.address}")
    socks.login = ("jö", "p@ss")
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    socks.login = None
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [asked.login for asked in socks.asked] == [("jö", "p@ss"), None]


REFUSAL = b"\x05%c\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("says", "reason"),
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
def test_a_proxy_that_makes_no_connection(
    front_end: FrontEnd, socks: SocksServer, client_by: ClientFor, says: dict[int, bytes], reason: str
) -> None:
    """Nothing was sent, and the error says what the proxy said, and no password."""
    socks.login, socks.says = ("u", "secret"), says
    client = client_by(f"socks5h://u:secret@{socks.address}")
    caught = failing(front_end, client, "POST", "https://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert (
        caught.message
        == f"could not connect to https://service.test through the proxy socks5h://***@{socks.address} ({reason})"
    )


def test_a_proxy_that_wants_a_login_where_there_is_none(
    front_end: FrontEnd, socks: SocksServer, client_by: ClientFor
) -> None:
    """The error says so."""
    socks.login = ("u", "secret")
    caught = failing(front_end, client_by(f"socks5h://{socks.address}"), "POST", "https://service.test/")
    assert (
        caught.message
        == f"could not connect to https://service.test through the proxy socks5h://{socks.address} (it requires a login)"
    )


@pytest.mark.parametrize("bound", [b"\x03\x04here\x00\x00", b"\x04" + bytes(18)], ids=["name", "IPv6"])
def test_the_proxys_own_address_may_be_of_any_kind(
    front_end: FrontEnd, server: LoopbackServer, socks: SocksServer, client_by: ClientFor, bound: bytes
) -> None:
    """It is read to its last byte, so that the response begins where it begins."""
    server.script("/", respond(200, body="clean"))
    socks.bound = bound
    assert front_end.request(client_by(f"socks5://{socks.address}"), "GET", server.url + "/").text == "clean"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(front_end: FrontEnd, client_by: ClientFor, scheme: str) -> None:
    """A proxy that refuses connections is to blame, not the service."""
    caught = failing(front_end, client_by("socks5h://127.0.0.1:1"), "POST", f"{scheme}://service.test/")
    assert (caught.type, caught.sent, caught.cause) == ("ProxyError", "never_sent", "ConnectionRefusedError")


def test_a_proxy_that_says_nothing(front_end: FrontEnd, mute: str, client_by: ClientFor) -> None:
    """The dialogue is a part of connecting, and has its time."""
    client = client_by(f"socks5h://{mute}", connection_timeout=0.2)
    caught = failing(front_end, client, "GET", "https://service.test/")
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    caught.check_took(0.2)


def test_an_origin_behind_it_that_is_not_to_be_trusted(
    front_end: FrontEnd, socks: SocksServer, client_by: ClientFor, certificates: Certificates
) -> None:
    """A tunnel does not make a certificate right."""
    with LoopbackServer(tls=certificates.server_context("other.test")) as server:
        caught = failing(front_end, client_by(f"socks5://{socks.address}"), "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


def test_what_we_resolve_is_judged(
    front_end: FrontEnd,
    server: LoopbackServer,
    socks: SocksServer,
    client_by: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With socks5 the egress policy sees the address, and the proxy is asked for that one."""
    real = socket.getaddrinfo

    def fake(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        found = {"inside.test": "10.0.0.1", "here.test": "127.0.0.1"}.get(host, host)
        return real(found, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server.script("/", respond(204))
    policy = EgressPolicy(["*", f"127.0.0.1:{server.port}"])
    client = client_by(f"socks5://{socks.address}", egress_policy=policy)
    assert front_end.request(client, "GET", f"http://here.test:{server.port}/").status_code == 204
    caught = failing(front_end, client, "GET", "http://inside.test/")
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert socks.asked == [Asked(1, "127.0.0.1", server.port, None)]


def test_a_login_that_is_too_long_is_told(front_end: FrontEnd, client_by: ClientFor) -> None:
    """Its length must fit into a byte (RFC 1929 2)."""
    caught = failing(
        front_end, client_by(f"socks5://{'u' * 256}:p@127.0.0.1:1"), "GET", "http://service.test/"
    )
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert "is not a valid proxy URL" in caught.message


@pytest.mark.parametrize("host", ["[::1]", "six.test"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_destination_may_have_an_ipv6_address(
    front_end: FrontEnd,
    server: LoopbackServer,
    socks: SocksServer,
    client_by: ClientFor,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    host: str,
) -> None:
    """As a literal, or found by our resolver: the proxy is asked for that address, and the server for that host."""
    real = socket.getaddrinfo

    def fake(name: str, port: Any, *arguments: Any, **options: Any) -> Any:
        return real("::1" if name == "six.test" else name, port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server.script("/", respond(204))
    socks.names = {"::1": "127.0.0.1", "six.test": "127.0.0.1"}  # where the server really is
    client = client_by(f"{scheme}://{socks.address}")
    assert front_end.request(client, "GET", f"http://{host}:{server.port}/").status_code == 204
    by_name = scheme == "socks5h" and host == "six.test"
    expected = Asked(3, "six.test", server.port, None) if by_name else Asked(4, "::1", server.port, None)
    assert socks.asked == [expected]
    assert [request.header("Host") for request in server.requests] == [f"{host}:{server.port}"]
