"""The registry of origins: one state for each, and a bounded number of them."""

from __future__ import annotations

from http_service_client.core.machines.circuit_breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_states import CircuitBreakerSettings
from http_service_client.core.machines.semaphore import FairSemaphore
from http_service_client.core.origins import OriginRegistry, OriginState
from kit.fakes import FakeClock, LockWithQueue


def registry_of(max_origins: int, lock: LockWithQueue | None = None) -> OriginRegistry:
    def make(origin: str) -> OriginState:
        settings, clock = CircuitBreakerSettings(), FakeClock()
        breaker = CircuitBreaker(settings, clock=clock.monotonic, random=lambda: 0.0, lock=LockWithQueue())
        return OriginState(breaker, None, FairSemaphore(1, lock=LockWithQueue()))

    return OriginRegistry(make, lock or LockWithQueue(), max_origins)


def origins_of(registry: OriginRegistry) -> list[str]:
    return [origin for origin, _ in registry.items()]


def test_an_origin_has_one_state() -> None:
    """The state is made by the first `get` and returned by later ones; the oldest is listed first."""
    registry = registry_of(10)
    state = registry.get("b")
    assert registry.get("a") is not state
    assert registry.get("b") is state
    assert origins_of(registry) == ["b", "a"]


def test_two_concurrent_requests_for_an_origin_get_one_state() -> None:
    """Two states would mean two circuits and two connection limits for one origin."""
    lock = LockWithQueue()
    registry = registry_of(10, lock)
    first: list[OriginState] = []
    lock.first = lambda: first.append(registry.get("a"))
    assert registry.get("a") is first[0]


def test_the_oldest_idle_origins_are_evicted() -> None:
    """An eighth of the bound is evicted at once, but no circuit with failures and no connection in use."""
    registry = registry_of(16)
    for number in range(16):
        registry.get(str(number))
    breaker = registry.get("0").breaker
    assert breaker is not None
    permit = breaker.try_acquire()
    assert isinstance(permit, Permit)
    permit.record_failure()
    assert registry.get("2").connections.try_acquire()
    registry.get("new")
    assert origins_of(registry) == ["0", "2", *map(str, range(4, 16)), "new"]
