"""The connections of one event loop, by origin and by the way to it: each serves one exchange at a time."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Any

from ...drivers.aio_timers import TimerWheel
from ..base import TransportSettings
from .asyncio_transports import close_socket, idle_closer, wake, write_buffer_size
from .connection import Connection

__all__ = ["Pool"]

_ROUTES = 256  # lists without a connection are forgotten when there are more lists
_SOON = 1.0  # seconds between two looks for connections that were idle for too long, at least


class Pool:
    """The connections of one loop. The core limits how many are in use.

    timers: the timeouts of their exchanges.   closed: no connection is kept any more.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self.loop = asyncio.get_running_loop()
        self.timers = TimerWheel(self.loop)
        self.closed = False
        self._settings = settings
        self._idle: dict[tuple[str, str | None], list[Connection]] = {}
        self._sweep_at = _ROUTES
        self._is_looking = False
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[Connection]] = set()
        self._on_lost = partial(_forget, weakref.ref(self))
        self._close_idle = idle_closer(self)

    def new_connection(self) -> Connection:
        """A connection of this pool, without a transport yet."""
        settings = self._settings
        connection = Connection(
            self.loop,
            settings.parser,
            settings.max_response_size,
            settings.new_lifetime(),
            self._on_lost,
        )
        self._open.add(connection)
        return connection

    def begin(
        self, make: Callable[[], Coroutine[Any, Any, Connection]], ended: asyncio.Future[Any]
    ) -> asyncio.Task[Connection]:
        """Have a connection made in a task, which `close` cancels.

        In an empty context: the connection would keep that of its first call alive.
        ended: gets a result when the task has ended.
        """
        task = Context().run(self.loop.create_task, _make_and_wake(make, ended))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        task.add_done_callback(lambda _: wake(ended))  # cancelled before its first step
        return task

    def acquire(self, origin: str, proxy: str | None = None) -> Connection | None:
        """An idle connection to the origin; None when there is none."""
        idle = self._idle.get((origin, proxy))
        while idle:
            # The most recently used one: it is the likeliest to be alive, and lets the others expire.
            connection = idle.pop()
            self._settings.idle.discard(connection)
            if connection.lifetime.allows(connection.idle_since) and connection.is_reusable():
                connection.is_idle = False
                return connection
            connection.abort()
        return None

    def release(self, connection: Connection) -> None:
        """The response was read to its end: keep the connection if it may serve another exchange."""
        connection.served = served = connection.served + 1
        connection.end_exchange()
        since, lifetime = monotonic(), connection.lifetime
        if (
            connection.must_close
            # `Lifetime.is_over`, without another look at the clock.
            or since >= lifetime.retires_at
            or served >= lifetime.max_requests
            # The server responded early: it may never read the rest, and close_notify would wait for that.
            or write_buffer_size(connection.transport)
            or self.closed
        ):
            connection.abort()
            return
        connection.is_idle = True
        connection.idle_since = since
        idle = self._idle.get(connection.key)
        if idle is None:
            self._forget_empty_routes()
            idle = self._idle[connection.key] = []
        idle.append(connection)
        self._settings.idle.add(connection, since, self._close_idle)
        if not self._is_looking:
            self._look_in(lifetime.max_idle)

    def _forget_empty_routes(self) -> None:
        """The next time comes when there are twice as many, so that the cost is constant for each new route."""
        if len(self._idle) >= self._sweep_at:
            self._idle = {key: idle for key, idle in self._idle.items() if idle}
            self._sweep_at = max(_ROUTES, 2 * len(self._idle))

    def _look_in(self, seconds: float) -> None:
        """Look for connections that were idle for too long: a pool that nobody uses must not keep them open."""
        self._is_looking = True
        # In an empty context, and without a reference that would keep the pool alive.
        look = partial(_look, weakref.ref(self))
        self.loop.call_later(max(seconds, _SOON), look, context=Context())

    def close_expired(self) -> None:
        """Close the connections that were idle for too long, and come again when the next one will have been."""
        self._is_looking = False
        now, left = monotonic(), []
        for connections in list(self._idle.values()):
            for connection in connections[:]:
                seconds = connection.idle_since + connection.lifetime.max_idle - now
                if seconds <= 0:
                    self.close_idle(connection)
                else:
                    left.append(seconds)
        if left:
            self._look_in(min(left))

    def close_idle(self, connection: Connection) -> None:
        """Close this connection, unless it has been acquired."""
        idle = self._idle.get(connection.key, [])
        if connection in idle:
            idle.remove(connection)
            self._settings.idle.discard(connection)
            connection.abort()

    def distrust(self, failed: Connection) -> None:
        """No response came on this connection: close those that have been idle for longer (see `lifetime`)."""
        for connection in self._idle.get(failed.key, [])[:]:
            if connection.idle_since <= failed.idle_since:
                self.close_idle(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is lost."""
        self._open.discard(connection)
        if connection.is_idle:
            self.close_idle(connection)

    async def close(self) -> None:
        """Close every connection, also those in use."""
        self.closed = True
        for task in list(self._connecting):
            task.cancel()
        for connection in list(self._open):
            self._settings.idle.discard(connection)
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # asyncio closes the sockets in the next step of the loop

    def abandon(self) -> None:
        """Close the sockets without the loop, which is closed and can run nothing."""
        self.closed = True
        for connection in self._open:
            self._settings.idle.discard(connection)
            close_socket(connection.transport)
        self._idle.clear()
        self._open.clear()


async def _make_and_wake(
    make: Callable[[], Coroutine[Any, Any, Connection]], ended: asyncio.Future[Any]
) -> Connection:
    try:
        return await make()
    finally:
        # Its last step. What is called when a task is done comes an iteration of the loop later.
        with suppress(RuntimeError):  # the loop is closed
            wake(ended)


def _forget(reference: weakref.ref[Pool], connection: Connection) -> None:
    pool = reference()
    if pool is not None:
        pool.forget(connection)


def _look(reference: weakref.ref[Pool]) -> None:
    pool = reference()
    if pool is not None:
        pool.close_expired()
