"""The dialogue with a SOCKS5 proxy on its connection: every byte that is sent, and how much is read for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any

import pytest

from http_service_client.http.proxies.urls import SocksProxy, read_proxy
from http_service_client.transports.failures import ProxyRefusedError
from http_service_client.transports.network import socks5
from http_service_client.transports.network.socks5 import destination, open_by_socks
from kit.front_ends import run_task

GREETING = b"\x05\x01\x00"
ACCEPTED = b"\x05\x00"
CONNECT = b"\x05\x01\x00\x03\x08api.test\x01\xbb"
MADE = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"
REFUSED = b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"


class Proxy:
    """The socket to a proxy, which replies to each message in pieces of so many bytes, in turn.

    script: each message, and the reply to it; all of that must be read before the next message is sent.
    ends: whether the proxy closes the connection after its last reply.
    """

    def __init__(
        self, *script: tuple[bytes, bytes], pieces: tuple[int, ...] = (100,), ends: bool = False
    ) -> None:
        self.script = list(script)
        self.replied = b""
        self.timeouts: list[float | None] = []
        self.is_closed = False
        self._pieces = cycle(pieces)
        self._ends = ends

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def sendall(self, data: bytes) -> None:
        if data:
            expected, reply = self.script.pop(0)
            assert (data, self.replied) == (expected, b"")
            self.replied = reply

    def recv(self, size: int) -> bytes:
        assert self.replied or self._ends, "it waits for what no proxy sends"
        size = min(size, next(self._pieces))
        piece, self.replied = self.replied[:size], self.replied[size:]
        return piece

    def close(self) -> None:
        self.is_closed = True


def socks() -> SocksProxy:
    found = read_proxy("socks5h://proxy.test:1080")
    assert isinstance(found, SocksProxy)
    return found


def open_blocking(sock: Any) -> None:
    open_by_socks(sock, socks(), "api.test", 443, lambda: 2.5)


def run_over(sock: Any, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What the coroutine returns, on a loop that uses this socket by its own methods."""

    async def run() -> Any:
        loop: Any = asyncio.get_running_loop()

        async def send(given: Any, data: bytes) -> None:
            given.sendall(data)

        async def receive(given: Any, size: int) -> bytes:
            return given.recv(size)  # type: ignore[no-any-return]

        loop.sock_sendall, loop.sock_recv = send, receive
        return await work()

    return run_task(run())


def open_async(sock: Any) -> None:
    run_over(sock, lambda: socks5._open_async(sock, socks(), "api.test", 443))


OPEN = pytest.mark.parametrize("open_by", [open_blocking, open_async], ids=["blocking", "asyncio"])


@OPEN
@pytest.mark.parametrize("pieces", [(1,), (2,), (100,), (1, 100)])
def test_each_message_is_sent_once_the_reply_before_it_is_whole(
    open_by: Callable[[Any], None], pieces: tuple[int, ...]
) -> None:
    """Whatever its pieces are. Nothing beyond the last reply is read: it is the server's."""
    sock = Proxy((GREETING, ACCEPTED), (CONNECT, MADE + b"server"), pieces=pieces)
    open_by(sock)
    assert (sock.script, sock.replied) == ([], b"server")


@OPEN
def test_a_proxy_that_closes_is_a_lost_connection(open_by: Callable[[Any], None]) -> None:
    """In the middle of a reply, too."""
    for script in (((GREETING, b""),), ((GREETING, b"\x05"),), ((GREETING, ACCEPTED), (CONNECT, MADE[:5]))):
        with pytest.raises(ConnectionResetError, match="the proxy closed the connection"):
            open_by(Proxy(*script, ends=True))


@OPEN
def test_a_refusal_has_the_words_of_its_code(open_by: Callable[[Any], None]) -> None:
    """It is the proxy's, not the network's."""
    with pytest.raises(ProxyRefusedError) as caught:
        open_by(Proxy((GREETING, ACCEPTED), (CONNECT, REFUSED)))
    assert str(caught.value) == "it does not allow the connection"


@pytest.mark.parametrize("reply", [MADE, REFUSED], ids=["made", "refused"])
def test_a_socket_of_a_loop_has_its_dialogue_behind_it(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    """It leads to the proxy, and is closed where that refuses the host."""
    sock, asked = Proxy((GREETING, ACCEPTED), (CONNECT, reply)), list[tuple[Any, ...]]()

    async def resolve(host: str, port: int) -> list[Any]:
        asked.append((host, port))
        return ["an address"]

    async def connect(*arguments: Any) -> Any:
        asked.append(arguments)
        return sock

    monkeypatch.setattr(socks5, "resolve_async", resolve)
    monkeypatch.setattr(socks5, "connect_to_any_async", connect)
    settings: Any = object()

    def work() -> Coroutine[Any, Any, Any]:
        return socks5.connect_by_socks_async(socks(), "api.test", 443, 2.5, settings)

    if reply == MADE:
        assert run_over(sock, work) is sock
    else:
        with pytest.raises(ProxyRefusedError):
            run_over(sock, work)
    assert (sock.script, sock.is_closed) == ([], reply == REFUSED)
    assert asked == [("proxy.test", 1080), (["an address"], 2.5, settings)]


def test_each_step_of_a_thread_has_what_is_left_of_the_time() -> None:
    """Asked for anew before each of them. In asyncio the caller enforces it."""
    instants = iter(range(100, 0, -1))
    sock: Any = Proxy((GREETING, ACCEPTED), (CONNECT, MADE), pieces=(1,))
    open_by_socks(sock, socks(), "api.test", 443, lambda: float(next(instants)))
    assert sock.timeouts == [float(each) for each in range(100, 100 - len(sock.timeouts), -1)]
    # Four messages, of which two are empty since the reply is read in three parts; and each byte of the replies.
    assert len(sock.timeouts) == 4 + len(ACCEPTED) + len(MADE)


@pytest.mark.parametrize(
    ("found", "requested"),
    [
        (["127.0.0.1"], "127.0.0.1"),
        (["::1", "127.0.0.1", "127.0.0.2"], "127.0.0.1"),
        (["::1", "::2"], "::1"),
    ],
)
def test_an_ipv4_address_is_requested_if_there_is_one(found: list[str], requested: str) -> None:
    """The first one of them, since they come in the order of preference."""
    addresses: list[Any] = [(None, None, 0, "", (text, 443)) for text in found]
    assert destination(addresses) == requested
