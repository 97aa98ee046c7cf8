"""Runs a plan on the calling thread.

Async user code (an `async def` interceptor) runs on the portal's event loop, so it can really await,
whether or not the calling thread has a running loop of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.effects import Acquire, Effect, Invoke, Open, Outcome, Plan, Receive, Send, Sleep, Work
from ..core.timeouts import Timeout
from ..http.messages import HttpRequest
from .portal import Portal

__all__ = ["BlockingDriver", "wait_for_grant"]

T = TypeVar("T")


class BlockingDriver:
    """Performs effects by blocking.

    send: does one exchange on the wire.  open: the same, but leaves the body of a success unread; None: `send`.
    sleep: waits for a number of seconds.
    portal: runs async user code; shared by all drivers of the process.
    """

    def __init__(
        self,
        send: Callable[[HttpRequest, Timeout], Outcome],
        portal: Portal,
        sleep: Callable[[float], None] = time.sleep,
        open: Callable[[HttpRequest, Timeout], Outcome] | None = None,
    ) -> None:
        open_response = open or send
        self._send = send
        self._perform: dict[type[Effect[Any]], Callable[[Any], Any]] = {
            Open: lambda effect: open_response(effect.request, effect.timeout),
            Sleep: lambda effect: sleep(effect.seconds),
            Acquire: lambda effect: wait_for_grant(effect),
            Invoke: lambda effect: _invoke(effect, portal),
            Work: lambda effect: effect.function(*effect.arguments),
        }

    def run(self, plan: Plan[T]) -> T:
        """The plan's result. Anything that an effect raises is thrown into the plan."""
        try:
            effect = next(plan)
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
                else:
                    effect = plan.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            plan.close()  # a KeyboardInterrupt may have come between two steps: release what the plan holds
            del plan
            effect = answer = None  # type: ignore[assignment]  # an error's traceback holds this frame


def _invoke(effect: Invoke, portal: Portal) -> Any:
    value = effect.function(*effect.arguments)
    if hasattr(value, "__await__"):
        return portal.run(value, effect.timeout)
    return value


def wait_for_grant(effect: Acquire) -> bool:
    """Block until the slot is granted; False when the timeout came first."""
    # A bare lock, acquired twice. An Event is guarded by a lock of its own that is not reentrant: if the collector ran
    # inside `Event.wait` and freed a stream whose slot is granted to this waiter, the thread would wait for itself. And
    # a signal handler that interrupted it there would stop the thread that grants the slot.
    granted = threading.Lock()
    granted.acquire()
    effect.waiter.notify(granted.release)
    timeout = -1 if effect.timeout is None else min(max(0.0, effect.timeout), threading.TIMEOUT_MAX)
    # A grant may come just as the wait times out: use it.
    return granted.acquire(timeout=timeout) or effect.waiter.is_granted
