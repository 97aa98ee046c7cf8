"""When a circuit opens, admits a trial (probe) and closes."""

from __future__ import annotations

import math

import pytest

from http_service_client.core.machines.circuit_breaker.breaker import Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from kit.circuits import Circuit, on_trial, opened
from kit.rows import each_row

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


def test_a_new_circuit_is_closed_and_idle() -> None:
    """Without a single result, a circuit is closed, not isolated, and admits calls at once."""
    circuit = Circuit()
    assert (circuit.state, circuit.is_isolated, circuit.retry_after) == (CLOSED, False, 0.0)
    assert circuit.evidence_at == -math.inf
    assert circuit.key == "https://api.example.com"


def test_a_circuit_opens_at_the_threshold_and_not_before() -> None:
    """`failure_threshold` failures in a row open the circuit."""
    circuit = Circuit(failure_threshold=5)
    circuit.fail(4)
    assert circuit.state is CLOSED
    circuit.fail()
    assert circuit.state is OPEN


def test_an_opening_is_reported_once_with_its_reason() -> None:
    """The change names the circuit, both states, the reason, the time, the generation and the open time."""
    circuit = Circuit(failure_threshold=5)
    circuit.fail(5)
    assert circuit.changes == [
        StateChange("https://api.example.com", CLOSED, OPEN, "5 consecutive failures", 1000.0, 1, 60.0)
    ]


def test_a_success_resets_the_count_of_failures() -> None:
    """Only consecutive failures count: after a success the count starts at zero."""
    circuit = Circuit(failure_threshold=3)
    circuit.fail(2)
    circuit.succeed()
    circuit.fail(2)
    assert circuit.state is CLOSED
    assert circuit.snapshot().consecutive_failures == 2


def test_a_success_without_a_permit_resets_the_count_too() -> None:
    """A call with a free pass settles like one with a permit, and counts as late in a later generation."""
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


def test_an_abandoned_call_is_neither_a_success_nor_a_failure() -> None:
    """`release` does not change the count of consecutive failures."""
    circuit = Circuit(failure_threshold=3)
    circuit.fail(2)
    circuit.permit().release()
    assert circuit.snapshot().consecutive_failures == 2
    circuit.fail()
    assert circuit.state is OPEN


@each_row("first", ["record_success", "record_failure", "release"])
@each_row("second", ["record_success", "record_failure", "release"])
def test_a_permit_settles_once(first: str, second: str) -> None:
    """The first settlement counts, and later ones are ignored."""
    circuit = Circuit()
    permit = circuit.permit()
    getattr(permit, first)()
    before = circuit.snapshot()
    getattr(permit, second)()
    assert circuit.snapshot() == before
    assert before.successes + before.failures + before.abandoned == 1


def test_an_open_circuit_refuses_and_reports_the_remaining_time() -> None:
    """A refusal names the circuit, its state, the time until a trial, and the reason."""
    circuit = opened()
    circuit.now += 15.0
    assert circuit.refusal() == Refusal("https://api.example.com", OPEN, 45.0, "open")
    assert circuit.snapshot().refused == 1


@pytest.mark.parametrize(("waited", "is_admitted"), [(59.999, False), (60.0, True), (60.001, True)])
def test_a_trial_is_admitted_exactly_at_the_end_of_the_recovery_time(
    waited: float, is_admitted: bool
) -> None:
    """The comparison is `>=`: the end itself is enough."""
    circuit = opened(recovery_timeout=60.0)
    circuit.now += waited
    assert isinstance(circuit.try_acquire(), Permit) is is_admitted


@pytest.mark.parametrize("waited", [0.0, 30.0, 60.0, 6000.0])
def test_reading_the_state_never_changes_it(waited: float) -> None:
    """However much time has passed, an open circuit reports OPEN until a caller requests a permit."""
    circuit = opened()
    circuit.now += waited
    for _ in range(3):
        assert circuit.state is OPEN
        assert circuit.retry_after == max(0.0, 60.0 - waited)
        assert circuit.snapshot().state is OPEN
        assert not circuit.is_isolated
    assert circuit.changes == []


def test_late_results_do_not_extend_the_recovery_time() -> None:
    """Calls that were in flight when the circuit opened count as late and change nothing else."""
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


def test_the_instant_of_the_evidence_that_a_circuit_acts_on() -> None:
    """The last failure, while it is closed; then until when it refuses; while it is isolated, for ever."""
    circuit = Circuit(failure_threshold=2, recovery_timeout=60, trial_lease=30)
    circuit.fail()
    circuit.now += 1
    assert circuit.evidence_at == circuit.now - 1
    circuit.fail()
    circuit.now += 1
    assert circuit.evidence_at == circuit.now + 59
    circuit.now += 59
    circuit.permit()
    assert circuit.evidence_at == circuit.now + 30
    circuit.isolate()
    assert circuit.evidence_at == math.inf
    circuit.reset()
    assert circuit.evidence_at == -math.inf


def test_successful_trials_close_the_circuit() -> None:
    """`success_threshold` successful trials in a row close the circuit and reset its failure count."""
    circuit = opened(success_threshold=3, failure_threshold=1)
    circuit.now += 60.0
    circuit.succeed(2)
    assert circuit.state is HALF_OPEN
    assert circuit.snapshot().trial_successes == 2
    circuit.succeed()
    assert circuit.state is CLOSED
    assert circuit.evidence_at == -math.inf
    assert circuit.moves() == [(OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]
    assert circuit.changes[0].reason == "60.000 s have passed: time for a trial"
    assert circuit.changes[1].reason == "3 successful trials"
    assert [change.open_for for change in circuit.changes] == [None, None]


def test_closing_resets_the_count_of_failures() -> None:
    """The failures that opened the circuit do not count after the recovery."""
    circuit = Circuit(failure_threshold=2, success_threshold=1)
    circuit.fail(2)
    circuit.now += 60.0
    circuit.succeed()
    circuit.fail()
    assert circuit.state is CLOSED


def test_only_one_trial_runs_at_a_time() -> None:
    """During a trial all other calls are refused, and `retry_after` is None, since the end is unknown."""
    circuit, trial = on_trial()
    assert circuit.refusal() == Refusal("https://api.example.com", HALF_OPEN, None, "trial in progress")
    assert circuit.retry_after is None
    trial.record_success()
    assert circuit.retry_after == 0.0
    assert circuit.permit().is_trial


def test_a_failed_trial_reopens_the_circuit() -> None:
    """One failure reopens it for the full recovery time, however many trials succeeded before."""
    circuit, trial = on_trial(success_threshold=3)
    trial.record_success()
    circuit.now += 5.0
    circuit.fail()
    assert circuit.state is OPEN
    assert circuit.refusal().retry_after == 60.0
    assert circuit.changes[-1].reason == "a trial failed"
    circuit.now += 60.0
    circuit.succeed(2)
    assert circuit.state is HALF_OPEN, "a success before the failed trial must not count"


def test_after_a_cancelled_trial_the_next_caller_may_try_at_once() -> None:
    """A cancellation proves nothing: the state and the count of successful trials stay."""
    circuit, trial = on_trial(success_threshold=2)
    trial.record_success()
    circuit.permit().release()
    assert circuit.state is HALF_OPEN
    circuit.succeed()
    assert circuit.state is CLOSED
    assert circuit.snapshot().abandoned == 1


def test_a_call_from_before_the_opening_does_not_affect_a_half_open_circuit() -> None:
    """Its result neither closes nor reopens the circuit, nor ends the trial's lease."""
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


def test_a_call_from_an_earlier_closed_period_does_not_affect_the_next_one() -> None:
    """A generation is a period, not a state: a circuit that closes again starts a new one."""
    circuit = Circuit(failure_threshold=1, success_threshold=1)
    slow = circuit.permit()
    circuit.fail()
    circuit.now += 60.0
    circuit.succeed()
    slow.record_failure()
    assert circuit.state is CLOSED
    assert circuit.snapshot().late == 1


def test_a_trial_from_an_earlier_half_open_period_does_not_affect_the_next_one() -> None:
    """A trial is late if its circuit was reset and opened again in the meantime."""
    circuit, trial = on_trial(success_threshold=1)
    circuit.reset()
    circuit.fail()
    circuit.now += 60.0
    circuit.permit()
    trial.record_success()
    assert circuit.state is HALF_OPEN


def test_the_evidence_of_a_rate_is_the_last_failure() -> None:
    """It stays in the window when a success ends the row of failures; a reset forgets it."""
    circuit = Circuit(failure_rate=0.5, failure_threshold=5)
    assert circuit.evidence_at == -math.inf
    circuit.succeed()
    assert circuit.evidence_at == -math.inf
    circuit.fail()
    circuit.now += 1.0
    circuit.succeed()
    assert circuit.evidence_at == circuit.now - 1.0
    circuit.isolate()
    circuit.reset()
    assert circuit.evidence_at == -math.inf
    plain = Circuit(failure_threshold=5)
    plain.fail()
    plain.succeed()
    assert plain.evidence_at == -math.inf


@pytest.mark.parametrize(("at", "calls"), [(1000.9, 0), (1000.95, 0), (1001.0, 1), (1001.1, 1)])
def test_a_success_without_a_permit_is_counted_at_its_instant(at: float, calls: int) -> None:
    """At the very end of a tenth of the window it belongs to the next one, as any other result does."""
    circuit = Circuit(failure_rate=0.5, window=10.0)
    circuit.now = at
    circuit.record_success(circuit.free_pass)
    circuit.now = 1010.5
    window = circuit._detector.window
    assert window is not None
    assert window.counts().calls == calls
