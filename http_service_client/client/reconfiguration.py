"""A client put together, and put together again when its settings change while it runs.

For its whole life a client has its connections' limits, and for each origin a circuit, a budget, a throttle gate and
slots: what calls have learned. All else is made of the configuration, once for each, and hangs on a `CallBuilder`. A
call takes the builder of the moment and goes by it to its end, so that it never sees a part of a change.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..drivers.clocks import Clock
from ..drivers.locks import ForkSafeLock
from ..errors import ClientClosedError
from ..observability.telemetry import ClientTelemetry
from .backends import Backends
from .call_builder import CallBuilder
from .config.client_config import HttpClientConfig
from .config.proxies_and_logins import read_logins
from .origin_parts import Circuits, OriginParts
from .views import ViewCallBuilder
from .wiring import (
    Interceptors,
    LastGoodResponses,
    connection_settings,
    cookie_jar,
    foreign_calls,
    idle_limit,
    pipelines,
    transport_settings,
)

if TYPE_CHECKING:
    from ..core.layers.telemetry import Telemetry
    from ..core.machines.circuit_breaker.states import StateChange
    from ..errors import Failure
    from ..events import Event
    from ..http.messages import HttpContext, HttpRequest, HttpResponse
    from ..policies.cache import Cache

__all__ = ["Assembly"]


class Assembly:
    """The parts of one client and its views. The arguments are those of the client.

    origins: what is kept for each origin.   lock: held while settings change, and while a view is made.
    views: the views that are in use, by their ids.
    """

    _client: weakref.ref[Any]  # once it follows the telemetry of all clients

    def __init__(
        self,
        config: HttpClientConfig,
        base_url: str | None,
        *,
        transport: object,
        clock: Clock,
        random: Callable[[], float],
        listener: Callable[[Event | StateChange], None],
        interceptor_factory: Callable[[type], object] | None,
        on_exchange: Callable[[HttpRequest, HttpResponse | Failure, HttpContext], object] | None,
        cache: Cache | None,
        telemetry: Telemetry | Literal[False] | None,
    ) -> None:
        self.lock = ForkSafeLock()
        self.views: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._base_url, self._transport, self._clock, self._listener = base_url, transport, clock, listener
        self._cache = cache
        self._telemetry = ClientTelemetry(telemetry)
        self._on_change = self._telemetry.notified(listener)
        settings = config.resolved.circuit_breaker
        circuits = None if settings is None else Circuits(settings, self._on_change)
        self.origins = OriginParts(config, clock, random, circuits)
        origins = self.origins.registry
        self._connections = connections = self.origins.connections
        self._announce(config)
        self._last_good = last_good = LastGoodResponses(config)
        made = Interceptors(interceptor_factory)
        self._pipelines = partial(
            pipelines,
            keys=origins,
            connections=connections,
            made=made,
            clock=clock,
            random=random,
            on_exchange=on_exchange,
            listener=listener,
            last_good=last_good,
        )
        self._foreign_calls = partial(
            foreign_calls, keys=origins, clock=clock, random=random, on_exchange=on_exchange
        )
        self._limits = lambda: [connections, *(state.connections for _, state in origins.items())]

    def connections(self) -> dict[str, int | None]:
        """How many connections are in use, how many calls wait for one of the client's, and its limit."""
        limit = self._connections
        return {"in_use": limit.in_use, "awaited": limit.waiting, "limit": limit.capacity}

    def builder(self, config: HttpClientConfig, before: CallBuilder | None = None) -> CallBuilder:
        """What makes the calls under this configuration.   before: what makes them now. It changes nothing."""
        base_url = config.base_url if self._base_url is None else self._base_url
        builder = CallBuilder(config, base_url, self.origins.registry, self._clock, self._listener)
        builder.on_change = self._on_change
        telemetry = self._telemetry.current
        builder.new_foreign_calls = partial(self._foreign_calls, config, telemetry=telemetry)
        settings = transport_settings(config)
        builder.connection_settings = connection_settings(config, settings)
        if before is None:
            jar = cookie_jar(config.cookies)
        else:
            builder.lifetime, builder.policies = before.lifetime, before.policies
            jar = (
                before.jar if config.cookies is before.config.cookies is True else cookie_jar(config.cookies)
            )
        builder.logins = read_logins(config.netrc)
        builder.use(self._pipelines(config, logins=builder.logins, telemetry=telemetry), jar, self._cache)
        if before is not None and builder.connection_settings == before.connection_settings:
            builder.backends = before.backends
        else:
            builder.backends = Backends(
                settings, self._transport, self._clock, self._limits, self._connections
            )
        return builder

    def follow_telemetry(self, client: Any) -> None:
        """Renew the client's layers whenever the telemetry of all clients changes, for as long as the client lives."""
        used = self._telemetry.current
        self._client = weakref.ref(client)
        self._telemetry.follow(self)
        if self._telemetry.current is not used:
            self.renew_pipelines()
        elif used is not None:
            used.watch(client)

    def renew_pipelines(self) -> None:
        """Put the layers of the client and its views together with the telemetry of the moment."""
        with self.lock:
            client = self._client()
            if client is None:
                return
            builder: CallBuilder = client._call_builder
            telemetry, config = self._telemetry.current, builder.config
            new_foreign_calls = partial(self._foreign_calls, config, telemetry=telemetry)
            pipelines_with = self._pipelines(config, logins=builder.logins, telemetry=telemetry)
            if telemetry is not None:
                telemetry.watch(client)
            for each in (client, *self._living_views()):
                each._call_builder.new_foreign_calls = new_foreign_calls
                each._call_builder.use(pipelines_with, each._call_builder.jar, each._call_builder.cache)

    def reconfigure(self, client: Any, config: HttpClientConfig) -> None:
        """Put the client and its views together under another configuration. An error leaves all as it was."""
        with self.lock:
            before: CallBuilder = client._call_builder
            if before.is_closed:
                raise ClientClosedError("this HttpServiceClient was closed; make a new one")
            builder = self.builder(config, before)
            builders: list[tuple[Any, CallBuilder]] = [(client, builder)]
            made = {id(client): builder}
            parents_first = sorted(self._living_views(), key=lambda view: len(view._view_options))
            for view in parents_first:
                own = ViewCallBuilder(
                    made[id(view._view_of)], view._view_options[-1], view._call_builder.own_lifetime
                )
                made[id(view)] = own
                builders.append((view, own))
            self._connections.resize(config.pool.max_connections)
            self.origins.reconfigure(config, self._on_change)
            if builder.routes is not None and before.routes is not None:
                builder.routes.succeed(before.routes)
            self._last_good.resize(config)
            chaos, chaos_before = config.resolved.chaos, before.config.resolved.chaos
            if chaos is not None and chaos_before is not None:
                chaos.succeed(chaos_before)
            self._announce(config)
            for each, own_builder in builders:
                vars(each).update(_call_builder=own_builder, config=config)
            if builder.backends is before.backends:
                builder.backends.resize_idle(idle_limit(config))
            else:
                builder.backends.succeed(before.backends)

    def _announce(self, config: HttpClientConfig) -> None:
        """Say that faults are injected."""
        if config.resolved.chaos is not None:
            config.resolved.chaos.announce(self._base_url or config.base_url or "a client")

    def _living_views(self) -> list[Any]:
        return [view for reference in self.views.valuerefs() if (view := reference()) is not None]
