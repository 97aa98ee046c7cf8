"""A service that fails two of three times, and what an SDK's test says of its one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing import Action, LoopbackServer, VirtualClock, reset, respond

PAUSE = respond(429, headers={"Retry-After": "2"})  # refused: also a POST without a key may be repeated


class FailingService:
    """Each path answers as scripted after two failures.

    client: whose state the adapters use; its waits take no time.
    """

    def __init__(self, server: LoopbackServer) -> None:
        self._server = server
        self.url = server.url
        self.client = HttpServiceClient(clock=VirtualClock())

    def responds(
        self,
        path: str,
        *,
        failures: tuple[Action, Action] | None = None,
        action: Action | None = None,
        **response: Any,
    ) -> None:
        """The third response on this path, or another action.   failures: before it; None for a 503 and a reset."""
        first, second = failures or (respond(503), reset())
        self._server.script(path, first, second, action or respond(**response))

    def attempts(self, path: str) -> int:
        """How many requests for this path have arrived."""
        return len(self._server.received(path))

    def received(self, path: str, header: str) -> set[str]:
        """The values of a header over all requests for this path."""
        return {
            value for each in self._server.received(path) for name, value in each.headers if name == header
        }


@pytest.fixture
def service() -> Iterator[FailingService]:
    """See `FailingService`."""
    with LoopbackServer() as server:
        service = FailingService(server)
        yield service
        service.client.close()
