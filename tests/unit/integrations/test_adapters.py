"""What the adapters of all libraries have in common: one state with a client, one story, one key."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    CircuitOpenError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConnectError,
    ConnectionPoolConfig,
    DeadlineTooShortError,
    HttpClientConfig,
    HttpServiceClient,
    LoadShedError,
    Propagation,
    RateLimitExceededError,
    ReadTimeoutError,
    ThrottledError,
    by_header,
)
from http_service_client.events import CallFinished
from http_service_client.integrations import explain
from http_service_client.testing import LoopbackServer, VirtualClock, reset, respond
from kit.adapters import WAYS, Way

DOWN = respond(503, body="down")


PAUSE = respond(429, headers={"Retry-After": "60"})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> type[Way]:
    """Each library in turn."""
    kind: type[Way] = request.param
    return kind


def client_of(**settings: Any) -> HttpServiceClient:
    """A client in virtual time."""
    on_event, on_exchange = settings.pop("on_event", None), settings.pop("on_exchange", None)
    return HttpServiceClient(
        HttpClientConfig(trust_env_proxy_settings=False, **settings),
        clock=VirtualClock(),
        on_event=on_event,
        on_exchange=on_exchange,
    )


def test_a_circuit_is_shared_with_the_client(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """In both directions, for one origin however its URL is written."""
    client = client_of(circuit_breaker_config={"failure_threshold": 2}, enable_retry_policy=False)
    session = way(client, None, stack)
    server.script("/", DOWN)
    session.request("GET", server.url)
    session.request("GET", server.url.replace("http", "HTTP"))
    with pytest.raises(CircuitOpenError):
        client.get(server.url)
    assert list(client.get_circuit_breaker_states()) == [server.url]
    with pytest.raises(CircuitOpenError):
        session.request("GET", server.url)


def test_a_pause_is_kept_by_all(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """The throttle gate is the client's."""
    client = client_of()
    session = way(client, None, stack)
    server.script("/", PAUSE)
    session.request("GET", server.url)
    with pytest.raises(ThrottledError):
        client.get(server.url)
    with pytest.raises(ThrottledError):
        session.request("GET", server.url)
    assert len(server.requests) == 1


def test_a_rate_limit_is_shared(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """A hop takes a token of the client's limit."""
    client = client_of(rate_limit={"rate": 1, "per": 1000, "max_wait": 0})
    session = way(client, None, stack)
    session.request("GET", server.url)
    with pytest.raises(RateLimitExceededError):
        client.get(server.url)
    with pytest.raises(RateLimitExceededError):
        session.request("GET", server.url)
    assert len(server.requests) == 1


def test_a_bulkhead_is_shared(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """A refusal is raised as one of the client's errors, and as one that users of the library handle."""
    client = client_of(bulkhead={"max_concurrent": 1, "max_waiting": 0})
    session = way(client, None, stack)
    server.script("/", respond(200))
    session.request("GET", server.url)
    bulkhead = client._call_builder.origins.get(server.url).bulkhead
    assert bulkhead is not None
    assert bulkhead.is_idle
    permit = bulkhead.permit()
    assert permit.try_acquire()
    for request in (session.request, client.request):
        with pytest.raises(BulkheadFullError):
            request("GET", server.url)
    permit.release()
    server.script("/", respond(200))
    session.request("GET", server.url)
    assert len(server.requests) == 2


def test_an_adaptive_limit_is_shared(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """A hop needs a permit of the client's limit, and its outcome counts there."""
    client = client_of(adaptive_limit={"max_limit": 1, "max_waiting": 0})
    session = way(client, None, stack)
    session.request("GET", server.url)
    limit = client._call_builder.origins.get(server.url).adaptive_limit
    assert limit is not None
    assert limit.permits.is_idle
    permit = limit.permits.permit()
    assert permit.try_acquire()
    for request in (session.request, client.request):
        with pytest.raises(ConcurrencyLimitError):
            request("GET", server.url)
    assert len(server.requests) == 1


def test_load_shedding_is_shared(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """What a service rejects of a library's calls counts for the client's, and the other way round."""
    client = client_of(load_shedding={"min_rate": 0.0, "max_shed": 0.99}, enable_retry_policy=False)
    session = way(client, None, stack)
    server.script("/", *[respond(503)] * 400)
    for request in (session.request, client.request):
        shed = 0
        for _ in range(40):
            try:
                request("GET", server.url)
            except LoadShedError:
                shed += 1
        assert shed > 10


def test_chaos_reaches_the_calls_of_a_library(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """An error before sending sends nothing, one after it drops the response; statuses would be the library's own."""
    for chaos, error, sent in [
        ({"errors": ["ConnectError"], "error_rate": 1.0}, ConnectError, 0),
        ({"errors": ["ReadTimeoutError"], "error_rate": 1.0}, ReadTimeoutError, 1),
        ({"statuses": [503], "status_rate": 1.0}, None, 1),
        ({"latency": 0.5, "latency_rate": 1.0}, None, 1),
    ]:
        server.script("/", respond(200, body="ok"))
        client = client_of(chaos=chaos, enable_retry_policy=False)
        session, before = way(client, None, stack), len(server.requests)
        if error is None:
            session.request("GET", server.url)
        else:
            with pytest.raises(error):
                session.request("GET", server.url)
        assert len(server.requests) - before == sent
        clock = client._clock
        assert isinstance(clock, VirtualClock)
        assert clock.waits == [0.5] * ("latency" in chaos)


def test_state_keys_and_routes_hold_for_the_calls_of_a_library(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """By the method, URL and headers of its request."""
    events: list[Any] = []
    client = client_of(
        state_key=by_header("X-Tenant"),
        routes={"GET /orders/{id}": {"name": "order"}},
        on_event=events.append,
    )
    server.script("/orders/7", respond(200))
    way(client, None, stack).request("GET", f"{server.url}/orders/7", headers={"X-Tenant": "acme"})
    end = next(event for event in events if isinstance(event, CallFinished))
    assert (end.key, end.call_name, end.url_template) == (f"{server.url} (acme)", "order", "/orders/{id}")


def test_an_attempt_without_time_is_not_begun(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """What the client knows of the service holds, and the library's calls are learnt from, too."""
    client = client_of(deadline_check={"min_samples": 10}, total_timeout=0.9)
    session = way(client, None, stack)
    server.script("/", respond(200))
    session.request("GET", server.url)
    check = client._call_builder.origins.get(server.url).deadline_check
    assert check is not None
    assert check.latencies.count == 1
    check.latencies.forget()
    for _ in range(20):
        check.latencies.record(1.8)
    assert check.try_probe()
    for request in (session.request, client.request):
        with pytest.raises(DeadlineTooShortError, match=r"p50 of .* is 1"):
            request("GET", server.url)
    assert len(server.requests) == 1


def test_calls_are_counted_and_observed(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """By the metrics, the listener of events and that of exchanges, under the name of the view."""
    events: list[Any] = []
    exchanges: list[Any] = []
    client = client_of(
        on_event=events.append, on_exchange=lambda request, outcome, _: exchanges.append(outcome)
    )
    session = way(client.with_options(name="partner"), None, stack)
    server.script("/", DOWN, respond(200))
    session.request("GET", server.url)
    assert client.get_health_summary()["total_requests"] == 1
    assert [outcome.status_code for outcome in exchanges] == [503, 200]
    (finished,) = [event for event in events if isinstance(event, CallFinished)]
    assert (finished.call_name, finished.attempts) == ("partner", 2)


def test_the_head_of_a_response_is_that_of_the_library(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """For whoever observes exchanges: status, reason, headers, also those that are there twice, and URL."""
    seen: list[Any] = []
    client = client_of(on_exchange=lambda request, outcome, _: seen.append(outcome))
    server.script(
        "/a", respond(201, reason="Rather Fine", headers=[("X-A", "1"), ("X-B", "2"), ("X-B", "3")])
    )
    way(client, None, stack).request("GET", f"{server.url}/a?b=c")
    (head,) = seen
    assert (head.status_code, head.reason_phrase, head.url) == (201, "Rather Fine", f"{server.url}/a?b=c")
    assert (head.headers["X-A"], "2" in head.headers["X-B"], "3" in head.headers["X-B"]) == ("1", True, True)


def test_all_attempts_have_one_key(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """Which the next call does not have."""
    session = way(client_of(auto_idempotency_key=True), None, stack)
    server.script("/", reset(), respond(200))
    session.request("POST", server.url, data=b"1")
    server.script("/", respond(200))
    session.request("POST", server.url, data=b"1")
    first, second, other = (dict(request.headers)["Idempotency-Key"] for request in server.requests)
    assert first == second != other


def test_a_service_learns_what_is_left(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """With each attempt, if its host was named."""
    named = Propagation(hosts=["127.0.0.1"])
    session = way(client_of(propagation=named, total_timeout=60.0), None, stack)
    server.script("/", DOWN, respond(200))
    session.request("GET", server.url)
    assert [dict(request.headers)["X-Request-Attempt"] for request in server.requests] == ["1", "2"]
    session = way(client_of(propagation=Propagation()), None, stack)
    session.request("GET", server.url)
    assert "X-Request-Attempt" not in dict(server.requests[-1].headers)


def test_what_was_left_of_another_request_is_not_passed_on(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """A gateway may have copied its headers: they are replaced, or removed where there is no limit."""
    client = client_of(
        propagation=Propagation(hosts=["127.0.0.1"]),
        connection_pool=ConnectionPoolConfig(request_timeout=None),
    )
    session = way(client, None, stack)
    headers = {"x-request-attempt": "7", "x-request-timeout-ms": "5", "x-other": "1"}
    session.request("GET", server.url, headers=headers)
    (request,) = server.requests
    received = {name.lower(): value for name, value in request.headers if name.lower() in headers}
    assert received == {"x-request-attempt": "1", "x-other": "1"}


def test_a_closed_client_refuses(way: type[Way], server: LoopbackServer, stack: ExitStack) -> None:
    """By an error of the library, too."""
    client = client_of()
    session = way(client, None, stack)
    client.close()
    with pytest.raises(ClientClosedError) as caught:
        session.request("GET", server.url)
    assert way.name.partition(",")[0] in {
        base.__module__.partition(".")[0] for base in type(caught.value).__mro__
    }


def test_the_story_of_an_error_that_stems_from_ours(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """An SDK raises its own."""
    session = way(client_of(), None, stack)
    server.script("/", reset())

    def order() -> None:
        try:
            session.request("GET", server.url)
        except Exception as error:
            raise LookupError("no such order") from error

    with pytest.raises(LookupError) as caught:
        order()
    assert explain(caught.value).splitlines()[0] == f"GET {server.url}/"
    assert explain(LookupError("other")) == "LookupError('other')"


@pytest.mark.parametrize("way", [each for each in WAYS if not each.makes_cycles], ids=lambda way: way.name)
def test_nothing_is_left_to_the_cycle_collector(
    way: type[Way], server: LoopbackServer, stack: ExitStack, no_reference_cycles: None
) -> None:
    """Neither after a response nor after an error."""
    session = way(client_of(), None, stack)
    server.script("/", DOWN, respond(200))
    session.request("GET", server.url)
    server.script("/", reset())
    with pytest.raises(Exception, match=r"aborted|lost|reset"):
        session.request("GET", server.url)


def test_the_log_of_a_hop(
    way: type[Way], server: LoopbackServer, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """Its retry, and one line for the call where asked: each hop of the library is a call, a redirect too."""
    caplog.set_level(logging.INFO, "http_service_client.retry")
    caplog.set_level(logging.INFO, "http_service_client.call")
    server.script("/first", DOWN, respond(302, headers={"Location": "/second"}))
    way(client_of(), None, stack).request("GET", f"{server.url}/first?token=hunter2")
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("http_service_client")]
    assert len(lines) == 2
    assert lines[0].startswith(f"{server.url}: retry in ")
    assert lines[1].startswith(f"GET {server.url}/first?token=***: 302 after 2 attempts in ")
