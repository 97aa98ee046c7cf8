"""Runs many plans at once in virtual time: the same core, no network, no sleeping.

An hour of ten thousand clients takes seconds, and the same seed gives the same hour. Each plan is a
process of a discrete-event simulation: an effect that takes time puts the plan's next step into a
queue ordered by due time, and the clock jumps from one due time to the next.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Effect,
    FirstOf,
    Invoke,
    Outcome,
    Plan,
    Send,
    Sleep,
    Start,
    Work,
)
from ..core.machines.limits.semaphore import Waiter
from ..core.timeouts import Timeout
from ..http.messages import HttpRequest

__all__ = ["Run", "Simulator"]

T = TypeVar("T")


class Run(Generic[T]):
    """One plan that is running or has ended.

    is_done: whether it has ended.  result: its return value.  error: the exception it raised, or None.
    started_at, ended_at: instants of virtual time.   exchanges: how many requests it sent.
    subject: what the plan is about, for the code that started it.   on_end: called at its end, or None.
    owner: the run that this one is a branch of, or None.
    """

    __slots__ = (
        "context", "ended_at", "error", "exchanges", "is_done", "on_end", "owner", "plan", "result", "started_at", "step",
        "subject",
    )  # fmt: skip

    def __init__(self, plan: Plan[T], started_at: float, subject: Any = None) -> None:
        self.plan = plan
        self.subject = subject
        self.on_end: Callable[[], object] | None = None
        self.owner: Run[Any] | None = None
        self.context = contextvars.copy_context()
        self.started_at = started_at
        self.ended_at = started_at
        self.is_done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self.step = 0  # how many times it was resumed
        self.exchanges = 0


_Step = tuple[float, int, Run[Any], int, Any, "BaseException | None"]
"""One plan's next step: the instant at which it is due, its order, the run and the number of its step; and the answer
to send, or the error to throw into it.

Steps due at the same instant run in the order in which they were scheduled. A step is stale when the plan has been
resumed by something else, such as a grant before its timeout. A plain tuple: hundreds of thousands are made, compared
and taken apart in each simulated minute.
"""


class Simulator:
    """Plans, and a server, in virtual time.

    respond: the server: takes the request and its timeout, returns the seconds that the exchange takes
        and its outcome.
    start: the first instant.
    """

    def __init__(
        self,
        respond: Callable[[HttpRequest, Timeout], tuple[float, Outcome]] | None = None,
        start: float = 0.0,
    ) -> None:
        self._respond = respond
        self._now = start
        self._queue: list[_Step] = []
        self._order = itertools.count()

    def clock(self) -> float:
        """The current instant. Pass this method wherever a clock is expected."""
        return self._now

    def spawn(self, plan: Plan[T], delay: float = 0.0) -> Run[T]:
        """Start a plan after `delay` seconds."""
        run: Run[T] = Run(plan, self._now + delay)
        self._schedule(run, delay)
        return run

    def start(self, plan: Plan[T], subject: Any = None) -> Run[T]:
        """Start a plan and take its first step at once, before whatever else is due now."""
        run: Run[T] = Run(plan, self._now, subject)
        self._resume(run, None, None)
        return run

    def cancel(self, run: Run[Any]) -> None:
        """Close a plan at its current step; it releases what it holds."""
        if not run.is_done:
            run.context.run(run.plan.close)
            self._end(run)

    def run(self, until: float = math.inf) -> None:
        """Advance time to the instant `until`, or until no step is left."""
        queue, pop, resume = self._queue, heapq.heappop, self._resume
        while queue and queue[0][0] <= until:
            due, _, run, number, answer, error = pop(queue)
            if run.step == number and not run.is_done:
                self._now = due
                resume(run, answer, error)
        if until < math.inf:
            self._now = max(self._now, until)

    def _schedule(
        self, run: Run[Any], delay: float, answer: Any = None, error: BaseException | None = None
    ) -> None:
        heapq.heappush(self._queue, (self._now + delay, next(self._order), run, run.step, answer, error))

    def _resume(self, run: Run[Any], answer: Any, error: BaseException | None) -> None:
        run.step += 1
        try:
            if error is None:
                if isinstance(answer, Waiter):  # a grant at the instant of the timeout is used
                    answer = answer.is_granted
                elif type(answer) is Sleep:
                    assert answer.waiter is not None
                    answer.waiter.release()  # or a grant would end what the plan waits for next
                    answer = None
                elif type(answer) is FirstOf:
                    answer.forget()
                    answer = answer.found()
                effect = run.context.run(run.plan.send, answer)
            else:
                effect = run.context.run(run.plan.throw, error)
        except StopIteration as stop:
            run.result = stop.value
            self._end(run)
        except BaseException as raised:
            run.error = raised
            self._end(run)
        else:
            self._perform(run, effect)

    def _end(self, run: Run[Any]) -> None:
        run.is_done, run.ended_at = True, self._now
        on_end, run.on_end = run.on_end, None
        if on_end is not None:
            on_end()

    def _perform(self, run: Run[Any], effect: Effect[Any]) -> None:
        try:
            delay: float | None
            answer: Any
            if isinstance(effect, Send):
                run.exchanges += 1
                delay, answer = self._exchange(run, effect)
            elif isinstance(effect, Sleep):
                delay, answer = effect.seconds, None
                if effect.waiter is not None:
                    effect.waiter.notify(lambda: self._schedule(run, 0.0, effect))
                    answer = effect
            else:
                delay, answer = self._answer(run, effect)
        except BaseException as raised:
            self._schedule(run, 0.0, error=raised)
        else:
            if delay is not None:  # as `_schedule`, without another call
                heapq.heappush(
                    self._queue, (self._now + delay, next(self._order), run, run.step, answer, None)
                )

    def _answer(self, run: Run[Any], effect: Effect[Any]) -> tuple[float | None, Any]:
        """The delay and the answer. The delay is None where something else resumes the plan."""
        if isinstance(effect, Acquire):
            effect.waiter.notify(lambda: self._schedule(run, 0.0, effect.waiter))
            return effect.timeout, effect.waiter
        if isinstance(effect, Invoke):
            return 0.0, run.context.run(_call, effect)
        if isinstance(effect, Work):
            return 0.0, effect.function(*effect.arguments)
        if isinstance(effect, Start):
            beside = self.spawn(effect.make_plan())
            beside.context, beside.on_end = effect.context, effect.on_end
            return 0.0, True
        if isinstance(effect, FirstOf):
            effect.notify(lambda: self._schedule(run, 0.0, effect))
            return effect.timeout, effect
        if isinstance(effect, Begin):
            return 0.0, self._begin(run, effect)
        raise TypeError(f"not an effect: {effect!r}; was a `yield from` forgotten?")

    def _begin(self, owner: Run[Any], effect: Begin) -> bool:
        branch = effect.branch
        if branch.is_cancelled:
            return False
        run: Run[Any] = Run(owner.context.run(branch.new_plan), self._now)
        run.context, run.owner = owner.context.copy(), owner
        run.on_end = lambda: branch.end(run.result, run.error)
        branch.begin(lambda: self.cancel(run))
        self._schedule(run, 0.0)
        return True

    def _exchange(self, run: Run[Any], effect: Send) -> tuple[float | None, Outcome]:
        """How long an exchange takes, and its outcome."""
        if self._respond is None:
            raise RuntimeError("this simulator has no server: pass `respond`")
        return self._respond(effect.request, effect.timeout)


def _call(effect: Invoke) -> Any:
    """Call user code. An async function may await nothing real: there is no event loop here."""
    if effect.timeout is not None and effect.timeout <= 0:
        return TIMED_OUT
    value = effect.function(*effect.arguments)
    if not hasattr(type(value), "__await__"):
        return value
    steps = value.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value
    steps.close()
    raise RuntimeError(f"{effect.function!r} awaits real I/O, which a simulation cannot do")
