"""The metrics of calls that other libraries make through an adapter, and of clients over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.observability import PrometheusCollector
from http_service_client.testing import LoopbackServer, VirtualClock, drip, respond
from kit.adapters import WAYS, Way
from kit.front_ends import FrontEnd
from kit.scrapes import registry_of, scrape, table

pytest.importorskip("prometheus_client")


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_an_adapter_counts_as_its_client_does(server: LoopbackServer, way: type[Way]) -> None:
    """Retries, refusals and gauges, whichever library makes the exchanges."""
    server.script("/", respond(503), respond(503), respond(200))
    with ExitStack() as stack:
        client = stack.enter_context(HttpServiceClient(HttpClientConfig(), clock=VirtualClock()))
        registry = registry_of(PrometheusCollector(client))
        session = way(client, None, stack)
        session.request("GET", f"{server.url}/")
        circuit = client.get_circuit_breaker(server.url)
        assert circuit is not None
        circuit.isolate()
        with pytest.raises(Exception):  # noqa: B017  # each library has its own
            session.request("GET", f"{server.url}/")
        service = f"service={server.url}"
        names = ("calls", "attempts", "retries", "circuit_refusals", "calls_in_flight")
        assert table(scrape(registry), *(f"http_client_{name}" for name in names)) == {
            f"http_client_calls_total{{method=GET,{service},status_code=200}}": 1,
            f"http_client_calls_total{{error=CircuitOpenError,method=GET,{service}}}": 1,
            f"http_client_attempts_total{{{service},status_code=503}}": 2,
            f"http_client_attempts_total{{{service},status_code=200}}": 1,
            f"http_client_retries_total{{{service}}}": 2,
            f"http_client_circuit_refusals_total{{reason=isolated,{service}}}": 1,
            "http_client_calls_in_flight": 0,
        }


def test_real_connections_are_in_use_then_idle(server: LoopbackServer, front_end: FrontEnd) -> None:
    """A stream that is open has one; when it has been read, it waits for the next call. A closed client has none."""
    server.script("*", drip("xy", 0.1))
    client = front_end.client()
    registry = registry_of(PrometheusCollector(client))

    def now() -> tuple[float, float, float]:
        families = scrape(registry)
        names = ("connections_in_use", "streams_open", "connections_idle")
        return tuple(
            sum(sample.value for sample in families[f"http_client_{name}"].samples) for name in names
        )  # type: ignore[return-value]

    assert now() == (0, 0, 0)
    with front_end.stream(client, "GET", server.url) as response:
        assert now() == (1, 1, 0)
        response.read()
    assert now() == (0, 0, 1)
    client.drop_idle_connections()
    assert now() == (0, 0, 0)
