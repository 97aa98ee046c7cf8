"""Servers of server-sent events in virtual time, and sources that read them to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient, ServerSentEvent
from http_service_client.core.open_body import OpenResponse
from http_service_client.errors import Failure
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.streaming import ScriptedSource

__all__ = ["NO_CONTENT", "TYPE", "URL", "EventServer", "Feed"]

URL = "https://api.example.com/feed"
TYPE = {"Content-Type": "text/event-stream; charset=utf-8"}
NO_CONTENT = HttpResponse(204)


class _Lasting(ScriptedSource):
    """Its end comes after so many seconds."""

    def __init__(self, script: Any, clock: FakeClock, lasts: float) -> None:
        super().__init__(script)
        self._clock = clock
        self._lasts = lasts

    def read(self, timeout: Any) -> bytes | Failure:
        piece = super().read(timeout)
        if not piece:
            self._clock.now += self._lasts
        return piece


class EventServer:
    """A network that serves one connection after the other: bodies as tuples of pieces and failures, or responses.

    A tuple may begin with its status, 200 by default, and then with its headers, `TYPE` by default.
    """

    def __init__(self, clock: FakeClock, *connections: Any, lasts: float = 0.0) -> None:
        self._clock = clock
        self._connections = [*connections, NO_CONTENT]
        self._lasts = lasts  # seconds of each connection
        self.requests: list[Any] = []
        self.timeouts: list[Any] = []  # of the requests
        self.sources: list[ScriptedSource] = []
        self.on_request: Callable[[], None] = lambda: None  # called before each answer

    def send(self, request: Any, timeout: Any) -> Any:
        self.requests.append(request)
        self.timeouts.append(timeout)
        self.on_request()
        answer = self._connections.pop(0)
        if isinstance(answer, (Failure, HttpResponse)):
            if isinstance(answer, HttpResponse):
                answer.url, answer.request = request.url, request
            return answer
        status, headers, script = 200, TYPE, answer
        if isinstance(script[0], int):
            status, script = script[0], script[1:]
        if isinstance(script[0], dict):
            headers, script = script[0], script[1:]
        source = _Lasting(script, self._clock, self._lasts)
        self.sources.append(source)
        return OpenResponse(status, source=source, headers=headers, url=request.url, request=request)

    async def send_async(self, request: Any, timeout: Any) -> Any:
        return self.send(request, timeout)

    open_response = send
    open_response_async = send_async

    @property
    def ids(self) -> list[str | None]:
        return [request.headers.get("Last-Event-ID") for request in self.requests]


class Feed:
    """An event source over an `EventServer`, read to its end, and not closed: an end releases the connection, too.

    source: the source.   events: those that came.   error: what ended it, or None.
    """

    def __init__(self, front_end: FrontEnd, *connections: Any, lasts: float = 0.0, **options: Any) -> None:
        self.clock = FakeClock()
        self.server = EventServer(self.clock, *connections, lasts=lasts)
        self.events: list[ServerSentEvent] = []
        self.error: BaseException | None = None
        self.client = HttpServiceClient(
            HttpClientConfig(
                enable_circuit_breaker=options.pop("breaker", False),
                circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 60.0},
            ),
            transport=self.server,
            clock=self.clock,
            random=lambda: 0.5,
        )
        try:
            self.source = front_end.events(self.client, URL, **options)
            for event in self.source:
                self.events.append(event)  # they are kept when it raises
        except Exception as error:
            self.error = error

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.events]
