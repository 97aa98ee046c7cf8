"""Chaos in a client's calls: what is injected is seen as the real fault is."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from contextlib import nullcontext, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ChaosPolicy,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    DeadlineExceededError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    ProtocolError,
    ReadTimeoutError,
    SentState,
    ThrottledError,
    Timeout,
)
from http_service_client.auth import AuthFlow
from http_service_client.core.effects import Send
from http_service_client.core.layers.chaos import ChaosLayer, disturbed
from http_service_client.core.machines.chaos import Chaos
from http_service_client.core.machines.chaos_settings import ChaosSettings
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import TIMER_SLACK
from http_service_client.errors import Failure
from http_service_client.events import AttemptFinished, ChaosInjected, Timeline
from http_service_client.transports.injected import _FAULTS, INJECTED_FAULTS
from kit.fakes import ORIGIN, RESET, URL, FakeClock, Harness
from kit.front_ends import FrontEnd, run_task
from kit.streaming import ScriptedSource, StreamingTransport

ONCE: dict[str, Any] = {"retry_policy": False}


def injected(harness: Harness) -> list[tuple[str, str]]:
    return [(event.kind, event.what) for event in harness.events if isinstance(event, ChaosInjected)]


def harness_of(front_end: FrontEnd, *script: Any, settings: Any = None, **chaos: Any) -> Harness:
    return Harness(front_end, *(script or (200,)), chaos=chaos, **(settings or {}))


@pytest.mark.parametrize("kind", _FAULTS, ids=lambda kind: kind.__name__)
def test_an_error_is_that_of_the_wire(front_end: FrontEnd, kind: Any) -> None:
    """Its class, sent-state and sentence; the request is sent exactly where a real one would have been."""
    harness = harness_of(front_end, errors=[kind], error_rate=1)
    error = harness.error(kind, method="POST", timeout=Timeout(total=9, read=4))
    real = INJECTED_FAULTS.failure(kind, error.request, Timeout(total=9, read=4))
    assert (type(error), str(error), error.sent_state) == (kind, real.message, real.sent_state)
    assert harness.sends == (0 if error.sent_state is SentState.NEVER_SENT else 1)
    assert injected(harness)[0] == ("error", kind.__name__)


def test_what_was_never_sent_is_repeated_and_what_may_be_processed_is_not(front_end: FrontEnd) -> None:
    """The retries decide about an injected error as about a real one."""
    harness = harness_of(front_end, errors=["ConnectError"], error_rate=1)
    harness.error(ConnectError, method="POST")
    assert (len(injected(harness)), harness.sends) == (3, 0)
    harness = harness_of(front_end, errors=["ReadTimeoutError"], error_rate=1)
    harness.error(ReadTimeoutError, method="POST")
    assert (len(injected(harness)), harness.sends) == (1, 1)


def test_a_status_stands_in_for_the_response(front_end: FrontEnd) -> None:
    """Nothing is sent, and headers count: a 429 closes the throttle gate."""
    harness = harness_of(front_end, statuses=[(429, {"Retry-After": "300"})], status_rate=1)
    response = harness.request(**ONCE)
    assert (response.status_code, response.reason_phrase) == (429, "Too Many Requests")
    assert response.headers["Retry-After"] == "300"
    assert response.url == URL
    assert harness.error(ThrottledError).retry_after == pytest.approx(300)
    assert harness.sends == 0


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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_what_is_injected_into_a_stream_is_seen_as_that_of_the_wire(front_end: FrontEnd) -> None:
    """The latency is part of the time to the first byte, and the body breaks off; the events say both."""
    limits: list[float | None] = []

    class Source(ScriptedSource):
        def read(self, timeout: Timeout) -> bytes | Failure:
            limits.append(timeout.read)
            return super().read(timeout)

    class Streaming(StreamingTransport):
        def open_response(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
            source = Source((b"x" * 500, b"x" * 500))
            return OpenResponse(200, source=source, headers={"Content-Length": "1000"}, url=request.url)

        async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
            return self.open_response(request, timeout)

    events: list[Any] = []
    client = front_end.client(
        chaos=ChaosPolicy(latency=2.0, latency_rate=1, truncation_rate=1, seed=7),
        transport=Streaming(),
        clock=FakeClock(),
        on_event=events.append,
    )
    with (
        front_end.stream(client, "GET", URL, timeout=Timeout(first_byte=5.0)) as response,
        pytest.raises(ProtocolError, match="was cut short after"),
    ):
        list(response.iter_bytes())
    assert limits[0] == 3.0
    latency, truncation = [event for event in events if isinstance(event, ChaosInjected)]
    assert (latency.kind, latency.what, truncation.kind) == ("latency", "2.000 s", "truncation")
    assert re.fullmatch(r"after \d+ bytes", truncation.what)


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({}, "within the first piece"),
        ({"Content-Length": "\u0661\u0660"}, "within the first piece"),
        ({"Content-Length": "ten"}, "within the first piece"),
        ({"Content-Length": "0"}, None),
    ],
)
def test_a_stream_is_cut_where_there_is_something_to_cut(
    front_end: FrontEnd, headers: dict[str, str], what: str | None
) -> None:
    """Without a length that can be read, soon; and an empty body is complete."""
    events: list[Any] = []
    client = front_end.client(
        chaos=ChaosPolicy(truncation_rate=1, seed=7),
        transport=StreamingTransport(*([] if what is None else [b"x" * 100]), headers=headers),
        on_event=events.append,
    )
    with front_end.stream(client, "GET", URL) as response, suppress(ProtocolError):
        list(response.iter_bytes())
    cut = [event.what for event in events if isinstance(event, ChaosInjected)]
    assert cut == ([] if what is None else [what])


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


def test_a_real_failure_comes_first(front_end: FrontEnd) -> None:
    """An exchange that fails by itself is not disturbed further."""
    harness = harness_of(front_end, RESET, errors=[ReadTimeoutError], error_rate=1, latency=5, latency_rate=1)
    harness.error(ConnectionLostError, **ONCE)
    assert (injected(harness), harness.sleeps) == ([], [])


def test_a_response_is_cut_short(front_end: FrontEnd) -> None:
    """It is the protocol error of a real one; a response without a body has nothing to cut."""
    body = HttpResponse(200, content=b"x" * 1000, headers={"Content-Length": "1000"}, url=URL)
    harness = Harness(front_end, body, chaos=ChaosPolicy(truncation_rate=1, seed=7))
    error = harness.error(ProtocolError, method="POST")
    received = int(str(error).split()[-2])
    assert 0 <= received < 1000
    assert str(error) == f"the response from {URL} was cut short after {received} bytes"
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert injected(harness) == [("truncation", f"after {received} bytes")]
    for status in (200, 204, 302):
        harness.transport.script[:] = [HttpResponse(status, headers={"Content-Length": "0"}, url=URL)]
        assert harness.request(allow_redirects=False).status_code == status


@pytest.mark.parametrize(
    ("method", "status", "is_cut"),
    [
        ("GET", 299, True),
        ("GET", 300, False),
        ("GET", 399, False),
        ("GET", 400, True),
        ("HEAD", 200, False),
        ("GET", 204, False),
    ],
)
def test_only_a_body_that_is_read_is_cut(front_end: FrontEnd, method: str, status: int, is_cut: bool) -> None:
    """That of a redirect is not; and a HEAD or a 204 has none, whatever its headers say."""
    outcome = HttpResponse(status, content=b"x" * 1000, headers={"Content-Length": "1000"}, url=URL)
    harness = Harness(front_end, outcome, chaos=ChaosPolicy(truncation_rate=1, seed=7))
    if is_cut:
        harness.error(ProtocolError, method, retry_policy=False)
    else:
        assert harness.request(method, allow_redirects=False).status_code == status
    assert bool(injected(harness)) is is_cut


def test_it_is_bounded_in_calls(front_end: FrontEnd) -> None:
    """However many attempts they make; then nothing is injected."""
    harness = harness_of(front_end, errors=[ConnectError], error_rate=1, max_calls=2)
    outcomes = [harness.calling() for _ in range(2)]
    for each in outcomes:
        with pytest.raises(ConnectError):
            front_end.run(each)
    assert len(injected(harness)) == 6
    assert harness.request().status_code == 200
    summary = harness.client.get_health_summary()["chaos"]
    assert (summary["calls"], summary["injections"], summary["is_on"]) == (2, 6, False)


def test_it_has_a_scope(front_end: FrontEnd) -> None:
    """Origins and routes, below any base URL; each hop of a redirect is judged by its own URL."""
    harness = harness_of(
        front_end,
        statuses=[503],
        status_rate=1,
        origins=["*.example.com"],
        routes=["GET /orders/{id}", "DELETE *"],
    )
    for method, url, status in [
        ("GET", f"{ORIGIN}/v1/orders/7?x=1", 503),
        ("DELETE", f"{ORIGIN}/anything", 503),
        ("GET", f"{ORIGIN}/orders", 200),
        ("POST", f"{ORIGIN}/orders/7", 200),
        ("GET", "https://other.test/orders/7", 200),
    ]:
        assert harness.request(method, url, **ONCE).status_code == status
    harness.transport.script[:] = [(302, {"Location": "/orders/7"}), 200]
    assert harness.request("GET", f"{ORIGIN}/start", **ONCE).status_code == 503


def test_a_time_window(front_end: FrontEnd) -> None:
    """Nothing before it, nothing after it."""
    harness = Harness(front_end, 200)
    policy = ChaosPolicy(statuses=[503], status_rate=1, begins_after=10, ends_after=20, clock=harness.clock)
    harness.client.reconfigure(HttpClientConfig(chaos=policy))
    found = []
    for _ in range(5):
        found.append(harness.request(**ONCE).status_code)
        harness.clock.now += 5
    assert found == [200, 200, 503, 503, 200]


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


def test_an_open_slot_and_permits_are_released(front_end: FrontEnd) -> None:
    """Whatever is injected, nothing is held afterwards."""
    harness = harness_of(
        front_end,
        errors=[ConnectError, ReadTimeoutError],
        error_rate=0.5,
        statuses=[500],
        status_rate=0.3,
        latency=100,
        latency_rate=0.5,
        truncation_rate=0.2,
        seed=3,
    )
    for _ in range(60):
        try:
            harness.request(timeout=1)
        except Exception:
            pass
    assert [limit.in_use for limit in harness.limits] == [0, 0]
    policy = harness.client.config.chaos
    assert isinstance(policy, ChaosPolicy)
    assert policy.chaos._ended._waiting == {}


def test_requests_of_auth_flows_meet_it_too(front_end: FrontEnd) -> None:
    """By their own URLs, as all that goes over the wire."""

    class Login(AuthFlow):
        def auth_flow(self, request: HttpRequest) -> Any:
            response = yield HttpRequest("POST", f"{ORIGIN}/login")
            request.headers["X-Login"] = str(response.status_code)
            yield request

    harness = harness_of(front_end, statuses=[503], status_rate=1, routes=["POST /login"])
    harness.request(auth=Login(), **ONCE)
    assert [(sent.method, sent.headers.get("X-Login")) for sent in harness.transport.sent] == [("GET", "503")]


def test_it_is_loud(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """At the start, for each fault, in the timeline, in the metrics and in the summary."""
    with caplog.at_level(logging.WARNING, "http_service_client.chaos"):
        harness = harness_of(front_end, statuses=[503], status_rate=1, max_calls=5)
        response = harness.request(**ONCE)
    first, line = (record.getMessage() for record in caplog.records)
    assert first == "a client: chaos is on; it injects status 503 at a rate of 1; in 5 calls at most"
    assert line == f"{ORIGIN}: attempt 1: chaos injected status 503"
    assert isinstance(response.timeline, Timeline)
    assert "attempt 1: chaos injected status 503" in response.timeline.explain()
    metrics = harness.client.metrics
    assert metrics.total("http_chaos_injections_total", {"service": ORIGIN, "kind": "status"}) == 1
    summary = harness.client.get_health_summary()
    assert "! chaos is on; it injects status 503" in summary.explain()
    assert "1 fault in 1 call so far" in summary.explain()


@pytest.mark.parametrize(
    ("of_keyword", "of_config", "name"),
    [
        (None, None, "a client"),
        (None, "https://config.test", "https://config.test"),
        ("https://keyword.test", None, "https://keyword.test"),
        ("https://keyword.test", "https://config.test", "https://keyword.test"),
    ],
)
@pytest.mark.parametrize("is_reload", [False, True], ids=["from the start", "by a reload"])
def test_the_log_names_the_client_by_its_base_url(
    caplog: pytest.LogCaptureFixture, of_keyword: Any, of_config: Any, name: str, is_reload: bool
) -> None:
    """Whenever the chaos comes."""
    config = HttpClientConfig(base_url=of_config, chaos={"statuses": [503], "status_rate": 1.0})
    with caplog.at_level(logging.WARNING, "http_service_client.chaos"):
        first = replace(config, chaos=None) if is_reload else config
        with HttpServiceClient(first, base_url=of_keyword) as client:
            assert len(caplog.records) == (0 if is_reload else 1)
            client.reconfigure(config)
    (record,) = caplog.records
    assert record.getMessage() == f"{name}: chaos is on; it injects status 503 at a rate of 1"


@pytest.mark.parametrize("word", ["off", "OFF", "0", "false", "stop!"])
def test_the_kill_switch(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    """Whatever is not clearly on switches all chaos off, and the log says so."""
    monkeypatch.setenv("HTTP_SERVICE_CLIENT_CHAOS", word)
    harness = harness_of(front_end, statuses=[503], status_rate=1)
    assert harness.request().status_code == 200
    assert "off now: HTTP_SERVICE_CLIENT_CHAOS switches it off" in caplog.text
    monkeypatch.setenv("HTTP_SERVICE_CLIENT_CHAOS", "on")
    assert harness_of(front_end, statuses=[503], status_rate=1).request(**ONCE).status_code == 503


def test_a_reload_goes_on_with_the_count_and_the_switch(front_end: FrontEnd) -> None:
    """A configuration that is made again from its file is no new experiment."""
    settings = {"statuses": [503], "status_rate": 1.0, "max_calls": 1}
    harness = harness_of(front_end, **settings)
    harness.request(**ONCE)
    harness.client.reconfigure(HttpClientConfig(chaos=settings))
    assert harness.request(**ONCE).status_code == 200
    harness.client.reconfigure(HttpClientConfig(chaos={**settings, "max_calls": 9}))
    assert harness.request(**ONCE).status_code == 503
    policy = harness.client.config.chaos
    assert isinstance(policy, ChaosPolicy)
    policy.disable()
    harness.client.reconfigure(HttpClientConfig(chaos={**settings, "max_calls": 9}))
    assert harness.request(**ONCE).status_code == 200
    harness.client.reconfigure(HttpClientConfig())
    assert harness.client.get_health_summary()["chaos"] is None


def test_a_reload_brings_a_policy_in_use_along_as_it_is(front_end: FrontEnd) -> None:
    """It has a count of its own, which the one before must not replace."""
    settings: dict[str, Any] = {"statuses": [503], "status_rate": 1.0, "max_calls": 1}
    shared = ChaosPolicy(**settings)
    harness, other = harness_of(front_end, **settings), Harness(front_end, 200, chaos=shared)
    assert other.request(**ONCE).status_code == 503
    harness.client.reconfigure(HttpClientConfig(chaos=shared))
    assert harness.request(**ONCE).status_code == 200


def test_clients_that_share_a_policy_share_its_bound(front_end: FrontEnd) -> None:
    """It is live, as a jar is."""
    policy = ChaosPolicy(statuses=[503], status_rate=1, max_calls=1)
    one, other = Harness(front_end, 200, chaos=policy), Harness(front_end, 200, chaos=policy)
    assert [each.request(**ONCE).status_code for each in (one, other)] == [503, 200]


def test_a_seed_repeats_the_faults(front_end: FrontEnd) -> None:
    """And another rate of one kind does not shift the others."""

    def kinds(**changes: Any) -> list[int]:
        settings = {"statuses": [503], "status_rate": 0.3, "seed": 5, **changes}
        harness = harness_of(front_end, **settings)
        return [harness.request(**ONCE).status_code for _ in range(30)]

    assert kinds() == kinds() == kinds(latency=1, latency_rate=0.5)
    assert 503 in kinds()
    assert 200 in kinds()
    assert kinds(seed=6) != kinds()


def test_an_error_that_no_exchange_ends_with_is_refused() -> None:
    """When the configuration is made; the message lists those that can be injected."""
    with pytest.raises(
        ConfigurationError, match=r"chaos: errors has ValueError, which no exchange ends with; .*ConnectError"
    ):
        HttpClientConfig(chaos=ChaosPolicy(errors=[ValueError], error_rate=1))


def test_a_chaos_that_is_off_costs_a_look(front_end: FrontEnd) -> None:
    """The exchange's own plan runs, and nothing around it."""

    class Source:
        chaos = type("Off", (), {"is_on": False})()

    plan = iter(())
    assert ChaosLayer(Source(), INJECTED_FAULTS)(lambda request, call: plan, None, None) is plan  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("headers", "length"), [({}, "0"), ({"Retry-After": "1"}, "0"), ({"content-length": "3"}, "3")]
)
def test_an_injected_response_has_one_length(
    front_end: FrontEnd, headers: dict[str, str], length: str
) -> None:
    """The one that was given, or that of an empty body."""
    harness = harness_of(front_end, statuses=[(503, headers)], status_rate=1)
    response = harness.request(retry_policy=False)
    assert response.headers.get_all("Content-Length") == [length]


def test_an_injected_status_that_has_no_phrase_has_none(front_end: FrontEnd) -> None:
    """As one that comes from a server."""
    harness = harness_of(front_end, statuses=[599], status_rate=1)
    assert harness.request(**ONCE).reason_phrase == ""


@pytest.mark.parametrize(
    ("came", "headers"), [(1000, {}), (100_000, {"Content-Length": "1000"})], ids=["unknown", "decoded"]
)
def test_a_body_is_cut_by_the_length_of_what_was_sent(
    front_end: FrontEnd, came: int, headers: dict[str, str]
) -> None:
    """Where it is not in the head, by that of what came. Decoded, a body is longer than it was on the wire."""
    harness = Harness(
        front_end,
        HttpResponse(200, content=b"x" * came, headers=headers, url=URL),
        chaos=ChaosPolicy(truncation_rate=1, seed=7),
    )
    assert 0 < int(str(harness.error(ProtocolError, **ONCE)).split()[-2]) < 1000


@pytest.mark.parametrize(
    ("chaos", "error"),
    [
        ({"latency": 5.0, "latency_rate": 1}, AttemptTimeoutError),
        ({"errors": [ConnectionLostError], "error_rate": 1}, ConnectionLostError),
    ],
)
def test_a_stream_that_a_fault_ended_before_its_head_is_closed(
    front_end: FrontEnd, chaos: dict[str, Any], error: Any
) -> None:
    """Its connection is not left behind."""
    transport = StreamingTransport(b"x")
    client = front_end.client(chaos=ChaosPolicy(**chaos), transport=transport, clock=FakeClock())
    with (
        pytest.raises(error),
        front_end.stream(client, "GET", URL, timeout=Timeout(total=3.0), retry_policy=False),
    ):
        raise AssertionError("it has no head")
    assert [source.is_closed for source in transport.sources] == [True]


def _layer(has_bodies: bool = True, **settings: Any) -> ChaosLayer:
    clock = FakeClock()
    machine = Chaos(ChaosSettings(**settings), clock=clock.monotonic, random=lambda: 0.5, lock=nullcontext())
    return ChaosLayer(SimpleNamespace(chaos=machine), INJECTED_FAULTS, has_bodies)


REQUEST = HttpRequest("GET", URL)
CALL: Any = SimpleNamespace(
    call_id="1",
    attempt=1,
    key=ORIGIN,
    call_name=None,
    clock=lambda: 0.0,
    elapsed=lambda: 0.0,
    record=lambda event: None,
)


def _exchange(seen: list[Any]) -> Any:
    def exchange(request: HttpRequest, call: Any) -> Any:
        try:
            seen.append((yield Send(request, Timeout())))
        except BaseException as error:
            seen.append(error)
            raise
        return seen[0]

    return exchange


@pytest.mark.parametrize("fault", [{"statuses": [503], "status_rate": 1}, {"truncation_rate": 1}])
def test_responses_are_left_alone_where_another_library_makes_the_exchange(fault: dict[str, Any]) -> None:
    """It must have a response of its own."""
    whole = HttpResponse(200, content=b"x" * 1000)
    plan = _layer(has_bodies=False, **fault)(_exchange([]), REQUEST, CALL)
    assert isinstance(next(plan), Send)
    with pytest.raises(StopIteration) as ended:
        plan.send(whole)
    assert ended.value.value is whole


@pytest.mark.parametrize(
    ("missing", "lasts"), [(0.0, True), (TIMER_SLACK / 2, True), (TIMER_SLACK, True), (0.1, False)]
)
def test_a_latency_has_lasted_though_its_timer_was_early(missing: float, lasts: bool) -> None:
    """By a little. If the client was closed meanwhile, the request goes on to what says so."""
    now = [0.0]
    call: Any = SimpleNamespace(**{**vars(CALL), "clock": lambda: now[0]})
    plan = _layer(latency=1.0, latency_rate=1, statuses=[503], status_rate=1)(_exchange([]), REQUEST, call)
    sleep: Any = next(plan)
    now[0] = sleep.seconds - missing
    if lasts:
        with pytest.raises(StopIteration) as ended:
            plan.send(None)
        assert ended.value.value.status_code == 503
    else:
        assert isinstance(plan.send(None), Send)


def test_the_exchange_learns_how_it_was_ended() -> None:
    """Its own plan sees the error, and can release what it holds."""
    seen: list[Any] = []
    plan = _layer(latency=1.0, latency_rate=1)(_exchange(seen), REQUEST, CALL)
    next(plan)
    with pytest.raises(KeyboardInterrupt):
        plan.throw(KeyboardInterrupt())
    assert [type(each) for each in seen] == [KeyboardInterrupt]


def _operation(expires_at: float | None = None, remaining: float | None = None) -> tuple[Any, list[Any]]:
    """That of a function at second 100, and what is recorded of it."""
    events: list[Any] = []
    of = {**vars(CALL), "clock": lambda: 100.0, "record": events.append}
    return SimpleNamespace(**of, expires_at=expires_at, remaining=lambda: remaining), events


@pytest.mark.parametrize(
    ("expires_at", "remaining", "wait"),
    [(None, None, 5.0), (103.0, None, 3.0), (99.0, None, 0.0), (None, 2.0, 2.0), (None, -1.0, 0.0), (107.0, 9.0, 5.0)],
)  # fmt: skip
def test_a_function_s_latency_ends_with_its_timeout_or_deadline(
    expires_at: float | None, remaining: float | None, wait: float
) -> None:
    """The function is called all the same, and finds no time left."""
    settings = ChaosSettings(latency=5.0, latency_rate=1)
    chaos = Chaos(settings, clock=lambda: 100.0, random=lambda: 0.5, lock=nullcontext())
    operation, events = _operation(expires_at, remaining)

    def proceed(operation: Any) -> Any:
        yield from ()
        return "result"

    plan = disturbed(chaos, "", proceed, operation)
    sleep: Any = next(plan)
    with pytest.raises(StopIteration) as ended:
        plan.send(None)
    assert (sleep.seconds, ended.value.value) == (wait, "result")
    assert [(event.kind, event.what) for event in events] == [("latency", f"{wait:.3f} s")]
    assert chaos._ended._waiting == {}


def test_an_error_that_comes_after_the_function_is_not_raised_once_chaos_is_off() -> None:
    """The function was called, and its result is there."""
    settings = ChaosSettings(errors=[ReadTimeoutError], error_rate=1)
    chaos = Chaos(settings, clock=lambda: 0.0, random=lambda: 0.5, lock=nullcontext())

    def proceed(operation: Any) -> Any:
        yield from ()
        chaos.disable()
        return "result"

    with pytest.raises(StopIteration) as ended:
        next(disturbed(chaos, "", proceed, CALL))
    assert ended.value.value == "result"


@pytest.mark.parametrize(
    ("kind", "is_called", "state"),
    [(ConnectError, False, SentState.NEVER_SENT), (ReadTimeoutError, True, SentState.MAYBE_PROCESSED)],
)
def test_an_error_of_a_function_says_what_became_of_the_call(
    kind: type[Exception], is_called: bool, state: SentState
) -> None:
    """The function is called only before an error that a service may cause; the event has its name."""
    settings = ChaosSettings(errors=[kind], error_rate=1)
    chaos = Chaos(settings, clock=lambda: 100.0, random=lambda: 0.5, lock=nullcontext())
    operation, events = _operation()
    called: list[Any] = []

    def proceed(operation: Any) -> Any:
        yield from ()
        called.append(operation)

    with pytest.raises(kind) as raised:
        next(disturbed(chaos, "", proceed, operation))
    assert (bool(called), getattr(raised.value, "sent_state", None)) == (is_called, state)
    assert [(event.kind, event.what) for event in events] == [("error", kind.__name__)]
