"""When a closed circuit opens by rates, and what is watched in flight."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
)
from http_service_client.errors import ConfigurationError
from kit.circuits import Circuit
from kit.rows import each_row

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState
SLOW: dict[str, Any] = {
    "slow_call_rate": 0.5,
    "slow_call_duration": 2.0,
    "window_calls": 4,
    "minimum_calls": 4,
}


def test_calls_in_flight_become_slow_before_they_end() -> None:
    """The circuit opens while slow calls hang, long before their timeout: the next caller finds them."""
    circuit = Circuit(**SLOW)
    circuit.succeed(2)
    hanging = [circuit.permit(), circuit.permit()]
    circuit.now += 1.9
    circuit.permit().release()
    circuit.now += 0.1
    assert circuit.refusal().reason == "open"
    assert circuit.changes[0].reason == "2 of 4 calls were slow in the last 4 calls"
    for permit in hanging:
        permit.record_failure()
    assert circuit.snapshot().late == 2


def test_a_call_that_became_slow_in_flight_counts_once() -> None:
    """Its result adds no second call to the window."""
    circuit = Circuit(**SLOW | {"window_calls": 8})
    slow = circuit.permit()
    circuit.now += 5
    circuit.succeed()
    slow.record_success()
    circuit.succeed(2)
    assert circuit.state is CLOSED  # one of four is slow


def test_a_cancelled_call_is_never_slow() -> None:
    """A call that ended without evidence is watched no longer."""
    circuit = Circuit(**SLOW)
    for _ in range(4):
        circuit.permit().release()
    circuit.now += 10
    circuit.succeed(4)
    assert circuit.state is CLOSED


def test_a_slow_success_may_open_the_circuit() -> None:
    """A success that took too long is a reason to open, though nothing failed."""
    circuit = Circuit(**SLOW)
    circuit.succeed(3)
    for _ in range(2):
        permit = circuit.permit()
        circuit.now += 3
        permit.record_success()
    assert circuit.moves() == [(CLOSED, OPEN)]


def test_watching_is_for_slow_calls_alone() -> None:
    """Without a slow-call rate, a call joins by the free pass and its duration is not measured."""
    assert Circuit(failure_rate=0.5).free_pass == 0
    assert Circuit(**SLOW).free_pass is None


def test_a_rate_is_counted_without_permits_too() -> None:
    """Successes by the free pass, which take no lock, are in the window."""
    circuit = Circuit(failure_rate=0.5, window_calls=10, minimum_calls=10)
    for _ in range(6):
        assert circuit.free_pass is not None
        circuit.record_success(circuit.free_pass)
    circuit.fail(4)
    assert circuit.state is CLOSED
    circuit.fail()
    assert circuit.state is OPEN
    assert circuit.changes[0].reason == "5 of 10 calls failed in the last 10 calls"


def test_reasons_are_joined_where_all_must_hold() -> None:
    """The reason names each test that held."""
    circuit = Circuit(failure_threshold=2, failure_rate=0.5, window=20.0, minimum_calls=2, opens_when="all")
    circuit.fail(2)
    assert circuit.changes[0].reason == "2 consecutive failures and 2 of 2 calls failed in the last 20 s"


def test_the_streak_survives_a_clock_that_steps_back() -> None:
    """The duration counts from the step, so that the circuit still opens."""
    circuit = Circuit(failure_threshold=2, failure_duration=10.0)
    circuit.fail()
    circuit.now -= 500
    circuit.fail()
    assert circuit.state is CLOSED
    circuit.now += 10
    circuit.fail()
    assert circuit.state is OPEN


def test_many_threads_with_a_rate_lose_no_result() -> None:
    """Totals add up when threads settle by permits and by free passes at once."""
    circuit = Circuit(failure_rate=1.0, window=3600.0, minimum_calls=10**6)

    def work() -> None:
        for number in range(300):
            if number % 3:
                circuit.record_success(0)
            else:
                circuit.permit().record_failure()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    window = circuit._detector.window
    assert window is not None
    assert window.counts()[:2] == (2400, 800)


def test_a_new_rate_keeps_what_was_counted_over_the_same_window() -> None:
    """A changed rate judges the results before it; a changed window begins empty."""
    circuit = Circuit(failure_rate=0.9, window_calls=10, minimum_calls=4)
    circuit.succeed(2)
    circuit.fail(2)
    circuit.reconfigure({"failure_rate": 0.6})
    circuit.fail()
    assert circuit.state is OPEN
    circuit = Circuit(failure_rate=0.5, window_calls=10, minimum_calls=4)
    circuit.fail(3)
    circuit.reconfigure({"window_calls": 20})
    circuit.fail(3)
    assert circuit.state is CLOSED


def test_a_shadow_reports_what_it_would_have_done() -> None:
    """It sees each call that is made, refuses none, and its changes have its mark."""
    shadow = CircuitBreakerSettings(failure_threshold=1, recovery_timeout=5.0)
    circuit = Circuit(failure_threshold=3, recovery_timeout=60.0, shadow=shadow)
    circuit.fail()
    circuit.succeed()
    assert circuit.state is CLOSED
    assert [(change.key, change.new, change.is_shadow) for change in circuit.changes] == [
        ("https://api.example.com (shadow)", OPEN, True)
    ]
    circuit.now += 5
    circuit.succeed()
    assert [change.new for change in circuit.changes] == [OPEN, HALF_OPEN, CLOSED]
    circuit.fail(3)
    assert (circuit.state, circuit.changes[-1].is_shadow) == (OPEN, False)
    circuit.refusal()


def test_several_trials_at_once() -> None:
    """`trials_at_once` may be in flight together, but no more than `trial_count` in all."""
    circuit = Circuit(
        failure_threshold=1, recovery_timeout=5.0, success_threshold=2, trial_count=3, trials_at_once=2
    )
    circuit.fail()
    circuit.now += 5
    first, second = circuit.permit(), circuit.permit()
    assert circuit.refusal().reason == "trial in progress"
    first.record_failure()
    third = circuit.permit()
    assert circuit.refusal().reason == "trial in progress"
    second.record_success()
    assert circuit.refusal().reason == "trial in progress"  # three of three are made
    third.record_success()
    assert circuit.state is CLOSED


@each_row(
    ("settings", "words"),
    [
        ({"failure_rate": 1.5}, "failure_rate"),
        ({"slow_call_rate": 0.5}, "slow_call_duration is missing"),
        ({"slow_call_duration": 1.0}, "slow_call_rate is missing"),
        ({"failure_rate": 0.5, "window_calls": 10, "minimum_calls": 11}, "minimum_calls=11"),
        ({"opens_when": "some"}, "opens_when must be 'any' or 'all'"),
        ({"ramp": [0.5, 2]}, "ramp[1]"),
        ({"ramp": "fast"}, "ramp must be a list"),
        ({"ramp": 0.5}, "ramp must be a list"),
        ({"trial_count": 1, "success_threshold": 2}, "trial_count"),
        ({"max_rejected": -0.1}, "max_rejected"),
        (
            {"shadow": {"failure_threshold": 1}},
            "write shadow=CircuitBreakerSettings(…), from http_service_client.policies",
        ),
        ({"shadow": CircuitBreakerSettings(timeout=5.0)}, "shadow sets timeout"),
        ({"shadow": CircuitBreakerSettings(failures=[503])}, "shadow sets failures"),
        ({"shadow": CircuitBreakerSettings(is_failure=bool)}, "shadow sets is_failure"),
        ({"shadow": CircuitBreakerSettings(exclude=[KeyError])}, "shadow sets exclude"),
        ({"shadow": CircuitBreakerSettings(on_change=print)}, "shadow sets on_change"),
        ({"shadow": CircuitBreakerSettings(shadow=CircuitBreakerSettings())}, "shadow sets shadow"),
        ({"exclude": [KeyError, 503]}, "exclude must be a list of exception classes"),
        ({"exclude": [int]}, "exclude must be a list of exception classes"),
        ({"exclude": KeyError}, "exclude must be a list of exception classes"),
        ({"is_failure": 5}, "is_failure must be a function"),
        ({"on_change": 5}, "on_change must be a function"),
        ({"window": 0}, "window"),
        ({"slow_call_duration": 0, "slow_call_rate": 0.5}, "slow_call_duration must be"),
        ({"ramp_step": 0}, "ramp_step must be"),
        ({"ramp_step": None}, "ramp_step must be"),
        ({"failure_duration": -1.0}, "failure_duration"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], words: str) -> None:
    """The message names the field and what to write."""
    with pytest.raises(ConfigurationError) as raised:
        CircuitBreakerSettings(**settings)
    assert words in str(raised.value)


def test_what_is_not_given_follows_from_what_is() -> None:
    """The defaults of a threshold alone, and of a recovery time alone, are those of a plain breaker."""
    default, plain = (
        CircuitBreakerSettings(),
        CircuitBreakerSettings(failure_threshold=5, recovery_timeout=60.0),
    )
    assert (default.failure_threshold, default.failure_duration) == (30, 10.0)
    assert (default.recovery_timeout, default.recovery_multiplier, default.max_recovery_timeout) == (
        1.0,
        1.05,
        60.0,
    )
    assert (plain.failure_duration, plain.recovery_multiplier) == (0.0, 1.0)
    assert CircuitBreakerSettings(failure_rate=0.5).failure_threshold is None
    assert CircuitBreakerSettings(slow_call_rate=0.5, slow_call_duration=2.0).failure_threshold is None
    changed = default.changed({"failure_threshold": 5, "recovery_timeout": 30.0})
    assert changed == CircuitBreakerSettings(failure_threshold=5, recovery_timeout=30.0)


def test_what_was_given_survives_other_changes() -> None:
    """A duration of one's own stays when the threshold changes; the default one comes back with the default test."""
    given = CircuitBreakerSettings(failure_threshold=10, failure_duration=5.0)
    assert given.changed({"failure_threshold": 20}).failure_duration == 5.0
    assert CircuitBreakerSettings().changed({"window": 5.0}).failure_duration == 10.0
    by_rate = CircuitBreakerSettings(failure_rate=0.5)
    assert by_rate.changed({"failure_rate": None}) == CircuitBreakerSettings()
    assert by_rate.changed({"failure_threshold": 5}).failure_duration == 0.0


def test_the_number_of_trials_follows_the_successes_while_it_equals_them() -> None:
    """One that was set to another number stays, and so does one that no change concerns."""
    equal = CircuitBreakerSettings(success_threshold=2)
    assert equal.changed({"success_threshold": 3}).trial_count == 3
    assert equal.changed({"failure_threshold": 5}).trial_count == 2
    more = CircuitBreakerSettings(success_threshold=2, trial_count=5)
    assert more.changed({"success_threshold": 3}).trial_count == 5
    assert more.changed({"failure_threshold": 5}).trial_count == 5


def test_the_growth_follows_a_recovery_timeout_while_it_is_the_default() -> None:
    """One of one's own stays, and so does the limit of the waits."""
    changed = CircuitBreakerSettings().changed({"recovery_timeout": 5.0})
    assert (changed.recovery_multiplier, changed.max_recovery_timeout) == (1.0, 600.0)
    other = CircuitBreakerSettings(recovery_timeout=2.0, recovery_multiplier=3.0, max_recovery_timeout=9.0)
    assert other.changed({"recovery_timeout": 5.0}).recovery_multiplier == 3.0
    assert other.changed({"recovery_timeout": 5.0}).max_recovery_timeout == 9.0
    limited = CircuitBreakerSettings(max_recovery_timeout=30.0)
    assert limited.changed({"recovery_timeout": 5.0}).max_recovery_timeout == 30.0
    assert limited.changed({"window": 5.0}).recovery_multiplier == 1.05


def test_a_call_that_hangs_has_not_failed_yet() -> None:
    """It is slow, and no failure."""
    circuit = Circuit(**SLOW | {"slow_call_rate": 1.0, "failure_rate": 0.5})
    circuit.succeed(2)
    circuit.permit()
    circuit.permit()
    circuit.now += 2.0
    circuit.permit()
    assert circuit.state is CLOSED


def test_of_calls_found_slow_together_the_first_reason_is_enough() -> None:
    """As if each had been found when it became slow: the failures are half of the calls until the second one."""
    circuit = Circuit(
        **SLOW | {"slow_call_rate": 0.25, "failure_rate": 0.5, "opens_when": "all", "window_calls": 9}
    )
    circuit.succeed()
    circuit.fail(2)
    circuit.permit()
    circuit.permit()
    circuit.now += 2.0
    assert circuit.refusal().reason == "open"
    assert circuit.changes[0].reason.startswith("2 of 4 calls failed")


def test_failures_in_a_row_are_judged_at_a_failure_alone() -> None:
    """A slow call says nothing of them, where any test is enough."""
    circuit = Circuit(**SLOW | {"minimum_calls": 4, "failure_threshold": 2, "failure_duration": 5.0})
    circuit.fail(2)
    circuit.permit()
    circuit.now += 5.0
    circuit.permit()
    assert circuit.state is CLOSED
    circuit.fail()
    assert circuit.changes[0].reason == "3 consecutive failures over 5 s"


def test_failures_in_a_row_count_at_a_slow_call_where_all_tests_must_hold() -> None:
    """It may be the one that makes the other test hold."""
    circuit = Circuit(
        **SLOW | {"slow_call_rate": 0.25, "minimum_calls": 3, "failure_threshold": 2, "opens_when": "all"}
    )
    circuit.fail(2)
    circuit.permit()
    circuit.now += 2.0
    circuit.refusal()
    assert (
        circuit.changes[0].reason == "2 consecutive failures and 1 of 3 calls were slow in the last 4 calls"
    )


@pytest.mark.parametrize("settle", ["record_success", "record_failure", "release"])
def test_a_call_outlives_the_test_that_watched_it(settle: str) -> None:
    """Its circuit was told not to mind slow calls any more."""
    circuit = Circuit(**SLOW | {"failure_rate": 1.0})
    permit, _ = circuit.permit(), circuit.permit()
    circuit.reconfigure({"slow_call_rate": None, "slow_call_duration": None})
    circuit.now += 10.0
    getattr(permit, settle)()
    totals = circuit.snapshot()
    assert totals.successes + totals.failures + totals.abandoned == 1
    assert circuit.state is CLOSED


def test_a_call_from_an_earlier_closed_period_is_never_slow() -> None:
    """Nothing is known when a circuit has closed."""
    circuit = Circuit(**SLOW)
    hanging = [circuit.permit() for _ in range(4)]
    circuit.isolate()
    circuit.reset()
    circuit.now += 10.0
    circuit.succeed(4)
    assert circuit.state is CLOSED
    for permit in hanging:
        permit.record_failure()
    assert circuit.snapshot().late == 4


def test_a_rate_just_below_the_bound_is_not_met() -> None:
    """Only a rounding error of a billionth is forgiven."""
    circuit = Circuit(failure_rate=0.5 + 0.75e-9, window_calls=2, minimum_calls=2)
    circuit.succeed()
    circuit.fail()
    assert circuit.state is CLOSED


@each_row(
    ("settings", "subject", "default", "verdict"),
    [
        ({}, KeyError(), True, True),
        ({}, KeyError(), None, None),
        ({"exclude": [KeyError]}, KeyError(), True, False),
        ({"exclude": [KeyError]}, ValueError(), True, True),
        ({"failures": [KeyError]}, KeyError(), False, True),
        ({"failures": [KeyError]}, ValueError(), True, False),
        ({"failures": [KeyError]}, KeyError(), None, None),
        ({"failures": [KeyError], "exclude": [KeyError]}, KeyError(), True, False),
        ({"is_failure": lambda subject: 1}, "fine", False, True),
        ({"is_failure": lambda subject: ""}, KeyError(), True, False),
        ({"is_failure": lambda subject: None}, KeyError(), True, None),
    ],
)
def test_what_the_settings_call_a_failure(
    settings: dict[str, Any], subject: object, default: bool | None, verdict: bool | None
) -> None:
    """What is excluded is none; a function of the user decides before a list, and a list before the usual rules."""
    circuit = Circuit(**settings)
    assert circuit.settings.judge(subject, default) is verdict
    assert (circuit.judge is not None) is bool(settings)
