"""However many responses are stale, and however long a storage hangs: there is room for what is needed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from http_service_client import Cache, HttpRequest, HttpResponse, HttpServiceClient, MemoryStorage
from http_service_client.auth import BearerToken
from http_service_client.drivers.threads import MOST_BEHIND
from http_service_client.policies import StoredResponse
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.caches import URL, Cached, cached_for, failed, used
from kit.front_ends import FrontEnd, run_task
from kit.jumping_loop import JumpingLoop

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


class Stuck(MemoryStorage):
    """A storage on a thread, which finds nothing, and that only once the gate is open."""

    blocks = True

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    def get(self, key: str, partition: str) -> list[Any]:
        self.gate.wait(10)
        return []


def test_a_storage_that_hangs_leaves_threads_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each use of it keeps a thread after its time is over; a provider of tokens has others."""
    monkeypatch.setattr("http_service_client.core.cache_access._PATIENCE", 0.05)
    gate = threading.Event()

    async def run() -> HttpResponse:
        service = Service()
        cached = HttpServiceClient(cache=Cache(storage=Stuck(gate)), transport=service)
        await asyncio.gather(*(cached.get_async(url) for url in URLS))
        return await service.client.get_async(OTHER, auth=BearerToken(lambda: "token"), total_timeout=5)

    try:
        assert run_task(run()).text == "x"
    finally:
        gate.set()


def test_a_storage_has_a_second() -> None:
    """A call does not wait longer for it: then the service is asked."""
    gate = threading.Event()

    async def run() -> HttpResponse:
        transport = ScriptedTransport([cached_for(60, "x")])
        return await HttpServiceClient(cache=Cache(storage=Stuck(gate)), transport=transport).get_async(URL)

    loop = JumpingLoop()
    try:
        first = failed(loop.run_until_complete(run()))[0]
        assert (first.operation, first.error) == ("get", "TimeoutError")
        assert first.message == "no result within 1 s"
    finally:
        gate.set()
        loop.close()


class Hanging(MemoryStorage):
    """A storage that fails after so many seconds while it `hangs`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.hangs = True
        self.asked: list[str] = []
        self.clock: VirtualClock

    def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        if self.hangs:
            self.clock.advance(self.seconds)
            raise ConnectionError("timed out")

    def get(self, key: str, partition: str) -> list[StoredResponse]:
        self._ask("get")
        return list(super().get(key, partition))

    def set(self, key: str, partition: str, response: StoredResponse) -> None:
        self._ask("set")
        super().set(key, partition, response)

    def delete(self, key: str, partition: str | None = None) -> None:
        self._ask("delete")
        super().delete(key, partition)


def hanging(front_end: FrontEnd, seconds: float, *script: Any) -> tuple[Hanging, Cached]:
    storage = Hanging(seconds)
    cached = Cached(front_end, *script, cache=Cache(storage=storage))
    storage.clock = cached.clock
    return storage, cached


def test_a_storage_that_hangs_slows_one_call_a_second(front_end: FrontEnd) -> None:
    """The others go on without it; each of them says so."""
    storage, cached = hanging(front_end, 0.25, *[cached_for(60, "x")] * 6)
    waits = []
    for _ in range(3):
        began = cached.clock.monotonic()
        response = cached.get()
        waits.append(cached.clock.monotonic() - began)
        assert [each.operation for each in failed(response)] == ["get", "set"]
    assert (waits, storage.asked) == ([0.25, 0.0, 0.0], ["get"])
    assert failed(response)[0].error == "TimeoutError"
    assert failed(response)[0].message == "it took too long a moment ago, and rests for a second"
    cached.clock.advance(1.0)
    storage.hangs = False
    assert [cached.get().from_cache for _ in range(2)] == [False, True]


def test_a_storage_that_fails_at_once_is_asked_each_time(front_end: FrontEnd) -> None:
    """It costs nothing to ask, and it may be back."""
    storage, cached = hanging(front_end, 0.09, *[cached_for(60, "x")] * 2)
    cached.get()
    cached.get()
    assert storage.asked == ["get", "set"] * 2


def test_what_changed_while_the_storage_rested_is_not_used(front_end: FrontEnd) -> None:
    """The deletion is made good first."""
    script = [cached_for(60, "old"), cached_for(60, "other"), HttpResponse(204), cached_for(60, "new")]
    storage, cached = hanging(front_end, 0.25, *script)
    storage.hangs = False
    cached.get()
    storage.hangs = True
    cached.get(f"{URL}/other")
    storage.asked.clear()
    cached.request("POST")
    assert storage.asked == []
    storage.hangs = False
    cached.clock.advance(1.0)
    assert (cached.get().text, storage.asked[0]) == ("new", "delete")
