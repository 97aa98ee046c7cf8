"""How the limit of an adaptive limit changes: three algorithms, and the baseline that two of them compare with.

Theory. A service works on W requests at once. With fewer in flight it has workers to spare. Of more, some wait in its queue:
all become slower, and none is done sooner. Nobody tells a client what W is, but it can see two things:

    drops      requests that the service refused, or did not answer in time
    latency    with n > W in flight it is n / W times that without a queue, which is called the *baseline* (Little's law)

After each window of results the limit L takes one step. r is the window's latency divided by the baseline:

    too many refused   L * 0.9, then 0.8, 0.7, … 0.5          whatever the algorithm: more of the results were refused or late
    too many late      the same, or L * (1 - share / 2)       than the baseline's share, 5 % and what chance may add
    aimd               L + 1
    gradient           L * min(1, 1.5 / r) + sqrt(L)          rests where r is a little above 1.5: the queue is half of W
    vegas              by the queue, L * (1 - 1 / r):         grows below sqrt(L) queued requests, shrinks above 2 * sqrt(L)

At first it doubles, until a window is slower or shows that the limit is too large. It grows only after a window in which it held
callers up, or was reached: a limit that nobody reaches would be far too high when the load comes. What was refused is not tried
again for `_HOLD` seconds: a service that refuses at once answers many more requests than one that works on them, and half of
all results would be refusals.

The baseline is what such algorithms go wrong about, in either direction:

    drift      a latency that was measured with a queue becomes the baseline; the limit grows, and the queue with it
    pinning    a service that has become slower is taken for a full one; the limit sinks to its least, and stays there

So the latency counts for the baseline only where the limit is not the reason for it:

    at first                the limit waits for a dip, or for a window in which nobody is held up
    nobody was held up      the baseline follows the latency, sooner downwards than upwards
    callers are held up     now and then there is a *dip*: the limit is halved for a window, and again as long as that makes the
                            service faster. Where it does not, there is no queue, and the latency is the new baseline.
    the limit has halved,   its size is not the reason. It shrinks no further before the next dip has measured again.
    and the service is as
    slow as before

One client's dip does not empty a queue that the others fill. So it is the caller of this machine that begins the dips, at instants
that all clients of a service have in common.

The same holds for refusals. Where even the least limit is refused more often than it should, they have another reason than the
limit (a bug that answers 503, say), and their share is the baseline. Calls are late by the queue, so fewer are when the limit
has halved; if not, they have another reason, too (requests that hang). If nearly all is refused or late, the service is down,
and the limit stays at its least.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["ALGORITHMS", "LimitController", "Window"]

_TOLERATED = 0.05  # share of the results
_DOWN = 0.9
_BACKOFF, _LEAST_BACKOFF = 0.1, 0.5
_HOLD = 5.0  # seconds
_SLOWDOWN = 1.5  # that the gradient tolerates
_LEAST_GRADIENT = 0.5
_UNIMPROVED = 0.8  # of the latency before
_UPWARDS, _DOWNWARDS = 0.1, 0.3  # the weight of a window in the baseline


class Window(NamedTuple):
    """What a window of results showed.

    latency: the typical seconds of those that were answered; None when none was.
    refused, late: their shares of the results, 0 to 1.   peak: the most calls in flight.
    is_limited: callers were held up, or the next one would have been.
    results: how many there were, 1 or more. Of a few, the shares say little.
    """

    latency: float | None
    refused: float = 0.0
    late: float = 0.0
    peak: int = 0
    is_limited: bool = True
    results: int = 1000


def gradient(limit: float, ratio: float) -> float:
    """In proportion to how much slower the service is than is tolerated, and some headroom.

    >>> gradient(100.0, 1.2), gradient(100.0, 2.0), gradient(100.0, 9.0)
    (110.0, 85.0, 60.0)
    """
    return limit * max(_LEAST_GRADIENT, min(1.0, _SLOWDOWN / ratio)) + math.sqrt(limit)


def vegas(limit: float, ratio: float) -> float:
    """By the number of requests in the service's queue, as far as the latency shows it.

    >>> vegas(100.0, 1.0), vegas(100.0, 1.25), vegas(100.0, 2.0)
    (110.0, 100.0, 85.0)
    """
    queue, root = limit * (1.0 - 1.0 / ratio), math.sqrt(limit)
    if queue < root:
        return limit + root
    return limit - max(0.0, queue - 2.0 * root) / 2.0


def aimd(limit: float, ratio: float) -> float:
    """One more, however slow the service is."""
    return limit + 1.0


ALGORITHMS: dict[str, Callable[[float, float], float]] = {"gradient": gradient, "vegas": vegas, "aimd": aimd}


def _tolerated(share: float, results: int) -> float:
    """The share of drops that is not the limit's: that of the baseline, and what chance adds to it."""
    return share + _TOLERATED + 3 * math.sqrt(share * (1 - share) / results)


class LimitController:
    """The limit as a number, and its baseline. It has no clock and no lock, and knows no calls.

    algorithm: a name in `ALGORITHMS`.   least, most: bounds of the limit.
    limit: what it is apart from dips.   dip: how often it is halved just now; 0 between dips.
    latency, refused, late: the baseline. A latency of 0.0 is unknown.
    latest: the latency of the last window that had one.
    """

    __slots__ = (
        *("_backoffs", "_ceiling", "_dip_before", "_is_limited", "_is_measured", "_is_starting", "_may_be_slower"),
        *("_late_from", "_shrinks_from", "_tries_at"),
        *("algorithm", "dip", "late", "latency", "latest", "least", "limit", "most", "refused"),
    )  # fmt: skip

    def __init__(self, algorithm: str, initial: int, least: int, most: int) -> None:
        self.algorithm, self.least, self.most = algorithm, least, most
        self.limit = float(initial)
        self.latency = self.refused = self.late = self.latest = 0.0
        self.dip, self._dip_before = 0, 0.0  # the latency before the last halving
        self._is_limited = False
        self._is_starting = True  # it doubles
        self._is_measured = False  # the baseline is more than the first latency that came
        self._shrinks_from: tuple[float, float] | None = None  # limit and latency before it began to shrink
        self._may_be_slower = False  # the service, so that the baseline is too low
        self._backoffs = 0  # windows one after the other, of which too much was refused
        self._late_from: tuple[float, float] | None = None  # limit and share before it shrank for late calls
        # A limit of which too many calls were refused, and when it is tried again.
        self._ceiling, self._tries_at = math.inf, 0.0

    @property
    def capacity(self) -> int:
        """The limit that holds now."""
        return max(self.least, int(self.limit / 2**self.dip))

    def reconfigure(self, algorithm: str, least: int, most: int) -> None:
        """Go by other settings. The limit, as far as they allow it, and the baseline stay."""
        self.algorithm, self.least, self.most = algorithm, least, most
        self.limit = min(max(self.limit, float(least)), float(most))

    def update(self, window: Window, now: float) -> None:
        """Take the step that a window leads to.   now: monotonic seconds."""
        latency, dip, self.dip = window.latency, self.dip, 0
        self._is_limited = window.is_limited
        if latency is not None:
            self.latest = latency
            self.latency = self.latency or latency
        is_late = window.late > _tolerated(self.late, window.results)
        if is_late or window.refused > _tolerated(self.refused, window.results):
            self._backoffs += 1
            step, before = max(_LEAST_BACKOFF, 1 - _BACKOFF * self._backoffs), self.limit
            self._shrink_for_drops(before * min(step, 1 - window.late / 2), window, now)
            if is_late and self.limit < before:
                self._judge_late(before, window.late)
        elif latency is None:
            return
        elif dip:
            self._end_or_deepen(dip, latency)
        else:
            self._backoffs, self._late_from = 0, None
            self.refused += _UPWARDS * min(0.0, window.refused - self.refused)
            self.late += _UPWARDS * min(0.0, window.late - self.late)
            self._step(latency, window, now)

    def begin_dip(self) -> bool:
        """Whether a dip begins now: callers are held up, and the baseline matters."""
        if not self._is_limited or self.dip or not self.latency or self.algorithm == "aimd":
            return False
        self.dip, self._dip_before = 1, self.latest
        return True

    def end_dip(self) -> None:
        """End one that came to no result."""
        self.dip = 0

    def _end_or_deepen(self, dip: int, latency: float) -> None:
        has_improved = latency < _UNIMPROVED * self._dip_before
        if has_improved and self.limit / 2**dip > self.least:
            self.dip, self._dip_before = dip + 1, latency
            return
        self.latency = latency
        self._is_measured = True
        self._may_be_slower, self._shrinks_from = False, None

    def _step(self, latency: float, window: Window, now: float) -> None:
        ratio = latency / self.latency
        after = ALGORITHMS[self.algorithm](self.limit, ratio)
        # Also where the latency does not matter later: by doubling, it would be far too large once.
        if ratio > _SLOWDOWN:
            self._is_starting = False
        if after < self.limit:
            self._is_starting = False
            self._shrink_for_latency(after, latency, window)
        else:
            self._shrinks_from = None
            if window.is_limited and (self._is_measured or self.algorithm == "aimd"):
                self._grow(2 * self.limit if self._is_starting else after, now)
        if not window.is_limited:
            weight = _DOWNWARDS if latency < self.latency else _UPWARDS
            self.latency += weight * (latency - self.latency)
            self._is_measured, self._may_be_slower = True, False

    def _grow(self, after: float, now: float) -> None:
        if after >= self._ceiling:
            if now < self._tries_at:
                after = max(self.limit, self._ceiling - 1)
            else:
                self._ceiling = math.inf
        self.limit = min(float(self.most), after)

    def _shrink_for_latency(self, after: float, latency: float, window: Window) -> None:
        if self._may_be_slower or 2 * window.peak < self.limit:
            return  # so few in flight are not the reason
        if self._shrinks_from is None:
            self._shrinks_from = (self.limit, self.latest)
        limit_before, latency_before = self._shrinks_from
        self.limit = max(float(self.least), limit_before / 2, after)
        if self.limit <= limit_before / 2:
            self._may_be_slower = latency >= _UNIMPROVED * latency_before
            self._shrinks_from = None

    def _shrink_for_drops(self, after: float, window: Window, now: float) -> None:
        self._is_starting, self._shrinks_from = False, None
        if 2 * window.peak < self.limit:  # so few in flight are not the reason
            self.refused += _UPWARDS * (window.refused - self.refused)
            self.late += _UPWARDS * (window.late - self.late)
            return
        self._ceiling = min(self._ceiling, math.floor(self.limit))
        self._tries_at = now + _HOLD
        self.limit = max(float(self.least), after)
        if self.limit <= self.least:
            if window.late <= _TOLERATED and window.refused <= _DOWN:
                self.refused = window.refused
                self._is_measured = True  # whatever the latency is, it is not that of a queue
            self._is_starting, self._ceiling = True, math.inf  # what is found again may be another

    def _judge_late(self, before: float, share: float) -> None:
        """Whether the limit is the reason for late calls: then they become fewer as it shrinks."""
        if self._late_from is None:
            self._late_from = (before, share)
        limit_before, share_before = self._late_from
        if self.limit <= max(limit_before / 2, self.least):
            self._late_from = None
            if share <= _DOWN and share >= _UNIMPROVED * share_before:
                self.late = (share + share_before) / 2
