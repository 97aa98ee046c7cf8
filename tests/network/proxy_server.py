"""A small HTTP proxy on loopback: it forwards absolute-form requests and opens tunnels, or refuses both."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from network.faults import served

__all__ = ["Proxy", "pump", "running_proxy"]


class Proxy:
    """The proxy's behaviour, and the requests that it received.

    address: its host:port.   heads: the head of each request, unchanged.
    refusal: the response to send instead of serving; b"" closes the connection without one.
    consent: the response that opens a tunnel.
    """

    def __init__(self) -> None:
        self.address = ""
        self.heads: list[str] = []
        self.refusal: bytes | None = None
        self.consent = b"HTTP/1.1 200 Connection established\r\n\r\n"

    def serve(self, client: socket.socket, is_over: threading.Event) -> None:
        """Serve one connection of a client."""
        while not is_over.is_set():
            head, rest = _read_head(client)
            if not head:
                return
            self.heads.append(head)
            if self.refusal is not None:
                client.sendall(self.refusal)
                return
            method, target, _ = head.split("\r\n")[0].split(" ")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port))) as origin:
                    client.sendall(self.consent)
                    pump(client, origin, is_over)
                return
            url = urlsplit(target)
            with socket.create_connection((url.hostname or "", url.port or 80)) as origin:
                path = f"{url.path}?{url.query}" if url.query else url.path
                lines = [f"{method} {path} HTTP/1.1", *head.split("\r\n")[1:]]
                origin.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + rest)
                response, body = _read_head(origin)
                client.sendall(response.encode() + b"\r\n\r\n" + body)


def _read_head(sock: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return "", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode(), rest


def pump(left: socket.socket, right: socket.socket, is_over: threading.Event) -> None:
    """Relay bytes in both directions until one side closes."""
    while not is_over.is_set():
        pending = [left] if isinstance(left, ssl.SSLSocket) and left.pending() else []
        ready = pending or select.select([left, right], [], [], 0.05)[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (right if source is left else left).sendall(data)


@contextmanager
def running_proxy(tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy until the end of the block. tls: the context of an https:// proxy."""
    proxy = Proxy()
    with served(proxy.serve, tls) as address:
        proxy.address = address
        yield proxy
