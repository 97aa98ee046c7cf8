"""`with deadline(2.0):` bounds every call inside, in plain and async code, and nests by the minimum."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from http_service_client import ConfigurationError, DeadlineExceededError, deadline
from http_service_client.core.deadline import AMBIENT_DEADLINE, earliest
from kit.fakes import URL, FakeClock, Harness
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task


def given(harness: Harness, **options: Any) -> float | None:
    """How long the transport was given for a call made now."""
    harness.request(**options)
    return harness.transport.timeouts[-1].total


def test_it_bounds_the_calls_inside(front_end: FrontEnd) -> None:
    """And only those: before and after it there is none."""
    harness, clock = Harness(front_end), FakeClock()
    assert given(harness) == 30.0
    with deadline(2.0, clock=clock.monotonic):
        assert given(harness) == 2.0
        clock.now += 0.5
        assert given(harness) == 1.5
    assert given(harness) == 30.0
    assert AMBIENT_DEADLINE.get() is None


@pytest.mark.parametrize(("outer", "inner", "left"), [(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 1.0)])
def test_deadlines_nest_by_the_minimum(front_end: FrontEnd, outer: float, inner: float, left: float) -> None:
    """An inner one may tighten the outer one, never loosen it; leaving it restores the outer one."""
    harness, clock = Harness(front_end), FakeClock()
    with deadline(outer, clock=clock.monotonic):
        with deadline(inner, clock=clock.monotonic):
            assert given(harness) == left
        assert given(harness) == outer


def test_it_nests_with_the_call_s_own(front_end: FrontEnd) -> None:
    """total_timeout and timeout hold beside it, whichever is the nearest."""
    harness, clock = Harness(front_end), FakeClock()
    with deadline(2.0, clock=clock.monotonic):
        assert given(harness, total_timeout=1.0) == 1.0
        assert given(harness, total_timeout=5.0) == 2.0
        assert given(harness, timeout=0.5) == 0.5
        assert given(harness, timeout=None) == 2.0


def test_what_is_left_is_carried_between_clocks(front_end: FrontEnd) -> None:
    """Two clocks that started at different times agree on "2 seconds left", not on an instant."""
    harness = Harness(front_end)
    with deadline(2.0, clock=lambda: 1e9):
        assert given(harness) == pytest.approx(2.0)


def test_it_is_over_after_an_error(front_end: FrontEnd) -> None:
    """However the block is left."""
    with pytest.raises(ZeroDivisionError), deadline(1.0):
        raise ZeroDivisionError
    assert AMBIENT_DEADLINE.get() is None


def test_remaining_counts_down() -> None:
    """To be asked inside the block; negative when it has passed; that of the outer one where that is nearer."""
    clock = FakeClock()
    with deadline(2.0, clock=clock.monotonic) as limit:
        assert limit.remaining() == 2.0
        clock.now += 3.0
        assert limit.remaining() == -1.0
    with deadline(1.0, clock=clock.monotonic), deadline(9.0, clock=clock.monotonic) as inner:
        assert inner.remaining() == 1.0


def test_before_the_block_nothing_remains_to_be_counted() -> None:
    """The time runs from entering it; any number would be wrong."""
    with pytest.raises(RuntimeError, match="has not begun"):
        deadline(2.0).remaining()


def test_one_object_may_bound_one_block_after_another() -> None:
    """Each block begins anew."""
    clock = FakeClock()
    limit = deadline(2.0, clock=clock.monotonic)
    for _ in range(2):
        with limit:
            assert limit.remaining() == 2.0
            clock.now += 1.0
    assert AMBIENT_DEADLINE.get() is None


def test_one_object_is_not_entered_twice_at_once() -> None:
    """It would forget what to go back to; the error says what to do, and the outer block stays whole."""
    limit = deadline(2.0)
    with limit:
        with pytest.raises(RuntimeError, match="make one for each block"), limit:
            pass
        assert AMBIENT_DEADLINE.get() is not None
    assert AMBIENT_DEADLINE.get() is None


def test_tasks_started_inside_are_bounded() -> None:
    """And those beside it are not."""
    harness, clock = Harness(AsyncioFrontEnd()), FakeClock()

    async def call() -> float | None:
        response = await harness.client.get_async(URL)
        index = next(i for i, r in enumerate(harness.transport.sent) if r is response.request)
        return harness.transport.timeouts[index].total

    async def main() -> None:
        beside = asyncio.create_task(call())
        with deadline(2.0, clock=clock.monotonic):
            assert await asyncio.gather(call(), call()) == [2.0, 2.0]
        assert await beside == 30.0

    run_task(main())


def test_a_thread_of_one_s_own_is_not_bounded() -> None:
    """Context variables do not travel to a bare thread; `asyncio.to_thread` carries them."""
    seen: list[Any] = []
    with deadline(2.0):
        thread = threading.Thread(target=lambda: seen.append(AMBIENT_DEADLINE.get()))
        thread.start()
        thread.join()
        assert asyncio.run(asyncio.to_thread(AMBIENT_DEADLINE.get)) is not None
    assert seen == [None]


def test_a_generator_closed_elsewhere_does_not_raise() -> None:
    """A block inside an abandoned generator is left from another context."""
    import contextvars

    def inside() -> Any:
        with deadline(2.0):
            yield

    steps = inside()
    contextvars.copy_context().run(next, steps)
    contextvars.copy_context().run(steps.close)
    assert AMBIENT_DEADLINE.get() is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "2", None, True, 10**400])
def test_a_wrong_duration_is_refused(seconds: Any) -> None:
    """When it is made."""
    with pytest.raises(ConfigurationError, match="deadline must be"):
        deadline(seconds)


def test_a_deadline_that_has_passed(front_end: FrontEnd) -> None:
    """Nothing is sent; the error says by how much it was missed, and is a TimeoutError."""
    harness, clock = Harness(front_end), FakeClock()
    with deadline(1.0, clock=clock.monotonic):
        clock.now += 3.0
        error = harness.error(DeadlineExceededError)
    assert isinstance(error, TimeoutError)
    assert "2.000 s" in str(error)
    assert harness.sends == 0


@pytest.mark.parametrize(
    ("ambient", "total", "at"),
    [(None, None, None), (None, 2.0, 102.0), (3.0, None, 103.0), (3.0, 2.0, 102.0), (2.0, 3.0, 102.0)],
)
def test_the_earliest_wins(ambient: float | None, total: float | None, at: float | None) -> None:
    """The table of `earliest`."""
    if ambient is None:
        assert earliest(total, lambda: 100.0) == at
        return
    with deadline(ambient, clock=lambda: 5.0):
        assert earliest(total, lambda: 100.0) == at


def test_it_shows_what_is_left() -> None:
    """Before the block, and inside it."""
    clock = FakeClock()
    bound = deadline(2.0, clock=clock.monotonic)
    assert repr(bound) == "<deadline of 2 s>"
    with bound:
        clock.now += 0.5
        assert repr(bound) == "<deadline of 2 s, 1.500 s left>"
