"""An API with its token service, and clients that log in there."""

from __future__ import annotations

import json
from typing import Any

from http_service_client import ConstantBackoff, HttpRequest, HttpResponse, RetryPolicy
from http_service_client.auth import OAuth2ClientCredentials
from kit.fakes import Harness
from kit.front_ends import FrontEnd

__all__ = ["RETRIES", "TOKEN_URL", "Service", "granted", "harness", "login", "refused"]

TOKEN_URL = "https://id.example.com/token"


RETRIES = RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))


class Service:
    """An API and its token service.

    grants: outcomes of the token service in order; after them, tokens t1, t2, ... that the API accepts.
    answers: outcomes of the API for accepted requests; after them, 200.
    """

    def __init__(self, *grants: Any, answers: list[Any] | None = None, lifetime: Any = 3600) -> None:
        self.grants = list(grants)
        self.answers = answers or []
        self.lifetime = lifetime
        self.accepted: set[str] = set()
        self.fetches: list[HttpRequest] = []
        self.calls: list[str | None] = []

    def __call__(self, request: HttpRequest) -> Any:
        if request.url == TOKEN_URL:
            self.fetches.append(request)
            if self.grants:
                return self.grants.pop(0)
            token = f"t{len(self.fetches)}"
            self.accepted.add(f"Bearer {token}")
            return granted(token, self.lifetime)
        sent = request.headers.get("Authorization")
        self.calls.append(sent)
        if sent not in self.accepted:
            return HttpResponse(401, url=request.url, request=request)
        outcome = self.answers.pop(0) if self.answers else 200
        return outcome(request) if callable(outcome) else outcome


def granted(token: str, lifetime: Any = 3600, **more: Any) -> HttpResponse:
    members = {"access_token": token, "token_type": "bearer", "expires_in": lifetime, **more}
    return HttpResponse(
        200, headers={"Content-Type": "application/json"}, content=json.dumps(members).encode(), url=TOKEN_URL
    )


def refused(status: int, **members: Any) -> HttpResponse:
    return HttpResponse(
        status,
        headers={"Content-Type": "application/json"},
        content=json.dumps(members).encode(),
        url=TOKEN_URL,
        reason_phrase="Bad",
    )


def login(**settings: Any) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(
        token_url=TOKEN_URL, client_id="shop", client_secret="s3cret-value", **settings
    )


def harness(front_end: FrontEnd, service: Service, **settings: Any) -> Harness:
    settings.setdefault("retry_policy_config", RETRIES)
    settings.setdefault("auth", login())
    return Harness(front_end, service, **settings)
