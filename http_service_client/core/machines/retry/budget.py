"""A retry budget: when many calls fail, retries stop before they become the load.

Theory (Finagle's `RetryBudget`; *Site Reliability Engineering*, chapter 21). A client that tries three
times triples the load on a server that fails everything, at the worst moment. So calls pay for
retries. Over the last `window` seconds

    allowed = ratio * calls + min_per_second * window
    balance = max(0, floor(allowed) - retries)

The share `ratio` bounds the extra load, and `min_per_second` lets a client with few calls retry
at all. The window is a ring of ten buckets, so it is exact to a tenth: an event is forgotten between 9/10 and
10/10 of `window` later. Memory does not depend on the traffic.

The budget never waits. A retry is withdrawn before its wait, so that a refusal comes at once. It is held during
the wait and refunded if the retry is not made after all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from ...checks import check_number, suggests_keywords

__all__ = ["RetryBudget", "RetryBudgetSettings", "Withdrawal"]

_BUCKETS = 10


@suggests_keywords({})
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudgetSettings:
    """How much may be retried.

    ratio: retries per call, 0 or more; 0.2 is one retry for five calls.
    min_per_second: free retries per second, 0 or more.
    window: seconds that the budget looks back, 1 to 3600.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    ratio: float = 0.2
    min_per_second: float = 10.0
    window: float = 10.0

    def __post_init__(self) -> None:
        check_number("ratio", self.ratio, most=1000)
        check_number("min_per_second", self.min_per_second, most=1e9)
        check_number("window", self.window, least=1, most=3600, unit="of seconds ")

    def allowed(self, calls: int) -> int:
        """The retries allowed for this many calls in the window.

            allowed = floor(ratio * calls + min_per_second * window)

        >>> RetryBudgetSettings(ratio=0.2, min_per_second=10.0, window=10.0).allowed(50)
        110
        >>> RetryBudgetSettings(ratio=0.29, min_per_second=0.0).allowed(100)
        29
        """
        # 0.29 * 100 is 28.999999999999996 in binary floating point: adding a billionth corrects it.
        return math.floor(self.ratio * calls + self.min_per_second * self.window + 1e-9)


class Withdrawal:
    """One retry, paid for. `refund()` it when the retry is not sent."""

    __slots__ = ("_bucket", "_budget", "_is_refunded")

    def __init__(self, budget: RetryBudget, bucket: int) -> None:
        self._budget = budget
        self._bucket = bucket
        self._is_refunded = False

    def refund(self) -> None:
        """Return the retry to the budget. A second time does nothing, as does a retry older than the window."""
        self._budget._refund(self)


class RetryBudget:
    """The budget of one key. Count each call, and withdraw before each retry or hedge.

    settings: see `RetryBudgetSettings`.
    clock: seconds, monotonic; called with the lock held. A clock that steps back frees nothing: time
        stands still for that moment and goes on from there.
    lock: makes the budget safe among threads.
    """

    __slots__ = ("_bucket", "_calls", "_clock", "_lock", "_retries", "_settings", "_tick")

    counts_calls: Literal[True] = True  # it needs `record_call`

    def __init__(
        self, settings: RetryBudgetSettings, *, clock: Callable[[], float], lock: AbstractContextManager[Any]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._tick = self._tick_now()
        self._bucket = 0  # the number of buckets begun; modulo the ring's size, the index of the current one
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's calls must not pay for retries once more."""
        self._calls = [0] * _BUCKETS
        self._retries = [0] * _BUCKETS

    def reconfigure(self, settings: RetryBudgetSettings) -> None:
        """Take new settings. The calls and the retries of the window stay; under another window, as if they came now."""
        with self._lock:
            self._advance_locked(self._tick_now())
            before, self._settings = self._settings, settings
            if before.window != settings.window:
                calls, retries = sum(self._calls), sum(self._retries)
                self.reset_after_fork()
                self._calls[self._bucket % _BUCKETS], self._retries[self._bucket % _BUCKETS] = calls, retries
                self._tick = self._tick_now()

    def record_call(self) -> None:
        """Count a call that begins. Its retries and hedges are not calls."""
        with self._lock:
            tick = math.floor(self._clock() * _BUCKETS / self._settings.window)
            if tick != self._tick:  # most calls come in the same tick as the one before
                self._advance_locked(tick)
            self._calls[self._bucket % _BUCKETS] += 1

    def record_calls(self, count: int, seconds: float, failed: int) -> None:
        """Count calls that were not counted one by one.

        seconds: the time over which they came. Of a longer time than the window, only the window's share counts.
        failed: those of them that failed at first, which count as the others do.
        """
        window = self._settings.window
        with self._lock:
            self._advance_locked(self._tick_now())
            share = count if seconds <= window else round(count * window / seconds)
            self._calls[self._bucket % _BUCKETS] += share

    def record_success(self, withdrawal: object) -> None:
        """A call succeeded: it was counted when it began, and its retries stay paid."""

    def try_withdraw(self, **_: object) -> Withdrawal | None:
        """Withdraw one retry; None when the budget is spent.   _: those of a `RetryQuota`; here, all retries have one price."""
        with self._lock:
            if self._balance_locked() < 1:
                return None
            self._retries[self._bucket % _BUCKETS] += 1
            return Withdrawal(self, self._bucket)

    def shortfall(self, **_: object) -> float:
        """The retries that are missing for one to be withdrawn, 0.0 for none.   _: see `try_withdraw`."""
        with self._lock:
            return max(0.0, 1.0 - self._balance_locked())

    @property
    def balance(self) -> int:
        """How many retries could be withdrawn now, 0 or more."""
        with self._lock:
            return self._balance_locked()

    def __repr__(self) -> str:
        return f"<RetryBudget with {self.balance} left>"

    def _balance_locked(self) -> int:
        self._advance_locked(self._tick_now())
        return max(0, self._settings.allowed(sum(self._calls)) - sum(self._retries))

    def _refund(self, withdrawal: Withdrawal) -> None:
        with self._lock:
            if withdrawal._is_refunded:
                return
            withdrawal._is_refunded = True
            if self._bucket - withdrawal._bucket < _BUCKETS:
                self._retries[withdrawal._bucket % _BUCKETS] -= 1

    def _advance_locked(self, tick: int) -> None:
        """Begin the buckets that are due, clearing what they held one window ago."""
        before, self._tick = self._tick, tick
        for _ in range(min(tick - before, _BUCKETS)):  # none when the clock stepped back
            self._bucket += 1
            self._calls[self._bucket % _BUCKETS] = self._retries[self._bucket % _BUCKETS] = 0

    def _tick_now(self) -> int:
        return math.floor(self._clock() * _BUCKETS / self._settings.window)
