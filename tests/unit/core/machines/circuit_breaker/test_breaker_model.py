"""The circuit breaker compared with a simple model that keeps the whole history."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker, Permit
from http_service_client.core.machines.circuit_breaker.states import (
    CircuitBreakerSettings,
    CircuitBreakerState,
    Refusal,
    StateChange,
)

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState


@dataclass
class Call:
    """A call in the model: the generation in which it began, and whether it was that generation's trial.

    is_admitted: False where only the metrics-only mode let it pass.
    """

    generation: int
    is_trial: bool
    begun_at: float
    is_settled: bool = False
    is_admitted: bool = True


@dataclass
class Step:
    """A step of the ramp.   asked: the calls in it."""

    number: int
    ends_at: float
    asked: int = 0
    failures: int = 0


@dataclass
class Model:
    """Simple rather than fast. Times are whole numbers, and the clock never steps back here."""

    settings: CircuitBreakerSettings
    dice: float
    states: list[CircuitBreakerState] = field(default_factory=lambda: [CLOSED])  # one for each generation
    is_isolated: bool = False
    row: list[str] = field(default_factory=list)  # results of this generation, in order
    times: list[float] = field(default_factory=list)  # of these results
    window_from: int = 0  # the first of them that the window has seen
    window_began: float = 0.0
    step: Step | None = None
    failed_trials: int = 0  # since the last closing
    opened_at: float = 0.0
    trials: list[Call] = field(default_factory=list)  # in flight
    settled: dict[str, int] = field(
        default_factory=lambda: {"success": 0, "failure": 0, "abandoned": 0, "late": 0}
    )
    refused: int = 0

    def move(self, state: CircuitBreakerState, now: float) -> None:
        self.states.append(state)
        self.begin(now)
        self.trials, self.is_isolated, self.step = [], False, None
        if state is CLOSED:
            self.failed_trials = 0
        if state is OPEN:
            self.opened_at = now

    def begin(self, now: float) -> None:
        """Forget the results of this generation."""
        self.row, self.times, self.window_from, self.window_began = [], [], 0, now

    def span(self) -> str:
        """What the window looks back over."""
        settings = self.settings
        if settings.failure_rate is None:
            return "nothing"
        return f"{settings.window} s" if settings.window_calls is None else f"{settings.window_calls} calls"

    def in_window(self, now: float) -> list[str]:
        seen, settings = self.row[self.window_from :], self.settings
        if settings.window_calls is not None:
            return seen[-settings.window_calls :]
        tenths = [int((at - self.window_began) // (settings.window / 10)) for at in (*self.times, now)]
        return [
            result
            for result, tenth in zip(seen, tenths[self.window_from :], strict=False)
            if tenth > tenths[-1] - 10
        ]

    def reconfigure(self, changes: dict[str, Any], now: float) -> None:
        before, span = self.settings, self.span()
        self.settings = before.changed(changes)  # type: ignore[arg-type]
        if self.span() != span:
            self.window_from, self.window_began = len(self.row), now
        if self.settings.recovery_timeout != before.recovery_timeout:
            self.failed_trials = 0

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
        return (
            not held
            or self.step is not None
            or (held < settings.trials_at_once and held + len(self.row) < settings.trial_count)
        )

    def must_open(self, now: float) -> bool:
        """Judged at a failure, which is the last of the row."""
        settings, tests = self.settings, list[bool]()
        if settings.failure_threshold is not None:
            in_row = len(self.row) - len("".join(result[0] for result in self.row).rstrip("f"))
            lasted = now - self.times[-in_row]
            tests.append(in_row >= settings.failure_threshold and lasted >= settings.failure_duration)
        if settings.failure_rate is not None:
            window = self.in_window(now)
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
        if self.step is not None:
            admitted = self.admit_to_ramp(self.step, now)
            if admitted is not None:
                return admitted
        elif state is HALF_OPEN and self.may_try(now):
            self.trials = [*self.held(now), Call(len(self.states), True, now)]
            return self.trials[-1]
        self.refused += 1
        if self.settings.metrics_only:
            return Call(len(self.states), False, now, is_admitted=False)
        if state is HALF_OPEN:
            return "trial in progress" if self.step is None else "recovering"
        return "isolated" if self.is_isolated else "open"

    def admit_to_ramp(self, step: Step, now: float) -> Call | None:
        shares, seconds = self.settings.ramp, self.settings.ramp_step
        while now >= step.ends_at:
            if step.number + 1 == len(shares):
                self.move(CLOSED, now)
                return Call(len(self.states), False, now)
            step = self.step = Step(step.number + 1, step.ends_at + seconds)
        step.asked += 1
        passed, before = (int(count * shares[step.number]) for count in (step.asked, step.asked - 1))
        return Call(len(self.states), False, now) if passed > before else None

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
        if result == "abandoned" or not call.is_admitted:
            return
        if self.step is not None:
            self.step.failures += result == "failure"
            if self.step.failures > self.settings.trial_count - self.settings.success_threshold:
                self.failed_trials += 1
                self.move(OPEN, now)
            return
        self.row.append(result)
        self.times.append(now)
        settings = self.settings
        if state is CLOSED:
            if result == "failure" and self.must_open(now):
                self.move(OPEN, now)
        elif (
            result == "failure"
            and self.row.count("failure") > settings.trial_count - settings.success_threshold
        ):
            self.failed_trials += 1
            self.move(OPEN, now)
        elif result == "success" and self.row.count("success") >= settings.success_threshold:
            if settings.ramp:
                self.step = Step(0, now + settings.ramp_step)
            else:
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
            "minimum_calls": st.integers(1, 3),
        },
        optional={
            "window_calls": st.integers(3, 6),
            "failure_threshold": st.integers(1, 3),
            "opens_when": st.sampled_from(["any", "all"]),
        },
    ),
)
CLOSING = st.fixed_dictionaries(
    {"success_threshold": st.integers(1, 3), "trials_at_once": st.integers(1, 3)},
    optional={"trial_count": st.integers(3, 4)},
)


def _settings(opening: dict[str, Any], closing: dict[str, Any], **others: Any) -> CircuitBreakerSettings:
    return CircuitBreakerSettings(**{"minimum_calls": 2, **opening, **closing, **others})


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
    window=st.sampled_from([10.0, 20.0]),
    ramp=st.sampled_from([(), (0.5,), (0.25, 0.5)]),
    ramp_step=st.just(4.0),
)
CHANGES = st.one_of(
    CLOSING,
    st.fixed_dictionaries({"recovery_timeout": st.sampled_from([4.0, 8.0])}),
    st.fixed_dictionaries({"failure_threshold": st.integers(1, 3)}),
    st.fixed_dictionaries({"failure_rate": st.sampled_from([0.25, 0.5])}),
    st.fixed_dictionaries({"window": st.sampled_from([10.0, 20.0])}),
    st.fixed_dictionaries({"window_calls": st.sampled_from([None, 3, 6])}),
    st.fixed_dictionaries({"metrics_only": st.booleans()}),
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
                self.model.begin(self.now)
            else:
                self.model.move(CLOSED, self.now)

    @rule(is_sure=st.booleans(), changes=CHANGES)
    def reconfigure(self, is_sure: bool, changes: dict[str, Any]) -> None:
        if is_sure:
            if "success_threshold" in changes:
                changes = {"trial_count": 4, **changes}
            self.breaker.reconfigure(changes)  # type: ignore[arg-type]
            self.model.reconfigure(changes, self.now)

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
