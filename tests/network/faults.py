"""Certificates, servers that misbehave, and checks of what a failed call left acquired."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from http_service_client import ConnectionPoolConfig, HttpServiceClient
from http_service_client.errors import HttpClientError
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport  # noqa: F401  # its import takes a while
from http_service_client.transports.over_requests.transport import RequestsTransport  # noqa: F401  # likewise
from kit.front_ends import FrontEnd
from kit.stopwatch import Stopwatch


class Certificates:
    """A certificate authority of our own, as files and as contexts."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca_file)
        client = self.authority.issue_cert("client@example.com")
        self.client_cert, self.client_key = str(folder / "client.pem"), str(folder / "client.key")
        client.private_key_pem.write_to_path(self.client_key)
        client.cert_chain_pems[0].write_to_path(self.client_cert)

    def pool(self, **settings: Any) -> ConnectionPoolConfig:
        """The settings of a client that trusts them."""
        return ConnectionPoolConfig(ssl_ca_file=self.ca_file, **settings)

    def server_context(self, *names: str, requests_certificate: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for these names.

        requests_certificate: it requires a certificate of the client, too.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
        if requests_certificate:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@contextmanager
def served(
    serve: Callable[[socket.socket, threading.Event], object],
    tls: ssl.SSLContext | None = None,
    takes: int | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    path: Path | None = None,
) -> Iterator[str]:
    """A server that passes each connection to `serve`, on a thread of its own; yields host:port.

    takes: about this many bytes are buffered unread; None for the system's default.   path: of a Unix socket.
    """
    is_over = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def run(accepted: socket.socket) -> None:
        try:
            if tls is not None:
                accepted = tls.wrap_socket(accepted, server_side=True)
            connections.append(accepted)
            serve(accepted, is_over)
        except OSError:
            pass
        finally:
            accepted.close()

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=run, args=(accepted,), daemon=True)
            threads.append(thread)
            thread.start()

    if path is None:
        listener = socket.create_server((host, port))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
    if takes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield "{}:{}".format(*listener.getsockname()) if path is None else str(path)
    finally:
        is_over.set()
        for connection in connections:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:  # it was closed
                pass
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join(5)


@contextmanager
def swallowing() -> Iterator[str]:
    """The host:port of a server with a full backlog: it neither accepts nor refuses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        time.sleep(0.02)
        yield f"{address[0]}:{address[1]}"
        for filler in fillers:
            filler.close()


def dripping_tls(context: ssl.SSLContext, step: int, pause: float) -> Any:
    """A TLS server that sends `step` bytes at a time; with a short pause, in the handshake, too."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def flush(drips: bool) -> None:
            data = outgoing.read()
            size = step if drips else len(data) or 1
            for start in range(0, len(data), size):
                accepted.sendall(data[start : start + size])
                if drips and is_over.wait(pause):
                    return

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                flush(drips=pause < 0.05)
                data = accepted.recv(65536)
                if not data or is_over.is_set():
                    return
                incoming.write(data)
        flush(drips=pause < 0.05)
        incoming.write(accepted.recv(65536))
        tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        flush(drips=True)

    return serve


class Caught:
    """An error, and the seconds until it was raised."""

    def __init__(self, error: HttpClientError, watch: Stopwatch) -> None:
        self.error = error
        self.seconds = watch.seconds
        self.check_took = watch.check_took  # of both sides, whatever the machine does
        self.type = type(error).__name__
        self.sent = error.sent_state.value
        self.message = str(error)
        self.cause = type(error.__cause__).__name__


def failing(front_end: FrontEnd, client: HttpServiceClient, method: str, url: str, **options: Any) -> Caught:
    """The error of a single attempt, which must leave no slot in use."""
    with Stopwatch() as watch, pytest.raises(HttpClientError) as caught:
        front_end.request(client, method, url, retry_policy=None, **options)
    assert slots_in_use(client) == 0
    return Caught(caught.value, watch)


def slots_in_use(client: HttpServiceClient) -> int:
    """The slots in use, and the calls that wait for one, over all limits of the client."""
    return sum(limit.in_use + limit.waiting for limit in client._backends._limits())
