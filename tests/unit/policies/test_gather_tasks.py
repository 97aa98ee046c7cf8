"""`gather`: what only asyncio has. Awaitables of each kind, async iterables, cancellation."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from http_service_client import ConfigurationError, gather
from kit.jumping_loop import run_jumping


async def value_of(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


class Waiting:
    """Calls that wait until they are cancelled, and note it."""

    def __init__(self) -> None:
        self.started = self.cancelled = 0

    async def __call__(self) -> None:
        self.started += 1
        try:
            await asyncio.sleep(5)  # so that one that nobody cancels ends, too
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a clean-up takes its time
            self.cancelled += 1
            raise


async def fail_soon() -> None:
    await asyncio.sleep(0.001)
    raise ValueError("no")


def test_awaitables_of_every_kind_are_taken() -> None:
    """Coroutines, tasks, futures, objects with `__await__`, and functions that return one."""

    class Awaitable:
        def __await__(self) -> Iterator[Any]:
            return value_of("object").__await__()

    async def main() -> list[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result("future")
        task = asyncio.ensure_future(value_of("task"))
        return await gather([value_of("coroutine"), task, future, Awaitable(), lambda: value_of("function")])

    assert run_jumping(main()) == ["coroutine", "task", "future", "object", "function"]


def test_at_most_so_many_run_at_a_time() -> None:
    """And that many do."""
    now, most = 0, 0

    async def work() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now -= 1

    run_jumping(gather([work for _ in range(50)], at_once=7))
    assert most == 7


async def numbers(count: int, made: list[int] | None = None) -> AsyncIterator[Any]:
    for number in range(count):
        await asyncio.sleep(0)
        if made is not None:
            made.append(number)
        yield value_of(number)


def test_an_async_iterable_is_read_while_others_run() -> None:
    """Such as the pages of a listing; results are in its order."""
    assert run_jumping(gather(numbers(30), at_once=4)) == list(range(30))


def test_a_failure_does_not_wait_for_the_next_item() -> None:
    """The iterable may take long, or forever; it is closed."""
    is_closed = []

    async def endless() -> AsyncIterator[Any]:
        try:
            yield fail_soon
            await asyncio.Event().wait()
        finally:
            is_closed.append(True)

    with pytest.raises(ValueError, match="no"):
        run_jumping(gather(endless()))
    assert is_closed == [True]


def test_an_iterable_that_stands_at_its_yield_is_closed() -> None:
    """Before the error is raised, and not when somebody collects it. One without `aclose` is left alone."""
    closed: list[str] = []

    async def fail() -> None:
        raise ValueError("no")

    def plain() -> Iterator[Any]:
        try:
            yield fail
        finally:
            closed.append("plain")

    async def asynchronous() -> AsyncIterator[Any]:
        try:
            yield fail
        finally:
            closed.append("async")

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> Any:
            return fail

    async def main() -> None:
        items: list[Any] = [plain(), asynchronous(), Endless()]
        for each in items:
            with pytest.raises(ValueError, match="no"):
                await gather(each, at_once=1)
        assert closed == ["plain", "async"]

    run_jumping(main())


@pytest.mark.parametrize("has_next", [True, False], ids=["an item", "an error"])
def test_what_comes_in_the_instant_of_a_failure_is_dropped(has_next: bool) -> None:
    """The first error is raised. A coroutine that comes with it is closed: Python would warn that it was never awaited."""

    async def fail() -> None:
        raise ValueError("no")

    async def source() -> AsyncIterator[Any]:
        yield fail
        if not has_next:
            raise LookupError
        yield value_of(1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="no"):
            run_jumping(gather(source()))
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_an_exception_of_an_async_iterable_is_raised() -> None:
    """The calls that run are cancelled and awaited."""
    waiting = Waiting()

    async def broken() -> AsyncIterator[Any]:
        yield waiting
        await asyncio.sleep(0.001)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        run_jumping(gather(broken(), return_exceptions=True))
    assert (waiting.started, waiting.cancelled) == (1, 1)


def test_the_others_are_cancelled_and_awaited() -> None:
    """When the exception arrives, nothing of it runs any more."""
    waiting = Waiting()
    with pytest.raises(ValueError, match="no"):
        run_jumping(gather([waiting, fail_soon, waiting]))
    assert (waiting.started, waiting.cancelled) == (2, 2)


@pytest.mark.parametrize("times", [1, 2])
def test_cancellation_goes_inside_and_is_awaited(times: int) -> None:
    """However often: the caller may lose patience twice."""
    waiting = Waiting()

    async def main() -> None:
        task = asyncio.ensure_future(gather([waiting] * 5, at_once=3))
        while waiting.started < 3:
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiting.cancelled == 3

    run_jumping(main())
    assert waiting.started == 3


def test_a_cancellation_during_the_clean_up_is_raised() -> None:
    """In the place of the error that led to it: the caller wants to end."""

    async def clean_up() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            calls[0].cancel()
            await asyncio.sleep(0)
            ended.append(True)

    async def main() -> None:
        calls.append(asyncio.ensure_future(gather([clean_up, fail_soon])))
        with pytest.raises(asyncio.CancelledError):
            await calls[0]

    calls: list[asyncio.Future[Any]] = []
    ended: list[bool] = []
    run_jumping(main())
    assert ended == [True]


def test_a_task_and_its_error_do_not_hold_each_other() -> None:
    """What a call made is freed at once, and not when somebody collects it."""
    gc.collect()
    gc.disable()
    try:
        run_jumping(_check_that_all_is_freed())
    finally:
        gc.enable()


class Marker:
    pass


async def _check_that_all_is_freed() -> None:
    markers: list[weakref.ref[Marker]] = []

    async def make() -> Marker:
        marker = Marker()
        markers.append(weakref.ref(marker))
        return marker

    async def fail() -> None:
        marker = Marker()
        markers.append(weakref.ref(marker))
        raise ValueError("no")

    async def broken() -> AsyncIterator[Any]:
        yield make
        marker = Marker()
        markers.append(weakref.ref(marker))
        raise ValueError("no")

    for source, at_once in (
        (lambda: (asyncio.ensure_future(function()) for function in (make, fail)), 1),
        (lambda: [make, fail], 20),
        (broken, 20),
    ):
        markers.clear()
        try:  # not pytest.raises, which keeps the error on Python 3.10
            await gather(source(), at_once=at_once)
        except ValueError:
            pass
        assert [marker() for marker in markers] == [None, None]


def test_a_call_that_is_cancelled_on_its_own_counts_as_failed() -> None:
    """As in asyncio: CancelledError, or a result."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        (result,) = await gather([cancelled], return_exceptions=True)
        assert type(result) is asyncio.CancelledError
        with pytest.raises(asyncio.CancelledError):
            await gather([cancelled])

    run_jumping(main())


@pytest.mark.parametrize("ending", ["failure", "cancelled", "settings", "closed"])
def test_coroutines_that_never_start_are_closed(ending: str) -> None:
    """Python would warn that they were never awaited."""

    async def main() -> None:
        first = fail_soon() if ending != "cancelled" else Waiting()()
        calls = [first, *(value_of(n) for n in range(5))]
        if ending == "settings":
            with pytest.raises(ConfigurationError):
                await gather(calls, at_once=0)
        elif ending == "cancelled":
            task = asyncio.ensure_future(gather(calls, at_once=1))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with pytest.raises(ValueError, match="no"):
                await gather(iter(calls) if ending == "closed" else calls, at_once=1)
            for call in calls:
                call.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_jumping(main())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_a_closed_gather_cancels_what_runs() -> None:
    """A coroutine that is closed cannot await: its tasks are cancelled, and the loop ends them."""
    waiting = Waiting()

    async def main() -> None:
        coroutine = gather([waiting])
        coroutine.send(None)
        await asyncio.sleep(0)
        coroutine.close()
        await asyncio.sleep(1)
        assert waiting.cancelled == 1

    run_jumping(main())


def test_a_plain_function_is_refused() -> None:
    """The message names the function for threads."""
    with pytest.raises(TypeError, match="gather_in_threads"):
        run_jumping(gather([lambda: 5]))  # type: ignore[list-item,return-value]  # that is the point


def test_a_single_coroutine_is_refused() -> None:
    """It is closed, and the message says to write a list."""

    async def main() -> None:
        with pytest.raises(TypeError, match=r"write gather\(\[\.\.\.\]\)"):
            await gather(value_of(1))  # type: ignore[call-overload]  # that is the point

    run_jumping(main())
