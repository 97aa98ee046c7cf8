"""What a circuit breaker counts while its circuit is closed, apart from the switch that acts on it.

A window is fed each result and says when the circuit must open. It knows no state, no permits and no lock: the
breaker calls it with its lock held, for results of the present generation only.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["ConsecutiveFailures", "Window"]


class Window(Protocol):
    """Counts results, and says when there are too many failures among them.

    is_clear: nothing is remembered that a success would change, and none need be counted. It is read without the
        lock, on the fast path of a call that succeeded.
    """

    is_clear: bool

    def succeeded(self) -> None:
        """Count a success."""

    def failed(self) -> str | None:
        """Count a failure; the reason to open the circuit, for people, or None to leave it closed."""

    def clear(self) -> None:
        """Forget everything."""


class ConsecutiveFailures:
    """Opens after `threshold` failures in a row. A success forgets them.

    threshold: it may change; the next failure is compared with the new one.
    count: the failures in a row; when the circuit is not closed, those that opened it.
    """

    __slots__ = ("count", "is_clear", "threshold")

    def __init__(self, threshold: int) -> None:
        self.threshold = threshold
        self.count = 0
        self.is_clear = True

    def succeeded(self) -> None:
        self.clear()

    def failed(self) -> str | None:
        self.count += 1
        self.is_clear = False
        if self.count < self.threshold:
            return None
        return f"{self.count} consecutive failure{'s' if self.count > 1 else ''}"

    def clear(self) -> None:
        self.count = 0
        self.is_clear = True
