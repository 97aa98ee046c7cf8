"""A hedged call that is interrupted at any of its effects, or at any instant, leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.core.effects import Begin, Effect, FirstOf, Send
from http_service_client.drivers import blocking
from http_service_client.testing import ScriptedTransport, late
from kit.front_ends import run_task
from kit.hedged_calls import OK, URL, WORLDS, Get, play
from kit.threads import wait_until

# The effects of the call itself, in order: the first request hangs, the second responds.
EFFECTS: list[tuple[type[Effect[Any]], int]] = [(Begin, 1), (FirstOf, 1), (Begin, 2), (FirstOf, 2)]

Interfere = Callable[[int, Callable[[Any], Any], Any], Any]


class Scenario:
    """A client whose first request hangs, in real time."""

    def __init__(self) -> None:
        self.transport = ScriptedTransport([late(0.5, OK), OK])
        self.events: list[Any] = []
        self.client = HttpServiceClient(
            HttpClientConfig(hedging={"delay": 0.01}), transport=self.transport, on_event=self.events.append
        )
        self.seen: list[type[Any]] = []

    def interpose(self, driver: Any, interfere: Interfere) -> None:
        """Have `interfere` perform each effect of the driver. It may call the real function or not."""

        def around(perform: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def wrapped(effect: Any) -> Any:
                at = len(self.seen)
                self.seen.append(type(effect))
                return interfere(at, perform, effect)

            return wrapped

        for kind, perform in list(driver._perform.items()):
            driver._perform[kind] = around(perform)
        send = driver._send
        performed = around(lambda effect: send(effect.request, effect.timeout))
        driver._send = lambda request, timeout: performed(Send(request, timeout))

    def check(self, error: type[BaseException]) -> None:
        """Nothing is held, the timeline has its end, and the next call works."""
        limits = self.client._backends._limits()
        state = self.client._call_builder.origins.get(URL.rstrip("/"))

        def is_settled() -> bool:
            snapshot = state.breaker.snapshot()
            sent = self.seen.count(Send)
            return snapshot.successes + snapshot.abandoned >= sent and not any(
                limit.in_use or limit.waiting for limit in limits
            )

        wait_until(is_settled)
        assert state.breaker.snapshot().failures == 0, "an interruption is no failure of the service"
        finished = [event for event in self.events if event.name == "call_finished"]
        assert [event.error for event in finished] == [error.__name__]
        assert self.events[-1] is finished[0], "what an arm still does is no part of the story"
        backends = self.client._backends
        backends._blocking = backends._asyncio = None  # the real drivers
        assert self.client.get(URL).status_code == 200


def test_the_call_has_the_effects_of_the_table() -> None:
    """Without an interruption it succeeds, with these effects, so that none goes untested."""
    for in_task in (False, True):
        scenario = Scenario()
        if in_task:
            scenario.interpose(
                scenario.client._backends.asyncio(), lambda at, perform, effect: perform(effect)
            )
            run_task(scenario.client.get_async(URL))
        else:
            scenario.interpose(
                scenario.client._backends.blocking(), lambda at, perform, effect: perform(effect)
            )
            scenario.client.get(URL)
        counts = {kind: scenario.seen.count(kind) for kind in set(scenario.seen)}
        waits = counts.pop(FirstOf)
        assert counts == {Begin: 2, Send: 2}
        assert waits >= 2  # one more where a thread or a task is late


@pytest.mark.parametrize("moment", ["instead of it", "right after it"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(("kind", "number"), EFFECTS)
def test_a_thread_interrupted_at_each_effect(
    kind: type[Any], number: int, interruption: type[BaseException], moment: str
) -> None:
    """Both arms are cancelled, also those that have just begun."""
    scenario = Scenario()

    def interfere(at: int, perform: Callable[[Any], Any], effect: Any) -> Any:
        if type(effect) is kind and scenario.seen[: at + 1].count(kind) == number:
            if moment == "right after it":
                perform(effect)
            raise interruption
        return perform(effect)

    scenario.interpose(scenario.client._backends.blocking(), interfere)
    with pytest.raises(interruption):
        scenario.client.get(URL)
    scenario.check(interruption)
    wait_until(lambda: not blocking._BRANCHES._workers)


@pytest.mark.parametrize("moment", ["at it", "while it waits", "right after it"])
@pytest.mark.parametrize(("kind", "number"), EFFECTS)
def test_a_task_cancelled_at_each_effect(kind: type[Any], number: int, moment: str) -> None:
    """As for threads; "while it waits" is a cancellation by another task."""
    scenario = Scenario()

    async def main() -> None:
        before = asyncio.all_tasks()
        reached = asyncio.Event()

        async def interfere(at: int, perform: Callable[[Any], Any], effect: Any) -> Any:
            if type(effect) is not kind or scenario.seen[: at + 1].count(kind) != number:
                return await perform(effect)
            task = asyncio.current_task()
            assert task is not None
            if moment == "while it waits":
                reached.set()
                await asyncio.Event().wait()
            if moment == "right after it":
                answer = await perform(effect)
                task.cancel()
                await asyncio.sleep(0)
                return answer
            task.cancel()
            return await perform(effect)

        scenario.interpose(scenario.client._backends.asyncio(), interfere)
        task = asyncio.create_task(scenario.client.get_async(URL))
        if moment == "while it waits":
            await reached.wait()
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before, "no arm outlives its call"

    run_task(main())
    scenario.check(asyncio.CancelledError)


@pytest.mark.parametrize("how", ["close", "drop"])
@pytest.mark.parametrize("is_loop_closed", [False, True])
def test_an_abandoned_call_cancels_its_arms(how: str, is_loop_closed: bool) -> None:
    """Its coroutine is closed or dropped while both requests are in flight, perhaps after the end of its loop."""
    scenario = Scenario()
    loop = asyncio.new_event_loop()
    coroutines: list[Any] = [scenario.client.get_async(URL)]
    second: list[Any] = []

    class Halt:
        def __await__(self) -> Iterator[str]:
            yield "here"

    async def interfere(at: int, perform: Callable[[Any], Any], effect: Any) -> Any:
        if type(effect) is FirstOf and scenario.seen.count(FirstOf) == 2:
            second.append(effect)
            await Halt()
        return await perform(effect)

    async def main() -> None:
        scenario.interpose(scenario.client._backends.asyncio(), interfere)
        awaited: Any = None
        while awaited != "here":
            awaited = coroutines[0].send(None)
            if awaited is not None and awaited != "here":
                awaited._asyncio_future_blocking = False
                await asyncio.wait([awaited])
        if not is_loop_closed:
            abandon()
            for _ in range(5):
                await asyncio.sleep(0)

    def abandon() -> None:
        if how == "close":
            coroutines[0].close()
        coroutines.clear()
        gc.collect()

    try:
        loop.run_until_complete(main())
        if is_loop_closed:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    finally:
        loop.close()
    if is_loop_closed:
        abandon()
    scenario.check(GeneratorExit)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(6))
def test_calls_cancelled_at_random_instants_leave_nothing(
    seed: int, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty calls over few connections, with latencies, failures and cancellations at random: no slot, no permit, no task."""
    random = Random(seed)
    script = [
        (random.choice([0.1, 0.9, 1.0, 1.5, 4.0]), OK if random.random() < 0.9 else ConnectionResetError())
        for _ in range(400)
    ]
    calls = []
    for _ in range(40):
        at = random.uniform(0, 10)
        cancel = at + random.choice([0.05, 1.0, 1.1, 2.0]) if random.random() < 0.5 else None
        calls.append(Get(at=at, cancel=cancel))
    played = play(
        world,
        monkeypatch,
        script,
        *calls,
        hedging={"delay": 1.0, "max_hedges": 2, "max_share": 1.0},
        retry_budget_config={"capacity": 1000},
        circuit_breaker_config={"failure_threshold": 1000},
        max_connections=12,
        max_connections_per_host=12,
    )
    snapshot = played.state.breaker.snapshot()
    settled = snapshot.successes + snapshot.failures + snapshot.abandoned + snapshot.late
    assert settled >= len(played.transport.sent)
    assert all(
        result.split("@")[0] in ("200", "cancelled", "ConnectionLostError") for result in played.results
    )
    assert sum(name == "call_finished" for name in played.names) == 40
