"""What is known of how long a service takes: a sketch of its latencies in bounded memory.

Theory. Each latency is counted in one of 64 buckets whose bounds grow by the factor (1 + 0.1) / (1 - 0.1). So a quantile is
within 10 % of the exact one, from 1 ms to about 4 minutes (the idea of DDSketch). Two windows of `window` seconds take turns:
a latency is forgotten between one and two windows after it was recorded. A window may be bounded in attempts, too. Then as many
are remembered at a high rate as at a low one, and a change is seen after so many.

An attempt that was ended before its response came (by its timeout, by the deadline, or as the loser of a hedge) has a latency too,
of which only a lower bound is known. To leave it out would make the service seem fast just when it is slow; to count the time that
it was given would do so as well. It is recorded with `is_cut=True`, and the estimate is that of Kaplan and Meier (1958): of those
that were still running at an instant, the share that ended there. So at each instant only those attempts count whose
fate there is known. An example, four attempts:

    ended at 1 s, cut at 2 s, ended at 3 s, ended at 3 s
    share within 1 s    1/4                     of four
    share within 2.5 s  1/4                     the second is unknown from 2 s on
    share within 3 s    1/4 + 3/4 * 2/2 = 1     of the two that still ran

Threads record without a lock. With the GIL no count is lost, since a thread does not yield it between the steps of
``counts[i] += 1`` (from Python 3.10 on it does so at calls and loops alone). Without the GIL two threads may write the same
count at once, and some of it be lost: less evidence, but never a wrong latency.
"""

from __future__ import annotations

import math
from bisect import bisect, bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager
from operator import add
from typing import Any, NamedTuple

from .circuit_breaker.windows import ROUNDING

__all__ = ["LatencySketch"]

_ACCURACY = 0.1
_GROWTH = (1 + _ACCURACY) / (1 - _ACCURACY)
_LEAST = 0.001  # seconds
_BUCKETS = 64  # the first for all that is faster, the last for all that is slower
_BOUNDS = [_LEAST * _GROWTH**i for i in range(_BUCKETS - 1)]
_VALUES = [_LEAST, *(bound * 2 * _GROWTH / (_GROWTH + 1) for bound in _BOUNDS[:-1]), _BOUNDS[-1]]
_STALE = 16  # a table of many attempts is made again when there is more news than this part of them
_MANY = 64


class _Table(NamedTuple):
    """An estimate.

    shares: of all attempts, those that end within each bucket or before it, by the estimate.
    known: how many attempts are known to have ended before each bucket's end or to have run into it.
    last: the last bucket that has any.   made_of: how many were recorded when it was made, of all times.   news: see `_STALE`.
    """

    shares: list[float]
    known: list[int]
    last: int
    made_of: int
    news: int


class LatencySketch:
    """The latencies of one service.

    clock: monotonic seconds.   lock: held for a moment when the windows take turns and when a table is made.
    window: seconds, see above.   size: attempts after which a window is over, too; None for any number.
    """

    __slots__ = (
        "_before",
        "_clock",
        "_cut",
        "_ended",
        "_full_at",
        "_lock",
        "_recorded",
        "_size",
        "_table",
        "_turns_at",
        "_window",
    )

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        lock: AbstractContextManager[Any],
        window: float = 60.0,
        size: int | None = None,
    ) -> None:
        self._clock = clock
        self._lock = lock
        self._window = window
        self._turns_at = clock() + window
        self._ended, self._cut = _nothing(), _nothing()  # by bucket, in the current window
        self._before = _nothing(), _nothing()  # the same, in the one before it
        self._recorded = 0
        self.resize(size)
        self._table: _Table | None = None

    def record(self, seconds: float, *, is_cut: bool = False) -> None:
        """Count an attempt.   is_cut: it was ended after this time, and would have taken longer."""
        if self._clock() >= self._turns_at or self._recorded >= self._full_at:
            self._turn()
        if is_cut:
            self._cut[bisect(_BOUNDS, seconds)] += 1
        else:
            self._ended[bisect(_BOUNDS, seconds)] += 1
        self._recorded += 1

    @property
    def count(self) -> int:
        """How many attempts it remembers."""
        if self._clock() >= self._turns_at:
            self._turn()
        return sum(map(sum, (self._ended, self._cut, *self._before)))

    def quantile(self, q: float, *, least: int = 1) -> float | None:
        """Seconds within which this share of the attempts ends, exact to 10 %; None when it knows fewer than `least` attempts.

        q: above 0, at most 1. When more than the rest was cut, the longest time that any attempt is known to have
            taken, which is a lower bound.   least: 1 or more.
        """
        table = self._estimate()
        if table.known[0] < least:
            return None
        return _VALUES[min(bisect_left(table.shares, q - ROUNDING), table.last)]

    def time_needed(self, chance: float, least: int) -> float:
        """The longest time within which fewer than this share of the attempts end, as at least `least` (1 or more) of them show.

        0.0 when nothing shows that any time is too short.
        """
        shares, known = (table := self._estimate()).shares, table.known
        bucket = min(bisect_left(shares, chance - ROUNDING), _BUCKETS - 1)
        while bucket and known[bucket - 1] < least:
            bucket -= 1
        return _BOUNDS[bucket - 1] if bucket else 0.0

    def resize(self, size: int | None) -> None:
        """Change the number of attempts in a window."""
        self._size = math.inf if size is None else size
        self._full_at = self._recorded + self._size

    def forget(self) -> None:
        """Forget all attempts: the service has changed."""
        with self._lock:
            self._ended, self._cut, self._before = _nothing(), _nothing(), (_nothing(), _nothing())
            self._table = None

    def __repr__(self) -> str:
        return f"<LatencySketch of {self.count} attempts>"

    def _estimate(self) -> _Table:
        table = self._table
        if self._clock() >= self._turns_at:
            self._turn()
        elif table is not None and self._recorded - table.made_of <= table.news:
            return table
        with self._lock:
            self._table = table = self._new_table_locked()
        return table

    def _new_table_locked(self) -> _Table:
        made_of = self._recorded
        ended = list(map(add, self._ended, self._before[0]))
        cut = list(map(add, self._cut, self._before[1]))
        total = known = running = sum(ended) + sum(cut)
        shares: list[float] = []
        fates: list[int] = []
        longer, last = 1.0, 0  # the share that takes longer
        for bucket in range(_BUCKETS):
            if ended[bucket]:
                longer *= 1 - ended[bucket] / running
            if ended[bucket] or cut[bucket]:
                last = bucket
            shares.append(1 - longer)
            fates.append(known)
            running -= ended[bucket] + cut[bucket]
            known -= cut[bucket]
        return _Table(shares, fates, last, made_of, total // _STALE if total >= _MANY else 0)

    def _turn(self) -> None:
        """Begin the window that is due. A clock that steps back prolongs the current one."""
        with self._lock:
            now = self._clock()
            is_full = self._recorded >= self._full_at
            if now < self._turns_at and not is_full:
                return  # another thread has
            is_next = now < self._turns_at + self._window
            self._before = (self._ended, self._cut) if is_next else (_nothing(), _nothing())
            self._ended, self._cut = _nothing(), _nothing()
            self._turns_at = self._turns_at + self._window if is_next and not is_full else now + self._window
            self._full_at = self._recorded + self._size
            self._table = None


def _nothing() -> list[int]:
    return [0] * _BUCKETS
