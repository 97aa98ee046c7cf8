"""`with deadline(2.0):` bounds every call inside, in plain and async code; the earliest one applies."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from http_service_client import ConfigurationError, DeadlineExceededError, deadline
from http_service_client.core.deadline import AMBIENT_DEADLINE, earliest
from http_service_client.testing import VirtualClock
from kit.fakes import URL, FakeClock, Harness
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.rows import each_row


def total_timeout_of_a_call(harness: Harness, **options: Any) -> float | None:
    """Make a call, and return the total timeout that the transport got."""
    harness.request(**options)
    return harness.transport.timeouts[-1].total


def test_a_deadline_bounds_the_calls_inside(front_end: FrontEnd) -> None:
    """Calls before and after the block are not bounded."""
    harness, clock = Harness(front_end), FakeClock()
    assert total_timeout_of_a_call(harness) == 30.0
    with deadline(2.0, clock=clock.monotonic):
        assert total_timeout_of_a_call(harness) == 2.0
        clock.now += 0.5
        assert total_timeout_of_a_call(harness) == 1.5
    assert total_timeout_of_a_call(harness) == 30.0
    assert AMBIENT_DEADLINE.get() is None


@each_row(("outer", "inner", "left"), [(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 1.0)])
def test_of_nested_deadlines_the_earliest_applies(
    front_end: FrontEnd, outer: float, inner: float, left: float
) -> None:
    """An inner deadline may shorten the outer one, not extend it; after it the outer one applies again."""
    harness, clock = Harness(front_end), FakeClock()
    with deadline(outer, clock=clock.monotonic):
        with deadline(inner, clock=clock.monotonic):
            assert total_timeout_of_a_call(harness) == left
        assert total_timeout_of_a_call(harness) == outer


def test_a_deadline_combines_with_the_timeouts_of_the_call(front_end: FrontEnd) -> None:
    """Of the deadline, total_timeout and timeout, the shortest applies."""
    harness, clock = Harness(front_end), FakeClock()
    with deadline(2.0, clock=clock.monotonic):
        assert total_timeout_of_a_call(harness, total_timeout=1.0) == 1.0
        assert total_timeout_of_a_call(harness, total_timeout=5.0) == 2.0
        assert total_timeout_of_a_call(harness, timeout=0.5) == 0.5
        assert total_timeout_of_a_call(harness, timeout=None) == 2.0


def test_a_deadline_on_another_clock_counts_by_its_remaining_time(front_end: FrontEnd) -> None:
    """Clocks that started at different times agree on "2 seconds left", but not on an instant."""
    harness = Harness(front_end)
    with deadline(2.0, clock=lambda: 1e9):
        assert total_timeout_of_a_call(harness) == pytest.approx(2.0)


def test_a_deadline_ends_with_its_block_after_an_error() -> None:
    """An error that leaves the block ends the deadline too."""
    with pytest.raises(ZeroDivisionError), deadline(1.0):
        raise ZeroDivisionError
    assert AMBIENT_DEADLINE.get() is None


def test_remaining_counts_down() -> None:
    """`remaining` is negative once the deadline has passed, and counts to an outer one that is earlier."""
    clock = FakeClock()
    with deadline(2.0, clock=clock.monotonic) as limit:
        assert limit.remaining() == 2.0
        clock.now += 3.0
        assert limit.remaining() == -1.0
    with deadline(1.0, clock=clock.monotonic), deadline(9.0, clock=clock.monotonic) as inner:
        assert inner.remaining() == 1.0


def test_remaining_before_the_block_is_an_error() -> None:
    """The time starts when the block is entered, so any number would be wrong."""
    with pytest.raises(RuntimeError, match="has not begun"):
        deadline(2.0).remaining()


def test_a_deadline_may_be_used_for_several_blocks_in_turn() -> None:
    """Each block starts with the full time."""
    clock = FakeClock()
    limit = deadline(2.0, clock=clock.monotonic)
    for _ in range(2):
        with limit:
            assert limit.remaining() == 2.0
            clock.now += 1.0
    assert AMBIENT_DEADLINE.get() is None


def test_a_deadline_cannot_be_entered_again_inside_its_block() -> None:
    """It would overwrite the state to restore; the error names the fix, and the outer block still applies."""
    limit = deadline(2.0)
    with limit:
        with pytest.raises(RuntimeError, match="make one for each block"), limit:
            pass
        assert AMBIENT_DEADLINE.get() is not None
    assert AMBIENT_DEADLINE.get() is None


def test_a_deadline_bounds_the_tasks_started_inside() -> None:
    """A task that was started before the block is not bounded."""
    harness, clock = Harness(AsyncioFrontEnd()), FakeClock()

    async def call() -> float | None:
        response = await harness.client.get_async(URL)
        index = next(i for i, r in enumerate(harness.transport.sent) if r is response.request)
        return harness.transport.timeouts[index].total

    async def main() -> None:
        earlier = asyncio.create_task(call())
        with deadline(2.0, clock=clock.monotonic):
            assert await asyncio.gather(call(), call()) == [2.0, 2.0]
        assert await earlier == 30.0

    run_task(main())


def test_a_deadline_does_not_bound_a_bare_thread() -> None:
    """A bare thread does not inherit context variables; `asyncio.to_thread` copies them."""
    seen: list[Any] = []
    with deadline(2.0):
        thread = threading.Thread(target=lambda: seen.append(AMBIENT_DEADLINE.get()))
        thread.start()
        thread.join()
        assert asyncio.run(asyncio.to_thread(AMBIENT_DEADLINE.get)) is not None
    assert seen == [None]


def test_a_block_in_a_generator_may_be_closed_in_another_context() -> None:
    """An abandoned generator is closed from another context, and this must not raise."""
    import contextvars

    def inside() -> Any:
        with deadline(2.0):
            yield

    steps = inside()
    contextvars.copy_context().run(next, steps)
    contextvars.copy_context().run(steps.close)
    assert AMBIENT_DEADLINE.get() is None


@each_row("seconds", [0, -1, float("nan"), float("inf"), "2", None, True, 10**400])
def test_an_invalid_duration_is_rejected(seconds: Any) -> None:
    """`deadline` rejects it when it is made, before its block."""
    with pytest.raises(ConfigurationError, match="deadline must be") as caught:
        deadline(seconds)
    assert str(caught.value).endswith("; for no limit, leave the block out") is (seconds is None)


def test_the_error_of_a_duration_does_not_offer_none() -> None:
    """A block without a limit is no block."""
    with pytest.raises(ConfigurationError) as caught:
        deadline(-1)
    assert "None" not in str(caught.value)


@pytest.mark.parametrize("clock", [5, "monotonic", VirtualClock()], ids=["number", "text", "clock"])
def test_the_clock_is_a_function(clock: Any) -> None:
    """The error comes when the deadline is made, before its block."""
    with pytest.raises(ConfigurationError, match=r"^clock must be a function, not "):
        deadline(1.0, clock=clock)


def test_a_deadline_is_no_decorator() -> None:
    """Neither with a duration nor without, and the error says where to write it."""
    message = r"^deadline limits a block, not a function; write `with deadline\(2\.0\):` inside the function$"
    with pytest.raises(TypeError, match=message):
        deadline(print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=message):
        deadline(2.0)(print)  # type: ignore[operator]


def test_leaving_a_block_that_is_not_in_use_changes_nothing() -> None:
    """As where the clean-up of a program runs twice."""
    bound = deadline(2.0)
    bound.__exit__()
    with bound:
        bound.remaining()
    with deadline(9.0) as other:
        bound.__exit__()
        assert AMBIENT_DEADLINE.get() is not None
        other.remaining()
    assert AMBIENT_DEADLINE.get() is None


def test_after_the_deadline_a_call_sends_nothing(front_end: FrontEnd) -> None:
    """The error is a TimeoutError and says by how much the deadline was missed."""
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
def test_the_earliest_of_deadline_and_total_timeout_applies(
    ambient: float | None, total: float | None, at: float | None
) -> None:
    """`earliest` returns the instant of whichever ends first, and None if neither is set."""
    if ambient is None:
        assert earliest(total, lambda: 100.0) == at
        return
    with deadline(ambient, clock=lambda: 5.0):
        assert earliest(total, lambda: 100.0) == at


def test_the_repr_of_a_deadline_shows_the_remaining_time() -> None:
    """The repr has the duration, and inside the block also the remaining time."""
    clock = FakeClock()
    bound = deadline(2.0, clock=clock.monotonic)
    assert repr(bound) == "<deadline of 2 s>"
    with bound:
        clock.now += 0.5
        assert repr(bound) == "<deadline of 2 s, 1.500 s left>"


def test_async_with_names_the_plain_block() -> None:
    """`asyncio.timeout` is entered by `async with`, so it is a likely mistake."""

    async def mistaken() -> None:
        async with deadline(1.0):  # type: ignore[attr-defined]
            pass

    with pytest.raises(TypeError, match=r"by `with deadline\(2.0\):`, not by `async with`"):
        asyncio.run(mistaken())
