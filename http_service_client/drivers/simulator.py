"""Runs many plans at once in virtual time: the same core, no network, no sleeping.

An hour of ten thousand clients takes seconds, and the same seed gives the same hour. Each plan is a
process of a discrete-event simulation: an effect that takes time puts the plan's next step into a
queue ordered by due time, and the clock jumps from one due time to the next.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from ..core.effects import TIMED_OUT, Acquire, Effect, Invoke, Outcome, Plan, Send, Sleep, Work
from ..core.machines.semaphore import Waiter
from ..core.timeouts import Timeout
from ..http.messages import HttpRequest

__all__ = ["Run", "Simulator"]

T = TypeVar("T")


class Run(Generic[T]):
    """One plan that is running or has ended.

    is_done: whether it has ended.  result: its return value.  error: the exception it raised, or None.
    started_at, ended_at: instants of virtual time.
    """

    def __init__(self, plan: Plan[T], started_at: float) -> None:
        self.plan = plan
        self.context = contextvars.copy_context()
        self.started_at = started_at
        self.ended_at = started_at
        self.is_done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self.step = 0  # how many times it was resumed


class _Step(NamedTuple):
    """One plan's next step: at `due`, send it the answer or throw the error into it."""

    due: float
    order: int  # steps due at the same instant run in the order they were scheduled
    run: Run[Any]
    number: int
    answer: Any = None
    error: BaseException | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the plan was resumed by something else, such as a grant before its timeout."""
        return self.run.is_done or self.run.step != self.number


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

    def cancel(self, run: Run[Any]) -> None:
        """Close a plan at its current step; it releases what it holds."""
        if not run.is_done:
            run.context.run(run.plan.close)
            self._end(run)

    def run(self, until: float | None = None) -> None:
        """Advance time until no step is left, or to the instant `until`."""
        while self._queue and (until is None or self._queue[0].due <= until):
            step = heapq.heappop(self._queue)
            if not step.is_stale:
                self._now = step.due
                self._resume(step)
        if until is not None:
            self._now = max(self._now, until)

    def _schedule(
        self, run: Run[Any], delay: float, answer: Any = None, error: BaseException | None = None
    ) -> None:
        heapq.heappush(self._queue, _Step(self._now + delay, next(self._order), run, run.step, answer, error))

    def _resume(self, step: _Step) -> None:
        run = step.run
        run.step += 1
        try:
            if step.error is not None:
                effect = run.context.run(run.plan.throw, step.error)
            else:
                answer = step.answer
                if isinstance(answer, Waiter):  # a grant at the instant of the timeout is used
                    answer = answer.is_granted
                effect = run.context.run(run.plan.send, answer)
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

    def _perform(self, run: Run[Any], effect: Effect[Any]) -> None:
        try:
            delay, answer = self._answer(run, effect)
        except BaseException as raised:
            self._schedule(run, 0.0, error=raised)
        else:
            if delay is not None:
                self._schedule(run, delay, answer)

    def _answer(self, run: Run[Any], effect: Effect[Any]) -> tuple[float | None, Any]:
        """The delay and the answer. The delay is None where something else resumes the plan."""
        if isinstance(effect, Sleep):
            return effect.seconds, None
        if isinstance(effect, Send):
            if self._respond is None:
                raise RuntimeError("this simulator has no server: pass `respond`")
            return self._respond(effect.request, effect.timeout)
        if isinstance(effect, Acquire):
            effect.waiter.notify(lambda: self._schedule(run, 0.0, effect.waiter))
            return effect.timeout, effect.waiter
        if isinstance(effect, Invoke):
            return 0.0, run.context.run(_call, effect)
        if isinstance(effect, Work):
            return 0.0, effect.function(*effect.arguments)
        raise TypeError(f"not an effect: {effect!r}; was a `yield from` forgotten?")


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
