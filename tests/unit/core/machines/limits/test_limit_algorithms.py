"""The algorithms of an adaptive limit: the steps by which it grows and shrinks."""

from __future__ import annotations

import pytest

from http_service_client.core.machines.limits.limit_algorithms import (
    ALGORITHMS,
    LimitController,
    Window,
    vegas,
)
from kit.limit_algorithms import controller, settled
from kit.rows import each_row


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_doubles_until_the_first_sign_of_too_many(algorithm: str) -> None:
    """An initial limit that is far too low costs a few windows."""
    limit = controller(algorithm)
    limit.update(Window(0.1, peak=10, is_limited=False), 0.0)
    capacities = []
    for _ in range(3):
        limit.update(Window(0.1, peak=limit.capacity), 0.0)
        capacities.append(limit.capacity)
    limit.update(Window(0.3, refused=0.5, peak=160), 0.0)
    limit.update(Window(0.1, peak=limit.capacity), 10.0)
    assert capacities == [40, 80, 160]
    assert limit.capacity < 160


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_doubles_no_longer_when_the_service_becomes_slower(algorithm: str) -> None:
    """Not by AIMD either: the limit would be twice too large before the first call is late."""
    limit = controller(algorithm)
    limit.update(Window(0.1, peak=10, is_limited=False), 0.0)
    limit.update(Window(0.1, peak=20), 0.0)
    limit.update(Window(0.16, peak=40), 0.0)
    before = limit.limit
    limit.update(Window(0.1, peak=40), 0.0)
    assert 1 <= limit.limit - before <= 7


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_that_nobody_reaches_does_not_grow(algorithm: str) -> None:
    """However long all goes well."""
    limit = controller(algorithm)
    for _ in range(50):
        limit.update(Window(0.1, peak=10, is_limited=False), 0.0)
    assert limit.capacity == 20


@each_row(
    ("algorithm", "latency", "expected"),
    [
        *[("gradient", latency, 110) for latency in (0.1, 0.15)],
        *[("gradient", 0.2, 85), ("gradient", 0.9, 60)],
        *[("vegas", 0.1, 110), ("vegas", 0.115, 100), ("vegas", 0.2, 85), ("vegas", 0.9, 65)],
        *[("aimd", latency, 101) for latency in (0.1, 0.9)],
    ],
)
def test_one_step(algorithm: str, latency: float, expected: int) -> None:
    """Of a limit of 100 with a baseline of 0.1 s, after a window with this latency."""
    limit = settled(algorithm)
    limit.update(Window(latency, peak=100), 0.0)
    assert limit.capacity == expected


@each_row("algorithm", ALGORITHMS)
@each_row(
    ("refused", "late", "expected"),
    [(0.04, 0.04, 101), (0.06, 0.0, 90), (1.0, 0.0, 90), (0.0, 0.2, 90), (0.0, 1.0, 50), (0.5, 0.5, 75)],
)
def test_one_step_after_drops(algorithm: str, refused: float, late: float, expected: int) -> None:
    """A few are chance. Of late ones each window is long, so the step is larger."""
    limit = settled(algorithm)
    limit.update(Window(None if late == 1.0 else 0.1, refused, late, peak=100), 0.0)
    assert limit.capacity == expected or (expected == 101 and limit.capacity >= 101)


@pytest.mark.parametrize("window", [Window(0.9, peak=40), Window(0.1, refused=0.5, peak=40)])
def test_a_limit_far_above_what_is_in_flight_does_not_shrink(window: Window) -> None:
    """The calls in flight are too few to be the reason."""
    limit = settled()
    limit.update(window, 0.0)
    assert limit.capacity == 100


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_that_was_refused_is_not_tried_again_at_once(algorithm: str) -> None:
    """But after five seconds, and if it is taken then, the limit goes on growing."""
    limit = settled(algorithm)
    limit.update(Window(0.1, refused=0.5, peak=100), 1.0)
    for now in (2.0, 3.0, 4.0, 5.0):
        for _ in range(5):
            limit.update(Window(0.1, peak=limit.capacity), now)
    assert 95 <= limit.capacity <= 99
    for _ in range(15):
        limit.update(Window(0.1, peak=limit.capacity), 6.5)
    assert limit.capacity > 105


def test_the_steps_become_larger_while_too_much_is_refused() -> None:
    """So a limit that is far too large, or refusals that no limit prevents, are found out soon."""
    limit = settled()
    capacities = []
    for _ in range(6):
        limit.update(Window(0.1, refused=0.5, peak=limit.capacity), 0.0)
        capacities.append(limit.capacity)
    assert capacities == [90, 72, 50, 30, 15, 7]


@pytest.mark.parametrize(("results", "expected"), [(10, "grows"), (1000, "shrinks")])
def test_chance_is_allowed_for(results: int, expected: str) -> None:
    """Half of ten results says little where three of ten are refused anyway; half of a thousand says much."""
    limit = settled("aimd")
    limit.refused = 0.3
    before = limit.limit
    limit.update(Window(0.1, refused=0.5, peak=100, results=results), 0.0)
    assert ("grows" if limit.limit > before else "shrinks") == expected


@each_row("algorithm", ALGORITHMS)
@each_row(("share", "is_least"), [(0.3, False), (1.0, True)])
def test_refusals_that_no_limit_prevents(algorithm: str, share: float, is_least: bool) -> None:
    """They are not about the limit, so it grows again; if nothing is accepted, the service is down and it does not."""
    limit = settled(algorithm)
    for now in range(100):
        limit.update(Window(0.1 if share < 1 else None, refused=share, peak=limit.capacity), float(now))
    assert (limit.capacity == 1) is is_least
    for now in range(100, 160):
        limit.update(Window(0.1, refused=0.0, peak=limit.capacity), float(now))
    assert limit.capacity > 100


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_late_calls_that_no_limit_prevents(algorithm: str) -> None:
    """The limit halves, and they are as many: they have another reason. If nearly all are late, it goes on shrinking."""
    limit = settled(algorithm)
    least = 100
    for now in range(40):
        limit.update(Window(0.1, late=0.2, peak=limit.capacity), float(now))
        least = min(least, limit.capacity)
    assert 25 <= least <= 50
    assert limit.late == pytest.approx(0.2)
    assert limit.capacity > least
    for now in range(40, 60):
        limit.update(Window(None, late=1.0, peak=limit.capacity), float(now))
    assert limit.capacity == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_bounds_hold_at_once(algorithm: str) -> None:
    """The limit stays as far as they allow, and so does the baseline."""
    limit = settled(algorithm)
    limit.reconfigure("vegas", 5, 60)
    assert (limit.capacity, limit.latency) == (60, pytest.approx(0.1))
    limit.reconfigure("vegas", 70, 90)
    assert limit.capacity == 70


@pytest.mark.parametrize("drops", [{"refused": 0.5}, {"late": 0.2}])
def test_the_first_window_counts(drops: dict[str, float]) -> None:
    """There need be no good one before it."""
    limit = controller()
    assert not limit.begin_dip(), "nothing is known"
    limit.update(Window(0.1, peak=20, **drops), 0.0)
    assert (limit.capacity, limit.latest, limit.latency) == (18, 0.1, 0.1)
    limit.update(Window(None, late=1.0, peak=18), 0.0)
    assert (limit.latest, limit.latency) == (0.1, 0.1), "a window without an answer has no latency"


def test_a_limit_shrinks_before_its_baseline_is_measured() -> None:
    """By the first latency that came, which is the best that is known."""
    limit = controller(initial=100)
    limit.update(Window(0.1, peak=100), 0.0)
    limit.update(Window(0.9, peak=100), 0.0)
    assert limit.capacity == 60


def test_refused_and_late_calls_are_all_that_aimd_waits_for() -> None:
    """It needs no baseline."""
    limit = controller("aimd")
    limit.update(Window(0.1, peak=20), 0.0)
    assert limit.capacity == 40


@pytest.mark.parametrize("algorithm", ["gradient", "aimd"])
def test_it_doubles_as_long_as_the_slowdown_is_tolerated(algorithm: str) -> None:
    """One and a half of the baseline is."""
    limit = controller(algorithm)
    limit.update(Window(0.25, peak=20, is_limited=False), 0.0)
    limit.update(Window(0.375, peak=20), 0.0)
    assert limit.capacity == 40


@pytest.mark.parametrize(("latency", "capacities"), [(0.115, [200, 400]), (0.13, [98, 108])])
def test_vegas_doubles_until_the_queue_is_too_long(latency: float, capacities: list[int]) -> None:
    """A queue that it would leave as it is is not."""
    limit, found = controller("vegas", 100, most=1000), []
    limit.update(Window(0.1, peak=100, is_limited=False), 0.0)
    for each in (latency, 0.1):
        limit.update(Window(each, peak=limit.capacity), 0.0)
        found.append(limit.capacity)
    assert found == capacities
    assert vegas(16.0, 4 / 3) == 16.0, "a queue of the root is long enough"


@each_row(
    ("baseline", "share", "results", "is_tolerated"),
    [
        (0.0, 0.05, 10, True),
        (0.0, 0.0501, 10, False),
        (0.3, 0.48, 100, True),
        (0.3, 0.49, 100, False),
        (0.01, 0.35, 1, True),
        (0.01, 0.36, 1, False),
    ],
)
@each_row("kind", ["refused", "late"])
def test_how_much_is_chance(
    kind: str, baseline: float, share: float, results: int, is_tolerated: bool
) -> None:
    """Five per cent, and three standard deviations of the baseline."""
    limit = settled("aimd")
    setattr(limit, kind, baseline)
    limit.update(Window(0.1, peak=100, results=results, **{kind: share}), 0.0)  # type: ignore[arg-type]
    assert (limit.capacity == 101) is is_tolerated


@pytest.mark.parametrize("kind", ["refused", "late"])
def test_the_baseline_of_drops_follows_them_downwards(kind: str) -> None:
    """A tenth at a time; upwards only where so few calls are in flight that they are not the reason."""
    limit, found = settled("aimd"), []
    setattr(limit, kind, 0.3)
    for share, peak in ((0.32, 100), (0.1, 100), (0.08, 10), (0.9, 10)):
        limit.update(Window(0.1, peak=peak, **{kind: share}), 0.0)  # type: ignore[arg-type]
        found.append(getattr(limit, kind))
    assert found == pytest.approx([0.3, 0.28, 0.26, 0.324])


def test_good_windows_end_a_row_of_bad_ones() -> None:
    """The next step is the first again, and late calls are compared with those of their own row."""
    limit, found = settled("aimd"), []
    for refused in (0.5, 0.5, 0.0, 0.5, 0.5):
        limit.update(Window(0.1, refused=refused, peak=100), 0.0)
        found.append(limit.limit)
    assert found == pytest.approx([90, 72, 73, 65.7, 52.56])
    limit = settled("aimd")
    for late in (0.9, 0.0, 0.3, 0.3, 0.3):
        limit.update(Window(0.1, late=late, peak=100), 0.0)
        found.append(limit.limit)
    assert limit.late == pytest.approx(0.3)


@pytest.mark.parametrize(("peak", "expected"), [(49, 100), (50, 60)])
def test_so_few_in_flight_are_not_the_reason_for_the_latency(peak: int, expected: int) -> None:
    """Fewer than half of the limit."""
    limit = settled()
    limit.update(Window(0.9, peak=peak), 0.0)
    assert limit.capacity == expected


@pytest.mark.parametrize(("peak", "expected"), [(49, 100), (50, 90)])
def test_so_few_in_flight_are_not_the_reason_for_refusals(peak: int, expected: int) -> None:
    """Fewer than half of the limit."""
    limit = settled()
    limit.update(Window(0.1, refused=0.5, peak=peak), 0.0)
    assert limit.capacity == expected


def test_refusals_are_another_reason_to_shrink() -> None:
    """What the limit halves from is the limit after them."""
    limit, found = settled(), []
    for refused in (0.0, 0.5, 0.0):
        limit.update(Window(0.5, refused=refused, peak=100), 0.0)
        found.append(limit.capacity)
    assert found == [60, 54, 34]


def test_a_limit_that_was_refused_is_nearly_reached_and_tried_after_five_seconds() -> None:
    """Later refusals at a higher limit are about that one."""
    limit = settled(initial=400)
    limit.update(Window(0.1, refused=0.5, peak=400), 1.0)
    found = []
    for now in (5.9, 5.9, 5.9, 6.0):
        limit.update(Window(0.1, peak=400), now)
        found.append(limit.capacity)
    assert found == [378, 398, 399, 418]
    limit.update(Window(0.1, refused=0.5, peak=418), 7.0)
    for _ in range(5):
        limit.update(Window(0.1, peak=418), 8.0)
    assert limit.capacity == 417


@pytest.mark.parametrize(
    ("refused", "late", "expected"), [(0.5, 0.05, 0.5), (0.5, 0.06, 0.0), (0.9, 0.0, 0.9), (0.91, 0.0, 0.0)]
)
def test_refusals_at_the_least_limit_have_another_reason(
    refused: float, late: float, expected: float
) -> None:
    """Unless calls are late, or nearly all are refused: then it is the service that is down."""
    limit = controller("aimd", 1)
    limit.update(Window(0.1, refused, late, peak=1), 0.0)
    assert (limit.capacity, limit.refused) == (1, expected)


def test_from_the_least_limit_it_begins_again() -> None:
    """By doubling, at once, and without a dip: no queue was the reason for the latency."""
    limit, found = controller(initial=1), []
    for _ in range(4):
        limit.update(Window(0.1, refused=0.5, peak=limit.capacity), 0.0)
        found.append(limit.capacity)
    assert found == [1, 2, 4, 8]


@each_row(
    ("shares", "least", "expected"),
    [
        ((0.6,), 1, 0.0),  # 70: not yet halved
        ((0.6, 0.6), 1, 0.6),  # 49
        ((0.85, 0.68), 1, 0.765),  # four fifths are as many
        ((0.85, 0.67), 1, 0.0),
        ((0.9, 0.9), 1, 0.9),
        ((0.91, 0.91), 1, 0.0),  # the service is down
        ((0.6, 0.6, 0.9), 1, 0.6),  # another row: not yet halved
        ((0.2, 0.2), 60, 0.0),
        ((0.2, 0.2, 0.2), 60, 0.2),  # the least limit is as far as it goes
    ],
)
def test_late_calls_that_are_as_many_at_half_the_limit(
    shares: tuple[float, ...], least: int, expected: float
) -> None:
    """They have another reason than the limit, so they are its baseline."""
    limit = LimitController("aimd", 100, least, 1000)
    for late in shares:
        limit.update(Window(0.1, late=late, peak=100), 0.0)
    assert limit.late == pytest.approx(expected)


def test_late_calls_are_compared_from_where_the_limit_shrank() -> None:
    """Not from where too few were in flight for that. Refused ones say nothing of late ones."""
    limit = settled("aimd")
    limit.update(Window(0.1, late=0.9, peak=40), 0.0)
    for _ in range(3):
        limit.update(Window(0.1, late=0.3, peak=100), 0.0)
    assert limit.late == pytest.approx(0.3)
    for _ in range(4):
        limit.update(Window(0.1, refused=0.5, peak=100), 0.0)
    assert limit.late == pytest.approx(0.3)
