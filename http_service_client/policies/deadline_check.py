"""The deadline check policy: for a client, or around any function."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any

from ..core.checks import suggests_keywords
from ..core.effects import Plan
from ..core.layers.deadline_check import record_refusal, too_short
from ..core.machines.deadline_check import DEADLINE_CHECK_RENAMED, DeadlineCheck, DeadlineCheckSettings
from ..core.machines.retry.conditions import is_timeout
from ..core.operation import Operation, Proceed
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from .strategy import StatefulStrategy

__all__ = ["DeadlineCheckPolicy"]


@suggests_keywords(DEADLINE_CHECK_RENAMED)
class DeadlineCheckPolicy(StatefulStrategy[DeadlineCheckSettings]):
    """Does not begin what could hardly end before its deadline, by what is known of how long it takes.

    The deadline is that of a `deadline` block or of a `TimeoutPolicy` around the call. With less time than the function
    needs, `DeadlineTooShortError` is raised at once. In a pipeline it stands inside the limits, so that it learns how long the
    function takes, and not the waits for them. In a client's configuration (`deadline_check=`), each origin, and each `key`
    there, has a check, and waits are not begun either.

    min_chance: the least share of the calls that must end within the time that is left, 0.0001 to 0.5.
    min_samples: calls to know before any is refused, 10 or more, of the latest four times as many.
    probe_interval: seconds; one call in each such time is begun whatever is known. If it succeeds, all is forgotten.
    name: in errors and events.   clock: the source of time.

    A call that raised an exception says nothing about how long the function takes, but for a `TimeoutError` or a cancellation: it
    would have taken longer. Threads and event loops may share one object.

    Raises ConfigurationError (a ValueError) that names the field, the value and the remedy.
    """

    rank = 90
    _live = ("_check",)

    def __init__(
        self,
        *,
        min_chance: float = 0.02,
        min_samples: int = 50,
        probe_interval: float = 1.0,
        name: str = "",
        clock: Clock = SystemClock(),  # noqa: B008  # it has no state
    ) -> None:
        settings = DeadlineCheckSettings(
            min_chance=min_chance, min_samples=min_samples, probe_interval=probe_interval
        )
        self._set_up(settings, name, clock)

    def _begin(self, settings: DeadlineCheckSettings) -> None:
        self._check = DeadlineCheck(settings, clock=self._clock.monotonic, lock=ForkSafeLock())

    def _change(self, settings: DeadlineCheckSettings) -> None:
        self._check.reconfigure(settings)

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        """The plan of one call."""
        check, left, is_probe = self._check, operation.remaining(), False
        if left is not None and left < (needed := check.time_needed()):
            is_probe = check.try_probe()
            if not is_probe:
                key = self._name or operation.key
                failure = too_short(key, left, record_refusal(operation, check, key, needed, left))
                raise failure.error_type(failure.message, **failure.details)
        clock = operation.clock
        began_at = clock()
        try:
            result = yield from proceed(operation)
        except BaseException as error:
            if isinstance(error, (CancelledError, GeneratorExit)) or is_timeout(type(error)):
                check.latencies.record(clock() - began_at, is_cut=True)
            raise
        check.latencies.record(clock() - began_at)
        if is_probe:
            check.record_success()
        return result
