"""Runs a plan on the calling thread.

Async user code (an `async def` interceptor) runs on the portal's event loop, so it can really await,
whether or not the calling thread has a running loop of its own.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.effects import (
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
from ..core.machines.limits.semaphore import FairSemaphore
from ..core.outcomes import already_closed
from ..core.signals import is_of_signal_handler
from ..core.timeouts import Timeout
from ..errors import Failure
from ..http.messages import HttpRequest
from .imports import import_apart
from .interruptible_waits import Waits
from .interruption import INTERRUPTION, Interruption, interruptible
from .locks import ForkSafeLock, acquire_within
from .threads import MOST_BEHIND, DaemonThreads

if TYPE_CHECKING:
    from .portal import Portal

__all__ = ["BlockingDriver", "wait_for_grant"]

T = TypeVar("T")

# Of plans that run beside calls. They may wait for each other (a token's provider makes a call that needs another token),
# so there must be more threads than such chains, and plans that nobody waits for have threads of their own: a
# revalidation may wait for a token, whose fetch needs a thread.
_BESIDE = DaemonThreads(256)
_BEHIND = DaemonThreads(MOST_BEHIND)
# Each hedged call has one, even if it needs no hedge: a thread that waits for the next costs a third of a new one. It does
# not wait for long, since a fork may follow.
_BRANCHES = DaemonThreads(512, idle=0.1)

# Of a wait that only a branch ends.
_NEVER = FairSemaphore(1, lock=ForkSafeLock())
_NEVER.try_acquire()


class BlockingDriver:
    """Performs effects by blocking.

    send: does one exchange on the wire.  open: the same, but leaves the body of a success unread; None: `send`.
    sleep: waits for a number of seconds; None: on the system's clock, until `end_waits`.
    portal: runs async user code; None for that of all drivers of the process, imported with asyncio when the first such code comes.
    running: the ids of the plans that run now, on all threads. Not the plans: the set would keep an abandoned one alive.
    keeps: what has to live as long as the driver.
    """

    keeps: object = None

    def __init__(
        self,
        send: Callable[[HttpRequest, Timeout], Outcome],
        portal: Portal | None = None,
        sleep: Callable[[float], None] | None = None,
        open: Callable[[HttpRequest, Timeout], Outcome] | None = None,
    ) -> None:
        open_response = open or send
        self._send = send
        self._waits = Waits()
        self.running: set[int] = set()
        self._perform: dict[type[Effect[Any]], Callable[[Any], Any]] = {
            Open: lambda effect: open_response(effect.request, effect.timeout),
            Sleep: self._sleep if sleep is None else lambda effect: sleep(effect.seconds),
            Acquire: self._acquire,
            Invoke: lambda effect: _invoke(effect, portal),
            Work: lambda effect: effect.function(*effect.arguments),
            Start: self._start,
            Begin: self._begin,
            FirstOf: _first_of,
        }

    def run(self, plan: Plan[T], effect: Effect[Any] | None = None) -> T:
        """The plan's result. Anything that an effect raises is thrown into the plan.

        effect: the one that the plan waits for, if it has begun.
        """
        number = id(plan)
        try:
            self.running.add(number)
            effect = effect or next(plan)
            while True:
                try:
                    if type(effect) is Send:  # nearly always
                        answer = self._send(effect.request, effect.timeout)
                    elif type(effect) is Receive:  # once for each piece of a stream
                        answer = effect.source.read(effect.timeout)  # type: ignore[attr-defined]
                    else:
                        answer = self._perform[type(effect)](effect)
                except BaseException as error:
                    effect = plan.throw(error)
                    if is_of_signal_handler(error):  # a plan goes on after an error of a cache's storage, say
                        raise
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            self.running.discard(number)
            plan.close()  # a KeyboardInterrupt may have come between two steps: release what the plan holds
            del plan
            effect = answer = None  # type: ignore[assignment]  # an error's traceback holds this frame

    def perform(self, effect: Effect[Any]) -> Any:
        """The answer to one effect; raises what it raises."""
        return self._perform[type(effect)](effect)

    def end_waits(self) -> None:
        """The client was closed: from now on nothing waits and nothing is sent. Exchanges in flight go on."""
        self._send = self._perform[Open] = _refuse
        self._waits.end()

    def _start(self, effect: Start) -> bool:
        threads = _BESIDE if effect.is_needed else _BEHIND
        if threads.is_full and not effect.is_needed:
            return False
        threads.start(lambda: effect.context.run(self._run_beside, effect))
        return True

    def _run_beside(self, effect: Start) -> None:
        try:
            self.run(effect.make_plan())
        finally:
            if effect.on_end is not None:
                effect.on_end()

    def _begin(self, effect: Begin) -> bool:
        branch, interruption = effect.branch, Interruption()
        if branch.is_cancelled or _BRANCHES.is_full:
            return False
        branch.begin(interruption.set)
        context = contextvars.copy_context()
        _BRANCHES.start(lambda: context.run(self._run_branch, branch, interruption))
        return True

    def _run_branch(self, branch: Branch[Any], interruption: Interruption) -> None:
        INTERRUPTION.set(interruption)
        result = error = None
        try:
            if not interruption.is_set:
                result = self._run_until(branch.new_plan(), interruption)
        except BaseException as raised:
            error = raised
        try:
            branch.end(result, error)
        finally:
            del result, error  # the error's traceback holds this frame

    def _run_until(self, plan: Plan[T], interruption: Interruption) -> T | None:
        """As `run`, until an interruption: the plan is closed then, which is what its owner's other drivers do."""
        try:
            effect = next(plan)
            while True:
                try:
                    if type(effect) is Send:
                        answer: Any = self._send(effect.request, effect.timeout)
                    elif type(effect) is Receive:
                        answer = effect.source.read(effect.timeout)  # type: ignore[attr-defined]
                    else:
                        answer = self._perform[type(effect)](effect)
                except BaseException as error:
                    effect = plan.throw(error)
                else:
                    if interruption.is_set:
                        return None
                    effect = plan.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            plan.close()
            del plan
            effect = answer = None  # type: ignore[assignment]  # an error's traceback holds this frame

    def _acquire(self, effect: Acquire) -> bool:
        if INTERRUPTION.get() is None:
            return self._wait(effect)
        with interruptible(effect.waiter.interrupt):
            return self._wait(effect)

    def _wait(self, effect: Acquire) -> bool:
        try:
            # After `end_waits` the answer is yes: the plan goes on to its exchange, which is refused.
            granted = not self._waits.enter(effect.waiter) or wait_for_grant(effect)
            return granted or self._waits.are_over
        finally:
            self._waits.leave(effect.waiter)

    def _sleep(self, effect: Sleep) -> None:
        wait = (
            self._waits.sleep(effect.seconds)
            if effect.waiter is None
            else Acquire(effect.waiter, effect.seconds)
        )
        try:
            self._acquire(wait)
        finally:
            wait.waiter.release()


def _refuse(*_: object) -> Failure:
    return already_closed()


def _invoke(effect: Invoke, portal: Portal | None) -> Any:
    value = effect.function(*effect.arguments)
    if hasattr(type(value), "__await__"):
        return (portal or _common_portal()).run(value, effect.timeout)
    return value


def _load_portal() -> None:
    from . import portal  # noqa: F401


def _common_portal() -> Portal:
    import_apart(_load_portal)
    from .portal import PORTAL

    return PORTAL


def _first_of(effect: FirstOf) -> int | None:
    wait = Acquire(_NEVER.acquire_later(), effect.timeout)
    try:
        effect.notify(wait.waiter.interrupt)
        with interruptible(wait.waiter.interrupt):
            wait_for_grant(wait)
        return effect.found()
    finally:
        effect.forget()
        wait.waiter.release()


def wait_for_grant(effect: Acquire) -> bool:
    """Block until the slot is granted; False when the timeout came first."""
    # A bare lock, acquired twice. An Event is guarded by a lock of its own that is not reentrant: if the collector ran
    # inside `Event.wait` and freed a stream whose slot is granted to this waiter, the thread would wait for itself. And
    # a signal handler that interrupted it there would stop the thread that grants the slot.
    granted = threading.Lock()
    granted.acquire()
    effect.waiter.notify(granted.release)
    acquire_within(granted, effect.timeout)
    return effect.waiter.is_granted  # a grant may come just as the wait times out: use it
