"""The metrics of a client in the multiprocess mode of prometheus_client: for gunicorn's workers and the like.

Theory. In that mode each process writes its values to files of its own, and a scrape, in whichever process it arrives, adds
up the files of all. A custom collector is no part of a scrape then: it could only show its own process. So a client's
events are counted a second time, by the library's own counters and histograms, which write to such files; and its gauges
are written there once a second, while the process makes calls.

A thread does that, and calls only put their events into a queue:

1. The library has one lock for all metrics of the process, and it is not reentrant. The garbage collector may end an
   abandoned call while a thread of the application holds that lock; counting the call there would wait for ever. The
   `put` of a `SimpleQueue` may be interrupted by another one at any point.
2. A fork waits until the thread has released that lock (see `ForkBarrier`), or it would be held in the child for ever.
3. A call does not wait for files.

So a process that is killed loses the events of its last tenth of a second; one that exits loses none.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from ..drivers.forks import ForkBarrier, reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..drivers.loggers import branch, write
from ..errors import ConfigurationError
from .collector import MetricsCollector
from .load import OTHER_SERVICES, ClientLoad
from .metrics import HttpMetrics
from .prometheus_metrics import COUNTS, GAUGES, readings
from .series import Distribution, Labels, Metric, Number

__all__ = ["WorkerFiles", "is_multiprocess"]

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_COUNTS = {count.source: count for count in COUNTS}
_MODES = {gauge.name: gauge.mode for gauge in GAUGES}
_FURTHER = ("overflow", "client")  # labels of all metrics here; "" is the same as none
_REFRESH = 1.0  # seconds between two times that gauges are written
_REST = 0.1  # seconds between two times that events are counted

_WRITING = ForkBarrier()
# By the names of their clients.
_TAKEN: weakref.WeakValueDictionary[str, WorkerFiles] = weakref.WeakValueDictionary()


def is_multiprocess() -> bool:
    """Whether prometheus_client writes to files. It decides that once, when it is imported.

    Raises ConfigurationError where it could not know, or could not write.
    """
    from prometheus_client import values

    is_on = values.ValueClass is not values.MutexValue
    directory = os.environ.get(_DIRECTORY)
    if directory is not None and not is_on:
        raise ConfigurationError(
            f"{_DIRECTORY} was set after prometheus_client had been imported, which reads it once; "
            "set it where the server is started"
        )
    if directory is not None and not os.path.isdir(directory):
        raise ConfigurationError(
            f"{_DIRECTORY} is {directory!r}, which is no directory; make it, empty, before the server starts"
        )
    return is_on


class WorkerFiles:
    """Writes the metrics of clients to the files of this process.

    clients: for each, its name ("" for none), what counts its calls, and what says what it does now.
    max_services: see `PrometheusCollector`.
    """

    def __init__(
        self,
        clients: Mapping[str, tuple[MetricsCollector, Callable[[int], ClientLoad | None]]],
        max_services: int,
    ) -> None:
        from prometheus_client import Gauge

        for name in clients:
            if name in _TAKEN:
                raise ConfigurationError(
                    f"another PrometheusCollector of this process writes for {name or 'a client without a name'!r}; "
                    "pass one collector the clients by their names: PrometheusCollector({'billing': client, ...})"
                )
        self._max_services = max_services
        self._loads = {name: load for name, (_, load) in clients.items()}
        self._gauges = {
            gauge.name: Gauge(
                gauge.name,
                gauge.help,
                (*gauge.labels, *_FURTHER),
                registry=None,
                multiprocess_mode=f"live{gauge.mode}",  # type: ignore[arg-type]  # of a process that has ended, nothing
            )
            for gauge in GAUGES
        }
        self._lock = ForkSafeLock()
        self._reset_after_fork()
        reset_in_forked_children(self)
        for name, (collector, _) in clients.items():
            _TAKEN[name] = self
            count = MetricsCollector(_FileMetrics(name, collector.metrics)).collect
            collector.follow(partial(self._take, count))
        _ALL.add(self)

    def _reset_after_fork(self) -> None:
        # What waits in the queue is the parent's to count, and its thread does not exist here.
        self._events: SimpleQueue[tuple[Callable[[Any], None], Any]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._written_at = -math.inf
        self._has_failed = False
        self._shown: dict[tuple[str, tuple[str, ...]], None] = {}

    def _take(self, count: Callable[[Any], None], event: Any) -> None:
        self._events.put((count, event))
        if self._thread is None:  # the first event of this process
            self._thread = threading.Thread(
                target=_write_for_ever,
                args=(weakref.ref(self),),
                name="http-client-prometheus",
                daemon=True,
            )
            try:
                self._thread.start()
            except RuntimeError:
                # The process has too many threads, or it ends. The next event tries again, and the exit writes.
                self._thread = None

    def flush(self) -> None:
        """Count all events, and write all gauges."""
        self._written_at = -math.inf
        self._write()

    def _write(self) -> None:
        with _WRITING, self._lock:
            while True:
                try:
                    count, event = self._events.get_nowait()
                except Empty:
                    break
                self._try(count, event)
            now = time.monotonic()
            if now - self._written_at >= _REFRESH:
                self._written_at = now
                self._try(self._write_gauges)

    def _try(self, work: Callable[..., None], *arguments: Any) -> None:
        """Call what writes to files. An error, such as that of a full disk, costs its numbers, and no memory for those to come."""
        try:
            work(*arguments)
        except Exception:
            if not self._has_failed:  # the others would only repeat it
                self._has_failed = True
                text = "metrics cannot be written to the files of this process"
                write(
                    branch("metrics"), logging.ERROR, text, fields={"event": "metrics_failed"}, has_error=True
                )

    def _write_gauges(self) -> None:
        found: dict[tuple[str, tuple[str, ...]], float] = {}
        for client, load_of in self._loads.items():
            load = load_of(self._max_services)
            for name, labels, value in () if load is None else readings(load):
                overflow = "true" if labels and labels[0] == OTHER_SERVICES else ""
                found[name, (*labels, overflow, client)] = value
        for name, labels in self._shown.keys() - found.keys():
            # A series cannot be removed from a file. This is what changes no sum, no least and no largest one.
            found[name, labels] = math.inf if _MODES[name] == "min" else 0.0
        for (name, labels), value in found.items():
            self._shown[name, labels] = None
            self._gauges[name].labels(*labels).set(value)


def _write_for_ever(files: weakref.ref[WorkerFiles]) -> None:
    """Write as long as the collector lives.

    It looks at the queue again and again, and never waits for it: gevent may make a greenlet of this thread and know nothing
    of the queue, so that such a wait would stop its whole worker. `time.sleep` is looked up each time, and gevent's by then.
    """
    while (writer := files()) is not None:
        writer._write()
        del writer
        time.sleep(_REST)


class _FileMetrics(HttpMetrics):
    """Metrics whose numbers are in files.   client: the name of the client.   bounds: those of its own metrics."""

    def __init__(self, client: str, counted: HttpMetrics) -> None:
        super().__init__(max_series=counted._max_series, buckets=counted._bounds)
        self._client = client

    def _new(self, name: str, kind: str, new_state: Callable[[], Any]) -> Metric[Any]:
        from prometheus_client import Counter, Histogram

        count = _COUNTS[name]
        labels = (*sorted(self._declared[name]), *_FURTHER)
        family: Any
        if kind == "histogram":
            family = Histogram(count.name, count.help, labels, registry=None, buckets=self._bounds)
        else:
            family = Counter(count.name, count.help, labels, registry=None)

        def at(found: Mapping[str, str]) -> Any:
            values = {**dict.fromkeys(labels, ""), "client": self._client, **found}
            return family.labels(*(values[label] for label in labels))

        metric = _FileMetric(name, kind, new_state, self._max_series)
        metric.at_labels = at
        self._metrics[name] = metric
        return metric


class _FileMetric(Metric[Any]):
    """The series of one name.   at_labels: the child of the library's metric that has these labels."""

    __slots__ = ("at_labels",)

    at_labels: Callable[[Mapping[str, str]], Any]

    def _make(self, labels: Labels) -> Any:
        child = self.at_labels(dict(labels))
        return _FileDistribution(child) if self.kind == "histogram" else _FileNumber(child)


class _FileNumber(Number):
    """A counter in a file. It reads as 0, so that ``value += amount`` adds the amount to the file."""

    __slots__ = ("_child",)

    def __init__(self, child: Any) -> None:
        self._child = child

    @property
    def value(self) -> float:
        return 0

    @value.setter
    def value(self, amount: float) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._child.inc(amount)

    def reset(self) -> None:
        """Nothing: in a forked child the library begins another file."""


class _FileDistribution(Distribution):
    """A histogram in a file."""

    __slots__ = ("_child",)

    def __init__(self, child: Any) -> None:
        self._child = child

    def observe(self, values: Sequence[float]) -> None:
        for value in values:
            self._child.observe(value)

    def reset(self) -> None:
        """Nothing, as above."""


_ALL: weakref.WeakSet[WorkerFiles] = weakref.WeakSet()


def _flush_all() -> None:
    for files in list(_ALL):
        files.flush()


atexit.register(_flush_all)
