"""The HTTP/2 transport of each front end, over servers in memory and in virtual time.

    side = Side(network, is_blocking, monkeypatch)
    network.at(1.0, head(1, ends=True))
    assert side.send().status_code == 200
    side.end()

The blocking one waits for the loop of the network, on the thread of the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse
from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.transports.over_h2 import transport as module
from kit.http2_network import URL, Http2Network

__all__ = ["CALLS", "Http1", "Portal", "Side", "all_of", "kinds"]


class Http1:
    """The transport of a front end for HTTP/1.1.   calls: of its methods, by name, and their arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.response: Any = HttpResponse(200, content=b"over HTTP/1.1")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((name.removesuffix("_async"), *arguments))
            return self.response

        async def call_async(*arguments: Any) -> Any:
            return call(*arguments)

        return call_async if name.endswith("_async") else call


class Portal:
    """The loop of the blocking transport.

    starts: called where its thread starts.   ends: the process does.   runs: how many steps were waited for.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.starts: Callable[[], object] = lambda: None
        self.ends = False
        self.runs = 0

    def start(self) -> None:
        self.starts()

    def run(self, step: Awaitable[Any]) -> Any:
        self.runs += 1
        if self.ends:
            step.close()  # type: ignore[attr-defined]
            raise CancelledError
        return self._loop.run_until_complete(step)

    def post(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function)


class Side:
    """The transport of one front end, over a network in memory.   is_hooked: something has hooked into its library."""

    def __init__(
        self, network: Http2Network, is_blocking: bool, monkeypatch: pytest.MonkeyPatch, **changes: Any
    ) -> None:
        self.network = network
        self.is_blocking = is_blocking
        self.is_hooked = False
        self.http1 = Http1()
        self.portal = Portal(network.loop)
        monkeypatch.setattr(module, "WIRE", self.portal)
        for library, hooked in (("Requests", "is_hooked"), ("Aiohttp", "is_hooked_async")):
            monkeypatch.setattr(module, f"{library}Transport", lambda settings: self.http1)
            is_mine = (library == "Requests") is is_blocking
            monkeypatch.setattr(module, hooked, lambda is_mine=is_mine: is_mine and self.is_hooked)
        settings = replace(network.transport._http2._settings, **changes)
        kind = module.BlockingHttp2Transport if is_blocking else module.AsyncHttp2Transport
        self.transport: Any = kind(settings)

    def send(
        self, method: str = "GET", timeout: Timeout | None = None, url: str = URL, **request: Any
    ) -> Any:
        """The outcome of an exchange whose response is read whole."""
        return self._call("send", HttpRequest(method, url, **request), timeout or Timeout())

    def open(
        self, method: str = "GET", timeout: Timeout | None = None, url: str = URL, **request: Any
    ) -> Any:
        """The outcome of an exchange whose response is left open."""
        return self._call("open_response", HttpRequest(method, url, **request), timeout or Timeout())

    def _call(self, name: str, request: HttpRequest, timeout: Timeout) -> Any:
        if self.is_blocking:
            return getattr(self.transport, name)(request, timeout)
        return self.network.run(getattr(self.transport, f"{name}_async")(request, timeout))

    def read(self, response: OpenResponse, timeout: Timeout | None = None) -> Any:
        """More of a body that was left open."""
        source: Any = response.source
        if self.is_blocking:
            return source.read(timeout or Timeout())
        return self.network.run(source.read_async(timeout or Timeout()))

    def sent(self) -> list[str]:
        """What the latest server got since the last time, after what is still to be done."""
        self.network.run(asyncio.sleep(0))
        return self.network.server.sent()

    def end(self) -> None:
        """Close everything."""
        self.transport.abort() if self.is_blocking else self.transport.close()
        self.network.run(asyncio.sleep(0))


CALLS = {"send": Side.send, "open_response": Side.open}


def all_of(body: bytes, kind: str) -> Any:
    """A body of this kind: in memory, or from a source."""
    if kind == "bytes":
        return body
    if kind == "iterable":
        return iter([body[:1], body[1:]])

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:1]
        yield body[1:]

    return chunks()


def kinds(side: Side) -> list[str]:
    """The bodies that a front end can send."""
    return ["bytes", "iterable"] if side.is_blocking else ["bytes", "iterable", "asynchronous"]
