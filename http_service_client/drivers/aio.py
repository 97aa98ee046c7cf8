"""Runs a plan in the current asyncio task.

Cancellation needs no code of its own: it is thrown into the plan like any error, and the plan releases
what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from ..core.effects import TIMED_OUT, Acquire, Effect, Invoke, Open, Outcome, Plan, Receive, Send, Sleep, Work
from ..core.timeouts import Timeout
from ..http.messages import HttpRequest
from .aio_timers import TimerWheel, new_timer_wheel
from .threads import DaemonThreads

__all__ = ["WORKERS", "AsyncioDriver", "bounded"]

T = TypeVar("T")

WORKERS = DaemonThreads(32, idle=1.0)
"""The threads of `Work`. They stay for the next block of a download, which follows at once."""


class AsyncioDriver:
    """Performs effects by awaiting.

    send: does one exchange on the wire.  open: the same, but leaves the body of a success unread; None: `send`.
    sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        send: Callable[[HttpRequest, Timeout], Awaitable[Outcome]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        open: Callable[[HttpRequest, Timeout], Awaitable[Outcome]] | None = None,
    ) -> None:
        open_response = open or send
        self._send = send
        timers: dict[asyncio.AbstractEventLoop, TimerWheel] = {}
        self._perform: dict[type[Effect[Any]], Callable[[Any], Awaitable[Any]]] = {
            Open: lambda effect: open_response(effect.request, effect.timeout),
            Sleep: lambda effect: sleep(effect.seconds),
            Acquire: partial(_wait_for_grant, timers),
            Invoke: _invoke,
            Work: partial(_work, timers),
        }

    async def run(self, plan: Plan[T]) -> T:
        """The plan's result. Anything that an effect raises, cancellation included, is thrown into the plan."""
        try:
            effect = next(plan)
            while True:
                try:
                    if type(effect) is Send:  # nearly always
                        answer = await self._send(effect.request, effect.timeout)
                    elif type(effect) is Receive:  # once for each piece of a stream
                        answer = await effect.source.read_async(effect.timeout)  # type: ignore[attr-defined]
                    else:
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
            effect = answer = None  # type: ignore[assignment]  # an error's traceback holds this frame


async def _invoke(effect: Invoke) -> Any:
    value = effect.function(*effect.arguments)
    if hasattr(value, "__await__"):
        return await (value if effect.timeout is None else bounded(value, effect.timeout))
    return value


async def bounded(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    """The awaitable's result, or TIMED_OUT when it was cancelled after `timeout` seconds.

    A TimeoutError that the awaitable itself raises is raised, and not mistaken for this timeout.
    """
    if timeout is None:
        return await awaitable
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([task], timeout=max(0.0, timeout))
        if task.done():
            return task.result()
        await _end(task)
        return TIMED_OUT
    except asyncio.CancelledError:
        await _end(task)
        raise
    except GeneratorExit:  # this coroutine is being closed and must not await
        task.cancel()
        raise
    finally:
        del task  # it holds the error, whose traceback holds this frame


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel the task and wait for its clean-up. Its result or error is no longer of interest."""
    task.cancel()
    if not task.done():
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, or asyncio would log "exception was never retrieved"


async def _work(known: dict[asyncio.AbstractEventLoop, TimerWheel], effect: Work) -> Any:
    """The function's result, from a thread; TIMED_OUT when the timeout came first.

    Work that nobody waits for any more, and that no thread has begun, is not done.
    """
    if effect.timeout is not None and effect.timeout <= 0:
        return TIMED_OUT
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    results: list[
        tuple[Any, BaseException | None]
    ] = []  # not in the future: this frame holds it, as an error would

    def work() -> None:
        if done.done():
            return
        value = error = None
        try:
            value = effect.function(*effect.arguments)
        except BaseException as raised:
            error = raised
        results.append((value, error))
        del value, error  # the error's traceback holds this frame
        try:
            loop.call_soon_threadsafe(_wake, done)
        except RuntimeError:  # the loop has been closed
            pass

    WORKERS.start(work)
    timers = known.get(loop) or new_timer_wheel(known)
    due = {} if effect.timeout is None else timers.schedule(loop.time(), effect.timeout, done)
    value = error = None
    try:
        if (await done) is TIMED_OUT:
            return TIMED_OUT
        value, error = results.pop()
        if error is not None:
            raise error
        return value
    finally:
        due.pop(done, None)
        del value, error


async def _wait_for_grant(known: dict[asyncio.AbstractEventLoop, TimerWheel], effect: Acquire) -> bool:
    """Wait until the slot is granted, by any thread; False when the timeout came first."""
    loop = asyncio.get_running_loop()
    granted = loop.create_future()

    def on_grant() -> None:
        if asyncio._get_running_loop() is not loop:  # waking a loop from outside takes two system calls
            loop.call_soon_threadsafe(_wake, granted)
        elif not granted.done():
            granted.set_result(None)

    effect.waiter.notify(on_grant)
    # Not wait_for: before Python 3.12 it swallows a cancellation that arrives in the same tick as the grant.
    timers = known.get(loop) or new_timer_wheel(known)
    due = {} if effect.timeout is None else timers.schedule(loop.time(), effect.timeout, granted)
    try:
        await granted
    finally:
        due.pop(granted, None)
    return effect.waiter.is_granted  # granted in the same tick as the timeout: use it


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
