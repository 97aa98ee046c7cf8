"""Uploads: every kind of body arrives whole, and an early response is read."""

from __future__ import annotations

import asyncio
import gc
import io
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient, InvalidRequestError, Timeout
from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.over_aiohttp import connector as over_aiohttp_connector
from http_service_client.transports.over_requests import connector as over_requests_connector
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import failing, served

LARGE = bytes(range(256)) * 4000  # a megabyte


def generated() -> Iterator[bytes]:
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]
        yield b""


class Generated:
    """The same, as often as it is iterated over."""

    def __iter__(self) -> Iterator[bytes]:
        return generated()


async def generated_async() -> AsyncIterator[bytes]:
    for piece in generated():
        yield piece


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", ["bytes", "few bytes", "generator", "file", "async generator"])
def test_a_body_arrives_whole(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Any,
    tmp_path: Path,
    kind: str,
    secure: bool,
) -> None:
    """Each kind of body, with the same framing: by its length if that is known, else in chunks."""
    if kind == "async generator" and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("see test_an_async_body_needs_a_loop")
    server = tls_server if secure else server
    server.script("/", respond(204))
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    with path.open("rb") as file:
        bodies: dict[str, Any] = {
            "bytes": LARGE,
            "few bytes": b"few",
            "generator": generated(),
            "file": file,
            "async generator": generated_async(),
        }
        client = front_end.client(connection_pool=certificates.pool())
        front_end.request(client, "POST", server.url + "/", data=bodies[kind])
    (received,) = server.requests
    content = b"few" if kind == "few bytes" else LARGE
    assert received.body == content
    is_chunked = "generator" in kind
    assert received.header("Transfer-Encoding") == ("chunked" if is_chunked else None)
    assert received.header("Content-Length") == (None if is_chunked else str(len(content)))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_stream_of_declared_length_is_not_sent_in_chunks(
    front_end: FrontEnd, server: LoopbackServer, tls_server: LoopbackServer, certificates: Any, secure: bool
) -> None:
    """Stores such as S3 refuse chunks, and the connection serves the next request."""
    server = tls_server if secure else server
    server.script("/", respond(204))
    client = front_end.client(connection_pool=certificates.pool())
    for _ in range(2):
        front_end.request(
            client, "PUT", server.url + "/", data=generated(), headers={"Content-Length": str(len(LARGE))}
        )
    for received in server.requests:
        assert received.body == LARGE
        assert received.header("Transfer-Encoding") is None
    assert server.connection_count == 1


@pytest.mark.parametrize("length", [len(LARGE) - 1, len(LARGE) + 1], ids=["longer", "shorter"])
def test_a_stream_of_another_length_makes_no_request(
    front_end: FrontEnd, server: LoopbackServer, length: int
) -> None:
    """The call is not retried, and the server gets neither a whole request nor a part of another one."""
    server.script("/", respond(204))
    client = front_end.client()
    with pytest.raises(InvalidRequestError, match=f"its Content-Length of {length} bytes"):
        front_end.request(
            client, "PUT", server.url + "/", data=Generated(), headers={"Content-Length": str(length)}
        )
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [received.method for received in server.requests] == ["GET"]
    assert server.connection_count == 2


def test_an_async_body_needs_a_loop(server: LoopbackServer) -> None:
    """A blocking call cannot read it: the call is refused, and nothing is sent."""
    with BlockingFrontEnd() as front_end:
        caught = failing(front_end, front_end.client(), "POST", server.url + "/", data=generated_async())
    assert (caught.type, caught.sent) == ("InvalidRequestError", "never_sent")
    assert "async" in caught.message
    assert server.connection_count == 0


class Source(Exception):
    """An error of the caller's own generator."""


def failing_source() -> Iterator[bytes]:
    yield b"x" * 100_000
    raise Source


async def failing_source_async() -> AsyncIterator[bytes]:
    for piece in failing_source():
        yield piece


@pytest.mark.parametrize("source", [failing_source, failing_source_async])
def test_an_error_of_the_body_s_source_is_raised_unchanged(
    front_end: FrontEnd, server: LoopbackServer, source: Any
) -> None:
    """The server is not to blame, and nothing is retried."""
    if source is failing_source_async and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("see test_an_async_body_needs_a_loop")
    server.script("/", respond(204))
    client = front_end.client()
    with pytest.raises(Source) as caught:
        front_end.request(client, "POST", server.url + "/", data=source(), idempotent=True)
    assert caught.value.__context__ is None
    del caught
    assert server.wait_for(lambda: server.open_connections == 0)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("source", [failing_source, failing_source_async])
def test_an_error_of_a_source_leaves_no_cycle(
    front_end: FrontEnd,
    mute: str,
    source: Any,
    no_reference_cycles: None,  # the last: it looks while the client is still there
) -> None:
    """It would keep the exchange, and what the source holds, until the collector runs."""
    client, url = front_end.client(), f"http://{mute}/"

    async def call() -> None:
        with suppress(Source):
            await client.post_async(url, data=source())

    if isinstance(front_end, AsyncioFrontEnd):
        front_end.loop.run_until_complete(call())
    elif source is failing_source:
        with suppress(Source):
            client.post(url, data=source())


def test_an_error_of_a_source_whose_call_has_ended_is_not_logged(mute: str) -> None:
    """Nobody waits for it any more. asyncio would log it as one that was never retrieved."""

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.sleep(100)
        finally:
            raise Source

    logged: list[Any] = []
    with AsyncioFrontEnd() as front_end:
        front_end.loop.set_exception_handler(lambda loop, context: logged.append(context))
        client = front_end.client(enable_retry_policy=False)
        caught = failing(front_end, client, "POST", f"http://{mute}/", data=source(), timeout=0.1)
        assert caught.type == "AttemptTimeoutError"
        gc.collect()
    assert logged == []


def test_a_file_that_shrinks_is_refused(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Its length was declared in the head already."""
    server.script("/", respond(204))
    client = front_end.client()

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) if self.tell() < 65536 else b""

    caught = failing(front_end, client, "POST", server.url + "/", data=Shrinking(b"x" * 600_000))
    assert caught.type == "InvalidRequestError"
    assert "shorter" in caught.message


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
        while size < 8_000_000 and (data := accepted.recv(65536)):
            size += len(data)
        accepted.sendall(b"%7d" % size)
        is_over.wait(10)

    with served(serve, certificates.server_context() if secure else None, takes=4096) as address:
        client = each_path.client(connection_pool=certificates.pool())
        url, options = f"http{'s' * secure}://{address}/", {"data": b"x" * 8_000_000, "timeout": 10}
        if streams:
            with each_path.stream(client, "POST", url, retry_policy=None, **options) as response:
                content = response.read()
        else:
            content = each_path.request(client, "POST", url, retry_policy=None, **options).content
    assert content == b"e" * early + b"8000000"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", ["bytes", "generator", "async generator"])
def test_a_server_that_responds_as_it_reads_is_read_during_the_upload(
    front_end: FrontEnd, certificates: Any, secure: bool, kind: str
) -> None:
    """It reads on only when its response is read: more of it than the system buffers, and no more than the limit."""
    if kind == "async generator" and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("see test_an_async_body_needs_a_loop")
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


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_nothing_is_written_to_a_connection_whose_server_has_gone(
    front_end: FrontEnd, certificates: Any, secure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio logs each piece that it drops, and TLS would encrypt all of them first."""

    def serve(accepted: Any, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.close()

    with served(serve, certificates.server_context() if secure else None) as address:
        client = front_end.client(connection_pool=certificates.pool(), enable_circuit_breaker=False)
        for _ in range(5):
            url = f"http{'s' * secure}://{address}/"
            caught = failing(front_end, client, "POST", url, data=b"x" * 20_000_000)
            assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")
    assert [record for record in caplog.records if record.name == "asyncio"] == []


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


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("used_before", [0, 1])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [60_000, 90_000])
def test_the_write_timeout_covers_the_end_of_a_body(
    front_end: FrontEnd, certificates: Any, used_before: int, secure: bool, size: int
) -> None:
    """A short body, and the rest of a long one that is in our own buffers."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        for _ in range(used_before):
            while b"\r\n\r\n" not in accepted.recv(65536):
                pass
            accepted.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        is_over.wait(10)

    tls = certificates.server_context() if secure else None
    with served(serve, tls, takes=4096) as address:
        client = front_end.client(connection_pool=certificates.pool())
        url = f"http{'s' * secure}://{address}/"
        for _ in range(used_before):
            assert front_end.request(client, "GET", url).status_code == 204
        timeout = Timeout(total=20, write=0.3)
        caught = failing(front_end, client, "POST", url, data=b"x" * size, timeout=timeout)
        assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
        caught.check_took(0.3)
        front_end.close(client)


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [60_000, 90_000])
def test_a_connection_that_is_lost_at_the_end_of_a_body_is_a_lost_connection(
    each_path: FrontEnd, certificates: Any, secure: bool, size: int
) -> None:
    """Also while the last bytes are in our own buffers, where the write timeout bounds them."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(100)
        is_over.wait(0.1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with served(serve, certificates.server_context() if secure else None, takes=4096) as address:
        client = each_path.client(connection_pool=certificates.pool())
        url = f"http{'s' * secure}://{address}/"
        timeout = Timeout(total=20, write=10)
        caught = failing(each_path, client, "POST", url, data=b"x" * size, timeout=timeout)
        assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")


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


def test_a_server_may_read_a_short_body_slowly(front_end: FrontEnd, small_buffers: None) -> None:
    """While it keeps reading, the whole upload may take longer than the write timeout."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        left = 60_000
        while left > 0:
            left -= len(accepted.recv(6_000))
            is_over.wait(0.06)
        accepted.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        accepted.recv(1)

    with served(serve, takes=4096) as address:
        timeout = Timeout(total=20, write=0.4)
        response = front_end.request(
            front_end.client(), "POST", f"http://{address}/", data=b"x" * 60_000, timeout=timeout
        )
    assert response.status_code == 204


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


BODIES: list[dict[str, Any]] = [
    {},
    {"data": b"abc"},
    {"json": {"a": 1}},
    {"data": {"a": "ä"}},
    {"headers": {"Accept": None, "User-Agent": None, "Accept-Encoding": None}},
]


def test_both_transports_send_the_same_bytes(server: LoopbackServer) -> None:
    """For every method, with and without a body."""
    server.script("/", respond(204))
    sent: list[list[bytes]] = []
    for kind in (BlockingFrontEnd, AsyncioFrontEnd):
        before = len(server.requests)
        with kind() as front_end:
            client = front_end.client()
            for method in ("GET", "HEAD", "OPTIONS", "QUERY", "DELETE", "POST", "PUT", "PATCH"):
                for options in BODIES:
                    front_end.request(client, method, server.url + "/?q=1", **options)
            front_end.request(client, "POST", server.url + "/", data=generated())
            front_end.request(
                client, "POST", server.url + "/", headers={"X-A": "ä", "Host": "other.test", "X-B": "b"}
            )
        sent.append([request.raw for request in server.requests[before:]])
    assert sent[0] == sent[1]


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("body", [None, LARGE], ids=["no body", "body"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_head_that_is_sent_in_parts_arrives_whole(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Any,
    body: bytes | None,
    secure: bool,
) -> None:
    """No byte of it is lost or sent twice, on a new connection and on a reused one."""
    server = tls_server if secure else server
    server.script("/", respond(204))
    client = front_end.client(connection_pool=certificates.pool())
    # Each value is different, so that swapped parts are noticed.
    fields = {f"X-Field-{number}": f"{number:06}" * 150 for number in range(300)}
    for _ in range(2):
        front_end.request(client, "POST", server.url + "/", headers=fields, data=body)
    for received in server.requests:
        assert {name: value for name, value in received.headers if name in fields} == fields
        assert received.body == (body or b"")
    assert [received.connection for received in server.requests] == [1, 1]


class Renegotiating:
    """Lets one `SSLSocket.send` in mid-body fail as during a renegotiation: TLS must read before it may write.

    is_waiting: that send has failed.   may_go_on: the server has sent something since.   came_early: a send that
    was tried before that.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_waiting, self.may_go_on = threading.Event(), threading.Event()
        self.came_early = False
        self._sends = 0
        self._send = ssl.SSLSocket.send
        monkeypatch.setattr(ssl.SSLSocket, "send", lambda sock, data, flags=0: self._send_or_fail(sock, data))

    def _send_or_fail(self, sock: ssl.SSLSocket, data: Any) -> int:
        if sock.server_side:
            return self._send(sock, data)
        self._sends += 1
        if self._sends == 3:
            self.is_waiting.set()
            raise ssl.SSLWantReadError
        if self._sends == 4:
            self.came_early = not self.may_go_on.is_set()
        return self._send(sock, data)


def without_tickets(certificates: Any) -> ssl.SSLContext:
    """A server's context that sends nothing after the handshake: a session ticket would be something to read."""
    context: ssl.SSLContext = certificates.server_context()
    context.num_tickets = 0
    return context


def test_an_upload_waits_until_tls_has_read_what_it_needs(
    certificates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither fails nor spins, and the body arrives whole. Only blocking sockets are used like this."""
    tls = Renegotiating(monkeypatch)
    bodies: list[bytes] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received = accepted.recv(65536)
        tls.is_waiting.wait(5)
        is_over.wait(0.1)
        tls.may_go_on.set()
        accepted.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(received.partition(b"\r\n\r\n")[2]) < len(LARGE):
            received += accepted.recv(1 << 20)
        bodies.append(received.partition(b"\r\n\r\n")[2])
        accepted.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        accepted.recv(1)

    with served(serve, without_tickets(certificates)) as address, BlockingFrontEnd() as front_end:
        client = front_end.client(connection_pool=certificates.pool())
        response = client.post(f"https://{address}/", data=LARGE, timeout=5, retry_policy=None)
    assert (response.status_code, bodies) == (204, [LARGE])
    assert not tls.came_early


def test_an_upload_does_not_wait_endlessly_for_tls(
    certificates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write timeout bounds that wait, too."""
    Renegotiating(monkeypatch)

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        is_over.wait(10)

    with served(serve, without_tickets(certificates)) as address, BlockingFrontEnd() as front_end:
        client = front_end.client(connection_pool=certificates.pool())
        timeout = Timeout(total=20, write=0.3)
        caught = failing(front_end, client, "POST", f"https://{address}/", data=LARGE, timeout=timeout)
    assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
    caught.check_took(0.3)


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
