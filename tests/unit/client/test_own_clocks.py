"""A clock that derives from the system's: what it changes is used."""

from __future__ import annotations

from http_service_client import ConstantBackoff, HttpResponse, HttpServiceClient, RetryPolicy
from http_service_client.drivers.clocks import SystemClock
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd

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
    """A wait of half an hour takes no time, in a call of either front end."""
    clock = Impatient()
    transport = ScriptedTransport([HttpResponse(500), HttpResponse(200)])
    client = HttpServiceClient(clock=clock, transport=transport, random=lambda: 0.5)
    policy = RetryPolicy(backoff_strategy=ConstantBackoff(3600))
    assert front_end.request(client, "GET", URL, retry_policy=policy, timeout=None).status_code == 200
    assert clock.slept == [1800.0]
