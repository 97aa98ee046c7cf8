"""The accounting example: a token is fetched, renewed after a 401, and each request is signed."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest

from authentication import accounting_config, book_invoice
from examples.local_services import Answer, ClientMaker, LocalServices, Received
from http_service_client import HttpClientConfig, HttpStatusError

pytestmark = pytest.mark.asyncio

INVOICES, TOKEN = "api.accounting.com/v1/invoices", "id.accounting.com/oauth/token"


def config() -> HttpClientConfig:
    """Without a token yet."""
    return accounting_config("pizzeria", "s3cret", b"k3y")


def token(value: str) -> Answer:
    return Answer(body={"access_token": value})


def is_signed(request: Received) -> bool:
    match = re.fullmatch("t=([0-9]+),v1=([0-9a-f]{64})", request.headers.get("X-Signature", ""))
    if match is None:
        return False
    expected = hmac.new(b"k3y", match[1].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(match[2], expected)


async def test_an_invoice_is_booked_with_a_token_and_a_signature(
    new_client: ClientMaker, services: LocalServices
) -> None:
    """The token is renewed once the service refuses it, within the same attempt and under the same key."""
    client = new_client(config())
    booked = Answer(201, {"number": "2024-1"})
    services.answer(token("first"), booked, Answer(401), token("second"), booked)
    assert [await book_invoice(client, "42", 25.5) for _ in range(2)] == ["2024-1"] * 2
    assert [request.url for request in services.received] == [TOKEN, INVOICES, INVOICES, TOKEN, INVOICES]
    invoices = [request for request in services.received if request.url == INVOICES]
    assert [request.headers["Authorization"] for request in invoices] == [
        "Bearer first",
        "Bearer first",
        "Bearer second",
    ]
    assert all(is_signed(request) for request in invoices)
    assert len({request.headers["Idempotency-Key"] for request in invoices[1:]}) == 1


async def test_no_invoice_is_sent_without_a_token(new_client: ClientMaker, services: LocalServices) -> None:
    """The token service says no: so does the call."""
    services.answer(Answer(401))
    with pytest.raises(HttpStatusError):
        await book_invoice(new_client(config()), "42", 25.5)
    assert {request.url for request in services.received} == {TOKEN}
