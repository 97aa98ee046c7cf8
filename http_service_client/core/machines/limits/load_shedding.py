"""Load shedding: calls that a service would reject for overload are rejected here, in proportion, before they are sent.

Theory (adaptive throttling, in Google's SRE book, "Handling overload"). To reject a request costs a service nearly as much as to
accept a small one. A service that gets ten times what it can do may be busy with nothing but rejections, and its clients are the
only ones who can spare it that. Each client counts the calls of the last `window` seconds, and sheds a call with the chance

    P = (calls - K * accepted) / (calls + 1)    at least 0, at most `max_shed`

where the calls that it shed itself count as calls. So it sends about K times as many calls as the service accepts. With K = 2,
nothing is shed while the service accepts half of the calls; in a great overload it rejects as many as it accepts. When the service
recovers, it accepts what is sent, K times as much is sent next, and so on: nothing needs to be noticed or reset.

`overload` says which results are rejections: 429, 503, 504, refused connections and timeouts. A 500 is accepted: it has been
worked on, and comes as often if less is sent. A call counts when its result is known: 100 calls in flight say nothing yet.

If 503s come by chance, independent of the load, the formula goes wrong above a share of 1 - 1/K: the calls that pass are
rejected as often as before, so the share of those that are shed grows without end. Therefore there are two bounds, which
also let the service's recovery be seen: `max_shed`, and `min_rate`, the calls a second that pass whatever happens.

Priorities. K - 1 is the headroom: how many calls too many are sent, for each that is accepted. Important calls have more of it:

    background    low    normal    high    critical
         1/4      1/2       1        2        4       of K - 1

so they are shed last, and by the same law: they get through as long as the service can do the important ones.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypedDict

from ....errors import ConfigurationError
from ...checks import check_duration, check_number, suggests_keywords
from ...priority import Priority
from ...refusals import Change, to
from ..counter import Counter
from ..failure_kinds import Kind, parse_kinds

__all__ = [
    "LOAD_SHEDDING_RENAMED",
    "LoadShedder",
    "LoadSheddingChanges",
    "LoadSheddingSettings",
    "LoadSheddingSnapshot",
    "SheddingRefusal",
]

_BUCKETS = 10
_HEADROOM = (0.25, 0.5, 1.0, 2.0, 4.0)  # by priority
_NORMAL = Priority.NORMAL
_MULTIPLIERS = tuple(tenths / 10 for tenths in range(12, 1001))  # above the least one, to 100

LOAD_SHEDDING_RENAMED = {
    "k": "it is called multiplier",
    "overload_factor": "it is called multiplier",
    "max_rejection_rate": "it is called max_shed",
    "max_rejection_probability": "it is called max_shed",
    "rps_threshold": "it is called min_rate",
    "failure_rate_threshold": "write multiplier=1/(1-rate): with 2.0, calls are shed above a failure rate of 0.5",
}


class LoadSheddingChanges(TypedDict, total=False):
    """Settings to change: see `LoadSheddingSettings`."""

    multiplier: float
    window: float
    max_shed: float
    min_rate: float
    overloads: Iterable[Kind] | None


@suggests_keywords(LOAD_SHEDDING_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSheddingSettings:
    """How much is shed when a service rejects calls for overload.

    multiplier: K, how many calls are sent for each that the service accepts; 1.1 to 100. Calls are shed when it accepts less
        than 1/K of them. Lower values shed sooner.
    window: seconds that the counts look back; 1 to 3600. A service that has recovered has all calls again after about two.
    max_shed: 0 to 0.99, the largest share that is shed.
    min_rate: calls a second (on average over the window) that are never shed, 0 or more.
    overloads: what says that the service rejects calls since it has too much to do, beside 429, 503, 504, refused
        connections and timeouts: a list of statuses, ranges of them, and exception classes, such as [529, ThrottlingError].

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    multiplier: float = 2.0
    window: float = 10.0
    max_shed: float = 0.9
    min_rate: float = 0.1
    overloads: Iterable[Kind] | None = None

    def __post_init__(self) -> None:
        check_number("multiplier", self.multiplier, least=1.1, most=100)
        check_duration("window", self.window, optional=False)
        check_number("window", self.window, least=1, most=3600, unit="of seconds ")
        check_number("min_rate", self.min_rate, unit="of calls a second ")
        if self.overloads is not None:
            object.__setattr__(self, "overloads", parse_kinds(self.overloads, "overloads"))
        check_number("max_shed", self.max_shed, most=1)
        if self.max_shed > 0.99:
            raise ConfigurationError(
                f"max_shed must be at most 0.99, not {self.max_shed!r}: some calls must pass, or the service's recovery "
                "would not be seen"
            )

    def changed(self, changes: LoadSheddingChanges) -> LoadSheddingSettings:
        """With these changes. Raises TypeError for an unknown name."""
        known = [item.name for item in fields(self)]
        for name in changes:
            if name not in known:
                raise TypeError(
                    f"reconfigure takes no keyword {name!r}; those of load shedding are {', '.join(known)}"
                )
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSheddingSnapshot:
    """What was counted in the window, at one instant.

    accepted, rejected: calls with a result.   shed: calls that were not sent.
    share: 0 to 1, the chance with which the next call of normal priority is shed.
    """

    accepted: int
    rejected: int
    shed: int
    share: float


class SheddingRefusal(NamedTuple):
    """Why a call was shed, for `explain(why=True)`.

    drawn: the random number.   calls, accepted: of the window.   level: the call's priority.
    """

    drawn: float
    calls: int
    accepted: int
    level: int
    multiplier: float
    max_shed: float

    @property
    def share(self) -> float:
        """The chance with which the call was shed."""
        multiplier = 1.0 + (self.multiplier - 1.0) * _HEADROOM[self.level]
        share = (self.calls - multiplier * self.accepted) / (self.calls + 1)
        return min(self.max_shed, max(0.0, share))

    def objection(self) -> str | None:
        """See `core.refusals.Decision`."""
        return "shed" if self.drawn < self.share else None

    def changes(self) -> Sequence[Change]:
        """See `core.refusals.Decision`."""
        above = [
            to(f'priority("{each.name.lower()}")', level=each.value) for each in Priority if each > self.level
        ]
        return (*above, to("multiplier={} of the load shedding", _MULTIPLIERS, multiplier=...))

    def consequence(self) -> str:
        """See `core.refusals.Decision`."""
        return "sent"


class LoadShedder:
    """Decides for each call whether it is sent, by what became of the others.

    settings: see `LoadSheddingSettings`.   key: the name in errors and events.
    clock: monotonic seconds. One that steps back forgets nothing.   random: uniform in [0, 1).
    lock: makes it safe among threads.

    A forked child goes on with its parent's counts: they are about the service, not about the process.
    """

    __slots__ = (
        *("_accepted", "_buckets", "_clock", "_count_accepted", "_ends_at", "_length", "_lock", "_random"),
        *("_settings", "key", "rejected", "shed"),
    )  # fmt: skip

    def __init__(
        self,
        settings: LoadSheddingSettings,
        *,
        key: str = "",
        clock: Callable[[], float],
        random: Callable[[], float],
        lock: AbstractContextManager[Any],
    ) -> None:
        self.key = key
        self._clock = clock
        self._random = random
        self._lock = lock
        self._settings = settings
        self._length = settings.window / _BUCKETS
        self.rejected = self.shed = 0  # in all buckets
        self._accepted = Counter()  # since the beginning: to count one takes no lock
        self._count_accepted = self._accepted.advance
        # Of each, how many were accepted before it, were rejected and were shed.
        self._buckets: deque[list[int]] = deque([[0, 0, 0]])
        self._ends_at = clock() + self._length

    @property
    def settings(self) -> LoadSheddingSettings:
        """Those in use."""
        return self._settings

    def reconfigure(self, settings: LoadSheddingSettings) -> None:
        """Go by other settings. The counts stay, for a window from now on if its length has changed."""
        with self._lock:
            self._advance_locked()
            if settings.window != self._settings.window:
                self._length = settings.window / _BUCKETS
                self._buckets = deque([[self._buckets[0][0], self.rejected, self.shed]])
                self._ends_at = self._clock() + self._length
            self._settings = settings

    @property
    def accepted(self) -> int:
        """Calls of the window that the service accepted."""
        with self._lock:
            return self._accepted.read() - self._buckets[0][0]

    @property
    def passes_all(self) -> bool:
        """Whether nothing that it remembers would have a call shed: the usual case. It may say no longer than it needs to."""
        return not self.rejected and not self.shed

    def admit(self, level: Priority = _NORMAL) -> SheddingRefusal | None:
        """None if a call of this priority may be sent; else why it is shed."""
        with self._lock:
            self._advance_locked()
            asked = self._asked_locked(level)
            share = asked.share
            if share <= 0.0 or not self._may_shed_locked() or (drawn := self._random()) >= share:
                return None
            self._buckets[-1][2] += 1
            self.shed += 1
            return asked._replace(drawn=drawn)

    def record_accepted(self) -> None:
        """Count a call that the service accepted."""
        if self._clock() >= self._ends_at:
            with self._lock:
                self._advance_locked()
        self._count_accepted()

    def record_rejected(self) -> None:
        """Count a call that the service rejected for overload."""
        with self._lock:
            self._advance_locked()
            self._buckets[-1][1] += 1
            self.rejected += 1

    def share(self, level: Priority = _NORMAL) -> float:
        """The chance with which the next call of this priority is shed."""
        with self._lock:
            self._advance_locked()
            return self._asked_locked(level).share if self._may_shed_locked() else 0.0

    def snapshot(self) -> LoadSheddingSnapshot:
        """The counts, at one instant."""
        share = self.share()
        return LoadSheddingSnapshot(
            accepted=self.accepted, rejected=self.rejected, shed=self.shed, share=share
        )

    @property
    def is_idle(self) -> bool:
        """Whether it would shed nothing, so that to forget it costs nothing."""
        with self._lock:
            self._advance_locked()
            return not self.rejected and not self.shed

    def __repr__(self) -> str:
        return f"<LoadShedder {self.accepted} accepted, {self.rejected} rejected, {self.shed} shed>"

    def _may_shed_locked(self) -> bool:
        """More have passed than `min_rate` says."""
        return self.accepted + self.rejected >= self._settings.min_rate * self._settings.window

    def _asked_locked(self, level: Priority) -> SheddingRefusal:
        settings, accepted = self._settings, self.accepted
        calls = accepted + self.rejected + self.shed
        return SheddingRefusal(0.0, calls, accepted, level, settings.multiplier, settings.max_shed)

    def _advance_locked(self) -> None:
        """Begin the buckets that are due, and forget those that are too old."""
        now = self._clock()
        self._ends_at = min(self._ends_at, now + self._length)  # in case the clock stepped back
        if now < self._ends_at:
            return
        due = math.floor((now - self._ends_at) / self._length) + 1
        self._ends_at += due * self._length
        buckets = self._buckets
        for _ in range(min(due, _BUCKETS)):
            buckets.append([self._accepted.read(), 0, 0])
            if len(buckets) > _BUCKETS:
                _, rejected, shed = buckets.popleft()
                self.rejected -= rejected
                self.shed -= shed
