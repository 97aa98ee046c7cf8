"""The second chance of a test under which the machine stood still (`metronome.py`)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.metronome import Metronome

HERE = Path(__file__).parent

SUITE = """
from kit import metronome
import pytest

RUNS = []
metronome.Metronome.stood_still = lambda self, started, ended: {still}

@pytest.fixture
def {fixture}():
    RUNS.append(1)
    yield
    print("runs:", len(RUNS))

def test_it({fixture}):
    assert {holds}
"""


@pytest.mark.parametrize(
    ("fixture", "still", "holds", "runs", "passes"),
    [
        ("server", 0.0, "False", 1, False),
        ("server", 0.5, "True", 1, True),
        ("server", 0.5, "len(RUNS) > 1", 2, True),
        ("server", 0.5, "False", 3, False),
        ("clock", 0.5, "False", 1, False),
    ],
)
def test_who_gets_a_second_chance(
    tmp_path: Path, fixture: str, still: float, holds: str, runs: int, passes: bool
) -> None:
    (tmp_path / "test_it.py").write_text(SUITE.format(fixture=fixture, still=still, holds=holds))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "kit.metronome", "-p", "no:cacheprovider", "-s", "test_it.py"],
        env={"PYTHONPATH": str(HERE.parent), "PATH": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout.count("runs:") == runs, done.stdout
    assert (done.returncode == 0) is passes
    assert done.stdout.count("run again, for the machine stood still: test_it.py::test_it") == runs - 1


def test_what_keeps_all_threads_waiting_is_noticed() -> None:
    with Metronome() as metronome:
        started = time.monotonic()
        before = sys.getswitchinterval()
        sys.setswitchinterval(20.0)  # no other thread gets its turn
        while time.monotonic() < started + 0.3:
            pass
        sys.setswitchinterval(before)
        time.sleep(0.05)
        assert metronome.stood_still(started, time.monotonic()) > 0.2
