"""A fork waits for work in a library that holds locks, and such work for a fork; neither waits for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from http_service_client.drivers import forks
from http_service_client.drivers.forks import ForkBarrier


class Time:
    """Time that moves when somebody sleeps.   at_half: called when half a second has passed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.at_half: Callable[[], object] | None = None

    @property
    def passed(self) -> float:
        return self.now - 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert self.passed < 5.0, "it waits for ever"
        self.now += seconds
        if self.passed >= 0.5 and self.at_half is not None:
            self.at_half()
            self.at_half = None


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of the module under test."""
    found = Time()
    monkeypatch.setattr(forks, "time", found)
    return found


@pytest.fixture
def barrier(monkeypatch: pytest.MonkeyPatch) -> ForkBarrier:
    """One that real forks know nothing of."""
    monkeypatch.delattr(forks.os, "register_at_fork", raising=False)
    return ForkBarrier()


def test_a_fork_without_work_waits_for_nothing(barrier: ForkBarrier, time: Time) -> None:
    """Nor after work that has ended."""
    with barrier:
        pass
    barrier._before()
    assert time.passed == 0.0


def test_a_fork_waits_for_work(barrier: ForkBarrier, time: Time) -> None:
    """Until it ends."""
    barrier.__enter__()
    time.at_half = lambda: barrier.__exit__(None, None, None)
    barrier._before()
    assert time.passed == pytest.approx(0.5, abs=0.02)


def test_a_fork_waits_for_a_second_at_most(barrier: ForkBarrier, time: Time) -> None:
    """The work may be that of the code which a signal handler has interrupted to fork."""
    with barrier:
        barrier._before()
    assert time.passed == pytest.approx(1.0, abs=0.02)


def test_work_waits_for_a_fork(barrier: ForkBarrier, time: Time) -> None:
    """And the fork does not see it meanwhile."""
    barrier._before()
    seen: list[int] = []

    def end_fork() -> None:
        seen.append(len(barrier._works))
        barrier._forks.pop()

    time.at_half = end_fork
    with barrier:
        assert len(barrier._works) == 1
    assert (seen, time.passed) == ([0], pytest.approx(0.5, abs=0.02))


def test_work_waits_for_a_second_at_most(barrier: ForkBarrier, time: Time) -> None:
    """A handler of signals that works in the middle of a fork would wait for itself."""
    barrier._before()
    with barrier:
        assert len(barrier._works) == 1
    assert time.passed == pytest.approx(1.0, abs=0.02)


def test_a_child_begins_without_work_and_without_a_fork(barrier: ForkBarrier, time: Time) -> None:
    """Also one that a signal handler has forked in the middle of work, whose end it reaches, too."""
    with barrier:
        barrier._before()
        barrier._after_in_child()
    waited = time.passed
    with barrier:
        pass
    barrier._before()
    assert time.passed == waited
