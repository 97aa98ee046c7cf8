"""Whether an attempt can end before its deadline, by what is known of how long the service takes.

A call with 0.9 s left, to a service that takes 1.8 s, costs the service 1.8 s of work and its caller 0.9 s of waiting, and brings
nothing. An overloaded service spends most of its time on such work, and so stays overloaded. So an attempt is not begun when, of
the latest attempts, fewer than `min_chance` ended within the time that is left.

    evidence      at least `min_samples` attempts whose fate at that time is known: they ended earlier, or lasted longer;
                  of the latest four times as many at most, so that a service that becomes slow is seen after so many
    probes        one attempt in `probe_interval` seconds is begun in spite of it, and may find that the service is fast again
    surprise      a probe that succeeds shows that what was known is out of date: all of it is forgotten, and attempts are
                  begun until there is enough evidence again
    age           evidence of more than two minutes is forgotten (`core.machines.latency`)

So nothing is refused permanently: a service that has become fast is used again after one probe, and one that nobody calls is
not judged at all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ..checks import check_count, check_duration, check_number, remedies, suggests_keywords
from .latency import LatencySketch

__all__ = ["DEADLINE_CHECK_RENAMED", "DeadlineCheck", "DeadlineCheckSettings"]


DEADLINE_CHECK_RENAMED = remedies(
    {
        "it is called min_chance, such as 0.02": "percentile quantile chance",
        "it is called min_samples": "samples min_calls",
        "set deadline_check=None to switch it off": "enabled",
    }
)
"""What the settings are called elsewhere."""


@suggests_keywords(DEADLINE_CHECK_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineCheckSettings:
    """When an attempt is not begun, since it could hardly end before the deadline of its call.

    min_chance: the least share of the attempts that must end within the time that is left, 0.0001 to 0.5.
    min_samples: attempts to know before any is refused, 10 or more.
    probe_interval: seconds; one attempt in each such time is begun whatever is known.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    min_chance: float = 0.02
    min_samples: int = 50
    probe_interval: float = 1.0

    def __post_init__(self) -> None:
        check_number("min_chance", self.min_chance, least=0.0001, most=0.5)
        check_count("min_samples", self.min_samples, least=10)
        check_duration("probe_interval", self.probe_interval, optional=False)


class DeadlineCheck:
    """The check of one service. Its numbers are read and set without a lock: at worst, there is a probe too many.

    latencies: of the service.   clock: monotonic seconds.   lock: of the latencies.
    """

    __slots__ = ("_clock", "_probe_at", "latencies", "settings")

    def __init__(
        self,
        settings: DeadlineCheckSettings,
        *,
        clock: Callable[[], float],
        lock: AbstractContextManager[Any],
    ) -> None:
        self.settings = settings
        self.latencies = LatencySketch(clock=clock, lock=lock, size=2 * settings.min_samples)
        self._clock = clock
        self._probe_at = clock()

    def reconfigure(self, settings: DeadlineCheckSettings) -> None:
        """Take new settings. What is known stays."""
        self.settings = settings
        self.latencies.resize(2 * settings.min_samples)

    def time_needed(self) -> float:
        """Seconds: an attempt that has less can hardly succeed. 0.0 while too little is known."""
        return self.latencies.time_needed(self.settings.min_chance, self.settings.min_samples)

    def try_probe(self) -> bool:
        """Whether this attempt, which has too little time, is begun all the same."""
        now, interval = self._clock(), self.settings.probe_interval
        if 0.0 < self._probe_at - now <= interval:  # it is more after a clock has stepped back
            return False
        self._probe_at = now + interval
        return True

    def record_success(self) -> None:
        """A probe succeeded: the service has become fast."""
        self.latencies.forget()
