"""Injects faults into exchanges, and around functions.

Of a call, this is the innermost layer: it takes the place of the wire. It runs the exchange's own plan, and answers the
effects that would send a request. So an injected fault meets what a real one meets: it has a connection slot, closes
the throttle gate if it is a 429, is seen by the observer and by telemetry, and counts towards the attempt's time.

    fault                     the request
    error before sending,
    status                    is not sent
    error after sending       is sent, and the response dropped: the server may have processed it
    latency                   is sent, and the response is held back: it may come after the timeout, as a real one
    truncation                is sent, and the body ends early
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    ConnectTimeoutError,
    Failure,
    ProtocolError,
    ReadTimeoutError,
    RequestTimeoutError,
    SentState,
    WriteTimeoutError,
)
from ...events import ChaosInjected
from ...http.messages import HttpRequest, HttpResponse
from ..effects import BodySource, Outcome, Plan, Send, Sleep
from ..open_body import OpenResponse
from ..timeouts import TIMER_SLACK, Timeout

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..machines.chaos import Chaos, Fault
    from ..machines.chaos_settings import Status
    from ..operation import Operation, Proceed

__all__ = ["ChaosLayer", "Faults", "HasChaos", "disturbed"]

_KNOWN = frozenset(HTTPStatus)
# Around a function, these errors come after it: the service acts, and its answer is lost.
_AFTER = (AttemptTimeoutError, ConnectionLostError, ProtocolError, ReadTimeoutError, WriteTimeoutError)


class Faults(Protocol):
    """Makes the faults as the wire would (see `transports.injected`)."""

    def failure(self, kind: type[BaseException], request: HttpRequest, timeout: Timeout) -> Failure:
        """The failure with this class of error."""
        ...

    def cut_short(self, request: HttpRequest, timeout: Timeout, received: int) -> Failure:
        """The failure of a response that was cut short."""
        ...

    def cut_source(
        self,
        source: BodySource,
        request: HttpRequest,
        length: int | None,
        share: float,
        is_on: Callable[[], bool],
    ) -> BodySource:
        """The body of a response that ends early."""
        ...


class HasChaos(Protocol):
    """What holds the live machine, which a reconfiguration may replace."""

    @property
    def chaos(self) -> Chaos:
        """The machine."""
        ...


class ChaosLayer:
    """Injects what the machine decides.

    source: holds it.   faults: makes them.   has_bodies: statuses and truncation can be injected; not where another library makes the
        exchange, since it must have a response of its own.
    """

    def __init__(self, source: HasChaos, faults: Faults, has_bodies: bool = True) -> None:
        self._source = source
        self._faults = faults
        self._has_bodies = has_bodies

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        if not self._source.chaos.is_on:
            return proceed(request, call)
        return self._in_place_of_the_wire(proceed, request, call)

    def _in_place_of_the_wire(self, exchange: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        """The plan of the exchange, with its requests answered here."""
        plan = exchange(request, call)
        try:
            effect = next(plan)
            while True:
                try:
                    if isinstance(effect, Send):
                        answer: Any = yield from self._exchange(effect, call)
                    else:
                        answer = yield effect
                except BaseException as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome

    def _exchange(self, effect: Send, call: Call) -> Plan[Outcome]:
        chaos, request, timeout = self._source.chaos, effect.request, effect.timeout
        outcome: Outcome
        fault = chaos.draw(call) if chaos.covers(request) else None
        if fault is None:
            outcome = yield effect
            return outcome
        began_at = call.clock()
        failure = None if fault.error is None else self._faults.failure(fault.error, request, timeout)
        if self._is_before_sending(failure, fault):
            has_lasted = True
            if fault.latency is not None:
                waited = yield from self._wait(fault, effect, call, 0.0, is_connecting=failure is not None)
                if isinstance(waited, Failure):
                    return waited
                has_lasted = waited
            if has_lasted:
                return self._answer(failure, fault, request, call)
            effect = type(effect)(request, _left(timeout, call.clock() - began_at))
        outcome = yield effect
        if isinstance(outcome, Failure):
            return outcome
        try:
            if fault.latency is not None:
                outcome = yield from self._held_back(outcome, fault, effect, call, began_at)
                if isinstance(outcome, Failure):
                    return outcome
            if not fault.is_due:
                return outcome
            if failure is not None:
                _close(outcome)
                _record(call, "error", failure.error_type.__name__)
                return failure
            return self._cut(outcome, fault, request, timeout, call)
        except BaseException:  # cancelled in a wait
            _close(outcome)
            raise

    def _is_before_sending(self, failure: Failure | None, fault: Fault) -> bool:
        if failure is not None:
            return failure.sent_state is SentState.NEVER_SENT
        return fault.status is not None and self._has_bodies

    def _answer(self, failure: Failure | None, fault: Fault, request: HttpRequest, call: Call) -> Outcome:
        if failure is not None:
            _record(call, "error", failure.error_type.__name__)
            return failure
        assert fault.status is not None
        _record(call, "status", str(fault.status[0]))
        return _response(fault.status, request)

    def _held_back(
        self, outcome: HttpResponse, fault: Fault, effect: Send, call: Call, began_at: float
    ) -> Plan[Outcome]:
        """The response, after a wait; or the failure of a timeout that ended the wait."""
        arrived_at = call.clock()
        late = yield from self._wait(fault, effect, call, arrived_at - began_at)
        if isinstance(late, Failure):
            _close(outcome)
            return late
        waited = call.clock() - arrived_at
        held = copy.copy(outcome)
        held.elapsed += waited
        if isinstance(held, OpenResponse):
            held.waited += waited
        return held

    def _wait(
        self, fault: Fault, effect: Send, call: Call, elapsed: float, is_connecting: bool = False
    ) -> Plan[Failure | bool]:
        """Wait for the latency. Whether it lasted: not if the chaos was disabled or the client closed.

        A failure if a timeout ended the wait, as it would have ended that for the server.
        elapsed: seconds since the exchange began.   is_connecting: no connection is made, rather than no response sent.
        """
        assert fault.latency is not None
        timeout, wait = effect.timeout, fault.latency
        ends_with: type[RequestTimeoutError] | None = None
        total = None if timeout.total is None else max(0.0, timeout.total - elapsed)
        if total is not None and total <= wait:
            wait, ends_with = total, ConnectTimeoutError if is_connecting else AttemptTimeoutError
        limit: float | None
        error: type[RequestTimeoutError]
        if is_connecting:
            limit, error = timeout.connect, ConnectTimeoutError
        elif timeout.first_byte is not None:
            limit, error = max(0.0, timeout.first_byte - elapsed), ReadTimeoutError
        else:
            limit, error = timeout.read, ReadTimeoutError
        if limit is not None and limit < wait:
            wait, ends_with = limit, error
        _record(call, "latency", f"{wait:.3f} s")
        until = call.clock() + wait
        waiter = fault.ended.wait_later()
        try:
            yield from Sleep(wait, waiter)
        finally:
            waiter.release()
        if not fault.is_due or call.clock() < until - TIMER_SLACK:
            return False
        return ends_with is None or self._faults.failure(ends_with, effect.request, timeout)

    def _cut(
        self, outcome: HttpResponse, fault: Fault, request: HttpRequest, timeout: Timeout, call: Call
    ) -> Outcome:
        """The response, of which a part arrives; as it is if there is no body to cut."""
        status = outcome.status_code
        has_no_body = request.method == "HEAD" or status == 204 or 300 <= status <= 399
        if fault.cut is None or has_no_body or not self._has_bodies:
            return outcome
        length = _length(outcome)
        received = None if length is None else int(length * fault.cut)
        words = "within the first piece" if received is None else f"after {received} bytes"
        if isinstance(outcome, OpenResponse):
            if length == 0:
                return outcome
            _record(call, "truncation", words)
            outcome.source = self._faults.cut_source(
                outcome.source, request, received, fault.cut, lambda: fault.is_due
            )
            return outcome
        if not outcome.content:
            return outcome
        received = int((length or len(outcome.content)) * fault.cut)
        _record(call, "truncation", f"after {received} bytes")
        return self._faults.cut_short(request, timeout, received)


def disturbed(chaos: Chaos, name: str, proceed: Proceed, operation: Operation) -> Plan[Any]:
    """What comes next in a pipeline around a function, under a chaos.   name: in events, or "" for the operation's."""
    fault = chaos.draw(operation)
    if fault is None:
        return (yield from proceed(operation))
    if fault.latency is not None:
        wait, remaining = fault.latency, operation.remaining()
        if operation.expires_at is not None:
            wait = min(wait, max(0.0, operation.expires_at - operation.clock()))
        if remaining is not None:
            wait = min(wait, max(0.0, remaining))
        _record(operation, "latency", f"{wait:.3f} s", name)
        waiter = fault.ended.wait_later()
        try:
            yield from Sleep(wait, waiter)
        finally:
            waiter.release()
    if fault.error is None or not fault.is_due:
        return (yield from proceed(operation))
    error = fault.error(f"{fault.error.__name__} injected by chaos")
    if isinstance(error, _AFTER):
        error.sent_state = SentState.MAYBE_PROCESSED
        result = yield from proceed(operation)
        if not fault.is_due:
            return result
    _record(operation, "error", fault.error.__name__, name)
    raise error


def _record(subject: Call | Operation, kind: str, what: str, name: str = "") -> None:
    key = name or subject.key
    subject.record(
        ChaosInjected(subject.elapsed(), subject.attempt, key, kind, what, subject.call_id, subject.call_name)
    )


def _left(timeout: Timeout, elapsed: float) -> Timeout:
    return timeout.within(None if timeout.total is None else max(TIMER_SLACK, timeout.total - elapsed))


def _response(status: Status, request: HttpRequest) -> HttpResponse:
    code, headers = status
    found = {name.lower() for name, _ in headers}
    length = () if "content-length" in found else (("Content-Length", "0"),)
    phrase = HTTPStatus(code).phrase if code in _KNOWN else ""
    return HttpResponse(
        code, headers=[*length, *headers], reason_phrase=phrase, url=request.url, request=request
    )


def _length(response: HttpResponse) -> int | None:
    """Bytes of the body as they were sent; None if the head does not say."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and text.isascii() else None


def _close(response: Outcome) -> None:
    if isinstance(response, OpenResponse):
        response.source.close()
