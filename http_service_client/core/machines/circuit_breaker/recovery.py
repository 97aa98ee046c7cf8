"""How an open circuit closes again: how long it stays open, then trials, then a ramp.

`OpenSpan` knows when the next trial is due. `Trials` lets them through, and after them a growing share of the calls. Neither
knows the other states; `circuit_breaker` is the switch between them. All methods need the breaker's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from .states import CircuitBreakerSettings

__all__ = ["Admission", "OpenSpan", "Recovery", "Trials"]

Ticket = TypeVar("Ticket")


class OpenSpan:
    """The time for which a circuit stays open.

    It grows at each failed trial, by `recovery_multiplier`, up to `max_recovery_timeout`. A multiplier little above 1 keeps it in
    proportion to the outage: with 1.05 it is a twentieth of the time that the service has been down, at any time. So a
    short outage is left soon after its end, and a long one costs few trials.

    began_at, length, ends_at: of the present span or the last one.   random: a float in [0, 1).
    """

    __slots__ = ("_random", "_recovery", "_settings", "began_at", "ends_at", "length")

    def __init__(self, settings: CircuitBreakerSettings, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._recovery = float(settings.recovery_timeout)
        self.began_at = self.length = self.ends_at = 0.0

    def begin(self, now: float) -> None:
        """The circuit opens."""
        self.length = self._settings.with_jitter(self._recovery, self._random())
        self.began_at = now
        self.ends_at = now + self.length

    def grow(self) -> None:
        """A trial failed: the next span is longer."""
        self._recovery = self._settings.next_recovery_timeout(self._recovery)

    def reset(self) -> None:
        """The circuit closed: the growth starts over."""
        self._recovery = float(self._settings.recovery_timeout)

    def reconfigure(self, settings: CircuitBreakerSettings, *, is_open: bool) -> None:
        """Take new settings. When the recovery time changes, its growth starts over, also of the present span."""
        before, self._settings = self._settings, settings
        if settings.recovery_timeout != before.recovery_timeout:
            self.reset()
            if is_open:
                self.begin(self.began_at)

    def left(self, now: float) -> float:
        """Seconds until a trial is due, 0.0 when it is. A clock that steps back prolongs it by no more than one span."""
        self.ends_at = min(self.ends_at, now + self.length)
        return max(0.0, self.ends_at - now)


class Admission(Enum):
    """What a half-open circuit does with a call."""

    TRIAL = auto()  # it passes, and its result decides
    PASS = auto()  # it passes, as one of a growing share
    REFUSED = auto()
    CLOSED = auto()  # the ramp is over: the circuit closes, and the call passes


class Trials(Generic[Ticket]):
    """The half-open span of a circuit: trials with leases, then the ramp.

    successes: of the trials in this span.
    """

    __slots__ = ("_credit", "_failures", "_leases", "_step", "_step_ends_at", "settings", "successes")

    def __init__(self, settings: CircuitBreakerSettings) -> None:
        self.settings = settings
        self._leases: dict[Ticket, float] = {}  # of the trials in flight, by the instant at which they end
        self.begin()

    def begin(self) -> None:
        """The circuit is half-open now, or no longer."""
        self._leases.clear()
        self.successes = self._failures = 0
        self._step: int | None = None  # of the ramp; None while there are trials
        self._step_ends_at = self._credit = 0.0

    def forget_leases(self) -> None:
        """No trial is in flight any more."""
        self._leases.clear()

    @property
    def is_ramping(self) -> bool:
        """Whether the trials are over, and a growing share of the calls passes."""
        return self._step is not None

    @property
    def leased_until(self) -> float:
        """The instant until which trials in flight hold up the others; 0.0 without any."""
        return max(list(self._leases.values()), default=0.0)  # of a copy: it is read without the lock, too

    def admit(self, now: float) -> Admission:
        """What to do with a call. For TRIAL, `lease` it."""
        if self._step is not None:
            return self._admit_to_ramp(now)
        for ticket, ends_at in list(self._leases.items()):
            ends_at = min(ends_at, now + self.settings.trial_lease)  # in case the clock stepped back
            if ends_at <= now:
                del self._leases[ticket]  # it hangs, and must not block the recovery for ever
            else:
                self._leases[ticket] = ends_at
        return Admission.TRIAL if self.may_begin(now) else Admission.REFUSED

    def may_begin(self, now: float) -> bool:
        """Whether a call may pass: there is room for a trial, or the trials are over."""
        if self._step is not None:
            return True
        in_flight = sum(now < ends_at for ends_at in self._leases.values())
        if not in_flight:
            return True  # with fewer trials by new settings, there may have been enough of them without a decision
        begun = self.successes + self._failures + in_flight
        return in_flight < self.settings.trials_at_once and begun < self.settings.trial_count

    def lease(self, ticket: Ticket, now: float) -> None:
        """The trial begins."""
        self._leases[ticket] = now + self.settings.trial_lease

    def settle(self, ticket: Ticket, now: float) -> bool:
        """The trial ended. Returns whether its lease had not."""
        ends_at = self._leases.pop(ticket, None)
        return ends_at is not None and now < ends_at

    def succeeded(self, now: float, *, is_trial: bool) -> bool:
        """A call succeeded. Returns whether the circuit closes now."""
        if not is_trial or self._step is not None:
            return False
        self.successes += 1
        if self.successes < self.settings.success_threshold:
            return False
        if not self.settings.ramp:
            return True
        self._begin_step(0, now)
        return False

    def failed(self) -> bool:
        """A trial failed, or a call during the ramp. Returns whether the circuit opens again."""
        self._failures += 1
        settings = self.settings
        return self._failures > settings.trial_count - settings.success_threshold

    def _admit_to_ramp(self, now: float) -> Admission:
        assert self._step is not None
        settings = self.settings
        # In case the clock stepped back.
        self._step_ends_at = min(self._step_ends_at, now + settings.ramp_step)
        while now >= self._step_ends_at:
            if self._step + 1 >= len(settings.ramp):
                return Admission.CLOSED
            self._begin_step(self._step + 1, self._step_ends_at)
        self._credit += settings.ramp[min(self._step, len(settings.ramp) - 1)] if settings.ramp else 1.0
        if self._credit < 1.0 - 1e-9:
            return Admission.REFUSED
        self._credit -= 1.0
        return Admission.PASS

    def _begin_step(self, step: int, now: float) -> None:
        self._step, self._failures, self._credit = step, 0, 0.0
        self._step_ends_at = now + self.settings.ramp_step


class Recovery(Generic[Ticket]):
    """Both, for one circuit."""

    __slots__ = ("span", "trials")

    def __init__(self, settings: CircuitBreakerSettings, random: Callable[[], float]) -> None:
        self.span = OpenSpan(settings, random)
        self.trials: Trials[Ticket] = Trials(settings)

    def reconfigure(self, settings: CircuitBreakerSettings, *, is_open: bool) -> None:
        """Take new settings.   is_open: the circuit is open, if only by hand."""
        self.span.reconfigure(settings, is_open=is_open)
        self.trials.settings = settings
