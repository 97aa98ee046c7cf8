"""Responses that begin before the body of the request has been sent."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient, Timeout
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import failing, served

REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much"


@pytest.mark.parametrize("then", ["closes", "stops reading", "reads on"])
@pytest.mark.parametrize(
    "interim", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["at once", "after hints"]
)
def test_an_early_response_is_read(front_end: FrontEnd, then: str, interim: bytes) -> None:
    """A server refuses an upload half-way: its response is returned, whatever it does with the rest of the body."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(65536)
        if interim:
            accepted.sendall(interim)
            is_over.wait(0.05)
        accepted.sendall(REFUSAL)
        if then == "closes":
            # In an orderly way, as servers do in this case: an immediate reset may overtake the response.
            accepted.shutdown(socket.SHUT_WR)
            is_over.wait(0.1)
        elif then == "reads on":
            while accepted.recv(1 << 20):
                pass
        else:
            is_over.wait(10)

    with served(serve) as address:
        client = front_end.client()
        response = front_end.request(
            client, "POST", f"http://{address}/", data=b"x" * 30_000_000, timeout=5, retry_policy=None
        )
        assert (response.status_code, response.text) == (413, "too much")
        assert response.elapsed < 3


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_an_early_response_that_ends_with_the_connection_is_read(
    each_path: FrontEnd, certificates: Any, secure: bool
) -> None:
    """The server has closed its side, and reads no more: to send the rest of the upload first would be to wait for ever."""

    def serve(accepted: Any, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 413 Content Too Large\r\n\r\ntoo much")
        socket.socket.shutdown(accepted, socket.SHUT_WR)
        is_over.wait(10)

    with served(serve, certificates.server_context() if secure else None) as address:
        client = each_path.client(connection_pool=certificates.pool())
        url = f"http{'s' * secure}://{address}/"
        response = each_path.request(
            client, "POST", url, data=b"x" * 30_000_000, timeout=5, retry_policy=None
        )
        assert (response.status_code, response.text) == (413, "too much")
        with Stopwatch() as watch:
            each_path.close(client)
        watch.check_took(0.0)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("early", [0, 1000, 300_000])
@pytest.mark.parametrize("streams", [False, True], ids=["read whole", "streamed"])
def test_a_success_that_begins_early_does_not_cut_the_upload(
    each_path: FrontEnd, certificates: Any, secure: bool, early: int, streams: bool
) -> None:
    """The server may respond while it reads, and what it receives must be whole.   early: bytes of its response."""

    def serve(accepted: Any, is_over: threading.Event) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (early + 7))
        accepted.sendall(b"e" * early)
        size = len(received.partition(b"\r\n\r\n")[2])
        while size < 4_000_000 and (data := accepted.recv(65536)):
            size += len(data)
        accepted.sendall(b"%7d" % size)
        is_over.wait(10)

    with served(serve, certificates.server_context() if secure else None, takes=4096) as address:
        client = each_path.client(connection_pool=certificates.pool())
        url, options = f"http{'s' * secure}://{address}/", {"data": b"x" * 4_000_000, "timeout": 10}
        if streams:
            with each_path.stream(client, "POST", url, retry_policy=None, **options) as response:
                content = response.read()
        else:
            content = each_path.request(client, "POST", url, retry_policy=None, **options).content
    assert content == b"e" * early + b"4000000"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", ["bytes", "generator", "async generator"])
def test_a_server_that_responds_as_it_reads_is_read_during_the_upload(
    front_end: FrontEnd, certificates: Any, secure: bool, kind: str
) -> None:
    """It reads on only when its response is read: more of it than the system buffers, and no more than the limit."""
    if kind == "async generator" and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("a blocking call cannot read it")
    size = 12_000_000
    pieces = [bytes(250_000)] * 48

    async def pieces_async() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    def echo(accepted: Any, is_over: threading.Event) -> None:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
        received = b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        # The first bytes of the body may have come with the head.
        left, framing = size, received.partition(b"\r\n\r\n")[2] or accepted.recv(65536)
        while framing and left:
            accepted.sendall(bytes(min(len(framing), left)))
            left -= min(len(framing), left)
            framing = accepted.recv(65536)
        is_over.wait(10)

    with served(echo, certificates.server_context() if secure else None, takes=100_000) as address:
        client = front_end.client(connection_pool=certificates.pool(), max_response_size=size)
        data = {"bytes": bytes(size), "generator": iter(pieces), "async generator": pieces_async()}[kind]
        url, timeout = f"http{'s' * secure}://{address}/", Timeout(total=60, write=20)
        response = front_end.request(client, "POST", url, data=data, timeout=timeout, retry_policy=None)
        assert len(response.content) == size


def test_an_early_response_is_not_kept_without_limit(front_end: FrontEnd) -> None:
    """A server that sends a long body and does not read is cut by the write timeout, and not read meanwhile."""
    sent = [0]

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not is_over.is_set():
            sent[0] += accepted.send(b"e" * 65536)

    with served(serve, takes=4096) as address:
        client = front_end.client()
        timeout = Timeout(total=20, write=0.3)
        url = f"http://{address}/"
        caught = failing(front_end, client, "POST", url, data=b"x" * 30_000_000, timeout=timeout)
    assert caught.type == "WriteTimeoutError"
    assert sent[0] < 50_000_000


def refusing(accepted: Any, closed: threading.Event) -> None:
    """Refuse an upload and close at once, with unread bytes of it: that resets the connection."""
    # Or the system would keep the response back until the session tickets of TLS are acknowledged, and drop it at the reset.
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    while b"\r\n\r\n" not in received:
        received += accepted.recv(1000)
    accepted.sendall(REFUSAL)
    accepted.close()
    closed.set()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_response_is_read_though_the_server_closed_at_once(
    each_path: FrontEnd, certificates: Any, secure: bool
) -> None:
    """Its reset ends our next write, and what it had sent before is still there."""
    context = certificates.server_context() if secure else None
    with served(lambda accepted, is_over: refusing(accepted, threading.Event()), context) as address:
        client = each_path.client(
            enable_retry_policy=False, enable_circuit_breaker=False, connection_pool=certificates.pool()
        )
        for _ in range(10):
            response = each_path.request(
                client, "POST", f"http{'s' * secure}://{address}/", data=b"x" * 20_000_000, timeout=20
            )
            assert (response.status_code, response.text) == (413, "too much")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_response_is_read_after_a_write_that_failed(certificates: Any, secure: bool, loop: str) -> None:
    """The loop does not run between the end of the server and our write: so it has read nothing of the response."""
    new_loop = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip(loop).new_event_loop
    closed = threading.Event()

    def source() -> Iterator[bytes]:
        yield bytes(100_000)
        assert closed.wait(10)
        yield bytes(1_000_000)

    async def upload(url: str) -> None:
        async with HttpServiceClient(HttpClientConfig(connection_pool=certificates.pool())) as client:
            response = await client.post_async(url, data=source(), timeout=20)
            assert (response.status_code, response.text) == (413, "too much")

    context = certificates.server_context() if secure else None
    with (
        served(lambda accepted, is_over: refusing(accepted, closed), context, takes=400_000) as address,
        closing(new_loop()) as running,
    ):
        running.run_until_complete(upload(f"http{'s' * secure}://{address}/"))


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("used_before", [0, 1])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_connection_with_an_early_response_is_not_reused(
    front_end: FrontEnd, certificates: Any, used_before: int, secure: bool
) -> None:
    """The server may never read the rest of the body: the next request would wait for that, and so would `close`."""
    connections: list[list[bytes]] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received_heads: list[bytes] = []
        connections.append(received_heads)
        while len(received_heads) <= used_before:
            received = b""
            while b"\r\n\r\n" not in received:
                if not (data := accepted.recv(64)):
                    return
                received += data
            accepted.sendall(REFUSAL)
            received_heads.append(received)
        is_over.wait(10)

    tls = certificates.server_context() if secure else None
    with served(serve, tls, takes=4096) as address:
        client = front_end.client(connection_pool=certificates.pool())
        url = f"http{'s' * secure}://{address}/"
        bodies = [None] * used_before + [b"x" * 60_000, None]
        for body in bodies:
            response = front_end.request(client, "POST", url, data=body, timeout=2, retry_policy=None)
            assert response.status_code == 413
        with Stopwatch() as watch:
            front_end.close(client)
        watch.check_took(0.0)
    assert [len(heads) for heads in connections] == [used_before + 1, 1]


@pytest.mark.parametrize("size", [60_000, 3_000_000])
def test_the_write_timeout_does_not_bound_an_early_response(
    front_end: FrontEnd, small_buffers: None, size: int
) -> None:
    """Once the response has begun, sending no longer matters; the body of the response has its own timeouts."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.sendall(REFUSAL[:-3])
        is_over.wait(0.1)
        if size > 60_000:  # reads some more, if there is more, and then nothing
            taken = 0
            accepted.settimeout(0.2)
            with suppress(TimeoutError):
                while taken < 200_000:
                    taken += len(accepted.recv(65536))
        is_over.wait(0.5)
        accepted.sendall(REFUSAL[-3:])
        is_over.wait(5)

    with served(serve, takes=4096) as address:
        client, timeout = front_end.client(), Timeout(total=20, write=0.3)
        response = front_end.request(
            client, "POST", f"http://{address}/", data=b"x" * size, timeout=timeout, retry_policy=None
        )
        assert (response.status_code, response.text) == (413, "too much")
        front_end.close(client)


def test_interim_responses_do_not_stop_an_upload(front_end: FrontEnd) -> None:
    """After a 100 or a 103, the rest of the body is sent."""
    seen: list[int] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received = accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
        is_over.wait(0.05)
        while len(received.partition(b"\r\n\r\n")[2]) < 5_000_000:
            received += accepted.recv(1 << 20)
        seen.append(len(received.partition(b"\r\n\r\n")[2]))
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        accepted.recv(1)

    with served(serve) as address:
        response = front_end.request(front_end.client(), "POST", f"http://{address}/", data=b"x" * 5_000_000)
        assert response.text == "hi"
    assert seen == [5_000_000]


@pytest.mark.parametrize("ends", [True, False], ids=["many heads", "one head"])
def test_interim_heads_without_end_stop_an_upload(front_end: FrontEnd, ends: bool) -> None:
    """Nobody reads them while the body is sent, so they would fill the memory."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.sendall(b"HTTP/1.1 103 Early Hints\r\n")
        line = b"X: " + b"y" * 50_000 + b"\r\n"
        for _ in range(40):
            accepted.sendall(line + b"\r\nHTTP/1.1 103 Early Hints\r\n" if ends else line)
        is_over.wait(20)

    with served(serve, takes=4096) as address:
        client = front_end.client()
        url = f"http://{address}/"
        caught = failing(front_end, client, "POST", url, data=b"x" * 8_000_000, timeout=Timeout(total=10.0))
    assert caught.type == "ProtocolError"
    assert "head-too-large" in caught.message
