"""Runs the plans around functions in the current task of trio, which anyio may have started.

The effects mean what they mean in asyncio. What differs is how trio cancels: a task that is cancelled keeps raising
`trio.Cancelled` at each of its waits, so that one is raised on, always: it is thrown into the plan, which releases what it
holds. A timeout is a cancel scope of trio's own.

Trio and not anyio, which has no way of waking a task from another thread without waiting for that.
"""

from __future__ import annotations

import contextvars
import math
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio

from ..core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Branch,
    Effect,
    FirstOf,
    Invoke,
    Plan,
    Sleep,
    Start,
    Work,
)

__all__ = ["TrioDriver", "in_trio", "sleep"]

T = TypeVar("T")

sleep = trio.sleep


def in_trio() -> bool:
    """Whether the running code is a task of trio."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


class TrioDriver:
    """Performs effects by awaiting.   sleep: waits for a number of seconds; None: on trio's clock."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] | None = None) -> None:
        self._sleep = sleep or trio.sleep
        self._perform: dict[type[Effect[Any]], Callable[[Any], Awaitable[Any]]] = {
            Sleep: self._wait,
            Acquire: _acquire,
            Invoke: self._invoke,
            Work: _work,
            Start: self._start,
            Begin: self._begin,
            FirstOf: _first_of,
        }

    async def run(self, plan: Plan[T], is_call: bool = True, effect: Effect[Any] | None = None) -> T:
        """The plan's result.   is_call, effect: see `AsyncioDriver`."""
        try:
            effect = effect or next(plan)
            while True:
                try:
                    answer = await self._perform[type(effect)](effect)
                except BaseException as error:
                    effect = plan.throw(error)
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            plan.close()
            del plan
            effect = answer = None  # an error's traceback holds this frame

    async def perform(self, effect: Effect[Any]) -> Any:
        """The answer to one effect; raises what it raises."""
        return await self._perform[type(effect)](effect)

    async def bounded(self, awaitable: Awaitable[Any], timeout: float) -> Any:
        """The awaitable's result, or TIMED_OUT when it was cancelled after `timeout` seconds."""
        with trio.move_on_after(max(0.0, timeout)):
            return await awaitable
        return TIMED_OUT

    async def _invoke(self, effect: Invoke) -> Any:
        value = effect.function(*effect.arguments)
        if not hasattr(type(value), "__await__"):
            return value
        return await (value if effect.timeout is None else self.bounded(value, effect.timeout))

    async def _wait(self, effect: Sleep) -> None:
        if effect.waiter is None:
            await self._sleep(effect.seconds)
            return
        try:
            await _acquire(Acquire(effect.waiter, effect.seconds))
        finally:
            effect.waiter.release()

    async def _start(self, effect: Start) -> bool:
        trio.lowlevel.spawn_system_task(
            self._run_beside, effect.make_plan(), effect.on_end, context=effect.context
        )
        return True

    async def _run_beside(self, plan: Plan[None], on_end: Callable[[], object] | None) -> None:
        try:
            await self.run(plan)
        finally:
            if on_end is not None:
                on_end()

    async def _begin(self, effect: Begin) -> bool:
        branch = effect.branch
        if branch.is_cancelled:
            return False
        scope = trio.CancelScope()
        branch.begin(scope.cancel)
        # Trio's own tasks end with the nursery that they were started in. A branch is ended by its owner.
        context = contextvars.copy_context()
        trio.lowlevel.spawn_system_task(self._run_branch, branch, scope, context=context)
        return True

    async def _run_branch(self, branch: Branch[Any], scope: trio.CancelScope) -> None:
        result: Any = None
        error: BaseException | None = CancelledError()
        try:
            with scope:
                result = await self.run(branch.new_plan())
                error = None
        except trio.Cancelled:  # trio itself ends
            raise
        except BaseException as raised:
            error = raised
        finally:
            branch.end(result, error)
            del result, error  # the error's traceback holds this frame


async def _acquire(effect: Acquire) -> bool:
    """Wait until the permit is granted, by any thread; False when the timeout came first."""
    granted = trio.Event()
    effect.waiter.notify(_waking(granted))
    with trio.move_on_after(math.inf if effect.timeout is None else max(0.0, effect.timeout)):
        await granted.wait()
    return effect.waiter.is_granted  # granted in the same step as the timeout: use it


async def _first_of(effect: FirstOf) -> int | None:
    woken = trio.Event()
    effect.notify(_waking(woken))
    try:
        with trio.move_on_after(math.inf if effect.timeout is None else max(0.0, effect.timeout)):
            await woken.wait()
    finally:
        effect.forget()
    return effect.found()


async def _work(effect: Work) -> Any:
    work = partial(effect.function, *effect.arguments)
    with trio.move_on_after(math.inf if effect.timeout is None else max(0.0, effect.timeout)):
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
    return TIMED_OUT


def _waking(event: trio.Event) -> Callable[[], None]:
    """Sets the event, from any thread."""
    token = trio.lowlevel.current_trio_token()

    def wake() -> None:
        if in_trio() and trio.lowlevel.current_trio_token() is token:
            event.set()
        else:
            token.run_sync_soon(event.set)

    return wake
