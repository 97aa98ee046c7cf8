"""The second chance of a test under which the machine stood still (`metronome.py`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

SUITE = """
import sys, time
import pytest

RUNS = []

@pytest.fixture
def {fixture}():
    RUNS.append(1)
    yield
    print("runs:", len(RUNS))

def stand_still():
    sys.setswitchinterval(5.0)  # no other thread gets its turn
    ends_at = time.monotonic() + 0.5
    while time.monotonic() < ends_at:
        pass
    sys.setswitchinterval(0.005)

def test_it({fixture}):
    {body}
"""


@pytest.mark.parametrize(
    ("fixture", "body", "runs", "passes"),
    [
        ("server", "assert False", 1, False),
        ("server", "stand_still()", 1, True),
        ("server", "stand_still(); assert len(RUNS) > 1", 2, True),
        ("server", "stand_still(); assert False", 3, False),
        ("clock", "stand_still(); assert False", 1, False),
    ],
)
def test_who_gets_a_second_chance(tmp_path: Path, fixture: str, body: str, runs: int, passes: bool) -> None:
    (tmp_path / "test_it.py").write_text(SUITE.format(fixture=fixture, body=body))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "metronome", "-p", "no:cacheprovider", "-s", "test_it.py"],
        env={"PYTHONPATH": str(HERE), "PATH": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout.count("runs:") == runs, done.stdout
    assert (done.returncode == 0) is passes
    assert done.stdout.count("run again, for the machine stood still: test_it.py::test_it") == runs - 1
