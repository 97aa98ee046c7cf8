"""The context of a trace: which headers carry it to which services, and where code finds it and leaves it."""

from __future__ import annotations

import asyncio
import gc
import threading
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from http_service_client import HttpRequest, HttpResponse, HttpServiceClient, ReadTimeoutError
from http_service_client.observability import OpenTelemetry
from http_service_client.testing import LoopbackServer, VirtualClock, respond
from kit.fakes import ORIGIN, READ_TIMEOUT, RESET, URL, Harness
from kit.front_ends import FrontEnd
from kit.otel import OLD, PARENT, Collected, sent_ids, span_ids

pytestmark = pytest.mark.usefixtures("nothing_logged_or_left")


class TestHeaders:
    def test_each_attempt_has_its_own(self, front_end: FrontEnd, collected: Collected) -> None:
        """A retry and a hop name their own span, in place of an older value; the caller's request is not changed."""
        hop = (307, {"Location": "/next"})
        harness = Harness(front_end, 503, hop, 200, telemetry=collected.telemetry)
        response = harness.request(headers={PARENT: OLD, "tracestate": "old=1"})
        assert sent_ids(harness) == span_ids(collected)
        assert all(len(request.headers.get_all(PARENT)) == 1 for request in harness.transport.sent)
        assert [request.headers.get("tracestate") for request in harness.transport.sent] == [None] * 3
        assert response.status_code == 200

    def test_another_origin_gets_none(self, front_end: FrontEnd, collected: Collected) -> None:
        """A server that chooses its successor must not learn the trace, nor the baggage, nor an older trace."""
        hop = (307, {"Location": "https://elsewhere.test/"})
        harness = Harness(front_end, hop, 200, telemetry=collected.telemetry)
        token = otel_context.attach(baggage.set_baggage("user", "42"))
        try:
            harness.request(headers={PARENT: OLD})
        finally:
            otel_context.detach(token)
        first, second = harness.transport.sent
        assert first.headers["baggage"] == "user=42"
        assert PARENT not in second.headers
        assert "baggage" not in second.headers

    @pytest.mark.parametrize(
        ("hosts", "carried"),
        [(["elsewhere.test"], [False, True]), ([], [False, False]), (["*.example.com"], [True, False])],
        ids=["another", "none", "own"],
    )
    def test_named_hosts_get_it(self, front_end: FrontEnd, hosts: list[str], carried: list[bool]) -> None:
        """Those and no others, after a redirect, too."""
        collected = Collected(hosts=hosts)
        hop = (307, {"Location": "https://elsewhere.test/"})
        harness = Harness(front_end, hop, 200, telemetry=collected.telemetry)
        harness.request()
        assert [identity is not None for identity in sent_ids(harness)] == carried

    def test_a_propagator_of_ones_own(self, front_end: FrontEnd) -> None:
        """Here one without baggage."""
        collected = Collected(propagator=TraceContextTextMapPropagator())
        harness = Harness(front_end, 200, telemetry=collected.telemetry)
        token = otel_context.attach(baggage.set_baggage("user", "42"))
        try:
            harness.request()
        finally:
            otel_context.detach(token)
        assert sent_ids(harness) == span_ids(collected)
        assert "baggage" not in harness.transport.sent[0].headers

    def test_without_an_sdk_an_outer_trace_stays(self, front_end: FrontEnd) -> None:
        """Where nothing is recorded, what a gateway passes on remains as it is."""
        telemetry = OpenTelemetry(tracer_provider=trace.NoOpTracerProvider())
        harness = Harness(front_end, 200, telemetry=telemetry)
        harness.request(headers={PARENT: OLD})
        assert harness.transport.sent[0].headers[PARENT] == OLD

    def test_a_signature_does_not_have_an_old_value(self, front_end: FrontEnd, collected: Collected) -> None:
        """It would not hold for the value that is sent."""
        signed: list[bool] = []
        harness = Harness(
            front_end,
            200,
            telemetry=collected.telemetry,
            request_signers=[lambda request, context: signed.append(PARENT in request.headers)],
        )
        harness.request(headers={PARENT: OLD})
        assert signed == [False]
        assert sent_ids(harness) == span_ids(collected)

    def test_a_propagator_that_is_set_late_counts_for_signatures(
        self, front_end: FrontEnd, collected: Collected, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here that of the process, set after the client was made."""
        signed: list[bool] = []
        signer = lambda request, context: signed.append("uber-trace-id" in request.headers)  # noqa: E731
        harness = Harness(front_end, 200, telemetry=collected.telemetry, request_signers=[signer])
        late = SimpleNamespace(fields={"uber-trace-id"}, inject=lambda carrier, context: None)
        monkeypatch.setattr("opentelemetry.propagate._HTTP_TEXT_FORMAT", late)
        harness.request(headers={"uber-trace-id": OLD})
        assert signed == [False]

    def test_an_interrupt_in_a_propagator_leaves_no_span_open(self, front_end: FrontEnd) -> None:
        """The exchange has its span by then, and will not be sent."""

        class Interrupt(BaseException):
            pass

        class Interrupted(TraceContextTextMapPropagator):
            def inject(self, *_: Any, **__: Any) -> None:
                raise Interrupt

        collected = Collected(propagator=Interrupted())
        harness = Harness(front_end, 200, telemetry=collected.telemetry)
        with pytest.raises(Interrupt):
            harness.request()
        assert [span.kind.name for span in collected.spans] == ["INTERNAL", "CLIENT"]
        assert harness.sends == 0

    def test_a_propagator_that_fails_costs_no_client_and_no_call(self, front_end: FrontEnd) -> None:
        """Not with signers either, which ask for its headers first."""

        class Broken(TraceContextTextMapPropagator):
            @property
            def fields(self) -> set[str]:
                raise ValueError("no fields")

        telemetry = Collected(propagator=Broken()).telemetry
        harness = Harness(
            front_end, 200, telemetry=telemetry, request_signers=[lambda request, context: None]
        )
        assert harness.request().status_code == 200

    def test_a_propagator_that_cannot_name_its_headers_is_logged(
        self, front_end: FrontEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also where nothing is traced, so that it would write none."""

        class Broken(TraceContextTextMapPropagator):
            @property
            def fields(self) -> set[str]:
                raise ValueError("no fields")

        telemetry = OpenTelemetry(tracer_provider=trace.NoOpTracerProvider(), propagator=Broken())
        harness = Harness(
            front_end, 200, telemetry=telemetry, request_signers=[lambda request, context: None]
        )
        assert harness.request().status_code == 200
        assert "no fields" in caplog.text

    def test_a_signature_does_not_have_an_old_value_of_a_propagator_of_ones_own(
        self, front_end: FrontEnd
    ) -> None:
        """Its headers count, and those of the process's do not."""
        own: Any = SimpleNamespace(fields={"uber-trace-id"}, inject=lambda carrier, context: None)
        signed: list[list[bool]] = []
        harness = Harness(
            front_end,
            200,
            telemetry=Collected(propagator=own).telemetry,
            request_signers=[
                lambda request, context: signed.append(
                    [name in request.headers for name in ("uber-trace-id", PARENT)]
                )
            ],
        )
        harness.request(headers={"uber-trace-id": OLD, PARENT: OLD})
        assert signed == [[False, True]]

    def test_a_unix_socket_is_no_named_host(
        self, front_end: FrontEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It has no host that a list could name."""
        collected = Collected(hosts=["api.example.com", "*.example.com"])
        harness = Harness(front_end, 200, telemetry=collected.telemetry)
        harness.request(url="http+unix://%2Frun%2Fapi.sock/")
        assert sent_ids(harness) == [None]
        assert "failed" not in caplog.text


class TestLeaving:
    def test_tasks_do_not_meet(self, collected: Collected) -> None:
        """Calls of one loop overlap, and each finds its own span."""
        found: dict[str, str] = {}

        class Transport:
            async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
                before = trace.get_current_span()
                await asyncio.sleep(0)
                assert trace.get_current_span() is before
                found[request.url] = f"{before.get_span_context().span_id:016x}"
                return HttpResponse(200)

        async def main() -> None:
            async with HttpServiceClient(transport=Transport(), telemetry=collected.telemetry) as client:
                await asyncio.gather(*(client.get_async(f"{ORIGIN}/{n}") for n in range(20)))

        asyncio.run(main())
        spans = {
            (span.attributes or {})["url.full"]: f"{span.context.span_id:016x}"
            for span in collected.spans
            if span.kind.name == "CLIENT"
        }
        assert found == spans
        assert len(spans) == 20

    def test_a_call_that_is_cancelled_at_any_step(self) -> None:
        """Each span that began ends, and no context stays."""
        begun: list[str] = []
        ended: list[str] = []

        class Counting(SpanProcessor):
            def on_start(self, span: Any, parent_context: object = None) -> None:
                begun.append(span.name)

            def on_end(self, span: Any) -> None:
                ended.append(span.name)

        class Steps:
            async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
                await asyncio.sleep(0)
                return HttpResponse(503)

        provider = TracerProvider()
        provider.add_span_processor(Counting())
        telemetry = OpenTelemetry(tracer_provider=provider)

        async def main() -> int:
            async with HttpServiceClient(
                transport=Steps(), telemetry=telemetry, clock=VirtualClock()
            ) as client:
                for steps in range(1000):
                    task = asyncio.ensure_future(client.get_async(URL))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    if task.done():
                        return steps
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert sorted(begun) == sorted(ended)
            raise AssertionError

        assert asyncio.run(main()) > 5
        assert sorted(begun) == sorted(ended)

    @pytest.mark.parametrize("where", ["another task", "another thread", "the same thread"])
    def test_a_coroutine_that_is_closed_elsewhere(self, collected: Collected, where: str) -> None:
        """Its spans end, the context of whoever closes it stays, and OpenTelemetry logs no error."""

        class Stalled:
            async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
                await asyncio.Event().wait()
                raise AssertionError

        async def begin(client: HttpServiceClient) -> Any:
            coroutine = client.get_async(URL)
            coroutine.send(None)  # as a loop does, up to the exchange
            return coroutine

        async def main() -> None:
            client = HttpServiceClient(transport=Stalled(), telemetry=collected.telemetry)
            coroutine = await asyncio.get_running_loop().create_task(begin(client))
            with collected.tracer_provider.get_tracer("t").start_as_current_span("closing") as closing:
                if where == "another thread":
                    thread = threading.Thread(target=coroutine.close)
                    thread.start()
                    thread.join()
                elif where == "another task":
                    coroutine.close()
                else:
                    del coroutine
                    gc.collect()
                assert trace.get_current_span() is closing
            await client.close_async()

        asyncio.run(main())
        assert sorted(span.name for span in collected.spans) == ["GET", "GET", "closing"]
        assert [span.status.status_code.name for span in collected.spans] == ["UNSET"] * 3

    def test_leaving_follows_where_entering_was_interrupted(self, collected: Collected) -> None:
        """By Ctrl-C, say. There is no context to leave then."""
        call: Any = SimpleNamespace(
            request=HttpRequest("GET", URL),
            listener=None,
            clock=VirtualClock().monotonic,
            call_id="1",
            call_name=None,
            url_template=None,
        )
        spans = collected.telemetry.begin(call, None)
        assert spans is not None
        spans.leave()

    def test_a_stream_that_is_closed_in_another_thread(
        self, front_end: FrontEnd, collected: Collected
    ) -> None:
        """The call's span ends there; the one that is current there is another's."""
        with (
            LoopbackServer() as server,
            front_end.client(telemetry=collected.telemetry) as client,
        ):
            server.script("/", respond(body=b"body"))
            with front_end.stream(client, "GET", server.url + "/") as response:
                assert otel_context.get_current() == {}
                thread = threading.Thread(target=response.close)
                thread.start()
                thread.join()
        assert [span.kind.name for span in collected.spans] == ["INTERNAL", "CLIENT"]

    def test_calls_leave_nothing_for_the_collector(self, front_end: FrontEnd, collected: Collected) -> None:
        """A call that was a reference cycle would keep its request and response until the collector runs."""
        harness = Harness(front_end, 503, RESET, 200, READ_TIMEOUT, telemetry=collected.telemetry)
        harness.request()  # what the first call makes stays
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                harness.error(ReadTimeoutError, "POST")
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = [
                type(item).__name__ for item in gc.garbage if "http_service_client" in type(item).__module__
            ]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert found == []

    def test_events_after_the_end_are_passed_on(self, front_end: FrontEnd, collected: Collected) -> None:
        """A guarded function around the call may still be retried, when the call's span has ended."""
        from http_service_client import RetryPolicy

        harness = Harness(front_end, 500, 200, telemetry=collected.telemetry, enable_retry_policy=False)
        policy = RetryPolicy(max_attempts=2)
        call = harness.calling()

        if front_end.name == "blocking":

            @policy.apply
            def operation() -> None:
                call().raise_for_status()
        else:

            @policy.apply
            async def operation() -> None:  # type: ignore[misc]
                (await call()).raise_for_status()

        front_end.run(operation)
        assert "retry_scheduled" in harness.names()
        assert len(collected.spans) == 4
