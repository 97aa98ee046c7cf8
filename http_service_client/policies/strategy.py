"""What every policy is that can be put around a function, alone or in a pipeline."""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from functools import cached_property
from types import FrameType, MethodType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar

from ..core.effects import Plan
from ..core.operation import Operation, Proceed, shown
from ..drivers.clocks import Clock, SystemClock, check_clock
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError
from .functions import NOT_CALLED, applied_to_a_function, not_a_function
from .logs import log_event
from .runner import Runner
from .with_blocks import AttemptLoop, Block, EnteredBlocks

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..core.machines.retry.quota import AnyBudget

__all__ = ["StatefulStrategy", "Strategy"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S")


_OF_THIS_OBJECT = ("_blocks", "_runner")  # made when they are needed; no copy shares them


class Strategy(ABC):
    """A policy that can guard functions: alone, by its own `apply`, `call` and `call_async`, or in a `ResiliencePipeline`.

    rank: where it stands in a pipeline in the usual order, the outermost first; None for anywhere.
    repeats: it may run what it guards more than once, or return something else, so it cannot guard a `with` block.
    repeats_in_turn: it runs it again only after the last time has ended, and so can guard the blocks of a loop.
    """

    rank: ClassVar[int | None] = None
    repeats: ClassVar[bool] = False
    repeats_in_turn: ClassVar[bool] = False

    @abstractmethod
    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan around what comes next: a generator (see `core.effects`) that does `yield from proceed(operation)`."""

    @property
    def used_clock(self) -> Clock | Callable[[], float] | None:
        """The clock that the policy goes by, or its monotonic seconds alone; None for any."""
        return None

    @cached_property
    def _runner(self) -> Runner:
        clock = self.used_clock
        return Runner(
            lambda proceed: MethodType(self.guard, proceed),
            getattr(self, "name", ""),
            clock if isinstance(clock, Clock) else SystemClock(),
            log_event,
            self._live_budget,
        )

    def _live_budget(self) -> AnyBudget | None:
        """What pays for repeated calls of a function; None where they are free."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OF_THIS_OBJECT}

    @applied_to_a_function
    def apply(self, function: F) -> F:
        """The function under this policy: plain or async, a method, a generator or an async generator (item by item)."""
        return self._runner.apply(function)

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a plain function under this policy."""
        if not callable(function):
            raise not_a_function("call", function)
        return self._runner.guarded(function)(*args, **kwargs)  # type: ignore[no-any-return]  # of the function

    async def call_async(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call and await an async function under this policy."""
        if not callable(function):
            raise not_a_function("call_async", function)
        return await self._runner.guarded_async(function)(*args, **kwargs)  # type: ignore[no-any-return]  # of the function

    @property
    def _blocks(self) -> EnteredBlocks[Block]:
        made = vars(self)
        # Two threads may both find none, and must have the same.
        return made.get("_blocks") or made.setdefault("_blocks", EnteredBlocks())  # type: ignore[no-any-return]  # our own

    def attempts(self) -> AttemptLoop:
        """A loop whose block is repeated: ``for attempt in policy.attempts(): with attempt: …``.

        Both are async in an `async for`. A block's error is raised by it unless another attempt follows; a `break` or
        `return` in the block ends the loop. `attempt.result` may be set, for conditions that judge results.

        Raises ConfigurationError with a policy that may replace what it guards, or run it twice at a time.
        """
        for each in self._parts():
            if each.repeats and not each.repeats_in_turn:
                raise ConfigurationError(
                    f"{type(each).__name__} cannot guard the block of a loop; put the code into a function and use apply"
                )
        return AttemptLoop(self._runner.block)

    def _parts(self) -> tuple[Strategy, ...]:
        """The policies that it consists of."""
        return (self,)

    def _new_block(self, frame: FrameType, is_plain: bool) -> Block:
        repeating = next((each for each in self._parts() if each.repeats), None)
        if repeating is not None:
            in_turn = "write `for attempt in policy.attempts():` and `with attempt:` inside"
            remedy = in_turn if repeating.repeats_in_turn else "put the code into a function and use apply"
            raise ConfigurationError(
                f"{type(repeating).__name__} may repeat or replace what it guards, which a `with` block cannot; {remedy}"
            )
        return self._runner.block(frame, is_plain)

    def __enter__(self) -> Self:
        block = self._new_block(sys._getframe(1), is_plain=True)
        block.go_on()
        self._blocks.enter(block)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._blocks.leave(self).go_on(error)
        except BaseException as raised:
            if shown(raised) is not error:
                raise
        finally:
            del error  # its traceback holds this frame

    async def __aenter__(self) -> Self:
        block = self._new_block(sys._getframe(1), is_plain=False)
        await block.go_on_async()
        self._blocks.enter(block)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._blocks.leave(self).go_on_async(error)
        except BaseException as raised:
            if shown(raised) is not error:
                raise
        finally:
            del error  # its traceback holds this frame

    if not TYPE_CHECKING:  # type checkers say that it cannot be called

        def __call__(self, *args, **kwargs):
            """Say what to write in place of `@policy`."""
            raise TypeError(NOT_CALLED.format(type(self).__name__, "policy"))


class StatefulStrategy(Strategy, Generic[S]):
    """A policy of settings, a frozen record, and of live state that belongs to this object alone.

    A copy or a pickle has the same settings and state of its own. Policies with the same settings and name are equal.
    A subclass makes its record in `__init__`, passes it to `_set_up`, makes its live parts in `_begin` and changes their
    settings in `_change`.

    settings: as they are now.   name: in errors and events.
    """

    _live: ClassVar[tuple[str, ...]] = ()  # attributes that `_begin` makes
    _data: ClassVar[tuple[str, ...]] = ()  # settings that hold a user's data, which is not shown

    def _set_up(self, settings: S, name: str, clock: Clock) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"name must be a str, not {name!r}")
        check_clock(clock)
        self._name = name
        self._clock = clock
        self._start(settings)

    def _start(self, settings: S) -> None:
        self._settings = settings
        self._changing = ForkSafeLock()
        self._begin(settings)
        reset_in_forked_children(self)

    @abstractmethod
    def _begin(self, settings: S) -> None:
        """Make the live parts, of which each copy has its own."""

    @abstractmethod
    def _change(self, settings: S) -> None:
        """Have the live parts go by other settings; what they know stays."""

    def _reset_after_fork(self) -> None:
        """Forget what only the parent's threads hold."""

    @property
    def settings(self) -> S:
        """The settings alone, as a frozen record that compares, pickles and copies."""
        return self._settings

    @property
    def name(self) -> str:
        """The policy's name in errors and events."""
        return self._name

    @property
    def used_clock(self) -> Clock:
        return self._clock

    def reconfigure(self, **changes: Any) -> None:
        """Change settings while calls go on: ``policy.reconfigure(rate=20)``. State and waiting calls stay.

        Threads may call it. Raises ConfigurationError for a wrong value and TypeError for an unknown name; then nothing
        has changed.
        """
        known = [item.name for item in fields(self._settings)]  # type: ignore[arg-type]  # a dataclass
        for change in changes:
            if change not in known:
                raise TypeError(
                    f"{type(self).__name__}.reconfigure() has no argument {change!r}; it has {', '.join(known)}"
                )
        with self._changing:
            settings = replace(self._settings, **changes)  # type: ignore[type-var]
            self._change(settings)
            self._settings = settings

    if not TYPE_CHECKING:  # a type checker would accept an assignment of any name

        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("_") and (
                name == "name" or any(name == item.name for item in fields(self._settings))
            ):
                remedy = "make another policy" if name == "name" else f"write policy.reconfigure({name}=…)"
                raise AttributeError(f"{name} of a {type(self).__name__} cannot be assigned; {remedy}")
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        dropped = {*_OF_THIS_OBJECT, "_changing", *self._live}
        kept = {name: value for name, value in self.__dict__.items() if name not in dropped}
        return {"settings": self._settings, "attributes": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state["attributes"])
        self._start(state["settings"])

    def __deepcopy__(self, memo: object) -> Self:
        return copy.copy(self)  # the clock and the functions in the settings are not its own

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.name, self._settings) == (other.name, other._settings)

    def __hash__(self) -> int:
        return hash((type(self), self.name))  # settings may change

    def __repr__(self) -> str:
        """Its name and the settings that are not the default ones. Of data and functions, the names alone."""
        shown = [repr(self.name)] if self.name else []
        for item in fields(self._settings):  # type: ignore[arg-type]  # a dataclass
            value = getattr(self._settings, item.name)
            if value != item.default and not (isinstance(value, (tuple, Mapping)) and not value):
                is_plain = item.name not in self._data and isinstance(value, (bool, int, float, str))
                shown.append(f"{item.name}={value!r}" if is_plain else f"{item.name}=…")
        return f"<{' '.join([type(self).__name__, *shown])}>"
