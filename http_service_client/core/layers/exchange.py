"""The innermost handler: check the egress policy, acquire connection slots, send.

Threads and event loops share the limits, so `max_connections` holds for all of them together. The host's slot is
acquired before the global one. A call never waits for a host's slot while it holds a global one, so two calls
cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import AttemptTimeoutError, EgressRefusedError, Failure, PoolTimeoutError, SentState
from ...http.egress import EgressPolicy
from ...http.messages import HttpRequest
from ...http.urls import origin_of, split_url
from ..effects import Acquire, Open, Outcome, Plan, Send
from ..open_body import OpenBody, OpenResponse

if TYPE_CHECKING:
    from ..call import Call
    from ..machines.semaphore import FairSemaphore
    from ..origins import OriginRegistry

__all__ = ["Exchange"]


class Exchange:
    """Sends one request, original or redirected, once its destination is allowed and a connection slot is free.

    egress: None for anywhere. The transport checks the addresses that a name resolves to.
    """

    def __init__(
        self, keys: OriginRegistry, connections: FairSemaphore, egress: EgressPolicy | None = None
    ) -> None:
        self._keys = keys
        self._connections = connections
        self._egress = egress

    def __call__(self, request: HttpRequest, call: Call) -> Plan[Outcome]:
        if self._egress is not None:
            try:
                self._egress.check_url(split_url(request.url))
            except EgressRefusedError as refused:
                return Failure(type(refused), str(refused), SentState.NEVER_SENT, details=vars(refused))
        attempt = call.current
        origin = origin_of(request.url)
        host_limit = self._keys.get(origin).connections
        held: list[Callable[[], None]] = []  # releases each slot
        is_open = False
        waited = 0.0  # the pool timeout is for both slots together
        try:
            for limit in (host_limit, self._connections):
                if limit.try_acquire():
                    held.append(limit.release)
                    continue
                began = call.clock()
                waiter = limit.acquire_later()
                held.append(waiter.release)
                if not (waiter.is_granted or (yield from Acquire(waiter, _pool_wait(call, waited)))):
                    return _no_slot(origin if limit is host_limit else None, limit.capacity)
                waited += call.clock() - began
                attempt.exchange_timeout = None
            timeout, attempt.exchange_timeout = attempt.exchange_timeout, None
            if timeout is None:
                remaining = None if attempt.expires_at is None else attempt.expires_at - call.clock()
                if remaining is not None and remaining <= 0:
                    message = "the attempt timed out before its request could be sent: it waited for a connection too long"
                    return Failure(AttemptTimeoutError, message, SentState.NEVER_SENT)
                timeout = call.options.timeout.within(remaining)
            outcome: Outcome
            if call.options.stream is None:
                outcome = yield Send(request, timeout)
                return outcome
            outcome = yield Open(request, timeout)
            if isinstance(outcome, OpenResponse):
                attempt.body = OpenBody(outcome, call, held)
                is_open = True  # the body owns the slots from here on
            return outcome
        finally:
            if not is_open:
                while held:  # one by one, since an interrupt may come between the open body and `is_open`
                    held.pop(0)()


def _pool_wait(call: Call, waited: float) -> float | None:
    """How long to wait for a slot: what is left of the pool timeout, or of the attempt."""
    pool = call.options.timeout.pool
    expires_at = call.current.expires_at
    left = None if expires_at is None else max(0.0, expires_at - call.clock())
    if pool is None:
        return left
    pool = max(0.0, pool - waited)
    return pool if left is None else min(pool, left)


def _no_slot(origin: str | None, capacity: int) -> Failure:
    """origin: whose limit was reached; None for the client's own."""
    whose, setting = (f" to {origin}", "max_connections_per_host") if origin else ("", "max_connections")
    message = (
        f"no free connection{whose} within the pool timeout ({capacity} in use); "
        f"raise {setting}, or look for streams that are not closed"
    )
    return Failure(PoolTimeoutError, message, SentState.NEVER_SENT)
