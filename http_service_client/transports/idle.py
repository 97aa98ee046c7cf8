"""The idle connections of a client, over all hosts, threads and event loops together.

Each idle connection costs a file descriptor here and on the server, so their number is bounded: the least recently
used one is closed first. A burst of calls leaves many, and the calls after it use the latest again and again: so when
one becomes idle, the others that were idle for too long are closed. It takes no timer. The pools of the transports
keep the connections; this is the order in which they became idle, and the way to close each.

There is no lock. Each step is one operation of an `OrderedDict`, which the interpreter does not interrupt, so a signal
handler or a finalizer may make a call during another.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

__all__ = ["IdleConnections"]


class IdleConnections:
    """At most `limit` connections, the least recently used first.

    max_idle: seconds that one may be idle.

    A pool adds a connection after it has stored it, and discards one that it hands out or closes. `close` is called
    with a connection that is too many, on any thread: it takes the connection out of its pool, if it is still there,
    and closes it. So a connection that another thread has just acquired is left alone. A connection has a `lifetime`.
    """

    def __init__(self, limit: int = 100, max_idle: float = math.inf) -> None:
        self._limit = limit
        self._max_idle = max_idle
        self._sweep_at = -math.inf
        # A plain dict becomes slow when its first item is removed again and again.
        self._connections: OrderedDict[Any, tuple[float, Callable[[Any], object]]] = OrderedDict()

    def resize(self, limit: int) -> None:
        """Change how many there may be; those that are too many now are closed."""
        self._limit = limit
        self._close_surplus()

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Any, since: float, close: Callable[[Any], object]) -> None:
        """A connection became idle, at this instant of `time.monotonic`."""
        self._connections[connection] = (since, close)
        size = len(self._connections)
        if size > self._limit:
            self._close_surplus()
        if size > 1 and since >= self._sweep_at:
            self._sweep_at = since + self._max_idle / 4  # not at each exchange
            self.close_older_than(since - self._max_idle)

    def _close_surplus(self) -> None:
        while len(self._connections) > self._limit:
            try:
                oldest, (_, close_oldest) = self._connections.popitem(last=False)
            except KeyError:  # another thread took it
                return
            close_oldest(oldest)

    def discard(self, connection: Any) -> None:
        """A connection is idle no longer."""
        self._connections.pop(connection, None)

    def close_older_than(self, instant: float) -> None:
        """Close the connections that were idle before this instant."""
        while True:
            try:
                oldest, (since, close) = next(iter(self._connections.items()))
            except (StopIteration, RuntimeError):
                # None is left; or another thread changed it, and will come here, too.
                return
            if since >= instant:
                return
            if self._connections.pop(oldest, None) is not None:
                close(oldest)

    def drop_all(self) -> int:
        """Close all of them; returns how many there were.

        None serves another exchange once this has returned: one that only its own event loop may close is retired now.
        """
        dropped = 0
        while True:
            try:
                connection, (_, close) = self._connections.popitem()
            except KeyError:
                return dropped
            connection.lifetime.retire()
            close(connection)
            dropped += 1

    def reset_after_fork(self) -> None:
        """Forget all of them: in a forked child, they are the parent's."""
        self._connections = OrderedDict()
