"""`on_exchange` sees each exchange on the wire, once and as it was, and changes nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectError,
    HttpContext,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    StreamError,
)
from http_service_client.errors import (
    ConnectionLostError,
    EgressRefusedError,
    Failure,
    ReadTimeoutError,
    SentState,
    TransportError,
)
from http_service_client.testing import LoopbackServer, ScriptedTransport, respond
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, RESET, URL, Harness, failure
from kit.front_ends import FrontEnd


class Audit:
    """Keeps what it is called with.

    lines: attempt, request and outcome of each exchange, as of its time.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[HttpRequest, Any, HttpContext]] = []
        self.lines: list[str] = []

    def __call__(self, request: HttpRequest, outcome: HttpResponse | Failure, context: HttpContext) -> None:
        self.seen.append((request, outcome, context))
        result = outcome.status_code if isinstance(outcome, HttpResponse) else outcome.error_type.__name__
        self.lines.append(f"{context.attempt} {request.method} {request.url.removeprefix(ORIGIN)} {result}")


def test_it_sees_redirects_retries_and_failures(front_end: FrontEnd) -> None:
    """In order, each with the number of its attempt and the request of its hop."""
    audit = Audit()
    hop = (307, {"Location": "/next"})
    harness = Harness(front_end, hop, 503, RESET, hop, 201, on_exchange=audit)
    harness.request("PUT", json={"n": 1})
    assert audit.lines == [
        "1 PUT /charges 307",
        "1 PUT /next 503",
        "2 PUT /charges ConnectionLostError",
        "3 PUT /charges 307",
        "3 PUT /next 201",
    ]
    assert {request.content for request, _, _ in audit.seen} == {b'{"n":1}'}
    assert len({id(context) for _, _, context in audit.seen}) == 1


def test_it_sees_the_bytes_that_were_sent(front_end: FrontEnd) -> None:
    """Compressed, with the cookies of the jar and the framing; a rejected coding is an exchange of its own."""
    audit = Audit()
    with (
        LoopbackServer() as server,
        front_end.client(
            on_exchange=audit, enable_request_compression=True, cookies=True, base_url=server.url
        ) as client,
    ):
        server.script("/first", respond(headers={"Set-Cookie": "a=1"}))
        server.script("/next", respond(415), respond(200))
        front_end.request(client, "GET", "/first")
        front_end.request(client, "POST", "/next", data=b"x" * 5000, idempotent=True)
        received = server.requests
    sent = [request for request, _, _ in audit.seen]
    assert [request.content for request in sent] == [request.body for request in received]
    assert [request.headers.get("Content-Encoding") for request in sent] == [None, "gzip", None]
    assert sent[1].headers["Cookie"] == "a=1"
    assert [outcome.status_code for _, outcome, _ in audit.seen] == [200, 415, 200]


def test_a_failure_says_what_became_of_the_request(front_end: FrontEnd) -> None:
    """Its type, message and sent-state are those of the error that the caller gets."""
    audit = Audit()
    harness = Harness(front_end, RESET, on_exchange=audit)
    error = harness.error(ConnectionLostError, "POST")
    ((_, outcome, _),) = audit.seen
    assert isinstance(outcome, Failure)
    assert (outcome.error_type, outcome.message, outcome.sent_state) == (
        ConnectionLostError,
        str(error),
        SentState.MAYBE_PROCESSED,
    )


def test_a_cancelled_exchange_is_seen() -> None:
    """The server may have acted on the request, so its audit must have it."""
    audit = Audit()

    class Stalled:
        async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
            await asyncio.sleep(60)
            raise AssertionError

    async def main() -> None:
        client = HttpServiceClient(transport=Stalled(), on_exchange=audit)
        task = asyncio.ensure_future(client.post_async(URL, data=b"x"))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close_async()

    asyncio.run(main())
    ((request, outcome, _),) = audit.seen
    assert request.content == b"x"
    assert outcome == Failure(
        TransportError, "the exchange was ended by CancelledError", SentState.ABANDONED, None, outcome.details
    )


def test_an_interrupted_exchange_is_seen(front_end: FrontEnd) -> None:
    """Ctrl-C during a blocking call, say."""
    audit = Audit()
    with pytest.raises(KeyboardInterrupt):
        Harness(front_end, KeyboardInterrupt(), on_exchange=audit).request()
    assert audit.seen[0][1].sent_state is SentState.ABANDONED


def test_refusals_are_no_exchanges(front_end: FrontEnd) -> None:
    """Nothing left the client: an open circuit, an interceptor's own response, the egress policy."""
    audit = Audit()
    harness = Harness(front_end, REFUSED, on_exchange=audit, enable_retry_policy=False)
    harness.error(ConnectError)
    audit.seen.clear()
    harness.state.breaker.isolate()
    with pytest.raises(Exception, match="isolated"):
        harness.request()
    Harness(front_end, failure(EgressRefusedError, SentState.NEVER_SENT), on_exchange=audit).error(
        EgressRefusedError
    )
    assert audit.seen == []


def test_a_stream_is_seen_when_its_headers_have_arrived(front_end: FrontEnd) -> None:
    """Once, without its body, which its reader gets whole."""
    audit = Audit()
    with LoopbackServer() as server, front_end.client(on_exchange=audit, base_url=server.url) as client:
        server.script("/", respond(body=b"piece"))
        with front_end.stream(client, "GET", "/") as response:
            ((_, outcome, _),) = audit.seen
            assert outcome.status_code == 200
            with pytest.raises(StreamError):
                _ = outcome.content
            outcome.source.close()
            assert response.read() == b"piece"
    assert len(audit.seen) == 1


@pytest.mark.parametrize("script", [[(307, {"Location": "/next"}), 200], [503, 200], [200]])
def test_it_changes_nothing(front_end: FrontEnd, script: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Neither what it does to the request and the response, nor an exception that it raises."""

    def meddle(request: HttpRequest, outcome: Any, context: HttpContext) -> None:
        request.headers["X-Meddled"] = "1"
        request.url = "https://elsewhere.example.com/"
        request.content = b"meddled"
        outcome.status_code, outcome.content = 500, b"meddled"
        outcome.headers["Location"] = "https://elsewhere.example.com/"
        raise RuntimeError("the audit is full")

    harness = Harness(front_end, *script, on_exchange=meddle)
    with caplog.at_level(logging.ERROR):
        response = harness.request("PUT", data=b"own")
    assert (response.status_code, response.content) == (200, b"")
    assert response.request is not None
    assert "X-Meddled" not in response.request.headers
    assert [request.url.startswith(ORIGIN) for request in harness.transport.sent] == [True] * len(script)
    assert harness.transport.bodies == [b"own"] * len(script)
    assert caplog.text.count("on_exchange failed on <HttpRequest PUT") == len(script)


def test_its_time_is_not_that_of_the_attempt(front_end: FrontEnd) -> None:
    """A slow one does not make the next hop time out."""

    def slow(*_: object) -> None:
        harness.clock.now += 10

    harness = Harness(front_end, (302, {"Location": "/next"}), 200, on_exchange=slow)
    assert harness.request(timeout=1).status_code == 200


def test_a_slow_one_does_not_turn_a_timeout_into_another(front_end: FrontEnd) -> None:
    """The read timeout came first; that the deadline passed meanwhile makes the request no less processed."""

    def slow(*_: object) -> None:
        harness.clock.now += 10

    harness = Harness(front_end, READ_TIMEOUT, on_exchange=slow)
    error = harness.error(ReadTimeoutError, "POST", total_timeout=5)
    assert error.sent_state is SentState.MAYBE_PROCESSED


def test_a_slow_one_holds_no_connection_slot(front_end: FrontEnd) -> None:
    """Other calls need not wait for it."""
    in_use: list[int] = []
    harness = Harness(
        front_end, 200, on_exchange=lambda *_: in_use.extend(limit.in_use for limit in harness.limits)
    )
    harness.request()
    assert in_use == [0, 0]


@pytest.mark.parametrize("wrong", ["async", "text"])
def test_only_a_plain_function_can_listen(wrong: str) -> None:
    """Nobody would await an async one."""

    async def listen(*_: object) -> None: ...

    with pytest.raises(ConfigurationError, match="on_exchange must be a"):
        HttpServiceClient(on_exchange=listen if wrong == "async" else "audit")  # type: ignore[arg-type]


def test_a_response_of_a_script_is_the_listener_s_own() -> None:
    """With the request that it answers, as the caller has it."""
    audit = Audit()
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)), on_exchange=audit)
    response = client.get(URL)
    ((request, outcome, _),) = audit.seen
    assert outcome.request is request
    assert response.request is not request


def test_the_requests_of_an_auth_flow_are_exchanges(front_end: FrontEnd) -> None:
    """Those that it makes itself, and the request again with what it got."""

    class Login:
        def auth_flow(self, request: HttpRequest) -> Any:
            token = yield HttpRequest("POST", f"{ORIGIN}/token", data="me")
            request.headers["Authorization"] = f"Bearer {token.status_code}"
            yield request

    audit = Audit()
    Harness(front_end, 201, 200, on_exchange=audit).request(auth=Login())
    assert audit.lines == ["1 POST /token 201", "1 GET /charges 200"]
    assert audit.seen[1][0].headers["Authorization"] == "Bearer 201"


def test_a_signature_of_the_final_bytes_is_seen(front_end: FrontEnd) -> None:
    """The request is what went on the wire, after the last layer."""

    def sign(request: Any, context: HttpContext) -> None:
        request.headers["X-Signature"] = "signed"

    audit = Audit()
    Harness(front_end, 200, on_exchange=audit, request_signers=[sign]).request("POST", data=b"x")
    assert audit.seen[0][0].headers["X-Signature"] == "signed"
