"""How another thread ends exchanges of the blocking transport: one of them, or all that a client has.

A wait on a socket ends when the socket is shut down. The thread that uses the socket closes it.
"""

from __future__ import annotations

import errno
import os
import socket
import weakref
from typing import Any, Protocol

from ...drivers.interruption import Interruption
from ...drivers.locks import ForkSafeLock

__all__ = ["Cut", "OpenConnections", "aborted"]


def aborted() -> ConnectionAbortedError:
    """The error of an exchange that another thread has ended."""
    return ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))


class Cut:
    """Lets another thread end an exchange of this one, in any phase of it: of a branch that may be cancelled.

    It shuts down duplicates of the exchange's sockets, which no other code closes. To shut down a socket itself would be a race
    with its owner: once that has closed it, its number may be that of another connection.

    is_made: the exchange was ended, and what its connection reads and writes means nothing.
    Raises CancelledError if the branch was cancelled before.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._twins: list[socket.socket] = []
        interruption.add(self._shut_down)

    @property
    def is_made(self) -> bool:
        return self._interruption.is_set

    def watch(self, sock: Any, *, is_only: bool = False) -> None:
        """Shut down this socket, too.   is_only: and none of the others from now on."""
        # Its real family does not matter here, and asking for it takes system calls.
        twin = socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with self._interruption.lock:
            others = self._twins if is_only else []
            self._twins = [twin] if is_only else [*self._twins, twin]
            for other in others:
                other.close()
        if self.is_made:  # by another thread, which may not have seen this one
            self._shut_down()

    def end(self) -> None:
        """The exchange has ended: from now on its connection cannot be cut. A second time does nothing."""
        self._interruption.remove(self._shut_down)
        while self._twins:
            self._twins.pop().close()

    def _shut_down(self) -> None:
        for twin in list(self._twins):
            try:
                twin.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is not connected yet, or no longer
                pass


class Abortable(Protocol):
    """A connection."""

    def abort(self) -> None: ...


class OpenConnections:
    """The connections of a transport, idle and in use, so that another thread can cut them.

    is_cut: they have been; a new one is refused.
    """

    def __init__(self) -> None:
        self.is_cut = False
        self._all: weakref.WeakSet[Abortable] = weakref.WeakSet()
        # Taken once for each connection. Reentrant: a signal handler may cut the connections during an `add`.
        self._lock = ForkSafeLock()

    def add(self, connection: Abortable) -> None:
        """Note a new connection. Raises ConnectionAbortedError once they are cut: nothing was sent on it."""
        with self._lock:
            self._all.add(connection)
        if self.is_cut:
            raise aborted()

    def cut(self) -> None:
        """Close them all in the middle of whatever they do."""
        self.is_cut = True
        with self._lock:
            connections = list(self._all)
        for connection in connections:
            connection.abort()
