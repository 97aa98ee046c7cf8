"""Random numbers that no seed decides: for the jitter of waits, and for chance."""

from __future__ import annotations

from random import SystemRandom

__all__ = ["unseeded_random"]

_SYSTEM = SystemRandom()


def unseeded_random() -> float:
    """A float in [0, 1) from the operating system, in about half a microsecond.

    Not from `random.random`: many programs seed that, often with one number in all of their processes, and the retries of
    all would come back at the same instants. It would also take numbers from a sequence that the program wants to see again.
    """
    return _SYSTEM.random()
