"""The deadline check, apart from calls: evidence, probes, surprise, and no lasting refusal."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from http_service_client.core.machines.deadline_check import DeadlineCheck, DeadlineCheckSettings
from kit.sketches import share_within

SETTINGS = DeadlineCheckSettings(min_samples=20, probe_interval=5.0)


class Check(DeadlineCheck):
    """A check whose clock the test sets."""

    def __init__(self, *, settings: DeadlineCheckSettings = SETTINGS) -> None:
        self.now = 1000.0
        super().__init__(settings, clock=lambda: self.now, lock=threading.Lock())

    def learn(self, seconds: float, times: int = 1, *, is_cut: bool = False) -> None:
        """So many attempts took this time."""
        for _ in range(times):
            self.latencies.record(seconds, is_cut=is_cut)


def test_little_evidence_forbids_nothing() -> None:
    """The attempt that is one too few is."""
    check = Check()
    check.learn(1.8, 19)
    assert check.time_needed() == 0.0
    check.learn(1.8)
    assert check.time_needed() == pytest.approx(1.8, rel=0.2)


def test_a_time_that_some_attempts_need_less_than_is_enough() -> None:
    """One in 50 ends within 0.1 s: that is the least chance."""
    check = Check(settings=DeadlineCheckSettings(min_samples=500))
    check.learn(1.8, 490)
    check.learn(0.1, 9)
    check.learn(1.8)
    assert check.time_needed() > 1.4
    check.learn(0.1, 40)
    assert check.time_needed() < 0.1


def test_attempts_that_were_cut_show_what_is_too_short_and_no_more() -> None:
    """All lasted longer than 0.9 s; nothing is known of two seconds."""
    check = Check()
    check.learn(0.9, 20, is_cut=True)
    assert 0.9 <= check.time_needed() < 1.1


@given(
    st.lists(st.tuples(st.floats(0.002, 100.0), st.booleans()), max_size=80),
    st.sampled_from([0.01, 0.02, 0.1, 0.5]),
)
def test_less_time_than_needed_has_a_chance_below_the_least(
    attempts: list[tuple[float, bool]], chance: float
) -> None:
    """As the sketch estimates it, of enough attempts; and the next bucket would not."""
    check = Check(settings=DeadlineCheckSettings(min_chance=chance, min_samples=10))
    for seconds, is_cut in attempts:
        check.learn(seconds, is_cut=is_cut)
    needed = check.time_needed()
    if needed:
        share = share_within(check.latencies, needed * 0.999, least=10)
        assert share is not None
        assert share < chance
    else:
        shortest = share_within(check.latencies, 0.0009, least=10)
        assert shortest is None or shortest >= chance


def test_one_attempt_in_an_interval_is_a_probe() -> None:
    """Whoever comes first makes it."""
    check = Check()
    assert [check.try_probe() for _ in range(3)] == [True, False, False]
    check.now += 4.875
    assert not check.try_probe()
    check.now += 0.125
    assert [check.try_probe() for _ in range(2)] == [True, False]


def test_a_clock_that_steps_back_delays_no_probe() -> None:
    """It could be by an hour."""
    check = Check()
    assert check.try_probe()
    check.now -= 3600.0
    assert check.try_probe()
    assert not check.try_probe()


def test_a_probe_that_succeeds_makes_all_forgotten() -> None:
    """Whatever the amount of evidence: what hardly ever happens has happened."""
    check = Check()
    check.learn(1.8, 5000)
    check.record_success()
    assert check.time_needed() == 0.0
    assert check.latencies.count == 0


def test_a_service_that_becomes_slow_is_seen_after_so_many_attempts() -> None:
    """Four times as many as are needed, however many quick ones there were before."""
    check = Check()
    check.learn(0.1, 5000)
    check.learn(0.9, 30, is_cut=True)
    before = check.time_needed()
    check.learn(0.9, 50, is_cut=True)
    assert (before, check.time_needed()) == (pytest.approx(0.1, rel=0.3), pytest.approx(0.9, rel=0.2))


def test_it_remembers_four_times_as_many_attempts_as_it_needs() -> None:
    """At most, and half of them at least; other settings hold from the next window on."""
    check, counts = Check(), list[int]()
    for samples in (20, 30):
        check.reconfigure(DeadlineCheckSettings(min_samples=samples))
        for _ in range(200):
            check.learn(0.1)
            counts.append(check.latencies.count)
    assert [max(counts[140:200]), min(counts[140:200])] == [80, 41]
    assert [max(counts[340:]), min(counts[340:])] == [120, 61]


def test_evidence_ages() -> None:
    """Nobody calls for two minutes, and nothing is judged any more."""
    check = Check()
    check.learn(1.8, 500)
    check.now += 120.1
    assert check.time_needed() == 0.0


class NoLockOut(RuleBasedStateMachine):
    """Whatever happened before: a service that is fast from now on is used again within one interval."""

    def __init__(self) -> None:
        super().__init__()
        self.check = Check()
        self.latency = 1.0
        self.refused_since: float | None = None

    @rule(latency=st.sampled_from([0.01, 0.2, 1.0, 5.0, 30.0]))
    def change(self, latency: float) -> None:
        """The service becomes faster or slower."""
        self.latency = latency
        self.refused_since = None

    @rule(seconds=st.floats(0.0, 100.0))
    def wait(self, seconds: float) -> None:
        """Nobody calls."""
        self.check.now += seconds

    @rule(left=st.sampled_from([0.05, 0.5, 2.0, 10.0]), times=st.integers(1, 60))
    def call(self, left: float, times: int) -> None:
        """Calls with so much time."""
        for _ in range(times):
            is_probe = False
            if left < self.check.time_needed():
                is_probe = self.check.try_probe()
                if not is_probe:
                    if self.latency < left and self.refused_since is None:
                        self.refused_since = self.check.now
                    continue
            is_cut = self.latency >= left
            self.check.learn(min(left, self.latency), is_cut=is_cut)
            if not is_cut:
                self.refused_since = None
                if is_probe:
                    self.check.record_success()

    @precondition(lambda self: self.refused_since is not None)
    @rule()
    def is_used_again(self) -> None:
        """A call that has time enough for the service as it is passes after an interval at most."""
        self.check.now += SETTINGS.probe_interval
        left = 2 * self.latency
        assert left >= self.check.time_needed() or self.check.try_probe()
        self.check.record_success()
        assert self.check.time_needed() == 0.0
        self.refused_since = None

    @invariant()
    def is_bounded(self) -> None:
        """No time is needed that is beyond what was seen."""
        assert 0.0 <= self.check.time_needed() <= 30.0 * 1.3


NoLockOut.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestNoLockOut = NoLockOut.TestCase
