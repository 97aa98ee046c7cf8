"""The result of a load: figures for people and for programs, and what to doubt about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from ...http.printable import printable
from ...http.urls import redact_url
from ...simulation.histogram import Histogram
from ..console import Cell, Column, table
from .schedule import Schedule
from .tally import LATE, Tally
from .workers import Request

__all__ = ["Result", "duration"]

QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999))
_RELATIVE_ERROR = 0.01
_LONG_ENOUGH = 0.5  # seconds: the first calls of a short load mostly import and connect
_BUSY = 0.85  # of a CPU core: beyond, the calls wait for the interpreter rather than for the service
_LATE_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class Result:
    """A load that has ended.

    elapsed: seconds from the end of the warm-up to the end of the last call, or of the time for calls if that is later.
    cpu_share: of one core, used by this process.   connections: that the client may have at once.
    """

    request: Request
    front_end: str
    schedule: Schedule
    tally: Tally
    elapsed: float
    never_started: int
    cpu_share: float
    connections: int
    is_interrupted: bool

    @property
    def aborted(self) -> int:
        """Calls that had begun when the load was interrupted, and were not awaited."""
        return self.tally.begun - self.tally.ended

    @property
    def failure_share(self) -> float:
        """Of the calls that ended; 1.0 without any."""
        return self.tally.failures / self.tally.ended if self.tally.ended else 1.0

    def as_json(self) -> dict[str, Any]:
        """All figures: durations in seconds, sizes in bytes; None for what is unknown without calls."""
        load, tally = self.schedule.load, self.tally
        return {
            "method": self.request.method,
            "url": redact_url(self.request.url),
            "front_end": self.front_end,
            "loop": "closed" if load.rate is None else "open",
            "concurrency": load.concurrency,
            "rate": load.rate,
            "duration": load.duration,
            "requests": load.requests,
            "warm_up": {"seconds": load.warm_up, "calls": tally.warm_up_calls},
            "interrupted": self.is_interrupted,
            "elapsed": self.elapsed,
            "calls": tally.ended,
            "succeeded": tally.ended - tally.failures,
            "failed": tally.failures,
            "aborted": self.aborted,
            "never_started": self.never_started,
            "calls_per_second": self._per_second(tally.ended),
            "attempts": tally.attempts,
            "retries": tally.retries,
            "redirects": tally.redirects,
            "attempts_per_call": tally.attempts / tally.ended if tally.ended else None,
            "received_bytes": tally.received,
            "received_bytes_per_second": self._per_second(tally.received),
            "latency": _figures(tally.latency()),
            "service_time": _figures(tally.service),
            "outcomes": [
                {
                    "outcome": name,
                    "failed": outcome.is_failure,
                    "example": outcome.example or None,
                    "latency": _figures(outcome.latency),
                }
                for name, outcome in sorted(tally.outcomes.items())
            ],
            "waited_for_a_worker": _figures(tally.queued),
            "generator": {
                "cpu_share": self.cpu_share,
                "late_starts": tally.late,
                "lateness": _figures(tally.overslept),
            },
            "relative_error": _RELATIVE_ERROR,
            "warnings": list(self.warnings()),
        }

    def _per_second(self, number: float) -> float:
        return number / self.elapsed if self.elapsed else 0.0

    def lines(self, stream: TextIO) -> Iterator[str]:
        """The figures for people.   stream: on which they will be printed."""
        load, tally = self.schedule.load, self.tally
        yield f"{self.request.method} {redact_url(self.request.url)}"
        yield f"{self._pace()}; {self.front_end}; {self.elapsed:.1f} s"
        yield ""
        yield from self._table(stream)
        yield ""
        succeeded = self._per_second(tally.ended - tally.failures)
        yield (
            f"throughput   {self._per_second(tally.ended):,.1f} calls/s, {succeeded:,.1f} of them successful; "
            f"{_size(tally.received)} of bodies, {_size(self._per_second(tally.received))}/s"
        )
        if tally.ended:
            hops = f", {_count(tally.redirects, 'redirect')}" if tally.redirects else ""
            yield (
                f"attempts     {tally.attempts:,} for {_count(tally.ended, 'call')}: {_count(tally.retries, 'retry')}{hops}; "
                f"{tally.attempts / tally.ended:.2f} attempts a call"
            )
        if tally.warm_up_calls:
            yield f"warm-up      {load.warm_up:g} s, {_count(tally.warm_up_calls, 'call')}, not counted"
        since = "began" if load.rate is None else "was due, waits for a free worker included"
        yield f"latency      counts from when a call {since}; percentiles are exact to 1 %"
        examples = [
            (name, outcome.example) for name, outcome in sorted(tally.outcomes.items()) if outcome.example
        ]
        if examples:
            yield ""
        for name, example in examples:
            yield f"{name}, the first: {printable(example)}"
        warnings = list(self.warnings())
        if warnings:
            yield ""
        for warning in warnings:
            yield f"warning: {warning}"

    def _pace(self) -> str:
        load = self.schedule.load
        if load.rate is None:
            return f"closed loop, {load.concurrency} at a time"
        return f"open loop, {load.rate:g} calls/s due, {load.concurrency} at a time at most"

    def _table(self, stream: TextIO) -> list[str]:
        tally = self.tally
        named = [
            (name, outcome.latency, outcome.is_failure) for name, outcome in sorted(tally.outcomes.items())
        ]
        named.append(("all", tally.latency(), False))
        if self.schedule.load.rate is not None:
            named.append(("without waits", tally.service, False))
        columns = [Column(title="outcome", width=max(len("outcome"), *(len(name) for name, *_ in named)))]
        for title, width in (("calls", 9), ("share", 9), *((name, 8) for name, _ in QUANTILES), ("max", 8)):
            columns.append(Column(title=title, width=width, is_number=True))
        rows = []
        for name, latency, is_failure in named:
            share = 100 * latency.count / tally.ended if tally.ended else 0.0
            times = map(duration, _quantiles(latency).values())
            texts = (name, f"{latency.count:,}", f"{share:.1f} %", *times)
            rows.append([Cell(text, "red" if is_failure else "") for text in texts])
        return table(stream, columns, rows)

    def warnings(self) -> Iterator[str]:
        """What the figures do not show, or show wrongly, and what to do about it."""
        load, tally = self.schedule.load, self.tally
        if self.aborted:
            yield f"interrupted; {_count(self.aborted, 'call')} in flight left no trace in the figures"
        if self.never_started:
            yield (
                f"{_count(self.never_started, 'call')} due in time never began, since all {load.concurrency} workers were "
                "busy: the percentiles are better than what users would see; raise --concurrency, or lower --rate"
            )
        elif tally.queued.count > tally.begun * _LATE_SHARE and tally.queued.most > LATE:
            yield (
                f"{_count(tally.queued.count, 'call')} waited for a free worker, up to {duration(tally.queued.most)}, which "
                "the latency includes; with a higher --concurrency they would wait at the service"
            )
        if tally.late > tally.begun * _LATE_SHARE:
            yield (
                f"this program began {_count(tally.late, 'call')} more than {LATE * 1000:.0f} ms late, up to "
                f"{duration(tally.overslept.most)}, though a worker was free: it is the bottleneck, and the latencies "
                "include its delays; lower --rate, or run it in several processes"
            )
        if self.cpu_share > _BUSY and self.elapsed >= _LONG_ENOUGH:
            yield (
                f"this program used {self.cpu_share:.0%} of a CPU core, about all that one process of Python can: it may be the "
                "bottleneck rather than the service; lower the load, or run it in several processes"
            )
        if self.connections < load.concurrency:
            yield (
                f"the configuration allows {self.connections} connections, fewer than --concurrency {load.concurrency}: "
                "calls waited for one; raise max_connections and max_connections_per_host"
            )


def _quantiles(histogram: Histogram) -> dict[str, float | None]:
    found = {name: histogram.quantile(share) for name, share in QUANTILES}
    return {**found, "max": histogram.most if histogram.count else None}


def _figures(histogram: Histogram) -> dict[str, Any]:
    return {"count": histogram.count, "mean": histogram.mean, **_quantiles(histogram)}


def duration(seconds: float | None) -> str:
    """Three digits that count, in the unit that fits.

    >>> duration(0.0000042), duration(0.01234), duration(0.1234), duration(12.345), duration(None)
    ('4.20 µs', '12.3 ms', '123 ms', '12.3 s', '-')
    """
    if seconds is None:
        return "-"
    factor, unit = (1.0, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 0.001 else (1e6, "µs")
    value = seconds * factor
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def _size(size: float) -> str:
    """Bytes, in the unit that fits.

    >>> _size(0), _size(1536), _size(12_345_678)
    ('0 B', '1.5 kB', '12.3 MB')
    """
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"


def _count(number: int, noun: str) -> str:
    plural = noun if number == 1 else "retries" if noun == "retry" else f"{noun}s"
    return f"{number:,} {plural}"
