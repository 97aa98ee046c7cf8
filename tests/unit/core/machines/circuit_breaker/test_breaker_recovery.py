"""The lease of a trial, the growth of the recovery time, its jitter, and clocks that jump."""

from __future__ import annotations

import pytest

from http_service_client.core.machines.circuit_breaker.breaker import Permit
from http_service_client.core.machines.circuit_breaker.recovery import Admission, Trials
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
)
from kit.circuits import Circuit, on_trial, opened, spans
from kit.rows import each_row

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


@pytest.mark.parametrize(("waited", "is_free"), [(29.999, False), (30.0, True), (500.0, True)])
def test_a_trial_that_never_settles_loses_its_lease(waited: float, is_free: bool) -> None:
    """From the end of `trial_lease` on, the next caller may make the trial."""
    circuit, _hung = on_trial(trial_lease=30.0)
    circuit.now += waited
    assert (circuit.retry_after == 0.0) is is_free
    assert isinstance(circuit.try_acquire(), Permit) is is_free
    assert circuit.state is HALF_OPEN


@each_row("settle", ["record_success", "record_failure", "release"])
@each_row("is_replaced", [False, True])
def test_a_trial_that_settles_after_its_lease_is_late(settle: str, is_replaced: bool) -> None:
    """Its result is counted as late and does not affect the trial that replaced it."""
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
    """The lease starts when the trial starts, not when the circuit became half-open."""
    circuit, hung = on_trial(trial_lease=30.0)
    circuit.now += 20.0
    hung.release()
    circuit.permit()
    circuit.now += 20.0
    assert circuit.refusal().reason == "trial in progress"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [60.0, 60.0, 60.0, 60.0]),
        ({"recovery_multiplier": 2.0}, [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]),
        ({"recovery_multiplier": 3.0, "max_recovery_timeout": 100.0}, [60.0, 100.0, 100.0]),
        ({"max_recovery_timeout": 5.0}, [60.0, 60.0]),  # the cap has no effect without growth
    ],
)
def test_the_recovery_time_grows_up_to_its_cap(settings: dict[str, float], expected: list[float]) -> None:
    """Each reopening without a recovery lasts `recovery_multiplier` times longer, up to `max_recovery_timeout`."""
    assert list(spans(opened(**settings), len(expected))) == pytest.approx(expected)


def test_closing_resets_the_growth() -> None:
    """After a recovery, the next opening is as short as the first."""
    circuit = opened(recovery_multiplier=2.0, success_threshold=1)
    list(spans(circuit, 3))
    circuit.now += 480.0
    circuit.succeed()
    circuit.fail()
    assert circuit.refusal().retry_after == 60.0


def test_growth_never_overflows() -> None:
    """However often the trial fails, the recovery time stays finite and at its cap."""
    circuit = opened(recovery_multiplier=1e308, max_recovery_timeout=1e4)
    assert list(spans(circuit, 5))[-1] == pytest.approx(1e4)


@pytest.mark.parametrize(("dice", "span"), [(0.0, 60.0), (0.5, 75.0), (1.0 - 2**-53, 90.0)])
def test_jitter_lengthens_the_recovery_time_and_never_shortens_it(dice: float, span: float) -> None:
    """The circuit stays open for recovery_timeout * (1 + recovery_jitter * random)."""
    circuit = Circuit(failure_threshold=1, recovery_jitter=0.5)
    circuit.dice = dice
    circuit.fail()
    assert circuit.refusal().retry_after == pytest.approx(span)
    assert circuit.changes[0].open_for == pytest.approx(span)
    circuit.now += span
    assert circuit.permit().is_trial


def test_jitter_is_not_compounded() -> None:
    """Growth multiplies the recovery time before jitter, not the jittered one."""
    circuit = opened(recovery_jitter=1.0, recovery_multiplier=2.0)
    circuit.dice = 0.5
    assert list(spans(circuit, 3)) == [60.0, 180.0, 360.0]


@pytest.mark.parametrize("step", [-1.0, -59.0, -61.0, -1e6])
def test_a_clock_that_steps_back_cannot_prolong_the_recovery_time(step: float) -> None:
    """From the first read after the step, the wait is at most the recovery time."""
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
    """A hung trial loses its lease at most one lease after the step."""
    circuit, _hung = on_trial(trial_lease=30.0)
    circuit.now -= 1e6
    assert circuit.refusal().reason == "trial in progress"
    circuit.now += 30.0
    assert circuit.permit().is_trial


def test_a_clock_that_leaps_ahead_gives_no_negative_wait() -> None:
    """`retry_after` is never below 0.0."""
    circuit = opened()
    circuit.now += 1e12
    assert circuit.retry_after == 0.0


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_lease_that_has_ended_stays_ended(is_asked: bool) -> None:
    """Though the clock steps back: a caller has seen its end. Else the trial may go on for its lease, from then."""
    circuit, _hung = on_trial(trial_lease=30.0)
    circuit.now += 30.0
    if is_asked:
        circuit.permit().release()
    circuit.now -= 10.0
    assert isinstance(circuit.try_acquire(), Permit) is is_asked


def test_a_clock_that_steps_back_cannot_prolong_a_step_of_the_ramp() -> None:
    """It ends one full step after, at most."""
    circuit, trial = on_trial(success_threshold=1, ramp=[0.5], ramp_step=10.0)
    trial.record_success()
    circuit.now -= 1e6
    circuit.refusal()
    circuit.now += 10.0
    circuit.permit()
    assert circuit.state is CLOSED


def test_a_trial_that_ends_in_the_ramp_does_not_begin_it_again() -> None:
    """It began beside the one that was enough."""
    circuit, first = on_trial(
        success_threshold=1, trial_count=2, trials_at_once=2, ramp=[0.5], ramp_step=10.0
    )
    second = circuit.permit()
    assert second.is_trial
    first.record_success()
    circuit.now += 5.0
    second.record_success()
    assert circuit.snapshot().trial_successes == 1
    circuit.now += 5.0
    circuit.permit()
    assert circuit.state is CLOSED


def test_trials_hold_up_the_others_until_the_last_lease_ends() -> None:
    """Without any, nothing is held up."""
    settings = CircuitBreakerSettings(trial_lease=30.0, success_threshold=2, trials_at_once=2)
    trials: Trials[str] = Trials(settings)
    assert trials.leased_until == 0.0
    trials.lease("first", 100.0)
    trials.lease("second", 110.0)
    assert trials.leased_until == 140.0


@each_row(
    ("share", "passed"),
    [(1.0, [1]), (1 - 1e-9, [1]), (1 - 1.5e-9, [2]), (0.5, [2]), (0.1, [10]), (0.07, [15])],
)
def test_the_first_call_that_passes_by_a_share(share: float, passed: list[int]) -> None:
    """A rounding error of a billionth is forgiven: ten times 0.1 is 0.9999999999999999 in binary floating point."""
    settings = CircuitBreakerSettings(ramp=[share], ramp_step=10.0)
    trials: Trials[str] = Trials(settings)
    trials.succeeded(0.0, is_trial=True)
    admitted = [number for number in range(1, 16) if trials.admit(1.0) is Admission.PASS]
    assert admitted[:1] == passed
