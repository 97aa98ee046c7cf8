"""One connection of the loopback server: it reads requests, and plays actions."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import urlsplit

from .actions import Action, Received

__all__ = ["Connection", "ExchangeOver"]

_MAX_HEAD = 1024 * 1024


class ExchangeOver(Exception):
    """The server stops, or the client has disconnected: the running action ends."""


class Connection:
    """One accepted connection. Actions see it as their `Exchange`.

    next_action: returns the action for a path.  note: called with each request.
    """

    received: Received
    _consumed: bytes  # every byte of the request that is being read

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        next_action: Callable[[str], Action],
        note: Callable[[Received], None],
    ) -> None:
        self.number = number
        self._socket = sock
        self._next_action = next_action
        self._note = note
        self._buffer = b""
        self._ending = threading.Event()
        # Guards the descriptor: another thread calls `end`, which must not use a number that the system has
        # given to another file in the meantime.
        self._lock = threading.Lock()

    def run(self, tls: ssl.SSLContext | None) -> None:
        """Serve until the connection ends. Raises ExchangeOver or OSError when it ends mid-request."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if tls is not None:
            with self._lock:
                secured = tls.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
                self._socket = secured
            secured.do_handshake()
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        self._consumed = b""
        try:
            method, target, headers = self._read_head()
            action = self._next_action(path := _path(target))
            known = {name.lower(): value for name, value in headers}
            body = self._read_body(known) if action.reads_body else b""
        except ValueError as error:
            self.send(f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{error}".encode())
            return False
        self.received = Received(
            method, target, path, headers, body, self._consumed, self.number, time.monotonic()
        )
        self._note(self.received)
        return action.play(self) and known.get("connection", "").lower() != "close"

    # Reading.

    def _read_head(self) -> tuple[str, str, list[tuple[str, str]]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise ValueError("the head of the request is too long")
            self._receive()
        first, *lines = self._take(end + 4)[:-4].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"{version!r} is not a version of HTTP/1")
        pairs = [line.partition(":") for line in lines]
        return method, target, [(name, value.strip(" \t")) for name, _, value in pairs]

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._read(int(headers.get("content-length", "0")))
        parts = []
        while size := int(self._read_line().partition(b";")[0], 16):
            parts.append(self._read(size))
            self._read_line()
        while self._read_line():  # trailers
            pass
        return b"".join(parts)

    def _read(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            if not self._buffer:
                self._receive()
            parts.append(self._take(min(count, len(self._buffer))))
            count -= len(parts[-1])
        return b"".join(parts)

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        return self._take(end + 2)[:-2]

    def _take(self, count: int) -> bytes:
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        self._consumed += data
        return data

    def _receive(self) -> None:
        data = self._socket.recv(256 * 1024)
        if not data:
            raise ExchangeOver
        self._buffer += data

    # The `Exchange` of actions.

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def wait(self, seconds: float) -> None:
        if seconds > 0 and self._ending.wait(seconds):
            raise ExchangeOver

    def wait_for_the_end(self) -> NoReturn:
        while True:
            self._receive()

    def hold(self) -> NoReturn:
        self._ending.wait()
        raise ExchangeOver

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", True, 0))
        self.close()

    # Ending.

    def end(self) -> None:
        """Called from another thread: end the connection, and wake the thread that serves it."""
        self._ending.set()
        with self._lock:
            try:
                # Not SSLSocket's own method, which drops the TLS state that the other thread is using.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:  # the client has disconnected already, or the socket is closed
                pass

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            self._socket.close()


def _path(target: str) -> str:
    if target.startswith("/"):
        return target.partition("?")[0]
    return urlsplit(target).path if "://" in target else target
