"""Uploads: every kind of body arrives whole, in the time that a write may take."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import InvalidRequestError, Timeout
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
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
        timeout = Timeout(total=20, write=0.2)
        caught = failing(front_end, client, "POST", url, data=b"x" * size, timeout=timeout)
        assert (caught.type, caught.sent) == ("WriteTimeoutError", "maybe_processed")
        caught.check_took(0.2)
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
