"""A thread that a test has left behind does not keep the process from its end (`exits.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

SUITE = """
import threading
from kit import exits

exits.patience = lambda config: {patience}

def stay_behind():
    threading.Event().wait()

def test_it():
    threading.Thread(target=stay_behind, daemon={daemon}).start()
"""


@pytest.mark.parametrize(
    ("daemon", "patience", "code"), [(False, 0.0, 1), (True, 90.0, 0)], ids=["other", "daemon"]
)
def test_a_thread_that_was_left_behind_fails_the_run(
    tmp_path: Path, daemon: bool, patience: float, code: int
) -> None:
    """The traceback shows what it does. A daemon keeps no process alive, so it is no failure."""
    file = tmp_path / "test_it.py"
    file.write_text(SUITE.format(daemon=daemon, patience=patience))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "kit.exits", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "1 passed" in done.stdout
    assert done.returncode == code, done.stderr
    assert ("stay_behind" in done.stderr) == bool(code)
