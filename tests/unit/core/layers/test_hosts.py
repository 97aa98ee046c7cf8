"""Alternate base URLs: failing over to another host, and coming back."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    ConnectionPoolConfig,
    ConstantBackoff,
    EgressPolicy,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
    SentState,
    ThrottledError,
)
from http_service_client.core.layers.hosts import HostsLayer
from http_service_client.core.machines.deadline_check import DeadlineCheckSettings
from http_service_client.events import AttemptFinished, HostChanged
from http_service_client.http.messages import HttpRequest
from kit.fakes import failure
from kit.front_ends import FrontEnd
from kit.hosts import LOST, REFUSED, A, B, Bench, C
from kit.rows import each_row


def test_a_healthy_first_host_gets_all(bench: Bench) -> None:
    """Nothing says that there is another one."""
    for _ in range(3):
        bench.request()
    assert bench.urls == [f"{A}/v1/items"] * 3
    assert not [event for event in bench.events if isinstance(event, HostChanged)]


def test_a_failed_attempt_moves_to_the_next_host_at_once(bench: Bench) -> None:
    """Without a backoff, to the same path under the other base URL; the timeline names the hosts."""
    bench.down(A)
    response = bench.request(params={"q": "x"})
    assert (response.status_code, response.attempts, response.url) == (200, 2, f"{B}/items?q=x")
    assert bench.urls == [f"{A}/v1/items?q=x", f"{B}/items?q=x"]
    assert bench.delays == [0.0]
    assert bench.clock.monotonic() == 0.0
    assert response.timeline is not None
    assert [event.key for event in response.timeline if isinstance(event, AttemptFinished)] == [A, B]
    assert f"attempt 2: goes to {B}, in place of {A}" in response.timeline.explain()
    assert bench.client.metrics.total("http_host_changes_total") == 1


@pytest.mark.parametrize(
    ("method", "outcome", "hosts"),
    [
        ("GET", LOST, "ab"),
        ("GET", HttpResponse(500), "ab"),
        ("GET", HttpResponse(404), "a"),
        ("POST", REFUSED, "ab"),
        ("POST", HttpResponse(503, headers={"Retry-After": "0"}), "ab"),
        ("POST", LOST, "a"),
        ("POST", HttpResponse(500), "a"),
    ],
)
def test_only_what_is_safe_moves(bench: Bench, method: str, outcome: Any, hosts: str) -> None:
    """A POST that may have been processed stays where it is; one that was never sent may always move."""
    bench.down(A, outcome)
    try:
        bench.request(method)
    except ConnectionError:
        pass
    assert bench.hosts == hosts


def test_a_move_needs_no_time_but_what_is_left(bench: Bench) -> None:
    """Nothing is known of how long the next host takes."""
    bench.down(A)
    assert bench.request(total_timeout=0.5).attempts == 2


def test_a_move_that_the_policy_forbids_would_not_have_waited(bench: Bench) -> None:
    """So the reason asks for another attempt, and for no more time."""
    bench.down(A)
    error = bench.error(ConnectError, retry_policy=RetryPolicy(1), total_timeout=0.5)
    assert "would have been retried with max_attempts=2\n" in error.explain(why=True)


def test_hosts_that_have_all_failed_are_tried_again_after_a_backoff(front_end: FrontEnd) -> None:
    """In their order, and not the last one twice in a row."""
    bench = Bench(front_end, alternate_urls=[B, C], retry_policy_config=RetryPolicy(
        5, backoff_strategy=ConstantBackoff(1.0, jitter="none")), enable_retry_budget=False,
    )  # fmt: skip
    for host in (A, B, C):
        bench.down(host)
    error = bench.error(ConnectError)
    assert bench.hosts == "abcab"
    assert bench.delays == [0.0, 0.0, 1.0, 1.0]
    assert error.sent_state.value == "never_sent"


@pytest.mark.parametrize("seconds", ["5", "30"], ids=["that a call may wait for", "that is too long"])
def test_a_retry_after_of_one_host_does_not_hold_for_another(bench: Bench, seconds: str) -> None:
    """The second host is asked at once; the pause holds for all calls to the first one."""
    bench.down(A, HttpResponse(503, headers={"Retry-After": seconds}))
    assert bench.request("POST").status_code == 200
    assert bench.request().status_code == 200
    assert bench.hosts == "abb"
    assert bench.clock.monotonic() == 0.0
    bench.up(A)
    bench.clock.elapse(37.0)
    bench.request()
    assert bench.hosts == "abba"


def test_an_open_circuit_sends_calls_to_the_next_host_and_back(bench: Bench) -> None:
    """From the third failure on, in the first attempt. A trial finds out that the first host works again."""
    bench.down(A)
    for _ in range(3):
        bench.request()
    for _ in range(5):
        assert bench.request().attempts == 1
    assert bench.hosts == "ab" * 3 + "b" * 5
    bench.clock.elapse(10.0)
    assert bench.request().attempts == 2, "the trial failed"
    bench.up(A)
    bench.clock.elapse(20.0)
    for _ in range(2):
        assert bench.request().attempts == 1
    assert bench.hosts == "ab" * 3 + "b" * 5 + "ab" + "aa"


def test_an_open_circuit_needs_no_retry_policy(bench: Bench) -> None:
    """Nothing is repeated: the first host was not asked. A request that reached it is not sent to another."""
    bench.down(A)
    for _ in range(3):
        bench.error(ConnectError, retry_policy=False)
    assert bench.request("POST", retry_policy=False).status_code == 200
    assert bench.hosts == "aaab"


def test_if_all_refuse_the_error_is_of_the_one_that_is_over_first(bench: Bench) -> None:
    """The first host's circuit is open for ten seconds, the other's for eight."""
    bench.down(A)
    bench.down(B)
    for _ in range(3):
        bench.error(ConnectError, retry_policy=False)
    bench.clock.elapse(2.0)
    for _ in range(3):
        bench.error(ConnectError, retry_policy=False)
    error = bench.error(CircuitOpenError)
    assert (error.key, error.retry_after) == (A, pytest.approx(8.0))
    assert bench.hosts == "aaabbb"
    assert [event.key for event in error.timeline if type(event).__name__ == "CircuitRefused"] == [A, B]


@each_row("circuit_breaker", [None, False, CircuitBreakerPolicy()])
def test_a_limit_of_one_host_sends_calls_to_the_next(front_end: FrontEnd, circuit_breaker: Any) -> None:
    """Each origin has a limit of its own, also for a call that brings its circuit breaker."""
    bench = Bench(front_end, rate_limit={"rate": 0.1, "max_wait": 0.0})
    for _ in range(2):
        assert bench.request(circuit_breaker=circuit_breaker).attempts == 1
    assert bench.hosts == "ab"


def test_a_gate_is_waited_for_when_no_other_host_takes_the_call(bench: Bench) -> None:
    """The second host is down; the first one asks for a pause that the call may wait for, and another may not."""
    bench.down(B)
    for _ in range(3):
        with pytest.raises(ConnectError):
            bench.front_end.request(bench.client, "GET", f"{B}/x", retry_policy=False)
    bench.outcomes[A] = [HttpResponse(503, headers={"Retry-After": "5"}), HttpResponse(200)]
    assert bench.request(retry_policy=False).status_code == 503
    bench.error(ThrottledError, timeout=2.0, retry_policy=False)
    assert bench.request(timeout=20.0, retry_policy=False).status_code == 200
    assert bench.hosts == "bbbaa"


@pytest.mark.parametrize("refusal", [REFUSED, HttpResponse(503, headers={"Retry-After": "0"})], ids=repr)
def test_a_move_before_anything_was_processed_costs_no_retry(front_end: FrontEnd, refusal: Any) -> None:
    """Each host has each request once. A request that may have been processed is paid for."""
    none_left = {"capacity": 1.0, "earned": 0.0, "cost": 1.0}
    bench = Bench(front_end, retry_budget_config=none_left, enable_circuit_breaker=False)
    bench.down(A, refusal)
    for _ in range(5):
        assert bench.request().status_code == 200
    bench.down(A, LOST)
    bench.down(B, LOST)
    bench.error(ConnectionError)
    assert bench.hosts == "ab" * 5 + "ab"
    bench.error(ConnectionError)
    assert bench.hosts == "ab" * 6 + "a"
    bench.down(A, refusal)
    bench.up(B)
    assert bench.request().status_code == 200  # with the budget spent


@pytest.mark.parametrize(("of_a", "of_b"), [("8", "3"), ("3", "8")])
def test_of_the_refusals_of_all_hosts_the_first_to_end_is_the_outcome(
    front_end: FrontEnd, of_a: str, of_b: str
) -> None:
    """A caller that comes back then finds a host."""
    bench = Bench(front_end)
    bench.outcomes[A] = [HttpResponse(503, headers={"Retry-After": of_a})]
    bench.outcomes[B] = [HttpResponse(503, headers={"Retry-After": of_b})]
    bench.request(retry_policy=RetryPolicy(2))
    error = bench.error(ThrottledError, timeout=2.0, retry_policy=False)
    assert error.retry_after == pytest.approx(3.0)


def test_a_call_with_a_circuit_of_its_own_does_not_ask_those_of_the_hosts(bench: Bench) -> None:
    """That of the first host is open, and the call goes there."""
    bench.client._call_builder.origins.get(A).breaker.isolate()  # type: ignore[union-attr]  # it has one
    bench.request()
    bench.request(circuit_breaker=CircuitBreakerPolicy())
    bench.request(circuit_breaker=False)
    assert bench.hosts == "baa"


def test_a_circuit_that_refuses_nothing_sends_calls_to_its_host(front_end: FrontEnd) -> None:
    """It is open for its metrics alone."""
    bench = Bench(front_end, circuit_breaker_config={"failure_threshold": 1, "metrics_only": True})
    bench.down(A)
    for _ in range(3):
        bench.request()
    assert bench.hosts == "ab" * 3


def test_a_host_that_refuses_leaves_nothing_behind(bench: Bench) -> None:
    """What an attempt needs at the next host is found out there, and a later attempt may go to this one."""
    call: Any = bench.client._call_builder.build("GET", "items")
    needed: list[float] = []

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        needed.append(call.current.needed)
        call.current.needed = 5.0
        return failure(ThrottledError, SentState.NEVER_SENT)

    with pytest.raises(StopIteration):
        next(HostsLayer()(proceed, call.request, call))
    assert (needed, call.hosts.tried) == ([0.0, 0.0], [])


def test_a_host_without_a_free_connection_is_passed_over(front_end: FrontEnd) -> None:
    """As long as all of them are in use."""
    bench = Bench(
        front_end, connection_pool=ConnectionPoolConfig(max_connections_per_host=2, pool_timeout=0.1)
    )
    state = bench.client._call_builder.origins.get(A)
    held = [state.connections.acquire_later() for _ in range(2)]
    assert bench.request().attempts == 1
    held.pop().release()
    bench.request()
    held.pop().release()
    assert bench.hosts == "ba"


def test_a_retry_waits_while_no_other_host_takes_requests(front_end: FrontEnd) -> None:
    """Also if the call has not been sent to the other one: it would be refused there, or wait as long."""
    bench = Bench(
        front_end, connection_pool=ConnectionPoolConfig(max_connections_per_host=1, pool_timeout=0.1)
    )
    held = bench.client._call_builder.origins.get(A).connections.acquire_later()
    bench.outcomes[B] = [HttpResponse(503, headers={"Retry-After": "2"}), HttpResponse(200)]
    assert bench.request().status_code == 200
    held.release()
    assert (bench.hosts, bench.delays) == ("bb", [2.0])


@each_row(
    ("settings", "message"),
    [
        ({"alternate_urls": "https://b.test"}, "must be a list of base URLs"),
        ({"alternate_urls": ["/v1"]}, "is not absolute"),
        ({"alternate_urls": ["https://b.test?x=1"]}, "has a query"),
        ({"alternate_urls": ["https://b.test", "https://b.test/v2"]}, "https://b.test twice"),
        ({"base_url": "https://b.test", "alternate_urls": ["https://b.test:443/v2"]}, "https://b.test twice"),
        ({"base_url": "https://a.test", "alternate_urls": ["http://b.test"]}, "not encrypted"),
        (
            {"alternate_urls": ["http://10.0.0.1"], "egress_policy": EgressPolicy(allowed_hosts=["a.test"])},
            "10.0.0.1",
        ),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError, match="alternate_urls") as raised:
        HttpClientConfig(**settings)
    assert message in str(raised.value)


def test_alternates_need_a_base_url() -> None:
    """Of the configuration, or of the client's keyword."""
    config = HttpClientConfig(alternate_urls=["https://b.test"])
    with pytest.raises(ConfigurationError, match="set base_url"):
        HttpServiceClient(config)
    HttpServiceClient(config, base_url="https://a.test").close()
    with pytest.raises(ConfigurationError, match="twice"):
        HttpServiceClient(config, base_url="https://b.test/v1")


def test_the_settings_come_from_variables_too() -> None:
    """A list of URLs, and the deadline check as a table."""
    config = HttpClientConfig.from_env(
        "SHOP_",
        {
            "SHOP_BASE_URL": A,
            "SHOP_ALTERNATE_URLS": f"{B}, {C}",
            "SHOP_DEADLINE_CHECK__MIN_CHANCE": "0.1",
            "SHOP_DEADLINE_CHECK__PROBE_INTERVAL": "500ms",
        },
    )
    assert config.alternate_urls == (B, C)
    assert config.deadline_check == DeadlineCheckSettings(min_chance=0.1, probe_interval=0.5)
    assert config == pickle.loads(pickle.dumps(config))
