"""The adaptive limit policy: for a client, around any function or block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.checks import suggests_keywords
from ..core.effects import Plan
from ..core.layers.adaptive_limit import wait_for_permit
from ..core.layers.bulkhead import enter, leave
from ..core.machines.failure_kinds import Kind
from ..core.machines.limits.adaptive_limit import (
    ADAPTIVE_LIMIT_RENAMED,
    AdaptiveLimit,
    AdaptiveLimitSettings,
    AdaptiveLimitSnapshot,
    Algorithm,
)
from ..core.machines.limits.overload import Evidence, evidence_of_error, evidence_of_result
from ..core.machines.other_libraries import READERS
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from .strategy import StatefulStrategy

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..core.machines.limits.adaptive_limit import AdaptiveLimitChanges

__all__ = ["AdaptiveLimitPolicy"]

_NONE, _ANSWERED = Evidence.NONE, Evidence.ANSWERED  # enum attribute access is slow (50 ns)


@suggests_keywords(ADAPTIVE_LIMIT_RENAMED)
class AdaptiveLimitPolicy(StatefulStrategy[AdaptiveLimitSettings]):
    """As many calls in progress as the service can do with, found by how long they take and how many are refused or late.

    algorithm: "gradient" keeps the latency within about one and a half of what it is without a queue; "vegas" keeps the
        service's queue shorter, and needs an even latency for it; "aimd" looks at refused and late calls alone, for services
        that refuse what is too much.
    initial_limit: calls in progress at first, from `min_limit` to `max_limit`; None for 20, or as near to it as they allow.
    min_limit, max_limit: 1 or more. A `max_limit` of None is 200; in a client, as many as there are connections to an origin.
    max_waiting: calls that wait for a permit, 0 or more; None for twice as many as the limit is.
    max_wait: seconds that a call may wait (> 0); None for as long as its deadline allows. A deadline that is nearer holds.
    slow_call_duration: seconds from which on a call counts as late, also if it was answered (> 0); None for no such limit.
    overloads: what says that the service refuses calls since it has too much to do, beside 429, 503 and refused
        connections: a list of statuses, ranges of them, and exception classes, such as [529, ThrottlingError].
    name: in errors and events.   clock: for the waits and the latencies.

    A call that gets no permit raises `ConcurrencyLimitError`. The most important calls that wait are next (see `priority`), as
    with a bulkhead. The wait is no part of the latency; cancelled calls, and any other failures, count as nothing.
    Threads and event loops may share one object. `reconfigure(max_limit=50)` keeps the limit as far as it may.

    In a client's configuration, each origin (and `key`) has a limit, and each attempt takes a permit.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.
    """

    rank: ClassVar[int | None] = 90
    _live = ("_limit",)

    def __init__(
        self,
        algorithm: Algorithm = "gradient",
        *,
        initial_limit: int | None = None,
        min_limit: int = 1,
        max_limit: int | None = None,
        max_waiting: int | None = None,
        max_wait: float | None = 1.0,
        slow_call_duration: float | None = None,
        overloads: Iterable[Kind] | None = None,
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        settings = AdaptiveLimitSettings(
            algorithm=algorithm,
            initial_limit=initial_limit,
            min_limit=min_limit,
            max_limit=max_limit,
            max_waiting=max_waiting,
            max_wait=max_wait,
            slow_call_duration=slow_call_duration,
            overloads=overloads,
        )
        self._set_up(settings, name, SystemClock() if clock is None else clock)

    def _begin(self, settings: AdaptiveLimitSettings) -> None:
        self._limit = AdaptiveLimit(
            settings,
            key=self._name,
            clock=self._clock.monotonic,
            wall_clock=self._clock.wall,
            lock=ForkSafeLock(),
        )

    def _change(self, settings: AdaptiveLimitSettings) -> None:
        self._limit.reconfigure(settings)

    def _reset_after_fork(self) -> None:
        self._limit.reset_after_fork()

    if TYPE_CHECKING:

        def reconfigure(  # type: ignore[override]  # by name, its own
            self, **changes: Unpack[AdaptiveLimitChanges]
        ) -> None: ...

    @property
    def limit(self) -> int:
        """Calls that may be in progress now."""
        return self._limit.limit

    def snapshot(self) -> AdaptiveLimitSnapshot:
        """The limit, its permits and its queue, at one instant."""
        return self._limit.snapshot()

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one permit."""
        limit, evidence = self._limit, _NONE
        permit, token = enter(limit.permits, operation)
        began_at: float | None = None
        try:
            if not permit.try_acquire():
                failure = yield from wait_for_permit(limit, permit, operation)
                if failure is not None:
                    raise failure.error_type(
                        failure.message, sent_state=failure.sent_state, **failure.details
                    )
            began_at = operation.clock()
            result = yield from proceed(operation)
            overloads = limit.settings.overloads
            is_plain = READERS[type(result)] is None and overloads is None  # the usual case
            evidence = _ANSWERED if is_plain else evidence_of_result(result, overloads)
            return result
        except BaseException as error:
            evidence = evidence_of_error(error, operation.handled, limit.settings.overloads)
            raise
        finally:
            try:
                leave(permit, token)
                if began_at is not None and permit.lender is None:
                    limit.record(began_at, evidence)
                permit.release()
            except BaseException:  # Ctrl-C meanwhile must not cost a permit
                permit.release()
                raise
