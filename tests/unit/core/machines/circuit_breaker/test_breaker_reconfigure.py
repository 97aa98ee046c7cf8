"""A circuit that gets other settings while it is in use: its state and its counts stay."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from http_service_client.core.machines.circuit_breaker.breaker import Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
)
from http_service_client.errors import ConfigurationError
from kit.circuits import Circuit, on_trial, opened

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


def test_failures_counted_before_count_towards_a_new_threshold() -> None:
    """The change itself opens nothing; the next failure does."""
    circuit = Circuit(failure_threshold=5)
    circuit.fail(3)
    circuit.reconfigure({"failure_threshold": 2})
    assert (circuit.state, circuit.snapshot().consecutive_failures, circuit.changes) == (CLOSED, 3, [])
    circuit.fail()
    assert (circuit.state, circuit.changes[0].reason) == (OPEN, "4 consecutive failures")


def test_a_higher_threshold_keeps_the_count() -> None:
    """Four failures before and one after are five."""
    circuit = Circuit(failure_threshold=5)
    circuit.fail(4)
    circuit.reconfigure({"failure_threshold": 6})
    circuit.fail()
    assert circuit.state is CLOSED
    circuit.fail()
    assert circuit.state is OPEN


@pytest.mark.parametrize(("recovery", "left"), [(600.0, 570.0), (40.0, 10.0), (20.0, 0.0)])
def test_an_open_span_lasts_for_the_new_recovery_time(recovery: float, left: float) -> None:
    """From the instant at which the circuit opened. It stays open until a caller makes the trial."""
    circuit = opened(recovery_timeout=60.0)
    circuit.now += 30.0
    circuit.reconfigure({"recovery_timeout": recovery})
    assert (circuit.state, circuit.retry_after) == (OPEN, left)
    if left:
        assert circuit.refusal().retry_after == left
        circuit.now += left
    assert circuit.permit().is_trial


def test_another_setting_leaves_the_open_span_alone() -> None:
    """Its growth and its jitter are not drawn again."""
    circuit = opened(recovery_timeout=60.0, recovery_jitter=1.0)
    circuit.dice = 0.5
    circuit.reconfigure({"recovery_jitter": 0.5, "failure_threshold": 9})
    assert circuit.retry_after == 60.0


def test_an_isolated_circuit_stays_isolated() -> None:
    """Until it is reset."""
    circuit = Circuit()
    circuit.isolate()
    circuit.reconfigure({"recovery_timeout": 0.001})
    circuit.now += 5.0
    assert (circuit.is_isolated, circuit.refusal().reason) == (True, "isolated")


def test_a_trial_in_progress_counts_by_the_new_settings() -> None:
    """Its permit stays valid, since no generation has ended."""
    circuit, trial = on_trial(success_threshold=3)
    circuit.reconfigure({"success_threshold": 1})
    assert circuit.state is HALF_OPEN
    trial.record_success()
    assert circuit.state is CLOSED


def test_a_shorter_lease_holds_for_the_trial_in_progress() -> None:
    """A hung trial blocks no longer than a new one could."""
    circuit, _ = on_trial(trial_lease=600.0)
    circuit.reconfigure({"trial_lease": 5.0})
    assert circuit.refusal().reason == "trial in progress"
    circuit.now += 5.0
    assert circuit.permit().is_trial


def test_the_judge_is_replaced() -> None:
    """And removed again."""
    circuit = Circuit()
    circuit.reconfigure({"exclude": [KeyError]})
    assert circuit.judge is not None
    assert circuit.judge(KeyError(), True) is False
    circuit.reconfigure({"exclude": ()})
    assert circuit.judge is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"failure_threshold": 0}, ConfigurationError),
        ({"recovery_multiplier": 2.0, "max_recovery_timeout": 1.0}, ConfigurationError),
        ({"failure_treshold": 3}, TypeError),
        ({"fail_max": 3}, TypeError),
    ],
)
def test_a_wrong_change_changes_nothing(changes: Any, error: type[Exception]) -> None:
    """Not even the right settings beside the wrong one."""
    circuit = Circuit(failure_threshold=5)
    before = circuit.settings
    with pytest.raises(error, match=r"failure_threshold|max_recovery_timeout"):
        circuit.reconfigure({"success_threshold": 9, **changes})
    assert circuit.settings is before


def test_changes_by_many_threads_are_all_kept() -> None:
    """Each thread changes a setting of its own; no change overwrites another."""
    circuit, names = (
        Circuit(),
        ["failure_threshold", "success_threshold", "recovery_timeout", "trial_lease", "timeout"],
    )
    barrier = threading.Barrier(len(names))

    def change(name: str) -> None:
        barrier.wait()
        for value in range(1, 101):
            circuit.reconfigure({name: value})  # type: ignore[misc]

    threads = [threading.Thread(target=change, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [getattr(circuit.settings, name) for name in names] == [100] * len(names)


def test_a_cap_comes_changes_and_goes() -> None:
    """Its counts stay while there is one."""
    circuit = Circuit(failure_threshold=1, recovery_timeout=600.0)
    assert circuit.free_pass is not None
    circuit.reconfigure({"max_rejected": 0.9})
    assert circuit.free_pass is None
    circuit.succeed(8)
    circuit.fail()
    circuit.refusal()
    circuit.reconfigure({"max_rejected": 0.1})
    assert circuit.permit().is_trial, "of eleven calls, no two may be refused"
    circuit.reset()
    circuit.reconfigure({"max_rejected": 1.0})
    assert circuit.free_pass is not None
    circuit.fail()
    for _ in range(50):
        circuit.refusal()


def test_a_shadow_comes_stays_and_goes() -> None:
    """Another setting leaves its state alone; other settings of its own replace it."""
    circuit = Circuit(failure_threshold=9)
    assert circuit._shadow is None
    circuit.reconfigure({"shadow": CircuitBreakerSettings(failure_threshold=1)})
    assert circuit.free_pass is None
    circuit.fail()
    shadow = circuit._shadow
    assert shadow is not None
    assert shadow.state is OPEN
    circuit.reconfigure({"failure_threshold": 8})
    assert circuit._shadow is shadow
    circuit.reconfigure({"shadow": CircuitBreakerSettings(failure_threshold=2)})
    assert circuit._shadow is not None
    assert circuit._shadow.state is CLOSED
    circuit.reconfigure({"shadow": None})
    assert circuit._shadow is None
    assert circuit.free_pass is not None


def test_a_new_recovery_time_leaves_the_trials_alone() -> None:
    """The open span before them has ended."""
    circuit, _ = on_trial(trial_lease=30.0)
    before = circuit.evidence_at
    circuit.reconfigure({"recovery_timeout": 600.0})
    assert circuit.evidence_at == before == circuit.now + 30.0


def test_a_shorter_ramp_goes_on_with_its_last_share() -> None:
    """Where the step that it has come to is no longer there; without a ramp, all calls pass."""
    circuit, trial = on_trial(success_threshold=1, ramp=[0.1, 0.1, 0.1], ramp_step=10.0)
    trial.record_success()
    circuit.now += 20.0
    circuit.refusal()
    circuit.reconfigure({"ramp": [0.5]})
    assert [isinstance(circuit.try_acquire(), Permit) for _ in range(4)] == [False, True, False, True]
    circuit.reconfigure({"ramp": []})
    assert [isinstance(circuit.try_acquire(), Permit) for _ in range(4)] == [True] * 4
    circuit.reconfigure({"ramp": [0.5]})
    assert [isinstance(circuit.try_acquire(), Permit) for _ in range(2)] == [False, True]
    circuit.reconfigure({"ramp": []})
    assert circuit.state is HALF_OPEN
    circuit.now += 10.0
    circuit.succeed()
    assert circuit.state is CLOSED
