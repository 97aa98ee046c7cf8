"""Which mutants to try, and in which order: drawn by seed, from each area in turn."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import zip_longest

from .equivalents import Equivalent
from .points import Mutant, mutants_of
from .project import Project, area_of

__all__ = ["drawn", "named", "stale"]


def drawn(
    project: Project, areas: Collection[str], seed: int, sample: int | None, equivalents: Iterable[Equivalent]
) -> list[Mutant]:
    """The mutants of these areas in random order, one of each area in turn.

    In turn, so that a run that ends early has tried as many mutants of one area as of another.

    areas: folders or files of the package; all of it if empty.   sample: at most so many of each area, or None.
    equivalents: mutants to leave out.
    """
    known = {equivalent.key for equivalent in equivalents}
    by_area: dict[str, list[Mutant]] = defaultdict(list)
    for file, source in project.sources.items():
        if not areas or any(area in (file, area_of(file)) or file.startswith(f"{area}/") for area in areas):
            found = mutants_of(file, source)
            by_area[area_of(file)] += [mutant for mutant in found if mutant.key not in known]
    for area, mutants in by_area.items():
        # A generator for each area: a sample is the same whichever other areas are tried with it.
        random.Random(f"{seed} {area}").shuffle(mutants)
    columns = [mutants[:sample] for _, mutants in sorted(by_area.items())]
    return [mutant for row in zip_longest(*columns) for mutant in row if mutant is not None]


def named(project: Project, name: str) -> list[Mutant]:
    """The mutants of FILE, FILE:LINE or FILE:LINE:N. Raises LookupError if there are none."""
    file = name.partition(":")[0]
    mutants = mutants_of(file, project.sources.get(file, b""))
    found = [mutant for mutant in mutants if name in (str(mutant), f"{file}:{mutant.line}", file)]
    if not found:
        raise LookupError(f"no mutant {name!r}; paths begin below {project.package}, and --list shows all")
    return found


def stale(project: Project, equivalents: Iterable[Equivalent]) -> list[Equivalent]:
    """The entries that no longer match a mutant."""
    keys = {
        file: {mutant.key for mutant in mutants_of(file, project.sources.get(file, b""))}
        for file in {equivalent.file for equivalent in equivalents}
    }
    return [equivalent for equivalent in equivalents if equivalent.key not in keys[equivalent.file]]
