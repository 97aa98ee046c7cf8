"""The latency sketch: quantiles and shares against exact ones, attempts that were cut, age, threads."""

from __future__ import annotations

import math
import sys
import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.latency import LatencySketch
from kit.fakes import LockWithQueue
from kit.rows import each_row
from kit.sketches import share_within
from kit.threads import run_threads

LATENCIES = st.floats(0.001, 200.0)


class Sketch(LatencySketch):
    """A sketch whose clock the test sets."""

    def __init__(self, *latencies: float, size: int | None = None) -> None:
        self.now = 1000.0
        super().__init__(clock=lambda: self.now, lock=threading.Lock(), size=size)
        for latency in latencies:
            self.record(latency)


@given(st.lists(LATENCIES, min_size=1, max_size=300), st.floats(0.001, 1.0))
def test_a_quantile_is_exact_to_ten_percent(latencies: list[float], q: float) -> None:
    """Of few latencies or many, of any distribution."""
    exact = sorted(latencies)[max(0, math.ceil(Fraction(q - 1e-9) * len(latencies)) - 1)]
    found = Sketch(*latencies).quantile(q)
    assert found == pytest.approx(exact, rel=0.1 + 1e-9)


@given(st.lists(LATENCIES, min_size=1, max_size=300), LATENCIES)
def test_a_share_lies_between_the_exact_ones_around_it(latencies: list[float], seconds: float) -> None:
    """Between the share within the time less a fifth and the share within the time and a fourth more."""
    least, most = (
        sum(latency <= bound for latency in latencies) / len(latencies)
        for bound in (seconds / 1.2223, seconds * 1.2223)
    )
    found = share_within(Sketch(*latencies), seconds)
    assert found is not None
    assert least - 1e-9 <= found <= most + 1e-9


@given(st.lists(st.tuples(st.sampled_from([0.01, 0.03, 0.1, 0.3, 1.0, 3.0]), st.booleans()), max_size=40))
def test_cut_attempts_count_as_kaplan_and_meier_say(attempts: list[tuple[float, bool]]) -> None:
    """The share within a time is a product over the instants at which attempts ended, of those that ran until there."""
    sketch = Sketch()
    for seconds, is_cut in attempts:
        sketch.record(seconds, is_cut=is_cut)
    longer = Fraction(1)
    for instant in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0):
        running = sum(seconds >= instant for seconds, _ in attempts)
        ended = sum(seconds == instant and not is_cut for seconds, is_cut in attempts)
        if running:
            longer *= 1 - Fraction(ended, running)
        known = len(attempts) - sum(seconds <= instant and is_cut for seconds, is_cut in attempts)
        found = share_within(sketch, instant * 1.5)
        assert found == (pytest.approx(float(1 - longer)) if known else None)


def test_a_service_is_not_fast_because_its_slow_attempts_were_cut() -> None:
    """Two seconds' work, of which half the callers await one: nothing is within a second, all is within two and a half."""
    sketch = Sketch(*[2.0] * 50)
    for _ in range(50):
        sketch.record(1.0, is_cut=True)
    assert share_within(sketch, 0.9) == share_within(sketch, 1.3) == 0.0
    assert share_within(sketch, 2.6) == pytest.approx(1.0)
    assert sketch.quantile(0.5) == pytest.approx(2.0, rel=0.1)


def test_nothing_is_known_beyond_the_time_at_which_all_were_cut() -> None:
    """None had ended within a second, and any may end within three."""
    sketch = Sketch()
    for _ in range(50):
        sketch.record(1.0, is_cut=True)
    assert share_within(sketch, 0.9, least=20) == 0.0
    assert share_within(sketch, 3.0, least=20) is None
    assert sketch.quantile(0.5) == pytest.approx(1.0, rel=0.1), "a lower bound"


def test_too_few_attempts_say_nothing() -> None:
    """Fewer than the caller asks for, and none at all."""
    empty, sketch = Sketch(), Sketch(0.2, 0.2)
    assert empty.quantile(0.5) is share_within(empty, 1.0) is None
    assert sketch.quantile(0.5, least=3) is share_within(sketch, 1.0, least=3) is None
    assert share_within(sketch, 1.0, least=2) == 1.0
    assert Sketch(0.0002, 0.0002).quantile(0.5, least=2) is not None
    empty.record(0.0, is_cut=True)
    assert empty.quantile(0.5, least=2) is None
    assert empty.quantile(0.5, least=1) is not None


@each_row(
    ("ended", "cut", "chance", "least", "needed"),
    [
        ([2.0] * 50, [], 0.02, 20, 2.0),  # hardly any attempt ends earlier
        ([2.0] * 50, [], 0.02, 50, 2.0),
        ([2.0] * 50, [], 0.02, 51, 0.0),  # too few attempts to say so
        ([0.1] * 10 + [2.0] * 40, [], 0.02, 20, 0.1),
        ([0.1] * 10 + [2.0] * 40, [], 0.2, 20, 0.1),
        ([0.1] * 10 + [2.0] * 40, [], 0.21, 20, 2.0),
        ([], [1.0] * 50, 0.02, 20, 1.0),  # nobody waited for longer
        ([2.0] * 30, [1.0] * 20, 0.02, 40, 1.0),  # the fate of 30 is known beyond a second
        ([2.0] * 30, [1.0] * 20, 0.02, 30, 2.0),
        ([], [], 0.02, 1, 0.0),
        ([0.0001] * 50, [], 0.02, 20, 0.0),
    ],
)
def test_a_time_is_too_short_if_hardly_any_attempt_ends_within_it(
    ended: list[float], cut: list[float], chance: float, least: int, needed: float
) -> None:
    """As so many attempts show, to a fifth; nothing is known of less."""
    sketch = Sketch(*ended)
    for seconds in cut:
        sketch.record(seconds, is_cut=True)
    assert sketch.time_needed(chance, least) == pytest.approx(needed, rel=0.2)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.0005, 1e4, math.inf])
def test_latencies_of_any_size_are_counted(seconds: float) -> None:
    """Those outside its range count as its ends."""
    sketch = Sketch(seconds)
    found = sketch.quantile(1.0)
    assert found == (0.001 if seconds < 1 else pytest.approx(250, rel=0.1))
    assert share_within(sketch, seconds) == 1.0
    assert sketch.count == 1


def test_a_latency_is_forgotten_after_one_window_to_two() -> None:
    """The windows take turns; after a pause both are gone."""
    sketch = Sketch(0.1)
    sketch.now += 59.9
    sketch.record(1.0)
    sketch.now += 60.0  # the second window
    assert sketch.count == 2
    sketch.record(2.0)
    sketch.now += 0.2  # the third: those of the first are forgotten
    assert sketch.count == 1
    assert sketch.quantile(1.0) == pytest.approx(2.0, rel=0.1)
    sketch.now += 120.0
    assert sketch.count == 0
    assert sketch.quantile(1.0) is None


def test_a_window_lasts_a_minute_to_the_second() -> None:
    """What is recorded at its end is in the next one; each is remembered until the end of the one after it."""
    sketch = Sketch(0.1)
    sketch.now += 60.0
    sketch.record(1.0)
    assert sketch.count == 2
    sketch.now += 60.0
    assert sketch.count == 1
    assert sketch.quantile(0.5) == pytest.approx(1.0, rel=0.1)
    sketch.now += 60.0
    assert sketch.quantile(0.5) is None


def test_a_window_that_is_noticed_late_began_when_it_was_due() -> None:
    """Unless nobody asked for longer than a window: then nothing is left of either, and the next one begins now."""
    sketch = Sketch(0.1)
    sketch.now += 90.0
    assert sketch.count == 1
    sketch.now += 30.0
    assert sketch.count == 0
    sketch.record(0.1)
    sketch.now += 135.0
    sketch.record(0.1)
    for _ in range(2):
        sketch.now += 59.0
        assert sketch.count == 1


def test_a_window_that_is_full_ends_early() -> None:
    """And the next one lasts a minute from then on."""
    sketch = Sketch(0.1, 0.1, size=2)
    sketch.now += 10.0
    sketch.record(1.0)
    sketch.now += 60.0
    assert sketch.count == 1


def test_a_new_window_is_seen_at_once() -> None:
    """However few attempts it has beside those that are forgotten."""
    sketch = Sketch(*[0.1] * 1000)
    assert share_within(sketch, 0.5) == pytest.approx(1.0)
    sketch.now += 120.0
    sketch.record(1.0)
    assert share_within(sketch, 0.5) == 0.0


def test_a_window_ends_once() -> None:
    """Of two threads that notice it, the second one finds it done."""
    sketch = Sketch(0.1)
    sketch._lock = lock = LockWithQueue()
    sketch.now += 60.0
    lock.first = lambda: sketch.record(1.0)
    sketch.record(1.0)
    assert sketch.count == 3


@pytest.mark.parametrize(("before", "expected"), [(63, 1), (64, 5), (150, 10), (160, 11)])
def test_how_much_news_makes_a_new_estimate(before: int, expected: int) -> None:
    """More than a sixteenth of what is known, from 64 on; below that any."""
    sketch = Sketch(*[0.1] * before)
    assert share_within(sketch, 0.5) == pytest.approx(1.0)
    for count in range(1, expected + 1):
        sketch.record(1.0)
        assert (share_within(sketch, 0.5) == pytest.approx(1.0)) is (count < expected)


def test_a_window_may_be_bounded_in_attempts() -> None:
    """One to two windows of them are remembered, the latest ones; and the bound can be changed."""
    sketch = LatencySketch(clock=lambda: 0.0, lock=threading.Lock(), size=10)
    counts = []
    for number in range(40):
        sketch.record(0.1 if number < 20 else 1.0)
        counts.append(sketch.count)
    assert max(counts) == 20
    assert set(counts[10:]) == set(range(11, 21))
    assert sketch.quantile(0.01) == pytest.approx(1.0, rel=0.1)
    sketch.resize(None)
    for _ in range(100):
        sketch.record(1.0)
    assert sketch.count == 120


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    """And the next window begins when it was due."""
    sketch = Sketch(0.1)
    sketch.now -= 500.0
    sketch.record(0.1)
    assert sketch.count == 2


def test_news_are_seen_at_once_while_there_are_few() -> None:
    """And among many, when they are more than a part in 16 of all."""
    sketch = Sketch()
    for count in range(1, 64):
        sketch.record(0.1 if count % 2 else 1.0)
        assert share_within(sketch, 0.5) == pytest.approx(math.ceil(count / 2) / count)
    for _ in range(1000):
        sketch.record(1.0)
    found = share_within(sketch, 0.5)
    assert found == pytest.approx(32 / 1063, abs=1 / 16)


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="without the GIL some are lost"
)
def test_no_thread_loses_the_count_of_another() -> None:
    """Four threads record while windows take turns and others read: all that was recorded is there."""
    sketch = LatencySketch(clock=lambda: 0.0, lock=threading.RLock())

    def record(_: int) -> None:
        for number in range(5000):
            sketch.record(0.1, is_cut=number % 2 == 0)
            if number % 500 == 0:
                sketch.quantile(0.5)

    run_threads(record, 4)
    assert sketch.count == 20_000
    assert repr(sketch) == "<LatencySketch of 20000 attempts>"
