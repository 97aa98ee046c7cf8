"""The output: a line for each mutant, a diff of each that was not noticed, and a table of the areas."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from .judging import Outcome, Verdict
from .points import Mutant
from .project import Project, area_of

__all__ = ["areas_below", "diff", "line", "survivor", "table"]

_COUNTED = (Outcome.NOTICED, Outcome.SURVIVED, Outcome.HUNG)


def line(verdict: Verdict) -> str:
    """For the moment in which it is judged."""
    why = verdict.by or f"{len(verdict.tried)} tests passed{', and there are more' if verdict.is_cut else ''}"
    return f"{verdict.outcome.value:<11}{verdict.seconds:6.1f} s  {verdict.mutant}  {verdict.mutant.operator}  {why}"


def survivor(verdict: Verdict, project: Project) -> str:
    """The mutant that was not noticed, as a diff, and how to try it again."""
    mutant = verdict.mutant
    if verdict.outcome is Outcome.HUNG:
        why = f"hung in {verdict.by}"
    elif not verdict.tried:
        why = "no test executes it"
    elif verdict.is_cut:
        why = f"{len(verdict.tried)} tests passed, of more that may notice it"
    else:
        why = f"all {len(verdict.tried)} tests that may notice it passed"
    where = mutant.function or "the top level"
    return f"{mutant} in {where}, {mutant.operator}: {why}\n{diff(mutant, project)}  tox -e mutants -- --only {mutant}\n"


def diff(mutant: Mutant, project: Project) -> str:
    source = project.sources[mutant.file]
    old, new = (text.decode().splitlines(keepends=True) for text in (source, mutant.apply(source)))
    path = f"{project.package}/{mutant.file}"
    return "".join(difflib.unified_diff(old, new, path, path, n=2))


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Areas and counts. Those out of time are not in it."""
    yield f"{'area':<32}{'noticed':>9}{'survived':>9}{'hung':>6}{'share':>9}"
    rows = _counts(verdicts)
    for area, counts in [*sorted(rows.items()), ("all", sum(rows.values(), Counter()))]:
        numbers = [counts[outcome] for outcome in _COUNTED]
        yield f"{area:<32}{numbers[0]:>9}{numbers[1]:>9}{numbers[2]:>6}{_share(counts):>9.1%}"


def areas_below(least: float, verdicts: Sequence[Verdict]) -> list[str]:
    """The areas where a smaller share was noticed."""
    return [area for area, counts in sorted(_counts(verdicts).items()) if _share(counts) < least]


def _counts(verdicts: Sequence[Verdict]) -> dict[str, Counter[Outcome]]:
    counts: dict[str, Counter[Outcome]] = defaultdict(Counter)
    for verdict in verdicts:
        if verdict.outcome in _COUNTED:
            counts[area_of(verdict.mutant.file)][verdict.outcome] += 1
    return counts


def _share(counts: Counter[Outcome]) -> float:
    return counts[Outcome.NOTICED] / counts.total() if counts.total() else 1.0
