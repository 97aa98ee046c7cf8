"""Where a deadline holds: until its block is left, for the code inside, by the clock that this code lives by."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConstantBackoff,
    DeadlineExceededError,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
    TimeoutPolicy,
    deadline,
)
from http_service_client.core.deadline import AMBIENT_DEADLINE, earliest
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.fakes import URL, FakeClock, Harness
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.threads import wait_until


def limit() -> float | None:
    """Seconds that a call has now."""
    return earliest(None, lambda: 0.0)


def block(kind: str, seconds: float = 2.0) -> Any:
    """A block with a limit, of either kind."""
    clock = FakeClock().monotonic
    return (
        deadline(seconds, clock=clock)
        if kind == "deadline"
        else CircuitBreakerPolicy(timeout=seconds, clock=clock)
    )


KINDS = pytest.mark.parametrize("kind", ["deadline", "breaker"])


@KINDS
def test_a_task_that_outlives_the_block_is_free_of_its_deadline(kind: str) -> None:
    """A worker that the first request starts would fail for ever."""

    async def worker() -> list[float | None]:
        seen = [limit()]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [*seen, limit()]

    async def main() -> list[float | None]:
        with block(kind):
            task = asyncio.create_task(worker())
            await asyncio.sleep(0)
        return await task

    assert run_task(main()) == [2.0, None]


@pytest.mark.parametrize(
    "policy", [CircuitBreakerPolicy(timeout=1.0), TimeoutPolicy(1.0)], ids=["breaker", "timeout"]
)
def test_a_task_of_a_guarded_function_is_free_when_the_function_returned(policy: Any) -> None:
    """The limit is that of the call."""

    async def worker(has_returned: asyncio.Event) -> float | None:
        await has_returned.wait()
        return limit()

    @policy.apply  # type: ignore[untyped-decorator]
    async def first(has_returned: asyncio.Event) -> list[Any]:
        return [asyncio.create_task(worker(has_returned))]

    async def main() -> float | None:
        has_returned = asyncio.Event()
        (task,) = await first(has_returned)
        has_returned.set()
        return await task  # type: ignore[no-any-return]

    assert run_task(main()) is None


def test_a_deadline_that_ended_does_not_shorten_one_inside() -> None:
    """The task's own deadline holds, and the outer one no longer."""
    ended, clock = asyncio.Event(), FakeClock().monotonic

    async def worker() -> list[float | None]:
        with deadline(9.0, clock=clock):
            seen = [limit()]
            await ended.wait()
            return [*seen, limit()]

    async def main() -> list[float | None]:
        with deadline(2.0, clock=clock):
            task = asyncio.create_task(worker())
            await asyncio.sleep(0)
        ended.set()
        return await task

    assert run_task(main()) == [2.0, 9.0]


def test_tasks_that_start_the_next_do_not_make_a_chain() -> None:
    """Each holds a reference to its own deadline alone."""

    async def step(number: int) -> int:
        ambient, depth = AMBIENT_DEADLINE.get(), 0
        while ambient is not None:
            ambient, depth = ambient.outer, depth + 1
        if number == 0:
            return depth
        with deadline(1.0):
            following = asyncio.create_task(step(number - 1))
        return await following

    assert run_task(step(10)) <= 1


@KINDS
def test_a_deadline_around_a_yield_does_not_limit_the_code_that_iterates(kind: str) -> None:
    """It limits the generator's own calls, in each of its steps."""
    own: list[float | None] = []

    def pages() -> Iterator[int]:
        with block(kind):
            for number in range(2):
                own.append(limit())
                yield number
            own.append(limit())

    outside = [limit() for _ in pages()]
    assert (own, outside, limit()) == ([2.0] * 3, [None] * 2, None)


def test_nor_does_one_in_a_generator_that_another_delegates_to() -> None:
    """`yield from` makes no difference."""

    def inner() -> Iterator[float | None]:
        with deadline(2.0, clock=FakeClock().monotonic):
            yield limit()

    def outer() -> Iterator[float | None]:
        yield from inner()
        yield limit()

    assert [(own, limit()) for own in outer()] == [(2.0, None), (None, None)]


def test_a_generator_with_a_block_may_be_the_outermost_code_of_a_thread() -> None:
    """No function of Python runs it there."""
    breaker = CircuitBreakerPolicy()

    def pages() -> Iterator[int]:
        with breaker:
            yield 1

    steps = pages()
    _thread.start_new_thread(list, (steps,))
    wait_until(lambda: steps.gi_frame is None)  # type: ignore[attr-defined]  # a generator has one
    assert breaker.snapshot().successes == 1


@KINDS
@pytest.mark.parametrize("is_managed", [False, True], ids=["block", "context manager"])
def test_a_deadline_around_a_yield_of_an_async_generator_limits_its_calls_and_tasks(
    kind: str, is_managed: bool
) -> None:
    """Not those of the code that iterates over it, nor by way of a context manager."""

    async def call() -> float | None:
        return limit()

    async def pages() -> AsyncIterator[list[float | None]]:
        with block(kind):
            yield [limit(), await asyncio.create_task(call())]

    async def managed_pages() -> AsyncIterator[list[float | None]]:
        async with _entered(block(kind)):
            yield [limit(), await asyncio.create_task(call())]

    async def main() -> list[Any]:
        return [(own, limit()) async for own in (managed_pages() if is_managed else pages())]

    assert run_task(main()) == [([2.0, 2.0], None)]


def test_a_breaker_entered_by_async_with_limits_no_stranger() -> None:
    """Its own generator alone, as by `with`."""

    async def pages() -> AsyncIterator[float | None]:
        async with block("breaker"):
            yield limit()

    async def main() -> list[Any]:
        return [(own, limit()) async for own in pages()]

    assert run_task(main()) == [(2.0, None)]


@asynccontextmanager
async def _entered(one: Any) -> AsyncIterator[None]:
    with one:
        yield


@KINDS
def test_the_generator_of_a_context_manager_limits_the_block_that_uses_it(kind: str) -> None:
    """That is what it is for."""

    @contextmanager
    def limited() -> Iterator[None]:
        with block(kind):
            yield

    with limited():
        assert limit() == 2.0
    assert limit() is None

    async def main() -> list[float | None]:
        async with _entered(block(kind)):
            inside = limit()
        return [inside, limit()]

    assert run_task(main()) == [2.0, None]


@pytest.fixture
def two_seconds() -> Iterator[None]:
    with deadline(2.0, clock=FakeClock().monotonic):
        yield


def test_a_fixture_limits_its_test(two_seconds: None) -> None:
    """As its author expects."""
    assert limit() == 2.0


def test_a_block_that_ends_out_of_order_leaves_the_other_in_force() -> None:
    """The generator's last step is inside a block that was entered later."""

    def pages() -> Iterator[int]:
        with deadline(9.0, clock=FakeClock().monotonic):
            yield 1

    steps = pages()
    next(steps)
    with deadline(2.0, clock=FakeClock().monotonic):
        assert list(steps) == []
        assert limit() == 2.0
    assert limit() is None
    assert AMBIENT_DEADLINE.get() is None


def test_an_abandoned_generator_is_freed_at_once() -> None:
    """The deadline knows its frame, and must not keep it alive."""

    class Thing:
        pass

    def pages() -> Iterator[Any]:
        thing = Thing()
        with deadline(2.0):
            yield weakref.ref(thing)

    gc.disable()
    try:
        steps = pages()
        thing = next(steps)
        del steps
        assert thing() is None
    finally:
        gc.enable()
    assert limit() is None


def steps_in_two_contexts(generator: Callable[[], Iterator[None]]) -> None:
    """Run a context manager as FastAPI runs a plain dependency: each step in a context of its own."""
    manager = contextmanager(generator)()
    contextvars.copy_context().run(manager.__enter__)
    limit()
    contextvars.copy_context().run(manager.__exit__, None, None, None)


def test_a_deadline_that_is_lost_with_its_context_warns() -> None:
    """The handler ran without it, in silence."""

    def dependency() -> Iterator[None]:
        with deadline(1.5):
            yield

    with pytest.warns(RuntimeWarning, match=r"deadline\(1.5\) limited no call.*FastAPI.*async") as caught:
        steps_in_two_contexts(dependency)
    assert caught[0].filename == __file__


def test_a_deadline_ends_though_its_warning_is_an_error() -> None:
    """`python -W error` must not make it outlive its block."""
    limits = deadline(1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contextvars.copy_context().run(limits.__enter__)
        with pytest.raises(RuntimeWarning, match="limited no call"):
            limits.__exit__()
    with limits:  # not in use
        assert limit() == pytest.approx(1.5, abs=1.0)


def test_a_bare_yield_in_a_generator_that_is_no_context_manager_warns() -> None:
    """A frame of one's own that runs it expects another thing than one that iterates."""

    def dependency() -> Iterator[None]:
        with deadline(1.5):
            yield

    steps = dependency()
    next(steps)
    assert limit() is None
    with pytest.warns(RuntimeWarning, match=r"limited no call.*contextlib.contextmanager"):
        next(steps, None)


def test_a_deadline_that_limited_a_call_or_met_none_does_not_warn() -> None:
    """Whatever context it is left in."""

    def used() -> Iterator[None]:
        with deadline(1.5):
            limit()
            yield

    def looked_at() -> Iterator[None]:
        with deadline(1.5) as own:
            own.remaining()
            yield

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps_in_two_contexts(used)
        steps_in_two_contexts(looked_at)
        assert list(used()) == [None]
        assert list(looked_at()) == [None]
        with deadline(1.0):
            pass


def test_under_a_virtual_clock_a_deadline_counts_virtual_time(front_end: FrontEnd) -> None:
    """Two calls of a second each, and work of half a second before them: there is no time for the third."""
    clock = VirtualClock()
    response = late(1.0, HttpResponse(200))
    client = HttpServiceClient(clock=clock, transport=ScriptedTransport([response] * 3, clock=clock))
    with deadline(2.6) as own:
        clock.advance(0.5)
        for _ in range(2):
            assert front_end.request(client, "GET", URL).status_code == 200
        assert own.remaining() == pytest.approx(0.1)
        with pytest.raises(DeadlineExceededError):
            front_end.request(client, "GET", URL)
    assert clock.monotonic() == pytest.approx(2.6)
    client.close()


def test_retries_of_a_function_under_a_virtual_clock_mind_the_deadline() -> None:
    """No wait is begun that would cross it."""
    clock = VirtualClock()
    policy = RetryPolicy(9, ConstantBackoff(1.0, jitter="none"), clock=clock)

    def failing() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError), deadline(2.5):
        policy.call(failing)
    assert clock.waits == [1.0, 1.0]


def test_a_deadline_with_a_clock_of_its_own_keeps_to_it(front_end: FrontEnd) -> None:
    """Only the default gives way to a virtual clock."""
    clock = VirtualClock()
    harness = Harness(AsyncioFrontEnd() if front_end.name == "asyncio" else front_end)
    with deadline(2.0, clock=FakeClock().monotonic):
        clock.advance(5.0)
        harness.request()
        assert earliest(None, clock.monotonic) == clock.monotonic() + 2.0
    assert harness.transport.timeouts[-1].total == 2.0


def test_a_virtual_clock_that_is_gone_is_forgotten() -> None:
    """Deadlines do not keep the clocks of earlier tests."""
    clock = weakref.ref(VirtualClock())
    gc.collect()
    with deadline(1.0):
        assert clock() is None
        assert limit() is not None
