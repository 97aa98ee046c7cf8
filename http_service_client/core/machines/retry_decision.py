"""When to retry, and after how long: one rule for a client's calls and for guarded functions.

The first reason against a retry ends it:

    the deadline cut the attempt                        DEADLINE
    it was attempt number `max_attempts`                EXHAUSTED
    an enclosing retry policy is in charge              NESTED, unless `nested` says otherwise
    the server may have acted, and must not twice       NOT_SAFE
    the body was sent and cannot be sent again          NOT_REPLAYABLE
    Retry-After is beyond `patience` or `max_delay`     RETRY_AFTER_TOO_LONG
    the wait would cross the deadline                   DEADLINE
    the circuit would still refuse after the wait       CIRCUIT_OPEN

Otherwise the wait is `max(backoff, Retry-After)`: jitter never shortens the wait that the server requested. A backoff is
drawn only when the first five have passed, so that a sequence of delays has one for each wait.

Whether the outcome is worth a retry was decided before (`RetrySettings.is_worth_it`); whether the retry can be
paid for is decided after (`core.machines.retry_budget`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...errors import SentState
from ...events import StopReason
from ...http.messages import HttpRequest, HttpResponse
from .retry_settings import RetrySettings

__all__ = ["Situation", "is_in_progress", "next_wait"]

# Attempts that ended like this were not processed, so none of them is what the server is working on.
_UNPROCESSED = (SentState.NEVER_SENT, SentState.REFUSED)


def is_in_progress(outcome: object, before: SentState, request: HttpRequest | None) -> bool:
    """Whether the server is still working on an earlier attempt of ours, so that the request may be sent again.

    A server that keeps idempotency keys answers 409 for a key whose request is being processed, and 422 for one that
    came with another request (draft-ietf-httpapi-idempotency-key-header, 2.7). To the first attempt, 409 is an
    ordinary conflict, which a repetition does not resolve.

    before: the worst sent state over the attempts before.
    """
    return (
        isinstance(outcome, HttpResponse)
        and outcome.status_code == 409
        and before not in _UNPROCESSED
        and request is not None
        and request.has_idempotency_key
    )


class Situation(NamedTuple):
    """What is known after an attempt that is worth a retry. Times are in seconds.

    attempt: its number, from 1.
    is_nested: an enclosing retry policy is in charge.
    retry_after: the wait that the server requested, or None.
    remaining: what is left of the deadline (may be negative), or None without one.
    patience: the longest Retry-After that is kept to, None for no limit: an attempt's timeout.
    blocked_for: how long the circuit is known to refuse; 0 for not at all.
    is_cut: the deadline cut the attempt.
    is_safe: another attempt does no harm: the server cannot have acted on this one, or may act twice.
    is_replayable: the body can be sent again.
    """

    attempt: int
    is_nested: bool
    retry_after: float | None
    remaining: float | None
    patience: float | None = None
    blocked_for: float = 0.0
    is_cut: bool = False
    is_safe: bool = True
    is_replayable: bool = True


def next_wait(settings: RetrySettings, now: Situation, delays: Iterator[float]) -> float | StopReason:
    """Seconds until the next attempt, or the first reason against it.

    delays: the backoffs of this call; the next one is taken when it is needed.
    """
    if now.is_cut:
        return StopReason.DEADLINE
    if now.attempt >= settings.max_attempts:
        return StopReason.EXHAUSTED
    if now.is_nested and not settings.nested:
        return StopReason.NESTED
    if not now.is_safe:
        return StopReason.NOT_SAFE
    if not now.is_replayable:
        return StopReason.NOT_REPLAYABLE
    wait = next(delays)
    if now.retry_after is not None:
        longest = (now.patience, getattr(settings.backoff_strategy, "max_delay", None))
        if any(limit is not None and now.retry_after > limit for limit in longest):
            return StopReason.RETRY_AFTER_TOO_LONG
        wait = max(wait, now.retry_after)
    if now.remaining is not None and wait >= now.remaining:
        return StopReason.DEADLINE
    if wait < now.blocked_for:
        return StopReason.CIRCUIT_OPEN
    return wait
