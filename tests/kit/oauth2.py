"""Logins by OAuth 2.0, and a token service that grants or refuses what a test says."""

from __future__ import annotations

import datetime
import json
from typing import Any
from urllib.parse import parse_qs

from http_service_client import HttpRequest, HttpResponse
from http_service_client.auth import OAuth2ClientCredentials
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.token_services import RETRIES, TOKEN_URL

__all__ = ["GOOD", "NOW", "form_of", "grants", "login", "run", "store_later"]

NOW = datetime.datetime(1994, 11, 6, 8, 48, 37, tzinfo=datetime.timezone.utc)  # of the fake clock


def run(front_end: FrontEnd, auth: Any, *answers: Any) -> Harness:
    """A call with this auth.   answers: of the token service, in order; the API takes any token."""
    left = list(answers)

    def service(request: HttpRequest) -> Any:
        return left.pop(0) if request.url == TOKEN_URL else 200

    return Harness(front_end, service, auth=auth, retry_policy_config=RETRIES)


def grants(members: dict[str, Any] | bytes, status: int = 200) -> HttpResponse:
    content = members if isinstance(members, bytes) else json.dumps(members).encode()
    return HttpResponse(status, headers={"Content-Type": "application/json"}, content=content, url=TOKEN_URL)


def login(**settings: Any) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(
        **{"token_url": TOKEN_URL, "client_id": "shop", "client_secret": "s3cret", **settings}
    )


def form_of(harness: Harness, number: int = 0) -> dict[str, list[str]]:
    body = harness.transport.bodies[number]
    assert body is not None
    return parse_qs(body.decode(), strict_parsing=True)


GOOD = {"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}


async def store_later(token: str) -> None: ...
