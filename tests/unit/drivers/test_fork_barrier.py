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
        self.looks = 0
        self.at_half: Callable[[], object] | None = None

    @property
    def passed(self) -> float:
        return self.now - 100.0

    def monotonic(self) -> float:
        self.looks += 1
        assert self.looks < 100, "it waits without a sleep"
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
    monkeypatch.setattr(forks, "_STEP", 0.25)
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
    assert time.passed == 0.5


def test_a_fork_waits_for_a_second_at_most(barrier: ForkBarrier, time: Time) -> None:
    """The work may be that of the code which a signal handler has interrupted to fork."""
    with barrier:
        barrier._before()
    assert time.passed == 1.0


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
    assert (seen, time.passed) == ([0], 0.5)


def test_work_waits_for_a_second_at_most(barrier: ForkBarrier, time: Time) -> None:
    """A handler of signals that works in the middle of a fork would wait for itself."""
    barrier._before()
    with barrier:
        assert len(barrier._works) == 1
    assert time.passed == 1.0


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


def test_a_child_does_not_wait_for_the_work_of_its_parent_s_threads(barrier: ForkBarrier, time: Time) -> None:
    """They do not exist there, and end nothing."""
    barrier.__enter__()
    barrier._before()
    barrier._after_in_child()
    waited = time.passed
    barrier._before()
    assert time.passed == waited


def test_a_barrier_stands_before_each_fork_of_the_process(
    monkeypatch: pytest.MonkeyPatch, time: Time
) -> None:
    """From when it is made. In the parent, the fork ends as soon as the child exists."""
    hooks: dict[str, Callable[[], object]] = {}
    monkeypatch.setattr(forks.os, "register_at_fork", lambda **given: hooks.update(given), raising=False)
    barrier = ForkBarrier()
    with barrier:
        hooks["before"]()
    assert time.passed == 1.0
    hooks["after_in_parent"]()
    with barrier:
        hooks["before"]()
        hooks["after_in_child"]()
    waited = time.passed
    with barrier:
        pass
    assert time.passed == waited
