"""What fallbacks, timeouts and cached results are good for: simulated figures, each with a bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from http_service_client import (
    FallbackPolicy,
    HttpClientConfig,
    OperationTimeoutError,
    ResiliencePipeline,
    ResultCachePolicy,
    TimeoutPolicy,
)
from http_service_client.simulation import Environment, Outage, Report, Service, Slowdown, check, simulate

pytestmark = pytest.mark.once

Function = Callable[[], Awaitable[Any]]

OUTAGE = Service(latency=0.05, faults=[Outage(start=60.0, seconds=120.0)])


def run(fallback: Any, method: str = "GET") -> Report:
    config = HttpClientConfig(fallback=fallback)
    return simulate(config, OUTAGE, clients=5, rate=2.0, seconds=300.0, seed=5, method=method)


@pytest.mark.parametrize("fallback", [{"value": []}, {"function": print}, {"last_good": 300.0}])
def test_an_outage_is_not_seen_by_callers(fallback: dict[str, Any]) -> None:
    """At most one call in a thousand fails during an outage, where more than nine in ten failed."""
    without, helped = run(None), run(fallback)
    assert without.success_share_between(62.0, 178.0) == pytest.approx(0.0, abs=0.01)
    assert helped.success_share_between(62.0, 178.0) >= 0.999
    assert helped.fallbacks >= 0.999 * without.failed
    assert without.fallbacks == 0
    assert f"stood in by a fallback       {helped.fallbacks}" in " ".join(str(helped).split("\n"))


def test_it_costs_the_service_nothing() -> None:
    """Not one request more; and that the service has recovered is seen as soon as without."""
    without, helped = run(None), run({"value": []})
    assert helped.exchanges == without.exchanges
    assert helped.time_to_recover == without.time_to_recover


def test_an_age_limits_the_last_good_response() -> None:
    """A minute after the last success, callers see the outage."""
    report = run({"last_good": 60.0})
    assert (report.success_share_between(62.0, 115.0) or 0.0) >= 0.999
    assert (report.success_share_between(125.0, 178.0) or 0.0) <= 0.01


def test_a_post_is_not_hidden() -> None:
    """Its callers see the outage, as without."""
    report = run({"value": []}, "POST")
    assert report.fallbacks == 0
    assert report.failed == run(None, "POST").failed


HANGS = Service(latency=0.05, faults=[Slowdown(start=20.0, seconds=20.0, factor=10_000.0)])


def calling(timeout: float | None) -> Callable[[Environment], Function]:
    def make(environment: Environment) -> Function:
        async def call() -> Any:
            return await environment.send()

        if timeout is None:
            return call
        return ResiliencePipeline(TimeoutPolicy(timeout), clock=environment.clock).apply(call)

    return make


def test_workers_are_not_stuck_in_a_service_that_hangs() -> None:
    """Without a timeout they are held for minutes; with one of 2 s, none is held for longer than that."""
    without = simulate(calling(None), HANGS, clients=5, rate=2.0, seconds=60.0, seed=1)
    helped = simulate(calling(2.0), HANGS, clients=5, rate=2.0, seconds=60.0, seed=1)
    assert without.worst_call > 300.0
    assert helped.worst_call <= 2.0 + 1e-6
    assert helped.errors == {OperationTimeoutError.__name__: helped.failed}
    assert helped.failed >= 150
    assert helped.success_share_between(43.0, 60.0) == 1.0


def test_a_cached_result_bounds_the_load_of_many_callers() -> None:
    """A hundred callers a second make one request each 5 s, however slow the service becomes: none is sent twice."""

    def make(environment: Environment) -> Function:
        async def call() -> Any:
            return await environment.send()

        return cache_of(environment).apply(call)

    caches: list[ResiliencePipeline] = []

    def cache_of(environment: Environment) -> ResiliencePipeline:
        if not caches:
            caches.append(ResiliencePipeline(_OneKey(5.0), clock=environment.clock))
        return caches[0]

    service = Service(latency=0.05, faults=[Slowdown(start=20.0, seconds=30.0, factor=40.0)])
    report = simulate(make, service, clients=10, rate=10.0, seconds=60.0, seed=2)
    assert report.calls > 5000
    assert report.exchanges <= 60 / 5 + 1
    assert report.success_share == 1.0


class _OneKey(ResultCachePolicy):
    """The function of each client is another one."""

    def _key(self, operation: Any) -> str:
        return "rates"


def test_an_old_result_bridges_an_outage() -> None:
    """All calls of the outage succeed, and the function is tried every 2 s only."""

    def make(environment: Environment) -> Function:
        cache = ResultCachePolicy(5.0, stale_on_error=300.0, cache_errors=2.0)

        async def call() -> Any:
            return await environment.send(timeout=1.0)

        return ResiliencePipeline(cache, clock=environment.clock).apply(call)

    report = simulate(make, OUTAGE, rate=10.0, seconds=240.0, seed=3)
    assert report.success_share == 1.0
    assert report.exchanges <= 120 / 5 + 120 / 2 + 2


def test_a_fallback_of_a_function_in_virtual_time() -> None:
    """As around a client's calls."""

    def make(environment: Environment) -> Function:
        async def call() -> Any:
            return await environment.send(timeout=1.0)

        pipeline = ResiliencePipeline(FallbackPolicy(value="instead"), clock=environment.clock)
        return pipeline.apply(call)

    report = simulate(make, OUTAGE, rate=5.0, seconds=240.0)
    assert report.success_share == 1.0


def test_a_fallback_hides_no_contradiction() -> None:
    """`check` looks at the calls themselves."""
    settings: dict[str, Any] = {"base_timeout": 30.0, "total_timeout": 20.0}
    found = check(HttpClientConfig(**settings), rate=5.0)
    hidden = check(HttpClientConfig(**settings, fallback={"value": 1}), rate=5.0)
    assert [each.message for each in hidden] == [each.message for each in found] != []
