"""The bounds of chaos: a time, a number of calls, and switches that end it; and a model of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from http_service_client import ConnectError
from http_service_client.core.machines.chaos import Chaos
from http_service_client.core.machines.chaos_settings import ChaosSettings
from kit.chaos import Of, chaos_of
from kit.fakes import LockWithQueue


@pytest.mark.parametrize(
    "stop",
    [Chaos.disable, lambda chaos: chaos.reconfigure(replace(chaos.settings, enabled=False))],
    ids=["disable", "enabled=False"],
)
def test_chaos_that_was_switched_off_injects_nothing_more(stop: Callable[[Chaos], object]) -> None:
    """Not into an exchange that was just about to get a fault either."""
    settings, lock = ChaosSettings(errors=[ConnectError], error_rate=1.0), LockWithQueue()
    chaos = Chaos(settings, clock=lambda: 0.0, random=lambda: 0.5, lock=lock)  # type: ignore[arg-type]
    assert chaos.draw(Of("")) is not None
    lock.first = lambda: stop(chaos)
    assert chaos.draw(Of("")) is None


@pytest.mark.parametrize(
    ("elapsed", "reason"),
    [
        (0.0, "it begins in 10 s"),
        (9.875, "it begins in 0.125 s"),
        (10.0, None),
        (59.9, None),
        (60.0, "its time is over"),
    ],
)
def test_it_lasts_from_its_beginning_to_its_end(elapsed: float, reason: str | None) -> None:
    """By the clock, since it was made."""
    now = [100.0]
    chaos = chaos_of(ChaosSettings(truncation_rate=1.0, begins_after=10, ends_after=60), now=now)
    now[0] += elapsed
    assert (chaos.snapshot().reason, chaos.is_on) == (reason, reason is None)
    assert (chaos.draw(Of("")) is None) is (reason is not None)


def test_a_call_that_was_counted_may_get_more_faults() -> None:
    """In its other attempts. Others get none, once there have been enough."""
    chaos = chaos_of(ChaosSettings(truncation_rate=1.0, max_calls=1))
    assert chaos.snapshot() == (True, None, 0, 0, 1)
    assert chaos.draw(Of("a")) is not None
    assert chaos.draw(Of("b")) is None
    assert chaos.draw(Of("a")) is not None
    assert chaos.is_on
    assert chaos.snapshot() == (False, "it has reached max_calls=1", 1, 2, 1)


def test_a_chaos_without_a_call_that_was_counted_is_over() -> None:
    """Nothing is drawn any more."""
    chaos = chaos_of(ChaosSettings(truncation_rate=1.0, max_calls=2))
    for _ in range(2):
        assert chaos.is_on
        assert chaos.draw(Of("")) is not None
    assert not chaos.is_on
    assert chaos.snapshot() == (False, "it has reached max_calls=2", 2, 2, 2)


def test_the_call_that_was_counted_first_is_forgotten_first() -> None:
    """And counted again."""
    chaos = chaos_of(ChaosSettings(truncation_rate=1.0))
    for number in range(1025):
        chaos.draw(Of(str(number)))
    counts = [chaos.snapshot().calls]
    for name in ("1024", "1", "0"):
        chaos.draw(Of(name))
        counts.append(chaos.snapshot().calls)
    assert counts == [1025, 1025, 1025, 1026]


def test_an_emergency_switch_is_above_all_settings() -> None:
    """That of the environment."""
    settings = ChaosSettings(truncation_rate=1.0)
    chaos = Chaos(settings, clock=lambda: 0.0, random=lambda: 0.0, lock=nullcontext(), is_killed=True)
    assert chaos.snapshot()[:2] == (False, "HTTP_SERVICE_CLIENT_CHAOS switches it off")
    assert chaos.draw(Of("")) is None


def test_calls_without_an_id_count_each_time() -> None:
    """A bound is never exceeded for want of a name."""
    chaos = chaos_of(ChaosSettings(statuses=[503], status_rate=1, max_calls=3))
    assert [chaos.draw(Of("")) is not None for _ in range(5)] == [True] * 3 + [False] * 2
    assert chaos.snapshot()[:3] == (False, "it has reached max_calls=3", 3)


def test_what_has_been_counted_is_bounded() -> None:
    """A million calls leave a thousand names behind."""
    chaos = chaos_of(ChaosSettings(statuses=[503], status_rate=1))
    for number in range(5000):
        chaos.draw(Of(str(number)))
    assert len(chaos._counted) == 1024
    assert chaos.snapshot().calls == 5000


def test_disabling_ends_its_waits_and_its_decisions() -> None:
    """What is decided later counts again."""
    chaos = chaos_of(ChaosSettings(latency=5, latency_rate=1))
    fault = chaos.draw(Of("a"))
    assert fault is not None
    assert fault.is_due
    waiter = fault.ended.wait_later()
    assert not waiter.is_granted
    chaos.disable()
    assert waiter.is_granted
    assert not fault.is_due
    assert fault.ended.wait_later().is_granted
    assert chaos.draw(Of("a")) is None
    chaos.enable()
    later = chaos.draw(Of("a"))
    assert later is not None
    assert later.is_due
    assert not fault.is_due


def test_reconfiguring_takes_back_no_disabling_by_hand() -> None:
    """An emergency outlasts the reload of a file; `enabled` is a setting of its own."""
    chaos = chaos_of(ChaosSettings(latency=5, latency_rate=1))
    fault = chaos.draw(Of(""))
    assert fault is not None
    chaos.reconfigure(replace(chaos.settings, latency_rate=0.5))
    assert fault.is_due
    chaos.reconfigure(replace(chaos.settings, enabled=False))
    assert not fault.is_due
    assert not chaos.is_on
    chaos.reconfigure(replace(chaos.settings, enabled=True))
    assert chaos.is_on
    chaos.disable()
    chaos.reconfigure(replace(chaos.settings, latency_rate=1))
    assert not chaos.is_on


def test_a_fork_forgets_the_waiters_and_keeps_the_count() -> None:
    """They are threads of the parent."""
    chaos = chaos_of(ChaosSettings(latency=5, latency_rate=1, max_calls=9))
    fault = chaos.draw(Of("a"))
    assert fault is not None
    fault.ended.wait_later()
    chaos.reset_after_fork()
    assert chaos._ended._waiting == {}
    assert chaos.snapshot().calls == 1


class Bounds(RuleBasedStateMachine):
    """Whatever happens in whatever order, a chaos stays within its bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = [100.0]
        self.most = 4
        self.chaos = chaos_of(
            ChaosSettings(
                latency=1,
                latency_rate=0.5,
                statuses=[503],
                status_rate=0.4,
                begins_after=10,
                ends_after=60,
                max_calls=4,
            ),
            now=self.now,
        )
        self.began = self.now[0]
        self.hit: set[str] = set()
        self.is_disabled = self.is_switched_off = False
        self.decided: list[Any] = []

    @rule(name=st.sampled_from("abcdefgh"))
    def exchange(self, name: str) -> None:
        fault = self.chaos.draw(Of(name))
        if fault is None:
            return
        elapsed = self.now[0] - self.began
        assert not self.is_disabled
        assert not self.is_switched_off
        assert self.chaos.settings.begins_after <= elapsed < (self.chaos.settings.ends_after or 1e9)
        assert name in self.hit or len(self.hit) < self.most
        self.hit.add(name)
        self.decided.append(fault)

    @rule(seconds=st.sampled_from([1.0, 9.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now[0] += seconds

    @rule()
    def disable(self) -> None:
        self.chaos.disable()
        self.is_disabled = True
        assert not any(fault.is_due for fault in self.decided)

    @rule()
    def enable(self) -> None:
        self.chaos.enable()
        self.is_disabled = False

    @rule(enabled=st.booleans(), most=st.integers(1, 8), ends=st.sampled_from([30.0, 60.0, None]))
    def reconfigure(self, enabled: bool, most: int, ends: float | None) -> None:
        changed = replace(self.chaos.settings, enabled=enabled, max_calls=most, ends_after=ends)
        self.chaos.reconfigure(changed)
        self.is_switched_off, self.most = not enabled, most

    @precondition(lambda self: self.decided)
    @rule()
    def forget(self) -> None:
        self.decided.clear()

    @invariant()
    def it_knows_what_it_did(self) -> None:
        found = self.chaos.snapshot()
        assert found.calls == len(self.hit)
        assert found.injections >= found.calls
        assert found.is_on is (found.reason is None)
        if self.is_disabled or self.is_switched_off:
            assert not found.is_on
            assert not self.chaos.is_on


TestBounds = Bounds.TestCase


TestBounds.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
