"""Interruption at every effect of a call: whatever was taken is given back, and the client goes on.

One rich call is played to each of its effects: a half-open circuit's trial, interceptors, a wait for a
connection place of the host and one for the client's, a retry with its budget, a redirect. At each
effect it is ended: by a KeyboardInterrupt in its stead, by one right after it (between the answer and the
plan's next step), by a task's cancellation at it, while it waits, and right after it, and by closing the plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from http_service_client import Timeout
from http_service_client.core.effects import Acquire, Effect, Invoke, Send, Sleep
from http_service_client.core.layers.exchange import Exchange
from http_service_client.core.machines.circuit_breaker import CircuitBreaker
from http_service_client.core.machines.circuit_states import CircuitBreakerState
from http_service_client.core.machines.retry_budget import RetryBudget
from http_service_client.core.machines.semaphore import FairSemaphore, Waiter
from http_service_client.drivers.aio import AsyncioDriver, _wait_for_grant
from http_service_client.drivers.aio_timers import TimerWheel
from http_service_client.drivers.blocking import BlockingDriver
from http_service_client.errors import PoolTimeoutError, SentState
from kit.fakes import URL, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd, run_task

# The effects of the rich call, in order.
STORY = [Invoke, Acquire, Acquire, Send, Invoke, Sleep, Invoke, Send, Send, Invoke]
SENT_BEFORE = [0, 0, 0, 0, 1, 1, 1, 1, 2, 3]  # exchanges that were complete when the effect began


class Passing:
    """An async interceptor that awaits, and passes everything on."""

    async def intercept_request(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return request

    async def intercept_response(self, response: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return response


class Scenario:
    """A client in front of a half-open circuit, with every connection place in other hands."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.harness = Harness(
            front_end,
            425,  # worth a retry, and no failure of the service: the trial succeeds
            (302, {"Location": "/moved"}),
            200,
            max_connections=1,
            max_connections_per_host=1,
            circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 5.0, "success_threshold": 5},
            retry_budget_config={"ratio": 0.0, "min_per_second": 1.0, "window": 5.0},
            request_interceptors=[Passing],
            response_interceptors=[Passing],
        )
        self.breaker: CircuitBreaker = self.harness.state.breaker
        self.breaker.try_acquire().record_failure()  # type: ignore[union-attr]  # closed: a permit
        self.harness.clock.now += 5.0
        self.budget: RetryBudget = self.harness.state.budget
        self.holders = [limit.acquire_later() for limit in self.harness.limits]
        self.seen: list[type[Effect[Any]]] = []

    def discard_body(self, ticket: Waiter) -> None:
        """The place that the ticket waits for is released by whoever holds it."""
        for holder in self.holders:
            if holder._limit is ticket._limit:
                holder.release()

    def check(self, error: type[BaseException], at: int) -> None:
        """Nothing is held any more, the story is closed, and the next call works."""
        for holder in self.holders:
            holder.release()
        assert [(limit.in_use, limit.waiting) for limit in self.harness.limits] == [(0, 0)] * 2
        snapshot = self.breaker.snapshot()
        assert snapshot.failures == 1, "an interruption is no evidence"
        settled = snapshot.successes + snapshot.failures + snapshot.abandoned + snapshot.late
        assert settled == 1 + self.harness.names().count("attempt_finished") + self.attempts_broken_off()
        retries_made = 1 if at > STORY.index(Sleep) else 0
        assert self.budget.balance == 5 - retries_made
        finished = self.harness.events[-1]
        assert (finished.name, finished.error) == ("call_finished", error.__name__)
        assert self.harness.names().count("call_finished") == 1
        assert finished.sent_state in (SentState.ABANDONED, SentState.REFUSED)
        self.go_on()

    def attempts_broken_off(self) -> int:
        """1 unless the call was ended between two attempts."""
        return 0 if self.harness.names()[-2:-1] == ["retry_scheduled"] and self.seen[-1] is Sleep else 1

    def go_on(self) -> None:
        """The same client, the same circuit: a trial passes at once, and its places are free."""
        self.harness.transport.script = [200]
        self.harness.client._backends._blocking = self.harness.client._backends._asyncio = (
            None  # the true drivers
        )
        assert self.harness.request().status_code == 200
        assert [limit.in_use for limit in self.harness.limits] == [0, 0]


Perform = Callable[[Any], Any]


Interfere = Callable[[int, Perform, Effect[Any]], Any]


def interpose(driver: Any, scenario: Scenario, interfere: Interfere) -> None:
    """Have each effect of the driver performed by `interfere`, which may perform it for real or not."""

    def around(perform: Perform) -> Perform:
        def wrapped(effect: Effect[Any]) -> Any:
            at = len(scenario.seen)
            scenario.seen.append(type(effect))
            if isinstance(effect, Acquire):
                scenario.discard_body(effect.waiter)
            return interfere(at, perform, effect)

        return wrapped

    for kind, perform in list(driver._perform.items()):
        driver._perform[kind] = around(perform)
    send = driver._send
    perform_send = around(lambda effect: send(effect.request, effect.timeout))
    driver._send = lambda request, timeout: perform_send(Send(request, timeout))


def play_blocking(scenario: Scenario, interfere: Interfere) -> None:
    """Make the call, each effect performed by `interfere`."""
    interpose(scenario.harness.client._backends.blocking(), scenario, interfere)
    scenario.harness.client.get(URL, timeout=None)


def play_task(scenario: Scenario, interfere: Interfere) -> Any:
    """The coroutine of the call, as `play_blocking`."""
    interpose(scenario.harness.client._backends.asyncio(), scenario, interfere)
    return scenario.harness.client.get_async(URL, timeout=None)


def test_the_story_is_what_the_table_says() -> None:
    """Or else an effect would go untested: left alone, the call succeeds by these effects."""
    scenario = Scenario(BlockingFrontEnd())
    play_blocking(scenario, lambda at, perform, effect: perform(effect))
    assert scenario.seen == STORY
    assert scenario.harness.events[-1].status_code == 200

    scenario = Scenario(AsyncioFrontEnd())
    run_task(play_task(scenario, lambda at, perform, effect: perform(effect)))
    assert scenario.seen == STORY


@pytest.mark.parametrize("moment", ["in its stead", "right after it"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("index", range(len(STORY)))
def test_a_thread_interrupted_at_each_effect(
    index: int, interruption: type[BaseException], moment: str
) -> None:
    """Permits, places and budget come back; the case between grant and resume included."""
    scenario = Scenario(BlockingFrontEnd())

    def interfere(at: int, perform: Perform, effect: Effect[Any]) -> Any:
        if at == index:
            if moment == "right after it":
                perform(effect)
            raise interruption
        return perform(effect)

    with pytest.raises(interruption):
        play_blocking(scenario, interfere)
    scenario.check(interruption, index)


@pytest.mark.parametrize("moment", ["at it", "while it waits", "right after it"])
@pytest.mark.parametrize("index", range(len(STORY)))
def test_a_task_cancelled_at_each_effect(index: int, moment: str) -> None:
    """As for threads; `while it waits` is a cancellation from outside."""
    scenario = Scenario(AsyncioFrontEnd())
    reached = asyncio.Event()

    async def interfere(at: int, perform: Perform, effect: Effect[Any]) -> Any:
        if at != index:
            return await perform(effect)
        if moment == "while it waits":
            reached.set()
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        if moment == "right after it":
            answer = await perform(effect)
            task.cancel()
            await asyncio.sleep(0)
            return answer
        task.cancel()
        return await perform(effect)

    async def main() -> None:
        task = asyncio.create_task(play_task(scenario, interfere))
        if moment == "while it waits":
            await reached.wait()
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run_task(main())
    scenario.check(asyncio.CancelledError, index)


@pytest.mark.parametrize("how", ["close", "throw", "drop"])
@pytest.mark.parametrize("index", range(len(STORY)))
def test_an_abandoned_plan_at_each_effect(index: int, how: str) -> None:
    """A coroutine that its owner closes, throws into, or only forgets, while it stands at an effect."""
    scenario = Scenario(AsyncioFrontEnd())

    class Halt:
        def __await__(self) -> Iterator[str]:
            yield "here"

    async def interfere(at: int, perform: Perform, effect: Effect[Any]) -> Any:
        if at == index:
            await Halt()
        return await perform(effect)

    async def main() -> None:
        coroutine: Any = play_task(scenario, interfere)
        # Stepped by hand, on a running loop, up to the effect.
        awaited: Any = None
        while awaited != "here":
            awaited = coroutine.send(None)
            if awaited is not None and awaited != "here":
                awaited._asyncio_future_blocking = False
                await asyncio.wait([awaited])
        if how == "close":
            coroutine.close()
        elif how == "throw":
            with pytest.raises(GeneratorExit):
                coroutine.throw(GeneratorExit())
        else:
            del coroutine
            gc.collect()

    run_task(main())
    scenario.check(GeneratorExit, index)


# The race that the tickets decide: a grant and a cancellation in one tick.


def wait_for(limit: FairSemaphore, timeout: float | None = None) -> Acquire:
    return Acquire(limit.acquire_later(), timeout)


@pytest.mark.parametrize("ticks", range(8))
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_cancellation_that_comes_with_the_grant_is_not_swallowed(ticks: int, timeout: float | None) -> None:
    """However many ticks after the grant it comes: cancelled stays cancelled, and the place comes back.

    `asyncio.wait_for` swallowed it before Python 3.12.
    """
    limit = FairSemaphore(1, lock=threading.Lock())

    def plan() -> Any:
        acquire = wait_for(limit, timeout)
        try:
            yield acquire
            yield Sleep(0.0)
        finally:
            acquire.waiter.release()

    async def never(seconds: float) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        holder = limit.acquire_later()
        task = asyncio.create_task(AsyncioDriver(None, never).run(plan()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert limit.waiting == 1
        holder.release()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    run_task(main())
    assert (limit.in_use, limit.waiting) == (0, 0)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_wait_that_has_ended_leaves_nothing_behind_until_its_time_is_over(is_cancelled: bool) -> None:
    """A thousand waits a second, each with ten seconds to go, would be ten thousand of them kept."""
    limit = FairSemaphore(1, lock=threading.Lock())

    async def main() -> list[Any]:
        known: dict[asyncio.AbstractEventLoop, TimerWheel] = {}
        holder = limit.acquire_later()
        task = asyncio.create_task(_wait_for_grant(known, wait_for(limit, 10.0)))
        await asyncio.sleep(0)
        (timers,) = known.values()
        assert any(timers._by_second.values())
        if is_cancelled:
            task.cancel()
        else:
            holder.release()
        await asyncio.wait([task], timeout=5)
        return [waiter for waiting in timers._by_second.values() for waiter in waiting]

    assert run_task(main()) == []


def test_a_grant_from_another_thread_wakes_the_task() -> None:
    """Threads and tasks share one limit."""
    limit = FairSemaphore(1, lock=threading.Lock())
    holder = limit.acquire_later()

    def plan() -> Any:
        acquire = wait_for(limit)
        try:
            return (yield acquire)
        finally:
            acquire.waiter.release()

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(AsyncioDriver(None).run(plan()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await loop.run_in_executor(None, holder.release)
        return await task

    # In debug mode a loop refuses to be touched from another thread in any way but the safe one.
    assert asyncio.run(asyncio.wait_for(main(), 20), debug=True) is True
    assert limit.in_use == 0


class GrantedInTheTickOfTheTimeout:
    """A ticket whose waiter is not told in time, though it was granted in time."""

    is_granted = True

    def notify(self, on_grant: Callable[[], object]) -> None:
        pass


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_grant_in_the_tick_of_the_timeout_is_used(driver: str) -> None:
    """What counts is whether the place is held, not who was told first."""

    def plan() -> Any:
        return (yield Acquire(GrantedInTheTickOfTheTimeout(), 0.001))  # type: ignore[arg-type]

    if driver == "blocking":
        assert BlockingDriver(None, None).run(plan()) is True  # type: ignore[arg-type]
    else:
        assert run_task(AsyncioDriver(None).run(plan())) is True  # type: ignore[arg-type]


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_wait_that_takes_too_long_says_so(driver: str) -> None:
    """False after the timeout, and the ticket leaves the queue."""
    limit = FairSemaphore(1, lock=threading.Lock())
    limit.acquire_later()

    def plan() -> Any:
        acquire = wait_for(limit, 0.001)
        try:
            return (yield acquire)
        finally:
            acquire.waiter.release()

    if driver == "blocking":
        assert BlockingDriver(None, None).run(plan()) is False  # type: ignore[arg-type]
    else:
        assert run_task(AsyncioDriver(None).run(plan())) is False  # type: ignore[arg-type]
    assert (limit.in_use, limit.waiting) == (1, 0)


def test_no_place_in_time_is_a_pool_timeout(front_end: FrontEnd) -> None:
    """Nothing was sent, the breaker learns nothing of it, and a POST may be tried again."""
    harness = Harness(
        front_end, max_connections_per_host=1, retry_policy_config={"max_attempts": 2, "initial_delay": 0.0}
    )
    holder = harness.state.connections.acquire_later()
    error = harness.error(PoolTimeoutError, "POST", timeout=Timeout(pool=0.001))
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)
    assert len([event for event in error.timeline if event.name == "attempt_finished"]) == 2
    assert harness.state.breaker.snapshot().failures == 0
    holder.release()
    assert harness.request("POST").status_code == 200


def test_both_places_share_one_pool_timeout() -> None:
    """Who waited for a place of the host waits for one of the client only for what is left."""
    harness = Harness(BlockingFrontEnd(), max_connections=1, max_connections_per_host=1)
    exchange = Exchange(harness.client._call_builder.origins, harness.limits[0])
    held = [harness.limits[0].acquire_later(), harness.state.connections.acquire_later()]
    call = harness.client._call_builder.build("GET", URL, timeout=Timeout(pool=10.0))
    plan = exchange(call.request, call)
    for_host: Any = next(plan)
    harness.clock.now += 7.0
    held.pop().release()
    for_client: Any = plan.send(True)
    plan.close()
    assert (for_host.timeout, for_client.timeout) == (10.0, pytest.approx(3.0))
    assert [limit.in_use for limit in harness.limits] == [1, 0]


def test_a_wait_for_a_place_is_of_the_attempts_time() -> None:
    """The exchange behind it is allowed what is left."""
    harness = Harness(BlockingFrontEnd(), max_connections_per_host=1)
    holder = harness.state.connections.acquire_later()
    call = harness.client._call_builder.build("GET", URL, timeout=10.0)
    plan = harness.client._pipeline(call.request, call)
    assert isinstance(next(plan), Acquire)
    harness.clock.now += 4.0
    holder.release()
    send: Any = plan.send(True)
    plan.close()
    assert (type(send), send.timeout.total) == (Send, 6.0)


def test_many_calls_cancelled_at_random_leave_nothing_behind() -> None:
    """A crowd on two places, each of them cancelled after another number of ticks."""
    harness = Harness(AsyncioFrontEnd(), 200, max_connections=2, max_connections_per_host=2)

    async def main() -> None:
        tasks = [asyncio.create_task(harness.client.get_async(URL)) for _ in range(60)]
        for task in tasks[::3]:
            await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        others = [result for result in results if not isinstance(result, asyncio.CancelledError)]
        assert {result.status_code for result in others} == {200}  # type: ignore[union-attr]

    run_task(main())
    assert [(limit.in_use, limit.waiting) for limit in harness.limits] == [(0, 0)] * 2
    snapshot = harness.state.breaker.snapshot()
    assert snapshot.successes + snapshot.abandoned == 60
    assert harness.state.breaker.state is CircuitBreakerState.CLOSED


# The driver itself.


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_plan_that_is_abandoned_is_closed(driver: str) -> None:
    """Also when the interruption falls between two of its steps: its `finally` runs at once."""
    story: list[str] = []

    def plan() -> Any:
        try:
            yield Sleep(0.0)
        except BaseException as error:
            story.append(type(error).__name__)
            raise
        finally:
            story.append("closed")

    def bad_sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    async def bad_sleep_async(seconds: float) -> None:
        raise asyncio.CancelledError

    if driver == "blocking":
        with pytest.raises(KeyboardInterrupt):
            BlockingDriver(None, None, bad_sleep).run(plan())  # type: ignore[arg-type]
    else:
        with pytest.raises(asyncio.CancelledError):
            run_task(AsyncioDriver(None, bad_sleep_async).run(plan()))  # type: ignore[arg-type]
    assert story == ["KeyboardInterrupt" if driver == "blocking" else "CancelledError", "closed"]


def interrupting(code: CodeType, line_number: int) -> Callable[..., Any]:
    """A trace function that raises KeyboardInterrupt at the n-th line that runs of this code.

    Lines that do nothing are not counted: signals are looked for at calls and jumps, and since Python 3.11
    the mere word `try` is guarded by nothing.
    """
    passed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        if frame.f_code is not code:
            return None
        if event == "line" and does_something(frame):
            passed += 1
            if passed == line_number:
                raise KeyboardInterrupt
        return trace

    return trace


def does_something(frame: FrameType) -> bool:
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return text not in {"try:", "while True:", "else:", "finally:"}


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_an_interrupt_between_any_two_lines_of_a_driver_closes_the_plan(kind: str) -> None:
    """Ctrl-C comes between two bytecodes, not where it would be convenient."""
    run: Any = BlockingDriver.run if kind == "blocking" else AsyncioDriver.run
    lines_to_the_end = 0
    for line_number in range(2, 100):

        def steps() -> Any:
            yield Sleep(0.0)
            yield Sleep(0.0)

        plan = steps()
        before = sys.gettrace()
        sys.settrace(interrupting(run.__code__, line_number))
        try:
            if kind == "blocking":
                BlockingDriver(None, None, lambda seconds: None).run(plan)  # type: ignore[arg-type]
            else:
                # Stepped by hand: a loop would have its own thoughts on KeyboardInterrupt.
                coroutine: Any = AsyncioDriver(None, asyncio.sleep).run(plan)  # type: ignore[arg-type]
                while True:
                    coroutine.send(None)
        except (KeyboardInterrupt, StopIteration) as end:
            was_interrupted = isinstance(end, KeyboardInterrupt)
        else:
            was_interrupted = False
        finally:
            sys.settrace(before)
        if not was_interrupted:
            lines_to_the_end = line_number
            break
        is_cleaning_up = line_number >= lines_of_cleanup(run)
        is_open = inspect.getgeneratorstate(plan) == inspect.GEN_SUSPENDED
        assert not is_open or is_cleaning_up, f"the plan is still open, from line {line_number} on"
    assert 10 < lines_to_the_end < 40


def lines_of_cleanup(run: Any) -> int:
    """From which line event on a driver that plays two steps is in its `finally` already."""
    events = 0
    source, first = inspect.getsourcelines(run)
    cleanup = first + next(n for n, text in enumerate(source) if "plan.close()" in text)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal events
        if frame.f_code is not run.__code__:
            return None
        if event == "line" and does_something(frame) and frame.f_lineno < cleanup:
            events += 1
        return trace

    def steps() -> Any:
        yield Sleep(0.0)
        yield Sleep(0.0)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        if run is BlockingDriver.run:
            BlockingDriver(None, None, lambda seconds: None).run(steps())  # type: ignore[arg-type]
        else:
            coroutine: Any = AsyncioDriver(None, asyncio.sleep).run(steps())  # type: ignore[arg-type]
            with contextlib.suppress(StopIteration):
                while True:
                    coroutine.send(None)
    finally:
        sys.settrace(before)
    return events + 1


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_what_is_no_effect_is_an_error_in_the_plan(driver: str) -> None:
    """A driver that does not know an effect throws into the plan: what it holds comes back."""
    story: list[str] = []

    def plan() -> Any:
        try:
            yield "nonsense"
        finally:
            story.append("closed")

    with pytest.raises(KeyError):
        if driver == "blocking":
            BlockingDriver(None, None).run(plan())  # type: ignore[arg-type]
        else:
            run_task(AsyncioDriver(None).run(plan()))  # type: ignore[arg-type]
    assert story == ["closed"]
