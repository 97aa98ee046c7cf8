"""A cached client over a scripted service in virtual time."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from http_service_client import Cache, HttpResponse
from http_service_client.events import CacheFailed, CacheUsed
from http_service_client.policies import StoredResponse
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd

__all__ = ["URL", "Cached", "cached_for"]

URL = "https://api.example.com/items"


def cached_for(lifetime: int, body: str = "", *more: str, **headers: str) -> HttpResponse:
    """A response that is fresh for so many seconds."""
    directives = ", ".join((f"max-age={lifetime}", *more))
    return HttpResponse(200, content=body, headers={"Cache-Control": directives, **headers})


def stored(text: str = "x", *, variant: str = "", size: int = 0) -> StoredResponse:
    """A stored response."""
    content = text.encode().ljust(size, b".")
    return StoredResponse(200, "OK", (("A", text),), content, 1.0, 2.0, (("v", variant),))


class Cached:
    """A client with a cache.

    script: what the service responds.   cache: None for a new one with `settings`.   options: of the client.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        *script: Any,
        cache: Cache | None = None,
        settings: dict[str, Any] | None = None,
        clock: VirtualClock | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.front_end = front_end
        self.cache = cache or Cache(**(settings or {}))
        given = script[0] if len(script) == 1 and isinstance(script[0], dict) else list(script)
        self.transport = ScriptedTransport(given, clock=self.clock)
        self.client = front_end.client(
            cache=self.cache,
            transport=self.transport,
            clock=self.clock,
            **{"enable_throttle_gate": False, "enable_retry_policy": False, **options},
        )

    def get(self, url: str = URL, **options: Any) -> HttpResponse:
        return self.request("GET", url, **options)

    def request(self, method: str, url: str = URL, **options: Any) -> HttpResponse:
        return self.front_end.request(self.client, method, url, **options)

    @property
    def sends(self) -> int:
        return len(self.transport.sent)

    def date(self, offset: float = 0.0) -> str:
        """The HTTP-date of an instant, `offset` seconds from now."""
        return formatdate(self.clock.wall() + offset, usegmt=True)


def used(response: HttpResponse) -> CacheUsed:
    """What the cache did for this response."""
    assert response.timeline is not None
    found = response.timeline.cache_used
    assert found is not None
    return found


def failed(response: HttpResponse) -> list[CacheFailed]:
    """The failures of the storage during this call."""
    assert response.timeline is not None
    return [event for event in response.timeline if isinstance(event, CacheFailed)]
