"""The load shedding policy: for a client, around any function or block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.checks import check_function, suggests_keywords
from ..core.effects import Plan
from ..core.layers.load_shedding import count, shed
from ..core.machines.failure_kinds import Kind
from ..core.machines.limits.load_shedding import (
    LOAD_SHEDDING_RENAMED,
    LoadShedder,
    LoadSheddingSettings,
    LoadSheddingSnapshot,
)
from ..core.machines.limits.overload import evidence_of_error, evidence_of_result
from ..core.machines.other_libraries import READERS
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..drivers.randomness import unseeded_random
from .strategy import StatefulStrategy

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..core.machines.limits.load_shedding import LoadSheddingChanges

__all__ = ["LoadSheddingPolicy"]


@suggests_keywords(LOAD_SHEDDING_RENAMED)
class LoadSheddingPolicy(StatefulStrategy[LoadSheddingSettings]):
    """Calls that an overloaded service would reject are refused here, in proportion, before they are sent.

    multiplier: how many calls are sent for each that the service accepts; 1.1 to 100. Calls are shed when it accepts less than
        1/multiplier of them: with 2.0, less than half. Lower values shed sooner.
    window: seconds that the counts look back; 1 to 3600. A service that has recovered has all calls again after about two.
    max_shed: 0 to 0.99, the largest share that is shed.
    min_rate: calls a second (on average over the window) that are never shed, 0 or more.
    overloads: what says that the service rejects calls since it has too much to do, beside 429, 503, 504, refused
        connections and timeouts: a list of statuses, ranges of them, and exception classes, such as [529, ThrottlingError].
    name: in errors and events.   clock: for the window.   random: uniform in [0, 1); None for the system's.

    A call that is shed raises `LoadShedError`. Calls of a low priority are shed first (see `priority`). Any other failure,
    such as a 500, counts as accepted: the service has worked on it, and would fail as often if less were sent. A cancelled
    call counts as nothing. Threads and event loops may share one object.

    In a client's configuration, each origin (and `key`) has counts of its own, and each attempt is asked for.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.
    """

    rank: ClassVar[int | None] = 50
    _live = ("_shedder",)

    def __init__(
        self,
        multiplier: float = 2.0,
        *,
        window: float = 10.0,
        max_shed: float = 0.9,
        min_rate: float = 0.1,
        overloads: Iterable[Kind] | None = None,
        name: str = "",
        clock: Clock | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        settings = LoadSheddingSettings(
            multiplier=multiplier,
            window=window,
            max_shed=max_shed,
            min_rate=min_rate,
            overloads=overloads,
        )
        if random is not None:
            check_function("random", random)
        self._random = random
        self._set_up(settings, name, SystemClock() if clock is None else clock)

    def _begin(self, settings: LoadSheddingSettings) -> None:
        self._shedder = LoadShedder(
            settings,
            key=self._name,
            clock=self._clock.monotonic,
            random=self._random or unseeded_random,
            lock=ForkSafeLock(),
        )

    def _change(self, settings: LoadSheddingSettings) -> None:
        self._shedder.reconfigure(settings)

    if TYPE_CHECKING:

        def reconfigure(  # type: ignore[override]  # by name, its own
            self, **changes: Unpack[LoadSheddingChanges]
        ) -> None: ...

    def snapshot(self) -> LoadSheddingSnapshot:
        """The counts of the window, and the share that is shed, at one instant."""
        return self._shedder.snapshot()

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one call that is sent or shed."""
        shedder = self._shedder
        if not shedder.passes_all:
            refused = shed(shedder, operation)
            if refused is not None:
                raise refused.error_type(refused.message, sent_state=refused.sent_state, **refused.details)
        try:
            result = yield from proceed(operation)
        except BaseException as error:
            count(shedder, evidence_of_error(error, operation.handled, shedder.settings.overloads))
            raise
        if READERS[type(result)] is None and shedder.settings.overloads is None:  # the usual case
            shedder.record_accepted()
        else:
            count(shedder, evidence_of_result(result, shedder.settings.overloads))
        return result
