"""Further sequences of waits, beside the exponential one: imported by programs that use them. The theory is in `backoff`.

The Fibonacci numbers are those of the `backoff` package. Its import pulls in asyncio, 20 ms on its own, so it is left until
such a strategy is made; not until the first retry, since nothing is imported during a call.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...checks import suggests_keywords
from .backoff import ENDLESS, Jitter, check_jitter, check_seconds, spread_waits

__all__ = ["ConstantBackoff", "DecorrelatedBackoff", "FibonacciBackoff", "LinearBackoff"]


@suggests_keywords({})
@dataclass(frozen=True)
class LinearBackoff:
    """Each delay is `increment` longer than the one before.

        d(n) = min(max_delay, initial_delay + (n - 1) * increment)

    initial_delay, increment, max_delay: seconds, 0 or more.
    jitter: "full", "equal" or "none".

    >>> waits = LinearBackoff(1.0, increment=2.0, max_delay=6.0, jitter="none").delays(lambda: 0.5)
    >>> list(itertools.islice(waits, 5))
    [1.0, 3.0, 5.0, 6.0, 6.0]
    """

    initial_delay: float = 1.0
    increment: float = 1.0
    max_delay: float = 60.0
    jitter: Jitter | str = Jitter.FULL

    def __post_init__(self) -> None:
        check_seconds(self, "initial_delay", "increment", "max_delay")
        check_jitter(self)

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """See `BackoffStrategy.delays`."""
        growing = (self.initial_delay + n * self.increment for n in itertools.count())
        return spread_waits(growing, self.max_delay, self.jitter, random)


@suggests_keywords({})
@dataclass(frozen=True)
class ConstantBackoff:
    """Every delay is the same. With jitter "none" the wait is exactly `delay`; with "full", up to that.

    delay: seconds, 0 or more.
    jitter: "full", "equal" or "none".

    >>> list(itertools.islice(ConstantBackoff(2.5, jitter="none").delays(lambda: 0.5), 3))
    [2.5, 2.5, 2.5]
    """

    delay: float = 1.0
    jitter: Jitter | str = Jitter.FULL

    def __post_init__(self) -> None:
        check_seconds(self, "delay")
        check_jitter(self)

    @property
    def max_delay(self) -> float:
        """The longest wait in seconds, also for a Retry-After: 60, or `delay` if that is longer."""
        return max(60.0, self.delay)

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """See `BackoffStrategy.delays`."""
        return spread_waits(itertools.repeat(self.delay), self.delay, self.jitter, random)


@suggests_keywords({})
@dataclass(frozen=True)
class FibonacciBackoff:
    """Each delay is the sum of the two before: it grows by a factor of about 1.6, more gently than doubling.

        d(n) = min(max_delay, initial_delay * fib(n)),  fib = 1, 1, 2, 3, 5, 8, ...

    initial_delay, max_delay: seconds, 0 or more.
    jitter: "full", "equal" or "none".

    >>> waits = FibonacciBackoff(0.5, max_delay=2.0, jitter="none").delays(lambda: 0.5)
    >>> list(itertools.islice(waits, 6))
    [0.5, 0.5, 1.0, 1.5, 2.0, 2.0]
    """

    initial_delay: float = 1.0
    max_delay: float = 60.0
    jitter: Jitter | str = Jitter.FULL

    def __post_init__(self) -> None:
        import backoff  # noqa: F401  # now, so that the first retry need not

        check_seconds(self, "initial_delay", "max_delay")
        check_jitter(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # By its fields, so that the process that unpickles it imports the package, too.
        return type(self), (self.initial_delay, self.max_delay, self.jitter)

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """See `BackoffStrategy.delays`."""
        import backoff

        numbers = backoff.fibo(max_value=int(sys.float_info.max))  # larger ones do not fit a float
        next(numbers)  # it yields None first: it waits for a value to be sent
        return spread_waits((self.initial_delay * n for n in numbers), self.max_delay, self.jitter, random)


@suggests_keywords({})
@dataclass(frozen=True)
class DecorrelatedBackoff:
    """Each wait is drawn between the first delay and three times the wait before ("decorrelated jitter").

        w(0) = initial_delay,   w(n) = uniform(initial_delay, min(max_delay, 3 * w(n - 1)))

    AWS writes min(max_delay, uniform(initial_delay, 3 * w(n - 1))), which caps after the jitter: once
    at the cap, two thirds of the clients stay there, in step. Here too the cap comes first.

    initial_delay, max_delay: seconds, 0 or more.

    >>> list(itertools.islice(DecorrelatedBackoff(1.0, max_delay=5.0).delays(lambda: 0.5), 4))
    [2.0, 3.0, 3.0, 3.0]
    """

    initial_delay: float = 1.0
    max_delay: float = 60.0

    def __post_init__(self) -> None:
        check_seconds(self, "initial_delay", "max_delay")

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """See `BackoffStrategy.delays`."""
        shortest = wait = min(self.initial_delay, self.max_delay)
        while True:
            longest = min(self.max_delay, 3 * wait)
            wait = shortest + (longest - shortest) * random()
            yield wait


ENDLESS.update((ConstantBackoff, DecorrelatedBackoff, FibonacciBackoff, LinearBackoff))
