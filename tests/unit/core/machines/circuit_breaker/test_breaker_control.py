"""Isolation, reset, metrics-only mode, listeners and settings of a circuit breaker."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)
from http_service_client.errors import ConfigurationError
from kit.circuits import Circuit, on_trial, opened, spans
from kit.rows import each_row

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


@pytest.mark.parametrize(
    "prepare", [Circuit, opened, lambda: on_trial()[0]], ids=["closed", "open", "half-open"]
)
def test_an_isolated_circuit_refuses_until_it_is_reset(prepare: Callable[[], Circuit]) -> None:
    """Isolation works from any state, never expires and is reported once."""
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


def test_a_call_in_flight_does_not_end_an_isolation() -> None:
    """A trial that succeeds after `isolate()` does not close the circuit."""
    circuit, trial = on_trial(success_threshold=1)
    circuit.isolate()
    trial.record_success()
    assert circuit.is_isolated
    assert (circuit.state, circuit.snapshot().late) == (OPEN, 1)


def test_a_reset_closes_the_circuit_and_keeps_only_its_totals() -> None:
    """The growth of the recovery time is reset; the totals stay."""
    circuit = opened(recovery_multiplier=2.0)
    list(spans(circuit, 2))
    failures = circuit.snapshot().failures
    circuit.reset()
    assert circuit.changes[-1].reason == "reset by hand"
    assert circuit.snapshot().failures == failures
    circuit.fail()
    assert circuit.refusal().retry_after == 60.0


def test_resetting_a_closed_circuit_resets_its_count_without_an_event() -> None:
    """The state does not change, so no event is sent; calls in flight still count."""
    circuit = Circuit(failure_threshold=2)
    call = circuit.permit()
    circuit.fail()
    circuit.reset()
    call.record_failure()
    assert circuit.state is CLOSED
    assert circuit.changes == []
    assert circuit.snapshot().late == 0


def test_metrics_only_refuses_no_call_and_passes_through_the_same_states() -> None:
    """A call that a real breaker would refuse is admitted and counted as refused; its result changes no state."""
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


def test_metrics_only_refuses_no_call_even_when_isolated() -> None:
    """An isolated circuit in metrics-only mode is open and admits calls."""
    circuit = Circuit(metrics_only=True)
    circuit.isolate()
    circuit.succeed()
    assert circuit.state is OPEN


def test_a_listener_runs_after_the_change_and_outside_the_lock() -> None:
    """`on_change` may read the breaker and even change its state."""
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


def test_each_change_starts_the_next_generation() -> None:
    """Generations increase by one, so that a listener can sort the changes."""
    circuit = opened(success_threshold=1)
    circuit.now += 60.0
    circuit.succeed()
    circuit.isolate()
    circuit.reset()
    assert [change.generation for change in circuit.changes] == [2, 3, 4, 5]


class ListenerError(Exception):
    pass


def test_a_listener_that_raises_leaves_the_breaker_consistent() -> None:
    """The caller gets the error, the change stays, and a trial that no caller received is released."""

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
    """With a reentrant lock, a permit released inside the breaker's own code cannot deadlock."""
    circuit = opened()
    circuit._lock = threading.RLock()
    circuit.now += 60.0
    abandoned = circuit.permit()

    def clock() -> float:
        abandoned.release()  # as an abandoned generator's `finally` would
        return circuit.now

    circuit._clock = clock
    assert circuit.permit().is_trial


@each_row(
    ("name", "wrong"),
    [
        *[("failure_threshold", wrong) for wrong in (0, -1, 1.5, "5", True, math.nan)],
        *[("success_threshold", wrong) for wrong in (0, -3, 2.0, False, None)],
        *[("recovery_timeout", wrong) for wrong in (0, -1.0, math.nan, math.inf, True, "60", 10**400)],
        *[("recovery_multiplier", wrong) for wrong in (0.99, 0, math.nan, math.inf, True)],
        *[("max_recovery_timeout", wrong) for wrong in (0.0, -1.0, math.nan, math.inf, False)],
        *[("recovery_jitter", wrong) for wrong in (-0.1, 1.01, math.nan, math.inf, True)],
        *[("trial_lease", wrong) for wrong in (0, -1.0, math.nan, math.inf, None)],
        *[("metrics_only", wrong) for wrong in (1, 0, None, "yes")],
    ],
)
def test_an_invalid_setting_is_rejected_by_name_and_value(name: str, wrong: Any) -> None:
    """The message names the field, the rejected value and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreakerSettings(**{name: wrong})
    message = str(caught.value)
    assert message.startswith(f"{name} must be ")
    assert message.partition(";")[0].endswith(f", not {wrong!r}")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "settings",
    [
        {"failure_threshold": 1, "success_threshold": 1, "recovery_timeout": 1e-6, "trial_lease": 1},
        {"recovery_jitter": 1},
        {"recovery_jitter": 0},
        {"recovery_timeout": 1000.0},  # above the cap, which has no effect without growth
        {"recovery_timeout": 600, "recovery_multiplier": 2},
    ],
)
def test_settings_at_their_bounds_are_valid(settings: dict[str, Any]) -> None:
    """Bounds are inclusive where the documentation says so, and the values are kept."""
    made = CircuitBreakerSettings(**settings)
    assert {name: getattr(made, name) for name in settings} == settings


def test_a_cap_below_a_growing_recovery_time_is_rejected() -> None:
    """Such a cap would shorten the recovery time that growth is meant to lengthen."""
    with pytest.raises(ConfigurationError, match=r"max_recovery_timeout must be at least recovery_timeout"):
        CircuitBreakerSettings(recovery_timeout=1000.0, recovery_multiplier=2.0)


def test_settings_are_frozen() -> None:
    """The settings of a breaker cannot be changed while it uses them."""
    with pytest.raises(FrozenInstanceError):
        CircuitBreakerSettings().failure_threshold = 1  # type: ignore[misc]


def test_a_state_equals_its_label() -> None:
    """`str`, formatting and comparison of a state all give its label."""
    assert [str(state) for state in CircuitBreakerState] == ["closed", "open", "half_open"]
    assert f"{OPEN}" == "open"
    assert OPEN == "open"


def test_a_snapshot_has_the_time_of_the_last_opening() -> None:
    """`opened_at` is the time of the last opening, and None while closed."""
    circuit = Circuit(failure_threshold=1, success_threshold=1)
    assert circuit.snapshot().opened_at is None
    circuit.fail()
    circuit.now += 60.0
    trial = circuit.permit()
    assert circuit.snapshot().opened_at == 1000.0
    circuit.now += 5.0
    trial.record_failure()
    assert circuit.snapshot().opened_at == 1065.0


def test_reprs_show_the_state() -> None:
    """The reprs of a breaker and a permit name their state and generation."""
    circuit, trial = on_trial()
    assert repr(circuit) == "<CircuitBreaker 'https://api.example.com' half_open>"
    assert repr(trial) == f"<Permit trial, unsettled, generation 2 of {circuit!r}>"
    circuit.isolate()
    assert repr(circuit) == "<CircuitBreaker 'https://api.example.com' open, isolated>"
    trial.release()
    assert "unsettled" not in repr(trial)
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


@each_row("has_permit", [True, False])
@each_row(
    ("failed", "counted"),
    [(False, (1, 0, 0)), (True, (0, 1, 0)), (None, (0, 0, 1))],
    ids=["ok", "failed", "released"],
)
def test_a_call_is_settled_as_it_joined(
    has_permit: bool, failed: bool | None, counted: tuple[int, int, int]
) -> None:
    """By its permit, or by the free pass."""
    circuit = Circuit()
    admission = circuit.permit() if has_permit else circuit.free_pass
    assert admission is not None
    circuit.settle(admission, failed)
    totals = circuit.snapshot()
    assert (totals.successes, totals.failures, totals.abandoned) == counted
    if has_permit:
        circuit.settle(admission, False)
        assert circuit.snapshot() == totals


def test_a_trial_that_a_forked_child_inherits_blocks_nobody() -> None:
    """It is settled in the parent, which has its own totals; the state stays, and that of the shadow."""
    circuit, _ = on_trial(shadow=CircuitBreakerSettings(failure_threshold=1, recovery_timeout=60.0))
    shadow = circuit._shadow
    assert shadow is not None
    circuit.reset_after_fork()
    assert circuit.permit().is_trial
    assert circuit.state is shadow.state is HALF_OPEN
    for each in (circuit, shadow):
        totals = each.snapshot()
        assert (totals.successes, totals.failures, totals.late, totals.refused) == (0, 0, 0, 0)


def test_a_call_that_a_forked_child_inherits_is_never_slow() -> None:
    """It hangs in the parent, if at all."""
    circuit = Circuit(slow_call_rate=0.5, slow_call_duration=2.0, minimum_calls=1)
    circuit.permit()
    circuit.reset_after_fork()
    circuit.now += 10.0
    circuit.succeed()
    assert circuit.state is CLOSED


def test_a_closed_circuit_gives_its_free_pass_back() -> None:
    """To the next caller that asks, if an interrupt came before it when the circuit closed."""
    circuit = Circuit()
    circuit.free_pass = None
    circuit.permit()
    assert circuit.free_pass == 0


def test_a_breaker_says_how_it_was_made() -> None:
    """Its name is empty unless it is given."""
    for metrics_only in (True, False):
        circuit = CircuitBreaker(
            CircuitBreakerSettings(metrics_only=metrics_only),
            clock=lambda: 0.0,
            random=lambda: 0.0,
            lock=threading.Lock(),
        )
        assert circuit.key == ""
        assert circuit.is_metrics_only is metrics_only
