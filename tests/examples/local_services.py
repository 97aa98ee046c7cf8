"""The outside world of the examples: a server on loopback, the way to it, and time that does not pass.

`LocalServices` plays every host that the document names. `Rerouted` leads there: it is both real
transports, with the address of the server in place of the host, as if the name service said so. So
the examples keep their URLs, `https://api.email-service.com/v1/send` and all, and the bytes still
cross a socket. `VirtualClock` is the time of policies and clients: a wait is noted and over at once.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.test_utils import TestServer

from http_service_client import HttpRequest, HttpServiceClient, Timeout
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport
from http_service_client.transports.over_requests.transport import RequestsTransport

__all__ = ["Answer", "ClientMaker", "LocalServices", "Received", "Rerouted", "VirtualClock"]

ClientMaker = Callable[..., HttpServiceClient]  # the fixture `new_client`

_ASKED_FOR = "X-Asked-For"  # how a rerouted request tells the server which host it was meant for


@dataclass(frozen=True)
class Answer:
    """What the server answers. hangs: not at all."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False


@dataclass(frozen=True)
class Received:
    """One request as it reached the server. url: as the example wrote it.   json: None for another body."""

    method: str
    url: str
    headers: Mapping[str, str]
    json: Any
    body: bytes = b""


class LocalServices:
    """Answers every request by `answers`, in turn; the last one stays. Notes what came in `received`."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.received: list[Received] = []
        self._closing = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return str(self._server.make_url("")).rstrip("/")

    def answer(self, *answers: Answer) -> None:
        """From now on, these in turn."""
        self.answers = list(answers)

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        host = request.headers.get(_ASKED_FOR, request.host)
        headers = request.headers
        self.received.append(
            Received(
                request.method,
                f"{host}{request.path}",
                headers,
                json.loads(body) if request.content_type == "application/json" else None,
                body,
            )
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.hangs:
            await self._closing.wait()
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    async def __aenter__(self) -> LocalServices:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._server.close()


class Rerouted:
    """Both real transports, on the way to one address whatever the host.

    address: scheme, host and port; None for one where nobody listens.
    longest: seconds after which an attempt is cut, however long the example would let it take.
    """

    def __init__(self, address: str | None, longest: float | None = None) -> None:
        settings = TransportSettings(
            keep_alive_timeout=75.0,
            keep_alive_max_requests=1000,
            max_response_size=10 * 1024 * 1024,
            decompress=True,
            tls=TlsSettings(),
            proxies=ProxySettings.from_environ({}),
        )
        self._nobody = socket.socket()
        self._nobody.bind(("127.0.0.1", 0))  # and not listening: the port is taken, and refuses
        self._address = address or f"http://127.0.0.1:{self._nobody.getsockname()[1]}"
        self._longest = longest
        self._over_requests = RequestsTransport(settings)
        self._over_aiohttp = AiohttpTransport(settings)

    def send(self, request: HttpRequest, timeout: Timeout) -> Any:
        """One exchange over requests."""
        return self._over_requests.send(self._reroute(request), timeout.within(self._longest))

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Any:
        """One exchange over aiohttp."""
        return await self._over_aiohttp.send_async(self._reroute(request), timeout.within(self._longest))

    def _reroute(self, request: HttpRequest) -> HttpRequest:
        asked = urlsplit(request.url)
        request = request.copy()
        request.headers[_ASKED_FOR] = asked.netloc
        request.url = self._address + asked.path + (f"?{asked.query}" if asked.query else "")
        return request

    def close(self) -> None:
        """Close the connections over requests."""
        self._nobody.close()
        self._over_requests.close()

    async def close_async(self) -> None:
        """Close all connections."""
        self.close()
        await self._over_aiohttp.close_async()


class VirtualClock:
    """Time that passes when somebody waits, or `advance` says so. slept: the waits, in order."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 1_000.0

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds

    def monotonic(self) -> float:
        """Seconds since some instant."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return 1_700_000_000.0 + self._now

    def sleep(self, seconds: float) -> None:
        """Be so many seconds later."""
        self.slept.append(seconds)
        self.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Be so many seconds later; other tasks run meanwhile."""
        self.sleep(seconds)
        await asyncio.sleep(0)
