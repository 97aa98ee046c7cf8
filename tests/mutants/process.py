"""Tests run by pytest in a process of their own, on a private copy of the checkout, and what came of it.

The process is a fork of `server`, which each place has one of.
"""

from __future__ import annotations

import json
import os
import selectors
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

_LOOK_EVERY = 0.2  # seconds, for a stop


@dataclass(frozen=True)
class Ending:
    """How a run of tests ended.

    code: what the process exited with, -n for signal n, None when it took too long and was killed.
    begun: the tests that began.   failed: those that failed, in their order; a module that cannot be imported is one.
    within: the test that began and did not end, "" if all ended.
    """

    code: int | None
    begun: list[str]
    failed: list[str]
    within: str


class Place:
    """Where tests run: a folder with a copy of the checkout, and beside it what they write."""

    def __init__(self, folder: Path, package: str, stop: threading.Event) -> None:
        """stop: set when all is to end."""
        self.folder = folder
        self.package = package
        self.stop = stop
        self._server: subprocess.Popen[bytes] | None = None

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
        lines: bool = False,
    ) -> Ending:
        """Run the tests of these modules, in this order.

        seconds: after which the process, and all that it started, is killed.   options: of pytest.
        names: of the tests to run, all by default.   record: where to write how long they take, and, with `lines`,
            which lines they execute: see `plugin`.
        """
        diary, chosen = self.folder / "diary", None if names is None else list(names)
        settings = {
            "diary": str(diary),
            "names": chosen,
            "package": self.package,
            "record": record and str(record),
            "lines": lines,
        }
        (self.folder / "plan").write_text(json.dumps(settings), encoding="utf-8")
        diary.write_text("", encoding="utf-8")
        if self._server is None or self._server.poll() is not None:
            self._server = self._serve()
        code = self._wait_for(["-p", f"{__package__}.plugin", *options, *modules], self._server, seconds)
        return _ending(code, diary.read_text(encoding="utf-8"))

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.kill()
            self._server.communicate()

    def _serve(self) -> subprocess.Popen[bytes]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.checkout), str(Path(__file__).resolve().parents[1])]),
            "TMPDIR": str(temporary),
            "MUTANTS_PLAN": str(self.folder / "plan"),
            "CI": "1",  # the same examples of property tests each time, so that an outcome can be repeated
        }
        # Plain assertions: nobody reads how a comparison failed, and modules are imported in half the time.
        options = ["--assert=plain", "-q", "-p", "no:cacheprovider"]
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.server", str(self.folder / "output"), *options],
            cwd=self.checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that `select` sees all that has come
            start_new_session=True,
        )

    def _wait_for(self, arguments: list[str], server: subprocess.Popen[bytes], seconds: float) -> int | None:
        """The exit code of pytest, or None if it was killed."""
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(arguments).encode() + b"\n")
        child = int(server.stdout.readline())
        ends_at, has_ended = time.monotonic() + seconds, False
        with selectors.DefaultSelector() as reading:
            reading.register(server.stdout, selectors.EVENT_READ)
            while not (has_ended or self.stop.is_set()) and (left := ends_at - time.monotonic()) > 0:
                has_ended = bool(reading.select(min(left, _LOOK_EVERY)))
        with suppress(ProcessLookupError, PermissionError):  # else something that it started is left
            os.killpg(child, signal.SIGKILL)
        code = int(server.stdout.readline())
        return code if has_ended else None


def _ending(code: int | None, diary: str) -> Ending:
    named: dict[str, list[str]] = {"begun": [], "failed": [], "ended": []}
    for line in diary.splitlines():
        what, name = line.split(" ", 1)
        named[what].append(name)
    within = named["begun"][-1] if len(named["begun"]) > len(named["ended"]) else ""
    return Ending(code, named["begun"], list(dict.fromkeys(named["failed"])), within)
