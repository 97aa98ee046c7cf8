"""The command: `python -m mutants`, with `tests` on the path. See the package's docstring."""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import __doc__ as about
from .equivalents import EQUIVALENTS, Equivalent
from .judging import Outcome, Verdict, judge
from .likely import Likely
from .points import Mutant, is_sound
from .process import Place
from .project import Project
from .records import Record, load, record, runs_for
from .report import areas_below, diff, line, survivor, table
from .sampling import drawn, named, stale
from .swapping import swapped
from .workers import Workers

CHECKOUT = Project(Path(__file__).resolve().parents[2], "http_service_client")


def main(
    arguments: Sequence[str] | None = None,
    project: Project = CHECKOUT,
    equivalents: Sequence[Equivalent] = EQUIVALENTS,
) -> int:
    """Try mutants and report; 1 if too few of them were noticed in an area, else 0."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.swap and sys.version_info < (3, 12):
        parser.error("--swap needs Python 3.12 or later")
    for entry in stale(project, equivalents):
        print(f"equivalents.py: no such mutant any more: {entry.file} {entry.function}: {entry.before}")
    if chosen.only:
        try:
            mutants = [mutant for name in chosen.only for mutant in named(project, name)]
        except LookupError as error:
            parser.error(str(error))
    else:
        seed = random.randrange(10_000) if chosen.seed is None else chosen.seed
        mutants = drawn(project, chosen.area, seed, chosen.sample, equivalents)
        print(f"{len(mutants)} mutants, --seed {seed}", flush=True)
    if chosen.list:
        for mutant in mutants:
            print(f"{mutant}  {mutant.operator}  {mutant.before}  →  {mutant.after}")
        return 0

    patience = math.inf if chosen.only else chosen.patience
    ends_at = time.monotonic() + chosen.minutes * 60
    if chosen.swap:
        verdicts = by_swapping(mutants, project, chosen, patience, ends_at)
    else:
        project.forget_old_records()
        with project.copies(chosen.jobs) as folders, Workers(project.package, folders) as workers:
            trial = Trial(project, workers, chosen.tests, patience, ends_at)
            verdicts = trial.by_likely_tests(mutants)
            if not chosen.quick:
                verdicts = trial.by_all_tests(verdicts)
    for verdict in sorted(verdicts, key=lambda verdict: (verdict.mutant.file, verdict.mutant.line)):
        if verdict.outcome in (Outcome.SURVIVED, Outcome.HUNG):
            print(f"\n{survivor(verdict, project)}", end="")
        elif chosen.only:
            print(f"\n{diff(verdict.mutant, project)}", end="")
    print("", *table(verdicts), sep="\n")
    below = areas_below(chosen.least, verdicts)
    if below:
        print(f"fewer than {chosen.least:.1%} noticed: {', '.join(below)}")
    return 1 if below else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mutants", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add: Callable[..., Any] = parser.add_argument
    many = {"action": "append", "default": []}
    add("--area", metavar="FOLDER", **many, help="a room of the package, or a file; repeatable (all)")
    add("--seed", metavar="N", type=int, help="draw this sample again")
    add("--sample", metavar="K", type=int, help="at most so many mutants of each area")
    add("--minutes", metavar="M", type=float, default=10.0, help="try no more mutants then (10)")
    add("--jobs", metavar="N", type=int, default=2, help="mutants side by side (2)")
    add(
        "--patience",
        metavar="S",
        type=float,
        default=60.0,
        help="seconds of tests until a mutant has survived (60)",
    )
    add("--least", metavar="SHARE", type=float, default=0.98, help="to be noticed in every area (0.98)")
    add("--only", metavar="FILE[:LINE[:N]]", **many, help="replay these mutants, with all tests; repeatable")
    add("--quick", action="store_true", help="only the likely tests, or those of --tests; some more survive")
    add("--tests", metavar="PATH", **many, help="a folder or module of tests to judge by; repeatable (all)")
    add("--swap", action="store_true", help="only mutants of functions, some ten a second: see `swapping`")
    add("--list", action="store_true", help="show the mutants, and try none")
    return parser


def by_swapping(
    mutants: Sequence[Mutant], project: Project, chosen: argparse.Namespace, patience: float, ends_at: float
) -> list[Verdict]:
    """Those of functions, by the tests that were chosen, or those of the folders that mirror theirs."""
    mutants = [mutant for mutant in mutants if not mutant.at_import]
    likely = Likely(project)
    verdicts = swapped(
        project,
        mutants,
        chosen.tests or sorted({likely.folder_of(mutant.file) for mutant in mutants}),
        jobs=chosen.jobs,
        patience=patience,
        ends_at=ends_at,
        report=lambda verdict: print(line(verdict), flush=True),
    )
    judged = {verdict.mutant for verdict in verdicts}
    left = [str(mutant) for mutant in mutants if mutant not in judged]
    if left:
        print("not swapped; try them without --swap:", *left)
    return verdicts


class Trial:
    """Judges mutants in two rounds: by the tests that are likely to notice, then the survivors by all others."""

    def __init__(
        self, project: Project, workers: Workers, wanted: Sequence[str], patience: float, ends_at: float
    ) -> None:
        self._project = project
        self._workers = workers
        self._patience = patience
        self._ends_at = ends_at
        self._is_stopped = False
        self._is_chosen = bool(wanted)
        self._modules = [
            module
            for module in project.test_modules
            if not wanted or any(f"{module}/".startswith(f"{path.rstrip('/')}/") for path in wanted)
        ]

    def by_likely_tests(self, mutants: Sequence[Mutant]) -> list[Verdict]:
        """The first round. It needs to know of a module only how long its tests take, and which fail anyhow."""
        likely = Likely(self._project)

        def work(place: Place, mutant: Mutant) -> Verdict | None:
            if time.monotonic() > self._ends_at or not is_sound(mutant, self._project.sources[mutant.file]):
                return None
            modules = [module for module in likely.tests_of(mutant.file) if module in self._modules]
            if self._is_chosen:
                modules = list(dict.fromkeys([*modules, *self._modules]))
            runs = (self._record(place, module, lines=False).run_of_all() for module in modules)
            return judge(place, mutant, runs, self._patience, self._ends_at)

        return self._verdicts(work, mutants)

    def by_all_tests(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The second round, for those that the first did not notice. It needs records of lines."""
        missed = {
            verdict.mutant: verdict
            for verdict in verdicts
            if verdict.outcome in (Outcome.SURVIVED, Outcome.HUNG)
        }
        if not missed or self._is_stopped:
            return list(verdicts)
        records = self._records_of_lines()

        def work(place: Place, mutant: Mutant) -> Verdict:
            first = missed[mutant]
            runs = [run.without(first.tried) for run in runs_for(mutant, records)]
            second = judge(place, mutant, [run for run in runs if run.tests], self._patience, math.inf)
            if first.outcome is Outcome.HUNG and second.outcome is Outcome.SURVIVED:
                return first
            return replace(second, tried=first.tried | second.tried)

        print(f"all tests, for {len(missed)} that the likely ones did not notice", flush=True)
        return [
            *(verdict for verdict in verdicts if verdict.mutant not in missed),
            *self._verdicts(work, list(missed)),
        ]

    def _verdicts(
        self, work: Callable[[Place, Mutant], Verdict | None], mutants: Sequence[Mutant]
    ) -> list[Verdict]:
        verdicts: list[Verdict] = []
        try:
            for verdict in filter(None, self._workers.each(work, mutants)):
                print(line(verdict), flush=True)
                verdicts.append(verdict)
        except KeyboardInterrupt:
            self._is_stopped = True
            print("stopped; so far:")
        return verdicts

    def _record(self, place: Place, module: str, *, lines: bool) -> Record:
        """What is known of a module of tests; recorded now where nothing is, or only of an old state."""
        path = self._project.record_path(module, lines=lines)
        if not path.exists():
            record(place, module, path, lines=lines)
        return load(path)

    def _records_of_lines(self) -> list[Record]:
        kept = [self._project.record_path(module, lines=True) for module in self._modules]
        missing = sum(not path.exists() for path in kept)
        if missing:
            print(f"recording what the tests of {missing} modules execute", flush=True)

        def work(place: Place, module: str) -> Record:
            return self._record(place, module, lines=True)

        records = list(self._workers.each(work, self._modules))
        for name in (name for known in records for name in known.failing):
            print(f"not used, since it fails without a mutant: {name}")
        return records


if __name__ == "__main__":
    sys.exit(main())
