"""Sync and async do the same: one table of scenarios, each run over requests, over aiohttp and over a script.

Given what the network does (`script`), a call has the same record each time: response or error, waits, events,
timeline, and the requests that the server saw. The columns `expected_result`, `expected_requests` and
`expected_waits` state the right record, so that all ways cannot be wrong in the same manner. `kit/parity.py` runs
the scenarios.
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
    Record,
    Row,
    does,
    http_date_in,
    jittered,
    raw_bytes,
    records,
    responds,
    wire_only,
)
from parity.table_auth import AUTHENTICATED

OK = responds(200, json={"ok": True})
DOWN = responds(503, body="down")
FAILS = responds(500, body="oops")
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
ONCE = {"retry_policy": None}
JSON: dict[str, Any] = {"method": "POST", "json": {"amount": 5}}
KEYED = {**JSON, "headers": {"Idempotency-Key": "order-7"}}
GZIPPED = gzip.compress(b"hello " * 50, mtime=0)


def redirect_to(location: str, status: int = 302) -> Any:
    """A redirect."""
    return responds(status, headers={"Location": location})


def busy(retry_after: str, status: int = 429) -> Any:
    """A response with a Retry-After."""
    return responds(status, headers={"Retry-After": retry_after})


def steadily(attempts: int = 3, delay: float = 1.0, **settings: Any) -> RetryPolicy:
    """A policy that waits the same time before each retry."""
    return RetryPolicy(
        max_attempts=attempts, backoff_strategy=ConstantBackoff(delay, jitter="none"), **settings
    )


def stream() -> dict[str, Any]:
    """A body that can be read once."""
    return {"data": iter([b"one ", b"shot"])}


def file() -> dict[str, Any]:
    """A file that is not at its beginning."""
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


class Counted:
    """Counts its runs."""

    runs = 0

    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        Counted.runs += 1
        return request


class Replaces:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        return HttpRequest("PUT", request.url, headers={"X-New": "1"}, data=b"another")


class Responds:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
        return HttpResponse(200, content=b"cached")


class RespondsDown:
    async def intercept_request(self, request: HttpRequest, context: Any) -> HttpResponse:
        return HttpResponse(503, content=b"shed")


class Raises:
    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        raise PermissionError("not today")


class RaisesAsync:
    async def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        await asyncio.sleep(0)
        raise PermissionError("not today either")


class ReturnsNone:
    def intercept_request(self, request: HttpRequest, context: Any) -> None:
        pass


class SetsInvalidHeader:
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
    """A configuration with these request interceptors."""
    return {"request_interceptors": interceptors}


def on_response(*interceptors: type) -> dict[str, Any]:
    """A configuration with these response interceptors."""
    return {"response_interceptors": interceptors}


# Checks of a record.


def has(**expected: Any) -> Any:
    """The response or error has these details."""

    def check(record: Record) -> None:
        assert {name: record.details[name] for name in expected} == expected

    return check


def sent_header(name: str, value: str | None) -> Any:
    """The last request that a server received has this header."""

    def check(record: Record) -> None:
        *_, (_, _, headers, _) = record.received
        assert dict(headers).get(name) == value

    return check


def sent_headers_end_with(*expected: tuple[str, str]) -> Any:
    """The last request that a server received has these headers after all others."""

    def check(record: Record) -> None:
        *_, (_, _, headers, _) = record.received
        assert tuple(headers[-len(expected) :]) == expected

    return check


def sent_urls(*expected: str) -> Any:
    """The servers received requests for these URLs."""

    def check(record: Record) -> None:
        assert tuple(url for _, url, _, _ in record.received) == expected

    return check


def sent_bodies(*expected: bytes) -> Any:
    """The servers received these bodies."""

    def check(record: Record) -> None:
        assert tuple(body for *_, body in record.received) == expected

    return check


def ran_once(record: Record) -> None:
    """The interceptor `Counted` ran once."""
    runs, Counted.runs = Counted.runs, 0
    assert runs == 1


# fmt: off
RESPONSES = [
    Row("GET 200 with JSON", [OK], 200, 1, then=[has(content=b'{"ok": true}', attempts=1)]),
    Row("HEAD has headers and no body", [responds(200, body="twelve bytes")], 200, 1, call={"method": "HEAD"}, then=[has(content=b"")]),
    Row("OPTIONS 204", [responds(204, headers={"Allow": "GET, POST"})], 204, 1, call={"method": "OPTIONS"}, then=[has(headers=[("Allow", "GET, POST")])]),
    Row("DELETE 204", [responds(204)], 204, 1, call={"method": "DELETE"}, then=[has(content=b"", reason="No Content")]),
    Row("POST 201 with JSON", [responds(201, json={"id": 7})], 201, 1, call=JSON, then=[sent_bodies(b'{"amount":5}')]),
    Row("PUT bytes", [OK], 200, 1, call={"method": "PUT", "data": b"\x00\xff"}, then=[sent_header("Content-Type", None)]),
    Row("PUT without a body", [OK], 200, 1, call={"method": "PUT"}, then=[sent_bodies(b"")]),
    Row("PATCH a form", [OK], 200, 1, call={"method": "PATCH", "data": {"a": "1 2", "b": ["x", "y"]}}, then=[sent_bodies(b"a=1+2&b=x&b=y")]),
    Row("POST a stream", [OK], 200, 1, call={"method": "POST"}, per_call=stream, then=[sent_bodies(b"one shot")]),
    Row("GET with a query", [OK], 200, 1, call={"path": "/?q=1", "params": {"name": "é &", "none": None, "flag": True}}, then=[sent_urls("http://here/?q=1&name=%C3%A9%20%26&flag=true")]),
    Row("GET 404 is a response, not an error", [responds(404, body="no")], 404, 1, then=[has(content=b"no", sent_state="answered")]),
    Row("GET 401 is a response, not an error", [responds(401, headers={"WWW-Authenticate": "Basic"})], 401, 1),
    Row("GET 304 has no body", [responds(304, headers={"ETag": '"a"'})], 304, 1, then=[has(content=b"")]),
    Row("an unusual reason phrase", [responds(299, reason="Fine By Me")], 299, 1, then=[has(reason="Fine By Me")]),
    Row("no reason phrase", [raw_bytes(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")], 200, 1, then=[has(reason="", content=b"ok")]),
    Row("repeated headers", [responds(200, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])], 200, 1, then=[has(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])]),
    Row("a header in UTF-8", [responds(200, headers={"X-Name": "Zoë"})], 200, 1, then=[has(headers=[("X-Name", "Zoë")])]),
    Row("a header in latin-1", [raw_bytes(b"HTTP/1.1 200 OK\r\nX-Name: Zo\xeb\r\nContent-Length: 0\r\n\r\n")], 200, 1, then=[has(headers=[("X-Name", "Zoë")])]),
    Row("a chunked body", [responds(200, body="in two pieces", chunked=True)], 200, 1, then=[has(content=b"in two pieces")]),
    Row("a body that ends with the connection", [raw_bytes(b"HTTP/1.1 200 OK\r\n\r\nall of it")], 200, 1, then=[has(content=b"all of it")]),
    Row("an HTTP/1.0 response", [raw_bytes(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")], 200, 1, then=[has(content=b"old")]),
    Row("early hints before the response", [raw_bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", every=0.02)], 200, 1, then=[has(headers=[], content=b"ok")]),
    Row("a body that trickles in before the timeout", [does(drip("slow", 0.01))], 200, 1, then=[has(content=b"slow")]),
    Row("a gzipped body", [responds(200, headers={"Content-Encoding": "gzip"}, body=GZIPPED)], 200, 1, then=[has(content=b"hello " * 50)]),
    Row("two codings in two headers", [responds(200, headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")], body=gzip.compress(GZIPPED))], 200, 1, then=[has(content=b"hello " * 50)]),
    Row("decompression switched off", [responds(200, headers={"Content-Encoding": "gzip"}, body=GZIPPED)], 200, 1, config={"enable_response_decompression": False}, then=[has(content=GZIPPED)]),
    Row("two calls of one client", [OK], 200, 2, calls=2),
    Row("auth and cookies", [OK], 200, 1, call={"auth": ("ann", "pass"), "cookies": {"a": "1"}}, then=[sent_header("Authorization", "Basic YW5uOnBhc3M=")]),
]

RETRIED_STATUSES = [
    Row("GET 503, then 200", [DOWN, OK], 200, 2, jittered(1), then=[has(attempts=2)]),
    Row("GET 503 every time", [DOWN], 503, 3, jittered(1, 2), then=[has(content=b"down", attempts=3)]),
    Row("GET 500, then 502, then 200", [FAILS, responds(502), OK], 200, 3, jittered(1, 2)),
    Row("GET 504, then 404", [responds(504), responds(404)], 404, 2, jittered(1)),
    Row("GET 408, then 200", [responds(408), OK], 200, 2, jittered(1)),
    Row("GET 425, then 200", [responds(425), OK], 200, 2, jittered(1)),
    Row("GET 501 is not retried", [responds(501)], 501, 1),
    Row("HEAD 503, then 200", [DOWN, OK], 200, 2, jittered(1), call={"method": "HEAD"}),
    Row("OPTIONS 503, then 200", [DOWN, OK], 200, 2, jittered(1), call={"method": "OPTIONS"}),
    Row("PUT 500, then 200", [FAILS, OK], 200, 2, jittered(1), call={"method": "PUT", "json": [1]}, then=[sent_bodies(b"[1]", b"[1]")]),
    Row("DELETE 500, then 204", [FAILS, responds(204)], 204, 2, jittered(1), call={"method": "DELETE"}),
    Row("POST 500 is not repeated", [FAILS, OK], 500, 1, call=JSON),
    Row("PATCH 502 is not repeated", [responds(502), OK], 502, 1, call={"method": "PATCH", "json": {}}),
    Row("POST 503 without Retry-After is not repeated", [DOWN, OK], 503, 1, call=JSON),
    Row("POST 503 with Retry-After was refused, so it is repeated", [busy("2", 503), OK], 200, 2, [2.0], call=JSON),
    Row("POST 425 was refused, so it is repeated", [responds(425), OK], 200, 2, jittered(1), call=JSON),
    Row("POST 500 with a key is repeated", [FAILS, OK], 200, 2, jittered(1), call=KEYED, then=[sent_header("Idempotency-Key", "order-7")]),
    Row("POST 500 with X-Idempotency-Key is repeated", [FAILS, OK], 200, 2, jittered(1), call={**JSON, "headers": {"X-Idempotency-Key": "a"}}),
    Row("POST 500 with a generated key is repeated", [FAILS, OK], 200, 2, jittered(1), call=JSON, config={"auto_idempotency_key": True}, then=[sent_header("Idempotency-Key", "key 1")]),
    Row("POST 500 with idempotent=True is repeated", [FAILS, OK], 200, 2, jittered(1), call={**JSON, "idempotent": True}),
    Row("GET 500 with idempotent=False is not repeated", [FAILS, OK], 500, 1, call={"idempotent": False}),
    Row("a stream is not sent twice", [DOWN, OK], 503, 1, call={"method": "PUT"}, per_call=stream, then=[sent_bodies(b"one shot")]),
    Row("a file is rewound to its position before the call", [DOWN, OK], 200, 2, jittered(1), call={"method": "PUT"}, per_call=file, then=[sent_bodies(b"body", b"body")]),
]

RETRY_AFTER = [
    Row("429 with seconds", [busy("3"), OK], 200, 2, [3.0]),
    Row("429 with fewer seconds than the backoff", [busy("0"), OK], 200, 2, jittered(1)),
    Row("429 with a date", [busy(http_date_in(5)), OK], 200, 2, [5.0]),
    Row("429 with a past date", [busy(http_date_in(-5)), OK], 200, 2, jittered(1)),
    Row("429 with garbage", [busy("soon"), OK], 200, 2, jittered(1)),
    Row("429 with a wait longer than the attempt's timeout", [busy("31"), OK], 429, 1, then=[has(sent_state="refused")]),
    Row("429 with a wait longer than max_delay", [busy("5"), OK], 429, 1, config={"retry_policy_config": {"max_delay": 4.0}}),
    Row("503 with an absurd wait", [busy("99999999999999999999", 503), OK], 503, 1),
    Row("503 with a date beyond the deadline", [busy(http_date_in(9), 503), OK], 503, 1, call={"total_timeout": 5.0}),
    Row("POST 429, three times", [busy("1")], 429, 3, [max(1.0, wait) for wait in jittered(1, 2)], call=JSON),
]

BROKEN = [
    Row("GET refused every time", [REFUSES] * 3, "ConnectError", 0, jittered(1, 2), then=[has(sent_state="never_sent", cause=("ConnectionRefusedError", errno.ECONNREFUSED))]),
    Row("GET refused, then 200", [REFUSES, OK], 200, 1, jittered(1)),
    Row("POST refused was never sent, so it is sent again", [REFUSES, OK], 200, 1, jittered(1), call=JSON),
    Row("a refused connection reads nothing of a stream", [REFUSES, OK], 200, 1, jittered(1), call={"method": "POST"}, per_call=stream, then=[sent_bodies(b"one shot")]),
    Row("DELETE refused, without retries", [REFUSES], "ConnectError", 0, call={"method": "DELETE", **ONCE}),
    Row("GET reset, then 200", [RESETS, OK], 200, 2, jittered(1), then=[has(sent_state="answered")]),
    Row("GET reset every time", [RESETS], "ConnectionLostError", 3, jittered(1, 2), then=[has(sent_state="maybe_processed")]),
    Row("POST reset is not repeated", [RESETS, OK], "ConnectionLostError", 1, call=JSON),
    Row("POST reset with a key is repeated", [RESETS, OK], 200, 2, jittered(1), call=KEYED),
    Row("PATCH reset with idempotent=True is repeated", [RESETS, OK], 200, 2, jittered(1), call={"method": "PATCH", "json": {}, "idempotent": True}),
    Row("PUT reset, then 503, then 200", [RESETS, DOWN, OK], 200, 3, jittered(1, 2), call={"method": "PUT"}),
    Row("GET closed before the response", [does(hang_up())], "ConnectionLostError", 1, call=ONCE),
    Row("POST closed before the response is not repeated", [does(hang_up()), OK], "ConnectionLostError", 1, call=JSON),
    Row("an idle connection that the server closed", [responds(200, close=True), OK], 200, 2, calls=2),
    Row("closed in the head", [raw_bytes(b"HTTP/1.1 200 OK\r\nConte")], "ProtocolError", 1, call=ONCE),
    Row("reset in the body, then 200", [does(reset(CUT)), OK], 200, 2, jittered(1)),
    Row("a body cut short", [does(hang_up(CUT))], "ProtocolError", 1, call=ONCE, then=[has(sent_state="maybe_processed")]),
    Row("a chunk cut short", [raw_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf")], "ProtocolError", 1, call=ONCE),
    Row("a chunk without a size", [raw_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\nhalf\r\n0\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("a response that is not HTTP", [raw_bytes(b"220 smtp.example.com ESMTP\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("a response that is not HTTP, then 200", [raw_bytes(b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n"), OK], 200, 2, jittered(1)),
    Row("a status that is not a number", [raw_bytes(b"HTTP/1.1 abc Never\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("a length that is not a number", [raw_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n")], "ProtocolError", 1, call=ONCE),
    Row("POST with a response that is not HTTP is not repeated", [raw_bytes(b"garbage\r\n\r\n"), OK], "ProtocolError", 1, call=JSON),
    Row("corrupt gzip", [responds(200, headers={"Content-Encoding": "gzip"}, body="not gzip"), OK], "DecodingError", 1),
    Row("truncated gzip", [responds(200, headers={"Content-Encoding": "gzip"}, body=GZIPPED[:-4]), OK], "DecodingError", 1),
    Row("an unknown coding", [responds(200, headers={"Content-Encoding": "rot13"}, body="uryyb")], 200, 1),
    Row("a body over the limit", [wire_only(responds(200, body=b"x" * 101))], "ResponseTooLargeError", 1, config={"max_response_size": 100}),
    Row("a decompression bomb over the limit", [responds(200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(10**6)))], "ResponseTooLargeError", 1, config={"max_response_size": 1000}),
    Row("a body at the limit", [responds(200, body=b"x" * 100)], 200, 1, config={"max_response_size": 100}),
]

SLOW = [
    Row("GET stalled, then 200", [STALLS, OK], 200, 2, jittered(1), call={"timeout": 0.25}),
    Row("POST stalled is not repeated", [STALLS, OK], "AttemptTimeoutError", 1, call={**JSON, "timeout": 0.1}, then=[has(sent_state="maybe_processed")]),
    Row("no response within the read timeout", [STALLS], "ReadTimeoutError", 1, call={**ONCE, "timeout": Timeout(total=5.0, read=0.1)}),
    Row("a body that trickles beyond the timeout", [does(drip("x" * 100, 0.03))], "AttemptTimeoutError", 1, call={**ONCE, "timeout": 0.15}),
    Row("a head that trickles beyond the timeout", [raw_bytes(b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 9, every=0.15)], "AttemptTimeoutError", 1, call={**ONCE, "timeout": 0.6}),
    Row("a body that stalls", [raw_bytes(CUT, b"late", every=5.0)], "ReadTimeoutError", 1, call={**ONCE, "timeout": Timeout(total=5.0, read=0.1)}),
    Row("an upload that stalls", [does(stall_reading())], "AttemptTimeoutError", 1, call={"method": "PUT", "data": bytes(20_000_000), **ONCE, "timeout": 0.2}),
    Row("the deadline expires during a healthy attempt", [STALLS], "DeadlineExceededError", 1, call={"total_timeout": 0.1}, real_time=True, then=[has(sent_state="abandoned")]),
    Row("the circuit breaker's timeout", [STALLS], "AttemptTimeoutError", 1, call=ONCE, config={"circuit_breaker_config": {"timeout": 0.1}}),
]

REDIRECTS = [
    Row("301 on GET", {"/": [redirect_to("/b", 301)], "/b": [OK]}, 200, 2, then=[has(history=[(301, "http://here/")], url="http://here/b")]),
    Row("302 on POST becomes GET", {"/": [redirect_to("/b")], "/b": [OK]}, 200, 2, call=JSON, then=[sent_bodies(b'{"amount":5}', b"")]),
    Row("301 on PUT stays PUT", {"/": [redirect_to("/b", 301)], "/b": [OK]}, 200, 2, call={"method": "PUT", "data": b"x"}, then=[sent_bodies(b"x", b"x")]),
    Row("303 on PUT becomes GET", {"/": [redirect_to("/b", 303)], "/b": [OK]}, 200, 2, call={"method": "PUT", "data": b"x"}, then=[sent_bodies(b"x", b"")]),
    Row("303 on HEAD stays HEAD", {"/": [redirect_to("/b", 303)], "/b": [OK]}, 200, 2, call={"method": "HEAD"}),
    Row("307 on POST keeps the body", {"/": [redirect_to("/b", 307)], "/b": [OK]}, 200, 2, call=JSON, then=[sent_bodies(b'{"amount":5}', b'{"amount":5}')]),
    Row("308 on PATCH keeps the body", {"/": [redirect_to("/b", 308)], "/b": [OK]}, 200, 2, call={"method": "PATCH", "json": 1}, then=[sent_bodies(b"1", b"1")]),
    Row("307 of a stream cannot be followed", {"/": [redirect_to("/b", 307)], "/b": [OK]}, "UnsafeRedirectError", 1, call={"method": "POST"}, per_call=stream),
    Row("a relative redirect", {"/a/b": [redirect_to("../c?d=e")], "/c": [OK]}, 200, 2, call={"path": "/a/b"}),
    Row("a redirect in UTF-8", {"/": [redirect_to("/caf\u00e9")], "/caf%C3%A9": [OK]}, 200, 2),
    Row("a redirect to another origin drops credentials", {"/": [redirect_to("{elsewhere}/b", 307)], "elsewhere/b": [OK]}, 200, 2, call={"auth": "token", "headers": {"X-API-Key": "k"}}, then=[sent_header("Authorization", None)]),
    Row("a redirect within the origin keeps credentials", {"/": [redirect_to("{here}/b", 307)], "/b": [OK]}, 200, 2, call={"auth": "token"}, then=[sent_header("Authorization", "Bearer token")]),
    Row("as many redirects as allowed", {"/": [redirect_to("/b")], "/b": [redirect_to("/c")], "/c": [OK]}, 200, 3, config={"allowed_redirect_count": 2}),
    Row("one redirect too many", {"/": [redirect_to("/b")], "/b": [redirect_to("/c")], "/c": [OK]}, "TooManyRedirectsError", 2, config={"allowed_redirect_count": 1}),
    Row("a redirect loop", [redirect_to("/")], "TooManyRedirectsError", 11),
    Row("allow_redirects=False", [redirect_to("/b")], 302, 1, call={"allow_redirects": False}),
    Row("no redirects allowed", [redirect_to("/b")], 302, 1, config={"allowed_redirect_count": 0}),
    Row("a redirect without a Location", [responds(302)], 302, 1),
    Row("a redirect to another scheme", [redirect_to("ftp://here/file")], "UnsafeRedirectError", 1),
    Row("a redirect with credentials in its URL", [redirect_to("http://ann:pass@here/")], "UnsafeRedirectError", 1),
    Row("an attempt is retried from its first hop", {"/": [redirect_to("/b")], "/b": [DOWN, OK]}, 200, 4, jittered(1)),
    Row("reset after a redirect", {"/": [redirect_to("/b")], "/b": [RESETS, OK]}, 200, 4, jittered(1)),
]

POLICIES = [
    Row("no retries for this client", [DOWN, OK], 503, 1, config={"enable_retry_policy": False}),
    Row("no retries for this call", [DOWN, OK], 503, 1, call=ONCE),
    Row("one attempt", [DOWN, OK], 503, 1, config={"retry_policy_config": {"max_attempts": 1}}),
    Row("five attempts at a constant delay", [DOWN], 503, 5, [1.0] * 4, call={"retry_policy": steadily(5)}),
    Row("a policy that retries only 404", [responds(404), DOWN, OK], 503, 2, [1.0], call={"retry_policy": steadily(retry_conditions=[RetryCondition.on_status_codes([404])])}),
    Row("a policy that retries only timeouts", [RESETS, OK], "ConnectionLostError", 1, call={"retry_policy": steadily(retry_conditions=[RetryCondition.on_timeout()])}),
    Row("a policy that judges the result", [responds(200, body="pending"), OK], 200, 2, [1.0], call={"retry_policy": steadily(retry_conditions=[RetryCondition.on_result(lambda r: getattr(r, "content", b"") == b"pending")])}),
    Row("an empty retry budget", [DOWN], 503, 1, config={"retry_budget_config": {"ratio": 0.0, "min_per_second": 0.0}}),
    Row("the retry budget runs out during the call", [DOWN], 503, 2, jittered(1), config={"retry_budget_config": {"ratio": 1.0, "min_per_second": 0.0}}),
    Row("no retry budget", [DOWN, OK], 200, 2, jittered(1), config={"enable_retry_budget": False}),
    Row("the deadline is too near for a wait", [DOWN, OK], 503, 1, call={"retry_policy": steadily(delay=2.0), "total_timeout": 1.5}),
    Row("the deadline is too near for a second wait", [RESETS], "ConnectionLostError", 2, [1.0], call={"retry_policy": steadily(), "total_timeout": 1.5}),
    Row("the client's total_timeout", [FAILS], 500, 2, [1.0], call={"retry_policy": steadily()}, config={"total_timeout": 2.0}),
    Row("the circuit opens during the call", [DOWN], 503, 2, jittered(1), config={"circuit_breaker_config": {"failure_threshold": 2, "recovery_timeout": 60.0}}),
    Row("the circuit is open before the call", [RESETS], "CircuitOpenError", 2, calls=3, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 2, "recovery_timeout": 60.0}}, then=[has(sent_state="never_sent", retry_after=60.0)]),
    Row("the circuit is open before a call with retries", [REFUSES] * 9, "CircuitOpenError", 0, [1.0, 1.0], calls=2, call={"retry_policy": steadily()}, config={"circuit_breaker_config": {"failure_threshold": 3, "recovery_timeout": 60.0}}),
    Row("a trial passes after the recovery timeout", [DOWN, OK], 200, 2, calls=2, pause=60.0, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 1, "recovery_timeout": 60.0}}),
    Row("trials close the circuit", [DOWN, OK], 200, 4, calls=4, pause=60.0, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 1, "recovery_timeout": 60.0, "success_threshold": 3}}),
    Row("a failed trial reopens the circuit", [DOWN], "CircuitOpenError", 2, calls=3, pause=31.0, call=ONCE, config={"circuit_breaker_config": {"failure_threshold": 1, "recovery_timeout": 31.0, "recovery_multiplier": 2.0}}),
    Row("404 does not open a circuit", [responds(404)], 404, 3, calls=3, config={"circuit_breaker_config": {"failure_threshold": 1}}),
    Row("no circuit breaker for this client", [DOWN], 503, 6, calls=6, call=ONCE, config={"enable_circuit_breaker": False}),
    Row("no circuit breaker for this call", [DOWN], 503, 6, calls=6, call={**ONCE, "circuit_breaker": False}),
    Row("a circuit breaker of the call's own", [DOWN], 503, 1, call={**ONCE}, per_call=lambda: {"circuit_breaker": CircuitBreakerPolicy(failure_threshold=1, clock=lambda: 100.0)}),
    Row("a timeout of the call's own", [OK], 200, 1, call={"timeout": 9.0, "total_timeout": 20.0}),
]

INTERCEPTED = [
    Row("a plain interceptor runs for each attempt", [DOWN, OK], 200, 2, jittered(1), config=on_request(AddsHeader), then=[sent_header("X-Attempt", "2")]),
    Row("an async interceptor runs for each attempt", [DOWN, OK], 200, 2, jittered(1), config=on_request(AddsHeaderAsync), then=[sent_header("X-Async", "yes")]),
    Row("an async and a plain interceptor run in order", [OK], 200, 1, config=on_request(AddsHeaderAsync, AddsHeader), then=[sent_headers_end_with(("X-Async", "yes"), ("X-Attempt", "1"))]),
    Row("a change of the body is applied once", [FAILS, OK], 200, 2, jittered(1), call=KEYED, config=on_request(ChangesBody), then=[sent_bodies(*[b'{"amount":5,"signed":true}'] * 2)]),
    Row("a change of the URL is applied once", {"/moved": [DOWN, OK]}, 200, 2, jittered(1), config=on_request(ChangesUrl), then=[sent_urls(*["http://here/moved"] * 2)]),
    Row("an interceptor replaces the request", [OK], 200, 1, call=JSON, config=on_request(Replaces), then=[sent_bodies(b"another")]),
    Row("an interceptor returns a response", [OK], 200, 0, config=on_request(Responds), then=[has(content=b"cached", attempts=1)]),
    Row("an interceptor returns a response that is retried", [OK], 503, 0, jittered(1, 2), config=on_request(RespondsDown)),
    Row("an interceptor raises", [OK], "PermissionError", 0, config=on_request(Raises)),
    Row("an async interceptor raises", [OK], "PermissionError", 0, call=JSON, config=on_request(AddsHeader, RaisesAsync)),
    Row("an interceptor returns None", [OK], "InterceptorError", 0, config=on_request(ReturnsNone)),
    Row("an interceptor sets an invalid header", [OK], "InvalidRequestError", 0, config=on_request(SetsInvalidHeader)),
    Row("a response interceptor runs for each attempt", [DOWN, OK], 200, 2, jittered(1), config=on_response(MarksResponse)),
    Row("an async response interceptor replaces the response", [OK], 203, 1, config=on_response(MarksResponse, ReplacesResponseAsync), then=[has(content=b'{"OK": TRUE}')]),
    Row("a response interceptor hides a failure", [FAILS], 203, 1, config=on_response(ReplacesResponseAsync)),
    Row("a response interceptor raises", [FAILS], "LookupError", 1, config=on_response(RaisesOnResponse)),
    Row("a refused connection runs no response interceptor", [REFUSES], "ConnectError", 0, call=ONCE, config=on_response(RaisesOnResponse)),
    Row("an open circuit runs no interceptor", [DOWN], "CircuitOpenError", 1, calls=2, call=ONCE, config={**on_request(Counted), "circuit_breaker_config": {"failure_threshold": 1}}, then=[ran_once]),
]
# fmt: on

TABLE = [
    *RESPONSES,
    *RETRIED_STATUSES,
    *RETRY_AFTER,
    *BROKEN,
    *SLOW,
    *REDIRECTS,
    *POLICIES,
    *INTERCEPTED,
    *AUTHENTICATED,
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_way_has_the_same_record(row: Row) -> None:
    """A scenario ends as the table says, sync and async, over sockets and over the script."""
    first = None
    for way, record in records(row):
        shown = f"{way}:\n{record.explained}"
        assert (record.result, len(record.received)) == (row.expected_result, row.expected_requests), shown
        assert record.waits == pytest.approx(list(row.expected_waits)), shown
        for check in row.then:
            check(record)
        first = first or record
        differences = first.differences(record)
        assert not differences, f"{way} differs in " + "\n".join(differences)


def test_the_names_of_the_rows_are_unique() -> None:
    """And no table has been left out: there are at least 140 rows."""
    names = [row.name for row in TABLE]
    assert len(set(names)) == len(names) >= 140
