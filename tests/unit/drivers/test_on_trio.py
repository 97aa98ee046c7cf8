"""Policies around async functions in tasks of trio, which anyio may have started."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConnectError,
    ConstantBackoff,
    DeadlineExceededError,
    FallbackPolicy,
    HedgingPolicy,
    HttpResponse,
    HttpServiceClient,
    OperationTimeoutError,
    ResiliencePipeline,
    ResultCachePolicy,
    RetryPolicy,
    TimeoutPolicy,
    deadline,
)
from http_service_client.core.effects import (
    TIMED_OUT,
    Acquire,
    Branch,
    FirstOf,
    Invoke,
    Plan,
    Sleep,
    Start,
    Work,
)
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.testing import ScriptedTransport
from kit.rows import each_row

trio = pytest.importorskip("trio", reason="the extra trio is not installed")

TIGHT = 0.02


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run it in trio; it must not take long."""

    async def in_time() -> Any:
        with trio.fail_after(20):
            return await main()

    return trio.run(in_time)


def retry(**settings: Any) -> RetryPolicy:
    return RetryPolicy(max_attempts=3, backoff_strategy=ConstantBackoff(0.001, jitter="none"), **settings)


class Failing:
    """An async function that fails so many times, after a step of trio."""

    def __init__(self, times: int) -> None:
        self.times, self.calls = times, 0

    async def __call__(self) -> str:
        await trio.sleep(0)
        self.calls += 1
        if self.calls <= self.times:
            raise ConnectError("no route")
        return "ok"


@pytest.mark.parametrize("around", [lambda policy: policy, ResiliencePipeline], ids=["alone", "pipeline"])
def test_a_retry_waits_in_trio(around: Callable[[Any], Any]) -> None:
    """Alone, where it has a loop of its own, and in a pipeline."""
    function = Failing(2)
    assert run(lambda: around(retry()).call_async(function)) == "ok"
    assert function.calls == 3


def test_a_circuit_opens() -> None:
    """It waits for nothing, so that it needs no driver."""
    policy = CircuitBreakerPolicy(failure_threshold=1)

    async def main() -> None:
        with pytest.raises(ConnectError):
            await policy.call_async(Failing(1))
        with pytest.raises(CircuitOpenError):
            await policy.call_async(Failing(0))

    run(main)


def test_a_timeout_cancels_the_function() -> None:
    """By a scope of trio's own, whose cancellation goes no further; the task goes on."""
    notes: list[str] = []

    async def hang() -> None:
        try:
            await trio.sleep(60)
        finally:
            notes.append("cleaned up")

    async def main() -> None:
        with pytest.raises(OperationTimeoutError):
            await TimeoutPolicy(TIGHT).call_async(hang)
        await trio.sleep(0)

    run(main)
    assert notes == ["cleaned up"]


def test_a_timeout_around_retries_and_inside_them() -> None:
    """As in asyncio."""
    calls: list[int] = []

    async def slow_at_first() -> str:
        calls.append(1)
        await trio.sleep(60 if len(calls) == 1 else 0)
        return "ok"

    inside = ResiliencePipeline(retry(), TimeoutPolicy(TIGHT))
    assert run(lambda: inside.call_async(slow_at_first)) == "ok"
    calls.clear()
    outside = ResiliencePipeline(TimeoutPolicy(TIGHT), retry())
    with pytest.raises(OperationTimeoutError):
        run(lambda: outside.call_async(slow_at_first))
    assert len(calls) == 1


@each_row(
    "policy",
    [
        retry(),
        CircuitBreakerPolicy(),
        FallbackPolicy(value="instead", is_failure=lambda outcome: True),
        TimeoutPolicy(60.0),
        ResultCachePolicy(60.0, stale_on_error=60.0),
        BulkheadPolicy(max_concurrent=1),
        HedgingPolicy(delay=0.001),
    ],
    ids=lambda policy: type(policy).__name__,
)
def test_a_cancellation_is_never_swallowed(policy: Any) -> None:
    """It ends the scope that it belongs to, in a function and in whatever stands around it."""

    async def hang() -> None:
        await trio.sleep(60)

    async def main() -> bool:
        pipeline = ResiliencePipeline(policy)
        with trio.move_on_after(TIGHT) as scope:
            await pipeline.call_async(hang)
        return bool(scope.cancelled_caught)

    assert run(main) is True


def test_a_cancelled_wait_between_attempts_ends_at_once() -> None:
    """And its call makes no further attempt."""
    function = Failing(9)
    policy = RetryPolicy(max_attempts=3, backoff_strategy=ConstantBackoff(60.0))

    async def main() -> None:
        for guarded in (policy, ResiliencePipeline(policy)):
            with trio.move_on_after(TIGHT) as scope:
                await guarded.call_async(function)
            assert scope.cancelled_caught

    run(main)
    assert function.calls == 2


def test_a_permit_is_waited_for() -> None:
    """In order, and one that is cancelled leaves the queue."""
    policy = BulkheadPolicy(max_concurrent=1, max_waiting=10)
    order: list[int] = []

    async def work(number: int) -> None:
        order.append(number)
        await trio.sleep(0.005)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(lambda number=number: policy.call_async(work, number))
                await trio.sleep(0.001)

    run(main)
    assert order == [0, 1, 2, 3]


def test_tasks_and_threads_share_a_call() -> None:
    """A waiting task of trio is woken by the thread that made the call."""

    class Shared(ResultCachePolicy):
        def _key(self, operation: Any) -> str:
            return "one"

    policy, begun, go = Shared(60.0), threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        assert go.wait(20)
        return "of the thread"

    async def never() -> str:
        raise AssertionError("the call is shared")

    async def main() -> list[Any]:
        results: list[Any] = []

        async def wait() -> None:
            results.append(await policy.call_async(never))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait)
            await trio.sleep(0.005)
            go.set()
        return results

    thread = threading.Thread(target=policy.call, args=(compute,))
    thread.start()
    assert begun.wait(20)
    assert run(main) == ["of the thread"] * 5
    thread.join(20)


def test_the_deadline_of_a_wait_for_a_shared_call() -> None:
    """Each waits no longer than its own deadline."""
    policy = ResultCachePolicy(60.0)

    async def main() -> None:
        may_end = trio.Event()

        async def slow() -> str:
            await may_end.wait()
            return "ok"

        async def wait_briefly() -> None:
            with deadline(TIGHT), pytest.raises(DeadlineExceededError):
                await policy.call_async(slow)
            may_end.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: policy.call_async(slow))
            await trio.sleep(0.001)
            nursery.start_soon(wait_briefly)

    run(main)


def test_the_faster_hedge_wins() -> None:
    """The other one is cancelled, and nothing of it is left when the call returns."""
    notes: list[str] = []

    async def slow_at_first() -> str:
        number = len(notes)
        notes.append(f"begins {number}")
        try:
            await trio.sleep(60 if number == 0 else 0)
        except BaseException:
            notes.append(f"cancelled {number}")
            raise
        return f"of {number}"

    policy = HedgingPolicy(delay=0.005)
    assert run(lambda: policy.call_async(slow_at_first)) == "of 1"
    assert notes == ["begins 0", "begins 1", "cancelled 0"]


def test_a_fallback_function_of_trio_is_awaited() -> None:
    """It may be async."""

    async def stand_in(error: BaseException) -> str:
        await trio.sleep(0)
        return "instead"

    assert run(lambda: FallbackPolicy(function=stand_in).call_async(Failing(1))) == "instead"


def test_loops_and_blocks() -> None:
    """`async for attempt in pipeline.attempts()`, and `async with pipeline`."""
    pipeline = ResiliencePipeline(retry())
    numbers: list[int] = []

    async def main() -> None:
        async for attempt in pipeline.attempts():
            async with attempt:
                numbers.append(attempt.number)
                await trio.sleep(0)
                if attempt.number < 3:
                    raise ConnectError("no route")
        async with ResiliencePipeline(CircuitBreakerPolicy()):
            await trio.sleep(0)

    run(main)
    assert numbers == [1, 2, 3]


def test_every_effect_of_a_plan() -> None:
    """Those that no policy of a test above asks for."""
    from http_service_client.drivers.on_trio import TrioDriver

    notes: list[Any] = []
    semaphore = FairSemaphore(1, lock=ForkSafeLock())
    assert semaphore.try_acquire()

    def beside() -> Plan[None]:
        yield from Sleep(0.0)
        notes.append("beside")

    def plan() -> Plan[str]:
        waiter = semaphore.acquire_later()
        notes.append((yield from Acquire(waiter, 0.001)))
        waiter.release()
        notes.append((yield from Work(lambda: threading.current_thread() is threading.main_thread())))
        notes.append((yield from Start(beside, on_end=lambda: notes.append("ended"))))
        never = semaphore.acquire_later()
        yield from Sleep(0.01, never)
        return "done"

    assert run(lambda: TrioDriver().run(plan())) == "done"
    assert notes == [False, False, True, "beside", "ended"]
    assert semaphore.waiting == 0


async def later(value: int) -> int:
    await trio.sleep(0)
    return value


def test_functions_of_a_plan_may_be_plain_or_async() -> None:
    """Their values go into the plan, and so does the answer to an effect without a plan to who asks for it."""
    from http_service_client.drivers.on_trio import TrioDriver

    driver = TrioDriver()

    def plan() -> Plan[list[int]]:
        return [(yield Invoke(abs, -1)), (yield Invoke(later, 2)), (yield Invoke(later, 3, timeout=20.0))]

    assert run(lambda: driver.run(plan())) == [1, 2, 3]
    assert run(lambda: driver.perform(Invoke(later, 4))) == 4


@each_row(("timeout", "passed"), [(-1.0, 0.0), (0.0, 0.0), (0.25, 0.25), (5.0, 5.0)])
@each_row("kind", ["acquire", "first of", "invoke", "sleep", "work"])
def test_a_wait_takes_as_long_as_its_timeout(kind: str, timeout: float, passed: float) -> None:
    """On trio's clock, which is a virtual one here. A timeout that is over is none to wait for."""
    from trio.testing import MockClock

    from http_service_client.drivers.on_trio import TrioDriver

    semaphore, may_end = FairSemaphore(1, lock=ForkSafeLock()), threading.Event()
    semaphore.try_acquire()
    effects: dict[str, Any] = {
        "acquire": Acquire(semaphore.acquire_later(), timeout),
        "first of": FirstOf([Branch(lambda: iter(Sleep(60.0)))], timeout),
        "invoke": Invoke(trio.sleep, 60.0, timeout=timeout),
        "sleep": Sleep(timeout, semaphore.acquire_later()),
        "work": Work(may_end.wait, 20.0, timeout=timeout),
    }
    answers = {"acquire": False, "first of": None, "invoke": TIMED_OUT, "sleep": None, "work": TIMED_OUT}

    async def main() -> tuple[Any, float]:
        began = trio.current_time()
        return await TrioDriver().perform(effects[kind]), trio.current_time() - began

    try:
        answer, took = trio.run(main, clock=MockClock(autojump_threshold=0.0))
    finally:
        may_end.set()
    assert answer is answers[kind]
    assert took == pytest.approx(passed)


@pytest.mark.parametrize("where", ["this loop", "another loop", "a thread"])
def test_a_permit_may_be_released_anywhere(where: str) -> None:
    """It wakes the task that waits, in its own loop."""
    from http_service_client.drivers.on_trio import TrioDriver

    semaphore = FairSemaphore(1, lock=ForkSafeLock())
    semaphore.try_acquire()

    async def release() -> None:
        semaphore.release()

    async def main() -> Any:
        async with trio.open_nursery() as nursery:
            if where == "this loop":
                nursery.start_soon(release)
            elif where == "another loop":
                nursery.start_soon(trio.to_thread.run_sync, trio.run, release)
            else:
                nursery.start_soon(trio.to_thread.run_sync, semaphore.release)
            return await TrioDriver().perform(Acquire(semaphore.acquire_later(), None))

    assert run(main) is True


def test_a_branch_that_trio_cancels_ends_cancelled() -> None:
    """As its system tasks are when the program ends. The cancellation goes on, and the owner is told."""
    from http_service_client.drivers.on_trio import TrioDriver

    branch, log = Branch(lambda: iter(Sleep(60.0))), list[str]()

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await TrioDriver()._run_branch(branch, trio.CancelScope())
            log.append("went on")
        assert scope.cancelled_caught

    run(main)
    assert (branch.is_done, log) == (True, [])
    with pytest.raises(asyncio.CancelledError):
        branch.take()


def test_work_in_a_thread_is_not_waited_for_longer_than_it_may_take() -> None:
    """Nor by a task that is cancelled: the thread, which cannot be ended, goes on alone."""
    from http_service_client.drivers.on_trio import TrioDriver

    may_end, ended = threading.Event(), threading.Event()

    def work() -> None:
        may_end.wait(20)
        ended.set()

    def plan(timeout: float | None) -> Plan[Any]:
        return (yield from Work(work, timeout=timeout))

    async def main() -> tuple[Any, bool]:
        result = await TrioDriver().run(plan(TIGHT))
        with trio.move_on_after(TIGHT) as scope:
            await TrioDriver().run(plan(None))
        return result, scope.cancelled_caught

    try:
        assert run(main) == (TIMED_OUT, True)
        assert not ended.is_set()
    finally:
        may_end.set()
    assert ended.wait(20)


def test_a_client_says_that_it_needs_asyncio() -> None:
    """And how to make the call; nothing was sent. In a thread it works."""

    async def main() -> int:
        with HttpServiceClient(base_url="http://127.0.0.1:9") as real, pytest.raises(RuntimeError) as caught:
            await real.get_async("/")
        assert "need asyncio, and this is a task of trio; make the call in a thread" in str(caught.value)
        client = HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)]))
        response = await trio.to_thread.run_sync(client.get, "https://api.example.com/")
        return int(response.status_code)

    assert run(main) == 200


def test_through_anyio() -> None:
    """An application of anyio may run on either library; the policy goes by the one that runs."""
    anyio = pytest.importorskip("anyio")
    policy = ResiliencePipeline(TimeoutPolicy(30.0), retry(), BulkheadPolicy(max_concurrent=1, max_waiting=5))
    calls: list[int] = []

    async def work() -> str:
        calls.append(1)
        await anyio.sleep(0.001)
        if len(calls) % 2:
            raise ConnectError("no route")
        return "ok"

    async def main() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(policy.call_async, work)
        return str(await policy.call_async(work))

    assert [anyio.run(main, backend=name) for name in ("trio", "asyncio", "trio")] == ["ok"] * 3
