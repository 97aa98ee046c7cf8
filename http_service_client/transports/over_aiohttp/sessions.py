"""The aiohttp sessions of a client: one for each event loop, closed with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from ...drivers.aio_timers import TimerWheel
from ..base import TransportSettings
from .connector import CheckedConnector

__all__ = ["LoopSession", "LoopSessions"]


class LoopSessions:
    """One session for each running loop.

    is_closed: there will be no more.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._sessions: dict[asyncio.AbstractEventLoop, LoopSession] = {}
        self._lock = threading.Lock()  # loops live in threads; a forked child has a transport of its own
        self.is_closed = False

    def here(self) -> LoopSession | None:
        """That of this loop, where it was opened and the client is not closed."""
        return None if self.is_closed else self._sessions.get(asyncio.get_running_loop())

    async def get(self) -> LoopSession:
        """The session of this loop; a closed one when the client was closed in this very moment."""
        loop = asyncio.get_running_loop()
        held = self._sessions.get(loop)
        if held is None:
            held = LoopSession(new_session(self._settings))
            with self._lock:
                if not self.is_closed:
                    self._sessions[loop] = held
            if self.is_closed:
                await held.session.close()
                return held
            self._abandon_the_dead()
            await held.open()
        return held

    async def close_async(self) -> None:
        """Close the session of this loop and, from here, those of the others."""
        self.is_closed = True
        with self._lock:
            held = self._sessions.pop(asyncio.get_running_loop(), None)
        self.close()
        if held is not None:
            await held.close()

    def close(self) -> None:
        """Close every session from outside its loop: at once where the loop rests, else on the loop."""
        self.is_closed = True
        self._abandon_the_dead()
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        running = asyncio._get_running_loop()
        for loop, held in sessions.items():
            if loop is running:
                _close_soon(loop, held)  # begun at once, so that the end of `asyncio.run` waits for it
            elif loop.is_running():
                _tell_to_close(loop, held)
            elif running is None:
                loop.run_until_complete(held.close())
            # else: a loop at rest cannot run inside a running one; when it runs, or ends, the session is closed

    def _abandon_the_dead(self) -> None:
        """Free the sockets of loops that were closed without a shutdown."""
        with self._lock:
            dead = [self._sessions.pop(loop) for loop in list(self._sessions) if loop.is_closed()]
        for held in dead:
            held.abandon()

    def __del__(self) -> None:
        # Nobody closed the client. The sessions of living loops are closed by these, those of dead ones here;
        # without the lock, which a forked child may have inherited locked.
        for loop, held in self._sessions.items():
            if loop.is_closed():
                held.abandon()


class LoopSession:
    """A session that closes when its loop shuts down.

    `asyncio.run`, pytest-asyncio and the web servers end a loop with `shutdown_asyncgens()`, which closes
    every async generator begun on it. This one's cleanup closes the session. The same happens when the
    client is collected unclosed.

    timers: the ends of the exchanges' time.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.connector: Any = session.connector
        self.loop = asyncio.get_running_loop()
        self.timers = TimerWheel(self.loop)
        self._lifetime = _close_at_the_end(session)

    async def open(self) -> None:
        """Begin the lifetime."""
        await self._lifetime.__anext__()

    async def close(self) -> None:
        """Close the session now."""
        await self._lifetime.aclose()

    def abandon(self) -> None:
        """The loop was closed without a shutdown: free the sockets without it."""
        self.session.detach()
        self.connector.abandon()


def _tell_to_close(loop: asyncio.AbstractEventLoop, held: LoopSession) -> None:
    try:
        loop.call_soon_threadsafe(_close_soon, loop, held)
    except RuntimeError:  # it was closed in this very moment
        held.abandon()


def _close_soon(loop: asyncio.AbstractEventLoop, held: LoopSession) -> None:
    # The loop itself keeps weak references only. Both are kept until the session is closed: at its end the
    # loop cancels a task that did not run yet, and closes the session by its shutdown.
    _CLOSING[held.session] = (held, loop.create_task(held.close()))


_CLOSING: dict[aiohttp.ClientSession, tuple[LoopSession, asyncio.Task[None]]] = {}


async def _close_at_the_end(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        try:
            await session.close()
        finally:
            _CLOSING.pop(session, None)


def new_session(settings: TransportSettings) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=CheckedConnector(settings),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        raise_for_status=False,
        max_line_size=settings.head_limits.size,
        max_field_size=settings.head_limits.size,
        max_headers=settings.head_limits.fields,
    )
    session._retry_connection = False  # a second try is the core's to decide, never a silent one
    return session
