"""Policies around functions in virtual time: the clock of a simulation, and the driver of their plans there.

The simulator drives a coroutine like a plan, since it awaits nothing but effects. So a plan around a function runs inside
the coroutine, and each of its effects is awaited.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from ..core.effects import TIMED_OUT, Acquire, Begin, Effect, FirstOf, Invoke, Plan, Send, Sleep, Start
from ..errors import ConfigurationError

__all__ = ["Awaited", "EffectAwaiter", "SimulatedClock"]

T = TypeVar("T")
_WALL = 1_704_067_200.0  # 2024-01-01 00:00 UTC


class Awaited:
    """An effect that a coroutine awaits."""

    def __init__(self, effect: Effect[Any]) -> None:
        self._effect = effect

    def __await__(self) -> Plan[Any]:
        return iter(self._effect)


class SimulatedClock:
    """The clock of a simulation, for the policies around a guarded function."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.monotonic = now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return _WALL + self.monotonic()

    def sleep(self, seconds: float) -> None:
        """A plain function cannot wait in a simulation: everything runs on one thread."""
        raise ConfigurationError("a plain function cannot wait in a simulation; guard an async function")

    async def sleep_async(self, seconds: float) -> None:
        """Wait for so many seconds of the simulation."""
        await Awaited(Sleep(seconds))


class EffectAwaiter:
    """Performs the effects of a plan inside a coroutine that the simulator drives.   now: the simulation's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    async def run(self, plan: Plan[T], is_call: bool = True, effect: Effect[Any] | None = None) -> T:
        """The plan's result.   is_call, effect: see `AsyncioDriver`."""
        try:
            effect = effect or next(plan)
            while True:
                try:
                    answer = await self.perform(effect)
                except BaseException as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            plan.close()

    async def perform(self, effect: Effect[Any]) -> Any:
        """The answer to one effect; raises what it raises."""
        if isinstance(effect, Invoke):
            value = effect.function(*effect.arguments)
            if not hasattr(type(value), "__await__"):
                return value
            return await (value if effect.timeout is None else self.bounded(value, effect.timeout))
        if isinstance(effect, Begin):
            effect.branch.wrap(self._steps)
        elif isinstance(effect, Start):
            effect.make_plan = partial(self._steps, effect.make_plan)
        return await Awaited(effect)

    def bounded(self, awaitable: Awaitable[Any], timeout: float) -> Awaitable[Any]:
        """The awaitable's result, or TIMED_OUT when it was cancelled after `timeout` seconds."""
        return _Bounded(awaitable, self._now() + timeout, self._now)

    def _steps(self, make_plan: Callable[[], Plan[T]]) -> Plan[T]:
        """The plan as one whose effects the simulator can perform itself."""
        return (yield from self.run(make_plan()).__await__())


class _Bounded:
    """An awaitable until an instant; then it is cancelled, and the result is `TIMED_OUT`."""

    def __init__(self, awaitable: Awaitable[Any], expires_at: float, now: Callable[[], float]) -> None:
        self._awaitable = awaitable
        self._expires_at = expires_at
        self._now = now

    def __await__(self) -> Plan[Any]:
        steps: Any = self._awaitable.__await__()
        try:
            effect = next(steps)
            while True:
                left = max(0.0, self._expires_at - self._now())
                if isinstance(effect, Sleep) and effect.seconds > left:
                    effect = Sleep(left, effect.waiter)
                elif isinstance(effect, Acquire) and (effect.timeout is None or effect.timeout > left):
                    effect = Acquire(effect.waiter, left)
                elif isinstance(effect, FirstOf) and (effect.timeout is None or effect.timeout > left):
                    effect = FirstOf(effect.branches, left)
                elif isinstance(effect, Send) and left <= 0:
                    return self._cancelled(steps)
                elif isinstance(effect, Send):
                    effect = type(effect)(effect.request, effect.timeout.within(left))
                else:
                    left = -1.0
                try:
                    answer = yield effect
                except BaseException as error:
                    effect = steps.throw(error)
                    continue
                # A grant, say, or a branch that has ended.
                is_in_time = answer is not None and answer is not False and not isinstance(effect, Send)
                if left >= 0 and not is_in_time and self._now() >= self._expires_at:
                    return self._cancelled(steps)
                effect = steps.send(answer)
        except StopIteration as stop:
            return stop.value

    def _cancelled(self, steps: Any) -> object:
        try:
            steps.throw(CancelledError())
        except CancelledError:
            return TIMED_OUT
        # A StopIteration goes on to the caller: the function has done its work all the same.
        steps.close()  # it goes on after a cancellation, which nothing here waits for
        return TIMED_OUT
