"""A call that is interrupted at any effect releases everything that it holds, and the client keeps working.

One call with every kind of effect is run up to each of them: a trial of a half-open circuit, interceptors, a wait for
a slot of the host and for one of the client, a retry with its budget, a redirect. There it is ended: by a
KeyboardInterrupt instead of the effect or right after it (between the answer and the plan's next step), by a
cancellation of the task at the effect, while it waits, or right after it, and by closing the plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client.core.effects import Acquire, Effect, Invoke, Send, Sleep
from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker
from http_service_client.core.machines.limits.semaphore import Waiter
from http_service_client.core.machines.retry.budget import RetryBudget
from http_service_client.errors import SentState
from kit.fakes import URL, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd, run_task

# The effects of that call, in order.
EFFECTS = [Invoke, Acquire, Acquire, Send, Invoke, Sleep, Invoke, Send, Send, Invoke]


class Passing:
    """An async interceptor that awaits, and changes nothing."""

    async def intercept_request(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return request

    async def intercept_response(self, response: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return response


class Scenario:
    """A client with a half-open circuit, while other calls hold all slots."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.harness = Harness(
            front_end,
            425,  # retried, but not a failure of the service: the trial succeeds
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

    def release_slot(self, waiter: Waiter) -> None:
        """Release the slot that this waiter waits for."""
        for holder in self.holders:
            if holder._limit is waiter._limit:
                holder.release()

    def check(self, error: type[BaseException], at: int) -> None:
        """Nothing is held, the timeline is finished, and the next call works."""
        for holder in self.holders:
            holder.release()
        assert [(limit.in_use, limit.waiting) for limit in self.harness.limits] == [(0, 0)] * 2
        snapshot = self.breaker.snapshot()
        assert snapshot.failures == 1, "an interruption is not a failure of the server"
        settled = snapshot.successes + snapshot.failures + snapshot.abandoned + snapshot.late
        assert settled == 1 + self.harness.names().count("attempt_finished") + self.interrupted_attempts()
        retries_made = 1 if at > EFFECTS.index(Sleep) else 0
        assert self.budget.balance == 5 - retries_made
        finished = self.harness.events[-1]
        assert (finished.name, finished.error) == ("call_finished", error.__name__)
        assert self.harness.names().count("call_finished") == 1
        assert finished.sent_state in (SentState.ABANDONED, SentState.REFUSED)
        self.make_next_call()

    def interrupted_attempts(self) -> int:
        """1, or 0 if the call was ended between two attempts."""
        return 0 if self.harness.names()[-2:-1] == ["retry_scheduled"] and self.seen[-1] is Sleep else 1

    def make_next_call(self) -> None:
        """With the same client and circuit: a trial passes at once, and its slots are free."""
        self.harness.transport.script = [200]
        self.harness.client._backends._blocking = self.harness.client._backends._asyncio = (
            None  # the real drivers
        )
        assert self.harness.request().status_code == 200
        assert [limit.in_use for limit in self.harness.limits] == [0, 0]


Perform = Callable[[Any], Any]


Interfere = Callable[[int, Perform, Effect[Any]], Any]


def interpose(driver: Any, scenario: Scenario, interfere: Interfere) -> None:
    """Have `interfere` perform each effect of the driver. It may call the real function or not."""

    def around(perform: Perform) -> Perform:
        def wrapped(effect: Effect[Any]) -> Any:
            at = len(scenario.seen)
            scenario.seen.append(type(effect))
            if isinstance(effect, Acquire):
                scenario.release_slot(effect.waiter)
            return interfere(at, perform, effect)

        return wrapped

    for kind, perform in list(driver._perform.items()):
        driver._perform[kind] = around(perform)
    send = driver._send
    perform_send = around(lambda effect: send(effect.request, effect.timeout))
    driver._send = lambda request, timeout: perform_send(Send(request, timeout))


def run_blocking(scenario: Scenario, interfere: Interfere) -> None:
    """Make the call, each effect performed by `interfere`."""
    interpose(scenario.harness.client._backends.blocking(), scenario, interfere)
    scenario.harness.client.get(URL, timeout=None)


def run_in_task(scenario: Scenario, interfere: Interfere) -> Any:
    """The coroutine of the call, as `run_blocking`."""
    interpose(scenario.harness.client._backends.asyncio(), scenario, interfere)
    return scenario.harness.client.get_async(URL, timeout=None)


def test_the_call_has_the_effects_of_the_table() -> None:
    """Without an interruption it succeeds, with exactly these effects, so that none goes untested."""
    scenario = Scenario(BlockingFrontEnd())
    run_blocking(scenario, lambda at, perform, effect: perform(effect))
    assert scenario.seen == EFFECTS
    assert scenario.harness.events[-1].status_code == 200

    scenario = Scenario(AsyncioFrontEnd())
    run_task(run_in_task(scenario, lambda at, perform, effect: perform(effect)))
    assert scenario.seen == EFFECTS


@pytest.mark.parametrize("moment", ["instead of it", "right after it"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("index", range(len(EFFECTS)))
def test_a_thread_interrupted_at_each_effect(
    index: int, interruption: type[BaseException], moment: str
) -> None:
    """Permits, slots and budget are released, also between a grant and the plan's next step."""
    scenario = Scenario(BlockingFrontEnd())

    def interfere(at: int, perform: Perform, effect: Effect[Any]) -> Any:
        if at == index:
            if moment == "right after it":
                perform(effect)
            raise interruption
        return perform(effect)

    with pytest.raises(interruption):
        run_blocking(scenario, interfere)
    scenario.check(interruption, index)


@pytest.mark.parametrize("moment", ["at it", "while it waits", "right after it"])
@pytest.mark.parametrize("index", range(len(EFFECTS)))
def test_a_task_cancelled_at_each_effect(index: int, moment: str) -> None:
    """As for threads; "while it waits" is a cancellation by another task."""
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
        task = asyncio.create_task(run_in_task(scenario, interfere))
        if moment == "while it waits":
            await reached.wait()
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run_task(main())
    scenario.check(asyncio.CancelledError, index)


@pytest.mark.parametrize("how", ["close", "throw", "drop"])
@pytest.mark.parametrize("index", range(len(EFFECTS)))
def test_an_abandoned_plan_at_each_effect(index: int, how: str) -> None:
    """A coroutine that its owner closes, throws into, or just drops, while it waits for an effect."""
    scenario = Scenario(AsyncioFrontEnd())

    class Halt:
        def __await__(self) -> Iterator[str]:
            yield "here"

    async def interfere(at: int, perform: Perform, effect: Effect[Any]) -> Any:
        if at == index:
            await Halt()
        return await perform(effect)

    async def main() -> None:
        coroutine: Any = run_in_task(scenario, interfere)
        # Stepped manually, on a running loop, up to the effect.
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
