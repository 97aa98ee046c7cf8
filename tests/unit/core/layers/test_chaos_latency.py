"""Injected latency: which limits it counts against, and what ends it early."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ChaosPolicy,
    ClientClosedError,
    ConnectError,
    ConnectTimeoutError,
    DeadlineExceededError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    ReadTimeoutError,
    SentState,
    Timeout,
)
from http_service_client.core.open_body import OpenResponse
from http_service_client.events import AttemptFinished, ChaosInjected
from kit.chaos import ONCE, harness_of, injected
from kit.fakes import URL, Harness
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row


def test_a_latency_holds_the_response_back(front_end: FrontEnd) -> None:
    """The request is sent, and the delay counts as time of the service."""
    whole = HttpResponse(200, content=b"whole", url=URL)
    harness = harness_of(front_end, whole, latency=(2.0, 2.0), latency_rate=1)
    response = harness.request()
    assert response.content == b"whole"
    assert (response.status_code, response.elapsed) == (200, 2.0)
    assert (harness.sends, harness.sleeps) == (1, [2.0])
    assert [event.duration for event in harness.events if isinstance(event, AttemptFinished)] == [2.0]
    assert injected(harness) == [("latency", "2.000 s")]


@each_row(
    ("timeout", "error", "seconds"),
    [
        (Timeout(total=3), AttemptTimeoutError, 3),
        (Timeout(total=5), AttemptTimeoutError, 5),
        (Timeout(total=5, read=5), AttemptTimeoutError, 5),
        (Timeout(total=9, read=2), ReadTimeoutError, 2),
        (Timeout(total=9, read=2, first_byte=4), ReadTimeoutError, 4),
        (Timeout(read=2), ReadTimeoutError, 2),
    ],
)
def test_a_latency_above_the_timeout_ends_with_it(
    front_end: FrontEnd, timeout: Timeout, error: Any, seconds: float
) -> None:
    """When its time is over, and the server may have processed the request."""
    harness = harness_of(front_end, latency=5, latency_rate=1)
    found = harness.error(error, timeout=timeout, method="POST")
    assert found.sent_state is SentState.MAYBE_PROCESSED
    assert harness.sleeps == [seconds]


def test_a_latency_before_connecting_ends_with_the_connect_timeout(front_end: FrontEnd) -> None:
    """Nothing was sent, so a POST is repeated."""
    harness = harness_of(front_end, latency=9, latency_rate=1, errors=["ConnectError"], error_rate=1)
    error = harness.error(ConnectTimeoutError, method="POST", timeout=Timeout(total=20, connect=2))
    assert error.sent_state is SentState.NEVER_SENT
    assert harness.sleeps[0] == 2
    assert (harness.sends, len([each for each in injected(harness) if each[0] == "latency"])) == (0, 3)


@each_row(
    ("fault", "timeout", "error", "seconds"),
    [
        ({"statuses": [503], "status_rate": 1}, Timeout(total=3), AttemptTimeoutError, 3),
        ({"statuses": [503], "status_rate": 1}, Timeout(total=9, first_byte=2), ReadTimeoutError, 2),
        ({"errors": [ConnectError], "error_rate": 1}, Timeout(total=3), ConnectTimeoutError, 3),
    ],
)
def test_a_latency_before_a_fault_has_the_whole_timeout(
    front_end: FrontEnd, fault: dict[str, Any], timeout: Timeout, error: Any, seconds: float
) -> None:
    """Nothing has taken any of it. What ends is the wait for the connection, or for the response."""
    harness = harness_of(front_end, latency=5, latency_rate=1, **fault)
    harness.error(error, timeout=timeout, **ONCE)
    assert (harness.sends, harness.sleeps) == (0, [seconds])


@each_row(
    ("timeout", "took", "left"),
    [
        (Timeout(total=4.0), 1.0, 3.0),
        (Timeout(total=4.0), 3.5, 0.5),
        (Timeout(total=4.0), 4.5, 0.0),
        (Timeout(total=9.0, first_byte=4.0), 1.0, 3.0),
        (Timeout(total=9.0, first_byte=4.0), 3.5, 0.5),
        (Timeout(total=9.0, first_byte=4.0), 4.5, 0.0),
    ],
)
def test_a_latency_has_what_the_exchange_left_of_the_timeout(
    front_end: FrontEnd, timeout: Timeout, took: float, left: float
) -> None:
    """Or nothing, if the response itself came too late."""

    def slowly(request: HttpRequest) -> HttpResponse:
        harness.clock.now += took
        return HttpResponse(200, url=request.url)

    harness = harness_of(front_end, slowly, latency=5, latency_rate=1)
    harness.error(
        AttemptTimeoutError if timeout.first_byte is None else ReadTimeoutError, timeout=timeout, **ONCE
    )
    assert injected(harness) == [("latency", f"{left:.3f} s")]
    assert harness.clock.now == 1000.0 + took + left


def test_a_cancelled_delay_releases_everything() -> None:
    """The response that was held back is closed, with its connection and its slots."""
    closed: list[str] = []

    class Source:
        def close(self) -> None:
            closed.append("closed")

    class Streaming(_Answering):
        async def open_response_async(self, request: Any, timeout: Any) -> OpenResponse:
            return OpenResponse(200, source=Source(), url=request.url)

    policy = ChaosPolicy(latency=600, latency_rate=1)
    client = HttpServiceClient(HttpClientConfig(chaos=policy), transport=Streaming())

    async def main() -> None:
        async def read() -> None:
            async with client.stream_async("GET", URL):
                raise AssertionError("it is held back")

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close_async()

    run_task(main())
    assert closed == ["closed"]
    assert [limit.in_use for limit in client._backends._limits()] == [0, 0]
    assert policy.chaos._ended._waiting == {}


def test_closing_the_client_ends_a_delay(front_end: FrontEnd) -> None:
    """What comes next is refused, as in any wait."""
    for chaos, expected in [
        (ChaosPolicy(latency=600, latency_rate=1), 200),
        (ChaosPolicy(latency=600, latency_rate=1, errors=[ConnectError], error_rate=1), ClientClosedError),
    ]:
        timers: list[threading.Timer] = []

        def close_soon(event: object) -> None:
            if isinstance(event, ChaosInjected) and not timers:
                timers.append(threading.Timer(0.01, client.close))
                timers[0].start()

        config = HttpClientConfig(chaos=chaos)
        client = HttpServiceClient(config, transport=_Answering(), on_event=close_soon)
        result: Any
        try:
            result = front_end.run(front_end.calling(client, "GET", URL, timeout=None)).status_code
        except ClientClosedError as error:
            result = type(error)
        timers[0].join()
        assert result == expected


def test_a_latency_does_not_outlast_the_deadline(front_end: FrontEnd) -> None:
    """The call ends with its own limit, and says so."""
    harness = harness_of(front_end, latency=5, latency_rate=1)
    assert "3" in str(harness.error(DeadlineExceededError, total_timeout=3))
    assert harness.sleeps == [3]


def test_switched_off_in_mid_call(front_end: FrontEnd) -> None:
    """A delay ends at once, what was decided is not done, and nothing more is injected."""
    policy = ChaosPolicy(latency=600, latency_rate=1, errors=[ReadTimeoutError], error_rate=1)
    timers: list[threading.Timer] = []

    def disable_soon(event: object) -> None:
        if isinstance(event, ChaosInjected):
            timers.append(threading.Timer(0.02, policy.disable))
            timers[-1].start()

    with HttpServiceClient(
        HttpClientConfig(chaos=policy), transport=_Answering(), on_event=disable_soon
    ) as client:
        response = front_end.run(front_end.calling(client, "GET", URL))
        assert response.status_code == 200
        kinds = [event.kind for event in response.timeline if isinstance(event, ChaosInjected)]
        assert kinds == ["latency"]
        assert front_end.run(front_end.calling(client, "GET", URL)).attempts == 1
        assert policy.snapshot() == (False, "it is disabled", 1, 1, None)
        policy.enable()
        assert policy.snapshot().is_on
    assert len(timers) == 1
    timers[0].join()


class _Answering:
    def send(self, request: Any, timeout: Any) -> HttpResponse:
        return HttpResponse(200, url=request.url)

    async def send_async(self, request: Any, timeout: Any) -> HttpResponse:
        return HttpResponse(200, url=request.url)

    def close(self) -> None:
        pass

    async def close_async(self) -> None:
        pass


def test_a_fault_before_sending_that_is_no_longer_due_is_left_out(front_end: FrontEnd) -> None:
    """The request goes out after all, within what is left of its timeout."""
    harness = Harness(front_end, 200)
    policy = ChaosPolicy(latency=4, latency_rate=1, errors=[ConnectError], error_rate=1)
    sleep = harness.clock.sleep

    def sleep_and_disable(seconds: float) -> None:
        sleep(seconds)
        policy.disable()

    harness.clock.sleep = sleep_and_disable  # type: ignore[method-assign]
    harness.client._backends._blocking = harness.client._backends._asyncio = None
    harness.client.reconfigure(HttpClientConfig(chaos=policy))
    assert harness.request(timeout=10).status_code == 200
    assert harness.transport.timeouts[-1].total == pytest.approx(6)
