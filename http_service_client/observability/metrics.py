"""Counters, gauges and histograms in memory.

`HttpMetrics` holds numbers and knows nothing of HTTP; `observability.collector` turns the events of calls
into such numbers. Nothing is sent from here: an exporter reads `HttpMetrics.snapshot()`.

A *metric* is a name with a kind. It holds a *series* for each set of labels. The labels of a query are a
filter: it covers all series that contain them. So `total(name)` covers everything, and
`total(name, {"service": "x"})` covers that service.

The number of series is bounded, as label values may come from user input: a metric holds `max_series`. Further
label sets are counted in a single series labelled ``{"overflow": "true"}``, so totals stay correct.

The events of calls are counted when somebody reads the numbers, or when some have come: a call only puts its events into
a queue. Counting many in a row takes less than half of the time, since code and data are in the processor's caches then.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..core.checks import did_you_mean
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError
from .series import (
    METRIC_NAME,
    Counter,
    Distribution,
    Gauge,
    Histogram,
    Labels,
    Metric,
    Number,
    check_name,
    series_key,
)

if TYPE_CHECKING:
    from .samples import MetricsSnapshot

__all__ = [
    "DURATION_BUCKETS",
    "Account",
    "HttpMetrics",
]

# Upper bounds in seconds: those of Prometheus' clients, continued for calls with retries.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


_ALIKE = 0.845  # of 1: "requests_total" is close to "http_requests_total", and "http_refusals_total" is not

State = TypeVar("State")


def _source_of(name: str) -> str | None:
    """The name here of a counter or histogram that Prometheus shows by this one."""
    from .prometheus_metrics import COUNTS  # for an error: most applications have no PrometheusCollector

    return next((count.source for count in COUNTS if count.name == name.removesuffix("_total")), None)


Waiting = tuple["Account", Any, float]
"""An event that is still to be counted: what counts it, the event, and when it came."""


class Account(Protocol):
    """Counts events."""

    def count(self, waiting: Sequence[Waiting]) -> None:
        """Count events of this account, in the order in which they came."""
        ...


class HttpMetrics:
    """Counters, gauges and histograms with labels. Thread-safe, and usable from any event loop.

    max_series: series that one metric holds; further ones are counted in one labelled ``overflow``.
    buckets: increasing upper bounds of the histograms' buckets, in the unit of the observed values (seconds).

    A metric exists from its first use on, and its kind never changes. Names are those of Prometheus:
    letters, digits and underscores. Label values may be of any type; they are kept as text.

    In a forked child, all numbers begin at 0: those of the parent are the parent's to report.

    Each method exists twice: `add`, `observe`, `set`, `total`, `mean` and `value` are plain functions;
    `increment_counter`, `observe_histogram`, `set_gauge`, `get_counter` and `get_gauge` do the same
    with `await`. They wait for nothing but a lock that is held for microseconds.

    Raises ConfigurationError (a ValueError) for an invalid name, label or value, or the name of a metric of another kind.

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
        self._bounds = _parse_buckets(buckets)
        self._metrics: dict[str, Metric[Any]] = {}
        self._declared: dict[str, frozenset[str]] = {}  # names of a collector's metrics, and of their labels
        # Reentrant: between any two steps of a thread that holds it, the garbage collector may end an
        # abandoned call, which is counted then.
        self._lock = ForkSafeLock()
        self._waiting: deque[Waiting] = deque()  # anyone may append; `catch_up` counts them
        reset_in_forked_children(self)

    # Plain.

    def add(self, name: str, labels: Mapping[str, object] | None = None, amount: float = 1) -> None:
        """Increase a counter by `amount`, which is 0 or more."""
        if _parse_number("amount", amount) < 0:
            raise ConfigurationError(
                f"amount must be 0 or more, not {amount!r}; use a gauge for what may decrease"
            )
        key = series_key(labels)
        with self._lock:
            self._counter(name).at(key).value += amount

    def observe(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Add a value to a histogram."""
        number, key = float(_parse_number("value", value)), series_key(labels)
        with self._lock:
            self._histogram(name).at(key).observe((number,))

    def set(self, name: str, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Set a gauge."""
        number, key = _parse_number("value", value), series_key(labels)
        with self._lock:
            self._gauge(name).at(key).value = number

    def total(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """The sum of a counter over all series that contain the labels; 0 without one.

        Raises ConfigurationError for a name that no metric has, if it is close to one of a client's own metrics; and for a
        label that the client's own metric never has.
        """
        return self._sum(name, "counter", labels)

    def value(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """The sum of a gauge over all series that contain the labels; 0 without one."""
        return self._sum(name, "gauge", labels)

    def mean(self, name: str, labels: Mapping[str, object] | None = None) -> float:
        """The mean of a histogram over all series that contain the labels; 0.0 without a value."""
        key = series_key(labels)
        with self._lock:
            self.catch_up()
            metric = self._for_reading(name, "histogram", key)
            found = [] if metric is None else [(one.sum, one.count) for one in metric.containing(key)]
        count = sum(count for _, count in found)
        return math.fsum(total for total, _ in found) / count if count else 0.0

    def snapshot(self) -> MetricsSnapshot:
        """All metrics as of one instant, in the order of their first use."""
        from .samples import MetricsSnapshot, histogram_samples, number_samples

        with self._lock:
            self.catch_up()
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
        """As `value`; for a histogram, as `mean`. 0.0 for an unknown name."""
        metric = self._metrics.get(name)
        if metric is None or metric.kind == "histogram":
            return self.mean(name, labels)
        return self.value(name, labels)

    # Events of calls.

    def catch_up(self) -> None:
        """Count the events that wait for it."""
        taken: dict[Account, list[Waiting]] = {}
        with self._lock:
            try:
                while True:
                    waiting = self._waiting.popleft()
                    taken.setdefault(waiting[0], []).append(waiting)
            except IndexError:  # that was the last one
                pass
            for account, events in taken.items():
                account.count(events)

    # Metrics by name and kind. Called with the lock held.

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
        """The metric, or None. Raises ConfigurationError when it is of another kind."""
        metric = self._metrics.get(name)
        if metric is not None and metric.kind != kind:
            raise ConfigurationError(
                f"{name} is a {metric.kind}, not a {kind}; use another name, or {_USE[metric.kind]}"
            )
        return metric

    def _for_reading(self, name: str, kind: str, labels: Labels) -> Any:
        """As `_known`, for reading. A misspelt name would always read as 0, so a name close to one of the client's own is an error.

        A name that is like none of these may be that of a metric that is still to come. Of the client's own metrics, the
        labels are known, so that another one is an error, unless somebody else has added a series with it.
        """
        metric = self._known(name, kind)
        if metric is None and (source := _source_of(name)) in self._declared:
            raise ConfigurationError(f"{name} is a name of Prometheus; here the metric is called {source!r}")
        import difflib

        if metric is None and (near := difflib.get_close_matches(name, self._declared, 1, _ALIKE)):
            raise ConfigurationError(f"there is no metric {name!r}; did you mean {near[0]!r}?")
        known = self._declared.get(name)
        if known is not None:
            assert metric is not None  # what is declared is there
            for label, _ in labels:
                if label not in known and not metric.has_label(label):
                    remedy = did_you_mean(label, known) or f"it has {', '.join(sorted(known))}"
                    raise ConfigurationError(f"{name} has no label {label!r}; {remedy}")
        return metric

    def _new(self, name: str, kind: str, new_state: Callable[[], State]) -> Metric[State]:
        check_name("a metric name", name, METRIC_NAME)
        metric = Metric(name, kind, new_state, self._max_series)
        self._metrics[name] = metric
        return metric

    def _sum(self, name: str, kind: str, labels: Mapping[str, object] | None) -> float:
        key = series_key(labels)
        with self._lock:
            self.catch_up()
            metric = self._for_reading(name, kind, key)
            return 0 if metric is None else sum(number.value for number in metric.containing(key))

    def _reset_after_fork(self) -> None:
        self._waiting.clear()
        for metric in self._metrics.values():
            for state in metric.series.values():  # in place, since others keep them
                state.reset()

    def __repr__(self) -> str:
        return f"<HttpMetrics {', '.join(self._metrics) or 'empty'}>"


_USE = {
    "counter": "add() and total()",
    "gauge": "set() and value()",
    "histogram": "observe() and mean()",
}


def _parse_number(name: str, value: Any) -> float:
    """A finite int or float, unconverted: counts of whole numbers stay whole."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            if math.isfinite(value):
                return value
        except OverflowError:  # an int that no float can hold
            pass
    raise ConfigurationError(f"{name} must be a finite number, not {value!r}")


def _parse_buckets(buckets: Any) -> tuple[float, ...]:
    if isinstance(buckets, str) or not isinstance(buckets, Iterable):
        raise ConfigurationError(f"buckets must be a list of increasing numbers, not {buckets!r}")
    bounds = tuple(float(_parse_number("a bucket's upper bound", bound)) for bound in buckets)
    if not bounds or any(low >= high for low, high in pairwise(bounds)):
        raise ConfigurationError(f"buckets must be increasing numbers, at least one, not {buckets!r}")
    return bounds
