"""Every wait of an exchange ends on time, with the same error in both transports."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from http_service_client import ReadTimeoutError, Timeout
from http_service_client.testing.server import LoopbackServer, drip, raw, respond, stall, stall_reading
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import Certificates, dripping_tls, failing, served, slots_in_use

BIG = b"x" * 50_000_000


def pieces() -> Any:
    """A body of unknown length, much larger than the buffers of the system."""
    for _ in range(800):
        yield b"x" * 65536


def check_that_the_connection_was_closed(front_end: FrontEnd, client: Any, server: LoopbackServer) -> None:
    server.script("/fine", respond(204))
    seen = server.connection_count
    assert front_end.request(client, "GET", server.url + "/fine").status_code == 204
    assert server.connection_count == seen + 1
    assert slots_in_use(client) == 0


HEAD = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 500 + b"\r\n\r\n"

STALLS = {
    "no response": (stall(), {}),
    "trickled head": (raw(*[bytes([byte]) for byte in HEAD], every=0.01), {}),
    "trickled body": (drip("z" * 500, 0.01), {}),
    "trickled chunks": (
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nz\r\n"] * 500, every=0.01),
        {},
    ),
    "endless interim responses": (raw(*[b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 500, every=0.01), {}),
    "stalled body": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", close=False), {}),
    "upload that nobody reads": (stall_reading(), {"data": BIG}),
    "upload of unknown length that nobody reads": (stall_reading(), {"data": pieces}),
}


@pytest.mark.parametrize("name", STALLS)
def test_the_timeout_bounds_the_attempt_as_a_whole(
    front_end: FrontEnd, server: LoopbackServer, name: str
) -> None:
    """However the server stalls or trickles, the attempt ends with its timeout."""
    action, options = STALLS[name]
    options = {key: value() if callable(value) else value for key, value in options.items()}
    server.script("/slow", action)
    client = front_end.client()
    caught = failing(front_end, client, "POST", server.url + "/slow", timeout=0.3, **options)
    assert (caught.type, caught.sent, caught.cause) == (
        "AttemptTimeoutError",
        "maybe_processed",
        "TimeoutError",
    )
    assert caught.message == f"no complete response from {server.url}/slow within 0.3 s"
    caught.check_took(0.3)
    check_that_the_connection_was_closed(front_end, client, server)


@pytest.mark.parametrize("name", ["no response", "stalled body"])
def test_the_read_timeout_bounds_each_wait_for_data(
    front_end: FrontEnd, server: LoopbackServer, name: str
) -> None:
    """A server that stops sending is abandoned long before the attempt's timeout."""
    server.script("/slow", STALLS[name][0])
    client = front_end.client()
    caught = failing(front_end, client, "GET", server.url + "/slow", timeout=Timeout(total=20, read=0.4))
    assert (caught.type, caught.sent, caught.cause) == ("ReadTimeoutError", "maybe_processed", "TimeoutError")
    assert caught.message == f"timed out reading from {server.url}/slow: nothing arrived for 0.4 s"
    caught.check_took(0.4)
    check_that_the_connection_was_closed(front_end, client, server)


@pytest.mark.parametrize("framing", [b"5;a=", b"5\r\nhello\r\n0\r\nX: "], ids=["extension", "trailer"])
def test_bytes_that_only_frame_the_body_are_no_data(front_end: FrontEnd, framing: bytes) -> None:
    """A server that trickles them for ever is cut as one that sends nothing."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framing)
        while not is_over.wait(0.02):
            accepted.sendall(b"b")

    with served(serve) as address:
        client = front_end.client()
        caught = failing(front_end, client, "GET", f"http://{address}/", timeout=Timeout(total=15, read=0.3))
    assert (caught.type, caught.sent, caught.cause) == ("ReadTimeoutError", "maybe_processed", "TimeoutError")


def test_the_read_timeout_bounds_the_body_of_a_refusal_of_a_stream(
    each_path: FrontEnd, server: LoopbackServer
) -> None:
    """That of a success is left to the reader; any other is read at once."""
    server.script("/", raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", close=False))
    client = each_path.client()
    with (
        pytest.raises(ReadTimeoutError),
        each_path.stream(
            client, "GET", server.url + "/", timeout=Timeout(total=20, read=0.2), retry_policy=None
        ),
    ):
        pass


def test_the_read_timeout_allows_a_slow_response(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A server that keeps sending may take longer than the read timeout in all."""
    server.script("/slow", drip("z" * 20, 0.05))
    response = front_end.request(
        front_end.client(), "GET", server.url + "/slow", timeout=Timeout(total=20, read=0.8)
    )
    assert response.text == "z" * 20
    assert response.elapsed > 0.8


@pytest.mark.parametrize("body", [BIG, pieces], ids=["bytes", "pieces"])
def test_the_write_timeout_bounds_each_stall_of_an_upload(
    front_end: FrontEnd, server: LoopbackServer, body: Any
) -> None:
    """A server that accepts no more bytes is abandoned."""
    server.script("/slow", stall_reading())
    client = front_end.client()
    data = body() if callable(body) else body
    timeout = Timeout(total=20, write=0.2)
    caught = failing(front_end, client, "POST", server.url + "/slow", data=data, timeout=timeout)
    assert (caught.type, caught.sent, caught.cause) == (
        "WriteTimeoutError",
        "maybe_processed",
        "TimeoutError",
    )
    assert (
        caught.message
        == f"timed out sending the request to {server.url}/slow: nothing was accepted for 0.2 s"
    )
    caught.check_took(0.2)
    check_that_the_connection_was_closed(front_end, client, server)


def test_the_write_timeout_allows_a_slow_upload(front_end: FrontEnd) -> None:
    """While the server keeps reading, an upload may take longer than the write timeout in all."""
    size = 3_000_000

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(65536)
        left = size - len(received.partition(b"\r\n\r\n")[2])
        while left > 0:
            left -= len(accepted.recv(size // 20))
            is_over.wait(0.02)
        accepted.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        accepted.recv(1)

    with served(serve, takes=65536) as address:
        timeout = Timeout(total=20, write=0.5)
        response = front_end.request(
            front_end.client(), "POST", f"http://{address}/", data=b"x" * size, timeout=timeout
        )
    assert response.status_code == 204
    assert response.elapsed > 0.5


def test_the_connect_timeout_bounds_a_connection_that_nobody_accepts(front_end: FrontEnd, hole: str) -> None:
    """A host that drops packets is abandoned after the connect timeout."""
    caught = failing(front_end, front_end.client(connection_timeout=0.2), "GET", f"http://{hole}/")
    assert (caught.type, caught.sent, caught.cause) == ("ConnectTimeoutError", "never_sent", "TimeoutError")
    assert caught.message == f"could not connect to http://{hole} within the connect timeout"
    caught.check_took(0.2)


def test_the_attempt_s_timeout_bounds_connecting_too(front_end: FrontEnd, hole: str) -> None:
    """It is shorter than the connect timeout. Nothing was sent."""
    caught = failing(front_end, front_end.client(), "GET", f"http://{hole}/", timeout=0.2)
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    assert caught.message == f"could not connect to http://{hole} in time"
    caught.check_took(0.2)


def test_the_connect_timeout_bounds_the_tls_handshake(front_end: FrontEnd, mute: str) -> None:
    """A TLS port that never responds is abandoned after the connect timeout."""
    caught = failing(front_end, front_end.client(connection_timeout=0.2), "GET", f"https://{mute}/")
    assert (caught.type, caught.sent, caught.cause) == ("ConnectTimeoutError", "never_sent", "TimeoutError")
    assert caught.message == f"could not connect to https://{mute} within the connect timeout"
    caught.check_took(0.2)


@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "http/2"])
def test_nothing_else_bounds_the_tls_handshake(
    mute: str, monkeypatch: pytest.MonkeyPatch, http2: bool
) -> None:
    """asyncio would end it after a minute, whatever the connect timeout is."""
    monkeypatch.setattr(asyncio.constants, "SSL_HANDSHAKE_TIMEOUT", 0.05)
    with AsyncioFrontEnd() as front_end:
        client = front_end.client(http2=http2)
        caught = failing(front_end, client, "GET", f"https://{mute}/", timeout=Timeout(connect=0.3))
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")


@pytest.mark.parametrize(
    ("pause", "error", "sent", "seconds"),
    [(0.01, "ConnectTimeoutError", "never_sent", 0.4), (0.06, "AttemptTimeoutError", "maybe_processed", 0.6)],
    ids=["handshake", "record"],
)
def test_trickled_tls_is_cut(
    front_end: FrontEnd, certificates: Certificates, pause: float, error: str, sent: str, seconds: float
) -> None:
    """A TLS record that arrives byte by byte extends no timeout, during the handshake or later."""
    client = front_end.client(connection_pool=certificates.pool())
    with served(dripping_tls(certificates.server_context(), 1, pause)) as address:
        caught = failing(
            front_end, client, "GET", f"https://{address}/", timeout=Timeout(total=0.6, connect=0.4)
        )
    assert (caught.type, caught.sent) == (error, sent)
    caught.check_took(seconds)


def test_addresses_share_the_connect_timeout(
    front_end: FrontEnd, server: LoopbackServer, hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that drops packets leaves time for the next one."""
    server.script("/", respond(204))
    dead, alive = int(hole.partition(":")[2]), server.port
    name_of(monkeypatch, "127.0.0.1", dead, "127.0.0.1", alive)
    client = front_end.client(connection_timeout=1.0)
    with Stopwatch() as watch:
        response = front_end.request(client, "GET", "http://service.test/", retry_policy=None)
    assert response.status_code == 204
    watch.check_took(0.25)  # until the second address is tried, too


def test_dead_addresses_do_not_multiply_the_connect_timeout(
    front_end: FrontEnd, hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three addresses that drop packets take no longer than one."""
    dead = int(hole.partition(":")[2])
    name_of(monkeypatch, *["127.0.0.1", dead] * 3)
    caught = failing(front_end, front_end.client(connection_timeout=0.3), "GET", "http://service.test/")
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    assert caught.message == "could not connect to http://service.test within the connect timeout"
    caught.check_took(0.3)


def name_of(monkeypatch: pytest.MonkeyPatch, *hosts_and_ports: Any) -> None:
    """Resolve every name to these addresses. A test has one host only, but it can have two ports."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host, port in zip(hosts_and_ports[::2], hosts_and_ports[1::2], strict=True)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)


def test_the_connect_timeout_bounds_name_resolution(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that does not respond is abandoned after the connect timeout, and nothing waits for it later."""
    is_over = threading.Event()

    def resolve(*arguments: Any, **options: Any) -> Any:
        is_over.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        caught = failing(front_end, front_end.client(connection_timeout=0.2), "GET", "http://service.test/")
    finally:
        is_over.set()
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    assert caught.message == "could not connect to http://service.test within the connect timeout"
    caught.check_took(0.2)


def test_an_unknown_name_is_a_name_resolution_error(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown host is distinguished from one that cannot be reached."""

    def resolve(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    caught = failing(front_end, front_end.client(), "GET", "http://service.test/")
    assert (caught.type, caught.sent, caught.cause) == ("NameResolutionError", "never_sent", "gaierror")
    assert caught.message == (
        "could not resolve the host name of http://service.test (gaierror: Name or service not known)"
    )
