"""The state kept for each origin (scheme, host and port): circuit, budget, connections.

There is one record for each key, and a call looks it up once. The number of keys is bounded, since a client that
follows user-supplied URLs must not grow for ever. Only idle origins are evicted, oldest first, never one whose
circuit remembers failures.
"""

from __future__ import annotations

from collections.abc import Callable

from .machines.circuit_breaker import CircuitBreaker
from .machines.retry_budget import RetryBudget
from .machines.semaphore import FairSemaphore

__all__ = ["OriginRegistry", "OriginState"]


class OriginState:
    """The state of one origin. breaker and budget are None when switched off.

    refuses_codings: it accepted a request's body only without compression.
    """

    __slots__ = ("breaker", "budget", "connections", "refuses_codings")

    def __init__(
        self, breaker: CircuitBreaker | None, budget: RetryBudget | None, connections: FairSemaphore
    ) -> None:
        self.breaker = breaker
        self.budget = budget
        self.connections = connections
        self.refuses_codings = False

    def is_idle(self) -> bool:
        """Whether forgetting it would change no decision."""
        return not self.connections.in_use and (self.breaker is None or self.breaker.is_idle)


class OriginRegistry:
    """Maps keys to states, each made at its first use.

    make: makes the state of a new key.  lock: guards creation; look-ups take no lock.
    max_keys: how many keys are kept before idle ones are evicted, oldest first.

    get: the state of a key. It is the dictionary's own look-up, since each call makes two.
    """

    get: Callable[[str], OriginState]

    def __init__(self, make: Callable[[str], OriginState], lock: object, max_keys: int = 20_000) -> None:
        self._make = make
        self._lock = lock
        self._max_keys = max_keys
        self._states = _MadeWhenMissing(self._add)
        self.get = self._states.__getitem__

    def items(self) -> list[tuple[str, OriginState]]:
        """All keys and their states, oldest first."""
        with self._lock:  # type: ignore[attr-defined]
            return list(self._states.items())

    def _add(self, key: str) -> OriginState:
        with self._lock:  # type: ignore[attr-defined]
            state = self._states.get(key)
            if state is None:
                if len(self._states) >= self._max_keys:
                    self._evict_locked()
                state = self._states[key] = self._make(key)
            return state

    def _evict_locked(self) -> None:
        """Evict an eighth of the keys at once, idle ones only, so that eviction is rare."""
        idle = [key for key, state in self._states.items() if state.is_idle()]
        for key in idle[: max(1, self._max_keys // 8)]:
            del self._states[key]


class _MadeWhenMissing(dict[str, OriginState]):
    """A dictionary that calls `make` for a missing key; `make` stores the value."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], OriginState]) -> None:
        self._make = make

    def __missing__(self, key: str) -> OriginState:
        return self._make(key)
