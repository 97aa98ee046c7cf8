"""A forked child counts from 0. What its parent counted is the parent's to report."""

from __future__ import annotations

import copy
import threading

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConstantBackoff,
    HttpClientConfig,
    HttpMetrics,
    HttpResponse,
    HttpServiceClient,
    RetryBudgetSettings,
    RetryPolicy,
)
from http_service_client.drivers.forks import reset_in_forked_children
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.forks import in_a_child, needs_fork

pytestmark = needs_fork
URL = "https://api.example.com/"


def test_a_child_does_not_report_the_calls_of_its_parent() -> None:
    """Four preforked workers would report the calls before the fork four times."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    client.metrics.set("workers", 4)
    for _ in range(3):
        client.get(URL)

    def work() -> None:
        assert client.metrics.total("http_requests_total") == client.metrics.value("workers") == 0
        assert client.metrics.snapshot().histograms == ()
        summary = client.get_health_summary()
        assert summary["total_requests"] == summary["window"]["total_requests"] == 0
        client.get(URL)
        assert client.metrics.total("http_requests_total") == 1
        (sample,) = client.metrics.snapshot().histograms
        assert (sample.count, sample.buckets[-1][1]) == (1, 1)
        summary = client.get_health_summary()
        assert summary["total_requests"] == summary["window"]["total_requests"] == 1

    assert in_a_child(work) == 0
    assert client.metrics.total("http_requests_total") == 3
    client.close()


def test_a_child_s_circuit_keeps_its_state_and_forgets_its_totals() -> None:
    """A service that is down is down for the child, too. The failures were the parent's calls."""
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 2})
    client = HttpServiceClient(config, transport=ScriptedTransport(HttpResponse(503)))
    policy = CircuitBreakerPolicy(failure_threshold=2)
    for _ in range(2):
        client.get(URL, retry_policy=False)
    with pytest.raises(ZeroDivisionError), policy:
        raise ZeroDivisionError
    own = client.get_circuit_breaker("https://api.example.com")
    assert own is not None

    def work() -> None:
        for circuit, state, failures in [(own, "open", 0), (policy, "closed", 1)]:
            now = circuit.snapshot()
            assert (now.state, now.successes, now.failures, now.refused) == (state, 0, 0, 0)
            assert failures == 0 or now.consecutive_failures == failures

    assert in_a_child(work) == 0
    assert policy.snapshot().failures == 1
    client.close()


def test_a_trial_of_the_parent_does_not_block_its_child() -> None:
    """Nobody in the child will settle it."""
    clock = VirtualClock()
    policy = CircuitBreakerPolicy(1, 5.0, 1, clock=clock.monotonic)
    with pytest.raises(ZeroDivisionError), policy:
        raise ZeroDivisionError
    clock.advance(5.0)

    def work() -> None:
        with policy:
            pass
        assert policy.state == "closed"

    trial = policy.breaker.try_acquire()  # as another thread of the parent would
    assert policy.state == "half_open"
    assert in_a_child(work) == 0
    trial.record_success()  # type: ignore[union-attr]  # a permit
    assert policy.state == "closed"


def test_the_calls_of_the_parent_pay_for_no_retry_of_its_child() -> None:
    """Or each of a hundred children could make a fifth of the parent's calls again."""
    settings = RetryBudgetSettings(ratio=0.5, min_per_second=0.0)
    clock = VirtualClock()
    policy = RetryPolicy(2, ConstantBackoff(0.0), clock=clock, budget=settings)
    client = HttpServiceClient(
        HttpClientConfig(retry_budget_config=RetryBudgetSettings()),
        transport=ScriptedTransport([HttpResponse(200)] * 10 + [HttpResponse(503)]),
    )
    calls = []

    def failing() -> None:
        calls.append(1)
        raise ConnectionError

    for _ in range(10):
        client.get(URL)
        policy.call(lambda: None)

    def work() -> None:
        budget = client._call_builder.origins.get("https://api.example.com").budget
        assert budget is not None
        assert budget.balance == 100  # the free ones
        with pytest.raises(ConnectionError):
            policy.call(failing)
        assert len(calls) == 1

    assert in_a_child(work) == 0
    with pytest.raises(ConnectionError):
        policy.call(failing)
    assert len(calls) == 2
    client.close()


def test_what_is_counted_need_not_be_hashable() -> None:
    """A user's subclass may compare by its numbers."""

    class Compared(HttpMetrics):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Compared)

    metrics = Compared()
    metrics.add("calls")
    reset_in_forked_children(metrics)

    def work() -> None:
        assert metrics.total("calls") == 0

    assert in_a_child(work) == 0


def test_a_deep_copy_of_a_lock_is_another_lock_that_starts_unlocked_in_a_child() -> None:
    """As of a cache that is copied. Another thread holds the copy at the fork; the first one is free meanwhile."""
    lock = ForkSafeLock()
    twin = copy.deepcopy(lock)
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with twin:
            is_held.set()
            may_end.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(10)

    def work() -> None:
        with twin:
            pass

    with lock:
        assert in_a_child(work) == 0
    may_end.set()
    holder.join(10)
