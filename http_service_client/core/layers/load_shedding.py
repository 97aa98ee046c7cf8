"""Load shedding in a call: an attempt that the service would probably reject is not sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Failure, LoadShedError, SentState
from ...events import LimitRefused
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan
from ..machines.limits.load_shedding import LoadShedder
from ..machines.limits.overload import Evidence, evidence_of
from ..priority import current_priority

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..operation import Subject

__all__ = ["LoadSheddingLayer", "count", "shed"]

_ANSWERED, _REFUSED, _LATE, _OTHER, _, _ = Evidence  # enum attribute access is slow (50 ns)


class LoadSheddingLayer:
    """Asks the origin's load shedder before each attempt, and has it count the attempt's outcome.

    A call that is shed is no evidence for the circuit and takes no token of a rate limit. It ends the retries.

    An origin that redirected the request to another one has accepted it, whatever became of it there.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        shedder = call.origin_state.load_shedder
        if shedder is None or call.current.passes_gate:
            return proceed(request, call)
        return self._counted(shedder, proceed, request, call)

    def _counted(
        self, shedder: LoadShedder, proceed: Handler, request: HttpRequest, call: Call
    ) -> Plan[Outcome]:
        if not shedder.passes_all:
            refused = shed(shedder, call)
            if refused is not None:
                return refused
        outcome = yield from proceed(request, call)
        attempt = call.current
        if attempt.has_left_origin:
            shedder.record_accepted()
        elif attempt.answered_by is None:
            count(shedder, evidence_of(outcome, shedder.settings.overloads))
        return outcome


def shed(shedder: LoadShedder, subject: Subject) -> Failure | None:
    """The refusal of a call that is shed; None if it may be sent."""
    level = current_priority()
    refusal = shedder.admit(level)
    if refusal is None:
        return None
    key = shedder.key or subject.key
    subject.record(
        LimitRefused(
            subject.elapsed(),
            subject.attempt,
            key,
            "load shedding",
            None,
            f"{level.name.lower()} priority",
            refusal,
            subject.call_id,
            subject.call_name,
        )
    )
    rejected = shedder.rejected
    calls = shedder.accepted + rejected
    message = (
        f"load shedding for {key or 'this policy'} refused a call of {level.name.lower()} priority: the service rejected "
        f"{rejected} of the last {calls} calls for overload, so {refusal.share:.0%} are not sent; nothing was sent"
    )
    return Failure(LoadShedError, message, SentState.NEVER_SENT, details={"key": key, "share": refusal.share})


def count(shedder: LoadShedder, evidence: Evidence) -> None:
    """Count the result of a call that was sent."""
    if evidence is _ANSWERED or evidence is _OTHER:
        shedder.record_accepted()
    elif evidence is _REFUSED or evidence is _LATE:
        shedder.record_rejected()
