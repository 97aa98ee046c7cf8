"""A circuit breaker: stop calling a service that keeps failing, and find out gently when it works again.

Theory (M. Nygard, *Release It!*, "Circuit Breaker"). More calls do not help a server in trouble, and waiting
for errors that are sure to come does not help a caller. So calls pass a switch:

    from        to          when
    CLOSED      OPEN        the service is down, as the failure detector judges
    OPEN        HALF_OPEN   a caller asks at or after the end of the recovery time; it makes the trial (probe)
    HALF_OPEN   CLOSED      `success_threshold` of `trial_count` trials succeeded, and there is no ramp
    HALF_OPEN   CLOSED      the ramp after them is over
    HALF_OPEN   OPEN        too many trials failed, or calls during the ramp; the recovery time grows
    any         OPEN        `isolate()`: until `reset()`
    any         CLOSED      `reset()`

Rules that keep it honest, each one learned from a library that lacks it:

1. A *generation* is the span between two state changes, and a permit belongs to the generation in which it was
   given. A result that comes after its generation is late: it is counted and changes nothing. A call from before
   the circuit opened says nothing about the recovery, and cannot keep the circuit open longer either.
2. A permit is settled once. `release` is no evidence: a cancelled trial neither closes nor opens the
   circuit, and another call may make the trial at once.
3. A trial is leased. One that is never settled ends after `trial_lease`, so that a hung call cannot block
   the recovery for ever.
4. Reading `state`, `retry_after` or a `snapshot` changes nothing. So a circuit whose recovery time has passed
   still *is* OPEN until a caller asks for a permit: nothing has been tried yet.
5. A clock that steps back cannot prolong an open span or a lease beyond one full span from then.

This module is the switch. `failure_detector` says when a service is down, `recovery` when it may be tried again and by how many
calls, `core.outcomes` what counts as a failure; time, randomness and the lock are arguments.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .failure_detector import FailureDetector, Watched
from .recovery import Admission, Recovery
from .rejection_cap import RejectionCap
from .states import CircuitBreakerSettings, CircuitBreakerState, Refusal, StateChange

if TYPE_CHECKING:
    from .changes import CircuitBreakerChanges
    from .snapshot import CircuitBreakerSnapshot

__all__ = ["CircuitBreaker", "Permit"]

_CLOSED = CircuitBreakerState.CLOSED
_OPEN = CircuitBreakerState.OPEN
_HALF_OPEN = CircuitBreakerState.HALF_OPEN


class Permit:
    """Permission to make one call. Settle it once, whatever happens; further settlements are ignored."""

    __slots__ = ("_breaker", "_generation", "_is_admitted", "_is_settled", "_shadow", "_watched", "is_trial")

    def __init__(
        self,
        breaker: CircuitBreaker,
        generation: int,
        is_trial: bool = False,
        watched: Watched | None = None,
        is_admitted: bool = True,
    ) -> None:
        self._breaker = breaker
        self._generation = generation
        self._is_admitted = is_admitted  # False where another breaker would have refused the call
        self._is_settled = False
        self._watched = watched  # where the duration of calls matters
        self._shadow: Permit | None = None
        self.is_trial = is_trial  # its result decides whether the circuit closes

    def record_success(self) -> None:
        """The server did its work."""
        breaker, shadow = self._breaker, self._shadow
        with breaker._lock:
            change = breaker._succeed_locked(self) if breaker._counts_locked(self) else None
        try:
            if shadow is not None:
                shadow.record_success()
        finally:  # a listener may raise
            if change is not None:
                breaker._notify(change)

    def record_failure(self) -> None:
        """The server failed, or could not be reached."""
        breaker, shadow = self._breaker, self._shadow
        with breaker._lock:
            change = breaker._fail_locked(self) if breaker._counts_locked(self) else None
        try:
            if shadow is not None:
                shadow.record_failure()
        finally:
            if change is not None:
                breaker._notify(change)

    def release(self) -> None:
        """The call was cancelled or never made: no evidence. Another call may make the trial at once."""
        if self._is_settled:  # the usual case, when a `finally` releases
            return
        breaker = self._breaker
        with breaker._lock:
            if breaker._counts_locked(self):
                breaker._abandoned += 1
                if self._watched is not None:
                    breaker._detector.forget(self._watched)
        if self._shadow is not None:
            self._shadow.release()

    def __repr__(self) -> str:
        kind = "trial, " if self.is_trial else ""
        settled = "settled" if self._is_settled else "unsettled"
        return f"<Permit {kind}{settled}, generation {self._generation} of {self._breaker!r}>"


class CircuitBreaker:
    """The switch of one circuit: call `try_acquire()` before each attempt, then settle the permit.

    settings: see `CircuitBreakerSettings`; `reconfigure` replaces them.
    key: names the circuit in refusals and changes, such as ``https://api.example.com``.
    clock: monotonic seconds.   random: a float in [0, 1), drawn whenever the circuit opens.
        Both are called with the lock held, and must not call the breaker.
    lock: makes the breaker safe among threads. Nothing slow happens while it is held. It should be reentrant
        where the garbage collector may close abandoned calls: the collector can run between any two steps of a
        thread, also of the thread that holds the lock.
    on_change: called once for each change, after it and outside the lock, by the thread that caused it.
        Threads may deliver changes in another order than they happened: `generation` restores it. An exception
        that it raises reaches that thread's caller; the breaker is in order then, and a permit that was about to
        be returned is released.
    """

    __slots__ = (
        *("judge", "settings", "_key", "_clock", "_random", "_lock", "_on_change"),
        *("_state", "_is_isolated", "_generation", "free_pass"),
        *("_detector", "_failed_at", "_recovery", "_cap", "_shadow"),
        *("_unlocked_successes", "_successes", "_failures", "_abandoned", "_late", "_refused"),
    )

    # The generation that any call may join without a request for a permit; None when it must request one. As a
    # single reference, it is read without the lock: at worst the span has just ended, and the result is late.
    free_pass: int | None

    def __init__(
        self,
        settings: CircuitBreakerSettings,
        *,
        key: str = "",
        clock: Callable[[], float],
        random: Callable[[], float],
        lock: AbstractContextManager[Any],
        on_change: Callable[[StateChange], None] | None = None,
    ) -> None:
        self.settings = settings
        self._key = key
        self._clock = clock
        self._random = random
        self._lock = lock
        self._on_change = on_change

        self._state = _CLOSED
        self._is_isolated = False
        self._generation = 0

        self._detector = FailureDetector(settings, clock, lock)
        self._failed_at = -math.inf  # the last failure that the detector knows
        self._recovery: Recovery[Permit] | None = None  # made when the circuit opens: most circuits never do
        self._cap: RejectionCap | None = None
        self._shadow: CircuitBreaker | None
        self._take_settings_locked(None)

        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: the totals are the parent's, and its trial will not be settled here. The state stays."""
        if self._recovery is not None:
            self._recovery.trials.forget_leases()
        self._detector.forget_calls()
        if self._shadow is not None:
            self._shadow.reset_after_fork()
        # Successes are the sum of two counts. Advancing an iterator is atomic, with the GIL and without it.
        self._unlocked_successes = itertools.count()
        self._successes = self._failures = self._abandoned = self._late = self._refused = 0

    # ---- permits

    def try_acquire(self) -> Permit | Refusal:
        """A permit for one call, or a refusal with its reason. Settle the permit, whatever happens.

        In metrics-only mode it is always a permit. Where another breaker would refuse, the result is counted in the totals
        and changes nothing else, so the states are those that an enforcing breaker would go through.
        """
        generation = self.free_pass
        if generation is not None:
            return Permit(self, generation)
        with self._lock:
            answer, change = self._answer_locked(self._clock())
        shadow = self._shadow  # read once: it may be reconfigured meanwhile
        if change is None and shadow is None:
            return answer
        try:
            if change is not None:
                self._notify(change)
            if shadow is not None and isinstance(answer, Permit):
                shadowed = shadow.try_acquire()
                assert isinstance(shadowed, Permit)  # it refuses nothing
                answer._shadow = shadowed
        except BaseException:
            if isinstance(answer, Permit):  # nobody will get it, and it may be the trial
                answer.release()
            raise
        return answer

    def record_success(self, generation: int) -> None:
        """Like `Permit.record_success`, for a call that joined by the `free_pass` and has no permit."""
        # Without a failure to forget there is only a counter to advance, so the lock is not needed. That is read
        # before the generation: generations never return, so if the caller's is current now, it was current then.
        detector = self._detector
        if detector.is_clear and generation == self.free_pass:
            next(self._unlocked_successes)
            window = detector.window  # read once: another thread may replace it
            if window is not None:
                if window.ends_at is None or self._clock() < window.ends_at:
                    window.count_success()
                else:
                    window.record_success()
        else:
            Permit(self, generation).record_success()

    def settle(self, admission: Permit | int, failed: bool | None) -> None:
        """Settle a call that has a permit or joined by the `free_pass`.   failed: None for no evidence."""
        if failed is False and isinstance(admission, int):
            self.record_success(admission)
            return
        permit = Permit(self, admission) if isinstance(admission, int) else admission
        if failed is None:
            permit.release()
        elif failed:
            permit.record_failure()
        else:
            permit.record_success()

    @property
    def key(self) -> str:
        """The circuit's name."""
        return self._key

    @property
    def state(self) -> CircuitBreakerState:
        """The state now. OPEN stays OPEN, however long ago, until a caller asks for a permit."""
        return self._state

    @property
    def is_isolated(self) -> bool:
        """Whether `isolate()` holds."""
        return self._is_isolated

    @property
    def is_metrics_only(self) -> bool:
        """Whether it refuses no call, whatever its state."""
        return self.settings.metrics_only

    @property
    def evidence_at(self) -> float:
        """The instant of the latest evidence that it acts on, or until which it acts on it.

        -inf if there is none and a new breaker would decide the same; inf while it is isolated.
        """
        if self._state is _CLOSED:
            detector = self._detector
            is_clear = detector.is_clear and detector.window is None
            return -math.inf if is_clear else self._failed_at
        if self._is_isolated:
            return math.inf
        recovery = self._recovery_of()
        return max(recovery.span.ends_at, recovery.trials.leased_until)

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may pass: 0.0 when one may now; None when isolated or while a trial runs."""
        with self._lock:
            return self._retry_after_locked(self._clock())

    def snapshot(self) -> CircuitBreakerSnapshot:
        """State and counts at one instant."""
        from .snapshot import CircuitBreakerSnapshot

        with self._lock:
            return CircuitBreakerSnapshot(
                key=self._key,
                state=self._state,
                is_isolated=self._is_isolated,
                generation=self._generation,
                consecutive_failures=self._detector.failures_in_row,
                trial_successes=0 if self._recovery is None else self._recovery.trials.successes,
                successes=self._successes_locked(),
                failures=self._failures,
                abandoned=self._abandoned,
                late=self._late,
                refused=self._refused,
                opened_at=None if self._state is _CLOSED else self._recovery_of().span.began_at,
                retry_after=self._retry_after_locked(self._clock()),
            )

    def __repr__(self) -> str:
        isolated = ", isolated" if self._is_isolated else ""
        return f"<CircuitBreaker {self._key!r} {self._state}{isolated}>"

    # ---- manual control

    def isolate(self) -> None:
        """Refuse all calls until `reset()` (in metrics-only mode, none). A second time does nothing."""
        with self._lock:
            if self._is_isolated:
                return
            change = self._move_locked(_OPEN, "isolated by hand", self._clock(), is_isolated=True)
        self._notify(change)

    def reset(self) -> None:
        """Close the circuit; forget failures in a row, growth and isolation. Totals stay.

        On a closed circuit this is no change of state: `on_change` is not called, and calls in flight still count.
        The shadow, if any, is reset as well.
        """
        shadow = self._shadow
        if shadow is not None:
            shadow.reset()
        with self._lock:
            if self._state is _CLOSED:
                self._detector.begin()
                return
            change = self._move_locked(_CLOSED, "reset by hand", self._clock())
        self._notify(change)

    def reconfigure(self, changes: CircuitBreakerChanges) -> CircuitBreakerSettings:
        """Change settings, and return the new ones. The state, the counts and the permits stay.

        It opens and closes nothing: the next result is the first one that the new thresholds judge. When the recovery
        time changes, its growth starts over, and an open span lasts for the new time from the instant at which the
        circuit opened, so that its trial may be due at once.

        Raises ConfigurationError for a wrong value, and TypeError for an unknown name; then nothing has changed.
        """
        with self._lock:
            before, self.settings = self.settings, self.settings.changed(changes)
            self._take_settings_locked(before)
            return self.settings

    # ---- decisions, with the lock held

    def _answer_locked(self, now: float) -> tuple[Permit | Refusal, StateChange | None]:
        # state                                         answer
        # CLOSED                                        a permit
        # OPEN, isolated                                refused: "isolated"
        # OPEN, before the recovery time is over        refused: "open"
        # OPEN, at that instant or after it             HALF_OPEN, and a trial
        # HALF_OPEN, as many trials as may be           refused: "trial in progress"
        # HALF_OPEN, fewer, or the lease of one is over a trial
        # HALF_OPEN, the ramp                           a permit for a share of the calls; others: "recovering"
        # HALF_OPEN, the ramp is over                   CLOSED, and a permit
        change = None
        if self._state is _CLOSED:
            change = self._judged_locked(self._detector.find_slow() if self._detector.watches else None)
            if change is None:
                self._set_free_pass_locked()  # in case an interrupt came before it, when the circuit closed
                return self._permit_locked(), None
            return self._refuse_locked(self._recovery_of().span.left(now), "open"), change
        if self._is_isolated:
            return self._refuse_locked(None, "isolated"), None
        recovery = self._recovery_of()
        if self._state is _OPEN:
            left = recovery.span.left(now)
            if left > 0 and not self._must_pass_locked():
                return self._refuse_locked(left, "open"), None
            reason = f"{now - recovery.span.began_at:.3f} s have passed: time for a trial"
            change = self._move_locked(_HALF_OPEN, reason, now)
        trials = recovery.trials
        admission = trials.admit(now)
        if admission is Admission.CLOSED:
            change = self._move_locked(_CLOSED, "the ramp is over", now)
            return self._permit_locked(), change
        if admission is Admission.REFUSED:
            if self._must_pass_locked():
                self._record_in_cap_locked()
                return Permit(self, self._generation), change
            why = "recovering" if trials.is_ramping else "trial in progress"
            return self._refuse_locked(None, why), change
        permit = Permit(self, self._generation, is_trial=admission is Admission.TRIAL)
        if permit.is_trial:
            trials.lease(permit, now)
        self._record_in_cap_locked()
        return permit, change

    def _permit_locked(self) -> Permit:
        """A permit of the closed circuit."""
        self._record_in_cap_locked()
        return Permit(
            self, self._generation, watched=self._detector.watch() if self._detector.watches else None
        )

    def _record_in_cap_locked(self, *, is_rejected: bool = False) -> None:
        """Count a call for the cap, if there is one."""
        if self._cap is not None:
            self._cap.record(is_rejected=is_rejected)

    def _must_pass_locked(self) -> bool:
        """Whether the call passes since too many were refused lately, for a service that still answers some."""
        return self._cap is not None and self._cap.is_reached()

    def _refuse_locked(self, retry_after: float | None, reason: str) -> Permit | Refusal:
        self._refused += 1
        self._record_in_cap_locked(is_rejected=True)
        if self.settings.metrics_only:
            return Permit(self, self._generation, is_admitted=False)
        return Refusal(self._key, self._state, retry_after, reason)

    def _counts_locked(self, permit: Permit) -> bool:
        """Settle the permit. Returns whether its result is evidence: the first one, and in time."""
        if permit._is_settled:
            return False
        permit._is_settled = True
        if permit.is_trial:
            # One that another has replaced is late, though its generation may still be current.
            is_in_time = self._recovery_of().trials.settle(permit, self._clock())
        else:
            is_in_time = permit._generation == self._generation
        if not is_in_time:
            self._late += 1
        return is_in_time

    def _succeed_locked(self, permit: Permit) -> StateChange | None:
        self._successes += 1
        if not permit._is_admitted:
            return None
        if self._cap is not None:
            self._cap.record_success()
        if self._state is _CLOSED:
            return self._judged_locked(self._detector.succeeded(permit._watched))
        now, trials = self._clock(), self._recovery_of().trials
        if self._state is _HALF_OPEN and trials.succeeded(now, is_trial=permit.is_trial):
            count = trials.successes
            reason = f"{count} successful trial{'s' if count > 1 else ''}"
            return self._move_locked(_CLOSED, reason, now)
        return None

    def _fail_locked(self, permit: Permit) -> StateChange | None:
        self._failures += 1
        if not permit._is_admitted:
            return None
        if self._state is _CLOSED:
            reason = self._detector.failed(permit._watched)
            self._failed_at = self._clock()
            return self._judged_locked(reason)
        recovery = self._recovery_of()
        trials = recovery.trials
        if self._state is _HALF_OPEN and (permit.is_trial or trials.is_ramping) and trials.failed():
            reason = "a call failed during the recovery" if trials.is_ramping else "a trial failed"
            recovery.span.grow()
            return self._move_locked(_OPEN, reason, self._clock())
        return None

    def _judged_locked(self, reason: str | None) -> StateChange | None:
        """Open the circuit for the detector's reason, if it has one."""
        return None if reason is None else self._move_locked(_OPEN, reason, self._clock())

    def _move_locked(
        self, new: CircuitBreakerState, reason: str, now: float, *, is_isolated: bool = False
    ) -> StateChange:
        """Change the state and begin a new generation. Nothing else changes the state.

        An interrupt (Ctrl-C) may end this after any step. The pass goes first: with that of an ended span, calls would
        never ask again, and the circuit would stay as it is for ever.
        """
        self.free_pass = None
        old, self._state = self._state, new
        self._generation += 1
        self._is_isolated = is_isolated
        recovery = self._recovery_of()
        recovery.trials.begin()
        if new is _CLOSED:
            self._detector.begin()
            self._failed_at = -math.inf
            recovery.span.reset()
        elif new is _OPEN:
            recovery.span.begin(now)
        self._set_free_pass_locked()
        open_for = recovery.span.length if new is _OPEN and not is_isolated else None
        change = StateChange(self._key, old, new, reason, now, self._generation, open_for)
        return change._replace(is_metrics_only=True) if self.settings.metrics_only else change

    def _recovery_of(self) -> Recovery[Permit]:
        """The recovery of a circuit that is open, or was."""
        if self._recovery is None:
            self._recovery = Recovery(self.settings, self._random)
        return self._recovery

    def _set_free_pass_locked(self) -> None:
        must_ask = self._detector.watches or self._cap is not None or self._shadow is not None
        self.free_pass = self._generation if self._state is _CLOSED and not must_ask else None

    def _take_settings_locked(self, before: CircuitBreakerSettings | None) -> None:
        """Let all parts go by `settings`.   before: those until now; None at first."""
        settings = self.settings
        self.judge = _judge(settings)
        self._detector.reconfigure(settings)
        if self._recovery is not None:
            self._recovery.reconfigure(settings, is_open=self._state is _OPEN)
        if settings.max_rejected >= 1:
            self._cap = None
        elif self._cap is None:
            self._cap = RejectionCap(settings, self._clock)
        else:
            self._cap.settings = settings
        if before is None or before.shadow != settings.shadow:
            self._shadow = None if settings.shadow is None else self._make_shadow(settings.shadow)
        self._set_free_pass_locked()

    def _make_shadow(self, settings: CircuitBreakerSettings) -> CircuitBreaker:
        """A circuit that sees what this one sees, and refuses nothing."""
        return CircuitBreaker(
            replace(settings, metrics_only=True, shadow=None),
            key=f"{self._key} (shadow)",
            clock=self._clock,
            random=self._random,
            lock=self._lock,
            on_change=None if self._on_change is None else partial(_notify_of_shadow, self._on_change),
        )

    def _successes_locked(self) -> int:
        total = self._successes + next(self._unlocked_successes)
        self._successes -= 1  # reading the iterator advanced it
        return total

    def _retry_after_locked(self, now: float) -> float | None:
        if self._is_isolated:
            return None
        if self._state is _CLOSED:
            return 0.0
        recovery = self._recovery_of()
        if self._state is _OPEN:
            return min(max(recovery.span.ends_at - now, 0.0), recovery.span.length)
        return 0.0 if recovery.trials.may_begin(now) else None

    def _notify(self, change: StateChange) -> None:
        if self._on_change is not None:
            self._on_change(change)


def _notify_of_shadow(listener: Callable[[StateChange], None], change: StateChange) -> None:
    listener(change._replace(is_shadow=True))


def _judge(settings: CircuitBreakerSettings) -> Callable[[object, bool | None], bool | None] | None:
    """None in the usual case, so that a call need not ask twice."""
    has_rules = settings.is_failure is not None or settings.failures is not None or settings.exclude
    return settings.judge if has_rules else None
