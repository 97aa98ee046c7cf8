"""The numbers of a metric: a series for each set of labels, and samples of them."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from ..errors import ConfigurationError

__all__ = [
    "LABEL_NAME", "METRIC_NAME", "Counter", "Distribution", "Exemplar", "Gauge", "Histogram", "Labels",
    "Metric", "Number", "check_name", "series_key",
]  # fmt: skip

Labels = tuple[tuple[str, str], ...]  # sorted by name

_OVERFLOW: Labels = (("overflow", "true"),)
METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # Prometheus reserves names that start with __


class Exemplar(NamedTuple):
    """One of the events that a counter or a bucket counts.

    labels: such as the ids of its trace.   value: what was observed.   at: seconds since the epoch.
    """

    labels: Labels
    value: float
    at: float


class Number:
    """The state of a counter or a gauge."""

    __slots__ = ("exemplar", "value")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As if nothing had been counted."""
        self.value: float = 0
        self.exemplar: Exemplar | None = None


class Distribution:
    """The state of a histogram. Call `observe` with the lock held."""

    __slots__ = ("bounds", "buckets", "count", "exemplars", "max", "min", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.reset()

    def reset(self) -> None:
        """As if nothing had been observed."""
        self.buckets = [0] * (len(self.bounds) + 1)
        self.count = 0
        self.sum = 0.0
        self.min = math.inf
        self.max = -math.inf
        self.exemplars: dict[int, Exemplar] = {}  # by the position of their bucket

    def observe(self, values: Sequence[float]) -> None:
        """Add values, at least one."""
        buckets, bounds = self.buckets, self.bounds
        for value in values:
            buckets[bisect_left(bounds, value)] += 1
        self.count += len(values)
        self.sum += sum(values)
        self.min = min(self.min, *values)
        self.max = max(self.max, *values)

    def keep(self, exemplar: Exemplar) -> None:
        """Keep an exemplar of the bucket that its value is in, in place of an earlier one."""
        self.exemplars[bisect_left(self.bounds, exemplar.value)] = exemplar


State = TypeVar("State")


class Metric(Generic[State]):
    """The series of one name. Call its methods with the lock held."""

    __slots__ = ("_max_series", "_new_state", "kind", "name", "series")

    def __init__(self, name: str, kind: str, new_state: Callable[[], State], max_series: int) -> None:
        self.name = name
        self.kind = kind
        self.series: dict[Labels, State] = {}
        self._new_state = new_state
        self._max_series = max_series

    def at(self, labels: Labels) -> State:
        """The series of these labels, created on first use."""
        state = self.series.get(labels)
        if state is None:
            for label, _ in labels:
                check_name("a label name", label, LABEL_NAME)
            if len(self.series) >= self._max_series:
                labels = _OVERFLOW
            state = self.series.get(labels)
            if state is None:
                state = self.series.setdefault(labels, self._make(labels))
        return state

    def _make(self, labels: Labels) -> State:
        return self._new_state()

    def has_label(self, name: str) -> bool:
        """Whether a series has a label of this name."""
        return any(name == label for labels in self.series for label, _ in labels)

    def containing(self, labels: Labels) -> Iterator[State]:
        """The series whose labels contain these."""
        required = set(labels)
        return (state for found, state in list(self.series.items()) if required.issubset(found))


Counter = Metric[Number]
Gauge = Metric[Number]
Histogram = Metric[Distribution]


def series_key(labels: Mapping[str, object] | None) -> Labels:
    """The labels as the key of a series: sorted, values as text. Names are checked when a series is created."""
    if not labels:
        return ()
    if not isinstance(labels, Mapping):
        raise ConfigurationError(
            f"labels must be a mapping such as {{'service': 'x'}}, or None, not {labels!r}"
        )
    try:
        return tuple(sorted([(name, _text(value)) for name, value in labels.items()]))
    except TypeError:
        raise ConfigurationError(f"label names must be text, unlike those of {labels!r}") from None


def _text(value: object) -> str:
    text = value if type(value) is str else str(value.value if isinstance(value, Enum) else value)
    if text.isascii():
        return text
    # A lone surrogate, of a header or a file name say, would fail each scrape of the process: it has no UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def check_name(what: str, name: object, grammar: re.Pattern[str]) -> None:
    if not isinstance(name, str) or grammar.fullmatch(name) is None:
        raise ConfigurationError(
            f"{what} must be letters, digits and underscores, such as 'status_code', not {name!r}"
        )
