"""OpenTelemetry beside its other instrumentations, under adapters, and over the wire to a collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from architecture.test_project_files import ROOT
from architecture.test_public_names import run_apart
from http_service_client import HttpServiceClient
from http_service_client.integrations import ResilientAdapter
from http_service_client.observability import OpenTelemetry, instrument, uninstrument
from http_service_client.testing import LoopbackServer, VirtualClock, respond
from kit.adapters import WAYS, Way
from kit.front_ends import FrontEnd
from kit.otel import Collected
from kit.threads import wait_until


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def collected() -> Iterator[Collected]:
    yield Collected()
    uninstrument()


@pytest.fixture
def instrumented(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The instrumentations of requests and of aiohttp, by the conventions that we follow."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    names = {"requests": "RequestsInstrumentor", "aiohttp_client": "AioHttpClientInstrumentor"}
    made = []
    for module, name in names.items():
        found = pytest.importorskip(
            f"opentelemetry.instrumentation.{module}", reason="the instrumentations are not installed"
        )
        instrumentor = getattr(found, name)()
        instrumentor.instrument(tracer_provider=collected.tracer_provider)
        made.append(instrumentor)
    yield
    for instrumentor in made:
        instrumentor.uninstrument()


def parents(server: LoopbackServer) -> list[str | None]:
    """The spans that the requests named as their parents."""
    found = []
    for request in server.requests:
        value = {name.lower(): value for name, value in request.headers}.get("traceparent")
        found.append(None if value is None else value.split("-")[2])
    return found


def client_spans(collected: Collected) -> list[Any]:
    return [span for span in collected.spans if span.kind.name == "CLIENT"]


@pytest.mark.usefixtures("instrumented")
class TestBesideOthers:
    def test_they_see_every_exchange_of_a_client(
        self, front_end: FrontEnd, collected: Collected, server: LoopbackServer
    ) -> None:
        """Each attempt and each hop of a client without telemetry has a span of theirs, and headers."""
        server.script("/", respond(503), respond(302, headers={"Location": "/next"}))
        server.script("/next", respond(200))
        client = front_end.client(clock=VirtualClock(), telemetry=False)
        front_end.request(client, "GET", server.url + "/")
        spans = client_spans(collected)
        assert len(spans) == len(server.requests) == 3
        assert parents(server) == [f"{span.context.span_id:016x}" for span in spans]

    def test_an_exchange_has_one_span(
        self, front_end: FrontEnd, collected: Collected, server: LoopbackServer
    ) -> None:
        """Ours, where the client has telemetry: they leave it alone."""
        server.script("/", respond(503), respond(302, headers={"Location": "/next"}))
        server.script("/next", respond(200))
        client = front_end.client(clock=VirtualClock(), telemetry=collected.telemetry)
        front_end.request(client, "GET", server.url + "/")
        spans = client_spans(collected)
        assert [span.instrumentation_scope.name for span in spans] == ["http_service_client"] * 3
        assert parents(server) == [f"{span.context.span_id:016x}" for span in spans]

    @pytest.mark.parametrize("way", WAYS[:2], ids=str)
    def test_a_session_that_has_its_span(
        self, way: type[Way], collected: Collected, server: LoopbackServer
    ) -> None:
        """Around an adapter: the call shows its retry, and has no further CLIENT spans."""
        server.script("/", respond(503), respond(200))
        client = HttpServiceClient(clock=VirtualClock(), telemetry=collected.telemetry)
        with ExitStack() as stack:
            way(client, None, stack).request("GET", server.url + "/")
        theirs, ours = collected.spans
        assert (theirs.kind.name, ours.kind.name) == ("CLIENT", "INTERNAL")
        assert ours.parent is not None
        assert ours.parent.span_id == theirs.context.span_id
        assert [event.name for event in ours.events] == ["http_service_client.retry_scheduled"]
        assert parents(server) == [f"{theirs.context.span_id:016x}"] * 2
        client.close()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_under_an_adapter(way: type[Way], collected: Collected, server: LoopbackServer) -> None:
    """A call of the session is a call, with a span for each attempt, in the trace of the code around it."""
    server.script("/", respond(503), respond(200))
    client = HttpServiceClient(clock=VirtualClock(), random=lambda: 0.5, telemetry=collected.telemetry)
    url = server.url + "/"
    with ExitStack() as stack:
        session = way(client, None, stack)
        with collected.tracer_provider.get_tracer("test").start_as_current_span("outer"):
            session.request("GET", url)
    assert collected.tree() == [
        "INTERNAL outer",
        f"  INTERNAL GET url.full={url} http.response.status_code=200 attempts=2 sent_state=answered",
        "    ! retry_scheduled attempt=1 delay=0.5 cause=status 503 budget_left=3",
        f"    CLIENT GET ERROR url.full={url} http.response.status_code=503 error.type=503",
        f"    CLIENT GET url.full={url} http.request.resend_count=1 http.response.status_code=200",
    ]
    assert parents(server) == [f"{span.context.span_id:016x}" for span in client_spans(collected)]
    client.close()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_session_that_exists_is_instrumented(
    way: type[Way], collected: Collected, server: LoopbackServer
) -> None:
    """`instrument()` reaches the adapter of a session that is in use, and `uninstrument()` leaves it."""
    server.script("/", respond(200))
    client = HttpServiceClient()
    with ExitStack() as stack:
        session = way(client, None, stack)
        session.request("GET", server.url + "/")
        instrument(collected.telemetry)
        session.request("GET", server.url + "/")
        uninstrument()
        session.request("GET", server.url + "/")
    assert [parent is not None for parent in parents(server)] == [False, True, False]
    assert [span.kind.name for span in collected.spans] == ["INTERNAL", "CLIENT"]
    client.close()


def test_over_otlp_to_a_collector(server: LoopbackServer) -> None:
    """The spans arrive, and what the exporter itself sends is not traced, through an adapter of ours, too."""
    exporter = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter", reason="the exporter is not installed"
    )
    messages = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    server.script("/orders", respond(503), respond(200))
    server.script("/v1/traces", respond(200))
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter())
        provider = TracerProvider()
        collector = exporter.OTLPSpanExporter(
            endpoint=server.url + "/v1/traces",
            session=session,
            compression=exporter.Compression.NoCompression,
        )
        provider.add_span_processor(SimpleSpanProcessor(collector))
        instrument(OpenTelemetry(tracer_provider=provider))
        try:
            with HttpServiceClient(clock=VirtualClock(), base_url=server.url) as client:
                client.get("/orders", name="list orders")
        finally:
            uninstrument()
            provider.shutdown()
    received = []
    for request in server.requests:
        if request.path == "/v1/traces":
            message = messages.ExportTraceServiceRequest.FromString(request.body)
            scope = message.resource_spans[0].scope_spans[0]
            received += [(scope.scope.name, span.name, span.kind) for span in scope.spans]
    internal, outgoing = 1, 3
    assert received == [
        ("http_service_client", "GET", outgoing),
        ("http_service_client", "GET", outgoing),
        ("http_service_client", "list orders", internal),
    ]


def test_a_process_that_instruments_all_finds_it(collected: Collected, server: LoopbackServer) -> None:
    """`opentelemetry-instrument` loads what setup.cfg names, and calls it without further arguments but its own."""
    from configparser import ConfigParser

    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    points = settings["options.entry_points"]["opentelemetry_instrumentor"].strip()
    name, _, target = points.partition(" = ")
    module, _, attribute = target.partition(":")
    assert name == "http_service_client"
    instrumentor = getattr(import_module(module), attribute)()
    instrumentor.instrument(skip_dep_check=True, tracer_provider=collected.tracer_provider)
    server.script("/", respond(200))
    with HttpServiceClient() as client:
        client.get(server.url + "/")
        instrumentor.uninstrument()
        client.get(server.url + "/")
    assert [span.kind.name for span in collected.spans] == ["INTERNAL", "CLIENT"]


def test_providers_that_are_set_later() -> None:
    """A client may be instrumented before the process sets up its SDK, as modules are imported in any order."""
    program = """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from http_service_client import HttpResponse, HttpServiceClient
        from http_service_client.observability import instrument
        from http_service_client.testing import ScriptedTransport

        instrument()
        client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
        client.get("https://api.example.com/")
        exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
        client.get("https://api.example.com/")
        data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
        print([span.kind.name for span in exporter.get_finished_spans()], sorted(each.name for each in data))
    """
    assert run_apart(program) == (
        "['CLIENT', 'INTERNAL'] ['http.client.active_requests', 'http.client.request.body.size', "
        "'http.client.request.duration', 'http.client.response.body.size', 'http_service_client.call.duration']"
    )


def test_a_stream_that_nobody_closes(collected: Collected, server: LoopbackServer) -> None:
    """The collector ends its span, as it ends the call."""
    server.script("/", respond(body=b"body" * 10_000))
    with HttpServiceClient(telemetry=collected.telemetry) as client:
        response = client.stream("GET", server.url + "/").__enter__()
        assert [span.kind.name for span in collected.spans] == ["CLIENT"]
        held = [response]
        del response
        with pytest.warns(ResourceWarning, match="never closed"):
            held.clear()
        gc.collect()
        wait_until(lambda: len(collected.spans) == 2)  # a thread does what the collector must not
    assert [span.kind.name for span in collected.spans] == ["INTERNAL", "CLIENT"]
