"""The HTTP/2 connections of one event loop, by origin: one for each, and another where its streams do not suffice.

Calls that come while a connection is being made wait for it, each within its own time. The connection is made in a task
of its own, which ends when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import functools
import time
import weakref
from contextvars import Context
from typing import Any

from ...drivers.aio_timers import TimerWheel
from ...http.urls import Url
from ..base import TransportSettings
from ..network.happy_eyeballs import connect_to_any_async
from ..network.resolver import address_text, permitted, resolve_async
from ..network.tls import TlsSettings
from ..network.tls_sessions import RESUMPTION, resumption_for
from ..over_aiohttp.asyncio_transports import NEVER, close_socket, forget_half_made, idle_closer
from .connection import Http2Connection
from .stream import NotProcessedError

__all__ = ["ConnectingTimeoutError", "Http2Pool"]

# Seconds for which an origin that did not agree to HTTP/2 is not asked again.
_MEMORY = 600.0
_MOST_ORIGINS = 1024  # remembered

_STEPS = 5  # of a loop, from the end of a connection in the socket to `connection_lost` above TLS
_UNUSED = 1.0  # seconds after which a new connection is idle, where the calls that waited for it have left


class ConnectingTimeoutError(Exception):
    """The time for connecting is over."""


class Http2Pool:
    """The connections of one loop.

    tls: offers HTTP/2.
    """

    def __init__(self, settings: TransportSettings, tls: TlsSettings) -> None:
        self.closed = False
        self.loop = asyncio.get_running_loop()
        self.timers = TimerWheel(self.loop)
        self._settings = settings
        self._tls = tls
        self._connections: dict[str, list[Http2Connection]] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._only_http1: dict[str, float] = {}  # until an instant of the loop's time
        self._is_draining = False
        self._close_idle = idle_closer(self)

    def avoids(self, origin: str) -> bool:
        """Whether the origin did not agree to HTTP/2 a short time ago."""
        until = self._only_http1.get(origin)
        return until is not None and self.loop.time() < until

    def avoid(self, origin: str) -> None:
        """Use HTTP/1.1 for this origin from now on."""
        if len(self._only_http1) >= _MOST_ORIGINS:
            del self._only_http1[next(iter(self._only_http1))]
        self._only_http1[origin] = self.loop.time() + _MEMORY

    async def acquire(
        self, url: Url, connect_within: float | None, within: float | None
    ) -> Http2Connection | None:
        """A connection that may open a stream now; None where HTTP/1.1 is to be used.

        connect_within, within: seconds for connecting, and for all of it; or None.
        Raises what connecting raises; ConnectingTimeoutError; NotProcessedError.
        """
        bounds = [each for each in (connect_within, within) if each is not None]
        expires_at = self.loop.time() + min(bounds) if bounds else None
        while not self.avoids(url.origin):
            connection = await self._existing(url.origin)
            if connection is not None:
                return connection
            attempt = self._attempts.get(url.origin)
            if attempt is None:
                attempt = self._attempts[url.origin] = self._begin(url, min(bounds) if bounds else None)
            made = await self._join(url.origin, attempt, expires_at)
            if made is not None and made.error is not None and not made.opened:
                # A server that closes each connection as soon as it is made must not get one after another.
                raise made.error
        return None

    async def _existing(self, origin: str) -> Http2Connection | None:
        takes_none = False
        for connection in list(self._connections.get(origin, ())):
            is_in_doubt = connection.liveness.is_doubtful(self.loop.time())
            if (connection.is_idle or is_in_doubt) and connection.has_news():
                # This loop may not have run since the server closed it, or answered.
                for _ in range(_STEPS):
                    await asyncio.sleep(0)
            connection.ask()
            if connection.may_open_stream():
                self._settings.idle.discard(connection)
                return connection
            if connection.is_idle and connection.is_open:
                if connection.may_be_kept():
                    takes_none = True
                else:
                    connection.close()
        if takes_none:  # a new connection would not help
            raise NotProcessedError("the server takes no streams now (MAX_CONCURRENT_STREAMS is 0)")
        return None

    def _begin(self, url: Url, within: float | None) -> _Attempt:
        # In an empty context: the connection would keep that of its first call alive.
        task = Context().run(self.loop.create_task, self._connect(url, within))
        attempt = _Attempt(task)
        task.add_done_callback(functools.partial(self._end_attempt, url.origin, attempt))
        return attempt

    async def _join(self, origin: str, attempt: _Attempt, expires_at: float | None) -> Http2Connection | None:
        """The connection that the attempt makes; None for HTTP/1.1. Raises its error; ConnectingTimeoutError."""
        task = attempt.task
        attempt.waiting += 1
        try:
            left = None if expires_at is None else max(0.0, expires_at - self.loop.time())
            await asyncio.wait([task], timeout=left)
        finally:
            attempt.waiting -= 1
            if not attempt.waiting and not task.done():
                self._end_attempt(origin, attempt)  # nobody must join it any more
                task.cancel()
        if not task.done():
            raise ConnectingTimeoutError
        if task.cancelled():
            raise ConnectionResetError("the client was closed")
        return task.result()

    def _end_attempt(self, origin: str, attempt: _Attempt, task: asyncio.Task[Any] | None = None) -> None:
        if self._attempts.get(origin) is attempt:
            del self._attempts[origin]
        if task is not None and not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it where nobody waits any more

    async def _connect(self, url: Url, within: float | None) -> Http2Connection | None:
        """Add a connection, or remember that the origin speaks HTTP/1.1 only.

        within: seconds for connecting, from which the pauses between several addresses follow. It ends nothing.
        """
        settings = self._settings
        context = await self._tls.context_for_async((url.host, url.port))
        found = await resolve_async(url.host, url.port)
        addresses = permitted(found, address_text, url.host, url.port, settings.egress)
        sock = await connect_to_any_async(addresses, within, settings.sockets)
        connection = Http2Connection(
            self.timers,
            settings.parser,
            settings.new_lifetime(),
            self._became_idle,
            functools.partial(self._ended, url.origin),
        )
        resumption = resumption_for(context, (url.host, url.port, None, None))
        RESUMPTION.set(resumption)  # in this task alone
        try:
            await self.loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=context,
                server_hostname=url.host.rstrip("."),
                ssl_handshake_timeout=NEVER,
            )
        except BaseException:
            if resumption is not None:
                resumption.failed()
            # Cancelled at the end of the handshake, asyncio would still send its close_notify, on a closed socket.
            if connection.transport is not None:
                connection.transport.abort()
            forget_half_made(self.loop, sock)
            sock.close()
            raise
        if self.closed:
            connection.close()
        elif connection.speaks_http2:
            connection.resumption = resumption
            self._connections.setdefault(url.origin, []).append(connection)
            # Not idle yet: where no idle connection is kept, it would be closed before it is used.
            self.loop.call_later(_UNUSED, self._check_use, connection, context=Context())
        else:
            connection.transport.abort()
            self.avoid(url.origin)
            return None
        return connection

    def _check_use(self, connection: Http2Connection) -> None:
        """A connection that no call has used is idle. From now on, one that is idle for long is closed."""
        if connection.is_open and not connection.opened:
            self._became_idle(connection)
        _close_when_idle_for_long(self.loop, weakref.ref(connection))

    def _became_idle(self, connection: Http2Connection) -> None:
        connection.keep_session()
        if self._is_draining:
            connection.close()
            return
        self._settings.idle.add(connection, connection.idle_since, self._close_idle)

    def _ended(self, origin: str, connection: Http2Connection) -> None:
        connection.keep_session()
        self._settings.idle.discard(connection)
        connections = self._connections.get(origin, [])
        if connection in connections:
            connections.remove(connection)
            if not connections:
                del self._connections[origin]

    def close_idle(self, connection: Http2Connection) -> None:
        connection.close_if_idle()

    async def close(self) -> None:
        """Close every connection."""
        self.closed = True
        for attempt in list(self._attempts.values()):
            attempt.task.cancel()
        for connections in list(self._connections.values()):
            for connection in list(connections):
                connection.close()
        await asyncio.sleep(0)  # asyncio closes the sockets in the next step of the loop

    def drain(self) -> None:
        """Have each connection close after the exchanges that use it, also one that is still being made."""
        self._is_draining = True
        for connections in list(self._connections.values()):
            for connection in list(connections):
                if connection.opened:  # else the calls that waited for it are about to use it
                    connection.drain()

    def abandon(self) -> None:
        """Close the sockets without the loop, which is closed and can run nothing."""
        self.closed = True
        for connections in self._connections.values():
            for connection in connections:
                self._settings.idle.discard(connection)
                close_socket(connection.transport)
        self._connections.clear()


class _Attempt:
    """A connection that is being made, and how many calls wait for it."""

    def __init__(self, task: asyncio.Task[Http2Connection | None]) -> None:
        self.task = task
        self.waiting = 0


def _close_when_idle_for_long(
    loop: asyncio.AbstractEventLoop, reference: weakref.ref[Http2Connection]
) -> None:
    """One timer for each connection. One for each time that it becomes idle would leave thousands in the loop."""
    connection = reference()
    if connection is None or not connection.is_open:
        return
    most = connection.lifetime.max_idle
    if not connection.is_idle:
        left = max(most, _UNUSED)  # not again and again where the limit is very short
    else:
        left = connection.idle_since + most - time.monotonic()
    if left > 0:
        loop.call_later(left, _close_when_idle_for_long, loop, reference)
    else:
        connection.close()
