"""The time limits of an exchange through aiohttp, and the phase in which it ended.

aiohttp rounds long timeouts up to whole seconds, and bounds an upload by the total timeout only. Here one object
cuts an exchange on time and knows its phase.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar, Token
from functools import lru_cache
from types import TracebackType
from typing import Any

import aiohttp

from ....core.timeouts import Timeout
from ....http.proxies.urls import Proxy
from ...failures import Phase
from ..asyncio_transports import is_closing, write_buffer_size

__all__ = ["EXCHANGE", "ExchangeTimer", "leave_exchange"]

_PIECE = 64 * 1024
_STEPS = 10  # of the loop, in which it has reported a failed write, through TLS too


@lru_cache(maxsize=64)
def _client_timeout(read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=read)


class ExchangeTimer:
    """The time limits of one exchange: a context manager that cancels its own task when one is reached.

    Its own cancellation becomes a `TimeoutError`; any other passes through.
    phase: how far the exchange got; the worst case until the connector reports it.
    timed_out: whether the time for the whole exchange has run out.
    source_error: the exception raised by the source of the request's body, or None.
    connection: the `WatchingProtocol` in use, or None before there is one.
    way: of its connection.   proxy: the proxy in use, or None.   host: the URL's host.   method: of the request.
    socket_path: of the Unix socket in use, or None.
    open_socket: opens a socket to the SOCKS proxy in use.   ready_socket: one that it opened, for the connector.
    needs_socket: the connector had none.
    head_within: seconds that the head may take once the request is sent; None if aiohttp bounds that.
    is_answered: the head of the response has arrived.
    """

    def __init__(self, timeout: Timeout, proxy: Proxy | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: Any = asyncio.current_task()
        self._started = self._loop.time()
        self._timeout = timeout
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._cut: str | None = None
        self._cancels: int  # of the task, when the exchange began
        self._uploads = self.is_answered = False
        self._sent_at: float | None = None
        self.proxy = proxy
        self.way: tuple[str, str | None] = ("", None)
        self.host = ""
        self.method = "GET"
        self.socket_path: str | None = None
        self.open_socket: Callable[[], Awaitable[socket.socket]]  # where a SOCKS proxy is in use
        self.ready_socket: socket.socket | None = None
        self.needs_socket = False
        self.head_within: float | None = None
        self.phase = Phase.RECEIVE
        self.client_timeout = _client_timeout(timeout.read)
        if timeout.has_phases:  # aiohttp has one limit for the head and the body
            self.head_within = timeout.read if timeout.first_byte is None else timeout.first_byte
            self.client_timeout = _client_timeout(None)
        self.source_error: BaseException | None = None
        self.connection: Any = None

    def share_bounds(self, sees_connections: bool, leaves_open: bool) -> None:
        """Choose what aiohttp bounds, and what is bounded here.

        aiohttp bounds connecting if nothing reports that here. It bounds no read of a body that is left open: it would bound
        the reader's pauses, too.
        """
        is_left = leaves_open or self._timeout.has_phases
        if not self._timeout.has_phases:
            self.head_within = self._timeout.read if leaves_open else None
        self.client_timeout = aiohttp.ClientTimeout(
            total=None,
            connect=None if sees_connections else self._timeout.connect,
            sock_read=None if is_left else self._timeout.read,
        )

    @property
    def seconds_left(self) -> float:
        """Until the time for the whole exchange runs out; infinite if it is not limited."""
        total = self._timeout.total
        return math.inf if total is None else self._started + total - self._loop.time()

    @property
    def timed_out(self) -> bool:
        return self._cut == "total"

    @property
    def connection_error(self) -> Exception | None:
        """The error that ended the connection; None after an orderly end."""
        return getattr(self.connection, "fatal_error", None)

    def elapsed(self) -> float:
        """Seconds since the exchange began."""
        return self._loop.time() - self._started

    def waited(self) -> float:
        """Seconds since the request was sent."""
        return self.elapsed() if self._sent_at is None else self._loop.time() - self._sent_at

    def connecting(self) -> None:
        """There was no idle connection: a new one is being made."""
        self.phase = Phase.CONNECT if self.proxy is None else Phase.PROXY
        connect, total = self._timeout.connect, self._timeout.total
        if connect is not None and (total is None or connect < total):
            self.arm("connect", max(0.0, connect - self.elapsed()))

    def time_to_connect(self) -> float | None:
        """Seconds left for connecting, or None."""
        bounds = [each for each in (self._timeout.connect, self._timeout.total) if each is not None]
        return max(0.0, min(bounds) - self.elapsed()) if bounds else None

    def connected(self, connection: Any) -> None:
        """There is a connection: from now on the request may reach the server."""
        self.disarm("connect")
        self.connection = connection
        self.phase = Phase.RECEIVE
        if not self._uploads:
            self.request_written()

    def request_written(self) -> None:
        """The whole request was given to the transport, whose write buffer must now keep shrinking."""
        if self.head_within is not None:
            self._sent_at = self._loop.time()
            self.arm("head", self.head_within)
        if self._timeout.write is not None and not self.is_answered:
            self._watch_write_buffer(self._timeout.write, self._loop.time(), 0)

    def _watch_write_buffer(self, limit: float, since: float, before: int) -> None:
        left, now = write_buffer_size(getattr(self.connection, "transport", None)), self._loop.time()
        if not left or left != before:
            since = now
        elif now - since >= limit:
            self.phase = Phase.SEND
            self._cut_off("write")
            return
        self._handles["write"] = self._loop.call_later(
            limit / 4, self._watch_write_buffer, limit, since, left
        )

    def answered(self) -> None:
        """The response's head has arrived: sending the rest of the request no longer matters."""
        self.is_answered = True
        self.disarm("write")
        self.disarm("head")

    def arm(self, bound: str, seconds: float) -> None:
        """Cut the exchange after this many seconds, unless `disarm` comes first."""
        if self.is_answered:  # aiohttp sends the rest of the request in the background
            return
        self._handles[bound] = self._loop.call_later(seconds, self._cut_off, bound)

    def disarm(self, bound: str) -> None:
        """Cancel this bound's timer."""
        handle = self._handles.pop(bound, None)
        if handle is not None:
            handle.cancel()

    def upload(self, chunks: AsyncIterator[bytes]) -> Upload:
        """The chunks of a body, with a limit on how long the server may leave the next one unread."""
        self._uploads = True
        return Upload(self, chunks, self._timeout.write)

    def pieces(self, body: AsyncIterator[bytes], within: float) -> Pieces:
        """The pieces of a body that is read whole, each of which must arrive within so many seconds."""
        return Pieces(self, body, within)

    def cut_after(self, seconds: float) -> asyncio.TimerHandle:
        """Cut the exchange after so many seconds, unless the handle is cancelled before."""
        return self._loop.call_later(seconds, self._cut_off, "between")

    def check_time(self) -> None:
        """Cut the exchange if its time is over: a source that takes its time holds up the loop, and with it the timer."""
        if self.seconds_left <= 0:
            self._cut_off("total")
            raise TimeoutError

    def _cut_off(self, bound: str) -> None:
        if self._cut is None:
            self._cut = bound
            self._task.cancel()

    def __enter__(self) -> ExchangeTimer:
        if hasattr(self._task, "cancelling"):  # Python 3.11
            self._cancels = self._task.cancelling()
        total = self._timeout.total
        if total is not None:
            self._handles["total"] = self._loop.call_at(self._started + total, self._cut_off, "total")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles.values():
            handle.cancel()
        task, self._task = self._task, None  # a task refers to its own frames
        if self._cut is None:
            return
        others = hasattr(task, "uncancel") and task.uncancel() > self._cancels
        if not others and kind is asyncio.CancelledError:
            raise TimeoutError(self._cut) from None


EXCHANGE: ContextVar[ExchangeTimer | None] = ContextVar("http_service_client.exchange", default=None)


def leave_exchange(token: Token[ExchangeTimer | None]) -> None:
    """Reset `EXCHANGE` at the end of an exchange."""
    try:
        EXCHANGE.reset(token)
    except ValueError:  # the coroutine is being closed from another context: its loop was closed meanwhile
        pass


class Pieces:
    """A response's body, for `async for`. A class for the same reason as `Upload`."""

    def __init__(self, exchange: ExchangeTimer, body: AsyncIterator[bytes], within: float) -> None:
        self._exchange = exchange
        self._body = body
        self._within = within

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        handle = self._exchange.cut_after(self._within)
        try:
            return await self._body.__anext__()
        finally:
            handle.cancel()


class Upload:
    """A request's body, for `async for`. A class, not a generator: it needs no closing when it is left half-read."""

    def __init__(self, exchange: ExchangeTimer, chunks: AsyncIterator[bytes], within: float | None) -> None:
        self._exchange = exchange
        self._chunks = chunks
        self._within = within
        self._chunk = memoryview(b"")

    def __aiter__(self) -> Upload:
        return self

    async def __anext__(self) -> bytes | memoryview:
        """The next piece: small, so that each one shows that the upload is still moving."""
        self._exchange.phase = Phase.SEND
        self._exchange.disarm("write")  # a request for the next piece means that the last one was written
        if not self._chunk:
            try:
                self._chunk = memoryview(await self._chunks.__anext__())
            except StopAsyncIteration:
                self._exchange.phase = Phase.RECEIVE
                self._exchange.request_written()
                raise
            except BaseException as error:
                if not (isinstance(error, asyncio.CancelledError) and _may_be_cancelled()):
                    self._exchange.source_error = error
                raise
            self._exchange.check_time()
        if self._within is not None:
            self._exchange.arm("write", self._within)
        await self._until_lost()
        piece, self._chunk = self._chunk[:_PIECE], self._chunk[_PIECE:]
        return piece

    async def _until_lost(self) -> None:
        """If a write has failed, wait until the loop has reported that, and the response has been read.

        aiohttp would fail at its next write, and not look for a response any more.
        A connection that is closed in an orderly way is closing for longer, until its peer has read all.
        """
        connection = self._exchange.connection
        for _ in range(_STEPS):
            transport = getattr(connection, "transport", None)
            if transport is None or not is_closing(transport):
                break
            await asyncio.sleep(0)


def _may_be_cancelled() -> bool:
    """Whether aiohttp may have cancelled this task, which sends the body; Python 3.10 does not know."""
    task: Any = asyncio.current_task()
    return not hasattr(task, "cancelling") or task.cancelling() > 0
