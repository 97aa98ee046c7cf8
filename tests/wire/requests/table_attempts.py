"""Requests that interceptors change, and requests that a retry sends again."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from http_service_client import HttpRequest
from wire.requests.recorder import ScriptedResponse
from wire.requests.rows import BOUNDARY, STANDARD, PerCall, Row, request, sent
from wire.requests.table_bodies import COMPRESSING, LONG, PACKED, Repeatable, at, chunked, of, pieces
from wire.requests.table_forms import END, OCTETS, part

__all__ = ["ROWS"]

BUSY = ScriptedResponse(503)
RETRYING = {"enable_retry_policy": True, "retry_policy_config": {"initial_delay": 0.001}}
KEYED = {"Idempotency-Key": "k"}
KEY = "Idempotency-Key: k"
FORM = part('name="f"; filename="f"', b"bc", OCTETS) + END


class Changing:
    """An interceptor that changes each request, or replaces it."""

    def __init__(self, change: Callable[[HttpRequest], Any]) -> None:
        self._change = change

    def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
        changed = self._change(request)
        return changed if isinstance(changed, HttpRequest) else request


def changed(name: str, change: Callable[[HttpRequest], Any], expected: list[bytes] | str, **call: Any) -> Row:
    config = {"request_interceptors": [Changing(change)]}
    return Row(
        f"interceptor: {name}", expected, method="POST", call={"json": {"a": 1}, **call}, config=config
    )


def setting(name: str, value: Any) -> Callable[[HttpRequest], Any]:
    return lambda request: setattr(request, name, value)


JSON = "Content-Type: application/json"
ONE = ('{"a":1}', JSON, "Content-Length: 7")

CHANGED: list[Row] = [
    changed("nothing", lambda request: None, [sent("POST /", *ONE[1:], body=b'{"a":1}')]),
    changed(
        "a header",
        lambda request: request.headers.update({"X-A": "1", "user-agent": "me"}),
        [request("POST /", "Host: here", "User-Agent: me", *STANDARD[1:], "X-A: 1", *ONE[1:], body=b'{"a":1}')],
    ),
    changed("headers as a mapping", setting("headers", {"X": 1}), [request("POST /", "Host: here", "X: 1", *ONE[1:], body=b'{"a":1}')]),
    changed("the JSON object in place", lambda request: request.json.update(b=2), [sent("POST /", JSON, "Content-Length: 13", body=b'{"a":1,"b":2}')]),
    changed("another JSON", setting("json", [1]), [sent("POST /", JSON, "Content-Length: 3", body=b"[1]")]),
    changed("the bytes", setting("content", b"xy"), [sent("POST /", "Content-Length: 2", body=b"xy")]),
    changed("no body", setting("json", None), [sent("POST /", "Content-Length: 0")]),
    changed("the method", setting("method", "put"), [sent("PUT /", *ONE[1:], body=b'{"a":1}')]),
    changed("the URL", lambda request: setattr(request, "url", request.url + "é?x=1 2"), [sent("POST /%C3%A9?x=1%202", *ONE[1:], body=b'{"a":1}')]),
    changed(
        "another request",
        lambda request: HttpRequest("PUT", request.url + "b", data={"a": "b"}),
        [request("PUT /b", "Host: here", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 3", body=b"a=b")],
    ),
    changed("a relative URL", setting("url", "/x"), "InvalidRequestError"),
    changed("a URL of None", setting("url", None), "InvalidRequestError"),
    changed("an invalid method", setting("method", "A B"), "InvalidRequestError"),
    changed("CONNECT", setting("method", "CONNECT"), "InvalidRequestError"),
    changed("a header with a line break", lambda request: request.headers.update({"X": "a\r\nb"}), "InvalidRequestError"),
    changed("framing", lambda request: request.headers.update({"Transfer-Encoding": "chunked"}), "InvalidRequestError"),
    changed("a wrong Content-Length", lambda request: request.headers.update({"Content-Length": "1"}), "InvalidRequestError"),
    changed("headers of an invalid type", setting("headers", 5), "InvalidRequestError"),
]  # fmt: skip


def retried(name: str, call: dict[str, Any], *fields: str, body: bytes, **more: Any) -> Row:
    """A POST with a key that gets a 503 first, so the same bytes are sent twice."""
    once = sent("POST /", KEY, *fields, body=body)
    more = {"config": RETRYING, "responses": [BUSY], **more}
    return Row(f"attempts: {name}", [once, once], method="POST", call={"headers": KEYED, **call}, **more)


ROWS: list[Row] = [
    *CHANGED,
    retried("JSON", {"json": {"a": 1}}, *ONE[1:], body=b'{"a":1}'),
    retried(
        "a file from its position",
        {"data": PerCall(lambda: at(1, io.BytesIO(b"abc")))},
        of(b"bc"),
        body=b"bc",
    ),
    retried(
        "a large file",
        {"data": PerCall(lambda: io.BytesIO(b"y" * 200_000))},
        of(b"y" * 200_000),
        body=b"y" * 200_000,
    ),
    retried("an iterable", {"data": Repeatable()}, "Transfer-Encoding: chunked", body=chunked(b"ab", b"c")),
    retried(
        "a form with a file",
        {"files": {"f": PerCall(lambda: at(1, io.BytesIO(b"abc")))}},
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        of(FORM),
        body=FORM,
    ),
    retried(
        "a compressed body",
        {"data": LONG},
        "Content-Encoding: gzip",
        of(PACKED),
        body=PACKED,
        config={**RETRYING, **COMPRESSING},
    ),
    Row(
        "attempts: a stream is sent once",
        [sent("POST /", KEY, "Transfer-Encoding: chunked", body=chunked(b"ab"))],
        method="POST",
        call={"data": pieces(b"ab"), "headers": KEYED},
        config=RETRYING,
        responses=[BUSY],
        expected_result=503,
    ),
    Row(
        "attempts: a POST without a key is sent once",
        [sent("POST /", *ONE[1:], body=b'{"a":1}')],
        method="POST",
        call={"json": {"a": 1}},
        config=RETRYING,
        responses=[BUSY],
        expected_result=503,
    ),
    Row(
        "attempts: each follows its redirects from the start",
        [sent("GET /"), sent("GET /b"), sent("GET /"), sent("GET /b")],
        config=RETRYING,
        responses=[
            ScriptedResponse(302, [("Location", "/b")]),
            BUSY,
            ScriptedResponse(302, [("Location", "/b")]),
        ],
    ),
]
