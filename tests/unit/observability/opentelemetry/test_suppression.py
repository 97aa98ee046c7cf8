"""Telemetry that another instrumentation suppresses, and telemetry that fails."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from http_service_client import ConfigurationError, HttpRequest, HttpResponse
from http_service_client.observability import OpenTelemetry
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.otel import OLD, PARENT, Collected, sent_ids, span_ids

pytestmark = pytest.mark.usefixtures("nothing_logged_or_left")

PACKAGE = "http_service_client.observability.opentelemetry"


class TestSuppression:
    def test_what_an_exporter_sends_is_not_seen(self, front_end: FrontEnd, collected: Collected) -> None:
        """Else each export would cause another one."""
        for key in (_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"):
            harness = Harness(front_end, 200, telemetry=collected.telemetry)
            token = otel_context.attach(otel_context.set_value(key, True))
            try:
                harness.request()
            finally:
                otel_context.detach(token)
            assert PARENT not in harness.transport.sent[0].headers
        assert collected.spans == []
        assert collected.metrics() == {}

    def test_a_request_that_has_its_span_gets_no_other(
        self, front_end: FrontEnd, collected: Collected
    ) -> None:
        """An instrumentation around the call has made the CLIENT span and the headers; the call shows what it did."""
        harness = Harness(front_end, 503, 200, telemetry=collected.telemetry)
        token = otel_context.attach(otel_context.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True))
        try:
            harness.request(headers={PARENT: OLD})
        finally:
            otel_context.detach(token)
        assert [request.headers[PARENT] for request in harness.transport.sent] == [OLD, OLD]
        assert collected.tree() == [
            f"INTERNAL GET url.full={URL} http.response.status_code=200 attempts=2 sent_state=answered",
            "  ! retry_scheduled attempt=1 delay=0.5 cause=status 503 budget_left=3",
        ]
        assert "http.client.request.duration" not in collected.metrics()

    def test_a_call_beside_an_instrumented_request_has_its_spans(
        self, front_end: FrontEnd, collected: Collected
    ) -> None:
        """A middleware of aiohttp, say, makes it: another request, which that instrumentation does not see."""
        tracer = collected.tracer_provider.get_tracer("opentelemetry.instrumentation.aiohttp_client")
        client = front_end.client(
            transport=ScriptedTransport(HttpResponse(200)), telemetry=collected.telemetry
        )
        with tracer.start_as_current_span("GET", kind=trace.SpanKind.CLIENT):
            front_end.request(client, "GET", URL)
        assert [span.kind.name for span in collected.spans] == ["CLIENT", "INTERNAL", "CLIENT"]

    def test_the_transport_is_asked_for_no_span(self, front_end: FrontEnd, collected: Collected) -> None:
        """Instrumentations of requests and aiohttp look at this mark."""
        seen: list[object] = []

        def answer(request: HttpRequest) -> HttpResponse:
            seen.append(otel_context.get_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY))
            return HttpResponse(200)

        class Interceptor:
            def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
                seen.append(otel_context.get_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY))
                return response

        client = front_end.client(
            transport=ScriptedTransport(answer),
            telemetry=collected.telemetry,
            response_interceptors=[Interceptor()],
        )
        front_end.request(client, "GET", URL)
        assert seen == [True, None]

    def test_an_instrumentation_that_knows_only_the_mark_for_all(
        self, front_end: FrontEnd, collected: Collected, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That of aiohttp before 0.60b0 gets it; where it is not in use, nothing else is switched off."""
        seen: list[object] = []

        def answer(request: HttpRequest) -> HttpResponse:
            seen.append(otel_context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))
            return HttpResponse(200)

        client = front_end.client(transport=ScriptedTransport(answer), telemetry=collected.telemetry)
        name = "opentelemetry.instrumentation.aiohttp_client"
        new = SimpleNamespace(is_http_instrumentation_enabled=print)
        for module in (None, new, SimpleNamespace()):
            monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
            front_end.request(client, "GET", URL)
        assert seen == [None, None, True]


def test_the_private_names_of_the_api_exist() -> None:
    """The package works without them, but other instrumentations would not know that a request has its span."""
    for name in ("_RUNTIME_CONTEXT", "_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"):
        assert hasattr(otel_context, name)


class _FailingMeter(NoOpMeter):
    """One instrument of it raises."""

    def __init__(self, failing: str) -> None:
        super().__init__("failing")
        self._failing = failing

    def create_counter(self, name: str, *arguments: Any, **options: Any) -> Any:
        counter = super().create_counter(name, *arguments, **options)
        return self if name == self._failing else counter

    def create_histogram(self, name: str, *arguments: Any, **options: Any) -> Any:
        histogram = super().create_histogram(name, *arguments, **options)
        return self if name == self._failing else histogram

    def add(self, *_: object) -> None:
        raise ValueError(self._failing)

    record = add


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The loggers of the errors."""
    return [record.name for record in caplog.records if record.levelno >= logging.ERROR]


class TestFailures:
    def test_telemetry_that_fails_fails_no_call(
        self, front_end: FrontEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A span processor that raises, at the beginning and at the end of each span; logged once."""

        class Failing(SpanProcessor):
            def on_start(self, span: object, parent_context: object = None) -> None:
                raise ValueError("start")

        provider = TracerProvider()
        provider.add_span_processor(Failing())
        harness = Harness(front_end, 503, 200, telemetry=OpenTelemetry(tracer_provider=provider))
        for _ in range(3):
            assert harness.request().status_code == 200
        assert _errors(caplog) == ["http_service_client.hooks"]
        assert harness.names().count("call_finished") == 3

    def test_a_time_limit_of_the_program_is_no_failure_of_telemetry(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The handler of its signal may run at any moment. What it raises ends the call, also after real failures."""

        def end(number: int, frame: object) -> None:
            raise TimeoutError("the time limit of the job")

        class Failing(SpanProcessor):
            is_late = False

            def on_start(self, span: object, parent_context: object = None) -> None:
                if self.is_late:
                    end(14, sys._getframe())
                raise ValueError("start")

        provider, processor = TracerProvider(), Failing()
        provider.add_span_processor(processor)
        harness = Harness(BlockingFrontEnd(), 200, telemetry=OpenTelemetry(tracer_provider=provider))
        assert harness.request().status_code == 200
        processor.is_late = True
        with pytest.raises(TimeoutError, match="the time limit of the job"):
            harness.request()
        assert _errors(caplog) == ["http_service_client.hooks"]

    def test_failures_at_the_end_of_a_span(
        self, front_end: FrontEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also the call's end is reported to its listeners."""

        class Failing(SpanProcessor):
            def on_end(self, span: object) -> None:
                raise ValueError("end")

        provider = TracerProvider()
        provider.add_span_processor(Failing())
        harness = Harness(front_end, 503, 200, telemetry=OpenTelemetry(tracer_provider=provider))
        assert harness.request().status_code == 200
        assert harness.names()[-1] == "call_finished"
        assert _errors(caplog) == ["http_service_client.hooks"]

    def test_an_exchange_whose_span_cannot_begin_is_made(
        self, front_end: FrontEnd, collected: Collected, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The call around it has its span all the same."""

        class Failing(SpanProcessor):
            def on_start(self, span: Any, parent_context: object = None) -> None:
                if span.kind is trace.SpanKind.CLIENT:
                    raise ValueError("start")

        collected.tracer_provider.add_span_processor(Failing())
        harness = Harness(front_end, 503, 200, telemetry=collected.telemetry)
        assert harness.request().status_code == 200
        assert len(span_ids(collected, "INTERNAL")) == 1
        assert _errors(caplog) == ["http_service_client.hooks"]

    @pytest.mark.parametrize(
        "failing",
        [
            "http.client.request.duration",
            "http_service_client.call.duration",
            "http_service_client.retries",
            "http_service_client.circuit.changes",
        ],
    )
    def test_an_instrument_that_fails_fails_no_call(
        self, front_end: FrontEnd, caplog: pytest.LogCaptureFixture, failing: str
    ) -> None:
        """Whichever it is, its first failure is logged."""
        meters: Any = SimpleNamespace(get_meter=lambda *_: _FailingMeter(failing))
        harness = Harness(
            front_end,
            503,
            200,
            telemetry=OpenTelemetry(meter_provider=meters),
            circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 0.1},
        )
        assert harness.request().status_code == 200
        assert harness.names()[-1] == "call_finished"
        assert _errors(caplog) == ["http_service_client.hooks"]

    def test_a_propagator_that_fails_fails_no_call(
        self, front_end: FrontEnd, collected: Collected, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The exchange has its span all the same, and the failure is logged once."""

        class Failing:
            fields = frozenset({PARENT})

            def inject(self, carrier: object, context: object = None, setter: object = None) -> None:
                raise ValueError("inject")

        propagator: Any = Failing()
        telemetry = OpenTelemetry(tracer_provider=collected.tracer_provider, propagator=propagator)
        harness = Harness(front_end, 503, 200, telemetry=telemetry)
        assert harness.request().status_code == 200
        statuses = [(span.attributes or {})["http.response.status_code"] for span in collected.spans]
        assert statuses == [200, 503, 200]
        assert sent_ids(harness) == [None, None]
        assert _errors(caplog) == ["http_service_client.hooks"]

    def test_a_slow_processor_takes_no_time_of_the_attempt(self, front_end: FrontEnd) -> None:
        """Its time is not the server's: an attempt has all of its timeout for the exchange."""
        harness: Harness

        class Slow(SpanProcessor):
            def on_start(self, span: object, parent_context: object = None) -> None:
                harness.clock.now += 20.0

            def on_end(self, span: object) -> None:
                harness.clock.now += 20.0

        provider = TracerProvider()
        provider.add_span_processor(Slow())
        hop = (307, {"Location": "/next"})
        harness = Harness(
            front_end, hop, hop, 200, telemetry=OpenTelemetry(tracer_provider=provider), base_timeout=30
        )
        assert harness.request().status_code == 200
        assert [timeout.total for timeout in harness.transport.timeouts] == [30.0] * 3

    @pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.context"])
    def test_without_the_api_the_extra_is_named(self, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The remedy is a command to type."""
        for module in ("calls", "instruments", "tracing"):
            monkeypatch.delitem(sys.modules, f"{PACKAGE}.{module}", raising=False)
        monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[opentelemetry\]'"):
            OpenTelemetry()

    def test_another_module_that_is_missing_is_not_taken_for_the_api(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To install the extra would not help."""
        monkeypatch.setitem(sys.modules, f"{PACKAGE}.calls", None)  # type: ignore[arg-type]
        with pytest.raises(ModuleNotFoundError, match="calls"):
            OpenTelemetry()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"tracer_provider": object()}, "tracer_provider must be an object with get_tracer"),
            ({"tracer_provider": TracerProvider}, "tracer_provider must be an object with get_tracer"),
            ({"meter_provider": TracerProvider}, "meter_provider must be an object with get_meter"),
            ({"propagator": "b3"}, "propagator must be an object with inject"),
            ({"hosts": "api.example.com"}, "hosts must be a list"),
        ],
    )
    def test_wrong_settings_say_so(self, settings: dict[str, Any], message: str) -> None:
        """With the name and the value."""
        with pytest.raises(ConfigurationError, match=message):
            OpenTelemetry(**settings)

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("tracer", "tracer_provider"),
            ("provider", "tracer_provider"),
            ("meter", "meter_provider"),
            ("propagators", "propagator"),
        ],
    )
    def test_a_misspelt_setting_says_what_to_write(self, wrong: str, right: str) -> None:
        """As everywhere in this package."""
        with pytest.raises(TypeError, match=f"it is called {right}"):
            OpenTelemetry(**{wrong: None})  # type: ignore[arg-type]
