"""A bulkhead around functions and blocks, plain and async."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    BulkheadPolicy,
    CircuitBreakerPolicy,
    ConfigurationError,
    Priority,
    ResiliencePipeline,
    RetryPolicy,
    SentState,
    priority,
)
from http_service_client.core.priority import current_priority
from http_service_client.policies import BulkheadSettings
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd, run_task


def use(policy: BulkheadPolicy) -> tuple[int, int]:
    """Permits held, and calls waiting."""
    snapshot = policy.snapshot()
    return snapshot.in_use, snapshot.waiting


def test_a_permit_is_held_during_the_function(front_end: FrontEnd) -> None:
    """Whatever it returns or raises."""
    policy = BulkheadPolicy(3)

    def body(result: Any) -> Any:
        assert use(policy) == (1, 0)
        if isinstance(result, Exception):
            raise result
        return result

    guarded = policy.apply(front_end.function(body))
    assert front_end.run(guarded, 5) == 5
    with pytest.raises(KeyError):
        front_end.run(guarded, KeyError("x"))
    assert use(policy) == (0, 0)


def test_a_refusal_says_which_policy(front_end: FrontEnd) -> None:
    """And what to change."""
    policy = BulkheadPolicy(1, 0, name="reports")

    def outer() -> None:
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()

    errors: list[BulkheadFullError] = []

    def inner() -> None:
        try:
            policy.call(list)
        except BulkheadFullError as error:
            errors.append(error)

    front_end.run(policy.apply(front_end.function(outer)))
    (error,) = errors
    assert (error.key, error.reason, error.sent_state) == ("reports", "full", SentState.NEVER_SENT)
    assert str(error).startswith(
        "the bulkhead for reports refused a call of normal priority: there is no room"
    )
    assert "partition" not in str(error)


def test_a_call_inside_a_guarded_call_goes_on_with_its_permit(front_end: FrontEnd) -> None:
    """A function that calls itself would wait for itself."""
    policy = BulkheadPolicy(1, 0)

    if front_end.name == "asyncio":

        @policy.apply
        async def depth_async(left: int) -> int:
            assert use(policy) == (1, 0)
            return 0 if left == 0 else 1 + await depth_async(left - 1)

        assert run_task(depth_async(5)) == 5
    else:

        @policy.apply
        def depth(left: int) -> int:
            assert use(policy) == (1, 0)
            return 0 if left == 0 else 1 + depth(left - 1) + 0 * depth(0)

        assert depth(5) == 5
    assert use(policy) == (0, 0)


def test_tasks_of_a_guarded_call_need_permits_of_their_own() -> None:
    """All but one at a time: otherwise a call could start any number of them."""
    policy = BulkheadPolicy(2, 0)
    running, most = 0, 0

    @policy.apply
    async def inner() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    @policy.apply
    async def outer() -> list[Any]:
        return await asyncio.gather(*(inner() for _ in range(5)), return_exceptions=True)

    results = run_task(outer())
    assert most == 2
    assert [type(each) for each in results].count(BulkheadFullError) == 3
    assert use(policy) == (0, 0)


def test_a_task_that_outlives_the_call_has_no_part_in_its_permit() -> None:
    """It was started inside, and goes on when the permit is another's."""
    policy = BulkheadPolicy(1, 0)
    go_on = asyncio.Event()
    inner = policy.apply(_done)

    async def late() -> str:
        await go_on.wait()
        try:
            return await inner()
        except BulkheadFullError:
            return "refused"

    @policy.apply
    async def outer() -> list[asyncio.Task[str]]:
        return [asyncio.create_task(late())]

    @policy.apply
    async def other(task: asyncio.Task[str]) -> str:
        go_on.set()
        return await task

    async def main() -> tuple[str, str]:
        (task,) = await outer()
        first = await other(task)
        return first, await inner()

    assert run_task(main()) == ("refused", "done")


async def _done() -> str:
    return "done"


def test_a_block_holds_a_permit() -> None:
    """Of a pipeline, and of the policy alone."""
    policy = BulkheadPolicy(1, 0)
    with policy:
        assert use(policy) == (1, 0)
        with pytest.raises(BulkheadFullError):
            run_elsewhere(policy.call, list)
    with pytest.raises(ZeroDivisionError), ResiliencePipeline(policy):
        raise ZeroDivisionError
    assert use(policy) == (0, 0)


def run_elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    """On a thread with a context of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function(*args))
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def test_a_generator_holds_a_permit_while_it_makes_an_item() -> None:
    """Not while the code that iterates works with it: that may take any time."""
    policy = BulkheadPolicy(1, 0)

    @policy.apply
    def rows() -> Iterator[tuple[int, int]]:
        for _ in range(2):
            yield use(policy)

    steps = rows()
    for in_use in steps:
        assert in_use == (1, 0)
        assert use(policy) == (0, 0)


def test_threads_and_tasks_wait_for_each_other() -> None:
    """One policy for both."""
    policy = BulkheadPolicy(1, 5, 20.0)
    entered, leave = threading.Event(), threading.Event()

    def block() -> str:
        entered.set()
        assert leave.wait(20)
        return "thread"

    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(policy.call(block)))
    thread.start()
    assert entered.wait(20)

    async def main() -> str:
        task = asyncio.ensure_future(policy.call_async(_done))
        while use(policy) != (1, 1):
            await asyncio.sleep(0)
        leave.set()
        return await task

    assert run_task(main()) == "done"
    thread.join(20)
    assert (results, use(policy)) == (["thread"], (0, 0))


def test_a_refusal_is_neither_retried_nor_a_failure_of_the_service(front_end: FrontEnd) -> None:
    """Nothing was called."""
    bulkhead, breaker = BulkheadPolicy(1, 0), CircuitBreakerPolicy(1)
    pipeline = ResiliencePipeline(RetryPolicy(3), breaker, bulkhead)
    guarded = pipeline.apply(front_end.function(list))
    permit = bulkhead._bulkhead.permit()
    assert permit.try_acquire()
    with pytest.raises(BulkheadFullError):
        front_end.run(guarded)
    assert (breaker.state, bulkhead.snapshot().refused) == ("closed", 1)


def test_the_order_in_a_pipeline_is_checked() -> None:
    """A call would hold its permit while it waits between its attempts."""
    with pytest.warns(UserWarning, match="RetryPolicy inside BulkheadPolicy.*holds its permit"):
        ResiliencePipeline(BulkheadPolicy(1), RetryPolicy(2))


def test_partitions_go_by_the_name_of_the_function(front_end: FrontEnd) -> None:
    """By default."""
    policy = BulkheadPolicy(4, partitions={"charge": 0.5})
    seen: list[Any] = []

    def charge() -> None:
        seen.append(policy.snapshot().partitions)

    def other() -> None:
        charge()

    for body in (charge, other):
        front_end.run(policy.apply(front_end.function(body)))
    assert seen == [{"charge": (1, 0), "": (0, 0)}, {"charge": (0, 0), "": (1, 0)}]


def test_the_priority_reaches_the_function_and_its_threads(front_end: FrontEnd) -> None:
    """It is that of the block around the call."""
    guarded = BulkheadPolicy(1).apply(front_end.function(current_priority))
    with priority("high"):
        assert front_end.run(guarded) is Priority.HIGH


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copy_has_the_settings_and_permits_of_its_own(how: Callable[[Any], Any]) -> None:
    """State stays where it is; policies with the same settings and name are equal."""
    policy = BulkheadPolicy(1, 0, 2.0, partitions={"a": 0.5}, partition_by="name", name="pages")
    with policy:
        twin = how(policy)
        assert (twin, hash(twin), twin.name, twin.settings) == (
            policy, hash(policy), "pages", policy.settings,
        )  # fmt: skip
        assert (use(twin), use(policy)) == ((0, 0), (1, 0))
    assert twin != BulkheadPolicy(1, 0, 2.0, partitions={"a": 0.5})
    assert twin != "pages"


def test_it_is_reconfigured_by_name_and_keeps_its_permits() -> None:
    """A wrong value changes nothing."""
    policy = BulkheadPolicy(1, 0)
    with policy:
        policy.reconfigure(max_concurrent=2, max_wait=None)
        assert (use(policy), policy.settings.max_concurrent) == ((1, 0), 2)
        with pytest.raises(ConfigurationError, match="max_waiting"):
            policy.reconfigure(max_concurrent=9, max_waiting=-1)
        with pytest.raises(TypeError, match="size"):
            policy.reconfigure(size=3)  # type: ignore[call-arg]
        assert policy.settings == BulkheadSettings(max_concurrent=2, max_waiting=0, max_wait=None)
        assert run_elsewhere(policy.call, list) == []
    with pytest.raises(AttributeError, match="reconfigure"):
        policy.max_concurrent = 3  # type: ignore[attr-defined]


def test_a_wrong_argument_names_its_remedy() -> None:
    """The names that other libraries use lead to ours."""
    with pytest.raises(TypeError, match="it is called max_concurrent"):
        BulkheadPolicy(max_concurrency=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="max_concurrent must be a whole number of 1 or more, not 0"):
        BulkheadPolicy(0)
    with pytest.raises(TypeError, match="apply"):
        BulkheadPolicy(1)(list)  # type: ignore[operator]


@needs_fork
def test_a_forked_child_starts_with_all_permits() -> None:
    """Those of the parent are its own, such as that of another thread."""
    policy = BulkheadPolicy(1, 0)
    begun, may_end = threading.Event(), threading.Event()
    thread = threading.Thread(target=policy.call, args=(lambda: (begun.set(), may_end.wait(20)),))
    thread.start()
    try:
        assert begun.wait(20)
        assert in_a_child(lambda: policy.call(list)) == 0
        assert use(policy) == (1, 0)
    finally:
        may_end.set()
        thread.join(20)
