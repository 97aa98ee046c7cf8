"""See `kit.endless_loops`."""

from __future__ import annotations

import signal
import time

import pytest

from kit import endless_loops

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGPROF"), reason="Windows has no such timer")


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless_loops, "LIMIT", 0.05)


def test_a_loop_without_an_end_fails_its_test() -> None:
    call = endless_loops.pytest_runtest_call()
    next(call)
    with pytest.raises(pytest.fail.Exception, match="a loop without an end"):
        while True:
            pass
    call.close()


def test_a_wait_is_no_loop() -> None:
    call = endless_loops.pytest_runtest_call()
    next(call)
    time.sleep(0.1)
    call.close()


def test_after_the_test_there_is_no_limit() -> None:
    before = signal.getsignal(signal.SIGPROF)
    call = endless_loops.pytest_runtest_call()
    next(call)
    assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
    call.close()
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
    assert signal.getsignal(signal.SIGPROF) is before
