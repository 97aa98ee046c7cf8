"""A forked child has connections of its own: it sends nothing on those of its parent, and closes none of them.

Right responses do not prove that: two processes that take turns on one connection get them, too. So the tests look at
the connection of each request.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable

import pytest

from http_service_client import HttpServiceClient, StreamError
from http_service_client.testing.server import Action, LoopbackServer, Received, answer, respond
from http_service_client.transports.network.polling import is_readable
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import Certificates, served
from network.test_processes import in_a_child, needs_fork

pytestmark = needs_fork

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"


def echo(received: Received) -> Action:
    return respond(200, body=received.path)


def call(client: HttpServiceClient, front_end: FrontEnd, url: str) -> None:
    """A call in a child, which cannot use the loop of its parent."""
    if isinstance(front_end, AsyncioFrontEnd):
        asyncio.run(client.get_async(url))
    else:
        client.get(url)


def calls_and_ends(client: HttpServiceClient, front_end: FrontEnd, url: str) -> None:
    call(client, front_end, url)


def calls_and_closes(client: HttpServiceClient, front_end: FrontEnd, url: str) -> None:
    call(client, front_end, url)
    client.close()


def closes(client: HttpServiceClient, front_end: FrontEnd, url: str) -> None:
    client.close()


def collects(client: HttpServiceClient, front_end: FrontEnd, url: str) -> None:
    gc.collect()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("work", "calls"), [(calls_and_ends, 1), (calls_and_closes, 1), (closes, 0), (collects, 0)]
)
def test_a_child_leaves_its_parent_s_connection_alone(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    work: Callable[[HttpServiceClient, FrontEnd, str], None],
    calls: int,
    secure: bool,
) -> None:
    """The child's request comes on a new connection. Only the parent uses its own, before and after.

    To the child, the idle connection of its parent is none that is too many.
    """
    server = tls_server if secure else server
    server.script("*", answer(echo))
    client = front_end.client(connection_pool=certificates.pool(max_idle_connections=1))
    front_end.request(client, "GET", server.url + "/before")
    assert in_a_child(lambda: work(client, front_end, server.url + "/child")) == 0
    for path in ("/after", "/later"):
        assert front_end.request(client, "GET", server.url + path, retry_policy=None, timeout=5).text == path
    came = [(request.path, request.connection) for request in server.requests]
    assert came == [("/before", 1), *[("/child", 2)] * calls, ("/after", 1), ("/later", 1)]
    assert server.connection_count == 1 + calls


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("used", ["stream closed", "stream read", "client closed"])
def test_a_child_leaves_its_parent_s_stream_open(
    front_end: FrontEnd, certificates: Certificates, used: str, secure: bool
) -> None:
    """A child that closes the inherited stream or client sends nothing to the server, and the parent reads on.

    Nor can the child take the parent's bytes.
    """
    may_continue = threading.Event()
    received: list[bool] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(65536)
        accepted.sendall(HEAD + b"half")
        may_continue.wait(10)
        received.append(is_readable(accepted))  # bytes, or the end of the connection
        accepted.sendall(b"rest")
        is_over.wait(10)

    with served(serve, certificates.server_context() if secure else None) as address:
        client = front_end.client(connection_pool=certificates.pool())
        with front_end.stream(client, "GET", f"http{'s' * secure}://{address}/", timeout=5) as response:
            pieces = response.iter_bytes()
            assert next(pieces) == b"half"

            def read() -> None:
                with pytest.raises(StreamError, match="opened before a fork"):
                    next(pieces)

            work = {"stream closed": response.close, "stream read": read, "client closed": client.close}[used]
            assert in_a_child(work) == 0
            may_continue.set()
            assert b"".join(pieces) == b"rest"
        front_end.close(client)
    assert received == [False]
