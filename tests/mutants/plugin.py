"""A plugin of pytest, for the process that runs tests: selects them, notes how far they came, records what they do.

The environment variable MUTANTS_PLAN names a file with its settings: see `Place.run`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

_MEMORY = 8 << 30  # bytes of address space: a mutant may fill what there is
_FILE_SIZE = 1 << 30  # bytes

_OF_CHILDREN = """\
[run]
data_file = {folder}/data
parallel = true
include = {top}/*
context = ${{MUTANTS_TEST}}
sigterm = true
"""


class Diary:
    """Runs the tests that are named, and writes down what happens, in case the process dies."""

    def __init__(self, path: str, names: list[str] | None) -> None:
        self._path = Path(path)
        self._names = None if names is None else frozenset(names)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._names is not None:
            items[:] = [item for item in items if item.nodeid in self._names]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write("failed", report.nodeid)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write("begun", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._write("failed", report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write("ended", nodeid)

    def _write(self, what: str, name: str) -> None:
        with self._path.open("a", encoding="utf-8") as diary:
            diary.write(f"{what} {name}\n")


class Timer:
    """Writes how long each test takes, in the format of `Recorder`."""

    def __init__(self, result: str) -> None:
        self._result = Path(result)
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._seconds[nodeid] = -time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._seconds[nodeid] += time.monotonic()

    def pytest_unconfigure(self) -> None:
        self._write({}, 0)

    def _write(self, lines: dict[str, dict[int, int]], forking: int) -> None:
        hexadecimal = {
            file: {line: hex(tests) for line, tests in found.items()} for file, found in lines.items()
        }
        record = {"tests": list(self._seconds.items()), "lines": hexadecimal, "forking": hex(forking)}
        self._result.write_text(json.dumps(record), encoding="utf-8")


class Recorder(Timer):
    """Records which lines of the package each test executes, here and in every Python that it starts.

    Tests are numbered as they begin. A set of tests is an integer: bit n is the n-th, -1 are all.
    """

    def __init__(self, package: str, result: str) -> None:
        super().__init__(result)
        # The tracer in C: the one of Python 3.14 sees each line once, not once a test.
        os.environ["COVERAGE_CORE"] = "ctrace"
        from coverage import Coverage

        self._top = Path.cwd() / package
        self._children = self._result.with_suffix(".children")
        shutil.rmtree(self._children, ignore_errors=True)
        self._children.mkdir()
        self._forking = 0
        self._coverage = Coverage(
            data_file=None, config_file=False, include=[f"{self._top}/*"], messages=False
        )
        self._coverage.start()  # code that runs outside of tests, at import, has the context ""
        # A Python that a test starts is traced by a .pth file of coverage, which heeds this.
        settings = self._children / "settings"
        settings.write_text(_OF_CHILDREN.format(folder=self._children, top=self._top), encoding="utf-8")
        os.environ["COVERAGE_PROCESS_START"] = str(settings)
        os.register_at_fork(before=self._fork)

    def _fork(self) -> None:
        """A fork of a test is not traced."""
        if self._seconds:
            self._forking |= 1 << (len(self._seconds) - 1)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.environ["MUTANTS_TEST"] = number = str(len(self._seconds))
        self._coverage.switch_context(number)
        super().pytest_runtest_logstart(nodeid)

    def pytest_unconfigure(self) -> None:
        from coverage import CoverageData

        self._coverage.stop()
        lines: dict[str, dict[int, int]] = {}
        self._add(lines, self._coverage.get_data())
        for path in self._children.glob("data.*"):
            data = CoverageData(str(path))
            data.read()
            self._add(lines, data)
        self._write(lines, self._forking)

    def _add(self, lines: dict[str, dict[int, int]], data: Any) -> None:
        for path in data.measured_files():
            found = lines.setdefault(Path(path).relative_to(self._top).as_posix(), {})
            for line, contexts in data.contexts_by_lineno(path).items():
                found[line] = found.get(line, 0) | _set_of(contexts)


def _set_of(contexts: Iterable[str]) -> int:
    tests = 0
    for context in contexts:
        tests |= 1 << int(context) if context else -1
    return tests


def pytest_configure(config: pytest.Config) -> None:
    for plugin in _PLUGINS:
        config.pluginmanager.register(plugin)


# At import, that is before any conftest.py imports the package. Another process may import this module for itself.
_PLUGINS: list[object] = []
if "MUTANTS_PLAN" in os.environ:
    _PLAN = json.loads(Path(os.environ.pop("MUTANTS_PLAN")).read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_SIZE, _FILE_SIZE))
    _PLUGINS.append(Diary(_PLAN["diary"], _PLAN["names"]))
    if _PLAN["lines"]:
        _PLUGINS.append(Recorder(_PLAN["package"], _PLAN["record"]))
    elif _PLAN["record"]:
        _PLUGINS.append(Timer(_PLAN["record"]))
