"""The metrics of clients for Prometheus, by its official library.

A scrape reads what the clients have counted, and what they do at that instant. Between scrapes nothing happens here, and
nothing is kept: scrapes on several threads at once have consistent snapshots each. In the multiprocess mode of
prometheus_client a scrape reads files instead, and the collector writes them: see `worker_files`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..core.checks import check_count, check_function
from ..errors import ConfigurationError
from . import samples, series
from .collector import MetricsCollector
from .exemplars import span_exemplar
from .load import OTHER_SERVICES, ClientLoad
from .metrics import HttpMetrics
from .prometheus_metrics import COUNTS, GAUGES, readings
from .worker_files import WorkerFiles, is_multiprocess

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
else:
    Collector = object  # the library is not imported before a collector is made

__all__ = ["ObservedClient", "PrometheusCollector"]

CLIENT_LABEL = "client"
_GAUGES = {gauge.name: gauge for gauge in GAUGES}


class ObservedClient(Protocol):
    """An `HttpServiceClient`, as far as it is needed here."""

    _collector: MetricsCollector

    def _load(self, most_services: int) -> ClientLoad | None:
        """What the client does now; None once it is closed."""


Source = ObservedClient | MetricsCollector | HttpMetrics


class PrometheusCollector(Collector):
    """Shows the metrics of clients to Prometheus: ``registry.register(PrometheusCollector(client))``.

    clients: an `HttpServiceClient` (a view stands for its client); or a mapping of names to such, for several clients in one
        registry: their series have the name as a label, ``client``. An `HttpMetrics` or a `MetricsCollector` in place of a
        client has no gauges.
    exemplars: returns the labels of an exemplar when a call ends, such as the id of its trace, or None for no exemplar:
        `span_exemplar` for the current span of OpenTelemetry. They are kept for the durations and the errors of calls, and
        are in scrapes that ask for OpenMetrics.
    max_services: services that have gauges of their own; those of further ones are added up, with the label ``overflow``.

    Buckets, and the bound of the series of a counter, are those of `HttpMetrics`, which counts in any case: the collector
    adds nothing to a call. The counts of a closed client stay, since they are totals; its gauges are gone.

    In the multiprocess mode of prometheus_client the collector writes to the files of its process from now on, whether it is
    registered or not, and shows nothing itself: a `MultiProcessCollector` of that library does. Exemplars are lost there.

    Needs the extra `prometheus`. Raises ConfigurationError for a wrong argument, when prometheus_client is missing, and when
    two of the clients have the same metrics.
    """

    def __init__(
        self,
        clients: Source | Mapping[str, Source],
        *,
        exemplars: Callable[[], Mapping[str, str] | None] | None = None,
        max_services: int = 100,
    ) -> None:
        check_count("max_services", max_services)
        if exemplars is not None:
            check_function("exemplars", exemplars)
        if exemplars is span_exemplar:
            span_exemplar()  # what it needs may be missing: better an error now than a line in the log for each call
        self._library = _load_library()
        self._max_services = max_services
        named: list[tuple[str | None, Any]] = (
            list(clients.items()) if isinstance(clients, Mapping) else [(None, clients)]
        )
        if not named:
            raise ConfigurationError("PrometheusCollector needs a client, and the mapping has none")
        self._sources = [_Source(name, client) for name, client in named]
        _check_apart(self._sources)
        self._files = self._write_files() if is_multiprocess() else None
        if exemplars is not None:
            for source in self._sources:
                source.of_calls("exemplars").keep_exemplars(exemplars)

    def _write_files(self) -> WorkerFiles:
        named = {
            source.name or "": (source.of_calls("the files of several processes"), source.load)
            for source in self._sources
        }
        return WorkerFiles(named, self._max_services)

    def describe(self) -> list[Metric]:
        """The metrics without their samples, so that a registry refuses a second collector of the same names."""
        return [] if self._files is not None else _Families(self._library).all()

    def collect(self) -> list[Metric]:
        """The metrics as of now, for a scrape."""
        if self._files is not None:  # a scrape has them from the files of all processes
            return []
        families = _Families(self._library)
        for source in self._sources:
            families.add_counts(source.metrics.snapshot(), source.labels)
            load = source.load(self._max_services)
            if load is not None:
                families.add_gauges(load, source.labels)
        return families.all()

    def __repr__(self) -> str:
        names = [source.name for source in self._sources if source.name is not None]
        return f"<PrometheusCollector of {', '.join(names) or 'a client'}>"


class _Source:
    """A client, or what counts its calls.   labels: those that set its series apart from another client's."""

    def __init__(self, name: str | None, client: Any) -> None:
        if name is not None and (not isinstance(name, str) or not name.strip() or not name.isprintable()):
            raise ConfigurationError(f"the name of a client must be text, such as 'billing', not {name!r}")
        self.name = name
        self.labels = {} if name is None else {CLIENT_LABEL: name}
        self.load: Callable[[int], ClientLoad | None] = getattr(client, "_load", lambda most: None)
        collector = getattr(client, "_collector", client)
        self._collector = collector if isinstance(collector, MetricsCollector) else None
        metrics = client if self._collector is None else self._collector.metrics
        if not isinstance(metrics, HttpMetrics):
            raise ConfigurationError(
                "PrometheusCollector takes an HttpServiceClient, its HttpMetrics or MetricsCollector, or a mapping of names "
                f"to such, not {client!r}; of an adapter, pass adapter.client"
            )
        self.metrics: HttpMetrics = metrics

    def of_calls(self, what: str) -> MetricsCollector:
        """What counts the calls.   what: needs to know of each."""
        if self._collector is None:
            raise ConfigurationError(
                f"{what} need the client, or its MetricsCollector, in place of its HttpMetrics"
            )
        return self._collector


class _Families:
    """The families of one scrape, by the names that they have in a snapshot."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._families: dict[str, Any] = {}
        for count in COUNTS:
            if count.is_histogram:
                family = library.HistogramMetricFamily(count.name, count.help, unit="seconds")
            else:
                family = library.CounterMetricFamily(count.name, count.help)
            self._families[count.source] = family
        for gauge in GAUGES:
            self._families[gauge.name] = library.GaugeMetricFamily(gauge.name, gauge.help, unit=gauge.unit)

    def all(self) -> list[Any]:
        return list(self._families.values())

    def add_counts(self, snapshot: samples.MetricsSnapshot, client: Mapping[str, str]) -> None:
        """Add what was counted.   client: its label, if any."""
        for sample in snapshot.counters:
            family = self._family(sample.name, self._library.CounterMetricFamily)
            self._add(family, "_total", {**client, **dict(sample.labels)}, sample.value, sample.exemplar)
        for sample in snapshot.gauges:
            family = self._family(sample.name, self._library.GaugeMetricFamily)
            self._add(family, "", {**client, **dict(sample.labels)}, sample.value)
        for histogram in snapshot.histograms:
            family = self._family(histogram.name, self._library.HistogramMetricFamily)
            labels, exemplars = {**client, **dict(histogram.labels)}, dict(histogram.exemplars)
            for position, (bound, count) in enumerate(histogram.buckets):
                bucket = {**labels, "le": "+Inf" if bound == math.inf else repr(bound)}
                self._add(family, "_bucket", bucket, count, exemplars.get(position))
            self._add(family, "_count", labels, histogram.count)
            self._add(family, "_sum", labels, histogram.sum)

    def add_gauges(self, load: ClientLoad, client: Mapping[str, str]) -> None:
        """Add what a client does now.   client: its label, if any."""
        for name, values, value in readings(load):
            labels = dict(zip(_GAUGES[name].labels, values, strict=True))
            if labels.get("service") == OTHER_SERVICES:
                labels["overflow"] = "true"
            self._add(self._families[name], "", {**client, **labels}, value)

    def _family(self, name: str, make: Callable[[str, str], Any]) -> Any:
        """The family of a metric. One that the application has added to `HttpMetrics` keeps its name."""
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = make(name, "A metric of the application.")
        return family

    def _add(
        self,
        family: Any,
        suffix: str,
        labels: dict[str, str],
        value: float,
        kept: series.Exemplar | None = None,
    ) -> None:
        exemplar = None if kept is None else self._library.Exemplar(dict(kept.labels), kept.value, kept.at)
        family.samples.append(self._library.Sample(f"{family.name}{suffix}", labels, value, None, exemplar))


def _check_apart(sources: list[_Source]) -> None:
    """Refuse two clients that share their metrics: all calls would be counted twice."""
    names: dict[int, str | None] = {}
    for source in sources:
        other = names.setdefault(id(source.metrics), source.name)
        if other != source.name:
            raise ConfigurationError(
                f"the clients {other!r} and {source.name!r} have the same metrics, so all would be counted twice; "
                "pass one of them, or make each client with metrics of its own"
            )


def _load_library() -> Any:
    try:
        from prometheus_client import core
    except ImportError:
        raise ConfigurationError(
            "PrometheusCollector needs prometheus-client: pip install 'http-service-client[prometheus]'"
        ) from None
    return core
