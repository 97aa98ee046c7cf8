"""A cap on what an open circuit takes from callers: some calls pass while the service still answers some.

A circuit that opens by a rate also opens for a service that serves half of its callers, and then takes that half from
them. With the cap, at most `max_rejected` of the calls of the last minute are refused as long as one of them succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .windows import ROUNDING, TimeWindow

if TYPE_CHECKING:
    from .states import CircuitBreakerSettings

__all__ = ["RejectionCap"]

_SECONDS = 60.0


class RejectionCap:
    """Counts calls and rejections of one circuit. All methods need the breaker's lock."""

    __slots__ = ("_calls", "_results", "settings")

    def __init__(self, settings: CircuitBreakerSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._calls = TimeWindow(_SECONDS, clock, None)  # the rejected ones count as its failures
        self._results = TimeWindow(_SECONDS, clock, None)

    def record(self, *, is_rejected: bool) -> None:
        """Count a call."""
        self._calls.record(is_failure=is_rejected, is_slow=False)

    def record_success(self) -> None:
        """The service answered a call."""
        self._results.record(is_failure=False, is_slow=False)

    def is_reached(self) -> bool:
        """Whether one more rejection would be too many."""
        if not self._results.counts().calls:
            return False
        calls, rejected, _ = self._calls.counts()
        return rejected + 1 > self.settings.max_rejected * (calls + 1) + ROUNDING
