"""When the calls of a load begin.

Closed loop: each worker begins its next call when its last one has ended. A slow service is called less often then, so
its worst moments are measured least: that is called coordinated omission (G. Tene, "How not to measure latency").

Open loop: call n is due at n / rate, whatever became of those before it. A worker that is free waits for the next due
time; one that comes late begins at once. The latency counts from the due time, so that a call that could not begin in
time because all workers were busy is measured as its user would have felt it.

A worker takes due times in their order. So no worker waits for a later one while an earlier one is left.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

from ...core.checks import check_count, check_number
from ...errors import ConfigurationError

__all__ = ["Load", "Schedule", "Start"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much.

    concurrency: calls in flight at once, at most.  rate: calls that are due a second; None for a closed loop.
    duration: seconds in which calls begin; None until `requests` have.  requests: calls that are counted, at most.
    warm_up: seconds before, whose calls are made but not counted.

    Raises ConfigurationError for a value out of range, or without any end.
    """

    concurrency: int = 10
    rate: float | None = None
    duration: float | None = 10.0
    requests: int | None = None
    warm_up: float = 0.0

    def __post_init__(self) -> None:
        check_count("--concurrency", self.concurrency)
        check_number("--warm-up", self.warm_up, unit="of seconds ")
        for name, value in (("--duration", self.duration), ("--rate", self.rate)):
            if value is not None:
                unit = "seconds" if name == "--duration" else "calls a second"
                if not (math.isfinite(value) and value > 0):
                    raise ConfigurationError(
                        f"{name} must be a finite number of {unit} above 0, not {value:g}"
                    )
        if self.requests is not None:
            check_count("--requests", self.requests)
        if self.duration is None and self.requests is None:
            raise ConfigurationError("a load needs an end: set --duration or --requests")


class Start(NamedTuple):
    """A call to make. at: when it is due; now, in a closed loop.  is_counted: it is not part of the warm-up."""

    at: float
    is_counted: bool


class Schedule:
    """Hands out the starts to the workers of any thread, from `begin` on."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.began_at = self.counted_from = self.ends_at = math.inf
        self.stopped_at: float | None = None
        self._lock = threading.Lock()
        self._taken = 0
        self._counted = 0

    def begin(self, now: float) -> None:
        """The first call is due now."""
        load = self.load
        self.began_at = now
        self.counted_from = now + load.warm_up
        self.ends_at = math.inf if load.duration is None else self.counted_from + load.duration

    def stop(self, now: float) -> None:
        """Hand out no more."""
        with self._lock:
            if self.stopped_at is None:
                self.stopped_at = now

    def take(self, now: float) -> Start | None:
        """The next start; None when there are no more."""
        load = self.load
        with self._lock:
            if self.stopped_at is not None or now >= self.ends_at:
                return None
            at = now if load.rate is None else self.began_at + self._taken / load.rate
            is_counted = at >= self.counted_from
            if at >= self.ends_at or self._counted == load.requests:
                return None
            self._taken += 1
            self._counted += is_counted
            return Start(at, is_counted)

    def due(self, now: float) -> int:
        """How many counted calls were due until now: 0 in a closed loop, whose calls are due when they begin."""
        load = self.load
        if load.rate is None or self.began_at == math.inf:
            return 0
        until = min(now, self.ends_at, math.inf if self.stopped_at is None else self.stopped_at)
        count = max(0, self._due_before(until, load.rate) - self._due_before(self.counted_from, load.rate))
        return count if load.requests is None else min(count, load.requests)

    def _due_before(self, instant: float, rate: float) -> int:
        """How many calls are due before an instant, by the very sums of `take`: a product may be rounded up to one more."""
        count = math.ceil((instant - self.began_at) * rate)
        return count - (self.began_at + (count - 1) / rate >= instant)
