"""A rate limiter whose clock a test moves."""

from __future__ import annotations

import math
import threading
from typing import Any

from http_service_client.core.machines.limits.rate_limit_settings import RateLimitSettings
from http_service_client.core.machines.limits.rate_limiter import RateLimiter, Turn

__all__ = ["Harness"]


class Harness:
    """A limiter, and a clock under the test's control."""

    def __init__(self, now: float = 1000.0, **settings: Any) -> None:
        self.now = now
        self.limiter = RateLimiter(
            RateLimitSettings(**settings), clock=lambda: self.now, lock=threading.RLock()
        )

    def passed(self, calls: int) -> int:
        """How many of so many callers that do not wait get a token."""
        return sum(self.limiter.try_acquire() for _ in range(calls))

    def join(self) -> Turn:
        """A turn, with its timer set if it has to wait."""
        turn = self.limiter.acquire_later()
        assert isinstance(turn, Turn)
        turn.next_wait()
        return turn

    def fire(self, turn: Turn) -> None:
        """Advance to the instant of its timer, which then fires; one that was woken sets it first."""
        if turn._wakes_at == -math.inf:
            turn.next_wait()
        self.now = max(self.now, turn._wakes_at)
        turn.next_wait()
