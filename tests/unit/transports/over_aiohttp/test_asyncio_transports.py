"""What is asked of asyncio's transports and tasks, with stand-ins for the transports."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import EgressPolicy, EgressRefusedError
from http_service_client.transports.over_aiohttp.asyncio_transports import (
    check_peer,
    close_socket,
    end_task,
    forget_half_made,
    idle_closer,
    keep_last_bytes,
    last_bytes,
    write_buffer_size,
)
from kit.front_ends import run_task
from kit.rows import each_row
from kit.threads import run_threads


def plain(**attributes: Any) -> Any:
    """A transport of asyncio without TLS, which has so many bytes to write."""
    return SimpleNamespace(get_write_buffer_size=lambda: 7, **attributes)


def over_tls(below: Any, **attributes: Any) -> Any:
    """A transport of TLS, which cannot say how much the kernel has not accepted."""
    return SimpleNamespace(
        _ssl_protocol=SimpleNamespace(_transport=below), get_write_buffer_size=lambda: 99, **attributes
    )


def over_tls_of_uvloop(below: Any) -> Any:
    """The same of uvloop, as the collector sees it."""
    protocol: Any = type("SSLProtocol", (), {"__slots__": ("above", "below")})()
    members = {"__slots__": ("protocol",), "get_write_buffer_size": lambda self: 5}
    transport: Any = type("_SSLProtocolTransport", (), members)()
    transport.protocol, protocol.above, protocol.below = protocol, transport, below
    return transport


@each_row(
    ("transport", "size"),
    [
        (plain(), 7),
        (over_tls(plain()), 7),
        (over_tls(over_tls(plain())), 7),
        (over_tls(None), 0),
        (SimpleNamespace(_ssl_protocol=None), 0),
        (None, 0),
        (over_tls_of_uvloop(plain()), 7),
        (over_tls_of_uvloop(over_tls_of_uvloop(plain())), 7),
        (over_tls_of_uvloop(None), 5),
    ],
    ids=[
        *("plain", "tls", "tls in tls", "tls without its transport", "closed tls", "none"),
        *("uvloop's tls", "its tls in tls", "without its transport"),
    ],
)
def test_what_is_to_be_written_is_that_of_the_lowest_transport(transport: Any, size: int) -> None:
    """What TLS has passed on waits there. A connection that is gone has nothing to write."""
    assert write_buffer_size(transport) == size


@pytest.mark.parametrize("is_secure", [False, True])
def test_a_socket_is_closed_without_its_loop(is_secure: bool) -> None:
    """That of the lowest transport, once; the transport of TLS counts as closed, or it would warn."""
    with socket.socket() as sock:
        lowest = plain(_sock=sock)
        transport = over_tls(lowest, _closed=False) if is_secure else lowest
        close_socket(transport)
        assert sock.fileno() == -1
    assert lowest._sock is None
    assert getattr(transport, "_closed", None) is (True if is_secure else None)
    close_socket(transport)
    close_socket(over_tls(None))
    close_socket(None)


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("is_closing", [False, True])
def test_half_a_transport_is_taken_from_its_loop(is_secure: bool, is_closing: bool) -> None:
    """It would refuse the next socket with the same number. One that is closing is whole, and ends by itself."""
    with socket.socket() as sock, socket.socket() as other:
        half = plain(_sock=sock, is_closing=lambda: is_closing)
        above = over_tls(half, _closed=False)
        half.get_protocol = lambda: SimpleNamespace(_app_transport=above) if is_secure else SimpleNamespace()
        loop: Any = SimpleNamespace(_transports={sock.fileno(): half, other.fileno(): None})
        number = sock.fileno()
        forget_half_made(loop, sock)
        assert (number in loop._transports) is is_closing
        assert other.fileno() in loop._transports
        assert (sock.fileno() == number) is is_closing
        assert above._closed is (is_secure and not is_closing)


@pytest.mark.parametrize("loop", [SimpleNamespace(_transports={}), SimpleNamespace()], ids=["none", "uvloop"])
def test_a_socket_without_a_transport_is_left_alone(loop: Any) -> None:
    with socket.socket() as sock:
        forget_half_made(loop, sock)
        assert sock.fileno() >= 0


def with_socket(sock: Any) -> Any:
    """A transport without TLS, with this socket."""
    return plain(get_extra_info={"socket": sock}.get)


@pytest.fixture
def sockets_that_wait() -> Iterator[None]:
    """The program has set a timeout for all new sockets."""
    socket.setdefaulttimeout(60.0)
    yield
    socket.setdefaulttimeout(None)


@pytest.mark.usefixtures("sockets_that_wait")
def test_the_last_bytes_are_those_in_the_socket() -> None:
    """Of a transport without a socket, and of a socket that is closed, there are none. Nothing is waited for."""
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        peer.sendall(b"x" * 4_000)
        assert last_bytes(with_socket(ours)) == b"x" * 4_000
        assert last_bytes(with_socket(ours)) == b""
        peer.sendall(b"more")
        peer.close()
        assert last_bytes(with_socket(ours)) == b"more"
        assert ours.fileno() >= 0
    assert last_bytes(with_socket(ours)) == b""
    assert last_bytes(with_socket(None)) == b""


def test_the_last_bytes_have_a_limit() -> None:
    """A server that has sent very much does not hold up the loop."""
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_000_000)
        sent = 0
        with suppress(BlockingIOError):
            while sent < 1_000_000:
                sent += peer.send(bytes(100_000))
        assert len(last_bytes(with_socket(ours))) == min(sent, 8 * 64 * 1024)


class Tls:
    """The protocol of TLS, with what has arrived for it, and the error of its end."""

    def __init__(self) -> None:
        self.read = b""
        self.ends_with: list[Any] = []
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in ("eof_received", "pause_writing", "resume_writing"):
            raise AttributeError(name)
        return lambda: self.calls.append(name)

    def connection_lost(self, error: Exception | None) -> None:
        self.ends_with.append(error)


class PlainTls(Tls):
    """That of asyncio on Python 3.10."""

    def data_received(self, data: bytes) -> None:
        self.read += data


class BufferedTls(Tls):
    """That of asyncio since, and of uvloop: its buffer is short here."""

    def get_buffer(self, size: int) -> bytearray:
        self.buffer = bytearray(3)
        return self.buffer

    def buffer_updated(self, size: int) -> None:
        self.read += self.buffer[:size]


class Lowest:
    """The transport below TLS, and its protocol."""

    def __init__(self, sock: socket.socket, protocol: Any) -> None:
        self.protocol = protocol
        self.get_extra_info = {"socket": sock}.get
        self.get_protocol = lambda: self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol


@each_row("tls", [PlainTls, BufferedTls])
@each_row("error", [BrokenPipeError(), None, MemoryError()])
def test_tls_reads_the_last_bytes_after_a_write_that_failed(tls: type[Any], error: Any) -> None:
    """After any other end, it has read all that it will. Everything else is passed on as it is."""
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.sendall(b"last bytes")
        lowest = Lowest(ours, tls())
        protocol = lowest.protocol
        for _ in range(2):
            keep_last_bytes(over_tls(lowest))
        reader = lowest.protocol
        assert isinstance(reader, asyncio.BufferedProtocol) == (tls is BufferedTls)
        for name in ("pause_writing", "resume_writing", "eof_received"):
            getattr(reader, name)()
        reader.connection_lost(error)
    assert protocol.read == (b"last bytes" if isinstance(error, OSError) else b"")
    assert protocol.ends_with == [error]
    assert protocol.calls == ["pause_writing", "resume_writing", "eof_received"]


@pytest.mark.parametrize("transport", [plain(), over_tls(None)], ids=["plain", "closed"])
def test_a_transport_without_tls_keeps_its_protocol(transport: Any) -> None:
    """So does one that is gone."""
    keep_last_bytes(transport)


class Peer:
    """A transport that leads to an address."""

    def __init__(self, address: Any) -> None:
        self._found = {"peername": address}

    def get_extra_info(self, name: str) -> Any:
        return self._found[name]


@pytest.mark.parametrize(
    ("transport", "address"),
    [
        (Peer(("10.0.0.1", 443)), "10.0.0.1"),
        (Peer(("::1", 443, 0, 0)), "::1"),
        (Peer("/run/socket"), None),
        (Peer(None), None),
        (None, None),
    ],
    ids=["private", "loopback", "a path", "unknown", "none"],
)
def test_a_connection_to_a_peer_that_is_not_allowed_is_refused(transport: Any, address: str | None) -> None:
    """So is one whose peer cannot be known."""
    with pytest.raises(EgressRefusedError) as caught:
        check_peer(EgressPolicy(), "app.test", transport)
    assert (caught.value.host, caught.value.address) == ("app.test", address)


def test_a_connection_to_a_peer_that_is_allowed_passes() -> None:
    """It is judged by its own address and port, and the name that led there."""
    check_peer(EgressPolicy(), "app.test", Peer(("93.184.216.34", 443)))


@pytest.mark.parametrize("may_wait", [True, False])
def test_a_task_is_ended_and_waited_for(may_wait: bool) -> None:
    """A coroutine that is being closed must not wait."""

    async def run() -> tuple[bool, bool]:
        ended: list[bool] = []

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                ended.append(True)

        task = asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0)
        ending = end_task(task, may_wait)
        if may_wait:
            await ending
        else:
            with pytest.raises(StopIteration):
                ending.send(None)
        at_once = bool(ended)
        with pytest.raises(asyncio.CancelledError):
            await task
        return at_once, bool(ended)

    assert run_task(run()) == (may_wait, True)


def test_a_task_that_has_ended_is_left_alone() -> None:
    """Its result stays."""

    async def run() -> Any:
        task = asyncio.ensure_future(asyncio.sleep(0, "result"))
        await task
        await end_task(task, True)
        return task.result()

    assert run_task(run()) == "result"


class Pool:
    """A pool of connections: those that it was told to close, each with the thread that did it."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.closed: list[Any] = []

    def close_idle(self, connection: Any) -> None:
        self.closed.append((connection, threading.get_ident()))


def test_an_idle_connection_is_closed_on_its_loop() -> None:
    """At once on the loop itself, and soon from another thread."""

    async def run() -> None:
        pool = Pool(asyncio.get_running_loop())
        close = idle_closer(pool)
        close("here")
        here = threading.get_ident()
        assert pool.closed == [("here", here)]
        run_threads(lambda number: close("elsewhere"), 1)
        assert pool.closed == [("here", here)]
        await asyncio.sleep(0)
        assert pool.closed == [("here", here), ("elsewhere", here)]

    run_task(run())


def test_an_idle_connection_is_not_closed_by_a_greenlet_that_only_sees_its_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the standard library is patched, each greenlet of a thread sees the loop that another one runs."""
    monkeypatch.setattr(
        "http_service_client.transports.over_aiohttp.asyncio_transports.is_running_here", lambda _: False
    )

    async def run() -> None:
        pool = Pool(asyncio.get_running_loop())
        idle_closer(pool)("connection")
        assert pool.closed == []
        await asyncio.sleep(0)
        assert pool.closed == [("connection", threading.get_ident())]

    run_task(run())


def test_an_idle_connection_of_a_closed_loop_loses_its_socket() -> None:
    """Nothing can run there any more."""
    loop = asyncio.new_event_loop()
    loop.close()
    pool, sock = Pool(loop), socket.socket()
    idle_closer(pool)(SimpleNamespace(transport=plain(_sock=sock)))
    assert sock.fileno() == -1
    assert pool.closed == []


def test_what_closes_idle_connections_does_not_keep_their_pool() -> None:
    """A client that was forgotten is freed; its connections close with it."""
    loop = asyncio.new_event_loop()
    pool = Pool(loop)
    close = idle_closer(pool)
    closed = pool.closed
    del pool
    gc.collect()
    close("connection")
    loop.close()
    assert closed == []
