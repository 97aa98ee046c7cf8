"""How long to wait before a retry: sequences of delays, spread by jitter.

Theory. After a failure many clients wait for the same server. Growing delays take the load off it;
*jitter* keeps the clients from coming back together (M. Brooker, "Exponential Backoff And Jitter",
AWS Architecture Blog, 2015). Where the delay of a sequence is d, capped at `max_delay`, the wait is

    jitter    wait                    for
    "full"    uniform(0, d)           the default: spreads the most, and loads the server the least
    "equal"   d/2 + uniform(0, d/2)   when some of the wait must be certain
    "none"    d                       when only one client calls

**Cap first, jitter after.** The other way round most clients wake at exactly the cap (54 to 97 % of
them, measured with a popular library's formula), in step again.

The usual strategy is here, the others are in `other_backoffs`. The random source is an argument. A strategy is a setting:
it holds no position, and each call to `delays` starts a new sequence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from ....errors import ConfigurationError
from ...checks import check_number, remedies, suggests_keywords

__all__ = [
    "ENDLESS",
    "BackoffStrategy",
    "ExponentialBackoff",
    "Jitter",
    "WaitSeries",
    "Waits",
    "check_jitter",
    "check_seconds",
    "endless_waits",
    "spread_waits",
]


@runtime_checkable
class BackoffStrategy(Protocol):
    """Where a retry policy gets its waits from. Any object with this method will do."""

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """A fresh sequence of waits in seconds, the n-th before the n-th retry. After its end, the last wait repeats.

        random: gives floats in [0, 1).
        """
        ...


def endless_waits(strategy: BackoffStrategy, random: Callable[[], float]) -> Iterator[float]:
    """The strategy's waits, without end: after the last one, it repeats, as in tenacity's `wait_chain`.

    Raises ConfigurationError for a run without any wait, or for one that is no number of seconds, 0 or more.
    """
    delays = strategy.delays(random)
    return delays if type(strategy) in ENDLESS else _checked_and_repeated(strategy, delays)


def _checked_and_repeated(strategy: BackoffStrategy, delays: Iterator[float]) -> Iterator[float]:
    wait = None
    for wait in delays:
        check_number(f"a delay of {type(strategy).__name__}", wait, unit="of seconds ")
        yield wait
    if wait is None:
        raise ConfigurationError(
            f"{type(strategy).__name__} yielded no delay; delays() must yield at least one"
        )
    yield from itertools.repeat(wait)


class Waits:
    """The waits of one call. Those after throttling may have a strategy of their own, and then count by themselves.

    throttled: the strategy after throttling; None for the same as otherwise.   random: gives floats in [0, 1).
    """

    __slots__ = ("_random", "_series", "_strategies")

    def __init__(
        self, strategy: BackoffStrategy, throttled: BackoffStrategy | None, random: Callable[[], float]
    ) -> None:
        self._strategies = (strategy, throttled)
        self._random = random
        self._series: list[WaitSeries | None] = [None, None]

    def series(self, *, is_throttled: bool) -> WaitSeries:
        """The waits to take the next one from. None of them is taken yet for the decision that follows."""
        which = 1 if is_throttled and self._strategies[1] is not None else 0
        found = self._series[which]
        if found is None:
            strategy = self._strategies[which]
            assert strategy is not None
            found = self._series[which] = WaitSeries(strategy, self._random)
        found.taken = None
        return found


class WaitSeries(Iterator[float]):
    """The waits of one strategy in one call.   taken: the one that the present decision has taken, or None."""

    __slots__ = ("_count", "_random", "_strategy", "_waits", "taken")

    def __init__(self, strategy: BackoffStrategy, random: Callable[[], float]) -> None:
        self._strategy = strategy
        self._random = random
        self._waits: Iterator[float] | None = None
        self._count = 0
        self.taken: float | None = None

    def __next__(self) -> float:
        if self._waits is None:
            self._waits = endless_waits(self._strategy, self._random)
        self._count += 1
        self.taken = wait = next(self._waits)
        return wait

    def longest(self) -> float | None:
        """The wait that was taken, or the longest that the next one may be; None if nobody knows.

        For an explanation. It draws no random number, which would change the waits of other calls of a simulation,
        and runs no strategy of a user's own.
        """
        if self.taken is not None or type(self._strategy) not in ENDLESS:
            return self.taken
        return next(itertools.islice(self._strategy.delays(lambda: 1.0), self._count, None))


class Jitter(str, Enum):
    """How a delay is spread at random. Strings are accepted, too."""

    FULL = "full"  # from zero to the whole delay
    EQUAL = "equal"  # half of the delay, plus a random part of the other half
    NONE = "none"  # exactly the delay

    def spread(self, delay: float, random: float) -> float:
        """The wait in seconds for a delay; `random` is in [0, 1).

        >>> [jitter.spread(8.0, random=0.25) for jitter in (Jitter.FULL, Jitter.EQUAL, Jitter.NONE)]
        [2.0, 5.0, 8.0]
        """
        if self is Jitter.FULL:
            return delay * random
        if self is Jitter.EQUAL:
            return delay / 2 + delay / 2 * random
        return delay


@suggests_keywords(
    remedies(
        {
            "it is called initial_delay": "base_delay initial initial_interval min min_delay min_timeout"
            " retry_wait_min",
            "it is called max_delay": "backoff_limit cap max max_interval max_timeout retry_wait_max",
            "it is called backoff_factor": "exp_base factor multiplier",
            "it is called initial_delay, or backoff_factor if the waits are its powers": "base",
            "write jitter='full', 'equal' or 'none'": "exponential_random_backoff randomization_factor randomize"
            " randomized_wait use_jitter",
            "write DecorrelatedBackoff(…)": "decorrelated",
        }
    )
)
@dataclass(frozen=True)
class ExponentialBackoff:
    """Each delay is `backoff_factor` times the one before.

        d(n) = min(max_delay, initial_delay * backoff_factor ** (n - 1))

    initial_delay: seconds before the first retry, 0 or more; 0 makes every retry immediate.
    max_delay: seconds, 0 or more; no wait is longer.
    backoff_factor: 1 or more.
    jitter: "full", "equal" or "none".

    >>> waits = ExponentialBackoff(1.0, max_delay=6.0, backoff_factor=2.0, jitter="none").delays(lambda: 0.5)
    >>> list(itertools.islice(waits, 5))
    [1.0, 2.0, 4.0, 6.0, 6.0]
    """

    initial_delay: float = 1.0
    max_delay: float = 60.0
    backoff_factor: float = 2.0
    jitter: Jitter | str = Jitter.FULL

    def __post_init__(self) -> None:
        check_seconds(self, "initial_delay", "max_delay")
        check_number("backoff_factor", self.backoff_factor, least=1)
        check_jitter(self)
        if self.initial_delay and math.isinf(self.max_delay / self.initial_delay * self.backoff_factor):
            raise ConfigurationError(
                f"initial_delay must be 0, or larger in proportion to max_delay, not {self.initial_delay!r}"
            )

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """See `BackoffStrategy.delays`."""
        return spread_waits(self._growing(), self.max_delay, self.jitter, random)

    def _growing(self) -> Iterator[float]:
        longest = 0.0 if self.initial_delay == 0 else self.max_delay
        for n in itertools.count():
            delay = self.initial_delay * self.backoff_factor**n
            if delay >= longest:  # before the power overflows
                break
            yield delay
        yield from itertools.repeat(longest)


ENDLESS: set[type] = {ExponentialBackoff}
"""Strategies whose waits are numbers, and have no end."""


def spread_waits(
    delays: Iterable[float], max_delay: float, jitter: Jitter | str, random: Callable[[], float]
) -> Iterator[float]:
    assert isinstance(jitter, Jitter)  # since `check_jitter`
    spread = jitter.spread
    return (spread(min(delay, max_delay), random()) for delay in delays)


def check_seconds(strategy: Any, *names: str) -> None:
    for name in names:
        check_number(name, getattr(strategy, name), unit="of seconds ")


def check_jitter(strategy: Any) -> None:
    try:
        object.__setattr__(strategy, "jitter", Jitter(strategy.jitter))
    except ValueError:
        raise ConfigurationError(
            f'jitter must be "full", "equal" or "none", not {strategy.jitter!r}'
        ) from None
