"""Mutants of functions, some ten a second: the code of a function is swapped in forks of one session of pytest.

The session collects the tests. A fork runs them once, and records which of them execute which lines of the mutated
files. Then each mutant has a fork, which swaps the code of its function and runs the tests that execute its lines.
Nothing is imported or collected again, which is what takes the time elsewhere.

Left to `judging.judge`: code that runs at import, and a function whose free variables change with the mutant. What a
Python that a test starts executes is not seen, so a survivor may be noticed there. Needs Python 3.12 for
`sys.monitoring`, and a system that forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from .judging import Outcome, Verdict
from .likely import dotted
from .points import Mutant, is_sound
from .project import Project

__all__ = ["swapped"]

_ALLOWED = 3.0  # times what the tests took when they were recorded
_SPARE = 20.0  # seconds beside it
_FEW = 0.004  # seconds that pytest takes for a test beside it
_LOOK_EVERY = 0.002  # seconds, for a child that has ended
_PASSED, _FAILED, _NOT_SWAPPED, _BROKEN = 0, 1, 64, 65  # exit codes of a child

# Where code stands in its module: the name of each function around it, and its number among those of that name.
_Scope = tuple[tuple[str, int], ...]


def swapped(
    project: Project,
    mutants: Sequence[Mutant],
    tests: Sequence[str],
    *,
    jobs: int,
    patience: float,
    ends_at: float,
    report: Callable[[Verdict], None],
) -> list[Verdict]:
    """Judge those that can be swapped; the others are not among the verdicts.

    tests: folders and modules.   patience: seconds of tests after which a mutant has survived.
    ends_at: monotonic instant after which no other is tried.   report: called with each verdict.
    Raises SystemExit if the tests cannot be collected.
    """
    os.chdir(project.root)
    sys.path.insert(0, str(project.root))
    os.environ["CI"] = (
        "1"  # the same examples of property tests each time, so that an outcome can be repeated
    )
    judging = _Session(project, mutants, jobs, patience, ends_at, report)
    options = ["-q", "--capture=no", "--disable-warnings", "--assert=plain", "-o", "faulthandler_timeout=0"]
    code = pytest.main([*options, "-p", "no:cacheprovider", "-p", "no:xdist", *tests], plugins=[judging])
    if code is not pytest.ExitCode.OK:
        raise SystemExit(f"pytest could not collect {' '.join(tests)}")
    return judging.verdicts


@dataclass
class _Child:
    """A fork that judges a mutant."""

    mutant: Mutant
    tests: list[str]
    is_cut: bool
    note: Path
    begun: float
    ends_at: float


class _Session:
    """A plugin of pytest that runs what it collected in forks."""

    def __init__(
        self,
        project: Project,
        mutants: Sequence[Mutant],
        jobs: int,
        patience: float,
        ends_at: float,
        report: Callable[[Verdict], None],
    ) -> None:
        self.verdicts: list[Verdict] = []
        self._top = project.root / project.package
        self._mutants = [each for each in mutants if not each.at_import]
        self._codes = {
            file: _codes(project.sources[file], self._top / file) for file in {m.file for m in mutants}
        }
        self._sources = project.sources
        self._jobs = jobs
        self._patience = patience
        self._ends_at = ends_at
        self._report = report
        self._failed: set[str] = set()
        self._note: Path | None = None  # in a child that judges: where to name the test

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("a module of tests cannot be imported")
        self._items = {item.nodeid: item for item in session.items}
        self._functions = self._live_functions()
        with tempfile.TemporaryDirectory(prefix="swapping-") as folder:
            self._folder = Path(folder)
            self._seconds, self._tests_of = self._recorded()
            self._judge_all()
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
            if self._note is not None:
                self._note.write_text(report.nodeid, encoding="utf-8")
                os._exit(_FAILED)

    def _live_functions(self) -> dict[tuple[str, _Scope], list[FunctionType]]:
        """The functions that run the code of the mutated files; a closure may have several."""
        names = {
            (code.co_filename, code.co_qualname, code.co_firstlineno): (file, scope)
            for file, codes in self._codes.items()
            for scope, code in codes.items()
        }
        for file in self._codes:
            with suppress(ImportError):  # needs what is not installed
                importlib.import_module(dotted(self._top.name, file))  # or a test would, in a child
        found = defaultdict(list)
        gc.unfreeze()  # what `conftest` froze is not listed
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                code = each.__code__
                key = names.get((code.co_filename, code.co_qualname, code.co_firstlineno))
                if key is not None:
                    found[key].append(each)
        gc.freeze()  # a collection in a child would touch, and so copy, all of this
        return found

    # What the tests execute

    def _recorded(self) -> tuple[dict[str, float], dict[str, dict[int, list[str]]]]:
        """How long the tests take that pass, and which execute a line of a file. By as many children as there are jobs."""
        modules: dict[str, list[pytest.Item]] = defaultdict(list)
        for name, item in self._items.items():
            modules[name.partition("::")[0]].append(item)
        parts: list[list[pytest.Item]] = [[] for _ in range(self._jobs)]
        for items in sorted(modules.values(), key=len, reverse=True):
            min(parts, key=len).extend(items)
        records = [self._folder / f"record-{number}" for number in range(self._jobs)]
        children = [
            self._fork(lambda: self._record(items, path)) for items, path in zip(parts, records, strict=True)
        ]
        for child in children:
            os.waitpid(child, 0)
        seconds: dict[str, float] = {}
        tests_of: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        for entry in (line for path in records for line in path.read_text(encoding="utf-8").splitlines()):
            name, took, has_failed, lines = json.loads(entry)
            if has_failed:
                print(f"not used, since it fails without a mutant: {name}")
                continue
            seconds[name] = took
            for file, line in lines:
                tests_of[file][line].append(name)
        print(f"recorded {len(seconds)} tests, {sum(seconds.values()):.0f} s", flush=True)
        return seconds, tests_of

    def _record(self, items: Sequence[pytest.Item], path: Path) -> None:
        """In a child: write a line of JSON for each test: its name, seconds, whether it failed, files and lines."""
        monitoring = sys.monitoring
        tool, event = monitoring.COVERAGE_ID, monitoring.events.LINE
        lines: set[tuple[str, int]] = set()

        def add(code: CodeType, line: int) -> object:
            lines.add((Path(code.co_filename).relative_to(self._top).as_posix(), line))
            return monitoring.DISABLE  # of this line, until `restart_events`

        monitoring.use_tool_id(tool, __name__)
        monitoring.register_callback(tool, event, add)
        for function in (each for functions in self._functions.values() for each in functions):
            for _, code in _walk(function.__code__):
                monitoring.set_local_events(tool, code, event)
        with path.open("w", encoding="utf-8") as record:
            for item, following in zip(items, [*items[1:], None], strict=True):
                lines.clear()
                monitoring.restart_events()
                begun = time.monotonic()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                took = time.monotonic() - begun
                print(
                    json.dumps([item.nodeid, took, item.nodeid in self._failed, list(lines)]),
                    file=record,
                    flush=True,
                )

    def _fork(self, work: Callable[[], None]) -> int:
        child = os.fork()
        if child:
            with suppress(PermissionError, ProcessLookupError):  # by then the child has done it, or has ended
                os.setpgid(child, child)
            return child
        code = _BROKEN
        try:
            os.setpgid(0, 0)  # whatever it starts can be killed with it
            temporary = self._folder / str(os.getpid())
            temporary.mkdir()
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(temporary)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            work()
            code = _PASSED
        finally:
            os._exit(code)

    # Mutants

    def _judge_all(self) -> None:
        children: dict[int, _Child] = {}
        waiting = iter(self._mutants)
        try:
            while True:
                while len(children) < self._jobs and time.monotonic() < self._ends_at:
                    mutant = next(waiting, None)
                    if mutant is None:
                        break
                    if is_sound(mutant, self._sources[mutant.file]):
                        self._begin(mutant, children)
                if not children:
                    return
                if not self._end_one(children):
                    time.sleep(_LOOK_EVERY)
        finally:
            for process in children:
                _kill(process)

    def _begin(self, mutant: Mutant, children: dict[int, _Child]) -> None:
        tests, seconds, is_cut = self._chosen(mutant)
        if not tests:
            self._settle(Verdict(mutant, Outcome.SURVIVED, 0.0, "", frozenset(), is_cut=False))
            return
        note = self._folder / f"note-{mutant.file.replace('/', '-')}-{mutant.line}-{mutant.number}"
        begun = time.monotonic()
        process = self._fork(lambda: self._try(mutant, tests, note))
        children[process] = _Child(mutant, tests, is_cut, note, begun, begun + _ALLOWED * seconds + _SPARE)

    def _chosen(self, mutant: Mutant) -> tuple[list[str], float, bool]:
        """The tests to run, the most promising first; how long they take; whether patience leaves some out."""
        known = self._tests_of[mutant.file]
        found = {name for line in mutant.lines for name in known.get(line, ())}
        reached: dict[str, int] = defaultdict(int)
        for names in known.values():
            for name in names:
                reached[name] += 1
        # See `records.Run.promise`.
        ranked = sorted(found, key=lambda name: -reached[name] / (self._seconds[name] + _FEW))
        chosen, total = [], 0.0
        for name in ranked:
            if not chosen or total + self._seconds[name] <= self._patience:
                chosen.append(name)
                total += self._seconds[name]
        return chosen, total, len(chosen) < len(ranked)

    def _try(self, mutant: Mutant, tests: Sequence[str], note: Path) -> None:
        """In a child: swap, and run the tests until one fails."""
        codes = _codes(mutant.apply(self._sources[mutant.file]), self._top / mutant.file)
        for scope, old in self._codes[mutant.file].items():
            if codes.get(scope) == old:
                continue
            for function in self._functions.get((mutant.file, scope), ()):
                try:
                    function.__code__ = codes[scope]
                except (KeyError, ValueError):  # another function, or other free variables
                    os._exit(_NOT_SWAPPED)
        self._note = note
        items = [self._items[name] for name in tests]
        for item, following in zip(items, [*items[1:], None], strict=True):
            note.write_text(item.nodeid, encoding="utf-8")
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _end_one(self, children: dict[int, _Child]) -> bool:
        """Settle what one child found, or what hangs; whether there was one."""
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            code = os.waitstatus_to_exitcode(status)
        else:
            late = [each for each, child in children.items() if time.monotonic() > child.ends_at]
            if not late:
                return False
            process, code = late[0], None
        _kill(process)
        if code is None:
            os.waitpid(process, 0)
        child = children.pop(process)
        shutil.rmtree(self._folder / str(process), ignore_errors=True)
        by = child.note.read_text(encoding="utf-8") if child.note.exists() else ""
        if code != _NOT_SWAPPED:
            outcome = {_PASSED: Outcome.SURVIVED, None: Outcome.HUNG}.get(code, Outcome.NOTICED)
            by = "" if outcome is Outcome.SURVIVED else by
            took = time.monotonic() - child.begun
            self._settle(Verdict(child.mutant, outcome, took, by, frozenset(child.tests), child.is_cut))
        return True

    def _settle(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self._report(verdict)


def _codes(source: bytes, path: Path) -> dict[_Scope, CodeType]:
    """The code of a module, and of all in it."""
    return dict(_walk(compile(source, str(path), "exec", dont_inherit=True)))


def _walk(code: CodeType, scope: _Scope = ()) -> Iterator[tuple[_Scope, CodeType]]:
    yield scope, code
    numbers: dict[str, int] = defaultdict(int)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _walk(inner, (*scope, (inner.co_name, numbers[inner.co_name])))
            numbers[inner.co_name] += 1


def _kill(process: int) -> None:
    """And what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
