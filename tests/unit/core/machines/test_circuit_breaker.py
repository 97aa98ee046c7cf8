"""The circuit breaker: one law a test, in virtual time."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from http_service_client.core.machines.circuit_breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from http_service_client.errors import ConfigurationError

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


class Circuit(CircuitBreaker):
    """A breaker with a clock and a dice in the test's hands, and a list of what it told."""

    def __init__(self, *, on_change: Callable[[StateChange], None] | None = None, **settings: Any) -> None:
        self.now = 1000.0
        self.dice = 0.0
        self.changes: list[StateChange] = []
        super().__init__(
            CircuitBreakerSettings(**settings),
            key="https://api.example.com",
            clock=lambda: self.now,
            random=lambda: self.dice,
            lock=threading.Lock(),
            on_change=on_change or self.changes.append,
        )

    def permit(self) -> Permit:
        answer = self.try_acquire()
        assert isinstance(answer, Permit), answer
        return answer

    def refusal(self) -> Refusal:
        answer = self.try_acquire()
        assert isinstance(answer, Refusal), answer
        return answer

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.permit().record_failure()

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.permit().record_success()

    def moves(self) -> list[tuple[CircuitBreakerState, CircuitBreakerState]]:
        return [(change.old, change.new) for change in self.changes]


def opened(**settings: Any) -> Circuit:
    """A circuit that has just opened, by one failure, for 60 seconds."""
    circuit = Circuit(**{"failure_threshold": 1, "recovery_timeout": 60.0, **settings})
    circuit.fail()
    circuit.changes.clear()
    return circuit


def on_trial(**settings: Any) -> tuple[Circuit, Permit]:
    """A half-open circuit, and the trial that it has admitted."""
    circuit = opened(**settings)
    circuit.now += 60.0
    trial = circuit.permit()
    circuit.changes.clear()
    return circuit, trial


# ---- closed


def test_a_new_circuit_is_closed_and_at_rest() -> None:
    """A circuit begins by trusting."""
    circuit = Circuit()
    assert (circuit.state, circuit.is_isolated, circuit.retry_after) == (CLOSED, False, 0.0)
    assert circuit.is_idle
    assert circuit.key == "https://api.example.com"


def test_it_opens_at_the_threshold_and_not_before() -> None:
    """`failure_threshold` failures in a row open the circuit."""
    circuit = Circuit(failure_threshold=5)
    circuit.fail(4)
    assert circuit.state is CLOSED
    assert not circuit.is_idle
    circuit.fail()
    assert circuit.state is OPEN


def test_opening_is_told_once_and_in_words() -> None:
    """The change carries who, what, why, when and for how long."""
    circuit = Circuit(failure_threshold=5)
    circuit.fail(5)
    assert circuit.changes == [
        StateChange("https://api.example.com", CLOSED, OPEN, "5 consecutive failures", 1000.0, 1, 60.0)
    ]


def test_a_success_ends_the_row_of_failures() -> None:
    """Only failures in a row count: a success begins the count anew."""
    circuit = Circuit(failure_threshold=3)
    circuit.fail(2)
    circuit.succeed()
    circuit.fail(2)
    assert circuit.state is CLOSED
    assert circuit.snapshot().consecutive_failures == 2


def test_a_success_without_a_permit_ends_the_row_as_well() -> None:
    """A call that joined by the free pass settles as one with a permit would; when its time is over, late."""
    circuit = Circuit(failure_threshold=3)
    circuit.fail(2)
    circuit.record_success(0)
    assert circuit.snapshot().consecutive_failures == 0
    circuit.record_success(0)
    circuit.fail(3)
    circuit.record_success(0)
    assert circuit.free_pass is None
    circuit.reset()
    circuit.record_success(0)
    assert (circuit.snapshot().successes, circuit.snapshot().late) == (2, 2)


def test_an_abandoned_call_is_neither_success_nor_failure() -> None:
    """`release` leaves the row of failures as it is."""
    circuit = Circuit(failure_threshold=3)
    circuit.fail(2)
    circuit.permit().release()
    assert circuit.snapshot().consecutive_failures == 2
    circuit.fail()
    assert circuit.state is OPEN


@pytest.mark.parametrize("first", ["record_success", "record_failure", "release"])
@pytest.mark.parametrize("second", ["record_success", "record_failure", "release"])
def test_a_permit_is_settled_once(first: str, second: str) -> None:
    """The first settlement holds; what comes after it is ignored."""
    circuit = Circuit()
    permit = circuit.permit()
    getattr(permit, first)()
    before = circuit.snapshot()
    getattr(permit, second)()
    assert circuit.snapshot() == before
    assert before.successes + before.failures + before.abandoned == 1


# ---- open


def test_an_open_circuit_refuses_and_says_until_when() -> None:
    """A refusal names the circuit, its state, the wait and the reason."""
    circuit = opened()
    circuit.now += 15.0
    assert circuit.refusal() == Refusal("https://api.example.com", OPEN, 45.0, "open")
    assert circuit.snapshot().refused == 1


@pytest.mark.parametrize(("waited", "is_admitted"), [(59.999, False), (60.0, True), (60.001, True)])
def test_a_trial_may_pass_at_the_very_instant(waited: float, is_admitted: bool) -> None:
    """At `>=` the end of the recovery time, not after it."""
    circuit = opened(recovery_timeout=60.0)
    circuit.now += waited
    assert isinstance(circuit.try_acquire(), Permit) is is_admitted


@pytest.mark.parametrize("waited", [0.0, 30.0, 60.0, 6000.0])
def test_a_question_never_changes_the_state(waited: float) -> None:
    """An open circuit reports OPEN, however late, until somebody asks for a permit."""
    circuit = opened()
    circuit.now += waited
    for _ in range(3):
        assert circuit.state is OPEN
        assert circuit.retry_after == max(0.0, 60.0 - waited)
        assert circuit.snapshot().state is OPEN
        assert not circuit.is_isolated
        assert not circuit.is_idle
    assert circuit.changes == []


def test_late_failures_do_not_extend_the_break() -> None:
    """Calls that were under way when the circuit opened are counted as late, and that is all."""
    circuit = Circuit(failure_threshold=1)
    calls = [circuit.permit() for _ in range(4)]
    calls[0].record_failure()
    circuit.now += 59.0
    calls[1].record_failure()
    calls[2].record_success()
    calls[3].release()
    assert circuit.snapshot().late == 3
    assert circuit.refusal().retry_after == 1.0
    circuit.now += 1.0
    assert circuit.permit().is_trial
    assert circuit.moves() == [(CLOSED, OPEN), (OPEN, HALF_OPEN)]


# ---- half-open


def test_successful_trials_close_it() -> None:
    """`success_threshold` trials, one after the other, close the circuit and forget its failures."""
    circuit = opened(success_threshold=3, failure_threshold=1)
    circuit.now += 60.0
    circuit.succeed(2)
    assert circuit.state is HALF_OPEN
    assert circuit.snapshot().trial_successes == 2
    circuit.succeed()
    assert circuit.state is CLOSED
    assert circuit.is_idle
    assert circuit.moves() == [(OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]
    assert circuit.changes[0].reason == "60 s have passed: time for a trial"
    assert circuit.changes[1].reason == "3 successful trials"
    assert [change.open_for for change in circuit.changes] == [None, None]


def test_closing_begins_the_count_of_failures_anew() -> None:
    """What opened the circuit is not held against it after the recovery."""
    circuit = Circuit(failure_threshold=2, success_threshold=1)
    circuit.fail(2)
    circuit.now += 60.0
    circuit.succeed()
    circuit.fail()
    assert circuit.state is CLOSED


def test_one_trial_at_a_time() -> None:
    """While a trial is under way all others are refused; nobody can say for how long."""
    circuit, trial = on_trial()
    assert circuit.refusal() == Refusal("https://api.example.com", HALF_OPEN, None, "trial in progress")
    assert circuit.retry_after is None
    trial.record_success()
    assert circuit.retry_after == 0.0
    assert circuit.permit().is_trial


def test_a_failed_trial_opens_it_again() -> None:
    """One failure is enough, after however many successful trials; the full time runs again."""
    circuit, trial = on_trial(success_threshold=3)
    trial.record_success()
    circuit.now += 5.0
    circuit.fail()
    assert circuit.state is OPEN
    assert circuit.refusal().retry_after == 60.0
    assert circuit.changes[-1].reason == "a trial failed"
    circuit.now += 60.0
    circuit.succeed(2)
    assert circuit.state is HALF_OPEN, "the success before the failed trial counts no more"


def test_a_cancelled_trial_gives_its_place_to_the_next_caller_at_once() -> None:
    """Cancellation is no evidence: the state, and the trials that succeeded, stay."""
    circuit, trial = on_trial(success_threshold=2)
    trial.record_success()
    circuit.permit().release()
    assert circuit.state is HALF_OPEN
    circuit.succeed()
    assert circuit.state is CLOSED
    assert circuit.snapshot().abandoned == 1


def test_results_of_the_closed_time_mean_nothing_half_open() -> None:
    """A call from before the break neither closes nor opens a circuit on trial, nor takes its place."""
    circuit = Circuit(failure_threshold=1, success_threshold=1)
    slow, slower = circuit.permit(), circuit.permit()
    circuit.fail()
    circuit.now += 60.0
    trial = circuit.permit()
    slow.record_success()
    slower.record_failure()
    assert circuit.state is HALF_OPEN
    assert circuit.refusal().reason == "trial in progress"
    trial.record_success()
    assert circuit.state is CLOSED
    assert circuit.snapshot().late == 2


def test_results_of_an_earlier_closed_time_mean_nothing_in_the_next() -> None:
    """A generation is a span, not a state: closed again is not the same closed."""
    circuit = Circuit(failure_threshold=1, success_threshold=1)
    slow = circuit.permit()
    circuit.fail()
    circuit.now += 60.0
    circuit.succeed()
    slow.record_failure()
    assert circuit.state is CLOSED
    assert circuit.snapshot().late == 1


def test_the_trial_of_an_earlier_half_open_time_means_nothing_in_the_next() -> None:
    """Also for trials: the one whose circuit was reset and broke again is late."""
    circuit, trial = on_trial(success_threshold=1)
    circuit.reset()
    circuit.fail()
    circuit.now += 60.0
    circuit.permit()
    trial.record_success()
    assert circuit.state is HALF_OPEN


# ---- the lease of a trial


@pytest.mark.parametrize(("waited", "is_free"), [(29.999, False), (30.0, True), (500.0, True)])
def test_a_trial_that_never_settles_loses_its_place(waited: float, is_free: bool) -> None:
    """At the end of `trial_lease` the place is free for the next caller."""
    circuit, _hung = on_trial(trial_lease=30.0)
    circuit.now += waited
    assert (circuit.retry_after == 0.0) is is_free
    assert isinstance(circuit.try_acquire(), Permit) is is_free
    assert circuit.state is HALF_OPEN


@pytest.mark.parametrize("settle", ["record_success", "record_failure", "release"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_trial_that_settles_after_its_lease_is_late(settle: str, is_replaced: bool) -> None:
    """Its result is counted as late; the trial that took its place keeps it."""
    circuit, hung = on_trial(trial_lease=30.0, success_threshold=1)
    circuit.now += 30.0
    successor = circuit.permit() if is_replaced else None
    getattr(hung, settle)()
    assert circuit.state is HALF_OPEN
    assert circuit.snapshot().late == 1
    if successor is not None:
        assert circuit.refusal().reason == "trial in progress"
        successor.record_success()
        assert circuit.state is CLOSED


def test_each_trial_has_a_full_lease() -> None:
    """The lease runs from the trial's own beginning."""
    circuit, hung = on_trial(trial_lease=30.0)
    circuit.now += 20.0
    hung.release()
    circuit.permit()
    circuit.now += 20.0
    assert circuit.refusal().reason == "trial in progress"


# ---- growth and jitter of the recovery time


def spans(circuit: Circuit, times: int) -> Iterator[float]:
    """How long the circuit stays open, each time one more trial has failed."""
    for _ in range(times):
        wait = circuit.refusal().retry_after
        assert wait is not None
        yield wait
        circuit.now += wait
        circuit.fail()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [60.0, 60.0, 60.0, 60.0]),
        ({"recovery_multiplier": 2.0}, [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]),
        ({"recovery_multiplier": 3.0, "max_recovery_timeout": 100.0}, [60.0, 100.0, 100.0]),
        ({"max_recovery_timeout": 5.0}, [60.0, 60.0]),  # without growth its cap means nothing
    ],
)
def test_the_recovery_time_grows_up_to_its_cap(settings: dict[str, float], expected: list[float]) -> None:
    """Each opening without a closing in between takes `recovery_multiplier` times longer."""
    assert list(spans(opened(**settings), len(expected))) == pytest.approx(expected)


def test_closing_forgets_the_growth() -> None:
    """The next break after a recovery is as short as the first."""
    circuit = opened(recovery_multiplier=2.0, success_threshold=1)
    list(spans(circuit, 3))
    circuit.now += 480.0
    circuit.succeed()
    circuit.fail()
    assert circuit.refusal().retry_after == 60.0


def test_growth_never_overflows() -> None:
    """A circuit that has been down for ever is still opened by a finite time."""
    circuit = opened(recovery_multiplier=1e308, max_recovery_timeout=1e4)
    assert list(spans(circuit, 5))[-1] == pytest.approx(1e4)


@pytest.mark.parametrize(("dice", "span"), [(0.0, 60.0), (0.5, 75.0), (1.0 - 2**-53, 90.0)])
def test_jitter_stretches_and_never_shortens(dice: float, span: float) -> None:
    """An open span is recovery * (1 + jitter * random)."""
    circuit = Circuit(failure_threshold=1, recovery_jitter=0.5)
    circuit.dice = dice
    circuit.fail()
    assert circuit.refusal().retry_after == pytest.approx(span)
    assert circuit.changes[0].open_for == pytest.approx(span)
    circuit.now += span
    assert circuit.permit().is_trial


def test_jitter_is_not_compounded() -> None:
    """Growth works on the time before jitter."""
    circuit = opened(recovery_jitter=1.0, recovery_multiplier=2.0)
    circuit.dice = 0.5
    assert list(spans(circuit, 3)) == [60.0, 180.0, 360.0]


# ---- by hand


@pytest.mark.parametrize("prepare", [Circuit, opened, lambda: on_trial()[0]])
def test_an_isolated_circuit_refuses_until_it_is_reset(prepare: Callable[[], Circuit]) -> None:
    """From any state, for any time, and told once."""
    circuit = prepare()
    old = circuit.state
    circuit.isolate()
    circuit.isolate()
    assert [change[1:4] for change in circuit.changes] == [(old, OPEN, "isolated by hand")]
    assert circuit.changes[0].open_for is None
    for _ in range(2):
        assert circuit.refusal() == Refusal("https://api.example.com", OPEN, None, "isolated")
        assert (circuit.is_isolated, circuit.retry_after) == (True, None)
        circuit.now += 1e6
    circuit.reset()
    assert (circuit.state, circuit.is_isolated) == (CLOSED, False)
    circuit.succeed()


def test_calls_under_way_do_not_end_an_isolation() -> None:
    """A trial that succeeds after `isolate()` is late."""
    circuit, trial = on_trial(success_threshold=1)
    circuit.isolate()
    trial.record_success()
    assert circuit.is_isolated
    assert circuit.state is OPEN


def test_reset_closes_and_forgets() -> None:
    """Failures in a row, growth and the outstanding trial are gone; the totals stay."""
    circuit = opened(recovery_multiplier=2.0)
    list(spans(circuit, 2))
    failures = circuit.snapshot().failures
    circuit.reset()
    assert circuit.changes[-1].reason == "reset by hand"
    assert circuit.snapshot().failures == failures
    circuit.fail()
    assert circuit.refusal().retry_after == 60.0


def test_resetting_a_closed_circuit_forgets_its_failures_and_tells_nobody() -> None:
    """No change of state, so no event; calls in flight still count."""
    circuit = Circuit(failure_threshold=2)
    call = circuit.permit()
    circuit.fail()
    circuit.reset()
    call.record_failure()
    assert circuit.state is CLOSED
    assert circuit.changes == []
    assert circuit.snapshot().late == 0


# ---- metrics only


def test_metrics_only_refuses_nobody_and_goes_through_the_same_states() -> None:
    """What a real breaker would refuse passes, is counted as refused, and moves nothing."""
    circuit = opened(metrics_only=True, success_threshold=2)
    circuit.fail(3)
    circuit.succeed(3)
    assert (circuit.state, circuit.snapshot().refused) == (OPEN, 6)
    assert circuit.retry_after == 60.0
    circuit.now += 60.0
    trial = circuit.permit()
    circuit.succeed(5)
    circuit.fail(5)
    circuit.permit().release()
    assert circuit.state is HALF_OPEN
    assert trial.is_trial
    trial.record_success()
    circuit.succeed()
    assert circuit.state is CLOSED
    assert circuit.moves() == [(OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]
    totals = circuit.snapshot()
    assert (totals.successes, totals.failures, totals.abandoned, totals.late) == (10, 9, 1, 0)


def test_metrics_only_refuses_nobody_even_when_isolated() -> None:
    """Never refuses means never."""
    circuit = Circuit(metrics_only=True)
    circuit.isolate()
    circuit.succeed()
    assert circuit.state is OPEN


# ---- the clock


@pytest.mark.parametrize("step", [-1.0, -59.0, -61.0, -1e6])
def test_a_clock_that_steps_back_cannot_prolong_the_break(step: float) -> None:
    """From the first question after the step, the wait is at most the recovery time."""
    circuit = opened()
    circuit.now += step
    assert circuit.retry_after is not None
    assert 0.0 <= circuit.retry_after <= 60.0
    wait = circuit.refusal().retry_after
    assert wait is not None
    assert 0.0 <= wait <= 60.0 + 1e-9
    circuit.now += 60.0
    assert circuit.permit().is_trial


def test_a_clock_that_steps_back_cannot_prolong_a_lease() -> None:
    """A hung trial gives its place back within one lease of the step."""
    circuit, _hung = on_trial(trial_lease=30.0)
    circuit.now -= 1e6
    assert circuit.refusal().reason == "trial in progress"
    circuit.now += 30.0
    assert circuit.permit().is_trial


def test_a_clock_that_leaps_ahead_gives_no_negative_wait() -> None:
    """retry_after is 0.0 at the least."""
    circuit = opened()
    circuit.now += 1e12
    assert circuit.retry_after == 0.0


# ---- telling


def test_listeners_see_the_change_already_made_and_the_lock_free() -> None:
    """`on_change` may ask the breaker, and even move it."""
    seen: list[tuple[CircuitBreakerState, CircuitBreakerState]] = []

    def listen(change: StateChange) -> None:
        seen.append((change.new, circuit.state))
        assert circuit.snapshot().generation == change.generation
        if change.new is OPEN and not circuit.is_isolated:
            circuit.isolate()

    circuit = Circuit(failure_threshold=1, on_change=listen)
    circuit.fail()
    assert seen == [(OPEN, OPEN), (OPEN, OPEN)]
    assert circuit.is_isolated


def test_generations_number_the_changes() -> None:
    """Each change begins the next generation, so a listener can put them in order."""
    circuit = opened(success_threshold=1)
    circuit.now += 60.0
    circuit.succeed()
    circuit.isolate()
    circuit.reset()
    assert [change.generation for change in circuit.changes] == [2, 3, 4, 5]


class ListenerError(Exception):
    pass


def test_a_listener_that_raises_leaves_the_breaker_in_order() -> None:
    """The error reaches the caller, the change holds, and a trial that nobody got is given back."""

    def listen(change: StateChange) -> None:
        raise ListenerError

    circuit = Circuit(failure_threshold=1, success_threshold=1, on_change=listen)
    permit = circuit.permit()
    with pytest.raises(ListenerError):
        permit.record_failure()
    assert circuit.state is OPEN
    circuit.now += 60.0
    with pytest.raises(ListenerError):
        circuit.try_acquire()
    assert circuit.state is HALF_OPEN
    trial = circuit.permit()
    with pytest.raises(ListenerError):
        trial.record_success()
    assert circuit.state is CLOSED
    circuit.succeed()


def test_the_garbage_collector_may_settle_permits_at_any_step() -> None:
    """With a reentrant lock, a permit released in the midst of the breaker's own work is no deadlock."""
    circuit = opened()
    circuit._lock = threading.RLock()
    circuit.now += 60.0
    abandoned = circuit.permit()

    def clock() -> float:
        abandoned.release()  # as an abandoned generator's `finally` would
        return circuit.now

    circuit._clock = clock
    assert circuit.permit().is_trial


# ---- threads


class GuardedCircuit(Circuit):
    """A circuit that may be changed by who holds its lock, and by nobody else."""

    OURS = ("changes", "now", "dice")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.OURS and hasattr(self, "_refused"):
            assert self._lock.locked(), f"{name} was set without the lock"  # type: ignore[attr-defined]
        super().__setattr__(name, value)


def test_nothing_changes_without_the_lock() -> None:
    """Whatever is written is written under the lock: races are too rare for a test to wait for."""
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
    """A lock that another caller gets first, once."""

    def __init__(self, first: Callable[[], None]) -> None:
        self._queue = [first]

    def __enter__(self) -> None:
        if self._queue:
            self._queue.pop()()

    def __exit__(self, *_: object) -> None:
        pass


def test_a_circuit_that_closes_while_a_caller_waits_for_its_lock_lets_it_pass() -> None:
    """The caller saw it open; under the lock it is closed again: a permit, and no trial."""
    circuit = opened()
    circuit._lock = LockWithQueue(circuit.reset)
    assert not circuit.permit().is_trial
    circuit.succeed()
    assert circuit.state is CLOSED


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Threads take turns every few microseconds, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


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


def test_one_trial_among_fifty_threads() -> None:
    """However many ask at the instant of recovery, one gets the trial, and half-open is told once."""
    for _ in range(10):
        circuit = opened()
        circuit.now += 60.0
        answers: list[Permit | Refusal] = []
        in_threads(50, lambda _, circuit=circuit, answers=answers: answers.append(circuit.try_acquire()))  # type: ignore[misc]
        assert sum(isinstance(answer, Permit) for answer in answers) == 1
        assert circuit.moves() == [(OPEN, HALF_OPEN)]


def test_fifty_threads_that_fail_together_open_it_once() -> None:
    """One opening, told once; the rest is late."""
    circuit = Circuit(failure_threshold=5)
    permits = [circuit.permit() for _ in range(50)]
    in_threads(50, lambda number: permits[number].record_failure())
    assert circuit.moves() == [(CLOSED, OPEN)]
    totals = circuit.snapshot()
    assert (totals.failures, totals.late) == (5, 45)


def test_a_permit_settled_by_many_threads_counts_once() -> None:
    """Also the race of two settlements is decided under the lock."""
    circuit = Circuit(failure_threshold=1000)
    for _ in range(50):
        permit = circuit.permit()
        in_threads(4, lambda _, permit=permit: permit.record_failure())  # type: ignore[misc]
    assert circuit.snapshot().failures == 50


def test_the_counts_of_sixteen_threads_add_up() -> None:
    """Every permit is in exactly one total, and every change follows from the one before."""
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
            answer = circuit.try_acquire()
            if isinstance(answer, Permit):
                admitted[number] += 1
                settles[(turn * 7 + number) % 4](answer)
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
    """16 threads that count without the lock, one that reads meanwhile, and failures that need it."""
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


# ---- settings, names, reprs


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *[("failure_threshold", wrong) for wrong in (0, -1, 1.5, "5", True, None, math.nan)],
        *[("success_threshold", wrong) for wrong in (0, -3, 2.0, False, None)],
        *[("recovery_timeout", wrong) for wrong in (0, -1.0, math.nan, math.inf, True, "60", None, 10**400)],
        *[("recovery_multiplier", wrong) for wrong in (0.99, 0, math.nan, math.inf, True, None)],
        *[("max_recovery_timeout", wrong) for wrong in (0.0, -1.0, math.nan, math.inf, False)],
        *[("recovery_jitter", wrong) for wrong in (-0.1, 1.01, math.nan, math.inf, True)],
        *[("trial_lease", wrong) for wrong in (0, -1.0, math.nan, math.inf, None)],
        *[("metrics_only", wrong) for wrong in (1, 0, None, "yes")],
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_value(name: str, wrong: Any) -> None:
    """The message names the field, the value, and what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreakerSettings(**{name: wrong})
    message = str(caught.value)
    assert message.startswith(f"{name} must be ")
    assert message.endswith(f", not {wrong!r}")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "settings",
    [
        {"failure_threshold": 1, "success_threshold": 1, "recovery_timeout": 1e-6, "trial_lease": 1},
        {"recovery_jitter": 1},
        {"recovery_jitter": 0},
        {"recovery_timeout": 1000.0},  # above the cap, which means nothing without growth
        {"recovery_timeout": 600, "recovery_multiplier": 2},
    ],
)
def test_settings_at_the_edge_are_fine(settings: dict[str, Any]) -> None:
    """Bounds are inclusive where the documentation says so."""
    CircuitBreakerSettings(**settings)


def test_a_cap_below_the_recovery_time_is_refused_when_it_grows() -> None:
    """It would shorten the break that it is meant to lengthen."""
    with pytest.raises(ConfigurationError, match=r"max_recovery_timeout must be at least recovery_timeout"):
        CircuitBreakerSettings(recovery_timeout=1000.0, recovery_multiplier=2.0)


def test_settings_are_frozen() -> None:
    """A breaker's rules cannot be changed under it."""
    with pytest.raises(FrozenInstanceError):
        CircuitBreakerSettings().failure_threshold = 1  # type: ignore[misc]


def test_states_read_the_same_everywhere() -> None:
    """A state is its own label in text, formats and comparisons."""
    assert [str(state) for state in CircuitBreakerState] == ["closed", "open", "half_open"]
    assert f"{OPEN}" == "open"
    assert OPEN == "open"


def test_the_snapshot_tells_when_it_opened() -> None:
    """`opened_at` is the last opening, None while closed."""
    circuit = Circuit(failure_threshold=1, success_threshold=1)
    assert circuit.snapshot().opened_at is None
    circuit.fail()
    circuit.now += 60.0
    trial = circuit.permit()
    assert circuit.snapshot().opened_at == 1000.0
    circuit.now += 5.0
    trial.record_failure()
    assert circuit.snapshot().opened_at == 1065.0


def test_reprs_tell_the_state() -> None:
    """A breaker and a permit in a debugger explain themselves."""
    circuit, trial = on_trial()
    assert repr(circuit) == "<CircuitBreaker 'https://api.example.com' half_open>"
    assert repr(trial) == f"<Permit trial, unsettled, generation 2 of {circuit!r}>"
    circuit.isolate()
    assert repr(circuit) == "<CircuitBreaker 'https://api.example.com' open, isolated>"
    trial.release()
    assert "settled" in repr(trial)


def test_a_breaker_without_a_listener_works() -> None:
    """`on_change` is optional."""
    circuit = CircuitBreaker(
        CircuitBreakerSettings(failure_threshold=1),
        clock=lambda: 0.0,
        random=lambda: 0.0,
        lock=threading.Lock(),
    )
    permit = circuit.try_acquire()
    assert isinstance(permit, Permit)
    permit.record_failure()
    assert circuit.state is OPEN
