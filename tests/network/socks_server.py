"""A small SOCKS5 proxy on loopback: it connects, or sends scripted replies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from network.faults import served
from network.proxy_server import pump

__all__ = ["ConnectRequest", "SocksServer", "running_socks"]


@dataclass(frozen=True)
class ConnectRequest:
    """The connection that a client requested. kind: 1 IPv4, 3 a name, 4 IPv6. login: None if it sent none."""

    kind: int
    host: str
    port: int
    login: tuple[str, str] | None


class SocksServer:
    """The proxy's behaviour, and the requests that it received.

    login: the one that it requires, or None.   names: the addresses of the names that it knows.
    replies: bytes to reply to the n-th message of a client with instead; b"" closes the connection.
    """

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[ConnectRequest] = []
        self.login: tuple[str, str] | None = None
        self.names: dict[str, str] = {}
        self.replies: dict[int, bytes] = {}
        self.bound = b"\x01\x00\x00\x00\x00\x00\x00"  # kind, address, port

    def serve(self, client: socket.socket, is_over: threading.Event) -> None:
        """Serve one connection of a client."""
        version, count = _exactly(client, 2)
        methods = _exactly(client, count)
        method = 0 if self.login is None else 2
        if version != 5 or not self._reply(client, 1, bytes([5, method if method in methods else 0xFF])):
            return
        login = None
        if method == 2:
            _, size = _exactly(client, 2)
            user = _exactly(client, size).decode()
            (size,) = _exactly(client, 1)
            login = user, _exactly(client, size).decode()
            if not self._reply(client, 2, bytes([1, int(login != self.login)])):
                return
        _, _, _, kind = _exactly(client, 4)
        size = {1: 4, 4: 16}.get(kind) or _exactly(client, 1)[0]
        octets = _exactly(client, size)
        families = {1: socket.AF_INET, 4: socket.AF_INET6}
        host = octets.decode() if kind == 3 else socket.inet_ntop(families[kind], octets)
        port = int.from_bytes(_exactly(client, 2), "big")
        self.requests.append(ConnectRequest(kind, host, port, login))
        if 3 in self.replies:
            self._reply(client, 3, b"")
            return
        with socket.create_connection((self.names.get(host, host), port)) as origin:
            # In two pieces: a reply need not arrive at once.
            client.sendall(b"\x05\x00\x00")
            client.sendall(self.bound)
            pump(client, origin, is_over)

    def _reply(self, client: socket.socket, number: int, usual: bytes) -> bool:
        reply = self.replies.get(number, usual)
        if reply:
            client.sendall(reply)
        return reply == usual


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


@contextmanager
def running_socks() -> Iterator[SocksServer]:
    """A SOCKS5 proxy until the end of the block."""
    proxy = SocksServer()
    with served(proxy.serve) as address:
        proxy.address = address
        yield proxy
