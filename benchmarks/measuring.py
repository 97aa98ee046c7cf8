"""Taking turns: each contender does a share of its work in each round, and each round gives a ratio.

A machine is never completely idle. Other load in a round disturbs all contenders of that round, so the ratio of two
of them is steady even where their times are not; the median over the rounds removes the rest.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """The time of one repetition in one round, in seconds."""

    cpu: float
    wall: float


class Spread(NamedTuple):
    """A median with the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)


# Repeats something. Returns its own sample of one repetition if the work was done in another process.
Work = Callable[[int], "Sample | None"]
Samples = dict[str, list[Sample]]


def take_turns(contenders: Mapping[str, Work], *, rounds: int, repeat: int) -> Samples:
    """`rounds` samples of each contender, of `repeat` repetitions, after one round to warm up.

    Each round has another order, the same in each run, so that no contender always follows the same one.
    """
    samples: Samples = {name: [] for name in contenders}
    order = random.Random(0)
    for number in range(-1, rounds):
        for name in order.sample(list(contenders), len(contenders)):
            sample = _sample(contenders[name], repeat)
            if number >= 0:
                samples[name].append(sample)
    return samples


def _sample(work: Work, repeat: int) -> Sample:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    own = work(repeat)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return own or Sample(cpu / repeat, wall / repeat)


def times(samples: Samples, name: str, kind: str) -> Spread:
    """Seconds of one repetition. kind: "cpu" or "wall"."""
    return Spread.of([getattr(sample, kind) for sample in samples[name]])


def ratios(samples: Samples, ours: str, theirs: str, kind: str) -> Spread:
    """Ours to theirs, round by round."""
    pairs = zip(samples[ours], samples[theirs], strict=True)
    return Spread.of([getattr(our, kind) / getattr(their, kind) for our, their in pairs])


def above(samples: Samples, ours: str, theirs: str, unit: str) -> Spread:
    """By how many times the CPU time of `unit` ours takes longer than theirs, round by round."""
    rounds = zip(samples[ours], samples[theirs], samples[unit], strict=True)
    return Spread.of([(our.cpu - their.cpu) / one.cpu for our, their, one in rounds])
