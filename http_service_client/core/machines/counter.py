"""A number that many threads may advance without a lock."""

from __future__ import annotations

import itertools

__all__ = ["Counter"]


class Counter:
    """Counts events. Advancing an iterator is atomic, with the GIL and without it.

    advance: count one more; no lock is needed. It is the iterator's own step, since some calls count several times.
    """

    __slots__ = ("_reads", "advance")

    def __init__(self) -> None:
        self.advance = itertools.count().__next__
        self._reads = 0

    def read(self) -> int:
        """How many were counted. Readers need a lock among themselves."""
        value = self.advance() - self._reads
        self._reads += 1  # reading advanced it
        return value
