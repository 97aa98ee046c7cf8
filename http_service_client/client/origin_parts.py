"""What a client keeps for each origin: made at its first use, by settings that may change while the client runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..core import machines
from ..core.machines.circuit_breaker.breaker import CircuitBreaker
from ..core.machines.limits.semaphore import FairSemaphore
from ..core.machines.retry.quota import AnyBudget, BudgetSettings, RetryQuota, RetryQuotaSettings, new_budget
from ..core.origins import OriginRegistry, OriginState
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..policies.listeners import judging, notify
from ..policies.logs import log_change

if TYPE_CHECKING:
    from ..core.machines.circuit_breaker.changes import CircuitBreakerChanges
    from ..core.machines.circuit_breaker.states import CircuitBreakerSettings, StateChange
    from ..drivers.clocks import Clock
    from .config.client_config import HttpClientConfig

__all__ = ["Circuits", "OriginParts"]

# Each is held for about a microsecond, and no thread holds two of them. Locks for each part of each origin would
# take more memory than the rest of an origin's state.
_LOCKS = 64

Listener = Callable[["StateChange"], None]


class Circuits:
    """The settings of a client's circuits, which may change while they are in use.

    settings: of the circuits to come.   listener: the client's, called with each change of a circuit.
    """

    def __init__(self, settings: CircuitBreakerSettings, listener: Listener) -> None:
        self.settings = settings
        self._listener = listener
        self._lock = ForkSafeLock()

    def report(self, change: StateChange) -> None:
        """Log a change of state, and call the client's listener, then the user's."""
        log_change(change)
        self._listener(change)
        own = self.settings.on_change
        if own is not None:
            notify(own, change)

    def reconfigure(self, changes: CircuitBreakerChanges, origins: OriginRegistry) -> None:
        """Change the settings of the circuits to come, then of those that exist; see `CircuitBreaker.reconfigure`."""
        if "is_failure" in changes:
            changes["is_failure"] = judging(changes["is_failure"])
        with self._lock:
            self.settings = self.settings.changed(changes)
            for _, state in origins.items():
                if state.breaker is not None:
                    state.breaker.reconfigure(changes)


class OriginParts:
    """What a client keeps for each key, created on its first use, by settings which may change while it is in use.

    circuits: None when they are switched off.   locks: for the keys; None for locks of the client's own.
    registry: of what was created.   connections: the slots of all keys together, which have one lock with those of each.
    """

    def __init__(
        self,
        config: HttpClientConfig,
        clock: Clock,
        random: Callable[[], float],
        circuits: Circuits | None,
        locks: Sequence[ForkSafeLock] | None = None,
    ) -> None:
        self.circuits = circuits
        self._config = config
        self._now, self._random = clock.monotonic, random
        self._wall = clock.wall
        self._locks = locks or [ForkSafeLock() for _ in range(_LOCKS)]
        self._slots_lock = locks[0] if locks else ForkSafeLock()
        self.connections = FairSemaphore(config.pool.max_connections, lock=self._slots_lock)
        self.registry = OriginRegistry(self._new_state, lock=ForkSafeLock(), clock=self._now)
        reset_in_forked_children(self.registry)

    def reconfigure(self, config: HttpClientConfig, listener: Listener) -> None:
        """Change the settings of what is still to be created, then of what exists. States, counts and tokens stay.

        listener: as in `Circuits`, which are created if they were switched off until now.
        """
        settings = config.resolved.circuit_breaker
        if settings is None:
            self.circuits = None
        elif self.circuits is None:
            self.circuits = Circuits(settings, listener)
        elif settings != self.circuits.settings:
            changes: Any = {item.name: getattr(settings, item.name) for item in fields(settings)}
            self.circuits.reconfigure(changes, self.registry)
        self._config = config
        for key, state in self.registry.items():
            if (state.breaker is None) is not (self.circuits is None):
                state.breaker = self._new_breaker(key)
            if not _reconfigure_budget(state.budget, config.budget):
                state.budget = self._new_budget(key)
            state.connections.resize(config.pool.max_connections_per_host)
            self._set_deadline_check(key, state)
            self._set_rate_limit(key, state)
            self._add_hedging(key, state)
            self._set_bulkhead(key, state)
            self._set_load_shedding(key, state)
            self._set_adaptive_limit(key, state)

    def _new_state(self, key: str) -> OriginState:
        connections = self._config.pool.max_connections_per_host
        semaphore = FairSemaphore(connections, lock=self._slots_lock)
        state = OriginState(self._new_breaker(key), self._new_budget(key), semaphore)
        self._set_deadline_check(key, state)
        self._set_rate_limit(key, state)
        self._add_hedging(key, state)
        self._set_bulkhead(key, state)
        self._set_load_shedding(key, state)
        self._set_adaptive_limit(key, state)
        return state

    def _add_hedging(self, key: str, state: OriginState) -> None:
        settings = self._config.resolved.hedging
        if settings is None:
            state.hedging = None
        elif state.hedging is None:
            state.hedging = machines.Hedging(settings, clock=self._now, lock=self._lock_of(key))
        else:
            state.hedging.reconfigure(settings)

    def _set_bulkhead(self, key: str, state: OriginState) -> None:
        """Give a state its bulkhead, or other settings to the one that it has: its permits and waiters stay.

        Where it is taken away, those that wait go on at once.
        """
        settings, bulkhead = self._config.resolved.bulkhead, state.bulkhead
        if settings is None:
            state.bulkhead = None
            if bulkhead is not None:
                bulkhead.lift()
        elif bulkhead is None:
            state.bulkhead = machines.Bulkhead(settings, key=key, lock=self._lock_of(key))
        elif bulkhead.settings != settings:
            bulkhead.reconfigure(settings)

    def _set_deadline_check(self, key: str, state: OriginState) -> None:
        """Give a state its check, or take it away. What it knows stays."""
        settings, check = self._config.resolved.deadline_check, state.deadline_check
        if settings is None:
            state.deadline_check = None
        elif check is None:
            state.deadline_check = machines.DeadlineCheck(settings, clock=self._now, lock=self._lock_of(key))
        else:
            check.reconfigure(settings)

    def _set_rate_limit(self, key: str, state: OriginState) -> None:
        """Give a state its limit, or take it away: then those that wait go on at once. The tokens stay."""
        settings, limiter = self._config.resolved.rate_limit, state.rate_limiter
        if settings is None:
            state.rate_limiter = None
            if limiter is not None:
                limiter.lift()
        elif limiter is None:
            state.rate_limiter = machines.RateLimiter(settings, clock=self._now, lock=self._lock_of(key))
        elif limiter.settings != settings:
            limiter.reconfigure(settings)

    def _set_adaptive_limit(self, key: str, state: OriginState) -> None:
        """Give a state its limit, or other settings to the one that it has: what it has learned stays, and its permits.

        Where it is taken away, those that wait go on at once.
        """
        settings, limit = self._config.resolved.adaptive_limit, state.adaptive_limit
        if settings is not None and not self._config.http2:  # one connection of HTTP/2 takes many calls
            settings = settings.with_connections(self._config.pool.max_connections_per_host)
        if settings is None:
            state.adaptive_limit = None
            if limit is not None:
                limit.permits.lift()
        elif limit is None:
            state.adaptive_limit = machines.AdaptiveLimit(
                settings, key=key, clock=self._now, wall_clock=self._wall, lock=self._lock_of(key)
            )
        elif limit.settings != settings:
            limit.reconfigure(settings)

    def _set_load_shedding(self, key: str, state: OriginState) -> None:
        """Give a state what sheds calls, or take it away. What was counted stays."""
        settings, shedder = self._config.resolved.load_shedding, state.load_shedder
        if settings is None:
            state.load_shedder = None
        elif shedder is None:
            state.load_shedder = machines.LoadShedder(
                settings, key=key, clock=self._now, random=self._random, lock=self._lock_of(key)
            )
        elif shedder.settings != settings:
            shedder.reconfigure(settings)

    def _new_breaker(self, key: str) -> CircuitBreaker | None:
        circuits = self.circuits
        if circuits is None:
            return None
        return CircuitBreaker(
            circuits.settings,
            key=key,
            clock=self._now,
            random=self._random,
            lock=self._lock_of(key),
            on_change=circuits.report,
        )

    def _new_budget(self, key: str) -> AnyBudget | None:
        settings = self._config.budget
        return None if settings is None else new_budget(settings, self._now, self._lock_of(key))

    def _lock_of(self, key: str) -> ForkSafeLock:
        return self._locks[hash(key) % len(self._locks)]


def _reconfigure_budget(budget: AnyBudget | None, settings: BudgetSettings | None) -> bool:
    """Whether the budget is of these settings' kind. It has them then, and keeps its tokens or counts."""
    if isinstance(budget, RetryQuota) and isinstance(settings, RetryQuotaSettings):
        budget.reconfigure(settings)
        return True
    if isinstance(settings, machines.RetryBudgetSettings) and isinstance(budget, machines.RetryBudget):
        budget.reconfigure(settings)
        return True
    return False
