"""Hedging: when a request takes unusually long, the same request is sent a second time, and the first response is used.

Theory (J. Dean and L. A. Barroso, *The Tail at Scale*, 2013). Of a service with many servers, the slowest few per cent of the responses
are slow by chance: a pause of one server, a full queue, a lost packet. A second request rarely has the same bad luck. When it is
sent only after most responses have come, it costs little and cuts off the tail.

    delay      after how many seconds the next request is sent: fixed, or learned as a quantile of the latencies
    share      of all calls, so many may be hedged; a bucket of `_BURST` more for a moment when many are slow
    quota      the tokens that the retries of this service spend; the layer withdraws from it

A service that is slow as a whole is not helped by more requests. There the share and the quota keep hedges few, and a learned
delay grows with the latencies. A request that was cancelled as the loser took *at least* so long: it is counted as that, since without
it the delay would be learned from the quick ones alone, and shrink.

This module says when. `core.race` does it, for calls and for functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import ConfigurationError
from ..checks import check_count, check_duration, check_number, remedies, suggests_keywords
from ..refusals import Change, less, to
from .circuit_breaker.windows import ROUNDING
from .latency import LatencySketch

__all__ = ["RENAMED", "HedgeRefusal", "HedgeShare", "Hedging", "HedgingSettings", "HedgingSnapshot"]

_BURST = 5.0  # hedges
# A quantile is exact to 10 %. Below the real one, hedges would be sent for ordinary latencies.
_MARGIN = 1 / 0.9


RENAMED = remedies(
    {
        "it is called delay": "after hedging_delay wait seconds",
        "it is called quantile, such as 0.95": "percentile q",
        "it is called max_hedges": "max_hedged_attempts max_attempts hedges",
        "it is called max_share, such as 0.05": "budget max_ratio ratio",
        "set quantile, by which the delay is learned": "delay_generator",
        "pass on_event to HttpServiceClient, or to ResiliencePipeline": "on_hedging",
    }
)
"""What the settings are called elsewhere."""


@suggests_keywords(RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class HedgingSettings:
    """When a request is sent a second time.

    delay: seconds after which it is; None to learn the delay.
    quantile: learn it: so large a share of the responses comes sooner, 0.5 to 0.999. None for 0.95, unless `delay` is set.
    max_hedges: requests beside the first one, each a delay after the one before, 1 or more.
    max_share: hedges for each call in the long run, above 0, at most 1. For a moment there may be 5 more.
    min_delay: seconds that a learned delay has at least: what is quicker is not worth a second request.
    min_calls: as long as fewer latencies are known, there is no learned delay, and nothing is hedged.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    delay: float | None = None
    quantile: float | None = None
    max_hedges: int = 1
    max_share: float = 0.05
    min_delay: float = 0.005
    min_calls: int = 20

    def __post_init__(self) -> None:
        check_duration("delay", self.delay, no_limit="use None to learn it")
        if self.quantile is not None:
            check_number("quantile", self.quantile, least=0.5, most=0.999)
            if self.delay is not None:
                raise ConfigurationError(
                    f"delay={self.delay!r} and quantile={self.quantile!r} are both set; "
                    "set delay for a fixed delay, or quantile to learn it"
                )
        elif self.delay is None:
            object.__setattr__(self, "quantile", 0.95)
        check_count("max_hedges", self.max_hedges)
        check_number("max_share", self.max_share, least=0.001, most=1)
        check_duration("min_delay", self.min_delay, optional=False)
        check_count("min_calls", self.min_calls)


class HedgingSnapshot(NamedTuple):
    """What a policy knows and has done.

    delay: seconds, as it is now; None while too little is known.   calls: that could have been hedged.
    hedges: that were sent.   available: how many could be sent now.
    """

    delay: float | None
    calls: int
    hedges: int
    available: int


class HedgeShare:
    """The right to one hedge. `refund()` it when the hedge was not sent after all."""

    __slots__ = ("_hedging", "_is_refunded")

    def __init__(self, hedging: Hedging) -> None:
        self._hedging = hedging
        self._is_refunded = False

    def refund(self) -> None:
        """It was not sent. A second time does nothing."""
        hedging = self._hedging
        with hedging._lock:
            if not self._is_refunded:
                self._is_refunded = True
                hedging._hedges -= 1
                hedging._available = min(_BURST, hedging._available + 1)


class Hedging:
    """What is known of one service, and how many hedges its calls may have.

    clock: monotonic seconds.   lock: makes it safe among threads.
    """

    __slots__ = ("_available", "_calls", "_clock", "_hedges", "_latencies", "_lock", "settings")

    def __init__(
        self, settings: HedgingSettings, *, clock: Callable[[], float], lock: AbstractContextManager[Any]
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = lock
        self._latencies: LatencySketch | None = None
        self.reset_after_fork()
        self.reconfigure(settings)

    def reset_after_fork(self) -> None:
        """In a forked child: the parent sends its hedges itself. The latencies are the same service's."""
        self._calls = self._hedges = 0
        self._available = _BURST

    def reconfigure(self, settings: HedgingSettings) -> None:
        """Take new settings. What was learned and counted stays."""
        with self._lock:
            self.settings = settings
            if settings.delay is not None:
                self._latencies = None
            elif self._latencies is None:
                self._latencies = LatencySketch(clock=self._clock, lock=self._lock)

    def delay(self) -> float | None:
        """Seconds after which a hedge is sent; None while too little is known."""
        settings, latencies = self.settings, self._latencies
        if latencies is None:
            return settings.delay
        learned = latencies.quantile(settings.quantile or 0.95, least=settings.min_calls)
        return None if learned is None else max(settings.min_delay, learned * _MARGIN)

    def record_call(self) -> None:
        """A call begins that may be hedged."""
        with self._lock:
            self._calls += 1
            self._available = min(_BURST, self._available + self.settings.max_share)

    def try_hedge(self) -> HedgeShare | None:
        """The right to one more request; None if there have been too many for the number of calls."""
        with self._lock:
            if self._available < 1 - ROUNDING:
                return None
            self._available = max(0.0, self._available - 1)
            self._hedges += 1
            return HedgeShare(self)

    @property
    def shortfall(self) -> float:
        """What the share lacks for one more hedge; 0.0 for nothing."""
        with self._lock:
            missing = 1 - self._available
            return missing if missing > ROUNDING else 0.0

    def record(self, seconds: float, *, is_cut: bool = False) -> None:
        """A request took so long.   is_cut: at least so long: it was ended before its response came."""
        latencies = self._latencies
        if latencies is not None:
            latencies.record(seconds, is_cut=is_cut)

    def snapshot(self) -> HedgingSnapshot:
        """The delay and the counts."""
        delay = self.delay()
        with self._lock:
            return HedgingSnapshot(delay, self._calls, self._hedges, int(self._available + ROUNDING))

    def __repr__(self) -> str:
        return f"<Hedging {self._hedges} of {self._calls} calls>"


class HedgeRefusal(NamedTuple):
    """Why there was no hedge.

    obstacle: what spoke against it, such as that the request is not safe to repeat; "" for nothing.
    share, budget: what the share of hedges and the retry budget lack for one more.   has_thread: there was one for it.
    """

    obstacle: str = ""
    share: float = 0.0
    budget: float = 0.0
    has_thread: bool = True

    def objection(self) -> str | None:
        """See `core.refusals.Decision`."""
        if self.obstacle:
            return self.obstacle
        if self.share > 0:
            return "too many hedges"
        if self.budget > 0:
            return "the retry budget is spent"
        return None if self.has_thread else "no thread is free"

    def changes(self) -> Sequence[Change]:
        """See `core.refusals.Decision`."""
        return _CHANGES if not self.obstacle or "safe" in self.obstacle else ()

    def consequence(self) -> str:
        """See `core.refusals.Decision`."""
        return "hedged"


_CHANGES = (
    to("idempotent=True (or an Idempotency-Key)", obstacle=""),
    less("{} more in the share of hedges, which max_share adds for each call", "share"),
    less("{} more in the retry budget", "budget"),
    to("a free thread", has_thread=True),
)
