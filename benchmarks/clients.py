"""The contenders that make calls: ours with everything on, and the libraries that people would use instead.

Ours has its defaults (retries, budget, circuit breaker, timeouts, metrics, timeline) and two interceptors.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import aiohttp
import aiohttp_retry
import httpx
import httpx_retries
import pybreaker
import requests
import requests.adapters
import urllib3

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.testing import ScriptedTransport

from .measuring import Work

OURS = "http_service_client"
ANSWER = {"id": 42, "status": "shipped", "carrier": "ACME Parcel"}


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


@contextmanager
def blocking(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() on one kept-alive connection, by each blocking client."""
    url = f"{base}/orders/42"
    with ExitStack() as stack:
        ours = stack.enter_context(HttpServiceClient(our_config()))
        session = stack.enter_context(requests.Session())
        plain = stack.enter_context(requests.Session())
        plain.trust_env = False
        guarded = stack.enter_context(requests.Session())
        retry = urllib3.Retry(3, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504])
        guarded.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
        pool = stack.enter_context(urllib3.PoolManager())
        httpx_client = stack.enter_context(httpx.Client())
        retrying = httpx_retries.RetryTransport(retry=httpx_retries.Retry(total=3))
        httpx_retry = stack.enter_context(httpx.Client(transport=retrying))
        yield {
            OURS: repeated(lambda: ours.get(url).json()),
            "requests": repeated(lambda: session.get(url).json()),
            "requests, trust_env off": repeated(lambda: plain.get(url).json()),
            "requests + Retry + pybreaker": repeated(lambda: breaker.call(guarded.get, url).json()),
            "httpx": repeated(lambda: httpx_client.get(url).json()),
            "httpx + httpx-retries": repeated(lambda: httpx_retry.get(url).json()),
            "urllib3": repeated(lambda: pool.request("GET", url).json()),
        }


class OnLoop:
    """Runs async work from plain code, on one event loop that stays open."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._closers: list[Callable[[], Any]] = []

    def enter(self, manager: Any) -> Any:
        """Enter an async context manager; it is left when this loop is closed."""
        self._closers.append(lambda: manager.__aexit__(None, None, None))
        return self.loop.run_until_complete(manager.__aenter__())

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

    def close(self) -> None:
        for close in reversed(self._closers):
            self.loop.run_until_complete(close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


async def _ours_json(client: HttpServiceClient, url: str) -> Any:
    return (await client.get_async(url)).json()


async def _aiohttp_json(session: Any, url: str) -> Any:
    async with session.get(url) as response:
        return await response.json()


async def _httpx_json(client: httpx.AsyncClient, url: str) -> Any:
    return (await client.get(url)).json()


def _retrying(session: aiohttp.ClientSession) -> aiohttp_retry.RetryClient:
    return aiohttp_retry.RetryClient(client_session=session)


@contextmanager
def asynchronous(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() on one kept-alive connection, by each async client."""
    url = f"{base}/orders/42"
    on_loop = OnLoop()
    ours = on_loop.enter(HttpServiceClient(our_config()))
    session = on_loop.enter(on_loop.make(aiohttp.ClientSession))
    retrying = on_loop.make(lambda: _retrying(session))
    httpx_client = on_loop.enter(httpx.AsyncClient())
    try:
        yield {
            OURS: on_loop.repeated(lambda: _ours_json(ours, url)),
            "aiohttp": on_loop.repeated(lambda: _aiohttp_json(session, url)),
            "aiohttp-retry": on_loop.repeated(lambda: _aiohttp_json(retrying, url)),
            "httpx.AsyncClient": on_loop.repeated(lambda: _httpx_json(httpx_client, url)),
        }
    finally:
        on_loop.close()


@contextmanager
def scripted(base: str) -> Iterator[dict[str, Work]]:
    """A call without a network: the cost of the core and the driver. A GET by requests for comparison."""
    url = "https://api.example.com/orders/42"
    response = HttpResponse(200, content=json.dumps(ANSWER).encode())
    on_loop = OnLoop()
    blocking_client = HttpServiceClient(our_config(), transport=Forgetful(response))
    async_client = HttpServiceClient(our_config(), transport=Forgetful(response))
    with requests.Session() as session:
        try:
            yield {
                "blocking driver": repeated(lambda: blocking_client.get(url)),
                "asyncio driver": on_loop.repeated(lambda: async_client.get_async(url)),
                "requests": repeated(lambda: session.get(f"{base}/orders/42")),
            }
        finally:
            on_loop.close()


@contextmanager
def promises(base: str) -> Iterator[dict[str, Work]]:
    """A call over the scripted transport with everything on, and with one promise less or more each time."""
    url = "https://api.example.com/orders/42"
    response = HttpResponse(200, content=json.dumps(ANSWER).encode())

    class Waiting(Tenant):
        async def intercept_request(self, request: Any, context: Any) -> Any:
            return request

    configs = {
        "everything on": our_config(),
        "no circuit breaker": our_config(enable_circuit_breaker=False),
        "no retries": our_config(enable_retry_policy=False),
        "no retry budget": our_config(enable_retry_budget=False),
        "no timeout": our_config(connection_pool=ConnectionPoolConfig(request_timeout=None)),
        "no interceptors": HttpClientConfig(),
        "a deadline too": our_config(total_timeout=10.0),
        "an async interceptor too": HttpClientConfig(
            request_interceptors=[Tenant, Waiting], response_interceptors=[Slow]
        ),
    }
    clients = {
        name: HttpServiceClient(config, transport=Forgetful(response)) for name, config in configs.items()
    }
    yield {name: repeated(partial(client.get, url)) for name, client in clients.items()}


class Forgetful(ScriptedTransport):
    """A scripted transport that does not keep a million exchanges in memory."""

    def _note(self, *exchange: Any) -> None:
        super()._note(*exchange)
        self._sent.clear()


@contextmanager
def threads(base: str, count: int = 16) -> Iterator[dict[str, Work]]:
    """GET and json() from many threads at once, on one client or session."""
    url = f"{base}/orders/42"
    with HttpServiceClient(our_config()) as ours, requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=count))
        yield {
            OURS: _from_threads(count, repeated(lambda: ours.get(url).json())),
            "requests": _from_threads(count, repeated(lambda: session.get(url).json())),
        }


def _from_threads(count: int, work: Work) -> Work:
    def shared(times: int) -> None:
        workers = [threading.Thread(target=work, args=(times // count,)) for _ in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return shared


@contextmanager
def concurrent(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() by many tasks at once."""
    url = f"{base}/orders/42"
    on_loop = OnLoop()
    ours = on_loop.enter(HttpServiceClient(our_config()))
    session = on_loop.enter(on_loop.make(aiohttp.ClientSession))
    try:
        yield {
            OURS: on_loop.at_once(lambda: _ours_json(ours, url)),
            "aiohttp": on_loop.at_once(lambda: _aiohttp_json(session, url)),
        }
    finally:
        on_loop.close()
