"""A test that failed while the machine stood still is run again (`metronome.py`)."""

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
    ("file", "fixture", "still", "holds", "runs", "passes"),
    [
        ("test_it.py", "server", 0.0, "False", 1, False),
        ("test_it.py", "server", 0.5, "True", 1, True),
        ("test_it.py", "server", 0.5, "len(RUNS) > 1", 2, True),
        ("test_it.py", "server", 0.5, "False", 3, False),
        ("test_it.py", "clock", 0.5, "False", 1, False),
        ("network/test_it.py", "clock", 0.5, "len(RUNS) > 1", 2, True),
        ("unit/network.py", "clock", 0.5, "False", 1, False),
    ],
)
def test_a_failure_of_a_test_in_real_time_counts_only_while_the_machine_runs(
    tmp_path: Path, file: str, fixture: str, still: float, holds: str, runs: int, passes: bool
) -> None:
    """It is run again, three times at most, if the machine stood still; any other test is run once."""
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(SUITE.format(fixture=fixture, still=still, holds=holds))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "kit.metronome", "-p", "no:cacheprovider", "-s", file],
        env={"PYTHONPATH": str(HERE.parent), "PATH": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout.count("runs:") == runs, done.stdout
    assert (done.returncode == 0) is passes
    assert done.stdout.count(f"run again, since the machine stood still: {file}::test_it") == runs - 1


def test_a_thread_that_keeps_all_others_waiting_is_noticed() -> None:
    """A thread of this process that never yields counts like a machine that stands still."""
    with Metronome() as metronome:
        started = time.monotonic()
        before = sys.getswitchinterval()
        sys.setswitchinterval(20.0)  # no other thread is run
        while time.monotonic() < started + 0.3:
            pass
        sys.setswitchinterval(before)
        time.sleep(0.05)
        assert metronome.stood_still(started, time.monotonic()) > 0.2
