"""The activity of a client at this instant, in plain numbers, for gauges.

Nothing is counted here. The numbers are read from the state that calls share, when somebody asks for them.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ..core.machines.limits.bulkhead import Bulkhead
from ..core.origins import OriginRegistry, OriginState, without_key

__all__ = ["OTHER_SERVICES", "ClientLoad", "PermitLoad", "ServiceLoad", "load_of_services"]

OTHER_SERVICES = ""
"""The name under which the services beyond the bound are summed up."""


class PermitLoad(NamedTuple):
    """Permits in use, all there are, and calls that wait for one."""

    in_use: int
    limit: int
    waiting: int


class ServiceLoad:
    """One service, all its keys together.

    circuits: how many circuits are in which state and mode, such as ``("open", "enforcing")``. A circuit that was isolated
        by hand has a state of its own, "isolated". The modes are "enforcing" and "metrics_only".
    connections_in_use: slots that calls and open streams hold.
    calls_waiting: calls that wait for a slot, of this service or of the client.
    retries_left: what the retry quota pays for; the least of its keys, None without a quota.
    pause_left: seconds of the pause that the service asked for; the longest of its keys, 0.0 for none.
    permits: of each limit on calls in progress, "bulkhead" and "adaptive limit": those in use, all there are, and calls that wait.
    rate: calls a second that the rate limit lets pass; the least of its keys, None where nothing limits them.
    waiting_for_rate: calls that wait for it; None without a rate limit.
    """

    __slots__ = (
        *("calls_waiting", "circuits", "connections_in_use", "pause_left", "permits", "rate", "retries_left"),
        "waiting_for_rate",
    )

    def __init__(self) -> None:
        self.circuits: Counter[tuple[str, str]] = Counter()
        self.connections_in_use = self.calls_waiting = 0
        self.retries_left: int | None = None
        self.pause_left = 0.0
        self.permits: dict[str, PermitLoad] = {}
        self.rate: float | None = None
        self.waiting_for_rate: int | None = None

    def add(self, state: OriginState) -> None:
        """Add the state of a key."""
        breaker = state.breaker
        if breaker is not None:
            circuit = "isolated" if breaker.is_isolated else breaker.state.value
            self.circuits[circuit, "metrics_only" if breaker.is_metrics_only else "enforcing"] += 1
        self.connections_in_use += state.connections.in_use
        # A call waits for a slot of the origin, or has one and waits for one of the client's own.
        self.calls_waiting += state.connections.waiting + len(state.queued)
        if state.budget is not None:
            left = state.budget.balance
            self.retries_left = left if self.retries_left is None else min(left, self.retries_left)
        if state.gate is not None:
            self.pause_left = max(self.pause_left, state.gate.left)
        if state.bulkhead is not None:
            self._add_permits("bulkhead", state.bulkhead)
        if state.adaptive_limit is not None:
            self._add_permits("adaptive limit", state.adaptive_limit.permits)
        if state.rate_limiter is not None:
            self.waiting_for_rate = (self.waiting_for_rate or 0) + state.rate_limiter.waiting
            rate = state.rate_limiter.rate
            if rate is not None:
                self.rate = rate if self.rate is None else min(rate, self.rate)

    def _add_permits(self, limit: str, permits: Bulkhead) -> None:
        before, now = self.permits.get(limit, PermitLoad(0, 0, 0)), permits.snapshot()
        self.permits[limit] = PermitLoad(
            before.in_use + now.in_use, before.limit + now.max_concurrent, before.waiting + now.waiting
        )


class ClientLoad(NamedTuple):
    """A client with all its views.

    services: by their origins, such as ``https://api.example.com``; under `OTHER_SERVICES` the sum of those beyond the bound.
    calls_in_flight: calls that run now, with the waits between their attempts.
    streams_open: responses whose body is not read to its end, and not closed.
    connections_idle: connections that are kept for later calls.
    connections_limit: how many may be in use at once.   connections_limit_per_service: the same for each service or key.
    """

    services: dict[str, ServiceLoad]
    calls_in_flight: int
    streams_open: int
    connections_idle: int
    connections_limit: int
    connections_limit_per_service: int


def load_of_services(origins: OriginRegistry, most: int) -> dict[str, ServiceLoad]:
    """The load of each service.   most: services that have an entry of their own, the oldest first."""
    loads: dict[str, ServiceLoad] = {}
    for key, state in origins.items():
        service = without_key(key)
        load = loads.get(service)
        if load is None:
            if len(loads) >= most:
                service = OTHER_SERVICES
            load = loads.setdefault(service, ServiceLoad())
        load.add(state)
    return loads
