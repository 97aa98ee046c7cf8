"""Which block is left, among those of other contexts and policies, and what is kept of it then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import BulkheadPolicy, CircuitBreakerPolicy, ResiliencePipeline, TimeoutPolicy
from http_service_client.policies.with_blocks import _ENTERED, EnteredBlocks
from kit.front_ends import FrontEnd, run_task
from kit.guarded import PaymentError, breaking, retrying


def test_a_context_leaves_its_own_blocks_the_innermost_first() -> None:
    """Not one that another context entered meanwhile. A context without a block of its own leaves the last open one."""
    blocks: EnteredBlocks[str] = EnteredBlocks()
    other, empty = contextvars.Context(), contextvars.Context()
    for block in ("outer", "middle", "inner"):
        blocks.enter(block)
    other.run(blocks.enter, "other")
    assert [blocks.leave(None), blocks.leave(None), blocks.leave(None)] == ["inner", "middle", "outer"]
    blocks.enter("last")
    assert [empty.run(blocks.leave, None), other.run(blocks.leave, None)] == ["last", "other"]


def test_a_block_that_another_context_has_left_is_not_left_again() -> None:
    """The context that entered it leaves the one before."""
    blocks: EnteredBlocks[str] = EnteredBlocks()
    own = contextvars.Context()
    for block in ("outer", "inner"):
        own.run(blocks.enter, block)
    assert contextvars.Context().run(blocks.leave, None) == "inner"
    assert own.run(blocks.leave, None) == "outer"


def test_blocks_of_two_policies_may_be_left_in_any_order() -> None:
    """As those of two generators that one loop steps through in turn. Another context has blocks of its own."""
    one: EnteredBlocks[str] = EnteredBlocks()
    other: EnteredBlocks[str] = EnteredBlocks()
    foreign = contextvars.Context()
    for ends in ([one, other], [other, one]):
        one.enter("one")
        other.enter("other")
        foreign.run(one.enter, "foreign one")
        foreign.run(other.enter, "foreign other")
        left = {each: each.leave(None) for each in ends}
        assert left == {one: "one", other: "other"}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("is_outer_first", [False, True])
def test_a_context_keeps_no_block_that_was_left(count: int, is_outer_first: bool) -> None:
    """Nor its policy: a thread may run for ever, and enter no other one."""
    policies = [BulkheadPolicy(1) for _ in range(count)]

    def use() -> None:
        for policy in policies:
            policy.__enter__()
        for policy in policies if is_outer_first else reversed(policies):
            policy.__exit__(None, None, None)

    context = contextvars.Context()
    context.run(use)
    assert context.run(_ENTERED.get) == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: BulkheadPolicy(1),
        CircuitBreakerPolicy,
        lambda: ResiliencePipeline(CircuitBreakerPolicy(), TimeoutPolicy(9.0)),
        lambda: TimeoutPolicy(9.0),
    ],
    ids=["bulkhead", "circuit breaker", "pipeline", "timeout"],
)
def test_a_policy_made_for_one_block_leaves_nothing_behind(
    make: Callable[[], Any], front_end: FrontEnd
) -> None:
    """Not even a context variable: a context never forgets one that was set in it."""

    def use() -> None:
        with make():
            pass

    async def use_async() -> None:
        async with make():
            pass

    async def variables_of_a_task() -> int:
        for _ in range(100):
            await use_async()
        return len(contextvars.copy_context())

    def variables_of_a_thread() -> int:
        for _ in range(100):
            use()
        return len(contextvars.copy_context())

    function = variables_of_a_thread if front_end.name == "blocking" else variables_of_a_task
    first = contextvars.Context().run(front_end.run, function)
    assert first < 20


def test_the_blocks_of_tasks_that_start_each_other_are_forgotten() -> None:
    """Each is started inside a block that ends before its own."""
    policies = [TimeoutPolicy(9.0) for _ in range(50)]
    counts: list[int] = []

    async def work(number: int) -> None:
        async with policies[number]:
            counts.append(len(_ENTERED.get()))
            following = asyncio.create_task(work(number + 1)) if number + 1 < len(policies) else None
        if following is not None:
            await following

    run_task(work(0))
    assert (len(counts), max(counts)) == (50, 1)


class Kept:
    """A local variable."""


def in_a_block(local: Kept, may_end: asyncio.Event) -> Iterator[asyncio.Task[Any]]:
    with breaking(9):
        yield asyncio.create_task(may_end.wait())


def in_a_loop(local: Kept, may_end: asyncio.Event) -> Iterator[asyncio.Task[Any]]:
    for attempt in retrying(3).attempts():
        with attempt:
            yield asyncio.create_task(may_end.wait())


def in_a_handler(local: Kept, may_end: asyncio.Event) -> Iterator[asyncio.Task[Any]]:
    def fail(local: Kept) -> None:
        raise PaymentError

    try:
        fail(local)
    except PaymentError:
        policy = breaking(9)
        policy.__enter__()
        task = asyncio.create_task(may_end.wait())
        policy.__exit__(None, None, None)
    yield task


@pytest.mark.parametrize("function", [in_a_block, in_a_loop, in_a_handler])
def test_a_task_that_outlives_a_block_keeps_nothing_of_where_it_was(function: Callable[..., Any]) -> None:
    """Neither the frame of the block, nor the exception that was being handled there."""

    async def main() -> None:
        may_end, local = asyncio.Event(), Kept()
        known = weakref.ref(local)
        steps = function(local, may_end)
        del local
        (task,) = steps
        del steps
        assert known() is None
        may_end.set()
        await task

    gc.collect()
    gc.disable()
    try:
        run_task(main())
    finally:
        gc.enable()


def test_what_a_task_began_in_a_loop_that_has_ended_is_repeated() -> None:
    """The loop repeats nothing any more, and leaves that to the function's own policy."""
    calls: list[int] = []

    @retrying(3).apply
    async def failing() -> None:
        calls.append(1)
        raise PaymentError

    async def main() -> None:
        may_go_on = asyncio.Event()

        async def work() -> None:
            await may_go_on.wait()
            await failing()

        def steps() -> Iterator[asyncio.Task[Any]]:
            for attempt in retrying(3).attempts():
                with attempt:
                    yield asyncio.create_task(breaking(9).call_async(work))

        tasks = []
        for task in steps():
            tasks.append(task)
            await asyncio.sleep(0)
        may_go_on.set()
        with pytest.raises(PaymentError):
            await tasks[0]

    run_task(main())
    assert len(calls) == 3
