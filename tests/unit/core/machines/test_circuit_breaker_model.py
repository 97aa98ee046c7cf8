"""The circuit breaker compared with a simple model that keeps the whole history."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

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
    failed_trials: int = 0  # since the last closing
    opened_at: float = 0.0
    trial: Call | None = None
    settled: dict[str, int] = field(
        default_factory=lambda: {"success": 0, "failure": 0, "abandoned": 0, "late": 0}
    )
    refused: int = 0

    def move(self, state: CircuitBreakerState, now: float) -> None:
        self.states.append(state)
        self.row, self.trial, self.is_isolated = [], None, False
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

    def trial_is_held(self, now: float) -> bool:
        return self.trial is not None and now - self.trial.begun_at < self.settings.trial_lease

    def acquire(self, now: float) -> Call | str:
        state = self.states[-1]
        if state is OPEN and not self.is_isolated and now - self.opened_at >= self.open_for():
            self.move(HALF_OPEN, now)
            state = HALF_OPEN
        if state is CLOSED:
            return Call(len(self.states), False, now)
        if state is HALF_OPEN and not self.trial_is_held(now):
            self.trial = Call(len(self.states), True, now)
            return self.trial
        self.refused += 1
        if self.settings.metrics_only:
            return Call(len(self.states), False, now)
        return "isolated" if self.is_isolated else "open" if state is OPEN else "trial in progress"

    def settle(self, call: Call, result: str, now: float) -> None:
        if call.is_settled:
            return
        call.is_settled = True
        lost_its_lease = call.is_trial and not (call is self.trial and self.trial_is_held(now))
        if call is self.trial:
            self.trial = None
        if call.generation != len(self.states) or lost_its_lease:
            self.settled["late"] += 1
            return
        self.settled[result] += 1
        state = self.states[-1]
        if result == "abandoned" or (state is not CLOSED and not call.is_trial):
            return
        self.row.append(result)
        if state is CLOSED:
            last = self.row[-self.settings.failure_threshold :]
            if last == ["failure"] * self.settings.failure_threshold:
                self.move(OPEN, now)
        elif result == "failure":
            self.failed_trials += 1
            self.move(OPEN, now)
        elif self.row == ["success"] * self.settings.success_threshold:
            self.move(CLOSED, now)


SETTLE = {"success": Permit.record_success, "failure": Permit.record_failure, "abandoned": Permit.release}

# Powers of two and whole numbers: the model's arithmetic is exact, so `>=` is tested at equality.
SETTINGS = st.builds(
    CircuitBreakerSettings,
    failure_threshold=st.integers(1, 3),
    recovery_timeout=st.sampled_from([4.0, 8.0]),
    success_threshold=st.integers(1, 3),
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
            lock=threading.Lock(),
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
                self.model.row = []
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
            assert found.retry_after == (None if model.trial_is_held(self.now) else 0.0)

    @invariant()
    def every_change_was_reported_once(self) -> None:
        if hasattr(self, "breaker"):
            assert [CLOSED, *(change.new for change in self.changes)] == self.model.states
            assert [change.old for change in self.changes] == self.model.states[:-1]


TestBreakerMachine = BreakerMachine.TestCase
