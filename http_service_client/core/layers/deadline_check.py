"""Does not begin an attempt that could hardly end before the deadline, and learns how long attempts take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConnectTimeoutError, DeadlineTooShortError, Failure, RequestTimeoutError, SentState
from ...events import DeadlineRefused
from ...http.messages import HttpRequest, HttpResponse
from ..effects import Outcome, Plan
from ..outcomes import FAILURE_STATUSES

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..machines.deadline_check import DeadlineCheck
    from ..machines.latency import LatencySketch
    from ..operation import Subject

__all__ = ["DeadlineCheckLayer", "LatencyLayer", "record_refusal", "too_short"]

_NEVER_SENT = SentState.NEVER_SENT


class DeadlineCheckLayer:
    """Asks the check of the call's origin before each attempt, and before the waits for what the attempt needs.

    These waits end when what the attempt needs is all that is left (see `Call.slack`).
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        check = call.origin_state.deadline_check
        if check is None or call.deadline_at is None:
            return proceed(request, call)
        needed, left = check.time_needed(), call.deadline_at - call.clock()
        if left >= needed:
            call.current.needed = needed
            return proceed(request, call)
        return _too_short(proceed, request, call, check, needed, left)


def _too_short(
    proceed: Handler, request: HttpRequest, call: Call, check: DeadlineCheck, needed: float, left: float
) -> Plan[Outcome]:
    """A probe, or the refusal."""
    if check.try_probe():
        outcome = yield from proceed(request, call)
        is_ours = call.current.answered_by is None
        if is_ours and isinstance(outcome, HttpResponse) and outcome.status_code not in FAILURE_STATUSES:
            check.record_success()
        return outcome
    median = record_refusal(call, check, call.key, needed, left)
    return too_short(call.key, left, median)


def too_short(key: str, left: float, median: float) -> Failure:
    """The refusal.   key: of the service or the policy.   left, median: seconds."""
    message = (
        f"p50 of {key or 'this function'} is {median:.3g} s, {max(0.0, left):.3g} s left of the deadline: hardly any attempt "
        "ends in that time, so none was begun; nothing was sent"
    )
    details = {"key": key, "deadline_left": left, "median": median}
    return Failure(DeadlineTooShortError, message, _NEVER_SENT, details=details)


def record_refusal(
    subject: Subject, check: DeadlineCheck, key: str, needed: float, left: float, attempt: int | None = None
) -> float:
    """Record that an attempt is not begun, and return the median.

    needed, left: seconds, by what is known of the service, and of the deadline.   attempt: its number; None for the current one.
    """
    median = check.latencies.quantile(0.5) or 0.0
    number = subject.attempt if attempt is None else attempt
    subject.record(
        DeadlineRefused(
            subject.elapsed(), number, key, left, median, needed, subject.call_id, subject.call_name
        )
    )
    return median


class LatencyLayer:
    """Records how long the service took, without the waits for our own limits.

    An attempt that failed at once says nothing about how long the service takes, and neither does an error response. One that
    was ended before its response came took longer than it was given.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        check = call.origin_state.deadline_check
        if check is None:
            return proceed(request, call)
        return _timed(proceed, request, call, check.latencies)


def _timed(proceed: Handler, request: HttpRequest, call: Call, latencies: LatencySketch) -> Plan[Outcome]:
    attempt, began_at = call.current, call.clock()
    try:
        outcome = yield from proceed(request, call)
    except BaseException:  # cancelled: by its caller, or because a hedge was faster
        if not attempt.is_queued:
            latencies.record(call.clock() - began_at - attempt.waited, is_cut=True)
        raise
    if isinstance(outcome, HttpResponse):
        if outcome.status_code not in FAILURE_STATUSES:
            latencies.record(call.clock() - began_at - attempt.waited)
    elif _is_cut(outcome) and not attempt.is_queued:
        latencies.record(call.clock() - began_at - attempt.waited, is_cut=True)
    return outcome


def _is_cut(failure: Failure) -> bool:
    """Whether the service had not answered when the time was up."""
    if not issubclass(failure.error_type, RequestTimeoutError):
        return False
    return failure.sent_state is not _NEVER_SENT or failure.error_type is ConnectTimeoutError
