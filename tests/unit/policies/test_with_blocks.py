"""Breaker policies as context managers, and policies shared by threads and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ResiliencePipeline,
)
from http_service_client.policies.circuit_breaker import CircuitBreakerScope
from kit.fakes import URL, FakeClock, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from kit.guarded import PaymentError, breaking, retrying

OPEN, CLOSED, HALF_OPEN = CircuitBreakerState.OPEN, CircuitBreakerState.CLOSED, CircuitBreakerState.HALF_OPEN


def test_a_block_counts_for_its_breaker(front_end: FrontEnd) -> None:
    """A failed block opens the circuit, an open circuit refuses entry, and the block's error is unchanged."""
    policy = breaking()
    error = PaymentError()

    def block() -> None:
        with policy as entered:
            assert entered is policy
            raise error

    async def block_async() -> None:
        async with policy as entered:
            assert entered is policy
            await asyncio.sleep(0)
            raise error

    function = block if front_end.name == "blocking" else block_async
    with pytest.raises(PaymentError) as raised:
        front_end.run(function)
    assert raised.value is error
    with pytest.raises(CircuitOpenError):
        front_end.run(function)
    assert policy.snapshot().refused == 1


def test_nested_blocks_settle_one_permit_for_each_policy() -> None:
    """Two policies in each other settle a permit each; the same policy within itself has one permit, one result."""
    one, other = breaking(99), breaking(99)
    with one, other, one:
        assert one.snapshot().successes == 0
    assert (one.snapshot().successes, other.snapshot().successes) == (1, 1)
    with pytest.raises(PaymentError), one:
        with pytest.raises(KeyError), other:
            raise KeyError
        raise PaymentError
    assert (one.snapshot().failures, other.snapshot().failures) == (1, 1)


def test_blocks_in_concurrent_tasks_settle_their_own_permits() -> None:
    """Tasks may enter and exit in any order; those inside a block of their parent are part of its result."""
    policy = breaking(99)

    async def worker(number: int) -> None:
        async with policy:
            for _ in range(number % 3):
                await asyncio.sleep(0)
            if number % 2:
                raise PaymentError

    async def main() -> None:
        await asyncio.gather(*map(worker, range(10)), return_exceptions=True)
        async with policy:
            await asyncio.gather(*map(worker, range(10)), return_exceptions=True)
        async with policy:
            pass

    run_task(main())
    snapshot = policy.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (7, 5, 0)


def test_a_block_may_end_in_another_context() -> None:
    """A fixture or lifespan may enter in one task and exit in another; its permit is settled all the same."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)
    with pytest.raises(PaymentError), policy:
        raise PaymentError
    clock.now += 5.0

    contextvars.copy_context().run(policy.__enter__)
    assert policy.state is HALF_OPEN
    contextvars.copy_context().run(policy.__exit__, None, None, None)
    assert policy.state is CLOSED


def test_exiting_a_block_that_was_not_entered_is_an_error() -> None:
    """The RuntimeError says that the block was not entered."""
    policy = breaking()
    with policy:
        pass
    with pytest.raises(RuntimeError, match="not entered"):
        policy.__exit__(None, None, None)


def test_many_threads_may_share_policies() -> None:
    """16 threads share a breaker and a retry policy, every call is settled, and the totals add up."""
    breaker = breaking(10**6)
    policy = retrying(2, budget=None)
    calls = [0] * 16

    def work(number: int) -> None:
        def body() -> None:
            calls[number] += 1
            if calls[number] % 2:
                raise PaymentError

        guarded = policy.apply(breaker.apply(body))
        for _ in range(200):
            guarded()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    snapshot = breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (3200, 3200)
    assert calls == [400] * 16  # no call of one thread was counted, or retried, for another


def test_many_tasks_may_share_a_function_under_a_policy() -> None:
    """Each concurrent call counts only its own attempts."""

    async def main() -> None:
        attempts: dict[int, int] = {}

        @retrying(3, budget=None).apply
        async def work(number: int) -> int:
            attempts[number] = attempts.get(number, 0) + 1
            await asyncio.sleep(0)
            if attempts[number] < 3:
                raise PaymentError
            return number

        assert await asyncio.gather(*map(work, range(50))) == list(range(50))
        assert set(attempts.values()) == {3}

    run_task(main())


def test_one_block_of_many_threads_gets_the_trial() -> None:
    """The first thread gets the trial, and all others are refused until it is settled."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, clock=clock.monotonic)
    with pytest.raises(PaymentError), policy:
        raise PaymentError
    clock.now += 5.0
    gate, inside = threading.Event(), threading.Barrier(20, timeout=20)

    def attempt() -> str:
        inside.wait()
        try:
            with policy:
                gate.wait(timeout=20)
                return "trial"
        except CircuitOpenError:
            return "refused"

    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(attempt) for _ in range(20)]
        for _ in itertools.islice(as_completed(results, timeout=20), 19):
            pass
        gate.set()
        assert sorted(result.result() for result in results) == ["refused"] * 19 + ["trial"]


class Block:
    """A `with policy:` block in its own context, like that of a thread or task; the test ends it."""

    def __init__(self, policy: CircuitBreakerPolicy) -> None:
        self._policy = policy
        self._context = contextvars.copy_context()
        self._context.run(policy.__enter__)

    def leave(self, error: BaseException | None = None) -> None:
        self._context.run(self._policy.__exit__, type(error) if error else None, error, None)


@pytest.mark.parametrize("first", ["earlier call", "trial"])
@pytest.mark.parametrize("error", [None, PaymentError("no")], ids=["returns", "raises"])
def test_interleaved_blocks_settle_their_own_permits(first: str, error: PaymentError | None) -> None:
    """A call from before the opening decides nothing, whenever it ends; the trial decides."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)
    before = Block(policy)
    with pytest.raises(PaymentError), policy:
        raise PaymentError
    clock.now += 5.0
    trial = Block(policy)
    if first == "earlier call":
        before.leave(error)
        assert (policy.state, policy.snapshot().late) == (HALF_OPEN, 1)
        trial.leave()
        assert policy.state is CLOSED
    else:
        trial.leave(error)
        assert policy.state is (OPEN if error else CLOSED)
        assert policy.snapshot().late == 0
        before.leave()
        assert policy.state is (OPEN if error else CLOSED)
    assert policy.snapshot().late == 1


def test_interleaved_blocks_have_their_own_timeouts() -> None:
    """A block that ends in time is a success, even while another has exceeded its timeout."""
    clock = FakeClock()
    policy = breaking(99, timeout=5.0, clock=clock.monotonic)
    slow = Block(policy)
    clock.now += 4.0
    quick = Block(policy)
    clock.now += 2.0
    quick.leave()
    assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 0)
    slow.leave()
    assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 1)


def test_the_outer_of_two_nested_blocks_decides() -> None:
    """The inner block ends in time; the outer one, which holds the permit, exceeds its timeout and is a failure."""
    clock = FakeClock()
    policy = breaking(99, timeout=5.0, clock=clock.monotonic)
    with policy:
        clock.now += 4.0
        with policy:
            clock.now += 2.0
        assert (policy.snapshot().successes, policy.snapshot().failures) == (0, 0)
    assert (policy.snapshot().successes, policy.snapshot().failures) == (0, 1)


AROUND = pytest.mark.parametrize(
    "around", [lambda policy: policy, ResiliencePipeline], ids=["alone", "in a pipeline"]
)


def test_a_finished_block_is_freed() -> None:
    """A thread that enters many blocks in turn does not keep the finished ones."""
    policy = breaking(99)

    def scopes() -> int:
        return sum(issubclass(type(thing), CircuitBreakerScope) for thing in gc.get_objects())

    gc.collect()  # or the collector might free those of other tests meanwhile
    before = scopes()
    for _ in range(20):
        with policy:
            pass
    assert scopes() == before


@pytest.mark.parametrize("is_managed", [False, True], ids=["iterated", "context manager"])
@AROUND
def test_a_block_around_a_yield_holds_for_a_context_manager_alone(
    is_managed: bool, around: Callable[[Any], Any]
) -> None:
    """Code that iterates over a generator is not in its block: its own failures count, and need a permit."""
    policy = breaking(99)
    guard = around(policy)

    def generator() -> Iterator[None]:
        with guard:
            yield

    @policy.apply
    def failing() -> None:
        raise PaymentError

    with pytest.raises(PaymentError):
        if is_managed:
            with contextmanager(generator)():
                failing()
        else:
            for _ in generator():
                failing()
    gc.collect()
    now = policy.snapshot()
    # In the block, the error passes through it and counts there, once. The abandoned generator is no evidence.
    assert (now.failures, now.abandoned) == ((1, 0) if is_managed else (1, 1))


@pytest.mark.parametrize("is_managed", [False, True], ids=["iterated", "context manager"])
@AROUND
def test_an_async_block_around_a_yield_holds_for_a_context_manager_alone(
    is_managed: bool, around: Callable[[Any], Any]
) -> None:
    """As a plain one does."""
    policy = breaking(99)
    guard = around(policy)

    async def generator() -> AsyncIterator[None]:
        async with guard:
            yield

    @policy.apply
    async def failing() -> None:
        raise PaymentError

    async def main() -> None:
        if is_managed:
            async with asynccontextmanager(generator)():
                await failing()
        else:
            async for _ in generator():
                await failing()

    with pytest.raises(PaymentError):
        run_task(main())
    gc.collect()
    now = policy.snapshot()
    assert (now.failures, now.abandoned) == ((1, 0) if is_managed else (1, 1))


def test_a_generator_s_own_calls_are_inside_its_block() -> None:
    """They run while it runs, and have its permit."""
    policy = breaking(99)
    inner = policy.apply(lambda: "inner")

    def generator() -> Iterator[str]:
        with policy:
            yield inner()

    assert list(generator()) == ["inner"]
    assert policy.snapshot().successes == 1


@pytest.mark.parametrize("is_guarded", [False, True], ids=["plain", "under another policy"])
def test_a_task_that_outlives_a_block_is_not_inside(is_guarded: bool) -> None:
    """Its calls count for themselves, also in a guarded function that began inside."""
    policy = breaking(99)

    @policy.apply
    async def failing() -> None:
        raise PaymentError

    async def late() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await failing()

    async def main() -> None:
        with policy:
            task = asyncio.create_task(breaking(99).call_async(late) if is_guarded else late())
            await asyncio.sleep(0)
        with pytest.raises(PaymentError):
            await task

    run_task(main())
    assert (policy.snapshot().successes, policy.snapshot().failures) == (1, 1)


def test_calls_of_the_code_that_iterates_say_nothing_about_the_block() -> None:
    """An error of the generator's own is judged by its own calls, not by the last one outside."""
    harness = Harness(BlockingFrontEnd(), 404)
    policy = breaking(99)

    def generator() -> Iterator[None]:
        with policy:
            yield
            raise PaymentError

    with pytest.raises(PaymentError):
        for _ in generator():
            harness.client.get(URL)
    assert policy.snapshot().failures == 1


def test_interleaved_blocks_of_threads_or_tasks_settle_their_own_permits(front_end: FrontEnd) -> None:
    """The end of a block in one thread or task does not settle the trial of another."""
    clock = FakeClock()
    policy = breaking(recovery_timeout=5.0, success_threshold=1, clock=clock.monotonic)
    states: list[CircuitBreakerState] = []

    def fail_and_recover() -> None:
        with pytest.raises(PaymentError), policy:
            raise PaymentError
        clock.now += 5.0

    async def block(leave: asyncio.Event) -> None:
        async with policy:
            await leave.wait()

    async def tasks() -> None:
        leave_before, leave_trial = asyncio.Event(), asyncio.Event()
        before = asyncio.create_task(block(leave_before))
        await asyncio.sleep(0)
        fail_and_recover()
        trial = asyncio.create_task(block(leave_trial))
        await asyncio.sleep(0)
        for event, task in ((leave_before, before), (leave_trial, trial)):
            event.set()
            await task
            states.append(policy.state)

    def threads() -> None:
        with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as trial:
            before.submit(policy.__enter__).result()
            fail_and_recover()
            trial.submit(policy.__enter__).result()
            for thread in (before, trial):
                thread.submit(policy.__exit__, None, None, None).result()
                states.append(policy.state)

    front_end.run(threads if front_end.name == "blocking" else tasks)
    assert states == [HALF_OPEN, CLOSED]
