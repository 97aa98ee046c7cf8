"""An adaptive limit: a bulkhead whose number of permits is found by what becomes of the calls.

Theory. A limit that people set is right on the day on which it was measured. This one measures all the time: how long answers
take, and how many are refused or late. `limit_algorithms` says how the limit follows from that; here is what goes into it, and
when. `overload` says what the result of a call shows. Besides, a call that takes `slow_call_duration` is late, and one that its
caller's deadline cut short is a sample of the latency if it has taken longer than usual by then, since the latency is at least
that.

The latency is that of the permit: the wait for it is our own queue, and says nothing about the service.

Results are looked at in windows. The first part of a window, as long as a call takes, is not counted: calls that began under
the former limit end in it. Then it lasts until there are enough results, and at least `_LEAST_SECONDS`. The typical latency is the
geometric mean, since a few calls that take a hundred times as long should not count as a hundred calls.

Dips (see `limit_algorithms`) begin at multiples of 20 seconds of the wall clock, or of 40, 80, …, where calls are long. Clients
whose clocks are right thus dip together, and see the service without a queue; where they are not, nothing else depends on it.

The permits are those of a `Bulkhead`, with its queue and its priorities. None is lost when the limit changes: a permit
that is released above the limit is not granted again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict

from ....errors import ConfigurationError
from ...checks import check_count, check_duration, suggests_keywords
from ..failure_kinds import Kind, parse_kinds
from .bulkhead import Bulkhead
from .bulkhead_settings import WAITS, BulkheadSettings
from .limit_algorithms import ALGORITHMS, LimitController, Window
from .overload import Evidence

__all__ = [
    "ADAPTIVE_LIMIT_RENAMED",
    "AdaptiveLimit",
    "AdaptiveLimitChanges",
    "AdaptiveLimitSettings",
    "AdaptiveLimitSnapshot",
]

_INITIAL, _LARGEST = 20, 200
_LEAST_SECONDS = 0.1  # of a window
_LEAST_LATENCY = 1e-6
_LONGEST_SETTLING = 60.0  # a machine that was suspended, or one call of an hour, must not stop it for as long
_log = math.log
_ENOUGH, _LEAST_RESULTS, _ROUNDS = 50, 10, 5
_DIP_EVERY = 20.0  # seconds
_DIP_COST = 50  # calls one after the other, at least, from one dip to the next
_DIP_PATIENCE = 10  # calls one after the other, at most, in one dip

Algorithm = Literal["gradient", "vegas", "aimd"]

ADAPTIVE_LIMIT_RENAMED = {
    "limit": "it is called initial_limit",
    "max_concurrent": "it is called max_limit; a limit that does not change is a bulkhead",
    "max_concurrency": "it is called max_limit",
    "min_concurrency": "it is called min_limit",
    "queue_size": "it is called max_waiting",
    "timeout": "it is called max_wait, or slow_call_duration",
}


_ANSWERED, _REFUSED, _LATE, _, _CUT_SHORT, _ = Evidence  # enum attribute access is slow (50 ns)


class AdaptiveLimitChanges(TypedDict, total=False):
    """Settings to change: see `AdaptiveLimitSettings`."""

    algorithm: Algorithm
    initial_limit: int | None
    min_limit: int
    max_limit: int | None
    max_waiting: int | None
    max_wait: float | None
    slow_call_duration: float | None
    overloads: Iterable[Kind] | None


@suggests_keywords(ADAPTIVE_LIMIT_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimitSettings:
    """How the number of calls in progress is found, and how many may wait.

    algorithm: "gradient" keeps the latency within about one and a half of what it is without a queue; "vegas" keeps the
        service's queue shorter, and needs an even latency for it; "aimd" looks at refused and late calls alone, for services
        that refuse what is too much.
    initial_limit: calls in progress at first, from `min_limit` to `max_limit`; None for 20, or as near to it as they allow.
    min_limit, max_limit: 1 or more. A `max_limit` of None is 200; in a client, as many as there are connections to an origin.
    max_waiting: calls that wait for a permit, 0 or more; None for twice as many as the limit is.
    max_wait: seconds that a call may wait (> 0); None for as long as its deadline allows. A deadline that is nearer holds.
    slow_call_duration: seconds from which on a call counts as late, also if it was answered (> 0); None for no such limit.
    overloads: what says that the service refuses calls since it has too much to do, beside 429, 503 and refused
        connections: a list of statuses, ranges of them, and exception classes, such as [529, ThrottlingError].

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    algorithm: Algorithm = "gradient"
    initial_limit: int | None = None
    min_limit: int = 1
    max_limit: int | None = None
    max_waiting: int | None = None
    max_wait: float | None = 1.0
    slow_call_duration: float | None = None
    overloads: Iterable[Kind] | None = None

    def __post_init__(self) -> None:
        if self.algorithm not in tuple(ALGORITHMS):  # which may be a list, and has no hash then
            *others, last = map(repr, ALGORITHMS)
            raise ConfigurationError(
                f"algorithm must be {', '.join(others)} or {last}, not {self.algorithm!r}"
            )
        check_count("min_limit", self.min_limit)
        for name in ("initial_limit", "max_limit"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if self.min_limit > self.largest_limit:
            raise ConfigurationError(
                f"min_limit must be at most max_limit={self.largest_limit}, not {self.min_limit}; change one of the two"
            )
        if not self.min_limit <= self.first_limit <= self.largest_limit:
            raise ConfigurationError(
                f"initial_limit must be from min_limit={self.min_limit} to max_limit={self.largest_limit}, "
                f"not {self.initial_limit}; change one of the three"
            )
        if self.max_waiting is not None:
            check_count("max_waiting", self.max_waiting, least=0)
        check_duration("max_wait", self.max_wait, no_limit=WAITS)
        check_duration("slow_call_duration", self.slow_call_duration)
        if self.overloads is not None:
            object.__setattr__(self, "overloads", parse_kinds(self.overloads, "overloads"))

    @property
    def largest_limit(self) -> int:
        """Calls in progress at most."""
        return (
            max(_LARGEST, self.min_limit, self.initial_limit or _LARGEST)
            if self.max_limit is None
            else self.max_limit
        )

    @property
    def first_limit(self) -> int:
        """Calls in progress at first."""
        return (
            min(max(_INITIAL, self.min_limit), self.largest_limit)
            if self.initial_limit is None
            else self.initial_limit
        )

    def with_connections(self, count: int) -> AdaptiveLimitSettings:
        """Those of a client with so many connections to an origin: a larger limit than them would limit nothing."""
        if self.max_limit is not None:
            return self
        return replace(self, max_limit=max(count, self.min_limit, self.initial_limit or count))

    def changed(self, changes: AdaptiveLimitChanges) -> AdaptiveLimitSettings:
        """With these changes. Raises TypeError for an unknown name."""
        known = [item.name for item in fields(self)]
        for name in changes:
            if name not in known:
                raise TypeError(
                    f"reconfigure takes no keyword {name!r}; those of an adaptive limit are {', '.join(known)}"
                )
        return replace(self, **changes)

    def bulkhead(self, limit: int, permits: int) -> BulkheadSettings:
        """Those of the permits, of which there are fewer than the limit in a dip. Calls that it holds up may wait."""
        waiting = 2 * limit if self.max_waiting is None else self.max_waiting
        return BulkheadSettings(
            max_concurrent=permits, max_waiting=waiting + limit - permits, max_wait=self.max_wait
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimitSnapshot:
    """An adaptive limit at one instant.

    limit: calls that may be in progress.   in_use: those that are.   waiting: calls in the queue.
    granted: calls that had to wait and got a permit, so far.   refused: calls that found the queue full, or were displaced.
    latency: typical seconds of an answer, of late.   baseline: the same without a queue. None before the first window.
    """

    limit: int
    in_use: int
    waiting: int
    granted: int
    refused: int
    latency: float | None
    baseline: float | None


class AdaptiveLimit:
    """The permits of one service, as many as it can do with.

    A caller takes a permit of `permits`, and calls `record` before it releases it.

    settings: see `AdaptiveLimitSettings`.   key: the name in errors and events.
    clock, wall_clock: monotonic seconds, and seconds since the epoch.
    lock: makes it safe among threads; reentrant. It is never held while a waiter is notified.
    """

    __slots__ = (
        *("_clock", "_closes_at", "_controller", "_count", "_dip_at", "_dip_ends_at", "_is_limited", "_lock"),
        *("_logs", "_longest", "_opens_at", "_peak", "_refused", "_late", "_settings", "_wall_clock"),
        *("key", "permits"),
    )  # fmt: skip

    _peak: int  # permits in use at most, in this window

    def __init__(
        self,
        settings: AdaptiveLimitSettings,
        *,
        key: str = "",
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        lock: AbstractContextManager[Any],
    ) -> None:
        self.key = key
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = lock
        self._settings = settings
        self._controller = LimitController(
            settings.algorithm, settings.first_limit, settings.min_limit, settings.largest_limit
        )
        self.permits = Bulkhead(
            settings.bulkhead(settings.first_limit, settings.first_limit), key=key, lock=lock
        )
        self._dip_at = -math.inf  # the first one as soon as callers are held up
        self._dip_ends_at = math.inf
        self._begin_window(clock(), 0.0)

    @property
    def settings(self) -> AdaptiveLimitSettings:
        """Those in use."""
        return self._settings

    @property
    def limit(self) -> int:
        """Calls that may be in progress now."""
        return self._controller.capacity

    def reconfigure(self, settings: AdaptiveLimitSettings) -> None:
        """Go by other settings. The limit stays as far as they allow it, and so do permits and waiting calls."""
        with self._lock:
            self._settings = settings
            self._controller.end_dip()
            self._controller.reconfigure(settings.algorithm, settings.min_limit, settings.largest_limit)
            self._begin_window(self._clock(), self._controller.latest)
        self.permits.reconfigure(self._permits())

    def held_up(self) -> None:
        """A caller found no permit free."""
        self._is_limited = True
        if self._clock() >= self._dip_ends_at:  # no call ends, so nothing else would end it
            self._give_up_dip()

    def record(self, began_at: float, evidence: Evidence, excess: float = 0.0) -> None:
        """Count the result of a call that has a permit, before the permit is released.

        began_at: when it got the permit.   excess: seconds since then that it has waited for something of our own.
        """
        now = self._clock()
        may_resize = False
        with self._lock:  # that of the permits, too
            in_use = self.permits._in_use_locked()
            if in_use > self._peak:
                self._peak = in_use
            if now >= self._opens_at:
                self._count_locked(now - began_at - excess, evidence)
                if now >= self._closes_at and self._has_enough():
                    self._close_window_locked(now)
                    may_resize = True
            if now >= self._dip_at:
                self._begin_dip_locked(now)
                may_resize = True
        if now >= self._dip_ends_at:
            self._give_up_dip()
        elif may_resize:
            self._resize()

    def snapshot(self) -> AdaptiveLimitSnapshot:
        """The limit and its permits, at one instant."""
        permits, controller = self.permits.snapshot(), self._controller
        return AdaptiveLimitSnapshot(
            limit=controller.capacity,
            in_use=permits.in_use,
            waiting=permits.waiting,
            granted=permits.granted,
            refused=permits.refused,
            latency=controller.latest or None,
            baseline=controller.latency or None,
        )

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's calls hold no permits here. What was learned of the service stays."""
        self.permits.reset_after_fork()
        self._give_up_dip()

    def __repr__(self) -> str:
        return (
            f"<AdaptiveLimit of {self.limit}, {self.permits.in_use} in use, {self.permits.waiting} waiting>"
        )

    def _begin_window(self, now: float, settling: float) -> None:
        """settling: seconds in which calls end that began before."""
        self._count = self._refused = self._late = self._peak = 0
        self._logs = self._longest = 0.0
        self._is_limited = False
        settling = min(settling, _LONGEST_SETTLING)
        self._opens_at: float = now + settling
        self._closes_at: float = self._opens_at + max(_LEAST_SECONDS, settling)

    def _count_locked(self, seconds: float, evidence: Evidence) -> None:
        slow = self._settings.slow_call_duration
        if evidence is _ANSWERED and (slow is None or seconds < slow):  # the usual case
            self._count += 1
            self._logs += _log(seconds if seconds > _LEAST_LATENCY else _LEAST_LATENCY)
        elif evidence is _REFUSED:
            self._refused += 1
        elif evidence is _LATE or evidence is _ANSWERED:
            self._late += 1
            self._longest = max(self._longest, seconds)
        elif evidence is _CUT_SHORT and seconds > self._controller.latency:
            self._count += 1
            self._logs += _log(seconds)  # which is above 0

    def _has_enough(self) -> bool:
        enough = max(_LEAST_RESULTS, min(_ENOUGH, _ROUNDS * self._controller.capacity))
        if self._controller.dip:
            enough //= 2  # it costs more to wait than to be wrong once
        return self._count + self._refused + self._late >= enough

    def _close_window_locked(self, now: float) -> None:
        results = self._count + self._refused + self._late
        latency = math.exp(self._logs / self._count) if self._count else None
        is_limited = self._is_limited or self._peak >= self._controller.capacity
        shares = self._refused / results, self._late / results
        window = Window(latency, *shares, self._peak, is_limited, results)
        self._controller.update(window, now)
        # Late calls that are still under way end later than any that was answered.
        settling = max(self._controller.latest, self._longest)
        self._begin_window(now, settling)
        self._dip_ends_at = self._latest_end(now) if self._controller.dip else math.inf

    def _begin_dip_locked(self, now: float) -> None:
        controller = self._controller
        if not controller.latency:
            return  # nothing could be compared
        if controller.begin_dip():
            self._begin_window(now, controller.latest)
            self._dip_ends_at = self._latest_end(now)
        every = _DIP_EVERY
        while every < _DIP_COST * controller.latency:
            every *= 2
        self._dip_at = now + every - self._wall_clock() % every

    def _latest_end(self, now: float) -> float:
        return now + 1.0 + _DIP_PATIENCE * self._controller.latest

    def _give_up_dip(self) -> None:
        """It came to no result: too few calls came, or none of them ends."""
        with self._lock:
            self._controller.end_dip()
            self._dip_ends_at = math.inf
            self._begin_window(self._clock(), self._controller.latest)
        self._resize()

    def _resize(self) -> None:
        # Threads may come here in another order than they changed the limit.
        while (permits := self._permits()) != self.permits.settings:
            self.permits.reconfigure(permits)

    def _permits(self) -> BulkheadSettings:
        return self._settings.bulkhead(int(self._controller.limit), self._controller.capacity)
