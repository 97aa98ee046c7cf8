"""The windows of a circuit, compared with a plain list of what they were fed."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.circuit_breaker.windows import Counts, CountWindow, TimeWindow

KINDS = st.sampled_from(["success", "locked success", "failure", "slow", "slow failure"])


def feed(window: CountWindow | TimeWindow, kind: str) -> None:
    if kind == "success":
        window.record_success()
    else:
        window.record(is_failure="failure" in kind, is_slow="slow" in kind)


def counts_of(kinds: list[str]) -> Counts:
    return Counts(len(kinds), sum("failure" in kind for kind in kinds), sum("slow" in kind for kind in kinds))


@given(st.integers(1, 12), st.lists(KINDS, max_size=60))
def test_a_count_window_holds_the_last_results(size: int, kinds: list[str]) -> None:
    """After any results, in any order, it counts exactly the last `size` of them."""
    window, fed = CountWindow(size), list[str]()
    for kind in kinds:
        feed(window, kind)
        fed.append(kind)
        assert window.counts() == counts_of(fed[-size:])


@given(st.lists(st.tuples(KINDS, st.integers(0, 30)), max_size=60))
def test_a_time_window_holds_the_last_seconds_to_a_tenth(steps: list[tuple[str, int]]) -> None:
    """It counts every result of the last nine tenths, and none that is older than the window."""
    now = [0.0]
    window = TimeWindow(10.0, lambda: now[0], threading.RLock())
    fed: list[tuple[float, str]] = []
    for kind, tenths in steps:
        now[0] += tenths / 10
        feed(window, kind)
        fed.append((now[0], kind))
        least = counts_of([kind for at, kind in fed if at > now[0] - 9])
        most = counts_of([kind for at, kind in fed if at > now[0] - 10])
        found = window.counts()
        assert all(low <= count <= high for low, count, high in zip(least, found, most, strict=True))


def test_a_time_window_forgets_a_tenth_of_itself_at_a_time() -> None:
    """Ten failures, one a second: from the tenth second on, each second forgets the oldest."""
    now = [0.0]
    window = TimeWindow(10.0, lambda: now[0], threading.RLock())
    for second in range(10):
        now[0] = second + 0.5
        feed(window, "failure")
    held = []
    for second in range(10, 21):
        now[0] = second - 0.001
        held.append(window.counts().failures)
        now[0] = second
        held.append(window.counts().failures)
    assert held == [10, *(left for left in range(9, 0, -1) for _ in range(2)), 0, 0, 0]


def test_a_result_in_flight_is_counted_once() -> None:
    """A call that was counted when it became slow adds its failure, and no second call."""
    for window in (CountWindow(1), CountWindow(10), TimeWindow(10.0, lambda: 0.0, threading.RLock())):
        window.record(is_failure=False, is_slow=True)
        window.record(is_failure=True, is_slow=False, is_counted=True)
        assert window.counts() == Counts(1, 1, 1)


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    """What it holds is forgotten a window later, counted from the step."""
    now = [100.0]
    window = TimeWindow(10.0, lambda: now[0], threading.RLock())
    feed(window, "failure")
    now[0] = 3.0
    feed(window, "failure")
    assert window.counts() == Counts(2, 2, 0)
    now[0] = 12.0
    assert window.counts() == Counts(2, 2, 0)
    now[0] = 13.5
    assert window.counts() == Counts(0, 0, 0)


@given(st.floats(0.0, 1e9), st.floats(1e-3, 1e4))
def test_a_clock_that_stands_still_forgets_nothing(at: float, length: float) -> None:
    """Whatever a sum of its instant and the length is rounded to."""
    window = TimeWindow(length, lambda: at, threading.RLock())
    for _ in range(40):
        feed(window, "failure")
    assert window.counts() == Counts(40, 40, 0)


def test_successes_of_many_threads_are_all_counted() -> None:
    """Successes are counted without a lock, and none is lost."""
    window = CountWindow(10_000)
    threads = [
        threading.Thread(target=lambda: [window.record_success() for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert window.counts() == Counts(4000, 0, 0)


def test_the_memory_of_a_window_is_bounded() -> None:
    """A million results leave no more behind than the window holds."""
    window = CountWindow(100)
    for _ in range(100_000):
        feed(window, "slow failure")
    assert len(window._failures) == len(window._slow) == 100
