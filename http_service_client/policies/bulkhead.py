"""The bulkhead policy: for a client, around any function or block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.checks import suggests_keywords
from ..core.effects import Plan
from ..core.layers.bulkhead import admit, enter, leave
from ..core.machines.limits.bulkhead import Bulkhead
from ..core.machines.limits.bulkhead_settings import (
    BULKHEAD_RENAMED,
    BulkheadSettings,
    BulkheadSnapshot,
    PartitionBy,
)
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from .strategy import StatefulStrategy

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..core.machines.limits.bulkhead_settings import BulkheadChanges

__all__ = ["BulkheadPolicy"]

_EMPTY: Mapping[str, float] = {}


@suggests_keywords(BULKHEAD_RENAMED)
class BulkheadPolicy(StatefulStrategy[BulkheadSettings]):
    """At most so many calls in progress, and so many that wait: a slow dependency does not take all threads and tasks.

    max_concurrent: calls in progress together, 1 or more.
    max_waiting: calls that wait for a permit, 0 or more; None for as many as `max_concurrent`. One more is refused at once
        by `BulkheadFullError`, or takes the room of one with a lower priority (see `priority`).
    max_wait: seconds that a call may wait (> 0); None for as long as its deadline allows. A deadline that is nearer holds.
    partitions: a mapping of names to shares of the permits, above 0 and in sum at most 1, such as
        ``{"interactive": 0.7, "batch": 0.3}``. Each has its share when it needs it, of the queue, too; what it does not use
        is free for others.
    partition_by: finds a call's partition: "name" is the call's `name`, or the name of the guarded function; "priority" the
        name of its priority level; or a plain function of the call's `HttpContext`, or of the guarded function's
        `Operation`, that returns a partition's name.
    name: in errors and events.   clock: for the waits.

    Who is next: of calls that wait, the most important, but every eighth time the one that has waited longest; so
    priorities starve nobody. Threads and event loops may share one object. A call that is made inside a guarded one goes
    on with its permit.

    In a client's configuration, each origin (and `key`) has a bulkhead, and a streamed response keeps its permit until
    its body is closed.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.
    """

    rank: ClassVar[int | None] = 80
    _live = ("_bulkhead",)

    def __init__(
        self,
        max_concurrent: int,
        max_waiting: int | None = None,
        max_wait: float | None = 1.0,
        *,
        partitions: Mapping[str, float] = _EMPTY,
        partition_by: PartitionBy = "name",
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        settings = BulkheadSettings(
            max_concurrent=max_concurrent,
            max_waiting=max_waiting,
            max_wait=max_wait,
            partitions=partitions,
            partition_by=partition_by,
        )
        self._set_up(settings, name, SystemClock() if clock is None else clock)

    def _begin(self, settings: BulkheadSettings) -> None:
        self._bulkhead = Bulkhead(settings, key=self._name, lock=ForkSafeLock())

    def _change(self, settings: BulkheadSettings) -> None:
        self._bulkhead.reconfigure(settings)

    def _reset_after_fork(self) -> None:
        self._bulkhead.reset_after_fork()

    if TYPE_CHECKING:

        def reconfigure(  # type: ignore[override]  # by name, its own
            self, **changes: Unpack[BulkheadChanges]
        ) -> None: ...

    def snapshot(self) -> BulkheadSnapshot:
        """Permits and queue, at one instant."""
        return self._bulkhead.snapshot()

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one permit."""
        permit, token = enter(self._bulkhead, operation)
        try:
            if not permit.try_acquire():
                failure = yield from admit(permit, operation)
                if failure is not None:
                    raise failure.error_type(
                        failure.message, sent_state=failure.sent_state, **failure.details
                    )
            return (yield from proceed(operation))
        finally:
            try:
                leave(permit, token)
                permit.release()
            except BaseException:  # Ctrl-C meanwhile must not cost a permit
                permit.release()
                raise
