"""A histogram of durations with a bounded relative error, in constant memory.

Theory (C. Masson, J. E. Rim and H. K. Lee, "DDSketch", 2019): bins whose bounds grow by a constant factor give every
quantile within that factor, whatever the distribution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["Histogram"]

_GROWTH = 1.02  # so a quantile is exact to a hundredth
_SCALE = 1 / math.log(_GROWTH)
_LEAST = 1e-6  # seconds; what is shorter is counted in one bin, whose value is 0


class Histogram:
    """count, total: of the values, and their sum.   most: the largest one, exact; 0.0 without values."""

    __slots__ = ("_bins", "count", "most", "total")

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0
        self.total = self.most = 0.0

    def add(self, seconds: float) -> None:
        """Count one value, 0 or more."""
        index = math.ceil(math.log(seconds) * _SCALE) if seconds >= _LEAST else _SHORTEST
        bins = self._bins
        bins[index] = bins.get(index, 0) + 1
        self.count += 1
        self.total += seconds
        self.most = max(self.most, seconds)

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        """One histogram of the values of several."""
        whole = cls()
        for part in parts:
            for index, count in part._bins.items():
                whole._bins[index] = whole._bins.get(index, 0) + count
            whole.count += part.count
            whole.total += part.total
            whole.most = max(whole.most, part.most)
        return whole

    @property
    def mean(self) -> float | None:
        """The mean of the values, exact; None without values."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The value that this share of the values does not exceed, to 1 %; None without values."""
        if not self.count:
            return None
        rank, seen, index = share * self.count, 0, _SHORTEST
        for index in sorted(self._bins):
            seen += self._bins[index]
            if seen >= rank:
                break
        return 0.0 if index == _SHORTEST else min(self.most, float(2 * _GROWTH**index / (_GROWTH + 1)))


_SHORTEST = math.floor(math.log(_LEAST) * _SCALE) - 1
