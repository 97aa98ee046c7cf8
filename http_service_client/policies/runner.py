"""Runs a function, a block or a generator under strategies: the driver's side of every policy.

The strategies are composed once, and a driver runs their plan: on the calling thread, or in an asyncio task. A plain
function that has to wait for nothing never leaves the first step of its plan.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, TypeVar

from ..core.effects import Invoke, Plan
from ..core.nesting import current_scope
from ..core.operation import GuardedFunction, Operation, Proceed
from ..drivers.call_ids import CALL_IDS
from ..drivers.clocks import Clock
from ..drivers.functions import asyncio_driver, blocking_driver
from ..events import Event
from .functions import AWAITABLE, FINISHED, UNFINISHED, handled_now, refuse, wrap

__all__ = ["Runner"]

F = TypeVar("F", bound=Callable[..., Any])


class Runner:
    """Puts strategies around functions.

    around: the strategies around what comes next.   name: the key of events.
    listener: called with each event; must not raise.
    """

    def __init__(
        self,
        around: Callable[[Proceed], Proceed],
        name: str,
        clock: Clock,
        listener: Callable[[Event], None],
    ) -> None:
        self._name = name
        self._clock = clock
        self._listener = listener
        self._blocking = blocking_driver(clock)
        self._asyncio = asyncio_driver(clock)
        self._plain = around(_call)
        self._async = around(_call_async)

    def apply(self, function: F) -> F:
        """The function under the strategies."""
        return wrap(function, self.guarded, self.guarded_async)

    def _about(self, function: Callable[..., Any] | None, is_plain: bool) -> GuardedFunction:
        return GuardedFunction(
            function, is_plain, self._name, self._clock.monotonic, self._listener, CALL_IDS.new
        )

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The plain function under the strategies."""
        about, driver = self._about(function, is_plain=True), self._blocking

        def guarded(*args: Any, **kwargs: Any) -> Any:
            plan = self._plain(Operation(about, args, kwargs, handled_now()))
            try:
                effect = next(plan)
            except StopIteration as stop:
                return stop.value
            except _Stopped as stopped:
                raise stopped.error from None
            try:
                return driver.run(plan, effect)
            except _Stopped as stopped:
                raise stopped.error from None

        return guarded

    def guarded_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The async function, or one that returns a plain value."""
        about, driver = self._about(function, is_plain=False), self._asyncio

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            plan = self._async(Operation(about, args, kwargs, handled_now()))
            try:
                effect = next(plan)
                # The usual case: nothing to wait for but the function itself.
                if type(effect) is Invoke and effect.timeout is None:
                    try:
                        answer = effect.function(*effect.arguments)
                        if type(answer) is CoroutineType or UNFINISHED[type(answer)] is AWAITABLE:
                            answer = await answer
                    except BaseException as error:
                        effect = plan.throw(error)
                    else:
                        effect = plan.send(answer)
            except StopIteration as stop:
                return stop.value
            return await driver.run(plan, is_call=False, effect=effect)

        return guarded


class _Stopped(Exception):
    """A StopIteration of a plain function, which a generator cannot pass on."""

    def __init__(self, error: StopIteration) -> None:
        self.error = error


def _call(operation: Operation) -> Plan[Any]:
    """The innermost plan of a plain function."""
    function: Any = operation.guarded.function
    try:
        result = function(*operation.args, **operation.kwargs)
    except StopIteration as error:
        raise _Stopped(error) from error
    if UNFINISHED[type(result)] is not None:
        scope = current_scope()
        refuse(function, result, None if scope is None else scope.last_call)
    return result
    yield  # a generator, like all plans


def _call_async(operation: Operation) -> Plan[Any]:
    """The innermost plan of an async function, or of one that returns a plain value."""
    result = yield from Invoke(operation.begin)
    if UNFINISHED[type(result)] not in FINISHED:
        scope = current_scope()
        refuse(operation.begin, result, None if scope is None else scope.last_call)
    return result
