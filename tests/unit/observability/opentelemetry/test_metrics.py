"""The metrics of calls, by the real SDK, as literal tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import Context, copy_context
from typing import Any
from weakref import WeakSet

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from http_service_client import (
    Cache,
    CircuitBreakerPolicy,
    CircuitOpenError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
)
from http_service_client.observability import OpenTelemetry
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock, late, respond
from kit.fakes import READ_TIMEOUT, URL, Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from kit.otel import Collected
from kit.threads import Held

SERVER = {"server.address": "api.example.com", "server.port": 443}
GET = {**SERVER, "http.request.method": "GET"}
OK = {**GET, "http.response.status_code": 200}
UNAVAILABLE = {**GET, "http.response.status_code": 503, "error.type": "503"}
VERSION = {"network.protocol.version": "1.1"}


def test_a_call_with_a_retry(front_end: FrontEnd, collected: Collected) -> None:
    """Each exchange, each body, the wait and the call, in the units of the conventions."""
    clock = VirtualClock()
    script = [late(0.25, HttpResponse(503)), late(0.5, HttpResponse(200, content=b"hello"))]
    client = front_end.client(
        transport=ScriptedTransport(script, clock=clock),
        clock=clock,
        random=lambda: 0.5,
        telemetry=collected.telemetry,
    )
    front_end.request(client, "GET", URL)
    assert collected.metrics() == {
        "http.client.request.duration": [
            ({**UNAVAILABLE, **VERSION}, (1, 0.25)),
            ({**OK, **VERSION}, (1, 0.5)),
        ],
        "http.client.request.body.size": [({**UNAVAILABLE, **VERSION}, (1, 0)), ({**OK, **VERSION}, (1, 0))],
        "http.client.response.body.size": [({**UNAVAILABLE, **VERSION}, (1, 0)), ({**OK, **VERSION}, (1, 5))],
        "http.client.active_requests": [(GET, 0)],
        "http_service_client.retries": [(SERVER, 1)],
        "http_service_client.wait.duration": [
            ({**SERVER, "http_service_client.wait.kind": "retry"}, (1, 0.5))
        ],
        "http_service_client.call.duration": [(OK, (1, 1.25))],
    }


def test_failures_refusals_and_circuits(
    front_end: FrontEnd, collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    """By the class of the error; a refusal is no exchange."""
    harness = Harness(
        front_end,
        READ_TIMEOUT,
        telemetry=collected.telemetry,
        enable_retry_policy=False,
        circuit_breaker_config={"failure_threshold": 1},
    )
    harness.error(Exception, "POST", data=b"four", name="charge")
    harness.error(CircuitOpenError)
    assert "failed" not in caplog.text
    found = collected.metrics()
    post = {**SERVER, "http.request.method": "POST", "error.type": "ReadTimeoutError"}
    assert found["http.client.request.duration"] == [(post, (1, 0.0))]
    assert found["http.client.request.body.size"] == [(post, (1, 4))]
    assert "http.client.response.body.size" not in found
    assert found["http_service_client.call.duration"] == [
        ({**post, "http_service_client.call.name": "charge"}, (1, 0.0)),
        ({**GET, "error.type": "CircuitOpenError"}, (1, 0.0)),
    ]
    assert found["http_service_client.refusals"] == [
        ({**SERVER, "http_service_client.reason": "open"}, 1),
    ]
    assert found["http_service_client.circuit.changes"] == [
        (
            {
                "http_service_client.circuit": "https://api.example.com",
                "http_service_client.state": "open",
            },
            1,
        )
    ]


def test_a_change_of_a_circuit_is_counted_once_for_all_clients_that_share_it(
    front_end: FrontEnd, collected: Collected
) -> None:
    """Each of them tells the telemetry."""
    harness = Harness(front_end, 200, telemetry=collected.telemetry)
    other = Harness(front_end, 200, telemetry=collected.telemetry)
    policy = CircuitBreakerPolicy(name="shared")
    for each in (harness, other):
        each.request(circuit_breaker=policy)
    policy.isolate()
    assert [value for _, value in collected.metrics()["http_service_client.circuit.changes"]] == [1]


def test_a_circuit_may_change_outside_of_any_call(
    front_end: FrontEnd, collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator isolates it; or it changes in code that a call has started, and that outlives it."""
    contexts: list[Context] = []

    def answer(request: object) -> HttpResponse:
        contexts.append(copy_context())
        return HttpResponse(200)

    client = front_end.client(transport=ScriptedTransport(answer), telemetry=collected.telemetry)
    front_end.request(client, "GET", URL)
    circuit = client.get_circuit_breaker("https://api.example.com")
    assert circuit is not None
    circuit.isolate()
    contexts[0].run(circuit.reset)
    assert [
        (attributes["http_service_client.state"], value)
        for attributes, value in collected.metrics()["http_service_client.circuit.changes"]
    ] == [("open", 1), ("closed", 1)]
    assert {record.name for record in caplog.records} == {"http_service_client.circuit"}


def test_buckets_are_those_of_the_conventions(front_end: FrontEnd, collected: Collected) -> None:
    """A dashboard for any HTTP client shows this one as well."""
    reader = InMemoryMetricReader()
    telemetry = OpenTelemetry(meter_provider=MeterProvider(metric_readers=[reader]))
    Harness(front_end, 200, telemetry=telemetry).request()
    data: Any = reader.get_metrics_data()
    metrics = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    duration = metrics["http.client.request.duration"]
    assert duration.unit == "s"
    assert duration.data.data_points[0].explicit_bounds == (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    )


def test_exchanges_under_way(front_end: FrontEnd, collected: Collected) -> None:
    """While the transport works."""
    seen: list[Any] = []

    def answer(request: object) -> HttpResponse:
        seen.append(collected.metrics()["http.client.active_requests"])
        return HttpResponse(200)

    client = front_end.client(transport=ScriptedTransport(answer), telemetry=collected.telemetry)
    front_end.request(client, "GET", URL)
    assert seen == [[(GET, 1)]]


def test_a_forked_child_has_none_of_its_parents_exchanges(front_end: FrontEnd, collected: Collected) -> None:
    """The threads that would end them do not exist there. The end of one that forked does no harm."""
    targets = collected.telemetry._tracing.targets
    seen: list[Any] = []

    def fork(request: object) -> HttpResponse:
        targets._reset_after_fork()
        seen.append(collected.metrics()["http.client.active_requests"])
        return HttpResponse(200)

    client = front_end.client(transport=ScriptedTransport(fork), telemetry=collected.telemetry)
    front_end.request(client, "GET", URL)
    seen.append(collected.metrics()["http.client.active_requests"])
    assert seen == [[(GET, 0)], [(GET, 0)]]


@needs_fork
def test_a_child_that_was_forked_during_an_exchange(collected: Collected) -> None:
    """It makes traced calls of its own, and shows none of its parent's."""
    held = Held()

    def answer(request: HttpRequest) -> HttpResponse:
        if request.url.endswith("/held"):
            held()
        return HttpResponse(200)

    client = HttpServiceClient(transport=ScriptedTransport(answer), telemetry=collected.telemetry)
    thread = threading.Thread(target=client.get, args=(f"{URL}/held",))
    thread.start()
    assert held.began.wait(10)
    assert collected.metrics()["http.client.active_requests"] == [(GET, 1)]

    def work() -> None:
        assert collected.metrics()["http.client.active_requests"] == [(GET, 0)]
        client.get(URL)
        assert [span.kind.name for span in collected.spans] == ["INTERNAL", "CLIENT"]

    try:
        assert in_a_child(work) == 0
    finally:
        held.may_end.set()
        thread.join()
        client.close()
    assert collected.metrics()["http.client.active_requests"] == [(GET, 0)]


def test_servers_that_are_at_rest_are_forgotten(collected: Collected) -> None:
    """A client that follows URLs of its users must not grow for ever."""
    targets = collected.telemetry._tracing.targets
    busy = targets.of("GET", "https://busy.test/", None)
    busy.active.append(None)
    for number in range(2500):
        targets.of("GET", f"https://{number}.test/", None)
    assert len(targets._known) <= 1000
    assert targets.of("GET", "https://busy.test/", None) is busy
    newest = targets.of("GET", "https://newest.test/", None)
    assert targets.of("GET", "https://newest.test/", None) is newest


def test_connections(front_end: FrontEnd, collected: Collected) -> None:
    """Those that a stream holds and those that are idle; none of a client that is closed, and none of one that is gone."""
    name = "http.client.open_connections"
    with LoopbackServer() as server, front_end.client(telemetry=collected.telemetry) as client:
        server.script("/", respond(body=b"x" * 3_000_000))
        here = {"server.address": "127.0.0.1", "server.port": server.port}
        assert name not in collected.metrics()
        with front_end.stream(client, "GET", server.url + "/") as response:
            assert collected.units()[name] == "{connection}"
            assert collected.metrics()[name] == [({**here, "http.connection.state": "active"}, 1)]
            response.read()
        assert collected.metrics()[name] == [({"http.connection.state": "idle"}, 1)]
    assert name not in collected.metrics()


def test_connections_of_clients_that_are_made_meanwhile(
    front_end: FrontEnd,
    collected: Collected,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another thread makes a client while the list of clients is being read."""
    clients = [front_end.client(telemetry=collected.telemetry) for _ in range(3)]
    adding = threading.Thread(target=collected.telemetry.watch, args=(front_end.client(telemetry=False),))
    plain_iter = WeakSet.__iter__

    def slow_iter(self: WeakSet[Any]) -> Iterator[Any]:
        for item in plain_iter(self):
            if item in clients and adding.ident is None:
                adding.start()
                adding.join(0.05)
            yield item

    monkeypatch.setattr(WeakSet, "__iter__", slow_iter)
    collected.metrics()
    adding.join()
    assert "failed" not in caplog.text


def test_caches(front_end: FrontEnd, collected: Collected) -> None:
    """By what the cache did."""
    client = front_end.client(
        transport=ScriptedTransport(HttpResponse(200, headers={"Cache-Control": "max-age=10"})),
        cache=Cache(),
        telemetry=collected.telemetry,
    )
    for _ in range(3):
        front_end.request(client, "GET", URL)
    name = "http_service_client.cache.result"
    assert collected.metrics()["http_service_client.cache.requests"] == [
        ({**SERVER, name: "miss"}, 1),
        ({**SERVER, name: "hit"}, 2),
    ]


@pytest.mark.parametrize(
    ("response", "size"),
    [
        (HttpResponse(200, content=b"abc"), 3),
        (HttpResponse(200, content=b"abc", headers={"Content-Length": "70", "Content-Encoding": "gzip"}), 70),
        (HttpResponse(200, content=b"abc", headers={"Content-Encoding": "gzip"}), None),
        (HttpResponse(304, headers={"Content-Length": "70"}), 0),
        (HttpResponse(200, content=b"abc", headers={"Content-Length": "many"}), 3),
    ],
    ids=["plain", "declared", "coded", "without a body", "malformed"],
)
def test_sizes_of_responses(
    front_end: FrontEnd, collected: Collected, response: HttpResponse, size: int | None
) -> None:
    """As received: of a body that was decoded only if the server has said it."""
    client = front_end.client(transport=ScriptedTransport(response), telemetry=collected.telemetry)
    front_end.request(client, "GET", URL)
    points = collected.metrics().get("http.client.response.body.size", [])
    assert [value for _, value in points] == ([] if size is None else [(1, size)])
