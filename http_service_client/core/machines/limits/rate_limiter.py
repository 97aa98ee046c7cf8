"""A rate limiter: so many calls a second, and no more; callers beyond them wait for their turn in order.

Theory. A *token bucket* gains `rate` tokens a second, holds at most `burst`, and a call takes one. The *generic cell rate algorithm*
(GCRA, ITU-T I.371) keeps the instant at which the bucket would be full again, and a call moves it by 1/rate. These are two
descriptions of one machine: the bucket's level is `burst` less what is missing until that instant. So there is no choice between
them here. The state is GCRA's, one number, and the words are the bucket's. With `burst=1` calls are evenly spaced.

The number counts in tokens, not in seconds: `spent` is compared with `earned = rate * (now - since)`. Adding 1 to a float is exact, and
adding 1e-6 s to an uptime of months is not. While spent <= earned the bucket is full; otherwise spent - earned tokens are missing.

    a call comes, nobody waits, a token is there     spent += 1
    a call comes, otherwise                          it joins the queue, or is refused if its turn would come too late
    time passes                                      the turns that are due are granted, first come, first served
    a turn is released before its use                it leaves the queue, or its token is back
    the clock steps back                             no time has passed: nothing is lost, and nothing is due twice

Nobody runs the limiter: it has no thread and no timer. Each waiter has a timer for the instant at which its own turn is due, by
its position, and the first one that fires grants all turns that are due. When turns move forward, since one before them
left or the rate grew, the head of the queue is woken, so that it sets a new timer; it does the same for the next one. So a turn
usually costs one wait, no cancellation costs more than one wake-up, and a waiter that never comes back (its loop is closed, its
thread hangs) stops nobody: its token is lost, and the timers of the others go on.

Timers fire late. A caller that was waiting when its token came, and was woken x seconds later, would have made its next call
x seconds earlier: so the schedule may lag behind the clock by as much, at most `_LATEST`, and the tokens of that time are not
lost. In any span of t seconds there are at most burst + rate * t calls, plus rate * x after a timer that was late by x.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, NamedTuple

from ....http.fields.rate_limits import ReportedQuota
from ...timeouts import TIMER_SLACK
from .adaptive_rate import AdaptiveRate
from .rate_limit_settings import RateLimitSettings
from .reported_quotas import ReportedQuotas
from .semaphore import Latch, Waiter

__all__ = ["RateLimitSnapshot", "RateLimiter", "Turn"]

_LATEST = 0.05  # seconds that the schedule may lag: a busy event loop's; after a stall of minutes nothing is made up for
_ROUNDING = 1e-9  # tokens
_SHORTEST = 1e-6  # seconds of a wait: a timer that fires a rounding error early must not fire for ever
_NEVER, _AWAKE = float("inf"), float("-inf")


class RateLimitSnapshot(NamedTuple):
    """A rate limiter at one instant.

    rate: calls a second that pass now; None where nothing limits them.   tokens: calls that would pass at once, as far as
        is known.
    waiting: callers in the queue.   admitted, refused: so far.
    retry_after: seconds until one more caller would have its turn; 0.0 if at once.
    """

    rate: float | None
    tokens: float
    waiting: int
    admitted: int
    refused: int
    retry_after: float


class _Stage(Enum):
    WAITING = "waiting"  # in the queue
    GRANTED = "granted"  # has its token
    RELEASED = "released"  # neither, permanently


_WAITING, _GRANTED, _RELEASED = _Stage  # enum attribute access is slow (50 ns)


class Turn:
    """A claim to one call. Its owner waits until it is granted, then makes the call, or releases it."""

    __slots__ = (
        *("_began_at", "_generation", "_latch", "_limiter", "_number", "_stage", "_wakes_at", "_waiter"),
    )

    def __init__(self, limiter: RateLimiter, stage: _Stage, number: int, generation: int) -> None:
        self._limiter = limiter
        self._stage = stage
        self._number = number  # its order in the queue
        self._generation = generation
        self._began_at = self._wakes_at = _AWAKE  # its last wait, and the instant of its timer
        self._latch: Latch | None = None  # opens when it is granted
        self._waiter: Waiter | None = None

    @property
    def is_granted(self) -> bool:
        """Whether it has its token."""
        return self._stage is _GRANTED

    def next_wait(self) -> tuple[Waiter, float] | None:
        """The next wait, and its seconds, after which this is asked again; None once the turn is granted.

        The wait may end early: the turn was granted, or is due at another instant than before.
        """
        return self._limiter._next_wait(self)

    @property
    def is_cut_short(self) -> bool:
        """Whether its last wait ended too early, and nothing of ours ended it: the client was closed."""
        if self._stage is not _WAITING:
            return False
        # A clock that stepped back behind the beginning of the wait proves nothing. A turn that was woken is due since -inf.
        return self._began_at <= self._limiter._clock() < self._wakes_at - TIMER_SLACK

    def release(self) -> None:
        """Leave the queue, or return the token for a call that was not made. A second time does nothing."""
        self._limiter._release(self)

    def __repr__(self) -> str:
        return f"<Turn {self._stage.value} of {self._limiter!r}>"


class RateLimiter:
    """The limiter of one key.

    settings: see `RateLimitSettings`; `reconfigure` replaces them.
    clock: monotonic seconds, read with the lock held.
    lock: reentrant; makes it safe among threads. It is never held while a waiter is notified.
    learns: it wants to know how calls end: see `finish`.
    """

    __slots__ = (
        *("_adaptive", "_admitted", "_burst", "_clock", "_generation", "_lag", "_lock", "_number", "_queue", "_rate", "_refused"),
        *("_quotas", "_seen_at", "_settings", "_since", "_spent", "learns"),
    )  # fmt: skip

    def __init__(
        self, settings: RateLimitSettings, *, clock: Callable[[], float], lock: AbstractContextManager[Any]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._rate, self._burst = settings.per_second, settings.burst
        self._quotas: ReportedQuotas | None = None
        self._adaptive: AdaptiveRate | None = None
        self._since = self._seen_at = clock()
        self._spent = self._lag = 0.0
        self._admitted = self._refused = self._number = self._generation = 0
        self._queue: OrderedDict[Turn, None] = OrderedDict()  # as in `FairSemaphore`
        self._adapt_locked(settings)

    def try_acquire(self) -> bool:
        """Take a token, if one is there and nobody waits for it."""
        with self._lock:
            now = self._clock()
            if self._queue or now < self._seen_at or self._rate is None or self.learns:
                earned = self._earned_locked()
                if self._queue or not self._has_token_locked(earned):
                    return False
                self._take_locked()
                return True
            # The usual case: the same, without five calls of functions.
            self._seen_at = now
            earned, spent = (now - self._since) * self._rate, self._spent
            if spent < earned - self._lag:
                spent, self._lag = earned, 0.0
            if spent + 1 > earned + self._burst + _ROUNDING:
                return False
            self._spent = spent + 1
            self._admitted += 1
            return True

    def acquire_later(self, longest: float | None = None) -> Turn | float:
        """A turn: granted at once if a token is there, else at the end of the queue.

        longest: seconds that the caller may wait; None for any time. If its turn is known to come later, it gets
            the seconds until then in place of a turn, and nothing has changed.
        """
        granted: list[Turn] = []
        nudged = None
        try:
            with self._lock:
                earned = self._earned_locked()
                if self._queue:
                    granted, nudged = self._serve_locked(earned)
                self._number += 1
                if not self._queue and self._has_token_locked(earned):
                    self._take_locked()
                    return Turn(self, _GRANTED, self._number, self._generation)
                wait = self._wait_locked(earned, len(self._queue))
                if longest is not None and wait > longest:
                    self._refused += 1
                    return wait
                turn = Turn(self, _WAITING, self._number, self._generation)
                self._queue[turn] = None
                return turn
        finally:
            _notify(granted, nudged)

    def give_back(self) -> None:
        """Return a token whose call was not made after all: an open circuit refused it, say."""
        with self._lock:
            earned = self._earned_locked()
            self._return_token_locked(earned)
            granted, nudged = self._serve_locked(earned)
        _notify(granted, nudged)

    def finish(
        self, began_at: float, is_throttled: bool | None, reported: Sequence[ReportedQuota] = ()
    ) -> None:
        """A call that had a token has ended.

        began_at: the instant of its token, or later.   is_throttled: the service asked to come back later; False for any other
            response of a service that works; None for no evidence.   reported: what the response says is left of quotas.
        """
        with self._lock:
            earned = self._earned_locked()
            now = self._seen_at
            if self._quotas is not None:
                self._quotas.finish()
                if is_throttled is not None and (reported or not is_throttled):
                    self._quotas.report(reported, began_at, now)
            if self._adaptive is not None and is_throttled is not None:
                before, adaptive = self._adaptive.rate, self._adaptive
                rate = adaptive.throttled(now, began_at) if is_throttled else adaptive.succeeded(now)
                self._change_rate_locked(rate)
                if before is None:
                    self._spent = float(self._burst)  # the first slow-down, if it is one: no burst now
                earned = self._earned_locked()
            granted, nudged = self._serve_locked(earned)
        _notify(granted, nudged)

    def record_refusal(self) -> None:
        """Count a caller that left the queue since its turn would have come too late."""
        with self._lock:
            self._refused += 1

    def reconfigure(self, settings: RateLimitSettings) -> None:
        """Take new settings. The tokens stay, a larger burst adds to them, and those who wait go by the new rate."""
        with self._lock:
            earned = self._earned_locked()
            granted, _ = self._serve_locked(earned)  # by the old rate
            before, self._settings = self._burst, settings
            if settings.burst < before:
                # The level stays, up to the new limit.
                missing = self._spent - earned
                self._spent = earned + max(missing - (before - settings.burst), min(missing, 0.0))
            self._burst = settings.burst
            self._adapt_locked(settings)
            self._change_rate_locked(settings.per_second if self._adaptive is None else self._adaptive.rate)
            more, nudged = self._serve_locked(self._earned_locked())
        _notify(granted + more, nudged)

    def lift(self) -> None:
        """Set no limit any more, and let go on all that wait: the limit was switched off."""
        with self._lock:
            self._quotas = self._adaptive = None
            self.learns = False
            self._change_rate_locked(None)
            granted, _ = self._serve_locked(self._earned_locked())
        _notify(granted, None)

    @property
    def settings(self) -> RateLimitSettings:
        """The current ones."""
        return self._settings

    @property
    def rate(self) -> float | None:
        """Calls a second that pass now; None where nothing limits them."""
        return self._rate

    @property
    def waiting(self) -> int:
        """The number of callers in the queue."""
        return len(self._queue)

    @property
    def is_at_rest(self) -> bool:
        """Whether forgetting it would lose nothing: the bucket is full, and nobody waits."""
        with self._lock:
            return not self._queue and (self._rate is None or self._spent <= self._earned_locked())

    @property
    def retry_after(self) -> float:
        """Seconds until one more caller would have its turn; 0.0 if at once."""
        return self.snapshot().retry_after

    def snapshot(self) -> RateLimitSnapshot:
        """Its numbers at one instant. Reading them changes nothing."""
        with self._lock:
            earned = self._earned_locked()
            is_free = not self._queue and self._has_token_locked(earned)
            tokens = _NEVER if self._rate is None else max(0.0, self._burst - max(0.0, self._spent - earned))
            if self._quotas is not None:
                tokens = min(tokens, self._quotas.left)
            wait = 0.0 if is_free else self._wait_locked(earned, len(self._queue))
            return RateLimitSnapshot(
                self._rate, tokens, len(self._queue), self._admitted, self._refused, wait
            )

    def reset_after_fork(self) -> None:
        """In a forked child: the waiters are the parent's threads. The tokens are as they were, for the service counts both."""
        self._queue.clear()
        self._generation += 1  # objects that the child inherited return no tokens
        self._lag = 0.0
        self._admitted = self._refused = 0
        if self._quotas is not None:
            self._quotas.reset_after_fork()

    def __repr__(self) -> str:
        rate = "any rate" if self._rate is None else f"{self._rate:g} a second"
        return f"<RateLimiter of {rate}, {len(self._queue)} waiting>"

    def _earned_locked(self) -> float:
        """The tokens earned until now."""
        now = self._clock()
        if now < self._seen_at:  # the clock stepped back
            self._since -= self._seen_at - now
        self._seen_at = now
        return 0.0 if self._rate is None else (now - self._since) * self._rate

    def _has_token_locked(self, earned: float) -> bool:
        """Whether a caller that comes when nobody waits has its turn."""
        if self._spent < earned - self._lag:  # it was full for a while: this caller was not slowed down
            self._spent, self._lag = earned, 0.0
        return self._is_due_locked(earned)

    def _is_due_locked(self, earned: float) -> bool:
        """Whether the next call may begin."""
        if self._rate is not None and self._spent + 1 > earned + self._burst + _ROUNDING:
            return False
        return self._quotas is None or self._quotas.wait(self._seen_at) <= 0

    def _take_locked(self) -> None:
        """A call begins."""
        self._admitted += 1
        if self._rate is not None:
            self._spent += 1
        if self._quotas is not None:
            self._quotas.take(self._seen_at)
        if self._adaptive is not None:
            self._adaptive.count(self._seen_at)

    def _wait_locked(self, earned: float, position: int) -> float:
        """Seconds until the turn at this position of the queue is due; 0.0 if it is."""
        of_bucket = (
            0.0 if self._rate is None else (self._spent + 1 + position - self._burst - earned) / self._rate
        )
        of_quotas = 0.0 if self._quotas is None else self._quotas.wait(self._seen_at, position)
        return max(0.0, of_bucket, of_quotas)

    def _serve_locked(self, earned: float) -> tuple[list[Turn], Turn | None]:
        """Grant the turns that are due. They must be notified, and so must the head if its timer is too late."""
        granted: list[Turn] = []
        queue = self._queue
        if not queue:
            return granted, None
        if self._rate is not None:
            late = min(_LATEST * self._rate, max(0.0, earned - self._spent))
            self._spent = max(self._spent, earned - late)
            if self._spent + 1 <= earned + self._burst + _ROUNDING:
                self._lag = late
        while queue and self._is_due_locked(earned):
            turn, _ = queue.popitem(last=False)
            turn._stage = _GRANTED
            self._take_locked()
            granted.append(turn)
        return granted, self._head_to_wake_locked(earned) if queue else None

    def _head_to_wake_locked(self, earned: float) -> Turn | None:
        """The head of the queue, if its timer fires after its turn is due."""
        head = next(iter(self._queue))
        if head._wakes_at <= self._seen_at + self._wait_locked(earned, 0) + _SHORTEST:
            return None
        head._wakes_at = _AWAKE
        return head

    def _next_wait(self, turn: Turn) -> tuple[Waiter, float] | None:
        granted: list[Turn] = []
        nudged = None
        try:
            with self._lock:
                if turn._stage is not _WAITING:
                    return None
                earned = self._earned_locked()
                granted, nudged = self._serve_locked(earned)
                if turn not in self._queue:  # it is granted, or waits in the parent of this process
                    granted = [each for each in granted if each is not turn]  # it runs
                    return None
                # Turns in between that were released make it too much, and then the head wakes this one when it is due.
                ahead = min(turn._number - next(iter(self._queue))._number, len(self._queue) - 1)
                seconds = max(self._wait_locked(earned, ahead), _SHORTEST)
                turn._began_at, turn._wakes_at = self._seen_at, self._seen_at + seconds
                if nudged is turn:
                    nudged = None
                if turn._latch is None:
                    turn._latch = Latch(lock=self._lock)
                elif turn._waiter is not None:
                    turn._waiter.release()
                turn._waiter = turn._latch.wait_later()
                return turn._waiter, seconds
        finally:
            _notify(granted, nudged)

    def _release(self, turn: Turn) -> None:
        # turn                      effect
        # released                  none
        # waiting                   leaves the queue; those behind it move forward
        # granted                   its token is back, for the head of the queue if somebody waits
        with self._lock:
            stage, turn._stage = turn._stage, _RELEASED
            turn._latch = turn._waiter = None  # they hold the frame of the caller that waits
            if stage is _RELEASED or turn._generation != self._generation:
                return
            earned = self._earned_locked()
            if stage is _WAITING:
                self._queue.pop(turn, None)
            else:
                self._return_token_locked(earned)
            granted, nudged = self._serve_locked(earned)
        _notify(granted, nudged)

    def _return_token_locked(self, earned: float) -> None:
        # The bucket holds no more than `burst`.
        self._spent = max(self._spent - 1, earned - self._lag)
        self._admitted -= 1
        if self._quotas is not None:
            self._quotas.give_back()

    def _adapt_locked(self, settings: RateLimitSettings) -> None:
        """Make the parts that learn, or take them away; what they know stays."""
        if not settings.follow_headers:
            self._quotas = None
        elif self._quotas is None:
            self._quotas = ReportedQuotas()
        if settings.adaptive is None:
            self._adaptive = None
        elif self._adaptive is None:
            self._adaptive = AdaptiveRate(settings.adaptive, settings.per_second, self._seen_at)
        else:
            self._adaptive.reconfigure(settings.adaptive, settings.per_second)
        self.learns = self._quotas is not None or self._adaptive is not None

    def _change_rate_locked(self, rate: float | None) -> None:
        """From now on. What is missing in the bucket stays."""
        missing = 0.0 if self._rate is None else self._spent - self._earned_locked()
        self._rate = rate
        self._since = self._seen_at
        self._spent = missing
        self._lag = 0.0 if rate is None else min(self._lag, _LATEST * rate)


def _notify(granted: list[Turn], nudged: Turn | None) -> None:
    """Wake the owners of turns: those that were granted, and one that must set its timer again."""
    for turn in granted:
        latch = turn._latch
        if latch is not None:
            latch.open()
    if nudged is not None:
        waiter = nudged._waiter
        if waiter is not None:
            waiter.interrupt()
