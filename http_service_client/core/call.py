"""What the layers know about one call: its options, its clock, its timeline so far.

`Call` is the `HttpContext` that interceptors see, plus what only the layers need. The front end resolves a
call's options against the client's configuration; the layers read them and know no defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import Failure, HttpClientError, SentState, worst
from ..events import AttemptFinished, CallFinished, Event, Timeline
from ..http.messages import HttpContext, HttpRequest, HttpResponse
from ..http.urls import redact_url

if TYPE_CHECKING:
    from ..http.auth.flow import AuthFlow
    from ..http.bodies.progress import Progress
    from .effects import Outcome, Plan
    from .machines.circuit_breaker.breaker import CircuitBreaker
    from .machines.fallback import FallbackSettings
    from .machines.hedging import Hedging
    from .machines.retry.settings import RetrySettings
    from .nesting import CallScope
    from .origins import OriginState
    from .refusals import Decision
    from .telemetry import CallTelemetry
    from .timeouts import Timeout

__all__ = ["Attempt", "Call", "CallBody", "CallHosts", "CallOptions", "Idle", "Saver", "StreamOptions"]

_LEAST = SentState.NEVER_SENT  # enum attribute access is slow (50 ns)
_new: Any = tuple.__new__  # the events of each call are made without a step of Python's own in between


class Idle(NamedTuple):
    """How long a reader waits for an item, however many pieces arrive before it is complete.

    seconds: the limit.   expires_at: the instant when it is reached.   item: its name, for the message.
    """

    seconds: float
    expires_at: float
    item: str


class CallBody(Protocol):
    """The body of a response that is still to come, as the layers see it."""

    def next_piece(self, idle: Idle | None = None) -> Plan[bytes | Failure]:
        """The next piece, decoded; b"" at the end.   idle: another limit of the wait, or None."""
        ...

    def close(self) -> None:
        """Release the connection and the slots. A second time does nothing."""
        ...


class Saver(Protocol):
    """Saves the body of a response, over as many attempts as it takes."""

    def attempt(
        self, proceed: Callable[[HttpRequest, Call], Plan[Outcome]], request: HttpRequest, call: Call
    ) -> Plan[Outcome]:
        """One attempt: the response whose body was saved, a response without a file, or a failure."""
        ...


class CallHosts(Protocol):
    """The base URLs that a call may be sent to, as the layers see them.

    tried: numbers of those that it has been sent to, in this order.
    """

    tried: list[int]

    def afresh(self) -> CallHosts:
        """The same base URLs, for another call."""
        ...

    def choose(self, refused: Container[int] = ()) -> int | None:
        """The number of the next one; None when all have refused."""
        ...

    def has_untried(self) -> bool:
        """Whether the next attempt goes to one that this call has not tried, and that takes requests."""
        ...

    def send_to(self, number: int, request: HttpRequest, call: Call) -> HttpRequest:
        """Let the call go on at one of them, and return its request there."""
        ...

    def is_pointless(self, refusal: Failure) -> bool:
        """Whether all of them would refuse."""
        ...


class StreamOptions(NamedTuple):
    """The options of a call whose body is left open.

    max_size: decoded bytes of the whole body, None for no limit.
    max_read: those that may be kept in memory at a time, None for no limit.
    decompress: whether to remove the content codings.
    download: saves the body to a file; None when the caller reads it.
    """

    max_size: int | None
    max_read: int | None
    decompress: bool
    download: Saver | None = None


class CallOptions:
    """What one call may override, resolved. Shared by calls, and never changed. (No NamedTuple: its fields are slow to read.)

    key: has state of its own at each origin; None for the origin's.
    timeout: of each attempt.  max_redirects: 0 returns a redirect as it is.
    retry: None for a single attempt.  is_nested: an enclosing retry policy is in charge.
    stream: the options for leaving a success's body open, or None to read it whole.
    progress: called with the bytes of a download and the total; plain or async.
    on_finish: called when the call ends, whatever its outcome.
    error_type: of the body of a 4xx or 5xx response, or None.
    auth: the flow that adds credentials to each request; None when they are headers, or there are none.
    fallback: what stands in for the response when the call fails, or None.
    hedging: what decides about hedges; True for that of the origin, False for none.
    """

    __slots__ = (
        *("auth", "error_type", "fallback", "hedging", "is_nested", "key", "max_redirects", "on_finish"),
        *("progress", "retry", "stream", "timeout"),
    )

    def __init__(
        self,
        timeout: Timeout,
        max_redirects: int,
        retry: RetrySettings | None,
        is_nested: bool,
        stream: StreamOptions | None = None,
        progress: Progress | None = None,
        on_finish: Callable[[], None] | None = None,
        auth: AuthFlow | None = None,
        key: str | None = None,
        error_type: Any = None,
        fallback: FallbackSettings | None = None,
        hedging: Hedging | bool = True,
    ) -> None:
        self.timeout = timeout
        self.max_redirects = max_redirects
        self.retry = retry
        self.is_nested = is_nested
        self.stream = stream
        self.progress = progress
        self.on_finish = on_finish
        self.auth = auth
        self.key = key
        self.error_type = error_type
        self.fallback = fallback
        self.hedging = hedging

    def but(self, **changes: Any) -> CallOptions:
        """The same options with other values for some."""
        twin = CallOptions.__new__(CallOptions)
        for name in CallOptions.__slots__:
            setattr(twin, name, changes[name] if name in changes else getattr(self, name))
        return twin


class Attempt:
    """What the layers share with each other during one attempt.

    expires_at: the instant by which it must be over, or None.
    ends_with_deadline: that instant is the deadline, which is earlier than the end of the attempt's own timeout.
    exchange_timeout: what the next exchange may take if it begins at once. None when something has used some of
        the attempt's time, so that the exchange has what is left until `expires_at`.
    blocked_until: an instant before which the circuit is known to refuse, or None.
    answered_by: the interceptor that answered without the network, or the auth flow whose own request failed: the
        outcome says nothing about the call's service.
    has_left_origin: a redirect led to another origin, so no credentials are added from then on.
    has_progressed: it failed, but a download has more of its file than before, and the next attempt continues there.
    is_queued: it waits for a permit or a connection slot, or has given up that wait.
    is_trial: its outcome decides about an open circuit.
    needed: seconds that it needs at least, as its service is known; 0.0 when nothing is.
    passes_gate: the client was closed during the wait before it, so that it waits for nothing else.
    sent_state: what is known to have become of its request.
    body: that of its response, when it is to be streamed.
    waited: seconds that it has waited, and that are not the service's.
    decision: what it was decided by that it was not sent.
    """

    __slots__ = (
        *("answered_by", "blocked_until", "body", "decision", "ends_with_deadline", "exchange_timeout"),
        *("expires_at", "has_left_origin", "has_progressed", "is_queued", "is_trial", "needed"),
        *("passes_gate", "sent_state", "waited"),
    )

    decision: Decision | None  # unset for most

    def __init__(self) -> None:
        self.expires_at: float | None = None
        self.ends_with_deadline = self.has_left_origin = self.has_progressed = self.is_trial = False
        self.passes_gate = self.is_queued = False
        self.needed = self.waited = 0.0
        self.exchange_timeout: Timeout | None = None
        self.blocked_until: float | None = None
        self.answered_by: str | None = None
        self.sent_state = _LEAST
        self.body: CallBody | None = None

    def postpone(self, seconds: float, deadline_at: float | None) -> None:
        """Take back a wait that the attempt does not pay for; the deadline stays where it is."""
        self.waited += seconds
        if self.expires_at is None:
            return
        expires_at = self.expires_at + seconds
        if deadline_at is not None and deadline_at < expires_at:
            self.end_with(deadline_at)
        else:
            self.expires_at = expires_at

    def end_with(self, deadline_at: float) -> None:
        """The attempt ends with the deadline, whatever its own timeout."""
        self.expires_at, self.ends_with_deadline, self.exchange_timeout = deadline_at, True, None


class Call(HttpContext):
    """One user request on its way through the layers.

    origin_state: the state kept for the call's key.  clock: monotonic seconds.
    breaker: asked before each attempt; None for no circuit breaker.   budget: pays for its retries, or None.
    current: the running attempt, or the last one; `attempt` is its number.
    sent_state: what became of the request, the worst over all attempts.
    response: the last one that came, or None.   scope: while it runs.
    hosts: the base URLs that it may be sent to; None where there is only one.
    hops: the requests that redirects led to, in all attempts.
    telemetry: sees the call; None where there is none. Before the call begins: that of the call that it is made for.
    """

    __slots__ = (
        *("breaker", "budget", "clock", "current", "events", "listener", "options"),
        *("origin_state", "response", "scope", "sent_state", "started_at"),
    )

    # As attributes of the class: most calls leave them as they are.
    hops: tuple[HttpRequest, ...] = ()
    telemetry: CallTelemetry | None = None
    hosts: CallHosts | None = None

    def __init__(
        self,
        request: HttpRequest,
        key: str,
        origin_state: OriginState,
        breaker: CircuitBreaker | None,
        options: CallOptions,
        clock: Callable[[], float],
        deadline_at: float | None = None,
        listener: Callable[[Event], None] | None = None,
        call_id: str = "",
        call_name: str | None = None,
    ) -> None:
        # HttpContext's attributes are set here, to save a call of its __init__ in every call.
        self.request = request
        self.key = key
        self.attempt = 0
        self.call_id = call_id
        self.call_name = call_name
        self.url_template = request.url_template
        self._correlation_id = None
        self.origin_state = origin_state
        self.breaker = breaker
        self.budget = origin_state.budget
        self.options = options
        self.clock = clock
        self.started_at = clock()
        self.deadline_at = deadline_at
        self.listener = listener
        self.events: list[Event] = []
        self.current = Attempt()
        self.response: HttpResponse | None = None
        self.scope: CallScope | None = None
        self.sent_state = _LEAST

    @property
    def client_listener(self) -> Callable[[Event], None] | None:
        """The listener without the telemetry of this call: for events that are not its own."""
        return self.listener if self.telemetry is None else self.telemetry.listener

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self.clock() - self.started_at

    def remaining(self) -> float | None:
        """Seconds left of the deadline (may be negative), or None without one."""
        return None if self.deadline_at is None else self.deadline_at - self.clock()

    def slack(self) -> float | None:
        """Seconds that the call may wait before its attempt has too little time; None without a deadline.

        It may be negative. It is what remains, less what the attempt needs, where that is known.
        """
        return None if self.deadline_at is None else self.deadline_at - self.clock() - self.current.needed

    @property
    def is_queued(self) -> bool:
        """Of its attempt."""
        return self.current.is_queued

    @is_queued.setter
    def is_queued(self, value: bool) -> None:
        self.current.is_queued = value

    def record(self, event: Event) -> None:
        """Add an event to the timeline and notify the listener."""
        self.events.append(event)
        listener = self.listener
        if listener is not None:
            listener(event)

    def record_attempt(self, outcome: Outcome, began_at: float) -> None:
        """Record the end of an attempt.

        After a redirect, the outcome is that of the last hop. A POST that was answered by 303 has been
        processed, even if the connection for the GET that follows is refused.
        """
        clock, attempt = self.clock, self.current
        now = clock()
        if attempt.answered_by is None:  # what an interceptor answered was never sent
            state = outcome.sent_state
            attempt.sent_state = state if attempt.sent_state is _LEAST else worst(attempt.sent_state, state)
        before, after = self.sent_state, attempt.sent_state
        self.sent_state = after if before is _LEAST else worst(before, after)
        decision: Decision | None = None
        if isinstance(outcome, HttpResponse):
            self.response = outcome
            status, error, message = outcome.status_code, None, outcome.reason_phrase
        else:
            status, error, message = None, outcome.error_type.__name__, outcome.message
            decision = getattr(attempt, "decision", None)
        self.record(
            _new(AttemptFinished, (
                now - self.started_at, self.attempt, self.key, now - began_at, status, error, message,
                attempt.sent_state, attempt.answered_by, attempt.is_trial, decision, self.call_id, self.call_name,
                "attempt_finished",
            ))
        )  # fmt: skip

    def merge_sent_state(self, state: SentState) -> None:
        """Merge an attempt's state into the call's, which is the worst over all attempts."""
        before = self.sent_state
        self.sent_state = state if before is _LEAST else worst(before, state)

    def admit(self, error: HttpClientError, state: SentState = _LEAST) -> None:
        """Have an error that the user's code raised say what became of this call's request.

        It may be that of another call, such as to a token service, whose request was never sent.
        state: what is known of the running attempt.
        """
        error.sent_state = worst(worst(self.sent_state, self.current.sent_state), state)

    def discard_body(self) -> None:
        """Close the body of a response that is discarded."""
        body, self.current.body = self.current.body, None
        if body is not None:
            body.close()

    def finish(self, outcome: Outcome) -> HttpResponse | HttpClientError:
        """Close the timeline, and return the response to return or a new error to raise."""
        if isinstance(outcome, Failure):
            self.end(None, outcome.error_type.__name__)
            return self.error(outcome)
        self.end(outcome.status_code, None)
        outcome.attempts = self.attempt
        outcome.timeline = Timeline(self.events)
        return outcome

    def error(self, failure: Failure) -> HttpClientError:
        """A new error that says what the call has come to, with the timeline so far."""
        details: dict[str, object] = {
            "request": self.request,
            "response": self.response,
            "sent_state": self.sent_state,
        }
        details |= {name: value for name, value in failure.details.items() if value is not None}
        error = failure.error_type(failure.message, timeline=Timeline(self.events), **details)
        error.__cause__ = failure.cause
        return error

    def abort(self, error: BaseException) -> None:
        """Close the timeline of a call that user code or cancellation ended."""
        if self.attempt:
            self.merge_sent_state(SentState.ABANDONED)  # we will not learn what became of a request in flight
        self.end(None, type(error).__name__)

    def end(self, status_code: int | None, error: str | None) -> None:
        """Release what the call still holds and record its end: with a status, or with the name of an error."""
        if self.current.body is not None:
            self.discard_body()
        if self.events and isinstance(self.events[-1], CallFinished):
            return  # the stream was closed while it was being read
        if self.options.on_finish is not None:
            self.options.on_finish()
        request, clock = self.request, self.clock
        now = clock()
        self.record(
            _new(CallFinished, (
                now - self.started_at, request.method, redact_url(str(request.url)), self.key, self.attempt,
                status_code, error, self.sent_state,
                None if self.deadline_at is None else self.deadline_at - now,
                None if self.scope is None or self.scope.outer is None else self.scope.parent_id,
                self.url_template, self.call_id, self.call_name, "call_finished",
            ))
        )  # fmt: skip
