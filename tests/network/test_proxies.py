"""By way of a proxy: forwarded or tunnelled, with our credentials shown to it and to nobody else."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing.server import LoopbackServer, answer, raw, respond
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import Certificates, failing
from network.proxy_server import Proxy, running_proxy

ClientFor = Callable[..., HttpServiceClient]
BASIC = "Basic " + base64.b64encode(b"user:p@ss").decode()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """An HTTP proxy on loopback."""
    with running_proxy() as proxy:
        yield proxy


@pytest.fixture
def client_by(front_end: FrontEnd, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> ClientFor:
    """Makes a client that goes by way of a proxy."""

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
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_by: ClientFor
) -> None:
    """The proxy gets the absolute form, and our credentials; the connection to it is used again."""
    server.script("/a", respond(200, body="by proxy"))
    client = client_by(f"http://user:p%40ss@{proxy.address}")
    for _ in range(2):
        assert front_end.request(client, "GET", server.url + "/a?b=%20c").text == "by proxy"
    assert proxy.heads[0].split("\r\n")[:2] == [
        f"GET {server.url}/a?b=%20c HTTP/1.1", f"Host: 127.0.0.1:{server.port}",
    ]  # fmt: skip
    assert [lines_of(head)["proxy-authorization"] for head in proxy.heads] == [BASIC, BASIC]


def test_https_is_tunnelled(
    front_end: FrontEnd, tls_server: LoopbackServer, proxy: Proxy, client_by: ClientFor
) -> None:
    """The proxy is asked for a tunnel, once; it sees our credentials, the origin does not."""
    tls_server.script("/", respond(200, body="by tunnel"))
    client = client_by(f"http://user:p%40ss@{proxy.address}")
    for _ in range(2):
        assert front_end.request(client, "GET", tls_server.url + "/").text == "by tunnel"
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.1\r\n")
    assert lines_of(head)["proxy-authorization"] == BASIC
    assert lines_of(head)["host"] == f"127.0.0.1:{tls_server.port}"
    assert all(request.header("Proxy-Authorization") is None for request in tls_server.requests)
    assert tls_server.connection_count == 1


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_may_speak_tls_itself(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    client_by: ClientFor,
    secure: bool,
) -> None:
    """TLS to the proxy; for https, TLS to the origin within it."""
    if secure and isinstance(front_end, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    server = tls_server if secure else server
    server.script("/", respond(200, body="by tls"))
    with running_proxy(certificates.server_context()) as proxy:
        client = client_by(f"https://{proxy.address}")
        for _ in range(2):
            assert front_end.request(client, "GET", server.url + "/").text == "by tls"


@pytest.fixture
def tls_in_tls(
    front_end: FrontEnd, certificates: Certificates, client_by: ClientFor
) -> Iterator[HttpServiceClient]:
    """A client that reaches https origins by way of an https proxy."""
    if isinstance(front_end, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    with running_proxy(certificates.server_context()) as proxy:
        yield client_by(f"https://{proxy.address}")


def test_a_large_upload_through_tls_in_tls(
    front_end: FrontEnd, tls_server: LoopbackServer, tls_in_tls: HttpServiceClient
) -> None:
    """What fills every buffer on its way arrives whole."""
    tls_server.script("/", answer(lambda received: respond(200, body=str(len(received.body)))))
    response = front_end.request(tls_in_tls, "POST", tls_server.url + "/", data=b"x" * 8_000_000)
    assert response.text == "8000000"


def test_poison_inside_two_layers_of_tls(
    front_end: FrontEnd, tls_server: LoopbackServer, tls_in_tls: HttpServiceClient
) -> None:
    """Bytes that nobody asked for are noticed, however deep they hide."""
    poisoned = [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"]
    tls_server.script("/", raw(*poisoned, close=False), respond(200, body="fine"))
    front_end.request(tls_in_tls, "GET", tls_server.url + "/")
    time.sleep(0.1)
    assert front_end.request(tls_in_tls, "GET", tls_server.url + "/").text == "fine"
    assert [request.connection for request in tls_server.requests] == [1, 2]


def test_no_proxy_is_honoured(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_by: ClientFor
) -> None:
    """An excepted host is reached directly."""
    server.script("/", respond(204))
    client = client_by(f"http://{proxy.address}", no_proxy="127.0.0.0/8")
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert not proxy.heads


def test_what_is_for_the_proxy_is_not_taken_to_a_host_without_one(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_by: ClientFor
) -> None:
    """A redirect may leave the proxy behind, and then its credentials too."""
    server.script("/", respond(302, headers={"Location": f"http://localhost:{server.port}/direct"}))
    server.script("/direct", respond(200, body="direct"))
    client = client_by(f"http://user:p%40ss@{proxy.address}", no_proxy="localhost")
    assert front_end.request(client, "GET", server.url + "/").text == "direct"
    assert len(proxy.heads) == 1
    (request,) = server.received("/direct")
    assert request.header("Proxy-Authorization") is None


def test_the_environment_may_be_ignored(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_by: ClientFor
) -> None:
    """trust_env_proxy_settings=False means it, in both libraries."""
    server.script("/", respond(204))
    client = client_by(f"http://{proxy.address}", trust_env_proxy_settings=False)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert not proxy.heads


@pytest.mark.parametrize("form", ["a URL", "by name"])
def test_a_client_has_a_proxy_of_its_own(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_by: ClientFor, form: str
) -> None:
    """`proxy` in the configuration takes the environment's place, its exceptions too."""
    server.script("/", respond(204))
    url = f"http://user:p%40ss@{proxy.address}"
    own: Any = url if form == "a URL" else {"http": url, "no": "example.com"}
    client = client_by("http://127.0.0.1:9", no_proxy="127.0.0.1", proxy=own)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    (head,) = proxy.heads
    assert lines_of(head)["proxy-authorization"] == BASIC


@pytest.mark.parametrize(
    "own", [{}, {"https": "http://127.0.0.1:9"}, {"all": "http://127.0.0.1:9", "no": "127.0.0.0/8"}]
)
def test_what_the_own_proxy_is_not_for_goes_direct(
    front_end: FrontEnd, server: LoopbackServer, proxy: Proxy, client_by: ClientFor, own: dict[str, str]
) -> None:
    """Another scheme, an exception, or no proxy at all: the environment's is not asked then."""
    server.script("/", respond(204))
    client = client_by(f"http://{proxy.address}", proxy=own)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert not proxy.heads


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407 Proxy Authentication Required"),
        (b"HTTP/1.1 403 Not You\r\nContent-Length: 2\r\n\r\nno", "403 Not You"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"),
        (b"", "ConnectionResetError"),
    ],
    ids=["407", "403", "502", "hangs up"],
)  # fmt: skip
def test_a_proxy_that_opens_no_tunnel(
    front_end: FrontEnd, proxy: Proxy, client_by: ClientFor, refusal: bytes, reason: str
) -> None:
    """Nothing was sent to the origin, and the error says what the proxy said."""
    proxy.refusal = refusal
    caught = failing(front_end, client_by(f"http://{proxy.address}"), "POST", "https://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert (
        caught.message
        == f"could not connect to https://service.test through the proxy http://{proxy.address} ({reason})"
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(front_end: FrontEnd, client_by: ClientFor, scheme: str) -> None:
    """A proxy that refuses connections is to blame, not the service."""
    caught = failing(front_end, client_by("http://127.0.0.1:1"), "POST", f"{scheme}://service.test/")
    assert (caught.type, caught.sent, caught.cause) == ("ProxyError", "never_sent", "ConnectionRefusedError")
    assert caught.message == (
        f"could not connect to {scheme}://service.test through the proxy http://127.0.0.1:1 "
        "(ConnectionRefusedError: Connection refused)"
    )


def test_a_proxy_that_says_nothing(front_end: FrontEnd, mute: str, client_by: ClientFor) -> None:
    """The tunnel is a part of connecting, and has its time."""
    client = client_by(f"http://{mute}", connection_timeout=0.2)
    caught = failing(front_end, client, "GET", "https://service.test/")
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    caught.check_took(0.2)


def test_an_answer_of_a_forwarding_proxy_is_an_answer(
    front_end: FrontEnd, proxy: Proxy, client_by: ClientFor
) -> None:
    """Who forwards answers for the origin: its status is handed out, 407 too."""
    proxy.refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    client = client_by(f"http://{proxy.address}")
    assert front_end.request(client, "GET", "http://service.test/").status_code == 407


@pytest.mark.parametrize(
    "url", ["socks4://127.0.0.1:1080", "socks://u:secret@127.0.0.1:1", "ftp://127.0.0.1:1"]
)
def test_a_proxy_of_another_kind_is_told(front_end: FrontEnd, client_by: ClientFor, url: str) -> None:
    """Nothing is sent to it in the wrong language."""
    caught = failing(front_end, client_by(url), "GET", "http://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert "has an unknown scheme; use http://host:port" in caught.message
    assert "secret" not in caught.message


@pytest.mark.parametrize("url", ["http://[::", "http://h:99999", "socks5://:80"])
def test_what_is_no_url_of_a_proxy_is_told(front_end: FrontEnd, client_by: ClientFor, url: str) -> None:
    """And not by an error of the standard library's."""
    caught = failing(front_end, client_by(url), "GET", "http://service.test/")
    assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
    assert f"{url} is not a valid proxy URL; use http://host:port" in caught.message


def test_an_origin_behind_a_proxy_that_is_not_to_be_trusted(
    front_end: FrontEnd, proxy: Proxy, client_by: ClientFor, certificates: Certificates
) -> None:
    """A tunnel does not make a certificate right."""
    with LoopbackServer(tls=certificates.server_context("other.test")) as server:
        caught = failing(front_end, client_by(f"http://{proxy.address}"), "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="asyncio can do it")
def test_asyncio_without_tls_in_tls(front_end: FrontEnd, client_by: ClientFor) -> None:
    """It says so before it connects to anybody."""
    if isinstance(front_end, AsyncioFrontEnd):
        caught = failing(front_end, client_by("https://127.0.0.1:1"), "GET", "https://service.test/")
        assert (caught.type, caught.sent) == ("ProxyError", "never_sent")
        assert "from Python 3.11 on" in caught.message
