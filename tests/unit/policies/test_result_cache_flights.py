"""Calls in progress: equal calls share the result of one, and no call waits for itself."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import threading
import weakref
from typing import Any

import pytest

from http_service_client import (
    DeadlineExceededError,
    OperationTimeoutError,
    ResiliencePipeline,
    ResultCachePolicy,
    TimeoutPolicy,
    deadline,
)
from http_service_client.events import CacheUsed
from http_service_client.testing import VirtualClock
from kit.forks import in_a_child, needs_fork
from kit.front_ends import run_task
from kit.threads import wait_until


def test_many_threads_make_one_call() -> None:
    """64 threads that come at the same time: the function is called once, and each gets its result."""
    begun, go = threading.Event(), threading.Event()
    calls: list[int] = []
    results: list[Any] = []
    policy = ResultCachePolicy(60.0)

    @policy.apply
    def slow() -> object:
        calls.append(1)
        begun.set()
        assert go.wait(20)
        return result

    result = object()
    threads = [threading.Thread(target=lambda: results.append(slow())) for _ in range(64)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go.set()
    for thread in threads:
        thread.join(20)
    assert calls == [1]
    assert len(results) == 64
    assert all(each is result for each in results)
    snapshot = policy.snapshot()
    assert (snapshot.misses, snapshot.hits + snapshot.shared) == (1, 63)


def test_threads_and_event_loops_share_a_call() -> None:
    """A task that waits is woken on its own loop, by the thread that made the call."""
    policy = ResultCachePolicy(60.0)
    begun, go = threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        assert go.wait(20)
        return "of the thread"

    class Shared(ResultCachePolicy):
        def _key(self, operation: Any) -> str:
            return "one"

    policy = Shared(60.0)
    results: list[Any] = []
    leader = threading.Thread(target=lambda: results.append(policy.call(compute)))
    leader.start()
    assert begun.wait(20)

    async def never() -> str:
        raise AssertionError("the call is shared")

    async def main() -> None:
        waiting = [asyncio.ensure_future(policy.call_async(never)) for _ in range(5)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, go.set)
        results.extend(await asyncio.gather(*waiting))

    loops = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in loops:
        thread.start()
    for thread in (leader, *loops):
        thread.join(20)
    assert results == ["of the thread"] * 16


def test_a_function_may_call_itself() -> None:
    """With the same arguments, too: it would wait for itself. Tasks that it starts count as itself."""
    policy = ResultCachePolicy(60.0)

    @policy.apply
    def countdown(steps: tuple[int, ...]) -> int:
        depth.append(1)
        return 0 if len(depth) > 3 else 1 + countdown(steps)

    depth: list[int] = []
    assert countdown((1,)) == 3

    @policy.apply
    async def gathers() -> int:
        depth.append(1)
        if len(depth) > 2:
            return 1
        return sum(await asyncio.gather(gathers(), gathers()))

    depth.clear()
    assert asyncio.run(gathers()) >= 1


def in_a_circle(seen: list[str]) -> tuple[Any, Any]:
    """Two functions that call each other, in two threads or tasks at the same time: each waits until the other has begun."""
    began = {"f": threading.Event(), "g": threading.Event()}

    def f() -> str:
        seen.append("f")
        began["f"].set()
        assert began["g"].wait(20)
        return "f" if seen.count("f") > 1 else "f" + g()

    def g() -> str:
        seen.append("g")
        began["g"].set()
        assert began["f"].wait(20)
        return "g" if seen.count("g") > 1 else "g" + f()

    policy = ResultCachePolicy(60.0)
    f, g = policy.apply(f), policy.apply(g)
    return f, g


def test_functions_in_two_threads_do_not_wait_for_each_other() -> None:
    """The one that would close the circle calls the function itself, as one that calls itself does."""
    seen: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        results = [threads.submit(function) for function in in_a_circle(seen)]
        assert sorted(result.result(20) for result in results) in (["fg", "gfg"], ["fgf", "gf"], ["fg", "gf"])
    assert 3 <= len(seen) <= 4


def test_functions_in_two_tasks_do_not_wait_for_each_other() -> None:
    """As in threads."""
    policy, seen = ResultCachePolicy(60.0), []

    @policy.apply
    async def f() -> str:
        seen.append("f")
        await asyncio.sleep(0)
        return "f" if seen.count("f") > 1 else "f" + await g()

    @policy.apply
    async def g() -> str:
        seen.append("g")
        await asyncio.sleep(0)
        return "g" if seen.count("g") > 1 else "g" + await f()

    async def main() -> list[str]:
        return await asyncio.wait_for(asyncio.gather(f(), g()), 20)

    assert asyncio.run(main()) == ["fgf", "gf"]
    assert seen == ["f", "g", "f"]


def test_tasks_that_start_the_next_inside_keep_no_results() -> None:
    """Each task has the context of the one before, and with it the calls around it."""
    policy = ResultCachePolicy(0.001, max_entries=1)
    references: list[weakref.ref[Any]] = []
    alive: list[int] = []

    class Result:
        pass

    async def main() -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def find(number: int) -> Result:
            if number < 10:
                task = asyncio.create_task(generation(number + 1))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                gc.collect()
                alive.append(sum(reference() is not None for reference in references))
            await asyncio.sleep(0)
            result = Result()
            references.append(weakref.ref(result))
            return result

        async def generation(number: int) -> None:
            await policy.call_async(find, number)

        await generation(0)
        while tasks:
            await asyncio.gather(*tasks)

    run_task(main())
    assert len(references) == 11
    assert alive[0] <= 3


def test_nobody_waits_for_a_call_that_a_timeout_has_left_behind() -> None:
    """It may hang for hours in its thread. The next caller makes a call of its own, and a late result is not kept."""
    timeout, policy = TimeoutPolicy(0.05, in_thread=True), ResultCachePolicy(60.0)
    go = threading.Event()
    calls: list[int] = []

    @ResiliencePipeline(timeout, policy).apply
    def find() -> str:
        calls.append(1)
        if len(calls) > 1:
            return "in time"
        assert go.wait(20)
        return "late"

    while not calls:  # on a busy machine its thread may not begin in time
        with pytest.raises(OperationTimeoutError):
            find()
    timeout.reconfigure(seconds=5.0)
    assert find() == "in time"
    go.set()
    wait_until(lambda: policy.snapshot().misses == 2)
    assert (find(), len(calls)) == ("in time", 2)


def test_a_function_that_may_be_left_behind_holds_no_results_of_its_calls() -> None:
    """It may run for hours, and make many of them."""
    policy = ResultCachePolicy(60.0)

    class Result:
        pass

    def work() -> Result | None:
        known = weakref.ref(policy.call(Result))
        policy.clear()
        gc.collect()
        return known()

    assert TimeoutPolicy(20.0, in_thread=True).call(work) is None


def test_a_wait_that_a_deadline_ends_leaves_nothing_behind() -> None:
    """What was waited for may wait for the one that gave up."""
    policy, calls = ResultCachePolicy(60.0), list[str]()
    gave_up = asyncio.Event()

    @policy.apply
    async def impatient() -> str:
        calls.append("impatient")
        with (
            pytest.raises(DeadlineExceededError, match=r"the wait for an equal call of .*slow"),
            deadline(0.01),
        ):
            await slow()
        gave_up.set()
        for _ in range(5):
            await asyncio.sleep(0)
        return "result"

    @policy.apply
    async def slow() -> str:
        calls.append("slow")
        await gave_up.wait()
        return await impatient()

    async def main() -> list[str]:
        return await asyncio.gather(slow(), impatient())

    assert run_task(main()) == ["result", "result"]
    assert calls == ["slow", "impatient"]


def test_a_caller_that_gave_up_does_not_disturb_the_call() -> None:
    """Its loop may be closed when the result comes."""
    policy = ResultCachePolicy(60.0)
    begun, go, results = threading.Event(), threading.Event(), list[str]()

    def find() -> str:
        begun.set()
        assert go.wait(20)
        return "result"

    async def wait() -> None:
        with pytest.raises(DeadlineExceededError), deadline(0.01):
            await policy.call_async(find)  # type: ignore[arg-type]  # it is not called

    thread = threading.Thread(target=lambda: results.append(policy.call(find)))
    thread.start()
    assert begun.wait(20)
    run_task(wait())
    go.set()
    thread.join(20)
    assert results == ["result"]


def test_an_old_result_in_place_of_a_wait_is_told() -> None:
    """The event says why, and how old it is."""
    clock, events = VirtualClock(), list[Any]()
    policy = ResultCachePolicy(5.0, stale_on_error=60.0)
    pipeline = ResiliencePipeline(policy, clock=clock, on_event=events.append)
    outcomes, may_end = ["old", "new"], asyncio.Event()

    @pipeline.apply
    async def find() -> str:
        outcome = outcomes.pop(0)
        if outcome == "new":
            await may_end.wait()
        return outcome

    async def main() -> tuple[str, str]:
        await find()
        clock.advance(6.0)
        leader = asyncio.ensure_future(find())
        await asyncio.sleep(0)
        with deadline(0.01, clock=clock.monotonic):
            early = await find()
        may_end.set()
        return early, await leader

    assert run_task(main()) == ("old", "new")
    (told,) = [event for event in events if isinstance(event, CacheUsed) and event.result.value == "stale"]
    assert (told.age, told.ttl, told.reason) == (6.0, -1.0, "the deadline has passed")
    assert policy.snapshot().stale == 1


def test_a_result_that_another_call_has_just_brought_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came between the look-up and the turn of this call, as with threads."""
    events: list[Any] = []
    policy = ResultCachePolicy(60.0)
    guarded = ResiliencePipeline(policy, on_event=events.append).apply(lambda: object())
    join, brought = policy._cache.flights.join, list[object]()

    def join_later(*arguments: Any) -> Any:
        if not brought:
            brought.append(None)
            brought.append(guarded())
        return join(*arguments)

    monkeypatch.setattr(policy._cache.flights, "join", join_later)
    assert guarded() is brought[1]
    assert [event.result.value for event in events if isinstance(event, CacheUsed)] == ["miss", "hit"]
    assert (policy.snapshot().misses, policy.snapshot().hits) == (1, 1)


def test_the_event_of_a_shared_call_says_so() -> None:
    """Its result has just come."""
    events: list[Any] = []
    pipeline = ResiliencePipeline(ResultCachePolicy(60.0), on_event=events.append)

    async def slow() -> str:
        await asyncio.sleep(0)
        return "done"

    guarded = pipeline.apply(slow)

    async def main() -> list[str]:
        return await asyncio.gather(guarded(), guarded())

    assert asyncio.run(main()) == ["done", "done"]
    used = [event for event in events if isinstance(event, CacheUsed)]
    assert [(event.result.value, event.is_collapsed, event.age) for event in used] == [
        ("miss", False, None),
        ("hit", True, 0.0),
    ]


@needs_fork
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    """The call that is under way there never lands here; the results that are there stay."""
    policy = ResultCachePolicy(60.0)
    begun, go = threading.Event(), threading.Event()

    @policy.apply
    def find(name: str) -> str:
        if os.getpid() == parent and name == "slow":
            begun.set()
            go.wait(20)
        return f"{name} {os.getpid() == parent}"

    parent = os.getpid()
    find("kept")
    thread = threading.Thread(target=find, args=("slow",))
    thread.start()
    assert begun.wait(20)

    def child() -> None:
        assert (find("slow"), find("kept")) == ("slow False", "kept True")

    try:
        assert in_a_child(child) == 0
    finally:
        go.set()
        thread.join(20)
