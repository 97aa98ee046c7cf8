"""What a recorded timeline says about a call: what each attempt came to, and after how long.

A timeline is what `response.timeline` and `error.timeline` hold. It may come as it is, unpickled for example, or as JSON
keeps it: a list of objects, each the fields of an event (`event._asdict()`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from .. import errors
from ..core.checks import did_you_mean
from ..core.machines.hedging import HedgeRefusal
from ..core.machines.limits.bulkhead_settings import BulkheadRefusal
from ..core.machines.limits.load_shedding import SheddingRefusal
from ..core.machines.limits.rate_limit_settings import LateTurn
from ..core.machines.limits.throttle_gate import Pause
from ..core.machines.retry.decision import NoRetry
from ..core.refusals import NoConnection
from ..errors import ConfigurationError, Failure, HttpClientError, RequestTimeoutError, SentState
from ..events import (
    AttemptFinished,
    CallFinished,
    Event,
    RetryScheduled,
    RetryStopped,
    StopReason,
    Timeline,
)
from ..http.messages import HttpResponse

__all__ = ["RecordedAttempt", "RecordedCall", "recorded_call"]

_KINDS: Mapping[str, type[Any]] = {kind._field_defaults["name"]: kind for kind in get_args(Event)}

# What the decision of an event was, by its name; of a limit's refusal, by the name of the limit.
_DECISIONS: Mapping[str, Callable[..., Any]] = {
    "attempt_finished": NoConnection,
    "bulkhead": BulkheadRefusal,
    "concurrency limit": BulkheadRefusal,
    "hedge_denied": HedgeRefusal,
    "load shedding": SheddingRefusal,
    "rate limit": LateTurn,
    "retry_stopped": NoRetry,
    "throttle_refused": Pause,
}


class RecordedAttempt(NamedTuple):
    """began_at: since the call began.   outcome: None for one that cannot be replayed, for the reason `why_not`.

    is_timeout: it ended because its time was over, and nobody knows what would have come later.
    """

    began_at: float
    duration: float
    outcome: HttpResponse | Failure | None
    is_timeout: bool = False
    why_not: str | None = None


class RecordedCall(NamedTuple):
    """may_repeat: whether the request was safe to send again; None if the timeline does not show it.

    has_key: it had an idempotency key; False if the timeline does not show one.
    lifetime: seconds from the beginning to the call's deadline, or None.
    """

    timeline: Timeline
    end: CallFinished
    attempts: Sequence[RecordedAttempt]
    may_repeat: bool | None
    has_key: bool
    lifetime: float | None


def recorded_call(timeline: Any, position: int) -> RecordedCall:
    """What a timeline says. Raises ConfigurationError that names its position."""
    try:
        parsed = Timeline(map(_event, timeline if isinstance(timeline, Iterable) else ()))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"timelines[{position}] has {error}") from None
    end = parsed[-1] if parsed else None
    if not isinstance(end, CallFinished):
        raise ConfigurationError(
            f"timelines[{position}] must be the events of a call that ended, not {timeline!r:.200}; "
            "pass response.timeline, error.timeline, or [event._asdict() for event in …]"
        )
    retries = {event.attempt: event for event in parsed if isinstance(event, RetryScheduled)}
    stops = {event.attempt: event.reason for event in parsed if isinstance(event, RetryStopped)}
    attempts = [
        _attempt(event, retries.get(event.attempt), stops.get(event.attempt))
        for event in parsed
        if isinstance(event, AttemptFinished)
    ]
    has_key = any(retry.cause == "status 409" for retry in retries.values())  # of others, it is a conflict
    lifetime = None if end.deadline_left is None else end.at + end.deadline_left
    return RecordedCall(parsed, end, attempts, _may_repeat(parsed), has_key, lifetime)


def _event(event: Any) -> Event:
    if isinstance(event, Event):
        return event
    if not isinstance(event, Mapping):
        raise TypeError(f"{event!r:.100}, which is no event")
    kind = _KINDS.get(str(event.get("name")))
    if kind is None:
        hint = did_you_mean(event.get("name"), _KINDS)
        raise ValueError(f"an event of the unknown kind {event.get('name')!r}{f'; {hint}' if hint else ''}")
    fields = dict(event)
    if "sent_state" in fields:
        fields["sent_state"] = SentState(fields["sent_state"])
    if kind is RetryStopped:
        fields["reason"] = StopReason(fields.get("reason"))
    if isinstance(decision := fields.get("decision"), list):  # JSON has no named tuples
        made_by = _DECISIONS.get(str(fields.get("limit") or kind._field_defaults["name"]))
        fields["decision"] = None if made_by is None else made_by(*decision)
    made: Event = kind(**fields)
    return made


def _attempt(
    event: AttemptFinished, retry: RetryScheduled | None, stop: StopReason | None
) -> RecordedAttempt:
    began_at = event.at - event.duration
    if event.answered_by is not None:
        why_not = f"attempt {event.attempt} was answered by {event.answered_by}, which does not run here"
        return RecordedAttempt(began_at, event.duration, None, why_not=why_not)
    if event.error is None:
        assert event.status_code is not None
        headers = []
        if retry is not None and retry.retry_after is not None:
            # In milliseconds, since the other header has whole seconds only.
            headers.append(("retry-after-ms", f"{retry.retry_after * 1000:.3f}"))
        elif event.sent_state is SentState.REFUSED:
            headers.append(("Retry-After", "0"))  # a 503 had one, or the request would count as answered
        if stop is StopReason.PUSHBACK:
            headers.append(("x-should-retry", "false"))
        response = HttpResponse(event.status_code, headers=headers, reason_phrase=event.message)
        return RecordedAttempt(began_at, event.duration, response)
    error_type = getattr(errors, event.error, None)
    if not (isinstance(error_type, type) and issubclass(error_type, HttpClientError)):
        why_not = f"attempt {event.attempt} ended with {event.error}, an error of code that does not run here"
        return RecordedAttempt(began_at, event.duration, None, why_not=why_not)
    if issubclass(error_type, errors.PoolTimeoutError):
        why_not = "how many connections were in use is not in a timeline"
        return RecordedAttempt(began_at, event.duration, None, why_not=why_not)
    failure = Failure(error_type, event.message, event.sent_state)
    return RecordedAttempt(began_at, event.duration, failure, issubclass(error_type, RequestTimeoutError))


def _may_repeat(timeline: Timeline) -> bool | None:
    """Whether the server may have acted on an attempt, and the request was sent again all the same, or was not."""
    states = {event.attempt: event.sent_state for event in timeline if isinstance(event, AttemptFinished)}
    for event in timeline:
        if isinstance(event, RetryStopped) and event.reason is StopReason.NOT_SAFE:
            return False
        if isinstance(event, RetryScheduled) and states.get(event.attempt) in _ACTED:
            return True
    return None


_ACTED = (SentState.MAYBE_PROCESSED, SentState.ANSWERED)
