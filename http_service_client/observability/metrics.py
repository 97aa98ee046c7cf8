"""What a client counts and measures: counters, gauges and histograms in memory.

`HttpMetrics` keeps numbers and knows nothing of HTTP; `MetricsCollector` turns the events of calls into
such numbers. Nothing is sent anywhere from here: an exporter reads `HttpMetrics.snapshot()`.

A *metric* is a name with a kind. It holds a *series* for each set of labels. The labels of a question are
a filter: they name the series that contain them, and the answer is over all of those. So `total(name)` is
over everything, and `total(name, {"service": "x"})` over that service.

The number of series is bounded, as label values may come from user input: a metric holds `max_series`, and
what would be one more is counted in a single series labelled ``{"overflow": "true"}``. Totals stay true.
"""

from __future__ import annotations

import math
import os
import re
import threading
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..core.circuit_breaker import StateChange
    from ..events import (
        AttemptFinished,
        CallFinished,
        CircuitRefused,
        Event,
        RedirectFollowed,
        RetryScheduled,
        RetryStopped,
    )

__all__ = [
    "DURATION_BUCKETS",
    "HistogramSample",
    "HttpMetrics",
    "MetricsCollector",
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
        self._renew_lock()
        _ALL.add(self)

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

    def _renew_lock(self) -> None:
        # Reentrant: the garbage collector may end an abandoned call, which is counted, between any
        # two steps of a thread that holds this lock.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<HttpMetrics {', '.join(self._metrics) or 'empty'}>"


# The labels of what the collector counts. `outcome` becomes status_code, or error with its class name.
_LABELS = {
    "http_requests_total": ("service", "method", "outcome"),
    "http_errors_total": ("service", "outcome"),
    "http_attempts_total": ("outcome",),
    "http_retries_total": (),
    "http_retries_stopped_total": ("reason",),
    "http_redirects_total": ("status_code",),
    "http_circuit_refusals_total": ("service", "reason"),
    "http_circuit_state_changes_total": ("service", "state"),
}
_DURATION = "http_request_duration_seconds"


class MetricsCollector:
    """Turns the events of a client into metrics, and sums them up.

    metrics: the `HttpMetrics` to feed; None for a new one. Several clients may share one collector.

        name                                labels                               what
        http_requests_total                 service, method, status_code|error   calls that came to their end
        http_request_duration_seconds       service, method                      how long they took, waits included
        http_errors_total                   service, status_code|error           those with an error or status >= 400
        http_attempts_total                 status_code|error                    attempts
        http_retries_total                                                       retries
        http_retries_stopped_total          reason                               failures not followed by a retry
        http_redirects_total                status_code                          redirects followed
        http_circuit_refusals_total         service, reason                      attempts that a circuit refused
        http_circuit_state_changes_total    service, state                       circuits that went to this state

    `service` is the key of the call, such as ``https://api.example.com``. A call that a circuit refused is
    a call, an error, and a very short duration.

    Raises ConfigurationError when one of these names is something else in `metrics` already.
    """

    def __init__(self, metrics: HttpMetrics | None = None) -> None:
        if metrics is not None and not isinstance(metrics, HttpMetrics):
            raise ConfigurationError(f"metrics must be an HttpMetrics or None, not {metrics!r}")
        self._metrics = metrics = HttpMetrics() if metrics is None else metrics
        # What was resolved before: all that a further event of the same kind needs.
        self._calls: dict[tuple[str, str, object], tuple[_Number, _Distribution, _Number | None]] = {}
        self._counters: dict[tuple[object, ...], _Number] = {}
        # The collector's own sums: `metrics` may be fed by others, too.
        self._seconds = 0.0
        self._counted = dict.fromkeys(_LABELS, 0)
        with metrics._lock:
            metrics._histogram(_DURATION)
            for name in _LABELS:
                metrics._counter(name)

    @property
    def metrics(self) -> HttpMetrics:
        """Where the numbers go."""
        return self._metrics

    def collect(self, event: Event | StateChange) -> None:
        """Count an event. Events of a kind that is not known here are passed over."""
        count = _COUNT.get(type(event).__name__)
        if count is not None:
            count(self, event)

    def summary(self) -> dict[str, Any]:
        """The sum of what this collector was told: calls, errors, and seconds of a call on average."""
        with self._metrics._lock:
            counted, seconds = self._counted.copy(), self._seconds
        requests, errors = counted["http_requests_total"], counted["http_errors_total"]
        return {
            "total_requests": requests,
            "total_errors": errors,
            "error_rate": errors / requests if requests else 0.0,
            "average_response_time": seconds / requests if requests else 0.0,
            "retries": counted["http_retries_total"],
            "refusals": counted["http_circuit_refusals_total"],
        }

    # One method for each event. These run two or three times a call: look up, lock, count.

    def _call_finished(self, event: CallFinished) -> None:
        error, seconds = event.error, event.at
        key = (event.key, event.method, event.status_code if error is None else error)
        known = self._calls.get(key)
        if known is None:
            known = self._resolve_call(key)
        requests, durations, errors = known
        counted = self._counted
        with self._metrics._lock:
            self._seconds += seconds
            counted["http_requests_total"] += 1
            requests.value += 1
            durations.observe(seconds)
            if errors is not None:
                counted["http_errors_total"] += 1
                errors.value += 1

    def _attempt_finished(self, event: AttemptFinished) -> None:
        self._count(("http_attempts_total", event.status_code if event.error is None else event.error))

    def _retry_scheduled(self, event: RetryScheduled) -> None:
        self._count(("http_retries_total",))

    def _retry_stopped(self, event: RetryStopped) -> None:
        self._count(("http_retries_stopped_total", event.reason.name.lower()))

    def _redirect_followed(self, event: RedirectFollowed) -> None:
        self._count(("http_redirects_total", event.status_code))

    def _circuit_refused(self, event: CircuitRefused) -> None:
        self._count(("http_circuit_refusals_total", event.key, event.reason))

    def _state_change(self, event: StateChange) -> None:
        self._count(("http_circuit_state_changes_total", event.key, event.new))

    def _count(self, key: tuple[Any, ...]) -> None:
        """Raise a counter by one. `key` is its name and the values of its labels."""
        counter = self._counters.get(key)
        if counter is None:
            with self._metrics._lock:
                counter = self._resolve(key)
                if len(self._counters) < self._metrics._max_series:
                    self._counters[key] = counter
        with self._metrics._lock:
            self._counted[key[0]] += 1
            counter.value += 1

    def _resolve_call(self, key: tuple[str, str, object]) -> tuple[_Number, _Distribution, _Number | None]:
        service, method, outcome = key
        is_error = not isinstance(outcome, int) or outcome >= 400
        with self._metrics._lock:
            resolved = (
                self._resolve(("http_requests_total", *key)),
                self._metrics._histogram(_DURATION).at(_key({"service": service, "method": method})),
                self._resolve(("http_errors_total", service, outcome)) if is_error else None,
            )
            if len(self._calls) < self._metrics._max_series:
                self._calls[key] = resolved
        return resolved

    def _resolve(self, key: tuple[Any, ...]) -> _Number:
        name, *values = key
        labels = {
            ("status_code" if isinstance(value, int) else "error") if label == "outcome" else label: value
            for label, value in zip(_LABELS[name], values, strict=True)
        }
        return self._metrics._counter(name).at(_key(labels))

    def __repr__(self) -> str:
        return f"<MetricsCollector {self._counted['http_requests_total']} requests>"


# By the name of the class: a state change is the core's, which is not imported from here.
_COUNT: dict[str, Callable[[MetricsCollector, Any], None]] = {
    "CallFinished": MetricsCollector._call_finished,
    "AttemptFinished": MetricsCollector._attempt_finished,
    "RetryScheduled": MetricsCollector._retry_scheduled,
    "RetryStopped": MetricsCollector._retry_stopped,
    "RedirectFollowed": MetricsCollector._redirect_followed,
    "CircuitRefused": MetricsCollector._circuit_refused,
    "StateChange": MetricsCollector._state_change,
}

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


# A fork copies the memory, not the threads: a lock that another thread held would stay locked in the child.
_ALL: weakref.WeakSet[HttpMetrics] = weakref.WeakSet()


def _renew_all_locks() -> None:
    for metrics in list(_ALL):
        metrics._renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all_locks)
