"""When a circuit opens, tries and closes."""

from __future__ import annotations

import pytest

from http_service_client.core.machines.circuit_breaker import Permit
from http_service_client.core.machines.circuit_states import (
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from kit.circuits import Circuit, on_trial, opened

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


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
