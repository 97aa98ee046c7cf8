"""What a circuit breaker remembers of the results while its circuit is closed.

    CountWindow   the last so many results
    TimeWindow    the results of the last so many seconds

A window is fed each result and knows no state, no permits and no settings of a circuit: `failure_detector` judges what it has
counted. Constant memory and constant time for each result, however many there are.

Successes are counted without a lock. All else happens with the breaker's lock held.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..counter import Counter

__all__ = ["ROUNDING", "CountWindow", "Counts", "TimeWindow", "Window"]

ROUNDING = 1e-9
"""For a share of a count: 0.07 * 100 is 7.000000000000001 in binary floating point."""

_BUCKETS = 10


class Counts(NamedTuple):
    """Results in a window: how many, and how many of them were failures or slow (they may be both)."""

    calls: int
    failures: int
    slow: int


class Window(Protocol):
    """Counts results over a span.

    span: for messages, such as "the last 100 calls".
    count_success: counts a success that was not slow, before `ends_at`. The lock is *not* held.
    ends_at: an instant, from which on it takes `record_success`; None for never.
    """

    span: str

    @property
    def count_success(self) -> Callable[[], object]: ...

    @property
    def ends_at(self) -> float | None: ...

    def record_success(self) -> None:
        """Count such a success at any time. The lock is *not* held."""

    def record(self, *, is_failure: bool, is_slow: bool, is_counted: bool = False) -> None:
        """Count a result. The lock is held.   is_counted: the call was counted before, when it became slow."""

    def counts(self) -> Counts:
        """What it holds now. The lock is held."""
        ...


class CountWindow:
    """The last `size` results.

    Only the positions of failures and slow calls are kept, so that a success costs no more than the count of it.
    """

    __slots__ = ("_failures", "_others", "_size", "_slow", "_successes", "count_success", "ends_at", "span")

    def __init__(self, size: int) -> None:
        self.span = f"the last {size} calls"
        self._size = size
        self._successes = Counter()
        self.count_success = self._successes.advance
        self.ends_at: None = None
        self._others = 0
        self._failures: deque[int] = deque()
        self._slow: deque[int] = deque()

    def record_success(self) -> None:
        self.count_success()

    def record(self, *, is_failure: bool, is_slow: bool, is_counted: bool = False) -> None:
        position = self._position()
        if is_counted:
            position -= 1  # it takes no room of its own
        else:
            self._others += 1
        if is_failure:
            self._failures.append(position)
        if is_slow:
            self._slow.append(position)
        self._forget_before(position + 1 - self._size)

    def counts(self) -> Counts:
        position = self._position()
        self._forget_before(position - self._size)
        return Counts(min(position, self._size), len(self._failures), len(self._slow))

    def _position(self) -> int:
        """That of the next result."""
        return self._successes.read() + self._others

    def _forget_before(self, position: int) -> None:
        for positions in (self._failures, self._slow):
            while positions and positions[0] < position:
                positions.popleft()


class _Bucket:
    __slots__ = ("failures", "others", "slow", "successes")

    def __init__(self) -> None:
        self.successes = Counter()
        self.others = self.failures = self.slow = 0


class TimeWindow:
    """The results of the last `seconds`, exact to a tenth: a result is forgotten between 9/10 and 10/10 of them later.

    clock: monotonic seconds. One that steps back forgets nothing, and a result is forgotten in time from then on.
    lock: the breaker's own, reentrant where the breaker needs it to be.
    """

    __slots__ = ("_buckets", "_clock", "_length", "_lock", "count_success", "ends_at", "span")

    def __init__(self, seconds: float, clock: Callable[[], float], lock: object) -> None:
        self.span = f"the last {seconds:g} s"
        self._length = seconds / _BUCKETS
        self._clock = clock
        self._lock = lock
        self._buckets: deque[_Bucket] = deque([_Bucket()], maxlen=_BUCKETS)
        self.count_success = self._buckets[-1].successes.advance
        self.ends_at = clock() + self._length

    def record_success(self) -> None:
        if self._clock() >= self.ends_at:
            with self._lock:  # type: ignore[attr-defined]
                self._advance()
        self.count_success()

    def record(self, *, is_failure: bool, is_slow: bool, is_counted: bool = False) -> None:
        self._advance()
        bucket = self._buckets[-1]
        bucket.others += not is_counted
        bucket.failures += is_failure
        bucket.slow += is_slow

    def counts(self) -> Counts:
        self._advance()
        calls = sum(bucket.successes.read() + bucket.others for bucket in self._buckets)
        return Counts(
            calls,
            sum(bucket.failures for bucket in self._buckets),
            sum(bucket.slow for bucket in self._buckets),
        )

    def _advance(self) -> None:
        """Begin the buckets that are due; each one that the ring has no room for is forgotten."""
        now = self._clock()
        self.ends_at = min(self.ends_at, now + self._length)  # in case the clock stepped back
        due = math.floor((now - self.ends_at) / self._length) + 1
        if due <= 0:
            return
        for _ in range(min(due, _BUCKETS)):
            self._buckets.append(_Bucket())
        self.count_success = self._buckets[-1].successes.advance
        self.ends_at += due * self._length
