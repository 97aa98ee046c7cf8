"""Branches of a plan: the same in a thread, in a task of asyncio or trio, and in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.core.effects import Acquire, Begin, Branch, FirstOf, Invoke, Plan, Sleep
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers.aio import AsyncioDriver
from http_service_client.drivers.blocking import BlockingDriver
from http_service_client.drivers.interruption import Interruption, interruptible
from http_service_client.drivers.portal import PORTAL
from http_service_client.drivers.simulator import Simulator
from kit.front_ends import run_task
from kit.threads import Held, in_time, wait_until

Drive = Callable[[Plan[Any]], Any]


def on_a_thread(plan: Plan[Any]) -> Any:
    return in_time(lambda: BlockingDriver(never, PORTAL).run(plan))


def in_a_task(plan: Plan[Any]) -> Any:
    return run_task(AsyncioDriver(never).run(plan))


def in_a_task_of_trio(plan: Plan[Any]) -> Any:
    trio = pytest.importorskip("trio", reason="the extra trio is not installed")
    from http_service_client.drivers.on_trio import TrioDriver

    async def main() -> Any:
        with trio.fail_after(20):
            return await TrioDriver().run(plan)

    return trio.run(main)


def in_virtual_time(plan: Plan[Any]) -> Any:
    simulator = Simulator()
    run = simulator.spawn(plan)
    simulator.run()
    if run.error is not None:
        raise run.error
    return run.result


def never(*_: object) -> Any:
    raise AssertionError("nothing is sent")


@pytest.fixture(
    params=[on_a_thread, in_a_task, in_a_task_of_trio, in_virtual_time], ids=lambda drive: drive.__name__
)
def drive(request: pytest.FixtureRequest) -> Drive:
    found: Drive = request.param
    return found


def closed() -> FairSemaphore:
    """A limit without a free permit."""
    limit = FairSemaphore(1, lock=threading.Lock())
    limit.try_acquire()
    return limit


def hanging(limit: FairSemaphore) -> Plan[str]:
    """A plan that waits in vain."""
    waiter = limit.acquire_later()
    try:
        yield from Acquire(waiter, None)
        return "granted"
    finally:
        waiter.release()


def returning(value: Any, wait: float = 0.0) -> Plan[Any]:
    yield from Sleep(wait)
    return value


def raising() -> Plan[Any]:
    yield from Sleep(0.0)
    raise LookupError("of the branch")


def test_the_first_branch_that_ends_is_found(drive: Drive) -> None:
    """While another one hangs; that one is cancelled and leaves nothing behind."""
    limit = closed()

    def plan() -> Plan[Any]:
        branches = [Branch(lambda: hanging(limit)), Branch(lambda: returning("quick"))]
        try:
            for branch in branches:
                assert (yield from Begin(branch)) is True
            index = yield from FirstOf(branches)
            assert index is not None
            return index, branches[index].take()
        finally:
            for branch in branches:
                branch.cancel()

    assert drive(plan()) == (1, "quick")
    wait_until(lambda: not limit.waiting)


def test_a_timeout_ends_the_wait_and_not_the_branch(drive: Drive) -> None:
    """The answer is None, and the branch can be waited for again."""
    limit = closed()

    def plan() -> Plan[Any]:
        branch = Branch(lambda: hanging(limit))
        try:
            yield from Begin(branch)
            first = yield from FirstOf([branch], 0.01)
            limit.release()
            return first, (yield from FirstOf([branch])), branch.take()
        finally:
            branch.cancel()

    assert drive(plan()) == (None, 0, "granted")


def test_an_error_of_a_branch_is_raised_where_it_is_taken(drive: Drive) -> None:
    """Once, and the branch does not keep it."""
    branch = Branch(raising)

    def plan() -> Plan[Any]:
        yield from Begin(branch)
        yield from FirstOf([branch])
        branch.take()

    with pytest.raises(LookupError, match="of the branch"):
        drive(plan())
    assert branch.error is None


def test_a_branch_that_is_done_needs_no_wait(drive: Drive) -> None:
    """It is found at once, also a second time."""

    def plan() -> Plan[Any]:
        branch = Branch(lambda: returning(1))
        yield from Begin(branch)
        once = yield from FirstOf([branch], 5.0)
        return [once, (yield from FirstOf([branch], 5.0))]

    assert drive(plan()) == [0, 0]


def test_a_cancelled_branch_does_not_begin(drive: Drive) -> None:
    """Its owner was interrupted between making and beginning it."""
    made: list[str] = []
    branch: Branch[None] = Branch(lambda: made.append("plan") or returning(None))  # type: ignore[func-returns-value]

    def plan() -> Plan[Any]:
        branch.cancel()
        return (yield from Begin(branch))

    assert drive(plan()) is False
    assert made == []


def test_a_branch_that_is_cancelled_while_its_thread_works_takes_no_further_step() -> None:
    """Its plan is closed after the work, which cannot be interrupted, and whoever else holds the plan."""
    work, plans, log = Held(), list[Plan[None]](), list[str]()

    def working() -> Plan[None]:
        try:
            yield from Invoke(work)
            log.append("a step")
        finally:
            log.append("closed")

    def make() -> Plan[None]:
        plans.append(working())
        return plans[0]

    def plan() -> Plan[Any]:
        branch = Branch(make)
        yield from Begin(branch)
        assert work.began.wait(5)
        branch.cancel()
        work.may_end.set()
        yield from FirstOf([branch], 5.0)

    on_a_thread(plan())
    assert log == ["closed"]


def test_a_branch_handles_the_errors_of_its_effects(drive: Drive) -> None:
    """As any plan."""

    def handling() -> Plan[str]:
        try:
            yield from Invoke(divmod, 1, 0)
        except ZeroDivisionError:
            return "handled"
        return "no error"

    def plan() -> Plan[Any]:
        branch = Branch(handling)
        yield from Begin(branch)
        yield from FirstOf([branch], 5.0)
        return branch.take()

    assert drive(plan()) == "handled"


def test_the_traceback_of_a_branch_s_error_holds_no_plan() -> None:
    """Nor its effects and their answers: a log of local variables would show a request, and a cycle would keep it."""
    branch = Branch(raising)

    def plan() -> Plan[Any]:
        yield from Begin(branch)
        yield from FirstOf([branch])
        branch.take()

    with pytest.raises(LookupError) as raised:
        on_a_thread(plan())
    code = BlockingDriver._run_until.__code__
    (held,) = [entry.frame.f_locals for entry in raised.traceback if entry.frame.code.raw is code]
    assert "plan" not in held
    assert (held["effect"], held["answer"]) == (None, None)


NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="default")


def test_a_branch_runs_in_a_copy_of_its_owners_context(drive: Drive) -> None:
    """It sees what the owner has set, and sets nothing there."""

    def branch_plan() -> Plan[str]:
        before = NAME.get()
        NAME.set("branch")
        yield from Sleep(0.0)
        return before + "/" + NAME.get()

    def plan() -> Plan[Any]:
        NAME.set("owner")
        branch = Branch(branch_plan)
        yield from Begin(branch)
        yield from FirstOf([branch])
        return branch.take(), NAME.get()

    context = contextvars.copy_context()
    assert context.run(drive, plan()) == ("owner/branch", "owner")


def test_many_branches_end_in_their_order(drive: Drive) -> None:
    """Each is found when it ends."""

    def plan() -> Plan[Any]:
        found: list[int] = []

        def ending(number: int) -> Plan[int]:
            yield from Sleep(0.0)
            while len(found) < number:  # those that end before it
                yield from Sleep(0.001)
            return number

        left = [Branch(lambda number=number: ending(number)) for number in (2, 0, 1)]  # type: ignore[misc]
        for branch in left:
            yield from Begin(branch)
        while left:
            index = yield from FirstOf(left)
            assert index is not None
            found.append(left.pop(index).take())
        return found

    assert drive(plan()) == [0, 1, 2]


def test_async_code_in_a_branch_is_cancelled_with_it() -> None:
    """On a thread it runs on the loop of the portal; in a task it is cancelled like any."""
    for drive in (on_a_thread, in_a_task):
        cancelled = threading.Event()
        begun = threading.Event()

        async def hang(begun: threading.Event = begun, cancelled: threading.Event = cancelled) -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        def plan(begun: threading.Event = begun, hang: Any = hang) -> Plan[Any]:
            branch = Branch(lambda: iter(Invoke(hang)))
            try:
                yield from Begin(branch)
                while not begun.is_set():
                    yield from FirstOf([branch], 0.005)
            finally:
                branch.cancel()
            # A task is cancelled in its loop's next round.
            return (yield from FirstOf([branch], 5.0))

        assert drive(plan()) == 0
        assert cancelled.wait(5)


def test_threads_of_cancelled_branches_end() -> None:
    """Also those that sleep, or that wait for a branch of their own."""
    before = set(threading.enumerate())
    limit = closed()

    def nested() -> Plan[Any]:
        branch = Branch(lambda: hanging(limit))
        try:
            yield from Begin(branch)
            yield from FirstOf([branch])
        finally:
            branch.cancel()

    def plan() -> Plan[Any]:
        branches = [Branch(nested), Branch(lambda: returning(1, 60.0))]
        try:
            for branch in branches:
                yield from Begin(branch)
            while not limit.waiting:
                yield from Sleep(0.001)
        finally:
            for branch in branches:
                branch.cancel()
        wait_until(lambda: all(branch.is_done for branch in branches))

    on_a_thread(plan())
    wait_until(lambda: not limit.waiting)
    wait_until(lambda: before.issuperset(threading.enumerate()))


def test_a_wait_after_an_interruption_does_not_begin() -> None:
    """It raises at once; a wait that goes on is ended, whatever it came to; without an interruption nothing happens."""
    from http_service_client.drivers.interruption import INTERRUPTION

    ended: list[str] = []
    with interruptible(lambda: ended.append("outside")):
        pass
    interruption = Interruption()
    token = INTERRUPTION.set(interruption)
    try:
        with pytest.raises(asyncio.CancelledError), interruptible(lambda: ended.append("wait")):
            interruption.set()
            raise TimeoutError
        with pytest.raises(asyncio.CancelledError), interruptible(lambda: ended.append("later")):
            raise AssertionError("it must not begin")
    finally:
        INTERRUPTION.reset(token)
    assert ended == ["wait"]


@pytest.mark.parametrize("drive", [on_a_thread, in_a_task, in_a_task_of_trio])
def test_a_branch_leaves_no_reference_cycle(drive: Drive) -> None:
    """Neither its result nor its error is alive after the plan."""

    class Result:
        pass

    def plan(seen: list[Any]) -> Plan[Any]:
        branches: list[Branch[Any]] = [
            Branch(lambda: returning(Result())),
            Branch(raising),
        ]
        for branch in branches:
            yield from Begin(branch)
            yield from FirstOf([branch])
        seen.append(weakref.ref(branches[0].take()))
        try:
            branches[1].take()
        except LookupError:
            pass

    gc.collect()
    gc.disable()
    try:
        seen: list[Any] = []
        drive(plan(seen))
        assert seen[0]() is None
    finally:
        gc.enable()


def test_a_branch_that_is_cancelled_before_its_first_step_has_ended(drive: Drive) -> None:
    """Its owner, which may wait for it, goes on."""

    def plan() -> Plan[Any]:
        branch = Branch(lambda: returning("late", 20.0))
        yield from Begin(branch)
        branch.cancel()
        return (yield from FirstOf([branch], 5.0)), branch.is_done

    assert drive(plan()) == (0, True)


def test_a_wait_that_is_over_hears_no_more_of_its_branches(drive: Drive) -> None:
    """Whatever ended it: what a branch would call is that of the next wait."""
    heard: list[object] = []

    def plan() -> Plan[Any]:
        limit = closed()
        slow, quick = Branch(lambda: hanging(limit)), Branch(lambda: returning("quick"))
        try:
            for branch in (slow, quick):
                yield from Begin(branch)
            heard.append((yield from FirstOf([slow, quick])))
            heard.append((yield from FirstOf([slow], 0.0)))
            heard.extend(branch._on_end for branch in (slow, quick))
        finally:
            slow.cancel()

    drive(plan())
    assert heard == [1, None, None, None]


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_branch_is_no_call_of_its_own(kind: str) -> None:
    """Its driver counts the plan that began it."""
    driver: Any = BlockingDriver(never, PORTAL) if kind == "blocking" else AsyncioDriver(never)
    seen: list[set[int]] = []

    def inner() -> Plan[None]:
        yield from Invoke(lambda: seen.append(set(driver.running)))

    def plan() -> Plan[None]:
        branch = Branch(inner)
        yield from Begin(branch)
        yield from FirstOf([branch], 20.0)

    running = plan()
    name = id(running)
    result = driver.run(running)
    if kind == "asyncio":
        asyncio.run(result)
    assert seen == [{name}]


def test_a_branch_goes_on_though_nobody_refers_to_it() -> None:
    """asyncio itself does not hold its tasks; the driver does, until they have ended."""
    driver, log = AsyncioDriver(never), list[str]()

    async def wait_in_vain() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("ended")

    def inner() -> Plan[None]:
        yield from Invoke(wait_in_vain)

    def plan() -> Plan[None]:
        yield from Begin(Branch(inner))

    async def main() -> None:
        await driver.run(plan())
        await asyncio.sleep(0)
        gc.collect()
        assert log == []
        (task,) = driver._branches
        task.cancel()
        await asyncio.wait([task])
        assert log == ["ended"]
        await asyncio.sleep(0)
        assert driver._branches == set()

    asyncio.run(main())


def test_a_branch_of_a_loop_that_has_ended_reports_nothing() -> None:
    """Its coroutine is collected on any thread, and the loop of who waits for it is closed."""
    driver, ended = AsyncioDriver(never), list[bool]()

    async def wait_in_vain() -> None:
        await asyncio.get_running_loop().create_future()

    def inner() -> Plan[None]:
        yield from Invoke(wait_in_vain)

    async def main() -> None:
        branch = Branch(inner)
        branch._on_end = lambda: ended.append(True)
        running = driver._run_branch(branch)
        running.send(None)
        running.close()
        assert not branch.is_done

    asyncio.run(main())
    assert ended == []
