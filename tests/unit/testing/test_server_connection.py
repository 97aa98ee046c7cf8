"""A connection of the loopback server: how it reads requests, however they are cut, and how its waits end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client.testing import Action, Received, raw, respond, stall_reading
from http_service_client.testing.server_connection import Connection, ExchangeOver
from kit.rows import each_row

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
MOST = 1024 * 1024


class Cut:
    """A socket that receives these pieces, one at a time, and then the end. sent: what was sent on it."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.sent = b""

    def recv(self, most: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def setsockopt(self, *_: object) -> None:
        """As on a real one."""


class Served:
    """A connection that was served to its end. requests: what it has received.   sent: what it has answered."""

    def __init__(self, *pieces: bytes, action: Action | None = None) -> None:
        self.requests: list[Received] = []
        cut: Any = Cut(*pieces)
        connection = Connection(1, cut, lambda path: action or respond(), self.requests.append)
        try:
            connection.run(None)
        except ExchangeOver:
            self.is_closed_by_server = False
        else:
            self.is_closed_by_server = True
        self.sent: bytes = cut.sent


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@each_row("size", [1, 2, 3, 7, 1000])
@each_row(
    ("headers", "body", "content"),
    [
        (b"", b"", b""),
        (b"Content-Length: 5\r\n", b"a\r\nbc", b"a\r\nbc"),
        (
            b"Transfer-Encoding: chunked\r\n",
            b"10\r\n0123456789\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nT: 1\r\n\r\n",
            b"0123456789\r\nabcdefg",
        ),
    ],
    ids=["none", "length", "chunks"],
)
def test_a_request_may_come_in_pieces(size: int, headers: bytes, body: bytes, content: bytes) -> None:
    """Of any size, and one after another."""
    request = b"POST /a HTTP/1.1\r\nX:\t XX \r\n" + headers + b"\r\n" + body
    served = Served(*in_pieces(request * 2, size))
    assert [(each.body, each.raw, each.header("x")) for each in served.requests] == [
        (content, request, "XX")
    ] * 2
    assert (served.sent, served.is_closed_by_server) == (OK * 2, False)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\r\n\r\n", ""),
        (b"GET / HTTP/2.0\r\n\r\n", "'HTTP/2.0' is not a version of HTTP/1"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "'x'"),
        (b"GET / HTTP/1.1\r\nX: ".ljust(MOST + 1, b"x"), "the head of the request is too long"),
    ],
    ids=["empty", "version", "length", "long"],
)
def test_what_is_no_request_ends_the_connection(head: bytes, reason: str) -> None:
    """The answer ends with the reason. What follows is not read."""
    served = Served(head, b"GET / HTTP/1.1\r\n\r\n")
    assert served.sent.startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    assert served.sent.endswith(reason.encode())
    assert (served.requests, served.is_closed_by_server) == ([], True)


def test_a_head_may_be_as_long_as_the_limit() -> None:
    """And not a byte longer."""
    served = Served(b"GET / HTTP/1.1\r\nX: ".ljust(MOST, b"x"), b"\r\n\r\n")
    assert served.sent == OK


@pytest.mark.parametrize("value", [b"close", b"Close"])
def test_a_client_may_ask_for_the_end_of_the_connection(value: bytes) -> None:
    """It gets no second response then."""
    served = Served(b"GET / HTTP/1.1\r\nConnection: " + value + b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert (served.sent, len(served.requests), served.is_closed_by_server) == (OK, 1, True)


def test_an_action_may_end_the_connection() -> None:
    """Whatever the client would like."""
    served = Served(b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n" * 2, action=raw(b"x"))
    assert (served.sent, served.is_closed_by_server) == (b"x", True)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a?b=c://d", "/a"),
        ("http://api.test/a/b?c", "/a/b"),
        ("*", "*"),
        ("api.test:443", "api.test:443"),
    ],
)
def test_a_script_is_found_by_the_path_of_the_target(target: str, path: str) -> None:
    """Whichever form the request line has: of a server, of a proxy, of OPTIONS, of CONNECT."""
    asked: list[str] = []

    def next_action(path: str) -> Action:
        asked.append(path)
        return respond()

    received: list[Received] = []
    cut: Any = Cut(f"OPTIONS {target} HTTP/1.1\r\n\r\n".encode())
    with pytest.raises(ExchangeOver):
        Connection(1, cut, next_action, received.append).run(None)
    assert asked == [path]
    assert [(each.target, each.path) for each in received] == [(target, path)]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection: the client's, and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout=5)
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


def never(path: str) -> Action:
    raise AssertionError(path)


def test_small_pieces_are_sent_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    """And not held back until the client has confirmed the one before: a drip would come in gusts."""
    ours, theirs = pair
    ours.shutdown(socket.SHUT_WR)
    with pytest.raises(ExchangeOver):
        Connection(1, theirs, never, print).run(None)
    assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_reset_ends_the_connection_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whatever the action does then."""
    ours, theirs = pair
    Connection(1, theirs, never, print).reset()
    with pytest.raises(ConnectionResetError):
        ours.recv(1)


def test_a_connection_may_be_ended_when_its_client_is_gone_or_it_is_closed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Both may happen while the server is being closed."""
    ours, theirs = pair
    connection = Connection(1, theirs, never, print)
    Connection(2, ours, never, print).reset()
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
    connection.end()
    connection.close()
    connection.end()


def test_every_wait_ends_with_the_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    """With an error, which ends the action; until then it lasts."""
    _, theirs = pair
    connection = Connection(1, theirs, never, print)
    ended: list[str] = []

    def hold() -> None:
        try:
            connection.hold()
        except ExchangeOver:
            ended.append("hold")

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    connection.end()
    thread.join(5)
    assert ended == ["hold"]
    with pytest.raises(ExchangeOver):
        connection.wait(60)


def test_a_wait_lasts_as_long_as_it_is_told_to(pair: tuple[socket.socket, socket.socket]) -> None:
    """A part of a second, too; and none ends the action while the connection lasts."""
    _, theirs = pair
    connection = Connection(1, theirs, never, print)
    began = time.monotonic()
    connection.wait(0.0)
    connection.wait(0.03)
    assert time.monotonic() - began > 0.025


def test_a_stalled_connection_reads_on_until_the_client_is_gone() -> None:
    """So that a client that closes it is noticed."""
    cut: Any = Cut(b"a", b"b")
    with pytest.raises(ExchangeOver):
        Connection(1, cut, never, print).wait_for_the_end()
    assert cut.recv(1) == b""


def test_a_body_that_is_not_read_is_not_recorded() -> None:
    """The action is played before it has come."""
    received: list[Received] = []

    def next_action(path: str) -> Action:
        return stall_reading()

    cut: Any = Cut(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde")
    connection = Connection(1, cut, next_action, received.append)
    connection._ending.set()
    with pytest.raises(ExchangeOver):
        connection.run(None)
    assert [each.body for each in received] == [b""]
