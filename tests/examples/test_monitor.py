"""The document's monitor, on metrics of its own and on those that a client feeds."""

from __future__ import annotations

import pytest

from examples.local_services import Answer, ClientMaker, LocalServices
from http_service_client import HttpClientConfig, MetricsCollector
from monitor import HttpServiceMonitor

pytestmark = pytest.mark.asyncio


@pytest.fixture
def monitor(new_client: ClientMaker) -> HttpServiceMonitor:
    """The monitor, nothing tracked yet."""
    return HttpServiceMonitor(new_client())


async def test_the_summary_adds_up_what_was_tracked(monitor: HttpServiceMonitor) -> None:
    """Over all services, endpoints and status codes; the time is the mean of the durations."""
    await monitor.track_request_metrics("payment_gateway", "/charges", 200, 0.1)
    await monitor.track_request_metrics("payment_gateway", "/charges", 200, 0.2)
    await monitor.track_request_metrics("payment_gateway", "/refunds", 402, 0.3)
    await monitor.track_request_metrics("email_service", "/send", 503, 1.0)
    assert await monitor.get_service_health_summary() == {
        "total_requests": 4,
        "total_errors": 2,
        "error_rate": 0.5,
        "average_response_time": pytest.approx(0.4),
        "circuit_breaker_states": {
            "payment_gateway": "closed",
            "delivery_service": "half_open",
            "email_service": "closed",
            "sms_service": "open",
        },
    }


async def test_the_summary_of_nothing_is_zeros(monitor: HttpServiceMonitor) -> None:
    """Before the first request there is nothing to divide by, and nothing to fail on."""
    summary = await monitor.get_service_health_summary()
    assert (summary["total_requests"], summary["total_errors"]) == (0, 0)
    assert (summary["error_rate"], summary["average_response_time"]) == (0, 0)


@pytest.mark.parametrize(
    ("labels", "counted"),
    [
        ({"service": "payment_gateway"}, 3),
        ({"service": "payment_gateway", "endpoint": "/charges"}, 2),
        ({"status_code": 402}, 1),
        ({"service": "sms_service"}, 0),
    ],
)
async def test_a_counter_can_be_asked_by_labels(
    monitor: HttpServiceMonitor, labels: dict[str, object], counted: int
) -> None:
    """The labels that the example gives are the ones to ask by, a part of them or all."""
    await monitor.track_request_metrics("payment_gateway", "/charges", 200, 0.1)
    await monitor.track_request_metrics("payment_gateway", "/charges", 503, 0.1)
    await monitor.track_request_metrics("payment_gateway", "/refunds", 402, 0.1)
    assert await monitor.metrics.get_counter("http_requests_total", labels) == counted


async def test_the_example_s_metric_names_are_those_that_a_client_feeds(
    new_client: ClientMaker, services: LocalServices
) -> None:
    """With the client's own metrics in its place, the summary is of real calls, in the same words."""
    client = new_client(HttpClientConfig(enable_retry_policy=False))
    monitor = HttpServiceMonitor(client)
    monitor.metrics = client.metrics
    services.answer(Answer(200), Answer(200), Answer(200), Answer(404))
    for _ in range(4):
        await client.get_async("https://api.delivery-service.com/v2/deliveries/tr_1")
    summary = await monitor.get_service_health_summary()
    own = client.get_health_summary()
    assert (summary["total_requests"], summary["total_errors"], summary["error_rate"]) == (4, 1, 0.25)
    for name in ("total_requests", "total_errors", "error_rate", "average_response_time"):
        assert summary[name] == own[name], name
    assert own["circuit_breaker_states"] == {"https://api.delivery-service.com": "closed"}


async def test_a_collector_hands_its_metrics_to_a_monitor(
    new_client: ClientMaker, services: LocalServices, monitor: HttpServiceMonitor
) -> None:
    """The other name that the example imports: two clients feed one collector."""
    collector = MetricsCollector(monitor.metrics)
    for _ in range(2):
        await new_client(metrics=collector).get_async("https://api.payment-gateway.com/v1/health")
    assert (await monitor.get_service_health_summary())["total_requests"] == 2
