"""TLS: the network may deliver more than a response at once, and nothing after it belongs to the next request."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.errors import ConnectionLostError
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import Certificates, served

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


class Connection:
    """The server's side of one connection, which decides how bytes are sent together.

    requests: the first line of each, in the order in which they came.
    """

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        self._socket = accepted
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._repeat(self.tls.do_handshake)

    def read_request(self) -> bytes:
        """The first line of a small request; b"" at the end of the connection."""
        return self._repeat(lambda: self.tls.read(65536)).split(b"\r\n")[0]

    def flush(self, behind: bytes = b"") -> None:
        """Send what TLS has written, at once, and these bytes with it."""
        if data := self._outgoing.read() + behind:
            self._socket.sendall(data)

    def _repeat(self, step: Callable[[], bytes]) -> bytes:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.flush()
                data = self._socket.recv(65536)
                if not data:
                    return b""
                self._incoming.write(data)
            except ssl.SSLError:  # the client's end
                return b""
            finally:
                self.flush()


def write_unrequested_response(connection: Connection) -> None:
    connection.tls.write(RESPONSE + b"forged")


def end_tls(connection: Connection) -> None:
    try:
        connection.tls.unwrap()
    except ssl.SSLWantReadError:  # the client's close_notify
        pass


@pytest.mark.parametrize("write_more", [write_unrequested_response, end_tls])
def test_a_connection_is_not_used_again_after_more_than_its_response(
    write_more: Callable[[Connection], None], front_end: FrontEnd, certificates: Certificates
) -> None:
    """Another response would be taken for that of the next request; after a close_notify, that request would be lost."""
    if write_more is end_tls and isinstance(front_end, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio does not report a close_notify before the connection has ended")
    context = certificates.server_context()
    requests: list[tuple[int, bytes]] = []
    number = iter(range(100))

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        here, connection = next(number), Connection(accepted, context)
        while request := connection.read_request():
            requests.append((here, request))
            connection.tls.write(RESPONSE + b"%6d" % len(requests))
            if request.startswith(b"POST /1 "):
                write_more(connection)
            connection.flush()

    with served(serve) as address:
        client = front_end.client(connection_pool=certificates.pool())
        urls = [f"https://{address}/{path}" for path in range(3)]

        async def calls() -> list[str]:
            """In one task: it goes on as soon as it has its response."""
            return [(await client.post_async(url, json={})).text for url in urls]

        if isinstance(front_end, AsyncioFrontEnd):
            bodies = front_end.loop.run_until_complete(calls())
        else:
            bodies = [client.post(url, json={}).text for url in urls]
    assert [body.strip() for body in bodies] == ["1", "2", "3"]
    assert [here for here, _ in requests] == [0, 0, 1]


DAMAGED = b"\x17\x03\x03\x00\x20" + bytes(32)  # a record that nobody has encrypted
NO_TLS = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.mark.parametrize("behind", [DAMAGED, NO_TLS], ids=["damaged", "no TLS"])
@pytest.mark.parametrize("size", [100, 100_000])
@pytest.mark.parametrize("loop", ["blocking", "asyncio", "uvloop"])
def test_an_error_of_tls_behind_a_response_ends_its_connection_alone(
    certificates: Certificates, behind: bytes, size: int, loop: str
) -> None:
    """The response was complete. One that is not, is lost with the reason."""
    context = certificates.server_context()
    connections: list[socket.socket] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        connections.append(accepted)
        connection = Connection(accepted, context)
        while request := connection.read_request():
            missing = 7 * (b"/short " in request)
            connection.tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + missing))
            connection.tls.write(b"x" * size)
            connection.flush(behind)

    def check(response: HttpResponse) -> None:
        assert response.content == b"x" * size

    async def calls() -> None:
        async with HttpServiceClient(config) as client:
            for _ in range(2):
                check(await client.get_async(url + "/whole", timeout=10))
            with pytest.raises(ConnectionLostError, match="SSLError: "):
                await client.get_async(url + "/short", timeout=10)

    config = HttpClientConfig(connection_pool=certificates.pool(), enable_retry_policy=False)
    with served(serve) as address:
        url = f"https://{address}"
        if loop == "blocking":
            with HttpServiceClient(config) as client:
                for _ in range(2):
                    check(client.get(url + "/whole", timeout=10))
                with pytest.raises(ConnectionLostError, match="SSLError: "):
                    client.get(url + "/short", timeout=10)
        else:
            module = asyncio if loop == "asyncio" else pytest.importorskip(loop)
            with closing(module.new_event_loop()) as running:
                running.run_until_complete(calls())
    assert len(connections) == 3
