"""Measures how long a block took, for bounds from both sides.

An upper bound alone does not notice a missing wait, and a generous one does not notice a wait that is a second too
long. So the time for which the machine stood still is subtracted (`metronome.py`), and the bounds may be tight.
"""

from __future__ import annotations

import time

from kit.metronome import Metronome

__all__ = ["EARLY", "LATE", "Stopwatch"]

LATE = 0.6  # seconds by which a wait may end too late: much less than a mistake of one second

EARLY = 0.02  # seconds by which event loops and sockets may wake too early


class Stopwatch:
    """Measures a `with` block.

    seconds: how long it took.   at_work: the same, without the time for which the machine stood still.
    """

    seconds = 0.0
    at_work = 0.0

    def __enter__(self) -> Stopwatch:
        self._metronome = Metronome().__enter__()
        self._started = time.monotonic()
        return self

    def __exit__(self, *about: object) -> None:
        ended = time.monotonic()
        self._metronome.__exit__()
        self.seconds = ended - self._started
        self.at_work = self.seconds - self._metronome.stood_still(self._started, ended)

    def check_took(self, seconds: float, late: float = LATE) -> None:
        """Fails the test unless the block took this many seconds: not less, and not much more."""
        assert self.seconds >= seconds - EARLY, f"{self} is less than {seconds:g} s"
        assert self.at_work <= seconds + late, f"{self} is more than {seconds:g} s"

    def __repr__(self) -> str:
        return f"{self.seconds:.3f} s ({self.at_work:.3f} s without stalls)"
