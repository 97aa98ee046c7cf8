"""What a client has on each event loop, such as its connections: made when first used, closed with the loop."""

from __future__ import annotations

import asyncio
import weakref
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ...drivers.aio import wake_loop
from ...drivers.greenlets import is_running_here
from ...drivers.locks import ForkSafeLock

__all__ = ["LoopSession", "LoopSessions"]


class LoopSessions:
    """One session for each running loop.

    new: makes a session on the running loop: a pool of connections, say. It has `close`, a coroutine function, and
        `abandon`, which closes its sockets without the loop.
    is_closed: no new session is opened.
    """

    def __init__(self, new: Callable[[], Any]) -> None:
        self._new = new
        self._sessions: dict[asyncio.AbstractEventLoop, LoopSession] = {}
        self._lock = ForkSafeLock()  # loops run in several threads, and a signal handler may close the client
        self.is_closed = False
        # Not `__del__`: when the interpreter ends, the collector may free the sockets first, with a warning for each.
        weakref.finalize(self, _abandon_left, self._sessions)

    def here(self) -> Any:
        """The session of this loop; None before the first `get`, and once the client is closed."""
        found = self._sessions.get(get_running_loop())
        return None if found is None else found.session

    async def get(self) -> Any:
        """The session of this loop; a closed one if the client is closed at this very moment."""
        loop = asyncio.get_running_loop()
        loop_session = self._sessions.get(loop)
        if loop_session is None:
            loop_session = LoopSession(self._new())
            with self._lock:
                if not self.is_closed:
                    self._sessions[loop] = loop_session
            if self.is_closed:
                await loop_session.session.close()
                return loop_session.session
            self._abandon_the_dead()
            await loop_session.open()
        return loop_session.session

    def all(self) -> list[Any]:
        """The sessions of all loops."""
        with self._lock:
            return [each.session for each in self._sessions.values()]

    async def close_async(self) -> None:
        """Close the session of this loop, and from here those of the others."""
        self.is_closed = True
        with self._lock:
            loop_session = self._sessions.pop(asyncio.get_running_loop(), None)
        self.close()
        if loop_session is not None:
            await loop_session.close()

    def close(self) -> None:
        """Close every session from outside its loop: immediately if the loop is not running, else on the loop."""
        self.is_closed = True
        self._abandon_the_dead()
        with self._lock:
            sessions = dict(self._sessions)
            self._sessions.clear()
        running = asyncio._get_running_loop()
        for loop, loop_session in sessions.items():
            if loop is running and is_running_here(loop):
                _close_soon(loop, loop_session)  # started now, so that the end of `asyncio.run` waits for it
                wake_loop(loop)
            elif loop.is_running():
                _close_from_outside(loop, loop_session)
            elif running is None:
                loop.run_until_complete(loop_session.close())
            # else: that loop cannot run inside a running one; the session is closed when it runs, or shuts down

    def _abandon_the_dead(self) -> None:
        """Close the sockets of loops that were closed without a shutdown."""
        with self._lock:
            dead = [self._sessions.pop(loop) for loop in list(self._sessions) if loop.is_closed()]
        for loop_session in dead:
            loop_session.session.abandon()


def _abandon_left(sessions: dict[asyncio.AbstractEventLoop, LoopSession]) -> None:
    """Nobody closed the client. Open loops close their sessions themselves; those of closed loops are closed here."""
    for loop, loop_session in list(sessions.items()):
        if loop.is_closed():
            loop_session.session.abandon()


class LoopSession:
    """A session that closes when its loop shuts down.

    `asyncio.run`, pytest-asyncio and the web servers end a loop with `shutdown_asyncgens()`, which closes
    every async generator started on it, and the one here closes the session in its `finally`. The same happens
    when the client is garbage-collected unclosed.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self._lifetime = _close_on_shutdown(session)

    async def open(self) -> None:
        """Start the generator whose end closes the session."""
        await self._lifetime.__anext__()

    async def close(self) -> None:
        """Close the session now."""
        await self._lifetime.aclose()


def _close_from_outside(loop: asyncio.AbstractEventLoop, loop_session: LoopSession) -> None:
    try:
        loop.call_soon_threadsafe(_close_soon, loop, loop_session)
    except RuntimeError:  # the loop was closed at this very moment
        loop_session.session.abandon()


def _close_soon(loop: asyncio.AbstractEventLoop, loop_session: LoopSession) -> None:
    # The loop has weak references only, so the session and the task are kept until the session is closed. A loop
    # that ends first cancels a task that has not run yet, and then closes the session in its shutdown.
    _CLOSING[loop_session.session] = (loop_session, loop.create_task(loop_session.close()))


_CLOSING: dict[Any, tuple[LoopSession, asyncio.Task[None]]] = {}


async def _close_on_shutdown(session: Any) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        try:
            await session.close()
        finally:
            _CLOSING.pop(session, None)
