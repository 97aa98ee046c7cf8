"""Blocks under a pipeline: `with pipeline:`, and the loops whose block is repeated."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConstantBackoff,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.core.deadline import AMBIENT_DEADLINE, remaining
from http_service_client.events import Event, OperationFinished
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd, run_task
from kit.guarded import Failing, PaymentError, breaking, retrying


def loop(front_end: FrontEnd, pipeline: ResiliencePipeline, body: Callable[[Any], object]) -> list[int]:
    """The numbers of the attempts in which the body ran."""
    numbers: list[int] = []

    def blocking() -> list[int]:
        for attempt in pipeline.attempts():
            with attempt as entered:
                assert entered is attempt
                numbers.append(attempt.number)
                body(attempt)
        return numbers

    async def asynchronous() -> list[int]:
        async for attempt in pipeline.attempts():
            async with attempt as entered:
                assert entered is attempt
                numbers.append(attempt.number)
                await asyncio.sleep(0)
                body(attempt)
        return numbers

    result: list[int] = front_end.run(blocking if front_end.name == "blocking" else asynchronous)
    return result


def test_a_block_is_repeated_until_it_succeeds(front_end: FrontEnd) -> None:
    """The loop ends after it."""
    failing = Failing(2)
    assert loop(front_end, ResiliencePipeline(retrying(5)), lambda _: failing()) == [1, 2, 3]


def test_the_last_error_leaves_the_block(front_end: FrontEnd) -> None:
    """Unchanged."""
    failing = Failing(9)
    with pytest.raises(PaymentError) as caught:
        loop(front_end, ResiliencePipeline(retrying(3)), lambda _: failing())
    assert caught.value is failing.error
    assert failing.calls == 3


def test_what_stands_inside_the_retry_is_asked_for_each_attempt(front_end: FrontEnd) -> None:
    """And counts each."""
    breaker, failing = breaking(9), Failing(2)
    loop(front_end, ResiliencePipeline(retrying(3), breaker), lambda _: failing())
    assert (breaker.snapshot().failures, breaker.snapshot().successes) == (2, 1)


def test_the_waits_take_the_time_of_the_clock(front_end: FrontEnd) -> None:
    """Inside the `with` or `async with` of the attempt."""
    clock = VirtualClock()
    conditions = [RetryCondition.on_exceptions([PaymentError])]
    retry = RetryPolicy(3, ConstantBackoff(5.0, jitter="none"), conditions, clock=clock)
    failing = Failing(2)
    loop(front_end, ResiliencePipeline(retry), lambda _: failing())
    assert clock.waits == [5.0, 5.0]


def test_a_result_may_be_judged(front_end: FrontEnd) -> None:
    """By conditions on results."""
    retry = RetryPolicy(5, ConstantBackoff(0.0), [RetryCondition.on_result(lambda result: result == "no")])
    answers = iter(["no", "no", "yes"])

    def body(attempt: Any) -> None:
        assert attempt.result is None
        attempt.result = answer = next(answers)
        assert attempt.result == answer

    assert loop(front_end, ResiliencePipeline(retry), body) == [1, 2, 3]


def test_a_break_in_the_block_ends_the_loop() -> None:
    """Outside of the block's `with`, too; the attempt was a success."""
    breaker = breaking(1)
    for attempt in ResiliencePipeline(retrying(3), breaker).attempts():
        with attempt:
            break
    for attempt in ResiliencePipeline(retrying(3), breaker).attempts():
        with attempt:
            pass
        break
    assert breaker.snapshot().successes == 2


def test_a_loop_that_is_left_before_its_block_holds_nothing(front_end: FrontEnd) -> None:
    """At once, and not when the attempt is collected."""
    bulkhead = BulkheadPolicy(1)

    def leave() -> Any:
        kept = []
        for attempt in bulkhead.attempts():
            kept.append(attempt)
            assert bulkhead.snapshot().in_use == 1
            break
        return kept[0]

    async def leave_async() -> Any:
        attempts = bulkhead.attempts().__aiter__()
        attempt = await attempts.__anext__()
        assert bulkhead.snapshot().in_use == 1
        await attempts.aclose()  # type: ignore[attr-defined]  # a generator
        return attempt

    kept = front_end.run(leave if front_end.name == "blocking" else leave_async)
    assert kept.number == 1
    assert bulkhead.snapshot().in_use == 0


class Interrupted(VirtualClock):
    """A clock whose waits are interrupted, as by Ctrl-C or a cancelled task."""

    def sleep(self, seconds: float) -> None:
        raise KeyboardInterrupt

    async def sleep_async(self, seconds: float) -> None:
        raise asyncio.CancelledError


def test_an_interrupted_wait_of_a_loop_is_that_of_its_policies(front_end: FrontEnd) -> None:
    """They see how it ended, and so does the event."""
    events: list[Event] = []
    conditions = [RetryCondition.on_exceptions([PaymentError])]
    retry = RetryPolicy(3, ConstantBackoff(5.0), conditions, clock=Interrupted())
    interruption = KeyboardInterrupt if front_end.name == "blocking" else asyncio.CancelledError
    with pytest.raises(interruption):
        loop(front_end, ResiliencePipeline(retry, on_event=events.append), lambda _: Failing(1)())
    ends = [event.error for event in events if isinstance(event, OperationFinished)]
    assert ends == [interruption.__name__]


@pytest.mark.parametrize(
    "make",
    [
        lambda: retrying(3),
        lambda: ResiliencePipeline(TimeoutPolicy(60.0), retrying(3)),
        lambda: ResiliencePipeline(retrying(3), breaking(9)),
    ],
    ids=["alone", "with a timeout", "with a breaker"],
)
def test_a_loop_in_a_generator_is_not_around_the_code_that_iterates(
    front_end: FrontEnd, make: Callable[[], Any]
) -> None:
    """That code retries for itself. What the generator calls is inside of the loop, and leaves the retries to it."""
    policy = make()
    inside, outside = Failing(9), Failing(9)
    retried_inside, retried_outside = retrying(3).apply(inside), retrying(3).apply(outside)
    items: list[int] = []

    def try_outside() -> None:
        with pytest.raises(PaymentError):
            retried_outside()
        assert AMBIENT_DEADLINE.get() is None or remaining(time.monotonic, AMBIENT_DEADLINE.get()) is None

    def blocking() -> Iterator[int]:
        for attempt in policy.attempts():
            with attempt:
                yield attempt.number
                if attempt.number == 1:
                    retried_inside()

    async def asynchronous() -> AsyncIterator[int]:
        async for attempt in policy.attempts():
            async with attempt:
                yield attempt.number
                if attempt.number == 1:
                    retried_inside()

    def iterate() -> None:
        for item in blocking():
            items.append(item)
            try_outside()

    async def iterate_async() -> None:
        async for item in asynchronous():
            items.append(item)
            try_outside()

    front_end.run(iterate if front_end.name == "blocking" else iterate_async)
    assert items == [1, 2]
    assert (inside.calls, outside.calls) == (1, 6)


def test_a_generator_with_a_loop_is_freed_at_once() -> None:
    """What it knows of its frame makes no cycle."""
    policy = ResiliencePipeline(TimeoutPolicy(60.0), retrying(3), breaking(9))

    class Kept:
        pass

    def numbers(kept: Kept) -> Iterator[int]:
        for attempt in policy.attempts():
            with attempt:
                yield attempt.number

    gc.disable()
    try:
        kept = Kept()
        reference, iterator = weakref.ref(kept), numbers(kept)
        del kept
        assert next(iterator) == 1
        del iterator
        assert reference() is None
    finally:
        gc.enable()


def test_a_loop_without_its_block_is_said_to_be_wrong() -> None:
    """It would go on for ever."""

    async def main() -> None:
        async for _ in ResiliencePipeline(retrying(3)).attempts():
            pass

    with pytest.raises(RuntimeError, match="inside `with attempt:`"):
        for _ in ResiliencePipeline(retrying(3)).attempts():
            pass
    with pytest.raises(RuntimeError, match="inside `async with attempt:`"):
        run_task(main())


def test_the_wrong_kind_of_block_is_said_to_be_wrong() -> None:
    """With what to write."""

    async def plain_in_async() -> None:
        async for attempt in ResiliencePipeline(retrying(3)).attempts():
            with attempt:
                pass

    async def async_in_plain() -> None:
        for attempt in ResiliencePipeline(retrying(3)).attempts():
            async with attempt:
                pass

    with pytest.raises(TypeError, match="write `async with attempt:`"):
        run_task(plain_in_async())
    with pytest.raises(TypeError, match="write `with attempt:`"):
        run_task(async_in_plain())


def test_a_cancelled_block_ends_the_loop() -> None:
    """It is no evidence, and is not repeated."""
    breaker = breaking(1)
    pipeline = ResiliencePipeline(retrying(3), breaker)
    runs: list[int] = []

    async def main() -> None:
        async for attempt in pipeline.attempts():
            async with attempt:
                runs.append(attempt.number)
                await asyncio.sleep(60)

    async def cancelling() -> None:
        task = asyncio.ensure_future(main())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_task(cancelling())
    assert runs == [1]
    assert breaker.snapshot().abandoned == 1


def test_a_with_block_is_guarded_once(front_end: FrontEnd) -> None:
    """An error in it passes through, unchanged."""
    breaker = breaking(1)
    pipeline = ResiliencePipeline(breaker, name="block")
    error = PaymentError()

    def block() -> None:
        with pipeline as entered:
            assert entered is pipeline
            raise error

    async def block_async() -> None:
        async with pipeline as entered:
            assert entered is pipeline
            await asyncio.sleep(0)
            raise error

    function = block if front_end.name == "blocking" else block_async
    with pytest.raises(PaymentError) as raised:
        front_end.run(function)
    assert raised.value is error
    assert error.__context__ is None
    with pytest.raises(CircuitOpenError):
        front_end.run(function)


def test_a_block_cannot_be_repeated() -> None:
    """The remedy is the loop."""
    with pytest.raises(ConfigurationError, match=r"policy\.attempts\(\)"), ResiliencePipeline(retrying()):
        pass
    with pytest.raises(ConfigurationError, match="RetryPolicy"), retrying():
        pass


def test_blocks_of_tasks_are_their_own() -> None:
    """Each task leaves the block that it entered."""
    breaker = breaking(9)
    pipeline = ResiliencePipeline(breaker)

    async def block(fails: bool, rounds: int) -> None:
        async with pipeline:
            for _ in range(rounds):
                await asyncio.sleep(0)
            if fails:
                raise PaymentError

    async def main() -> None:
        results = await asyncio.gather(
            *(block(number % 2 == 0, rounds) for number, rounds in enumerate([5, 1, 3, 2])),
            return_exceptions=True,
        )
        assert [type(result).__name__ for result in results] == ["PaymentError", "NoneType"] * 2

    run_task(main())
    assert (breaker.snapshot().failures, breaker.snapshot().successes) == (2, 2)


def test_a_pipeline_that_is_left_without_being_entered_says_so() -> None:
    """By its name."""
    with pytest.raises(RuntimeError, match="was not entered"):
        ResiliencePipeline(breaking()).__exit__(None, None, None)


def test_an_error_that_is_caught_around_the_block_ends_the_loop(front_end: FrontEnd) -> None:
    """It was the last one: no further attempt is made behind the caller's back."""
    pipeline = ResiliencePipeline(retrying(2))
    seen: list[str] = []

    def loop_over() -> None:
        for attempt in pipeline.attempts():
            assert seen == []
            try:
                with attempt:
                    raise PaymentError
            except PaymentError:
                seen.append("caught")

    async def loop_over_async() -> None:
        async for attempt in pipeline.attempts():
            assert seen == []
            try:
                async with attempt:
                    raise PaymentError
            except PaymentError:
                seen.append("caught")

    front_end.run(loop_over if front_end.name == "blocking" else loop_over_async)
    assert seen == ["caught"]
