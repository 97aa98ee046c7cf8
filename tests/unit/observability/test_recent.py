"""`RecentCalls`: the calls of the last minutes, in slots of ten seconds."""

from __future__ import annotations

import sys
import threading
import time
import timeit
from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import SentState
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.events import (
    AttemptFinished,
    AuthContinued,
    CacheResult,
    CacheUsed,
    CallFinished,
    CodingRefused,
    HedgeStarted,
    RedirectFollowed,
)
from http_service_client.observability import recent as module
from http_service_client.observability.recent import PERCENTILE_ERROR, RecentCalls, Tally, by_origin
from kit.fakes import FakeClock
from kit.forks import in_a_child, needs_fork
from kit.threads import run_threads

A = "https://a.test"
ANSWERED = SentState.ANSWERED


def call(
    seconds: float = 0.5,
    status: int | None = 200,
    error: str | None = None,
    *,
    key: str = A,
    name: str | None = None,
    call_id: str = "",
    attempts: int = 1,
) -> CallFinished:
    return CallFinished(
        seconds,
        "GET",
        f"{key}/",
        key,
        attempts,
        status,
        error,
        ANSWERED,
        None,
        call_id=call_id,
        call_name=name,
    )


def attempt(number: int = 1, *, is_trial: bool = False) -> AttemptFinished:
    return AttemptFinished(0.1, number, A, 0.1, 200, None, "", ANSWERED, is_trial=is_trial)


class Bench:
    """Recent calls in time that the test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.recent = RecentCalls(self.clock.monotonic)

    def count(self, *events: Any) -> None:
        for event in events:
            self.recent.collect(event, self.clock.monotonic())

    def calls(self, window: float = 60.0) -> int:
        return sum(tally.calls for tally in self.recent.recall(window).window.values())

    def usual(self, window: float = 60.0) -> int:
        return sum(tally.calls for tally in self.recent.recall(window).usual.values())

    def seconds(self, window: float = 60.0) -> float:
        return self.recent.recall(window).seconds


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_window_has_the_calls_that_ended_in_it(bench: Bench) -> None:
    """Those before are the usual, for some minutes."""
    bench.count(call(), call())
    bench.clock.now += 30.0
    bench.count(call())
    assert (bench.calls(), bench.usual()) == (3, 0)
    bench.clock.now += 50.0
    assert (bench.calls(), bench.usual()) == (1, 2)
    bench.clock.now += 600.0
    assert (bench.calls(), bench.usual()) == (0, 3)
    bench.clock.now += 200.0
    assert (bench.calls(), bench.usual()) == (0, 0)


def test_a_window_says_how_many_seconds_it_covers(bench: Bench) -> None:
    """No more than the client has existed, and up to ten more than requested, since a slot counts as a whole."""
    bench.clock.now += 3.0
    bench.count(call())
    assert bench.seconds() == 3.0
    bench.clock.now += 65.0
    assert (bench.calls(), bench.seconds()) == (1, 65.0)
    bench.clock.now += 5.0
    assert (bench.calls(), bench.seconds()) == (0, 60.0)
    bench.count(call())
    bench.clock.now += 4.0
    assert (bench.calls(1.0), bench.seconds(1.0)) == (1, 4.0)


def test_the_exchanges_of_calls_are_counted_by_their_cause(bench: Bench) -> None:
    """As the totals since the start have them."""
    bench.count(
        *(attempt(), attempt(2), attempt(3, is_trial=True)),  # counted with their call
        RedirectFollowed(0.1, 1, A, 302, "GET", f"{A}/b"),
        AuthContinued(0.1, 1, A, 401, A, "GET", f"{A}/"),
        CodingRefused(0.1, 1, A, "gzip"),
        HedgeStarted(0.1, 1, A, 1, 0.1),
        CacheUsed(0.1, 0, A, CacheResult.HIT),
        call(attempts=3),
    )
    (tally,) = bench.recent.recall(60.0).window.values()
    assert (tally.calls, tally.attempts, tally.retries, tally.trials) == (1, 3, 2, 1)
    assert (tally.redirects, tally.auth, tally.codings, tally.hedges, tally.exchanges) == (1, 1, 1, 1, 7)


def test_names_are_kept_apart_and_keys_are_not(bench: Bench) -> None:
    """Names are few and of one's own choice; keys may be users."""
    bench.count(
        call(key=f"{A} (tenant-a)", name="charge"), call(key=f"{A} (tenant-b)", name="charge"), call()
    )
    window = bench.recent.recall(60.0).window
    assert {key: tally.calls for key, tally in window.items()} == {(A, "charge"): 2, A: 1}
    assert {name: tally.calls for name, tally in by_origin(window).items()} == {A: 3}


def test_errors_are_counted_by_what_they_are(bench: Bench) -> None:
    """A call that was refused took no time, which would make a service that is down look fast."""
    bench.count(
        *(call(0.2, 503), call(0.2, 400), call(0.2, 503), call(3.0, None, "AttemptTimeoutError")),
        *(call(0.2, 399), call(0.2, 304)),
        *(call(0.0, None, "CircuitOpenError"), call(0.0, None, "ThrottledError")),
    )
    (tally,) = bench.recent.recall(60.0).window.values()
    assert tally.errors == {
        "503": 2, "400": 1, "AttemptTimeoutError": 1, "CircuitOpenError": 1, "ThrottledError": 1,
    }  # fmt: skip
    assert (tally.calls, tally.refused, tally.measured) == (8, 2, 6)


def test_the_slowest_call_is_kept_as_it_was(bench: Bench) -> None:
    """With its id, by which logs and traces find it; also when it is not in the newest slot."""
    bench.count(call(1.234567, call_id="slow"), call(0.5, call_id="fast"))
    bench.clock.now += 10.0
    bench.count(call(0.7, call_id="later"))
    (tally,) = bench.recent.recall(60.0).window.values()
    assert (tally.slowest, tally.slowest_call, tally.percentile(1.0)) == (1.234567, "slow", 1.234567)


def test_of_calls_that_took_as_long_one_of_the_newest_slot_is_named(bench: Bench) -> None:
    """Its log is easier to find."""
    for name in ("first", "second"):
        bench.count(call(0.5, call_id=name), call(0.5, call_id=f"after the {name}"))
        bench.clock.now += 10.0
    (tally,) = bench.recent.recall(60.0).window.values()
    assert (tally.slowest, tally.slowest_call) == (0.5, "second")


def test_the_shortest_and_the_longest_durations_have_a_percentile(bench: Bench) -> None:
    """Half of the shortest bound, and the slowest call."""
    bench.count(*(call(0.00001, name="short") for _ in range(9)), call(1.0, name="short"))
    bench.count(*(call(number * 100_000.0, name="long") for number in range(1, 11)))
    window = bench.recent.recall(60.0).window
    assert window[A, "short"].percentile(0.5) == pytest.approx(0.00005)
    assert window[A, "long"].percentile(0.5) == 1_000_000.0


def test_whoever_counts_the_same_events_shares_a_lock() -> None:
    """With two, a thread that counts and one that reads could wait for each other."""
    lock = ForkSafeLock()
    shared = RecentCalls(FakeClock().monotonic, lock)
    thread = threading.Thread(target=shared.collect, args=(call(), 1000.0))
    with lock:
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()


@given(
    st.lists(st.floats(min_value=0.0, max_value=90_000.0), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.95, 0.99, 1.0]),
)
@settings(max_examples=100, deadline=None)
def test_percentiles_are_within_their_error_of_the_true_one(durations: Sequence[float], share: float) -> None:
    """Of the nearest rank: 4.5 % of the duration, or a tenth of a millisecond."""
    bench = Bench()
    bench.count(*(call(seconds) for seconds in durations))
    (tally,) = bench.recent.recall(60.0).window.values()
    true = sorted(durations)[ceil(share * len(durations) - 1e-9) - 1]
    found = tally.percentile(share)
    assert found is not None
    assert abs(found - true) <= max(PERCENTILE_ERROR * true, 0.0001)


def test_a_tally_without_a_duration_has_no_percentile() -> None:
    """Rather than one of zero."""
    assert Tally().percentile(0.5) is None


def test_nothing_is_lost_between_threads(bench: Bench) -> None:
    """16 threads, 300 calls each, while others read and slots end."""

    def work(number: int) -> None:
        for turn in range(300):
            bench.count(call(0.01 * (turn % 7), name=str(turn % 3)))
            if number == 0:
                bench.clock.now += 0.05
            if turn % 100 == 0:
                bench.recent.recall(60.0)

    run_threads(work)
    tally = by_origin(bench.recent.recall(600.0).window)[A]
    assert (tally.calls, tally.attempts, tally.measured) == (4800, 4800, 4800)


def test_a_call_that_ends_while_another_is_counted_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may close a stream between any two lines, on the thread that holds the lock."""
    bench = Bench()
    bench.count(call())
    bench.clock.now += 10.0
    ends = iter([call(name="abandoned")])
    new_slot = module._Slot

    def interrupted(*fields: Any) -> Any:
        bench.count(*ends)
        return new_slot(*fields)

    monkeypatch.setattr(module, "_Slot", interrupted)
    bench.count(call())
    assert bench.calls() == 3


def test_memory_is_bounded(bench: Bench) -> None:
    """20,000 origins in each minute: those of a slot beyond 2,000 share a tally, and the oldest slots go."""
    for turn in range(120):
        bench.count(*(call(key=f"https://host-{turn}-{number}.test") for number in range(500)))
        bench.clock.now += 1.0
    bench.count(call())
    recall = bench.recent.recall(60.0)
    assert recall.seconds == 60.0
    assert sum(tally.calls for tally in recall.window.values()) == 30_001
    assert recall.window[""].calls > 10_000
    assert bench.recent._size + len(bench.recent._tallies) <= 20_000
    assert bench.seconds(600.0) <= 110.0


def test_a_busy_slot_makes_the_window_shorter_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a minute is more than may be kept."""
    monkeypatch.setattr(module, "_MOST", 30)
    for turn in range(60):
        bench.count(*(call(key=f"https://host-{turn}-{number}.test") for number in range(2)))
        bench.clock.now += 1.0
    assert bench.seconds() == pytest.approx(bench.calls() / 2)
    assert 10.0 <= bench.seconds() <= 20.0


def test_an_exchange_is_counted_in_the_slot_in_which_it_came(bench: Bench) -> None:
    """A slot ends after ten seconds, also if no call has ended since."""
    bench.count(call())
    bench.clock.now += 10.0
    bench.count(HedgeStarted(0.1, 1, A, 1, 0.1))
    bench.clock.now += 65.0
    (tally,) = bench.recent.recall(60.0).window.values()
    assert (tally.calls, tally.hedges) == (0, 1)


def test_a_call_is_usual_for_thirteen_minutes_and_not_longer(bench: Bench) -> None:
    """From the end of its slot on, whether another one has begun or not."""
    bench.count(call())
    bench.clock.now += 10.0
    bench.count(call())
    found = []
    for seconds in (779.0, 1.0, 9.0, 1.0):
        bench.clock.now += seconds
        found.append(bench.usual())
    assert found == [2, 1, 1, 0]


def test_slots_that_are_too_old_are_dropped(bench: Bench) -> None:
    """A client that lasts keeps no more of them: as many as are looked at, and the newest one."""
    for _ in range(1000):
        bench.count(call())
        bench.clock.now += 10.0
    assert repr(bench.recent) == "<RecentCalls in 79 slots>"


def test_names_beyond_the_bound_of_a_slot_share_a_tally(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones have their own."""
    monkeypatch.setattr(module, "_MOST_OF_A_SLOT", 3)
    bench.count(*(call(name=str(number)) for number in range(5)))
    found = {key: tally.calls for key, tally in bench.recent.recall(60.0).window.items()}
    assert found == {(A, "0"): 1, (A, "1"): 1, (A, "2"): 1, "": 2}


def test_as_many_tallies_are_kept_as_may_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that is too many costs the oldest slot."""
    monkeypatch.setattr(module, "_MOST", 4)
    for slot in range(2):
        bench.count(*(call(name=f"{slot}-{number}") for number in range(2)))
        bench.clock.now += 10.0
    assert (bench.calls(), bench.seconds()) == (4, 20.0)
    bench.clock.now -= 1.0
    bench.count(call(name="one too many"))
    assert (bench.calls(), bench.seconds()) == (3, 9.0)


def test_no_slot_is_dropped_that_there_is_room_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each new tally, where each slot has one."""
    monkeypatch.setattr(module, "_MOST", 4)
    for _ in range(6):
        bench.clock.now += 10.0
        bench.count(call())
    assert bench.calls() == 4
    bench.count(call(name="another"))
    assert bench.calls() == 4


@needs_fork
def test_a_forked_child_starts_without_calls(bench: Bench) -> None:
    """Those of its parent are the parent's to report, and its window begins at the fork."""
    bench.count(call())
    bench.clock.now += 5.0

    def work() -> None:
        bench.clock.now += 1.0
        assert (bench.calls(), bench.seconds()) == (0, 1.0)
        bench.count(call())
        assert bench.calls() == 1

    assert in_a_child(work) == 0
    assert bench.calls() == 1


def test_a_tally_is_small(bench: Bench) -> None:
    """20,000 of them are about ten megabytes."""
    bench.count(*(call(0.01 * number) for number in range(100)))
    (tally,) = bench.recent._tallies.values()
    assert sys.getsizeof(tally) + sys.getsizeof(tally.buckets) + sys.getsizeof(tally.errors) < 2500


def test_counting_a_call_takes_less_than_a_microsecond(bench: Bench) -> None:
    """That is the aim; 10 µs allow for a busy machine. An attempt is counted with its call, and costs next to nothing."""
    tried, ended = attempt(), call()

    def count() -> None:
        now = bench.clock.monotonic()
        bench.recent.collect(tried, now)
        bench.recent.collect(ended, now)

    seconds = min(timeit.repeat(count, timer=time.thread_time, number=2000, repeat=10)) / 2000
    assert seconds < 10e-6
