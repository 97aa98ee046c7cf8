"""The virtual clock: waits take no time, and wake in the order in which they are due."""

from __future__ import annotations

import asyncio
import copy
import itertools
import pickle
import time
from typing import Any

import pytest

from http_service_client import ConnectError, HttpServiceClient
from http_service_client.testing import ScriptedTransport, VirtualClock


def test_every_sleeper_wakes() -> None:
    """Of one loop and of the next. The real limit turns a sleep without an end into a failure."""
    clock = VirtualClock()

    async def sleep_three_times() -> float:
        waits = [clock.sleep_async(seconds) for seconds in (3.0, 1.0, 2.0)]
        await asyncio.wait_for(asyncio.gather(*waits), 5)
        return clock.monotonic()

    abandoned = asyncio.new_event_loop()
    task = abandoned.create_task(clock.sleep_async(100.0))
    abandoned.run_until_complete(asyncio.sleep(0))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        abandoned.run_until_complete(task)
    abandoned.close()
    assert asyncio.run(sleep_three_times()) == 3.0
    assert asyncio.run(sleep_three_times()) == 6.0
    assert clock._sleepers == {}


def test_a_blocking_sleep_advances_the_time() -> None:
    """Sleeps are recorded and return at once; both clocks advance alike."""
    clock = VirtualClock(start=5.0)
    wall = clock.wall()
    clock.sleep(2.5)
    clock.elapse(1.0)
    assert (clock.monotonic(), clock.wall() - wall, clock.waits) == (8.5, 3.5, [2.5])


def test_both_clocks_begin_where_they_are_told_to() -> None:
    """Each on its own."""
    clock = VirtualClock(start=5.0, wall=100.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 100.0)


def test_a_copy_of_a_clock_is_in_the_same_time() -> None:
    """Of a configuration that holds one, say. A pickle would be in another process, whose time it would not be."""
    clock = VirtualClock()
    assert copy.copy(clock) is clock
    assert copy.deepcopy([clock]) == [clock]
    with pytest.raises(TypeError, match="its time is of this process"):
        pickle.dumps(clock)


def test_setting_the_wall_clock_leaves_monotonic_time_alone() -> None:
    """As when an administrator sets the clock back. Monotonic time cannot be moved back at all."""
    clock = VirtualClock()
    clock.advance(4.0)
    clock.set_wall(100.0)
    clock.advance(1.0)
    assert (clock.wall(), clock.monotonic()) == (101.0, 5.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1.0)
    with pytest.raises(TypeError, match=r"^seconds must be a number, not '5'$"):
        clock.advance("5")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(TypeError, match=r"^seconds must be a number, not True$"):
        clock.advance(True)


@pytest.mark.asyncio
async def test_tasks_wake_in_the_order_in_which_they_are_due() -> None:
    """However they were started, and whatever work they do between their sleeps."""
    clock, woken = VirtualClock(), []

    async def sleeper(name: str, every: float) -> None:
        for _ in range(2):
            await clock.sleep_async(every)
            woken.append((name, clock.monotonic()))
            for _ in range(7):
                await asyncio.sleep(0)

    await asyncio.gather(sleeper("c", 5.0), sleeper("a", 1.0), sleeper("b", 2.5))
    assert woken == [("a", 1.0), ("a", 2.0), ("b", 2.5), ("c", 5.0), ("b", 5.0), ("c", 10.0)]


@pytest.mark.asyncio
async def test_tasks_that_are_due_together_wake_in_the_order_in_which_they_began() -> None:
    """As those of a real event loop do."""
    clock, woken = VirtualClock(), []

    async def sleeper(number: int) -> None:
        await clock.sleep_async(1.0)
        woken.append(number)

    await asyncio.gather(*map(sleeper, range(5)))
    assert woken == [0, 1, 2, 3, 4]


@pytest.mark.asyncio
async def test_the_time_does_not_jump_to_a_cancelled_sleep() -> None:
    """Only sleepers that still wait count."""
    clock = VirtualClock()
    long = asyncio.create_task(clock.sleep_async(1000.0))
    short = asyncio.create_task(clock.sleep_async(1.0))
    await asyncio.sleep(0)
    long.cancel()
    await short
    await asyncio.gather(long, return_exceptions=True)
    for _ in itertools.repeat(None, 300):
        await asyncio.sleep(0)
    assert clock.monotonic() == 1.0


@pytest.mark.asyncio
async def test_the_waits_of_calls_take_no_real_time() -> None:
    """A hundred calls with retries end at once, and together in the virtual time of one."""
    clock = VirtualClock()
    transport = ScriptedTransport(ConnectionRefusedError(), clock=clock)
    client = HttpServiceClient(transport=transport, clock=clock, random=lambda: 0.5)
    started = time.monotonic()
    urls = [f"http://host{number}.example/" for number in range(100)]
    outcomes = await asyncio.gather(*(client.get_async(url) for url in urls), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConnectError}
    assert clock.monotonic() == 1.5
    assert sorted(clock.waits) == [0.5] * 100 + [1.0] * 100
    assert time.monotonic() - started < 2.0


def test_a_thread_may_advance_the_time_of_a_loop() -> None:
    """`advance` from another thread wakes the tasks that are due."""
    clock = VirtualClock()

    async def main() -> float:
        waiting = asyncio.create_task(clock.sleep_async(1.0))
        await asyncio.to_thread(clock.advance, 10.0)
        await waiting
        return clock.monotonic()

    assert asyncio.run(main()) == pytest.approx(11.0, abs=1.01)  # either the sleep or the thread was first


def test_whoever_is_due_wakes_at_once_when_the_time_is_advanced() -> None:
    """And not only when nothing else is to be done. A loop that was closed meanwhile has nobody to wake."""
    clock = VirtualClock()
    closed = asyncio.new_event_loop()
    sleeping = closed.create_task(clock.sleep_async(1.0))
    closed.run_until_complete(asyncio.sleep(0))
    sleeping.cancel()
    closed.run_until_complete(asyncio.gather(sleeping, return_exceptions=True))
    closed.close()

    async def main() -> list[bool]:
        due, later = (asyncio.create_task(clock.sleep_async(seconds)) for seconds in (10.0, 11.0))
        await asyncio.sleep(0)
        clock.advance(10.0)
        for _ in range(3):
            await asyncio.sleep(0)
        found = [due.done(), later.done()]
        later.cancel()
        return found

    assert asyncio.run(main()) == [True, False]


@pytest.mark.parametrize("kind", ["plain", "uvloop"])
@pytest.mark.parametrize(("rounds", "overtaken"), [(90, False), (10_000, True)])
def test_the_time_waits_for_a_busy_task_for_a_hundred_rounds(kind: str, rounds: int, overtaken: bool) -> None:
    """One that is busy for ever does not keep the others from waking. Other loops do not tell whether one is busy."""
    clock = VirtualClock()
    loop = asyncio.new_event_loop() if kind == "plain" else pytest.importorskip(kind).new_event_loop()

    async def main() -> bool:
        sleeping = asyncio.create_task(clock.sleep_async(1.0))
        for _ in range(rounds):
            await asyncio.sleep(0)
        is_overtaken = sleeping.done()
        await sleeping
        return is_overtaken

    try:
        assert loop.run_until_complete(main()) == overtaken
    finally:
        loop.close()


@pytest.mark.parametrize("settings", [{"start": "0"}, {"wall": None}])
def test_a_clock_starts_at_a_number(settings: Any) -> None:
    """Of seconds; the error names the setting."""
    [(name, value)] = settings.items()
    with pytest.raises(TypeError, match=f"^{name} must be a number of seconds, not {value!r}$"):
        VirtualClock(**settings)
