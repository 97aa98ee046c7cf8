"""What a signer signed is what the server receives: every header, and every byte of the body."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import aiohttp
import pytest
import requests

from http_service_client.auth import SignableRequest
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd


@pytest.fixture(params=["own connections", "hooked"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways of an exchange: over our own connections, and through requests or aiohttp, which tests and tracers patch."""
    if request.param == "hooked":
        send, ask = requests.Session.send, aiohttp.ClientSession._request

        def noted(self: Any, *args: Any, **options: Any) -> Any:
            return send(self, *args, **options)

        async def noted_async(self: Any, *args: Any, **options: Any) -> Any:
            return await ask(self, *args, **options)

        monkeypatch.setattr(requests.Session, "send", noted)
        monkeypatch.setattr(aiohttp.ClientSession, "_request", noted_async)


@pytest.mark.parametrize(
    "body",
    [
        {"method": "GET"},
        {"json": {"a": ["x" * 3000]}},
        {"data": b"x"},
        {"data": io.BytesIO(b"x" * 100_000)},
        {"files": {"f": ("name", io.BytesIO(b"x" * 3000))}},
        {
            "headers": {"Host": "virtual.test", "User-Agent": "own", "Accept-Encoding": "identity"},
            "data": b"",
        },
    ],
    ids=lambda body: "+".join(body),
)
@pytest.mark.usefixtures("path")
def test_the_server_receives_what_was_signed(
    front_end: FrontEnd, server: LoopbackServer, body: dict[str, Any]
) -> None:
    """On a new connection and on a kept one, compressed, with cookies."""
    signed: list[tuple[str, str, dict[str, str], str]] = []

    def sign(request: SignableRequest, context: Any) -> None:
        request.headers["X-Signature"] = hashlib.sha256(b"".join(request.chunks())).hexdigest()
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed.append((request.method, request.url, headers, request.headers["X-Signature"]))

    server.script("/a b?c=%2f", respond(200))
    client = front_end.client(request_signers=[sign], enable_request_compression=True, cookies=True)
    options = {"method": "POST", **body}
    client.cookies.set(server.url, "a", "1")  # type: ignore[union-attr]  # it has a jar
    for _ in range(2):
        front_end.request(client, url=f"{server.url}/a b?c=%2f", **options)
    for (method, url, headers, signature), received in zip(signed, server.requests, strict=True):
        sent = {name.lower(): value for name, value in received.headers}
        sent.pop("connection", None)
        assert (received.method, f"{server.url}{received.target}", sent) == (method, url, headers)
        assert hashlib.sha256(received.body).hexdigest() == signature
