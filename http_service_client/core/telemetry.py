"""What telemetry, such as OpenTelemetry's traces and metrics, sees of one call. No library of it is known here.

    enter, leave     the call's plan runs between them, in one thread or task: interceptors, exchanges, waits
    record           an event of the call; the last one is `CallFinished`. That of a stream comes with the end of its
                     body, after `leave`, in whichever thread closes it
    begin_exchange   a request is about to be sent: after the wait for a connection slot, and after its signature

None of these functions raises or waits: their errors are their own to report, and must not cost a caller the response.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..events import Event
    from ..http.messages import HttpContext, HttpRequest
    from .effects import Outcome

__all__ = ["CallTelemetry", "ExchangeEnd"]

ExchangeEnd = Callable[["Outcome | BaseException"], object]
"""Called once at the end of an exchange, with its outcome, or with what cancelled or interrupted it.

The body of an `OpenResponse` is still to come.
"""


class CallTelemetry(Protocol):
    """What telemetry keeps of one call.   listener: the one that the call had when it began."""

    @property
    def listener(self) -> Callable[[Event], None] | None: ...

    def enter(self) -> None:
        """The plan of the call begins. `leave` follows in any case, also if this was interrupted."""
        ...

    def leave(self) -> None:
        """The plan has ended. A coroutine that is closed from another task may call this there."""
        ...

    def record(self, event: Event) -> None:
        """An event of the call, to be passed on to the listener."""
        ...

    def begin_exchange(self, request: HttpRequest, context: HttpContext, is_own: bool) -> ExchangeEnd:
        """An exchange begins.

        request: to be sent. It is a copy, whose headers may be changed.
        context: of the call. It refers to this object, so keeping it would be a reference cycle.
        is_own: the call's own request, first or again; if not, a request of its auth flow.
        """
        ...
