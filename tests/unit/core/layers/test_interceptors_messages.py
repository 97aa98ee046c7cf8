"""What interceptors may change, return and raise."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import pytest

from http_service_client import (
    HttpRequest,
    HttpResponse,
    InterceptorError,
    InvalidRequestError,
    SentState,
)
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd
from kit.interceptors import Recorder, on_request, on_response
from kit.rows import each_row


def test_a_request_interceptor_may_return_a_response(front_end: FrontEnd) -> None:
    """It skips later request interceptors and the network, runs response interceptors, and is no success."""
    steps: list[str] = []
    cached = HttpResponse(200, content=b"cached")
    harness = Harness(
        front_end,
        500,
        request_interceptors=[on_request(lambda request, context: cached), Recorder(steps, "after")],
        response_interceptors=[Recorder(steps, "back")],
    )
    response = harness.request()
    assert (response.content, harness.sends) == (b"cached", 0)
    assert steps == ["back response 1: 200"]
    assert response.request is not None
    assert response.request.url == URL
    assert harness.events[0].answered_by == "OnRequest.intercept_request"
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)


def test_an_interceptor_may_return_the_same_response_many_times(front_end: FrontEnd) -> None:
    """A cache may return one object; each call writes request, timeline and data on its own copy."""
    cached = HttpResponse(200, content=b"[]")
    harness = Harness(front_end, request_interceptors=[on_request(lambda request, context: cached)])
    first = harness.request(url=f"{ORIGIN}/1", response_type=list[int])
    second = harness.request(url=f"{ORIGIN}/2")
    assert first.request is not None
    assert second.request is not None
    assert (first.request.url, second.request.url) == (f"{ORIGIN}/1", f"{ORIGIN}/2")
    assert (first.data, second.data) == ([], None)
    assert first.timeline is not second.timeline
    assert cached.timeline is None


def test_an_interceptor_s_response_counts_for_its_attempt_only(front_end: FrontEnd) -> None:
    """The next attempt goes to the network, and its success counts for the server."""
    responses = [HttpResponse(503)]
    harness = Harness(
        front_end,
        request_interceptors=[on_request(lambda request, context: responses.pop() if responses else request)],
    )
    assert harness.request().attempts == 2
    finished = [event for event in harness.events if event.name == "attempt_finished"]
    assert [event.answered_by for event in finished] == ["OnRequest.intercept_request", None]
    assert harness.state.breaker.snapshot().successes == 1


def test_an_interceptor_s_503_is_retried_but_is_no_failure_of_the_server(front_end: FrontEnd) -> None:
    """A response of an interceptor is retried like any other, and the breaker ignores it."""
    responses = [HttpResponse(503), HttpResponse(503), HttpResponse(200)]
    harness = Harness(front_end, request_interceptors=[on_request(lambda request, context: responses.pop(0))])
    assert harness.request().attempts == 3
    assert harness.state.breaker.snapshot().failures == 0


def test_a_request_with_an_interceptor_s_response_was_never_sent(front_end: FrontEnd) -> None:
    """A POST is retried after a 503 of an interceptor, and not after a 503 of the server."""
    responses = [HttpResponse(503)]
    harness = Harness(
        front_end,
        *(503, 200),
        request_interceptors=[on_request(lambda request, context: responses.pop() if responses else request)],
    )
    response = harness.request("POST")
    assert (response.status_code, response.attempts, harness.sends) == (503, 2, 1)
    finished = [event for event in harness.events if event.name == "attempt_finished"]
    assert [event.sent_state for event in finished] == [SentState.NEVER_SENT, SentState.ANSWERED]


def test_an_interceptor_may_replace_the_request_or_the_response(front_end: FrontEnd) -> None:
    """The returned request is sent, and the returned response reaches the caller."""
    harness = Harness(
        front_end,
        request_interceptors=[
            on_request(lambda request, context: HttpRequest("POST", f"{ORIGIN}/other", json=1))
        ],
        response_interceptors=[on_response(lambda response, context: HttpResponse(299))],
    )
    assert harness.request().status_code == 299
    (sent,) = harness.transport.sent
    assert (sent.method, sent.url, harness.transport.bodies) == ("POST", f"{ORIGIN}/other", [b"1"])
    assert sent.headers["Content-Type"] == "application/json"


def test_assigning_bytes_to_body_is_rejected(front_end: FrontEnd) -> None:
    """requests calls the bytes `body`; here `body` is the encoded one, and the error says what to set."""
    harness = Harness(
        front_end, request_interceptors=[on_request(lambda r, context: setattr(r, "body", b"x"))]
    )
    with pytest.raises(InvalidRequestError, match=r"^request\.body .* type bytes; set request\.content"):
        harness.request()


@dataclass
class Order:
    amount: int


@each_row(
    ("options", "change", "body"),
    [
        ({"json": {"a": 1}}, lambda r: r.json.update(b=2), b'{"a":1,"b":2}'),
        ({"json": [1]}, lambda r: r.json.append(2), b"[1,2]"),
        ({"json": Order(1)}, lambda r: setattr(r.json, "amount", 2), b'{"amount":2}'),
        ({"json": {"a": 1}}, lambda r: setattr(r, "json", 5), b"5"),
        ({"json": {"a": 1}}, lambda r: setattr(r, "content", b"raw"), b"raw"),
        ({"data": {"a": "1"}}, lambda r: r.data.update(b="2"), b"a=1&b=2"),
        ({"data": [("a", "1")]}, lambda r: r.data.append(("a", "2")), b"a=1&a=2"),
        ({}, lambda r: setattr(r, "json", {"new": True}), b'{"new":true}'),
        ({}, lambda r: setattr(r, "data", b"new"), b"new"),
    ],
)
def test_a_changed_body_is_encoded_again(
    front_end: FrontEnd, options: dict[str, Any], change: Any, body: bytes
) -> None:
    """After a change in place or by assignment, with its Content-Length; the caller's object is unchanged."""
    before = repr(options)

    def intercept(request: Any, context: Any) -> Any:
        change(request)
        return request

    harness = Harness(front_end, 503, 200, request_interceptors=[on_request(intercept)])
    harness.request("PUT", **options)
    assert harness.transport.bodies == [body, body]  # a fresh copy for each attempt
    assert harness.transport.sent[0].headers["Content-Length"] == str(len(body))
    assert repr(options) == before


def test_each_attempt_gets_its_own_copy_of_the_request(front_end: FrontEnd) -> None:
    """Changes of headers, nested json, URL or method in attempt 1 are not visible in attempt 2."""
    given = {"order": {"items": [1]}}
    seen: list[Any] = []

    def intercept(request: Any, context: Any) -> Any:
        seen.append((request.method, request.url, request.headers.get("X-Mark"), str(request.json)))
        request.headers["X-Mark"] = "1"
        request.json["order"]["items"].append(2)
        request.url += "/changed"
        request.method = "PATCH"
        request.idempotent = True
        return request

    harness = Harness(front_end, 503, 503, 200, request_interceptors=[on_request(intercept)])
    assert harness.request("PUT", json=given).attempts == 3
    assert seen == [("PUT", URL, None, str(given))] * 3
    assert given == {"order": {"items": [1]}}
    assert {request.method for request in harness.transport.sent} == {"PATCH"}


def test_reading_the_body_changes_nothing(front_end: FrontEnd) -> None:
    """A logger that reads every attribute does not change the sent bytes."""

    def intercept(request: Any, context: Any) -> Any:
        repr((request, request.json, request.data, request.files, request.content, request.headers))
        return request

    harness = Harness(front_end, request_interceptors=[on_request(intercept)])
    harness.request("POST", json={"z": 1, "a": [True, None]})
    assert harness.transport.bodies == [b'{"z":1,"a":[true,null]}']


@each_row(
    ("change", "message"),
    [
        (lambda r: setattr(r, "url", "/relative"), "not absolute"),
        (lambda r: setattr(r, "url", "ftp://x/"), "scheme"),
        (lambda r: setattr(r, "url", None), "url must be a str"),
        (lambda r: setattr(r, "method", "GET / HTTP/1.1\r\nX: y"), "method must be"),
        (lambda r: setattr(r, "method", ""), "method must be"),
        (lambda r: setattr(r, "method", None), "method must be"),
        (lambda r: r.headers.__setitem__("X", "a\r\nEvil: 1"), "control character"),
        (lambda r: r.headers.__setitem__("X Y", "a"), "header name"),
        (lambda r: r.headers.__setitem__("Content-Length", "99"), "Content-Length"),
        (lambda r: r.headers.__setitem__("Transfer-Encoding", "chunked"), "Transfer-Encoding"),
        (lambda r: setattr(r, "headers", {"X": "a\nb"}), "control character"),
        (lambda r: setattr(r, "headers", 5), "headers must be"),
        (lambda r: setattr(r, "json", float("nan")), "(?i)nan"),
        (lambda r: setattr(r, "json", object()), "json"),
        (lambda r: setattr(r, "data", 5), "data"),
    ],
)
def test_a_request_changed_by_an_interceptor_is_validated(
    front_end: FrontEnd, change: Any, message: str
) -> None:
    """An interceptor cannot send what the client would reject from a caller."""

    def intercept(request: Any, context: Any) -> Any:
        change(request)
        return request

    harness = Harness(front_end, request_interceptors=[on_request(intercept)])
    error = harness.error(InvalidRequestError, "POST")
    assert re.search(message, str(error)), error
    assert (harness.sends, error.sent_state) == (0, SentState.NEVER_SENT)
    assert isinstance(error.timeline[-1].error, str)
    assert harness.state.breaker.snapshot().failures == 0


def test_an_interceptor_may_replace_all_headers_by_a_dict(front_end: FrontEnd) -> None:
    """A plain dict is accepted as headers, and a method in lower case is normalised."""

    def intercept(request: Any, context: Any) -> Any:
        request.headers = {"X-Only": "1"}
        request.method = "put"
        return request

    harness = Harness(front_end, request_interceptors=[on_request(intercept)])
    harness.request()
    (sent,) = harness.transport.sent
    assert sent.method == "PUT"
    assert dict(sent.headers) == {"X-Only": "1", "Content-Length": "0"}


@each_row(("result", "shown"), [(None, "NoneType"), (5, "int"), ("GET", "str"), (HttpRequest, "type")])
@each_row("side", ["request", "response"])
def test_an_invalid_return_value_of_an_interceptor_is_an_error(
    front_end: FrontEnd, side: str, result: Any, shown: str
) -> None:
    """The error names the interceptor, the returned type and the fix: often a forgotten `return request`."""
    make = on_request if side == "request" else on_response
    harness = Harness(front_end, **{f"{side}_interceptors": [make(lambda message, context: result)]})
    error = harness.error(InterceptorError)
    assert isinstance(error, TypeError)
    name = f"On{side.capitalize()}.intercept_{side}"
    wanted = (
        "an HttpResponse" if side == "response" else "the request, or an HttpResponse to skip the network"
    )
    assert str(error) == f"{name} returned {shown}; return {wanted}"
    assert harness.sends == (side == "response")
    assert harness.state.breaker.snapshot().failures == 0
    assert error.sent_state is (SentState.ABANDONED if side == "response" else SentState.NEVER_SENT)
    if side == "response":
        assert error.response.status_code == 200


def test_a_response_interceptor_must_not_return_a_request(front_end: FrontEnd) -> None:
    """A request returned by a response interceptor is an `InterceptorError`."""
    harness = Harness(
        front_end, response_interceptors=[on_response(lambda response, context: HttpRequest("GET", URL))]
    )
    harness.error(InterceptorError)


class Unauthorised(Exception):
    pass


@each_row("side", ["request", "response"])
@each_row("is_async", [False, True], ids=["plain", "async"])
@each_row("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_an_interceptor_that_raises_ends_the_call(
    front_end: FrontEnd, side: str, is_async: bool, total: float | None
) -> None:
    """The caller gets the same error object; there is no retry, and the breaker counts an abandoned call."""
    error = Unauthorised("no token")

    def intercept(message: Any, context: Any) -> Any:
        raise error

    async def intercept_async(message: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    make = on_request if side == "request" else on_response
    chain = {f"{side}_interceptors": [make(intercept_async if is_async else intercept)]}
    harness = Harness(front_end, 503, **chain)
    with pytest.raises(Unauthorised) as raised:
        harness.request(total_timeout=total)
    assert raised.value is error
    assert harness.sends == (side == "response")
    assert harness.sleeps == []
    snapshot = harness.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)
    finished = harness.events[-1]
    assert (finished.name, finished.error) == ("call_finished", "Unauthorised")
    assert finished.sent_state is SentState.ABANDONED


def test_a_trial_is_released_when_an_interceptor_raises(front_end: FrontEnd) -> None:
    """Otherwise no call could test the service until the lease expires."""
    failing = [True]

    def intercept(request: Any, context: Any) -> Any:
        if failing[0]:
            raise Unauthorised
        return request

    harness = Harness(
        front_end,
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 5.0, "success_threshold": 1},
        request_interceptors=[on_request(intercept)],
    )
    harness.state.breaker.try_acquire().record_failure()
    harness.clock.now += 5.0
    with pytest.raises(Unauthorised):
        harness.request()
    failing[0] = False
    assert harness.request().status_code == 200
    assert harness.state.breaker.state == "closed"
