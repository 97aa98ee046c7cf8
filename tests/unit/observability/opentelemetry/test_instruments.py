"""What each event adds to which instrument, and what each instrument is: as tables, by the real SDK."""

from __future__ import annotations

from typing import Any, get_args

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from http_service_client import CircuitBreakerState, HttpRequest, HttpResponse, SentState
from http_service_client.core.machines.circuit_breaker.states import StateChange
from http_service_client.core.open_body import OpenResponse
from http_service_client.events import (
    CacheResult,
    CacheUsed,
    ChaosInjected,
    CircuitRefused,
    ConnectionAwaited,
    DeadlineRefused,
    Event,
    FallbackSource,
    FallbackUsed,
    HedgeFinished,
    HedgeResult,
    HostChanged,
    LimitRefused,
    LimitWaited,
    RetryScheduled,
    ThrottleRefused,
    ThrottleWaited,
    TokenAwaited,
)
from http_service_client.observability.opentelemetry.attributes import (
    KnownMethods,
    circuit_attributes,
    response_size,
)
from http_service_client.observability.opentelemetry.instruments import _OF_EVENTS, Instruments
from http_service_client.observability.opentelemetry.targets import Targets
from kit.fakes import ORIGIN, URL
from kit.rows import each_row

OURS = "http_service_client"
PREFIX = f"{OURS}."
KEY = f"{ORIGIN} (alice)"
SERVER = {"server.address": "api.example.com", "server.port": 443}
STATE = SentState.MAYBE_PROCESSED
SIZES = (0, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
OF_CALLS = (*SECONDS, 15, 30, 60, 120)


class Measured:
    """Instruments, and what was added to them."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        meter = MeterProvider(metric_readers=[self._reader]).get_meter("test")
        self.targets = Targets(KnownMethods({}))
        self.instruments = Instruments(meter, self.targets, list)

    def metrics(self) -> dict[str, Any]:
        """The metrics that have points, by name."""
        data: Any = self._reader.get_metrics_data()
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self) -> dict[str, list[tuple[float, dict[str, Any]]]]:
        """By name: the amounts, and the attributes beside those of the server. Names of ours without their prefix."""
        return {
            name.removeprefix(PREFIX): [
                (getattr(point, "value", None) or point.sum, _without_server(point.attributes))
                for point in metric.data.data_points
            ]
            for name, metric in self.metrics().items()
        }


def _without_server(attributes: Any) -> dict[str, Any]:
    return {name.removeprefix(PREFIX): value for name, value in attributes.items() if name not in SERVER}


def waited(kind: str, seconds: float) -> dict[str, Any]:
    return {"wait.duration": [(seconds, {"wait.kind": kind})]}


def counted(name: str, **attributes: str) -> dict[str, Any]:
    return {name: [(1, {key.replace("_", "."): value for key, value in attributes.items()})]}


STALE, VALUE, WON, LOST = CacheResult.STALE, FallbackSource.VALUE, HedgeResult.WON, HedgeResult.LOST
ROWS: list[tuple[Any, dict[str, Any]]] = [
    (
        RetryScheduled(1.0, 1, ORIGIN, 0.5, "503", None, None, None),
        counted("retries") | waited("retry", 0.5),
    ),
    (TokenAwaited(1.0, 1, ORIGIN, 0.25, "oauth2"), waited("token", 0.25)),
    (ConnectionAwaited(1.0, 1, ORIGIN, 0.75), waited("connection", 0.75)),
    (ThrottleWaited(1.0, 1, ORIGIN, 2.0), waited("throttle", 2.0)),
    (LimitWaited(1.0, 1, ORIGIN, "rate limit", 3.0), waited("rate_limit", 3.0)),
    (LimitWaited(1.0, 1, ORIGIN, "bulkhead", 3.0), waited("bulkhead", 3.0)),
    (LimitRefused(1.0, 1, ORIGIN, "rate limit", 3.0), counted("refusals", reason="rate limit")),
    (CircuitRefused(1.0, 1, ORIGIN, "isolated", None), counted("refusals", reason="isolated")),
    (ThrottleRefused(1.0, 1, ORIGIN, 9.0), counted("refusals", reason="throttled")),
    (DeadlineRefused(1.0, 1, ORIGIN, 0.1, 1.0, 2.0), counted("refusals", reason="too_little_time")),
    (HostChanged(1.0, 1, KEY, "https://other.example.com"), counted("host.changes", host=ORIGIN)),
    (CacheUsed(1.0, 1, ORIGIN, STALE), counted("cache.requests", cache_result="stale")),
    (ChaosInjected(1.0, 1, ORIGIN, "latency", "2"), counted("chaos.injections", chaos_kind="latency")),
    (FallbackUsed(1.0, 1, ORIGIN, VALUE, "503"), counted("fallbacks", fallback_source="value")),
    (
        HedgeFinished(1.0, 1, ORIGIN, 1, WON, 0.5, 200, None, STATE),
        counted("hedges", hedge_result="won"),
    ),
    (HedgeFinished(1.0, 1, ORIGIN, 0, LOST, 0.5, None, None, STATE), {}),  # the first request
]


@each_row(("event", "points"), ROWS, ids=[type(row[0]).__name__ for row in ROWS])
def test_an_event_adds_to_its_instruments_alone(event: Any, points: dict[str, Any]) -> None:
    """The amount, and what it is counted by beside the server."""
    measured = Measured()
    measured.instruments.happened(event, SERVER, Context())
    assert measured.points() == points


def test_each_event_that_is_measured_has_a_row() -> None:
    """A new one is not forgotten; any other adds nothing."""
    assert {type(event) for event, _ in ROWS} == set(_OF_EVENTS) <= set(get_args(Event))


@pytest.mark.parametrize(("key", "shown"), [(ORIGIN, ORIGIN), (KEY, ORIGIN), ("", ""), (None, "")])
def test_a_change_of_a_circuit_is_counted_by_its_origin(key: Any, shown: str) -> None:
    """Not by its key, of which there may be one for each tenant. A circuit around a function may have no name."""
    measured = Measured()
    closed, opened = CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN
    measured.instruments.circuit_changed(StateChange(key, closed, opened, "5 failures", 1.0, 1, 30.0))
    assert measured.points() == {"circuit.changes": [(1, {"circuit": shown, "state": "open"})]}


@pytest.mark.parametrize(("key", "shown"), [(ORIGIN, {f"{OURS}.circuit": ORIGIN}), ("", {})])
def test_a_change_of_a_circuit_is_an_event_of_a_span(key: str, shown: dict[str, str]) -> None:
    """With its new state, why it changed, and its name, if it has one."""
    closed, opened = CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN
    change = StateChange(key, closed, opened, "5 failures", 1.0, 1, 30.0)
    assert circuit_attributes(change) == {
        f"{OURS}.state": "open", f"{OURS}.reason": "5 failures", **shown,
    }  # fmt: skip


def test_each_instrument_has_its_unit_and_its_buckets() -> None:
    """Those of the semantic conventions, for the metrics that they have."""
    measured = Measured()
    instruments = measured.instruments
    for record in (
        instruments.record_duration,
        instruments.record_sent,
        instruments.record_received,
        instruments.record_call,
    ):
        record(1, SERVER, Context())
    for event, _ in ROWS:
        instruments.happened(event, SERVER, Context())
    closed, opened = CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN
    instruments.circuit_changed(StateChange(ORIGIN, closed, opened, "", 1.0, 1, 30.0))
    measured.targets.of("GET", URL, None).active.append(None)
    found = {
        name: (metric.unit, getattr(metric.data.data_points[0], "explicit_bounds", None))
        for name, metric in measured.metrics().items()
    }
    assert found == {
        "http.client.request.duration": ("s", SECONDS),
        "http.client.request.body.size": ("By", SIZES),
        "http.client.response.body.size": ("By", SIZES),
        "http.client.active_requests": ("{request}", None),
        f"{OURS}.call.duration": ("s", OF_CALLS),
        f"{OURS}.wait.duration": ("s", OF_CALLS),
        f"{OURS}.retries": ("{attempt}", None),
        f"{OURS}.refusals": ("{attempt}", None),
        f"{OURS}.host.changes": ("{attempt}", None),
        f"{OURS}.cache.requests": ("{call}", None),
        f"{OURS}.chaos.injections": ("{fault}", None),
        f"{OURS}.fallbacks": ("{call}", None),
        f"{OURS}.hedges": ("{request}", None),
        f"{OURS}.circuit.changes": ("{change}", None),
    }


CODED = {"Content-Encoding": "gzip"}
LONG = {"Content-Length": "70"}


@each_row(
    ("headers", "method", "status", "whole", "unread"),
    [
        ({}, "GET", 200, 3, None),
        (LONG, "GET", 200, 70, 70),
        ({**LONG, **CODED}, "GET", 200, 70, 70),
        (CODED, "GET", 200, None, None),
        ({"Content-Length": "many"}, "GET", 200, 3, None),
        ({"Content-Length": "many", **CODED}, "GET", 200, None, None),
        (LONG, "HEAD", 200, 0, 0),
        (LONG, "GET", 304, 0, 0),
    ],
)
def test_the_size_of_a_response_is_that_on_the_wire(
    headers: dict[str, str], method: str, status: int, whole: int | None, unread: int | None
) -> None:
    """Of a body that is still to come, only where the server has declared it."""
    request = HttpRequest(method, URL)
    assert response_size(HttpResponse(status, content=b"abc", headers=headers, request=request)) == whole
    source: Any = None
    assert (
        response_size(OpenResponse(status, source=source, waited=0.0, headers=headers, request=request))
        == unread
    )


def test_a_response_may_not_know_its_request() -> None:
    """One of a transport of the user's."""
    assert response_size(HttpResponse(200, headers=LONG)) == 70


@each_row("method", ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])  # fmt: skip
def test_the_methods_of_the_conventions_are_shown_by_name(method: str) -> None:
    """Any other would be a series of its own, for whatever anybody invents. The environment may list others."""
    assert KnownMethods({}).shown(method) == method
    assert KnownMethods({}).shown(method.lower()) == "_OTHER"
    others = KnownMethods({"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET, PURGE"})
    assert others.shown(method) == (method if method == "GET" else "_OTHER")
    assert others.shown("PURGE") == "PURGE"


@pytest.mark.parametrize(
    ("method", "template", "name"),
    [
        ("GET", None, "GET"),
        ("GET", "/users/{id}", "GET /users/{id}"),
        ("PURGE", "/users/{id}", "HTTP /users/{id}"),
    ],
)
def test_a_target_is_named_by_its_method_and_its_template(
    method: str, template: str | None, name: str
) -> None:
    """A metric has the template too, and no method that is not well known; a span has that as well."""
    target = Targets(KnownMethods({})).of(method, f"{URL}/users/7?q=1", template)
    shown = "_OTHER" if method == "PURGE" else method
    common = {
        **SERVER,
        "http.request.method": shown,
        **({} if template is None else {"url.template": template}),
    }
    assert (target.span_name, target.common) == (name, common)
    original = {"http.request.method_original": method} if method == "PURGE" else {}
    assert target.attributes == {**common, **original}


def test_a_target_that_is_one_too_many_is_not_kept() -> None:
    """While all others are in use; its exchange is measured all the same."""
    targets = Targets(KnownMethods({}))
    for number in range(1000):
        targets.of("GET", f"https://{number}.test/", None).active.append(None)
    extra = targets.of("GET", "https://extra.test/", None)
    assert extra.server == {"server.address": "extra.test", "server.port": 443}
    assert targets.of("GET", "https://extra.test/", None) is not extra
    assert len(targets.active()) == 1000
    known = targets.of("GET", "https://7.test/", None)
    known.active.append(None)
    assert targets.active()[7] == (known.common, 2)


def test_a_target_is_kept_until_there_are_too_many() -> None:
    """A call holds its own over its waits, when it has no exchange under way."""
    targets = Targets(KnownMethods({}))
    first = targets.of("GET", URL, None)
    for number in range(999):
        targets.of("GET", f"https://{number}.test/", None)
    assert targets.of("GET", URL, None) is first


def test_the_target_of_a_unix_socket_is_its_path() -> None:
    """As the conventions have it. There is no port."""
    target = Targets(KnownMethods({})).of("GET", "http+unix://%2Frun%2Fapi.sock/v1", None)
    assert target.server == {"server.address": "/run/api.sock"}
