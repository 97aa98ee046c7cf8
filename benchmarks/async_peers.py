"""One small call by each async library: a coroutine function that returns the decoded JSON of the response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from typing import Any, cast

import aiohttp
import httpx

from http_service_client import HttpServiceClient

from .clients import OURS, OnLoop
from .scenarios import Call, Scenario, installed, made_by, our_settings, with_authority, wreq_settings

BARE = "asyncio protocol"


def async_calls(on_loop: OnLoop, scenario: Scenario, names: Collection[str] = ()) -> dict[str, Call]:
    """A coroutine function that makes the call, by each async client, ours first; by those of these names, if there are any."""
    return made_by(_ASYNC, names, on_loop, scenario)


def _ours_async(on_loop: OnLoop, scenario: Scenario) -> Call:
    client = on_loop.enter(HttpServiceClient(our_settings(scenario)))
    url, json = scenario.url, scenario.json

    async def call() -> Any:
        if json is None:
            return (await client.get_async(url)).json()
        return (await client.post_async(url, json=json)).json()

    return call


def _aiohttp(on_loop: OnLoop, scenario: Scenario) -> Call:
    def make() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=scenario.connections or 100, ssl=scenario.tls or True)
        return aiohttp.ClientSession(connector=connector)

    return aiohttp_call(on_loop.enter(on_loop.make(make)), scenario)


def aiohttp_call(session: Any, scenario: Scenario) -> Call:
    """By a session of aiohttp, or by what looks like one."""
    url, json = scenario.url, scenario.json

    async def call() -> Any:
        async with session.get(url) if json is None else session.post(url, json=json) as response:
            return await response.json()

    return call


def _httpx_async(on_loop: OnLoop, scenario: Scenario, module: Any = httpx) -> Call:
    client = on_loop.enter(module.AsyncClient(verify=scenario.tls or True))
    url, json = scenario.url, scenario.json

    async def call() -> Any:
        return (await client.get(url) if json is None else await client.post(url, json=json)).json()

    return call


def _httpx2_async(on_loop: OnLoop, scenario: Scenario) -> Call | None:
    module = installed("httpx2")
    return module and _httpx_async(on_loop, scenario, module)


def _aiosonic(on_loop: OnLoop, scenario: Scenario) -> Call | None:
    module = installed("aiosonic")
    if module is None:
        return None
    client = on_loop.enter(on_loop.make(module.HTTPClient))
    url, json, tls = scenario.url, scenario.json, scenario.tls

    async def call() -> Any:
        if json is None:
            return await (await client.get(url, ssl=tls)).json()
        return await (await client.post(url, json=json, ssl=tls)).json()

    return call


def _httpr_async(on_loop: OnLoop, scenario: Scenario) -> Call | None:
    module = installed("httpr")
    if module is None:
        return None
    client = on_loop.enter(module.AsyncClient(ca_cert_file=scenario.ca_file))
    url, json = scenario.url, scenario.json

    async def call() -> Any:
        return (await client.get(url) if json is None else await client.post(url, json=json)).json()

    return call


def _pyreqwest_async(on_loop: OnLoop, scenario: Scenario) -> Call | None:
    module = installed("pyreqwest.client")
    if module is None:
        return None
    client = on_loop.enter(with_authority(module.ClientBuilder(), scenario).build())
    url, json = scenario.url, scenario.json

    async def call() -> Any:
        request = client.get(url) if json is None else client.post(url).body_json(json)
        return await (await request.build().send()).json()

    return call


def _wreq_async(on_loop: OnLoop, scenario: Scenario) -> Call | None:
    module = installed("wreq")
    if module is None:
        return None
    client = on_loop.enter(on_loop.make(lambda: module.Client(**wreq_settings(scenario))))
    url, json = scenario.url, scenario.json

    async def call() -> Any:
        async with client.get(url) if json is None else client.post(url, json=json) as response:
            return await response.json()

    return call


class _Bare(asyncio.Protocol):
    """The limit of asyncio: a protocol that writes, and hands over what has arrived."""

    def __init__(self) -> None:
        self.received: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one

    def data_received(self, data: bytes) -> None:
        assert self.received is not None
        self.received.set_result(data)


def bare_protocol(on_loop: OnLoop, scenario: Scenario) -> Call:
    """One call at a time, of which the response is short."""
    loop = on_loop.loop
    transport, protocol = loop.run_until_complete(loop.create_connection(_Bare, *scenario.address))
    on_loop.callback(transport.close)
    sent = scenario.ready

    async def call() -> Any:
        protocol.received = loop.create_future()
        protocol.transport.write(sent)
        received = await protocol.received
        return json.loads(received[received.index(b"\r\n\r\n") + 4 :])

    return call


_ASYNC: dict[str, Callable[[OnLoop, Scenario], Call | None]] = {
    OURS: _ours_async,
    "aiohttp": _aiohttp,
    "httpx": _httpx_async,
    "httpx2": _httpx2_async,
    "aiosonic": _aiosonic,
    "httpr": _httpr_async,
    "pyreqwest": _pyreqwest_async,
    "wreq": _wreq_async,
}
