"""A client of three hosts that are up or down as a test says."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    Cache,
    CircuitBreakerPolicy,
    ConstantBackoff,
    HttpClientConfig,
    HttpResponse,
    RetryPolicy,
)
from http_service_client.events import RetryScheduled
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd

__all__ = ["LOST", "REFUSED", "SETTINGS", "A", "B", "Bench", "C"]

A, B, C = (f"https://{name}.example.com" for name in "abc")


REFUSED = ConnectionRefusedError()


LOST = ConnectionResetError()


SETTINGS: dict[str, Any] = {
    "base_url": f"{A}/v1",
    "alternate_urls": [B],
    "retry_policy_config": RetryPolicy(3, backoff_strategy=ConstantBackoff(1.0, jitter="none")),
    "circuit_breaker_config": CircuitBreakerPolicy(failure_threshold=3, recovery_timeout=10.0),
}


class Bench:
    """A client of three hosts, each with a script. `outcomes` is read at each exchange."""

    def __init__(self, front_end: FrontEnd, cache: Cache | None = None, **settings: Any) -> None:
        self.front_end = front_end
        self.clock = VirtualClock()
        self.events: list[Any] = []
        self.outcomes: dict[str, list[Any]] = {A: [], B: [], C: []}
        self.transport = ScriptedTransport(self._serve, clock=self.clock)
        self.client = front_end.client(
            config=HttpClientConfig(**{**SETTINGS, **settings}),
            transport=self.transport,
            cache=cache,
            clock=self.clock,
            on_event=self.events.append,
            random=lambda: 0.5,
        )

    def _serve(self, request: HttpRequest) -> Any:
        origin = request.url[: len(A)]
        outcomes = self.outcomes[origin]
        if not outcomes:
            return HttpResponse(200)
        return outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]

    def request(self, method: str = "GET", url: str = "items", **options: Any) -> HttpResponse:
        return self.front_end.request(self.client, method, url, **options)

    def error(self, kind: type[Exception], **options: Any) -> Any:
        with pytest.raises(kind) as raised:
            self.request(**options)
        return raised.value

    @property
    def urls(self) -> list[str]:
        """Where requests were sent, or should have been."""
        return [sent.request.url for sent in self.transport.sent]

    @property
    def hosts(self) -> str:
        return "".join(url[len("https://")] for url in self.urls)

    @property
    def delays(self) -> list[float]:
        return [event.delay for event in self.events if isinstance(event, RetryScheduled)]

    def down(self, host: str, outcome: Any = REFUSED) -> None:
        self.outcomes[host] = [outcome]

    def up(self, host: str) -> None:
        self.outcomes[host] = []
