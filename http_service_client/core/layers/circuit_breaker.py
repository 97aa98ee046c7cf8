"""The circuit breaker in a call: one permit for each attempt, settled by the attempt's outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import CircuitOpenError, Failure, HttpClientError, SentState
from ...events import CircuitRefused
from ...http.messages import HttpRequest, HttpResponse
from ..effects import Outcome, Plan
from ..machines.circuit_breaker.breaker import Permit
from ..machines.circuit_breaker.states import Refusal
from ..outcomes import is_failure

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["CircuitBreakerLayer", "refused"]


class CircuitBreakerLayer:
    """Asks the breaker before each attempt and reports the attempt's outcome to it.

    An attempt inside a scope that holds a permit of the same breaker (a guarded function, or the call whose
    interceptor makes this one) needs none and is no evidence of its own: the scope's result counts, once.

    An attempt that ends without evidence (cancellation, an interceptor's error, a download that broke off but
    gained a piece of its file) releases its permit, so that the next caller may make the trial of a cancelled one.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        breaker, scope = call.breaker, call.scope
        outer = None if scope is None else scope.outer
        if breaker is None or (outer is not None and outer.holds(breaker)):
            if outer is not None:
                outer.record_sending()
            return (yield from proceed(request, call))
        admission: Permit | int | None = breaker.free_pass
        if admission is None:
            permit = breaker.try_acquire()
            if isinstance(permit, Refusal):
                call.record(
                    CircuitRefused(
                        call.elapsed(),
                        call.attempt,
                        permit.key or call.key,
                        permit.reason,
                        permit.retry_after,
                        call.call_id,
                        call.call_name,
                    )
                )
                return refused(permit)
            call.current.is_trial = permit.is_trial
            admission = permit
        failed: bool | None = None
        if scope is not None:
            scope.breaker = breaker
        if outer is not None:
            outer.record_sending()
        try:
            outcome = yield from proceed(request, call)
            attempt = call.current
            if attempt.answered_by is None and not attempt.has_progressed:
                failed = is_failure(outcome)
            judge = breaker.judge  # read once: it may be reconfigured in between
            if judge is not None and failed is not None:
                failed = judge(_subject(outcome), failed)
        finally:
            if scope is not None:
                scope.breaker = None
            if failed is False and isinstance(admission, int):  # nearly always
                breaker.record_success(admission)
            else:
                breaker.settle(admission, failed)
        if breaker.free_pass is None:  # it may be open: other calls may have failed meanwhile
            wait = None if breaker.is_metrics_only else breaker.retry_after
            call.current.blocked_until = None if wait is None else call.clock() + wait
        return outcome


def _subject(outcome: Outcome) -> HttpResponse | HttpClientError:
    """What a function of the user judges: the response, or the error that the caller would get."""
    if isinstance(outcome, HttpResponse):
        return outcome
    return outcome.error_type(outcome.message, sent_state=outcome.sent_state, **outcome.details)


def refused(refusal: Refusal) -> Failure:
    """The failure that a caller gets when the breaker refuses."""
    when = "" if refusal.retry_after is None else f"; next trial in {refusal.retry_after:.3f} s"
    whose = refusal.key or "this policy"
    message = f"the circuit breaker for {whose} refused the call ({refusal.reason}{when})"
    details = {"key": refusal.key, "retry_after": refusal.retry_after, "reason": refusal.reason}
    return Failure(CircuitOpenError, message, SentState.NEVER_SENT, details=details)
