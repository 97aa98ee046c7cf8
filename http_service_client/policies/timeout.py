"""The timeout policy: how long a function may take, with all that stands inside the policy."""

from __future__ import annotations

import time
from types import FunctionType
from typing import Any

from ..core.checks import suggests_keywords
from ..core.deadline import AMBIENT_DEADLINE, Deadline, running, virtual_instants
from ..core.effects import TIMED_OUT, Begin, Branch, FirstOf, Plan
from ..core.machines.timeout import TIMEOUT_RENAMED, TimeoutSettings
from ..core.operation import Operation, Proceed
from ..core.outcomes import sent_state_of
from ..core.plan_timeout import within
from ..core.timeouts import TIMER_SLACK
from ..drivers.clocks import Clock, SystemClock
from ..errors import (
    CallRefusedError,
    ConfigurationError,
    DeadlineExceededError,
    OperationTimeoutError,
    SentState,
    errors_behind,
)
from ..events import OperationTimedOut
from .items import is_step
from .strategy import StatefulStrategy

__all__ = ["TimeoutPolicy"]

_MAYBE = SentState.MAYBE_PROCESSED  # enum attribute access is slow (50 ns)
_HARMLESS = (SentState.NEVER_SENT, SentState.REFUSED)


@suggests_keywords(TIMEOUT_RENAMED)
class TimeoutPolicy(StatefulStrategy[TimeoutSettings]):
    """A limit on how long a function may take: ``TimeoutPolicy(2.0)``. After it, `OperationTimeoutError` is raised.

    In a pipeline it bounds all that stands inside it: outside of a `RetryPolicy` all attempts and the waits between them, inside
    of it each attempt. It is a `deadline`, too: the calls of a client inside end by it, and no wait that would cross it is begun.

    seconds: from the beginning of the call; > 0.
    in_thread: run a plain function in a thread of its own, and leave it behind when its time is up. It runs on there: what it
        does, it does, and only its result is dropped. Waits and calls of a client inside end at once.
    name: in errors and events.   clock: the source of time; in a pipeline, its own.

    An async function is cancelled at the instant. A plain function cannot be interrupted: by default its calls of a client end
    in time, and a result that comes late is returned, since its work is done; the event `OperationTimedOut` counts it.

    Of nested timeouts, the error names the one that expired. `sent_state` of the error is `maybe_processed`: nobody knows how
    far the function has come. A `RetryPolicy` outside repeats it, and a circuit breaker outside counts a failure.

    Raises ConfigurationError for a duration that is not a positive, finite number.
    """

    def __init__(
        self,
        seconds: float,
        *,
        in_thread: bool = False,
        name: str = "",
        clock: Clock = SystemClock(),  # noqa: B008  # it has no state
    ) -> None:
        self._set_up(TimeoutSettings(seconds=seconds, in_thread=in_thread), name, clock)

    @property
    def used_clock(self) -> Clock | None:  # type: ignore[override]  # wider: it goes by the clock of its pipeline
        return None if type(self._clock) is SystemClock else self._clock

    def _begin(self, settings: TimeoutSettings) -> None:
        pass

    def _change(self, settings: TimeoutSettings) -> None:
        pass

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one call within its time."""
        clock = operation.clock
        settings = self._settings  # read once: it may be reconfigured during this call
        seconds, in_thread = settings.seconds, settings.in_thread and operation.guarded.is_plain
        outer = AMBIENT_DEADLINE.get()
        virtual = virtual_instants(seconds) if clock is time.monotonic else None
        expires_at = clock() + seconds
        block = Deadline(expires_at, clock, outer, virtual, operation.is_paused)
        token = None
        try:
            token = AMBIENT_DEADLINE.set(block)
            if in_thread:
                result = yield from self._in_thread(proceed, operation, seconds)
            elif type(proceed) is FunctionType:
                # Nothing stands inside, so that nothing waits but the function itself.
                operation.expires_at = expires_at
                result = yield from proceed(operation)
            else:
                result = yield from within(proceed(operation), expires_at, clock)
        except Exception as error:
            if clock() < expires_at - TIMER_SLACK:
                raise
            failed = next(_ended_by_deadlines(error, operation), None)
            if failed is None:
                raise
            # A client's call inside has gone by this limit, and knows it as a deadline.
            state = sent_state_of(failed)
            if state not in _HARMLESS:
                state = _MAYBE  # abandoned, the call says: it was in flight. Of the function, nobody knows
            raise self._error(operation, "cancelled", state, seconds) from error
        finally:
            # First, and here: Ctrl-C may come before a function has begun.
            block.has_ended, operation.expires_at = True, None
            block.forget()
            if outer is not None:
                if AMBIENT_DEADLINE.get() is block:  # else this plan is being closed from another context
                    AMBIENT_DEADLINE.set(running(outer))
            elif token is not None:  # Ctrl-C may have come before it was set
                try:
                    AMBIENT_DEADLINE.reset(token)  # quicker
                except ValueError:
                    pass
        if result is TIMED_OUT:
            raise self._error(operation, "abandoned" if in_thread else "cancelled", _MAYBE, seconds)
        if clock() > expires_at:
            self._record(operation, "late", seconds)
        return result

    def _in_thread(self, proceed: Proceed, operation: Operation, seconds: float) -> Plan[Any]:
        if operation.guarded.function is None:
            raise ConfigurationError(
                "TimeoutPolicy cannot run a block in another thread; put the code into a function and use apply, "
                "or leave out in_thread"
            )
        own = operation.twin()
        branch: Branch[Any] = Branch(lambda: proceed(own))
        try:
            if not (yield from Begin(branch)):
                raise CallRefusedError(
                    f"no thread is free for {self._named(operation)}: abandoned functions still hold theirs; "
                    "give them timeouts of their own",
                    key=self.name or operation.key,
                )
            index = yield from FirstOf((branch,), seconds)
            return TIMED_OUT if index is None else branch.take()
        finally:
            own.is_over = True
            operation.attempt, operation.is_queued = own.attempt, own.is_queued
            branch.cancel()

    def _error(
        self, operation: Operation, outcome: str, state: SentState, seconds: float
    ) -> OperationTimeoutError:
        self._record(operation, outcome, seconds)
        left = "; it runs on in its thread, and its result will be dropped" if outcome == "abandoned" else ""
        return OperationTimeoutError(
            f"{self._named(operation)} took longer than {seconds:g} s{left}",
            key=self.name or operation.key,
            timeout=seconds,
            sent_state=state,
        )

    def _named(self, operation: Operation) -> str:
        """What took too long, with the name by which the error's `key` has it."""
        if is_step(operation.args):
            what = "a step of a generator"
        else:
            what = str(getattr(operation.guarded.function, "__qualname__", None) or "the guarded code")
        key = self.name or operation.key
        return f"{what} ({key})" if key else what

    def _record(self, operation: Operation, outcome: str, seconds: float) -> None:
        operation.record(
            OperationTimedOut(
                operation.elapsed(), operation.attempt, self.name or operation.key, seconds, outcome,
                operation.call_id, operation.call_name,
            )
        )  # fmt: skip


def _ended_by_deadlines(error: BaseException, operation: Operation) -> Any:
    return (
        each for each in errors_behind(error, operation.handled) if isinstance(each, DeadlineExceededError)
    )
