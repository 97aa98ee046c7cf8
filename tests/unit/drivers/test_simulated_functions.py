"""An async function in a simulation: its plan runs inside it, and a timeout ends whatever it waits for there."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpResponse, Timeout
from http_service_client.core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Branch,
    Effect,
    FirstOf,
    Invoke,
    Outcome,
    Plan,
    Send,
    Sleep,
    Start,
    Work,
)
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers.simulated_functions import Awaited, EffectAwaiter, SimulatedClock
from http_service_client.drivers.simulator import Run, Simulator
from http_service_client.http.messages import HttpRequest
from kit.fakes import URL
from kit.rows import each_row

LIMIT = 3.0  # seconds until the timeout


class Simulation:
    """One simulated function, its time, and a server that answers after a second."""

    def __init__(self, takes: float = 1.0) -> None:
        self.takes = takes
        self.timeouts: list[float | None] = []
        self.simulator = Simulator(self._respond, start=100.0)
        self.awaiter = EffectAwaiter(self.simulator.clock)

    def _respond(self, request: HttpRequest, timeout: Timeout) -> tuple[float, Outcome]:
        self.timeouts.append(timeout.total)
        return self.takes, HttpResponse(200)

    @property
    def passed(self) -> float:
        return self.simulator.clock() - 100.0

    def after(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function at an instant."""

        def plan() -> Plan[None]:
            yield Sleep(seconds)
            function()

        self.simulator.spawn(plan())

    def run(self, awaitable: Awaitable[Any]) -> Run[Any]:
        """Run it to its end."""
        run: Run[Any] = self.simulator.spawn(awaitable.__await__())  # type: ignore[arg-type]
        self.simulator.run()
        assert run.is_done
        return run

    def bounded(self, *effects: Effect[Any]) -> tuple[Any, float]:
        """The answer to the last of these effects within the limit, or "timed out"; and how long that took."""

        async def function() -> Any:
            answer = None
            for effect in effects:
                answer = await Awaited(effect)
            return answer

        run = self.run(self.awaiter.bounded(function(), LIMIT))
        if run.error is not None:
            raise run.error
        return "timed out" if run.result is TIMED_OUT else run.result, run.ended_at - 100.0


def closed() -> FairSemaphore:
    """A limit without a free permit."""
    limit = FairSemaphore(1, lock=threading.Lock())
    limit.try_acquire()
    return limit


@pytest.mark.parametrize(
    ("seconds", "result"),
    [(0.0, (None, 0.0)), (2.0, (None, 2.0)), (4.0, ("timed out", 3.0)), (1e9, ("timed out", 3.0))],
)
def test_a_sleep_ends_with_the_limit(seconds: float, result: Any) -> None:
    """The rest of it is not slept."""
    assert Simulation().bounded(Sleep(seconds)) == result


def test_the_limit_is_that_of_all_waits_together() -> None:
    """Not of each one."""
    assert Simulation().bounded(Sleep(1.0), Sleep(1.0), Sleep(1.5)) == ("timed out", 3.0)
    assert Simulation().bounded(Sleep(1.0), Sleep(1.0), Sleep(0.5)) == (None, 2.5)


@each_row("own", [None, 1.0, 3.0, 5.0])
@each_row("comes_at", [0.5, 2.5, 3.0, 4.0])
def test_a_wait_for_a_permit_ends_with_the_first_of_three(own: float | None, comes_at: float) -> None:
    """The permit, its own timeout (None: it has none), and the limit. A permit at the very instant is used.

    Of two that end at once, the function's own comes first: it goes on.
    """
    simulation, limit = Simulation(), closed()
    simulation.after(comes_at, limit.release)
    ends_at = min(comes_at, LIMIT, own or LIMIT)
    if comes_at == ends_at:
        expected: Any = True
    else:
        expected = False if own is not None and own <= LIMIT else "timed out"
    assert simulation.bounded(Acquire(limit.acquire_later(), own)) == (expected, ends_at)


def test_a_permit_that_is_there_is_taken_without_a_wait() -> None:
    """And the function goes on within its limit."""
    limit = FairSemaphore(1, lock=threading.Lock())
    assert Simulation().bounded(Acquire(limit.acquire_later(), None), Sleep(5.0)) == ("timed out", 3.0)


@each_row("own", [None, 1.0, 3.0, 5.0])
@each_row("comes_at", [0.5, 2.5, 3.0, 4.0])
def test_a_wait_for_a_branch_ends_with_the_first_of_three(own: float | None, comes_at: float) -> None:
    """The end of the branch, its own timeout (None: it has none), and the limit. Of two at once, the earlier of these."""

    def plan() -> Plan[None]:
        yield Sleep(comes_at)

    branch = Branch(plan)
    ends_at = min(comes_at, LIMIT, own or LIMIT)
    if comes_at == ends_at:
        expected: Any = 0
    else:
        expected = None if own is not None and own <= LIMIT else "timed out"
    assert Simulation().bounded(Begin(branch), FirstOf([branch], own)) == (expected, ends_at)


@pytest.mark.parametrize("total", [None, 1.0, 60.0])
def test_an_exchange_gets_no_more_time_than_is_left(total: float | None) -> None:
    """The server, which sees its timeout, gives up with it. Its own may be shorter."""
    simulation = Simulation()
    send = Send(HttpRequest("GET", URL), Timeout(total=total))
    response, took = simulation.bounded(Sleep(0.5), send)
    assert (response.status_code, took) == (200, 1.5)
    assert simulation.timeouts == [1.0 if total == 1.0 else 2.5]


def test_the_response_to_an_exchange_that_ends_at_the_limit_is_late() -> None:
    """It was given up at that instant."""
    simulation = Simulation(takes=2.0)
    send = Send(HttpRequest("GET", URL), Timeout())
    assert simulation.bounded(Sleep(1.0), send) == ("timed out", 3.0)


@pytest.mark.parametrize("left", [0.5, 0.0])
def test_no_exchange_is_begun_at_the_limit(left: float) -> None:
    """With half a second left, one is."""
    simulation = Simulation(takes=0.25)

    async def function() -> Any:
        return (await Awaited(Send(HttpRequest("GET", URL), Timeout()))).status_code

    run = simulation.run(simulation.awaiter.bounded(function(), left))
    assert (run.result, simulation.timeouts) == ((200, [0.5]) if left else (TIMED_OUT, []))


def test_what_takes_no_time_is_done_at_the_limit_too() -> None:
    """A function that has waited to the end may still do what it does without a wait."""
    simulation, limit = Simulation(), closed()
    simulation.after(LIMIT, limit.release)
    assert simulation.bounded(Acquire(limit.acquire_later(), None), Work(abs, -1)) == (1, 3.0)


def test_no_wait_is_begun_at_the_limit() -> None:
    """That of a sleep, which would be over at once, ends the function."""
    simulation, limit = Simulation(), closed()
    simulation.after(LIMIT, limit.release)
    late = Sleep(5.0), Work(abs, -1)
    assert simulation.bounded(Acquire(limit.acquire_later(), None), *late) == ("timed out", 3.0)


def test_what_an_effect_raises_is_raised_in_the_function() -> None:
    """Which may handle it, and goes on within its limit."""
    simulation = Simulation()

    async def function() -> str:
        with pytest.raises(ZeroDivisionError):
            await Awaited(Work(divmod, 1, 0))
        await Awaited(Sleep(1.0))
        with pytest.raises(ZeroDivisionError):
            await Awaited(Work(divmod, 1, 0))
        await Awaited(Sleep(60.0))
        return "slept"

    run = simulation.run(simulation.awaiter.bounded(function(), LIMIT))
    assert (run.result, run.error, run.ended_at) == (TIMED_OUT, None, 103.0)


def test_what_the_function_raises_is_raised_by_the_wait() -> None:
    """At once or after a wait, and in the place of the timeout as well."""

    async def fail(seconds: float) -> None:
        try:
            await Awaited(Sleep(seconds))
        finally:
            raise ZeroDivisionError

    for seconds in (0.0, 2.0, 60.0):
        simulation = Simulation()
        run = simulation.run(simulation.awaiter.bounded(fail(seconds), LIMIT))
        assert (type(run.error), run.ended_at) == (ZeroDivisionError, 100.0 + min(seconds, LIMIT))


@pytest.mark.parametrize("takes", [0.0, 1.0])
def test_a_function_that_waits_on_after_its_cancellation_is_closed(takes: float) -> None:
    """Nothing waits for it: the limit holds, and its last steps are those of its `finally`."""
    simulation, log = Simulation(), list[str]()

    async def stubborn() -> None:
        try:
            await Awaited(Sleep(60.0))
        except CancelledError:
            log.append("cancelled")
        try:
            await Awaited(Sleep(takes))
            log.append("went on")
        finally:
            log.append("closed")

    function = stubborn()  # or it would be closed when it is freed

    async def caller() -> Any:
        result = await simulation.awaiter.bounded(function, LIMIT)
        log.append("told")
        return result

    run = simulation.run(caller())
    assert (run.result, run.error, run.ended_at) == (TIMED_OUT, None, 103.0)
    assert log == ["cancelled", "closed", "told"]


def test_a_result_in_spite_of_the_cancellation_is_used() -> None:
    """Its work is done."""
    simulation = Simulation()

    async def ends() -> str:
        try:
            await Awaited(Sleep(60.0))
        except CancelledError:
            pass
        return "done"

    assert simulation.run(simulation.awaiter.bounded(ends(), LIMIT)).result == "done"


class TestPlans:
    """Those around a simulated function."""

    def test_the_effects_of_a_plan_are_performed(self) -> None:
        """A plain function and an async one are called; their values and errors go into the plan."""
        simulation, log = Simulation(), list[Any]()

        async def later(value: int) -> int:
            await Awaited(Sleep(1.0))
            return value

        def plan() -> Plan[str]:
            log.append((yield Invoke(abs, -1)))
            log.append((yield Invoke(later, 2)))
            log.append((yield Invoke(later, 3, timeout=0.5)) is TIMED_OUT)
            try:
                yield Invoke(divmod, 1, 0)
            except ZeroDivisionError:
                yield Sleep(1.0)
            return "end"

        run = simulation.run(simulation.awaiter.run(plan()))
        assert (run.result, log, run.ended_at) == ("end", [1, 2, True], 102.5)

    def test_plans_beside_one_may_invoke_async_functions_too(self) -> None:
        """A branch, and a plan that was started and goes on by itself."""
        simulation, log = Simulation(), list[str]()

        async def later(name: str) -> None:
            await Awaited(Sleep(1.0))
            log.append(name)

        def invoke(name: str) -> Plan[None]:
            yield Invoke(later, name)

        def plan() -> Plan[None]:
            branch = Branch(lambda: invoke("branch"))
            yield Begin(branch)
            yield Start(lambda: invoke("beside"))
            yield FirstOf([branch])

        run = simulation.run(simulation.awaiter.run(plan()))
        assert (run.error, sorted(log)) == (None, ["beside", "branch"])

    def test_a_plan_is_closed_with_the_function(self) -> None:
        """When the simulation ends it, before it is told of anything else."""
        simulation, log = Simulation(), list[str]()

        def plan() -> Plan[None]:
            try:
                yield Sleep(60.0)
            finally:
                log.append("closed")

        running = plan()
        coroutine: Any = simulation.awaiter.run(running)
        run: Run[Any] = simulation.simulator.spawn(coroutine.__await__())
        simulation.simulator.run(until=101.0)
        simulation.simulator.cancel(run)
        assert log == ["closed"]


def test_the_simulated_clock() -> None:
    """Its wall clock begins in 2024 and goes on with the simulation; plain functions cannot wait by it."""
    simulation = Simulation()
    clock = SimulatedClock(simulation.simulator.clock)
    assert (clock.monotonic(), clock.wall()) == (100.0, 1_704_067_300.0)
    simulation.run(clock.sleep_async(20.0))
    assert (clock.monotonic(), clock.wall()) == (120.0, 1_704_067_320.0)
    with pytest.raises(ConfigurationError, match=r"^a plain function cannot wait in a simulation; guard an"):
        clock.sleep(1.0)
