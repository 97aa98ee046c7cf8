"""The two backends of a client, blocking and asyncio: a driver and a transport each, made when first used.

A script that never awaits loads nothing of the asyncio one, and an async service nothing of the blocking one.
A forked child abandons both without closing them: parent and child must not read from one connection.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.checks import check_function, class_remedy, shown
from ..core.machines.limits.semaphore import FairSemaphore
from ..core.signals import is_of_signal_handler
from ..drivers.clocks import Clock, SystemClock
from ..drivers.imports import import_apart
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError, ConnectError
from ..http.proxies.settings import ProxySettings
from ..transports import adapted_requests
from ..transports.base import TransportSettings

if TYPE_CHECKING:
    from ..drivers.aio import Aborts, AsyncioDriver
    from ..drivers.blocking import BlockingDriver
    from ..transports.over_aiohttp.transport import AiohttpTransport
    from ..transports.over_h2.transport import AsyncHttp2Transport, BlockingHttp2Transport
    from ..transports.over_requests.transport import RequestsTransport
    from .given_transport import AsyncSend, Send

__all__ = ["Backends", "check_parts"]

_Value = TypeVar("_Value")


class Backends:
    """The drivers of one client.

    transport: replaces both transports. It is not closed here: the code that made it closes it.
    limits: returns the limits whose slots are free again in a forked child.   common: the limit of all hosts.
    """

    _blocking: BlockingDriver | None
    _asyncio: AsyncioDriver | None
    # Over HTTP/2 too, where the settings say so.
    _over_requests: RequestsTransport | BlockingHttp2Transport | None
    _over_aiohttp: AiohttpTransport | AsyncHttp2Transport | None

    def __init__(
        self,
        settings: TransportSettings,
        transport: Any,
        clock: Clock,
        limits: Callable[[], list[FairSemaphore]],
        common: FairSemaphore,
    ) -> None:
        self._settings = settings
        self._given = transport
        self._clock = clock
        # Then a driver sleeps by itself, and `close` can end that. Another kind of clock may sleep in its own way.
        self._is_real_time = type(clock) is SystemClock
        self._limits = limits
        self._common = common
        self._lock = ForkSafeLock()
        self._root: Backends | None = None
        # Of views with other proxies, for as long as a view or one of its calls needs them.
        self._routes: weakref.WeakValueDictionary[ProxySettings, Backends] = weakref.WeakValueDictionary()
        self._blocking = self._asyncio = self._over_requests = self._over_aiohttp = None
        self._new_blocking: Callable[[], BlockingDriver]  # set with `_blocking`
        # Of calls whose exchanges another library makes.
        self._foreign_blocking: BlockingDriver | None = None
        self._foreign_asyncio: AsyncioDriver | None = None
        self.foreign_aborts: Aborts | None = None  # of its exchanges
        self._apart: weakref.WeakValueDictionary[int, BlockingDriver] = weakref.WeakValueDictionary()
        # Those that these ones have replaced, for as long as one of their calls is in flight.
        self._before: weakref.WeakValueDictionary[int, Backends] = weakref.WeakValueDictionary()
        self._has_ended = False
        _ALL.add(self)

    def through(self, proxies: ProxySettings) -> Backends:
        """The backends of a view with these proxies, with connections of their own and the limits of all.

        A connection leads through one proxy, or through none: calls with other proxies must not use it.
        """
        root = self._root or self
        if proxies == root._settings.proxies:
            return root
        with root._lock:
            route = root._routes.get(proxies)
            if route is None:
                settings = replace(root._settings, proxies=proxies)
                route = Backends(settings, root._given, root._clock, root._limits, root._common)
                route._root = root
                root._routes[proxies] = route
        return route

    def succeed(self, before: Backends) -> None:
        """Make the connections of the client from now on, instead of other backends.

        Calls in flight go on with those, whose connections are closed as they become idle.
        """
        for each in before._all():
            self._before[id(each)] = each
            for driver in each._drivers():
                driver.keeps = each  # an open stream has the driver alone
        before._settings.idle.resize(0)  # also of those that calls in flight still use, when they are idle

    def resize_idle(self, limit: int) -> None:
        """Change how many idle connections are kept."""
        self._settings.idle.resize(limit)

    def blocking(self) -> BlockingDriver:
        """The driver for the calling thread."""
        return self._blocking or self._make_blocking()

    def asyncio(self) -> AsyncioDriver:
        """The driver for asyncio tasks."""
        return self._asyncio or self._make_asyncio()

    def _make_blocking(self) -> BlockingDriver:
        self._import(_load_blocking, _load_requests)
        from ..drivers.blocking import BlockingDriver

        with self._lock:
            if self._blocking is None:
                send: Send
                open_response: Send | None
                if self._given is None:
                    transport = self._over_requests = self._new_blocking_transport()
                    send, open_response = transport.send, transport.open_response
                else:
                    from .given_transport import blocking_parts

                    send, open_response = blocking_parts(self._given)
                sleep = None if self._is_real_time else self._clock.sleep
                self._new_blocking = lambda: BlockingDriver(send, None, sleep, open_response)
                self._blocking = self._new_blocking()
            return self._blocking

    def blocking_apart(self) -> BlockingDriver:
        """A driver of its own for several threads, so that their waits can be ended without those of others."""
        self.blocking()
        driver = self._new_blocking()
        self._apart[id(driver)] = driver
        if self._has_ended:  # closed meanwhile
            driver.end_waits()
        return driver

    def foreign_blocking(self) -> BlockingDriver:
        """The driver for the calling thread, of calls whose exchanges another library makes."""
        driver = self._foreign_blocking
        if driver is None:
            _import(_load_blocking)
            from ..drivers.blocking import BlockingDriver

            with self._lock:
                driver = self._foreign_blocking
                if driver is None:
                    sleep = None if self._is_real_time else self._clock.sleep
                    driver = self._foreign_blocking = BlockingDriver(adapted_requests.send, None, sleep)
            if self._has_ended:  # closed meanwhile
                driver.end_waits()
        return driver

    def foreign_asyncio(self) -> AsyncioDriver:
        """The driver for asyncio tasks, of calls whose exchanges another library makes."""
        driver = self._foreign_asyncio
        if driver is None:
            _import(_load_aio)
            from ..drivers.aio import Aborts, AsyncioDriver

            with self._lock:
                driver = self._foreign_asyncio
                if driver is None:
                    self.foreign_aborts = Aborts()
                    sleep = None if self._is_real_time else self._clock.sleep_async
                    driver = self._foreign_asyncio = AsyncioDriver(adapted_requests.send_async, sleep)
            if self._has_ended:
                driver.end_waits()
        return driver

    def _make_asyncio(self) -> AsyncioDriver:
        self._import(_load_aio, _load_aiohttp)
        from ..drivers.aio import AsyncioDriver

        with self._lock:
            if self._asyncio is None:
                send: AsyncSend
                open_response: AsyncSend | None
                if self._given is None:
                    transport = self._over_aiohttp = self._new_async_transport()
                    send, open_response = transport.send_async, transport.open_response_async
                else:
                    from .given_transport import asyncio_parts

                    send, open_response = asyncio_parts(self._given)
                sleep = None if self._is_real_time else self._clock.sleep_async
                self._asyncio = AsyncioDriver(send, sleep, open_response)
            return self._asyncio

    def _new_blocking_transport(self) -> RequestsTransport | BlockingHttp2Transport:
        if self._settings.http2:
            from ..transports.over_h2.transport import BlockingHttp2Transport

            return BlockingHttp2Transport(self._settings)
        from ..transports.over_requests.transport import RequestsTransport

        return RequestsTransport(self._settings)

    def _new_async_transport(self) -> AiohttpTransport | AsyncHttp2Transport:
        if self._settings.http2:
            from ..transports.over_h2.transport import AsyncHttp2Transport

            return AsyncHttp2Transport(self._settings)
        from ..transports.over_aiohttp.transport import AiohttpTransport

        return AiohttpTransport(self._settings)

    def _import(self, driver: Callable[[], None], transport: Callable[[], None]) -> None:
        """Import all that calls need, so that no call has to import a module after it has begun."""
        _import(driver)
        if self._given is None:
            _import(_load_h2 if self._settings.http2 else transport)
            self._settings.tls.load_modules()

    @property
    def idle_connections(self) -> int:
        """How many connections are kept for later calls, sync and async."""
        return len(self._settings.idle)

    @property
    def calls_in_flight(self) -> int:
        """How many calls run now, by this client and its views."""
        return sum(len(driver.running) for each in self._all() for driver in each._drivers())

    def is_idle(self) -> bool:
        """Whether no call is in flight, and no stream is open."""
        drivers = [driver for each in self._all() for driver in each._drivers()]
        return not any(driver.running for driver in drivers) and not self._common.in_use

    def _all(self) -> list[Backends]:
        return [self, *_values(self._routes), *_values(self._before)]

    def _drivers(self) -> list[BlockingDriver | AsyncioDriver]:
        made = (
            *(self._blocking, self._asyncio, self._foreign_blocking, self._foreign_asyncio),
            *_values(self._apart),
        )
        return [driver for driver in made if driver is not None]

    def drop_idle(self) -> int:
        """Close the connections that wait for a call, sync and async; returns how many there were."""
        return self._settings.idle.drop_all()

    def close(self, *, abort: bool = False) -> None:
        """End all waits and close every connection, sync and async.

        abort: also the connections that blocking calls use. Those of asyncio are closed in any case.
        """
        for each in self._all():
            each._end_waits(abort)
            if each._over_aiohttp is not None:
                each._over_aiohttp.close()

    async def close_async(self, *, abort: bool = False) -> None:
        """As `close`; the connections of the running loop are closed on return."""
        everything = self._all()
        for each in everything:
            each._end_waits(abort)
        for each in everything:
            if each._over_aiohttp is not None:
                await each._over_aiohttp.close_async()

    def _end_waits(self, abort: bool) -> None:
        self._has_ended = True
        for driver in self._drivers():
            driver.end_waits()
        if abort and self.foreign_aborts is not None:
            self.foreign_aborts.abort()
        if self._over_requests is not None:
            (self._over_requests.abort if abort else self._over_requests.close)()

    def _abandon_after_fork(self) -> None:
        _KEPT_FOR_PARENT.append((self._blocking, self._asyncio, self._over_requests, self._over_aiohttp))
        self._blocking = self._asyncio = self._over_requests = self._over_aiohttp = None
        self._foreign_blocking = self._foreign_asyncio = self.foreign_aborts = None
        self._settings.idle.reset_after_fork()
        for limit in self._limits():
            limit.reset_after_fork()  # threads and tasks of the parent hold the slots; they do not exist here


def _values(references: weakref.WeakValueDictionary[Any, _Value]) -> list[_Value]:
    """The values, in one step: another thread may add one at any time, which an iteration does not bear."""
    return [value for reference in references.valuerefs() if (value := reference()) is not None]


def _import(loader: Callable[[], None]) -> None:
    """As `import_apart`. Raises ConnectError where a module cannot be read: a first call needs a file, not only a socket."""
    try:
        import_apart(loader)
    except OSError as error:
        if is_of_signal_handler(error):  # raised while this thread waited
            raise
        message = (
            f"no connection can be made: the code for it cannot be imported ({type(error).__name__}: {error})"
        )
        raise ConnectError(message) from error


def _load_blocking() -> None:
    from ..drivers import blocking  # noqa: F401


def _load_aio() -> None:
    from ..drivers import aio  # noqa: F401


def _load_requests() -> None:
    from ..transports.over_requests import transport  # noqa: F401


def _load_aiohttp() -> None:
    from ..transports.over_aiohttp import transport  # noqa: F401


def _load_h2() -> None:
    from ..transports.over_h2 import transport  # noqa: F401


_ALL: weakref.WeakSet[Backends] = weakref.WeakSet()
# Never emptied: if it were garbage, the child would close what the parent still uses.
_KEPT_FOR_PARENT: list[Any] = []


def _reset_after_fork() -> None:
    for backends in list(_ALL):
        backends._abandon_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def check_parts(transport: Any, clock: Any, **functions: Any) -> None:
    """Raise ConfigurationError for a part that a user replaced by something that cannot do its work."""
    if transport is not None:
        from .given_transport import check_transport

        check_transport(transport)
    if clock is not None and (isinstance(clock, type) or not isinstance(clock, Clock)):
        raise ConfigurationError(
            f"clock must be an object with monotonic, wall, sleep and sleep_async, not {shown(clock)}{class_remedy(clock)}"
        )
    for name, function in functions.items():
        if function is not None:
            check_function(name, function)
