"""What the rate limit does for a client of a service that limits the rate: in simulated figures, each with a bound."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient, RateLimitPolicy
from http_service_client.simulation import NO_CLIENT, RateLimit, Report, Service, simulate
from http_service_client.testing import ScriptedTransport, VirtualClock, late

pytestmark = pytest.mark.once

TEN_A_SECOND = Service(latency=0.05, faults=[RateLimit(per_second=10, burst=10)])
TWO_MINUTES: dict[str, Any] = {"rate": 20, "seconds": 120, "seed": 1}  # twice what the service takes


def alone(**settings: Any) -> HttpClientConfig:
    """A client that has nothing but a rate limit: no retries and no gate, so that each 429 is seen."""
    return HttpClientConfig(
        enable_retry_policy=False,
        enable_circuit_breaker=False,
        enable_retry_budget=False,
        enable_throttle_gate=False,
        **settings,
    )


def refused_by_the_service(report: Report) -> int:
    """The requests that were answered by 429."""
    return report.errors.get("429", 0)


def test_no_429_from_a_service_that_allows_ten_a_second() -> None:
    """With the limit; without it, nearly half of the requests are refused."""
    without = simulate(NO_CLIENT, TEN_A_SECOND, **TWO_MINUTES)
    limited = simulate(alone(rate_limit=RateLimitPolicy(10, max_wait=5)), TEN_A_SECOND, **TWO_MINUTES)
    assert refused_by_the_service(without) > 0.4 * without.exchanges
    assert refused_by_the_service(limited) == 0
    assert limited.succeeded > 0.99 * 10 * 120


@pytest.mark.parametrize(("way", "refused"), [("aimd", 0.02), ("cubic", 0.06)])
def test_an_adaptive_rate_finds_the_real_limit(way: Any, refused: float) -> None:
    """It uses nearly all of it, and few requests are refused."""
    config = alone(rate_limit=RateLimitPolicy(adaptive=way, max_wait=5))
    report = simulate(config, TEN_A_SECOND, **TWO_MINUTES)
    assert report.succeeded > 0.95 * 10 * 120
    assert refused_by_the_service(report) < refused * report.exchanges


def test_an_adaptive_rate_follows_a_limit_that_changes() -> None:
    """From ten a second to five, and to twenty."""
    faults = [
        RateLimit(per_second=10, seconds=60),
        RateLimit(per_second=5, start=60, seconds=60),
        RateLimit(per_second=20, start=120),
    ]
    config = alone(rate_limit=RateLimitPolicy(adaptive="cubic", max_wait=2))
    report = simulate(config, Service(latency=0.05, faults=faults), rate=30, seconds=180, seed=1)
    for begins, ends, limit in ((20, 60, 10), (80, 120, 5), (140, 180, 20)):
        moments = [moment for moment in report.moments if begins <= moment.at < ends]
        succeeded = sum(moment.succeeded for moment in moments) / (ends - begins)
        assert 0.75 * limit < succeeded <= 1.05 * limit


class _Window:
    """A service that takes so many requests in each window of the clock, and says what is left.

    Its clock is another one than the client's, as its windows begin in the middle of a second.
    """

    def __init__(self, limit: int, seconds: float, clock: VirtualClock) -> None:
        self.limit, self.seconds, self.clock = limit, seconds, clock
        self.used: dict[int, int] = {}
        self.refused = 0

    def __call__(self, request: object) -> HttpResponse:
        now = self.clock.monotonic() + 0.37
        window = int(now // self.seconds)
        self.used[window] = used = self.used.get(window, 0) + 1
        self.refused += used > self.limit
        reset = math.ceil((window + 1) * self.seconds - now)
        headers = {
            "RateLimit-Policy": f'"default";q={self.limit};w={self.seconds:g}',
            "RateLimit": f'"default";r={max(0, self.limit - used)};t={reset}',
        }
        return HttpResponse(429 if used > self.limit else 200, headers=headers)


@pytest.mark.parametrize("follows", [True, False])
def test_no_429_from_a_service_that_says_what_is_left(follows: bool) -> None:
    """And all that it allows is used, by 20 callers who know no rate; without, most requests are refused."""
    clock = VirtualClock()
    service = _Window(30, 10.0, clock)
    limit = RateLimitPolicy(follow_headers=True) if follows else None
    client = HttpServiceClient(
        alone(rate_limit=limit), transport=ScriptedTransport(late(0.2, service), clock=clock), clock=clock
    )

    async def caller(number: int) -> None:
        await clock.sleep_async(number / 10)
        while clock.monotonic() < 100:
            await client.get_async("https://api.example.com/")

    async def main() -> None:
        async with client:
            await asyncio.gather(*(caller(number) for number in range(20)))

    asyncio.run(main())
    whole_windows = [used for window, used in service.used.items() if 0 < window < 9]
    if follows:
        assert service.refused == 0
        assert sum(whole_windows) > 0.9 * 30 * len(whole_windows)
    else:
        assert service.refused > 0.5 * sum(service.used.values())
