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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError
from .series import (
    METRIC_NAME,
    Counter,
    Distribution,
    Gauge,
    Histogram,
    HistogramSample,
    Metric,
    MetricsSnapshot,
    Number,
    Sample,
    check_name,
    histogram_samples,
    number_samples,
    series_key,
)

__all__ = [
    "DURATION_BUCKETS",
    "HistogramSample",
    "HttpMetrics",
    "MetricsSnapshot",
    "Sample",
]

# Upper bounds in seconds: those of Prometheus' clients, and on to a call with retries.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


State = TypeVar("State")


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
        self._metrics: dict[str, Metric[Any]] = {}
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
        key = series_key(labels)
        with self._lock:
            self._counter(name).at(key).value += amount

    def observe(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Measure: put a value into a histogram."""
        number, key = float(_checked_number("value", value)), series_key(labels)
        with self._lock:
            self._histogram(name).at(key).observe(number)

    def set(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Set a gauge."""
        number, key = _checked_number("value", value), series_key(labels)
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
        key = series_key(labels)
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
                counters=number_samples(metric for metric in metrics if metric.kind == "counter"),
                gauges=number_samples(metric for metric in metrics if metric.kind == "gauge"),
                histograms=histogram_samples(metric for metric in metrics if metric.kind == "histogram"),
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

    def _counter(self, name: str) -> Counter:
        metric: Counter | None = self._known(name, "counter")
        return metric or self._new(name, "counter", Number)

    def _gauge(self, name: str) -> Gauge:
        metric: Gauge | None = self._known(name, "gauge")
        return metric or self._new(name, "gauge", Number)

    def _histogram(self, name: str) -> Histogram:
        metric: Histogram | None = self._known(name, "histogram")
        return metric or self._new(name, "histogram", partial(Distribution, self._bounds))

    def _known(self, name: str, kind: str) -> Any:
        """The metric, or None; it must be of the kind."""
        metric = self._metrics.get(name)
        if metric is not None and metric.kind != kind:
            raise ConfigurationError(
                f"{name} is a {metric.kind}, not a {kind}; use another name, or {_USE[metric.kind]}"
            )
        return metric

    def _new(self, name: str, kind: str, new_state: Callable[[], State]) -> Metric[State]:
        check_name("a metric name", name, METRIC_NAME)
        metric = Metric(name, kind, new_state, self._max_series)
        self._metrics[name] = metric
        return metric

    def _sum(self, name: str, kind: str, labels: Mapping[str, object] | None) -> float:
        key = series_key(labels)
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
