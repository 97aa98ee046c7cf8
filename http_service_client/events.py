"""What happened in a call, as immutable records, and the timeline that lists them.

Records hold plain values only, never errors or responses: an error carries its timeline, so a
record that held the error would be a reference cycle. URLs in records are redacted.

They are named tuples because two are made in every call, and a frozen dataclass costs four times as much.
The last field is the name of the kind.

An event that refuses something may have a `decision`: what it was decided by, for `Timeline.explain(why=True)`.

Times: `at` is seconds since the call began, `duration`, `delay` and `*_left` are seconds.
`attempt` is 1-based. `key` names the circuit and the budget, such as ``https://api.example.com``. `call_id` is the
same in all events of a call, and in no other; `call_name` is what the caller calls it, or None.
"""

# Without `from __future__ import annotations`: typing compiles each annotation of a named tuple that is text, and that
# takes as long as to make the class.
from enum import Enum
from functools import reduce
from typing import NamedTuple

from .core.refusals import CircuitRefusal, DeadlineRefusal, Decision, would_have_been
from .errors import SentState, worst

__all__ = [
    "AttemptFinished",
    "AuthContinued",
    "AuthStopped",
    "CacheFailed",
    "CacheResult",
    "CacheUsed",
    "CallFinished",
    "ChaosInjected",
    "CircuitRefused",
    "CodingRefused",
    "ConnectionAwaited",
    "DeadlineRefused",
    "Event",
    "FallbackSource",
    "FallbackUsed",
    "HedgeDenied",
    "HedgeFinished",
    "HedgeResult",
    "HedgeStarted",
    "HostChanged",
    "LimitRefused",
    "LimitWaited",
    "OperationFinished",
    "OperationTimedOut",
    "ProxyRetried",
    "RedirectFollowed",
    "RetryScheduled",
    "RetryStopped",
    "StopReason",
    "ThrottleRefused",
    "ThrottleWaited",
    "Timeline",
    "TokenAwaited",
]


class StopReason(str, Enum):
    """Why a failed attempt was not followed by another. The value finishes "not retried: ..."."""

    NOT_RETRYABLE = "this outcome is not retryable"
    PUSHBACK = "the server forbids it (x-should-retry: false)"
    EXHAUSTED = "that was the last attempt"
    NOT_SAFE = "the server may have acted on the request, and nothing says that repeating it is safe"
    NOT_REPLAYABLE = "the body was consumed and cannot be sent again"
    RETRY_AFTER_TOO_LONG = "Retry-After asks for a longer wait than this call allows"
    DEADLINE = "the deadline leaves no time for another attempt"
    TOO_LITTLE_TIME = "the service takes longer than the deadline leaves for another attempt"
    CIRCUIT_OPEN = "the circuit is open"
    BUDGET = "the retry budget is spent"
    NO_TOKEN = "there is no token to send"
    THROTTLED = "the service asked for a longer pause than this call may wait"
    REFUSED = "a policy of this client refuses another attempt"
    NESTED = "an enclosing retry policy is in charge"


class AttemptFinished(NamedTuple):
    """One attempt ended with a response or an error.

    duration: of this attempt.  status_code / error: one of them is None.
    answered_by: the interceptor that answered without the network, or the auth flow whose own request failed;
        None for the call's service.
    is_trial: its outcome decided about an open circuit.
    """

    at: float
    attempt: int
    key: str
    duration: float
    status_code: int | None
    error: str | None
    message: str
    sent_state: SentState
    answered_by: str | None = None
    is_trial: bool = False
    decision: Decision | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "attempt_finished"

    def __str__(self) -> str:
        what = (
            f"{self.status_code} {self.message}".rstrip()
            if self.error is None
            else f"{self.error}: {self.message}"
        )
        by = f", answered by {self.answered_by}" if self.answered_by else ""
        return f"attempt {self.attempt}: {what} (after {self.duration:.3f} s, {_words(self.sent_state)}{by})"


class RedirectFollowed(NamedTuple):
    """A redirect was followed: one more exchange within the attempt."""

    at: float
    attempt: int
    key: str
    status_code: int
    method: str
    url: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "redirect_followed"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: {self.status_code}, following to {self.method} {self.url}"


class CodingRefused(NamedTuple):
    """The server rejected a compressed body with 415; the uncompressed one follows within the attempt."""

    at: float
    attempt: int
    key: str
    coding: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "coding_refused"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: 415 to a {self.coding} body, sent again uncompressed"


class AuthContinued(NamedTuple):
    """An auth flow received a response and yielded another request: one more exchange within the attempt.

    status_code, source: of the response.   method, url: of the request that follows.
    """

    at: float
    attempt: int
    key: str
    status_code: int
    source: str
    method: str
    url: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "auth_continued"

    def __str__(self) -> str:
        return (
            f"attempt {self.attempt}: {self.status_code} from {self.source}, "
            f"the auth flow continues with {self.method} {self.url}"
        )


class AuthStopped(NamedTuple):
    """An auth flow yielded the request again, but its body was a stream and is consumed: the response is returned."""

    at: float
    attempt: int
    key: str
    status_code: int
    call_id: str = ""
    call_name: str | None = None
    name: str = "auth_stopped"

    def __str__(self) -> str:
        return (
            f"attempt {self.attempt}: {self.status_code}, and the auth flow cannot send the request again: "
            "its body was a stream and is consumed; pass bytes or a file"
        )


class TokenAwaited(NamedTuple):
    """The call waited for a token, which it or another call had requested.

    waited: seconds.   source: where tokens come from.   error: the name of the error, if there was no token.
    """

    at: float
    attempt: int
    key: str
    waited: float
    source: str
    error: str | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "token_awaited"

    def __str__(self) -> str:
        outcome = "" if self.error is None else f", in vain: {self.error}"
        return f"attempt {self.attempt}: waited {self.waited:.3f} s for a token from {self.source}{outcome}"


class ChaosInjected(NamedTuple):
    """A chaos injected a fault: not the service, but somebody who configured it did this.

    kind: latency, error, status or truncation.   what: seconds, the error's class, the status, where the body ended.
    """

    at: float
    attempt: int
    key: str
    kind: str
    what: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "chaos_injected"

    def __str__(self) -> str:
        words = {"latency": f"a delay of {self.what}", "status": f"status {self.what}"}
        words["truncation"] = f"the end of the body {self.what}"
        return f"attempt {self.attempt}: chaos injected {words.get(self.kind, self.what)}"


class ConnectionAwaited(NamedTuple):
    """All connections that the call might have used were in use, and it waited until one was free.   waited: seconds."""

    at: float
    attempt: int
    key: str
    waited: float
    call_id: str = ""
    call_name: str | None = None
    name: str = "connection_awaited"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: waited {self.waited:.3f} s for a free connection"


class ProxyRetried(NamedTuple):
    """A proxy on the way, such as a sidecar of a service mesh, has repeated the request of this attempt, too.

    attempts: of the proxy, the first one included.   is_first: of the origin, in this client; the log warns of it.
    """

    at: float
    attempt: int
    key: str
    attempts: int
    is_first: bool = False
    call_id: str = ""
    call_name: str | None = None
    name: str = "proxy_retried"

    def __str__(self) -> str:
        text = f"attempt {self.attempt}: a proxy made {self.attempts} attempts of it (x-envoy-attempt-count)"
        return f"{text}; {PROXY_REMEDY}" if self.is_first else text


PROXY_REMEDY = (
    "only one side should retry: switch it off there (x-envoy-max-retries: 0 in default_headers, where the proxy heeds it), "
    "or here (enable_retry_policy=False)"
)


class RetryScheduled(NamedTuple):
    """The attempt will be followed by another, after `delay`.

    cause: why it is retried.  retry_after: seconds that the server asked for, or None.
    budget_left: retries that the budget still allows, or None without a budget.
    """

    at: float
    attempt: int
    key: str
    delay: float
    cause: str
    retry_after: float | None
    budget_left: float | None
    deadline_left: float | None
    call_id: str = ""
    call_name: str | None = None
    name: str = "retry_scheduled"

    def __str__(self) -> str:
        asked = "" if self.retry_after is None else f", Retry-After asked for {self.retry_after:.3f} s"
        return f"retry in {self.delay:.3f} s because of {self.cause}{asked}{_left(self)}"


class RetryStopped(NamedTuple):
    """The attempt failed and will not be followed by another."""

    at: float
    attempt: int
    key: str
    reason: StopReason
    budget_left: float | None
    deadline_left: float | None
    decision: Decision | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "retry_stopped"

    def __str__(self) -> str:
        return f"not retried: {self.reason.value}{_left(self)}"


class CircuitRefused(NamedTuple):
    """The circuit breaker refused an attempt; nothing was sent."""

    at: float
    attempt: int
    key: str
    reason: str
    retry_after: float | None
    call_id: str = ""
    call_name: str | None = None
    name: str = "circuit_refused"

    @property
    def decision(self) -> Decision:
        """What it was decided by."""
        return CircuitRefusal(self.reason, self.retry_after)

    def __str__(self) -> str:
        when = "" if self.retry_after is None else f"; next trial in {self.retry_after:.3f} s"
        return f"attempt {self.attempt}: refused by the circuit breaker for {self.key} ({self.reason}{when})"


class ThrottleWaited(NamedTuple):
    """The service had asked for a pause, and the attempt waits for its end.   delay: seconds."""

    at: float
    attempt: int
    key: str
    delay: float
    call_id: str = ""
    call_name: str | None = None
    name: str = "throttle_waited"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: waits for {self.delay:.3f} s, since {self.key} asked for a pause"


class ThrottleRefused(NamedTuple):
    """The pause is longer than the call may wait; nothing was sent.   retry_after: seconds that are left of it."""

    at: float
    attempt: int
    key: str
    retry_after: float
    decision: Decision | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "throttle_refused"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: refused, since {self.key} asked for a pause of another {self.retry_after:.3f} s"


class LimitWaited(NamedTuple):
    """The attempt has waited for one of this client's own limits.

    limit: its name, such as "rate limit" or "bulkhead".   waited: seconds.
    """

    at: float
    attempt: int
    key: str
    limit: str
    waited: float
    call_id: str = ""
    call_name: str | None = None
    name: str = "limit_waited"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: waited {self.waited:.3f} s for the {self.limit} of {self.key or 'this policy'}"


class LimitRefused(NamedTuple):
    """One of this client's own limits refused the attempt; nothing was sent.

    limit: its name, such as "rate limit" or "bulkhead".   retry_after: seconds until another may pass, or None.
    reason: of several that the limit has, such as "full"; "" for its only one.
    """

    at: float
    attempt: int
    key: str
    limit: str
    retry_after: float | None
    reason: str = ""
    decision: Decision | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "limit_refused"

    def __str__(self) -> str:
        when = "" if self.retry_after is None else f"; another may pass in {self.retry_after:.3f} s"
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"attempt {self.attempt}: refused by the {self.limit} of {self.key or 'this policy'}{why}{when}"
        )


class DeadlineRefused(NamedTuple):
    """The service takes longer than the deadline leaves, so the attempt was not begun; nothing was sent.

    deadline_left: seconds, after the wait before the attempt, if there was to be one.
    median: seconds that an attempt usually takes.   needed: seconds within which hardly any attempt ends.
    """

    at: float
    attempt: int
    key: str
    deadline_left: float
    median: float
    needed: float
    call_id: str = ""
    call_name: str | None = None
    name: str = "deadline_refused"

    @property
    def decision(self) -> Decision:
        """What it was decided by."""
        return DeadlineRefusal(self.deadline_left, self.needed)

    def __str__(self) -> str:
        return (
            f"attempt {self.attempt}: not begun, since it could hardly end in time: "
            f"p50 of {self.key} is {self.median:.3f} s, {self.deadline_left:.3f} s left"
        )


class HedgeResult(str, Enum):
    """What became of one of several requests at the same time."""

    WON = "won"
    """Its outcome is that of the attempt."""
    LOST = "lost"
    """Another one was quicker, so it was cancelled. It is no evidence for or against the service."""
    FAILED = "failed"
    """It ended while another one might still succeed."""
    REFUSED = "refused"
    """It was not sent: a policy of this client refused it, or no connection was free in time."""


class HedgeStarted(NamedTuple):
    """The response takes long, so the request is sent again, beside the one in flight.

    hedge: its number, from 1.   delay: seconds without a response before it.
    budget_left: retries and hedges that the budget still allows, or None without a budget.
    """

    at: float
    attempt: int
    key: str
    hedge: int
    delay: float
    budget_left: float | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "hedge_started"

    def __str__(self) -> str:
        left = "" if self.budget_left is None else f" [{_retries_left(self.budget_left)}]"
        return (
            f"attempt {self.attempt}: no response within {self.delay:.3f} s, hedge {self.hedge} begins{left}"
        )


class HedgeDenied(NamedTuple):
    """The response takes long, but the request is not sent again; the one in flight goes on.

    reason: finishes "no hedge: ...".
    """

    at: float
    attempt: int
    key: str
    reason: str
    decision: Decision | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "hedge_denied"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: no hedge: {self.reason}"


class HedgeFinished(NamedTuple):
    """One of several requests at the same time ended, or was cancelled.

    hedge: its number; 0 for the first request.   result: a `HedgeResult`.   duration: seconds.
    status_code, error: one of them is None, or both of a request that was cancelled.
    sent_state: what became of it. One that was cancelled on its way may have been processed.
    """

    at: float
    attempt: int
    key: str
    hedge: int
    result: HedgeResult
    duration: float
    status_code: int | None
    error: str | None
    sent_state: SentState
    call_id: str = ""
    call_name: str | None = None
    name: str = "hedge_finished"

    def __str__(self) -> str:
        which = f"hedge {self.hedge}" if self.hedge else "the first request"
        what = f": {self.status_code or self.error}" if self.status_code or self.error else ""
        state = _words(self.sent_state)
        return f"attempt {self.attempt}: {which} {self.result.value}{what} (after {self.duration:.3f} s, {state})"


class HostChanged(NamedTuple):
    """The attempt goes to another of the client's base URLs.

    key: names the origin that it goes to.   before: the one that the call would have gone to, or was last sent to.
    """

    at: float
    attempt: int
    key: str
    before: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "host_changed"

    def __str__(self) -> str:
        return f"attempt {self.attempt}: goes to {self.key}, in place of {self.before}"


class CacheResult(str, Enum):
    """What a cache did for a call."""

    HIT = "hit"
    """A stored response that is fresh; nothing was sent."""
    STALE = "stale"
    """A stored response that is not fresh, or not as fresh as the request asks for; `reason` says why it may be used."""
    REVALIDATED = "revalidated"
    """A stored response that the server confirmed by 304."""
    MISS = "miss"
    """The server's own response, or its failure."""


class CacheUsed(NamedTuple):
    """A cache was asked for the response.

    result: a `CacheResult`.   age, ttl: seconds, of the stored response; a ttl below 0 is how long it has been stale.
    reason: why a stale response was used, or why the server's was not stored; "" for none.
    is_stored: the server's response was stored.   is_collapsed: an equal request that was in flight brought it.
    """

    at: float
    attempt: int
    key: str
    result: CacheResult
    age: float | None = None
    ttl: float | None = None
    reason: str = ""
    is_stored: bool = False
    is_collapsed: bool = False
    call_id: str = ""
    call_name: str | None = None
    name: str = "cache_used"

    @property
    def cache_status(self) -> str:
        """The same as a member of the Cache-Status field (RFC 9211), such as ``http-service-client; hit; ttl=48``."""
        parts = ["http-service-client"]
        if self.result is not CacheResult.MISS and not self.attempt and not self.is_collapsed:
            parts.append("hit")
        elif self.is_collapsed or (self.result is CacheResult.MISS and self.age is None):
            parts.append("fwd=miss")
        else:
            parts.append("fwd=stale")
        if self.result is CacheResult.REVALIDATED:
            parts.append("fwd-status=304")
        if self.ttl is not None:
            parts.append(f"ttl={int(self.ttl)}")
        parts += ["stored"] * self.is_stored + ["collapsed"] * self.is_collapsed
        return "; ".join(parts)

    def __str__(self) -> str:
        if self.result is CacheResult.MISS:
            what = "not in the cache" if self.age is None else "the stored response is out of date"
            stored = (
                "stored" if self.is_stored else f"not stored: {self.reason}" if self.reason else "not stored"
            )
            return f"{what}; {stored}"
        age = f"{self.age or 0.0:.0f} s old"
        if self.result is CacheResult.REVALIDATED:
            return f"from the cache, {age}, confirmed by the server (304)"
        by = ", brought by an equal request in flight" if self.is_collapsed else ""
        ttl = self.ttl or 0.0
        if self.result is CacheResult.HIT:
            return f"from the cache, {age}, fresh for another {ttl:.0f} s{by}"
        # One that is fresh, but not for as long as the request asks for, may stand in for an error, too.
        state = f"fresh for another {ttl:.0f} s" if ttl > 0 else f"stale for {abs(ttl):.0f} s"
        return f"from the cache, {age}, {state}: {self.reason}{by}"


class CacheFailed(NamedTuple):
    """The storage of a cache failed, and the call went on without it.

    operation: "get", "set" or "delete".   error: the name of the exception.
    """

    at: float
    attempt: int
    key: str
    operation: str
    error: str
    message: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "cache_failed"

    def __str__(self) -> str:
        return f"the cache's storage failed to {self.operation}: {self.error}: {self.message}"


class CallFinished(NamedTuple):
    """The call ended.

    error: the name of the error raised, or None.  sent_state: over all attempts.
    parent_id: the id of the call whose interceptor made this one, or None.
    url_template: the path of the URL with the placeholders of `path_params`, or None.
    """

    at: float
    method: str
    url: str
    key: str
    attempts: int
    status_code: int | None
    error: str | None
    sent_state: SentState
    deadline_left: float | None
    parent_id: str | None = None
    url_template: str | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "call_finished"

    @property
    def decision(self) -> Decision | None:
        """What it was decided by that the call did not begin; None if it did."""
        is_late = self.error == "DeadlineExceededError" and not self.attempts
        return (
            DeadlineRefusal(self.deadline_left, 0.001) if is_late and self.deadline_left is not None else None
        )

    def __str__(self) -> str:
        return f"done: {outcome(self)}{_left(self)}"


class OperationFinished(NamedTuple):
    """A call of a function under a `ResiliencePipeline` ended.

    at: seconds that it took.   attempts: how many times the function was to run, one after the other.
    error: the name of the exception that the caller got, or None.
    """

    at: float
    key: str
    attempts: int
    error: str | None
    call_id: str = ""
    call_name: str | None = None
    name: str = "operation_finished"

    def __str__(self) -> str:
        attempts = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"done: {self.error or 'success'} after {attempts}"


class OperationTimedOut(NamedTuple):
    """A guarded function took longer than its `TimeoutPolicy` allows.

    timeout: the seconds that were allowed.
    outcome: "cancelled": it was ended; "late": it is plain and could not be interrupted, and its result is returned;
        "abandoned": it runs on in a thread, and its result will be dropped.
    """

    at: float
    attempt: int
    key: str
    timeout: float
    outcome: str
    call_id: str = ""
    call_name: str | None = None
    name: str = "operation_timed_out"

    def __str__(self) -> str:
        what = {
            "cancelled": "it was ended",
            "late": "it could not be interrupted, and its result is returned",
        }.get(self.outcome, "it runs on in its thread, and its result will be dropped")
        return f"attempt {self.attempt}: took longer than {self.timeout:g} s; {what}"


class FallbackSource(str, Enum):
    """Where a fallback's result comes from."""

    VALUE = "value"
    """The value that was set."""
    FUNCTION = "function"
    """The function that was set."""
    LAST_GOOD = "last_good"
    """The last good result."""


class FallbackUsed(NamedTuple):
    """A call failed, and a fallback stands in for its outcome.

    source: a `FallbackSource`.   reason: the outcome, such as "ConnectError" or "status 503".
    sent_state: what became of the request, the worst over all attempts. None for a function without a request.
    age: seconds since the last good result; None for other sources.
    """

    at: float
    attempt: int
    key: str
    source: FallbackSource
    reason: str
    sent_state: SentState | None = None
    age: float | None = None
    call_id: str = ""
    call_name: str | None = None
    name: str = "fallback_used"

    def __str__(self) -> str:
        what = {
            FallbackSource.VALUE: "its value",
            FallbackSource.FUNCTION: "the result of its function",
        }.get(self.source, "the last good result")
        age = "" if self.age is None else f", {self.age:.3f} s old"
        sent = "" if self.sent_state is None else f" ({_words(self.sent_state)})"
        return f"the fallback stands in for {self.reason}{sent}: {what}{age}"


Event = (
    AttemptFinished
    | AuthContinued
    | AuthStopped
    | TokenAwaited
    | ConnectionAwaited
    | RedirectFollowed
    | ProxyRetried
    | CodingRefused
    | RetryScheduled
    | RetryStopped
    | CircuitRefused
    | OperationFinished
    | ThrottleWaited
    | ThrottleRefused
    | LimitWaited
    | LimitRefused
    | DeadlineRefused
    | HostChanged
    | HedgeStarted
    | HedgeDenied
    | HedgeFinished
    | CacheUsed
    | CacheFailed
    | FallbackUsed
    | ChaosInjected
    | OperationTimedOut
    | CallFinished
)


class Timeline(tuple[Event, ...]):
    """The events of one call, in order."""

    __slots__ = ()

    def explain(self, *, why: bool = False) -> str:
        """The story of the call as a person would tell it, one line an event.

        why: after each refusal, a line with the smallest change after which there would have been none.

        >>> end = AttemptFinished(0.25, 1, "", 0.25, 200, None, "OK", SentState.ANSWERED)
        >>> print(Timeline([end]).explain())
          0.250 s  attempt 1: 200 OK (after 0.250 s, answered)
        """
        lines = []
        for event in self:
            lines.append(f"{event.at:7.3f} s  {event}")
            if why and (reason := why_not(event)):
                lines.append(f"{'':11}{reason}")
        if self and isinstance(last := self[-1], CallFinished):
            lines.insert(0, heading(last.method, last.url, last.call_name))
        return "\n".join(lines)

    @property
    def call_id(self) -> str:
        """The id of the call, which all of its events have; "" without an event."""
        return self[0].call_id if self else ""

    @property
    def sent_state(self) -> SentState | None:
        """What became of the request, the worst over the attempts so far; None before the first one."""
        states = [event.sent_state for event in self if isinstance(event, (AttemptFinished, CallFinished))]
        return reduce(worst, states) if states else None

    @property
    def cache_used(self) -> CacheUsed | None:
        """What a cache did for the call; None if none was asked."""
        return next((event for event in self if isinstance(event, CacheUsed)), None)

    @property
    def fallback_used(self) -> FallbackUsed | None:
        """The fallback that stands in for the outcome of the call; None if none does."""
        return next((event for event in self if isinstance(event, FallbackUsed)), None)

    def __repr__(self) -> str:
        return f"Timeline({list(self)!r})"


def why_not(event: Event) -> str:
    """The smallest change after which a refusal would have been none: "would have been retried with max_attempts=4".

    "" for an event that refuses nothing, and for one from a record that does not have what it was decided by.
    """
    decision: Decision | None = getattr(event, "decision", None)
    return "" if decision is None else would_have_been(decision)


def heading(method: str, url: str, call_name: str | None) -> str:
    """The first line of a story.

    It has no id of the call: a test that runs in virtual time may compare the whole text.
    """
    return f"{method} {url}" if call_name is None else f"{method} {url} ({call_name})"


def outcome(end: CallFinished, time: str = "") -> str:
    """What a call came to: "200 after 2 attempts, answered".   time: text after the attempts."""
    what = f"{end.status_code}" if end.error is None else end.error
    tries = "1 attempt" if end.attempts == 1 else f"{end.attempts} attempts"
    sent = f", {_words(end.sent_state)}"
    if end.error is None and end.sent_state is SentState.MAYBE_PROCESSED:  # another attempt, or a hedge
        # The state is the worst of all attempts. After a response, a reader would take it for that of the last one.
        sent = "; one without a complete response may have been processed, too"
    return f"{what} after {tries}{time}{sent}"


def _words(state: SentState) -> str:
    return state.value.replace("_", " ")


def _retries_left(budget: float) -> str:
    count = f"{budget:.0f}"
    return f"{count} {'retry' if count == '1' else 'retries'} left in the budget"


def _left(event: RetryScheduled | RetryStopped | CallFinished) -> str:
    budget = getattr(event, "budget_left", None)
    parts = [] if budget is None else [_retries_left(budget)]
    if event.deadline_left is not None:
        parts.append(f"{max(0.0, event.deadline_left):.3f} s left of the deadline")
    return f" [{', '.join(parts)}]" if parts else ""
