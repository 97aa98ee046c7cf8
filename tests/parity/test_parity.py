"""Both worlds do the same: one table of scenarios, each played by requests, by aiohttp, and by the script.

Given what the network does (`script`), the story that a call tells is the same in every world: response or
error, waits, events, timeline, and what the server saw. The columns `ends`, `seen` and `waits` say what is
right, so that no two worlds can be wrong alike. How a scenario is played is in `parity.py`.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConstantBackoff,
    HttpRequest,
    HttpResponse,
    RetryCondition,
    RetryPolicy,
    Timeout,
)
from http_service_client.testing import drip, hang_up, reset, stall_reading
from kit.parity import (
    REFUSES,
    RESETS,
    STALLS,
    Row,
    Story,
    does,
    in_date,
    jittered,
    on_the_wire,
    says,
    stories,
    wire,
)

OK = says(200, json={"ok": True})
DOWN = says(503, body="down")
FAILS = says(500, body="oops")
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
ONCE = {"retry_policy": None}
JSON: dict[str, Any] = {"method": "POST", "json": {"amount": 5}}
KEYED = {**JSON, "headers": {"Idempotency-Key": "order-7"}}
GZIPPED = gzip.compress(b"hello " * 50, mtime=0)


def to(location: str, status: int = 302) -> Any:
    """A redirect."""
    return says(status, headers={"Location": location})


def busy(retry_after: str, status: int = 429) -> Any:
    """A refusal with a Retry-After."""
    return says(status, headers={"Retry-After": retry_after})


def steady(attempts: int = 3, delay: float = 1.0, **settings: Any) -> RetryPolicy:
    """Attempts, always the same time apart."""
    return RetryPolicy(
        max_attempts=attempts, backoff_strategy=ConstantBackoff(delay, jitter="none"), **settings
    )


def stream() -> dict[str, Any]:
    """A body that can be read once."""
    return {"data": iter([b"one ", b"shot"])}


def file() -> dict[str, Any]:
    """A file that does not stand at its beginning."""
    opened = io.BytesIO(b"header,body")
    opened.seek(7)
    return {"data": opened}


# Interceptors.


class AddsHeader:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        request.headers["X-Attempt"] = str(context.attempt)
        return request


class AddsHeaderAsync:
    async def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        await asyncio.sleep(0)
        request.headers["X-Async"] = "yes"
        return request


class ChangesBody:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        request.json["signed"] = True
        return request


class ChangesUrl:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        request.url += "moved"
        return request


class Replaces:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        return HttpRequest("PUT", request.url, headers={"X-New": "1"}, data=b"another")


class Answers:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
        return HttpResponse(200, content=b"cached")


class AnswersDown:
    async def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
        return HttpResponse(503, content=b"shed")


class Raises:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        raise PermissionError("not today")


class RaisesAsync:
    async def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        await asyncio.sleep(0)
        raise PermissionError("not today either")


class ForgetsToReturn:
    def intercept_request(self, request: HttpRequest, context: Any) -> None:
        pass


class BreaksHeader:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        request.headers["X-Bad"] = "a\r\nEvil: 1"
        return request


class MarksResponse:
    def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
        response.headers["X-Seen"] = f"{context.attempt}"
        return response


class ReplacesResponseAsync:
    async def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(203, content=response.content.upper())


class RaisesOnResponse:
    def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
        raise LookupError(f"no use for {response.status_code}")


def on_request(*interceptors: type) -> dict[str, Any]:
    """A configuration."""
    return {"request_interceptors": interceptors}


def on_response(*interceptors: type) -> dict[str, Any]:
    """A configuration."""
    return {"response_interceptors": interceptors}


def answer(**expected: Any) -> Any:
    """A last look: these parts of the answer."""

    def check(story: Story) -> None:
        assert {name: story.answer[name] for name in expected} == expected

    return check


def header(name: str, value: str | None, of: int = -1) -> Any:
    """A last look: this header as a server saw it."""

    def check(story: Story) -> None:
        assert dict(story.received[of][2]).get(name) == value

    return check


def bodies(*expected: bytes) -> Any:
    """A last look: the bodies that the servers saw."""

    def check(story: Story) -> None:
        assert tuple(body for *_, body in story.received) == expected

    return check


# fmt: off
ANSWERS = [
    Row("GET 200 with JSON", [OK], 200, 1, then=answer(content=b'{"ok": true}', attempts=1)),
    Row("HEAD has headers and no body", [says(200, body="twelve bytes")], 200, 1, call={"method": "HEAD"}, then=answer(content=b"")),
    Row("OPTIONS 204", [says(204, headers={"Allow": "GET, POST"})], 204, 1, call={"method": "OPTIONS"}),
    Row("DELETE 204", [says(204)], 204, 1, call={"method": "DELETE"}, then=answer(content=b"", reason="No Content")),
    Row("POST 201 with JSON", [says(201, json={"id": 7})], 201, 1, call=JSON, then=bodies(b'{"amount":5}')),
    Row("PUT bytes", [OK], 200, 1, call={"method": "PUT", "data": b"\x00\xff"}, then=header("Content-Type", None)),
    Row("PUT without a body", [OK], 200, 1, call={"method": "PUT"}, then=bodies(b"")),
    Row("PATCH a form", [OK], 200, 1, call={"method": "PATCH", "data": {"a": "1 2", "b": ["x", "y"]}}, then=bodies(b"a=1+2&b=x&b=y")),
    Row("POST a stream", [OK], 200, 1, call={"method": "POST"}, fresh=stream, then=bodies(b"one shot")),
    Row("GET with a query", [OK], 200, 1, call={"path": "/?q=1", "params": {"name": "é &", "none": None, "flag": True}}),
    Row("GET 404 is an answer", [says(404, body="no")], 404, 1, then=answer(content=b"no", sent_state="answered")),
    Row("GET 401 is an answer", [says(401, headers={"WWW-Authenticate": "Basic"})], 401, 1),
    Row("GET 304 has no body", [says(304, headers={"ETag": '"a"'})], 304, 1, then=answer(content=b"")),
    Row("a reason of its own", [says(299, reason="Fine By Me")], 299, 1, then=answer(reason="Fine By Me")),
    Row("no reason at all", [wire(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")], 200, 1, then=answer(reason="", content=b"ok")),
    Row("repeated headers", [says(200, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])], 200, 1),
    Row("a header in UTF-8", [says(200, headers={"X-Name": "Zoë"})], 200, 1, then=answer(headers=[("X-Name", "Zoë")])),
    Row("a header in latin-1", [wire(b"HTTP/1.1 200 OK\r\nX-Name: Zo\xeb\r\nContent-Length: 0\r\n\r\n")], 200, 1, then=answer(headers=[("X-Name", "Zoë")])),
    Row("a chunked body", [says(200, body="in two pieces", chunked=True)], 200, 1, then=answer(content=b"in two pieces")),
    Row("a body until the end of the connection", [wire(b"HTTP/1.1 200 OK\r\n\r\nall of it")], 200, 1, then=answer(content=b"all of it")),
    Row("an HTTP/1.0 answer", [wire(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")], 200, 1, then=answer(content=b"old")),
    Row("early hints before the answer", [wire(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", every=0.02)], 200, 1),
    Row("a dripped body that comes in time", [does(drip("slow", 0.01))], 200, 1, then=answer(content=b"slow")),
    Row("a gzipped body", [says(200, headers={"Content-Encoding": "gzip"}, body=GZIPPED)], 200, 1, then=answer(content=b"hello " * 50)),
    Row("two codings in two headers", [says(200, headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")], body=gzip.compress(GZIPPED))], 200, 1, then=answer(content=b"hello " * 50)),
    Row("decompression switched off", [says(200, headers={"Content-Encoding": "gzip"}, body=GZIPPED)], 200, 1, config={"enable_response_decompression": False}, then=answer(content=GZIPPED)),
    Row("two calls over one connection", [OK], 200, 2, calls=2),
    Row("auth and cookies", [OK], 200, 1, call={"auth": ("ann", "pass"), "cookies": {"a": "1"}}, then=header("Authorization", "Basic YW5uOnBhc3M=")),
]

RETRIED_STATUSES = [
    Row("GET 503, then 200", [DOWN, OK], 200, 2, jittered(1), then=answer(attempts=2)),
    Row("GET 503 for ever", [DOWN], 503, 3, jittered(1, 2), then=answer(content=b"down", attempts=3)),
    Row("GET 500, then 502, then 200", [FAILS, says(502), OK], 200, 3, jittered(1, 2)),
    Row("GET 504, then 404", [says(504), says(404)], 404, 2, jittered(1)),
    Row("GET 408, then 200", [says(408), OK], 200, 2, jittered(1)),
    Row("GET 425, then 200", [says(425), OK], 200, 2, jittered(1)),
    Row("GET 501 is not retried", [says(501)], 501, 1),
    Row("HEAD 503, then 200", [DOWN, OK], 200, 2, jittered(1), call={"method": "HEAD"}),
    Row("OPTIONS 503, then 200", [DOWN, OK], 200, 2, jittered(1), call={"method": "OPTIONS"}),
    Row("PUT 500, then 200", [FAILS, OK], 200, 2, jittered(1), call={"method": "PUT", "json": [1]}, then=bodies(b"[1]", b"[1]")),
    Row("DELETE 500, then 204", [FAILS, says(204)], 204, 2, jittered(1), call={"method": "DELETE"}),
    Row("POST 500 is not repeated", [FAILS, OK], 500, 1, call=JSON),
    Row("PATCH 502 is not repeated", [says(502), OK], 502, 1, call={"method": "PATCH", "json": {}}),
    Row("POST 503 without Retry-After is not repeated", [DOWN, OK], 503, 1, call=JSON),
    Row("POST 503 with Retry-After was refused, so it is", [busy("2", 503), OK], 200, 2, [2.0], call=JSON),
    Row("POST 425 was refused", [says(425), OK], 200, 2, jittered(1), call=JSON),
    Row("POST 500 with a key", [FAILS, OK], 200, 2, jittered(1), call=KEYED, then=header("Idempotency-Key", "order-7")),
    Row("POST 500 with X-Idempotency-Key", [FAILS, OK], 200, 2, jittered(1), call={**JSON, "headers": {"X-Idempotency-Key": "a"}}),
    Row("POST 500 with a key made for it", [FAILS, OK], 200, 2, jittered(1), call=JSON, config={"auto_idempotency_key": True}, then=header("Idempotency-Key", "key 1")),
    Row("POST 500 vouched for", [FAILS, OK], 200, 2, jittered(1), call={**JSON, "idempotent": True}),
    Row("GET 500 warned of", [FAILS, OK], 500, 1, call={"idempotent": False}),
    Row("a stream is not sent twice", [DOWN, OK], 503, 1, call={"method": "PUT"}, fresh=stream, then=bodies(b"one shot")),
    Row("a file is rewound to where it stood", [DOWN, OK], 200, 2, jittered(1), call={"method": "PUT"}, fresh=file, then=bodies(b"body", b"body")),
]

RETRY_AFTER = [
    Row("429 with seconds", [busy("3"), OK], 200, 2, [3.0]),
    Row("429 with fewer seconds than the backoff", [busy("0"), OK], 200, 2, jittered(1)),
    Row("429 with a date", [busy(in_date(5)), OK], 200, 2, [5.0]),
    Row("429 with a past date", [busy(in_date(-5)), OK], 200, 2, jittered(1)),
    Row("429 with garbage", [busy("soon"), OK], 200, 2, jittered(1)),
    Row("429 longer than the attempt's timeout", [busy("31"), OK], 429, 1, then=answer(sent_state="refused")),
    Row("429 longer than max_delay", [busy("5"), OK], 429, 1, config={"retry_policy_config": {"max_delay": 4.0}}),
    Row("503 with an absurd wait", [busy("99999999999999999999", 503), OK], 503, 1),
    Row("503 with a date beyond the deadline", [busy(in_date(9), 503), OK], 503, 1, call={"total_timeout": 5.0}),
    Row("POST 429, three times", [busy("1")], 429, 3, [max(1.0, wait) for wait in jittered(1, 2)], call=JSON),
]

BROKEN = [
    Row("GET refused for ever", [REFUSES] * 3, "ConnectError", 0, jittered(1, 2), then=answer(sent_state="never_sent", cause=("ConnectionRefusedError", errno.ECONNREFUSED))),
    Row("GET refused, then 200", [REFUSES, OK], 200, 1, jittered(1)),
    Row("POST refused was never sent, so it is sent again", [REFUSES, OK], 200, 1, jittered(1), call=JSON),
    Row("a refused stream was not touched", [REFUSES, OK], 200, 1, jittered(1), call={"method": "POST"}, fresh=stream, then=bodies(b"one shot")),
    Row("DELETE refused, no policy", [REFUSES], "ConnectError", 0, call={"method": "DELETE", **ONCE}),
    Row("GET reset, then 200", [RESETS, OK], 200, 2, jittered(1), then=answer(sent_state="answered")),
    Row("GET reset for ever", [RESETS], "ConnectionLostError", 3, jittered(1, 2), then=answer(sent_state="maybe_processed")),
    Row("POST reset is not repeated", [RESETS, OK], "ConnectionLostError", 1, call=JSON),
    Row("POST reset with a key is", [RESETS, OK], 200, 2, jittered(1), call=KEYED),
    Row("PATCH reset, vouched for", [RESETS, OK], 200, 2, jittered(1), call={"method": "PATCH", "json": {}, "idempotent": True}),
    Row("PUT reset, then 503, then 200", [RESETS, DOWN, OK], 200, 3, jittered(1, 2), call={"method": "PUT"}),
    Row("GET hung up on", [does(hang_up())], "ConnectionLostError", 1, call=ONCE),
    Row("POST hung up on is not repeated", [does(hang_up()), OK], "ConnectionLostError", 1, call=JSON),
    Row("an idle connection hung up on, then used", [says(200, close=True), OK], 200, 2, calls=2),
    Row("hung up in mid-head", [wire(b"HTTP/1.1 200 OK\r\nConte")], "ProtocolError", 1, call=ONCE),
    Row("reset in mid-body", [does(reset(CUT)), OK], 200, 2, jittered(1)),
    Row("a body cut short", [does(hang_up(CUT))], "ProtocolError", 1, call=ONCE, then=answer(sent_state="maybe_processed")),
    Row("a chunk cut short", [wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf")], "ProtocolError", 1, call=ONCE),
    Row("a chunk without a size", [wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\nhalf\r\n0\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("garbage for HTTP", [wire(b"220 smtp.example.com ESMTP\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("garbage for HTTP, then 200", [wire(b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n"), OK], 200, 2, jittered(1)),
    Row("garbage for a status", [wire(b"HTTP/1.1 abc Never\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("garbage for a length", [wire(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("POST answered with garbage is not repeated", [wire(b"garbage\r\n\r\n"), OK], "ProtocolError", 1, call=JSON),
    Row("corrupt gzip", [says(200, headers={"Content-Encoding": "gzip"}, body="not gzip")], "DecodingError", 3, jittered(1, 2)),
    Row("truncated gzip", [says(200, headers={"Content-Encoding": "gzip"}, body=GZIPPED[:-4]), OK], 200, 2, jittered(1)),
    Row("an unknown coding", [says(200, headers={"Content-Encoding": "rot13"}, body="uryyb")], "DecodingError", 1, call=ONCE),
    Row("a body over the limit", [on_the_wire(says(200, body=b"x" * 101))], "ResponseTooLargeError", 1, config={"max_response_size": 100}),
    Row("a bomb over the limit", [says(200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(10**6)))], "ResponseTooLargeError", 1, config={"max_response_size": 1000}),
    Row("a body at the limit", [says(200, body=b"x" * 100)], 200, 1, config={"max_response_size": 100}),
]

SLOW = [
    Row("GET stalled, then 200", [STALLS, OK], 200, 2, jittered(1), call={"timeout": 0.25}),
    Row("POST stalled is not repeated", [STALLS, OK], "AttemptTimeoutError", 1, call={**JSON, "timeout": 0.1}, then=answer(sent_state="maybe_processed")),
    Row("a read that stalls", [STALLS], "ReadTimeoutError", 1, call={**ONCE, "timeout": Timeout(total=5.0, read=0.1)}),
    Row("a dripped body beyond the timeout", [does(drip("x" * 100, 0.03))], "AttemptTimeoutError", 1, call={**ONCE, "timeout": 0.15}),
    Row("a dripped head beyond the timeout", [wire(b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 9, every=0.15)], "AttemptTimeoutError", 1, call={**ONCE, "timeout": 0.6}),
    Row("a body that stalls", [wire(CUT, b"late", every=5.0)], "ReadTimeoutError", 1, call={**ONCE, "timeout": Timeout(total=5.0, read=0.1)}),
    Row("an upload that stalls", [does(stall_reading())], "AttemptTimeoutError", 1, call={"method": "PUT", "data": bytes(20_000_000), **ONCE, "timeout": 0.2}),
    Row("the deadline cuts a healthy attempt", [STALLS], "DeadlineExceededError", 1, call={"total_timeout": 0.1}, live=True, then=answer(sent_state="abandoned")),
    Row("the breaker's own timeout", [STALLS], "AttemptTimeoutError", 1, call=ONCE, config={"circuit_breaker_config": {"timeout": 0.1}}),
]

REDIRECTS = [
    Row("301 on GET", {"/": [to("/b", 301)], "/b": [OK]}, 200, 2, then=answer(history=[(301, "http://here/")], url="http://here/b")),
    Row("302 on POST becomes GET", {"/": [to("/b")], "/b": [OK]}, 200, 2, call=JSON, then=bodies(b'{"amount":5}', b"")),
    Row("301 on PUT stays PUT", {"/": [to("/b", 301)], "/b": [OK]}, 200, 2, call={"method": "PUT", "data": b"x"}, then=bodies(b"x", b"x")),
    Row("303 on PUT becomes GET", {"/": [to("/b", 303)], "/b": [OK]}, 200, 2, call={"method": "PUT", "data": b"x"}, then=bodies(b"x", b"")),
    Row("303 on HEAD stays HEAD", {"/": [to("/b", 303)], "/b": [OK]}, 200, 2, call={"method": "HEAD"}),
    Row("307 on POST keeps the body", {"/": [to("/b", 307)], "/b": [OK]}, 200, 2, call=JSON, then=bodies(b'{"amount":5}', b'{"amount":5}')),
    Row("308 on PATCH keeps the body", {"/": [to("/b", 308)], "/b": [OK]}, 200, 2, call={"method": "PATCH", "json": 1}, then=bodies(b"1", b"1")),
    Row("307 of a stream cannot be followed", {"/": [to("/b", 307)], "/b": [OK]}, "UnsafeRedirectError", 1, call={"method": "POST"}, fresh=stream),
    Row("a relative redirect", {"/a/b": [to("../c?d=e")], "/c": [OK]}, 200, 2, call={"path": "/a/b"}),
    Row("a redirect in UTF-8", {"/": [to("/caf\u00e9")], "/caf%C3%A9": [OK]}, 200, 2),
    Row("to another origin without credentials", {"/": [to("{elsewhere}/b", 307)], "elsewhere/b": [OK]}, 200, 2, call={"auth": "token", "headers": {"X-API-Key": "k"}}, then=header("Authorization", None)),
    Row("to the same origin with them", {"/": [to("{here}/b", 307)], "/b": [OK]}, 200, 2, call={"auth": "token"}, then=header("Authorization", "Bearer token")),
    Row("as many as allowed", {"/": [to("/b")], "/b": [to("/c")], "/c": [OK]}, 200, 3, config={"allowed_redirect_count": 2}),
    Row("one too many", {"/": [to("/b")], "/b": [to("/c")], "/c": [OK]}, "TooManyRedirectsError", 2, config={"allowed_redirect_count": 1}),
    Row("round and round", [to("/")], "TooManyRedirectsError", 11),
    Row("not followed on request", [to("/b")], 302, 1, call={"allow_redirects": False}),
    Row("none allowed", [to("/b")], 302, 1, config={"allowed_redirect_count": 0}),
    Row("a redirect to nowhere", [says(302)], 302, 1),
    Row("out of HTTP", [to("ftp://here/file")], "UnsafeRedirectError", 1),
    Row("with credentials in the URL", [to("http://ann:pass@here/")], "UnsafeRedirectError", 1),
    Row("an attempt is retried from its first hop", {"/": [to("/b")], "/b": [DOWN, OK]}, 200, 4, jittered(1)),
    Row("reset behind a redirect", {"/": [to("/b")], "/b": [RESETS, OK]}, 200, 4, jittered(1)),
]

POLICIES = [
    Row("no retries for this client", [DOWN, OK], 503, 1, config={"enable_retry_policy": False}),
    Row("no retries for this call", [DOWN, OK], 503, 1, call=ONCE),
    Row("one attempt", [DOWN, OK], 503, 1, config={"retry_policy_config": {"max_attempts": 1}}),
    Row("five attempts, steady", [DOWN], 503, 5, [1.0] * 4, call={"retry_policy": steady(5)}),
    Row("a policy that retries 404 alone", [says(404), DOWN, OK], 503, 2, [1.0], call={"retry_policy": steady(retry_conditions=[RetryCondition.on_status_codes([404])])}),
    Row("a policy that retries timeouts alone", [RESETS, OK], "ConnectionLostError", 1, call={"retry_policy": steady(retry_conditions=[RetryCondition.on_timeout()])}),
    Row("a policy on results", [says(200, body="pending"), OK], 200, 2, [1.0], call={"retry_policy": steady(retry_conditions=[RetryCondition.on_result(lambda r: getattr(r, "content", b"") == b"pending")])}),
    Row("the budget is spent", [DOWN], 503, 1, config={"retry_budget_config": {"ratio": 0.0, "min_per_second": 0.0}}),
    Row("the budget is spent in mid-call", [DOWN], 503, 2, jittered(1), config={"retry_budget_config": {"ratio": 1.0, "min_per_second": 0.0}}),
    Row("no budget", [DOWN, OK], 200, 2, jittered(1), config={"enable_retry_budget": False}),
    Row("the deadline is too near for a wait", [DOWN, OK], 503, 1, call={"retry_policy": steady(delay=2.0), "total_timeout": 1.5}),
    Row("the deadline is too near for a second wait", [RESETS], "ConnectionLostError", 2, [1.0], call={"retry_policy": steady(), "total_timeout": 1.5}),
    Row("the deadline of the client", [FAILS], 500, 2, [1.0], call={"retry_policy": steady()}, config={"total_timeout": 2.0}),
    Row("the circuit opens in mid-call", [DOWN], 503, 2, jittered(1), config={"circuit_breaker_config": {"failure_threshold": 2}}),
    Row("the circuit was open before", [RESETS], "CircuitOpenError", 2, calls=3, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 2}}, then=answer(sent_state="never_sent", retry_after=60.0)),
    Row("the circuit was open before, no matter the retries", [REFUSES] * 9, "CircuitOpenError", 0, [1.0, 1.0], calls=2, call={"retry_policy": steady()}, config={"circuit_breaker_config": {"failure_threshold": 3}}),
    Row("a trial passes when the time is over", [DOWN, OK], 200, 2, calls=2, pause=60.0, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 1}}),
    Row("trials close the circuit", [DOWN, OK], 200, 4, calls=4, pause=60.0, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 1}}),
    Row("a failed trial opens it again", [DOWN], "CircuitOpenError", 2, calls=3, pause=31.0, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 1, "recovery_timeout": 31.0, "recovery_multiplier": 2.0}}),
    Row("404 does not open a circuit", [says(404)], 404, 3, calls=3, config={"circuit_breaker_config": {"failure_threshold": 1}}),
    Row("no circuit for this client", [DOWN], 503, 6, calls=6, call=ONCE, config={"enable_circuit_breaker": False}),
    Row("no circuit for this call", [DOWN], 503, 6, calls=6, call={**ONCE, "circuit_breaker": False}),
    Row("a circuit of the call's own", [DOWN], 503, 1, call={**ONCE}, fresh=lambda: {"circuit_breaker": CircuitBreakerPolicy(failure_threshold=1)}),
    Row("a timeout of the call's own", [OK], 200, 1, call={"timeout": 9.0, "total_timeout": 20.0}),
]

INTERCEPTED = [
    Row("a plain one sees each attempt", [DOWN, OK], 200, 2, jittered(1), config=on_request(AddsHeader), then=header("X-Attempt", "2")),
    Row("an async one", [DOWN, OK], 200, 2, jittered(1), config=on_request(AddsHeaderAsync), then=header("X-Async", "yes")),
    Row("one of each, in their order", [OK], 200, 1, config=on_request(AddsHeaderAsync, AddsHeader)),
    Row("the body is changed, not twice", [FAILS, OK], 200, 2, jittered(1), call=KEYED, config=on_request(ChangesBody), then=bodies(*[b'{"amount":5,"signed":true}'] * 2)),
    Row("the URL is changed, not twice", {"/moved": [DOWN, OK]}, 200, 2, jittered(1), config=on_request(ChangesUrl)),
    Row("the request is replaced", [OK], 200, 1, call=JSON, config=on_request(Replaces), then=bodies(b"another")),
    Row("one answers for the network", [OK], 200, 0, config=on_request(Answers), then=answer(content=b"cached", attempts=1)),
    Row("one answers in need of a retry", [OK], 503, 0, jittered(1, 2), config=on_request(AnswersDown)),
    Row("one raises", [OK], "PermissionError", 0, config=on_request(Raises)),
    Row("an async one raises", [OK], "PermissionError", 0, call=JSON, config=on_request(AddsHeader, RaisesAsync)),
    Row("one forgets to return", [OK], "InterceptorError", 0, config=on_request(ForgetsToReturn)),
    Row("one breaks the headers", [OK], "InvalidRequestError", 0, config=on_request(BreaksHeader)),
    Row("on the response", [DOWN, OK], 200, 2, jittered(1), config=on_response(MarksResponse)),
    Row("async on the response", [OK], 203, 1, config=on_response(MarksResponse, ReplacesResponseAsync), then=answer(content=b'{"OK": TRUE}')),
    Row("one on the response hides a failure", [FAILS], 203, 1, config=on_response(ReplacesResponseAsync)),
    Row("one raises on the response", [FAILS], "LookupError", 1, config=on_response(RaisesOnResponse)),
    Row("none sees a refused connection", [REFUSES], "ConnectError", 0, call=ONCE, config=on_response(RaisesOnResponse)),
    Row("an open circuit runs none", [DOWN], "CircuitOpenError", 1, calls=2, call=ONCE, config={**on_request(AddsHeader), "circuit_breaker_config": {"failure_threshold": 1}}),
]
# fmt: on

TABLE = [*ANSWERS, *RETRIED_STATUSES, *RETRY_AFTER, *BROKEN, *SLOW, *REDIRECTS, *POLICIES, *INTERCEPTED]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_world_tells_the_same_story(row: Row) -> None:
    """The same scenario ends alike, and right, in both worlds, over sockets and by the script."""
    first = None
    for front_end, story in stories(row):
        told = f"{front_end}:\n{story.explained}"
        assert (story.ends, len(story.received)) == (row.ends, row.seen), told
        assert story.waits == pytest.approx(list(row.waits)), told
        if row.then is not None:
            row.then(story)
        first = first or story
        differences = first.differences(story)
        assert not differences, f"{front_end} differs in " + "\n".join(differences)


def test_the_table_is_a_table() -> None:
    """Names are unique, and there are as many rows as were asked for: 60 at least."""
    names = [row.name for row in TABLE]
    assert len(set(names)) == len(names) >= 60
