"""Generators under policies: each step from one item to the next is a guarded call."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConstantBackoff,
    HedgingPolicy,
    OperationTimeoutError,
    ResiliencePipeline,
    RetryCondition,
    RetryPolicy,
    TimeoutPolicy,
)
from http_service_client.policies import Strategy
from kit.front_ends import FrontEnd, run_task
from kit.guarded import PaymentError, breaking, retrying
from kit.rows import each_row

Source = Callable[[], Iterator[Any]]


def items_of(front_end: FrontEnd, policy: Strategy, source: Source) -> list[Any]:
    """All items of the generator function under the policy: of an async one with the same code, in asyncio."""
    got: list[Any] = []
    try:
        if front_end.name == "blocking":
            got.extend(itertools.islice(policy.apply(source)(), 9))
        else:

            async def asynchronous() -> AsyncIterator[Any]:
                await asyncio.sleep(0)
                for item in source():
                    yield item

            async def main() -> None:
                async for item in policy.apply(asynchronous)():
                    got.append(item)
                    assert len(got) < 9

            run_task(main())
    except Exception as error:
        got.append(type(error).__name__)
    return got


def failing_after(items: int, failures: int) -> Source:
    """A generator function that fails after so many items, in its first runs."""
    runs = [0]

    def source() -> Iterator[int]:
        runs[0] += 1
        yield from range(items)
        if runs[0] <= failures:
            raise PaymentError
        yield from range(items, 3)

    return source


def test_an_item_is_what_the_generator_yields(front_end: FrontEnd) -> None:
    """One at a time, and the generator runs no further than that."""
    ran: list[int] = []

    def source() -> Iterator[int]:
        for item in (1, 2):
            ran.append(item)
            yield item

    async def asynchronous() -> AsyncIterator[int]:
        for item in source():
            yield item

    async def first_of(items: Any) -> int:
        item: int = await anext(items)
        await items.aclose()
        return item

    policy = breaking(9)
    if front_end.name == "blocking":
        assert next(policy.apply(source)()) == 1
    else:
        assert run_task(first_of(policy.apply(asynchronous)())) == 1
    assert ran == [1]


@each_row(
    ("policy", "items", "failures", "expected"),
    [
        (lambda: breaking(9), 3, 0, [0, 1, 2]),
        (lambda: retrying(3), 0, 2, [0, 1, 2]),
        (lambda: retrying(3), 0, 9, ["PaymentError"]),
        (lambda: retrying(3), 1, 1, [0, "PaymentError"]),
        (lambda: ResiliencePipeline(retrying(3), breaking(9)), 0, 2, [0, 1, 2]),
        (lambda: ResiliencePipeline(retrying(3), breaking(1)), 0, 2, ["PaymentError"]),
    ],
    ids=["whole", "repeated before the first item", "exhausted", "not after an item", "pipeline", "circuit"],
)
def test_a_generator_begins_again_only_before_its_first_item(
    front_end: FrontEnd, policy: Callable[[], Strategy], items: int, failures: int, expected: list[Any]
) -> None:
    """Items that were delivered are not delivered again."""
    assert items_of(front_end, policy(), failing_after(items, failures)) == expected


def test_an_item_that_a_condition_rejects_begins_the_generator_again(front_end: FrontEnd) -> None:
    """As an error does, and only before the first item that was delivered. What is left behind is closed before that."""
    log: list[str] = []
    kept: list[Any] = []
    runs = iter((["busy", "lost"], ["done", "busy"]))

    def source() -> Iterator[str]:
        kept.extend(made_by(source))
        log.append("begins")
        try:
            yield from next(runs)
        finally:
            log.append("ends")

    conditions = [RetryCondition.on_result(lambda item: item == "busy")]
    assert items_of(front_end, retrying(3, retry_conditions=conditions), source) == ["done", "busy"]
    if front_end.name == "blocking":
        assert log == ["begins", "ends"] * 2


def test_each_step_asks_the_breaker(front_end: FrontEnd) -> None:
    """An open circuit ends the iteration, and each item is a success."""
    breaker = breaking(1)

    def source() -> Iterator[int]:
        for item in range(5):
            if item == 2:
                breaker.isolate()
            yield item

    assert items_of(front_end, breaker, source) == [0, 1, 2, "CircuitOpenError"]
    assert breaker.snapshot().successes == 2  # the third item came after the circuit was isolated


def test_nothing_is_held_between_two_items(front_end: FrontEnd) -> None:
    """The code that iterates runs outside the policy."""
    breaker = breaking(1)

    def source() -> Iterator[int]:
        yield from range(2)

    if front_end.name == "blocking":
        for _ in breaker.apply(source)():
            with pytest.raises(PaymentError), breaker:
                raise PaymentError
            breaker.reset()
    else:

        async def asynchronous() -> AsyncIterator[int]:
            for item in source():
                yield item

        async def main() -> None:
            async for _ in breaker.apply(asynchronous)():
                with pytest.raises(PaymentError):
                    async with breaker:
                        raise PaymentError
                breaker.reset()

        run_task(main())
    assert breaker.snapshot().failures == 2


def test_sent_values_thrown_errors_and_the_return_value_pass() -> None:
    """As by `yield from`."""

    def source() -> Any:
        try:
            got = yield "first"
        except PaymentError:
            got = "caught"
        yield got
        return "returned"

    def through(items: Any) -> Any:
        result = yield from items
        yield result

    guarded = breaking(9).apply(source)
    sent = through(guarded())
    assert [next(sent), sent.send("sent"), next(sent)] == ["first", "sent", "returned"]
    thrown = through(guarded())
    assert [next(thrown), thrown.throw(PaymentError()), next(thrown)] == ["first", "caught", "returned"]

    async def asynchronous() -> Any:
        try:
            got = yield "first"
        except PaymentError:
            got = "caught"
        yield got

    async def main() -> list[str]:
        made = breaking(9).apply(asynchronous)
        sent, thrown = made(), made()
        return [
            *(await anext(sent), await sent.asend("sent"), await anext(sent, "ended")),
            *(await anext(thrown), await thrown.athrow(PaymentError()), await anext(thrown, "ended")),
        ]

    assert run_task(main()) == ["first", "sent", "ended", "first", "caught", "ended"]


def made_by(function: Any) -> list[Any]:
    """The generators of a function. To hold them keeps the interpreter from closing them."""
    code = function.__code__
    kinds = (GeneratorType, AsyncGeneratorType)
    return [each for each in gc.get_objects() if type(each) in kinds and code in codes_of(each)]


def codes_of(generator: Any) -> list[Any]:
    return [getattr(generator, name, None) for name in ("gi_code", "ag_code")]


def test_closing_closes_the_generator_inside(front_end: FrontEnd) -> None:
    """At once, so that it releases what it holds, and not when it is collected."""
    closed: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append("closed")

    if front_end.name == "blocking":
        items = breaking(9).apply(source)()
        next(items)
        (_,) = made_by(source)
        items.close()  # type: ignore[attr-defined]  # a generator
        assert closed == ["closed"]
    else:

        async def asynchronous() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                closed.append("closed")

        async def main() -> None:
            items: Any = breaking(9).apply(asynchronous)()
            await items.__anext__()
            (_,) = made_by(asynchronous)
            await items.aclose()
            assert closed == ["closed"]

        run_task(main())


def test_what_is_guarded_looks_like_what_it_was() -> None:
    """Frameworks ask what kind of function it is."""

    def plain() -> Iterator[int]:
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    pipeline = ResiliencePipeline(breaking())
    assert inspect.isgeneratorfunction(pipeline.apply(plain))
    assert inspect.isasyncgenfunction(pipeline.apply(asynchronous))
    assert pipeline.apply(plain).__name__ == "plain"


def test_an_open_circuit_is_an_error_of_the_first_step() -> None:
    """Not of the call, which runs nothing yet."""
    breaker = breaking()
    breaker.isolate()
    items = breaker.apply(failing_after(3, 0))()
    with pytest.raises(CircuitOpenError):
        next(items)


def test_a_step_that_a_timeout_leaves_behind_is_out_of_the_way() -> None:
    """Its generator still runs, in its thread: another attempt has one of its own, and the end does not wait for it."""
    may_go_on, closed, runs = threading.Event(), threading.Semaphore(0), iter(range(9))

    def source() -> Iterator[int]:
        try:
            if next(runs) != 1:
                may_go_on.wait(10)
            yield 1
            may_go_on.wait(10)
            yield 2
        finally:
            closed.release()

    retry = RetryPolicy(max_attempts=2, backoff_strategy=ConstantBackoff(0.0))
    pipeline = ResiliencePipeline(retry, TimeoutPolicy(0.05, in_thread=True))
    items = pipeline.apply(source)()
    assert next(items) == 1
    with pytest.raises(OperationTimeoutError):
        next(items)
    may_go_on.set()
    assert closed.acquire(timeout=10)
    assert closed.acquire(timeout=10)


@pytest.mark.parametrize("is_plain", [True, False])
def test_the_steps_of_a_generator_are_not_hedged(is_plain: bool) -> None:
    """One generator cannot make two of them at a time."""
    policy = HedgingPolicy(delay=0.001, max_share=1.0, in_threads=True)
    waiting = threading.Event()

    def plain() -> Iterator[int]:
        waiting.wait(0.02)
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        await asyncio.sleep(0.02)
        yield 1

    async def main() -> list[int]:
        return [item async for item in policy.apply(asynchronous)()]

    assert (list(policy.apply(plain)()) if is_plain else run_task(main())) == [1]
    assert policy.snapshot().hedges == 0


def test_closing_a_generator_is_no_step(front_end: FrontEnd) -> None:
    """No policy is asked for it, and none learns of it."""
    breaker = CircuitBreakerPolicy()
    pipeline = ResiliencePipeline(breaker, BulkheadPolicy(1, 0))

    @pipeline.apply
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    @pipeline.apply
    async def numbers_async() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        items: Any = numbers_async()
        assert await anext(items) == 1
        await items.aclose()

    if front_end.name == "blocking":
        items: Any = numbers()
        assert next(items) == 1
        items.close()
    else:
        run_task(main())
    seen = breaker.snapshot()
    assert (seen.successes, seen.failures, seen.abandoned) == (1, 0, 0)


def test_an_async_generator_is_closed_before_it_begins_again() -> None:
    """Two runs at a time could have the same connection."""
    log: list[str] = []
    runs = iter(["busy", "done"])

    async def source() -> AsyncIterator[str]:
        log.append("begins")
        try:
            yield next(runs)
        finally:
            log.append("ends")

    async def main() -> list[str]:
        conditions = [RetryCondition.on_result(lambda item: item == "busy")]
        return [item async for item in retrying(3, retry_conditions=conditions).apply(source)()]

    assert run_task(main()) == ["done"]
    assert log == ["begins", "ends"] * 2


def test_an_error_that_was_thrown_into_a_generator_is_freed_at_once(front_end: FrontEnd) -> None:
    """Its traceback holds the frames that it passed, and those do not hold it in turn."""

    def source() -> Iterator[int]:
        yield 1

    async def source_async() -> AsyncIterator[int]:
        yield 1

    def thrown() -> weakref.ref[PaymentError]:
        error = PaymentError("no")
        steps: Any = retrying(1).apply(source)()
        next(steps)
        try:
            steps.throw(error)
        except PaymentError as raised:
            return weakref.ref(raised)
        finally:
            del error
        raise AssertionError

    async def thrown_async() -> weakref.ref[PaymentError]:
        error = PaymentError("no")
        steps: Any = retrying(1).apply(source_async)()
        await steps.__anext__()
        try:
            await steps.athrow(error)
        except PaymentError as raised:
            return weakref.ref(raised)
        finally:
            del error
        raise AssertionError

    gc.disable()
    try:
        freed = thrown() if front_end.name == "blocking" else run_task(thrown_async())
        assert freed() is None
    finally:
        gc.enable()
