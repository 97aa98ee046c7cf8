"""How long something took, asserted from both sides.

An upper bound alone does not notice a wait that was left out, nor a generous one a wait that is a second too
long. So the time for which the machine stood still is taken off (`metronome.py`), and what is left may be tight.
"""

from __future__ import annotations

import time

from kit.metronome import Metronome

__all__ = ["EARLY", "LATE", "Stopwatch"]

LATE = 0.6  # seconds that a wait may end after its time: much less than any mistake of a second

EARLY = 0.02  # seconds that event loops and sockets may wake before theirs


class Stopwatch:
    """Measures a `with` block.

    seconds: that passed.   at_work: those of them in which the machine did not stand still.
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
        """Fail the test unless the block took so many seconds: not less, and not much more."""
        assert self.seconds >= seconds - EARLY, f"{self} is less than {seconds:g} s"
        assert self.at_work <= seconds + late, f"{self} is more than {seconds:g} s"

    def __repr__(self) -> str:
        return f"{self.seconds:.3f} s ({self.at_work:.3f} s without stalls)"
