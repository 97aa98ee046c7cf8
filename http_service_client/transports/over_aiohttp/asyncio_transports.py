"""What the asyncio transport asks of asyncio's transports, sockets, futures and tasks.

What is private to asyncio here: `_ssl_protocol` of a TLS transport, `_transport` and `_app_transport` of that protocol, `_closed`,
`_sock` and `max_size` of a transport, `_transports` of a loop, `_callbacks` of a future. Each is done without where it is missing,
as on uvloop: then a socket of a loop that is closed stays open until it is garbage-collected, a read takes as many bytes as the
loop likes, and a task that has its response runs in the loop's next iteration. uvloop's transport below its TLS has no name that
Python could use; it is found among what the one above refers to. On a loop where neither is found, the write timeout does not see
what TLS has passed on.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ...drivers.greenlets import is_running_here
from ...errors import EgressRefusedError

if TYPE_CHECKING:
    from ...http.egress import EgressPolicy

__all__ = [
    "LONG_READ",
    "NEVER",
    "SHORT_READ",
    "check_peer",
    "close_socket",
    "end_task",
    "forget_half_made",
    "idle_closer",
    "is_closing",
    "keep_last_bytes",
    "last_bytes",
    "most_awaited",
    "read_at_most",
    "resolver_for",
    "wake",
    "write_buffer_size",
]

Resolver = Callable[[asyncio.Future[Any], Any], None]

NEVER = 10_000_000.0
"""Seconds for a handshake of TLS whose time is limited otherwise: asyncio would end it after a minute."""

SHORT_READ = 64 * 1024
"""Bytes to read at once of a response that is not known to be long. See `read_at_most`."""

LONG_READ = 512 * 1024
"""Bytes to read at once of one that is: twice asyncio's own number, so that it takes half as many steps."""

_PIECE = 64 * 1024  # bytes
_MOST_PIECES = 8


def _raw_transport(transport: Any) -> Any:
    """The transport below TLS, which may be within TLS; None once it is gone. Without TLS, the transport itself."""
    while (tls := getattr(transport, "_ssl_protocol", transport)) is not transport:
        transport = getattr(tls, "_transport", None)  # a closed transport of TLS has no `_ssl_protocol`
    while (
        type(transport).__name__ == "_SSLProtocolTransport"
        and (below := _below_tls_of_uvloop(transport)) is not None
    ):
        transport = below
    return transport


def _below_tls_of_uvloop(transport: object) -> Any:
    for protocol in gc.get_referents(transport):
        if type(protocol).__name__ == "SSLProtocol":
            for below in gc.get_referents(protocol):
                if below is not transport and hasattr(below, "get_write_buffer_size"):
                    return below
    return None


def is_closing(transport: Any) -> bool:
    """Whether what is written now goes nowhere. The transport above TLS learns that in a later step of the loop."""
    raw = _raw_transport(transport)
    return raw is None or raw.is_closing() or (raw is not transport and transport.is_closing())


def write_buffer_size(transport: Any) -> int:
    """Bytes that the kernel has not accepted yet; 0 once the connection is gone."""
    raw = _raw_transport(transport)
    return 0 if raw is None else raw.get_write_buffer_size()


def close_socket(transport: Any) -> None:
    """Close the socket of an asyncio transport without its loop, which is closed or another process's."""
    if transport is None:
        return
    if hasattr(transport, "_closed"):  # uvloop's has none and needs none: its sockets close with the loop
        transport._closed = True  # or a TLS transport warns when it is garbage-collected
    raw = _raw_transport(transport)
    sock = getattr(raw, "_sock", None)
    if sock is not None:
        sock.close()
        raw._sock = None


def forget_half_made(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Before a socket is closed for which no transport could be made: take from the loop what there is of one.

    asyncio's own switches Nagle's algorithm off when it is half made. macOS refuses that once the server has reset the
    connection. The half remains until it is garbage-collected, and until then the loop refuses each socket with its number,
    by a RuntimeError.
    """
    transports = getattr(loop, "_transports", {})
    transport = transports.get(sock.fileno())
    if transport is not None and not transport.is_closing():
        del transports[sock.fileno()]
        close_socket(getattr(transport.get_protocol(), "_app_transport", None))  # of TLS above it
        close_socket(transport)


def last_bytes(transport: Any) -> bytes:
    """What has arrived on a connection that a write has ended, and that asyncio closes without reading it.

    A server that refuses an upload may send its response, and close at once. A transport without TLS has its socket until
    `connection_lost` is over. For one with TLS, see `keep_last_bytes`.
    """
    pieces: list[bytes] = []
    with suppress(OSError), _socket_of(transport) as sock:
        while len(pieces) < _MOST_PIECES and (piece := sock.recv(_PIECE)):
            pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def _socket_of(transport: Any) -> Iterator[socket.socket]:
    """The socket of a transport without TLS, which the loop has not closed. Raises OSError if there is none."""
    sock = transport.get_extra_info("socket")
    number = -1 if sock is None else sock.fileno()
    if number < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    borrowed = socket.socket(fileno=number)
    try:
        borrowed.settimeout(0.0)  # it has the default of all new sockets
        yield borrowed
    finally:
        borrowed.detach()


def keep_last_bytes(transport: Any) -> None:
    """Have TLS decrypt what has arrived on a connection that a write has ended, as `last_bytes`.

    Once the loss is reported above TLS, the socket has been closed.
    """
    raw = _raw_transport(transport)
    if raw is None or raw is transport:
        return
    tls = raw.get_protocol()
    if not isinstance(tls, _LastReader):
        raw.set_protocol((_BufferedReader if hasattr(tls, "get_buffer") else _PlainReader)(raw, tls))


class _LastReader:
    """Between TLS and the transport below it: passes everything on, and reads the socket once more at its end."""

    _passed_on: tuple[str, ...] = ("eof_received", "pause_writing", "resume_writing")

    def __init__(self, raw: Any, tls: Any) -> None:
        self._raw, self._tls = raw, tls
        for name in self._passed_on:
            setattr(self, name, getattr(tls, name))

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, OSError) and (data := last_bytes(self._raw)):
            self._read(data)
        self._tls.connection_lost(exc)

    def _read(self, data: bytes) -> None:
        self._tls.data_received(data)


class _PlainReader(_LastReader, asyncio.Protocol):
    """For asyncio's own TLS on Python 3.10."""

    _passed_on = (*_LastReader._passed_on, "data_received")


class _BufferedReader(_LastReader, asyncio.BufferedProtocol):
    """For TLS with a buffer that the transport fills: asyncio's own from Python 3.11 on, and uvloop's."""

    _passed_on = (*_LastReader._passed_on, "get_buffer", "buffer_updated")

    def _read(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            buffer = memoryview(self._tls.get_buffer(len(left)))
            size = min(len(buffer), len(left))
            buffer[:size] = left[:size]
            self._tls.buffer_updated(size)
            left = left[size:]


def read_at_most(transport: Any, size: int) -> None:
    """Have the transport read so many bytes at once.

    asyncio allocates them before each read. For 256 KB, the C library may ask the kernel for fresh memory each time, which
    takes longer than all else that asyncio does for a short response.
    """
    if hasattr(transport, "max_size"):
        transport.max_size = size


def most_awaited(loop: asyncio.AbstractEventLoop) -> int:
    """Bytes that may wait for a reader who has waited for them. With more, a transport of this loop pauses.

    asyncio's own loops read once in each iteration, and the reader comes before the next one. uvloop reads on while there
    is something to read: what came first would be copied several times, to be joined with what follows.
    """
    return LONG_READ if isinstance(loop, asyncio.BaseEventLoop) else SHORT_READ


def idle_closer(pool: Any) -> Callable[[Any], None]:
    """A function that closes an idle connection of the pool on the pool's loop, from whatever thread or loop calls it.

    pool: has `loop` and `close_idle`. The function does not keep it alive.
    """
    return partial(_close_idle, weakref.ref(pool))


def _close_idle(reference: weakref.ref[Any], connection: Any) -> None:
    pool = reference()
    if pool is None:
        return
    if asyncio._get_running_loop() is pool.loop and is_running_here(pool.loop):
        pool.close_idle(connection)
        return
    try:
        pool.loop.call_soon_threadsafe(pool.close_idle, connection)
    except RuntimeError:  # the loop was closed without a shutdown
        close_socket(connection.transport)


def check_peer(egress: EgressPolicy, host: str, transport: Any) -> None:
    """Judge the address that a new connection leads to, whatever led it there. Raises EgressRefusedError."""
    peer = None if transport is None else transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        message = f"egress to {host!r} is refused: the address of its connection cannot be known"
        raise EgressRefusedError(message, host=host, address=None)
    egress.check_address(host, peer[0], peer[1])


async def end_task(task: asyncio.Task[Any], may_wait: bool) -> None:
    """Cancel a task, unless it has ended, and wait for its end where the caller may wait."""
    if not task.done():
        with suppress(RuntimeError):  # the loop is closed
            task.cancel()
        if may_wait:
            await asyncio.wait([task])


def wake(waiter: asyncio.Future[Any]) -> None:
    """Have a task that waits for this future go on, unless it does already."""
    if not waiter.done():
        waiter.set_result(None)


def resolver_for(loop: asyncio.AbstractEventLoop, transport: asyncio.BaseTransport) -> Resolver:
    """A function that sets the result of a pending future, from within `data_received` of this transport.

    A task may run there only if no more data is on its way to `data_received`: it may use the connection again at once,
    and would take that data for its next response. TLS holds such data, which no look at the socket shows: another
    record (on Python 3.10), or the close_notify that follows the response.

    Other loops than asyncio's own may treat what a callback of theirs raises in another way. In debug mode, asyncio
    reports a callback that takes long, and a task is easier to find by its own.
    """
    is_plain = transport.get_extra_info("sslcontext") is None
    if is_plain and type(loop) is asyncio.SelectorEventLoop and not loop.get_debug():
        return _resolve_at_once
    return _resolve


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    future.set_result(result)


def _resolve_at_once(future: asyncio.Future[Any], result: Any) -> None:
    """Run the one task that waits for the future within this callback, and not in the loop's next iteration.

    That saves a handle, and a look at all sockets. It is a future like any other until now: a task that is cancelled
    before is woken by asyncio.
    """
    waiting = getattr(future, "_callbacks", None)
    if not waiting or len(waiting) > 1:
        future.set_result(result)
        return
    [(wake, context)] = waiting
    if type(getattr(wake, "__self__", None)) is not asyncio.Task:
        future.set_result(result)
        return
    future.remove_done_callback(wake)
    future.set_result(result)
    try:
        context.run(wake, future)
    except RuntimeError:
        # The callback runs in the task's context, or within a task: this one has not been run.
        future.get_loop().call_soon(wake, future, context=context)
