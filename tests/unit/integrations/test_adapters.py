"""What the adapters of all libraries have in common: one state with a client, one story, one key."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    CircuitOpenError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    ConnectError,
    ConnectionPoolConfig,
    DeadlineTooShortError,
    EgressPolicy,
    HttpClientConfig,
    HttpServiceClient,
    LoadShedError,
    Propagation,
    RateLimitExceededError,
    ReadTimeoutError,
    ThrottledError,
    Timeout,
    by_header,
)
from http_service_client.auth import HmacSignature
from http_service_client.events import CallFinished
from http_service_client.integrations import (
    AsyncResilientTransport,
    ResilientAdapter,
    ResilientTransport,
    explain,
    resilience_middleware,
)
from http_service_client.testing import LoopbackServer, VirtualClock, reset, respond
from kit.adapters import WAYS, Way
from kit.interceptors import Recorder

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


def test_a_chaos_that_cannot_be_injected_is_refused() -> None:
    """Where the adapter has a configuration of its own."""
    with pytest.raises(
        ConfigurationError, match="status_rate and truncation_rate of chaos do nothing in ResilientAdapter"
    ):
        ResilientAdapter(HttpClientConfig(chaos={"truncation_rate": 0.1}))
    ResilientAdapter(HttpClientConfig(chaos={"errors": ["ConnectError"], "error_rate": 0.1})).close()


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


MAKERS = pytest.mark.parametrize(
    "make", [ResilientAdapter, resilience_middleware, ResilientTransport, AsyncResilientTransport]
)


@MAKERS
def test_new_settings_of_its_own_client_are_checked_too(make: Any) -> None:
    """One that would do nothing is refused by `reconfigure`, and changes nothing. A shared client takes it."""
    client = make().client
    with pytest.raises(ConfigurationError, match="base_url does nothing"):
        client.reconfigure(HttpClientConfig(base_timeout=3.0, base_url="https://api.example.com"))
    with pytest.raises(ConfigurationError, match="HttpClientConfig"):
        client.reconfigure(None)
    assert client.config.base_timeout == 30.0
    client.reconfigure(HttpClientConfig(base_timeout=3.0))
    assert client.config.base_timeout == 3.0
    make(client=(shared := HttpServiceClient())).client.reconfigure(HttpClientConfig(max_connections=5))
    assert shared.config.max_connections == 5


@pytest.mark.parametrize("make", [ResilientAdapter, ResilientTransport, AsyncResilientTransport])
@pytest.mark.parametrize(
    ("keyword", "remedy"),
    [
        ("retries", "set max_attempts in retry_policy_config"),
        ("timeout", "set base_timeout in HttpClientConfig"),
        ("total_timeout", "set it in HttpClientConfig"),
        ("idempotence", "did you mean 'idempotent'"),
    ],
)
def test_an_unknown_keyword_has_a_remedy(make: Any, keyword: str, remedy: str) -> None:
    """Under the name of the class that was called."""
    with pytest.raises(TypeError, match=f"{make.__name__} takes no keyword '{keyword}'; {remedy}"):
        make(**{keyword: 3})


@pytest.mark.parametrize("make", [ResilientTransport, AsyncResilientTransport])
def test_what_the_transport_inside_takes_is_for_that(make: Any) -> None:
    """httpx.Client does not pass these on to a transport that it is given."""
    with pytest.raises(TypeError, match=r"'verify'; give it to the HTTPTransport or AsyncHTTPTransport"):
        make(verify=False)


# Settings of an adapter's own client. Each value differs from the default.
KEPT: dict[str, Any] = {
    "base_timeout": 3.0,
    "total_timeout": 9.0,
    "enable_circuit_breaker": False,
    "circuit_breaker_config": {"failure_threshold": 9},
    "enable_retry_policy": False,
    "retry_policy_config": {"max_attempts": 2},
    "enable_throttle_gate": False,
    "enable_retry_budget": False,
    "retry_budget_config": {"capacity": 9},
    "rate_limit": {"rate": 9},
    "bulkhead": {"max_concurrent": 9},
    "adaptive_limit": {"max_limit": 9},
    "load_shedding": {"multiplier": 3.0},
    "deadline_check": {"min_samples": 10},
    "auto_idempotency_key": True,
    "quote_idempotency_key": True,
    "propagation": Propagation(hosts=["api.example.com"]),
    "sensitive_headers": ["X-Key"],
    "public_headers": ["X-Plan"],
    "connection_pool": ConnectionPoolConfig(request_timeout=3.0),
    "state_key": by_header("X-Tenant"),
    "routes": {"GET /orders": {"timeout": 3.0}},
    "chaos": {"errors": ["ConnectError"], "error_rate": 0.1},
}
OWNED: dict[str, Any] = {
    "max_connections": 9,
    "max_connections_per_host": 9,
    "request_interceptors": [Recorder([], "a")],
    "response_interceptors": [Recorder([], "a")],
    "max_response_size": 9,
    "max_response_headers": 9,
    "max_response_header_size": 99,
    "enable_request_compression": True,
    "request_coding": "zstd",
    "enable_response_decompression": False,
    "allowed_redirect_count": 9,
    "cookies": True,
    "trust_env_proxy_settings": False,
    "proxy": "http://proxy:3128",
    "default_headers": {"X-A": "1"},
    "egress_policy": EgressPolicy(),
    "netrc": True,
    "auth": "token",
    "request_signers": [HmacSignature("key")],
    "tolerated_faults": ["missing-colon"],
    "base_url": "https://api.example.com",
    "http2": True,
    "json_codec": SimpleNamespace(encode=json.dumps, decode=json.loads),
    "fallback": {"value": 1},
    "hedging": {"delay": 1.0},
    "alternate_urls": ["https://api.example.org"],
}


@MAKERS
@pytest.mark.parametrize("name", KEPT)
def test_settings_of_a_call_as_a_whole_hold_in_an_adapter(make: Any, name: str) -> None:
    """Its own client has them."""
    config = HttpClientConfig(**{name: KEPT[name]})
    assert make(config).client.config == config


@MAKERS
@pytest.mark.parametrize("name", OWNED)
def test_settings_that_the_library_decides_about_are_refused(make: Any, name: str) -> None:
    """They would do nothing."""
    with pytest.raises(ConfigurationError, match=f"{name} does nothing in .*; set it up on the session of"):
        make(HttpClientConfig(**{name: OWNED[name]}))


@MAKERS
@pytest.mark.parametrize(
    "settings",
    [{"connection_timeout": 3.0}, {"connection_pool": ConnectionPoolConfig(connection_timeout=3.0)}],
)
def test_the_time_to_connect_is_a_setting_where_the_library_takes_one(make: Any, settings: Any) -> None:
    """aiohttp takes none for a request."""
    if make is resilience_middleware:
        with pytest.raises(ConfigurationError, match="connection_timeout does nothing"):
            make(HttpClientConfig(**settings))
    else:
        assert make(HttpClientConfig(**settings)).client.config.timeout.connect == 3.0


def test_every_setting_is_kept_or_refused() -> None:
    """A new one belongs in a table above."""
    names = [field.name for field in dataclasses.fields(HttpClientConfig)]
    assert sorted([*KEPT, *OWNED, "connection_timeout"]) == sorted(names)


@MAKERS
def test_what_is_refused(make: Any) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError, match="not both"):
        make(HttpClientConfig(), client=HttpServiceClient())
    with pytest.raises(ConfigurationError, match="not HttpServiceClient; pass a client as client=…"):
        make(HttpServiceClient())
    with pytest.raises(
        ConfigurationError, match=r"not dict; write HttpClientConfig.from_mapping\(settings\)$"
    ):
        make({"base_timeout": 1.0})
    with pytest.raises(ConfigurationError, match="resolves names itself"):
        make(client=HttpServiceClient(HttpClientConfig(egress_policy=EgressPolicy())))
    with pytest.raises(ConfigurationError, match="auth of this view does nothing"):
        make(client=HttpServiceClient().with_options(auth="t", key="a").with_options(name="partner"))
    with pytest.raises(ConfigurationError, match=r"Timeout\.pool of this view does nothing"):
        make(client=HttpServiceClient().with_options(timeout=Timeout(total=5.0, pool=1.0)))
    with pytest.raises(ConfigurationError, match="idempotent"):
        make(idempotent="yes")
    with pytest.raises(ConfigurationError, match="needs hosts"):
        make(HttpClientConfig(propagation=Propagation()))
    with pytest.raises(ConfigurationError, match="base_url does nothing"):
        make(HttpClientConfig(base_url="https://api.example.com"))
    for option in ({"fallback": {"value": 1}}, {"hedging": {"delay": 1}}, {"decompress": False}):
        with pytest.raises(ConfigurationError, match=rf"\['GET /a'\]\['{next(iter(option))}'\] does nothing"):
            make(HttpClientConfig(routes={"GET /a": {"timeout": 3, **option}}))


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
