"""When is a service down? The judgement of a closed circuit on what its windows have counted.

Up to three tests, each switched on by its setting, combined by `opens_when`:

    failures in a row     `failure_threshold` of them, over at least `failure_duration` seconds
    failure rate          `failure_rate` of the calls in the window failed
    slow-call rate        `slow_call_rate` of them took `slow_call_duration` or longer, or are taking that long now

The rates count when the window has `minimum_calls`. They are judged at each failure and each slow call: a quick success is no
reason to open a circuit, though it may be the call that makes the minimum full.

By default only the first test is on, and its duration is what makes it safe. Five failures in a row come every 20 s or so at 20
calls a second and 30 % failures: such a test cuts off a service that serves most of its callers. With 30 failures in a row *and*
10 s without a single success, a service that fails nine of ten requests stays in use at any rate of calls, and one that is down
is found within 10 s, or within 30 calls.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from .windows import ROUNDING, CountWindow, TimeWindow, Window

if TYPE_CHECKING:
    from .states import CircuitBreakerSettings

__all__ = ["FailureDetector", "Watched"]


class Watched:
    """A call whose duration is watched.   is_slow: it was found to be slow, and is counted as such."""

    __slots__ = ("is_slow", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.is_slow = False


class FailureDetector:
    """Judges the results of one circuit while it is closed. All methods but `record_success` need the breaker's lock.

    settings: read at each result; those of the windows are read when they are made, at `begin`.
    clock, lock: of the breaker.

    failures_in_row: when the circuit is not closed, those that opened it.
    is_clear: there are none, so that a success has nothing to forget. It is read without the lock.
    """

    __slots__ = (
        "_clock",
        "_failing_since",
        "_in_flight",
        "_lock",
        "failures_in_row",
        "is_clear",
        "settings",
        "window",
    )

    window: Window | None

    def __init__(self, settings: CircuitBreakerSettings, clock: Callable[[], float], lock: object) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = lock
        # Those watched; the one that began first is first.
        self._in_flight: OrderedDict[Watched, None] | None
        self.begin()

    def begin(self) -> None:
        """A span of the closed circuit begins: nothing is known."""
        self._forget_failures()
        self._in_flight = None
        self._make_window()

    def reconfigure(self, settings: CircuitBreakerSettings) -> None:
        """Take new settings. What is counted stays, unless it is counted over another window from now on."""
        before, self.settings = self.settings, settings
        if _window_of(before) != _window_of(settings):
            self._make_window()

    @property
    def watches(self) -> bool:
        """Whether the duration of calls matters, so that each has to be watched."""
        return self.settings.slow_call_rate is not None

    def watch(self) -> Watched:
        """A call begins."""
        watched = Watched(self._clock())
        if self._in_flight is None:
            self._in_flight = OrderedDict()
        self._in_flight[watched] = None
        return watched

    def forget(self, watched: Watched) -> None:
        """A call ended without evidence."""
        if self._in_flight is not None:
            self._in_flight.pop(watched, None)

    def forget_calls(self) -> None:
        """No call is in flight any more."""
        self._in_flight = None

    def find_slow(self) -> str | None:
        """Count the calls in flight that have become slow; the reason to open the circuit, or None."""
        limit, now, reason = self.settings.slow_call_duration, self._clock(), None
        while self._in_flight:
            watched = next(iter(self._in_flight))
            watched.started_at = min(watched.started_at, now)  # in case the clock stepped back
            if limit is None or now - watched.started_at < limit:
                break
            del self._in_flight[watched]
            watched.is_slow = True
            reason = self._record(is_failure=False, is_slow=True) or reason
        return reason

    def succeeded(self, watched: Watched | None) -> str | None:
        """A call succeeded; the reason to open the circuit, which a slow one may be, or None."""
        self._forget_failures()
        if watched is not None:
            reason = self._ended(watched)
            if watched.is_slow:
                return reason
        if self.window is not None:
            self.window.record(is_failure=False, is_slow=False)
        return None

    def failed(self, watched: Watched | None) -> str | None:
        """A call failed; the reason to open the circuit, for people, or None to leave it closed."""
        now = self._clock()
        if not self.failures_in_row:
            self._failing_since = now
        self._failing_since = min(self._failing_since, now)  # in case the clock stepped back
        self.failures_in_row += 1
        self.is_clear = False
        if watched is not None:
            self._ended(watched)
        # One that became slow in flight is in the window already, as a call that has not failed.
        is_counted = watched is not None and watched.is_slow
        return self._record(is_failure=True, is_slow=False, is_counted=is_counted)

    def _forget_failures(self) -> None:
        self.failures_in_row, self._failing_since = 0, math.inf
        self.is_clear = True

    def _make_window(self) -> None:
        seconds, calls = _window_of(self.settings)
        if calls is not None:
            self.window = CountWindow(calls)
        else:
            self.window = None if seconds is None else TimeWindow(seconds, self._clock, self._lock)

    def _ended(self, watched: Watched) -> str | None:
        reason = self.find_slow()
        self.forget(watched)
        return reason

    def _record(self, *, is_failure: bool, is_slow: bool, is_counted: bool = False) -> str | None:
        if self.window is not None:
            self.window.record(is_failure=is_failure, is_slow=is_slow, is_counted=is_counted)
        return self._reason(is_failure)

    def _reason(self, is_failure: bool) -> str | None:
        settings = self.settings
        if self.window is None:  # as by default: no rate is judged, and no call is slow
            return self._reason_in_row()
        found: list[str | None] = []
        if settings.failure_threshold is not None:
            found.append(self._reason_in_row() if is_failure or settings.opens_when == "all" else None)
        if self.window is not None:
            calls, failures, slow = self.window.counts()
            for rate, count, what in (
                (settings.failure_rate, failures, "failed"),
                (settings.slow_call_rate, slow, "were slow"),
            ):
                if rate is not None:
                    is_met = calls >= settings.minimum_calls and count >= rate * calls - ROUNDING
                    found.append(f"{count} of {calls} calls {what} in {self.window.span}" if is_met else None)
        met = [reason for reason in found if reason is not None]
        if not met or (settings.opens_when == "all" and len(met) < len(found)):
            return None
        return " and ".join(met)

    def _reason_in_row(self) -> str | None:
        settings, count = self.settings, self.failures_in_row
        assert settings.failure_threshold is not None
        if count < settings.failure_threshold:
            return None
        lasted = self._clock() - self._failing_since
        if lasted < settings.failure_duration:
            return None
        over = f" over {lasted:.3g} s" if settings.failure_duration else ""
        return f"{count} consecutive failure{'s' if count > 1 else ''}{over}"


def _window_of(settings: CircuitBreakerSettings) -> tuple[float | None, int | None]:
    """Its length, in seconds or in calls; neither where no rate is judged."""
    if settings.failure_rate is None and settings.slow_call_rate is None:
        return None, None
    return (settings.window, None) if settings.window_calls is None else (None, settings.window_calls)
