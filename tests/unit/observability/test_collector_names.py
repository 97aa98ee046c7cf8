"""Names and labels of the client's own metrics: what is misspelt would always read as 0, so it is an error."""

from __future__ import annotations

import pytest

from http_service_client import ConfigurationError, HttpMetrics, MetricsCollector


@pytest.mark.parametrize("read", ["total", "value", "mean"])
def test_a_misspelt_metric_is_an_error(read: str) -> None:
    """It would always read as 0. A name like none of the client's may be a metric that is still to come."""
    metrics = MetricsCollector().metrics
    with pytest.raises(
        ConfigurationError, match="no metric 'http_request_total'; did you mean 'http_requests"
    ):
        getattr(metrics, read)("http_request_total")
    assert getattr(metrics, read)("logins_total") == 0
    assert HttpMetrics().total("http_request_total") == 0


@pytest.mark.parametrize(
    ("read", "name", "here"),
    [
        ("total", "http_client_calls_total", "http_requests_total"),
        ("total", "http_client_call_errors_total", "http_errors_total"),
        ("total", "http_client_retries_total", "http_retries_total"),
        ("mean", "http_client_call_duration_seconds", "http_request_duration_seconds"),
    ],
)
def test_a_name_of_prometheus_is_an_error_that_names_the_metric(read: str, name: str, here: str) -> None:
    """It would always read as 0, unless the application has a metric of that name."""
    metrics = MetricsCollector().metrics
    with pytest.raises(ConfigurationError, match=f"^{name} is a name of Prometheus; .* called '{here}'$"):
        getattr(metrics, read)(name)
    metrics.add("http_client_calls_total", {}, 3)
    assert metrics.total("http_client_calls_total") == 3
    assert HttpMetrics().total("http_client_retries_total") == 0


@pytest.mark.parametrize(
    ("name", "label", "remedy"),
    [
        ("http_requests_total", "servce", "did you mean 'service'"),
        ("http_errors_total", "status", "did you mean 'status_code'"),
        ("http_request_duration_seconds", "tenant", "it has method, name, service"),
    ],
)
def test_a_misspelt_label_is_an_error(name: str, label: str, remedy: str) -> None:
    """No series of the client's own metric would ever have it."""
    metrics = MetricsCollector().metrics
    read = metrics.mean if name.endswith("seconds") else metrics.total
    with pytest.raises(ConfigurationError, match=f"{name} has no label '{label}'; {remedy}"):
        read(name, {label: "x"})


def test_a_label_that_somebody_added_can_be_read() -> None:
    """Others may feed the client's metrics, with labels of their own."""
    metrics = MetricsCollector().metrics
    metrics.add("http_requests_total", {"region": "eu"})
    assert metrics.total("http_requests_total", {"region": "eu"}) == 1
    assert metrics.total("http_requests_total", {"region": "us", "service": "x"}) == 0


def test_a_metric_with_a_similar_name_can_be_read() -> None:
    """Once it exists."""
    metrics = MetricsCollector().metrics
    metrics.add("http_request_total")
    assert metrics.total("http_request_total") == 1
