"""What a service said is left of its quotas, and what follows for the calls to come.

A response says: so many requests are left, and there will be more in so many seconds. Until then, no more than these are
sent (draft-ietf-httpapi-ratelimit-headers-11, "Client Behavior"). Three things make that less simple than it sounds:

    other requests are under way    they may or may not be counted in the number, so they are taken off it. When none is
                                    under way any more, the lowest number of the window is the truth
    responses overtake each other   within one window, a number never grows. It is another window if the earliest instant
                                    that a response can mean is after the latest one that an earlier response meant
    the reset is no promise         at the instant of the reset of a quota that was used up, one call is let through to
                                    find out; its response says how many may follow

While much is left, calls go as fast as they like. The last fifth of a quota is spread evenly over the time until the
reset, so that its end is no cliff: a service is called a little slower for a while, and not at all for a while is rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ....http.fields.rate_limits import ReportedQuota

__all__ = ["ReportedQuotas"]

_MOST = 16  # quotas
_ROUNDED = 1.0  # seconds: resets are sent in whole ones
_RESERVE = 0.2  # of a quota, is spread
_PROBE = 10.0  # seconds after which another call finds out, if the first one is still under way


class _Quota:
    """left: calls that may begin before `resets_at`.   lowest: the lowest number that was reported in this window.

    limit: of a whole window, as far as it is known.
    resets_at: the latest instant that a response can have meant.   not_before: the earliest one.
    """

    __slots__ = ("left", "limit", "lowest", "not_before", "resets_at")

    def __init__(self, left: float, lowest: int, limit: int, resets_at: float, not_before: float) -> None:
        self.left = left
        self.lowest = lowest
        self.limit = limit
        self.resets_at = resets_at
        self.not_before = not_before

    def gap(self, now: float) -> float:
        """Seconds between calls, so that what little is left (1 or more) lasts until the reset; 0.0 while much is left."""
        if self.left > self.limit * _RESERVE:
            return 0.0
        return (self.resets_at - now) / (self.left + 1)


class ReportedQuotas:
    """The quotas of one origin or key. Not safe among threads by itself: its owner holds a lock.

    All instants are monotonic seconds.
    """

    __slots__ = ("_in_flight", "_is_probing", "_quotas", "_taken_at")

    def __init__(self) -> None:
        self._quotas: dict[str, _Quota] = {}
        self._in_flight = 0
        self._is_probing = False
        self._taken_at = -math.inf  # when the last call began

    def report(self, reported: Sequence[ReportedQuota], began_at: float, now: float) -> None:
        """The response to a call, which `finish` has ended, says what is left.   began_at: when the call was made.

        A call that was let through to find out, and learned nothing, has learned that the service limits it no more.
        """
        was_probing, self._is_probing = self._is_probing, False
        if was_probing and not reported:
            self._quotas.clear()
        for quota in reported:
            left, resets_at = quota.remaining - self._in_flight, now + quota.reset
            not_before = began_at + quota.reset - _ROUNDED
            known = self._quotas.get(quota.name)
            if known is None and len(self._quotas) >= _MOST:
                continue
            if known is None or max(not_before, began_at) >= known.resets_at or was_probing:
                limit = quota.remaining if known is None else max(quota.remaining, known.limit)
                known = _Quota(left, quota.remaining, limit, resets_at, not_before)
                self._quotas[quota.name] = known
            elif resets_at >= known.not_before:
                known.resets_at = min(known.resets_at, resets_at)
                known.not_before = max(known.not_before, not_before)
                known.lowest = min(known.lowest, quota.remaining)
                known.left = min(known.left, left)
                if not self._in_flight:
                    known.left = known.lowest
            # Otherwise it is late, from the window before.
            if quota.limit is not None:
                known.limit = quota.limit

    def take(self, now: float) -> None:
        """A call begins."""
        self._in_flight += 1
        self._taken_at = now
        for quota in self._quotas.values():
            quota.left -= 1

    def give_back(self) -> None:
        """The call was not made."""
        self.finish()
        for quota in self._quotas.values():
            quota.left += 1

    def finish(self) -> None:
        """A call is no longer under way, however it ended."""
        if self._in_flight:
            self._in_flight -= 1
        if self._is_probing and not self._in_flight:  # it found nothing, unless a report follows
            for quota in self._quotas.values():
                quota.left = max(quota.left, 1)

    def wait(self, now: float, position: int = 0) -> float:
        """Seconds until a call may begin that has so many before it; 0.0 at once."""
        longest = 0.0
        for name, quota in list(self._quotas.items()):
            if quota.resets_at <= now:
                self._reset(name, quota, now)
            elif quota.left < position + 1:
                longest = max(longest, quota.resets_at - now)
            elif not self._is_probing and (gap := quota.gap(now)):
                longest = max(longest, self._taken_at + gap - now + position * gap)
        return longest

    def reset_after_fork(self) -> None:
        """In a forked child, no call is under way."""
        self._in_flight = 0

    @property
    def left(self) -> float:
        """Calls that may begin before the next reset; infinite if nothing is known."""
        return max(0.0, min((quota.left for quota in self._quotas.values()), default=math.inf))

    def _reset(self, name: str, quota: _Quota, now: float) -> None:
        """There should be more of it now. If it was used up, one call finds out."""
        if quota.left >= 1 and not self._is_probing:
            del self._quotas[name]
            return
        self._is_probing = True
        quota.left, quota.lowest = 1, quota.limit
        quota.resets_at = now + _PROBE
