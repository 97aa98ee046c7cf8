"""Requests that change something end the stored responses that they are about."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from http_service_client import Cache, ConnectionLostError, HttpResponse, MemoryStorage
from http_service_client.events import CacheResult
from http_service_client.policies import StoredResponse
from kit.caches import Cached, cached_for, failed, used
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row


@each_row("method", ["POST", "PUT", "PATCH", "DELETE", "MOVE"])
def test_a_change_ends_what_was_stored(front_end: FrontEnd, method: str) -> None:
    """After a success, the next GET asks the service."""
    cached = Cached(front_end, cached_for(60, "old"), HttpResponse(204), cached_for(60, "new"))
    cached.get()
    cached.request(method)
    assert cached.get().text == "new"


def test_a_refused_change_ends_nothing(front_end: FrontEnd) -> None:
    """The service did not do what it refused with 4xx."""
    cached = Cached(front_end, cached_for(60), HttpResponse(409))
    cached.get()
    cached.request("POST")
    assert cached.get().from_cache


@pytest.mark.parametrize("outcome", [HttpResponse(500), ConnectionResetError()])
def test_a_change_that_may_have_happened_ends_what_was_stored(front_end: FrontEnd, outcome: Any) -> None:
    """The service may have made the change before it failed."""
    cached = Cached(front_end, cached_for(60, "old"), outcome, cached_for(60, "new"))
    cached.get()
    try:
        cached.request("POST")
    except ConnectionLostError:
        pass
    assert cached.get().text == "new"


@each_row(("lost", "status", "text"), [
    (1, 204, "new"), (1, 400, "new"), (1, 404, "new"), (1, 499, "new"), (0, 400, "old"), (0, 499, "old"),
])  # fmt: skip
def test_a_refusal_after_a_lost_attempt_is_that_of_a_change_that_may_have_happened(
    front_end: FrontEnd, lost: int, status: int, text: str
) -> None:
    """A repeated DELETE is answered by 404 when the lost one was processed."""
    cached = Cached(
        front_end,
        *(cached_for(60, "old"), *[ConnectionResetError()] * lost, HttpResponse(status)),
        cached_for(60, "new"),
        enable_retry_policy=True,
    )
    cached.get()
    assert cached.request("DELETE").attempts == 1 + lost
    assert cached.get().text == text


@pytest.mark.parametrize(
    "script", [[cached_for(60, "old")], [cached_for(1, "old", ETag='"1"'), HttpResponse(304)]]
)
def test_a_change_ends_what_is_being_stored(front_end: FrontEnd, script: list[Any]) -> None:
    """A slow storage has the old response only when the new one has been made."""

    class Slow(MemoryStorage):
        blocks = True  # a blocking client inside, which does not run in an event loop
        is_late = False

        def set(self, key: str, partition: str, response: StoredResponse) -> None:
            if self.is_late:
                self.is_late = False
                with BlockingFrontEnd() as other:
                    Cached(other, HttpResponse(204), cache=cached.cache).request("POST")
            super().set(key, partition, response)

    storage = Slow()
    cached = Cached(front_end, *script, cached_for(60, "new"), cache=Cache(storage=storage))
    for _ in script[1:]:
        cached.get()
        cached.clock.advance(10.0)
    storage.is_late = True
    response = cached.get()
    assert (response.text, failed(response), cached.get().text) == ("old", [], "new")
    if response.from_cache:
        assert used(response).result is CacheResult.REVALIDATED
    else:
        assert used(response).reason == "it was out of date when it came"


def test_a_response_that_came_meanwhile_is_used(front_end: FrontEnd) -> None:
    """A slow storage says that there is none, when another call has just brought one."""

    class Slow(MemoryStorage):
        blocks = True  # a blocking client inside, which does not run in an event loop
        is_late = True

        def get(self, key: str, partition: str) -> list[StoredResponse]:
            found = list(super().get(key, partition))
            if self.is_late:
                self.is_late = False
                with BlockingFrontEnd() as other:
                    Cached(other, cached_for(60, "new"), cache=cached.cache).get()
            return found

    cached = Cached(front_end, HttpResponse(500), cache=Cache(storage=Slow()))
    response = cached.get()
    assert (response.text, response.from_cache, cached.sends) == ("new", True, 0)


def test_a_response_is_not_said_to_be_stored_when_the_storage_failed(front_end: FrontEnd) -> None:
    """The timeline names the reason, beside the failure itself."""

    class Full(MemoryStorage):
        def set(self, key: str, partition: str, response: StoredResponse) -> None:
            raise OSError("No space left on device")

    response = Cached(front_end, cached_for(60, "new"), cache=Cache(storage=Full())).get()
    (failure,) = failed(response)
    assert (failure.operation, failure.message) == ("set", "No space left on device")
    assert str(used(response)) == "not in the cache; not stored: its storage failed"


def test_a_change_ends_what_it_names(front_end: FrontEnd) -> None:
    """Location and Content-Location of the same origin; another origin's resources are not this one's to end."""
    here, there = "https://api.example.com/orders/7", "https://other.example.com/orders/7"
    names = {"Location": "/orders/7", "Content-Location": there}
    cached = Cached(
        front_end,
        {"/orders/7": [cached_for(60)], "/items": [HttpResponse(201, headers=names)]},
    )
    for url in (here, there):
        cached.get(url)
    cached.request("POST")
    assert (cached.get(here).from_cache, cached.get(there).from_cache) == (False, True)


def test_what_a_change_names_is_deleted_at_once(front_end: FrontEnd) -> None:
    """The storage may be that of other processes, too, which do not hear of the change."""
    here = "https://api.example.com/orders/7"
    script = {
        "/orders/7": [cached_for(60)],
        "/items": [HttpResponse(201, headers={"Location": "/orders/7"})],
    }
    storage = MemoryStorage()
    ours, theirs = (Cached(front_end, script, cache=Cache(storage=storage)) for _ in range(2))
    ours.get(here)
    assert theirs.get(here).from_cache
    ours.request("POST")
    assert not theirs.get(here).from_cache


@pytest.mark.parametrize("status", [201, 399])
def test_a_change_that_was_repeated_ends_what_its_response_names(front_end: FrontEnd, status: int) -> None:
    """Its last response is not a refusal, so it is about what was done."""
    here = "https://api.example.com/orders/7"
    script = {
        "/orders/7": [cached_for(60, "old"), cached_for(60, "new")],
        "/items": [ConnectionResetError(), HttpResponse(status, headers={"Content-Location": here})],
    }
    cached = Cached(front_end, script, enable_retry_policy=True)
    cached.get(here)
    assert cached.request("DELETE").attempts == 2
    assert cached.get(here).text == "new"


@pytest.mark.parametrize("outcome", [HttpResponse(204), ConnectionResetError()])
def test_a_change_ends_what_it_was_redirected_to(front_end: FrontEnd, outcome: Any) -> None:
    """By 307 and 308 the request itself goes on, over several hops and to another origin."""
    target = "https://other.example.com/orders/7"
    script = {
        "/items": [HttpResponse(308, headers={"Location": "/moved"})],
        "/moved": [HttpResponse(307, headers={"Location": f"{target}#part"})],
        "/orders/7": [cached_for(60, "old"), outcome, cached_for(60, "new")],
    }
    cached = Cached(front_end, script)
    cached.get(target)
    with suppress(ConnectionLostError):
        cached.request("POST")
    assert cached.get(target).text == "new"


def test_a_change_ends_what_the_response_to_it_names(front_end: FrontEnd) -> None:
    """That is the first of several, if it was redirected: the others are responses to a GET."""
    here, there = "https://api.example.com/orders/7", "https://api.example.com/orders/8"
    script = {
        "/items": [HttpResponse(303, headers={"Location": "/a", "Content-Location": "/orders/7"})],
        "/a": [HttpResponse(302, headers={"Location": "/b", "Content-Location": "/orders/8"})],
        "/b": [HttpResponse(200)],
        "/orders/7": [cached_for(60)],
        "/orders/8": [cached_for(60)],
    }
    cached = Cached(front_end, script)
    for url in (here, there):
        cached.get(url)
    assert len(cached.request("POST").history) == 2
    assert [cached.get(url).from_cache for url in (here, there)] == [False, True]


def test_a_redirect_to_get_ends_nothing_there(front_end: FrontEnd) -> None:
    """By 303 the next request reads."""
    target = "https://other.example.com/orders/7"
    script = {
        "/items": [HttpResponse(303, headers={"Location": target})],
        "/orders/7": [cached_for(60, "old"), HttpResponse(200)],
    }
    cached = Cached(front_end, script)
    cached.get(target)
    cached.request("POST")
    assert cached.get(target).from_cache


def test_reading_methods_end_nothing(front_end: FrontEnd) -> None:
    """OPTIONS and QUERY are safe."""
    cached = Cached(front_end, cached_for(60), HttpResponse(200), HttpResponse(200))
    cached.get()
    cached.request("OPTIONS")
    cached.request("QUERY", data=b"x")
    assert cached.get().from_cache


def test_what_could_not_be_deleted_is_not_used(front_end: FrontEnd) -> None:
    """The storage is not even asked for it, until it has deleted it."""

    class Stubborn(MemoryStorage):
        failures = 2

        def delete(self, key: str, partition: str | None = None) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("read-only file system")
            super().delete(key, partition)

    storage = Stubborn()
    script = [cached_for(60, "old"), HttpResponse(204), cached_for(60, "new"), cached_for(60, "newer")]
    cached = Cached(front_end, *script, cache=Cache(storage=storage))
    cached.get()
    assert [event.operation for event in failed(cached.request("POST"))] == ["delete"]
    assert [cached.get().text for _ in range(2)] == ["new", "newer"]
    assert (storage.failures, cached.get().from_cache) == (0, True)
