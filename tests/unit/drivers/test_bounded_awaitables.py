"""The timeout of an async function in its caller's task, and in a task of its own, as on Python 3.10: the same laws."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from typing import Any, NamedTuple

import pytest

from http_service_client.core.effects import TIMED_OUT
from http_service_client.drivers import aio, aio_timers
from http_service_client.drivers.aio import ABORTED, Aborts, AsyncioDriver
from kit.front_ends import run_task

AT_ONCE, LONG = 0.0, 60.0  # seconds


class Way(NamedTuple):
    """How a driver bounds an awaitable."""

    name: str
    is_in_task: bool  # of its caller
    has_own_clock: bool

    def bounded(
        self, work: Awaitable[Any], seconds: float, keeps_late: bool = True
    ) -> Coroutine[Any, Any, Any]:
        driver = AsyncioDriver(None, alarm=asyncio.sleep if self.has_own_clock else None)  # type: ignore[arg-type]

        async def run() -> Any:
            return await driver.bounded(work, seconds, keeps_late=keeps_late)

        return run()


CUT = Way("cut", True, False)
CUT_BY_A_CLOCK = Way("cut by another clock", True, True)
TASK = Way("a task", False, False)
TASK_BY_A_CLOCK = Way("a task by another clock", False, True)
needs_311 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="its tasks do not count their cancellations"
)
CUTS = [pytest.param(way, id=way.name, marks=needs_311) for way in (CUT, CUT_BY_A_CLOCK)]
TASKS = [pytest.param(way, id=way.name) for way in (TASK, TASK_BY_A_CLOCK)]


@pytest.fixture(params=[*CUTS, *TASKS])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    found: Way = request.param
    monkeypatch.setattr(aio, "_COUNTS_CANCELLATIONS", found.is_in_task)
    return found


async def left_since(before: set[Any]) -> set[Any]:
    """The tasks that were not there before, after they had time to end."""
    for _ in range(5):
        await asyncio.sleep(0)
    return asyncio.all_tasks() - before


@pytest.mark.parametrize("keeps_late", [True, False])
@pytest.mark.parametrize("waits", [0, 1, 2])
def test_what_ends_in_time_ends_as_it_does(way: Way, waits: int, keeps_late: bool) -> None:
    """With its result, or with its error; no task is left."""

    async def work(error: Exception | None) -> str:
        for _ in range(waits):
            await asyncio.sleep(0)
        if error is not None:
            raise error
        return "done"

    async def main() -> None:
        before = asyncio.all_tasks()
        assert await way.bounded(work(None), LONG, keeps_late) == "done"
        with pytest.raises(ValueError, match="mine"):
            await way.bounded(work(ValueError("mine")), LONG, keeps_late)
        assert await left_since(before) == set()

    run_task(main())


@pytest.mark.parametrize("keeps_late", [True, False])
def test_what_does_not_end_in_time_is_cancelled(way: Way, keeps_late: bool) -> None:
    """Its clean-up, which may wait, is over when the answer comes."""
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            log.append("ended")

    async def main() -> None:
        before = asyncio.all_tasks()
        assert await way.bounded(work(), AT_ONCE, keeps_late) is TIMED_OUT
        assert log == ["ended"]
        assert await left_since(before) == set()

    run_task(main())


def test_what_goes_on_after_its_time_is_used_if_it_may_be(way: Way) -> None:
    """Its result, and its error; else the answer is that the time is over."""

    async def stubborn(error: Exception | None) -> str:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        if error is not None:
            raise error
        return "late"

    async def main() -> None:
        assert await way.bounded(stubborn(None), AT_ONCE) == "late"
        with pytest.raises(ValueError, match="late"):
            await way.bounded(stubborn(ValueError("late")), AT_ONCE)
        for error in (None, ValueError("late")):
            assert await way.bounded(stubborn(error), AT_ONCE, keeps_late=False) is TIMED_OUT

    run_task(main())


def test_a_cancellation_from_outside_is_raised_after_the_clean_up(way: Way) -> None:
    """Nothing of the work, and no clock, is left then."""
    log: list[str] = []

    async def work(begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            log.append("ended")

    async def main() -> None:
        before = asyncio.all_tasks()
        begun = asyncio.Event()
        task = asyncio.ensure_future(way.bounded(work(begun), LONG))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert log == ["ended"]
        assert await left_since(before) == set()

    run_task(main())


def test_what_is_abandoned_ends(way: Way) -> None:
    """When its caller is closed while it waits, as a coroutine is that nobody refers to."""
    log: list[str] = []

    async def work() -> None:
        log.append("begun")
        try:
            await asyncio.sleep(LONG)
        finally:
            log.append("ended")

    async def main() -> None:
        before = asyncio.all_tasks()
        abandoned = way.bounded(work(), LONG)
        abandoned.send(None)
        await asyncio.sleep(0)
        assert log == ["begun"]
        abandoned.close()
        assert await left_since(before) == set()
        assert log == ["begun", "ended"]

    run_task(main())


def test_an_error_s_traceback_does_not_hold_the_task_that_holds_it(way: Way) -> None:
    """Such a cycle would keep a request and its response until the collector runs."""
    error = ValueError("mine")

    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    async def main() -> None:
        with pytest.raises(ValueError, match="mine"):
            await way.bounded(work(), LONG)

    run_task(main())
    traceback, held = error.__traceback__, list[Any]()
    while traceback is not None:
        held += traceback.tb_frame.f_locals.values()
        traceback = traceback.tb_next
    tasks = [
        each for each in held if isinstance(each, asyncio.Future) and each.done() and not each.cancelled()
    ]
    assert [each for each in tasks if each.exception() is error] == []


@needs_311
@pytest.mark.parametrize("way", CUTS)
def test_an_earlier_cancellation_still_counts_afterwards(way: Way) -> None:
    """A task that has put its end off for a moment knows that it was asked to end."""

    async def late() -> str:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return "late"
        return "in time"

    async def main() -> None:
        task: Any = asyncio.current_task()
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass
        assert await way.bounded(asyncio.sleep(LONG), AT_ONCE) is TIMED_OUT
        assert task.cancelling() == 1
        assert await way.bounded(late(), AT_ONCE) == "late"
        assert task.cancelling() == 1

    run_task(main())


@needs_311
@pytest.mark.parametrize("way", CUTS)
def test_the_result_of_work_that_ignores_a_cancellation_from_outside_is_used(way: Way) -> None:
    """Its time was not over, so it is not late."""

    async def ignores() -> str:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            pass
        return "done"

    async def main() -> None:
        for keeps_late in (True, False):
            task = asyncio.ensure_future(way.bounded(ignores(), LONG, keeps_late))
            await asyncio.sleep(0)
            task.cancel()
            assert await task == "done"

    run_task(main())


@needs_311
def test_a_task_need_not_tell_whether_it_must_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another library's tasks have what asyncio documents, and not its private attributes."""

    class Other:
        def __init__(self, task: Any) -> None:
            self._task = task

        def __getattr__(self, name: str) -> Any:
            if name == "_must_cancel":
                raise AttributeError(name)
            return getattr(self._task, name)

    monkeypatch.setattr(aio_timers, "current_task", lambda: Other(asyncio.current_task()))

    async def main() -> None:
        assert await CUT.bounded(asyncio.sleep(LONG), AT_ONCE) is TIMED_OUT

    run_task(main())


@pytest.mark.parametrize("timeout", [LONG, None])
def test_an_abort_ends_work_in_the_next_steps_of_its_loop(timeout: float | None) -> None:
    """Whether it has begun by then or not; nothing of it is kept."""

    async def main() -> None:
        for is_late in (False, True):
            aborts = Aborts()
            task = asyncio.ensure_future(aio.bounded(asyncio.sleep(LONG), timeout, aborts))
            if is_late:
                await asyncio.sleep(0)
            aborts.abort()
            for _ in range(10):
                await asyncio.sleep(0)
            assert task.done()
            assert task.result() is ABORTED
            assert (aborts._loops, aborts._aborted) == ({}, set())

    run_task(main())


@pytest.mark.parametrize("ends_by", ["its timeout", "a cancellation"])
def test_an_abort_forgets_work_that_has_ended_otherwise(ends_by: str) -> None:
    """It would keep each task of a long life."""

    async def main() -> None:
        aborts = Aborts()
        seconds = AT_ONCE if ends_by == "its timeout" else LONG
        task = asyncio.ensure_future(aio.bounded(asyncio.sleep(LONG), seconds, aborts))
        await asyncio.sleep(0)
        assert len(aborts._loops) == 1
        if ends_by == "a cancellation":
            task.cancel()
        await asyncio.wait([task])
        assert (aborts._loops, aborts._aborted) == ({}, set())

    run_task(main())


def test_without_a_limit_it_is_awaited_in_its_caller_s_task() -> None:
    """There is nothing that could end it."""

    async def task_of() -> Any:
        return asyncio.current_task()

    async def main() -> None:
        assert await aio.bounded(task_of(), None) is asyncio.current_task()

    run_task(main())
