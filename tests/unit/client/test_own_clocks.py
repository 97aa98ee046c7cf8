"""A clock that derives from the system's: what it changes is used."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConstantBackoff,
    HttpResponse,
    HttpServiceClient,
    ResiliencePipeline,
    RetryPolicy,
)
from http_service_client.drivers.clocks import SystemClock
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd, run_task

URL = "https://api.example.com/"


class Impatient(SystemClock):
    """Never sleeps, and notes for how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 1))

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


def test_its_sleep_is_used_between_attempts(front_end: FrontEnd) -> None:
    """A wait takes no time, in a call of either front end."""
    clock = Impatient()
    transport = ScriptedTransport([HttpResponse(500), HttpResponse(200)])
    client = HttpServiceClient(clock=clock, transport=transport, random=lambda: 0.5)
    policy = RetryPolicy(backoff_strategy=ConstantBackoff(4.0))
    assert front_end.request(client, "GET", URL, retry_policy=policy, timeout=None).status_code == 200
    assert clock.slept == [2.0]


@pytest.mark.parametrize("library", ["none", "asyncio", "trio"])
def test_its_sleep_is_used_between_the_attempts_of_a_function(library: str) -> None:
    """Of a plain one and of an async one, in a task of either library."""
    clock, results = Impatient(), [ConnectionError(), "done"]
    policy = RetryPolicy(2, ConstantBackoff(0.1, jitter="none"), clock=clock)
    pipeline = ResiliencePipeline(policy)

    def function() -> str:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return str(result)

    async def function_async() -> str:
        return function()

    async def call() -> Any:
        return await pipeline.call_async(function_async)

    if library == "none":
        assert pipeline.call(function) == "done"
    elif library == "asyncio":
        assert run_task(call()) == "done"
    else:
        assert pytest.importorskip("trio", reason="the extra trio is not installed").run(call) == "done"
    assert clock.slept == [0.1]
