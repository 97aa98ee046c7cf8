"""Blocking connections over sockets that never wait."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_requests import connection
from http_service_client.transports.over_requests.connection import Connection

__all__ = ["Socket", "Waits", "connected"]


class Socket:
    """Takes at most so many bytes at once, and gives what it was filled with; it never waits."""

    def __init__(self, *received: Any, takes: int = 1000) -> None:
        self.received, self.takes = list(received), takes
        self.sent: list[bytes] = []
        self.timeouts: list[float | None] = []
        self.decrypted = 0  # bytes of TLS that were not given yet

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def pending(self) -> int:
        return self.decrypted

    def send(self, data: Any) -> int:
        self.sent.append(bytes(data[: self.takes]))
        return min(self.takes, len(data))

    def recv(self, size: int) -> Any:
        assert size == 65536
        piece = self.received.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


class Waits:
    """The waits of connections for their sockets: in milliseconds to read; in seconds to be usable.

    readable: what a look, or a wait, finds.   to_read, usable: those made so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.readable: list[bool] = []
        self.to_read: list[float | None] = []
        self.usable: list[tuple[float | None, bool]] = []
        monkeypatch.setattr(connection, "read_waiter", lambda sock: self._wait)
        monkeypatch.setattr(connection, "wait_until_usable", self._wait_until_usable)

    def _wait(self, milliseconds: float | None) -> bool:
        if milliseconds != 0:
            self.to_read.append(milliseconds)
            return self.readable.pop(0) if self.readable else True
        return bool(self.readable) and self.readable.pop(0)

    def _wait_until_usable(self, sock: Any, within: float | None, *, to_write: bool, **_: bool) -> None:
        self.usable.append((within, to_write))


def connected(sock: Any, expires_at: float | None = None) -> Connection:
    return Connection(sock, expires_at, ParserSettings())
