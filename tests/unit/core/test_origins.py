"""The registry of origins: one state for each, and a bounded number of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
)
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.core.machines.limits.throttle_gate import ThrottleGate
from http_service_client.core.origins import (
    LONGEST_KEY,
    OriginRegistry,
    OriginState,
    parse_key,
    state_key,
    without_key,
)
from kit.fakes import FakeClock, LockWithQueue
from kit.rows import each_row


class Registry(OriginRegistry):
    """A registry whose origins can be made to fail, to open, and to be in use."""

    def __init__(self, max_origins: int, lock: LockWithQueue | None = None) -> None:
        self.clock = FakeClock()
        super().__init__(self._new_state, lock or LockWithQueue(), self.clock.monotonic, max_origins)

    def _new_state(self, origin: str) -> OriginState:
        breaker = CircuitBreaker(
            CircuitBreakerSettings(failure_threshold=2, recovery_timeout=60),
            clock=self.clock.monotonic,
            random=lambda: 0.0,
            lock=LockWithQueue(),
        )
        return OriginState(breaker, None, FairSemaphore(1, lock=LockWithQueue()))

    def breaker(self, origin: str) -> CircuitBreaker:
        breaker = self.get(origin).breaker
        assert breaker is not None
        return breaker

    def settle(self, origins: Iterable[str], *failed: bool) -> None:
        """Calls to each of the origins, and how each went."""
        for origin in origins:
            for each in failed:
                permit = self.breaker(origin).try_acquire()
                assert isinstance(permit, Permit)
                self.breaker(origin).settle(permit, each)

    def visit(self, origins: Iterable[str]) -> None:
        for origin in origins:
            self.get(origin)

    @property
    def origins(self) -> set[str]:
        return {origin for origin, _ in self.items()}


def named(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def test_an_origin_has_one_state() -> None:
    """The state is made by the first `get` and returned by later ones; the oldest is listed first."""
    registry = Registry(10)
    state = registry.get("b")
    assert registry.get("a") is not state
    assert registry.get("b") is state
    assert [origin for origin, _ in registry.items()] == ["b", "a"]


def test_twenty_thousand_origins_are_remembered() -> None:
    """A crawler may call as many; from then on, each new one has the room of another."""
    lock = LockWithQueue()
    state = OriginState(None, None, FairSemaphore(1, lock=lock))
    registry = OriginRegistry(lambda origin: state, lock, FakeClock().monotonic)
    for origin in named("host", 20_000):
        registry.get(origin)
    assert len(registry.items()) == 20_000
    registry.get("another")
    assert len(registry.items()) == 20_000


def test_two_concurrent_requests_for_an_origin_get_one_state() -> None:
    """Two states would mean two circuits and two connection limits for one origin."""
    lock = LockWithQueue()
    registry = Registry(10, lock)
    first: list[OriginState] = []
    lock.first = lambda: first.append(registry.get("a"))
    assert registry.get("a") is first[0]


def test_the_oldest_origin_with_nothing_to_remember_is_forgotten_first() -> None:
    """One that failed, that is in use or that was isolated stays."""
    registry = Registry(8)
    registry.visit(named("old", 8))
    registry.settle(["old 0"], True)
    registry.settle(["old 1"], True, False)
    assert registry.get("old 2").connections.try_acquire()
    registry.breaker("old 3").isolate()
    registry.visit(named("new", 3))
    assert registry.origins == {"old 0", "old 2", "old 3", "old 6", "old 7", *named("new", 3)}


@pytest.mark.parametrize(
    ("flood", "remembered"),
    [((), {"open", "failing"}), ((True, False), {"open", "failing"}), ((True,), {"open"})],
    ids=["idle", "working", "failing"],
)
def test_a_flood_of_origins_forgets_no_circuit_that_is_worth_more(
    flood: tuple[bool, ...], remembered: set[str]
) -> None:
    """However many other hosts we are made to call: a circuit that is open stays so."""
    registry = Registry(16)
    registry.settle(["open"], True, True)
    registry.settle(["failing"], True)
    for origin in named("flood", 500):
        registry.settle([origin], *flood)
        registry.get(origin)
        assert len(registry.origins) <= 17
    assert {"open", "failing"} & registry.origins == remembered


def test_where_all_circuits_are_open_a_new_origin_is_forgotten_first() -> None:
    """So their number is bounded, too: the first of the new ones takes the room of one, the others that of another."""
    registry = Registry(16)
    registry.settle(named("open", 16), True, True)
    registry.visit(named("new", 50))
    assert registry.origins == {*named("open", 16)[1:], "new 49"}
    registry.settle(named("opened later", 50), True, True)
    assert len(registry.origins) <= 17


def test_origins_in_use_are_never_forgotten() -> None:
    """Another limit would be made for each of them. They count again when they are free."""
    registry = Registry(4)
    states = [registry.get(origin) for origin in named("used", 40)]
    assert len(registry.origins) <= 5
    states = [
        registry.get(origin) for origin in named("busy", 40) if registry.get(origin).connections.try_acquire()
    ]
    assert {*named("busy", 40)} <= registry.origins
    for state in states:
        state.connections.release()
    registry.visit(named("new", 40))
    assert len(registry.origins) <= 5


@pytest.mark.parametrize(
    ("outcomes", "seconds"), [((True,), 3600.0), ((True, True), 3660.0)], ids=["failing", "open"]
)
def test_what_failed_an_hour_ago_is_forgotten(outcomes: tuple[bool, ...], seconds: float) -> None:
    """From the last failure, or from the end of the recovery time; also while there is room."""
    registry = Registry(1000)
    registry.settle(named("dead", 100), *outcomes)
    registry.visit(named("new", 100))
    registry.clock.now += seconds - 1
    registry.visit(named("newer", 100))
    assert len(registry.origins) == 300
    registry.clock.now += 1
    registry.visit(named("newest", 100))
    assert registry.origins == {*named("new", 100), *named("newer", 100), *named("newest", 100)}


def test_an_isolated_circuit_is_never_forgotten() -> None:
    """A person said so, and only a person ends it."""
    registry = Registry(2)
    registry.breaker("isolated").isolate()
    registry.clock.now += 1e9
    registry.visit(named("new", 50))
    assert "isolated" in registry.origins


def test_hosts_that_ask_for_a_pause_are_no_flood() -> None:
    """A closed gate is worth as much as an open circuit, and the number of both is bounded."""
    registry = Registry(16)
    registry.settle(["open"], True, True)
    for origin in named("throttled", 500):
        registry.get(origin).gate = gate = ThrottleGate(registry.clock.monotonic)
        gate.close(300.0)
        assert len(registry.origins) <= 17
    throttled = registry.origins - {"open"}
    registry.visit(named("idle", 100))
    assert len(throttled - registry.origins) <= 1  # the last one may not have been examined yet


def test_an_origin_that_works_again_is_worth_no_more_than_others() -> None:
    """It waits among those with nothing to remember."""
    registry = Registry(100)
    registry.settle(named("recovered", 100), True)
    registry.visit(named("other", 30))
    registry.settle(named("recovered", 100), False)
    registry.visit(named("new", 300))
    assert not {*named("recovered", 100)} & registry.origins
    assert len(registry.origins) <= 101


def test_a_new_origin_costs_the_same_however_many_there_are() -> None:
    """Twenty thousand dead hosts make no call slower."""
    examined: list[str] = []

    class Counting(Registry):
        def _new_state(self, origin: str) -> OriginState:
            state = super()._new_state(origin)
            real = state.rank
            state_type = type(
                "Counted", (OriginState,), {"rank": lambda its, now: examined.append(origin) or real(now)}
            )
            return state_type(state.breaker, None, state.connections)

    registry = Counting(1000)
    registry.settle(named("open", 500), True, True)
    registry.settle(named("dead", 5000), True)
    most = len(examined)
    registry.visit(named("new", 100))
    assert most <= 24 * 5500
    assert len(examined) - most <= 24 * 100
    assert len(registry.origins) <= 1001


def test_a_signal_handler_may_examine_what_a_call_was_about_to() -> None:
    """It adds an origin of its own meanwhile. What it has forgotten is not missed."""
    registry = Registry(100)

    class Interrupted:
        handler = iter(["of the handler"])

        @property
        def is_idle(self) -> bool:
            registry.visit(self.handler)
            return True

    registry.settle(["a", "b"], True)
    registry.get("c")  # the others are known to fail now
    registry.get("a").bulkhead = Interrupted()  # type: ignore[assignment]
    registry.clock.now += 1e6  # and have recovered by now, as far as anybody knows
    registry.get("d")
    assert registry.origins == {"c", "d", "of the handler"}


def busy(is_idle: bool) -> Any:
    return SimpleNamespace(is_idle=is_idle)


def circuit(evidence_at: float, state: CircuitBreakerState = CircuitBreakerState.CLOSED) -> Any:
    return SimpleNamespace(evidence_at=evidence_at, state=state)


def queue(waiting: int, is_at_rest: bool = False) -> Any:
    return SimpleNamespace(waiting=waiting, is_at_rest=is_at_rest)


OPEN = CircuitBreakerState.OPEN
STALE, NOTHING, SOMETHING, MORE, IN_USE = -1, 0, 1, 2, 3


@each_row(
    ("parts", "rank"),
    [
        ({}, NOTHING),
        ({"bulkhead": busy(True)}, NOTHING),
        ({"bulkhead": busy(False)}, IN_USE),
        ({"adaptive_limit": SimpleNamespace(permits=busy(True))}, NOTHING),
        ({"adaptive_limit": SimpleNamespace(permits=busy(False))}, IN_USE),
        ({"breaker": circuit(-math.inf)}, NOTHING),
        ({"breaker": circuit(math.inf)}, IN_USE),
        ({"breaker": circuit(6400.0)}, STALE),
        ({"breaker": circuit(6401.0)}, SOMETHING),
        ({"breaker": circuit(6401.0, OPEN)}, MORE),
        ({"load_shedder": busy(True)}, NOTHING),
        ({"load_shedder": busy(False)}, SOMETHING),
        ({"load_shedder": busy(False), "breaker": circuit(0.0)}, SOMETHING),
        ({"load_shedder": busy(False), "breaker": circuit(9000.0, OPEN)}, MORE),
        ({"rate_limiter": queue(0, is_at_rest=True)}, NOTHING),
        ({"rate_limiter": queue(0)}, SOMETHING),
        ({"rate_limiter": queue(0), "breaker": circuit(9000.0, OPEN)}, MORE),
        ({"rate_limiter": queue(1)}, IN_USE),
        ({"gate": SimpleNamespace(left=0.0)}, NOTHING),
        ({"gate": SimpleNamespace(left=1.0)}, MORE),
        ({"gate": SimpleNamespace(left=1.0), "breaker": circuit(0.0)}, MORE),
    ],
    ids=str,
)
def test_what_is_lost_with_an_origin(parts: dict[str, Any], rank: int) -> None:
    """Nothing that is in use; then a pause or an open circuit is worth more than a count, and a count more than nothing."""
    state = OriginState(None, None, FairSemaphore(1, lock=LockWithQueue()))
    for name, part in parts.items():
        setattr(state, name, part)
    assert state.rank(10_000.0) == rank
    assert state.connections.try_acquire()
    assert state.rank(10_000.0) == IN_USE


def test_an_origin_begins_with_nothing_known() -> None:
    """Each part is given to it by the client that needs it."""
    state = OriginState(None, None, FairSemaphore(1, lock=LockWithQueue()))
    assert (state.refuses_codings, state.proxy_attempts, state.begun, state.queued) == (False, 1, 0, {})
    for name in (
        "gate",
        "load_shedder",
        "adaptive_limit",
        "deadline_check",
        "rate_limiter",
        "hedging",
        "bulkhead",
    ):
        assert getattr(state, name) is None


def test_a_call_that_is_queued_is_known_to_its_own_origin_alone() -> None:
    """In the order in which they came."""
    state, other = (OriginState(None, None, FairSemaphore(1, lock=LockWithQueue())) for _ in range(2))
    waiters = [state.connections.acquire_later() for _ in range(3)]
    for waiter in waiters:
        state.queue(waiter)
    assert list(state.queued) == waiters
    assert other.queued == {}


def test_a_forked_child_begins_with_parts_of_its_own() -> None:
    """Those that have locks or queues are reset, and nobody of the parent waits any more."""
    reset: list[str] = []
    registry = OriginRegistry(
        lambda origin: OriginState(None, None, FairSemaphore(1, lock=LockWithQueue())),
        LockWithQueue(),
        FakeClock().monotonic,
    )
    names = ("breaker", "budget", "rate_limiter", "hedging", "bulkhead", "adaptive_limit")
    registry.get("without parts")
    state = registry.get("with parts")
    for name in names:
        setattr(state, name, SimpleNamespace(reset_after_fork=partial(reset.append, name)))
    state.queue(state.connections.acquire_later())
    registry._reset_after_fork()
    assert (sorted(reset), state.queued) == (sorted(names), {})


@pytest.mark.parametrize(
    ("origin", "key", "name"),
    [
        ("https://a.test", None, "https://a.test"),
        ("https://a.test", "tenant", "https://a.test (tenant)"),
        ("https://a.test", "a (b)", "https://a.test (a (b))"),
    ],
)
def test_a_state_is_named_after_its_origin_and_key(origin: str, key: str | None, name: str) -> None:
    """And the origin is read out of the name."""
    assert state_key(origin, key) == name
    assert without_key(name) == origin


@pytest.mark.parametrize("name", ["payments (eu)", "https://a.test (x", "payments", "a (https://b)"])
def test_a_name_without_an_origin_remains(name: str) -> None:
    """Such as that of a policy."""
    assert without_key(name) == name


@pytest.mark.parametrize("key", [5, "", "  ", "a\n", "x" * (LONGEST_KEY + 1)])
def test_a_key_is_a_short_printable_text(key: Any) -> None:
    """It is shown in logs and labels of metrics."""
    with pytest.raises(ConfigurationError):
        parse_key(key)
    assert parse_key("x" * LONGEST_KEY) == "x" * LONGEST_KEY
