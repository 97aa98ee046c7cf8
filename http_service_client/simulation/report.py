"""What a simulation found: figures that a test can assert, and the series that a picture is drawn from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .histogram import Histogram
from .plots import Section, draw, save
from .service import Service
from .tally import Moment, Tally

__all__ = ["Report", "in_seconds", "make_report"]

_NORMAL = 0.99  # of the share before the trigger
_LASTING = 0.9  # below this share of it, long after the trigger is gone, the state is metastable
_WINDOW, _MANY = 10.0, 20  # seconds over which a share is taken; calls in them
_SETTLED = 30.0  # seconds after the trigger that no verdict is given for


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures of one simulation. Shares are from 0 to 1, durations and instants in seconds of the simulation.

    calls: how many were made.   succeeded, failed: how many returned a response below 400, and how many did not.
    exchanges: requests sent, or not sent because no connection could be made; retries included.
    retries: those of the exchanges that repeated one.
    seconds: from the start until the last call ended.
    mean_call, p50_call, p99_call, worst_call: durations of calls; None without calls.
    errors: of the failed calls, by class of the error or by status.
    refusals: of those of them that sent nothing at all, by class of the error, such as "CircuitOpenError".
    stops: why a call that failed was not retried, by reason, such as "the circuit is open".
    work, wasted_work: seconds that the service worked; those of them on requests that their client gave up.
    duplicates: calls that are harmful to repeat (POST and PATCH without an idempotency key), and that the service acted on
        twice, or may have.
    openings: how often a circuit opened.
    time_to_open: from the start of the first fault until a circuit opened; None if none did.
    time_to_recover: from the end of the last fault until a call succeeded; None if none did, or without such an end.
    time_to_normal: from there until at least 99 % as many calls succeed as before the faults, and stay so to the end;
        None if they never do, or if no fault ends, or if one begins at the start.
    is_metastable: the last fault is over, and its effects stay: it never becomes normal, and in the last fifth of the time
        less than 90 % as many calls succeed as before. None if there is no verdict: no fault ends 30 s before the end, or
        one begins at the start.
    moments: the series.   service: the service that was called.
    fallbacks: of the calls that succeeded, those that failed, and for which a fallback stands in.
    """

    calls: int
    succeeded: int
    failed: int
    exchanges: int
    retries: int
    seconds: float
    mean_call: float | None
    p50_call: float | None
    p99_call: float | None
    worst_call: float
    errors: Mapping[str, int]
    refusals: Mapping[str, int]
    stops: Mapping[str, int]
    work: float
    wasted_work: float
    duplicates: int
    openings: int
    time_to_open: float | None
    time_to_recover: float | None
    time_to_normal: float | None
    is_metastable: bool | None
    moments: Sequence[Moment]
    service: Service
    fallbacks: int = 0

    @property
    def success_share(self) -> float:
        """Of the calls, those that succeeded; 1.0 without calls."""
        return self.succeeded / self.calls if self.calls else 1.0

    @property
    def unfinished(self) -> int:
        """Calls that would never end: without a timeout, nothing ends the wait for a service that is silent."""
        return self.calls - self.succeeded - self.failed

    @property
    def amplification(self) -> float:
        """Exchanges for each call; below 1 where calls are refused before anything is sent."""
        return self.exchanges / self.calls if self.calls else 0.0

    @property
    def throughput(self) -> float:
        """Calls a second that succeeded: the useful part of the load."""
        return self.succeeded / self.seconds if self.seconds else 0.0

    def between(self, start: float, end: float) -> Sequence[Moment]:
        """The moments that begin in this span of time."""
        return [moment for moment in self.moments if start <= moment.at < end]

    def success_share_between(self, start: float, end: float) -> float | None:
        """Of the calls that ended in the moments of this span, those that succeeded; None if none ended."""
        return _share(self.between(start, end))

    def plot(self, path: str | os.PathLike[str] | None = None, *, title: str = "simulation") -> Any:
        """Draw load, success, circuits and durations over time, with matplotlib (extra `simulation`).

        path: of the file to write: .svg, .png or .html; None for no file.   Returns the matplotlib figure.

        Raises ConfigurationError for another suffix, or without matplotlib.
        """
        if path is None:
            return draw({"": self}, title)
        return save(path, title, [Section("", "", self._rows(), {"": self})])

    def __str__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("calls", f"{self.calls}"),
            ("succeeded", f"{self.success_share:.1%}"),
            ("useful throughput", f"{self.throughput:.3g} a second"),
            ("exchanges a call", f"{self.amplification:.3f}"),
            (
                "median, p99, worst call",
                ", ".join(map(in_seconds, (self.p50_call, self.p99_call, self.worst_call))),
            ),
            ("first circuit opened after", in_seconds(self.time_to_open)),
            ("first success after the end", in_seconds(self.time_to_recover)),
            ("normal again after the end", in_seconds(self.time_to_normal)),
            ("wasted work", f"{self.wasted_work / self.work:.1%}" if self.work else "-"),
            ("duplicates", f"{self.duplicates}"),
            ("metastable", {None: "no verdict", True: "YES", False: "no"}[self.is_metastable]),
            *([("stood in by a fallback", f"{self.fallbacks}")] if self.fallbacks else []),
            *([("never ended", f"{self.unfinished}")] if self.unfinished else []),
            *((f"failed by {name}", f"{count}") for name, count in self.errors.items()),
            *((f"no retry: {reason}", f"{count}") for reason, count in self.stops.items()),
        ]


def make_report(tally: Tally, service: Service, seconds: float, ended_at: float) -> Report:
    """The report of a simulation that has ended.   seconds: its time, in which calls were made."""
    moments = tally.moments()
    trigger, relief = service.trigger, service.relief
    before = _share([moment for moment in moments if moment.at + tally.span <= trigger])
    normal = _time_to_normal(moments, before, relief, seconds)
    durations = Histogram.merged(span.durations for span in tally.spans)
    exchanges = sum(moment.exchanges for moment in moments)
    return Report(
        calls=sum(moment.calls for moment in moments),
        succeeded=sum(moment.succeeded for moment in moments),
        failed=sum(moment.failed for moment in moments),
        exchanges=exchanges,
        retries=exchanges - tally.senders,
        seconds=ended_at,
        mean_call=durations.mean,
        p50_call=durations.quantile(0.5),
        p99_call=durations.quantile(0.99),
        worst_call=durations.most,
        errors=dict(tally.errors.most_common()),
        refusals=dict(tally.refusals.most_common()),
        stops=dict(tally.stops.most_common()),
        work=tally.work,
        wasted_work=tally.wasted,
        duplicates=tally.duplicates,
        openings=tally.openings,
        time_to_open=None if tally.opened_at == math.inf else tally.opened_at - trigger,
        time_to_recover=None if tally.recovered_at == math.inf else tally.recovered_at - relief,
        time_to_normal=normal,
        is_metastable=_is_metastable(moments, before, relief, seconds, normal),
        moments=moments,
        service=service,
        fallbacks=tally.fallbacks,
    )


def _time_to_normal(
    moments: Sequence[Moment], before: float | None, relief: float, seconds: float
) -> float | None:
    """From `relief` until as large a share of the calls succeeds as before, and stays so.

    Judged in windows of ten seconds. Of many calls in one, one more may fail: single failures are no trend.
    """
    if before is None:
        return None
    after = [moment for moment in moments if relief <= moment.at]
    normal_at: float | None = None
    for moment in reversed(after):
        if moment.at + _WINDOW > seconds:
            continue  # too short to say
        window = [each for each in after if moment.at <= each.at < moment.at + _WINDOW]
        succeeded = sum(each.succeeded for each in window)
        ended = succeeded + sum(each.failed for each in window)
        if succeeded + (ended >= _MANY) < _NORMAL * before * ended:
            break
        if ended:
            normal_at = moment.at
    return None if normal_at is None else normal_at - relief


def _is_metastable(
    moments: Sequence[Moment], before: float | None, relief: float, seconds: float, normal: float | None
) -> bool | None:
    if before is None:
        return None
    last = _share([m for m in moments if max(relief + _SETTLED, 0.8 * seconds) <= m.at < seconds])
    return None if last is None else normal is None and last < _LASTING * before


def _share(moments: Sequence[Moment]) -> float | None:
    succeeded = sum(moment.succeeded for moment in moments)
    ended = succeeded + sum(moment.failed for moment in moments)
    return succeeded / ended if ended else None


def in_seconds(value: float | None) -> str:
    """The text of a duration, to three digits; a dash for None.

    >>> in_seconds(0.05178), in_seconds(12.345), in_seconds(0.0), in_seconds(None)
    ('51.8 ms', '12.3 s', '0 s', '-')
    """
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if 0 < value < 0.9995 else f"{value:.3g} s"
