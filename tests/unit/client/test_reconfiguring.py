"""`client.reconfigure(config)`: other settings for the calls to come, while what calls have learned lives on."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    ConnectionPoolConfig,
    CookieJar,
    EgressPolicy,
    EgressRefusedError,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryBudgetSettings,
    RetryQuotaSettings,
    ThrottledError,
)
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row


def reconfigure(harness: Harness, **changes: Any) -> None:
    """Change these settings and keep the others."""
    harness.client.reconfigure(replace(harness.client.config, **changes))


def test_a_circuit_that_a_call_brought_along_is_known_as_before(front_end: FrontEnd) -> None:
    """Its changes are notified once, and the summary has it."""
    harness = Harness(front_end, 200)
    policy = CircuitBreakerPolicy(name="own")
    harness.request(circuit_breaker=policy)
    reconfigure(harness, base_timeout=7.0)
    before = harness.client.get_health_summary()
    harness.request(circuit_breaker=policy)
    harness.events.clear()
    policy.isolate()
    assert len(harness.events) == 1
    assert "own" in str(before)


def test_later_calls_go_by_the_new_settings(front_end: FrontEnd) -> None:
    """Timeouts, retries, headers, credentials, the base URL, keys, redirects."""
    harness = Harness(front_end, 503)
    reconfigure(
        harness,
        base_url="https://api.example.com/v2",
        connection_pool=ConnectionPoolConfig(request_timeout=7.0),
        retry_policy_config={"max_attempts": 2},
        default_headers={"X-A": "1"},
        auth="token-1",
        auto_idempotency_key=True,
    )
    harness.request("POST", "/orders", json={})
    harness.request("GET", "/orders")
    sent = harness.transport.sent
    assert [request.url for request in sent] == ["https://api.example.com/v2/orders"] * 4
    assert {timeout.total for timeout in harness.transport.timeouts} == {7.0}
    assert {request.headers["X-A"] for request in sent} == {"1"}
    assert {request.headers["Authorization"] for request in sent} == {"Bearer token-1"}
    assert sent[0].headers["Idempotency-Key"] == sent[1].headers["Idempotency-Key"]
    assert harness.client.config.retry_policy_config == {"max_attempts": 2}
    assert "api.example.com/v2" in repr(harness.client)


def test_every_setting_counts_also_those_with_their_default(front_end: FrontEnd) -> None:
    """What was set before, and is not set now, is as if it had never been."""
    harness = Harness(front_end, 503, default_headers={"X-A": "1"}, retry_policy_config={"max_attempts": 2})
    harness.client.reconfigure(HttpClientConfig())
    assert harness.request().attempts == 3
    assert "X-A" not in harness.transport.sent[0].headers


def test_the_base_url_of_the_client_s_keyword_stays(front_end: FrontEnd) -> None:
    """It came before that of the first configuration, too."""
    transport = ScriptedTransport([HttpResponse(200)] * 2)
    client = HttpServiceClient(base_url="https://a.example", transport=transport)
    client.reconfigure(HttpClientConfig(base_url="https://b.example"))
    front_end.run(front_end.calling(client, "GET", "/x"))
    assert [request.url for request in transport.requests] == ["https://a.example/x"]


def test_an_open_circuit_stays_open(front_end: FrontEnd) -> None:
    """With its counts; one that is made later has the new settings."""
    harness = Harness(
        front_end, 500, enable_retry_policy=False, circuit_breaker_config={"failure_threshold": 2}
    )
    for _ in range(2):
        harness.request()
    harness.request(url="https://other.example/")
    reconfigure(
        harness, base_timeout=3.0, circuit_breaker_config={"failure_threshold": 3, "recovery_timeout": 5.0}
    )
    assert harness.error(CircuitOpenError).retry_after == 5.0
    for _ in range(2):
        harness.request(url="https://other.example/")
    assert harness.client.get_circuit_breaker_states() == {ORIGIN: "open", "https://other.example": "open"}
    for _ in range(2):
        harness.request(url="https://new.example/")
    assert harness.client.get_circuit_breaker_states()["https://new.example"] == "closed"


def test_equal_settings_of_the_circuits_leave_their_growth(front_end: FrontEnd) -> None:
    """A reload of the same file changes nothing. One of others settles all, also what followed before."""
    harness = Harness(front_end, 500, enable_retry_policy=False)
    for _ in range(40):
        harness.request()
        harness.clock.now += 2.0
    before = harness.state.breaker.snapshot()
    harness.client.reconfigure(HttpClientConfig(enable_retry_policy=False))
    assert harness.state.breaker.snapshot() == before
    reconfigure(harness, circuit_breaker_config={"failure_threshold": 5, "failure_duration": 10.0})
    assert harness.state.breaker.settings.failure_duration == 10.0


def test_circuits_may_be_switched_off_and_on(front_end: FrontEnd) -> None:
    """Those of known origins too; one that is switched on begins closed, and reports its changes."""
    harness = Harness(
        front_end, 500, enable_retry_policy=False, circuit_breaker_config={"failure_threshold": 1}
    )
    harness.request()
    reconfigure(harness, enable_circuit_breaker=False)
    assert harness.request().status_code == 500
    assert harness.client.get_circuit_breaker_states() == {}
    with pytest.raises(ConfigurationError, match="enable_circuit_breaker is False"):
        harness.client.reconfigure_circuit_breakers(failure_threshold=2)
    reconfigure(harness, enable_circuit_breaker=True)
    assert harness.client.get_circuit_breaker_states() == {ORIGIN: "closed"}
    harness.request()
    harness.error(CircuitOpenError)
    assert harness.names().count("circuit_state_changed") == 2


def test_a_closed_gate_stays_closed(front_end: FrontEnd) -> None:
    """The service has asked for a pause, whatever our settings are."""
    harness = Harness(front_end, (429, {"Retry-After": "60"}), enable_retry_policy=False)
    harness.request()
    reconfigure(harness, total_timeout=9.0)
    harness.error(ThrottledError)
    reconfigure(harness, enable_throttle_gate=False)
    assert harness.request().status_code == 429


@each_row(
    ("before", "after", "left"),
    [
        (RetryQuotaSettings(capacity=5), RetryQuotaSettings(capacity=5, earned=1.0), 3),
        (RetryQuotaSettings(capacity=5), RetryQuotaSettings(capacity=8), 6),
        (RetryQuotaSettings(capacity=5), RetryQuotaSettings(capacity=4), 3),
        (RetryBudgetSettings(ratio=0, min_per_second=0.5), RetryBudgetSettings(ratio=0, min_per_second=1), 8),
        (RetryQuotaSettings(capacity=5), RetryBudgetSettings(ratio=0, min_per_second=1), 10),
    ],
)
def test_what_was_spent_of_a_budget_stays_spent(
    front_end: FrontEnd, before: Any, after: Any, left: int
) -> None:
    """Of a budget of the same kind. One of the other kind is new."""
    harness = Harness(front_end, 503, retry_budget_config=before)
    harness.request()
    reconfigure(harness, retry_budget_config=after)
    assert harness.state.budget.balance == left
    reconfigure(harness, enable_retry_budget=False)
    assert harness.state.budget is None
    reconfigure(harness, enable_retry_budget=True)
    assert harness.state.budget is not None


def test_the_limits_of_connections_change_for_all(front_end: FrontEnd) -> None:
    """Of known hosts, and of those to come."""
    harness = Harness(front_end, 200)
    harness.request()
    reconfigure(harness, max_connections=7, max_connections_per_host=3)
    harness.request(url="https://other.example/")
    assert [limit.capacity for limit in harness.limits] == [7, 3, 3]


def test_a_call_in_flight_keeps_its_settings(front_end: FrontEnd) -> None:
    """The retry after the change goes by the policy, the timeout and the headers that the call began with."""
    harness = Harness(front_end, 503)
    sleep = harness.clock.sleep

    def sleep_and_change(seconds: float) -> None:
        sleep(seconds)
        reconfigure(harness, enable_retry_policy=False, base_timeout=1.0, default_headers={"X-A": "new"})

    harness.clock.sleep = sleep_and_change  # type: ignore[method-assign]
    assert harness.request(headers={"X-A": "old"}).attempts == 3
    assert [timeout.total for timeout in harness.transport.timeouts] == [30.0] * 3
    assert [request.headers["X-A"] for request in harness.transport.sent] == ["old"] * 3
    assert harness.request().attempts == 1


def test_interceptors_of_a_class_stay_the_same_object(front_end: FrontEnd) -> None:
    """A token that one has fetched is not fetched again."""
    made: list[object] = []

    class Counting:
        def __init__(self) -> None:
            made.append(self)

        def intercept_request(self, request: Any, context: Any) -> Any:
            request.headers["X-Made"] = str(len(made))
            return request

    harness = Harness(front_end, 200, request_interceptors=[Counting])
    harness.request()
    reconfigure(harness, base_timeout=3.0)
    harness.request()
    assert [request.headers["X-Made"] for request in harness.transport.sent] == ["1", "1"]
    reconfigure(harness, request_interceptors=[])
    harness.request()
    assert "X-Made" not in harness.transport.sent[-1].headers


def test_cookies_live_on_while_the_client_has_a_jar(front_end: FrontEnd) -> None:
    """A jar of one's own too; without one, none are sent."""
    harness = Harness(front_end, (200, {"Set-Cookie": "a=1"}), cookies=True)
    jar = harness.client.cookies
    harness.request()
    reconfigure(harness, base_timeout=3.0)
    harness.request()
    assert harness.client.cookies is jar
    assert harness.transport.sent[-1].headers["Cookie"] == "a=1"
    own = CookieJar()
    reconfigure(harness, cookies=own)
    assert harness.client.cookies is own
    reconfigure(harness, cookies=False)
    harness.request()
    assert "Cookie" not in harness.transport.sent[-1].headers


def test_an_egress_policy_holds_from_then_on(front_end: FrontEnd) -> None:
    """For the next call."""
    harness = Harness(front_end, 200)
    harness.request()
    reconfigure(harness, egress_policy=EgressPolicy(denied_hosts=["api.example.com"]))
    harness.error(EgressRefusedError)


def test_views_get_the_new_settings_beneath_their_options(front_end: FrontEnd) -> None:
    """Views of views likewise, and their jars stay. One that was closed stays closed."""
    harness = Harness(front_end, (200, {"Set-Cookie": "a=1"}))
    view = harness.client.with_options(timeout=5.0, cookies=True, default_headers={"X-A": "view"})
    inner = view.with_options(key="tenant", default_headers={"X-B": "inner"})
    left = harness.client.with_options(timeout=1.0)
    front_end.close(left)
    jar = view.cookies
    reconfigure(
        harness, default_headers={"X-A": "client", "X-C": "client"}, retry_policy_config={"max_attempts": 1}
    )
    for each in (view, inner):
        front_end.run(front_end.calling(each, "GET", URL))
        headers = harness.transport.sent[-1].headers
        assert (headers["X-A"], headers["X-C"], headers.get("X-B")) == (
            "view",
            "client",
            "inner" if each is inner else None,
        )
        assert each.cookies is jar
        assert each.config is harness.client.config
        assert harness.transport.timeouts[-1].total == 5.0
    with pytest.raises(ClientClosedError, match="this view"):
        front_end.run(front_end.calling(left, "GET", URL))


def test_what_cannot_be_is_refused_and_changes_nothing(front_end: FrontEnd) -> None:
    """A file that cannot be read, a view that does not fit, anything that is no configuration, a view, a closed client."""
    harness = Harness(front_end, 500, circuit_breaker_config={"failure_threshold": 4})
    client, config = harness.client, harness.client.config
    view = client.with_options(proxy="http://proxy.example:3128")
    for changes, part in (
        ({"netrc": "/no/such/file", "base_timeout": 1.0}, "netrc '/no/such/file' cannot be used"),
        ({"connection_pool": ConnectionPoolConfig(uds="/run/a.sock")}, "proxy conflicts with uds"),
    ):
        with pytest.raises(ConfigurationError, match=part):
            client.reconfigure(replace(config, circuit_breaker_config={"failure_threshold": 9}, **changes))
        assert client.config is config
        harness.request(retry_policy=False)
        assert harness.transport.timeouts[-1].total == 30.0
        assert harness.state.breaker.settings.failure_threshold == 4
    with pytest.raises(ConfigurationError, match=r"from_mapping\(settings\)"):
        client.reconfigure({"base_timeout": 1})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a view has the settings of its client"):
        view.reconfigure(config)
    front_end.close(client)
    with pytest.raises(ClientClosedError):
        client.reconfigure(config)


def test_a_call_sees_all_of_a_configuration_or_none_of_it() -> None:
    """While threads and tasks call, another thread changes a header, a flow and an interceptor together."""

    class Flow:
        def __init__(self, name: str) -> None:
            self.name = name

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            request.headers["X-Flow"] = self.name
            yield request

    class Stamp(Flow):
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.headers["X-Interceptor"] = self.name
            return request

    def config(name: str) -> HttpClientConfig:
        return HttpClientConfig(
            default_headers={"X-Header": name}, auth=Flow(name), request_interceptors=[Stamp(name)]
        )

    seen: set[tuple[str, ...]] = set()

    class Transport:
        def send(self, request: Any, timeout: Any) -> HttpResponse:
            seen.add(tuple(request.headers[f"X-{name}"] for name in ("Header", "Flow", "Interceptor")))
            return HttpResponse(200, request=request, url=request.url)

        async def send_async(self, request: Any, timeout: Any) -> HttpResponse:
            return self.send(request, timeout)

    client = HttpServiceClient(config("a"), transport=Transport())
    view = client.with_options(timeout=3.0)

    async def tasks() -> None:
        for _ in range(100):
            await view.get_async(URL)

    def calls() -> None:
        for _ in range(100):
            client.get(URL)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=calls), threading.Thread(target=lambda: asyncio.run(tasks()))]
    try:
        for thread in threads:
            thread.start()
        names = itertools.cycle("ba")
        while any(thread.is_alive() for thread in threads):
            client.reconfigure(config(next(names)))
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    assert seen
    assert seen <= {("a", "a", "a"), ("b", "b", "b")}


def test_a_reconfigured_client_waits_by_its_own_clock() -> None:
    """Its clock, its randomness and its listeners are not settings, and stay."""
    clock, events = VirtualClock(), list[Any]()
    client = HttpServiceClient(
        transport=ScriptedTransport([HttpResponse(503), HttpResponse(200)]),
        clock=clock,
        random=lambda: 0.5,
        on_event=events.append,
    )
    client.reconfigure(HttpClientConfig(retry_policy_config={"initial_delay": 8.0}))
    assert client.get(URL).attempts == 2
    assert clock.monotonic() == 4.0
    assert events


@pytest.mark.parametrize(
    ("keyword", "remedy"),
    [
        ("base_timeout", r"pass dataclasses\.replace\(client\.config, base_timeout=…\)"),
        ("retries", "set max_attempts in retry_policy_config"),
        ("configs", "did you mean 'config'"),
    ],
)
def test_a_setting_that_is_passed_alone_names_the_remedy(keyword: str, remedy: str) -> None:
    """A configuration counts as a whole."""
    with pytest.raises(TypeError, match=rf"reconfigure takes no keyword '{keyword}'; {remedy}"):
        HttpServiceClient().reconfigure(**{keyword: 1})
