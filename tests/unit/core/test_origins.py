"""The state kept for each key: one for all who ask, and bounded in number."""

from __future__ import annotations

from http_service_client.core.machines.circuit_breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_states import CircuitBreakerSettings
from http_service_client.core.machines.semaphore import FairSemaphore
from http_service_client.core.origins import OriginRegistry, OriginState
from kit.fakes import FakeClock, LockWithQueue


def registry_of(max_keys: int, lock: LockWithQueue | None = None) -> OriginRegistry:
    def make(key: str) -> OriginState:
        settings, clock = CircuitBreakerSettings(), FakeClock()
        breaker = CircuitBreaker(settings, clock=clock.monotonic, random=lambda: 0.0, lock=LockWithQueue())
        return OriginState(breaker, None, FairSemaphore(1, lock=LockWithQueue()))

    return OriginRegistry(make, lock or LockWithQueue(), max_keys)


def known(registry: OriginRegistry) -> list[str]:
    return [key for key, _ in registry.items()]


def test_a_key_has_one_state() -> None:
    """Made when first asked for, and the same from then on; the oldest first."""
    registry = registry_of(10)
    state = registry.get("b")
    assert registry.get("a") is not state
    assert registry.get("b") is state
    assert known(registry) == ["b", "a"]


def test_two_that_ask_at_once_get_one_state() -> None:
    """Or each would have a circuit, and a limit, of its own."""
    lock = LockWithQueue()
    registry = registry_of(10, lock)
    got: list[OriginState] = []
    lock.first = lambda: got.append(registry.get("a"))
    assert registry.get("a") is got[0]


def test_the_oldest_keys_at_rest_are_forgotten() -> None:
    """An eighth of the bound at once; never a circuit that remembers something, nor a connection in use."""
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
    assert known(registry) == ["0", "2", *map(str, range(4, 16)), "new"]
