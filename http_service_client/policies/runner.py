"""Runs a function, a block or a generator under strategies: the driver's side of every policy.

The strategies are composed once, and a driver runs their plan: on the calling thread, or in an asyncio task. A plain
function that has to wait for nothing never leaves the first step of its plan.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CoroutineType, FrameType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.effects import Invoke, Plan
from ..core.nesting import current_scope
from ..core.operation import Body, GuardedFunction, Operation, Proceed, Stopped
from ..drivers.call_ids import CALL_IDS
from ..drivers.clocks import Clock, is_in_trio
from ..drivers.functions import asyncio_driver, blocking_driver, trio_driver
from ..errors import HttpClientError
from ..events import Event, Timeline
from .functions import AWAITABLE, FINISHED, UNFINISHED, handled_now, refuse, wrap
from .generators import pause_of
from .items import guarded_async_items, guarded_items
from .with_blocks import Block

if TYPE_CHECKING:
    from ..core.machines.retry.quota import AnyBudget
    from ..drivers.aio import AsyncioDriver
    from ..drivers.on_trio import TrioDriver
    from ..drivers.simulated_functions import EffectAwaiter

__all__ = ["Runner"]

F = TypeVar("F", bound=Callable[..., Any])


class Runner:
    """Puts strategies around functions.

    around: the strategies around what comes next.   name: the key of events.
    listener: called with each event; must not raise.   budget: see `GuardedFunction`.
    """

    def __init__(
        self,
        around: Callable[[Proceed], Proceed],
        name: str,
        clock: Clock,
        listener: Callable[[Event], None],
        budget: Callable[[], AnyBudget | None],
    ) -> None:
        self._budget = budget
        self._name = name
        self._clock = clock
        self._listener = listener
        self._blocking = blocking_driver(clock)
        self._asyncio = asyncio_driver(clock)
        self._trio: TrioDriver | None = None
        self._around = around
        self.compose()

    def compose(self) -> None:
        """Put the strategies around what they may guard, once; again when they have changed."""
        self._plain: Proceed = MethodType(_keep_result, self._around(_call))
        self._async = self._around(_call_async)
        self._body = self._around(_run_body)

    def apply(self, function: F) -> F:
        """The function under the strategies."""
        return wrap(function, self.guarded, self.guarded_async, self.guards_of_items)

    @property
    def guards_of_items(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """What puts the strategies around generators and around async generators."""
        return self._guarded_items, self._guarded_async_items

    def block(self, frame: FrameType, is_plain: bool) -> Block:
        """A block under the strategies, or the blocks of a loop.   frame: of the code that has it."""
        operation = Operation(self._about(None, is_plain), (), {}, handled_now())
        operation.is_paused = pause_of(frame)
        return Block(self._body(operation), self._blocking, self._asyncio if is_plain else self._driver())

    def _driver(self) -> AsyncioDriver | EffectAwaiter | TrioDriver:
        """That of the library whose task is running."""
        if "trio" in sys.modules and is_in_trio():
            self._trio = self._trio or trio_driver(self._clock)
            return self._trio
        return self._asyncio

    def _guarded_items(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return guarded_items(function, self.guarded(_take_step, self._of_step))

    def _guarded_async_items(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return guarded_async_items(function, self.guarded_async(_take_step, self._of_async_step))

    def _of_step(self, operation: Operation) -> Plan[Any]:
        operation.may_repeat = operation.args[1]
        plan: Plan[Any] = self._plain(operation)
        return plan

    def _of_async_step(self, operation: Operation) -> Plan[Any]:
        operation.may_repeat = operation.args[1]
        return self._async(operation)

    def _about(self, function: Callable[..., Any] | None, is_plain: bool) -> GuardedFunction:
        return GuardedFunction(
            function, is_plain, self._name, self._clock.monotonic, self._listener, CALL_IDS.new, self._budget
        )

    def guarded(self, function: Callable[..., Any], proceed: Proceed | None = None) -> Callable[..., Any]:
        """The plain function under the strategies.   proceed: the plan of a call; None for the strategies alone."""
        about, driver = self._about(function, is_plain=True), self._blocking

        def guarded(*args: Any, **kwargs: Any) -> Any:
            operation = Operation(about, args, kwargs, handled_now())
            plan = (proceed or self._plain)(operation)
            effect: Any
            try:
                # The end of a generator that returns None costs a loop no exception, which `next` would raise.
                for effect in plan:
                    driver.run(plan, effect)
                return operation.result
            except Stopped as stopped:
                stop = stopped.error
            except HttpClientError as error:
                _tell(error, operation)
                raise
            finally:
                effect = None  # what it calls may hold an error, whose traceback holds this frame
            # Outside of the handler, which would make a cycle of the two.
            try:
                raise stop
            finally:
                del stop  # its traceback holds this frame

        return guarded

    def guarded_async(
        self, function: Callable[..., Any], proceed: Proceed | None = None
    ) -> Callable[..., Any]:
        """The async function, or one that returns a plain value."""
        about = self._about(function, is_plain=False)

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            operation = Operation(about, args, kwargs, handled_now())
            plan = (proceed or self._async)(operation)
            try:
                try:
                    effect = next(plan)
                    # The usual case: nothing to wait for but the function itself.
                    if type(effect) is Invoke:
                        try:
                            answer = effect.function(*effect.arguments)
                            if type(answer) is CoroutineType or UNFINISHED[type(answer)] is AWAITABLE:
                                timeout = effect.timeout
                                answer = await (
                                    answer if timeout is None else self._driver().bounded(answer, timeout)
                                )
                        except BaseException as error:
                            effect = plan.throw(error)
                        else:
                            effect = plan.send(answer)
                except StopIteration as stop:
                    return stop.value
                rest = self._driver().run(plan, is_call=False, effect=effect)
                del effect  # it may have the error before as an argument, whose traceback holds this frame
                return await rest
            except HttpClientError as error:
                _tell(error, operation)
                raise

        return guarded


def _tell(error: HttpClientError, operation: Operation) -> None:
    """Give the error of a policy the timeline of its operation. That of a client's call has its own."""
    if error.timeline is None and operation.events:
        error.timeline = Timeline(operation.events)


def _call(operation: Operation) -> Plan[Any]:
    """The innermost plan of a plain function."""
    function: Any = operation.guarded.function
    try:
        result = function(*operation.args, **operation.kwargs)
    except StopIteration as error:
        raise Stopped(error) from error
    if UNFINISHED[type(result)] is not None:
        scope = current_scope()
        refuse(function, result, None if scope is None else scope.last_call)
    return result
    yield  # a generator, like all plans


def _call_async(operation: Operation) -> Plan[Any]:
    """The innermost plan of an async function, or of one that returns a plain value."""
    expires_at = operation.expires_at
    function: Any = operation.guarded.function
    # Called as directly as can be.
    invoke = Invoke(operation.begin) if operation.kwargs else Invoke(function, *operation.args)
    if expires_at is not None:
        left = expires_at - operation.clock()
        invoke.timeout = left if left > 0.0 else 0.0  # `max` takes longer
    result: Any = yield invoke
    if UNFINISHED[type(result)] not in FINISHED:
        scope = current_scope()
        refuse(function, result, None if scope is None else scope.last_call)
    return result


def _keep_result(proceed: Proceed, operation: Operation) -> Plan[None]:
    """The outermost plan of a plain function."""
    operation.result = yield from proceed(operation)


def _take_step(step: Callable[[], Any], may_repeat: bool) -> Any:
    """The function whose calls are the steps of a generator."""
    return step()


def _run_body(operation: Operation) -> Plan[Any]:
    """The innermost plan of a block."""
    return (yield from Body())
