"""What a client counts and measures: counters, gauges and histograms in memory.

`HttpMetrics` keeps numbers and knows nothing of HTTP; `observability.collector` turns the events of calls
into such numbers. Nothing is sent anywhere from here: an exporter reads `HttpMetrics.snapshot()`.

A *metric* is a name with a kind. It holds a *series* for each set of labels. The labels of a question are
a filter: they name the series that contain them, and the answer is over all of those. So `total(name)` is
over everything, and `total(name, {"service": "x"})` over that service.

The number of series is bounded, as label values may come from user input: a metric holds `max_series`, and
what would be one more is counted in a single series labelled ``{"overflow": "true"}``. Totals stay true.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Generic, TypeVar

from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError

__all__ = [
    "DURATION_BUCKETS",
    "HistogramSample",
    "HttpMetrics",
    "MetricsSnapshot",
    "Sample",
]

# Upper bounds in seconds: those of Prometheus' clients, and on to a call with retries.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels = tuple[tuple[str, str], ...]  # sorted by name

_OVERFLOW: Labels = (("overflow", "true"),)
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # Prometheus keeps names in __ to itself


@dataclass(frozen=True)
class Sample:
    """A counter or gauge as of one instant. `dict(sample.labels)` makes a mapping of the labels."""

    name: str
    labels: Labels
    value: float


@dataclass(frozen=True)
class HistogramSample:
    """A histogram as of one instant.

    buckets: pairs of an upper bound and how many values were not above it; the last bound is infinite.
    """

    name: str
    labels: Labels
    count: int
    sum: float
    min: float
    max: float
    buckets: tuple[tuple[float, int], ...]

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return self.sum / self.count


@dataclass(frozen=True)
class MetricsSnapshot:
    """All metrics as of one instant: plain values that can be compared, hashed and pickled."""

    counters: tuple[Sample, ...]
    gauges: tuple[Sample, ...]
    histograms: tuple[HistogramSample, ...]


class _Number:
    """The state of a counter or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class _Distribution:
    """The state of a histogram. Call `observe` with the lock held."""

    __slots__ = ("bounds", "buckets", "count", "max", "min", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0
        self.min = math.inf
        self.max = -math.inf

    def observe(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.count += 1
        self.sum += value
        if value < self.min:
            self.min = value
        if value > self.max:
            self.max = value


State = TypeVar("State")


class _Metric(Generic[State]):
    """The series of one name. Call its methods with the lock held."""

    __slots__ = ("_max_series", "_new_state", "kind", "name", "series")

    def __init__(self, name: str, kind: str, new_state: Callable[[], State], max_series: int) -> None:
        self.name = name
        self.kind = kind
        self.series: dict[Labels, State] = {}
        self._new_state = new_state
        self._max_series = max_series

    def at(self, labels: Labels) -> State:
        """The series of these labels, made when it is not there yet."""
        state = self.series.get(labels)
        if state is None:
            for label, _ in labels:
                _check_name("a label name", label, _LABEL_NAME)
            if len(self.series) >= self._max_series:
                labels = _OVERFLOW
            state = self.series.setdefault(labels, self._new_state())
        return state

    def containing(self, labels: Labels) -> Iterator[State]:
        """The series whose labels contain these."""
        wanted = set(labels)
        return (state for found, state in list(self.series.items()) if wanted.issubset(found))


_Counter = _Metric[_Number]
_Gauge = _Metric[_Number]
_Histogram = _Metric[_Distribution]


class HttpMetrics:
    """Counters, gauges and histograms with labels. Thread-safe, and the same from any event loop.

    max_series: series that one metric holds; what comes on top goes to one labelled ``overflow``.
    buckets: rising upper bounds of the histograms' buckets, in the unit of what is observed (seconds).

    A metric exists from its first use on, and is of one kind for good. Names are those of Prometheus:
    letters, digits and underscores. Label values may be of any type; they are kept as text.

    Each method comes twice: `add`, `observe`, `set`, `total`, `mean` and `value` are plain functions;
    `increment_counter`, `observe_histogram`, `set_gauge`, `get_counter` and `get_gauge` say the same
    with `await`. None of them ever waits for anything but a lock held for microseconds.

    Raises ConfigurationError (a ValueError) for a bad name, label or value, or a name of another kind.

    >>> metrics = HttpMetrics()
    >>> metrics.add("http_requests_total", {"service": "payments", "status_code": 200})
    >>> metrics.add("http_requests_total", {"service": "payments", "status_code": 503})
    >>> metrics.total("http_requests_total"), metrics.total("http_requests_total", {"status_code": 503})
    (2, 1)
    """

    def __init__(self, *, max_series: int = 1000, buckets: Sequence[float] = DURATION_BUCKETS) -> None:
        if isinstance(max_series, bool) or not isinstance(max_series, int) or max_series < 1:
            raise ConfigurationError(f"max_series must be a whole number of 1 or more, not {max_series!r}")
        self._max_series = max_series
        self._bounds = _checked_bounds(buckets)
        self._metrics: dict[str, _Metric[Any]] = {}
        # Reentrant, as the garbage collector may end an abandoned call, which is counted, between any two
        # steps of a thread that holds it.
        self._lock = ForkSafeLock()

    # Plain.

    def add(self, name: str, labels: Mapping[str, object] | None = None, amount: float = 1) -> None:
        """Count: raise a counter by `amount`, which is not negative."""
        if _checked_number("amount", amount) < 0:
            raise ConfigurationError(
                f"amount must not be negative, not {amount!r}; use a gauge for what falls"
            )
        key = _key(labels)
        with self._lock:
            self._counter(name).at(key).value += amount

    def observe(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Measure: put a value into a histogram."""
        number, key = float(_checked_number("value", value)), _key(labels)
        with self._lock:
            self._histogram(name).at(key).observe(number)

    def set(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Set a gauge."""
        number, key = _checked_number("value", value), _key(labels)
        with self._lock:
            self._gauge(name).at(key).value = number

    def total(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """What a counter counted, over all series that contain the labels; 0 when there is none."""
        return self._sum(name, "counter", labels)

    def value(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """What a gauge is set to, added up over all series that contain the labels; 0 when there is none."""
        return self._sum(name, "gauge", labels)

    def mean(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """The mean of a histogram, over all series that contain the labels; 0.0 when nothing was observed."""
        key = _key(labels)
        with self._lock:
            metric = self._known(name, "histogram")
            found = [] if metric is None else [(one.sum, one.count) for one in metric.containing(key)]
        count = sum(count for _, count in found)
        return math.fsum(total for total, _ in found) / count if count else 0.0

    def snapshot(self) -> MetricsSnapshot:
        """All there is, as of one instant, in the order in which it first came."""
        with self._lock:
            metrics = list(self._metrics.values())
            return MetricsSnapshot(
                counters=_samples(metric for metric in metrics if metric.kind == "counter"),
                gauges=_samples(metric for metric in metrics if metric.kind == "gauge"),
                histograms=_histogram_samples(metric for metric in metrics if metric.kind == "histogram"),
            )

    # With await.

    async def increment_counter(
        self, name: str, labels: Mapping[str, object] | None = None, amount: float = 1
    ) -> None:
        """As `add`."""
        self.add(name, labels, amount)

    async def observe_histogram(
        self, name: str, value: float, labels: Mapping[str, object] | None = None
    ) -> None:
        """As `observe`."""
        self.observe(name, value, labels)

    async def set_gauge(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """As `set`."""
        self.set(name, value, labels)

    async def get_counter(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """As `total`."""
        return self.total(name, labels)

    async def get_gauge(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """As `value`; of a histogram, as `mean`. 0.0 when there is nothing to read."""
        metric = self._metrics.get(name)
        if metric is None or metric.kind == "histogram":
            return self.mean(name, labels)
        return self.value(name, labels)

    # Metrics by name and kind, with the lock held.

    def _counter(self, name: str) -> _Counter:
        metric: _Counter | None = self._known(name, "counter")
        return metric or self._new(name, "counter", _Number)

    def _gauge(self, name: str) -> _Gauge:
        metric: _Gauge | None = self._known(name, "gauge")
        return metric or self._new(name, "gauge", _Number)

    def _histogram(self, name: str) -> _Histogram:
        metric: _Histogram | None = self._known(name, "histogram")
        return metric or self._new(name, "histogram", partial(_Distribution, self._bounds))

    def _known(self, name: str, kind: str) -> Any:
        """The metric, or None; it must be of the kind."""
        metric = self._metrics.get(name)
        if metric is not None and metric.kind != kind:
            raise ConfigurationError(
                f"{name} is a {metric.kind}, not a {kind}; use another name, or {_USE[metric.kind]}"
            )
        return metric

    def _new(self, name: str, kind: str, new_state: Callable[[], State]) -> _Metric[State]:
        _check_name("a metric name", name, _METRIC_NAME)
        metric = _Metric(name, kind, new_state, self._max_series)
        self._metrics[name] = metric
        return metric

    def _sum(self, name: str, kind: str, labels: Mapping[str, object] | None) -> float:
        key = _key(labels)
        with self._lock:
            metric = self._known(name, kind)
            return 0 if metric is None else sum(number.value for number in metric.containing(key))

    def __repr__(self) -> str:
        return f"<HttpMetrics {', '.join(self._metrics) or 'empty'}>"


_USE = {
    "counter": "add() and total()",
    "gauge": "set() and value()",
    "histogram": "observe() and mean()",
}


def _samples(metrics: Iterable[_Metric[_Number]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(metric.name, labels, number.value)
        for metric in metrics
        for labels, number in list(metric.series.items())
    )


def _histogram_samples(metrics: Iterable[_Histogram]) -> tuple[HistogramSample, ...]:
    return tuple(
        HistogramSample(
            metric.name, labels, one.count, one.sum, one.min, one.max,
            tuple(zip((*one.bounds, math.inf), accumulate(one.buckets), strict=True)),
        )
        for metric in metrics
        for labels, one in list(metric.series.items())
        if one.count
    )  # fmt: skip


def _key(labels: Mapping[str, object] | None) -> Labels:
    """Labels as a series is found by: sorted, the values as text. Names are checked when a series is made."""
    if not labels:
        return ()
    if not isinstance(labels, Mapping):
        raise ConfigurationError(
            f"labels must be a mapping such as {{'service': 'x'}} or None, not {labels!r}"
        )
    try:
        return tuple(sorted([(name, _text(value)) for name, value in labels.items()]))
    except TypeError:
        raise ConfigurationError(f"label names must be text, not those of {labels!r}") from None


def _text(value: object) -> str:
    if type(value) is str:
        return value
    return str(value.value if isinstance(value, Enum) else value)


def _check_name(what: str, name: object, grammar: re.Pattern[str]) -> None:
    if not isinstance(name, str) or grammar.fullmatch(name) is None:
        raise ConfigurationError(
            f"{what} must be letters, digits and underscores, such as 'status_code', not {name!r}"
        )


def _checked_number(what: str, value: Any) -> float:
    """A finite int or float, as it came: counts of whole numbers stay whole."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            if math.isfinite(value):
                return value
        except OverflowError:  # an int that no float can hold
            pass
    raise ConfigurationError(f"{what} must be a finite number, not {value!r}")


def _checked_bounds(buckets: Any) -> tuple[float, ...]:
    if isinstance(buckets, str) or not isinstance(buckets, Iterable):
        raise ConfigurationError(f"buckets must be a list of rising numbers, not {buckets!r}")
    bounds = tuple(float(_checked_number("a bucket's upper bound", bound)) for bound in buckets)
    if not bounds or any(low >= high for low, high in pairwise(bounds)):
        raise ConfigurationError(f"buckets must be rising numbers, at least one, not {buckets!r}")
    return bounds
