"""The adaptive limit in a client's call: what counts, who holds a permit, and what the caller gets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    ConcurrencyLimitError,
    HttpClientConfig,
    HttpServiceClient,
    LoadSheddingPolicy,
    RetryPolicy,
)
from http_service_client.core.effects import Acquire
from http_service_client.core.layers.adaptive_limit import AdaptiveLimitLayer
from http_service_client.core.layers.bulkhead import leave
from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimit
from http_service_client.core.machines.limits.bulkhead import BulkheadPermit
from http_service_client.core.machines.limits.overload import Evidence
from http_service_client.errors import SentState, TransportError
from http_service_client.events import RetryStopped, StopReason
from http_service_client.http.messages import HttpRequest, HttpResponse
from kit.bulkheads import bulkhead_of, held
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, RESET, URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.streaming import StreamingTransport

ONCE = {"retry_policy": None}
SMALL = AdaptiveLimitPolicy(initial_limit=10, max_limit=10, max_waiting=0)


def harness_of(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    settings = {"adaptive_limit": SMALL, "enable_circuit_breaker": False, **settings}
    return Harness(front_end, *script, enable_throttle_gate=False, **settings)


def limit_of(harness: Harness) -> AdaptiveLimit:
    limit: AdaptiveLimit = harness.state.adaptive_limit
    return limit


def taking(harness: Harness, seconds: float, status: int = 200) -> Any:
    """A response after so many seconds."""

    def respond(request: HttpRequest) -> HttpResponse:
        harness.clock.now += seconds
        return HttpResponse(status, request=request)

    return respond


def fill(harness: Harness) -> list[Any]:
    """Let others hold all permits."""
    permits = [limit_of(harness).permits.permit() for _ in range(limit_of(harness).limit)]
    assert all(permit.try_acquire() for permit in permits)
    return permits


def test_without_a_permit_nothing_is_sent(front_end: FrontEnd) -> None:
    """The error says so, and no permit is lost."""
    harness = harness_of(front_end, 200)
    permits = fill(harness)
    error = harness.error(ConcurrencyLimitError, **ONCE)
    assert (error.sent_state, error.key, error.reason) == (
        SentState.NEVER_SENT,
        "https://api.example.com",
        "full",
    )
    assert (error.timeline[0].limit, harness.sends) == ("adaptive limit", 0)
    assert "would have been sent with room for 1 in the queue of the adaptive limit (max_waiting)" in (
        error.timeline.explain(why=True)
    )
    for permit in permits:
        permit.release()
    assert harness.request(**ONCE).status_code == 200
    assert limit_of(harness).permits.in_use == 0


def outcome(harness: Harness) -> Any:
    """Of a call: a status, or a transport error, but never a refusal of the limit."""
    try:
        return harness.request(**ONCE).status_code
    except TransportError as error:
        return error


@pytest.mark.parametrize("rejection", [429, 503, REFUSED])
def test_refused_attempts_lower_the_limit(front_end: FrontEnd, rejection: Any) -> None:
    """While there are calls enough in flight for it to be the reason."""
    harness = harness_of(front_end, rejection)
    others = fill(harness)[:9]  # nine of ten
    permit = limit_of(harness).permits
    assert permit.in_use == 10
    for _ in range(60):
        others[0].release()
        harness.clock.now += 0.1
        outcome(harness)
        others[0] = limit_of(harness).permits.permit()
        if not others[0].try_acquire():
            break
    assert limit_of(harness).limit == 9


@pytest.mark.parametrize("answer", [200, 404, 304])
def test_the_latency_is_that_of_answers(front_end: FrontEnd, answer: int) -> None:
    """Without the time of interceptors and listeners, whose work is not the service's."""
    harness: Harness

    def listen(*exchange: object) -> None:
        harness.clock.now += 3.0

    class Slow:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            harness.clock.now += 5.0
            return request

        def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
            harness.clock.now += 7.0
            return response

    def respond(request: HttpRequest) -> HttpResponse:
        harness.clock.now += 0.25
        return HttpResponse(answer, request=request)

    slow = {"request_interceptors": [Slow()], "response_interceptors": [Slow()]}
    harness = harness_of(front_end, respond, on_exchange=listen, **slow)
    for _ in range(60):
        harness.request(**ONCE)
    assert limit_of(harness).snapshot().latency == pytest.approx(0.25)


@pytest.mark.parametrize("answer", [500, 401, RESET])
def test_other_outcomes_say_nothing(front_end: FrontEnd, answer: Any) -> None:
    """A quick 401 of a gateway is not the service's latency."""
    harness = harness_of(front_end, answer)
    for _ in range(60):
        outcome(harness)
        harness.clock.now += 1.0
    assert (limit_of(harness).limit, limit_of(harness).snapshot().latency) == (10, None)


def test_attempts_that_time_out_are_late(front_end: FrontEnd) -> None:
    """One alone cannot be the reason; the permit is free again."""
    harness = harness_of(front_end, READ_TIMEOUT)
    for _ in range(20):
        harness.error(TimeoutError, **ONCE)
    assert limit_of(harness).permits.in_use == 0
    assert limit_of(harness).limit == 10


def test_a_response_from_an_interceptor_needs_no_permit(front_end: FrontEnd) -> None:
    """Nothing is sent, so nothing is in progress."""

    class Answers:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
            return HttpResponse(200, request=request)

    harness = harness_of(front_end, 200, request_interceptors=[Answers()])
    fill(harness)
    assert harness.request(**ONCE).status_code == 200


def test_a_refused_retry_returns_the_last_outcome(front_end: FrontEnd) -> None:
    """Others have taken the permits meanwhile: the caller gets the response that came."""
    harness: Harness

    def fill_meanwhile(request: HttpRequest) -> HttpResponse:
        permits = [limit_of(harness).permits.permit() for _ in range(9)]
        assert all(permit.try_acquire() for permit in permits)
        harness.client.reconfigure(
            replace(harness.client.config, adaptive_limit={**small, "max_limit": 9, "initial_limit": 9})
        )
        kept.extend(permits)
        return HttpResponse(503, request=request)

    small: dict[str, Any] = {"initial_limit": 10, "max_limit": 10, "max_waiting": 0}
    kept: list[Any] = []
    harness = harness_of(front_end, fill_meanwhile, 200, retry_policy_config=RetryPolicy(2))
    assert harness.request().status_code == 503
    assert [event.reason for event in harness.events if isinstance(event, RetryStopped)] == [
        StopReason.REFUSED
    ]
    assert len(kept) == 9


def test_a_stream_keeps_its_permit_until_its_body_is_closed(front_end: FrontEnd) -> None:
    """The service works on it as long, but the latency is that to the headers."""
    config = HttpClientConfig(adaptive_limit=SMALL)
    client = front_end.client(config=config, transport=StreamingTransport(b"one", b"two"))
    with front_end.stream(client, "GET", URL):
        permits = client._call_builder.origins.get(ORIGIN).adaptive_limit.permits
        assert permits.in_use == 1
    assert permits.in_use == 0


def test_a_call_made_while_a_stream_is_open_is_none_of_its_work(front_end: FrontEnd) -> None:
    """It needs a permit of its own: only a call inside the exchange may use that of the call around it."""
    policy = AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_waiting=0)
    client = front_end.client(
        config=HttpClientConfig(adaptive_limit=policy), transport=StreamingTransport(b"one", b"two")
    )
    with front_end.stream(client, "GET", URL), pytest.raises(ConcurrencyLimitError):
        front_end.request(client, "GET", URL, **ONCE)


def test_ctrl_c_after_an_attempt_costs_no_permit(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is released before the interruption goes on."""

    def interrupted(permit: BulkheadPermit, token: Any) -> None:
        leave(permit, token)
        raise KeyboardInterrupt

    harness = harness_of(front_end)
    monkeypatch.setattr("http_service_client.core.layers.adaptive_limit.leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert limit_of(harness).permits.in_use == 0


class Recording:
    """A limit of one permit that keeps what it is shown."""

    def __init__(self) -> None:
        self.settings = SimpleNamespace(overloads=None)
        self.permits = bulkhead_of(max_waiting=1)
        self.shown: list[Any] = []

    def held_up(self) -> None:
        self.shown.append("held up")

    def record(self, *result: Any) -> None:
        self.shown.append(result)


def begun(limit: Recording, proceed: Callable[..., Any]) -> Any:
    """The plan of a call that has waited for 7 s before, and whose attempt begins now."""
    call = Harness(BlockingFrontEnd(), 200).client._call_builder.build("GET", URL)
    call.origin_state.adaptive_limit = limit  # type: ignore[assignment]
    call.current.waited = 7.0
    return AdaptiveLimitLayer()(proceed, call.request, call)


def test_the_wait_for_a_connection_is_no_latency() -> None:
    """And nor is what the attempt waited for before it had its permit."""

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        call.current.postpone(3.0, None)
        return HttpResponse(200)

    limit = Recording()
    with pytest.raises(StopIteration):
        next(begun(limit, proceed))
    assert limit.shown == [(1000.0, Evidence.ANSWERED, 3.0)]


def test_a_call_inside_an_exchange_counts_with_it() -> None:
    """Such as that of an auth flow for a token: it has the permit of the call around it, and is no sample of its own."""
    limit, ended = Recording(), []

    def inner(request: HttpRequest, call: Any) -> Any:
        yield from ()
        ended.append("inner")
        return HttpResponse(200)

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from begun(limit, inner)
        ended.append("outer")
        return HttpResponse(503)

    with pytest.raises(StopIteration):
        next(begun(limit, proceed))
    assert ended == ["inner", "outer"]
    assert limit.shown == [(1000.0, Evidence.REFUSED, 0.0)]


def test_the_limit_knows_that_a_call_found_no_permit() -> None:
    """Only then may a larger limit be of use."""
    limit = Recording()
    other = held(limit.permits)
    plan = begun(limit, lambda request, call: iter(()))
    assert isinstance(next(plan), Acquire)
    assert limit.shown == ["held up"]
    plan.close()
    other.release()


def test_each_origin_and_key_has_a_limit_of_its_own(front_end: FrontEnd) -> None:
    """A full one costs the others nothing."""
    harness = harness_of(front_end, 200)
    fill(harness)
    assert harness.request(**ONCE, key="tenant-a").status_code == 200
    assert harness.request(**ONCE, url="https://other.example.com/").status_code == 200
    harness.error(ConcurrencyLimitError, **ONCE)


def test_reconfiguring_the_client_keeps_the_limit(front_end: FrontEnd) -> None:
    """Other settings hold at once; switched off, nothing is refused."""
    harness = harness_of(front_end, 200)
    fill(harness)
    harness.client.reconfigure(
        replace(harness.client.config, adaptive_limit={"max_limit": 20, "max_waiting": 0})
    )
    assert limit_of(harness).limit == 10
    harness.error(ConcurrencyLimitError, **ONCE)
    harness.client.reconfigure(replace(harness.client.config, adaptive_limit=None))
    assert harness.request(**ONCE).status_code == 200


@pytest.mark.parametrize("elsewhere", [503, REFUSED])
def test_what_became_of_a_call_at_another_origin_says_nothing(front_end: FrontEnd, elsewhere: Any) -> None:
    """A redirect led it there: the limit of its own origin stays."""
    moved = (307, {"Location": "https://other.example.com/"})
    harness = harness_of(front_end, *[moved, elsewhere] * 60)
    fill(harness)[0].release()
    for _ in range(60):
        harness.clock.now += 0.1
        outcome(harness)
    assert (limit_of(harness).limit, harness.sends) == (10, 120)


def test_a_waiting_call_goes_on_when_the_limit_is_switched_off(front_end: FrontEnd) -> None:
    """Mid-wait: it is not refused by a limit that is no more."""
    policy = AdaptiveLimitPolicy(initial_limit=1, max_limit=1, max_waiting=1, max_wait=5.0)
    harness = harness_of(front_end, 200, adaptive_limit=policy)
    fill(harness)
    permits = limit_of(harness).permits

    def switch_off() -> None:
        while not permits.waiting:
            threading.Event().wait(0.001)
        harness.client.reconfigure(replace(harness.client.config, adaptive_limit=None))

    other = threading.Thread(target=switch_off)
    other.start()
    assert harness.request(**ONCE).status_code == 200
    other.join(20)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [({}, 7), ({"max_limit": 9}, 9), ({"initial_limit": 12}, 12), ({"min_limit": 30}, 30)],
)
def test_the_largest_limit_is_that_of_the_connections(limit: dict[str, int], expected: int) -> None:
    """Unless another one is set: what is above them limits nothing."""
    config = HttpClientConfig(adaptive_limit=limit, max_connections_per_host=7)
    client = HttpServiceClient(config)
    made = client._call_builder.origins.get("https://api.example.com").adaptive_limit
    assert made is not None
    assert made.settings.largest_limit == expected
    client.reconfigure(replace(config, max_connections_per_host=8))
    assert made.settings.largest_limit == (8 if expected == 7 else expected)


def test_files_and_variables_have_the_settings(tmp_path: Path) -> None:
    """With units, and as text."""
    file = tmp_path / "settings.json"
    file.write_text(
        '{"adaptive_limit": {"algorithm": "vegas", "max_wait": "250ms", "overloads": [529]}, "load_shedding": {"window": "1m"}}',
        encoding="utf-8",
    )
    config = HttpClientConfig.from_file(file)
    assert config.adaptive_limit == AdaptiveLimitPolicy("vegas", max_wait=0.25, overloads=[529]).settings
    assert config.load_shedding == LoadSheddingPolicy(window=60.0).settings
    environ = {"APP_ADAPTIVE_LIMIT__MAX_LIMIT": "50", "APP_LOAD_SHEDDING__MAX_SHED": "0.5"}
    config = HttpClientConfig.from_env("APP_", environ)
    assert config.adaptive_limit == AdaptiveLimitPolicy(max_limit=50).settings
    assert config.load_shedding == LoadSheddingPolicy(max_shed=0.5).settings


def test_a_policy_its_settings_and_a_mapping_are_the_same_setting() -> None:
    """The configuration has the settings: a value. Without them there is no such layer."""
    configs = [
        HttpClientConfig(adaptive_limit=given)
        for given in (
            AdaptiveLimitPolicy("vegas"),
            AdaptiveLimitPolicy("vegas").settings,
            {"algorithm": "vegas"},
        )
    ]
    assert configs[0] == configs[1] == configs[2]
    client = HttpServiceClient()
    assert client._call_builder.origins.get("https://api.example.com").adaptive_limit is None
