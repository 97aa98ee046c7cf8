"""Auth flows: which requests they send, what they may not do, and what is known of the call's request afterwards."""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConnectError,
    ConstantBackoff,
    CookieJar,
    EgressPolicy,
    EgressRefusedError,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    InterceptorError,
    InvalidRequestError,
    ReadTimeoutError,
    ResponseTooLargeError,
    RetryPolicy,
    SentState,
    ThrottledError,
    TransportError,
)
from http_service_client.core.call import Call
from http_service_client.core.effects import Outcome, Plan
from http_service_client.core.layers.redirects import RedirectsLayer
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure
from http_service_client.events import AuthContinued
from http_service_client.http.secret_names import SECRET_NAMES
from kit.fakes import ORIGIN, READ_TIMEOUT, REFUSED, URL, Harness
from kit.front_ends import FrontEnd, run_task
from kit.streaming import StreamingTransport

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}
TOKEN_URL = "https://id.example.com/token"
Requests = Generator[HttpRequest, HttpResponse, None]


class Refreshing:
    """Sends a token, and fetches a new one after a 401."""

    def __init__(self, token: str | None = "old") -> None:
        self.token = token
        self.has_closed = False

    def auth_flow(self, request: HttpRequest) -> Requests:
        try:
            if self.token is not None:
                request.headers["Authorization"] = f"Bearer {self.token}"
                response = yield request
                if response.status_code != 401:
                    return
            token = yield HttpRequest("POST", TOKEN_URL, data={"grant_type": "client_credentials"})
            self.token = token.raise_for_status().text
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request
        finally:
            self.has_closed = True


def flow_of(*steps: Any) -> Any:
    """An auth whose flow yields these: a request, or a function of the call's own; None is the call's own."""

    class Scripted:
        def auth_flow(self, request: HttpRequest) -> Requests:
            for step in steps:
                yield request if step is None else step(request) if callable(step) else step

    return Scripted()


TOKEN = HttpResponse(200, content="new", url=TOKEN_URL)


def sent(harness: Harness) -> list[tuple[str, str]]:
    return [(request.method, request.url) for request in harness.transport.sent]


def test_a_refused_request_is_sent_again_in_the_same_attempt(front_end: FrontEnd) -> None:
    """One attempt, the budget untouched, and one re-send with the fresh token."""
    harness = Harness(front_end, 401, TOKEN, 201)
    response = harness.request("POST", json={"amount": 5}, auth=Refreshing())
    assert (response.status_code, response.attempts) == (201, 1)
    assert sent(harness) == [("POST", URL), ("POST", TOKEN_URL), ("POST", URL)]
    assert [r.headers.get("Authorization") for r in harness.transport.sent] == [
        "Bearer old",
        None,
        "Bearer new",
    ]
    assert [body for body in harness.transport.bodies if body != b"grant_type=client_credentials"] == [
        b'{"amount":5}'
    ] * 2
    assert harness.names() == ["auth_continued", "auth_continued", "attempt_finished", "call_finished"]


def test_the_timeline_shows_each_exchange_of_a_flow(front_end: FrontEnd) -> None:
    """As it shows the hops of redirects."""
    story = Harness(front_end, 401, TOKEN, 201).request("POST", auth=Refreshing()).explain()
    assert f"attempt 1: 401 from {URL}, the auth flow continues with POST {TOKEN_URL}" in story
    assert f"attempt 1: 200 from {TOKEN_URL}, the auth flow continues with POST {URL}" in story


def test_an_error_of_a_flow_knows_of_the_attempts_before(front_end: FrontEnd) -> None:
    """The sent state is the worst over all of them."""
    harness = Harness(front_end, READ_TIMEOUT, 401, HttpResponse(400, url=TOKEN_URL), **RETRIES)
    error = harness.error(HttpClientError, "PUT", auth=Refreshing())
    assert ("answered 400" in str(error), error.sent_state) == (True, SentState.MAYBE_PROCESSED)


def test_events_of_flows_show_no_secrets(front_end: FrontEnd) -> None:
    """As all events."""
    token = HttpRequest("GET", f"{TOKEN_URL}?client_secret=s3cret")
    harness = Harness(front_end, 401, TOKEN, 200)
    harness.request("GET", auth=flow_of(None, token, None))
    first, second = harness.events[:2]
    redacted = f"{TOKEN_URL}?client_secret=***"
    call_id = first.call_id
    assert first == AuthContinued(0.0, 1, ORIGIN, 401, URL, "GET", redacted, call_id=call_id)
    assert second == AuthContinued(0.0, 1, ORIGIN, 200, TOKEN_URL, "GET", URL, call_id=call_id)


def test_a_flow_vouches_for_nothing_else(front_end: FrontEnd) -> None:
    """A POST that was sent again after a 401 is not sent a third time after a timeout."""
    harness = Harness(front_end, 401, TOKEN, READ_TIMEOUT, 201, **RETRIES)
    error = harness.error(TransportError, "POST", auth=Refreshing())
    assert (error.sent_state, harness.sends) == (SentState.MAYBE_PROCESSED, 3)


def test_a_post_that_was_refused_and_then_never_sent_is_retried(front_end: FrontEnd) -> None:
    """A 401 says that it was not applied."""
    harness = Harness(front_end, 401, TOKEN, REFUSED, 201, **RETRIES)
    response = harness.request("POST", auth=Refreshing())
    assert (response.status_code, response.attempts) == (201, 2)


def test_a_401_that_is_returned_was_answered(front_end: FrontEnd) -> None:
    """The sent state is the worst of all exchanges with the call's service."""
    harness = Harness(front_end, 401, TOKEN, 401)
    assert harness.request("POST", auth=Refreshing()).status_code == 401
    assert harness.events[-1].sent_state is SentState.ANSWERED


@pytest.mark.parametrize("status", [200, 404, 409, 500, 503])
def test_a_post_is_not_sent_again_after_a_status_that_may_mean_success(
    front_end: FrontEnd, status: int
) -> None:
    """Only 400, 401, 403 and 407 say that it was not applied."""
    harness = Harness(front_end, status, retry_policy_config=RetryPolicy(1))
    error = harness.error(InterceptorError, "POST", auth=flow_of(None, None))
    assert str(error).partition(";")[0] == (
        f"Scripted.auth_flow yielded the POST again after {status}, when it may have been processed"
    )
    assert (error.sent_state is SentState.NEVER_SENT, harness.sends) == (False, 1)


def test_the_error_names_the_response_with_its_reason(front_end: FrontEnd) -> None:
    """As far as there is one."""
    conflict = HttpResponse(409, reason_phrase="Conflict")
    error = Harness(front_end, conflict).error(
        InterceptorError, "POST", auth=flow_of(None, None), retry_policy=False
    )
    assert "yielded the POST again after 409 Conflict, when" in str(error)


@pytest.mark.parametrize(("status", "method"), [(400, "POST"), (403, "POST"), (407, "POST"), (500, "GET")])
def test_a_request_may_be_sent_again_where_that_is_safe(
    front_end: FrontEnd, status: int, method: str
) -> None:
    """By its status, or by its method."""
    harness = Harness(front_end, status, 200)
    assert harness.request(method, auth=flow_of(None, None)).status_code == 200


def test_a_request_without_a_token_is_never_sent(front_end: FrontEnd) -> None:
    """The token service fails: so does the call, by the flow's own error."""
    harness = Harness(front_end, HttpResponse(400, url=TOKEN_URL), **RETRIES)
    error = harness.error(HttpClientError, "POST", auth=Refreshing(token=None))
    assert "answered 400" in str(error)
    # The token endpoint has answered, but that was another request.
    assert error.sent_state is SentState.NEVER_SENT
    assert sent(harness) == [("POST", TOKEN_URL)]


def test_a_token_service_that_cannot_be_reached_fails_the_attempt(front_end: FrontEnd) -> None:
    """It is retried, since the request was never sent, and the circuit of the call's service is not charged."""
    harness = Harness(front_end, REFUSED, TOKEN, 201, **RETRIES)
    response = harness.request("POST", auth=Refreshing(token=None))
    assert (response.status_code, response.attempts) == (201, 2)
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.failures, snapshot.successes, snapshot.abandoned) == (0, 1, 1)


def test_the_error_of_a_token_service_names_the_flow(front_end: FrontEnd) -> None:
    """And keeps its type, so that conditions and callers understand it."""
    harness = Harness(front_end, REFUSED, retry_policy_config=RetryPolicy(1))
    error = harness.error(ConnectError, "POST", auth=Refreshing(token=None))
    assert str(error) == "a request of Refreshing.auth_flow failed: refused"
    assert error.sent_state is SentState.NEVER_SENT
    assert harness.events[0].answered_by == "Refreshing.auth_flow"


def test_the_flows_own_request_gets_nothing_of_the_calls(front_end: FrontEnd) -> None:
    """No default headers, no cookies of the jar; what it sets itself, and the headers of every request."""
    jar = CookieJar()
    jar.set(TOKEN_URL, "session", "s3cret")
    jar.set(URL, "session", "s3cret")
    harness = Harness(front_end, TOKEN, 200, cookies=jar, default_headers={"X-Partner": "acme"})
    harness.request(headers={"X-Order": "7"}, auth=Refreshing(token=None))
    token, own = (request.headers for request in harness.transport.sent)
    assert sorted(token) == ["Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent"]
    assert {"Cookie", "X-Partner", "X-Order"} <= set(own)


def test_the_error_of_a_token_that_is_too_large_does_not_hold_it(front_end: FrontEnd) -> None:
    """What the flow received is nobody else's."""
    harness = Harness(front_end, HttpResponse(200, content="s3cret" * 9, url=TOKEN_URL), max_response_size=10)
    error = harness.error(ResponseTooLargeError, auth=Refreshing(token=None))
    assert (error.response, error.sent_state) == (None, SentState.NEVER_SENT)


def test_the_egress_policy_holds_for_the_flows_own_request(front_end: FrontEnd) -> None:
    """A flow can be made to call any URL."""
    harness = Harness(front_end, 200, egress_policy=EgressPolicy(allowed_hosts=["api.example.com"]))
    error = harness.error(EgressRefusedError, auth=Refreshing(token=None))
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)


def test_the_flows_own_request_does_not_follow_redirects(front_end: FrontEnd) -> None:
    """The flow gets the redirect: a token service has no business to send our secret elsewhere."""
    seen: list[int] = []

    class Auth:
        def auth_flow(self, request: HttpRequest) -> Requests:
            response = yield HttpRequest("GET", TOKEN_URL)
            seen.append(response.status_code)
            yield request

    Harness(front_end, (302, {"Location": "https://evil.test/"}), 200).request(auth=Auth())
    assert seen == [302]


def test_a_redirect_to_another_origin_gets_no_credentials_of_a_flow(front_end: FrontEnd) -> None:
    """Nor does its 401 run the flow, nor a hop that it sends back: it chose the URL."""
    harness = Harness(
        front_end, (307, {"Location": "https://b.test/x"}), (307, {"Location": f"{ORIGIN}/pay"}), 401
    )
    assert harness.request("POST", auth=Refreshing()).status_code == 401
    assert [r.headers.get("Authorization") for r in harness.transport.sent] == ["Bearer old", None, None]


def test_a_download_that_begins_again_has_credentials_again() -> None:
    """It makes several requests in one attempt; that one of them was led away concerns no other."""
    moved = HttpResponse(307, headers={"Location": "https://b.test/"})
    responses = [moved, HttpResponse(416), HttpResponse(200)]
    were_away: list[bool] = []

    def proceed(request: HttpRequest, call: Call) -> Plan[Outcome]:
        were_away.append(call.current.has_left_origin)
        return responses[len(were_away) - 1]
        yield

    call = HttpServiceClient()._call_builder.build("GET", URL)
    layer = RedirectsLayer(SECRET_NAMES, None)
    for _ in range(2):
        assert list(layer(proceed, call.request, call)) == []
    assert were_away == [False, True, False]


def test_each_hop_within_the_origin_has_a_flow_of_its_own(front_end: FrontEnd) -> None:
    """The 401 to the GET after a 303 does not send the POST again."""
    harness = Harness(front_end, (303, {"Location": "/status"}), 401, TOKEN, 200)
    assert harness.request("POST", auth=Refreshing()).status_code == 200
    assert sent(harness) == [
        ("POST", URL), ("GET", f"{ORIGIN}/status"), ("POST", TOKEN_URL), ("GET", f"{ORIGIN}/status"),
    ]  # fmt: skip


def test_a_consumed_body_returns_the_401(front_end: FrontEnd) -> None:
    """It cannot be sent again; the timeline says what would help."""
    harness = Harness(front_end, 401, TOKEN, 200)
    response = harness.request("POST", data=iter([b"a", b"b"]), auth=Refreshing())
    assert response.status_code == 401
    assert "its body was a stream and is consumed; pass bytes or a file" in response.explain()


def test_a_file_is_rewound_for_the_second_request(front_end: FrontEnd) -> None:
    """All of it is sent twice."""
    harness = Harness(front_end, 401, TOKEN, 200)
    harness.request("POST", data=io.BytesIO(b"all of it"), auth=Refreshing())
    assert [harness.transport.bodies[0], harness.transport.bodies[2]] == [b"all of it"] * 2


def test_a_flow_that_needs_the_bodys_bytes_refuses_a_stream(front_end: FrontEnd) -> None:
    """Before anything is sent."""
    auth = flow_of(None)
    auth.requires_request_body = True
    harness = Harness(front_end)
    error = harness.error(InvalidRequestError, "POST", data=iter([b"a"]), auth=auth)
    assert str(error) == (
        "Scripted.auth_flow needs the body's bytes (requires_request_body), but the body is a stream or a file; pass bytes"
    )
    assert harness.sends == 0


def to_another_host(request: HttpRequest) -> HttpRequest:
    request.url = "https://b.test/charges"
    return request


def as_delete(request: HttpRequest) -> HttpRequest:
    request.method = "DELETE"
    return request


def with_other_body(request: HttpRequest) -> HttpRequest:
    request.content = b"other"
    return request


def with_line_break(request: HttpRequest) -> HttpRequest:
    request.headers["X-A"] = "a\r\nX-B: b"
    return request


ENDED = "ended without the request; yield it, or raise if it cannot be sent"
CHANGED = "changed the request's method or URL; of these it may change the query alone"


@pytest.mark.parametrize(
    ("auth", "kind", "message"),
    [
        (flow_of(), InterceptorError, ENDED),
        (flow_of(HttpRequest("GET", TOKEN_URL)), InterceptorError, ENDED),
        (flow_of("text"), InterceptorError, "yielded str; yield an http_service_client.HttpRequest"),
        (
            flow_of(*[HttpRequest("GET", TOKEN_URL)] * 9),
            *(InterceptorError, "yielded more than 5 requests; the last response was 200"),
        ),
        (flow_of(to_another_host), InterceptorError, CHANGED),
        (flow_of(as_delete), InterceptorError, CHANGED),
        (
            flow_of(with_other_body),
            *(InterceptorError, "changed the body, which its headers describe; change it in an interceptor"),
        ),
        (flow_of(with_line_break), InvalidRequestError, "control character"),
        (flow_of(HttpRequest("GET", "/token")), InvalidRequestError, "/token"),
    ],
)
def test_what_a_flow_may_not_do(
    front_end: FrontEnd, auth: Any, kind: type[HttpClientError], message: str
) -> None:
    """The error names the flow or the value, and the call's request is not sent."""
    harness = Harness(front_end)
    error = harness.error(kind, "POST", json={"a": 1}, auth=auth)
    if kind is InterceptorError:
        assert str(error) == f"Scripted.auth_flow {message}"
    assert message in str(error)
    assert (error.sent_state, ("POST", URL) in sent(harness)) == (SentState.NEVER_SENT, False)


@pytest.mark.parametrize("status", [201, 500])
def test_a_flow_may_end_with_a_request_of_its_own(front_end: FrontEnd, status: int) -> None:
    """Such as one that returns a lease: it repeats nothing, whatever became of the call's own."""
    harness = Harness(front_end, status, TOKEN)
    response = harness.request("POST", auth=flow_of(None, HttpRequest("POST", TOKEN_URL)), retry_policy=False)
    assert (response.status_code, sent(harness)) == (status, [("POST", URL), ("POST", TOKEN_URL)])


def test_a_flow_may_send_five_requests(front_end: FrontEnd) -> None:
    """Some to get a token, and the call's own once more."""
    harness = Harness(front_end, 401, 401, 401, 401, 200)
    assert harness.request(auth=flow_of(*[None] * 5)).status_code == 200


def test_a_flow_that_needs_the_body_gets_its_bytes(front_end: FrontEnd) -> None:
    """A body that is none has none."""

    class Signs:
        requires_request_body = True

        def auth_flow(self, request: HttpRequest) -> Requests:
            request.headers["X-Length"] = str(len(request.content or b""))
            yield request

    harness = Harness(front_end, 200)
    harness.request("POST", data=b"four", auth=Signs())
    harness.request("GET", auth=Signs())
    assert [request.headers["X-Length"] for request in harness.transport.sent] == ["4", "0"]


def test_a_copy_of_the_call_s_request_is_the_call_s_request(front_end: FrontEnd) -> None:
    """A flow need not know that it may change the one that it was given."""
    harness = Harness(front_end, 201)
    response = harness.request("POST", auth=flow_of(lambda request: request.copy()))
    assert (response.status_code, sent(harness)) == (201, [("POST", URL)])


def test_a_flow_that_refuses_the_request_ends_the_attempt(front_end: FrontEnd) -> None:
    """Its `InvalidRequestError` is that of the call, with the attempt in the timeline."""

    class Refuses:
        def auth_flow(self, request: HttpRequest) -> Requests:
            raise InvalidRequestError("there is no key for it")
            yield request

    harness = Harness(front_end, **RETRIES)
    error = harness.error(InvalidRequestError, auth=Refuses())
    assert "there is no key for it" in str(error)
    assert (error.sent_state, harness.names()) == (
        SentState.NEVER_SENT,
        ["attempt_finished", "retry_stopped", "call_finished"],
    )


def test_a_flow_must_be_a_generator(front_end: FrontEnd) -> None:
    """One that returns the request would never see a response."""

    class Auth:
        def auth_flow(self, request: HttpRequest) -> Any:
            return request

    error = Harness(front_end).error(InterceptorError, auth=Auth())
    assert "Auth.auth_flow returned http_service_client.http.request.HttpRequest; write a plain" in str(error)


def test_a_flow_may_change_headers_and_query_and_read_the_body(front_end: FrontEnd) -> None:
    """As signatures in a query need."""

    def signed(request: HttpRequest) -> HttpRequest:
        assert request.json == {"a": [1]}
        request.url += "?sig=1"
        return request

    harness = Harness(front_end)
    harness.request("POST", json={"a": [1]}, auth=flow_of(signed))
    assert sent(harness) == [("POST", f"{URL}?sig=1")]
    assert harness.transport.bodies == [b'{"a":[1]}']


def test_a_flow_sees_the_body_as_it_is_compressed(front_end: FrontEnd) -> None:
    """Its hash must be that of the bytes on the wire."""
    seen: list[bytes | None] = []

    def noted(request: HttpRequest) -> HttpRequest:
        seen.append(request.content)
        return request

    harness = Harness(front_end, enable_request_compression=True)
    harness.request("POST", json=["x" * 4000], auth=flow_of(noted))
    assert seen == harness.transport.bodies


def test_a_flow_that_looks_at_the_plain_body_changes_nothing(front_end: FrontEnd) -> None:
    """The compressed one is sent, whose coding the headers name."""

    def reads(request: HttpRequest) -> HttpRequest:
        assert request.json == ["x" * 4000]
        return request

    harness = Harness(front_end, enable_request_compression=True)
    harness.request("POST", json=["x" * 4000], auth=flow_of(reads))
    (body,) = harness.transport.bodies
    assert body is not None
    assert harness.transport.sent[0].headers["Content-Length"] == str(len(body))
    assert len(body) < 4000


def test_the_secrets_of_the_client_are_those_of_the_flows_own_request(front_end: FrontEnd) -> None:
    """A header that the client was told to hide is hidden there, too."""
    seen: list[str] = []
    harness = Harness(
        front_end,
        TOKEN,
        200,
        on_exchange=lambda request, outcome, call: seen.append(repr(request.headers)),
        sensitive_headers=["X-Login"],
    )
    harness.request(auth=flow_of(HttpRequest("POST", TOKEN_URL, headers={"X-Login": "s3cret"}), None))
    assert "X-Login" in seen[0]
    assert not any("s3cret" in shown for shown in seen)


def test_the_time_of_a_flow_s_code_is_the_attempt_s(front_end: FrontEnd) -> None:
    """The exchange has what is left."""

    def slowly(request: HttpRequest) -> HttpRequest:
        harness.clock.now += 2.0
        return request

    harness = Harness(front_end)
    harness.request(auth=flow_of(slowly), timeout=5.0)
    assert [timeout.total for timeout in harness.transport.timeouts] == [3.0]


def test_the_error_of_a_flow_s_own_request_has_its_details_but_the_response(front_end: FrontEnd) -> None:
    """That may hold a token; when to come back is no secret."""
    details = {"key": "id", "retry_after": 7.0, "response": TOKEN}
    throttled = Failure(ThrottledError, "busy", SentState.NEVER_SENT, details=details)
    error = Harness(front_end, throttled).error(ThrottledError, auth=Refreshing(token=None))
    assert (error.key, error.retry_after, getattr(error, "response", None)) == ("id", 7.0, None)


def test_an_error_of_a_flow_ends_the_call_as_it_is(front_end: FrontEnd) -> None:
    """As that of an interceptor: not retried, and no evidence against the service."""

    class Broken:
        def auth_flow(self, request: HttpRequest) -> Requests:
            raise LookupError("no key")
            yield request

    harness = Harness(front_end, **RETRIES)
    assert harness.error(LookupError, auth=Broken()).args == ("no key",)
    assert harness.sends == 0
    assert harness.state.breaker.snapshot().failures == 0


def test_the_exchanges_of_a_flow_share_the_attempts_timeout(front_end: FrontEnd) -> None:
    """What one of them takes is not there for the next; the error names the limit that was set."""

    def slowly(request: HttpRequest) -> HttpResponse:
        harness.clock.now += 4.0
        return HttpResponse(401, url=request.url)

    cut = Failure(AttemptTimeoutError, f"no response from {URL} within 6 s", SentState.MAYBE_PROCESSED)
    harness = Harness(front_end, slowly, TOKEN, cut, base_timeout=10.0, retry_policy_config=RetryPolicy(1))
    error = harness.error(AttemptTimeoutError, "POST", auth=Refreshing())
    assert [timeout.total for timeout in harness.transport.timeouts] == [10.0, 6.0, 6.0]
    assert str(error).startswith(f"no response from {URL} within 10 s")


@pytest.mark.parametrize(
    ("kind", "message"), [(AttemptTimeoutError, "GET within 10 s"), (ReadTimeoutError, "GET within 6 s")]
)
def test_a_timeout_of_the_second_exchange_names_the_limit_of_both(
    front_end: FrontEnd, kind: type[HttpClientError], message: str
) -> None:
    """If it is the attempt's; that of a read is its own."""
    cut = Failure(kind, "GET within 6 s", SentState.MAYBE_PROCESSED)
    harness = Harness(front_end, 401, cut, base_timeout=10.0, retry_policy_config=RetryPolicy(1))
    assert str(harness.error(kind, auth=flow_of(None, None))).partition(";")[0] == message


def test_a_timeout_of_the_only_exchange_keeps_its_message(front_end: FrontEnd) -> None:
    """It says which limit expired, which need not be the attempt's."""
    idle = Failure(AttemptTimeoutError, f"{URL}: nothing arrived for 2 s", SentState.MAYBE_PROCESSED)
    harness = Harness(front_end, idle, base_timeout=10.0, retry_policy_config=RetryPolicy(1))
    error = harness.error(AttemptTimeoutError, "POST", auth=flow_of(None))
    assert str(error).startswith(f"{URL}: nothing arrived for 2 s")


def test_a_flow_is_closed_when_the_exchange_fails(front_end: FrontEnd) -> None:
    """Its `finally` runs, and it is asked for no further request."""
    auth = Refreshing()
    Harness(front_end, REFUSED, retry_policy_config=RetryPolicy(1)).error(ConnectError, auth=auth)
    assert auth.has_closed


def test_a_flow_is_closed_on_cancellation() -> None:
    """In an asyncio task that is cancelled while the token is on its way."""
    import asyncio

    from http_service_client import HttpClientConfig, HttpServiceClient

    auth = Refreshing(token=None)

    class Never:
        async def send_async(self, request: HttpRequest, timeout: Any) -> Any:
            await asyncio.sleep(3600)

    async def main() -> None:
        client = HttpServiceClient(HttpClientConfig(auth=auth), transport=Never())
        task = asyncio.ensure_future(client.get_async(URL))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert auth.has_closed

    run_task(main())


def test_a_stream_is_authenticated_too(front_end: FrontEnd) -> None:
    """The token is read whole; the body of the final response is streamed."""
    harness = Harness(front_end, 401, TOKEN, HttpResponse(200, content=b"body", url=URL))
    with front_end.stream(harness.client, "GET", URL, auth=Refreshing()) as response:
        assert (response.status_code, response.read()) == (200, b"body")


class Opening(StreamingTransport):
    """Leaves the bodies of calls open; a flow's own request gets a token.

    are_closed: at each exchange, whether the bodies before were closed.
    """

    def __init__(self, status: int) -> None:
        super().__init__(b"done")
        self._status = status
        self.are_closed: list[bool] = []

    def send(self, request: HttpRequest, timeout: Timeout) -> Any:
        self.are_closed.append(all(source.is_closed for source in self.sources))
        return TOKEN

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Any:
        return self.send(request, timeout)

    def open_response(self, request: HttpRequest, timeout: Timeout) -> Any:
        self.are_closed.append(all(source.is_closed for source in self.sources))
        for _ in request.body.chunks():
            pass
        response = StreamingTransport.send(self, request, timeout)
        response.status_code = self._status
        return response

    async def open_response_async(self, request: HttpRequest, timeout: Timeout) -> Any:
        return self.open_response(request, timeout)


TOKEN_REQUEST = HttpRequest("POST", TOKEN_URL)


@pytest.mark.parametrize(
    ("status", "steps", "message", "state"),
    [
        (
            *(200, (None, TOKEN_REQUEST, None)),
            "yielded the POST again after 200, when it may have been processed",
            SentState.ANSWERED,
        ),
        (200, (None, TOKEN_REQUEST), "ended without the request", SentState.ANSWERED),
        (200, (None, None), "yielded the POST again after 200 OK, when", SentState.ANSWERED),
    ],
    ids=["sent again after a token", "ended after a token", "sent again"],
)
def test_a_flow_may_not_go_on_from_a_streamed_success(
    front_end: FrontEnd, status: int, steps: tuple[Any, ...], message: str, state: SentState
) -> None:
    """Not even if it fetches a token in between, for which the open response is discarded: there is no other."""
    transport = Opening(status)
    client = HttpServiceClient(transport=transport)
    with (
        pytest.raises(InterceptorError, match=message) as raised,
        front_end.stream(client, "POST", URL, auth=flow_of(*steps)),
    ):
        pass
    assert raised.value.sent_state is state
    assert len(transport.sources) == 1
    assert transport.sources[0].is_closed


def test_an_open_response_is_closed_before_the_flow_goes_on(front_end: FrontEnd) -> None:
    """Its connection may be the only one."""
    transport = Opening(401)
    client = HttpServiceClient(transport=transport)
    with front_end.stream(client, "POST", URL, auth=flow_of(None, TOKEN_REQUEST, None)) as response:
        assert response.status_code == 401
    assert transport.are_closed == [True, True, True]


def test_a_stream_that_was_sent_once_is_not_sent_again_after_a_discarded_response(
    front_end: FrontEnd,
) -> None:
    """There is no response to return any more, so that the call fails, and says why."""
    transport = Opening(401)
    client = HttpServiceClient(transport=transport)
    auth = flow_of(None, TOKEN_REQUEST, None)
    with (
        pytest.raises(HttpClientError) as raised,
        front_end.stream(client, "POST", URL, data=iter([b"a"]), auth=auth),
    ):
        pass
    assert "the body was sent before and cannot be replayed" in str(raised.value)


def test_each_attempt_runs_the_flow_from_its_start(front_end: FrontEnd) -> None:
    """A retry has the token of its time."""
    auth = Refreshing()
    harness = Harness(front_end, 401, TOKEN, 503, 200, **RETRIES)
    assert harness.request(auth=auth).attempts == 2
    assert [r.headers.get("Authorization") for r in harness.transport.sent][2:] == [
        "Bearer new",
        "Bearer new",
    ]
