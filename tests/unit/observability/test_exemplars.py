"""Exemplars: which call a bucket or an error counts, by the id of its trace."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpMetrics, MetricsCollector, SentState
from http_service_client.events import CallFinished
from http_service_client.observability import Exemplar, PrometheusCollector, collector, span_exemplar
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd
from kit.scrapes import registry_of, scrape

NOW = 1_700_000_000.5


@pytest.fixture(autouse=True)
def at_a_known_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector.time, "time", lambda: NOW)


def finished(seconds: float, status: int = 200) -> CallFinished:
    return CallFinished(seconds, "GET", ORIGIN, ORIGIN, 1, status, None, SentState.ANSWERED, None)


def counted(find: Callable[[], Any], *calls: CallFinished) -> MetricsCollector:
    made = MetricsCollector(HttpMetrics(buckets=[0.1, 1.0]))
    made.keep_exemplars(find)
    for call in calls:
        made.collect(call)
    return made


def test_each_bucket_keeps_its_last_call() -> None:
    """The slow call is not lost among the fast ones that follow."""
    ids = iter("abcd")
    made = counted(
        lambda: {"trace_id": next(ids)}, finished(0.05), finished(5.0), finished(0.07), finished(0.5)
    )
    (histogram,) = made.metrics.snapshot().histograms
    assert histogram.exemplars == (
        (0, Exemplar((("trace_id", "c"),), 0.07, NOW)),
        (1, Exemplar((("trace_id", "d"),), 0.5, NOW)),
        (2, Exemplar((("trace_id", "b"),), 5.0, NOW)),
    )


def test_an_error_keeps_its_last_call() -> None:
    """By its status or class. A success counts no error, and leaves no exemplar there."""
    ids = iter("abc")
    made = counted(lambda: {"trace_id": next(ids)}, finished(0.1, 503), finished(0.1, 503), finished(0.1))
    (errors,) = [each for each in made.metrics.snapshot().counters if each.name == "http_errors_total"]
    assert errors.exemplar == Exemplar((("trace_id", "b"),), 1.0, NOW)


@pytest.mark.parametrize("labels", [None, {}, {"trace_id": "x" * 121}])
def test_a_call_without_labels_leaves_no_exemplar(labels: dict[str, str] | None) -> None:
    """Neither do labels of more than 128 characters: Prometheus would refuse the whole scrape for them."""
    (histogram,) = counted(lambda: labels, finished(0.1)).metrics.snapshot().histograms
    assert histogram.exemplars == ()


def test_labels_of_128_characters_are_kept() -> None:
    """The bound is that of OpenMetrics, names and values together."""
    (histogram,) = counted(lambda: {"trace_id": "x" * 120}, finished(0.1)).metrics.snapshot().histograms
    assert len(histogram.exemplars) == 1


def test_a_function_that_fails_costs_no_call(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the call is counted."""

    def fail() -> dict[str, str]:
        raise ValueError("no trace here")

    harness = Harness(front_end, 200)
    PrometheusCollector(harness.client, exemplars=fail)
    with caplog.at_level(logging.ERROR):
        assert harness.request().status_code == 200
    assert "the function that finds exemplars failed" in caplog.text
    assert harness.client.metrics.total("http_requests_total") == 1


@pytest.mark.parametrize("wrong", [{"trace-id": "1"}, {1: "1"}, {"": "1"}, "4bf9", [("trace_id", "1")]])
def test_labels_that_no_scrape_could_have_are_left_out(
    front_end: FrontEnd, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on, and the log says why: one such label would fail all later scrapes."""
    harness = Harness(front_end, 200)
    PrometheusCollector(harness.client, exemplars=lambda: wrong)
    assert harness.request().status_code == 200
    assert "the function that finds exemplars failed" in caplog.text
    (histogram,) = harness.client.metrics.snapshot().histograms
    assert histogram.exemplars == ()


def test_a_label_without_utf_8_fails_no_scrape(front_end: FrontEnd) -> None:
    """It may come from a header of somebody's."""
    harness = Harness(front_end, 200)
    registry = registry_of(PrometheusCollector(harness.client, exemplars=lambda: {"trace_id": "\ud800"}))
    harness.request()
    families = scrape(registry, "openmetrics")
    samples = families["http_client_call_duration_seconds"].samples
    assert [sample.exemplar.labels for sample in samples if sample.exemplar] == [{"trace_id": r"\ud800"}]


def test_a_scrape_in_openmetrics_has_them(front_end: FrontEnd) -> None:
    """Found when the call ends, on its thread or in its task; the plain text format has none."""
    harness = Harness(front_end, 503, enable_retry_policy=False)
    registry = registry_of(PrometheusCollector(harness.client, exemplars=lambda: {"trace_id": "4bf9"}))
    harness.request()
    families = scrape(registry, "openmetrics")
    durations = families["http_client_call_duration_seconds"].samples
    found = [(sample.labels["le"], sample.exemplar) for sample in durations if sample.exemplar]
    assert [(le, exemplar.labels, exemplar.value, float(exemplar.timestamp)) for le, exemplar in found] == [
        ("0.005", {"trace_id": "4bf9"}, 0.0, NOW)
    ]
    (errors,) = families["http_client_call_errors"].samples
    assert errors.exemplar.labels == {"trace_id": "4bf9"}
    assert not any(sample.exemplar for family in scrape(registry).values() for sample in family.samples)


def test_bare_metrics_know_no_calls() -> None:
    """Nothing could be found when a call ends."""
    with pytest.raises(ConfigurationError, match="exemplars need the client, or its MetricsCollector"):
        PrometheusCollector(HttpMetrics(), exemplars=lambda: None)


async def _find_async() -> None: ...


@pytest.mark.parametrize("wrong", ["trace_id", 1, _find_async])
def test_what_is_no_plain_function_is_refused(wrong: Any) -> None:
    """An async one would never be awaited."""
    with pytest.raises(ConfigurationError, match="exemplars must be a"):
        PrometheusCollector(MetricsCollector(), exemplars=wrong)


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None, reason="opentelemetry is not installed"
)
@pytest.mark.parametrize(
    ("trace_id", "flags", "found"),
    [
        (0xA0, 1, {"trace_id": f"{0xA0:032x}", "span_id": f"{0xB:016x}"}),
        (0xA0, 0, None),  # not sampled: nobody could look it up
        (0, 1, None),  # no valid span
    ],
)
def test_the_current_span_of_opentelemetry_is_found(
    front_end: FrontEnd, trace_id: int, flags: int, found: dict[str, str] | None
) -> None:
    """Around a blocking call, and around an asyncio one."""
    from opentelemetry import trace

    context = trace.SpanContext(trace_id, 0xB, is_remote=False, trace_flags=trace.TraceFlags(flags))
    harness = Harness(front_end, 200)
    PrometheusCollector(harness.client, exemplars=span_exemplar)
    with trace.use_span(trace.NonRecordingSpan(context)):
        harness.request()
    (histogram,) = harness.client.metrics.snapshot().histograms
    assert [dict(exemplar.labels) for _, exemplar in histogram.exemplars] == ([found] if found else [])


def test_a_traced_call_leads_to_its_own_trace(front_end: FrontEnd) -> None:
    """Where no span is current around it, too: that of the call is, also when the body of a stream is closed."""
    pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")
    from kit.otel import Collected

    collected = Collected()
    harness = Harness(front_end, 200, telemetry=collected.telemetry)
    PrometheusCollector(harness.client, exemplars=span_exemplar)

    def last_exemplar() -> dict[str, str]:
        (histogram,) = harness.client.metrics.snapshot().histograms
        ((_, exemplar),) = histogram.exemplars
        return dict(exemplar.labels)

    def last_call() -> dict[str, str]:
        span = [span for span in collected.spans if span.kind.name == "INTERNAL"][-1]
        return {"trace_id": f"{span.context.trace_id:032x}", "span_id": f"{span.context.span_id:016x}"}

    harness.request()
    assert last_exemplar() == last_call()
    with front_end.stream(harness.client, "GET", URL) as response:
        response.read()
    assert last_exemplar() == last_call()
    assert len({span.context.trace_id for span in collected.spans}) == 2


def test_without_opentelemetry_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is passed to a collector, and not in the log of each call."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[opentelemetry\]'"):
        PrometheusCollector(MetricsCollector(), exemplars=span_exemplar)


def test_calls_that_were_made_before_have_no_exemplar(front_end: FrontEnd) -> None:
    """It would be of whatever runs when their count is read."""
    harness = Harness(front_end, 503, enable_retry_policy=False)
    found = []
    harness.request()
    PrometheusCollector(harness.client, exemplars=lambda: {"trace_id": "of a later call"})
    for _ in range(2):
        (durations,) = harness.client.metrics.snapshot().histograms
        found.append(len(durations.exemplars))
        harness.request()
    assert found == [0, 1]
