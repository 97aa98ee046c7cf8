"""Settings of a circuit breaker together: observing, the cap, the ramp, the shadow, and changes at run time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_breaker.failure_detector import FailureDetector
from http_service_client.core.machines.circuit_breaker.rejection_cap import RejectionCap
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    StateChange,
)
from kit.circuits import Circuit, on_trial, opened
from kit.rows import each_row

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState
SHADOW = CircuitBreakerSettings(failure_threshold=1, recovery_timeout=5.0)


def ramping(**settings: Any) -> Circuit:
    """A circuit whose trial has succeeded, and which now lets half of the calls pass."""
    circuit, trial = on_trial(success_threshold=1, ramp=[0.5], ramp_step=10.0, **settings)
    trial.record_success()
    return circuit


def test_a_call_that_the_ramp_would_refuse_is_no_evidence_in_metrics_only() -> None:
    """An enforcing breaker would not have made it, so its failure does not open the circuit again."""
    circuit = ramping(metrics_only=True)
    circuit.permit().record_failure()
    assert circuit.state is HALF_OPEN
    circuit.permit().record_failure()
    assert circuit.state is OPEN


def test_a_call_that_would_wait_for_the_trial_is_no_evidence_in_the_ramp() -> None:
    """It began before the ramp, and only the mode let it pass."""
    circuit, trial = on_trial(success_threshold=1, ramp=[0.5], metrics_only=True)
    other = circuit.permit()
    trial.record_success()
    other.record_failure()
    assert circuit.state is HALF_OPEN


def test_metrics_only_counts_for_the_cap_what_it_would_refuse() -> None:
    """As the enforcing breaker does, it makes the trial early when too many would have been refused."""
    states = []
    for metrics_only in (False, True):
        circuit = Circuit(failure_threshold=1, max_rejected=0.5, metrics_only=metrics_only)
        circuit.succeed()
        circuit.fail()
        for _ in range(4):
            circuit.try_acquire()
        states.append(circuit.moves())
    assert states[0] == states[1] == [(CLOSED, OPEN), (OPEN, HALF_OPEN)]


def test_calls_that_the_cap_lets_pass_count_as_calls() -> None:
    """During a trial, about half pass at a cap of a half, and not all from the first one on."""
    circuit, _ = on_trial(success_threshold=1, max_rejected=0.5, trial_lease=60.0)
    circuit.reset()
    circuit.succeed()
    circuit.fail()
    passed = sum(isinstance(circuit.try_acquire(), Permit) for _ in range(100))
    assert 45 <= passed <= 55


def test_a_call_that_the_cap_lets_pass_is_no_trial() -> None:
    """Its success does not close the circuit, and its failure does not open it again."""
    circuit = Circuit(failure_threshold=1, success_threshold=1, max_rejected=0.1)
    circuit.succeed()
    circuit.fail()
    trial, beside = circuit.permit(), [circuit.permit() for _ in range(2)]
    assert [permit.is_trial for permit in (trial, *beside)] == [True, False, False]
    beside[0].record_success()
    beside[1].record_failure()
    assert circuit.state is HALF_OPEN
    trial.record_success()
    assert circuit.state is CLOSED


@each_row(
    ("share", "passed", "rejected", "is_reached"),
    [
        (0.5, 1, 0, False),
        (0.5, 1, 1, True),
        (0.5, 2, 1, False),
        (0.29, 71, 28, False),  # 0.29 * 100 is 28.999999999999996
        (0.29, 71, 29, True),
        (0.4999999995, 1, 0, False),
        (0.0, 9, 0, True),
        (0.9, 1, 8, False),
        (0.9, 1, 9, True),
    ],
)
def test_a_cap_is_reached_when_one_more_rejection_is_too_many(
    share: float, passed: int, rejected: int, is_reached: bool
) -> None:
    """By the calls of the last minute, in which the service has answered some."""
    now = [1000.0]
    cap = RejectionCap(CircuitBreakerSettings(max_rejected=share), lambda: now[0])
    for number in range(passed + rejected):
        cap.record(is_rejected=number < rejected)
    assert not cap.is_reached()
    cap.record_success()
    assert cap.is_reached() is is_reached
    now[0] += 53.0
    assert cap.is_reached() is is_reached
    now[0] += 8.0
    assert not cap.is_reached()


def test_fewer_trials_by_new_settings_do_not_block_the_recovery() -> None:
    """As many trials succeeded before the change as are needed after it: the next one decides."""
    circuit, trial = on_trial(success_threshold=3)
    trial.record_success()
    circuit.reconfigure({"success_threshold": 1})
    assert circuit.retry_after == 0.0
    circuit.succeed()
    assert circuit.state is CLOSED


def test_a_slow_call_from_before_a_step_of_the_clock_hides_no_other() -> None:
    """It hangs; the others are found slow in their time, and so is it, counted from the step."""
    circuit = Circuit(slow_call_rate=0.5, slow_call_duration=2.0, minimum_calls=3)
    circuit.permit()
    circuit.now -= 1000.0
    circuit.permit()
    circuit.permit()
    assert circuit.state is CLOSED
    circuit.permit()
    circuit.now += 2.0
    circuit.refusal()


@pytest.mark.parametrize(("rate", "calls"), [(0.07, 100), (0.29, 100), (0.14, 50)])
def test_a_rate_is_met_at_equality(rate: float, calls: int) -> None:
    """Whatever the rounding of rate times calls."""
    circuit = Circuit(failure_rate=rate, window_calls=calls, minimum_calls=calls)
    failures = round(rate * calls)
    circuit.succeed(calls - failures)
    circuit.fail(failures)
    assert circuit.state is OPEN


def test_a_success_without_a_permit_survives_the_end_of_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread may count while another takes the rate from the settings."""
    circuit = Circuit(failure_rate=0.5)
    reads = [0]
    slot = FailureDetector.window

    def window(detector: FailureDetector) -> object:
        reads[0] += 1
        if reads[0] > 1:
            return None  # another thread came in between
        return slot.__get__(detector)  # type: ignore[attr-defined]

    monkeypatch.setattr(FailureDetector, "window", property(window))
    circuit.record_success(0)
    assert reads == [1]


def test_the_shadow_may_be_removed_while_a_permit_is_acquired(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another thread, between any two steps."""
    circuit = Circuit(failure_threshold=1, shadow=SHADOW)
    slot, reads = CircuitBreaker._shadow, [0]  # type: ignore[has-type]

    def shadow(breaker: CircuitBreaker) -> object:
        reads[0] += breaker is circuit
        return None if reads[0] > 1 else slot.__get__(breaker)

    monkeypatch.setattr(CircuitBreaker, "_shadow", property(shadow))
    circuit.permit()


class ListenerError(BaseException):
    """As an interrupt."""


def test_an_interrupted_listener_of_the_shadow_keeps_no_trial() -> None:
    """The caller gets no permit, so the trial that it would have made is free for others."""

    def listen(change: StateChange) -> None:
        if "shadow" in change.key and change.new is HALF_OPEN:
            raise ListenerError

    circuit = opened(shadow=SHADOW, on_change=listen)
    circuit.now += 60.0
    with pytest.raises(ListenerError):
        circuit.try_acquire()
    assert circuit.permit().is_trial


def test_an_interrupted_listener_of_the_shadow_hides_no_change() -> None:
    """The change of the circuit itself is reported all the same."""
    reported: list[StateChange] = []

    def listen(change: StateChange) -> None:
        reported.append(change)
        if "shadow" in change.key:
            raise ListenerError

    circuit = Circuit(failure_threshold=1, shadow=SHADOW, on_change=listen)
    with pytest.raises(ListenerError):
        circuit.fail()
    assert [change.key for change in reported] == [f"{circuit.key} (shadow)", circuit.key]


def test_a_call_that_is_released_releases_the_trial_of_the_shadow() -> None:
    """Another call may make it at once."""
    circuit = Circuit(failure_threshold=9, shadow=SHADOW)
    circuit.fail()
    circuit.now += 5.0
    circuit.permit().release()
    circuit.succeed()
    assert [change.new for change in circuit.changes] == [OPEN, HALF_OPEN, CLOSED]


def test_a_reset_resets_the_shadow() -> None:
    """An operator who resets the circuit would have reset that one as well."""
    circuit = Circuit(failure_threshold=3, shadow=SHADOW)
    circuit.fail()
    circuit.reset()
    assert [change.new for change in circuit.changes] == [OPEN, CLOSED]


SETTINGS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "failure_threshold": st.integers(1, 2),
        "recovery_timeout": st.sampled_from([2.0, 8.0]),
        "recovery_multiplier": st.sampled_from([1.0, 2.0]),
        "trial_count": st.integers(1, 3),
        "success_threshold": st.just(1),
        "trials_at_once": st.integers(1, 2),
        "trial_lease": st.sampled_from([3.0, 60.0]),
        "ramp": st.sampled_from([(), (0.5,), (0.25, 0.5)]),
        "ramp_step": st.just(4.0),
        "max_rejected": st.sampled_from([0.5, 1.0]),
    },
    optional={
        "failure_rate": st.just(0.5),
        "window": st.sampled_from([5.0, 30.0]),
        "minimum_calls": st.integers(1, 4),
        "opens_when": st.sampled_from(["any", "all"]),
    },
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "begin", "settle", "wait", "wait", "isolate", "reset"]),
        st.integers(0, 8),
        st.sampled_from(["record_success", "record_failure", "release"]),
    ),
    min_size=30,
    max_size=60,
)


@given(SETTINGS, st.booleans(), STEPS)
def test_an_observing_breaker_goes_through_the_states_of_an_enforcing_one(
    settings: dict[str, Any], is_slow_watched: bool, steps: list[tuple[str, int, str]]
) -> None:
    """Whatever the results of the calls that only the observing one lets pass."""
    if is_slow_watched:
        settings |= {"slow_call_rate": 0.5, "slow_call_duration": 2.0}
    now = [0.0]
    changes: tuple[list[StateChange], list[StateChange]] = ([], [])
    enforcing, observing = (
        CircuitBreaker(
            CircuitBreakerSettings(**settings, metrics_only=metrics_only),
            clock=lambda: now[0],
            random=lambda: 0.0,
            lock=threading.RLock(),
            on_change=found.append,
        )
        for metrics_only, found in zip((False, True), changes, strict=True)
    )
    permits: list[tuple[Permit | None, Permit]] = []
    for action, number, result in steps:
        if action in ("call", "begin"):
            real, observed = enforcing.try_acquire(), observing.try_acquire()
            assert isinstance(observed, Permit)
            permits.append((real if isinstance(real, Permit) else None, observed))
        if action in ("call", "settle") and permits:
            for permit in permits.pop(-1 if action == "call" else number % len(permits)):
                if permit is not None:
                    getattr(permit, result)()
        elif action == "wait":
            now[0] += number
        elif action == "isolate" and not number:
            enforcing.isolate()
            observing.isolate()
        elif action == "reset" and not number:
            enforcing.reset()
            observing.reset()
        assert [each._replace(is_metrics_only=True) for each in changes[0]] == changes[1]
