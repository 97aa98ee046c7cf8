"""The waits of one driver: each ends with its client, and a sleep ends by nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.limits.semaphore import Waiter
from http_service_client.drivers.interruptible_waits import Waits


class Woken:
    """How often a waiter's thread or task was woken."""

    def __init__(self, waiter: Waiter) -> None:
        self.times = 0
        waiter.notify(self)

    def __call__(self) -> Any:
        self.times += 1


def test_a_sleep_is_a_wait_for_a_permit_that_never_comes() -> None:
    """Any number of them at once, and after others have ended."""
    waits = Waits()
    sleeps = [waits.sleep(float(seconds)) for seconds in range(3)]
    woken = [Woken(sleep.waiter) for sleep in sleeps]
    assert [sleep.timeout for sleep in sleeps] == [0.0, 1.0, 2.0]
    sleeps.pop(0).waiter.release()
    assert [sleep.waiter.is_granted for sleep in [*sleeps, waits.sleep(3.0)]] == [False] * 3
    assert [each.times for each in woken] == [0, 0, 0]


def test_the_end_wakes_all_that_wait_and_no_others() -> None:
    """A wait that has ended has been left."""
    waits = Waits()
    waiting, left = waits.sleep(60.0).waiter, waits.sleep(60.0).waiter
    woken = [Woken(waiter) for waiter in (waiting, left)]
    assert waits.enter(waiting)
    assert waits.enter(left)
    waits.leave(left)
    waits.end()
    assert [each.times for each in woken] == [1, 0]


@pytest.mark.parametrize("enters", ["meanwhile", "afterwards"])
def test_nothing_is_waited_for_after_the_end(enters: str) -> None:
    """A wait that begins while the others are ended sees that, too: it would be missed."""
    waits, found = Waits(), list[bool]()

    def enter() -> None:
        waiter = waits.sleep(60.0).waiter
        found.append(waits.enter(waiter))
        waits.leave(waiter)

    waiting = waits.sleep(60.0).waiter
    waiting.notify(enter if enters == "meanwhile" else lambda: None)
    waits.enter(waiting)
    waits.end()
    if enters == "afterwards":
        enter()
    assert (found, waits.are_over) == ([False], True)
