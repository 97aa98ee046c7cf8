"""The innermost handler: is it allowed, a place among the connections, then one exchange on the wire.

Both worlds share the limits, so `max_connections` holds over threads and event loops together. The
host's place is taken before the common one: who holds a common place never waits for a host's, so
two calls cannot wait for each other.
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
    """Sends one request, a redirected one too, when it may go there and a connection may be used for it.

    egress: None for anywhere. What a name resolves to is the transport's to check.
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
        held: list[Callable[[], None]] = []  # what gives back each place
        is_open = False
        waited = 0.0  # the pool timeout is for both places together
        try:
            for limit in (host_limit, self._connections):
                if limit.try_acquire():
                    held.append(limit.release)
                    continue
                began = call.clock()
                ticket = limit.acquire_later()
                held.append(ticket.release)
                if not (ticket.is_granted or (yield from Acquire(ticket, _pool_wait(call, waited)))):
                    whose = f"to {origin}" if limit is host_limit else "of this client"
                    return _no_place(f"{limit.capacity} connections {whose}")
                waited += call.clock() - began
                attempt.exchange_timeout = None
            timeout, attempt.exchange_timeout = attempt.exchange_timeout, None
            if timeout is None:
                remaining = None if attempt.expires_at is None else attempt.expires_at - call.clock()
                if remaining is not None and remaining <= 0:
                    message = "the attempt's time was over before it could be sent"
                    return Failure(AttemptTimeoutError, message, SentState.NEVER_SENT)
                timeout = call.options.timeout.within(remaining)
            outcome: Outcome
            if call.options.stream is None:
                outcome = yield Send(request, timeout)
                return outcome
            outcome = yield Open(request, timeout)
            if isinstance(outcome, OpenResponse):
                attempt.body = OpenBody(outcome, call, held)
                is_open = True  # the places are the body's from here on
            return outcome
        finally:
            if not is_open:
                while held:  # one by one, for an interrupt may come between an open body and `is_open`
                    held.pop(0)()


def _pool_wait(call: Call, waited: float) -> float | None:
    """How long to wait for a place: what is left of the pool timeout, or of the attempt."""
    pool = call.options.timeout.pool
    expires_at = call.current.expires_at
    left = None if expires_at is None else max(0.0, expires_at - call.clock())
    if pool is None:
        return left
    pool = max(0.0, pool - waited)
    return pool if left is None else min(pool, left)


def _no_place(which: str) -> Failure:
    message = (
        f"all {which} were in use as long as the call could wait; raise the limit, or find what holds them"
    )
    return Failure(PoolTimeoutError, message, SentState.NEVER_SENT)
