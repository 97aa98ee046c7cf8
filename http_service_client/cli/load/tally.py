"""Counts the outcomes of the calls of a load, in constant memory."""

from __future__ import annotations

import threading

from ... import HttpClientError, HttpResponse
from ...events import AttemptFinished, RedirectFollowed
from ...simulation.histogram import Histogram
from .schedule import Start

__all__ = ["Outcome", "Tally"]

LATE = 0.01  # seconds after which a start is called late


class Outcome:
    """The calls that ended in one way.

    is_failure: an error, or a status of 400 or more.  example: the message of the first such error, else "".
    """

    def __init__(self, is_failure: bool, example: str) -> None:
        self.is_failure, self.example = is_failure, example
        self.latency = Histogram()


class Tally:
    """Counts of the calls that are counted; times in seconds.

    outcomes: by status code or name of the error.   begun, ended: calls.
    service: from the actual start of a call to its end.   queued: how long due calls waited for a free worker.
    overslept: how late those began that a free worker was waiting for.   late: those that did so by more than 10 ms.
    received: bytes of bodies, decoded.   last_end: instant at which the last call ended.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.outcomes: dict[str, Outcome] = {}
        self.warm_up_calls = self.begun = self.ended = self.late = 0
        self.attempts = self.retries = self.redirects = self.received = 0
        self.service, self.queued, self.overslept = Histogram(), Histogram(), Histogram()
        self.last_end = 0.0

    def begin(self, start: Start, now: float, was_free: bool) -> None:
        """A call begins. was_free: a worker was waiting for its due time."""
        with self.lock:
            if not start.is_counted:
                self.warm_up_calls += 1
                return
            self.begun += 1
            behind = max(0.0, now - start.at)
            (self.overslept if was_free else self.queued).add(behind)
            self.late += was_free and behind > LATE

    def end(self, start: Start, began_at: float, now: float, result: HttpResponse | HttpClientError) -> None:
        """The call has ended."""
        if not start.is_counted:
            return
        if isinstance(result, HttpResponse):
            name, is_failure, example = str(result.status_code), result.status_code >= 400, ""
            size = len(result.content)
        else:
            name, is_failure, example, size = type(result).__name__, True, str(result), 0
        numbers = [e.attempt for e in result.timeline or () if isinstance(e, AttemptFinished)]
        hops = sum(isinstance(event, RedirectFollowed) for event in result.timeline or ())
        with self.lock:
            outcome = self.outcomes.get(name)
            if outcome is None:
                outcome = self.outcomes[name] = Outcome(is_failure, example)
            outcome.latency.add(now - start.at)
            self.service.add(now - began_at)
            self.ended += 1
            self.attempts += len(numbers)
            self.retries += sum(number > 1 for number in numbers)
            self.redirects += hops
            self.received += size
            self.last_end = max(self.last_end, now)

    def latency(self) -> Histogram:
        """Of all calls."""
        return Histogram.merged(outcome.latency for outcome in self.outcomes.values())

    @property
    def failures(self) -> int:
        """Calls that ended with an error or a status of 400 or more."""
        return sum(each.latency.count for each in self.outcomes.values() if each.is_failure)
