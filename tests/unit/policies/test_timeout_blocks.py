"""A timeout around blocks of code and the steps of generators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    DeadlineExceededError,
    OperationTimeoutError,
    ResiliencePipeline,
    TimeoutPolicy,
    deadline,
)
from http_service_client.core.deadline import AMBIENT_DEADLINE, remaining
from http_service_client.events import OperationTimedOut
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd
from kit.timeouts import TIGHT


def test_a_block_in_a_generator_is_not_around_the_code_that_iterates() -> None:
    """It would bound calls that know nothing of it. Alone and in a pipeline."""
    for policy in (TimeoutPolicy(30.0), ResiliencePipeline(TimeoutPolicy(30.0))):

        def items() -> Iterator[float | None]:
            with policy:  # it is run in this round
                yield remaining(time.monotonic, AMBIENT_DEADLINE.get())

        for inside in items():
            assert inside is not None
            assert remaining(time.monotonic, AMBIENT_DEADLINE.get()) is None


def test_an_async_block_in_a_generator_is_not_around_it_either() -> None:
    """As a plain one."""
    policy = TimeoutPolicy(30.0)

    async def items() -> AsyncIterator[float | None]:
        async with policy:
            yield remaining(time.monotonic, AMBIENT_DEADLINE.get())

    async def main() -> None:
        async for inside in items():
            assert inside is not None
            assert remaining(time.monotonic, AMBIENT_DEADLINE.get()) is None

    asyncio.run(main())


@pytest.mark.parametrize("around", [lambda policy: policy, ResiliencePipeline], ids=["alone", "pipeline"])
def test_no_block_runs_in_another_thread(around: Callable[[Any], Any]) -> None:
    """`in_thread` is for functions: the error says what to write. An async block is bounded without a thread."""
    policy = around(TimeoutPolicy(30.0, in_thread=True))
    words = "cannot run a block in another thread; put the code into a function and use apply, or leave out"
    with pytest.raises(ConfigurationError, match=words), policy:
        raise AssertionError("entered")
    with pytest.raises(ConfigurationError, match=words):
        for _ in policy.attempts():
            raise AssertionError("entered")

    left: list[float | None] = []

    async def main() -> None:
        async with policy:
            left.append(remaining(time.monotonic, AMBIENT_DEADLINE.get()))
        async for attempt in policy.attempts():
            async with attempt:
                left.append(remaining(time.monotonic, AMBIENT_DEADLINE.get()))

    asyncio.run(main())
    assert len(left) == 2
    assert None not in left


def test_each_step_of_a_generator_has_the_whole_time() -> None:
    """Between two steps, the limit is not there: neither for the generator nor for the code that iterates."""
    clock, events = VirtualClock(), []  # type: ignore[var-annotated]
    pipeline = ResiliencePipeline(TimeoutPolicy(2.0), clock=clock, on_event=events.append)

    @pipeline.apply
    def numbers() -> Any:
        for number in range(3):
            clock.advance(1.5)
            yield number

    for _ in numbers():
        assert AMBIENT_DEADLINE.get() is None
    assert [event for event in events if isinstance(event, OperationTimedOut)] == []

    @TimeoutPolicy(TIGHT).apply
    async def hangs() -> Any:
        await asyncio.sleep(60)
        yield 1

    async def main() -> None:
        with pytest.raises(OperationTimeoutError, match=r"^a step of a generator took longer than 0\.02 s$"):
            await hangs().__anext__()

    asyncio.run(main())


def test_a_block_that_took_too_long_ends_with_the_policys_error(front_end: FrontEnd) -> None:
    """In place of the deadline's, which is its cause. Another error of the block passes as it is."""
    clock, error = VirtualClock(), KeyError("mine")
    pipeline = ResiliencePipeline(TimeoutPolicy(2.0), clock=clock)

    def block(raised: Exception) -> None:
        with pipeline:
            clock.advance(3.0)
            raise raised

    async def block_async(raised: Exception) -> None:
        async with pipeline:
            clock.advance(3.0)
            raise raised

    function: Any = block if front_end.name == "blocking" else block_async
    late = DeadlineExceededError("late")
    with pytest.raises(OperationTimeoutError, match=r"^the guarded code took longer than 2 s$") as caught:
        front_end.run(partial(function, late))
    assert caught.value.__cause__ is late
    with pytest.raises(KeyError) as passed:
        front_end.run(partial(function, error))
    assert passed.value is error


def test_the_deadline_around_a_call_is_in_force_again_after_it(front_end: FrontEnd) -> None:
    """Itself: a chain of ended ones would keep each other alive."""
    clock = VirtualClock()
    guarded = ResiliencePipeline(TimeoutPolicy(2.0), clock=clock).apply(front_end.function(lambda: None))
    found: list[bool] = []

    def work() -> None:
        with deadline(30.0):
            outer = AMBIENT_DEADLINE.get()
            guarded()
            found.append(AMBIENT_DEADLINE.get() is outer)

    async def work_async() -> None:
        with deadline(30.0):
            outer = AMBIENT_DEADLINE.get()
            await guarded()
            found.append(AMBIENT_DEADLINE.get() is outer)

    front_end.run(work if front_end.name == "blocking" else work_async)
    assert found == [True]


def test_a_block_is_bounded_by_a_deadline() -> None:
    """It cannot be interrupted, in asyncio neither; and the deadline ends with it."""
    clock = VirtualClock()
    pipeline = ResiliencePipeline(TimeoutPolicy(2.0), clock=clock)
    with pipeline:
        limit = AMBIENT_DEADLINE.get()
        assert limit is not None
        assert limit.remaining(clock.monotonic) == 2.0
    assert AMBIENT_DEADLINE.get() is None
