"""Rows about the calls of a client on a scripted network, on threads, in asyncio and in the simulator, in virtual time.

Each call's story is told alike: `sent1@2` for a hedge and its instant, `denied@2`, `won0@3` for how each of the requests ended.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.drivers import blocking
from http_service_client.drivers.interruption import interruptible
from http_service_client.drivers.simulated_functions import SimulatedClock
from http_service_client.drivers.simulator import Simulator
from http_service_client.events import HedgeDenied, HedgeFinished, HedgeStarted
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import ScriptedTransport, late
from kit.jumping_loop import JumpingLoop
from kit.strategies import WORLDS, _LoopClock
from kit.virtual_threads import VirtualThreads

__all__ = ["OK", "URL", "WORLDS", "Get", "Played", "play"]

URL = "https://api.example.com/"
OK = HttpResponse(200)


class Get(NamedTuple):
    """One call.   at, cancel: instants.   options: its keywords."""

    at: float = 0.0
    cancel: float | None = None
    options: dict[str, Any] = {}  # it never changes
    method: str = "GET"
    url: str = URL


class Played:
    """What came of it.   results: of the calls, such as "200@1.5"."""

    def __init__(self, client: HttpServiceClient, transport: ScriptedTransport, events: list[Any]) -> None:
        self.client = client
        self.transport = transport
        self.events = events
        self.results: list[str] = []
        self.outcomes: list[Any] = []

    @property
    def story(self) -> str:
        """The hedges."""
        start = self.events[0].at if self.events else 0.0
        told = []
        for event in self.events:
            at = f"@{round(event.at - start * 0, 6):g}"
            if isinstance(event, HedgeStarted):
                told.append(f"sent{event.hedge}{at}")
            elif isinstance(event, HedgeDenied):
                told.append(f"denied{at}")
            elif isinstance(event, HedgeFinished):
                told.append(f"{event.result.value}{event.hedge}{at}")
        return " ".join(told)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    @property
    def state(self) -> Any:
        return self.client._call_builder.origins.get(URL.rstrip("/"))

    def check_nothing_is_held(self) -> None:
        """No slot, no permit: each was settled or released."""
        limits = self.client._backends._limits()
        assert [(limit.in_use, limit.waiting) for limit in limits] == [(0, 0)] * len(limits)


def play(
    world: str,
    monkeypatch: pytest.MonkeyPatch,
    script: Sequence[Any],
    *calls: Get,
    **settings: Any,
) -> Played:
    """Make the calls of a client with these settings.   script: pairs of seconds and outcome, or outcomes."""
    stage: _Stage = {"blocking": _Threads, "asyncio": _Asyncio, "virtual": _Virtual}[world](monkeypatch)
    outcomes = [late(*each) if isinstance(each, tuple) else each for each in script]
    transport = ScriptedTransport(outcomes, clock=stage)
    events: list[Any] = []
    config = HttpClientConfig(**{"hedging": {"delay": 1.0}, **settings})
    client = HttpServiceClient(
        config, transport=transport, clock=stage.clock, random=lambda: 0.5, on_event=events.append
    )
    played = Played(client, transport, events)
    stage.play(played, calls or (Get(),))
    played.check_nothing_is_held()
    return played


class _Stage(ABC):
    clock: Any

    @abstractmethod
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None: ...

    @abstractmethod
    def play(self, played: Played, calls: Sequence[Get]) -> None: ...

    def elapse(self, seconds: float) -> None:
        raise AssertionError

    async def elapse_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def note(self, played: Played, number: int, result: object) -> None:
        text = (
            type(result).__name__
            if isinstance(result, BaseException)
            else str(getattr(result, "status_code", 0))
        )
        if text in ("CancelledError", "KeyboardInterrupt", "GeneratorExit"):
            text = "cancelled"
        played.results[number] = f"{text}@{round(self.clock.monotonic(), 6):g}"
        played.outcomes[number] = result


class _Threads(_Stage):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = VirtualThreads()
        self.clock.patch(monkeypatch)

    def elapse(self, seconds: float) -> None:
        lock = blocking.threading.Lock()
        lock.acquire()
        with interruptible(lock.release):
            lock.acquire(timeout=seconds)

    def play(self, played: Played, calls: Sequence[Get]) -> None:
        played.results, played.outcomes = ["?"] * len(calls), [None] * len(calls)

        def make(number: int, call: Get) -> None:
            try:
                self.note(played, number, played.client.request(call.method, call.url, **call.options))
            except BaseException as error:
                self.note(played, number, error.with_traceback(None))

        for number, call in enumerate(calls):
            thread = self.clock.start(lambda number=number, call=call: make(number, call), call.at)  # type: ignore[misc]
            if call.cancel is not None:
                self.clock.start(
                    lambda thread=thread: self.clock.interrupt(thread, KeyboardInterrupt()),  # type: ignore[misc]
                    call.cancel,
                )
        self.clock.run()


class _Asyncio(_Stage):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = JumpingLoop()
        self.clock = _LoopClock(self._loop)

    def play(self, played: Played, calls: Sequence[Get]) -> None:
        played.results, played.outcomes = ["?"] * len(calls), [None] * len(calls)

        async def make(number: int, call: Get) -> None:
            await asyncio.sleep(call.at)
            try:
                self.note(
                    played, number, await played.client.request_async(call.method, call.url, **call.options)
                )
            except BaseException as error:
                self.note(played, number, error.with_traceback(None))

        async def main() -> None:
            tasks = [asyncio.ensure_future(make(number, call)) for number, call in enumerate(calls)]
            for task, call in zip(tasks, calls, strict=True):
                if call.cancel is not None:
                    self._loop.call_later(call.cancel, task.cancel)
            await asyncio.gather(*tasks)
            for _ in range(5):  # what was cancelled ends
                await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1, "no task outlives the calls"

        try:
            self._loop.run_until_complete(main())
        finally:
            self._loop.close()


class _Virtual(_Stage):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._transport: Any = None
        self._simulator = Simulator(self._respond)
        self.clock = SimulatedClock(self._simulator.clock)

    def _respond(self, request: HttpRequest, timeout: Any) -> Any:
        latency, outcome = self._transport._next(request, timeout)
        self._transport._note(request, b"", timeout, outcome)
        return latency, outcome

    def play(self, played: Played, calls: Sequence[Get]) -> None:
        self._transport = played.transport
        played.results, played.outcomes = ["?"] * len(calls), [None] * len(calls)
        builder = played.client._call_builder

        def make(number: int, call: Get) -> Any:
            made = builder.build(call.method, call.url, **call.options)
            plan = builder.pipelines.of(made)(made.request, made)
            try:
                result = made.finish((yield from plan))
            except BaseException as error:
                self.note(played, number, error)
                raise
            finally:
                plan.close()
            self.note(played, number, result)

        for number, call in enumerate(calls):
            run = self._simulator.spawn(make(number, call), call.at)
            if call.cancel is not None:
                self._simulator.spawn(self._cancelling(run), call.cancel)
        self._simulator.run()

    def _cancelling(self, run: Any) -> Any:
        self._simulator.cancel(run)
        return
        yield
