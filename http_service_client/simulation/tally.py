"""What is counted while a simulation runs; its report is made from it."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from ..core.call import Call
from ..core.machines.circuit_breaker.states import CircuitBreakerState, StateChange
from ..errors import Failure
from ..events import FallbackUsed, RetryStopped
from ..http.messages import HttpResponse
from .histogram import Histogram

__all__ = ["Moment", "Tally"]


class Moment(NamedTuple):
    """What happened in one span of a simulation; spans follow each other without gaps.

    at: the instant at which it began.   calls: that began in it.   succeeded, failed: calls that ended in it.
    refused: those of the failed calls that sent nothing.   exchanges: that began in it.
    open_circuits: circuits that were not closed at its end.
    p50, p99: of the durations of the calls that ended in it, in seconds; None if none did.
    """

    at: float
    calls: int
    succeeded: int
    failed: int
    refused: int
    exchanges: int
    open_circuits: int
    p50: float | None
    p99: float | None


class _Span:
    __slots__ = ("calls", "durations", "exchanges", "failed", "open_circuits", "refused", "succeeded")

    def __init__(self, open_circuits: int) -> None:
        self.calls = self.succeeded = self.failed = self.refused = self.exchanges = 0
        self.open_circuits = open_circuits
        self.durations = Histogram()


class Tally:
    """Counts for one simulation, whose time never steps back.

    span: the length of a `Moment`, in seconds.   trigger, relief: when the first fault begins, and the last one ends.
    """

    def __init__(self, span: float, trigger: float, relief: float) -> None:
        self.span = span
        self.spans: list[_Span] = []
        self._current, self._current_ends_at = _Span(0), 0.0
        self._trigger, self._relief = trigger, relief
        # Of the first circuit after the trigger, and of the first success after the relief.
        self.opened_at = self.recovered_at = math.inf
        self.errors: Counter[str] = Counter()  # of failed calls: the class of the error, or the status
        self.refusals: Counter[str] = Counter()  # those of them that sent nothing
        self.stops: Counter[str] = Counter()  # why no further attempt was made
        self.openings = self.senders = self.duplicates = self.fallbacks = 0
        self.work = self.wasted = 0.0

    def at(self, now: float) -> _Span:
        """The span of this instant."""
        while now >= self._current_ends_at:
            self._current = _Span(self._current.open_circuits)
            self.spans.append(self._current)
            self._current_ends_at = len(self.spans) * self.span
        return self._current

    def count_call(
        self, now: float, began_at: float, outcome: object, call: Call | None, exchanges: int
    ) -> None:
        """Count a call that ended.   outcome: a response, a Failure, or what a function returned or raised.

        call: None for a guarded function.   exchanges: how many requests it sent.
        """
        span = self.at(now)
        span.durations.add(now - began_at)
        if exchanges:
            self.senders += 1
        error = _error_of(outcome)
        if error is None:
            span.succeeded += 1
            if call is not None and call.options.fallback is not None and _fell_back(call):
                self.fallbacks += 1
                return
            if now >= self._relief and self.recovered_at == math.inf:
                self.recovered_at = now
            return
        span.failed += 1
        self.errors[error] += 1
        if not exchanges:
            span.refused += 1
            self.refusals[error] += 1
        for event in () if call is None else call.events:
            if isinstance(event, RetryStopped):
                self.stops[event.reason.value] += 1

    def count_change(self, change: StateChange) -> None:
        """Count a change of a circuit; that of a shadow refuses nothing and does not count."""
        if change.is_shadow:
            return
        span, closed = self.at(change.at), CircuitBreakerState.CLOSED
        if change.new is CircuitBreakerState.OPEN:
            self.openings += 1
            if change.at >= self._trigger:
                self.opened_at = min(self.opened_at, change.at)
        span.open_circuits += (change.old is closed) - (change.new is closed)

    def moments(self) -> list[Moment]:
        """The series, first span first."""
        return [
            Moment(
                index * self.span,
                span.calls,
                span.succeeded,
                span.failed,
                span.refused,
                span.exchanges,
                span.open_circuits,
                span.durations.quantile(0.5),
                span.durations.quantile(0.99),
            )
            for index, span in enumerate(self.spans)
        ]


def _fell_back(call: Call) -> bool:
    """Whether a fallback stands in for the response: the service has not recovered by that."""
    return any(isinstance(event, FallbackUsed) for event in call.events)


def _error_of(outcome: object) -> str | None:
    """The class of an error, or a status of 400 or above; None for a success."""
    if isinstance(outcome, HttpResponse):
        return None if outcome.status_code < 400 else str(outcome.status_code)
    if isinstance(outcome, Failure):
        return outcome.error_type.__name__
    if isinstance(outcome, BaseException):
        return type(outcome).__name__
    return None
