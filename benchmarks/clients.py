"""Our own client with everything on, and the event loop that async contenders run on.

The client has its defaults (retries, budget, circuit breaker, timeouts, metrics, timeline) and two interceptors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from http_service_client import HttpClientConfig
from http_service_client.testing import ScriptedTransport

from .measuring import Work

OURS = "http_service_client"


class Tenant:
    """A typical interceptor of a service: a header on each request."""

    def intercept_request(self, request: Any, context: Any) -> Any:
        request.headers["X-Tenant"] = "blue"
        return request


class Slow:
    """A typical interceptor of a service: a check of each response."""

    def intercept_response(self, response: Any, context: Any) -> Any:
        if response.elapsed > 10:
            context.slow = True
        return response


def our_config(**settings: Any) -> HttpClientConfig:
    """The defaults and two interceptors."""
    return HttpClientConfig(request_interceptors=[Tenant], response_interceptors=[Slow], **settings)


def repeated(call: Callable[[], Any]) -> Work:
    """A call that returns decoded JSON, repeated."""

    def work(times: int) -> None:
        for _ in range(times):
            assert call() is not None

    return work


class OnLoop:
    """Runs async work from plain code, on one event loop that stays open."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self.loop = new_loop()
        self._closers: list[Callable[[], Any]] = []

    def enter(self, manager: Any) -> Any:
        """Enter an async context manager; it is left when this loop is closed."""
        self._closers.append(lambda: manager.__aexit__(None, None, None))
        return self.loop.run_until_complete(manager.__aenter__())

    def callback(self, function: Callable[[], object]) -> None:
        """A plain function to call when this loop is closed."""

        async def call() -> None:
            function()

        self._closers.append(call)

    def make(self, factory: Callable[[], Any]) -> Any:
        """The object that a factory makes inside the running loop."""

        async def inside() -> Any:
            return factory()

        return self.loop.run_until_complete(inside())

    def repeated(self, call: Callable[[], Any]) -> Work:
        """An async call, repeated, one after the other."""

        async def work(times: int) -> None:
            for _ in range(times):
                assert await call() is not None

        return lambda times: self.loop.run_until_complete(work(times))

    def at_once(self, call: Callable[[], Any]) -> Work:
        """An async call, repeated, all at once."""

        async def work(times: int) -> None:
            await asyncio.gather(*(call() for _ in range(times)))

        return lambda times: self.loop.run_until_complete(work(times))

    def by_tasks(self, count: int, call: Callable[[], Any]) -> Work:
        """An async call, repeated by so many tasks, each of which makes one after the other."""

        async def share(times: int) -> None:
            for _ in range(times):
                assert await call() is not None

        async def work(times: int) -> None:
            await asyncio.gather(*(share(times // count) for _ in range(count)))

        return lambda times: self.loop.run_until_complete(work(times))

    def __enter__(self) -> OnLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for close in reversed(self._closers):
            self.loop.run_until_complete(close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class Forgetful(ScriptedTransport):
    """A scripted transport that does not keep a million exchanges in memory."""

    def _note(self, *exchange: Any) -> None:
        pass
