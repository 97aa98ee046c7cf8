"""The instants by which calls must end, on the system's clock and on virtual ones."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from http_service_client.core import deadline
from http_service_client.core.deadline import (
    AMBIENT_DEADLINE,
    Deadline,
    earliest,
    follow,
    remaining,
    running,
    virtual_instants,
)


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def no_virtual_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other tests do not count here."""
    monkeypatch.setattr(deadline, "_virtual_clocks", ())


@pytest.fixture
def around() -> Iterator[None]:
    token = AMBIENT_DEADLINE.set(None)
    yield
    AMBIENT_DEADLINE.reset(token)


def test_what_is_left_is_carried_to_another_clock() -> None:
    """In seconds; negative when it has passed."""
    system, other = Clock(100.0), Clock(5000.0)
    made = Deadline(110.0, system.monotonic)
    assert made.remaining(other.monotonic) == 10.0
    system.now = 112.0
    assert made.remaining(other.monotonic) == -2.0


def test_on_a_virtual_clock_a_deadline_has_an_instant_of_its_own() -> None:
    """That clock does not move with the system's."""
    system, virtual = Clock(100.0), Clock(5000.0)
    made = Deadline(110.0, system.monotonic, virtual={virtual.monotonic: 5010.0})
    system.now = 105.0
    assert made.remaining(virtual.monotonic) == 10.0
    assert made.remaining(system.monotonic) == 5.0
    assert made.least_remaining() == 5.0
    virtual.now = 5008.0
    assert made.remaining(virtual.monotonic) == 2.0
    assert made.least_remaining() == 2.0


@pytest.mark.parametrize(("inner", "outer", "least"), [(5.0, 3.0, 3.0), (3.0, 5.0, 3.0), (3.0, None, 3.0)])
def test_of_deadlines_around_a_call_the_earliest_holds(
    inner: float, outer: float | None, least: float
) -> None:
    """And each that a call went by is noted."""
    system = Clock()
    around = None if outer is None else Deadline(outer, system.monotonic)
    made = Deadline(inner, system.monotonic, around)
    assert not made.was_used
    assert remaining(system.monotonic, made) == least
    assert made.least_remaining() == least
    assert made.was_used
    assert around is None or around.was_used


def test_a_deadline_that_has_ended_holds_no_longer() -> None:
    """Nor does one whose code is outside for a while, which is noted."""
    system = Clock()
    outer = Deadline(9.0, system.monotonic)
    paused = [True]
    inner = Deadline(3.0, system.monotonic, outer, is_paused=lambda: paused[0])
    assert remaining(system.monotonic, inner) == 9.0
    assert (inner.was_skipped, inner.was_used) == (True, False)
    paused[0] = False
    assert remaining(system.monotonic, inner) == 3.0
    assert (outer.was_skipped, inner.was_used) == (False, True)
    inner.has_ended = True
    assert remaining(system.monotonic, inner) == 9.0
    outer.has_ended = True
    assert remaining(system.monotonic, inner) is None
    assert remaining(system.monotonic, None) is None


def test_a_chain_of_deadlines_does_not_grow() -> None:
    """One made inside others has only those around it that have not ended."""
    system = Clock()
    first = Deadline(9.0, system.monotonic)
    second = Deadline(8.0, system.monotonic, first)
    second.has_ended = True
    assert Deadline(7.0, system.monotonic, second).outer is first
    assert running(second) is first
    first.has_ended = True
    assert Deadline(7.0, system.monotonic, second).outer is None
    assert running(None) is None


class Block:
    """A block of a deadline, whose frame has the user's variables."""

    def is_paused(self) -> bool:
        return False


def test_a_deadline_that_has_ended_keeps_nothing_of_its_block() -> None:
    """A task that was started inside may live for days, and holds the deadline."""
    system, block = Clock(), Block()
    outer = Deadline(9.0, system.monotonic)
    made = Deadline(3.0, system.monotonic, outer, is_paused=block.is_paused)
    seen = weakref.ref(block)
    made.has_ended = True
    made.forget()
    del block
    gc.collect()
    assert seen() is None
    assert made.outer is outer
    outer.has_ended = True
    made.forget()
    assert made.outer is None


@pytest.mark.usefixtures("around")
@pytest.mark.parametrize(
    ("ambient", "total", "expected"),
    [(None, None, None), (None, 4.0, 104.0), (3.0, None, 103.0), (3.0, 4.0, 103.0), (5.0, 4.0, 104.0)],
)
def test_the_deadline_of_a_call_that_begins(
    ambient: float | None, total: float | None, expected: float | None
) -> None:
    """Its own total timeout or that of the block around it, as an instant on its clock."""
    system, own = Clock(0.0), Clock(100.0)
    if ambient is not None:
        AMBIENT_DEADLINE.set(Deadline(ambient, system.monotonic))
    assert earliest(total, own.monotonic) == expected


def test_virtual_clocks_are_followed_while_they_live() -> None:
    """None that has gone is asked."""
    assert virtual_instants(5.0) is None
    one, other = Clock(10.0), Clock(20.0)
    follow(one)
    follow(other)
    assert virtual_instants(5.0) == {one.monotonic: 15.0, other.monotonic: 25.0}
    del one
    gc.collect()
    assert virtual_instants(5.0) == {other.monotonic: 25.0}
    third = Clock(30.0)
    follow(third)
    assert len(deadline._virtual_clocks) == 2
