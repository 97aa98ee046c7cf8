"""A test that failed while the machine stood still is run again (`metronome.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.metronome import Metronome

pytestmark = pytest.mark.once

HERE = Path(__file__).parent

SUITE = """
from pathlib import Path
from kit import metronome
import pytest

RUNS = []

@pytest.fixture
def {fixture}():
    metronome.Metronome.lost_time = lambda self, started, ended: {still}
    RUNS.append(1)
    yield
    Path(__file__).with_suffix(".runs").write_text(str(len(RUNS)))

def test_it({fixture}):
    assert {holds}
"""

# file, fixture, whether the machine stood still, what the test asserts, runs, whether it passes
CASES = [
    ("test_it.py", "server", False, "False", 1, False),
    ("test_it.py", "server", True, "True", 1, True),
    ("test_it.py", "server", True, "len(RUNS) > 1", 2, True),
    ("test_it.py", "server", True, "False", 3, False),
    ("test_it.py", "clock", True, "False", 1, False),
    ("network/test_it.py", "clock", True, "len(RUNS) > 1", 2, True),
    ("unit/network.py", "clock", True, "False", 1, False),
]


def test_a_failure_of_a_test_in_real_time_counts_only_while_the_machine_runs(tmp_path: Path) -> None:
    """It is run again, three times at most, if the machine stood still; any other test is run once."""
    files = []
    for number, (file, fixture, still, holds, *_) in enumerate(CASES):
        path = tmp_path / str(number) / file
        path.parent.mkdir(parents=True)
        path.write_text(SUITE.format(fixture=fixture, still=still, holds=holds))
        files.append(path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--import-mode=importlib", "-rA"),
            *("-p", "kit.metronome", "-p", "no:cacheprovider"),
            *(str(path.relative_to(tmp_path)) for path in files),
        ],
        env={"PYTHONPATH": str(HERE.parent), "PATH": ""},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    for path, (*_, runs, passes) in zip(files, CASES, strict=True):
        name = f"{path.relative_to(tmp_path)}::test_it"
        assert path.with_suffix(".runs").read_text() == str(runs), name
        assert f"{'PASSED' if passes else 'FAILED'} {name}" in done.stdout
        assert done.stdout.count(f"run again, since the machine stood still: {name}") == runs - 1


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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such call")
def test_a_thread_without_a_processor_is_noticed() -> None:
    """Two threads that calculate, of two processes, share one processor: the kernel says that each of them waits."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other, Metronome() as metronome:
            started = time.monotonic()
            ends_at = started + 20
            while not (lost := metronome.lost_time(started, started)) and time.monotonic() < ends_at:
                pass
            other.kill()
        assert lost
    finally:
        os.sched_setaffinity(0, allowed)
