"""Invoices at an accounting service that wants a token and a signature: an auth flow and a request signer."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Generator
from typing import Any

from http_service_client import HttpClientConfig, HttpRequest, HttpResponse, HttpServiceClient
from http_service_client.auth import SignableRequest

TOKEN_URL = "https://id.accounting.com/oauth/token"


class ClientCredentials:
    """Fetches a token when there is none, and another one when the service refuses it."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        self._token: str | None = None

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """The same for blocking and asyncio calls. An error ends the call: nothing goes out without a token."""
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
            response = yield request
            if response.status_code != 401:
                return
        answer = yield HttpRequest("POST", TOKEN_URL, data=self._form)
        self._token = answer.raise_for_status().json()["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class WebhookSigner:
    """Signs time and body, as the service will check them: each request as it goes out, in each attempt."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign_request(self, request: SignableRequest, context: Any) -> None:
        timestamp = str(int(time.time()))
        mac = hmac.new(self._key, f"{timestamp}.".encode(), hashlib.sha256)
        for piece in request.chunks():
            mac.update(piece)
        request.headers["X-Signature"] = f"t={timestamp},v1={mac.hexdigest()}"


def accounting_config(client_id: str, client_secret: str, signing_key: bytes) -> HttpClientConfig:
    """The settings of a client for the accounting service."""
    return HttpClientConfig(
        auth=ClientCredentials(client_id, client_secret),
        request_signers=[WebhookSigner(signing_key)],
        auto_idempotency_key=True,
    )


async def book_invoice(client: HttpServiceClient, order_id: str, total: float) -> str:
    """Book an invoice and return its number."""
    response = await client.post_async(
        "https://api.accounting.com/v1/invoices", json={"order_id": order_id, "total": total}
    )
    number: str = response.raise_for_status().json()["number"]
    return number
