"""Tests run by pytest in a process of their own, on a private copy of the checkout, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ending", "Place"]

_LOOK_EVERY = 0.02  # seconds


@dataclass(frozen=True)
class Ending:
    """How a run of tests ended.

    code: what the process exited with, -n for signal n, None when it took too long and was killed.
    begun: how many tests began.   failed: those that failed, in their order; a module that cannot be imported is one.
    within: the test that began and did not end, "" if all ended.
    """

    code: int | None
    begun: int
    failed: list[str]
    within: str


@dataclass(frozen=True)
class Place:
    """Where tests run: a folder with a copy of the checkout, and beside it what they write.

    stop: set when all is to end.
    """

    folder: Path
    package: str
    stop: threading.Event

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def output(self) -> str:
        """What pytest printed last."""
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    def run(
        self,
        modules: Sequence[str],
        seconds: float,
        *options: str,
        names: Collection[str] | None = None,
        record: Path | None = None,
    ) -> Ending:
        """Run the tests of these modules, in this order.

        seconds: after which the process, and all that it started, is killed.   options: of pytest.
        names: of the tests to run, all by default.   record: where to write what they execute, see `plugin`.
        """
        plan, diary, temporary = self.folder / "plan", self.folder / "diary", self.folder / "tmp"
        chosen = None if names is None else list(names)
        settings = {
            "diary": str(diary),
            "names": chosen,
            "package": self.package,
            "record": record and str(record),
        }
        plan.write_text(json.dumps(settings), encoding="utf-8")
        diary.write_text("", encoding="utf-8")
        temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.checkout), str(Path(__file__).resolve().parents[1])]),
            "TMPDIR": str(temporary),
            "MUTANTS_PLAN": str(plan),
            "CI": "1",  # the same examples of property tests each time, so that an outcome can be repeated
        }
        # Plain assertions: nobody reads how a comparison failed, and modules are imported in half the time.
        command = [sys.executable, "-m", "pytest", "-p", f"{__package__}.plugin", "--assert=plain", "-q"]
        with (self.folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [*command, "-p", "no:cacheprovider", *options, *modules],
                cwd=self.checkout,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = self._wait_for(process, seconds)
        return _ending(code, diary.read_text(encoding="utf-8"))

    def _wait_for(self, process: subprocess.Popen[bytes], seconds: float) -> int | None:
        ends_at = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < ends_at and not self.stop.is_set():
            time.sleep(_LOOK_EVERY)
        code = process.returncode
        with suppress(ProcessLookupError):  # else something that it started is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return code


def _ending(code: int | None, diary: str) -> Ending:
    named: dict[str, list[str]] = {"begun": [], "failed": [], "ended": []}
    for line in diary.splitlines():
        what, name = line.split(" ", 1)
        named[what].append(name)
    within = named["begun"][-1] if len(named["begun"]) > len(named["ended"]) else ""
    return Ending(code, len(named["begun"]), list(dict.fromkeys(named["failed"])), within)
