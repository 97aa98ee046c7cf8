"""The calls of the last minutes: what is so now, and what takes longer than usual.

Theory. Time is cut into slots of ten seconds. A slot has a `Tally` for each origin and name of calls: a few counts, and
a histogram of durations. An event changes one tally of the newest slot, whatever came before. A window is the sum of
the newest slots, and so covers up to ten seconds more than was requested; what is older than the window is what is
*usual*. Slots that have ended never change, so reading them needs no lock.

Durations are counted in buckets from 0.1 ms to a day, each 9 % wider than the one before (2 to the power of 1/8). A
percentile is the middle of the bucket that the call of its rank is in, so it is within 4.5 % of the duration of that call,
or within 0.1 ms of it. The slowest call is kept as it was.

A call is counted when it ends, with its attempts. So each call costs one look-up, and its `AttemptFinished` events nothing.

Memory is bounded. A slot has at most 2,000 tallies; further origins share one. All slots together have 20,000: then the
oldest are dropped early, and the window says how many seconds it covers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.origins import without_key
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..errors import CallRefusedError
from ..events import (
    AttemptFinished,
    AuthContinued,
    CallFinished,
    CodingRefused,
    HedgeStarted,
    RedirectFollowed,
)

__all__ = [
    "LONGEST_WINDOW",
    "PERCENTILE_ERROR",
    "Key",
    "Recent",
    "RecentCalls",
    "Tally",
    "by_origin",
    "together",
]

PERCENTILE_ERROR = 0.045
"""Of the duration of the call that a percentile stands for: it may be so much more or less."""
LONGEST_WINDOW = 600.0  # seconds

_SLOT = 10.0  # seconds
_KEPT = 780.0  # seconds: the usual of the longest window comes from 3 minutes, that of a minute from 12
_MOST_OF_A_SLOT = 2_000
_MOST = 20_000
_GROWTH = 2 ** (1 / 8)
# The upper bounds of the buckets, in seconds: from 0.1 ms to a day. Below and above, a bucket each.
_BOUNDS = tuple(0.0001 * _GROWTH**number for number in range(240))
# Nothing was sent, so such a call says nothing about how long the service takes.
_KINDS: list[type[CallRefusedError]] = [CallRefusedError, *CallRefusedError.__subclasses__()]
_REFUSED = frozenset(kind.__name__ for kind in _KINDS)
_FURTHER: dict[type, str] = {
    AttemptFinished: "trials",
    AuthContinued: "auth",
    CodingRefused: "codings",
    HedgeStarted: "hedges",
    RedirectFollowed: "redirects",
}

Key = tuple[str, str] | str
"""The origin of calls and their name, or URL template; the origin alone of calls that have neither."""
_OTHERS = ""

_bucket = bisect_left


class Tally:
    """What calls of one kind came to, in one slot or several.

    calls: finished ones.   errors: of these, by status of 400 or above, or by class.   refused: of these, by the circuit or
    the throttle gate.   attempts, retries: of these; retries are those after a call's first.   trials: attempts that decided
    about an open circuit.   redirects, auth, codings, hedges: further exchanges, by their cause.
    buckets: how many calls were of which duration.   slowest: seconds.   slowest_call: its id, or "".
    """

    __slots__ = (
        *("attempts", "auth", "buckets", "calls", "codings", "errors", "hedges", "redirects", "refused"),
        *("retries", "slowest", "slowest_call", "trials"),
    )

    def __init__(self) -> None:
        self.calls = self.refused = self.attempts = self.retries = self.trials = 0
        self.redirects = self.auth = self.codings = self.hedges = 0
        self.errors: dict[str, int] = {}
        self.buckets: defaultdict[int, int] = defaultdict(int)
        self.slowest = 0.0
        self.slowest_call = ""

    @property
    def exchanges(self) -> int:
        """Requests on the wire."""
        return self.attempts + self.redirects + self.auth + self.codings + self.hedges

    @property
    def measured(self) -> int:
        """How many calls have a duration: those that were not refused."""
        return sum(self.buckets.values())

    def percentile(self, share: float) -> float | None:
        """The seconds within which this share of the calls ended, by the nearest rank; None without a call.

        share: above 0, up to 1, which is the slowest call.
        """
        count = self.measured
        if not count:
            return None
        rank = math.ceil(share * count - 1e-9)  # 0.95 × 20 is 19, not 20 for a rounding error
        if rank >= count:
            return self.slowest
        bucket = len(_BOUNDS)
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                break
        if bucket == len(_BOUNDS):
            return self.slowest
        # The geometric middle, which is at most 4.43 % away from both bounds.
        return min(_BOUNDS[bucket] / math.sqrt(_GROWTH) if bucket else _BOUNDS[0] / 2, self.slowest)

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.calls += other.calls
        self.refused += other.refused
        self.attempts += other.attempts
        self.retries += other.retries
        self.trials += other.trials
        self.redirects += other.redirects
        self.auth += other.auth
        self.codings += other.codings
        self.hedges += other.hedges
        for what, count in other.errors.items():
            self.errors[what] = self.errors.get(what, 0) + count
        for bucket, count in other.buckets.items():
            self.buckets[bucket] += count
        if other.slowest > self.slowest:
            self.slowest, self.slowest_call = other.slowest, other.slowest_call


class Recent(NamedTuple):
    """The calls of a window, and those before it.   seconds: that the window covers."""

    seconds: float
    window: Mapping[Key, Tally]
    usual: Mapping[Key, Tally]


class _Slot(NamedTuple):
    ends_at: float
    tallies: dict[Key, Tally]


class RecentCalls:
    """Counts the events of one client, for as long as they are recent.

    clock: monotonic seconds, such as the client's.
    lock: reentrant, and the same for all that counts the same events; None for one of its own. With two, a thread that
        counts and one that reads could wait for each other, if the garbage collector ends a call on either.

    Threads may share it. A forked child starts without calls: those of its parent are the parent's to report.
    """

    def __init__(self, clock: Callable[[], float], lock: ForkSafeLock | None = None) -> None:
        self._clock = clock
        self._lock = lock or ForkSafeLock()
        self._reset_after_fork()
        reset_in_forked_children(self)

    def _reset_after_fork(self) -> None:
        self._since = self._ends_at = self._clock()  # from when on all is known; when the newest slot ends
        self._tallies: dict[Key, Tally] = {}  # of the newest slot
        self._slots: deque[_Slot] = deque()
        self._size = 0  # tallies in all slots but the newest

    def collect(self, event: Any, now: float) -> None:
        """Count an event that came at `now`. It is an `Event` or a `StateChange`; most kinds are ignored."""
        self.collect_all([(event, now)])

    def collect_all(self, events: Sequence[tuple[Any, float]]) -> None:
        """Count events, each with the instant at which it came."""
        with self._lock:
            for event, now in events:
                kind = type(event)
                if kind is CallFinished:
                    self._count_call_locked(event, now)
                elif kind in _FURTHER and (kind is not AttemptFinished or event.is_trial):
                    self._count_further_locked(event, now)

    def _count_call_locked(self, event: CallFinished, now: float) -> None:
        # All fields in one step: those of a named tuple are slow to read one by one.
        seconds, _, _, service, attempts, status, error, _, _, _, template, call_id, call_name, _ = event
        if service[-1:] == ")":
            service = without_key(service)
        name = call_name or template
        key = service if name is None else (service, name)
        if now >= self._ends_at:
            self._begin_slot_locked(now)
        tally = self._tallies.get(key) or self._new_tally_locked(key)
        tally.calls += 1
        tally.attempts += attempts
        if attempts > 1:
            tally.retries += attempts - 1
        if status is None or status >= 400:
            what = error or str(status)
            tally.errors[what] = tally.errors.get(what, 0) + 1
            if error in _REFUSED:
                tally.refused += 1
                return
        tally.buckets[_bucket(_BOUNDS, seconds)] += 1
        if seconds > tally.slowest:
            tally.slowest, tally.slowest_call = seconds, call_id

    def _count_further_locked(self, event: Any, now: float) -> None:
        cause, service, name = _FURTHER[type(event)], without_key(event.key), event.call_name
        key = service if name is None else (service, name)
        if now >= self._ends_at:
            self._begin_slot_locked(now)
        tally = self._tallies.get(key) or self._new_tally_locked(key)
        setattr(tally, cause, getattr(tally, cause) + 1)

    def recall(self, window: float) -> Recent:
        """The calls of the last `window` seconds, and a few more: see above.

        Calls wait for it only while it reads the newest slot.
        """
        parts: tuple[dict[Key, Tally], dict[Key, Tally]] = ({}, {})  # usual, window
        with self._lock:
            now = self._clock()
            begins_at, since = now - window, self._since
            slots = [slot for slot in self._slots if slot.ends_at > now - _KEPT]
            if self._ends_at > now - _KEPT:
                _merge(parts[self._ends_at > begins_at], self._tallies)
                slots.append(_Slot(self._ends_at, {}))  # it is still written to
        covers_from = begins_at
        for slot in slots:
            is_inside = slot.ends_at > begins_at
            _merge(parts[is_inside], slot.tallies)
            if is_inside:
                covers_from = min(covers_from, slot.ends_at - _SLOT)
        return Recent(now - max(covers_from, since), parts[True], parts[False])

    def _begin_slot_locked(self, now: float) -> None:
        # In an order in which an event that the garbage collector causes between two lines is counted once.
        ended_at, self._ends_at = self._ends_at, now + _SLOT
        tallies, self._tallies = self._tallies, {}
        if tallies:
            self._slots.append(_Slot(ended_at, tallies))
            self._size += len(tallies)
        self._drop_locked(now)

    def _new_tally_locked(self, key: Key) -> Tally:
        if len(self._tallies) >= _MOST_OF_A_SLOT:
            key = _OTHERS
        tally = self._tallies.setdefault(key, Tally())
        if self._size + len(self._tallies) > _MOST:
            self._drop_locked(self._clock())
        return tally

    def _drop_locked(self, now: float) -> None:
        """Drop the slots that are too old, or too many."""
        slots = self._slots
        while slots and (slots[0].ends_at <= now - _KEPT or self._size + len(self._tallies) > _MOST):
            slot = slots.popleft()
            self._size -= len(slot.tallies)
            self._since = max(self._since, slot.ends_at)

    def __repr__(self) -> str:
        return f"<RecentCalls in {len(self._slots) + 1} slots>"


def _merge(into: dict[Key, Tally], tallies: Mapping[Key, Tally]) -> None:
    for key, tally in tallies.items():
        found = into.get(key)
        if found is None:
            found = into[key] = Tally()
        found.merge(tally)


def by_origin(tallies: Mapping[Key, Tally]) -> dict[str, Tally]:
    """The same calls, whatever their names."""
    found: dict[str, Tally] = {}
    for key, tally in tallies.items():
        found.setdefault(key if isinstance(key, str) else key[0], Tally()).merge(tally)
    return found


def together(tallies: Iterable[Tally]) -> Tally:
    """All of them in one."""
    found = Tally()
    for tally in tallies:
        found.merge(tally)
    return found
