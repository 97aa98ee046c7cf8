"""How long a service works on a request: distributions, each drawn from a random source that the caller owns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import ClassVar, Protocol, runtime_checkable

from ..core.checks import check_duration, suggests_keywords
from ..errors import ConfigurationError

__all__ = ["Constant", "Empirical", "Exponential", "Latency", "LogNormal", "Uniform", "latency_of"]

_Z99 = NormalDist().inv_cdf(0.99)


@runtime_checkable
class Latency(Protocol):
    """A distribution of seconds.

    mean: its expected value, from which a service's capacity follows.
    """

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        ...

    def draw(self, random: Random) -> float:
        """One value, in seconds."""
        ...


@suggests_keywords({})
@dataclass(frozen=True)
class Constant:
    """Always the same.   seconds: above 0."""

    seconds: float

    def __post_init__(self) -> None:
        check_duration("seconds", self.seconds, optional=False)

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        return self.seconds

    def draw(self, random: Random) -> float:
        """One value, in seconds."""
        return self.seconds


@suggests_keywords({})
@dataclass(frozen=True)
class Uniform:
    """Any value between two with the same chance.   least, most: seconds, above 0."""

    least: float
    most: float

    def __post_init__(self) -> None:
        for name in ("least", "most"):
            check_duration(name, getattr(self, name), optional=False)
        if self.most < self.least:
            raise ConfigurationError(f"most={self.most!r} is below least={self.least!r}; exchange them")

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        return (self.least + self.most) / 2

    def draw(self, random: Random) -> float:
        """One value, in seconds."""
        return self.least + (self.most - self.least) * random.random()


@suggests_keywords({})
@dataclass(frozen=True)
class Exponential:
    """Most values short, a few long: what a queueing theorist assumes.   expected: the mean, in seconds."""

    expected: float

    def __post_init__(self) -> None:
        check_duration("expected", self.expected, optional=False)

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        return self.expected

    def draw(self, random: Random) -> float:
        """One value, in seconds."""
        return random.expovariate(1 / self.expected)


@suggests_keywords({})
@dataclass(frozen=True)
class LogNormal:
    """What measured latencies of services mostly look like: a bulk, and a long tail.

    median, p99: half of the values are below the one, 99 % below the other; seconds, above 0.
    """

    median: float
    p99: float
    _mu: ClassVar[float]
    _sigma: ClassVar[float]

    def __post_init__(self) -> None:
        for name in ("median", "p99"):
            check_duration(name, getattr(self, name), optional=False)
        if self.p99 < self.median:
            raise ConfigurationError(f"p99={self.p99!r} is below median={self.median!r}; exchange them")
        # Of the normal distribution of their logarithms, computed once: it is drawn for every request.
        object.__setattr__(self, "_mu", math.log(self.median))
        object.__setattr__(self, "_sigma", math.log(self.p99 / self.median) / _Z99)

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        return self.median * math.exp(self._sigma**2 / 2)

    def draw(self, random: Random) -> float:
        """One value, in seconds."""
        return random.lognormvariate(self._mu, self._sigma)


@suggests_keywords({})
@dataclass(frozen=True)
class Empirical:
    """Values that were measured, each drawn with the same chance.   samples: seconds, at least one, all above 0."""

    samples: Sequence[float]

    def __post_init__(self) -> None:
        if (
            isinstance(self.samples, (str, bytes))
            or not isinstance(self.samples, Sequence)
            or not self.samples
        ):
            raise ConfigurationError(f"samples must be a list of seconds, not {self.samples!r}")
        for position, sample in enumerate(self.samples):
            check_duration(f"samples[{position}]", sample, optional=False)
        object.__setattr__(self, "samples", tuple(self.samples))

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        return sum(self.samples) / len(self.samples)

    def draw(self, random: Random) -> float:
        """One value, in seconds."""
        return self.samples[int(random.random() * len(self.samples))]


def latency_of(name: str, value: Latency | float) -> Latency:
    """The distribution that a setting stands for; a number of seconds is always the same.

    Raises ConfigurationError that names the setting.
    """
    if isinstance(value, (int, float)):
        check_duration(name, value, optional=False)
        return Constant(float(value))
    if isinstance(value, type) or not isinstance(value, Latency):
        raise ConfigurationError(
            f"{name} must be seconds or a distribution such as LogNormal(median=0.05, p99=0.5), not {value!r}"
        )
    return value
