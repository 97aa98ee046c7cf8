"""Sends each attempt to one of the client's base URLs: see `core.machines.hosts`."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import TYPE_CHECKING

from ...errors import CallRefusedError, CircuitOpenError, Failure
from ...events import HostChanged
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan
from ..machines.hosts import Hosts, choose_host
from ..origins import state_key

if TYPE_CHECKING:
    from ..call import Call, CallHosts
    from ..layer import Handler
    from ..origins import OriginRegistry, OriginState

__all__ = ["HostsLayer", "HostsOfCall"]


class HostsOfCall:
    """The hosts of one call. Its hedges share it, so that each goes to another host, if there is one.

    hosts: of the client.   origins: the state kept for each.   key: of the call, or None.
    tried: numbers of the hosts that it has been sent to, in this order.
    has_breaker: the call has brought a circuit breaker, or has none: the circuits of the hosts are not asked.
    """

    __slots__ = ("_has_breaker", "_hosts", "_key", "_origins", "tried")

    def __init__(self, hosts: Hosts, origins: OriginRegistry, key: str | None, has_breaker: bool) -> None:
        self._hosts = hosts
        self._origins = origins
        self._key = key
        self._has_breaker = has_breaker
        self.tried: list[int] = []

    def afresh(self) -> HostsOfCall:
        """The same hosts, for another call."""
        return HostsOfCall(self._hosts, self._origins, self._key, self._has_breaker)

    def choose(self, refused: Container[int] = ()) -> int | None:
        """The number of the next host; None when all have refused."""
        return choose_host(len(self._hosts), self.tried, self._is_available, refused)

    def has_untried(self) -> bool:
        """Whether the next attempt goes to a host that this call has not tried, and that takes requests."""
        number = self.choose()
        return number is not None and number not in self.tried and self._is_available(number)

    def send_to(self, number: int, request: HttpRequest, call: Call) -> HttpRequest:
        """Let the call go on at a host, and return its request there."""
        key, state = self._state_of(number)
        if state is not call.origin_state:
            if not self._has_breaker:
                call.breaker = state.breaker
            before, call.key, call.origin_state = call.key, key, state
            call.record(HostChanged(call.elapsed(), call.attempt, key, before, call.call_id, call.call_name))
        if number:
            request = request.copy()
            request.url = self._hosts.url_at(request.url, number)
        return request

    def is_pointless(self, refusal: Failure) -> bool:
        """Whether all hosts would refuse: the circuit breaker is the call's own."""
        return self._has_breaker and issubclass(refusal.error_type, CircuitOpenError)

    def _state_of(self, number: int) -> tuple[str, OriginState]:
        origin = self._hosts.origins[number]
        key = origin if self._key is None else state_key(origin, self._key)
        return key, self._origins.get(key)

    def _is_available(self, number: int) -> bool:
        state = self._state_of(number)[1]
        if state.gate is not None and state.gate.left:
            return False
        if state.connections.in_use >= state.connections.capacity:
            return False
        breaker = state.breaker
        if breaker is None or self._has_breaker:
            return True
        return breaker.is_metrics_only or breaker.retry_after == 0.0


class HostsLayer:
    """Sends an attempt to the host that comes next, and to the one after it if that host refuses it.

    Such a refusal is one of this client's own: an open circuit, a closed gate, a limit. Nothing was sent, so nothing is
    repeated. If all hosts refuse, the refusal that is over first is the outcome.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        hosts = call.hosts
        if hosts is None:
            return proceed(request, call)
        return _at_hosts(proceed, request, call, hosts)


def _at_hosts(proceed: Handler, request: HttpRequest, call: Call, hosts: CallHosts) -> Plan[Outcome]:
    refused: list[int] = []
    refusal: Failure | None = None
    while True:
        number = hosts.choose(refused)
        if number is None:
            assert refusal is not None  # there is at least one host
            return refusal
        hosts.tried.append(number)
        call.current.needed = 0.0
        outcome = yield from proceed(hosts.send_to(number, request, call), call)
        if not isinstance(outcome, Failure) or not issubclass(outcome.error_type, CallRefusedError):
            return outcome
        if hosts.is_pointless(outcome):
            return outcome
        hosts.tried.remove(number)
        refused.append(number)
        refusal = min(refusal or outcome, outcome, key=_retry_after)


def _retry_after(refusal: Failure) -> float:
    seconds = refusal.details.get("retry_after")
    return seconds if isinstance(seconds, float) else math.inf
