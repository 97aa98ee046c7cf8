"""Mutants that behave as the original does, so that no test can notice them; each with the reason.

An entry names the file, the function, and the line before and after, so it still holds when lines move. The tool
reports entries that no longer match. "Not worth a test" is not a reason: such a mutant has survived.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EQUIVALENTS", "Equivalent"]


class Equivalent(NamedTuple):
    """One mutant, and why it behaves as the original does. See `points.Mutant` for the first four."""

    file: str
    function: str
    before: str
    after: str
    because: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As `Mutant.key`."""
        return self[:4]


EQUIVALENTS: list[Equivalent] = []
