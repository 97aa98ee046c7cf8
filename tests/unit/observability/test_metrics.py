"""Metrics: true numbers, from any thread, in bounded memory."""

# ruff: noqa: F541  # the f-strings of the document, as written
from __future__ import annotations

import asyncio
import math
import os
import pickle
import sys
import threading
import timeit
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import (
    CircuitBreakerState,
    ConfigurationError,
    HttpClientConfig,
    HttpMetrics,
    HttpResponse,
    HttpServiceClient,
    MetricsCollector,
    SentState,
    StateChange,
)
from http_service_client.errors import ConnectError, Failure
from http_service_client.events import (
    AttemptFinished,
    CallFinished,
    CircuitRefused,
    RedirectFollowed,
    RetryScheduled,
    RetryStopped,
    StopReason,
)
from http_service_client.observability import collector as module
from http_service_client.observability.metrics import DURATION_BUCKETS, HistogramSample, Sample

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


def run_all(work: Callable[[int], object], threads: int = 16) -> None:
    """Call `work` with the numbers from 0, each on its own thread, taking turns every few microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        started = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(timeout=30)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in started)


class TestCounters:
    """What is counted adds up."""

    def test_count_each_set_of_labels(self) -> None:
        """One series a set; the order of the labels makes no difference."""
        metrics = HttpMetrics()
        metrics.add("calls", {"service": "a", "code": 200})
        metrics.add("calls", {"code": 200, "service": "a"})
        metrics.add("calls", {"service": "a", "code": 503}, amount=3)
        assert metrics.snapshot().counters == (
            Sample("calls", (("code", "200"), ("service", "a")), 2),
            Sample("calls", (("code", "503"), ("service", "a")), 3),
        )

    @pytest.mark.parametrize(
        ("labels", "total"),
        [
            (None, 11),
            ({}, 11),
            ({"service": "a"}, 3),
            ({"code": 200}, 9),
            ({"code": "200"}, 9),
            ({"service": "a", "code": 503}, 2),
            ({"service": "c"}, 0),
            ({"host": "a"}, 0),
        ],
    )
    def test_are_summed_over_what_contains_the_labels(self, labels: Any, total: int) -> None:
        """The labels of a question are a filter."""
        metrics = HttpMetrics()
        metrics.add("calls", {"service": "a", "code": 200})
        metrics.add("calls", {"service": "a", "code": 503}, 2)
        metrics.add("calls", {"service": "b", "code": 200}, 8)
        assert metrics.total("calls", labels) == total

    def test_stay_whole_numbers(self) -> None:
        """Counts are not turned into floats, and 2**53 + 1 is not lost."""
        metrics = HttpMetrics()
        metrics.add("calls", amount=2**53)
        metrics.add("calls")
        assert metrics.total("calls") == 2**53 + 1
        assert isinstance(metrics.total("nothing"), int)

    @pytest.mark.parametrize("amount", [-1, -0.5, math.nan, math.inf, True, "1", None, 10**400])
    def test_only_rise(self, amount: Any) -> None:
        """A negative amount, or one that is no number, changes nothing and says so."""
        metrics = HttpMetrics()
        with pytest.raises(ConfigurationError, match=r"^amount must"):
            metrics.add("calls", amount=amount)
        assert metrics.snapshot().counters == ()

    def test_lose_nothing_between_threads(self) -> None:
        """16 threads, 2,000 counts each, over new and known series."""
        metrics = HttpMetrics()

        def count(number: int) -> None:
            for turn in range(2000):
                metrics.add("calls", {"thread": number % 4, "turn": turn % 3})

        run_all(count)
        assert metrics.total("calls") == 32_000
        assert metrics.total("calls", {"thread": 1}) == 8_000


class TestHistograms:
    """What is measured can be read as a mean, and exported in buckets."""

    def test_keep_count_sum_extremes_and_buckets(self) -> None:
        """A bucket counts what is not above its bound; the last one counts all."""
        metrics = HttpMetrics(buckets=[1, 2.5])
        for value in (0.5, 1.0, 2.0, 4.0):
            metrics.observe("seconds", value, {"service": "a"})
        assert metrics.snapshot().histograms == (
            HistogramSample(
                "seconds", (("service", "a"),), count=4, sum=7.5, min=0.5, max=4.0,
                buckets=((1.0, 2), (2.5, 3), (math.inf, 4)),
            ),
        )  # fmt: skip
        assert metrics.snapshot().histograms[0].mean == 1.875

    def test_have_a_mean_over_what_contains_the_labels(self) -> None:
        """The mean of the values, not of the series' means."""
        metrics = HttpMetrics()
        for value, service in ((1.0, "a"), (2.0, "a"), (6.0, "b")):
            metrics.observe("seconds", value, {"service": service})
        assert metrics.mean("seconds") == 3.0
        assert metrics.mean("seconds", {"service": "a"}) == 1.5

    def test_have_the_mean_nought_before_anything_was_observed(self) -> None:
        """No division by zero for a health report at start-up."""
        assert HttpMetrics().mean("seconds") == 0.0

    @given(st.lists(st.floats(-1e6, 1e6), min_size=1))
    def test_agree_with_what_was_observed(self, values: list[float]) -> None:
        """For any values: the same numbers as a list of them would give."""
        metrics = HttpMetrics()
        for value in values:
            metrics.observe("seconds", value)
        (sample,) = metrics.snapshot().histograms
        assert (sample.count, sample.min, sample.max) == (len(values), min(values), max(values))
        assert sample.sum == pytest.approx(math.fsum(values), abs=1e-3)
        assert sample.buckets == tuple(
            (bound, sum(value <= bound for value in values)) for bound in (*DURATION_BUCKETS, math.inf)
        )

    @pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None])
    def test_take_finite_numbers_only(self, value: Any) -> None:
        """One NaN would spoil the sum for good."""
        metrics = HttpMetrics()
        with pytest.raises(ConfigurationError, match="value must be a finite number"):
            metrics.observe("seconds", value)
        assert metrics.snapshot().histograms == ()


class TestGauges:
    """What is set is what is read."""

    def test_hold_the_last_value(self) -> None:
        """A gauge may fall."""
        metrics = HttpMetrics()
        metrics.set("connections", 5, {"host": "a"})
        metrics.set("connections", 3, {"host": "a"})
        metrics.set("connections", 4, {"host": "b"})
        assert metrics.value("connections", {"host": "a"}) == 3
        assert metrics.value("connections") == 7
        assert metrics.value("nothing") == 0
        assert metrics.snapshot().gauges[0] == Sample("connections", (("host", "a"),), 3)


class TestNames:
    """Names and labels that could not be exported are refused at once."""

    @pytest.mark.parametrize("name", ["", "1st", "a-b", "http.requests", "ä", "a b", None, 3, "a\n"])
    def test_of_metrics_are_checked(self, name: Any) -> None:
        """By Prometheus' grammar; the message names the name."""
        for use in (lambda m: m.add(name), lambda m: m.set(name, 1), lambda m: m.observe(name, 1)):
            with pytest.raises(ConfigurationError, match="a metric name must be letters"):
                use(HttpMetrics())

    @pytest.mark.parametrize("name", ["", "1st", "a-b", "__name", "a:b", 3])
    def test_of_labels_are_checked(self, name: Any) -> None:
        """And nothing is counted."""
        metrics = HttpMetrics()
        with pytest.raises(ConfigurationError, match="a label name must be letters"):
            metrics.add("calls", {name: "x"})
        assert metrics.total("calls") == 0

    @pytest.mark.parametrize("labels", ["service", [("a", "b")], {3: "x", "a": "y"}])
    def test_labels_are_a_mapping_of_text(self, labels: Any) -> None:
        """Not a list, not a string."""
        with pytest.raises(ConfigurationError, match="label"):
            HttpMetrics().add("calls", labels)

    def test_label_values_become_text(self) -> None:
        """Of whatever type they are; an enum's is its value."""
        metrics = HttpMetrics()
        metrics.add("calls", {"code": 503, "state": SentState.ANSWERED, "none": None, "half": 0.5})
        assert dict(metrics.snapshot().counters[0].labels) == {
            "code": "503", "half": "0.5", "none": "None", "state": "answered",
        }  # fmt: skip

    def test_a_name_has_one_kind_for_good(self) -> None:
        """Using or reading it as another says what it is."""
        metrics = HttpMetrics()
        metrics.observe("seconds", 1.0)
        metrics.add("calls")
        for wrong in (
            lambda: metrics.add("seconds"),
            lambda: metrics.total("seconds"),
            lambda: metrics.set("seconds", 1),
            lambda: metrics.value("seconds"),
            lambda: asyncio.run(metrics.get_counter("seconds")),
        ):
            with pytest.raises(ConfigurationError, match=r"seconds is a histogram.*observe\(\) and mean\(\)"):
                wrong()
        for wrong in (lambda: metrics.mean("calls"), lambda: asyncio.run(metrics.get_gauge("calls"))):
            with pytest.raises(ConfigurationError, match="calls is a counter"):
                wrong()

    @pytest.mark.parametrize("max_series", [0, -1, 1.5, True, "1"])
    def test_the_limit_is_a_whole_number(self, max_series: Any) -> None:
        """Settings are checked like everybody's."""
        with pytest.raises(ConfigurationError, match="max_series must be"):
            HttpMetrics(max_series=max_series)

    @pytest.mark.parametrize("buckets", [[], [1, 1], [2, 1], [math.nan], [math.inf], ["1"], "12", 1])
    def test_buckets_are_rising_numbers(self, buckets: Any) -> None:
        """The infinite one comes by itself."""
        with pytest.raises(ConfigurationError, match="bucket"):
            HttpMetrics(buckets=buckets)


class TestMemory:
    """Label values may come from outside; memory may not grow with them."""

    def test_series_over_the_limit_are_counted_together(self) -> None:
        """Known series go on as before, and the total is true."""
        metrics = HttpMetrics(max_series=3)
        for number in range(10):
            metrics.add("calls", {"user": number})
        metrics.add("calls", {"user": 0})
        assert [(dict(one.labels), one.value) for one in metrics.snapshot().counters] == [
            ({"user": "0"}, 2), ({"user": "1"}, 1), ({"user": "2"}, 1), ({"overflow": "true"}, 7),
        ]  # fmt: skip
        assert metrics.total("calls") == 11
        assert metrics.total("calls", {"user": 9}) == 0

    def test_the_limit_is_each_metrics_own(self) -> None:
        """A metric that overflows takes nothing from another; histograms and gauges have it too."""
        metrics = HttpMetrics(max_series=1)
        for number in range(3):
            metrics.add("calls", {"user": number})
            metrics.set("connections", 1, {"user": number})
            metrics.observe("seconds", 1.0, {"user": number})
        snapshot = metrics.snapshot()
        for samples in (snapshot.counters, snapshot.gauges, snapshot.histograms):
            assert [dict(sample.labels) for sample in samples] == [{"user": "0"}, {"overflow": "true"}]
        assert metrics.mean("seconds") == 1.0

    def test_a_collector_keeps_to_it(self) -> None:
        """Calls to ever new hosts make no more series, nor entries of its own; the sums stay true."""
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
        """A collector and its metrics go when they are let go."""
        collector = MetricsCollector()
        collector.collect(call())
        collector.collect(attempt())
        collector.metrics.snapshot()


class TestSnapshots:
    """What an exporter reads stands still."""

    def test_are_plain_frozen_data(self) -> None:
        """They can be compared, hashed and pickled, and do not change with what comes after."""
        metrics = HttpMetrics()
        metrics.add("calls", {"service": "a"})
        metrics.observe("seconds", 1.0)
        metrics.set("connections", 1)
        snapshot, again = metrics.snapshot(), metrics.snapshot()
        assert snapshot == again
        assert hash(snapshot) == hash(again)
        assert pickle.loads(pickle.dumps(snapshot)) == snapshot
        metrics.add("calls", {"service": "a"})
        assert snapshot == again != metrics.snapshot()
        with pytest.raises(AttributeError):
            snapshot.counters = ()  # type: ignore[misc]  # what the test is about

    def test_are_of_one_instant(self) -> None:
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

        run_all(work, threads=3)
        assert torn == []

    def test_can_be_taken_while_the_lock_is_held_by_the_same_thread(self) -> None:
        """The garbage collector may end a call, which is counted, inside any method of ours."""
        metrics = HttpMetrics()
        with metrics._lock:
            metrics.add("calls")
            assert metrics.total("calls") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_can_count() -> None:
    """Although another thread held the lock at that instant."""
    metrics, held, done = HttpMetrics(), threading.Event(), threading.Event()

    def hold() -> None:
        with metrics._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what the test is about
        child = os.fork()
    if child == 0:
        # Without the renewal this would wait for ever: a watchdog ends the child.
        import signal

        signal.alarm(10)
        metrics.add("calls")
        os._exit(0 if metrics.total("calls") == 1 else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


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
]


class TestTheCollector:
    """Events in, metrics out."""

    @pytest.mark.parametrize(
        ("event", "name", "labels"),
        EVENTS,
        ids=[f"{type(event).__name__}-{name}" for event, name, _ in EVENTS],
    )
    def test_counts_each_event_under_its_name(self, event: Any, name: str, labels: dict[str, str]) -> None:
        """Once each time, with these labels and no others."""
        collector = MetricsCollector()
        for times in (1, 2):
            collector.collect(event)
            found = [
                (dict(one.labels), one.value)
                for one in collector.metrics.snapshot().counters
                if one.name == name
            ]
            assert found == [(labels, times)]

    @pytest.mark.parametrize("status", [200, 204, 301, 399])
    def test_takes_no_success_for_an_error(self, status: int) -> None:
        """Errors begin at 400."""
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

    def test_knows_every_event(self) -> None:
        """Whatever the timeline or a circuit can tell has its place in the table; a retry is told by its attempt."""
        told = {type(event).__name__ for event, _, _ in EVENTS}
        assert {kind.__name__ for kind in module._COUNT} == told

    def test_counts_a_retry_when_it_is_made(self) -> None:
        """One that was decided upon may still be stopped, by the circuit or by a cancellation."""
        collector = MetricsCollector()
        collector.collect(attempt(503))
        collector.collect(RetryScheduled(0.1, 1, "https://a.test", 1.0, "status 503", None, 5.0, None))
        assert collector.summary()["retries"] == 0
        collector.collect(attempt(number=2))
        assert collector.summary()["retries"] == 1

    def test_passes_over_what_it_does_not_know(self) -> None:
        """An event of a later version is no error."""
        collector = MetricsCollector()
        before = collector.metrics.snapshot()
        collector.collect(object())  # type: ignore[arg-type]  # what the test is about
        assert collector.metrics.snapshot() == before

    def test_sums_up(self) -> None:
        """What a health report needs."""
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
            "retries": 1, "refusals": 1,
        }  # fmt: skip

    def test_sums_up_only_what_it_was_told(self) -> None:
        """Others may count into the same metrics, as the document's monitor does."""
        metrics = HttpMetrics()
        collector, other = MetricsCollector(metrics), MetricsCollector(metrics)
        collector.collect(call())
        other.collect(call())
        metrics.add("http_requests_total", {"service": "by hand"})
        assert collector.summary()["total_requests"] == 1
        assert metrics.total("http_requests_total") == 3

    def test_needs_its_names_to_be_free(self) -> None:
        """A clash is told when it is made, not lost in the log of each call."""
        metrics = HttpMetrics()
        metrics.set("http_requests_total", 3)
        with pytest.raises(ConfigurationError, match="http_requests_total is a gauge, not a counter"):
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

        run_all(count)
        assert collector.summary()["total_requests"] == 16_000
        assert collector.summary()["total_errors"] == 8_000
        assert collector.summary()["average_response_time"] == 0.5
        assert collector.metrics.total("http_requests_total") == 16_000
        assert collector.metrics.total("http_attempts_total", {"status_code": 200}) == 16_000

    def test_costs_next_to_nothing(self) -> None:
        """It runs two or three times a call: 2 µs each is the aim, 10 µs the alarm on a busy machine."""
        collector = MetricsCollector()
        for event in (call(), call(503), attempt()):
            seconds = min(timeit.repeat(lambda: collector.collect(event), number=2000, repeat=5)) / 2000
            assert seconds < 10e-6


class Scripted:
    """A transport that plays a list of outcomes."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)

    def send(self, request: Any, timeout: Any) -> Any:
        return self.outcomes.pop(0)

    async def send_async(self, request: Any, timeout: Any) -> Any:
        return self.outcomes.pop(0)


class Instant:
    """A clock that only waits move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.now += seconds


class TestTheClient:
    """The client feeds its metrics on its own, in both worlds."""

    @pytest.mark.parametrize("front_end", ["blocking", "asyncio"])
    def test_tells_true_numbers(self, front_end: str) -> None:
        """A success, a retried success, an error that opens the circuit, and a refusal."""
        refused = Failure(ConnectError, "refused", SentState.NEVER_SENT)
        transport = Scripted(HttpResponse(200), HttpResponse(503), HttpResponse(200), refused)
        config = HttpClientConfig(
            circuit_breaker_config={"failure_threshold": 1}, retry_policy_config={"max_attempts": 2}
        )
        clock = Instant()
        client = HttpServiceClient(config, transport=transport, clock=clock, random=lambda: 0.5)  # type: ignore[arg-type]  # a Clock by its methods

        def get(**options: Any) -> Any:
            if front_end == "blocking":
                return client.get("https://a.test/", **options)
            return asyncio.run(client.get_async("https://a.test/", **options))

        get()
        get(circuit_breaker=False)
        for _ in range(2):
            with pytest.raises(Exception, match=r"refused|open"):
                get(retry_policy=False)
        client.close()

        summary = client.get_health_summary()
        assert summary == {
            "total_requests": 4, "total_errors": 2, "error_rate": 0.5,
            "average_response_time": pytest.approx(0.5 / 4),
            "retries": 1, "refusals": 1, "circuit_breaker_states": {"https://a.test": "open"},
        }  # fmt: skip
        metrics = client.metrics
        assert metrics.total("http_requests_total", {"service": "https://a.test", "method": "GET"}) == 4
        assert metrics.total("http_errors_total", {"error": "CircuitOpenError"}) == 1
        assert metrics.total("http_errors_total", {"error": "ConnectError"}) == 1
        assert metrics.total("http_attempts_total") == 4
        assert metrics.total("http_attempts_total", {"status_code": 503}) == 1
        assert metrics.total("http_circuit_state_changes_total", {"state": "open"}) == 1


# The document's own class, but for its import line.
# fmt: off


class HttpServiceMonitor:
    def __init__(self, http_client: HttpServiceClient):
        self.http_client = http_client
        self.metrics = HttpMetrics()

    async def track_request_metrics(self, service_name: str, endpoint: str,
                                  status_code: int, duration: float):
        """Track HTTP request metrics."""

        # Increment counters
        await self.metrics.increment_counter(f"http_requests_total", {
            "service": service_name,
            "endpoint": endpoint,
            "status_code": status_code
        })

        # Track response times
        await self.metrics.observe_histogram(f"http_request_duration_seconds", duration, {
            "service": service_name,
            "endpoint": endpoint
        })

        # Track error rates
        if status_code >= 400:
            await self.metrics.increment_counter(f"http_errors_total", {
                "service": service_name,
                "status_code": status_code
            })

    async def get_service_health_summary(self) -> dict:
        """Get HTTP service health summary."""

        total_requests = await self.metrics.get_counter("http_requests_total")
        total_errors = await self.metrics.get_counter("http_errors_total")
        avg_duration = await self.metrics.get_gauge("http_request_duration_seconds")

        error_rate = (total_errors / total_requests) if total_requests > 0 else 0

        return {
            "total_requests": total_requests,
            "total_errors": total_errors,
            "error_rate": error_rate,
            "average_response_time": avg_duration,
            "circuit_breaker_states": await self.get_circuit_breaker_states()
        }

    async def get_circuit_breaker_states(self) -> dict:
        """Get current circuit breaker states for all services."""
        return {
            "payment_gateway": "closed",
            "delivery_service": "half_open",
            "email_service": "closed",
            "sms_service": "open"
        }
# fmt: on


class TestTheDocument:
    """Its monitor runs as it is written."""

    @pytest.mark.asyncio
    async def test_the_monitor_reports_what_it_tracked(self) -> None:
        """Totals, rate and mean are those of what went in."""
        with HttpServiceClient() as client:
            monitor = HttpServiceMonitor(client)
            await monitor.track_request_metrics("payment", "/charges", 200, 0.1)
            await monitor.track_request_metrics("payment", "/charges", 503, 0.3)
            await monitor.track_request_metrics("email", "/send", 202, 0.5)
            await monitor.track_request_metrics("email", "/send", 404, 0.7)
            summary = await monitor.get_service_health_summary()
        assert summary["total_requests"] == 4
        assert summary["total_errors"] == 2
        assert summary["error_rate"] == 0.5
        assert summary["average_response_time"] == pytest.approx(0.4)

    @pytest.mark.asyncio
    async def test_the_monitor_reports_before_it_tracked_anything(self) -> None:
        """Zeros, and no error."""
        with HttpServiceClient() as client:
            summary = await HttpServiceMonitor(client).get_service_health_summary()
        assert list(summary.values())[:4] == [0, 0, 0, 0.0]

    @pytest.mark.asyncio
    async def test_each_awaited_method_is_the_plain_one(self) -> None:
        """The same numbers by either."""
        metrics = HttpMetrics()
        await metrics.increment_counter("calls", {"service": "a"}, 2)
        await metrics.set_gauge("connections", 3, {"service": "a"})
        await metrics.observe_histogram("seconds", 1.5, {"service": "a"})
        assert await metrics.get_counter("calls", {"service": "a"}) == metrics.total("calls") == 2
        assert await metrics.get_gauge("connections", {"service": "a"}) == metrics.value("connections") == 3
        assert await metrics.get_gauge("seconds", {"service": "a"}) == metrics.mean("seconds") == 1.5
        assert await metrics.get_gauge("nothing") == 0.0
