"""However many responses are stale, and however long a storage hangs: there is room for what is needed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from http_service_client import Cache, HttpRequest, HttpResponse, HttpServiceClient, MemoryStorage
from http_service_client.auth import BearerToken
from http_service_client.drivers.threads import MOST_BEHIND
from kit.caches import URL, cached_for, used
from kit.front_ends import run_task

OTHER = "https://other.example.com/"  # the connections to the first service are all in use
URLS = [f"{URL}/{number}" for number in range(MOST_BEHIND + 10)]


class Service:
    """Its responses are stale at once. From `stop` on, those of `URLS` do not come before the gate opens."""

    def __init__(self) -> None:
        self.client = HttpServiceClient(cache=Cache(), transport=self).with_options(retry_policy=False)
        self.sent: list[str] = []
        self.hangs = False
        self.gate = threading.Event()

    def send(self, request: HttpRequest, timeout: object) -> HttpResponse:
        self.sent.append(request.url)
        if self.hangs and request.url in URLS:
            assert self.gate.wait(10)
        return cached_for(0, "x", "stale-while-revalidate=60")

    async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
        self.sent.append(request.url)
        while self.hangs and request.url in URLS and not self.gate.is_set():
            await asyncio.sleep(0.01)
        return cached_for(0, "x", "stale-while-revalidate=60")

    def stop(self) -> None:
        self.sent.clear()
        self.hangs = True


def check(responses: list[Any], other: HttpResponse, service: Service) -> None:
    """Every response is there at once; no more than the limit is revalidated; another call gets its token."""
    assert all(response.from_cache for response in responses)
    assert used(responses[0]).reason == "it is being revalidated"
    assert used(responses[-1]).reason == "many others are being revalidated"
    assert (other.text, service.sent.count(OTHER)) == ("x", 1)
    assert len(service.sent) <= MOST_BEHIND + 1


def test_they_leave_threads_for_tokens() -> None:
    """A token is fetched on a thread, for which no revalidation stands in line."""
    service = Service()
    client = service.client
    for url in URLS:
        client.get(url)
    service.stop()
    try:
        responses = [client.get(url) for url in URLS]
        other = client.get(OTHER, auth=BearerToken(lambda: "token"), total_timeout=10)
        check(responses, other, service)
    finally:
        service.gate.set()


def test_tasks_are_bounded() -> None:
    """A thousand stale responses do not make a thousand tasks."""

    async def run() -> None:
        service = Service()
        client = service.client
        for url in URLS:
            await client.get_async(url)
        service.stop()
        try:
            responses = [await client.get_async(url) for url in URLS]
            other = await client.get_async(OTHER, auth=BearerToken(lambda: "token"), total_timeout=10)
            check(responses, other, service)
        finally:
            service.gate.set()

    run_task(run())


def test_a_storage_that_hangs_leaves_threads_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each use of it keeps a thread after its time is over; a provider of tokens has others."""
    monkeypatch.setattr("http_service_client.core.cache_access._PATIENCE", 0.05)
    gate = threading.Event()

    class Hangs(MemoryStorage):
        blocks = True

        def get(self, key: str, partition: str) -> list[Any]:
            gate.wait(10)
            return []

    async def run() -> HttpResponse:
        service = Service()
        cached = HttpServiceClient(cache=Cache(storage=Hangs()), transport=service)
        await asyncio.gather(*(cached.get_async(url) for url in URLS))
        return await service.client.get_async(OTHER, auth=BearerToken(lambda: "token"), total_timeout=5)

    try:
        assert run_task(run()).text == "x"
    finally:
        gate.set()
