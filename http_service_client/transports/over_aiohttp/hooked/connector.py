"""The connector of a session of aiohttp, which other libraries have hooked into. It uses what aiohttp and asyncio document.

Between the transport of a connection and aiohttp's protocol stands a protocol of ours (`transport.set_protocol`), which
reads the responses, and notices what aiohttp lets pass: bytes on an idle connection, the error that ended a connection, and
a body whose reader would wait forever. See `compatibility` for what is kept.
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

from ....http.http1.errors import NotHttpError
from ....http.http1.fast_path import FastHead
from ....http.http1.framing import ParserSettings
from ....http.http1.head import Head
from ....http.http1.response_parser import ResponseParser
from ....http.http1.rules import Rule
from ....http.proxies.urls import SocksProxy
from ...base import TransportSettings
from ...idle import IdleConnections
from ...lifetime import Lifetime
from ...network.polling import is_readable
from ...network.sockets import SocketSettings
from ...network.unix import UnixSocket
from ..asyncio_transports import (
    check_peer,
    close_socket,
    keep_last_bytes,
    last_bytes,
    write_buffer_size,
)
from .compatibility import KEEPS_ALIVE, MAKES_SOCKETS
from .errors import NotRepeatedError
from .resolver import SharedResolver
from .timer import EXCHANGE

__all__ = ["WatchingConnector", "WatchingProtocol", "send_once", "watch_body"]


class WatchingConnector(aiohttp.TCPConnector):
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
        self.__parser = settings.parser
        self.__new_lifetime = settings.new_lifetime
        self.__open: weakref.WeakSet[WatchingProtocol] = weakref.WeakSet()

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection that may be used; the current exchange is notified of it."""
        exchange = EXCHANGE.get()
        if exchange is not None:
            exchange.connecting()
        while True:
            connection = await self.__connect(exchange, arguments, options)
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
            watching.begin("GET" if exchange is None else exchange.method)
            if KEEPS_ALIVE:
                connection.add_callback(watching.end)
            if exchange is not None:
                watching.way = exchange.way
                exchange.connected(watching)
            return connection

    async def __connect(self, exchange: Any, arguments: Any, options: Any) -> Any:
        """aiohttp's connection. Where it needs one through a SOCKS proxy, and has none, the socket is made here."""
        try:
            return await super().connect(*arguments, **options)
        except aiohttp.ClientConnectorError:
            if exchange is None or not exchange.needs_socket:
                raise
        exchange.needs_socket = False
        exchange.ready_socket = await exchange.open_socket()
        try:
            return await super().connect(*arguments, **options)
        finally:
            sock, exchange.ready_socket = exchange.ready_socket, None
            if sock is not None:  # another exchange's connection has become idle meanwhile
                sock.close()

    def __watch(self, connection: Any) -> WatchingProtocol:
        transport = connection.transport
        if transport is None:
            raise aiohttp.ClientOSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        protocol = transport.get_protocol()
        if isinstance(protocol, WatchingProtocol):
            return protocol
        watching = WatchingProtocol(protocol, transport, self.__parser, self.__new_lifetime(), self.__idle)
        transport.set_protocol(watching)
        keep_last_bytes(transport)
        self.__open.add(watching)
        return watching

    def distrust(self, failed: WatchingProtocol) -> None:
        """No response came on this connection: close those that were idle beside it, and still are (see `lifetime`).

        aiohttp takes the one that has been idle for the longest time. A new connection says nothing about others.
        """
        for watching in list(self.__open):
            was_idle = watching.is_idle and watching.idle_since <= failed.busy_since
            if was_idle and watching.way == failed.way and failed.idle_since:
                watching.abort()

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
    if exchange is not None and isinstance(exchange.proxy, SocksProxy):
        sock, exchange.ready_socket = exchange.ready_socket, None
        if sock is None:
            exchange.needs_socket = True
            raise ConnectionError("the connection through the SOCKS proxy is to be made first")
        return _ConnectedSocket(sock)
    return sockets.new(*address[:3])


class _ConnectedSocket(socket.socket):
    """A socket that is connected already, whatever address it is given."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def family(self) -> socket.AddressFamily:
        """Of no address: asyncio looks none up then, as it does for one that is not of the socket's family."""
        return socket.AF_UNIX

    def connect(self, address: object = None) -> None:
        """Nothing."""


class WatchingProtocol(asyncio.Protocol):
    """Stands between a connection and aiohttp's protocol: reads the responses, and writes them out for aiohttp.

    They are read by the parser that all transports share, so that the same bytes are accepted and refused. aiohttp's own
    parser gets them in a form that has one reading.

    served: exchanges so far.   is_idle: no exchange is using it.   idle_since: by `time.monotonic`; 0 before it was.
    busy_since: the instant at which the latest exchange began.   way: the origin, and the proxy in use.
    transport: None once the connection is gone.
    fatal_error: the error that ended it; None after an orderly end.
    content: the body that is being read, or None.
    """

    def __init__(
        self,
        protocol: Any,
        transport: Any,
        settings: ParserSettings,
        lifetime: Lifetime,
        idle: IdleConnections,
    ) -> None:
        self.served = 0
        self.is_idle = False
        self.fatal_error: Exception | None = None
        self.transport: Any = transport
        self.content: Any = None
        self._protocol = protocol
        self._responses = ResponseParser(settings)
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.busy_since: float  # `begin` sets it
        self.way: tuple[str, str | None] = ("", None)
        self._has_ended = False
        self.lifetime = lifetime
        self._pid = os.getpid()

    def begin(self, method: str) -> None:
        """An exchange begins.   method: of its request."""
        self.is_idle = False
        self.busy_since = monotonic()
        self._responses.begin(method)
        self._idle.discard(self)

    def end(self) -> None:
        """An exchange is over; aiohttp is about to keep the connection, or to close it."""
        self.served += 1
        self.is_idle = True
        self.content = None
        transport = self.transport
        head = self._responses.head
        if os.getpid() != self._pid:  # to close it in a forked child would take it from the parent's loop
            close_socket(transport)
        elif (
            self.lifetime.is_over(self.served)
            or self._protocol.should_close
            or write_buffer_size(transport)
            or head is None
            or head.is_last
            or not self._responses.is_complete
        ):
            self.force_close()
            self.abort()  # immediately: `close` would first flush a stalled upload, and wait for TLS's close_notify
        else:
            self.idle_since = monotonic()
            self._idle.add(self, self.idle_since, WatchingProtocol._close_idle)

    def _close_idle(self) -> None:
        """Close an idle connection on its event loop, from whatever thread or loop this is."""
        try:
            self._loop.call_soon_threadsafe(self._abort_if_idle)
        except RuntimeError:  # the loop was closed without a shutdown
            close_socket(self.transport)

    def _abort_if_idle(self) -> None:
        if self.is_idle:
            self.abort()

    def is_reusable(self) -> bool:
        """Whether an idle connection may serve another exchange: it is intact, and nothing has arrived on it."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._protocol.should_close:
            return False
        if not self.lifetime.allows(self.idle_since):
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
        elif self._responses.is_complete:
            self.force_close()  # nobody requested these bytes
        elif self.fatal_error is None:
            self._responses.feed(bytes(data))  # a proactor may pass a bytearray
            try:
                self._pass_on()
            except NotHttpError as error:
                self.fatal_error = error.with_traceback(None)
                self._fail(aiohttp.ClientPayloadError())
                self.abort()
            # aiohttp's parser is stricter in development mode.
            if self._protocol.exception() is not None:
                self._fail(aiohttp.ClientPayloadError())

    def _pass_on(self) -> None:
        """Write out what has arrived of the response."""
        responses, write = self._responses, self._protocol.data_received
        if responses.head is None:
            head = responses.read_head()
            if head is None:
                return
            if head.keep_alive is not None:
                self.lifetime.announce(head.keep_alive)
            write(_written(head))
        else:
            head = responses.head
        if responses.is_complete:
            return
        while piece := responses.read_body():
            write(b"%x\r\n%b\r\n" % (len(piece), piece) if head.is_chunked else piece)
        if responses.is_complete and head.is_chunked:
            write(b"0\r\n\r\n")

    def eof_received(self) -> bool | None:
        """The server will send nothing more. An error that follows cannot change the response."""
        self._has_ended = True
        if write_buffer_size(self.transport):
            self.abort()  # or asyncio would first send the rest of an upload, which the server may never read
        return self._protocol.eof_received()  # type: ignore[no-any-return]

    def report_faults(self, report: Callable[[Rule], object]) -> None:
        """As `ResponseParser.report_faults`."""
        self._responses.report_faults(report)

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio reports that the connection is gone, with the error; None after an orderly end."""
        if self._has_ended:
            exc = None
        if isinstance(exc, OSError) and not self.is_idle and (data := last_bytes(self.transport)):
            self.data_received(data)
        if self.fatal_error is None and isinstance(exc, OSError):
            self.fatal_error = exc.with_traceback(None)
        if self.fatal_error is None and not self.is_idle:
            self._responses.feed(b"")
            try:
                self._pass_on()
            except NotHttpError as error:
                self.fatal_error = error.with_traceback(None)
            except ConnectionResetError:
                pass  # before its first byte; aiohttp raises ServerDisconnectedError
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


def _written(head: Head | FastHead) -> bytes:
    """The head of a response in the form that every parser reads alike."""
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason.encode())]
    lines += [b"%b: %b" % field for field in head.raw_fields()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def send_once(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """A middleware: aiohttp would repeat an idempotent request silently, once, after one of these errors."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NotRepeatedError(error) from None


def watch_body(response: aiohttp.ClientResponse, connection: WatchingProtocol | None) -> None:
    """The head of a response has arrived.

    connection: the one that it arrived on; None if that is not known, or for a mock's response. aiohttp's parser has then
    read the response alone.
    Raises NotHttpError for a framing that the parser accepts and must not.
    """
    if connection is not None:
        connection.content = response.content
        return
    headers = response.headers
    lengths, codings = headers.getall("Content-Length", ()), headers.getall("Transfer-Encoding", ())
    if len(lengths) + len(codings) > 1 or any(
        code.lower() not in ("chunked", "identity") for code in codings
    ):
        response.close()
        raise NotHttpError()
