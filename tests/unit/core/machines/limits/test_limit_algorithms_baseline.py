"""The baseline latency of an adaptive limit, the dips that measure it, and a model of a service to try them on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client.core.machines.limits.limit_algorithms import ALGORITHMS, LimitController, Window
from kit.limit_algorithms import BY_LATENCY, controller, settled


class FluidService:
    """A service with so many workers and nothing by chance: n requests in flight take n / workers times as long."""

    def __init__(self, workers: int, latency: float = 0.1) -> None:
        self.workers, self.latency = workers, latency

    def window(self, in_flight: int, *, limit: float = math.inf) -> Window:
        """limit: seconds after which a request counts as late."""
        latency = self.latency * max(1.0, in_flight / self.workers)
        late = 1.0 if latency > limit else 0.0
        return Window(None if late else latency, late=late, peak=in_flight)


def run(
    limit: LimitController, service: FluidService, windows: int, *, dip_every: int = 20, now: float = 0.0
) -> None:
    """So many windows of a load that always reaches the limit."""
    for number in range(windows):
        limit.update(service.window(limit.capacity, limit=1.0), now + number)
        if number % dip_every == 0:
            limit.begin_dip()


@pytest.mark.parametrize("algorithm", BY_LATENCY)
def test_the_first_latency_that_came_is_no_baseline(algorithm: str) -> None:
    """It may be that of a queue: the limit grows only after a dip."""
    limit = controller(algorithm)
    for _ in range(5):
        limit.update(Window(0.1, peak=20), 0.0)
    assert limit.capacity == 20
    assert limit.begin_dip()
    limit.update(Window(0.1, peak=10), 0.0)
    limit.update(Window(0.1, peak=20), 0.0)
    assert limit.capacity == 40


@pytest.mark.parametrize("algorithm", BY_LATENCY)
def test_a_service_that_has_become_slower_is_not_taken_for_a_full_one(algorithm: str) -> None:
    """Three times as slow for whatever is in flight: the limit halves, is measured, and grows again."""
    limit = settled(algorithm)
    least = 100
    for number in range(60):
        limit.update(Window(0.3, peak=limit.capacity), float(number))
        if number == 20:
            assert limit.begin_dip()
        elif not limit.dip:
            least = min(least, limit.capacity)
    assert least == 50
    assert limit.latency == pytest.approx(0.3)
    assert limit.capacity > 100


@pytest.mark.parametrize("algorithm", BY_LATENCY)
def test_a_baseline_measured_with_a_queue_is_corrected(algorithm: str) -> None:
    """A client that starts in an overload learns the latency without it from the dips."""
    service, limit = FluidService(10), controller(algorithm, initial=100)
    run(limit, service, 60)
    assert limit.latency == pytest.approx(0.1)
    assert 10 <= limit.capacity <= 20


def test_a_dip_goes_on_while_the_service_becomes_faster() -> None:
    """By half each time, and the limit is the same afterwards."""
    service, limit = FluidService(10), settled(initial=80)
    limit.update(service.window(80), 0.0)
    before = limit.limit
    assert limit.begin_dip()
    capacities = [limit.capacity]
    while limit.dip:
        limit.update(service.window(limit.capacity), 0.0)
        capacities.append(limit.capacity)
    assert capacities == [int(before / 2), int(before / 4), int(before / 8), int(before)]
    assert limit.latency == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("algorithm", "window"),
    [("gradient", Window(0.1, peak=10, is_limited=False)), ("aimd", Window(0.1, peak=100))],
)
def test_no_dip_without_need(algorithm: str, window: Window) -> None:
    """Where nobody is held up the latency is the baseline, and AIMD has none."""
    limit = settled(algorithm)
    limit.update(window, 0.0)
    assert not limit.begin_dip()
    assert limit.dip == 0


@pytest.mark.parametrize("window", [Window(None, late=1.0, peak=50), Window(0.1, refused=0.5, peak=50)])
def test_drops_end_a_dip(window: Window) -> None:
    """They are answered at once, and the baseline stays."""
    limit = settled()
    limit.update(Window(0.1, peak=100), 0.0)
    assert limit.begin_dip()
    limit.update(window, 0.0)
    assert limit.dip == 0
    assert limit.latency == pytest.approx(0.1)


def test_where_nobody_is_held_up_the_baseline_follows_the_latency() -> None:
    """Sooner downwards, since what is faster was no worse before."""
    limit = settled()
    limit.update(Window(0.2, peak=10, is_limited=False), 0.0)
    assert limit.latency == pytest.approx(0.11)
    limit.update(Window(0.05, peak=10, is_limited=False), 0.0)
    assert limit.latency == pytest.approx(0.092)


@pytest.mark.parametrize(
    ("latencies", "capacities"),
    [
        ((0.5, 0.4, 0.4), [60, 50, 50]),  # halved, and hardly faster: the service has become slower
        ((0.5, 0.39, 0.39), [60, 50, 32]),  # it is faster: there is a queue, so the limit goes on shrinking
        ((0.2, 0.1, 0.9, 0.5), [85, 94, 56, 47]),  # it grew in between, and halves from there
    ],
)
def test_a_limit_halves_and_looks_whether_that_helped(
    latencies: tuple[float, ...], capacities: list[int]
) -> None:
    """By a fifth of the latency at least."""
    limit, found = settled(), []
    for latency in latencies:
        limit.update(Window(latency, peak=100), 0.0)
        found.append(limit.capacity)
    assert found == capacities


def test_a_measured_service_may_become_slower_again() -> None:
    """After the dip that has found the new baseline, the limit shrinks as before."""
    limit = settled()
    for latency in (0.5, 0.5, 0.5):
        limit.update(Window(latency, peak=100), 0.0)
    assert limit.begin_dip()
    limit.update(Window(0.5, peak=25), 0.0)
    before = limit.limit
    limit.update(Window(2.5, peak=50), 0.0)
    assert limit.limit < before


@pytest.mark.parametrize(("initial", "latency", "dip"), [(4, 0.1, 0), (5, 0.1, 2), (8, 0.4, 0), (8, 0.39, 2)])
def test_a_dip_goes_on_where_it_may_and_has_helped(initial: int, latency: float, dip: int) -> None:
    """Above the least limit of 2, by a fifth of the latency at least; only one at a time."""
    limit = controller(initial=initial, least=2)
    limit.update(Window(0.5, peak=initial), 0.0)
    assert [limit.begin_dip(), limit.begin_dip(), limit.dip] == [True, False, 1]
    limit.update(Window(latency, peak=initial // 2), 0.0)
    assert (limit.dip, limit.latency) == (dip, 0.5 if dip else latency)
    limit.end_dip()
    assert (limit.dip, limit.capacity) == (0, initial)


def test_there_is_no_dip_without_a_latency() -> None:
    """Nothing could be compared with it."""
    limit = controller()
    limit.update(Window(None, late=1.0, peak=20), 0.0)
    assert not limit.begin_dip()


@pytest.mark.parametrize("algorithm", BY_LATENCY)
@given(
    workers=st.integers(2, 500),
    initial=st.integers(1, 500),
    latency=st.floats(0.001, 0.1),
    halves=st.booleans(),
)
@settings(max_examples=30)
def test_it_finds_the_workers_of_any_service(
    algorithm: str, workers: int, initial: int, latency: float, halves: bool
) -> None:
    """From any start, and again when half of them are gone: all of them work, and the queue is bounded."""
    limit = controller(algorithm, initial, most=2000)
    run(limit, FluidService(workers, latency), 100)
    if halves:
        workers = max(1, workers // 2)
        run(limit, FluidService(workers, latency), 100, now=200.0)
    assert workers - 1 <= limit.limit <= 2 * workers + 8


@given(workers=st.integers(2, 150), initial=st.integers(1, 1000))
@settings(max_examples=30)
def test_aimd_stays_near_what_is_not_late(workers: int, initial: int) -> None:
    """At most ten times the workers are in time here: it uses them all, and backs off from there."""
    limit = controller("aimd", initial, most=2000)
    run(limit, FluidService(workers), 200)
    assert workers <= limit.limit <= 10 * workers + 2


windows = st.builds(
    Window,
    st.none() | st.floats(1e-6, 100.0),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 300),
    st.booleans(),
    st.integers(1, 1000),
)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(
    least=st.integers(1, 50),
    initial=st.integers(50, 100),
    most=st.integers(100, 200),
    played=st.lists(st.tuples(windows, st.booleans()), max_size=30),
)
def test_whatever_comes_the_limit_is_within_its_bounds(
    algorithm: str, least: int, initial: int, most: int, played: list[tuple[Window, bool]]
) -> None:
    """And it grows only where somebody was held up; a dip is never above the limit."""
    limit = controller(algorithm, initial, least, most)
    for number, (window, dips) in enumerate(played):
        before = limit.limit
        limit.update(window, float(number))
        assert least <= limit.limit <= most
        assert least <= limit.capacity <= max(least, limit.limit)
        assert limit.limit <= before or window.is_limited
        assert 0 <= limit.refused <= 1
        assert 0 <= limit.late <= 1
        assert math.isfinite(limit.latency)
        if dips:
            limit.begin_dip()
