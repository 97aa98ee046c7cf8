"""The machine of hedging: when to send, and how many; against a model, and while its settings change."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from http_service_client.core.machines.hedging import Hedging, HedgingSettings
from http_service_client.errors import ConfigurationError
from kit.rows import each_row


def hedging(**settings: Any) -> Hedging:
    return Hedging(HedgingSettings(**settings), clock=lambda: 1000.0, lock=threading.Lock())


@each_row(
    ("settings", "message"),
    [
        ({"delay": 0}, "delay must be a positive, finite number of seconds, not 0; use None to learn it"),
        ({"quantile": 1}, "quantile must be a finite number from 0.5 to 0.999, not 1"),
        ({"quantile": 95}, "quantile must be a finite number from 0.5 to 0.999, not 95"),
        ({"delay": 1, "quantile": 0.9}, "delay=1 and quantile=0.9 are both set; set delay for a fixed delay"),
        ({"max_hedges": 0}, "max_hedges must be a whole number of 1 or more, not 0"),
        ({"max_share": 0}, "max_share must be a finite number from 0.001 to 1, not 0"),
        ({"max_share": 2}, "max_share must be a finite number from 0.001 to 1, not 2"),
        ({"min_delay": None}, "min_delay must be a positive, finite number of seconds, not None"),
        ({"min_calls": 0}, "min_calls must be a whole number of 1 or more, not 0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_a_remedy(settings: Any, message: str) -> None:
    """At once, and not in a call."""
    with pytest.raises(ConfigurationError) as caught:
        HedgingSettings(**settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("word", ["percentile", "max_attempts", "budget"])
def test_words_of_other_libraries_are_understood(word: str) -> None:
    """The error says what the setting is called here."""
    with pytest.raises(TypeError, match="it is called"):
        HedgingSettings(**{word: 1})


def test_a_fixed_delay_needs_no_evidence() -> None:
    """It holds from the first call on, and nothing is learned."""
    machine = hedging(delay=0.3)
    assert machine.delay() == 0.3
    machine.record(9.0)
    assert machine.delay() == 0.3


def test_a_learned_delay_is_the_quantile_once_enough_is_known() -> None:
    """Until then there is none, so that nothing is hedged by the latency of the first call."""
    machine = hedging(quantile=0.9, min_calls=10)
    for number in range(9):
        machine.record(0.1)
        assert machine.delay() is None, number
    machine.record(4.0)
    assert machine.delay() == pytest.approx(0.11, rel=0.1)


@pytest.mark.parametrize("latency", [0.0123, 0.1, 0.5, 0.7, 5.0])
def test_a_learned_delay_is_not_below_the_latency_of_a_steady_service(latency: float) -> None:
    """Latencies are known to ten per cent; a delay just below them would hedge every call."""
    machine = hedging(min_calls=1)
    for _ in range(50):
        machine.record(latency)
    delay = machine.delay()
    assert delay is not None
    assert latency <= delay + 1e-9 <= 1.23 * latency


def test_a_loser_counts_as_one_that_took_longer() -> None:
    """Without it the delay would be learned from the quick requests alone, and shrink."""
    with_losers, without = hedging(quantile=0.9, min_calls=1), hedging(quantile=0.9, min_calls=1)
    for machine in (with_losers, without):
        for _ in range(85):
            machine.record(0.1)
        for _ in range(15):
            machine.record(1.0)
    for _ in range(100):
        with_losers.record(0.5, is_cut=True)
    delay = without.delay()
    assert delay == pytest.approx(1.1, rel=0.1)
    assert with_losers.delay() == pytest.approx(1.1, rel=0.1)


def test_a_learned_delay_has_a_least_value() -> None:
    """A service that responds in microseconds gets no second request for a hiccup of our own."""
    machine = hedging(quantile=0.5, min_calls=1, min_delay=0.02)
    machine.record(0.001)
    assert machine.delay() == 0.02


def test_new_settings_keep_what_was_counted_and_learned() -> None:
    """A fixed delay forgets the latencies, which nothing would renew."""
    machine = hedging(min_calls=1)
    machine.record(0.5)
    machine.record_call()
    assert machine.try_hedge() is not None
    machine.reconfigure(HedgingSettings(quantile=0.5, min_calls=1))
    assert machine.delay() == pytest.approx(0.55, rel=0.1)
    assert machine.snapshot()[1:] == (1, 1, 4)
    machine.reconfigure(HedgingSettings(delay=2.0))
    assert machine.delay() == 2.0
    machine.reconfigure(HedgingSettings(min_calls=1))
    assert machine.delay() is None


def test_a_reader_between_the_two_steps_of_a_change_sees_a_delay() -> None:
    """Of the settings before or after it, or the usual quantile: it never finds none."""
    seen: list[float | None] = []

    class Watched(Hedging):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "settings" and hasattr(self, "_latencies"):
                seen.append(self.delay())

    machine = Watched(HedgingSettings(quantile=0.5, min_calls=1), clock=lambda: 0.0, lock=threading.RLock())
    for number in range(100):
        machine.record(4.0 if number < 3 else 0.1)
    machine.reconfigure(HedgingSettings(delay=2.0))
    assert seen == [None, pytest.approx(0.11, rel=0.1)]


def test_what_the_share_lacks_for_one_more_hedge() -> None:
    """Nothing, while one may be sent; each call adds its share."""
    machine = hedging(delay=1.0, max_share=0.25)
    assert machine.shortfall == 0.0
    while machine.try_hedge():
        pass
    lacks = [machine.shortfall]
    for _ in range(4):
        machine.record_call()
        lacks.append(machine.shortfall)
    assert lacks == [1.0, 0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize(("share", "is_enough"), [(1 - 1e-9, True), (1 - 1.1e-9, False)])
def test_a_hedge_may_lack_a_rounding_error(share: float, is_enough: bool) -> None:
    """Of a billionth: twenty calls with a share of 0.05 add up to one hedge."""
    machine = hedging(delay=1.0, max_share=share)
    while machine.try_hedge():
        pass
    machine.record_call()
    assert (machine.try_hedge() is not None) is is_enough


def test_a_forked_child_counts_for_itself() -> None:
    """Its parent spends its own share; both know how fast the service is."""
    machine = hedging(min_calls=1)
    machine.record(0.5)
    while machine.try_hedge():
        pass
    machine.reset_after_fork()
    assert machine.snapshot()[1:] == (0, 0, 5)
    assert machine.delay() is not None


class Shares(RuleBasedStateMachine):
    """The share of hedges against a model in exact numbers of thousandths."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = hedging(delay=1.0, max_share=0.05)
        self.share, self.available, self.calls, self.hedges = 50, 5000, 0, 0
        self.sent: list[Any] = []
        self.largest = 50

    @rule(count=st.integers(1, 30))
    def call(self, count: int) -> None:
        for _ in range(count):
            self.machine.record_call()
            self.available = min(5000, self.available + self.share)
        self.calls += count

    @rule()
    def hedge(self) -> None:
        share = self.machine.try_hedge()
        assert (share is not None) == (self.available >= 1000)
        if share is not None:
            self.sent.append(share)
            self.available -= 1000
            self.hedges += 1

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        share = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        for _ in range(2):  # a second time does nothing
            share.refund()
        self.available = min(5000, self.available + 1000)
        self.hedges -= 1

    @rule(share=st.sampled_from([50, 1, 500, 1000]))
    def reconfigure(self, share: int) -> None:
        self.share, self.largest = share, max(self.largest, share)
        self.machine.reconfigure(HedgingSettings(delay=1.0, max_share=share / 1000))

    @invariant()
    def the_counts_agree(self) -> None:
        assert self.machine.snapshot() == (1.0, self.calls, self.hedges, self.available // 1000)

    @invariant()
    def hedges_are_a_share_of_the_calls(self) -> None:
        assert self.hedges <= 5 + self.calls * self.largest / 1000


TestShares = Shares.TestCase
TestShares.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
