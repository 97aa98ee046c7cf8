"""One call of a guarded function, on its way through the strategies around it.

What a client's call is to the layers, an operation is to the strategies: both have a key, an attempt, a clock, a timeline
and what is left of the deadlines around them. So a plan that waits for a limit is written once, for a `Subject`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..events import Event
from .deadline import AMBIENT_DEADLINE, remaining
from .effects import Effect, Plan

if TYPE_CHECKING:
    from .machines.retry.quota import AnyBudget

__all__ = ["Body", "GuardedFunction", "Operation", "Proceed", "Stopped", "Subject", "shown"]

Proceed = Callable[["Operation"], Plan[Any]]
"""What comes next: the plan of the next strategy, or of the function itself. It returns the function's result, and raises
its exception."""


class Subject(Protocol):
    """A client's call, or an operation, as a plan sees it that serves both."""

    attempt: int
    call_name: str | None
    clock: Callable[[], float]

    @property
    def is_queued(self) -> bool: ...

    @is_queued.setter
    def is_queued(self, value: bool) -> None: ...

    @property
    def key(self) -> str: ...

    @property
    def call_id(self) -> str: ...

    def elapsed(self) -> float: ...

    def remaining(self) -> float | None: ...

    def slack(self) -> float | None: ...

    def record(self, event: Event) -> None: ...


class Body(Effect[Any]):
    """The code of a `with` block runs now. No driver performs it: the plan is held until the block ends.

    The answer is the block's result, if it was given one. An exception of the block is thrown into the plan.
    """

    __slots__ = ()


class Stopped(Exception):
    """A StopIteration of guarded code. A generator, such as a plan, cannot pass it on itself.

    error: the StopIteration; the cause as well, for all that judges causes.
    """

    def __init__(self, error: StopIteration) -> None:
        super().__init__(error)
        self.error = error
        self.__cause__ = error


def shown(error: Any) -> Any:
    """The exception as the guarded code raised it, to be shown to the user; anything else as it is."""
    return error.error if type(error) is Stopped else error


class GuardedFunction:
    """What all calls of a guarded function share.

    function: None for a block.   is_plain: it runs where it is called and cannot be interrupted; else it is async.
    key: the name of the pipeline or policy.   clock: monotonic seconds.
    listener: called with each event; must not raise.   new_id: makes the id of a call.
    budget: returns what pays for further calls of the function, None for no limit.
    """

    __slots__ = ("budget", "clock", "function", "is_plain", "key", "listener", "new_id")

    def __init__(
        self,
        function: Callable[..., Any] | None,
        is_plain: bool,
        key: str,
        clock: Callable[[], float],
        listener: Callable[[Event], None],
        new_id: Callable[[], str],
        budget: Callable[[], AnyBudget | None],
    ) -> None:
        self.budget = budget
        self.function = function
        self.is_plain = is_plain
        self.key = key
        self.clock = clock
        self.listener = listener
        self.new_id = new_id


class Operation:
    """One call of a guarded function. A retry repeats the attempt, not the operation.

    args, kwargs: of the function.   attempt: 1-based number of the present one.
    handled: the exception that was being handled when the call began, or None (see `errors.chain`).
    is_queued: the attempt waits for a permit, or has given up that wait: the function was not called.
    may_repeat: another attempt would begin at the beginning; not so once a generator has delivered an item.
    expires_at: the instant at which an async function is cancelled; None for no limit.
    is_over: nobody waits for it any more: what it still does, left behind in its thread, is no part of the story.
    result: of the plan of a plain function.
    is_paused: of a block, whether the code that runs is outside of it for a while; None for never.
    """

    __slots__ = (
        *("_events", "_id", "args", "attempt", "call_name", "clock", "expires_at", "guarded"),
        *("handled", "is_over", "is_paused", "is_queued", "kwargs", "may_repeat", "result", "started_at"),
    )

    result: Any  # unset at first

    def __init__(
        self,
        guarded: GuardedFunction,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        handled: BaseException | None,
    ) -> None:
        self.guarded = guarded
        self.args = args
        self.kwargs = kwargs
        self.handled = handled
        self.attempt = 1
        self.may_repeat = True
        self.is_queued = self.is_over = False
        self.expires_at: float | None = None
        self.is_paused: Callable[[], bool] | None = None
        self.call_name: str | None = None
        self._id: str | None = None
        self._events: list[Event] | None = None
        self.clock = clock = guarded.clock
        self.started_at = clock()

    @property
    def key(self) -> str:
        """The name of the pipeline or policy."""
        return self.guarded.key

    @property
    def call_id(self) -> str:
        """The same in all events of the operation, and in no other."""
        if self._id is None:
            self._id = self.guarded.new_id()
        return self._id

    def elapsed(self) -> float:
        """Seconds since the operation began."""
        return self.clock() - self.started_at

    def remaining(self) -> float | None:
        """Seconds left of the deadlines around it (may be negative), or None without one."""
        return remaining(self.clock, AMBIENT_DEADLINE.get())

    slack = remaining
    """Seconds that it may wait for a limit, as `Call.slack`: nothing is known of how long a function takes."""

    @property
    def events(self) -> list[Event]:
        """What happened so far."""
        if self._events is None:
            self._events = []
        return self._events

    def record(self, event: Event) -> None:
        """Add an event to the timeline and notify the listener, unless it is over."""
        if not self.is_over:
            self.events.append(event)
            self.guarded.listener(event)

    def twin(self) -> Operation:
        """The same for what runs beside the caller: with a state of its own, and the same story."""
        _ = self.call_id, self.events  # made now: each would make its own
        return copy.copy(self)

    def begin(self) -> Any:
        """Call the function."""
        assert self.guarded.function is not None  # blocks do not come here
        return self.guarded.function(*self.args, **self.kwargs)
