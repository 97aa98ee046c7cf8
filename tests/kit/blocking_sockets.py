"""A blocking connection in virtual time, over a socket that gives what a test has put there."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_requests.connection import Connection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts

__all__ = [
    "BLOCKED",
    "CHUNKED",
    "CREATED",
    "NO_LIMITS",
    "OK",
    "WANT_READ",
    "WANT_WRITE",
    "Sock",
    "TlsSock",
    "World",
    "connected",
]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


NO_LIMITS = ExchangeTimeouts(None, None, None, None)


WANT_READ, WANT_WRITE, BLOCKED = ssl.SSLWantReadError(), ssl.SSLWantWriteError(), BlockingIOError()


class World:
    """now: the time.   takes: seconds of each wait.   waits: for how long, and for what."""

    def __init__(self) -> None:
        self.now = 100.0
        self.takes = 0.0
        self.waits: list[Any] = []

    def monotonic(self) -> float:
        return self.now

    def read_waiter(self, sock: Any) -> Any:
        def wait(milliseconds: float | None) -> bool:
            self.waits.append(milliseconds)
            if milliseconds != 0:
                self.now += self.takes
            return bool(sock.incoming)

        return wait

    def wait_until_usable(
        self, sock: Any, within: float | None, *, to_write: bool, to_read: bool = True
    ) -> None:
        self.waits.append((within, "r" * to_read + "w" * to_write))
        self.now += self.takes


class Sock:
    """incoming: what each `recv` returns or raises.   accepts: how many bytes each `send` does, or its error; then all."""

    def __init__(self, *incoming: Any, accepts: Any = ()) -> None:
        self.incoming = list(incoming)
        self.accepts = list(accepts)
        self.sent = b""
        self.timeouts: list[float | None] = []
        self.received = 0
        self.is_closed = False

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def recv(self, size: int) -> Any:
        self.received += 1
        found = self.incoming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def send(self, data: Any) -> int:
        accepted = self.accepts.pop(0) if self.accepts else len(data)
        if isinstance(accepted, Exception):
            raise accepted
        self.sent += bytes(data[:accepted])
        return int(accepted)

    def close(self) -> None:
        self.is_closed = True


class TlsSock(Sock):
    """pending_bytes: what TLS has decrypted already."""

    pending_bytes = 0

    def pending(self) -> int:
        return self.pending_bytes


def connected(
    sock: Any,
    timeouts: ExchangeTimeouts = NO_LIMITS,
    method: str = "GET",
    kind: type[Connection] = Connection,
) -> Connection:
    """A connection in an exchange."""
    lifetime: Any = SimpleNamespace(allows=lambda since: True)
    made = kind(sock, None, ParserSettings(), lifetime)
    made.begin(method, timeouts)
    return made


CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n"
