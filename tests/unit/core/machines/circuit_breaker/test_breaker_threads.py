"""One circuit breaker shared by many threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from kit.circuits import Circuit, opened
from kit.threads import frequent_switches

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


class GuardedCircuit(Circuit):
    """A circuit that fails the test when an attribute is set without its lock."""

    SET_BY_TESTS = ("changes", "now", "dice")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.SET_BY_TESTS and hasattr(self, "_refused"):
            assert self._lock.locked(), f"{name} was set without the lock"  # type: ignore[attr-defined]
        super().__setattr__(name, value)


def test_nothing_changes_without_the_lock() -> None:
    """Every write happens under the lock; asserted directly, since races are too rare to wait for."""
    circuit = GuardedCircuit(failure_threshold=2, success_threshold=1)
    circuit.succeed()
    circuit.record_success(0)
    circuit.fail()
    circuit.record_success(0)
    circuit.snapshot()
    circuit.permit().release()
    circuit.fail(2)
    circuit.refusal()
    circuit.now += 60.0
    circuit.fail()
    circuit.now += 60.0
    circuit.permit().release()
    circuit.succeed()
    circuit.fail()
    circuit.reset()
    circuit.isolate()
    circuit.reset()
    assert circuit.state is CLOSED


class LockWithQueue:
    """A lock that another caller acquires first, once."""

    def __init__(self, first: Callable[[], None]) -> None:
        self._queue = [first]

    def __enter__(self) -> None:
        if self._queue:
            self._queue.pop()()

    def __exit__(self, *_: object) -> None:
        pass


def test_a_caller_is_admitted_if_the_circuit_closes_while_it_waits_for_the_lock() -> None:
    """The caller saw an open circuit; under the lock it is closed again, so the permit is no trial."""
    circuit = opened()
    circuit._lock = LockWithQueue(circuit.reset)
    assert not circuit.permit().is_trial
    circuit.succeed()
    assert circuit.state is CLOSED


def in_threads(count: int, work: Callable[[int], None]) -> None:
    start = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    with frequent_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors, errors[0]


def test_one_of_fifty_threads_gets_the_trial() -> None:
    """At the end of the recovery time one caller gets the trial, and half-open is reported once."""
    for _ in range(10):
        circuit = opened()
        circuit.now += 60.0
        results: list[Permit | Refusal] = []
        in_threads(50, lambda _, circuit=circuit, results=results: results.append(circuit.try_acquire()))  # type: ignore[misc]
        assert len(results) == 50
        assert sum(isinstance(result, Permit) for result in results) == 1
        assert circuit.moves() == [(OPEN, HALF_OPEN)]


def test_fifty_threads_that_fail_together_open_the_circuit_once() -> None:
    """The circuit opens once and reports it once; the remaining failures are late."""
    circuit = Circuit(failure_threshold=5)
    permits = [circuit.permit() for _ in range(50)]
    in_threads(50, lambda number: permits[number].record_failure())
    assert circuit.moves() == [(CLOSED, OPEN)]
    totals = circuit.snapshot()
    assert (totals.failures, totals.late) == (5, 45)


def test_a_permit_settled_by_many_threads_counts_once() -> None:
    """A race between two settlements is decided under the lock."""
    circuit = Circuit(failure_threshold=1000)
    for _ in range(50):
        permit = circuit.permit()
        in_threads(4, lambda _, permit=permit: permit.record_failure())  # type: ignore[misc]
    assert circuit.snapshot().failures == 50


def test_the_counts_of_sixteen_threads_add_up() -> None:
    """Every permit counts in exactly one total, and each change starts from the state of the previous one."""
    settles = (Permit.record_success, Permit.record_failure, Permit.record_failure, Permit.release)
    ticks = itertools.count()
    changes: list[StateChange] = []
    circuit = CircuitBreaker(
        CircuitBreakerSettings(failure_threshold=3, recovery_timeout=50.0, success_threshold=2),
        clock=lambda: float(next(ticks)),
        random=lambda: 0.0,
        lock=threading.Lock(),
        on_change=changes.append,
    )
    admitted, refused = [0] * 16, [0] * 16

    def work(number: int) -> None:
        for turn in range(10_000):
            result = circuit.try_acquire()
            if isinstance(result, Permit):
                admitted[number] += 1
                settles[(turn * 7 + number) % 4](result)
            else:
                refused[number] += 1

    in_threads(16, work)
    totals = circuit.snapshot()
    assert sum(admitted) + sum(refused) == 160_000
    assert totals.successes + totals.failures + totals.abandoned + totals.late == sum(admitted)
    assert totals.refused == sum(refused)
    in_order = sorted(changes, key=lambda change: change.generation)
    assert [change.generation for change in in_order] == list(range(1, len(changes) + 1))
    assert all(before.new is after.old for before, after in itertools.pairwise(in_order))
    assert in_order[-1].new is circuit.state


def test_successes_without_a_permit_add_up() -> None:
    """No success is lost among 16 threads that count without the lock, while one reads and records failures."""
    circuit = Circuit(failure_threshold=10**6)
    seen = [0]

    def work(number: int) -> None:
        for turn in range(10_000):
            circuit.record_success(0)
            if number == 0 and turn % 10 == 0:
                circuit.fail()
                seen.append(circuit.snapshot().successes)

    in_threads(16, work)
    assert [circuit.snapshot().successes for _ in range(3)] == [160_000] * 3
    assert seen == sorted(seen)
    assert circuit.snapshot().failures == 1000
