"""The innermost handler: check the egress policy, acquire connection slots, send.

Threads and event loops share the limits, so `max_connections` holds for all of them together. The host's slot is
acquired before the global one. A call never waits for a host's slot while it holds a global one, so two calls
cannot deadlock.

The wait for a slot is not part of the attempt: the queue is the client's own, and its length says nothing about the
server. So the attempt's clock starts when the slot is acquired, and the wait has a limit of its own:

    pool timeout set   the wait ends when it expires
    none               the wait goes on while connections become free: it ends when none has for `_PATIENCE` seconds
                       longer than an attempt may take, since then no ordinary call holds them
    the deadline       ends both

A stream that was lost in a reference cycle keeps its slots until the collector runs, and a client whose threads only
wait never starts it. So a wait of some seconds collects garbage, if a stream is open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ...errors import (
    AttemptTimeoutError,
    DeadlineExceededError,
    EgressRefusedError,
    Failure,
    InvalidRequestError,
    PoolTimeoutError,
    ResponseTooLargeError,
    SentState,
    TransportError,
)
from ...events import ConnectionAwaited
from ...http.content_codings.decoder import too_large
from ...http.messages import HttpRequest, HttpResponse
from ...http.urls import origin_of, split_url
from ..effects import Acquire, Open, Outcome, Plan, Send
from ..machines.limits.semaphore import PermitPair
from ..machines.limits.throttle_gate import ThrottleGate
from ..open_body import OpenBody, OpenResponse
from ..origins import state_key
from ..outcomes import requested_wait
from ..refusals import NoConnection
from ..timeouts import TIMER_SLACK

if TYPE_CHECKING:
    from ...http.egress import EgressPolicy
    from ..call import Call
    from ..machines.limits.semaphore import FairSemaphore, Waiter
    from ..origins import OriginRegistry, OriginState
    from ..telemetry import ExchangeEnd
    from ..timeouts import Timeout

__all__ = ["Exchange", "Observer"]

_PATIENCE = 10.0
_SUSPICIOUS = 2.0  # seconds: an ordinary call is over by then
_THROTTLES = frozenset({429, 503})

Observer = Callable[[HttpRequest, "Outcome", "Call"], None]


class Exchange:
    """Sends one request, original or redirected, once its destination is allowed and a connection slot is free.

    connections: the slots of all hosts; None where another library makes the connections, and has limits of its own.
    egress: None for anywhere. The transport checks the addresses that a name resolves to.
    max_size: bytes of a body, or None. Our transports stop reading there; others get the same error.
    observe: called with each exchange that was begun, once its slots are free again; must not raise. None for nothing.
    collect: collects garbage, if it has not done so just before; None for nothing.
    wall_clock: seconds since the epoch, for Retry-After dates; None for no throttle gates.
    for_telemetry: returns the request whose headers telemetry may change; None where telemetry is switched off.
    is_whole: bodies are read here, also when the call leaves that of its own response open.
    stamp: returns the request to send in place of this one, now that nothing is waited for; None for the same one.
    """

    def __init__(
        self,
        keys: OriginRegistry,
        connections: FairSemaphore | None,
        egress: EgressPolicy | None = None,
        max_size: int | None = None,
        observe: Observer | None = None,
        collect: Callable[[], object] | None = None,
        wall_clock: Callable[[], float] | None = None,
        for_telemetry: Callable[[HttpRequest], HttpRequest] | None = None,
        is_whole: bool = False,
        stamp: Callable[[HttpRequest, Call], HttpRequest] | None = None,
    ) -> None:
        self._keys = keys
        self._connections = connections
        self._egress = egress
        self._max_size = max_size
        self._observe = observe
        self._is_whole = is_whole
        self._collect = collect
        self._wall_clock = wall_clock
        self._stamp = stamp
        self._for_telemetry = for_telemetry
        self._is_observed = observe is not None or for_telemetry is not None

    def __call__(self, request: HttpRequest, call: Call) -> Plan[Outcome]:
        if self._egress is not None:
            try:
                self._egress.check_url(split_url(request.url))
            except EgressRefusedError as refused:
                return Failure(type(refused), str(refused), SentState.NEVER_SENT, details=vars(refused))
        attempt = call.current
        origin = origin_of(request.url)
        if call.options.key is not None:
            origin = state_key(origin, call.options.key)
        state = self._keys.get(origin)
        held: list[Callable[[], None]] = []  # releases the slots
        is_open = False
        common = self._connections
        try:
            if common is not None:
                pair = PermitPair(state.connections, common)
                held.append(pair.release)  # before it is acquired
                if not pair.try_acquire():
                    # It holds nothing, and the collector goes over all that a thousand waiting calls keep.
                    held.clear()
                    del pair
                    refusal = yield from self._acquire_slots(origin, state, common, call, held)
                    if refusal is not None:
                        return refusal
            timeout, attempt.exchange_timeout = attempt.exchange_timeout, None
            if timeout is None:
                remaining = None if attempt.expires_at is None else attempt.expires_at - call.clock()
                if remaining is not None and remaining <= 0:
                    message = "the attempt timed out before its request could be sent"
                    return Failure(AttemptTimeoutError, message, SentState.NEVER_SENT)
                timeout = call.options.timeout.within(remaining)
            if self._stamp is not None:
                request = self._stamp(request, call)
            is_whole = call.options.stream is None or self._is_whole
            outcome: Outcome
            if self._is_observed:
                outcome = yield from self._observed(request, timeout, call, held)
            elif is_whole:
                outcome = yield Send(request, timeout)
            else:
                outcome = yield Open(request, timeout)
            if not isinstance(outcome, HttpResponse):
                return outcome
            if outcome.status_code in _THROTTLES:
                self._throttled(state, outcome, call)
            if not is_whole:
                if isinstance(outcome, OpenResponse):
                    mark = object()
                    self._keys.open_bodies.add(mark)
                    held.append(partial(self._keys.open_bodies.discard, mark))
                    attempt.body = OpenBody(outcome, call, held)
                    is_open = True  # the body owns the slots from here on
                    return outcome
                if outcome.is_success:
                    return outcome  # the limit of a stream is its own, and applies when it is read
            most = self._max_size
            if most is not None and len(outcome.content) > most:
                return Failure(ResponseTooLargeError, too_large(most), SentState.ANSWERED)
            return outcome
        finally:
            if not is_open:
                try:
                    for release in held:
                        release()
                except BaseException:
                    _release(held)
                    raise

    def _acquire_slots(
        self,
        origin: str,
        state: OriginState,
        common: FairSemaphore,
        call: Call,
        held: list[Callable[[], None]],
    ) -> Plan[Failure | None]:
        """Acquire the slot of the host, then the client's own, and wait for them. None, or why it failed.

        held: gets what releases them.
        """
        attempt, host_limit = call.current, state.connections
        waited = 0.0  # the pool timeout is for both slots together
        has_waited = False
        for limit in (host_limit, common):
            began, before = call.clock(), (limit.in_use, limit.waiting)
            waiter = limit.acquire_later(held=held)
            if waiter.is_granted:
                continue
            has_waited = attempt.is_queued = True
            ended_by = yield from self._wait_for_slot(waiter, limit, state, call, waited)
            if ended_by is not None:
                setting = "max_connections_per_host" if limit is host_limit else "max_connections"
                attempt.decision = NoConnection(setting, limit.capacity, *before)
                is_inside = call.scope is not None and call.scope.parent_id is not None
                return _no_slot(origin if limit is host_limit else None, limit.capacity, ended_by, is_inside)
            attempt.is_queued = False
            took = call.clock() - began
            attempt.postpone(took, call.deadline_at)
            waited += took
        if has_waited:
            state.begun += 1
            self._record_wait(call, waited)
        return None

    def _record_wait(self, call: Call, waited: float) -> None:
        """Notify the listeners, whose time is not the attempt's."""
        began = call.clock()
        call.record(
            ConnectionAwaited(call.elapsed(), call.attempt, call.key, waited, call.call_id, call.call_name)
        )
        call.current.postpone(call.clock() - began, call.deadline_at)

    def _throttled(self, state: OriginState, response: HttpResponse, call: Call) -> None:
        """Close the gate of an origin that asks for a pause."""
        if self._wall_clock is None:
            return
        pause = requested_wait(response, self._wall_clock)
        if pause:
            if state.gate is None:
                state.gate = ThrottleGate(call.clock)
            state.gate.close(pause)

    def _observed(
        self, request: HttpRequest, timeout: Timeout, call: Call, held: list[Callable[[], None]]
    ) -> Plan[Outcome]:
        """The exchange, reported to telemetry and to the observer, whose time is not the attempt's."""
        observe = self._observe or _nothing
        attempt, deadline_at, began = call.current, call.deadline_at, call.clock()
        end: ExchangeEnd = _nothing
        outcome: Outcome
        try:
            if self._for_telemetry is not None and call.telemetry is not None:
                request = self._for_telemetry(request)
                end = call.telemetry.begin_exchange(request, call, not self._is_whole)
                if (took := call.clock() - began) > TIMER_SLACK:
                    attempt.postpone(took, deadline_at)
                    if attempt.expires_at is not None:
                        timeout = timeout.within(max(TIMER_SLACK, attempt.expires_at - call.clock()))
            if call.options.stream is None or self._is_whole:
                outcome = yield Send(request, timeout)
            else:
                outcome = yield Open(request, timeout)
        except BaseException as error:  # cancelled or interrupted; the server may have acted on the request
            _release(held)
            end(error)
            message = f"the exchange was ended by {type(error).__name__}"
            observe(request, Failure(TransportError, message, SentState.ABANDONED), call)
            raise
        if isinstance(outcome, Failure) and issubclass(outcome.error_type, InvalidRequestError):
            end(outcome)
            return outcome  # the transport refused to begin, because of the egress policy, say
        if not isinstance(outcome, OpenResponse):
            _release(held)  # a slow observer must not keep other calls waiting
        began = call.clock()
        end(outcome)
        observe(request, outcome, call)
        attempt.postpone(call.clock() - began, deadline_at)
        if isinstance(outcome, Failure) and deadline_at is not None and began < deadline_at - TIMER_SLACK:
            attempt.ends_with_deadline = False  # it may have passed since, but did not end this exchange
        return outcome

    def _wait_for_slot(
        self, waiter: Waiter, limit: FairSemaphore, state: OriginState, call: Call, waited: float
    ) -> Plan[str | None]:
        """Wait for the slot. None once it is granted, else the limit that ended the wait: "" is the deadline.

        waited: seconds spent on the other slot already.
        """
        timeout = call.options.timeout
        if timeout.pool is not None:
            patience: float | None = max(0.0, timeout.pool - waited)
        else:
            patience = None if timeout.total is None else timeout.total + _PATIENCE
        if limit is self._connections:
            state.queue(waiter)
        try:
            if self._collect is not None and self._keys.open_bodies:
                limits = [bound for bound in (patience, call.slack()) if bound is not None]
                pause = max(0.0, min((_SUSPICIOUS, *(bound / 2 for bound in limits))))
                if (yield from Acquire(waiter, pause)):
                    return None
                self._collect()
                if waiter.is_granted:
                    return None
                if timeout.pool is not None and patience is not None:
                    patience -= pause
            while True:
                progress = self._progress(limit, state)
                left = call.slack()
                if left is not None and (patience is None or left <= patience):
                    return None if (yield from Acquire(waiter, max(0.0, left))) else ""
                if (yield from Acquire(waiter, patience)):
                    return None
                if timeout.pool is not None:
                    return "within the pool timeout"
                if progress == self._progress(limit, state):
                    return f"for {patience:g} s"
        finally:
            state.queued.pop(waiter, None)

    def _progress(self, limit: FairSemaphore, state: OriginState) -> object:
        """It differs from an earlier one if connections have become free since then.

        A host's slot that a call releases because its own wait has ended does not count: otherwise calls that come
        and give up would keep each other waiting without end.
        """
        assert self._connections is not None  # or nothing waits
        common = self._connections.grants
        if limit is self._connections:
            return common
        # The host's calls may have to wait behind those of other hosts, and move with them.
        return state.begun, common if state.queued else None


def _nothing(*_: object) -> None:
    """An observer that observes nothing, and the end of an exchange that telemetry does not see."""


def _release(held: list[Callable[[], None]]) -> None:
    """Release the slots. Ctrl-C meanwhile must not cost one, and to release one twice does nothing."""
    try:
        for release in held:
            release()
    except BaseException:
        for release in held:
            release()
        raise
    held.clear()


def _no_slot(origin: str | None, capacity: int, ended_by: str, is_inside: bool) -> Failure:
    """origin: whose limit was reached; None for the client's own.   ended_by: see `Exchange._wait_for_slot`.

    is_inside: code of another call has made this one, such as its body, for which that one keeps its connection.
    """
    target, setting = (f" to {origin}", "max_connections_per_host") if origin else ("", "max_connections")
    if not ended_by:
        message = f"the deadline expired while the call waited for a connection{target} ({capacity} in use)"
        return Failure(DeadlineExceededError, message, SentState.NEVER_SENT)
    remedy = f"raise {setting}, or look for streams that are not closed"
    if is_inside:
        remedy = (
            "this call was made inside of another one, which may keep its connection until this one returns; "
            f"raise {setting}, or make it before that one"
        )
    message = f"no connection{target} became free {ended_by} ({capacity} in use); {remedy}"
    return Failure(PoolTimeoutError, message, SentState.NEVER_SENT)
