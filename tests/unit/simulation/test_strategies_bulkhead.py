"""A bulkhead in figures: a slow dependency takes no more than its part; overload; priorities and partitions under load."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from http_service_client import BulkheadFullError, BulkheadPolicy, priority
from http_service_client.core.effects import Acquire
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.drivers.simulated_functions import Awaited, SimulatedClock
from http_service_client.drivers.simulator import Simulator

pytestmark = pytest.mark.once

Work = Callable[[], Coroutine[Any, Any, Any]]


class Load:
    """Requests that come at random, each a coroutine in virtual time."""

    def __init__(self) -> None:
        self.simulator = Simulator()
        self.clock = SimulatedClock(self.simulator.clock)
        self.random = Random(1)
        self.seconds: dict[str, list[float]] = {}  # of each kind, how long those took that succeeded
        self.failed: dict[str, int] = {}

    def come(self, kind: str, rate: float, until: float, work: Work) -> None:
        """`rate` requests a second of a kind."""
        self.seconds[kind], self.failed[kind] = [], 0
        at = self.random.expovariate(rate)
        while at < until:
            self.simulator.spawn(self._timed(kind, work).__await__(), at)
            at += self.random.expovariate(rate)

    async def _timed(self, kind: str, work: Work) -> None:
        began = self.clock.monotonic()
        try:
            await work()
        except (BulkheadFullError, TimeoutError):
            self.failed[kind] += 1
        else:
            self.seconds[kind].append(self.clock.monotonic() - began)

    def success(self, kind: str) -> float:
        """The share that succeeded."""
        return len(self.seconds[kind]) / (len(self.seconds[kind]) + self.failed[kind])

    def quantile(self, kind: str, share: float) -> float:
        return sorted(self.seconds[kind])[math.ceil(share * len(self.seconds[kind])) - 1]


def of_two_dependencies(bulkhead: BulkheadPolicy | None, load: Load) -> None:
    """A service of 40 workers. Half of its requests need a dependency that has become slow; nobody waits longer than a second
    for a worker."""
    workers = FairSemaphore(40, lock=ForkSafeLock())

    def request(seconds: float, guard: BulkheadPolicy | None) -> Work:
        async def call() -> None:
            await load.clock.sleep_async(seconds)

        async def handled() -> None:
            waiter = workers.acquire_later()
            try:
                if not waiter.is_granted and not await Awaited(Acquire(waiter, 1.0)):
                    raise TimeoutError
                await (call() if guard is None else guard.call_async(call))
            finally:
                waiter.release()

        return handled

    load.come("healthy", 50.0, 60.0, request(0.02, None))
    load.come("slow", 50.0, 60.0, request(5.0, bulkhead))
    load.simulator.run()


def test_a_slow_dependency_does_not_take_the_workers_of_a_healthy_one() -> None:
    """Without a bulkhead, most requests that need only the healthy one fail; with it, none."""
    without, with_it = Load(), Load()
    of_two_dependencies(None, without)
    bulkhead = BulkheadPolicy(10, 5, 0.2, clock=with_it.clock)
    of_two_dependencies(bulkhead, with_it)
    assert without.success("healthy") < 0.35
    assert with_it.success("healthy") == 1.0
    assert with_it.quantile("healthy", 0.99) < 0.03
    # The slow one gets no less than its ten permits can do: 10 / 5 s for 60 s.
    assert len(with_it.seconds["slow"]) >= 10 / 5.0 * 60


def at_twice_the_capacity(max_waiting: int, max_wait: float | None) -> Load:
    """Ten permits and calls of 0.1 s are a hundred a second; two hundred come."""
    load = Load()
    policy = BulkheadPolicy(10, max_waiting, max_wait, clock=load.clock)

    async def call() -> None:
        await load.clock.sleep_async(0.1)

    load.come("calls", 200.0, 30.0, lambda: policy.call_async(call))
    load.simulator.run()
    return load


def test_a_bounded_queue_bounds_the_latency_at_overload() -> None:
    """Nothing is lost by it: as many calls succeed each second as there is capacity for."""
    endless, bounded = at_twice_the_capacity(1_000_000, None), at_twice_the_capacity(10, None)
    assert endless.quantile("calls", 0.5) > 10.0  # and growing as long as the overload lasts
    assert bounded.quantile("calls", 1.0) <= 0.2 + 1e-9  # (10 waiting / 10 permits + 1) calls
    assert len(bounded.seconds["calls"]) >= 0.97 * 100.0 * 30.0


def test_max_wait_bounds_the_latency_too() -> None:
    """Whatever the length of the queue."""
    load = at_twice_the_capacity(1_000_000, 0.15)
    assert load.quantile("calls", 1.0) <= 0.25 + 1e-9
    assert len(load.seconds["calls"]) >= 0.97 * 100.0 * 30.0


def test_at_overload_the_important_calls_succeed_and_the_others_do_not_starve() -> None:
    """Twice the capacity, of which a quarter is critical: those hardly notice. Background calls are served, too."""
    load = Load()
    policy = BulkheadPolicy(10, 10, None, clock=load.clock)

    def marked(level: Any) -> Work:
        async def call() -> None:
            await load.clock.sleep_async(0.1)

        async def work() -> None:
            with priority(level):
                await policy.call_async(call)

        return work

    for level, rate in (("critical", 50.0), ("normal", 60.0), ("background", 90.0)):
        load.come(level, rate, 60.0, marked(level))
    load.simulator.run()
    assert load.success("critical") > 0.99
    assert load.quantile("critical", 0.99) < 0.2
    assert 0.5 < load.success("normal") < load.success("critical")
    assert len(load.seconds["background"]) > 0.03 * 100.0 * 60.0  # of all that the permits can do
    assert sum(map(len, load.seconds.values())) > 0.97 * 100.0 * 60.0


def with_a_flood(partitions: dict[str, float]) -> Load:
    """Batch calls that would take all ten permits, 20 a second of half a second each, beside interactive ones."""
    load = Load()
    policy = BulkheadPolicy(10, 20, 0.5, partitions=partitions, clock=load.clock)

    async def interactive() -> None:
        await load.clock.sleep_async(0.1)

    async def batch() -> None:
        await load.clock.sleep_async(0.5)

    load.come("interactive", 40.0, 60.0, lambda: policy.call_async(interactive))
    load.come("batch", 40.0, 60.0, lambda: policy.call_async(batch))
    load.simulator.run()
    return load


def test_a_flood_of_batch_calls_leaves_the_interactive_ones_their_share() -> None:
    """And has its own, and what the interactive ones do not use."""
    without, with_shares = with_a_flood({}), with_a_flood({"interactive": 0.7, "batch": 0.3})
    assert without.success("interactive") < 0.5
    assert with_shares.success("interactive") > 0.99
    assert len(with_shares.seconds["batch"]) >= 3 / 0.5 * 60.0
