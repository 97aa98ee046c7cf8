"""Asks the throttle gate before each attempt: waits while the service's pause lasts, or refuses at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import Failure, SentState, ThrottledError
from ...events import ThrottleRefused, ThrottleWaited
from ...http.messages import HttpRequest
from ..effects import Outcome, Plan, Sleep
from ..machines.limits.throttle_gate import Pause
from ..timeouts import TIMER_SLACK

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..machines.limits.throttle_gate import ThrottleGate

__all__ = ["ThrottleGateLayer"]


class ThrottleGateLayer:
    """A call waits if the gate opens within half of its attempt timeout and before its deadline; else it is refused.

    So a caller who set a short timeout gets the error, and what to wait, at once. The wait is no part of the attempt's
    time. The exchange closes the gate. The gate asked is that of the call's own origin: a redirect's hop is not refused,
    since by then the server before it has acted on the request.

    random: uniform in [0, 1), for the gentle opening.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        gate = call.origin_state.gate
        if gate is None or not gate.left or call.current.passes_gate:
            return proceed(request, call)
        return self._when_open(proceed, request, call, gate)

    def _when_open(
        self, proceed: Handler, request: HttpRequest, call: Call, gate: ThrottleGate
    ) -> Plan[Outcome]:
        timeout, waited = call.options.timeout.total, 0.0
        while left := gate.left:
            remaining = call.slack()
            pause = Pause(left, waited, timeout, remaining)
            if pause.is_too_long():
                call.record(
                    ThrottleRefused(
                        call.elapsed(), call.attempt, call.key, left, pause, call.call_id, call.call_name
                    )
                )
                return _refused(call, left)
            wait = gate.wait(self._random())
            if remaining is not None:
                wait = min(wait, (left + remaining) / 2)  # the attempt needs some time, too
            call.record(
                ThrottleWaited(call.elapsed(), call.attempt, call.key, wait, call.call_id, call.call_name)
            )
            began_at = call.clock()
            yield from Sleep(wait)
            if call.clock() < began_at + wait - TIMER_SLACK:
                break  # the client was closed, and the exchange will say so
            waited += wait
        return (yield from proceed(request, call))


def _refused(call: Call, left: float) -> Failure:
    message = (
        f"{call.key} asked for a pause, which lasts for another {left:.3g} s: longer than this call may wait; "
        "nothing was sent"
    )
    return Failure(
        ThrottledError, message, SentState.NEVER_SENT, details={"key": call.key, "retry_after": left}
    )
