"""The metrics: those of the semantic conventions for HTTP clients, and ours, which no convention has.

http.client.request.duration             s       of each exchange, as long as its CLIENT span
http.client.request.body.size            By      of each exchange whose body has a known length
http.client.response.body.size           By      as it was received, where that is known
http.client.active_requests              1       exchanges that are under way
http.client.open_connections             1       that calls hold, and that are idle
http_service_client.call.duration        s       of each call, its attempts and waits included
http_service_client.wait.duration        s       of a call's waits: for a retry, a connection, a token, a service's pause
http_service_client.retries              1       attempts after a call's first
http_service_client.refusals             1       attempts that were not made: the circuit is open, the service paused, too little time
http_service_client.host.changes         1       attempts that went to another base URL
http_service_client.cache.requests       1       calls that asked a cache, by what it did
http_service_client.fallbacks            1       calls whose failure a fallback stands in for, by what it is
http_service_client.hedges               1       requests sent beside one in flight, by what became of them
http_service_client.chaos.injections     1       faults that a chaos injected, by their kind
http_service_client.circuit.changes      1       of a circuit to a state
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ...core.machines.circuit_breaker.states import StateChange
from ...core.origins import without_key
from ...events import (
    CacheUsed,
    ChaosInjected,
    CircuitRefused,
    ConnectionAwaited,
    DeadlineRefused,
    Event,
    FallbackUsed,
    HedgeFinished,
    HostChanged,
    LimitRefused,
    LimitWaited,
    RetryScheduled,
    ThrottleRefused,
    ThrottleWaited,
    TokenAwaited,
)
from ...http.urls import split_url
from ..load import OTHER_SERVICES, ClientLoad
from .attributes import OURS, Attributes
from .targets import Targets, server_of

__all__ = ["Instruments"]

# Of the semantic conventions, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_LONG_BUCKETS = (*_BUCKETS, 15, 30, 60, 120)  # a call may have several attempts, and waits between them
_MOST_SERVICES = 1000
_SIZES = (0, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)


class Instruments:
    """The instruments of one meter.   targets: of the exchanges that are under way.   clients: returns those that live.

    record_duration, record_sent, record_received, record_call: take an amount, attributes, and the context of a span.
    """

    def __init__(self, meter: Meter, targets: Targets, clients: Callable[[], Iterable[Any]]) -> None:
        self.record_duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        ).record
        self.record_sent = meter.create_histogram(
            "http.client.request.body.size",
            "By",
            "Size of HTTP client request bodies.",
            explicit_bucket_boundaries_advisory=_SIZES,
        ).record
        self.record_received = meter.create_histogram(
            "http.client.response.body.size",
            "By",
            "Size of HTTP client response bodies.",
            explicit_bucket_boundaries_advisory=_SIZES,
        ).record
        self.record_call = meter.create_histogram(
            f"{OURS}.call.duration",
            "s",
            "Duration of calls, their attempts and waits included.",
            explicit_bucket_boundaries_advisory=_LONG_BUCKETS,
        ).record
        self._waits = meter.create_histogram(
            f"{OURS}.wait.duration",
            "s",
            "Duration of the waits of calls between exchanges.",
            explicit_bucket_boundaries_advisory=_LONG_BUCKETS,
        )
        counters = {
            "retries": ("{attempt}", "Attempts after the first one of a call."),
            "refusals": ("{attempt}", "Attempts that were refused before anything was sent."),
            "host.changes": ("{attempt}", "Attempts that went to another base URL."),
            "cache.requests": ("{call}", "Calls that asked a cache."),
            "chaos.injections": ("{fault}", "Faults that a chaos injected."),
            "fallbacks": ("{call}", "Calls whose failure a fallback stands in for."),
            "hedges": ("{request}", "Requests that were sent beside one in flight."),
            "circuit.changes": ("{change}", "Changes of a circuit to a state."),
        }
        self._counters = {
            name: meter.create_counter(f"{OURS}.{name}", unit, description)
            for name, (unit, description) in counters.items()
        }
        self._targets, self._clients = targets, clients
        # Observed, and not added to: a forked child would go on with the exchanges of its parent's threads.
        meter.create_observable_up_down_counter(
            "http.client.active_requests",
            [self._observe_active],
            "{request}",
            "Number of active HTTP requests.",
        )
        meter.create_observable_up_down_counter(
            "http.client.open_connections",
            [self._observe_connections],
            "{connection}",
            "Number of outbound HTTP connections that are currently active or idle on the client.",
        )

    def happened(self, event: Event, server: Attributes, context: Context) -> None:
        """Count an event of a call."""
        record = _OF_EVENTS.get(type(event))
        if record is not None:
            record(self, event, server, context)

    def circuit_changed(self, change: StateChange) -> None:
        """Count a change of a circuit."""
        attributes = {f"{OURS}.circuit": without_key(change.key or ""), f"{OURS}.state": change.new.value}
        self._counters["circuit.changes"].add(1, attributes)

    def _retry(self, event: RetryScheduled, server: Attributes, context: Context) -> None:
        self._counters["retries"].add(1, server, context)
        self._waited("retry", event.delay, server, context)

    def _token(self, event: TokenAwaited, server: Attributes, context: Context) -> None:
        self._waited("token", event.waited, server, context)

    def _connection(self, event: ConnectionAwaited, server: Attributes, context: Context) -> None:
        self._waited("connection", event.waited, server, context)

    def _pause(self, event: ThrottleWaited, server: Attributes, context: Context) -> None:
        self._waited("throttle", event.delay, server, context)

    def _limit(self, event: LimitWaited, server: Attributes, context: Context) -> None:
        self._waited(event.limit.replace(" ", "_"), event.waited, server, context)

    def _limited(self, event: LimitRefused, server: Attributes, context: Context) -> None:
        self._counters["refusals"].add(1, {**server, f"{OURS}.reason": event.limit}, context)

    def _refused(
        self, event: CircuitRefused | ThrottleRefused | DeadlineRefused, server: Attributes, context: Context
    ) -> None:
        reason = event.reason if isinstance(event, CircuitRefused) else _REASONS[type(event)]
        self._counters["refusals"].add(1, {**server, f"{OURS}.reason": reason}, context)

    def _moved(self, event: HostChanged, server: Attributes, context: Context) -> None:
        attributes = {**server, f"{OURS}.host": without_key(event.key)}
        self._counters["host.changes"].add(1, attributes, context)

    def _cached(self, event: CacheUsed, server: Attributes, context: Context) -> None:
        attributes = {**server, f"{OURS}.cache.result": event.result.value}
        self._counters["cache.requests"].add(1, attributes, context)

    def _injected(self, event: ChaosInjected, server: Attributes, context: Context) -> None:
        attributes = {**server, f"{OURS}.chaos.kind": event.kind}
        self._counters["chaos.injections"].add(1, attributes, context)

    def _fell_back(self, event: FallbackUsed, server: Attributes, context: Context) -> None:
        attributes = {**server, f"{OURS}.fallback.source": event.source.value}
        self._counters["fallbacks"].add(1, attributes, context)

    def _hedged(self, event: HedgeFinished, server: Attributes, context: Context) -> None:
        if event.hedge:
            attributes = {**server, f"{OURS}.hedge.result": event.result.value}
            self._counters["hedges"].add(1, attributes, context)

    def _waited(self, kind: str, seconds: float, server: Attributes, context: Context) -> None:
        self._waits.record(seconds, {**server, f"{OURS}.wait.kind": kind}, context)

    def _observe_connections(self, options: CallbackOptions) -> Iterable[Observation]:
        active: Counter[str] = Counter()
        idle = 0
        for client in self._clients():
            load: ClientLoad | None = client._load(_MOST_SERVICES)
            if load is not None:
                idle += load.connections_idle
                active.update({name: each.connections_in_use for name, each in load.services.items()})
        found = [
            Observation(count, {**_server_of(service), "http.connection.state": "active"})
            for service, count in active.items()
            if count
        ]
        return [*found, Observation(idle, {"http.connection.state": "idle"})] if idle else found

    def _observe_active(self, options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, common) for common, count in self._targets.active()]


_REASONS: dict[type, str] = {ThrottleRefused: "throttled", DeadlineRefused: "too_little_time"}


def _server_of(service: str) -> Attributes:
    return {} if service == OTHER_SERVICES else server_of(split_url(service))


_OF_EVENTS: dict[type, Callable[[Instruments, Any, Attributes, Context], None]] = {
    RetryScheduled: Instruments._retry,
    TokenAwaited: Instruments._token,
    ThrottleWaited: Instruments._pause,
    ConnectionAwaited: Instruments._connection,
    CircuitRefused: Instruments._refused,
    ThrottleRefused: Instruments._refused,
    LimitWaited: Instruments._limit,
    LimitRefused: Instruments._limited,
    DeadlineRefused: Instruments._refused,
    HostChanged: Instruments._moved,
    CacheUsed: Instruments._cached,
    FallbackUsed: Instruments._fell_back,
    HedgeFinished: Instruments._hedged,
    ChaosInjected: Instruments._injected,
}
