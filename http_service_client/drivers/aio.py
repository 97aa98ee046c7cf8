"""Runs a plan in the current asyncio task.

Cancellation needs no code of its own: it is thrown into the plan like any error, and the plan releases
what it holds.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import CoroutineType, MethodType
from typing import Any, TypeVar

from ..core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Branch,
    Effect,
    FirstOf,
    Invoke,
    Open,
    Outcome,
    Plan,
    Receive,
    Send,
    Sleep,
    Start,
    Work,
)
from ..core.outcomes import already_closed
from ..core.timeouts import Timeout
from ..errors import Failure
from ..http.messages import HttpRequest
from .aio_timers import TimerWheels, cut_after, new_timer_wheel
from .clocks import is_in_trio
from .greenlets import is_running_here
from .interruptible_waits import Waits
from .threads import MOST_BEHIND, DaemonThreads

__all__ = ["ABORTED", "WORKERS", "Aborts", "AsyncioDriver", "bounded", "in_thread", "wake_loop"]

T = TypeVar("T")

# Seconds for a thread's work that was cancelled; the disk of a dead file server takes longer.
_LAST_WAIT = 0.5

WORKERS = DaemonThreads(32, idle=1.0)
"""The threads of `Work`. They stay for the next block of a download, which follows at once."""
_DISPENSABLE = DaemonThreads(32, idle=1.0)  # of `Work` that a call can do without

# Since Python 3.11, a task tells one cancellation from two.
_COUNTS_CANCELLATIONS = hasattr(asyncio.Task, "uncancel")

_NEEDS_ASYNCIO = (
    "the *_async methods of a client need asyncio, and this is a task of trio; make the call in a thread: "
    "await trio.to_thread.run_sync(client.get, url)"
)

ABORTED = object()
"""The answer of something that `Aborts` has ended."""


class Aborts:
    """Ends work in progress on any event loop, when a client is closed with `abort`.

    are_over: `abort` was called, so nothing more should begin.
    """

    def __init__(self) -> None:
        self.are_over = False
        self._loops: dict[asyncio.Future[Any], asyncio.AbstractEventLoop] = {}
        self._aborted: set[asyncio.Future[Any]] = set()

    def enter(self, task: asyncio.Future[Any]) -> None:
        """`abort` cancels this task, until it leaves."""
        self._loops[task] = task.get_loop()
        if self.are_over:  # another thread has called `abort` meanwhile
            self.abort()

    def leave(self, task: asyncio.Future[Any]) -> bool:
        """Whether the task was cancelled by `abort`."""
        self._loops.pop(task, None)
        was_aborted = task in self._aborted
        self._aborted.discard(task)
        return was_aborted and task.cancelled()

    def abort(self) -> None:
        """Cancel the tasks. Any thread may call it, a signal handler too."""
        self.are_over = True
        for task, loop in list(self._loops.items()):
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._cancel, task)

    def _cancel(self, task: asyncio.Future[Any]) -> None:
        if task in self._loops:
            self._aborted.add(task)
            task.cancel()


class AsyncioDriver:
    """Performs effects by awaiting.

    send: does one exchange on the wire.  open: the same, but leaves the body of a success unread; None: `send`.
    sleep: waits for a number of seconds; None: on the system's clock, until `end_waits`.
    alarm: the same, for the timeouts of functions; None: the loop's own timers.
    running: the ids of the plans that run now, on all event loops. Not the plans: the set would keep an abandoned one alive.
    keeps: what has to live as long as the driver.
    """

    keeps: object = None

    def __init__(
        self,
        send: Callable[[HttpRequest, Timeout], Awaitable[Outcome]],
        sleep: Callable[[float], Awaitable[None]] | None = None,
        open: Callable[[HttpRequest, Timeout], Awaitable[Outcome]] | None = None,
        alarm: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        open_response = open or send
        self._alarm = alarm
        self._send = send
        self._waits = Waits()
        self.running: set[int] = set()
        timers: TimerWheels = {}
        self._timers = timers
        self._perform: dict[type[Effect[Any]], Callable[[Any], Awaitable[Any]]] = {
            Open: lambda effect: open_response(effect.request, effect.timeout),
            Sleep: self._sleep if sleep is None else partial(_sleep_by, sleep),
            Acquire: self._acquire,
            Invoke: self._invoke,
            Work: partial(_work, timers),
            Start: self._start,
            Begin: self._begin,
            FirstOf: partial(_first_of, timers, sleep),
        }
        # asyncio itself keeps weak references only.
        self._beside: set[asyncio.Task[None]] = set()
        self._behind: set[asyncio.Task[None]] = set()  # those that nobody waits for
        self._branches: set[asyncio.Task[None]] = set()

    async def run(self, plan: Plan[T], is_call: bool = True, effect: Effect[Any] | None = None) -> T:
        """The plan's result. Anything that an effect raises, cancellation included, is thrown into the plan.

        is_call: it is no part of another one that runs.   effect: the one that the plan waits for, if it has begun.
        """
        number = id(plan)
        try:
            if is_call:
                self.running.add(number)
            effect = effect or next(plan)
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
        except RuntimeError as error:
            if is_in_trio():
                raise RuntimeError(_NEEDS_ASYNCIO) from error
            raise
        finally:
            self.running.discard(number)
            plan.close()
            del plan
            effect = answer = None  # type: ignore[assignment]  # an error's traceback holds this frame

    async def perform(self, effect: Effect[Any]) -> Any:
        """The answer to one effect; raises what it raises."""
        return await self._perform[type(effect)](effect)

    def end_waits(self) -> None:
        """The client was closed: from now on nothing waits and nothing is sent. Exchanges in flight go on."""
        self._send = self._perform[Open] = _refuse
        self._waits.end()
        for loop in list(self._timers):
            wake_loop(loop)

    async def _invoke(self, effect: Invoke) -> Any:
        value = effect.function(*effect.arguments)
        if not hasattr(type(value), "__await__"):
            return value
        if effect.timeout is None:
            return await value
        # The deadline of the call has passed: what the function makes of that is not used.
        return await self.bounded(value, effect.timeout, keeps_late=False)

    def bounded(
        self, awaitable: Awaitable[Any], timeout: float, *, keeps_late: bool = True
    ) -> Awaitable[Any]:
        """The awaitable's result, or TIMED_OUT when it was cancelled after `timeout` seconds.

        It runs in the present task, and in its context: what an interceptor of the request sets there is seen by that of the
        response. On Python 3.10, it runs in a task of its own.
        keeps_late: what goes on after it was cancelled has done its work: its result, or its error, is its own.
        """
        alarm = self._alarm
        if _COUNTS_CANCELLATIONS:
            work = awaitable if type(awaitable) is CoroutineType else _awaited(awaitable)
            return cut_after(work, timeout, self._timers, alarm, keeps_late=keeps_late)
        if alarm is not None:
            return _bounded_by(alarm(timeout), awaitable, keeps_late=keeps_late)
        return bounded(awaitable, timeout, keeps_late=keeps_late)

    async def _start(self, effect: Start) -> bool:
        tasks = self._beside if effect.is_needed else self._behind
        if len(tasks) >= MOST_BEHIND and not effect.is_needed:
            return False
        loop = asyncio.get_running_loop()
        task = effect.context.run(loop.create_task, self.run(effect.make_plan()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if (on_end := effect.on_end) is not None:
            task.add_done_callback(lambda _: on_end())
        return True

    async def _begin(self, effect: Begin) -> bool:
        branch = effect.branch
        if branch.is_cancelled:
            return False
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run_branch(branch))
        branch.begin(partial(_cancel, loop, task))
        self._branches.add(task)
        task.add_done_callback(partial(self._end_branch, branch))
        return True

    async def _run_branch(self, branch: Branch[Any]) -> None:
        result = error = None
        try:
            result = await self.run(branch.new_plan(), is_call=False)
        except GeneratorExit:  # its loop has ended without it, and this coroutine is collected
            raise
        except BaseException as raised:
            error = raised
        try:
            branch.end(result, error)
        finally:
            del result, error  # the error's traceback holds this frame

    def _end_branch(self, branch: Branch[Any], task: asyncio.Task[None]) -> None:
        self._branches.discard(task)
        if not branch.is_done:  # cancelled before its first step
            branch.end(error=asyncio.CancelledError())

    async def _acquire(self, effect: Acquire) -> bool:
        """Wait until the slot is granted, by any thread; False when the timeout came first."""
        waiter = effect.waiter
        try:
            if not self._waits.enter(waiter):
                return True  # after `end_waits`: the plan goes on to its exchange, which is refused
            loop = get_running_loop()
            granted = loop.create_future()
            waiter.notify(MethodType(_wake_from_anywhere, granted))
            # Not wait_for: before Python 3.12 it swallows a cancellation that arrives in the same tick as the grant.
            due = {}
            if effect.timeout is not None:
                timers = self._timers.get(loop) or new_timer_wheel(self._timers)
                due = timers.schedule(loop.time(), effect.timeout, granted)
            try:
                await granted
            finally:
                due.pop(granted, None)
            # Granted in the same tick as the timeout: use it.
            return waiter.is_granted or self._waits.are_over
        finally:
            self._waits.leave(waiter)

    async def _sleep(self, effect: Sleep) -> None:
        wait = (
            self._waits.sleep(effect.seconds)
            if effect.waiter is None
            else Acquire(effect.waiter, effect.seconds)
        )
        try:
            await self._acquire(wait)
        finally:
            wait.waiter.release()


async def _sleep_by(sleep: Callable[[float], Awaitable[None]], effect: Sleep) -> None:
    """A wait on a clock that is not the system's, which ends early with a grant or an interrupt as any other."""
    waiter = effect.waiter
    if waiter is None:
        await sleep(effect.seconds)
        return
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    asleep = asyncio.ensure_future(sleep(effect.seconds))
    asleep.add_done_callback(lambda _: _wake(woken))
    waiter.notify(lambda: loop.call_soon_threadsafe(_wake, woken))
    try:
        await woken
    finally:
        asleep.cancel()
        waiter.release()


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """Cancel a task; from elsewhere if an abandoned plan is closed there, perhaps after the end of the loop."""
    if asyncio._get_running_loop() is loop and is_running_here(loop):
        task.cancel()
        return
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(task.cancel)


async def _first_of(
    known: TimerWheels,
    sleep: Callable[[float], Awaitable[None]] | None,
    effect: FirstOf,
) -> int | None:
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    effect.notify(partial(_wake, woken))  # branches end on this loop
    asleep, due = None, {}
    if effect.timeout is not None and sleep is not None:
        asleep = asyncio.ensure_future(sleep(effect.timeout))
        asleep.add_done_callback(lambda _: _wake(woken))
    elif effect.timeout is not None:
        due = (known.get(loop) or new_timer_wheel(known)).schedule(loop.time(), effect.timeout, woken)
    try:
        await woken
    finally:
        due.pop(woken, None)
        effect.forget()
        if asleep is not None:
            asleep.cancel()
    return effect.found()


def wake_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop look at what is due: a signal handler may have scheduled it while the loop waited for the network."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(int)


async def _refuse(*_: object) -> Failure:
    return already_closed()


async def bounded(
    awaitable: Awaitable[Any],
    timeout: float | None,
    aborts: Aborts | None = None,
    *,
    keeps_late: bool = False,
) -> Any:
    """The awaitable's result, or TIMED_OUT when it was cancelled after `timeout` seconds, or ABORTED.

    aborts: may end it, too.   keeps_late: an error, or a result, of one that goes on after it was cancelled is its own.
    A TimeoutError that the awaitable itself raises is raised, and not mistaken for this timeout.
    """
    if timeout is None and aborts is None:
        return await awaitable
    task = asyncio.ensure_future(awaitable)
    try:
        if aborts is not None:
            aborts.enter(task)
        await asyncio.wait([task], timeout=None if timeout is None else max(0.0, timeout))
        if task.done():
            if aborts is not None and aborts.leave(task):
                return ABORTED
            return task.result()
        await _end(task)
        return task.result() if keeps_late and not task.cancelled() else TIMED_OUT
    except asyncio.CancelledError:
        await _end(task)
        raise
    finally:
        task.cancel()  # it has ended, unless this coroutine is being closed, and must not await
        if aborts is not None:
            aborts.leave(task)
        del task  # it holds the error, whose traceback holds this frame


async def _bounded_by(alarm: Awaitable[None], awaitable: Awaitable[Any], *, keeps_late: bool) -> Any:
    """The same, with another clock: until the alarm ends."""
    task, waking = asyncio.ensure_future(awaitable), asyncio.ensure_future(alarm)
    try:
        await asyncio.wait([task, waking], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        await _end(task)
        return task.result() if keeps_late and not task.cancelled() else TIMED_OUT
    except asyncio.CancelledError:
        await _end(task)
        raise
    finally:
        task.cancel()  # it has ended, unless this coroutine is being closed, and must not await
        waking.cancel()
        del task  # it holds the error, whose traceback holds this frame


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel the task and wait for its clean-up. Its result or error is no longer of interest."""
    task.cancel()
    if not task.done():
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, or asyncio would log "exception was never retrieved"


async def in_thread(function: Callable[[], T], threads: DaemonThreads) -> T:
    """The function's result, from one of these threads: asyncio's default executor may be full of other code's work."""
    result: T = await _work({}, Work(function), threads)
    return result


async def _work(known: TimerWheels, effect: Work, threads: DaemonThreads | None = None) -> Any:
    """The function's result, from a thread; TIMED_OUT when the timeout came first.

    Work that nobody waits for any more, and that no thread has begun, is not done. When the task is cancelled while a
    thread is at work, it is awaited for a moment: a download that is started again at once finds its file unlocked.

    The function runs in a copy of the task's context, as `asyncio.to_thread` has it. That of the thread would have what
    the work of another call has set there.
    """
    if effect.timeout is not None and effect.timeout <= 0:
        return TIMED_OUT
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    # Not in the future: this frame holds it, as an error would.
    results: list[tuple[Any, BaseException | None]] = []
    waiters = [done]
    begun: list[bool] = []
    context = contextvars.copy_context()

    def work() -> None:
        begun.append(True)
        if done.done():
            return
        value = error = None
        try:
            value = context.run(effect.function, *effect.arguments)
        except BaseException as raised:
            error = raised
        results.append((value, error))
        del value, error  # the error's traceback holds this frame
        try:
            loop.call_soon_threadsafe(_wake_all, waiters)
        except RuntimeError:  # the loop has been closed
            pass

    (threads or (WORKERS if effect.is_needed else _DISPENSABLE)).start(work)
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
    except asyncio.CancelledError:
        if begun and not results:
            waiters.append(loop.create_future())
            await asyncio.wait(waiters[1:], timeout=_LAST_WAIT)
        raise
    finally:
        due.pop(done, None)
        del value, error


def _wake_from_anywhere(waiter: asyncio.Future[None]) -> None:
    loop = waiter.get_loop()
    # Waking a loop from outside takes two system calls.
    if asyncio._get_running_loop() is not loop or not is_running_here(loop):
        loop.call_soon_threadsafe(_wake, waiter)
    elif not waiter.done():
        waiter.set_result(None)


def _wake_all(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
