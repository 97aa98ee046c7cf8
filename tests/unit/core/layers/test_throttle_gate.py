"""A pause that a service asks for holds for all calls to it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from http_service_client import (
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
    ThrottledError,
)
from http_service_client.core.effects import Sleep
from http_service_client.core.layers.throttle_gate import ThrottleGateLayer
from http_service_client.core.machines.limits.throttle_gate import ThrottleGate
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.events import RetryStopped, StopReason, ThrottleRefused, ThrottleWaited
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row

BUSY = (429, {"Retry-After": "5"})
ONCE: dict[str, Any] = {"retry_policy": False}


def test_a_call_that_cannot_wait_is_refused_at_once(front_end: FrontEnd) -> None:
    """The pause is longer than half of its attempt timeout: nothing is sent, and the error says when to come back."""
    harness = Harness(front_end, BUSY, 200)
    assert harness.request(**ONCE).status_code == 429
    error = harness.error(ThrottledError, timeout=9.9)
    assert (error.key, error.retry_after, error.sent_state.value) == (
        "https://api.example.com",
        5.0,
        "never_sent",
    )
    assert harness.sends == 1
    assert harness.sleeps == []
    assert [event.retry_after for event in harness.events if isinstance(event, ThrottleRefused)] == [5.0]


def test_a_call_that_can_wait_does(front_end: FrontEnd) -> None:
    """It passes when the pause is over, in its first attempt, and the wait is none of its retries."""
    harness = Harness(front_end, BUSY, 200)
    harness.request(**ONCE)
    response = harness.request(timeout=10.0)
    assert (response.status_code, response.attempts) == (200, 1)
    (waited,) = [event for event in harness.events if isinstance(event, ThrottleWaited)]
    assert harness.sleeps == [waited.delay]
    assert 5.0 <= waited.delay <= 6.0


@pytest.mark.parametrize(("deadline", "waits"), [(5.0, False), (5.5, True)])
def test_the_deadline_bounds_the_wait(front_end: FrontEnd, deadline: float, waits: bool) -> None:
    """A pause that ends after the deadline is not waited for; one that ends before it leaves time for the attempt."""
    harness = Harness(front_end, BUSY, 200)
    harness.request(**ONCE)
    if waits:
        assert harness.request(total_timeout=deadline).status_code == 200
        assert harness.sleeps[0] < deadline
    else:
        harness.error(ThrottledError, total_timeout=deadline)


@each_row(("dice", "wait"), [(0.0, 5.0), (0.1, 5.1), (0.25, 5.25), (0.999, 5.25)])
def test_a_wait_leaves_time_for_the_attempt(front_end: FrontEnd, dice: float, wait: float) -> None:
    """Its spread uses no more than half of what the deadline, here of 5.5 s, leaves after the pause."""
    harness = Harness(front_end, BUSY, 200, random=lambda: dice)
    harness.request(**ONCE)
    assert harness.request(total_timeout=5.5).status_code == 200
    assert harness.sleeps == [pytest.approx(wait)]


@each_row(
    ("answer", "closes"),
    [
        ((503, {"Retry-After": "5"}), True),
        ((429, {"retry-after-ms": "5000"}), True),
        (503, False),
        (429, False),
        ((503, {"Retry-After": "soon"}), False),
        ((429, {"Retry-After": "0"}), False),
        ((429, {"Retry-After": "1"}), False),
        ((500, {"Retry-After": "5"}), False),
        ((200, {"Retry-After": "5"}), False),
    ],
)
def test_what_closes_the_gate(front_end: FrontEnd, answer: Any, closes: bool) -> None:
    """429 and 503 that say for how long; nothing else."""
    harness = Harness(front_end, answer, 200)
    harness.request(**ONCE)
    harness.request(**ONCE)
    assert (harness.sleeps != []) is closes


def test_the_call_s_own_retry_passes_first(front_end: FrontEnd) -> None:
    """Its wait is exact, so that it finds out for the others."""
    harness = Harness(front_end, BUSY, 200, retry_policy_config=RetryPolicy(2))
    assert harness.request().attempts == 2
    assert harness.sleeps == [5.0]
    assert not any(isinstance(event, ThrottleWaited) for event in harness.events)


def test_a_refused_retry_returns_the_last_outcome(front_end: FrontEnd) -> None:
    """Another call met a longer pause meanwhile: the caller gets the response that came, not a refusal."""
    harness: Harness

    def close_meanwhile(request: HttpRequest) -> HttpResponse:
        harness.state.gate = gate = ThrottleGate(harness.clock.monotonic)
        gate.close(60.0)
        return HttpResponse(503, request=request)

    harness = Harness(front_end, close_meanwhile, 200, retry_policy_config=RetryPolicy(2))
    assert harness.request().status_code == 503
    assert [event.reason for event in harness.events if isinstance(event, RetryStopped)] == [
        StopReason.THROTTLED
    ]


def test_each_origin_and_each_key_has_a_gate_of_its_own(front_end: FrontEnd) -> None:
    """A pause of one tenant, or of one host, holds for no other."""
    harness = Harness(front_end, BUSY, 200)
    harness.request(**ONCE, key="tenant-a")
    harness.request(**ONCE, key="tenant-b")
    harness.request(**ONCE, url="https://other.example.com/")
    assert harness.sleeps == []
    harness.request(**ONCE, key="tenant-a")
    assert len(harness.sleeps) == 1


def test_a_redirect_closes_the_gate_of_the_host_that_asked(front_end: FrontEnd) -> None:
    """The pause is that of the hop's own origin."""
    harness = Harness(front_end, (302, {"Location": "https://other.example.com/"}), BUSY, 200)
    assert harness.request(**ONCE).status_code == 429
    harness.request(**ONCE)
    assert harness.sleeps == []
    harness.request(**ONCE, url="https://other.example.com/")
    assert len(harness.sleeps) == 1


def test_the_gate_can_be_switched_off(front_end: FrontEnd) -> None:
    """Then every call is sent."""
    harness = Harness(front_end, BUSY, enable_throttle_gate=False)
    for _ in range(3):
        assert harness.request(**ONCE).status_code == 429
    assert harness.sends == 3


def test_twenty_callers_of_a_service_that_asks_for_a_pause() -> None:
    """All succeed, at most three requests come too early, the circuit stays closed, and they do not return all at once."""

    async def main() -> None:
        clock = VirtualClock()
        arrivals: list[float] = []

        def respond(request: HttpRequest) -> HttpResponse:
            arrivals.append(clock.monotonic())
            if clock.monotonic() < 5.0:
                return HttpResponse(429, headers={"Retry-After": "5"})
            return HttpResponse(200)

        client = HttpServiceClient(
            HttpClientConfig(), transport=ScriptedTransport([respond], clock=clock), clock=clock
        )

        async def caller(number: int) -> int:
            await clock.elapse_async(0.1 * number)
            return (await client.get_async("https://api.example.com/")).status_code

        assert await asyncio.gather(*map(caller, range(20))) == [200] * 20
        assert sum(at < 5.0 for at in arrivals) <= 3
        assert client.get_circuit_breaker_states() == {"https://api.example.com": "closed"}
        assert max(arrivals) - min(at for at in arrivals if at >= 5.0) > 0.5
        assert len(arrivals) <= 23

    asyncio.run(main())


@each_row(
    ("early", "is_cut"),
    [(-0.001, False), (0.0, False), (0.01, False), (TIMER_SLACK, False), (TIMER_SLACK + 0.001, True), (5.0, True)],
)  # fmt: skip
def test_only_a_wait_that_the_end_of_the_client_cut_short_is_the_last(early: float, is_cut: bool) -> None:
    """Timers may be a little early: then the call waits again, if the service has asked for more time meanwhile."""
    harness = Harness(BlockingFrontEnd(), BUSY)
    harness.clock.now = 0.0  # where the sums are exact
    harness.request(**ONCE)
    call = harness.client._call_builder.build("GET", URL, timeout=60.0)

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        return "begun"

    plan = ThrottleGateLayer(lambda: 0.0)(proceed, call.request, call)
    effect: Any = next(plan)
    assert effect.seconds == 5.0
    harness.clock.now += effect.seconds - early
    harness.state.gate.close(20.0)
    if is_cut:
        with pytest.raises(StopIteration) as ended:
            plan.send(None)
        assert ended.value.value == "begun"
    else:
        assert isinstance(plan.send(None), Sleep)
        plan.close()


@pytest.mark.parametrize(("more", "waits"), [(15.0, True), (15.1, False)])
def test_all_waits_of_a_call_share_half_of_its_timeout(more: float, waits: bool) -> None:
    """Pauses that follow each other would otherwise keep it for ever."""
    harness = Harness(BlockingFrontEnd(), BUSY)
    harness.request(**ONCE)
    call = harness.client._call_builder.build("GET", URL, timeout=40.0)
    plan: Any = ThrottleGateLayer(lambda: 0.0)(lambda request, call: iter(()), call.request, call)
    harness.clock.now += next(plan).seconds
    harness.state.gate.close(more)
    if waits:
        assert plan.send(None).seconds == pytest.approx(more)
        plan.close()
    else:
        with pytest.raises(StopIteration) as ended:
            plan.send(None)
        assert ended.value.value.error_type is ThrottledError


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    """The gate stays as it is, and no slot or permit is held."""

    async def main() -> None:
        clock = VirtualClock()
        transport = ScriptedTransport(
            [HttpResponse(429, headers={"Retry-After": "5"}), HttpResponse(200)], clock=clock
        )
        client = HttpServiceClient(transport=transport, clock=clock)
        await client.get_async("https://api.example.com/", retry_policy=False)
        task = asyncio.ensure_future(client.get_async("https://api.example.com/"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        state = client._call_builder.origins.get("https://api.example.com")
        assert state.connections.in_use == 0
        assert state.gate is not None
        assert (await client.get_async("https://api.example.com/")).status_code == 200

    asyncio.run(main())
