"""The hedging policy around functions: what it takes, what it keeps, and what it refuses."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from types import SimpleNamespace

import pytest

from http_service_client import (
    BulkheadPolicy,
    ConfigurationError,
    ConstantBackoff,
    HedgingPolicy,
    ResiliencePipeline,
    RetryPolicy,
    SentState,
    TimeoutPolicy,
)
from http_service_client.drivers import blocking
from http_service_client.events import Event, HedgeFinished, OperationFinished
from kit.forks import in_a_child, needs_fork
from kit.front_ends import run_task
from kit.threads import wait_until


async def one() -> int:
    return 1


def test_a_plain_function_is_refused_with_the_reason() -> None:
    """It cannot be interrupted: the error says what to do instead."""
    with pytest.raises(ConfigurationError, match=r"plain function.*guard an async function.*in_threads=True"):
        HedgingPolicy(delay=1.0).call(lambda: 1)


def test_a_block_is_refused() -> None:
    """It cannot run twice."""
    with pytest.raises((ConfigurationError, TypeError)), ResiliencePipeline(HedgingPolicy(delay=1.0)):
        raise AssertionError("it must not run")


def test_a_function_without_a_free_thread_is_called_on_that_of_its_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a hedge."""
    monkeypatch.setattr(blocking, "_BRANCHES", SimpleNamespace(is_full=True))
    thread = HedgingPolicy(delay=60.0, in_threads=True).call(threading.get_ident)
    assert thread == threading.get_ident()


def test_a_plain_function_in_threads_runs_to_its_end_when_it_has_lost() -> None:
    """The caller does not wait for it, and its thread ends with it."""
    policy = HedgingPolicy(delay=0.01, in_threads=True)
    may_end, ended, numbers = threading.Event(), threading.Event(), iter((1, 2))

    def work() -> int:
        number = next(numbers)
        if number == 1:
            may_end.wait(10)
            ended.set()
        return number

    assert policy.call(work) == 2
    assert not ended.is_set()
    may_end.set()
    wait_until(ended.is_set)


@pytest.mark.parametrize("way", ["decorator", "call", "pipeline"])
def test_a_plain_function_that_lost_ends_its_retries(way: str) -> None:
    """Its thread does not wait for them, and the function is not called again in vain."""
    retry = RetryPolicy(backoff_strategy=ConstantBackoff(60.0, jitter="none"))
    ended, numbers, attempts = threading.Event(), iter((1, 2)), list[int]()

    def fail() -> None:
        attempts.append(1)
        raise ConnectionError

    def retried() -> None:
        if way == "decorator":
            retry.apply(fail)()
        elif way == "call":
            retry.call(fail)
        else:
            ResiliencePipeline(retry).call(fail)

    def work() -> int:
        number = next(numbers)
        if number == 1:
            try:
                retried()
            finally:
                ended.set()
        return number

    assert HedgingPolicy(delay=0.01, in_threads=True).call(work) == 2
    assert ended.wait(20)
    assert attempts == [1]


def test_what_a_function_that_lost_still_does_is_no_part_of_the_story() -> None:
    """The listener has heard of the end, and metrics have counted it."""
    bulkhead, events = BulkheadPolicy(2), list[Event]()
    hedging = HedgingPolicy(delay=0.01, in_threads=True)
    pipeline = ResiliencePipeline(hedging, bulkhead, TimeoutPolicy(0.001), on_event=events.append)
    may_end, begun, numbers = threading.Event(), threading.Event(), iter((1, 2))

    def work() -> int:
        number = next(numbers)
        if number == 1:
            begun.set()
            may_end.wait(20)
        else:
            begun.wait(20)
        return number

    assert pipeline.call(work) == 2
    heard = list(events)
    assert isinstance(heard[-1], OperationFinished)
    may_end.set()
    wait_until(lambda: bulkhead.snapshot().in_use == 0)
    assert events == heard


def test_an_async_function_that_lost_is_cancelled() -> None:
    """Before the caller does anything else that takes time."""
    cancelled: list[int] = []
    numbers = iter((1, 2))

    async def work() -> int:
        number = next(numbers)
        try:
            await asyncio.sleep(60.0 if number == 1 else 0.0)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    async def main() -> int:
        result = await HedgingPolicy(delay=0.01).call_async(work)
        await asyncio.sleep(0)
        return result

    assert asyncio.run(main()) == 2
    assert cancelled == [1]


def test_a_copy_has_the_settings_and_a_state_of_its_own() -> None:
    """So has a pickle. Policies are equal by their settings and name."""
    policy = HedgingPolicy(delay=0.5, name="rates")
    asyncio.run(policy.call_async(one))
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy
        assert twin.snapshot()[1:] == (0, 0, 5)
        assert twin.settings == policy.settings
    assert policy.snapshot().calls == 1
    assert policy != HedgingPolicy(delay=0.6, name="rates")


def test_settings_change_while_it_is_in_use() -> None:
    """The counts stay; a wrong value changes nothing."""
    policy = HedgingPolicy(delay=0.5)
    asyncio.run(policy.call_async(one))
    policy.reconfigure(delay=2.0, max_hedges=3)
    assert (policy.settings.delay, policy.settings.max_hedges, policy.snapshot()[:2]) == (2.0, 3, (2.0, 1))
    with pytest.raises(ConfigurationError, match="delay must be"):
        policy.reconfigure(delay=-1)
    with pytest.raises(TypeError, match="dely"):
        policy.reconfigure(dely=1)
    assert policy.settings.delay == 2.0


def test_the_first_error_of_a_function_that_learns_is_raised() -> None:
    """An error is no latency."""

    async def fails() -> int:
        raise LookupError

    policy = HedgingPolicy(min_calls=1)
    with pytest.raises(LookupError):
        asyncio.run(policy.call_async(fails))
    assert policy.snapshot().delay is None


@needs_fork
def test_a_forked_child_has_the_whole_share() -> None:
    """And hedges by threads of its own."""
    policy = HedgingPolicy(delay=0.01, in_threads=True, max_share=0.001)
    first = threading.Event()

    def slow_once() -> str:
        if not first.is_set():
            first.set()
            threading.Event().wait(0.3)
        return "done"

    assert policy.call(slow_once) == "done"

    def child() -> None:
        first.clear()
        assert policy.snapshot().available == 5
        assert policy.call(slow_once) == "done"
        assert policy.snapshot().hedges == 1

    assert in_a_child(child) == 0


def test_the_calls_of_a_function_are_one_operation() -> None:
    """What policies inside say of each of them has the id of the whole."""
    events: list[Event] = []
    limit = BulkheadPolicy(max_concurrent=1, max_waiting=1)
    pipeline = ResiliencePipeline(HedgingPolicy(delay=0.01, max_share=1.0), limit, on_event=events.append)

    calls: list[None] = []

    async def fail() -> None:
        calls.append(None)
        while len(calls) == 1 and not limit.snapshot().waiting:  # the hedge is yet to come
            await asyncio.sleep(0.001)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(pipeline.call_async(fail))
    assert {"HedgeStarted", "LimitWaited"} <= {type(each).__name__ for each in events}
    assert len({each.call_id for each in events}) == 1


def test_an_event_says_what_became_of_each_call() -> None:
    """The one that was cancelled may have done its work; the one that returned has."""
    events: list[Event] = []
    pipeline = ResiliencePipeline(HedgingPolicy(delay=0.01), on_event=events.append)
    seconds = iter((60.0, 0.0))

    async def work() -> None:
        await asyncio.sleep(next(seconds))

    asyncio.run(pipeline.call_async(work))
    assert [(each.hedge, each.sent_state) for each in events if isinstance(each, HedgeFinished)] == [
        (1, SentState.ANSWERED),
        (0, SentState.MAYBE_PROCESSED),
    ]


def test_an_event_names_the_error_of_a_call() -> None:
    """Of which nobody knows what was done before it."""
    events: list[Event] = []
    pipeline = ResiliencePipeline(HedgingPolicy(delay=0.01), on_event=events.append)
    hedged, failed = asyncio.Event(), asyncio.Event()
    numbers = iter((1, 2))

    async def work() -> None:
        if next(numbers) == 1:
            await hedged.wait()
            failed.set()
            raise ConnectionError
        hedged.set()
        await failed.wait()
        raise LookupError

    with pytest.raises((ConnectionError, LookupError)):
        run_task(pipeline.call_async(work))
    assert [(each.error, each.sent_state) for each in events if isinstance(each, HedgeFinished)] == [
        ("ConnectionError", SentState.MAYBE_PROCESSED),
        ("LookupError", SentState.MAYBE_PROCESSED),
    ]


def test_in_threads_is_a_flag() -> None:
    """The error names it."""
    with pytest.raises(ConfigurationError, match="in_threads must be True or False, not 'yes'"):
        HedgingPolicy(in_threads="yes")  # type: ignore[arg-type]
