"""The state kept for each key (by default scheme, host and port): circuit, budget, connections.

One record a key, looked up once a call. The number of keys is bounded: a client that follows
user-supplied URLs must not grow for ever. What is evicted is the oldest key at rest, never a circuit
that has something to remember.
"""

from __future__ import annotations

from collections.abc import Callable

from .machines.circuit_breaker import CircuitBreaker
from .machines.retry_budget import RetryBudget
from .machines.semaphore import FairSemaphore

__all__ = ["OriginRegistry", "OriginState"]


class OriginState:
    """What is remembered of one key. breaker and budget are None when switched off.

    refuses_codings: it took a request's body only when that was not compressed.
    """

    __slots__ = ("breaker", "budget", "connections", "refuses_codings")

    def __init__(
        self, breaker: CircuitBreaker | None, budget: RetryBudget | None, connections: FairSemaphore
    ) -> None:
        self.breaker = breaker
        self.budget = budget
        self.connections = connections
        self.refuses_codings = False

    def is_at_rest(self) -> bool:
        """Whether forgetting it changes no decision."""
        return not self.connections.in_use and (self.breaker is None or self.breaker.is_at_rest)


class OriginRegistry:
    """Key to state, made when first asked for.

    make: makes the state of a new key.  lock: guards creation; look-ups take no lock.
    max_keys: how many keys are kept before those at rest are evicted, oldest first.

    get: the state of a key. It is the dictionary's own look-up, as there are two in every call.
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
        """Forget an eighth of the keys at rest at once, so that eviction is rare."""
        at_rest = [key for key, state in self._states.items() if state.is_at_rest()]
        for key in at_rest[: max(1, self._max_keys // 8)]:
            del self._states[key]


class _MadeWhenMissing(dict[str, OriginState]):
    """A dictionary that has what is missing made; `make` puts it in."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], OriginState]) -> None:
        self._make = make

    def __missing__(self, key: str) -> OriginState:
        return self._make(key)
