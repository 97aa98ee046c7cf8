"""The command: `python -m mutants`, with `tests` on the path. See the package's docstring."""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import __doc__ as about
from .equivalents import EQUIVALENTS, Equivalent
from .judging import Outcome, Verdict, judge
from .points import Mutant, is_sound
from .process import Place
from .project import Project
from .records import Record, load, record, runs_for
from .report import areas_below, diff, line, survivor, table
from .sampling import drawn, named, stale
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

    with project.copies(chosen.jobs) as folders, Workers(project.package, folders) as workers:
        records = _records(project, workers, chosen.tests)
        patience = math.inf if chosen.only else chosen.patience
        ends_at = time.monotonic() + chosen.minutes * 60
        verdicts = _verdicts(project, workers, mutants, records, patience, ends_at)
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
    add("--minutes", metavar="M", type=float, default=10.0, help="stop then; recording comes before (10)")
    add("--jobs", metavar="N", type=int, default=2, help="mutants side by side (2)")
    add(
        "--patience",
        metavar="S",
        type=float,
        default=60.0,
        help="seconds of tests until a mutant has survived (60)",
    )
    add("--least", metavar="SHARE", type=float, default=0.98, help="to be noticed in every area (0.98)")
    add("--only", metavar="FILE:LINE[:N]", **many, help="replay these mutants, with all tests; repeatable")
    add("--tests", metavar="PATH", **many, help="a folder or module of tests to judge by; repeatable (all)")
    add("--list", action="store_true", help="show the mutants, and try none")
    return parser


def _records(project: Project, workers: Workers, wanted: Sequence[str]) -> list[Record]:
    """What the tests execute; recorded now where there is no record, or an old one."""
    modules = [
        module
        for module in project.test_modules
        if not wanted or any(f"{module}/".startswith(f"{path.rstrip('/')}/") for path in wanted)
    ]
    kept = {module: project.record_path(module) for module in modules}
    missing = [module for module in modules if not kept[module].exists()]
    if missing:
        print(f"recording what the tests of {len(missing)} modules execute", flush=True)

    def work(place: Place, module: str) -> Record:
        record(place, module, kept[module])
        return load(kept[module])

    for known in workers.each(work, missing):
        print(f"recorded {sum(known.tests.values()):6.1f} s  {known.module}", flush=True)
    if not wanted:
        project.forget_all_but(kept.values())
    records = [load(path) for path in kept.values()]
    for name in (name for known in records for name in known.failing):
        print(f"not used, since it fails without a mutant: {name}")
    return records


def _verdicts(
    project: Project,
    workers: Workers,
    mutants: Sequence[Mutant],
    records: Sequence[Record],
    patience: float,
    ends_at: float,
) -> list[Verdict]:
    def work(place: Place, mutant: Mutant) -> Verdict | None:
        if not is_sound(mutant, project.sources[mutant.file]):
            return None
        return judge(place, mutant, runs_for(mutant, records), patience, ends_at)

    verdicts: list[Verdict] = []
    try:
        for verdict in filter(None, workers.each(work, mutants)):
            print(line(verdict), flush=True)
            verdicts.append(verdict)
            if time.monotonic() > ends_at:
                print(f"the time is over after {len(verdicts)} of {len(mutants)} mutants")
                break
    except KeyboardInterrupt:
        print("stopped; so far:")
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
