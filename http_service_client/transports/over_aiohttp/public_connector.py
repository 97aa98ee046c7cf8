"""The connector that takes the place of `CheckedConnector` when aiohttp is not as that one needs it.

It uses what aiohttp and asyncio document. Between the transport of a connection and aiohttp's protocol stands a
protocol of ours (`transport.set_protocol`), which notices what aiohttp lets pass: bytes on an idle connection, the
error that ended a connection, and a body whose reader would wait forever. See `compatibility` for what is kept.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
import weakref
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import aiohttp

from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import read_fast_head
from ...http.http1.framing import MALFORMED, TOO_LARGE, HeadLimits, is_chunked
from ..base import TransportSettings
from ..idle import IdleConnections
from ..lifetime import Lifetime
from ..network.polling import is_readable
from ..network.sockets import SocketSettings
from ..network.unix import UnixSocket
from .asyncio_transports import check_peer, close_socket, write_buffer_size
from .compatibility import KEEPS_ALIVE, MAKES_SOCKETS, HttpProcessingError
from .errors import NotRepeatedError
from .exchange_timer import EXCHANGE
from .resolver import SharedResolver

__all__ = ["PublicConnector", "WatchingProtocol", "send_once", "watch_body"]

# Bytes of a body that may arrive before the task that waits for its head has run.
_READ_AHEAD = 1024 * 1024
_BLANK_LINE = b"\r\n\r\n"


class PublicConnector(aiohttp.TCPConnector):
    """A connector that checks a connection before it is used."""

    def __init__(self, settings: TransportSettings) -> None:
        options: dict[str, Any] = {"force_close": True}
        if KEEPS_ALIVE:
            options = {"keepalive_timeout": settings.keep_alive_timeout}
        if MAKES_SOCKETS:
            options["socket_factory"] = functools.partial(_new_socket, settings.sockets)
        super().__init__(
            limit=0,  # the core limits the connections
            limit_per_host=0,
            resolver=SharedResolver(settings.egress),
            use_dns_cache=False,  # a result that is shared could be one for a proxy, which is not checked
            **options,
        )
        # Mangled, so that no name of aiohttp's can be the same.
        self.__egress = settings.egress
        self.__idle = settings.idle
        self.__limits = settings.head_limits
        self.__new_lifetime = settings.new_lifetime
        self.__open: weakref.WeakSet[WatchingProtocol] = weakref.WeakSet()

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection that may be used; the current exchange is notified of it."""
        exchange = EXCHANGE.get()
        if exchange is not None:
            exchange.connecting()
        while True:
            connection = await super().connect(*arguments, **options)
            try:
                watching = self.__watch(connection)
                if watching.served and not watching.is_reusable():
                    watching.abort()
                    connection.close()
                    continue
                if (
                    self.__egress is not None
                    and not watching.served
                    and (exchange is None or (exchange.proxy is None and exchange.socket_path is None))
                ):
                    check_peer(self.__egress, "" if exchange is None else exchange.host, connection.transport)
            except BaseException:
                connection.close()
                raise
            watching.begin()
            if KEEPS_ALIVE:
                connection.add_callback(watching.end)
            if exchange is not None:
                exchange.connected(watching)
            return connection

    def __watch(self, connection: Any) -> WatchingProtocol:
        transport = connection.transport
        if transport is None:
            raise aiohttp.ClientOSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        protocol = transport.get_protocol()
        if isinstance(protocol, WatchingProtocol):
            return protocol
        watching = WatchingProtocol(protocol, transport, self.__limits, self.__new_lifetime(), self.__idle)
        transport.set_protocol(watching)
        self.__open.add(watching)
        return watching

    def close(self, **options: Any) -> Any:
        """As aiohttp's, which would first flush an upload that the server may never read."""
        for watching in list(self.__open):
            if write_buffer_size(watching.transport):
                watching.abort()
        return super().close(**options)

    def abandon(self) -> None:
        """Close the sockets without the loop, which is closed and can run nothing."""
        for watching in list(self.__open):
            close_socket(watching.transport)
        closing = super().close()  # or aiohttp warns when it is garbage-collected
        try:
            for _ in range(10):  # it has nothing to wait for
                closing.send(None)
        except StopIteration:
            pass


def _new_socket(sockets: SocketSettings, address: Any) -> socket.socket:
    exchange = EXCHANGE.get()
    if exchange is not None and exchange.socket_path is not None:
        return UnixSocket(exchange.socket_path, sockets)
    return sockets.new(*address[:3])


class WatchingProtocol(asyncio.Protocol):
    """Passes all that happens on one connection on to aiohttp's protocol, and notices what that lets pass.

    served: exchanges so far.   is_idle: no exchange is using it.   transport: None once the connection is gone.
    fatal_error: the error that ended it; None after an orderly end.
    response_started: a response, or a part of one, has arrived in this exchange.
    content: the body that is being read, or None.

    Bytes behind a response may be the beginning of another one, which aiohttp's parser keeps to itself, and the next
    exchange would lose. So a connection is reused only after a response that is seen to end with its last packet.
    """

    def __init__(
        self, protocol: Any, transport: Any, limits: HeadLimits, lifetime: Lifetime, idle: IdleConnections
    ) -> None:
        self.served = 0
        self.is_idle = self.response_started = False
        self.fatal_error: Exception | None = None
        self.transport: Any = transport
        self.content: Any = None
        self._protocol = protocol
        self._limits = limits
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._before_body = 0  # bytes that arrived before the head was passed on
        self._left: int | None = None  # bytes of a response with a length that are still to come
        self._tail = b""  # the last bytes that arrived
        self._idle_since = 0.0
        self.lifetime = lifetime
        self._pid = os.getpid()

    def begin(self) -> None:
        """An exchange begins."""
        self.is_idle = self.response_started = False
        self._left, self._tail, self._before_body = None, b"", 0
        self._idle.discard(self)

    def end(self) -> None:
        """An exchange is over; aiohttp is about to keep the connection, or to close it."""
        self.served += 1
        self.is_idle = True
        self.content = None
        transport = self.transport
        if os.getpid() != self._pid:  # to close it in a forked child would take it from the parent's loop
            close_socket(transport)
        elif (
            self.lifetime.is_over(self.served)
            or self._protocol.should_close
            or write_buffer_size(transport)
            or not self._is_complete()
        ):
            self.force_close()
            self.abort()  # immediately: `close` would first flush a stalled upload, and wait for TLS's close_notify
        else:
            self._idle_since = monotonic()
            self._idle.add(self, self._idle_since, WatchingProtocol._close_idle)

    def _close_idle(self) -> None:
        """Close an idle connection on its event loop, from whatever thread or loop this is."""
        try:
            self._loop.call_soon_threadsafe(self._abort_if_idle)
        except RuntimeError:  # the loop was closed without a shutdown
            close_socket(self.transport)

    def _abort_if_idle(self) -> None:
        if self.is_idle:
            self.abort()

    def _count(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
        elif not self._tail:
            head = read_fast_head(data, self._limits)
            self._left = None if head is None else head.size + head.length - len(data)
        self._tail = (self._tail + data)[-len(_BLANK_LINE) :]

    def _is_complete(self) -> bool:
        """Whether the response ends with the last byte that arrived. False if that is unclear."""
        # A blank line ends chunks, and a head without a body. If there were more, it would end a second head, which
        # aiohttp's parser has reported, and `should_close` is true.
        return self._left == 0 or self._tail == _BLANK_LINE

    def is_reusable(self) -> bool:
        """Whether an idle connection may serve another exchange: it is intact, and nothing has arrived on it."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._protocol.should_close:
            return False
        if not self.lifetime.allows(self._idle_since):
            return False
        sock = transport.get_extra_info("socket")
        return sock is not None and sock.fileno() >= 0 and not is_readable(sock)

    def force_close(self) -> None:
        """Close the connection after this exchange."""
        self._protocol.force_close()

    def abort(self) -> None:
        """Close the connection now."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Data from the event loop. Data that arrives on an idle connection is not for the next exchange."""
        if self.is_idle:
            self.abort()
            return
        self._count(data)
        self.response_started = self.response_started or not data.isspace()
        self._protocol.data_received(data)
        if self.content is None:
            self._before_body += len(data)
            if self._before_body > self._limits.total + _READ_AHEAD:  # interim responses without end
                self.fatal_error = NotHttpError(TOO_LARGE)
                self.abort()
                return
        error = self._protocol.exception()
        if error is not None:  # framing broke, perhaps in mid-body, where the reader would wait forever
            if self.fatal_error is None and isinstance(error, HttpProcessingError):
                self.fatal_error = NotHttpError(TOO_LARGE if _is_too_large(error) else MALFORMED)
            self._fail(aiohttp.ClientPayloadError())

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()  # type: ignore[no-any-return]

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio reports that the connection is gone, with the error; None after an orderly end."""
        if self.fatal_error is None and isinstance(exc, OSError):
            self.fatal_error = exc.with_traceback(None)
        self._idle.discard(self)
        transport, self.transport = self.transport, None
        self._protocol.connection_lost(exc)
        self._fail(aiohttp.ClientOSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
        if transport is not None:
            transport.close()  # Python 3.10 would warn about an unclosed TLS transport

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def _fail(self, error: Exception) -> None:
        """Raise an error to the reader of the body, unless the body is complete."""
        content, self.content = self.content, None
        if content is not None and not content.is_eof() and content.exception() is None:
            content.set_exception(error)


def _is_too_large(error: Any) -> bool:
    """Whether aiohttp's parser refused a head for its size; it says so in words only."""
    return any(words in str(error) for words in ("Too many", "Got more than"))


async def send_once(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """A middleware: aiohttp would repeat an idempotent request silently, once, after one of these errors."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NotRepeatedError(error) from None


def watch_body(response: aiohttp.ClientResponse, connection: WatchingProtocol | None) -> None:
    """The head of a response has arrived. Raises NotHttpError if llhttp must not have accepted it (see `framing`).

    connection: the one that it arrived on; None for a mock's response.
    """
    headers, raw = response.headers, response.raw_headers
    try:
        lengths, codings = headers.getall("Content-Length", ()), headers.getall("Transfer-Encoding", ())
        is_chunked(response.status, lengths, codings)
        if raw is not None and b" " in b"".join([name for name, _ in raw]):
            raise NotHttpError(MALFORMED)
    except NotHttpError:
        response.close()
        if connection is not None:
            connection.abort()
        raise
    if connection is None:
        return
    connection.content = response.content
    keep_alive = headers.get("Keep-Alive")
    if keep_alive is not None:
        connection.lifetime.announce(keep_alive)
    names = ("Connection", "Proxy-Connection")
    if any("close" in value.lower() for name in names for value in headers.getall(name, ())):
        connection.force_close()  # llhttp does not see it beside the keep-alive of HTTP/1.0
