"""The state kept for each origin (scheme, host and port): circuit, budget, connections.

There is one record for each origin, and a call looks it up once. A client that follows URLs of its users must not grow
for ever, so origins are forgotten, by what forgetting would cost:

    rank    the origin                                  is forgotten
    0       has nothing to remember                     when there are too many, the oldest first
    1       failed lately, its circuit is closed; or    when there are too many, and none of rank 0
            has used up tokens of its rate limit
    2       has an open or half-open circuit, or a      when there are too many, and none of ranks 0 and 1
            closed gate
    3       is in use, or was isolated by hand          never

and in ranks 1 and 2 an hour after the last failure, or after the end of the recovery time. So an attacker that has us
call many hosts, dead or alive, cannot make us forget an open circuit short of opening as many circuits as there is room
for, each by `failure_threshold` calls, within an hour. Even then, new origins are forgotten before old ones.

A call with a `key` has a state for its origin and key together, such as ``https://api.example.com (tenant-a)``. To the
registry that is an origin like any other, and is forgotten by the same rules.

There is no sweep over all origins. Each new origin has a few others examined, at the front of a queue for each rank; one
whose rank has changed moves to the queue of its new rank. So the cost of a call does not depend on the number of origins.
When a great many change their rank at once, there may be an eighth more than the bound for a while.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from .machines.circuit_breaker.states import CircuitBreakerState

if TYPE_CHECKING:
    from .machines.circuit_breaker.breaker import CircuitBreaker
    from .machines.deadline_check import DeadlineCheck
    from .machines.hedging import Hedging
    from .machines.limits.adaptive_limit import AdaptiveLimit
    from .machines.limits.bulkhead import Bulkhead
    from .machines.limits.load_shedding import LoadShedder
    from .machines.limits.rate_limiter import RateLimiter
    from .machines.limits.semaphore import FairSemaphore, Waiter
    from .machines.limits.throttle_gate import ThrottleGate
    from .machines.retry.quota import AnyBudget

__all__ = ["LONGEST_KEY", "OriginRegistry", "OriginState", "parse_key", "state_key", "without_key"]

_EXAMINED = 8  # origins of each rank, for each new one
_REMEMBERED = 3600.0  # seconds
LONGEST_KEY = 100  # characters
_NOBODY: dict[Waiter, None] = {}  # of all origins of which no call has waited in this way
_STALE, _IDLE, _FAILING, _OPEN, _KEPT = -1, 0, 1, 2, 3


class OriginState:
    """The state of one origin. breaker and budget are None when switched off.

    proxy_attempts: the most that a proxy on the way made of one attempt.
    refuses_codings: it accepted a request's body only without compression.
    begun: how many exchanges have begun after a wait for a connection slot.
    queued: the calls that have a slot of this origin and wait for one of the client's own.
    adaptive_limit: as many permits as the service can do with; None when switched off.
    load_shedder: counts what the service rejects for overload; None when switched off.
    gate: closed while the service asks for a pause; None as long as it never has.
    deadline_check: knows how long the service takes; None when switched off.
    rate_limiter: None when switched off.
    hedging: what decides about hedges, and knows how long they take; None when switched off.
    bulkhead: None when switched off.
    """

    __slots__ = (
        *("begun", "breaker", "budget", "bulkhead", "connections", "deadline_check", "gate", "hedging"),
        *("proxy_attempts", "queued", "rate_limiter", "adaptive_limit", "load_shedder", "refuses_codings"),
    )

    def __init__(
        self, breaker: CircuitBreaker | None, budget: AnyBudget | None, connections: FairSemaphore
    ) -> None:
        self.breaker = breaker
        self.budget = budget
        self.connections = connections
        self.refuses_codings = False
        self.proxy_attempts = 1
        self.begun = 0
        self.queued = _NOBODY
        self.gate: ThrottleGate | None = None
        self.load_shedder: LoadShedder | None = None
        self.adaptive_limit: AdaptiveLimit | None = None
        self.deadline_check: DeadlineCheck | None = None
        self.rate_limiter: RateLimiter | None = None
        self.hedging: Hedging | None = None
        self.bulkhead: Bulkhead | None = None

    def queue(self, waiter: Waiter) -> None:
        """Add a call to `queued`. The caller takes it out again."""
        with self.connections._lock:
            # In one line: no signal handler, which may make a call of its own, runs between the look and the change.
            self.queued = {} if self.queued is _NOBODY else self.queued
        self.queued[waiter] = None

    def rank(self, now: float) -> int:
        """What forgetting it would cost (see above); -1 if what it remembers is too old to matter."""
        if self.connections.in_use or not (self.bulkhead is None or self.bulkhead.is_idle):
            return _KEPT
        if self.adaptive_limit is not None and not self.adaptive_limit.permits.is_idle:
            return _KEPT
        found = self._rank_of_circuit(now)
        if self.load_shedder is not None and not self.load_shedder.is_idle:
            found = max(found, _FAILING)
        limiter = self.rate_limiter
        if limiter is not None and not limiter.is_at_rest:
            if limiter.waiting:
                return _KEPT
            found = max(found, _FAILING)
        return max(found, _OPEN) if self.gate is not None and self.gate.left else found

    def _rank_of_circuit(self, now: float) -> int:
        if self.breaker is None:
            return _IDLE
        evidence_at = self.breaker.evidence_at
        if evidence_at == -math.inf:
            return _IDLE
        if evidence_at == math.inf:
            return _KEPT
        if evidence_at <= now - _REMEMBERED:
            return _STALE
        return _FAILING if self.breaker.state is CircuitBreakerState.CLOSED else _OPEN


class OriginRegistry:
    """Maps origins to states, each made at its first use.

    make: makes the state of a new origin.  lock: guards creation; look-ups take no lock.
    clock: monotonic seconds.  max_origins: how many are kept before some are forgotten.

    open_bodies: a mark for each body that is open, and holds slots.
    get: the state of an origin. It is the dictionary's own look-up, since each call makes two.
    """

    get: Callable[[str], OriginState]

    def __init__(
        self,
        make: Callable[[str], OriginState],
        lock: object,
        clock: Callable[[], float],
        max_origins: int = 20_000,
    ) -> None:
        self._make = make
        self._lock = lock
        self.open_bodies: set[object] = set()
        self._clock = clock
        self._max_origins = max_origins
        self._queues: tuple[deque[str], ...] = (deque(), deque(), deque())  # of ranks 0, 1, and all above
        self._states = _MadeWhenMissing(self._add)
        self.get = self._states.__getitem__

    def items(self) -> list[tuple[str, OriginState]]:
        """All origins and their states, oldest first."""
        with self._lock:  # type: ignore[attr-defined]
            return list(self._states.items())

    def _reset_after_fork(self) -> None:
        for state in self._states.values():
            state.queued = _NOBODY  # threads of the parent
            if state.breaker is not None:
                state.breaker.reset_after_fork()
            if state.budget is not None:
                state.budget.reset_after_fork()
            if state.rate_limiter is not None:
                state.rate_limiter.reset_after_fork()
            if state.hedging is not None:
                state.hedging.reset_after_fork()
            if state.bulkhead is not None:
                state.bulkhead.reset_after_fork()
            if state.adaptive_limit is not None:
                state.adaptive_limit.reset_after_fork()

    def _add(self, origin: str) -> OriginState:
        with self._lock:  # type: ignore[attr-defined]
            state = self._states.get(origin)
            if state is None:
                self._forget_locked(self._clock())
                made = self._make(origin)
                # A signal handler may have added it meanwhile: two states would be two circuits.
                state = self._states.setdefault(origin, made)
                if state is made:
                    self._queues[_IDLE].append(origin)
            return state

    def _forget_locked(self, now: float) -> None:
        """Examine a few origins of each rank, and forget those that may be forgotten."""
        for rank, queue in enumerate(self._queues):
            for _ in range(min(_EXAMINED, len(queue))):
                if not queue:  # a signal handler that interrupted this has examined the others
                    break
                origin = queue.popleft()
                found = self._states[origin].rank(now)
                is_one_too_many = len(self._states) >= self._max_origins
                if found == _STALE or (is_one_too_many and found <= rank and not any(self._queues[:rank])):
                    del self._states[origin]
                else:
                    self._queues[min(found, _OPEN)].append(origin)


def parse_key(key: object) -> str:
    """The key of a call. Raises ConfigurationError for one that is empty, or would be hard to read in a log."""
    if not isinstance(key, str) or not key.isprintable() or not key.strip() or len(key) > LONGEST_KEY:
        shown = key if not isinstance(key, str) or len(key) <= LONGEST_KEY else f"{key[:20]}…"
        raise ConfigurationError(
            f"key must be printable text of 1 to {LONGEST_KEY} characters, such as a tenant's name, or None, not {shown!r}"
        )
    return key


def state_key(origin: str, key: str | None) -> str:
    """The name of the state that a call uses.

    >>> state_key("https://api.example.com", "tenant-a")
    'https://api.example.com (tenant-a)'
    """
    return origin if key is None else f"{origin} ({key})"


def without_key(name: str) -> str:
    """The origin in the name of a state. A name that has none, such as a policy's, remains.

    >>> without_key("https://api.example.com (tenant-a)"), without_key("payments (eu)")
    ('https://api.example.com', 'payments (eu)')
    """
    origin, separator, _ = name.partition(" (")
    return origin if separator and name.endswith(")") and "://" in origin else name


class _MadeWhenMissing(dict[str, OriginState]):
    """A dictionary that calls `make` for a missing key; `make` stores the value."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], OriginState]) -> None:
        self._make = make

    def __missing__(self, key: str) -> OriginState:
        return self._make(key)
