"""aiohttp connections that are fit for use, and exchanges that keep to their time.

aiohttp rounds long timeouts up to whole seconds, has no bound on an upload but the total one, and
takes bytes that arrived on an idle connection for the next response. Here one timer object cuts
an exchange on time and knows in which phase, and a connection that has anything to say before it
is asked is closed.
"""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from functools import lru_cache
from types import TracebackType
from typing import Any, AsyncIterator

import aiohttp

from ..core.timeouts import Timeout
from .base import TransportSettings
from .failures import Phase

__all__ = ["EXCHANGE", "AsyncExchange", "CarefulConnector"]


@lru_cache(maxsize=64)
def _client_timeout(read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=read)


class AsyncExchange:
    """The time of one exchange: a context manager that cancels its own task when a bound is reached.

    Its cancellation comes out as `TimeoutError`; anybody else's passes through.
    phase: how far the exchange came.   is_over: whether the time for all of it has run out.
    """

    def __init__(self, timeout: Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: Any = asyncio.current_task()
        self._started = self._loop.time()
        self._write_within = timeout.write
        self._total = timeout.total
        self._connect = timeout.connect
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._cut: str | None = None
        self._cancels = 0
        self.phase = Phase.CONNECT
        self.client_timeout = _client_timeout(timeout.read)

    @property
    def is_over(self) -> bool:
        return self._cut == "total"

    def elapsed(self) -> float:
        """Seconds since the exchange began."""
        return self._loop.time() - self._started

    def connected(self) -> None:
        """A connection is there: what happens from now on may reach the server."""
        self._disarm("connect")
        self.phase = Phase.RECEIVE

    async def watched(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks of a body, with a bound on how long the server may refuse to take the next."""
        self.phase = Phase.SEND
        async for chunk in chunks:
            if self._write_within is not None:
                self._arm("write", self._write_within)
            yield chunk
            self._disarm("write")
        self.phase = Phase.RECEIVE

    def _arm(self, bound: str, seconds: float) -> None:
        self._handles[bound] = self._loop.call_later(seconds, self._cut_off, bound)

    def _disarm(self, bound: str) -> None:
        handle = self._handles.pop(bound, None)
        if handle is not None:
            handle.cancel()

    def _cut_off(self, bound: str) -> None:
        if self._cut is None:
            self._cut = bound
            self._task.cancel()

    def __enter__(self) -> AsyncExchange:
        if hasattr(self._task, "cancelling"):  # Python 3.11
            self._cancels = self._task.cancelling()
        if self._total is not None:
            self._arm("total", self._total)
        if self._connect is not None and (self._total is None or self._connect < self._total):
            self._arm("connect", self._connect)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
        if self._cut is None:
            return
        others = hasattr(self._task, "uncancel") and self._task.uncancel() > self._cancels
        if not others and kind is asyncio.CancelledError:
            raise TimeoutError(self._cut) from None


EXCHANGE: ContextVar[AsyncExchange | None] = ContextVar("http_service_client.exchange", default=None)


class CarefulConnector(aiohttp.TCPConnector):
    """A connector that hands out only connections that are fit for another request.

    How many may be open at once is not its business: the core counts for both worlds.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(limit=0, limit_per_host=0, keepalive_timeout=settings.keep_alive_timeout)
        self._max_requests = settings.keep_alive_max_requests

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection; the exchange that asked for it learns that it has one."""
        connection = await super().connect(*arguments, **options)
        exchange = EXCHANGE.get()
        if exchange is not None:
            exchange.connected()
        return connection

    async def _get(self, key: Any, traces: Any) -> Any:
        while idle := self._conns.get(key):
            protocol, _ = idle[0]
            if not protocol.should_close and not _has_something_to_say(protocol):
                break
            idle.popleft()
            protocol.close()
            if not idle:
                del self._conns[key]
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        served = getattr(protocol, "served", 0) + 1
        protocol.served = served
        super()._release(key, protocol, should_close=should_close or served >= self._max_requests)

    def abandon(self) -> None:
        """Free the sockets when the loop is gone and nothing can be awaited."""
        idle = [protocol for entries in self._conns.values() for protocol, _ in entries]
        for protocol in [*idle, *self._acquired]:
            transport: Any = protocol.transport
            sock = getattr(transport, "_sock", None)
            if sock is not None:
                sock.close()
                transport._sock = None
        self._conns.clear()
        self._acquired.clear()
        self._closed = True


def _has_something_to_say(protocol: Any) -> bool:
    """Whether an idle connection has bytes, or an end, that the event loop has not read yet."""
    sock = protocol.transport.get_extra_info("socket") if protocol.transport is not None else None
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
