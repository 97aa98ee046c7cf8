"""Auth flows for tests, and the requests that a client has sent."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from http_service_client import ConstantBackoff, HttpRequest, HttpResponse, RetryPolicy
from kit.fakes import Harness

__all__ = ["RETRIES", "TOKEN", "TOKEN_URL", "Refreshing", "Requests", "flow_of", "sent"]

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}


TOKEN_URL = "https://id.example.com/token"


Requests = Generator[HttpRequest, HttpResponse, None]


class Refreshing:
    """Sends a token, and fetches a new one after a 401."""

    def __init__(self, token: str | None = "old") -> None:
        self.token = token
        self.has_closed = False

    def auth_flow(self, request: HttpRequest) -> Requests:
        try:
            if self.token is not None:
                request.headers["Authorization"] = f"Bearer {self.token}"
                response = yield request
                if response.status_code != 401:
                    return
            token = yield HttpRequest("POST", TOKEN_URL, data={"grant_type": "client_credentials"})
            self.token = token.raise_for_status().text
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request
        finally:
            self.has_closed = True


def flow_of(*steps: Any) -> Any:
    """An auth whose flow yields these: a request, or a function of the call's own; None is the call's own."""

    class Scripted:
        def auth_flow(self, request: HttpRequest) -> Requests:
            for step in steps:
                yield request if step is None else step(request) if callable(step) else step

    return Scripted()


TOKEN = HttpResponse(200, content="new", url=TOKEN_URL)


def sent(harness: Harness) -> list[tuple[str, str]]:
    return [(request.method, request.url) for request in harness.transport.sent]
