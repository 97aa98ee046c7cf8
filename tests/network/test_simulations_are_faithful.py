"""A scenario on real sockets and the same one in a simulation agree: attempts, refusals and successes, within 10 %."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ExponentialBackoff,
    HttpClientConfig,
    HttpClientError,
    HttpServiceClient,
    RetryPolicy,
)
from http_service_client.simulation import Errors, Fault, Outage, Service, simulate
from http_service_client.testing import Action, LoopbackServer, answer, respond, stall

RATE, SECONDS, LATENCY = 80.0, 3.0, 0.02
RUNS, LATE = 4, 0.05  # at most; seconds
CONFIG = HttpClientConfig(
    base_timeout=0.5,
    max_connections_per_host=100,
    retry_policy_config=RetryPolicy(3, ExponentialBackoff(initial_delay=0.1)),
    circuit_breaker_config={"recovery_timeout": 0.35, "success_threshold": 2},
)
# Ends far from any trial of the circuit, so that a busy machine does not decide which side of it the trial is on.
OUTAGE, SILENCE = {"start": 1.0, "seconds": 1.0}, {"start": 1.0, "seconds": 1.3}


def failing(random: Random) -> Callable[[float], Action]:
    """As `Errors(rate=0.1)`."""
    return lambda now: respond(503 if random.random() < 0.1 else 200, delay=LATENCY)


def down(action: Action, *, start: float, seconds: float) -> Callable[[float], Action]:
    """As an outage."""
    return lambda now: action if start <= now < start + seconds else respond(delay=LATENCY)


async def really(decide: Callable[[float], Action]) -> tuple[Counter[str], float]:
    """The calls of a simulation's client, at the same instants, to a server on loopback; and how late the latest was."""
    found: Counter[str] = Counter()
    late = 0.0

    async def call(client: HttpServiceClient, url: str) -> None:
        try:
            response = await client.get_async(url)
        except CircuitOpenError as error:
            found["refusals"] += not any(event.name == "attempt_finished" for event in error.timeline or ())
        except HttpClientError:
            pass
        else:
            found["successes"] += response.is_success

    def count(*exchange: Any) -> None:
        found["attempts"] += 1

    with LoopbackServer() as server:
        async with HttpServiceClient() as other:
            await other.get_async(server.url)  # it imports what a first call needs, which takes a while
        started = time.monotonic()
        server.script("*", answer(lambda request: decide(time.monotonic() - started)))
        async with HttpServiceClient(CONFIG, on_exchange=count) as client:
            arrivals = Random("arrivals 0")  # as the simulation draws them
            at, calls = arrivals.expovariate(RATE), []
            while at < SECONDS:
                await asyncio.sleep(max(0.0, started + at - time.monotonic()))
                late = max(late, time.monotonic() - started - at)
                calls.append(asyncio.ensure_future(call(client, server.url)))
                arrivals.random()
                at += arrivals.expovariate(RATE)
            await asyncio.gather(*calls)
            found["calls"] = len(calls)
    return found, late


def simulated(fault: Fault) -> Counter[str]:
    service = Service(latency=LATENCY, network=0.0005, faults=[fault])
    report = simulate(CONFIG, service, rate=RATE, seconds=SECONDS)
    return Counter(
        calls=report.calls,
        attempts=report.exchanges,
        refusals=sum(report.refusals.values()),
        successes=report.succeeded,
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("serving", "fault"),
    [
        pytest.param(lambda: failing(Random(5)), Errors(rate=0.1), id="errors"),
        pytest.param(
            lambda: down(respond(503), **OUTAGE), Outage(how=503, **OUTAGE), id="an outage that says so"
        ),
        pytest.param(lambda: down(stall(), **SILENCE), Outage(how="silent", **SILENCE), id="a silent outage"),
    ],
)
async def test_a_simulation_agrees_with_reality(
    serving: Callable[[], Callable[[float], Action]], fault: Fault
) -> None:
    """One scenario at a time, and again if a busy machine made calls late: it was another scenario then."""
    expected = simulated(fault)
    for _ in range(RUNS):
        found, late = await really(serving())
        if late <= LATE:
            break
    assert found["calls"] == expected["calls"]
    for figure in ("attempts", "refusals", "successes"):
        assert found[figure] == pytest.approx(expected[figure], rel=0.1, abs=6), (figure, found)
