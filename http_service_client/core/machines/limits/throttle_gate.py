"""A throttle gate: while a service asks for a pause, no caller sends it anything.

A service that limits its rate answers 429, or 503 with Retry-After, and says when to come back. That holds for all callers of the same
client, not only for the one that got the answer: the others would be refused as well, and count against the limit. So such an
answer closes the gate until then. It is no evidence for the circuit: the service works.

A pause of a second or less closes nothing. It is the least that the header can say: a service that takes ten requests a second says
"1" where it means a tenth, and all callers together would make one request a second of them.

A longer pause than five minutes is kept to in parts. The number may be a mistake, or a lie, and a service that is asked once in
five minutes has its pause all the same: it repeats what it said.

The gate opens gently. Calls that wait for it do not pass in the same millisecond, but spread over a fifth of the pause, two
seconds at most; the call whose own retry is due passes first, and finds out for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...refusals import NUMBERS, Change, less, more, to

__all__ = ["Pause", "ThrottleGate"]

_LEAST = 1.0  # seconds
_MOST = 300.0
_SPREAD = 0.2  # of the pause
_MOST_SPREAD = 2.0  # seconds
_PATIENCE = 0.5  # of the attempt's timeout


class Pause(NamedTuple):
    """What decides whether a call waits for a pause to end. Seconds.

    left: of the pause.   waited: for it until now.   timeout: of the attempt, None for no limit.
    remaining: until the deadline, None without one.
    """

    left: float
    waited: float
    timeout: float | None
    remaining: float | None

    def is_too_long(self) -> bool:
        """Whether the call does not wait: the gate must open within half of its timeout, and before its deadline."""
        if self.timeout is not None and self.waited + self.left > _PATIENCE * self.timeout:
            return True
        return self.remaining is not None and self.left >= self.remaining

    def objection(self) -> str | None:
        """See `Decision`."""
        return "the pause is too long" if self.left and self.is_too_long() else None

    def changes(self) -> Sequence[Change]:
        """See `Decision`."""
        return _CHANGES

    def consequence(self) -> str:
        """See `Decision`."""
        return "sent"


_CHANGES = (
    to("timeout={}, half of which it may wait for the end of the pause", NUMBERS, timeout=...),
    more("{} s more until the deadline", "remaining"),
    less("a call {} s later, after the pause", "left"),
)


class ThrottleGate:
    """The gate of one origin. Its numbers are read and set without a lock: at worst, a call too many passes.

    clock: monotonic seconds.   opens_at: the instant; in the past while it is open.
    """

    __slots__ = ("_clock", "_pause", "opens_at")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pause = 0.0
        self.opens_at = clock()

    def close(self, seconds: float) -> None:
        """The service asks for a pause. A shorter one never opens the gate earlier."""
        if seconds <= _LEAST:
            return
        pause = min(seconds, _MOST)
        opens_at = self._clock() + pause
        if opens_at > self.opens_at:
            self._pause = pause  # first: `left` is never more than it
            self.opens_at = opens_at

    @property
    def left(self) -> float:
        """Seconds until it opens; 0.0 when it is open. A clock that steps back prolongs it by no more than one pause."""
        now = self._clock()
        left = self.opens_at - now
        if left > self._pause:
            left = self._pause
            self.opens_at = now + left
        return max(0.0, left)

    def wait(self, random: float) -> float:
        """Seconds for one of the waiting calls.   random: uniform in [0, 1)."""
        return self.left + random * min(_SPREAD * self._pause, _MOST_SPREAD)
