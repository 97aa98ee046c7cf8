"""Rows about policies around functions, played on threads, in asyncio and in the simulator, in virtual time.

    Row(
        "the third call waits for a permit",
        lambda clock: [BulkheadPolicy(max_concurrent=2, clock=clock)],
        [Op(takes=2.0), Op(takes=3.0), Op(takes=1.0)],
        "ok@2 ok@3 ok@3",
    )

`given` makes the policies of a pipeline, the outermost first, all on the clock that it gets. Each `Op` is a call that begins
at its instant. `then` has one word for each: what it returned, or the class of its error, and when. `events` are the names
of the events of all of them, in their order, but for their ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pytest

from http_service_client import ResiliencePipeline
from http_service_client.drivers.simulated_functions import SimulatedClock
from http_service_client.drivers.simulator import Simulator
from http_service_client.events import Event, OperationFinished
from http_service_client.policies import Strategy
from kit.jumping_loop import JumpingLoop
from kit.virtual_threads import VirtualThreads

__all__ = ["WORLDS", "Act", "Op", "Row", "play"]

WORLDS = ("blocking", "asyncio", "virtual")


class Op(NamedTuple):
    """One call.

    at: when it begins.   takes: seconds of the function, in each attempt; the last one is repeated.
    gives: what it returns, or an exception that it raises, in each attempt likewise.
    cancel: when the call is cancelled (on a thread: interrupted in its wait, as by Ctrl-C), or None.
    args: of the function.   inside: makes a context manager around the call, such as `deadline(2.0)`, from the clock.
    """

    at: float = 0.0
    takes: float | tuple[float, ...] = 0.0
    gives: Any = "ok"
    cancel: float | None = None
    args: tuple[Any, ...] = ()
    inside: Callable[[Any], AbstractContextManager[Any]] | None = None


class Act(NamedTuple):
    """Something that happens at an instant.   does: gets the policies of the row."""

    at: float
    does: Callable[[list[Any]], object]


class Row(NamedTuple):
    """name: the law.   worlds: where it is played; all of `WORLDS` if there is no reason against."""

    name: str
    given: Callable[[Any], Sequence[Strategy]]
    when: Sequence[Op]
    then: str
    events: str | None = None
    acts: Sequence[Act] = ()
    worlds: Sequence[str] = WORLDS


def play(row: Row, world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a row, and compare."""
    if world not in row.worlds:
        pytest.skip(f"not a row of {world}")
    playing: _World = {"blocking": _Threads, "asyncio": _Asyncio, "virtual": _Virtual}[world](monkeypatch)
    events: list[Event] = []
    policies = list(row.given(playing.clock))
    pipeline = ResiliencePipeline(*policies, clock=playing.clock, name="row", on_event=events.append)
    results = playing.play(pipeline, row.when, [(act.at, act.does, policies) for act in row.acts])
    assert " ".join(results) == row.then
    if row.events is not None:
        assert (
            " ".join(type(event).__name__ for event in events if type(event) is not OperationFinished)
            == row.events
        )


def _nth(values: Any, attempt: int) -> Any:
    return values[min(attempt, len(values) - 1)] if isinstance(values, tuple) else values


class _Called:
    """The function of one call, plain or async."""

    def __init__(self, op: Op, clock: Any) -> None:
        self._op, self._clock, self._attempt = op, clock, -1

    def plain(self, *args: Any) -> Any:
        self._attempt += 1
        attempt = self._attempt
        if seconds := _nth(self._op.takes, attempt):
            self._clock.sleep(seconds)
        return self._end(attempt)

    async def asynchronous(self, *args: Any) -> Any:
        self._attempt += 1
        attempt = self._attempt  # hedges run at the same time
        if seconds := _nth(self._op.takes, attempt):
            await self._clock.sleep_async(seconds)
        return self._end(attempt)

    def _end(self, attempt: int) -> Any:
        given = _nth(self._op.gives, attempt)
        if isinstance(given, BaseException) or (isinstance(given, type) and issubclass(given, BaseException)):
            raise given
        return given


class _World(ABC):
    clock: Any

    @abstractmethod
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None: ...

    @abstractmethod
    def play(
        self, pipeline: ResiliencePipeline, ops: Sequence[Op], acts: Sequence[tuple[float, Any, Any]]
    ) -> list[str]: ...

    def told(self, result: object) -> str:
        """A result, or an error, and the present time."""
        text = type(result).__name__ if isinstance(result, BaseException) else str(result)
        if text in ("CancelledError", "KeyboardInterrupt", "GeneratorExit"):
            text = "cancelled"
        return f"{text}@{round(self.clock.monotonic(), 6):g}"

    def around(self, op: Op) -> AbstractContextManager[Any]:
        return contextlib.nullcontext() if op.inside is None else op.inside(self.clock)


class _Threads(_World):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = VirtualThreads()
        self.clock.patch(monkeypatch)

    def play(
        self, pipeline: ResiliencePipeline, ops: Sequence[Op], acts: Sequence[tuple[float, Any, Any]]
    ) -> list[str]:
        results = ["not called"] * len(ops)

        def call(number: int, op: Op) -> None:
            try:
                with self.around(op):
                    result: object = pipeline.call(_Called(op, self.clock).plain, *op.args)
            except BaseException as error:
                result = error
            results[number] = self.told(result)

        for number, op in enumerate(ops):
            thread = self.clock.start(lambda number=number, op=op: call(number, op), op.at)  # type: ignore[misc]
            if op.cancel is not None:
                self.clock.start(
                    lambda thread=thread: self.clock.interrupt(thread, KeyboardInterrupt()),  # type: ignore[misc]
                    op.cancel,
                )
        for at, does, policies in acts:
            self.clock.start(lambda does=does, policies=policies: does(policies), at)  # type: ignore[misc]
        self.clock.run()
        return results


class _LoopClock:
    """The time of a loop that jumps."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time

    def wall(self) -> float:
        return 1_704_067_200.0 + self.monotonic()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a task does not block")

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Asyncio(_World):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = JumpingLoop()
        self.clock = _LoopClock(self._loop)

    def play(
        self, pipeline: ResiliencePipeline, ops: Sequence[Op], acts: Sequence[tuple[float, Any, Any]]
    ) -> list[str]:
        async def call(op: Op) -> str:
            if op.at:
                await asyncio.sleep(op.at)
            try:
                with self.around(op):
                    result: object = await pipeline.call_async(_Called(op, self.clock).asynchronous, *op.args)
            except BaseException as error:
                result = error
            return self.told(result)

        async def main() -> list[str]:
            tasks = [asyncio.ensure_future(call(op)) for op in ops]
            for task, op in zip(tasks, ops, strict=True):
                if op.cancel is not None:
                    self._loop.call_later(op.cancel, task.cancel)
            for at, does, policies in acts:
                self._loop.call_later(at, does, policies)
            return list(await asyncio.gather(*tasks))

        try:
            return self._loop.run_until_complete(main())
        finally:
            self._loop.close()


class _Virtual(_World):
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._simulator = Simulator()
        self.clock = SimulatedClock(self._simulator.clock)

    def play(
        self, pipeline: ResiliencePipeline, ops: Sequence[Op], acts: Sequence[tuple[float, Any, Any]]
    ) -> list[str]:
        results = ["not called"] * len(ops)

        async def call(number: int, op: Op) -> None:
            if op.at:
                await self.clock.sleep_async(op.at)
            try:
                with self.around(op):
                    result: object = await pipeline.call_async(_Called(op, self.clock).asynchronous, *op.args)
            except BaseException as error:
                results[number] = self.told(error)
                if not isinstance(error, Exception):
                    raise
            else:
                results[number] = self.told(result)

        async def act(at: float, does: Callable[[], object]) -> None:
            await self.clock.sleep_async(at)
            does()

        for number, op in enumerate(ops):
            run = self._simulator.spawn(call(number, op).__await__())
            if op.cancel is not None:
                cancel = lambda run=run: self._simulator.cancel(run)  # noqa: E731
                self._simulator.spawn(act(op.cancel, cancel).__await__())
        for at, does, policies in acts:
            self._simulator.spawn(act(at, lambda does=does, policies=policies: does(policies)).__await__())  # type: ignore[misc]
        self._simulator.run()
        return results
