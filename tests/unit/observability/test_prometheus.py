"""`PrometheusCollector`: what a scrape shows, read by Prometheus' official parser."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConfigurationError,
    HttpMetrics,
    HttpServiceClient,
    MetricsCollector,
)
from http_service_client.observability import PrometheusCollector
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.scrapes import FORMATS, registry_of, scrape, table
from kit.threads import run_threads

prometheus_client = pytest.importorskip("prometheus_client")

COUNTERS = (
    "calls", "call_duration_seconds", "call_errors", "attempts", "retries", "retries_stopped", "redirects",
    "circuit_refusals", "circuit_state_changes", "circuit_trials", "throttle_refusals", "throttle_waits",
    "auth_exchanges", "codings_refused", "cache_requests", "cache_errors", "fallbacks", "operation_timeouts",
    "hedges", "hedges_denied", "hedge_results",
    "limit_refusals", "limit_waits", "deadline_refusals", "host_changes",
)  # fmt: skip
GAUGES = (
    "circuits", "connections_in_use", "calls_waiting_for_connection", "retries_left", "throttle_pause_seconds",
    "permits_in_use", "permits_limit", "calls_waiting_for_permit", "rate_limit_per_second", "calls_waiting_for_rate_limit",
    "calls_in_flight", "streams_open", "connections_idle", "connections_limit", "connections_limit_per_service",
)  # fmt: skip
ALL = [f"http_client_{name}" for name in (*COUNTERS, *GAUGES)]


def counts(registry: Any, format: str = "text") -> dict[str, float]:
    return table(scrape(registry, format), *ALL[: len(COUNTERS)])


def gauges(registry: Any, format: str = "text") -> dict[str, float]:
    return table(scrape(registry, format), *ALL[len(COUNTERS) :])


@pytest.mark.parametrize("format", FORMATS)
def test_a_scrape_tells_what_happened_in_each_call(front_end: FrontEnd, format: str, tmp_path: Path) -> None:
    """Two retries, a redirect, a refusal, a cancellation, a stream and a download, in both formats."""
    cancelled = asyncio.CancelledError() if front_end.name == "asyncio" else KeyboardInterrupt()
    harness = Harness(front_end, 503, 503, 200, (302, {"Location": "/b"}), 200, cancelled, 200)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request(name="charge card")
    harness.request()
    breaker = harness.client.get_circuit_breaker(ORIGIN)
    assert breaker is not None
    breaker.isolate()
    harness.error(CircuitOpenError)
    breaker.reset()
    harness.error(BaseException, "POST")
    with front_end.stream(harness.client, "GET", URL) as response:
        response.read()
    front_end.download(harness.client, URL, tmp_path / "file")

    word, service = type(cancelled).__name__, f"service={ORIGIN}"
    assert counts(registry, format) == {
        f"http_client_calls_total{{method=GET,name=charge card,{service},status_code=200}}": 1,
        f"http_client_calls_total{{method=GET,{service},status_code=200}}": 3,
        f"http_client_calls_total{{error=CircuitOpenError,method=GET,{service}}}": 1,
        f"http_client_calls_total{{error={word},method=POST,{service}}}": 1,
        f"http_client_call_duration_seconds_count{{method=GET,name=charge card,{service}}}": 1,
        f"http_client_call_duration_seconds_sum{{method=GET,name=charge card,{service}}}": 1.5,
        f"http_client_call_duration_seconds_count{{method=GET,{service}}}": 4,
        f"http_client_call_duration_seconds_sum{{method=GET,{service}}}": 0,
        f"http_client_call_duration_seconds_count{{method=POST,{service}}}": 1,
        f"http_client_call_duration_seconds_sum{{method=POST,{service}}}": 0,
        f"http_client_call_errors_total{{error=CircuitOpenError,{service}}}": 1,
        f"http_client_call_errors_total{{error={word},{service}}}": 1,
        f"http_client_attempts_total{{{service},status_code=503}}": 2,
        f"http_client_attempts_total{{{service},status_code=200}}": 4,
        f"http_client_retries_total{{{service}}}": 2,
        f"http_client_redirects_total{{{service},status_code=302}}": 1,
        f"http_client_circuit_refusals_total{{reason=isolated,{service}}}": 1,
        f"http_client_circuit_state_changes_total{{{service},state=open}}": 1,
        f"http_client_circuit_state_changes_total{{{service},state=closed}}": 1,
    }
    circuits = f"http_client_circuits{{mode=enforcing,{service},state="
    assert gauges(registry, format) == {
        f"{circuits}closed}}": 1,
        f"{circuits}half_open}}": 0,
        f"{circuits}open}}": 0,
        f"{circuits}isolated}}": 0,
        f"http_client_connections_in_use{{{service}}}": 0,
        f"http_client_calls_waiting_for_connection{{{service}}}": 0,
        f"http_client_retries_left{{{service}}}": 3,
        f"http_client_throttle_pause_seconds{{{service}}}": 0,
        "http_client_calls_in_flight": 0,
        "http_client_streams_open": 0,
        "http_client_connections_idle": 0,
        "http_client_connections_limit": 100,
        "http_client_connections_limit_per_service": 20,
    }


def test_a_call_is_known_by_its_name_and_template(front_end: FrontEnd) -> None:
    """Calls, durations and errors have both as labels; a URL is in no label."""
    harness = Harness(front_end, 404)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request(url=f"{ORIGIN}/orders/{{number}}", path_params={"number": 42}, name="look up")
    kind = f"name=look up,service={ORIGIN}"
    assert table(
        scrape(registry), "http_client_calls", "http_client_call_errors", "http_client_call_duration_seconds"
    ) == {
        f"http_client_calls_total{{method=GET,{kind},status_code=404,url_template=/orders/{{number}}}}": 1,
        f"http_client_call_errors_total{{{kind},status_code=404,url_template=/orders/{{number}}}}": 1,
        f"http_client_call_duration_seconds_count{{method=GET,{kind},url_template=/orders/{{number}}}}": 1,
        f"http_client_call_duration_seconds_sum{{method=GET,{kind},url_template=/orders/{{number}}}}": 0,
    }
    assert "orders/42" not in prometheus_client.generate_latest(registry).decode()


def test_a_histogram_has_the_buckets_of_the_metrics(front_end: FrontEnd) -> None:
    """They are cumulative, and the last one is infinite."""
    client = front_end.client(metrics=HttpMetrics(buckets=[0.5, 2.0]), transport=Harness(front_end).transport)
    registry = registry_of(PrometheusCollector(client))
    for seconds in (0.1, 0.5, 1.0, 7.0):
        client.metrics.observe("http_request_duration_seconds", seconds)
    family = scrape(registry, "openmetrics")["http_client_call_duration_seconds"]
    found = {
        sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")
    }
    assert found == {"0.5": 2, "2.0": 3, "+Inf": 4}
    assert family.unit == "seconds"


def test_gauges_say_what_the_client_does_at_the_scrape(front_end: FrontEnd) -> None:
    """A stream that is open holds a connection; a service that asked for a pause has its gate closed."""
    harness = Harness(front_end, 200, (429, {"Retry-After": "30"}), enable_retry_policy=False)
    registry = registry_of(PrometheusCollector(harness.client))
    seen: dict[str, float] = {}

    class Looks:
        def intercept_response(self, response: Any, context: Any) -> Any:
            seen.update(gauges(registry))
            return response

    harness.client.reconfigure(harness.client.config.__class__(response_interceptors=[Looks]))
    harness.request()
    assert seen["http_client_calls_in_flight"] == 1
    with front_end.stream(harness.client, "GET", URL):
        pass
    found = gauges(registry)
    assert found[f"http_client_throttle_pause_seconds{{service={ORIGIN}}}"] == 30
    harness.clock.now += 29
    assert gauges(registry)[f"http_client_throttle_pause_seconds{{service={ORIGIN}}}"] == 1


def test_the_keys_of_a_service_are_added_up(front_end: FrontEnd) -> None:
    """Tenants would be too many series. Of the quotas the least is shown: it is the one that runs dry."""
    harness = Harness(front_end, 200, 503, 503, 404)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request(key="tenant-a")
    harness.request(key="tenant-b")
    isolated = harness.client.get_circuit_breaker(f"{ORIGIN} (tenant-a)")
    assert isolated is not None
    isolated.isolate()
    found = gauges(registry)
    assert {
        state: found[f"http_client_circuits{{mode=enforcing,service={ORIGIN},state={state}}}"]
        for state in STATES
    } == {
        "closed": 1,
        "half_open": 0,
        "open": 0,
        "isolated": 1,
    }
    budgets = [state.budget for _, state in harness.client._call_builder.origins.items()]
    balances = [budget.balance for budget in budgets if budget is not None]
    assert found[f"http_client_retries_left{{service={ORIGIN}}}"] == min(balances) < max(balances)


def test_calls_that_wait_for_a_connection_are_counted_wherever_they_wait(front_end: FrontEnd) -> None:
    """One waits for a slot of its key; another has one, and waits for one of the client's."""
    harness = Harness(front_end, 200, max_connections=3, max_connections_per_host=2)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request(key="tenant-a")
    harness.request(key="tenant-b")
    (_, first), (_, second) = harness.client._call_builder.origins.items()
    for slots in (first.connections, first.connections, second.connections):
        assert slots.try_acquire()
    first.connections.acquire_later()
    second.queue(harness.client._backends._limits()[0].acquire_later())
    found = gauges(registry)
    assert found[f"http_client_connections_in_use{{service={ORIGIN}}}"] == 3
    assert found[f"http_client_calls_waiting_for_connection{{service={ORIGIN}}}"] == 2


def test_permits_of_a_bulkhead_are_shown_where_there_is_one(front_end: FrontEnd) -> None:
    """Those in use, all of them, and the calls that wait; of all keys together."""
    harness = Harness(front_end, 200, bulkhead={"max_concurrent": 2})
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request(key="tenant-a")
    harness.request()
    permits = [harness.state.bulkhead.permit() for _ in range(3)]
    assert [each.try_acquire() for each in permits] == [True, True, False]
    assert permits[2].wait_later() is None
    about = f"{{limit=bulkhead,service={ORIGIN}}}"
    found = gauges(registry)
    assert {name: found[name + about] for name in PERMITS} == dict(zip(PERMITS, (2, 4, 1), strict=True))


def test_permits_of_an_adaptive_limit_follow_it(front_end: FrontEnd) -> None:
    """The limit as it is now, beside those of the bulkhead."""
    settings = {"initial_limit": 3, "min_limit": 2, "max_limit": 3}
    harness = Harness(front_end, 200, adaptive_limit=settings, bulkhead={"max_concurrent": 9})
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request()
    limit = harness.state.adaptive_limit
    assert limit.permits.permit().try_acquire()
    about = f"{{limit=adaptive limit,service={ORIGIN}}}"
    found = gauges(registry)
    assert {name: found[name + about] for name in PERMITS} == dict(zip(PERMITS, (1, 3, 0), strict=True))
    assert found[f"http_client_permits_limit{{limit=bulkhead,service={ORIGIN}}}"] == 9
    limit.reconfigure(replace(limit.settings, initial_limit=2, max_limit=2))
    assert gauges(registry)[f"http_client_permits_limit{about}"] == 2


def test_a_rate_limit_is_shown_where_there_is_one(front_end: FrontEnd) -> None:
    """Its present rate, the least of all keys, and the calls that wait."""
    harness = Harness(front_end, 200, rate_limit={"rate": 5})
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request(key="tenant-a")
    harness.request()
    limiters = [state.rate_limiter for _, state in harness.client._call_builder.origins.items()]
    for limiter in limiters:
        assert limiter is not None
        limiter.acquire_later()
    harness.state.rate_limiter._change_rate_locked(3.0)
    found = gauges(registry)
    assert found[f"http_client_rate_limit_per_second{{service={ORIGIN}}}"] == 3
    assert found[f"http_client_calls_waiting_for_rate_limit{{service={ORIGIN}}}"] == 2


PERMITS = ("http_client_permits_in_use", "http_client_permits_limit", "http_client_calls_waiting_for_permit")
STATES = ("closed", "half_open", "open", "isolated")


def test_a_circuit_that_refuses_nothing_has_a_mode_of_its_own(front_end: FrontEnd) -> None:
    """An alert on open circuits means calls that are refused."""
    settings = {"failure_threshold": 1, "metrics_only": True}
    harness = Harness(front_end, 500, circuit_breaker_config=settings, enable_retry_policy=False)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request()
    found = gauges(registry)
    assert found[f"http_client_circuits{{mode=metrics_only,service={ORIGIN},state=open}}"] == 1
    assert not any("mode=enforcing" in name for name in found)


def test_services_beyond_the_bound_are_added_up(front_end: FrontEnd) -> None:
    """A client that follows the URLs of its users has not more series than it may."""
    harness = Harness(front_end, 200)
    registry = registry_of(PrometheusCollector(harness.client, max_services=2))
    for number in range(5):
        harness.request(url=f"https://user-{number}.example.com/")
    found = gauges(registry)
    circuits = {name: value for name, value in found.items() if "circuits" in name and "closed" in name}
    assert circuits == {
        "http_client_circuits{mode=enforcing,service=https://user-0.example.com,state=closed}": 1,
        "http_client_circuits{mode=enforcing,service=https://user-1.example.com,state=closed}": 1,
        "http_client_circuits{mode=enforcing,overflow=true,state=closed}": 3,
    }


def test_counts_beyond_the_bound_have_the_overflow_label(front_end: FrontEnd) -> None:
    """`max_series` of the metrics is the bound; totals stay right."""
    client = front_end.client(metrics=HttpMetrics(max_series=1), transport=Harness(front_end, 200).transport)
    registry = registry_of(PrometheusCollector(client))
    for number in range(3):
        front_end.request(client, "GET", f"https://user-{number}.example.com/")
    assert table(scrape(registry), "http_client_calls") == {
        "http_client_calls_total{method=GET,service=https://user-0.example.com,status_code=200}": 1,
        "http_client_calls_total{overflow=true}": 2,
    }


def test_a_view_and_its_client_are_the_same(front_end: FrontEnd) -> None:
    """A view shares the metrics of its client, and a collector of the view shows the calls of both."""
    harness = Harness(front_end, 200)
    view = harness.client.with_options(timeout=5)
    registry = registry_of(PrometheusCollector(view))
    harness.request()
    front_end.run(front_end.calling(view, "GET", URL))
    assert table(scrape(registry), "http_client_calls") == {
        f"http_client_calls_total{{method=GET,service={ORIGIN},status_code=200}}": 2
    }
    assert PrometheusCollector(view).collect() == PrometheusCollector(harness.client).collect()


def test_several_clients_have_their_name_as_a_label(front_end: FrontEnd) -> None:
    """In one registry, by one collector; gauges too."""
    billing, search = Harness(front_end, 200), Harness(front_end, 404)
    registry = registry_of(PrometheusCollector({"billing": billing.client, "search": search.client}))
    billing.request()
    search.request()
    families = scrape(registry, "openmetrics")
    assert table(families, "http_client_calls", "http_client_calls_in_flight") == {
        f"http_client_calls_total{{client=billing,method=GET,service={ORIGIN},status_code=200}}": 1,
        f"http_client_calls_total{{client=search,method=GET,service={ORIGIN},status_code=404}}": 1,
        "http_client_calls_in_flight{client=billing}": 0,
        "http_client_calls_in_flight{client=search}": 0,
    }


def test_clients_that_share_their_metrics_are_refused(front_end: FrontEnd) -> None:
    """All would be counted twice."""
    harness = Harness(front_end, 200)
    with pytest.raises(ConfigurationError, match="'a' and 'b' have the same metrics"):
        PrometheusCollector({"a": harness.client, "b": harness.client.with_options(timeout=1)})


def test_a_second_collector_of_the_same_names_is_refused(front_end: FrontEnd) -> None:
    """By the registry, at once, and not by a scrape with each metric twice."""
    harness = Harness(front_end, 200)
    registry = registry_of(PrometheusCollector(harness.client))
    with pytest.raises(ValueError, match="http_client_calls"):
        registry.register(PrometheusCollector(Harness(front_end, 200).client))


def test_a_closed_client_keeps_its_totals_and_has_no_gauges(front_end: FrontEnd) -> None:
    """A total must not fall. A gauge of a client that does nothing would keep an alert alive."""
    harness = Harness(front_end, 200)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request()
    front_end.close(harness.client)
    assert counts(registry)[f"http_client_calls_total{{method=GET,service={ORIGIN},status_code=200}}"] == 1
    assert gauges(registry) == {}


def test_a_collector_that_is_removed_shows_nothing_more(front_end: FrontEnd) -> None:
    """And the same client may have another one."""
    harness = Harness(front_end, 200)
    collector = PrometheusCollector(harness.client)
    registry = registry_of(collector)
    registry.unregister(collector)
    assert scrape(registry) == {}
    registry.register(PrometheusCollector(harness.client))
    assert set(ALL) <= set(scrape(registry))


def test_bare_metrics_have_no_gauges() -> None:
    """Nothing is known of a client; what the application counts itself keeps its name."""
    metrics = HttpMetrics()
    metrics.add("orders_total", {"kind": "new"}, 2)
    metrics.set("queue_length", 3)
    metrics.observe("batch_seconds", 0.2)
    families = scrape(registry_of(PrometheusCollector(metrics)), "openmetrics")
    assert table(families, "orders", "queue_length", "batch_seconds") == {
        "orders_total{kind=new}": 2,
        "queue_length": 3,
        "batch_seconds_count": 1,
        "batch_seconds_sum": 0.2,
    }
    assert table(families, *ALL) == {}


def test_the_metrics_of_a_server_fit_beside_them(front_end: FrontEnd) -> None:
    """Middlewares of servers use these names, and OpenTelemetry those of its conventions, in the same registry."""
    from prometheus_client import Counter, Gauge, Histogram

    registry = registry_of()
    labels = ["method", "handler", "status"]
    Counter("http_requests_total", "Requests served.", labels, registry=registry).labels(
        "GET", "/", "200"
    ).inc()
    Histogram("http_request_duration_seconds", "Time to serve.", labels[:2], registry=registry)
    Histogram("http_client_request_duration_seconds", "OpenTelemetry's.", registry=registry)
    Histogram("http_client_request_body_size_bytes", "OpenTelemetry's.", registry=registry)
    Gauge("http_client_active_requests", "OpenTelemetry's.", registry=registry)
    Gauge("http_client_open_connections", "OpenTelemetry's.", registry=registry)
    Gauge("http_requests_inprogress", "Requests now.", registry=registry)
    harness = Harness(front_end, 200)
    registry.register(PrometheusCollector(harness.client))
    harness.request()
    families = scrape(registry)
    assert table(families, "http_requests") == {
        "http_requests_total{handler=/,method=GET,status=200}": 1.0,
        **{name: value for name, value in table(families, "http_requests").items() if "_created" in name},
    }
    assert families["http_client_calls"].samples[0].value == 1


def test_every_metric_is_described() -> None:
    """By a sentence; a counter of things says so by its name, and a time has its unit."""
    for family in PrometheusCollector(MetricsCollector()).collect():
        assert family.name.startswith("http_client_")
        assert family.documentation.endswith((".", "..."))
        assert len(family.documentation) > 40
        assert (family.unit == "seconds") == family.name.endswith("_seconds")


def test_scrapes_are_consistent_while_calls_run(front_end: FrontEnd) -> None:
    """A call is counted by its outcome and by its duration, or by neither, on whatever thread a scrape is made."""
    harness = Harness(front_end, 200)
    registry = registry_of(PrometheusCollector(harness.client))
    harness.request()

    def call_or_scrape(number: int) -> None:
        for _ in range(20):
            if number:
                harness.request()
                continue
            families = scrape(registry)
            finished = sum(table(families, "http_client_calls").values())
            durations = table(families, "http_client_call_duration_seconds")
            timed = sum(value for name, value in durations.items() if "_count" in name)
            assert finished == timed
            assert families["http_client_calls_in_flight"].samples[0].value <= 8

    run_threads(call_or_scrape, 9)
    assert sum(table(scrape(registry), "http_client_calls").values()) == 161


@each_row(
    ("arguments", "message"),
    [
        (("https://api.example.com",), "takes an HttpServiceClient"),
        ((None,), "takes an HttpServiceClient"),
        (({"": MetricsCollector()},), "the name of a client must be text"),
        (({1: MetricsCollector()},), "the name of a client must be text"),
        (({"bil\nling": MetricsCollector()},), "the name of a client must be text"),
        (({},), "needs a client, and the mapping has none"),
        ((HttpMetrics,), "takes an HttpServiceClient"),
        ((HttpServiceClient,), "takes an HttpServiceClient"),
        ((MetricsCollector,), "takes an HttpServiceClient"),
    ],
)
def test_what_is_no_client_is_refused(arguments: Any, message: str) -> None:
    """At the place of the mistake, and not at the first scrape."""
    with pytest.raises(ConfigurationError, match=message):
        PrometheusCollector(*arguments)


def test_a_collector_names_its_clients() -> None:
    """In a debugger, or in the message of a registry."""
    assert repr(PrometheusCollector(HttpMetrics())) == "<PrometheusCollector of a client>"
    several = PrometheusCollector({"billing": HttpMetrics(), "search": HttpMetrics()})
    assert repr(several) == "<PrometheusCollector of billing, search>"


@pytest.mark.parametrize("format", FORMATS)
def test_no_label_fails_a_scrape(format: str) -> None:
    """A value of the application may be text that has no UTF-8, or what the format gives a meaning."""
    metrics = HttpMetrics()
    for value in ("a\ud800", 'quote " and\nline', "back\\slash"):
        metrics.add("uploads", {"file": value})
        assert metrics.total("uploads", {"file": value}) == 1
    samples = scrape(registry_of(PrometheusCollector(metrics)), format)["uploads"].samples
    values = sorted(sample.labels["file"] for sample in samples)
    assert values == [r"a\ud800", "back\\slash", 'quote " and\nline']


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "many"])
def test_the_bound_of_services_is_checked(wrong: Any) -> None:
    """A whole number of 1 or more."""
    with pytest.raises(ConfigurationError, match="max_services must be a whole number"):
        PrometheusCollector(HttpMetrics(), max_services=wrong)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is a command to type."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[prometheus\]'"):
        PrometheusCollector(HttpMetrics())
