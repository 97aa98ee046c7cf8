"""The adaptive limit in a call: a permit for each attempt, and what the attempt's outcome says about the limit.

Inside the interceptors: what they do, and the calls that they make, are no work of the service. A download's time to the headers
counts, as with any stream, and not how long the file is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConcurrencyLimitError
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan
from ..machines.limits.adaptive_limit import AdaptiveLimit
from ..machines.limits.overload import Evidence, evidence_of
from ..open_body import OpenBody
from .bulkhead import admit, enter, leave

if TYPE_CHECKING:
    from ...errors import Failure
    from ..call import Call
    from ..layer import Handler
    from ..machines.limits.bulkhead import BulkheadPermit
    from ..operation import Subject

__all__ = ["AdaptiveLimitLayer", "wait_for_permit"]

_NONE = Evidence.NONE


class AdaptiveLimitLayer:
    """Acquires a permit of the origin's limit before each attempt, and reports the outcome and the time to the limit.

    The waits for the permit and for a connection are no part of that time. A streamed response keeps its permit until its
    body is closed. An attempt that was cancelled, or that a redirect led to another origin, says nothing.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        limit = call.origin_state.adaptive_limit
        if limit is None or call.current.passes_gate:
            return proceed(request, call)
        return self._with_permit(limit, proceed, request, call)

    def _with_permit(
        self, limit: AdaptiveLimit, proceed: Handler, request: HttpRequest, call: Call
    ) -> Plan[Outcome]:
        permit, token = enter(limit.permits, call)
        attempt, evidence, is_kept = call.current, _NONE, False
        began_at: float | None = None
        waited = 0.0
        try:
            if not permit.try_acquire():
                failure = yield from wait_for_permit(limit, permit, call)
                if failure is not None:
                    return failure
            began_at, waited = call.clock(), attempt.waited
            outcome = yield from proceed(request, call)
            if not attempt.has_left_origin:
                evidence = evidence_of(outcome, limit.settings.overloads)
            body = attempt.body
            if isinstance(body, OpenBody):
                body.keep(permit.release)  # the body owns it from here on
                is_kept = True
            return outcome
        finally:
            try:
                leave(permit, token)
                if began_at is not None and permit.lender is None:
                    limit.record(began_at, evidence, attempt.waited - waited)
                if not is_kept:
                    permit.release()
            except BaseException:  # Ctrl-C meanwhile must not cost a permit
                if not is_kept:
                    permit.release()
                raise


def wait_for_permit(limit: AdaptiveLimit, permit: BulkheadPermit, subject: Subject) -> Plan[Failure | None]:
    """Wait for a permit that is not free. None when it may go on; else why not. The caller releases it in any case."""
    limit.held_up()
    return (yield from admit(permit, subject, "adaptive limit", ConcurrencyLimitError))
