"""Scenarios of auth flows and of signers, for `test_parity.py`."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Generator
from typing import Any

from http_service_client import HttpRequest, HttpResponse
from http_service_client.auth import Bearer, SignableRequest
from kit.parity import REFUSES, RESETS, STALLS, Record, Row, jittered, responds

__all__ = ["AUTHENTICATED"]

OK = responds(200, json={"ok": True})
DENIED = responds(401, headers={"WWW-Authenticate": "Bearer"}, body="denied")
DOWN = responds(503, body="down")
FRESH = responds(200, body="fresh")
JSON: dict[str, Any] = {"method": "POST", "json": {"amount": 5}}


class Refreshing:
    """Gets a token from /token, if it has none or the one that it has is refused."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        if self.token is not None:
            request.headers["Authorization"] = f"Bearer {self.token}"
            response = yield request
            if response.status_code != 401:
                return
        origin = request.url[: request.url.index("/", 8)]
        answer = yield HttpRequest("POST", f"{origin}/token", data={"grant_type": "client_credentials"})
        self.token = answer.raise_for_status().text
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


def refreshing(token: str | None = "old", **options: Any) -> Any:
    """A flow with this token for each call, and a body that is used up, if one is given."""

    def per_call() -> dict[str, Any]:
        body = {"data": iter([b"one ", b"shot"])} if options.get("once") else {}
        body = {"data": io.BytesIO(b"file")} if options.get("file") else body
        return {"auth": Refreshing(token), **body}

    return per_call


def tokens(*expected: str | None) -> Any:
    """The Authorization of each request that a server received."""

    def check(record: Record) -> None:
        found = [dict(headers).get("Authorization") for _, _, headers, _ in record.received]
        assert found == [None if token is None else f"Bearer {token}" for token in expected]

    return check


def digest(request: SignableRequest, context: Any) -> None:
    request.headers["X-Signature"] = hashlib.sha256(b"".join(request.chunks())).hexdigest()


async def digest_async(request: SignableRequest, context: Any) -> None:
    await asyncio.sleep(0)
    digest(request, context)


def are_signed(*which: bool) -> Any:
    """Which requests have a signature; each is that of the body that came."""

    def check(record: Record) -> None:
        signatures = [dict(headers).get("X-Signature") for _, _, headers, _ in record.received]
        bodies = [hashlib.sha256(body).hexdigest() for *_, body in record.received]
        assert signatures == [
            body if is_signed else None for body, is_signed in zip(bodies, which, strict=True)
        ]

    return check


def redirect_to(location: str) -> Any:
    return responds(307, headers={"Location": location})


# fmt: off
AUTHENTICATED = [
    Row("a flow that needs nothing", [OK], 200, 1, per_call=refreshing(), then=[tokens("old")]),
    Row("a POST is sent again after a 401", {"/": [DENIED, OK], "/token": [FRESH]}, 200, 3, call=JSON, per_call=refreshing(), then=[tokens("old", None, "fresh")]),
    Row("a POST is not sent a third time after a lost connection", {"/": [DENIED, RESETS], "/token": [FRESH]}, "ConnectionLostError", 3, call=JSON, per_call=refreshing()),
    Row("a POST is not sent a third time after a timeout", {"/": [DENIED, STALLS], "/token": [FRESH]}, "AttemptTimeoutError", 3, call={**JSON, "timeout": 0.3}, per_call=refreshing()),
    Row("a GET is retried after a 401 and a lost connection", {"/": [DENIED, RESETS, OK], "/token": [FRESH]}, 200, 4, jittered(1), per_call=refreshing(), then=[tokens("old", None, "fresh", "fresh")]),
    Row("a second 401 is the response", {"/": [DENIED], "/token": [FRESH]}, 401, 3, call=JSON, per_call=refreshing()),
    Row("no token, no request", {"/": [OK], "/token": [responds(400, body="no")]}, "HttpStatusError", 1, call=JSON, per_call=refreshing(None)),
    Row("a token service that cannot be reached is tried again", {"/": [OK], "/token": [REFUSES, FRESH]}, 200, 2, jittered(1), call=JSON, per_call=refreshing(None)),
    Row("a token service that breaks off is tried again, since the POST was never sent", {"/": [OK], "/token": [RESETS, FRESH]}, 200, 3, jittered(1), call=JSON, per_call=refreshing(None)),
    Row("a retry keeps its token", {"/": [DENIED, DOWN, OK], "/token": [FRESH]}, 200, 4, jittered(1), per_call=refreshing(), then=[tokens("old", None, "fresh", "fresh")]),
    Row("a stream returns the 401", {"/": [DENIED, OK], "/token": [FRESH]}, 401, 2, call={"method": "POST"}, per_call=refreshing(once=True)),
    Row("a file is rewound after a 401", {"/": [DENIED, OK], "/token": [FRESH]}, 200, 3, call={"method": "POST"}, per_call=refreshing(file=True)),
    Row("a redirect within the origin has a flow of its own", {"/": [redirect_to("/b")], "/b": [DENIED, OK], "/token": [FRESH]}, 200, 4, call=JSON, per_call=refreshing(), then=[tokens("old", "old", None, "fresh")]),
    Row("a 303 and a 401 do not repeat the POST", {"/": [responds(303, headers={"Location": "/b"})], "/b": [DENIED, OK], "/token": [FRESH]}, 200, 4, call=JSON, per_call=refreshing()),
    Row("a flow does not follow to another origin", {"/": [redirect_to("{elsewhere}/b")], "elsewhere/b": [DENIED]}, 401, 2, call=JSON, per_call=refreshing(), then=[tokens("old", None)]),
    Row("the 401 after a redirect back is returned", {"/": [redirect_to("{elsewhere}/b")], "elsewhere/b": [redirect_to("{here}/c")], "/c": [DENIED]}, 401, 3, call=JSON, per_call=refreshing(), then=[tokens("old", None, None)]),
    Row("the client's flow", [OK], 200, 1, config={"auth": Bearer(lambda: "t")}, then=[tokens("t")]),
    Row("the client's flow, switched off", [OK], 200, 1, call={"auth": None}, config={"auth": Bearer(lambda: "t")}, then=[tokens(None)]),
    Row("a signed form", [OK], 200, 1, call={"method": "POST", "data": {"a": "1"}}, config={"request_signers": [digest]}, then=[are_signed(True)]),
    Row("a signed body that is compressed", [OK], 200, 1, call={"method": "POST", "json": ["x" * 4000]}, config={"request_signers": [digest_async], "enable_request_compression": True}, then=[are_signed(True)]),
    Row("each attempt is signed", [DOWN, OK], 200, 2, jittered(1), config={"request_signers": [digest]}, then=[are_signed(True, True)]),
    Row("a redirect to another origin is not signed", {"/": [redirect_to("{elsewhere}/b")], "elsewhere/b": [OK]}, 200, 2, call=JSON, config={"request_signers": [digest]}, then=[are_signed(True, False)]),
    Row("a request for a token is not signed", {"/": [DENIED, OK], "/token": [FRESH]}, 200, 3, call=JSON, per_call=refreshing(), config={"request_signers": [digest]}, then=[are_signed(True, False, True)]),
    Row("a stream cannot be signed", [OK], "InvalidRequestError", 0, call={"method": "POST"}, per_call=lambda: {"data": iter([b"a"])}, config={"request_signers": [digest]}),
]
# fmt: on
