"""The command: `python -m benchmarks`, with `--quick` for the short form of continuous integration."""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

try:
    from .facts import facts_lines
    from .measuring import Work, take_turns
    from .page import update_page
    from .plots import write_plots
    from .report import amounts, as_json, field_lines, verdicts
    from .server import raise_file_limit, running_server
    from .targets import FIELDS, TARGETS
except ModuleNotFoundError as missing:  # a contender
    sys.exit(
        f"{missing}; `tox -e bench` installs all that is compared, and takes the same options after `--`"
    )


def main() -> int:
    """Measure and print; the exit code says whether the targets were met (in the short form, looser ones)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the short form, which fails on gross regressions only"
    )
    parser.add_argument(
        "--only", choices=[*FIELDS, "facts"], action="append", help="measure this field; may be repeated"
    )
    parser.add_argument("--rounds", type=int, help="turns of each contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="write the results into the tables of this page, and into the .json beside it; with --only, only those",
    )
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the results into this folder")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="only show where the client spends its time, function by function",
    )
    chosen = parser.parse_args()
    if chosen.profile:
        return _profile(chosen.only or ("blocking", "async"))

    raise_file_limit()
    samples = {}
    with running_server() as base:
        for name, field in FIELDS.items():
            if chosen.only and name not in chosen.only:
                continue
            rounds = chosen.rounds or (field.quick_rounds if chosen.quick else field.rounds)
            if chosen.quick and not field.quick_rounds:
                continue
            with field.enter(base) as contenders:
                turns = _compared(name, contenders) if chosen.quick else contenders
                samples[name] = take_turns(turns, rounds=rounds, repeat=field.repeat)
            print("\n".join(field_lines(name, samples[name])), flush=True)
    judged = verdicts(samples, quick=chosen.quick)
    if not chosen.quick and not chosen.only:
        judged += amounts()
    if judged:
        print(f"{'ratio, ours to theirs':<58}{'median':>8}  {'quartiles':<18} {'target'}")
        print("\n".join([*map(str, judged), ""]))
    if not chosen.quick and (not chosen.only or "facts" in chosen.only):
        print("\n".join(facts_lines()))
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(samples, judged), indent=1) + "\n")
    if chosen.page:
        update_page(chosen.page, as_json(samples, judged), is_part=bool(chosen.only))
    if chosen.plots:
        write_plots(chosen.plots, samples)
    return 0 if all(one.is_met for one in judged) else 1


def _compared(field: str, contenders: Mapping[str, Work]) -> Mapping[str, Work]:
    """Those that a target of the short form compares. The others work once, so that it is known whether they still can."""
    targets = [target for target in TARGETS if target.field == field and target.quick is not None]
    names = {name for target in targets for name in (target.ours, target.theirs)}
    for name, work in contenders.items():
        if name not in names:
            work(1)
    return {name: work for name, work in contenders.items() if name in names}


def _profile(names: Sequence[str]) -> int:
    """Show where the first contender of these fields, which is ours, spends its time."""
    with running_server() as base:
        for name in names:
            with FIELDS[name].enter(base) as contenders:
                ours, work = next(iter(contenders.items()))
                work(1)
                with cProfile.Profile() as profile:
                    work(1000)
                print(f"{FIELDS[name].title}: {ours}, 1,000 times")
                pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    return 0


if __name__ == "__main__":
    sys.exit(main())
