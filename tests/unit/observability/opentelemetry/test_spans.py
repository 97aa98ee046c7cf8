"""The spans of calls, by the real SDK, as literal trees: what each attempt, hop, wait and refusal looks like in a trace."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")

from opentelemetry import trace

from http_service_client import (
    Cache,
    CircuitOpenError,
    ConnectError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    InterceptorError,
    ReadTimeoutError,
)
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock, respond
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, URL, Harness
from kit.front_ends import FrontEnd
from kit.otel import Collected
from kit.telemetry import settle
from kit.threads import wait_until


def test_two_retries(front_end: FrontEnd, collected: Collected) -> None:
    """A span for each attempt, and the waits as events of the call's."""
    Harness(front_end, 503, READ_TIMEOUT, 200, telemetry=collected.telemetry).request()
    assert collected.tree() == [
        f"INTERNAL GET url.full={URL} http.response.status_code=200 attempts=3 sent_state=maybe_processed",
        "  ! retry_scheduled attempt=1 delay=0.5 cause=status 503 budget_left=3",
        "  ! retry_scheduled attempt=2 delay=1.0 cause=ReadTimeoutError budget_left=2",
        f"  CLIENT GET ERROR url.full={URL} http.response.status_code=503 error.type=503",
        f"  CLIENT GET ERROR url.full={URL} http.request.resend_count=1 error.type=ReadTimeoutError",
        f"  CLIENT GET url.full={URL} http.request.resend_count=2 http.response.status_code=200",
    ]


def test_all_attributes_of_an_exchange(front_end: FrontEnd, collected: Collected) -> None:
    """Those of the semantic conventions, with nothing secret in the URL."""
    url = "https://api.example.com:8443/v1?q=1&X-Amz-Signature=a&AWSAccessKeyId=b&sig=c&X-Goog-Signature=d"
    Harness(front_end, 404, telemetry=collected.telemetry).request(url=url, name="look up")
    call, exchange = collected.spans
    assert dict(exchange.attributes or {}) == {
        "http.request.method": "GET",
        "server.address": "api.example.com",
        "server.port": 8443,
        "url.full": "https://api.example.com:8443/v1"
        "?q=1&X-Amz-Signature=***&AWSAccessKeyId=***&sig=***&X-Goog-Signature=***",
        "http.response.status_code": 404,
        "network.protocol.version": "1.1",
        "error.type": "404",
    }
    assert (exchange.name, call.name) == ("GET", "look up")
    assert (call.attributes or {})["http_service_client.call.name"] == "look up"
    assert exchange.instrumentation_scope is not None
    assert exchange.instrumentation_scope.name == "http_service_client"
    assert exchange.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


def test_a_redirect(front_end: FrontEnd, collected: Collected) -> None:
    """Each hop is an exchange, and counts as a resend."""
    hop = (307, {"Location": "/next"})
    Harness(front_end, hop, 200, telemetry=collected.telemetry).request("POST", data=b"x")
    assert collected.tree() == [
        f"INTERNAL POST url.full={URL} http.response.status_code=200 attempts=1 sent_state=answered",
        f"  ! redirect_followed attempt=1 http.response.status_code=307 url.full={ORIGIN}/next",
        f"  CLIENT POST url.full={URL} http.response.status_code=307",
        f"  CLIENT POST url.full={ORIGIN}/next http.request.resend_count=1 http.response.status_code=200",
    ]


def test_a_template_of_a_path(front_end: FrontEnd, collected: Collected) -> None:
    """It is part of the names, since it has few values; another path that a redirect leads to has none."""
    hop = (307, {"Location": "/elsewhere"})
    harness = Harness(front_end, 503, hop, 200, telemetry=collected.telemetry)
    harness.request(url=f"{ORIGIN}/orders/{{order_id}}", path_params={"order_id": 7}, params={"q": 1})
    url = f"url.template=/orders/{{order_id}} url.full={ORIGIN}/orders/7?q=1"
    assert [line for line in collected.tree() if "!" not in line] == [
        f"INTERNAL GET /orders/{{order_id}} {url} http.response.status_code=200 attempts=2 sent_state=answered",
        f"  CLIENT GET /orders/{{order_id}} ERROR {url} http.response.status_code=503 error.type=503",
        f"  CLIENT GET /orders/{{order_id}} {url} http.request.resend_count=1 http.response.status_code=307",
        f"  CLIENT GET url.full={ORIGIN}/elsewhere http.request.resend_count=2 http.response.status_code=200",
    ]
    calls = collected.metrics()["http_service_client.call.duration"]
    assert [attributes["url.template"] for attributes, _ in calls] == ["/orders/{order_id}"]


def test_a_template_is_of_the_path_alone(front_end: FrontEnd, collected: Collected) -> None:
    """A redirect to another query keeps it. Another path has none, whatever its query."""
    hops = [(307, {"Location": f"{ORIGIN}/{target}"}) for target in ("orders/7?page=2", "elsewhere?page=2")]
    harness = Harness(front_end, *hops, 200, telemetry=collected.telemetry)
    harness.request(url=f"{ORIGIN}/orders/{{order_id}}", path_params={"order_id": 7})
    names = [span.name for span in collected.spans if span.kind is trace.SpanKind.CLIENT]
    assert names == ["GET /orders/{order_id}"] * 2 + ["GET"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"method": "HEAD"}, "HEAD /orders/{order_id}"),
        ({"url": f"{ORIGIN}/orders/7?page=2"}, "GET /orders/{order_id}"),
        ({"url": f"{ORIGIN}/customers/7"}, "GET"),
    ],
    ids=["method", "query", "path"],
)
def test_an_exchange_is_named_by_what_is_sent(
    front_end: FrontEnd, collected: Collected, change: dict[str, str], name: str
) -> None:
    """An interceptor may have changed the request."""

    class Interceptor:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            for attribute, value in change.items():
                setattr(request, attribute, value)
            return request

    harness = Harness(front_end, 200, telemetry=collected.telemetry, request_interceptors=[Interceptor()])
    harness.request(url=f"{ORIGIN}/orders/{{order_id}}", path_params={"order_id": 7})
    assert [span.name for span in collected.spans] == ["GET /orders/{order_id}", name]
    sent = collected.metrics()["http.client.request.duration"]
    assert [attributes["http.request.method"] for attributes, _ in sent] == [change.get("method", "GET")]


def test_a_refusal(front_end: FrontEnd, collected: Collected) -> None:
    """A refused call has no exchange; the call that opened the circuit shows that it did."""
    harness = Harness(
        front_end,
        REFUSED,
        telemetry=collected.telemetry,
        enable_retry_policy=False,
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 60},
    )
    harness.error(ConnectError)
    harness.error(CircuitOpenError)
    assert collected.tree() == [
        f"INTERNAL GET ERROR url.full={URL} error.type=ConnectError attempts=1 sent_state=never_sent",
        f"  ! circuit_changed state=open reason=1 consecutive failure circuit={ORIGIN}",
        f"  CLIENT GET ERROR url.full={URL} error.type=ConnectError",
        f"INTERNAL GET ERROR url.full={URL} error.type=CircuitOpenError attempts=0 sent_state=never_sent",
        "  ! circuit_refused attempt=1 reason=open retry_after=60.0",
    ]


def test_a_cancelled_call_is_no_error(collected: Collected) -> None:
    """Neither the exchange nor the call has a status or an error."""

    class Stalled:
        async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
            await asyncio.sleep(60)
            raise AssertionError

    async def main() -> None:
        async with HttpServiceClient(transport=Stalled(), telemetry=collected.telemetry) as client:
            task = asyncio.ensure_future(client.get_async(URL))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert collected.tree() == [
        f"INTERNAL GET url.full={URL} attempts=1 sent_state=abandoned",
        f"  CLIENT GET url.full={URL}",
    ]


def test_a_call_that_is_cancelled_between_exchanges_is_no_error(
    front_end: FrontEnd, collected: Collected
) -> None:
    """No exchange tells by what."""

    class Interceptor:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            raise kind

    kind = KeyboardInterrupt if front_end.name == "blocking" else asyncio.CancelledError
    Harness(front_end, 200, telemetry=collected.telemetry, request_interceptors=[Interceptor()]).error(kind)
    assert collected.tree() == [f"INTERNAL GET url.full={URL} attempts=1 sent_state=abandoned"]


def test_an_error_of_a_transport_is_that_of_its_exchange(front_end: FrontEnd, collected: Collected) -> None:
    """By the name of its class, whatever it is."""
    Harness(front_end, ValueError("a bug"), telemetry=collected.telemetry).error(ValueError)
    assert collected.tree() == [
        f"INTERNAL GET ERROR url.full={URL} error.type=ValueError attempts=1 sent_state=abandoned",
        f"  CLIENT GET ERROR url.full={URL} error.type=ValueError",
    ]


@pytest.mark.parametrize(("status", "error"), [(399, ""), (400, " error.type=400")])
def test_a_status_of_400_or_more_is_an_error(
    front_end: FrontEnd, collected: Collected, status: int, error: str
) -> None:
    """Of the exchange and of the call, as the conventions say for clients."""
    Harness(front_end, status, telemetry=collected.telemetry).request()
    mark = " ERROR" if error else ""
    assert collected.tree() == [
        f"INTERNAL GET{mark} url.full={URL} http.response.status_code={status}{error}"
        " attempts=1 sent_state=answered",
        f"  CLIENT GET{mark} url.full={URL} http.response.status_code={status}{error}",
    ]


@pytest.mark.parametrize(("version", "shown"), [("HTTP/1.1", "1.1"), ("HTTP/2", "2")])
def test_an_exchange_shows_its_version_of_http(
    front_end: FrontEnd, collected: Collected, version: str, shown: str
) -> None:
    """As the conventions write it."""
    Harness(front_end, HttpResponse(200, http_version=version), telemetry=collected.telemetry).request()
    assert (collected.spans[1].attributes or {})["network.protocol.version"] == shown


def test_an_interrupted_call_is_no_error(collected: Collected) -> None:
    """Ctrl-C, and whatever else a program ends a thread's work with."""

    class GreenTimeout(BaseException):
        """As gevent.Timeout."""

    for kind in (KeyboardInterrupt, GreenTimeout):

        class Interrupted:
            def send(self, request: HttpRequest, timeout: object) -> HttpResponse:
                raise kind

        with (
            HttpServiceClient(transport=Interrupted(), telemetry=collected.telemetry) as client,
            pytest.raises(kind),
        ):
            client.get(URL)
    assert (
        collected.tree()
        == [
            f"INTERNAL GET url.full={URL} attempts=1 sent_state=abandoned",
            f"  CLIENT GET url.full={URL}",
        ]
        * 2
    )


def test_a_stream(front_end: FrontEnd, collected: Collected) -> None:
    """The exchange ends with the head, so it does not show the failure of the body; the call does."""
    with LoopbackServer() as server, front_end.client(telemetry=collected.telemetry) as client:
        server.script("/", respond(body=b"body", headers={"Content-Length": "9"}, close=True))
        url = server.url + "/"
        with (
            pytest.raises(Exception, match="cut short"),
            front_end.stream(client, "GET", url) as response,
        ):
            assert [span.kind.name for span in collected.spans] == ["CLIENT"]
            response.read()
    assert collected.tree() == [
        f"INTERNAL GET ERROR url.full={url} error.type=ProtocolError attempts=1 sent_state=maybe_processed",
        f"  CLIENT GET url.full={url} http.response.status_code=200",
    ]


def test_a_download_that_resumes(front_end: FrontEnd, collected: Collected, tmp_path: Path) -> None:
    """An exchange for each attempt, in one call."""
    with LoopbackServer() as server, front_end.client(telemetry=collected.telemetry) as client:
        server.script("/", respond(503), respond(body=b"body"))
        url = server.url + "/"
        front_end.download(client, url, tmp_path / "file")
    tree = collected.tree()
    assert [line for line in tree if "retry" not in line] == [
        f"INTERNAL GET url.full={url} http.response.status_code=200 attempts=2 sent_state=answered",
        f"  CLIENT GET ERROR url.full={url} http.response.status_code=503 error.type=503",
        f"  CLIENT GET url.full={url} http.request.resend_count=1 http.response.status_code=200",
    ]


def test_a_token_is_fetched_within_the_trace(front_end: FrontEnd, collected: Collected) -> None:
    """Its call is a child of the one that needs it, though it runs beside it."""
    token = HttpResponse(200, content=b'{"access_token": "t", "token_type": "Bearer", "expires_in": 60}')
    transport = ScriptedTransport({"/token": token, "*": HttpResponse(200)})
    client = front_end.client(
        transport=transport,
        clock=VirtualClock(),
        telemetry=collected.telemetry,
        auth=OAuth2ClientCredentials(
            token_url="https://id.example.com/token", client_id="shop", client_secret="s3cret"
        ),
    )
    front_end.request(client, "GET", URL)
    assert collected.tree() == [
        f"INTERNAL GET url.full={URL} http.response.status_code=200 attempts=1 sent_state=answered",
        "  ! token_awaited attempt=1 waited=0.0 source=https://id.example.com/token",
        "  INTERNAL token request url.full=https://id.example.com/token call.name=token request"
        " http.response.status_code=200 attempts=1 sent_state=answered",
        "    CLIENT POST url.full=https://id.example.com/token http.response.status_code=200",
        f"  CLIENT GET url.full={URL} http.response.status_code=200",
    ]


def test_a_stored_response(front_end: FrontEnd, collected: Collected) -> None:
    """A hit has no exchange; a revalidation beside the call has a call of its own below it."""
    clock = VirtualClock()
    stored = HttpResponse(200, headers={"Cache-Control": "max-age=10, stale-while-revalidate=60"})
    client = front_end.client(
        transport=ScriptedTransport(stored), clock=clock, cache=Cache(), telemetry=collected.telemetry
    )
    front_end.request(client, "GET", URL)
    clock.advance(5)
    front_end.request(client, "GET", URL)
    clock.advance(10)
    front_end.request(client, "GET", URL)
    settle(front_end, lambda: len(collected.spans) == 6)
    called = f"url.full={URL} http.response.status_code=200"
    assert collected.tree() == [
        f"INTERNAL GET {called} attempts=1 sent_state=answered",
        "  ! cache_used attempt=1 result=miss is_stored=True is_collapsed=False",
        f"  CLIENT GET {called}",
        f"INTERNAL GET {called} attempts=0 sent_state=never_sent",
        "  ! cache_used attempt=0 result=hit age=5.0 ttl=5.0 is_stored=False is_collapsed=False",
        f"INTERNAL GET {called} attempts=0 sent_state=never_sent",
        "  ! cache_used attempt=0 result=stale age=15.0 ttl=-5.0 reason=it is being revalidated"
        " is_stored=False is_collapsed=False",
        f"  INTERNAL GET {called} attempts=1 sent_state=answered",
        "    ! cache_used attempt=1 result=miss age=15.0 is_stored=True is_collapsed=False",
        f"    CLIENT GET {called}",
    ]


class _Renewing:
    """An auth flow that sends the request, then one of its own, then the request again."""

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        yield request
        yield HttpRequest("POST", f"{ORIGIN}/login")
        yield request


def test_resends_of_an_auth_flow(front_end: FrontEnd, collected: Collected) -> None:
    """The request that is sent again counts; the flow's own request does not."""
    Harness(front_end, 401, 200, 200, telemetry=collected.telemetry).request(auth=_Renewing())
    assert collected.tree()[2:] == [
        f"  ! auth_continued attempt=1 http.response.status_code=200 source={ORIGIN}/login url.full={URL}",
        f"  CLIENT GET ERROR url.full={URL} http.response.status_code=401 error.type=401",
        f"  CLIENT POST url.full={ORIGIN}/login http.response.status_code=200",
        f"  CLIENT GET url.full={URL} http.request.resend_count=1 http.response.status_code=200",
    ]


def test_a_wait_for_a_connection(front_end: FrontEnd, collected: Collected) -> None:
    """It is an event, and no part of the exchange."""
    harness = Harness(front_end, 200, telemetry=collected.telemetry, max_connections_per_host=1)
    limit = harness.state.connections
    assert limit.try_acquire()

    def release() -> None:
        wait_until(lambda: bool(limit.waiting))
        harness.clock.now += 2.0
        limit.release()

    helper = threading.Thread(target=release)
    helper.start()
    harness.request()
    helper.join()
    assert collected.tree() == [
        f"INTERNAL GET url.full={URL} http.response.status_code=200 attempts=1 sent_state=answered",
        "  ! connection_awaited attempt=1 waited=2.0",
        f"  CLIENT GET url.full={URL} http.response.status_code=200",
    ]
    assert collected.metrics()["http.client.request.duration"][0][1] == (1, 0.0)
    assert harness.names() == ["connection_awaited", "attempt_finished", "call_finished"]


def test_an_unknown_method(
    front_end: FrontEnd, collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is shown as the conventions say, unless the environment lists it."""
    Harness(front_end, 200, telemetry=collected.telemetry).request("PURGE")
    call, exchange = collected.spans
    for span in (call, exchange):
        assert span.name == "HTTP"
        assert (span.attributes or {})["http.request.method"] == "_OTHER"
        assert (span.attributes or {})["http.request.method_original"] == "PURGE"
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET, PURGE")
    other = Collected()
    Harness(front_end, 200, telemetry=other.telemetry).request("PURGE")
    assert [span.name for span in other.spans] == ["PURGE", "PURGE"]
    assert "http.request.method_original" not in (other.spans[1].attributes or {})


def test_an_interceptor_that_answers(front_end: FrontEnd, collected: Collected) -> None:
    """No exchange is made, so the call shows who answered; one that raises is the caller's error."""

    class Answering:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
            return HttpResponse(200)

    class Raising:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
            raise ValueError("mine")

    Harness(front_end, 200, telemetry=collected.telemetry, request_interceptors=[Answering()]).request()
    Harness(front_end, 200, telemetry=collected.telemetry, request_interceptors=[Raising()]).error(ValueError)
    assert collected.tree() == [
        f"INTERNAL GET url.full={URL} http.response.status_code=200 attempts=1 sent_state=never_sent",
        "  ! attempt_finished attempt=1 duration=0.0 http.response.status_code=200 sent_state=never_sent"
        " answered_by=Answering.intercept_request is_trial=False",
        f"INTERNAL GET ERROR url.full={URL} error.type=ValueError attempts=1 sent_state=abandoned",
    ]
    assert InterceptorError.__name__  # another error: of an interceptor that returns nothing


def test_code_inside_a_call_finds_its_span(front_end: FrontEnd, collected: Collected) -> None:
    """Interceptors and listeners belong to the call, the transport to its exchange, and nothing is left behind."""
    seen: dict[str, int] = {}

    def here(name: str) -> None:
        seen[name] = trace.get_current_span().get_span_context().span_id

    class Interceptor:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            here("interceptor")
            return request

    def answer(request: HttpRequest) -> HttpResponse:
        here("transport")
        return HttpResponse(200)

    client = front_end.client(
        transport=ScriptedTransport(answer),
        telemetry=collected.telemetry,
        request_interceptors=[Interceptor()],
        on_event=lambda event: here(getattr(event, "name", "change")),
    )
    with collected.tracer_provider.get_tracer("test").start_as_current_span("outer") as outer:
        front_end.request(client, "GET", URL)
        here("after")
    spans = {span.kind.name: span.context.span_id for span in collected.spans if span.name == "GET"}
    assert seen == {
        "interceptor": spans["INTERNAL"],
        "transport": spans["CLIENT"],
        "attempt_finished": spans["INTERNAL"],
        "call_finished": spans["INTERNAL"],
        "after": outer.get_span_context().span_id,
    }
    assert collected.tree()[1].startswith("  INTERNAL GET")


def test_a_read_that_times_out_says_so(front_end: FrontEnd, collected: Collected) -> None:
    """The status of the exchange has the failure's own words."""
    Harness(front_end, READ_TIMEOUT, telemetry=collected.telemetry).error(ReadTimeoutError, "POST")
    assert collected.spans[1].status.description == "no answer"
