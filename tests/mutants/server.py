"""A process that has imported pytest and the libraries, and forks a child for each run of tests.

Importing them takes most of a second, which is longer than most mutants need to be noticed. The package and its tests
are imported by the child alone, so it sees the files as they are then.

`python -m mutants.server OUTPUT OPTION...` reads a line of JSON for each run: a list of arguments of pytest. It forks
and prints the child's process id; when the child has ended, it prints the exit code. OUTPUT: the file for what a run
prints. OPTION: arguments of pytest for all runs.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
import warnings
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from .likely import imported

__all__: list[str] = []


def main(output: str, *options: str) -> None:
    """Serve until the input ends."""
    _preload()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, all of this
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run([*options, *json.loads(line)], output)
        with suppress(PermissionError, ProcessLookupError):  # by then the child has done it, or has ended
            os.setpgid(child, child)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _preload() -> None:
    """Import the plugins of pytest, and whatever is imported anywhere in the checkout from outside of it."""
    here = Path.cwd()
    ours = {path.stem for folder in (here, here / "tests", here / "examples") for path in folder.glob("*")}
    names = {name for path in here.rglob("*.py") for name in imported(path.read_bytes())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for plugin in entry_points(group="pytest11"):
            with suppress(Exception):
                plugin.load()
        for name in sorted(names):
            if name.partition(".")[0] not in ours:
                with suppress(Exception):  # not installed, or no module but something in one
                    importlib.import_module(name)


def _run(arguments: list[str], output: str) -> None:
    """In the child: run pytest, and end."""
    code = 99
    try:
        os.setpgid(0, 0)  # whatever it starts can be killed with it
        _redirect(output)
        code = pytest.main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        # Without what the interpreter does at its end, which is slow, and of the server as much as of the tests.
        os._exit(code)


def _redirect(output: str) -> None:
    """Read nothing, and write to this file."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for old, new in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(old, new)
    os.close(nothing)
    os.close(written)


if __name__ == "__main__":
    main(*sys.argv[1:])
