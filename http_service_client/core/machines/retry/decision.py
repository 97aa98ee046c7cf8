"""When to retry, and after how long: one rule for a client's calls and for guarded functions.

The first reason against a retry ends it:

    the deadline cut the attempt                        DEADLINE
    it was attempt number `max_attempts`                EXHAUSTED
    an enclosing retry policy is in charge              NESTED, unless `nested` says otherwise
    the server may have acted, and must not twice       NOT_SAFE
    the body was sent and cannot be sent again          NOT_REPLAYABLE
    Retry-After is beyond `patience` or `max_delay`     RETRY_AFTER_TOO_LONG
    the wait would cross the deadline                   DEADLINE
    after it, an attempt could hardly end in time       TOO_LITTLE_TIME
    the circuit would still refuse after the wait       CIRCUIT_OPEN

Otherwise the wait is `max(backoff, Retry-After)`: jitter never shortens the wait that the server requested. A backoff is
drawn only when the first five have passed, so that a sequence of delays has one for each wait.

Whether the outcome is worth a retry was decided before (`RetrySettings.is_worth_it`); whether the retry can be
paid for is decided after (`core.machines.retry.budget`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ....errors import SentState
from ....events import StopReason
from ....http.messages import HttpRequest, HttpResponse
from ...refusals import COUNTS, NUMBERS, Change, less, rounded_up, to

__all__ = ["NoRetry", "RetryLimits", "Situation", "is_in_progress", "next_wait"]

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
    needed: what an attempt needs at least, as its service is known (`core.machines.deadline_check`); 0 when nothing is.
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
    needed: float = 0.0


class RetryLimits(Protocol):
    """The part of `RetrySettings` by which it is decided."""

    @property
    def max_attempts(self) -> int: ...
    @property
    def nested(self) -> bool: ...
    @property
    def backoff_strategy(self) -> object: ...


def next_wait(settings: RetryLimits, now: Situation, delays: Iterator[float]) -> float | StopReason:
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
    if now.remaining is not None and wait > now.remaining - now.needed:
        return StopReason.TOO_LITTLE_TIME
    if wait < now.blocked_for:
        return StopReason.CIRCUIT_OPEN
    return wait


class NoRetry(NamedTuple):
    """What it was decided by that an attempt is not followed by another (see `core.refusals`).

    The first fields are those of a `Situation`, then:
    max_attempts, nested, max_delay: of the policy and its backoff; the last one is None for no limit.
    wait: the backoff that was drawn, else the longest that the next one may be; None if nobody knows.
    shortfall: the tokens that the budget lacks for a retry.
    is_worth_it: a retry condition holds.   is_final: no condition can hold.
    is_forbidden: the server forbids a retry (`x-should-retry: false`).
    overrun: how much longer an attempt that the deadline cut may have taken at most; None without a timeout of its own.
    """

    attempt: int
    is_nested: bool
    retry_after: float | None
    remaining: float | None
    patience: float | None
    blocked_for: float
    is_cut: bool
    is_safe: bool
    is_replayable: bool
    needed: float
    max_attempts: int
    nested: bool
    max_delay: float | None
    wait: float | None = None
    shortfall: float = 0.0
    is_worth_it: bool = True
    is_final: bool = False
    is_forbidden: bool = False
    overrun: float | None = None

    @classmethod
    def of(cls, settings: RetryLimits, now: Situation, *rest: Any) -> NoRetry:
        """The inputs of `next_wait`, then what is decided beside it (`rest`, from `wait` on)."""
        max_delay = getattr(settings.backoff_strategy, "max_delay", None)
        return cls(*now, settings.max_attempts, settings.nested, max_delay, *rest)

    def objection(self) -> str | None:
        """The first rule that says no, by the decision itself."""
        if self.is_forbidden:
            return StopReason.PUSHBACK.value
        if not self.is_worth_it:
            return StopReason.NOT_RETRYABLE.value
        limits = _Limits(self.max_attempts, self.nested, _Longest(self.max_delay))
        wait = next_wait(limits, Situation._make(self[: len(Situation._fields)]), iter([self.wait or 0.0]))
        if isinstance(wait, StopReason):
            return wait.value
        return StopReason.BUDGET.value if self.shortfall > 0 else None

    def changes(self) -> Sequence[Change]:
        """What a caller may set, then what a policy may, then what only time and the server can change."""
        if self.is_final:
            return ()
        found = [*_CHANGES, _LATER_DEADLINE if self.overrun is not None or not self.is_cut else _NO_DEADLINE]
        if self.blocked_for > (self.wait or 0.0):
            wait = rounded_up(self.blocked_for)
            text = f"a backoff of {wait:g} s, since the circuit lets a trial pass then"
            found.append(to(text, wait=wait))
        return found

    def consequence(self) -> str:
        """See `Decision`."""
        return "retried"


class _Limits(NamedTuple):
    max_attempts: int
    nested: bool
    backoff_strategy: object


class _Longest(NamedTuple):
    max_delay: float | None


def _with_a_later_deadline(inputs: NoRetry, seconds: float) -> NoRetry:
    """An attempt that was cut goes on until its own timeout ends it, and what is left then is left for the next one."""
    if not inputs.is_cut:
        return inputs if inputs.remaining is None else inputs._replace(remaining=inputs.remaining + seconds)
    assert inputs.overrun is not None  # else it is not among the changes
    if seconds <= inputs.overrun:
        return inputs
    return inputs._replace(is_cut=False, remaining=seconds - inputs.overrun)


_CHANGES = (
    to("idempotent=True (or an Idempotency-Key)", is_safe=True),
    to("a body of bytes or from a file, which can be sent again", is_replayable=True),
    to("max_attempts={}", COUNTS, max_attempts=...),
    to("nested=True in its retry policy", nested=True),
    to("a retry condition that holds for it", is_worth_it=True),
    to("timeout={}, which is the longest Retry-After to wait for", NUMBERS, patience=...),
    to("max_delay={} in the backoff", NUMBERS, max_delay=...),
    less("{} more in the retry budget", "shortfall"),
    to("a server that does not forbid it (x-should-retry: false)", is_forbidden=False),
)
_LATER_DEADLINE = Change("{} s more until the deadline", _with_a_later_deadline, NUMBERS)
_NO_DEADLINE = to("no deadline", is_cut=False, remaining=None)
