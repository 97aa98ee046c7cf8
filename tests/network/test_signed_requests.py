"""Requests signed by the signers of `http_service_client.auth`, checked by what a server received."""

from __future__ import annotations

import datetime
import io
from typing import Any

import pytest

from http_service_client import HttpRequest
from http_service_client.auth import AwsSigV4, HmacSignature, MessageSignature
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd

BODIES: list[dict[str, Any]] = [
    {"method": "GET"},
    {"json": {"a": ["x" * 3000]}},
    {"data": io.BytesIO(b"x" * 100_000)},
]


def received(front_end: FrontEnd, server: LoopbackServer, signer: Any, body: dict[str, Any]) -> Any:
    """What the server received of a signed request."""
    server.script("/a b?c=%2f&d=e:f", respond(200))
    client = front_end.client(request_signers=[signer], enable_request_compression=True)
    front_end.request(client, url=f"{server.url}/a b?c=%2f&d=e:f", **{"method": "POST", **body})
    (request,) = server.requests
    return request


def plain(server: LoopbackServer, request: Any) -> HttpRequest:
    return HttpRequest(request.method, f"{server.url}{request.target}", headers=request.headers)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: "+".join(body))
def test_an_hmac(front_end: FrontEnd, server: LoopbackServer, body: dict[str, Any]) -> None:
    """Over the URL, a time and the body."""
    signer = HmacSignature(
        "k3y",
        headers={"X-Signature": "t={timestamp},v1={signature}"},
        payload="{method} {host}{target} {timestamp}.{body}",
    )
    request = received(front_end, server, signer, body)
    options = {"method": request.method, "url": request.target}
    assert signer.verify(dict(request.headers), request.body, **options)
    assert not signer.verify(dict(request.headers), request.body + b"x", **options)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: "+".join(body))
def test_a_message_signature(front_end: FrontEnd, server: LoopbackServer, body: dict[str, Any]) -> None:
    """RFC 9421 and RFC 9530, by the library's verifier."""
    library = pytest.importorskip("http_message_signatures", reason="an extra that is not installed here")
    request = received(front_end, server, MessageSignature(b"k3y", key_id="shop"), body)
    keys = library.MappingKeyResolver(public_keys={"shop": b"k3y"}, private_keys={})
    verifier = library.HTTPMessageVerifier(
        signature_algorithm=library.algorithms.HMAC_SHA256, key_resolver=keys
    )
    message = plain(server, request)
    verifier.verify(message, max_age=datetime.timedelta(minutes=5), body=request.body)
    message.headers["Signature"] = message.headers["Signature"].replace("sig1=:", "sig1=:AAAA")
    with pytest.raises(library.InvalidSignature):
        verifier.verify(message, max_age=datetime.timedelta(minutes=5), body=request.body)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: "+".join(body))
@pytest.mark.parametrize("service", ["s3", "execute-api"])
def test_aws(front_end: FrontEnd, server: LoopbackServer, body: dict[str, Any], service: str) -> None:
    """Signature Version 4, by a verifier of the test's own."""
    pytest.importorskip("botocore", reason="an extra that is not installed here")
    from kit.sigv4 import is_signed

    signer = AwsSigV4(service, "eu-central-1", access_key="AKID", secret_key="s3cret")
    request = received(front_end, server, signer, body)
    assert is_signed(plain(server, request), request.body, "s3cret")
    assert not is_signed(plain(server, request), request.body, "other")
