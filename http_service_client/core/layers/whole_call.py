"""The call as a whole, from its first step to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import DeadlineExceededError, Failure, SentState
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan
from ..nesting import CallScope, EndedCall

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["CallLayer"]


class CallLayer:
    """Rejects a call whose deadline has passed, and records how an interrupted call ended.

    Nothing stays open and the timeline gets its end, whether user code, cancellation or an interrupt ended the
    call. The layers inside run in a scope of their own; the scopes outside learn the outcome.
    """

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        call.scope = scope = CallScope(call.call_id)
        try:
            scope._begin()
            if call.deadline_at is not None and (late := call.clock() - call.deadline_at) >= 0:
                outcome = _too_late(late)
            else:
                outcome = yield from proceed(request, call)
        except BaseException as error:
            call.abort(error)
            raise
        finally:
            try:
                scope.leave()
            except BaseException:  # Ctrl-C came just before
                scope.leave()
                raise
        if scope.outer is not None:
            scope.outer.record(
                EndedCall(
                    outcome,
                    call.sent_state,
                    call.key,
                    call.call_id,
                    call.call_name,
                    call.request,
                    call.budget,
                    call.client_listener,
                )
            )
        return outcome


def _too_late(by: float) -> Outcome:
    message = f"the deadline had passed {by:.3f} s before the call began; nothing was sent"
    return Failure(DeadlineExceededError, message, SentState.NEVER_SENT)
