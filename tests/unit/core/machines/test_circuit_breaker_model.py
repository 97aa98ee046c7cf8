"""The circuit breaker compared with a simple model that keeps the whole history."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.circuit_breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


@dataclass
class Call:
    """A call in the model: the generation in which it began, and whether it was that generation's trial."""

    generation: int
    is_trial: bool
    begun_at: float
    is_settled: bool = False


@dataclass
class Model:
    """Simple rather than fast. Times are whole numbers, and the clock never steps back here."""

    settings: CircuitBreakerSettings
    dice: float
    states: list[CircuitBreakerState] = field(default_factory=lambda: [CLOSED])  # one for each generation
    is_isolated: bool = False
    row: list[str] = field(default_factory=list)  # results of this generation, in order
    times: list[float] = field(default_factory=list)  # of these results
    failed_trials: int = 0  # since the last closing
    opened_at: float = 0.0
    trials: list[Call] = field(default_factory=list)  # in flight
    settled: dict[str, int] = field(
        default_factory=lambda: {"success": 0, "failure": 0, "abandoned": 0, "late": 0}
    )
    refused: int = 0

    def move(self, state: CircuitBreakerState, now: float) -> None:
        self.states.append(state)
        self.row, self.times, self.trials, self.is_isolated = [], [], [], False
        if state is CLOSED:
            self.failed_trials = 0
        if state is OPEN:
            self.opened_at = now

    def open_for(self) -> float:
        recovery = self.settings.recovery_timeout
        for _ in range(self.failed_trials):
            cap = max(self.settings.max_recovery_timeout, self.settings.recovery_timeout)
            recovery = min(cap, recovery * self.settings.recovery_multiplier)
        return recovery * (1 + self.settings.recovery_jitter * self.dice)

    def is_held(self, trial: Call, now: float) -> bool:
        return now - trial.begun_at < self.settings.trial_lease

    def held(self, now: float) -> list[Call]:
        return [trial for trial in self.trials if self.is_held(trial, now)]

    def may_try(self, now: float) -> bool:
        held, settings = len(self.held(now)), self.settings
        return held < settings.trials_at_once and held + len(self.row) < settings.trial_count

    def must_open(self, now: float) -> bool:
        """Judged at a failure, which is the last of the row."""
        settings, tests = self.settings, list[bool]()
        if settings.failure_threshold is not None:
            in_row = len(self.row) - len("".join(result[0] for result in self.row).rstrip("f"))
            lasted = now - self.times[-in_row]
            tests.append(in_row >= settings.failure_threshold and lasted >= settings.failure_duration)
        if settings.failure_rate is not None:
            assert settings.window_calls is not None
            window = self.row[-settings.window_calls :]
            is_enough = len(window) >= settings.minimum_calls
            tests.append(is_enough and window.count("failure") >= settings.failure_rate * len(window))
        return all(tests) if settings.opens_when == "all" else any(tests)

    def acquire(self, now: float) -> Call | str:
        state = self.states[-1]
        if state is OPEN and not self.is_isolated and now - self.opened_at >= self.open_for():
            self.move(HALF_OPEN, now)
            state = HALF_OPEN
        if state is CLOSED:
            return Call(len(self.states), False, now)
        if state is HALF_OPEN and self.may_try(now):
            self.trials = [*self.held(now), Call(len(self.states), True, now)]
            return self.trials[-1]
        self.refused += 1
        if self.settings.metrics_only:
            return Call(len(self.states), False, now)
        return "isolated" if self.is_isolated else "open" if state is OPEN else "trial in progress"

    def settle(self, call: Call, result: str, now: float) -> None:
        if call.is_settled:
            return
        call.is_settled = True
        lost_its_lease = call.is_trial and not any(call is trial for trial in self.held(now))
        self.trials = [trial for trial in self.trials if trial is not call]
        if call.generation != len(self.states) or lost_its_lease:
            self.settled["late"] += 1
            return
        self.settled[result] += 1
        state = self.states[-1]
        if result == "abandoned" or (state is not CLOSED and not call.is_trial):
            return
        self.row.append(result)
        self.times.append(now)
        settings = self.settings
        if state is CLOSED:
            if result == "failure" and self.must_open(now):
                self.move(OPEN, now)
        elif self.row.count("failure") > settings.trial_count - settings.success_threshold:
            self.failed_trials += 1
            self.move(OPEN, now)
        elif self.row.count("success") >= settings.success_threshold:
            self.move(CLOSED, now)


SETTLE = {"success": Permit.record_success, "failure": Permit.record_failure, "abandoned": Permit.release}

# Powers of two and whole numbers: the model's arithmetic is exact, so `>=` is tested at equality.
OPENING = st.one_of(
    st.fixed_dictionaries(
        {"failure_threshold": st.integers(1, 3)}, optional={"failure_duration": st.sampled_from([1.0, 4.0])}
    ),
    st.fixed_dictionaries(
        {
            "failure_rate": st.sampled_from([0.25, 0.5, 1.0]),
            "window_calls": st.integers(3, 6),
            "minimum_calls": st.integers(1, 3),
        },
        optional={"failure_threshold": st.integers(1, 3), "opens_when": st.sampled_from(["any", "all"])},
    ),
)
CLOSING = st.fixed_dictionaries(
    {"success_threshold": st.integers(1, 3), "trials_at_once": st.integers(1, 3)},
    optional={"trial_count": st.integers(3, 4)},
)


def _settings(opening: dict[str, Any], closing: dict[str, Any], **others: Any) -> CircuitBreakerSettings:
    return CircuitBreakerSettings(**opening, **closing, **others)


SETTINGS = st.builds(
    _settings,
    OPENING,
    CLOSING,
    recovery_timeout=st.sampled_from([4.0, 8.0]),
    recovery_multiplier=st.sampled_from([1.0, 2.0]),
    max_recovery_timeout=st.sampled_from([8.0, 32.0]),
    recovery_jitter=st.sampled_from([0.0, 0.5]),
    trial_lease=st.sampled_from([4.0, 16.0]),
    metrics_only=st.booleans(),
)


class BreakerMachine(RuleBasedStateMachine):
    """Random walks: breaker and model get the same calls and must agree after each step."""

    @initialize(settings=SETTINGS, dice=st.sampled_from([0.0, 0.5]))
    def begin(self, settings: CircuitBreakerSettings, dice: float) -> None:
        self.now = 0.0
        self.model = Model(settings, dice)
        self.changes: list[StateChange] = []
        self.calls: list[tuple[Permit, Call]] = []
        self.joined: list[tuple[int, Call]] = []
        self.breaker = CircuitBreaker(
            settings,
            clock=lambda: self.now,
            random=lambda: dice,
            lock=threading.RLock(),
            on_change=self.changes.append,
        )

    @rule(seconds=st.sampled_from([1.0, 3.0, 4.0, 8.0, 32.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.model.states[-1] is OPEN and not self.model.is_isolated)
    @rule(short_by=st.sampled_from([0.0, 0.5]))
    def time_passes_to_the_recovery(self, short_by: float) -> None:
        self.now = max(self.now, self.model.opened_at + self.model.open_for() - short_by)

    @rule()
    def acquire(self) -> None:
        result, expected = self.breaker.try_acquire(), self.model.acquire(self.now)
        if isinstance(expected, Call):
            assert isinstance(result, Permit), result
            assert result.is_trial == expected.is_trial
            self.calls.append((result, expected))
        else:
            assert isinstance(result, Refusal)
            assert (result.reason, result.state) == (expected, self.model.states[-1])

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), result=st.sampled_from(["success", "failure", "failure", "abandoned"]))
    def settle(self, data: st.DataObject, result: str) -> None:
        at = data.draw(st.integers(0, len(self.calls) - 1))
        permit, call = self.calls[at]
        SETTLE[result](permit)
        self.model.settle(call, result, self.now)

    @rule()
    def join(self) -> None:
        generation = self.breaker.free_pass
        assert (generation is not None) == (self.model.states[-1] is CLOSED)
        if generation is not None:
            expected = self.model.acquire(self.now)
            assert isinstance(expected, Call)
            self.joined.append((generation, expected))

    @precondition(lambda self: self.joined)
    @rule(data=st.data())
    def a_joined_call_succeeds(self, data: st.DataObject) -> None:
        generation, call = self.joined.pop(data.draw(st.integers(0, len(self.joined) - 1)))
        self.breaker.record_success(generation)
        self.model.settle(call, "success", self.now)

    @precondition(lambda self: self.calls)
    @rule(result=st.sampled_from(["success", "failure", "abandoned"]))
    def settle_the_latest(self, result: str) -> None:
        permit, call = self.calls[-1]
        SETTLE[result](permit)
        self.model.settle(call, result, self.now)

    @rule(results=st.lists(st.sampled_from(["success", "failure", "failure"]), max_size=4))
    def make_calls(self, results: list[str]) -> None:
        for result in results:
            before = len(self.calls)
            self.acquire()
            if len(self.calls) > before:
                self.settle_the_latest(result)

    @rule(is_sure=st.integers(0, 4))
    def isolate(self, is_sure: int) -> None:
        if is_sure == 4:  # rarely, or nothing else would be tested
            self.breaker.isolate()
            if not self.model.is_isolated:
                self.model.move(OPEN, self.now)
                self.model.is_isolated = True

    @rule(is_sure=st.booleans())
    def reset(self, is_sure: bool) -> None:
        if is_sure or self.model.is_isolated:
            self.breaker.reset()
            if self.model.states[-1] is CLOSED:
                self.model.row, self.model.times = [], []
            else:
                self.model.move(CLOSED, self.now)

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "breaker"):
            return
        found, model = self.breaker.snapshot(), self.model
        state = model.states[-1]
        assert found.state is self.breaker.state is state
        assert found.generation == len(model.states) - 1
        assert found.is_isolated == model.is_isolated
        assert (found.successes, found.failures, found.abandoned, found.late) == tuple(model.settled.values())
        assert found.refused == model.refused
        assert found.opened_at == (None if state is CLOSED else model.opened_at)
        assert found.trial_successes == (model.row.count("success") if state is HALF_OPEN else 0)
        if state is CLOSED:
            row = "".join(result[0] for result in model.row)
            assert found.consecutive_failures == len(row) - len(row.rstrip("f"))
            assert found.retry_after == 0.0
        elif state is OPEN:
            expected = max(0.0, model.opened_at + model.open_for() - self.now)
            assert found.retry_after == (None if model.is_isolated else expected)
        else:
            assert found.retry_after == (0.0 if model.may_try(self.now) else None)

    @invariant()
    def every_change_was_reported_once(self) -> None:
        if hasattr(self, "breaker"):
            assert [CLOSED, *(change.new for change in self.changes)] == self.model.states
            assert [change.old for change in self.changes] == self.model.states[:-1]


TestBreakerMachine = BreakerMachine.TestCase
