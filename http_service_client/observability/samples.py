"""Metrics as of one instant: plain values, imported when the first snapshot is taken."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from .series import Exemplar, Histogram, Labels, Metric, Number

__all__ = ["HistogramSample", "MetricsSnapshot", "Sample", "histogram_samples", "number_samples"]


@dataclass(frozen=True)
class Sample:
    """A counter or gauge as of one instant. `dict(sample.labels)` is a mapping of its labels.

    exemplar: the last event that was counted with one; None for none.
    """

    name: str
    labels: Labels
    value: float
    exemplar: Exemplar | None = field(default=None, repr=False)


@dataclass(frozen=True)
class HistogramSample:
    """A histogram as of one instant.

    buckets: pairs of an upper bound and the number of values at or below it; the last bound is infinite.
    exemplars: for some buckets, by their position, the last value in it that has an `Exemplar`.
    """

    name: str
    labels: Labels
    count: int
    sum: float
    min: float
    max: float
    buckets: tuple[tuple[float, int], ...]
    exemplars: tuple[tuple[int, Exemplar], ...] = field(default=(), repr=False)

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return self.sum / self.count


@dataclass(frozen=True)
class MetricsSnapshot:
    """All metrics as of one instant: plain values, to compare, hash and pickle."""

    counters: tuple[Sample, ...]
    gauges: tuple[Sample, ...]
    histograms: tuple[HistogramSample, ...]


def number_samples(metrics: Iterable[Metric[Number]]) -> tuple[Sample, ...]:
    return tuple(
        Sample(metric.name, labels, number.value, number.exemplar)
        for metric in metrics
        for labels, number in list(metric.series.items())
    )


def histogram_samples(metrics: Iterable[Histogram]) -> tuple[HistogramSample, ...]:
    return tuple(
        HistogramSample(
            metric.name, labels, one.count, one.sum, one.min, one.max,
            tuple(zip((*one.bounds, math.inf), accumulate(one.buckets), strict=True)),
            tuple(sorted(one.exemplars.items())),
        )
        for metric in metrics
        for labels, one in list(metric.series.items())
        if one.count
    )  # fmt: skip
