"""`MetricsCollector`: events in, metrics and totals out."""

from __future__ import annotations

import threading
import time
import timeit
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    HttpMetrics,
    MetricsCollector,
    SentState,
    StateChange,
)
from http_service_client.events import (
    AttemptFinished,
    AuthContinued,
    CacheFailed,
    CacheResult,
    CacheUsed,
    CallFinished,
    ChaosInjected,
    CircuitRefused,
    CodingRefused,
    DeadlineRefused,
    FallbackSource,
    FallbackUsed,
    HedgeDenied,
    HedgeFinished,
    HedgeResult,
    HedgeStarted,
    HostChanged,
    LimitRefused,
    LimitWaited,
    OperationFinished,
    OperationTimedOut,
    RedirectFollowed,
    RetryScheduled,
    RetryStopped,
    StopReason,
    ThrottleRefused,
    ThrottleWaited,
)
from http_service_client.observability import collector as module
from kit.fakes import ORIGIN, REFUSED, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.threads import run_threads

ANSWERED = SentState.ANSWERED


def call(
    status: int | None = 200,
    error: str | None = None,
    *,
    seconds: float = 0.5,
    key: str = "https://a.test",
    method: str = "GET",
) -> CallFinished:
    return CallFinished(seconds, method, f"{key}/", key, 1, status, error, ANSWERED, None)


def attempt(status: int | None = 200, error: str | None = None, *, number: int = 1) -> AttemptFinished:
    return AttemptFinished(0.1, number, "https://a.test", 0.1, status, error, "", ANSWERED)


EVENTS: list[tuple[Any, str, dict[str, str]]] = [
    (call(200), "http_requests_total", {"service": "https://a.test", "method": "GET", "status_code": "200"}),
    (
        call(None, "ConnectError"),
        "http_requests_total",
        {"service": "https://a.test", "method": "GET", "error": "ConnectError"},
    ),
    (call(503), "http_errors_total", {"service": "https://a.test", "status_code": "503"}),
    (call(400), "http_errors_total", {"service": "https://a.test", "status_code": "400"}),
    (
        call(None, "ConnectError"),
        "http_errors_total",
        {"service": "https://a.test", "error": "ConnectError"},
    ),
    (attempt(429), "http_attempts_total", {"service": "https://a.test", "status_code": "429"}),
    (
        attempt(None, "ReadTimeoutError"),
        "http_attempts_total",
        {"service": "https://a.test", "error": "ReadTimeoutError"},
    ),
    (attempt(number=2), "http_retries_total", {"service": "https://a.test"}),
    (attempt()._replace(is_trial=True), "http_circuit_trials_total", {"service": "https://a.test"}),
    (
        AuthContinued(0.1, 1, "https://a.test", 401, "https://a.test/", "GET", "https://a.test/"),
        "http_auth_exchanges_total",
        {"service": "https://a.test"},
    ),
    (
        CodingRefused(0.1, 1, "https://a.test", "gzip"),
        "http_codings_refused_total",
        {"service": "https://a.test"},
    ),
    (
        RetryStopped(0.1, 1, "https://a.test", StopReason.BUDGET, 0.0, None),
        "http_retries_stopped_total",
        {"service": "https://a.test", "reason": "budget"},
    ),
    (
        RedirectFollowed(0.1, 1, "https://a.test", 301, "GET", "https://b.test"),
        "http_redirects_total",
        {"service": "https://a.test", "status_code": "301"},
    ),
    (
        CacheUsed(0.1, 0, "https://a.test", CacheResult.HIT),
        "http_cache_requests_total",
        {"service": "https://a.test", "result": "hit"},
    ),
    (
        CacheFailed(0.1, 0, "https://a.test", "get", "OSError", "the disk is gone"),
        "http_cache_errors_total",
        {"service": "https://a.test", "operation": "get"},
    ),
    (
        ChaosInjected(0.1, 1, "https://a.test", "error", "ConnectError"),
        "http_chaos_injections_total",
        {"service": "https://a.test", "kind": "error"},
    ),
    (
        FallbackUsed(0.1, 1, "https://a.test", FallbackSource.LAST_GOOD, "status 503", age=5.0),
        "http_fallbacks_total",
        {"service": "https://a.test", "source": "last_good"},
    ),
    (HedgeStarted(0.1, 1, "https://a.test", 1, 0.1), "http_hedges_total", {"service": "https://a.test"}),
    (
        HedgeDenied(0.1, 1, "https://a.test", "the retry budget is spent"),
        "http_hedges_denied_total",
        {"service": "https://a.test"},
    ),
    (
        HedgeFinished(0.1, 1, "https://a.test", 1, HedgeResult.WON, 0.1, 200, None, SentState.ANSWERED),
        "http_hedge_results_total",
        {"service": "https://a.test", "result": "won"},
    ),
    (
        OperationTimedOut(0.1, 1, "https://a.test", 2.0, "late"),
        "http_operation_timeouts_total",
        {"service": "https://a.test", "result": "late"},
    ),
    (
        ThrottleWaited(0.1, 1, "https://a.test", 2.0),
        "http_throttle_waits_total",
        {"service": "https://a.test"},
    ),
    (
        ThrottleRefused(0.1, 1, "https://a.test", 2.0),
        "http_throttle_refusals_total",
        {"service": "https://a.test"},
    ),
    (
        OperationFinished(0.1, "payments", 2, "OSError"),
        "http_operations_total",
        {"service": "payments", "error": "OSError"},
    ),
    (
        LimitWaited(0.1, 1, "https://a.test", "rate limit", 2.0),
        "http_limit_waits_total",
        {"service": "https://a.test", "limit": "rate limit"},
    ),
    (
        LimitRefused(0.1, 1, "https://a.test", "rate limit", 2.0),
        "http_limit_refusals_total",
        {"service": "https://a.test", "limit": "rate limit"},
    ),
    (
        DeadlineRefused(0.1, 1, "https://a.test", 0.9, 1.8, 1.5),
        "http_deadline_refusals_total",
        {"service": "https://a.test"},
    ),
    (
        HostChanged(0.1, 1, "https://b.test", "https://a.test"),
        "http_host_changes_total",
        {"service": "https://b.test"},
    ),
    (
        CircuitRefused(0.1, 1, "https://a.test", "open", 2.0),
        "http_circuit_refusals_total",
        {"service": "https://a.test", "reason": "open"},
    ),
    (
        StateChange(
            "https://a.test", CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN, "5 failures", 0.0, 1, 60.0
        ),
        "http_circuit_state_changes_total",
        {"service": "https://a.test", "state": "open"},
    ),
    (
        StateChange(
            "https://a.test (eu) (shadow)",
            CircuitBreakerState.CLOSED,
            CircuitBreakerState.OPEN,
            "5 failures",
            0.0,
            1,
            60.0,
            is_shadow=True,
        ),
        "http_circuit_state_changes_total",
        {"service": "https://a.test (shadow)", "state": "open"},
    ),
]


class TestTheCollector:
    """One collector, fed with events by hand."""

    @each_row(
        ("event", "name", "labels"),
        EVENTS,
        ids=[f"{type(event).__name__}-{name}" for event, name, _ in EVENTS],
    )
    def test_counts_each_event_under_its_name(self, event: Any, name: str, labels: dict[str, str]) -> None:
        """By one each time, with these labels and no others."""
        collector = MetricsCollector()
        for times in (1, 2):
            collector.collect(event)
            found = [
                (dict(one.labels), one.value)
                for one in collector.metrics.snapshot().counters
                if one.name == name
            ]
            assert found == [(labels, times)]

    @each_row("event", [each for each, _, _ in EVENTS], ids=lambda each: type(each).__name__)
    def test_counts_many_events_as_one_by_one(self, event: Any) -> None:
        """Only in less time. A key is not counted by, for there may be one for each tenant."""
        others = [event._replace(at=1.0)]
        if "key" in event._fields and type(event) is not OperationFinished:
            others.append(event._replace(key=f"{event.key} (alice)"))
        single, all_at_once = MetricsCollector(), MetricsCollector()
        for each in (event, *others):
            single.collect(each)
        all_at_once.collect_all([event, *others])
        assert all_at_once.metrics.snapshot() == single.metrics.snapshot()
        assert all_at_once.summary() == single.summary()
        assert "alice" not in repr(single.metrics.snapshot())

    def test_every_label_can_be_asked_for_before_there_is_a_series(self) -> None:
        """A dashboard reads zeros at the start. What is no label of a metric is an error."""
        metrics = MetricsCollector().metrics
        named = {"name": "charge", "url_template": "/"}
        for _, name, labels in EVENTS:
            assert metrics.total(name, labels) == 0
        for name in ("http_requests_total", "http_errors_total"):
            assert metrics.total(name, {"status_code": "200", "error": "", **named}) == 0
        assert metrics.mean("http_request_duration_seconds", {"service": "", "method": "", **named}) == 0
        assert metrics.mean("http_operation_duration_seconds", {"service": ""}) == 0
        for wrong in ({"outcome": "200"}, {"method": "GET"}, {"name": "charge"}):
            with pytest.raises(ConfigurationError, match="has no label"):
                metrics.total("http_attempts_total", wrong)
            with pytest.raises(ConfigurationError, match="has no label"):
                metrics.mean("http_operation_duration_seconds", wrong)

    def test_measures_how_long_an_operation_took(self) -> None:
        """By the name of its pipeline. A success is no error, and has none as its label."""
        collector = MetricsCollector()
        for seconds, error in ((0.25, None), (0.75, "OSError")):
            collector.collect(OperationFinished(seconds, "orders", 1, error))
        metrics = collector.metrics
        assert metrics.mean("http_operation_duration_seconds", {"service": "orders"}) == 0.5
        assert [metrics.total("http_operations_total", {"error": error}) for error in ("", "OSError")] == [
            1, 1,
        ]  # fmt: skip

    def test_services_beyond_the_bound_are_one(self) -> None:
        """Without a name, also in what is told of each service."""
        collector = MetricsCollector(HttpMetrics(max_series=1))
        for number in range(3):
            event = call(503, key=f"https://{number}.test")
            collector.collect_all([event, attempt(503)._replace(key=event.key)])
        assert collector.errors() == {"https://0.test": {"503": 1}, "": {"other": 2}}
        assert {
            name: (each["calls"], each["exchanges"]) for name, each in collector.amplification().items()
        } == {"https://0.test": (1, 1), "": (2, 2)}

    def test_a_service_without_calls_costs_nothing(self) -> None:
        """Such as one whose calls a process has forgotten when it was forked."""
        collector = MetricsCollector()
        collector.metrics.add("http_requests_total", {"service": "https://a.test"}, 0)
        assert collector.amplification()["https://a.test"]["amplification"] == 0.0

    @pytest.mark.parametrize("status", [200, 204, 301, 399])
    def test_counts_no_error_for_a_success_or_redirect(self, status: int) -> None:
        """Errors start at 400."""
        collector = MetricsCollector()
        collector.collect(call(status))
        assert collector.metrics.total("http_errors_total") == 0

    def test_measures_how_long_a_call_took(self) -> None:
        """By service and method."""
        collector = MetricsCollector()
        collector.collect(call(200, seconds=0.25))
        collector.collect(call(503, seconds=0.75))
        (sample,) = collector.metrics.snapshot().histograms
        assert sample.name == "http_request_duration_seconds"
        assert dict(sample.labels) == {"service": "https://a.test", "method": "GET"}
        assert (sample.count, sample.sum) == (2, 1.0)

    def test_every_event_that_it_counts_is_tested(self) -> None:
        """The table above has each kind of event; a retry is counted by its attempt."""
        tested = {type(event).__name__ for event, _, _ in EVENTS}
        assert {kind.__name__ for kind in module._COUNT} == tested

    def test_counts_a_retry_when_it_is_made(self) -> None:
        """A scheduled retry may still be stopped, by the circuit or by a cancellation."""
        collector = MetricsCollector()
        collector.collect(attempt(503))
        collector.collect(RetryScheduled(0.1, 1, "https://a.test", 1.0, "status 503", None, 5.0, None))
        assert collector.summary()["retries"] == 0
        collector.collect(attempt(number=2))
        assert collector.summary()["retries"] == 1

    def test_ignores_an_unknown_event(self) -> None:
        """An event of a later version is not an error."""
        collector = MetricsCollector()
        before = collector.metrics.snapshot()
        collector.collect(object())  # type: ignore[arg-type]  # what the test is about
        assert collector.metrics.snapshot() == before

    def test_has_the_totals_of_a_health_report(self) -> None:
        """From zeros on, with a rate and a mean."""
        collector = MetricsCollector()
        assert collector.summary() == {
            "total_requests": 0, "total_errors": 0, "error_rate": 0.0, "average_response_time": 0.0,
            "retries": 0, "refusals": 0,
        }  # fmt: skip
        for event in (
            call(200, seconds=1.0),
            call(404, seconds=2.0),
            call(200, seconds=3.0),
            call(None, "E", seconds=2.0),
        ):
            collector.collect(event)
        for event, *_ in EVENTS[5:]:
            collector.collect(event)
        assert collector.summary() == {
            "total_requests": 4, "total_errors": 2, "error_rate": 0.5, "average_response_time": 2.0,
            "retries": 1, "refusals": 4,
        }  # fmt: skip

    def test_totals_only_its_own_events(self) -> None:
        """Others may count into the same metrics, as the monitor of the examples does."""
        metrics = HttpMetrics()
        collector, other = MetricsCollector(metrics), MetricsCollector(metrics)
        collector.collect(call())
        other.collect(call())
        metrics.add("http_requests_total", {"service": "by hand"})
        assert collector.summary()["total_requests"] == 1
        assert metrics.total("http_requests_total") == 3

    def test_a_metric_of_another_kind_under_its_name_is_an_error(self) -> None:
        """When the collector is made, not in the log of each call."""
        metrics = HttpMetrics()
        metrics.set("http_requests_total", 3)
        with pytest.raises(ConfigurationError, match="http_requests_total is a gauge, not a counter"):
            MetricsCollector(metrics)
        metrics = HttpMetrics()
        metrics.add("http_operation_duration_seconds")
        with pytest.raises(ConfigurationError, match="seconds is a counter, not a histogram"):
            MetricsCollector(metrics)
        with pytest.raises(ConfigurationError, match="metrics must be an HttpMetrics"):
            MetricsCollector({})  # type: ignore[arg-type]  # what the test is about

    def test_loses_nothing_between_threads(self) -> None:
        """16 threads, 1,000 calls each."""
        collector = MetricsCollector()

        def count(number: int) -> None:
            for turn in range(1000):
                collector.collect(call(200 + turn % 4 * 100, seconds=0.5))
                collector.collect(attempt())

        run_threads(count)
        assert collector.summary()["total_requests"] == 16_000
        assert collector.summary()["total_errors"] == 8_000
        assert collector.summary()["average_response_time"] == 0.5
        assert collector.metrics.total("http_requests_total") == 16_000
        assert collector.metrics.total("http_attempts_total", {"status_code": 200}) == 16_000

    def test_takes_a_few_microseconds(self) -> None:
        """It runs two or three times a call. The aim is 2 µs each; 10 µs allows for a busy machine."""
        collector = MetricsCollector()
        for event in (call(), call(503), attempt()):
            rounds = timeit.repeat(
                lambda: collector.collect(event), timer=time.thread_time, number=2000, repeat=10
            )
            seconds = min(rounds) / 2000
            assert seconds < 10e-6

    def test_its_memory_is_bounded(self) -> None:
        """Calls to ever new hosts add neither series nor cache entries beyond the limit; totals stay correct."""
        collector = MetricsCollector(HttpMetrics(max_series=5))
        for number in range(50):
            for _ in range(2):
                collector.collect(call(503, key=f"https://{number}.test", seconds=1.0))
                collector.collect(CircuitRefused(0.0, 1, f"https://{number}.test", "open", None))
        assert len(collector.metrics.snapshot().counters) <= 3 * 6
        assert len(collector._calls) <= 5
        assert len(collector._counters) <= 5
        assert collector.metrics.total("http_requests_total") == 100
        assert collector.metrics.total("http_errors_total") == 100
        assert collector.metrics.total("http_circuit_refusals_total") == 100
        assert collector.summary()["average_response_time"] == 1.0

    def test_nothing_is_left_to_the_cycle_collector(self, no_reference_cycles: None) -> None:
        """A collector and its metrics are freed when the last reference to them is dropped."""
        collector = MetricsCollector()
        collector.collect(call())
        collector.collect(attempt())
        collector.metrics.snapshot()

    def test_a_snapshot_is_of_one_instant(self) -> None:
        """While calls are counted, requests and durations never disagree."""
        collector = MetricsCollector()
        done, torn = threading.Event(), []

        def work(number: int) -> None:
            if number == 0:
                while not done.is_set():
                    snapshot = collector.metrics.snapshot()
                    requests = sum(s.value for s in snapshot.counters if s.name == "http_requests_total")
                    observed = sum(sample.count for sample in snapshot.histograms)
                    if requests != observed:
                        torn.append((requests, observed))
            else:
                for turn in range(3000):
                    collector.collect(call(200 + turn % 2))
                done.set()

        run_threads(work, 3)
        assert torn == []


def test_a_client_counts_its_calls(front_end: FrontEnd) -> None:
    """A success, a retried success, an error that opens the circuit, and a refusal."""
    harness = Harness(
        front_end,
        *(200, 503, 200, REFUSED),
        circuit_breaker_config={"failure_threshold": 1},
        retry_policy_config={"max_attempts": 2},
    )
    harness.request()
    harness.request(circuit_breaker=False)
    harness.error(ConnectError, retry_policy=False)
    harness.error(CircuitOpenError, retry_policy=False)

    summary = harness.client.get_health_summary()
    assert summary.pop("amplification")[ORIGIN]["exchanges"] == 4
    assert summary.pop("errors") == {ORIGIN: {"CircuitOpenError": 1, "ConnectError": 1}}
    assert summary.pop("origins")[ORIGIN]["circuit"]["refused"] == 1
    assert summary.pop("window")["total_requests"] == 4
    assert summary.pop("connections") == {"in_use": 0, "awaited": 0, "limit": 100}
    assert summary.pop("is_closed") is False
    assert summary.pop("chaos") is None
    assert summary == {
        "total_requests": 4, "total_errors": 2, "error_rate": 0.5,
        "average_response_time": pytest.approx(0.5 / 4),
        "retries": 1, "refusals": 1, "circuit_breaker_states": {ORIGIN: "open"},
    }  # fmt: skip
    metrics = harness.client.metrics
    assert metrics.total("http_requests_total", {"service": ORIGIN, "method": "GET"}) == 4
    assert metrics.total("http_errors_total", {"error": "CircuitOpenError"}) == 1
    assert metrics.total("http_errors_total", {"error": "ConnectError"}) == 1
    assert metrics.total("http_attempts_total") == 4
    assert metrics.total("http_attempts_total", {"status_code": 503}) == 1
    assert metrics.total("http_circuit_state_changes_total", {"state": "open"}) == 1
