"""What a flow may send and change, what it sees of the call's request, and what its own requests have."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    CookieJar,
    EgressPolicy,
    EgressRefusedError,
    HttpClientError,
    HttpRequest,
    HttpResponse,
    InterceptorError,
    InvalidRequestError,
    ResponseTooLargeError,
    SentState,
    ThrottledError,
)
from http_service_client.errors import Failure
from kit.fakes import URL, Harness
from kit.flows import RETRIES, TOKEN, TOKEN_URL, Refreshing, Requests, flow_of, sent
from kit.front_ends import FrontEnd
from kit.rows import each_row


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


@each_row(
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


def test_the_error_of_a_flow_s_own_request_has_its_details_but_the_response(front_end: FrontEnd) -> None:
    """That may hold a token; when to come back is no secret."""
    details = {"key": "id", "retry_after": 7.0, "response": TOKEN}
    throttled = Failure(ThrottledError, "busy", SentState.NEVER_SENT, details=details)
    error = Harness(front_end, throttled).error(ThrottledError, auth=Refreshing(token=None))
    assert (error.key, error.retry_after, getattr(error, "response", None)) == ("id", 7.0, None)
