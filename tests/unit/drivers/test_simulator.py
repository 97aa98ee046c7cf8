"""The driver of virtual time: the same plans as on a thread or in a task, and an hour of them in a moment."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from http_service_client import HttpResponse, Timeout
from http_service_client.core.effects import (
    TIMED_OUT,
    Acquire,
    Begin,
    Branch,
    FirstOf,
    Invoke,
    Outcome,
    Plan,
    Send,
    Sleep,
    Work,
)
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers.simulator import Simulator
from http_service_client.http.messages import HttpRequest
from kit.fakes import RESET, URL

Story = list[tuple[float, Any]]


def told(simulator: Simulator, story: Story, name: Any, *waits: float) -> Plan[Any]:
    """A plan that says its name after each of its waits, and returns it."""
    for wait in waits:
        yield from Sleep(wait)
        story.append((simulator.clock(), name))
    return name


def test_plans_take_their_steps_in_the_order_of_virtual_time() -> None:
    """Steps due at one instant are taken in the order in which they were asked for."""
    simulator, story = Simulator(start=100.0), []
    simulator.spawn(told(simulator, story, "a", 2.0, 2.0))
    simulator.spawn(told(simulator, story, "b", 1.0, 3600.0))
    simulator.spawn(told(simulator, story, "c", 2.0))
    simulator.run()
    assert story == [(101.0, "b"), (102.0, "a"), (102.0, "c"), (104.0, "a"), (3701.0, "b")]


def test_a_run_has_its_result_and_its_times() -> None:
    """A plan may be started later; its times are instants of virtual time."""
    simulator, story = Simulator(), []
    run = simulator.spawn(told(simulator, story, "a", 2.0), delay=5.0)
    assert (run.is_done, run.started_at, run.ended_at) == (False, 5.0, 5.0)
    simulator.run()
    assert (run.is_done, run.result, run.error, run.started_at, run.ended_at) == (True, "a", None, 5.0, 7.0)


def test_a_plan_may_begin_before_all_that_is_due() -> None:
    """Its first step is taken at once, and it has a run as any other."""
    simulator, story = Simulator(start=100.0), []

    def plan() -> Plan[str]:
        story.append((simulator.clock(), "first"))
        return (yield from told(simulator, story, "a", 1.0))

    simulator.spawn(told(simulator, story, "b", 0.0))
    run = simulator.start(plan(), subject="x")
    assert story == [(100.0, "first")]
    simulator.run()
    assert story[1:] == [(100.0, "b"), (101.0, "a")]
    assert (run.subject, run.result, run.started_at, run.ended_at) == ("x", "a", 100.0, 101.0)


def test_an_instant_is_reached_when_all_that_is_due_has_been_done() -> None:
    """Whatever comes later: it stays for the next time."""

    def sleeps(seconds: float) -> Plan[float]:
        yield from Sleep(seconds)
        return seconds

    simulator = Simulator()
    runs = [simulator.spawn(sleeps(seconds)) for seconds in (1.0, 10.0, 5.0, 6.0, 2.0)]
    simulator.run(until=5.0)
    assert [run.is_done for run in runs] == [True, False, True, False, True]
    simulator.run()
    assert [run.result for run in runs] == [1.0, 10.0, 5.0, 6.0, 2.0]


def test_time_may_be_advanced_to_an_instant() -> None:
    """What is due by then has happened, what is due later happens when it is its turn."""
    simulator, story = Simulator(), []
    simulator.spawn(told(simulator, story, "a", 1.0, 1.0, 1.0))
    simulator.run(until=2.0)
    assert (simulator.clock(), story) == (2.0, [(1.0, "a"), (2.0, "a")])
    simulator.run(until=2.5)
    assert (simulator.clock(), len(story)) == (2.5, 2)
    simulator.run()
    assert story[-1] == (3.0, "a")


def exchange(timeout: Timeout = Timeout()) -> Plan[Outcome]:  # noqa: B008  # it never changes
    return (yield Send(HttpRequest("GET", URL), timeout))


def test_the_server_says_how_long_an_exchange_takes() -> None:
    """It sees the request and its timeout, and gives the outcome."""
    seen: list[Any] = []

    def respond(request: HttpRequest, timeout: Timeout) -> tuple[float, Outcome]:
        seen.append((request.url, timeout.total))
        return (0.25, HttpResponse(200)) if len(seen) == 1 else (3.0, RESET)

    simulator = Simulator(respond)
    runs = [simulator.spawn(exchange(Timeout(total=3.0))) for _ in range(2)]
    simulator.run()
    assert [(run.ended_at, run.result.sent_state.value) for run in runs] == [  # type: ignore[union-attr]
        (0.25, "answered"),
        (3.0, "maybe_processed"),
    ]
    assert seen == [(URL, 3.0)] * 2


def test_a_run_counts_its_exchanges() -> None:
    """Also one that has not ended, or whose server fails."""

    def plan() -> Plan[None]:
        yield from exchange()
        yield from exchange()
        yield from Sleep(1.0)
        yield from exchange()

    simulator = Simulator(lambda request, timeout: (1.0, HttpResponse(200)))
    run = simulator.spawn(plan())
    counts = []
    for until in (0.0, 1.0, 2.5, 3.5):
        simulator.run(until)
        counts.append(run.exchanges)
    assert counts == [1, 2, 2, 3]
    assert ended(exchange()).exchanges == 1


def test_a_simulation_without_a_server_says_so() -> None:
    """By an error that is thrown into the plan, like any that an effect raises."""
    error = ended(exchange()).error
    assert isinstance(error, RuntimeError)
    assert "pass `respond`" in str(error)


def acquiring(limit: FairSemaphore, timeout: float | None, hold: float = 0.0) -> Plan[bool]:
    acquire = Acquire(limit.acquire_later(), timeout)
    try:
        granted = yield from acquire
        if granted:
            yield from Sleep(hold)
        return granted
    finally:
        acquire.waiter.release()


@pytest.mark.parametrize(
    ("timeout", "granted", "ended_at"),
    [(None, True, 2.0), (5.0, True, 2.0), (2.0, True, 2.0), (1.5, False, 1.5), (0.0, False, 0.0)],
)
def test_a_wait_for_a_permit_ends_with_the_grant_or_its_timeout(
    timeout: float | None, granted: bool, ended_at: float
) -> None:
    """A grant at the very instant of the timeout is used, as by the other drivers."""
    limit = FairSemaphore(1, lock=threading.Lock())
    simulator = Simulator()
    simulator.spawn(acquiring(limit, None, hold=3.0))
    simulator.run(until=1.0)
    run = simulator.spawn(acquiring(limit, timeout))
    simulator.run()
    assert (run.result, run.ended_at - 1.0) == (granted, ended_at)
    assert (limit.in_use, limit.waiting) == (0, 0)


def test_permits_are_granted_in_order() -> None:
    """Three plans share one permit: each holds it for a second."""
    limit = FairSemaphore(1, lock=threading.Lock())
    simulator = Simulator()
    runs = [simulator.spawn(acquiring(limit, None, hold=1.0)) for _ in range(3)]
    simulator.run()
    assert [run.ended_at for run in runs] == [1.0, 2.0, 3.0]


def sleeping(limit: FairSemaphore, seconds: float) -> Plan[None]:
    """A sleep that a grant may end."""
    yield from Sleep(seconds, limit.acquire_later())
    yield from Sleep(2.0)


@pytest.mark.parametrize(("seconds", "ended_at"), [(5.0, 3.0 + 2.0), (2.0, 2.0 + 2.0)])
def test_a_sleep_that_a_grant_may_end_is_forgotten_by_what_grants_it(seconds: float, ended_at: float) -> None:
    """Whether the grant came or not: else it would end what the plan waits for next."""
    limit = FairSemaphore(1, lock=threading.Lock())
    simulator = Simulator()
    simulator.spawn(acquiring(limit, None, hold=3.0))
    simulator.run(until=0.0)
    run = simulator.spawn(sleeping(limit, seconds))
    simulator.run()
    assert (run.ended_at, limit.in_use, limit.waiting) == (ended_at, 0, 0)


def test_a_branch_that_ends_after_the_wait_for_it_wakes_nobody() -> None:
    """Its owner has gone on to another wait, which it would end."""

    def slow() -> Plan[None]:
        yield from Sleep(3.0)

    def plan() -> Plan[Any]:
        branch = Branch(slow)
        yield from Begin(branch)
        found = yield from FirstOf([branch], 1.0)
        yield from Sleep(60.0)
        return found, branch.is_done

    run = ended(plan())
    assert (run.result, run.ended_at) == ((None, True), 61.0)


def invoking(function: Any, *arguments: Any, timeout: float | None = None) -> Plan[Any]:
    return (yield from Invoke(function, *arguments, timeout=timeout))


async def double(number: int) -> int:
    return number * 2


LOG: list[str] = []


async def sleeps() -> None:
    try:
        await asyncio.sleep(0)
    finally:
        LOG.append("closed")


def ended(plan: Plan[Any]) -> Any:
    simulator = Simulator()
    run = simulator.spawn(plan)
    simulator.run()
    assert run.is_done
    return run


def test_user_code_is_called_and_takes_no_time() -> None:
    """Plain or async, as long as it awaits nothing real; without time left it is not called."""
    run = ended(invoking(lambda number: number + 1, 1))
    assert (run.result, run.ended_at) == (2, 0.0)
    assert ended(invoking(double, 4)).result == 8
    assert ended(invoking(double, 4, timeout=1.0)).result == 8
    assert ended(invoking(double, 4, timeout=0.0)).result is TIMED_OUT


def test_user_code_that_waits_for_something_real_is_refused() -> None:
    """There is no event loop: the plan gets an error that names the function, which has been closed."""
    LOG.clear()

    def plan() -> Plan[None]:
        try:
            yield from invoking(sleeps)
        finally:
            LOG.append("told")

    run = ended(plan())
    assert LOG == ["closed", "told"]
    assert isinstance(run.error, RuntimeError)
    assert "sleeps" in str(run.error)
    assert "awaits real I/O" in str(run.error)


def test_what_user_code_raises_is_thrown_into_the_plan() -> None:
    """Where the plan may handle it, as on a thread."""

    def plan() -> Plan[str]:
        try:
            yield from Invoke({}.__getitem__, "missing")
        except KeyError:
            yield from Sleep(1.0)
            return "handled"
        return "no error"

    run = ended(plan())
    assert (run.result, run.ended_at) == ("handled", 1.0)


def test_work_is_done_at_once() -> None:
    """In virtual time, disk and compression take none."""

    def plan() -> Plan[int]:
        return (yield from Work(len, b"four"))

    run = ended(plan())
    assert (run.result, run.ended_at) == (4, 0.0)


def test_an_effect_that_nobody_knows_is_a_bug() -> None:
    """As is a generator that was yielded where `yield from` was meant."""

    def plan() -> Plan[None]:
        yield told(Simulator(), [], "a", 1.0)  # type: ignore[misc]

    error = ended(plan()).error
    assert isinstance(error, TypeError)
    assert "was a `yield from` forgotten?" in str(error)


def test_a_plan_that_is_cancelled_releases_what_it_holds() -> None:
    """At once, and its remaining steps are dropped. Later it can be cancelled no more."""
    limit = FairSemaphore(1, lock=threading.Lock())
    simulator = Simulator()
    holder = simulator.spawn(acquiring(limit, None, hold=100.0))
    waiting = simulator.spawn(acquiring(limit, None))
    simulator.run(until=3.0)
    simulator.cancel(holder)
    assert (holder.is_done, holder.ended_at, holder.result) == (True, 3.0, None)
    simulator.run()
    assert (waiting.result, waiting.ended_at, simulator.clock()) == (True, 3.0, 3.0)
    simulator.cancel(waiting)
    assert waiting.result is True


WHO: ContextVar[str] = ContextVar("who", default="nobody")


def test_each_plan_has_a_context_of_its_own() -> None:
    """What one plan sets, the others do not see, whoever takes the steps in between."""
    simulator = Simulator()
    seen: list[tuple[str, str]] = []

    def plan(name: str) -> Plan[None]:
        before = WHO.get()
        WHO.set(name)
        yield from Sleep(1.0)
        seen.append((before, (yield from Invoke(WHO.get))))

    for name in ("a", "b"):
        simulator.spawn(plan(name))
    simulator.run()
    assert seen == [("nobody", "a"), ("nobody", "b")]
    assert WHO.get() == "nobody"
