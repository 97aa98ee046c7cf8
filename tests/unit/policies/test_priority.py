"""How important the running code's calls are: `with priority("low"):`, and where it holds."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from http_service_client import ConfigurationError, Priority, priority
from http_service_client.core.priority import AMBIENT_PRIORITY, current_priority
from kit.front_ends import run_task
from kit.rows import each_row
from kit.threads import wait_until

LOW, NORMAL, HIGH = Priority.LOW, Priority.NORMAL, Priority.HIGH


def test_levels_are_ordered() -> None:
    """A greater one is more important."""
    assert sorted(Priority) == [
        Priority.BACKGROUND,
        Priority.LOW,
        Priority.NORMAL,
        Priority.HIGH,
        Priority.CRITICAL,
    ]


@each_row("level", [*Priority, *(each.name.lower() for each in Priority)], ids=repr)
def test_a_block_has_the_level_that_it_names(level: Any) -> None:
    """By its name, or by the member."""
    with priority(level) as block:
        assert current_priority() is block.level
        assert block.level.name == getattr(level, "name", str(level).upper())
    assert current_priority() is NORMAL


@each_row("level", ["urgent", "LOW", "", 1, True, None, b"low"])
def test_an_unknown_level_is_refused_with_those_there_are(level: Any) -> None:
    """A misspelling must not become an ordinary call."""
    with pytest.raises(
        ConfigurationError,
        match=r"priority must be 'critical', 'high', 'normal', 'low' or 'background', not",
    ):
        priority(level)


def test_the_innermost_block_holds_and_the_outer_one_after_it() -> None:
    """A payment inside a batch job is important."""
    with priority("low"):
        with priority("critical"):
            assert current_priority() is Priority.CRITICAL
        assert current_priority() is LOW
    assert AMBIENT_PRIORITY.get() is None


def test_a_block_ends_with_an_error() -> None:
    """Whatever ends it."""
    with pytest.raises(KeyError), priority("low"):
        raise KeyError
    assert current_priority() is NORMAL


def test_one_object_marks_one_block_after_another() -> None:
    """But not two at a time."""
    low = priority("low")
    for _ in range(2):
        with low:
            assert current_priority() is LOW
            with pytest.raises(RuntimeError, match="make one for each block"), low:
                pass
    assert current_priority() is NORMAL


def test_it_says_how_it_is_written() -> None:
    """It is no decorator and needs no `async with`."""
    anything: Any = priority("low")
    with pytest.raises(TypeError, match="inside the function"):
        anything(print)
    with pytest.raises(TypeError, match="inside the function"):
        priority(print)  # type: ignore[arg-type]

    async def entered() -> None:
        async with anything:
            pass

    with pytest.raises(TypeError, match="not by `async with`"):
        run_task(entered())
    assert repr(anything) == "<priority low>"


def test_a_task_that_was_started_inside_keeps_the_level() -> None:
    """`create_task` inside the block is how a background job is marked; it may run after the block."""

    async def job() -> list[Priority]:
        seen = [current_priority()]
        await asyncio.sleep(0)
        return [*seen, current_priority()]

    async def main() -> list[Priority]:
        with priority("low"):
            task = asyncio.create_task(job())
        assert current_priority() is NORMAL
        return await task

    assert run_task(main()) == [LOW, LOW]


def test_to_thread_has_the_level_and_a_plain_thread_has_none() -> None:
    """As with any context variable."""
    seen: list[Priority] = []

    async def main() -> Priority:
        with priority("low"):
            thread = threading.Thread(target=lambda: seen.append(current_priority()))
            thread.start()
            thread.join()
            return await asyncio.to_thread(current_priority)

    assert (run_task(main()), seen) == (LOW, [NORMAL])


def test_tasks_that_start_the_next_do_not_make_a_chain() -> None:
    """A block that was left refers to no other."""

    async def step(number: int) -> int:
        ambient, depth = AMBIENT_PRIORITY.get(), 0
        while ambient is not None:
            ambient, depth = ambient.outer, depth + 1
        if number == 0:
            return depth
        with priority("low"):
            following = asyncio.create_task(step(number - 1))
        return await following

    assert run_task(step(10)) <= 1


def test_around_a_yield_it_does_not_mark_the_code_that_iterates() -> None:
    """It marks the generator's own calls, in each of its steps."""
    own = []

    def pages() -> Iterator[int]:
        with priority("low"):
            for number in range(2):
                own.append(current_priority())
                yield number
            own.append(current_priority())

    with priority("high"):
        outside = [current_priority() for _ in pages()]
    assert (own, outside, AMBIENT_PRIORITY.get()) == ([LOW] * 3, [HIGH] * 2, None)


def test_around_a_yield_of_an_async_generator_it_marks_its_calls_and_tasks() -> None:
    """Not those of the code that iterates over it."""

    async def call() -> Priority:
        return current_priority()

    async def pages() -> AsyncIterator[list[Priority]]:
        with priority("low"):
            yield [current_priority(), await asyncio.create_task(call())]

    async def main() -> list[Any]:
        return [(own, current_priority()) async for own in pages()]

    assert run_task(main()) == [([LOW, LOW], NORMAL)]


def test_the_generator_of_a_context_manager_marks_the_block_that_uses_it() -> None:
    """That is what it is for."""

    @contextmanager
    def marked() -> Iterator[None]:
        with priority("low"):
            yield

    @asynccontextmanager
    async def marked_async() -> AsyncIterator[None]:
        with priority("low"):
            yield

    async def main() -> list[Priority]:
        async with marked_async():
            inside = current_priority()
        return [inside, current_priority()]

    with marked():
        assert current_priority() is LOW
    assert current_priority() is NORMAL
    assert run_task(main()) == [LOW, NORMAL]


def test_a_block_may_be_in_the_outermost_code_of_a_thread() -> None:
    """It is no generator, so that nothing outside of it could run in between."""
    levels: list[Priority] = []

    def work() -> None:
        with priority("low"):
            levels.append(current_priority())

    _thread.start_new_thread(work, ())
    wait_until(lambda: levels)
    assert levels == [LOW]


def test_a_context_manager_with_a_block_may_be_the_outermost_code_of_a_thread() -> None:
    """Nothing stands outside that could iterate over it."""
    levels: list[Priority] = []

    @contextmanager
    def marked() -> Iterator[None]:
        with priority("low"):
            levels.append(current_priority())
            yield

    _thread.start_new_thread(marked().__enter__, ())
    wait_until(lambda: levels)
    assert levels == [LOW]


def test_a_block_that_ends_out_of_order_leaves_the_other_in_force() -> None:
    """The generator's last step is inside a block that was entered later."""

    def pages() -> Iterator[int]:
        with priority("low"):
            yield 1

    steps = pages()
    next(steps)
    with priority("high"):
        assert list(steps) == []
        assert current_priority() is HIGH
    assert current_priority() is NORMAL
    assert AMBIENT_PRIORITY.get() is None


def test_a_generator_that_is_closed_elsewhere_marks_nothing_from_then_on() -> None:
    """The context that it was begun in still has its block."""

    def pages() -> Iterator[int]:
        with priority("low"):
            yield 1

    steps = pages()
    next(steps)
    contextvars.copy_context().run(steps.close)
    assert current_priority() is NORMAL
    assert run_task(_level()) is NORMAL
    with priority("high"):
        pass
    assert AMBIENT_PRIORITY.get() is None


async def _level() -> Priority:
    return current_priority()


def test_an_abandoned_generator_is_freed_at_once() -> None:
    """The block knows its frame, and must not keep it alive."""

    class Thing:
        pass

    def pages() -> Iterator[Any]:
        thing = Thing()
        with priority("low"):
            yield weakref.ref(thing)

    gc.disable()
    try:
        steps = pages()
        thing = next(steps)
        del steps
        assert thing() is None
    finally:
        gc.enable()
    assert current_priority() is NORMAL


def test_a_task_that_outlives_the_block_does_not_keep_what_its_generator_had() -> None:
    """It keeps the level alone, and not the frame that the block was in."""

    class Thing:
        pass

    contexts: list[contextvars.Context] = []

    def pages() -> Iterator[Any]:
        thing = Thing()
        with priority("low"):
            contexts.append(contextvars.copy_context())  # as a task does
            yield weakref.ref(thing)

    gc.disable()
    try:
        thing, *_ = pages()
        assert thing() is None
    finally:
        gc.enable()
    assert contexts[0].run(current_priority) is LOW


def test_leaving_a_block_that_was_not_entered_changes_nothing() -> None:
    """As where the clean-up of a program runs twice."""
    block = priority("low")
    block.__exit__()
    with block:
        pass
    with priority("high"):
        block.__exit__()
        assert current_priority() is HIGH
    assert AMBIENT_PRIORITY.get() is None
