"""Bodies on their way out: every kind arrives whole, and an answer that comes early is heard."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from http_service_client import Timeout
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
    """Of each kind, and framed alike: by its length where that is known, else in chunks."""
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


def test_an_async_body_needs_a_loop(server: LoopbackServer) -> None:
    """A blocking call cannot draw from it, says so, and sends nothing."""
    with BlockingFrontEnd() as front_end:
        caught = failing(front_end, front_end.client(), "POST", server.url + "/", data=generated_async())
    assert (caught.type, caught.sent) == ("InvalidRequestError", "never_sent")
    assert "async" in caught.message
    assert server.connection_count == 0


class Source(Exception):
    """What the caller's own generator raises."""


def failing_source() -> Iterator[bytes]:
    yield b"x" * 100_000
    raise Source


async def failing_source_async() -> AsyncIterator[bytes]:
    for piece in failing_source():
        yield piece


@pytest.mark.parametrize("source", [failing_source, failing_source_async])
def test_the_error_of_a_body_s_source_is_the_caller_s(
    front_end: FrontEnd, server: LoopbackServer, source: Any
) -> None:
    """It comes out as it is: no fault of the server, and no reason to send again."""
    if source is failing_source_async and isinstance(front_end, BlockingFrontEnd):
        pytest.skip("see test_an_async_body_needs_a_loop")
    server.script("/", respond(204))
    client = front_end.client()
    with pytest.raises(Source):
        front_end.request(client, "POST", server.url + "/", data=source(), idempotent=True)
    assert server.wait_for(lambda: server.open_connections == 0)
    assert front_end.request(client, "GET", server.url + "/").status_code == 204
    assert [request.method for request in server.requests] == ["GET"]


def test_a_file_that_shrinks_is_refused(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Its length was declared: what is missing cannot be made up."""
    server.script("/", respond(204))
    client = front_end.client()

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) if self.tell() < 65536 else b""

    caught = failing(front_end, client, "POST", server.url + "/", data=Shrinking(b"x" * 200_000))
    assert caught.type == "InvalidRequestError"
    assert "shorter" in caught.message


REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much"


@pytest.mark.parametrize("then", ["closes", "stops reading", "reads on"])
@pytest.mark.parametrize(
    "interim", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["at once", "after hints"]
)
def test_an_early_answer_is_heard(front_end: FrontEnd, then: str, interim: bytes) -> None:
    """A server that refuses an upload half-way is heard, whatever it does with the rest."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(65536)
        if interim:
            accepted.sendall(interim)
            is_over.wait(0.05)
        accepted.sendall(REFUSAL)
        if then == "closes":
            # Politely, as servers do for just this: a reset at once may overtake the answer.
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


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes few bytes for us at once, as it does where the network is slow."""
    at_once, in_time = over_requests_connector.connect_to_any, over_aiohttp_connector.connect_to_any_async

    def made(*about: Any) -> socket.socket:
        return small(at_once(*about))

    async def made_async(*about: Any) -> socket.socket:
        return small(await in_time(*about))

    def small(sock: socket.socket) -> socket.socket:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return sock

    monkeypatch.setattr(over_requests_connector, "connect_to_any", made)
    monkeypatch.setattr(over_aiohttp_connector, "connect_to_any_async", made_async)


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("used_before", [0, 1])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_connection_that_was_answered_too_early_is_not_used_again(
    front_end: FrontEnd, certificates: Any, used_before: int, secure: bool
) -> None:
    """What is left of the body may never be taken: the next request would wait behind it, and `close` too."""
    connections: list[list[bytes]] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        answered: list[bytes] = []
        connections.append(answered)
        while len(answered) <= used_before:
            received = b""
            while b"\r\n\r\n" not in received:
                if not (data := accepted.recv(64)):
                    return
                received += data
            accepted.sendall(REFUSAL)
            answered.append(received)
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
    assert [len(answered) for answered in connections] == [used_before + 1, 1]


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("used_before", [0, 1])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [60_000, 90_000])
def test_the_end_of_a_body_may_stall_no_longer_than_the_rest(
    front_end: FrontEnd, certificates: Any, used_before: int, secure: bool, size: int
) -> None:
    """`Timeout.write` holds for a short body, and for what is left in our own buffers of a long one."""

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


@pytest.mark.parametrize("size", [60_000, 3_000_000])
def test_an_answer_may_take_its_time_when_the_rest_of_the_request_is_refused(
    front_end: FrontEnd, small_buffers: None, size: int
) -> None:
    """`Timeout.write` is for who waits to send; the response's body has bounds of its own."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(1000)
        accepted.sendall(REFUSAL[:-3])
        is_over.wait(0.1)
        if size > 60_000:  # it takes some more, where there is more, and then nothing
            taken = 0
            accepted.settimeout(0.2)
            with suppress(TimeoutError):
                while taken < 200_000:
                    taken += len(accepted.recv(65536))
        is_over.wait(0.8)
        accepted.sendall(REFUSAL[-3:])
        is_over.wait(5)

    with served(serve, takes=4096) as address:
        client, timeout = front_end.client(), Timeout(total=20, write=0.3)
        response = front_end.request(
            client, "POST", f"http://{address}/", data=b"x" * size, timeout=timeout, retry_policy=None
        )
        assert (response.status_code, response.text) == (413, "too much")
        front_end.close(client)


def test_a_slow_server_may_take_a_short_body_in_its_own_time(
    front_end: FrontEnd, small_buffers: None
) -> None:
    """As long as it takes some: all of it may last longer than the longest stall."""

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


def test_interim_answers_do_not_stop_an_upload(front_end: FrontEnd) -> None:
    """100 and 103 are no answers: the rest of the body is sent."""
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


def test_without_a_body_both_say_the_same(server: LoopbackServer) -> None:
    """The bytes on the wire are the same, for every method, with and without a body."""
    server.script("/", respond(204))
    sent: list[list[bytes]] = []
    for kind in (BlockingFrontEnd, AsyncioFrontEnd):
        before = len(server.requests)
        with kind() as front_end:
            client = front_end.client()
            for method in ("GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"):
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
def test_a_head_that_the_system_takes_in_parts_arrives_whole(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Any,
    body: bytes | None,
    secure: bool,
) -> None:
    """Not a byte of it is lost or sent twice, on a new connection and on one that was used before."""
    server = tls_server if secure else server
    server.script("/", respond(204))
    client = front_end.client(connection_pool=certificates.pool())
    # Each value is different, so that parts cannot be exchanged unnoticed.
    fields = {f"X-Field-{number}": f"{number:06}" * 150 for number in range(300)}
    for _ in range(2):
        front_end.request(client, "POST", server.url + "/", headers=fields, data=body)
    for received in server.requests:
        assert {name: value for name, value in received.headers if name in fields} == fields
        assert received.body == (body or b"")
    assert [received.connection for received in server.requests] == [1, 1]
