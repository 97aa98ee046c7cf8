"""aiohttp connections that are fit for use, and exchanges that keep to their time.

aiohttp rounds long timeouts up to whole seconds, has no bound on an upload but the total one, takes bytes
that arrived on an idle connection for the next response. Here one object cuts an exchange on time and knows
in which phase, and a connection that has anything to say before it is asked is closed.

What is private to aiohttp here: `_get`, `_release`, `_conns`, `_acquired`, `_cleanup_handle`, `_closed`, `_factory`,
`_create_connection`, `_resolve_host`, `_wrap_create_connection`, `_wrap_existing_connection` and
`_update_proxy_auth_header_and_build_proxy_req` of its connector, and `_key` of a connection. They are the seams that
subclasses have always used; `tests/transports` fails when one of them goes.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import AsyncIterator
from contextvars import ContextVar, Token
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from ..core.timeouts import Timeout
from ..protocol.proxy_urls import Proxy, SocksProxy
from ..protocol.urls import Url
from .addresses import connect_to_any_async
from .base import TransportSettings
from .failures import Phase
from .names import address_text, permitted, resolve_async
from .over_aiohttp_protocol import MindfulProtocol
from .over_socks import connect_by_socks_async, destination

__all__ = ["EXCHANGE", "AsyncExchange", "CarefulConnector", "leave_exchange"]

_PIECE = 64 * 1024
_MAX_ORIGINS = 1024


@lru_cache(maxsize=64)
def _client_timeout(read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=read)


class AsyncExchange:
    """The time of one exchange: a context manager that cancels its own task when a bound is reached.

    Its cancellation comes out as `TimeoutError`; anybody else's passes through.
    phase: how far the exchange came; the worst, until the connector tells.
    is_over: whether the time for all of it has run out.
    source_error: what the source of the request's body raised, or None.
    connection: the aiohttp protocol in use, once there is one.
    proxy: by way of which it goes, or None.   started: the loop's time when it began; None: it begins now.
    """

    def __init__(self, timeout: Timeout, proxy: Proxy | None, started: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: Any = asyncio.current_task()
        self._started = self._loop.time() if started is None else started
        self._timeout = timeout
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._cut: str | None = None
        self._cancels = 0
        self._uploads = self._is_answered = False
        self.proxy = proxy
        self.phase = Phase.RECEIVE
        self.client_timeout = _client_timeout(timeout.read)
        self.source_error: Exception | None = None
        self.connection: Any = None

    @property
    def is_over(self) -> bool:
        return self._cut == "total"

    @property
    def died_of(self) -> Exception | None:
        """What the connection died of, where that was more than its orderly end."""
        return getattr(self.connection, "died_of", None)

    def elapsed(self) -> float:
        """Seconds since the exchange began."""
        return self._loop.time() - self._started

    def connecting(self) -> None:
        """No idle connection was there: one is being made."""
        self.phase = Phase.CONNECT if self.proxy is None else Phase.PROXY
        connect, total = self._timeout.connect, self._timeout.total
        if connect is not None and (total is None or connect < total):
            self.arm("connect", max(0.0, connect - self.elapsed()))

    def time_to_connect(self) -> float | None:
        """Seconds left for it."""
        bounds = [each for each in (self._timeout.connect, self._timeout.total) if each is not None]
        return max(0.0, min(bounds) - self.elapsed()) if bounds else None

    def connected(self, connection: Any) -> None:
        """A connection is there: what happens from now on may reach the server."""
        self.disarm("connect")
        self.connection = connection
        self.phase = Phase.RECEIVE
        if not self._uploads:
            self.request_is_out()

    def request_is_out(self) -> None:
        """All of the request has been given to the transport: what it still has must go on getting less."""
        if self._timeout.write is not None and not self._is_answered:
            self._watch_the_rest(self._timeout.write, self._loop.time(), 0)

    def _watch_the_rest(self, most: float, since: float, before: int) -> None:
        left, now = _unsent(getattr(self.connection, "transport", None)), self._loop.time()
        if not left or left != before:
            since = now
        elif now - since >= most:
            self.phase = Phase.SEND
            self._cut_off("write")
            return
        self._handles["write"] = self._loop.call_later(most / 4, self._watch_the_rest, most, since, left)

    def answered(self) -> None:
        """The head of the response is there: the rest of the request is of no interest any more."""
        self._is_answered = True
        self.disarm("write")

    def arm(self, bound: str, seconds: float) -> None:
        """Cut the exchange in so many seconds, unless `disarm` comes first."""
        if self._is_answered:  # what is still being sent, aiohttp sends in the background
            return
        self._handles[bound] = self._loop.call_later(seconds, self._cut_off, bound)

    def disarm(self, bound: str) -> None:
        """Take the bound back."""
        handle = self._handles.pop(bound, None)
        if handle is not None:
            handle.cancel()

    def upload(self, chunks: AsyncIterator[bytes]) -> Upload:
        """The chunks of a body, with a bound on how long the server may refuse to take the next."""
        self._uploads = True
        return Upload(self, chunks, self._timeout.write)

    def _cut_off(self, bound: str) -> None:
        if self._cut is None:
            self._cut = bound
            self._task.cancel()

    def __enter__(self) -> AsyncExchange:
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
        self._handles.clear()
        task, self._task = self._task, None  # a task holds its own frames
        if self._cut is None:
            return
        others = hasattr(task, "uncancel") and task.uncancel() > self._cancels
        if not others and kind is asyncio.CancelledError:
            raise TimeoutError(self._cut) from None


EXCHANGE: ContextVar[AsyncExchange | None] = ContextVar("http_service_client.exchange", default=None)


def leave_exchange(token: Token[AsyncExchange | None]) -> None:
    """No exchange is running here any more."""
    try:
        EXCHANGE.reset(token)
    except ValueError:  # the coroutine is being closed from another context: its loop was closed under it
        pass


class Upload:
    """Draws a request's body under `async for`. A class and no generator: dropped half-way, it needs no closing."""

    def __init__(self, exchange: AsyncExchange, chunks: AsyncIterator[bytes], within: float | None) -> None:
        self._exchange = exchange
        self._chunks = chunks
        self._within = within
        self._chunk = memoryview(b"")

    def __aiter__(self) -> Upload:
        return self

    async def __anext__(self) -> bytes | memoryview:
        """The next piece: small enough that each is a sign of life."""
        self._exchange.phase = Phase.SEND
        self._exchange.disarm("write")  # whoever asks for the next has got rid of the last
        if not self._chunk:
            try:
                self._chunk = memoryview(await self._chunks.__anext__())
            except StopAsyncIteration:
                self._exchange.phase = Phase.RECEIVE
                self._exchange.request_is_out()
                raise
            except Exception as error:
                self._exchange.source_error = error
                raise
        if self._within is not None:
            self._exchange.arm("write", self._within)
        piece, self._chunk = self._chunk[:_PIECE], self._chunk[_PIECE:]
        return piece


class CarefulConnector(aiohttp.TCPConnector):
    """A connector that hands out only connections that are fit for another request.

    How many may be open at once is not its business: the core counts for both worlds.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=settings.keep_alive_timeout,
            resolver=_Resolver(),
            ttl_dns_cache=0,  # simultaneous look-ups share one; the answer is not kept, as in the other world
        )
        self._idle_at_most = settings.keep_alive_timeout
        self._max_requests = settings.keep_alive_max_requests
        self._egress = settings.egress
        self._direct: dict[
            tuple[str, int | None, bool], Any
        ] = {}  # aiohttp's keys of connections without proxy
        self._factory = functools.partial(  # type: ignore[assignment]  # a subclass
            MindfulProtocol, self._loop, settings.head_limits, settings.max_response_size
        )

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """A connection; the exchange that asked for it learns that it has one."""
        connection = await super().connect(*arguments, **options)
        exchange = EXCHANGE.get()
        protocol: Any = connection.protocol
        protocol.is_idle = protocol.has_begun = False
        if exchange is not None:
            exchange.connected(protocol)
            if exchange.proxy is None and len(self._direct) < _MAX_ORIGINS:
                key = connection._key
                self._direct[key.host, key.port, key.is_ssl] = key
        return connection

    def lend(self, url: Url) -> MindfulProtocol | None:
        """An idle connection to the origin, not by way of a proxy, until `take_back`; None when there is none."""
        key = self._direct.get((url.host, url.port, url.scheme == "https"))
        idle: Any = None if key is None else self._conns.get(key)
        if key is None or not idle:
            return None
        oldest = monotonic() - self._idle_at_most
        while idle:
            # The one used last: the likeliest to be alive, and the others may rest.
            protocol, since = idle.pop()
            if not idle:
                del self._conns[key]
            if since >= oldest and protocol.is_fit():
                self._acquired.add(protocol)
                protocol.key = key
                protocol.is_idle = protocol.has_begun = False
                return protocol  # type: ignore[no-any-return]  # made by this connector's factory
            protocol.abort()
        return None

    def take_back(self, protocol: MindfulProtocol, *, should_close: bool = False) -> None:
        """The exchange on a connection that was lent is over.   should_close: it did not come to its end."""
        self._release(protocol.key, protocol, should_close=should_close)

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        exchange = EXCHANGE.get()
        if exchange is not None:
            exchange.connecting()
        return await super()._create_connection(*arguments, **options)

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        """What may be connected to; a proxy's own address is the operator's choice."""
        exchange = EXCHANGE.get()
        proxy = None if exchange is None else exchange.proxy
        if exchange is not None and isinstance(proxy, SocksProxy):
            return [_resolved(host, port, await self._destination(host, port, exchange, proxy))]
        found = await super()._resolve_host(host, port, traces)
        return permitted(found, _address_of, host, port, self._egress if proxy is None else None)

    async def _destination(self, host: str, port: int, exchange: AsyncExchange, proxy: SocksProxy) -> str:
        """What the proxy is asked for: the name, or an address of it."""
        if proxy.resolves:
            return host
        exchange.phase = Phase.CONNECT  # whatever goes wrong here is no fault of the proxy
        found = await resolve_async(host, port)
        exchange.phase = Phase.PROXY
        return destination(permitted(found, address_text, host, port, self._egress))

    async def _wrap_create_connection(self, *arguments: Any, addr_infos: list[Any], **options: Any) -> Any:
        """A connection to one of the addresses; by way of a SOCKS proxy, to the one that it is asked for."""
        exchange = EXCHANGE.get()
        proxy = None if exchange is None else exchange.proxy
        within = None if exchange is None else exchange.time_to_connect()
        addresses = addr_infos[:]
        addr_infos.clear()  # all of them are tried here: aiohttp need not begin anew with those that are left
        if isinstance(proxy, SocksProxy):
            host, port = addresses[0][4][:2]
            sock = await connect_by_socks_async(proxy, host, port, within)
        else:
            sock = await connect_to_any_async(addresses, within)
        make_protocol, *others = arguments
        protocol = make_protocol()
        try:
            return await self._wrap_existing_connection(lambda: protocol, *others, sock=sock, **options)
        except BaseException:
            # Cancelled as the handshake ended, asyncio would say farewell at leisure, on a socket that is closed.
            protocol.abort()
            sock.close()
            raise

    def _update_proxy_auth_header_and_build_proxy_req(self, req: Any) -> Any:
        """The request for a tunnel, as the other world makes it: Host with its port, and nothing of aiohttp's own."""
        made = super()._update_proxy_auth_header_and_build_proxy_req(req)
        if req.is_ssl():
            for name in ("Accept", "Accept-Encoding", "User-Agent"):
                made.headers.popall(name, None)
            made.headers["Host"] = f"{req.url.host_subcomponent}:{req.url.port}"
        return made

    async def _get(self, key: Any, traces: Any) -> Any:
        while idle := self._conns.get(key):
            latest = idle.pop()  # as in `lend`
            protocol: Any = latest[0]
            if protocol.is_fit():
                idle.appendleft(latest)
                break
            protocol.abort()
            if not idle:
                del self._conns[key]
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        protocol.served += 1
        protocol.is_idle = True
        should_close = should_close or protocol.should_close or protocol.served >= self._max_requests
        if not should_close and _unsent(protocol.transport):
            should_close = (
                True  # answered too early: the rest may never be taken, and a farewell would wait for it
            )
        if not should_close and self._cleanup_handle is not None and not self._closed:
            self._acquired.discard(protocol)
            self._conns[key].append((protocol, monotonic()))
            return
        if should_close and self._loop.is_closed():  # under a call, which is being collected
            _free(protocol.transport)
            return
        if should_close:
            # At once: `close` would first flush an upload that stalls, and wait for TLS's farewell.
            protocol.abort()
        super()._release(key, protocol, should_close=should_close)

    def abandon(self) -> None:
        """Free the sockets when the loop is gone and nothing can be awaited."""
        idle = [protocol for entries in self._conns.values() for protocol, _ in entries]
        for protocol in [*idle, *self._acquired]:
            _free(protocol.transport)
        self._conns.clear()
        self._acquired.clear()
        self._closed = True


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=0
    )


def _address_of(found: ResolveResult) -> str:
    return found["host"]


def _free(transport: Any) -> None:
    """Close the socket of an asyncio transport whose loop is closed; it could not close it on its own."""
    if transport is None:
        return
    if hasattr(
        transport, "_closed"
    ):  # uvloop's has none of this, and needs none: its sockets end with the loop
        transport._closed = True  # a TLS transport warns when it is collected
    inner = _under_tls(transport)
    sock = getattr(inner, "_sock", None)
    if sock is not None:
        sock.close()
        inner._sock = None


def _unsent(transport: Any) -> int:
    """Bytes that the system has not taken yet."""
    inner = _under_tls(transport)
    return 0 if inner is None else inner.get_write_buffer_size()


def _under_tls(transport: Any) -> Any:
    """The transport that asyncio's TLS writes to, if there is one still; without TLS, or on uvloop, the same."""
    return getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)


class _Resolver(AbstractResolver):
    """aiohttp's way to the resolver of both worlds."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await resolve_async(host, port)
        return [_resolved(host, address[1], address[0]) for _, _, _, _, address in found]

    async def close(self) -> None:
        pass
