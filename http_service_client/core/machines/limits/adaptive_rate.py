"""An adaptive rate: slow down when the service throttles, and speed up again while it does not.

The rate of a service is not known, or it changes with its load and with the number of its callers. Each throttling response (429,
or 503 with Retry-After) says that the present rate is too high, and each success that it is not. Two ways to go on from there,
both known from TCP:

    "aimd"     after a throttling response 0.7 of the rate, then a straight line back: 3 % of the rate at which it was throttled for each
               second. A cycle takes ten seconds at any rate, and in it about 0.85 of the limit is used
    "cubic"    (RFC 9438, and the adaptive mode of the AWS SDKs) 0.7 of the rate, then a curve: fast at first, flat near the rate at
               which it was throttled, then fast again. It is longer near the limit, and finds one that has grown sooner

               rate(t) = 0.4 * (t - k)**3 + w        w: the rate at which it was throttled, k = cbrt(w * (1 - 0.7) / 0.4)

Rules, each learned from an implementation that lacks it:

1. Several throttling responses to calls that were under way together are one piece of news. Only a call that began after
   the last slow-down can cause another; otherwise a burst of ten would end at 0.7**10 = 3 % of the rate.
2. A rate that is not used is not known to be allowed: it grows to no more than twice the measured rate of calls. But a
   pause of the program is no news about the service, so it lowers nothing.
3. Only successes speed up. While nothing succeeds, time alone proves nothing.

The measured rate is that of calls that begin, over half-seconds, smoothed: 0.8 of the new one and 0.2 of the old one.
"""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["AdaptiveRate"]

_KEPT = 0.7  # of the rate, after a throttling response
_SCALE = 0.4  # of the curve
_STEP = 0.03  # of the rate at which it was throttled, for each second of the line
_HEADROOM = 2.0  # times the measured rate
_LEAST = 0.1  # calls a second
_SPAN = 0.5  # seconds
_NEWEST = 0.8


class AdaptiveRate:
    """Calls a second that the service seems to admit.

    way: see above.   most: calls a second, at most; None for any number.
    rate: the present one; None as long as the service has never throttled and there is no `most`.
    """

    __slots__ = ("_counted", "_measured", "_slowed_at", "_span_at", "_throttled_rate", "_way", "most", "rate")

    def __init__(self, way: Literal["aimd", "cubic"], most: float | None, now: float) -> None:
        self._way = way
        self.most = most
        self.rate = most
        self._counted = 0
        self._span_at = now
        self._measured = 0.0
        self._throttled_rate = 0.0
        self._slowed_at = -math.inf

    @property
    def measured(self) -> float:
        """Calls a second that began lately."""
        return self._measured

    def count(self, now: float) -> None:
        """A call begins."""
        self._counted += 1
        elapsed = now - self._span_at
        if elapsed >= _SPAN:
            newest = self._counted / elapsed
            # In the first span there is nothing old to smooth with.
            self._measured = (
                newest if not self._measured else _NEWEST * newest + (1 - _NEWEST) * self._measured
            )
            self._counted, self._span_at = 0, now

    def throttled(self, now: float, began_at: float) -> float | None:
        """A throttling response to a call that began at this instant. Returns the rate from now on."""
        if began_at <= self._slowed_at:
            return self.rate
        present = self._measured or self._counted / max(now - self._span_at, _SPAN)
        if self.rate is not None:
            present = min(present, self.rate)
        self._throttled_rate, self._slowed_at = max(present, _LEAST), now
        self._set(_KEPT * present)
        return self.rate

    def succeeded(self, now: float) -> float | None:
        """Any other response of a service that works. Returns the rate from now on."""
        if self.rate is None or self._slowed_at == -math.inf:
            return self.rate
        elapsed, at = max(0.0, now - self._slowed_at), self._throttled_rate
        if self._way == "cubic":
            k = (at * (1 - _KEPT) / _SCALE) ** (1 / 3)
            rate = _SCALE * (elapsed - k) ** 3 + at
        else:
            rate = at * (_KEPT + _STEP * elapsed)
        rate = min(rate, max(self.rate, _HEADROOM * self._measured))
        self._set(max(rate, self.rate))
        return self.rate

    def reconfigure(self, way: Literal["aimd", "cubic"], most: float | None) -> None:
        """Take other settings. What was found out stays."""
        never_throttled = self._slowed_at == -math.inf
        self._way, self.most = way, most
        if never_throttled or self.rate is None:
            self.rate = most
        else:
            self._set(self.rate)

    def _set(self, rate: float) -> None:
        rate = max(rate, _LEAST)
        self.rate = rate if self.most is None else min(rate, self.most)
