"""The asyncio transport: one exchange over our own connections, or through aiohttp if something has hooked in there.

`hook_detection` decides which, in each exchange. The outcome is the same.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...core.effects import TIMED_OUT, Outcome
from ...core.timeouts import Timeout
from ...drivers.imports import import_apart
from ...http.messages import HttpRequest
from ...http.urls import origin_of
from ..base import TransportSettings
from ..failures import Phase, failure_of
from .exchange import Exchange, may_go_whole, response_of, whole_response
from .heads import request_bytes
from .hook_detection import is_hooked
from .pool import Pool
from .sessions import LoopSessions

if TYPE_CHECKING:
    from .hooked.exchanges import AiohttpExchanges

__all__ = ["AiohttpTransport"]


class AiohttpTransport:
    """One pool of connections for each running loop, closed with it."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._pools = LoopSessions(partial(Pool, settings))
        self._through_aiohttp: AiohttpExchanges | None = None
        if is_hooked():  # no call may import a module on its way
            import_apart(_load_hooked)

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read whole."""
        if is_hooked():
            return await self._hooked().send(request, timeout)
        # What `Exchange` does, for nearly all exchanges: a small one, on a connection that waits for it.
        pool: Pool | None = self._pools.here()
        connection = None
        if (
            pool is not None
            and may_go_whole(request, timeout)
            and self._settings.proxies.proxy_for(request.url) is None
        ):
            connection = pool.acquire(origin_of(request.url))
        if pool is None or connection is None:
            return await Exchange(request, timeout, self._settings, self._pools).run()
        began, total = pool.loop.time(), timeout.total
        try:
            ends_at = None if total is None else began + total
            result = await connection.request_whole(request_bytes(request), ends_at)
        except BaseException:
            connection.abort()
            raise
        if result is None:
            exchange = Exchange(request, timeout, self._settings, self._pools)
            return await exchange.run((pool, connection, began))
        if result is TIMED_OUT:
            if not connection.has_head:
                pool.distrust(connection)
            connection.abort()
            return failure_of(Phase.RECEIVE, TimeoutError(), request, timeout, timed_out=True)
        pool.release(connection)
        head, content = result
        if head.is_encoded:
            return await whole_response(self._settings, request, head, content, began)
        return response_of(request, head, content, pool.loop.time() - began)

    async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire; the body of a success is left unread."""
        if is_hooked():
            return await self._hooked().send(request, timeout, leaves_open=True)
        return await Exchange(request, timeout, self._settings, self._pools).run(leaves_open=True)

    def _hooked(self) -> AiohttpExchanges:
        exchanges = self._through_aiohttp
        if exchanges is None:
            import_apart(_load_hooked)
            from .hooked.exchanges import AiohttpExchanges

            exchanges = self._through_aiohttp = AiohttpExchanges(self._settings)
            if self._pools.is_closed:
                exchanges.close()
        return exchanges

    async def close_async(self) -> None:
        """Close the connections of this loop, and from here those of the others."""
        await self._pools.close_async()
        if self._through_aiohttp is not None:
            await self._through_aiohttp.close_async()

    def close(self) -> None:
        """Close every connection from outside its loop: immediately if the loop is not running, else on the loop."""
        self._pools.close()
        if self._through_aiohttp is not None:
            self._through_aiohttp.close()


def _load_hooked() -> None:
    from .hooked import exchanges  # noqa: F401
