"""How long tests take and which lines they execute, and so which of them can notice a mutant, the likeliest first.

Recorded one module of tests at a time, and kept until the package, a helper or the module changes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .points import Mutant
from .process import Place

__all__ = ["Record", "Run", "load", "record", "runs_for"]

_AT_MOST = 900.0  # seconds that a module's tests may take while they are recorded
_COMPLETE = (0, 1, 5)  # exit codes of pytest: all passed, some failed, none was found
_EVERY = -1  # see `plugin.Recorder`
_STARTUP = 1.0  # seconds that pytest takes beside the tests


@dataclass(frozen=True)
class Record:
    """The tests of one module, and what they execute. Sets of tests are integers: see `plugin.Recorder`.

    tests: names and seconds.   lines: by file of the package and line, the tests that execute it.
    forking: tests that fork: what the child executes is not seen, so it may be any line.
    failing: tests that fail without a mutant, and so show nothing.
    """

    module: str
    tests: dict[str, float]
    lines: dict[str, dict[int, int]]
    forking: int
    failing: list[str]

    def run_of_all(self) -> Run:
        """All that can be used, whatever they execute."""
        return self.run_of(_EVERY, "")

    def run_of(self, tests: int, file: str) -> Run:
        """Those of the set that can be used, and how promising they are for a mutant of this file."""
        chosen = {name: seconds for n, (name, seconds) in enumerate(self.tests.items()) if tests >> n & 1}
        for name in self.failing:
            chosen.pop(name, None)
        reached = sum(found != _EVERY and bool(found & tests) for found in self.lines.get(file, {}).values())
        return Run(self.module, chosen, reached / (sum(chosen.values()) + _STARTUP))


@dataclass(frozen=True)
class Run:
    """Tests of one module that may notice a mutant.

    tests: names and seconds.   promise: lines of the mutated file that they execute in a second. The tests of a file
        execute much of it in little time; others execute a few lines of it on their way, and notice less.
    """

    module: str
    tests: dict[str, float]
    promise: float

    def without(self, names: Collection[str]) -> Run:
        return replace(self, tests={name: took for name, took in self.tests.items() if name not in names})


def runs_for(mutant: Mutant, records: Iterable[Record]) -> list[Run]:
    """The tests that can notice the mutant, module by module.

    For code in functions, those that execute its lines. For code that runs at import, all tests of the modules
    that import it: a constant is read in many places. Those that fork come last, whatever they execute.
    """
    runs, last = [], []
    for known in records:
        found, tests = known.lines.get(mutant.file, {}), 0
        for line in mutant.lines:
            tests |= found.get(line, 0)
        if tests and mutant.at_import:
            tests = _EVERY
        runs.append(known.run_of(tests, mutant.file))
        last.append(known.run_of(known.forking & ~tests, mutant.file))
    runs.sort(key=lambda run: -run.promise)
    return [run for run in [*runs, *last] if run.tests]


def record(place: Place, module: str, path: Path, *, lines: bool) -> None:
    """Run the tests of a module, and write to this path how long they take, and, with `lines`, what they execute."""
    path.parent.mkdir(exist_ok=True)
    first = place.run([module], _AT_MOST, record=place.folder / "record", lines=lines)
    if first.code not in _COMPLETE:
        raise RuntimeError(f"{module} could not be recorded:\n{place.output}")
    failing = first.failed
    if failing:
        # Once more, without the tracer, which takes time and memory: a test may be about these.
        second = place.run([module], _AT_MOST, names=failing)
        failing = second.failed if second.code in _COMPLETE else failing
    fields = json.loads((place.folder / "record").read_text(encoding="utf-8"))
    # Under another name first: another place may look for it meanwhile.
    unfinished = place.folder / path.name
    unfinished.write_text(json.dumps({"module": module, **fields, "failing": failing}), encoding="utf-8")
    shutil.move(unfinished, path)


def load(path: Path) -> Record:
    """What `record` wrote."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    lines = {
        file: {int(line): int(tests, 16) for line, tests in found.items()}
        for file, found in fields["lines"].items()
    }
    tests, forking = dict(fields["tests"]), int(fields["forking"], 16)
    return Record(fields["module"], tests, lines, forking, fields["failing"])
