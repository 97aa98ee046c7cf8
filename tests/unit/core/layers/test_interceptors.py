"""Interceptors: user code around each attempt, plain or async, in both worlds."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
import warnings
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    InterceptorError,
    InvalidRequestError,
    RequestInterceptor,
    ResponseInterceptor,
    SentState,
    deadline,
)
from http_service_client.errors import DeadlineExceededError
from kit.fakes import ORIGIN, RESET, URL, Blocking, FrontEnd, Harness, Tasks, run_task
from kit.stopwatch import Stopwatch

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


class Recorder:
    """Notes each of its calls, and passes everything on."""

    def __init__(self, story: list[str], name: str) -> None:
        self.story, self.name = story, name

    def intercept_request(self, request: Any, context: Any) -> Any:
        self.story.append(f"{self.name} request {context.attempt}")
        return request

    def intercept_response(self, response: Any, context: Any) -> Any:
        self.story.append(f"{self.name} response {context.attempt}: {response.status_code}")
        return response


def on_request(function: Any) -> Any:
    """A request interceptor made of one function."""

    class OnRequest:
        intercept_request = staticmethod(function)

    return OnRequest()


def on_response(function: Any) -> Any:
    """A response interceptor made of one function."""

    class OnResponse:
        intercept_response = staticmethod(function)

    return OnResponse()


# Order and occasions.


def test_they_run_in_list_order_at_each_attempt(front_end: FrontEnd) -> None:
    """Both lists in the order given; once for each attempt, not for each redirect."""
    story: list[str] = []
    first, second = Recorder(story, "first"), Recorder(story, "second")
    script = [503, (302, {"Location": "/b"}), 200]
    bench = Harness(
        front_end, *script, request_interceptors=[first, second], response_interceptors=[second, first]
    )
    assert bench.request().attempts == 2
    assert story == [
        "first request 1",
        "second request 1",
        "second response 1: 503",
        "first response 1: 503",
        "first request 2",
        "second request 2",
        "second response 2: 200",
        "first response 2: 200",
    ]


def test_a_failed_attempt_has_no_response_to_intercept(front_end: FrontEnd) -> None:
    """Response interceptors see responses only."""
    story: list[str] = []
    bench = Harness(front_end, RESET, 200, response_interceptors=[Recorder(story, "it")])
    bench.request()
    assert story == ["it response 2: 200"]


def test_a_refused_call_runs_none(front_end: FrontEnd) -> None:
    """A fast failure is fast: the circuit is asked before any interceptor."""
    story: list[str] = []
    bench = Harness(front_end, 500, 200, request_interceptors=[Recorder(story, "it")])
    bench.state.breaker.isolate()
    with pytest.raises(Exception, match="isolated"):
        bench.request()
    assert story == []


def test_a_class_is_made_once(front_end: FrontEnd) -> None:
    """Listed as request and as response interceptor, it is one object, with one state."""
    made: list[Any] = []

    class Both(RequestInterceptor, ResponseInterceptor):
        def __init__(self) -> None:
            made.append(self)

        async def intercept_request(self, request: Any, context: Any) -> Any:
            self.began = context.attempt
            return request

        async def intercept_response(self, response: Any, context: Any) -> Any:
            assert self.began == context.attempt
            return response

    bench = Harness(front_end, request_interceptors=[Both], response_interceptors=[Both])
    bench.request()
    bench.request()
    assert len(made) == 1


def test_the_bases_say_what_is_missing(front_end: FrontEnd) -> None:
    """A subclass that defines nothing says so by name."""

    class Forgetful(RequestInterceptor):
        pass

    with pytest.raises(NotImplementedError, match="Forgetful must define intercept_request"):
        Harness(front_end, request_interceptors=[Forgetful]).request()


@pytest.mark.parametrize("item", [object(), object, "Class", 3, None])
@pytest.mark.parametrize("field", ["request_interceptors", "response_interceptors"])
def test_what_is_no_interceptor_is_refused(field: str, item: Any) -> None:
    """When the configuration is made, not at the first call."""
    with pytest.raises(ConfigurationError, match=field):
        HttpClientConfig(**{field: [item]})


# Plain and async, with real awaits.


@pytest.mark.parametrize("caller", ["a plain thread", "a running loop"])
def test_an_async_interceptor_really_awaits_under_a_blocking_call(caller: str) -> None:
    """Suspending, timers and events of asyncio work, whether or not the calling thread has a loop."""
    loops: list[Any] = []

    async def intercept(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        loops.append(loop)
        loop.call_later(0.001, ready.set)
        await ready.wait()
        request.headers["X-Awaited"] = "yes"
        return request

    bench = Harness(Blocking(), request_interceptors=[on_request(intercept)])
    if caller == "a plain thread":
        bench.request()
    else:

        async def inside() -> None:
            with pytest.warns(RuntimeWarning, match="blocking call inside a running event loop"):
                bench.request()
            assert asyncio.get_running_loop() not in loops

        asyncio.run(inside())
    assert bench.transport.sent[0].headers["X-Awaited"] == "yes"


def test_an_async_interceptor_awaits_on_the_caller_s_own_loop() -> None:
    """Under the async front end it may use what lives on the application's loop."""

    async def main() -> None:
        loop, gate = asyncio.get_running_loop(), asyncio.Event()

        async def intercept(request: Any, context: Any) -> Any:
            assert asyncio.get_running_loop() is loop
            loop.call_later(0.001, gate.set)
            await gate.wait()
            return request

        bench = Harness(Tasks(), request_interceptors=[on_request(intercept)])
        assert (await bench.client.get_async(URL)).status_code == 200

    run_task(main())


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_both_kinds_work_in_both_worlds(front_end: FrontEnd, is_async: bool) -> None:
    """On the way out and on the way back."""

    def mark_request(request: Any, context: Any) -> Any:
        request.headers["X-Mark"] = "out"
        return request

    def mark_response(response: Any, context: Any) -> Any:
        response.headers["X-Mark"] = "back"
        return response

    async def mark_request_async(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return mark_request(request, context)

    async def mark_response_async(response: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return mark_response(response, context)

    bench = Harness(
        front_end,
        request_interceptors=[on_request(mark_request_async if is_async else mark_request)],
        response_interceptors=[on_response(mark_response_async if is_async else mark_response)],
    )
    assert bench.request().headers["X-Mark"] == "back"
    assert bench.transport.sent[0].headers["X-Mark"] == "out"


def test_a_plain_method_may_return_an_awaitable(front_end: FrontEnd) -> None:
    """What counts is what comes back, not how the method was declared."""

    async def later(request: Any) -> Any:
        await asyncio.sleep(0)
        return request

    bench = Harness(front_end, request_interceptors=[on_request(lambda request, context: later(request))])
    assert bench.request().status_code == 200


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_context_variables_of_the_caller_are_seen(
    front_end: FrontEnd, is_async: bool, total: float | None
) -> None:
    """Tenant, trace and request ids travel in them, also onto the loop behind a blocking call."""
    seen: list[str] = []

    def intercept(request: Any, context: Any) -> Any:
        seen.append(VARIABLE.get())
        return request

    async def intercept_async(request: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return intercept(request, context)

    bench = Harness(front_end, request_interceptors=[on_request(intercept_async if is_async else intercept)])
    token = VARIABLE.set("tenant-7")
    try:
        bench.request(total_timeout=total)
    finally:
        VARIABLE.reset(token)
    assert seen == ["tenant-7"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_async_interceptor_may_call_through_the_same_client(depth: int) -> None:
    """Blocking, from async code, with async interceptors, several deep: the doorway must not wait for itself."""
    bench: Harness

    class Nested:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            await asyncio.sleep(0)
            level = int(request.headers.get("X-Level", "0"))
            if level < depth:
                response = bench.client.get(f"{ORIGIN}/token", headers={"X-Level": level + 1})
                request.headers["X-Token"] = str(response.status_code)
            return request

    bench = Harness(Blocking(), request_interceptors=[Nested])
    done: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        thread = threading.Thread(target=lambda: done.append(bench.request().status_code), daemon=True)
        thread.start()
        thread.join(timeout=20)
    assert done == [200], "the nested call waits for ever"
    assert bench.sends == depth + 1
    assert bench.transport.sent[-1].headers["X-Token"] == "200"


def test_doorways_of_nested_calls_leave_no_thread_behind() -> None:
    """One background thread, however many calls were nested."""
    test_an_async_interceptor_may_call_through_the_same_client(3)
    names = [thread.name for thread in threading.enumerate() if "portal" in thread.name]
    assert len(names) <= 1


def test_many_threads_share_the_doorway() -> None:
    """Async interceptors of four threads wait side by side, not one after the other."""
    together = threading.Barrier(4, timeout=20)

    async def intercept(request: Any, context: Any) -> Any:
        await asyncio.get_running_loop().run_in_executor(None, together.wait)
        return request

    bench = Harness(Blocking(), request_interceptors=[on_request(intercept)])
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(bench.request().status_code), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert results == [200] * 4


# What they may do.


def test_answering_without_the_network(front_end: FrontEnd) -> None:
    """The rest of the request chain is skipped, the response chain is not, and nobody is told of a success."""
    story: list[str] = []
    cached = HttpResponse(200, content=b"cached")
    bench = Harness(
        front_end,
        500,
        request_interceptors=[on_request(lambda request, context: cached), Recorder(story, "after")],
        response_interceptors=[Recorder(story, "back")],
    )
    response = bench.request()
    assert (response.content, bench.sends) == (b"cached", 0)
    assert story == ["back response 1: 200"]
    assert response.request is not None
    assert response.request.url == URL
    assert bench.events[0].answered_by == "OnRequest.intercept_request"
    snapshot = bench.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)


def test_an_answer_may_be_given_again_and_again(front_end: FrontEnd) -> None:
    """A cache hands out one object; what a call writes on it (request, timeline, data) is its own."""
    cached = HttpResponse(200, content=b"[]")
    bench = Harness(front_end, request_interceptors=[on_request(lambda request, context: cached)])
    first = bench.request(url=f"{ORIGIN}/1", response_type=list[int])
    second = bench.request(url=f"{ORIGIN}/2")
    assert first.request is not None
    assert second.request is not None
    assert (first.request.url, second.request.url) == (f"{ORIGIN}/1", f"{ORIGIN}/2")
    assert (first.data, second.data) == ([], None)
    assert first.timeline is not second.timeline
    assert cached.timeline is None


def test_an_answer_is_of_its_attempt_alone(front_end: FrontEnd) -> None:
    """The attempt after it goes to the network, and its success is the server's."""
    answers = [HttpResponse(503)]
    bench = Harness(
        front_end,
        request_interceptors=[on_request(lambda request, context: answers.pop() if answers else request)],
    )
    assert bench.request().attempts == 2
    finished = [event for event in bench.events if event.name == "attempt_finished"]
    assert [event.answered_by for event in finished] == ["OnRequest.intercept_request", None]
    assert bench.state.breaker.snapshot().successes == 1


def test_a_failing_answer_is_retried_like_any_other(front_end: FrontEnd) -> None:
    """But it says nothing about the server."""
    answers = [HttpResponse(503), HttpResponse(503), HttpResponse(200)]
    bench = Harness(front_end, request_interceptors=[on_request(lambda request, context: answers.pop(0))])
    assert bench.request().attempts == 3
    assert bench.state.breaker.snapshot().failures == 0


def test_what_an_interceptor_answered_was_never_sent(front_end: FrontEnd) -> None:
    """So an unsafe request may be made after it; one that a server answered by 503 may not."""
    answers = [HttpResponse(503)]
    bench = Harness(
        front_end,
        *(503, 200),
        request_interceptors=[on_request(lambda request, context: answers.pop() if answers else request)],
    )
    response = bench.request("POST")
    assert (response.status_code, response.attempts, bench.sends) == (503, 2, 1)
    finished = [event for event in bench.events if event.name == "attempt_finished"]
    assert [event.sent_state for event in finished] == [SentState.NEVER_SENT, SentState.ANSWERED]


def test_replacing_request_and_response(front_end: FrontEnd) -> None:
    """Another object may be returned for either."""
    bench = Harness(
        front_end,
        request_interceptors=[
            on_request(lambda request, context: HttpRequest("POST", f"{ORIGIN}/other", json=1))
        ],
        response_interceptors=[on_response(lambda response, context: HttpResponse(299))],
    )
    assert bench.request().status_code == 299
    (sent,) = bench.transport.sent
    assert (sent.method, sent.url, bench.transport.bodies) == ("POST", f"{ORIGIN}/other", [b"1"])
    assert sent.headers["Content-Type"] == "application/json"


def test_a_body_of_bytes_is_content(front_end: FrontEnd) -> None:
    """`body` is what requests calls it; here the attribute of that name is the encoded body."""
    bench = Harness(front_end, request_interceptors=[on_request(lambda r, context: setattr(r, "body", b"x"))])
    with pytest.raises(InvalidRequestError, match="not of type bytes; set request"):
        bench.request()


@dataclass
class Order:
    amount: int


@pytest.mark.parametrize(
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
def test_a_changed_body_is_encoded_anew(
    front_end: FrontEnd, options: dict[str, Any], change: Any, body: bytes
) -> None:
    """In place or by assignment; Content-Length follows; the caller's own object is left alone."""
    before = repr(options)

    def intercept(request: Any, context: Any) -> Any:
        change(request)
        return request

    bench = Harness(front_end, 503, 200, request_interceptors=[on_request(intercept)])
    bench.request("PUT", **options)
    assert bench.transport.bodies == [body, body]  # a fresh copy for each attempt
    assert bench.transport.sent[0].headers["Content-Length"] == str(len(body))
    assert repr(options) == before


def test_each_attempt_has_a_copy_of_its_own(front_end: FrontEnd) -> None:
    """What attempt 1 did to headers, nested json, URL or method is not seen by attempt 2."""
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

    bench = Harness(front_end, 503, 503, 200, request_interceptors=[on_request(intercept)])
    assert bench.request("PUT", json=given).attempts == 3
    assert seen == [("PUT", URL, None, str(given))] * 3
    assert given == {"order": {"items": [1]}}
    assert {request.method for request in bench.transport.sent} == {"PATCH"}


def test_reading_the_body_changes_nothing(front_end: FrontEnd) -> None:
    """A logger that looks at everything leaves the bytes as they were."""

    def intercept(request: Any, context: Any) -> Any:
        repr((request, request.json, request.data, request.files, request.content, request.headers))
        return request

    bench = Harness(front_end, request_interceptors=[on_request(intercept)])
    bench.request("POST", json={"z": 1, "a": [True, None]})
    assert bench.transport.bodies == [b'{"z":1,"a":[true,null]}']


@pytest.mark.parametrize(
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
def test_what_they_leave_behind_is_validated(front_end: FrontEnd, change: Any, message: str) -> None:
    """Nothing that the client would refuse from a caller gets out through an interceptor."""

    def intercept(request: Any, context: Any) -> Any:
        change(request)
        return request

    bench = Harness(front_end, request_interceptors=[on_request(intercept)])
    error = bench.error(InvalidRequestError, "POST")
    assert re.search(message, str(error)), error
    assert (bench.sends, error.sent_state) == (0, SentState.NEVER_SENT)
    assert isinstance(error.timeline[-1].error, str)
    assert bench.state.breaker.snapshot().failures == 0


def test_headers_may_be_replaced_as_a_whole(front_end: FrontEnd) -> None:
    """By a plain dict too, as anyone would; a method may be written in lower case."""

    def intercept(request: Any, context: Any) -> Any:
        request.headers = {"X-Only": "1"}
        request.method = "put"
        return request

    bench = Harness(front_end, request_interceptors=[on_request(intercept)])
    bench.request()
    (sent,) = bench.transport.sent
    assert sent.method == "PUT"
    assert dict(sent.headers) == {"X-Only": "1", "Content-Length": "0"}


# What they may return.


@pytest.mark.parametrize(
    ("result", "shown"), [(None, "NoneType"), (5, "int"), ("GET", "str"), (HttpRequest, "type")]
)
@pytest.mark.parametrize("side", ["request", "response"])
def test_a_wrong_return_value_is_named(front_end: FrontEnd, side: str, result: Any, shown: str) -> None:
    """The forgotten `return request` above all: which interceptor, what it returned, what to return."""
    make = on_request if side == "request" else on_response
    bench = Harness(front_end, **{f"{side}_interceptors": [make(lambda message, context: result)]})
    error = bench.error(InterceptorError)
    assert isinstance(error, TypeError)
    name = f"On{side.capitalize()}.intercept_{side}"
    assert str(error).startswith(f"{name} returned {shown}; return ")
    assert bench.sends == (side == "response")
    assert bench.state.breaker.snapshot().failures == 0
    assert error.sent_state is (SentState.ABANDONED if side == "response" else SentState.NEVER_SENT)
    if side == "response":
        assert error.response.status_code == 200


def test_a_response_interceptor_must_not_return_a_request(front_end: FrontEnd) -> None:
    """A request is no answer."""
    bench = Harness(
        front_end, response_interceptors=[on_response(lambda response, context: HttpRequest("GET", URL))]
    )
    bench.error(InterceptorError)


class Unauthorised(Exception):
    pass


@pytest.mark.parametrize("side", ["request", "response"])
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_one_that_raises_ends_the_call(
    front_end: FrontEnd, side: str, is_async: bool, total: float | None
) -> None:
    """Its own error, the same object, reaches the caller; no retry; the breaker learns nothing."""
    error = Unauthorised("no token")

    def intercept(message: Any, context: Any) -> Any:
        raise error

    async def intercept_async(message: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    make = on_request if side == "request" else on_response
    chain = {f"{side}_interceptors": [make(intercept_async if is_async else intercept)]}
    bench = Harness(front_end, 503, **chain)
    with pytest.raises(Unauthorised) as raised:
        bench.request(total_timeout=total)
    assert raised.value is error
    assert bench.sends == (side == "response")
    assert bench.sleeps == []
    snapshot = bench.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)
    finished = bench.events[-1]
    assert (finished.name, finished.error) == ("call_finished", "Unauthorised")
    assert finished.sent_state is SentState.ABANDONED


def test_a_trial_is_given_back_when_an_interceptor_raises(front_end: FrontEnd) -> None:
    """Or else nobody could try the service again until the lease is over."""
    failing = [True]

    def intercept(request: Any, context: Any) -> Any:
        if failing[0]:
            raise Unauthorised
        return request

    bench = Harness(
        front_end,
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 5.0, "success_threshold": 1},
        request_interceptors=[on_request(intercept)],
    )
    bench.state.breaker.try_acquire().record_failure()
    bench.clock.now += 5.0
    with pytest.raises(Unauthorised):
        bench.request()
    failing[0] = False
    assert bench.request().status_code == 200
    assert bench.state.breaker.state == "closed"


# The context.


def test_the_context_lives_as_long_as_the_call(front_end: FrontEnd) -> None:
    """Attributes set in attempt 1 are there in attempt 2, one id for all; the next call begins anew."""
    seen: list[tuple[Any, ...]] = []

    class Counting:
        def intercept_request(self, request: Any, context: Any) -> Any:
            context.count = getattr(context, "count", 0) + 1
            seen.append((context.attempt, context.count, context.correlation_id, context.key))
            assert context.request is request
            return request

        def intercept_response(self, response: Any, context: Any) -> Any:
            assert context.request is response.request
            assert context.count == context.attempt
            return response

    bench = Harness(front_end, 503, 200, request_interceptors=[Counting], response_interceptors=[Counting])
    bench.request()
    bench.request()
    assert [row[:2] for row in seen] == [(1, 1), (2, 2), (1, 1)]
    assert seen[0][2] == seen[1][2] != seen[2][2]
    assert {row[3] for row in seen} == {ORIGIN}


def test_the_correlation_id_may_be_one_s_own(front_end: FrontEnd) -> None:
    """Set it, and all that follow see it."""

    def first(request: Any, context: Any) -> Any:
        context.correlation_id = "mine"
        return request

    def second(request: Any, context: Any) -> Any:
        request.headers["X-Request-ID"] = context.correlation_id
        return request

    bench = Harness(front_end, 503, 200, request_interceptors=[on_request(first), on_request(second)])
    bench.request()
    assert {request.headers["X-Request-ID"] for request in bench.transport.sent} == {"mine"}


# Time.


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("side", ["request", "response"])
def test_the_deadline_cuts_an_async_interceptor(front_end: FrontEnd, side: str, is_async: bool) -> None:
    """A rate limiter that would wait for an hour is cancelled on time, cleans up, and is named.

    Also one by a plain method, which returns what is to be awaited.
    """
    story: list[str] = []

    async def intercept(message: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            story.append("cleaned up")

    make = on_request if side == "request" else on_response
    method = intercept if is_async else lambda message, context: intercept(message, context)
    bench = Harness(front_end, **{f"{side}_interceptors": [make(method)]})
    with Stopwatch() as watch:
        error = bench.error(DeadlineExceededError, total_timeout=0.1)
    watch.check_took(0.1)
    assert f"On{side.capitalize()}.intercept_{side}" in str(error)
    assert story == ["cleaned up"]
    assert bench.sends == (side == "response")
    snapshot = bench.state.breaker.snapshot()
    assert (snapshot.successes, snapshot.failures) == (0, 0)


@pytest.mark.parametrize("ending", ["raises", "returns", "swallows"])
def test_one_that_was_cut_may_end_as_it_likes(
    front_end: FrontEnd, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of its clean-up is not "never retrieved", its late result is not used."""

    async def intercept(request: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if ending == "raises":
                raise RuntimeError("while cleaning up") from None
            if ending == "returns":
                return request
        return None

    bench = Harness(front_end, request_interceptors=[on_request(intercept)])
    bench.error(DeadlineExceededError, total_timeout=0.01)
    import gc

    gc.collect()
    assert caplog.records == []


def test_an_interceptor_s_own_timeout_is_its_own(front_end: FrontEnd) -> None:
    """A TimeoutError that it raises is not taken for the deadline's cut."""

    async def intercept(request: Any, context: Any) -> Any:
        raise TimeoutError("of my own")

    bench = Harness(front_end, request_interceptors=[on_request(intercept)])
    with deadline(60.0), pytest.raises(TimeoutError, match="of my own"):
        bench.request()


@pytest.mark.parametrize("total", [None, 60.0], ids=["no deadline", "deadline"])
def test_cancelling_the_call_cancels_the_interceptor(total: float | None) -> None:
    """And waits for its clean-up, as `await` does."""
    story: list[str] = []

    async def main() -> None:
        started = asyncio.Event()

        async def intercept(request: Any, context: Any) -> Any:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                story.append("cleaned up")

        bench = Harness(Tasks(), request_interceptors=[on_request(intercept)])
        task = asyncio.create_task(bench.client.get_async(URL, total_timeout=total))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert story == ["cleaned up"]
        assert bench.state.breaker.snapshot().abandoned == 1

    run_task(main())


def test_a_closed_coroutine_gives_its_permit_back() -> None:
    """An application that drops the coroutine of a call inside an interceptor gets no RuntimeError."""
    story: list[str] = []

    async def intercept(request: Any, context: Any) -> Any:
        story.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            story.append("cancelled")

    bench = Harness(Tasks(), request_interceptors=[on_request(intercept)])

    async def main() -> None:
        coroutine = bench.client.get_async(URL, total_timeout=60.0)
        coroutine.send(None)  # to where it waits for the interceptor
        await asyncio.sleep(0)
        coroutine.close()
        assert bench.state.breaker.snapshot().abandoned == 1
        await asyncio.sleep(0)
        assert story == ["began", "cancelled"]

    run_task(main())


def test_an_interrupted_blocking_call_cancels_its_async_interceptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyboardInterrupt while the caller waits: the interceptor is cancelled on the loop it runs on."""
    started, cancelled = threading.Event(), threading.Event()

    class InterruptedFuture(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            assert started.wait(timeout=20)
            raise KeyboardInterrupt

    async def intercept(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr("http_service_client.drivers.portal.Future", InterruptedFuture)
    bench = Harness(Blocking(), request_interceptors=[on_request(intercept)])
    with pytest.raises(KeyboardInterrupt):
        bench.request()
    assert cancelled.wait(timeout=20)
    assert bench.state.breaker.snapshot().abandoned == 1
    assert bench.events[-1].error == "KeyboardInterrupt"
