"""Through an HTTP proxy: forwarded or tunnelled, with credentials that are sent to the proxy only."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing.server import LoopbackServer, answer, hang_up, raw, respond
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import Certificates, failing, served
from network.proxy_server import Proxy, running_proxy

ClientFor = Callable[..., HttpServiceClient]
BASIC = "Basic " + base64.b64encode(b"user:p@ss").decode()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """An HTTP proxy on loopback."""
    with running_proxy() as proxy:
        yield proxy


@pytest.fixture
def client_through(
    front_end: FrontEnd, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> ClientFor:
    """Makes a client that uses a proxy."""

    def make(
        proxy_url: str, no_proxy: str = "", connection_timeout: float = 5.0, **settings: Any
    ) -> HttpServiceClient:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("ALL_PROXY", proxy_url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        return front_end.client(
            connection_pool=certificates.pool(connection_timeout=connection_timeout), **settings
        )

    return make


def lines_of(head: str) -> dict[str, str]:
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}


def test_plain_http_is_forwarded(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_through: ClientFor
) -> None:
    """The proxy receives the absolute form and the credentials; its connection is reused."""
    server.script("/a", respond(200, body="by proxy"))
    client = client_through(f"http://user:p%40ss@{proxy.address}")
    for _ in range(2):
        assert front_end.request(client, "GET", server.url + "/a?b=%20c").text == "by proxy"
    assert proxy.heads[0].split("\r\n")[:2] == [
        f"GET {server.url}/a?b=%20c HTTP/1.1", f"Host: 127.0.0.1:{server.port}",
    ]  # fmt: skip
    assert [lines_of(head)["proxy-authorization"] for head in proxy.heads] == [BASIC, BASIC]


def test_https_is_tunnelled(
    front_end: FrontEnd, tls_server: LoopbackServer, proxy: Proxy, client_through: ClientFor
) -> None:
    """One tunnel is requested. The proxy receives the credentials, the origin does not."""
    tls_server.script("/", respond(200, body="by tunnel"))
    client = client_through(f"http://user:p%40ss@{proxy.address}")
    for _ in range(2):
        assert front_end.request(client, "GET", tls_server.url + "/").text == "by tunnel"
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.1\r\n")
    assert lines_of(head)["proxy-authorization"] == BASIC
    assert lines_of(head)["host"] == f"127.0.0.1:{tls_server.port}"
    assert all(request.header("Proxy-Authorization") is None for request in tls_server.requests)
    assert tls_server.connection_count == 1


@pytest.mark.parametrize(
    "consent",
    [
        b"HTTP/1.1 201 Created\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: none\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 299 Why Not\r\n\r\n",
    ],
    ids=[
        "201",
        "204",
        "with a length",
        "with a coding",
        "with both",
        "with two lengths",
        "after an interim head",
    ],
)
def test_any_success_opens_a_tunnel(
    front_end: FrontEnd, tls_server: LoopbackServer, proxy: Proxy, client_through: ClientFor, consent: bytes
) -> None:
    """Such a response has no body, whatever its head says (RFC 9110, 9.3.6)."""
    tls_server.script("/", respond(body="by tunnel"))
    proxy.consent = consent
    response = front_end.request(client_through(f"http://{proxy.address}"), "GET", tls_server.url + "/")
    assert (response.text, len(proxy.heads)) == ("by tunnel", 1)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_may_use_tls_itself(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    client_through: ClientFor,
    secure: bool,
) -> None:
    """TLS to the proxy; for https, TLS to the origin within it."""
    if secure and isinstance(front_end, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    server = tls_server if secure else server
    server.script("/", respond(200, body="by tls"))
    with running_proxy(certificates.server_context()) as proxy:
        client = client_through(f"https://{proxy.address}")
        for _ in range(2):
            assert front_end.request(client, "GET", server.url + "/").text == "by tls"


def shake_hands(accepted: socket.socket, context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """The server's part of a handshake. Returns TLS, and what it has not sent yet."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
            return tls, outgoing
        except ssl.SSLWantReadError:
            accepted.sendall(outgoing.read())
            incoming.write(accepted.recv(65536))


def test_an_origin_that_speaks_first_is_heard_through_a_tunnel(
    each_path: FrontEnd, certificates: Certificates, proxy: Proxy
) -> None:
    """What it sends with the end of the handshake is the response, as on a direct connection."""
    context = certificates.server_context()
    # There the server's part of the handshake is the last one.
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        tls, outgoing = shake_hands(accepted, context)
        tls.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        accepted.sendall(outgoing.read())
        is_over.wait(5)

    with served(serve) as address:
        for settings in ({}, {"proxy": f"http://{proxy.address}"}):
            client = each_path.client(connection_pool=certificates.pool(), **settings)
            response = each_path.request(client, "GET", f"https://{address}/", timeout=5, retry_policy=None)
            assert (response.status_code, response.text) == (503, "busy")


@pytest.fixture
def tls_in_tls(
    front_end: FrontEnd, certificates: Certificates, client_through: ClientFor
) -> Iterator[HttpServiceClient]:
    """A client that reaches https:// origins through an https:// proxy."""
    if isinstance(front_end, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    with running_proxy(certificates.server_context()) as proxy:
        yield client_through(f"https://{proxy.address}")


def test_a_large_upload_through_tls_in_tls(
    front_end: FrontEnd, tls_server: LoopbackServer, tls_in_tls: HttpServiceClient
) -> None:
    """A body that fills every buffer on its way arrives whole."""
    tls_server.script("/", answer(lambda received: respond(200, body=str(len(received.body)))))
    response = front_end.request(tls_in_tls, "POST", tls_server.url + "/", data=b"x" * 3_000_000)
    assert response.text == "3000000"


@pytest.mark.parametrize("server_address", ["server", "mute"])
def test_a_handshake_that_fails_in_a_tunnel_leaves_no_connection(
    request: pytest.FixtureRequest, proxy: Proxy, server_address: str
) -> None:
    """A server without TLS, and one that says nothing in time. asyncio does not report each such loss."""
    found = request.getfixturevalue(server_address)
    address = found if isinstance(found, str) else f"127.0.0.1:{found.port}"
    with AsyncioFrontEnd() as front_end:
        client = front_end.client(proxy=f"http://{proxy.address}", enable_retry_policy=False)
        assert failing(front_end, client, "GET", f"https://{address}/", timeout=0.2).sent == "never_sent"
        (pool,) = client._backends._over_aiohttp._pools.all()
        assert not pool._open


def test_unexpected_bytes_inside_two_layers_of_tls_are_noticed(
    front_end: FrontEnd, tls_server: LoopbackServer, tls_in_tls: HttpServiceClient
) -> None:
    """Bytes outside any exchange are noticed inside both layers, too."""
    poisoned = [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]
    tls_server.script("/", raw(*poisoned, close=False), respond(200, body="fine"))
    front_end.request(tls_in_tls, "GET", tls_server.url + "/")
    time.sleep(0.1)
    assert front_end.request(tls_in_tls, "GET", tls_server.url + "/").text == "fine"
    assert [request.connection for request in tls_server.requests] == [1, 2]


def test_hosts_of_no_proxy_are_reached_directly(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_through: ClientFor
) -> None:
    """Here a network of addresses."""
    server.script("/", respond(204))
    client = client_through(f"http://{proxy.address}", no_proxy="127.0.0.0/8")
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert not proxy.heads


def test_proxy_credentials_are_not_sent_to_a_host_without_a_proxy(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_through: ClientFor
) -> None:
    """A redirect may lead to such a host."""
    server.script("/", respond(302, headers={"Location": f"http://localhost:{server.port}/direct"}))
    server.script("/direct", respond(200, body="direct"))
    client = client_through(f"http://user:p%40ss@{proxy.address}", no_proxy="localhost")
    assert front_end.request(client, "GET", server.url + "/").text == "direct"
    assert len(proxy.heads) == 1
    (request,) = server.received("/direct")
    assert request.header("Proxy-Authorization") is None


def test_the_environment_may_be_ignored(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_through: ClientFor
) -> None:
    """trust_env_proxy_settings=False applies to both libraries."""
    server.script("/", respond(204))
    client = client_through(f"http://{proxy.address}", trust_env_proxy_settings=False)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert not proxy.heads


@pytest.mark.parametrize("form", ["a URL", "by scheme"])
def test_the_configuration_replaces_the_environment(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_through: ClientFor, form: str
) -> None:
    """`proxy` replaces the proxies of the environment, and its exceptions."""
    server.script("/", respond(204))
    url = f"http://user:p%40ss@{proxy.address}"
    own: Any = url if form == "a URL" else {"http": url, "no": "example.com"}
    client = client_through("http://127.0.0.1:9", no_proxy="127.0.0.1", proxy=own)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    (head,) = proxy.heads
    assert lines_of(head)["proxy-authorization"] == BASIC


@pytest.mark.parametrize(
    "own", [{}, {"https": "http://127.0.0.1:9"}, {"all": "http://127.0.0.1:9", "no": "127.0.0.0/8"}]
)
def test_requests_without_a_configured_proxy_go_direct(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_through: ClientFor, own: dict[str, str]
) -> None:
    """Another scheme, an exception, or no proxy at all: the environment is not used then."""
    server.script("/", respond(204))
    client = client_through(f"http://{proxy.address}", proxy=own)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert not proxy.heads


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407 Proxy Authentication Required"),
        (b"HTTP/1.1 403 Not You\r\nContent-Length: 2\r\n\r\nno", "403 Not You"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"),
        (b"HTTP/1.1 403 a\x1b[2J\xe2\x80\xa8b\r\nContent-Length: 0\r\n\r\n", "403 a [2J b"),
        (b"", "ConnectionResetError"),
    ],
    ids=["407", "403", "502", "an escape", "hangs up"],
)  # fmt: skip
def test_a_refused_tunnel_is_a_proxy_error(
    front_end: FrontEnd, proxy: Proxy, client_through: ClientFor, refusal: bytes, reason: str
) -> None:
    """Nothing was sent to the origin, and the message has the proxy's reply."""
    proxy.refusal = refusal
    caught = failing(front_end, client_through(f"http://{proxy.address}"), "POST", "https://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert (
        caught.message
        == f"could not connect to https://service.test through the proxy http://{proxy.address} ({reason})"
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_connections_is_a_proxy_error(
    front_end: FrontEnd, client_through: ClientFor, scheme: str
) -> None:
    """The proxy is to blame, not the service."""
    caught = failing(front_end, client_through("http://127.0.0.1:1"), "POST", f"{scheme}://service.test/")
    assert (caught.type, caught.sent, caught.cause) == ("ProxyError", "never_sent", "ConnectionRefusedError")
    assert caught.message == (
        f"could not connect to {scheme}://service.test through the proxy http://127.0.0.1:1 "
        "(ConnectionRefusedError: Connection refused)"
    )


def test_a_silent_proxy_is_cut_by_the_connect_timeout(
    front_end: FrontEnd, mute: str, client_through: ClientFor
) -> None:
    """Opening the tunnel is a part of connecting."""
    client = client_through(f"http://{mute}", connection_timeout=0.2)
    caught = failing(front_end, client, "GET", "https://service.test/")
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    caught.check_took(0.2)


def test_a_response_of_a_forwarding_proxy_is_a_response(
    front_end: FrontEnd, proxy: Proxy, client_through: ClientFor
) -> None:
    """A forwarding proxy responds for the origin: its status is returned, a 407, too."""
    proxy.refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    client = client_through(f"http://{proxy.address}")
    assert front_end.request(client, "GET", "http://service.test/").status_code == 407


@pytest.mark.parametrize(
    "url", ["socks4://127.0.0.1:1080", "socks://u:secret@127.0.0.1:1", "ftp://127.0.0.1:1"]
)
def test_a_proxy_of_an_unknown_kind_is_refused(
    front_end: FrontEnd, client_through: ClientFor, url: str
) -> None:
    """Nothing is sent to it in the wrong protocol."""
    caught = failing(front_end, client_through(url), "GET", "http://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert "has an unknown scheme; use http://host:port" in caught.message
    assert "secret" not in caught.message


@pytest.mark.parametrize("url", ["http://[::", "http://h:99999", "socks5://:80"])
def test_an_invalid_proxy_url_is_a_proxy_error(
    front_end: FrontEnd, client_through: ClientFor, url: str
) -> None:
    """It is not an error of the standard library."""
    caught = failing(front_end, client_through(url), "GET", "http://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert f"{url} is not a valid proxy URL; use http://host:port" in caught.message


def test_certificates_are_verified_through_a_proxy(
    front_end: FrontEnd, proxy: Proxy, client_through: ClientFor, certificates: Certificates
) -> None:
    """A tunnel does not make a certificate valid."""
    with LoopbackServer(tls=certificates.server_context("other.test")) as server:
        caught = failing(front_end, client_through(f"http://{proxy.address}"), "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="asyncio supports TLS in TLS")
def test_asyncio_without_tls_in_tls_is_a_proxy_error(front_end: FrontEnd, client_through: ClientFor) -> None:
    """It is raised before anything is connected."""
    if isinstance(front_end, AsyncioFrontEnd):
        caught = failing(front_end, client_through("https://127.0.0.1:1"), "GET", "https://service.test/")
        assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
        assert "from Python 3.11 on" in caught.message


@pytest.mark.parametrize(
    ("after", "error"),
    [
        (b"", "ConnectionLostError"),
        (b"HTTP/1.1 200 OK\r\nX-", "ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", "ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "ProtocolError"),
    ],
    ids=["before the head", "in the head", "in the body", "in the chunks"],
)
def test_a_server_that_hangs_up_inside_two_layers_of_tls_is_an_error_of_ours(
    front_end: FrontEnd, tls_server: LoopbackServer, tls_in_tls: HttpServiceClient, after: bytes, error: str
) -> None:
    """Without close_notify, as many servers do: the same errors as with one layer, or none."""
    tls_server.script("/", hang_up(after))
    caught = failing(front_end, tls_in_tls, "GET", tls_server.url + "/")
    assert (caught.type, caught.sent) == (error, "maybe_processed")


def test_a_body_may_end_with_the_connection_inside_two_layers_of_tls(
    front_end: FrontEnd, tls_server: LoopbackServer, tls_in_tls: HttpServiceClient
) -> None:
    """Without close_notify, too."""
    tls_server.script("/", hang_up(b"HTTP/1.1 200 OK\r\n\r\nwhole"))
    assert front_end.request(tls_in_tls, "GET", tls_server.url + "/").text == "whole"


def test_a_reset_does_not_end_a_body_inside_two_layers_of_tls(
    each_path: FrontEnd, certificates: Certificates
) -> None:
    """It has no length, so half of it would be taken for the whole."""
    if isinstance(each_path, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        """The proxy, and the origin."""
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        tls, outgoing = shake_hands(accepted, certificates.server_context())
        tls.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        accepted.sendall(outgoing.read())
        is_over.wait(0.1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with served(serve, certificates.server_context()) as address:
        client = each_path.client(connection_pool=certificates.pool(), proxy=f"https://{address}")
        caught = failing(each_path, client, "GET", "https://localhost/", timeout=5)
        assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")
