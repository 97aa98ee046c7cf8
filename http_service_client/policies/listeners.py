"""User code that only listens or judges. It can never change what happened: its errors are logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from ..core.checks import check_function, refuse_awaitable, verdict_of
from ..core.machines.circuit_breaker.states import StateChange
from ..core.machines.retry.conditions import RetryCondition
from ..drivers.loggers import log_hook
from ..http.messages import HttpContext, HttpRequest, HttpResponse
from .logs import log_change

if TYPE_CHECKING:
    from ..errors import Failure

__all__ = ["ExchangeListener", "Judge", "Listeners", "judging", "notify", "report_condition"]


class Listeners:
    """Called with each change of one circuit: the policy's own `on_change`, and the clients that use the policy.

    An object of its own, since a breaker that held its policy would make a reference cycle.
    """

    __slots__ = ("_subscribers", "own")

    def __init__(self, own: Callable[[StateChange], None] | None) -> None:
        self.own = own
        self._subscribers: tuple[tuple[ref[object], Callable[[Any], None]], ...] = ()

    def subscribe(self, owner: object, listener: Callable[[Any], None]) -> None:
        """Have `listener` called with each change for as long as `owner` lives. The same owner once only."""
        if not any(known() is owner for known, _ in self._subscribers):
            alive = [each for each in self._subscribers if each[0]() is not None]
            self._subscribers = (*alive, (ref(owner), listener))  # replaced whole: threads may be reading it

    def __call__(self, change: StateChange) -> None:
        log_change(change)
        for owner, listener in self._subscribers:
            if owner() is not None:
                listener(change)
        if self.own is not None:
            notify(self.own, change)


class Judge:
    """A function that judges outcomes. An exception that it raises is logged, and is no evidence."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Any], bool | None]) -> None:
        self._function = function

    def __call__(self, subject: object) -> bool | None:
        try:
            verdict = self._function(subject)
            # An array, say, is neither true nor false.
            return None if verdict is None else verdict_of(verdict)
        except Exception:
            log_hook("is_failure raised an exception for %s; it is no evidence", type(subject).__name__)
            return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Judge) and other._function == self._function

    def __hash__(self) -> int:
        return hash(self._function)


class ExchangeListener:
    """Calls a function with each exchange: with copies, since what it changes in them must not change the call."""

    __slots__ = ("_function",)

    def __init__(
        self, function: Callable[[HttpRequest, HttpResponse | Failure, HttpContext], object]
    ) -> None:
        self._function = function

    def __call__(self, request: HttpRequest, outcome: HttpResponse | Failure, context: HttpContext) -> None:
        try:
            request = request.copy()
            if isinstance(outcome, HttpResponse):
                outcome = outcome.observed(request)
            result = self._function(request, outcome, context)
            if result is not None:
                refuse_awaitable(result)
        except Exception:
            log_hook("on_exchange failed on %r; the outcome is not affected", request)


def judging(is_failure: Callable[[Any], bool | None] | None) -> Judge | None:
    """The function, so that its errors are logged; None for None."""
    if is_failure is None or isinstance(is_failure, Judge):
        return is_failure
    check_function("is_failure", is_failure)
    return Judge(is_failure)


def notify(listener: Callable[[Any], object], event: object) -> None:
    """Call a listener. An exception that it raises is logged and goes no further."""
    try:
        result = listener(event)
        if result is not None:
            refuse_awaitable(result)
    except Exception:
        log_hook("a listener failed on %s; the outcome is not affected", type(event).__name__)


def report_condition(condition: RetryCondition) -> None:
    """Log the exception, now being handled, of a retry condition."""
    log_hook("%r raised an exception; it counts as not holding", condition)
