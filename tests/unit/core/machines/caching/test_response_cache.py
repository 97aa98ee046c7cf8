"""What a cache knows beside its responses: which requests may wait for each other, and what is in doubt."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest

from http_service_client import MemoryStorage
from http_service_client.core.machines.caching.response_cache import ResponseCache, StorageRest, url_key
from http_service_client.http.caching.rules import CacheRules


def cache_of(*, coalesces: bool = True) -> ResponseCache:
    return ResponseCache(MemoryStorage(), CacheRules(), coalesces, False, threading.Lock)


@pytest.mark.parametrize("coalesces", [True, False])
def test_equal_requests_wait_for_each_other_until_it_was_in_vain(coalesces: bool) -> None:
    """A response that could not be shared says so, and one that could be says the opposite."""
    cache = cache_of(coalesces=coalesces)
    shared = [cache.is_shared("key")]
    for was_stored in (True, False, False, True):
        cache.note_shared("key", was_stored)
        shared.append(cache.is_shared("key"))
    assert shared == [known and coalesces for known in (True, True, False, False, True)]
    assert cache.is_shared("another") is coalesces


def test_a_url_is_in_doubt_until_its_responses_are_deleted() -> None:
    """Then what the storage has may be used again."""
    cache = cache_of()
    doubtful = [cache.is_doubtful("key")]
    for is_done in (False, False, True, True):
        cache.note_deleted("key", is_done)
        doubtful.append(cache.is_doubtful("key"))
    assert doubtful == [False, True, True, False, False]
    assert not cache.is_doubtful("another")


@pytest.mark.parametrize(
    ("note", "is_known"),
    [
        (lambda cache, key: cache.note_shared(key, False), lambda cache, key: not cache.is_shared(key)),
        (lambda cache, key: cache.note_deleted(key, False), lambda cache, key: cache.is_doubtful(key)),
    ],
    ids=["unshared", "in doubt"],
)
def test_what_is_known_of_urls_is_bounded(
    note: Callable[[ResponseCache, str], None], is_known: Callable[[ResponseCache, str], bool]
) -> None:
    """The oldest of 4096 is forgotten for a new one."""
    cache = cache_of()
    for number in range(4096):
        note(cache, str(number))
    assert all(is_known(cache, str(number)) for number in range(4096))
    note(cache, "new")
    assert [is_known(cache, key) for key in ("0", "1", "4095", "new")] == [False, True, True, True]


def test_the_key_of_a_url_hides_what_it_holds() -> None:
    """It is a digest, of any text: also of one with a lone surrogate."""
    urls = ["https://a.example/?token=s3cret", "https://a.example/\u00e9", "https://a.example/\udce9"]
    keys = {url_key(url) for url in urls}
    assert len(keys) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_a_forked_child_waits_for_no_request_of_its_parent() -> None:
    """The thread that would end it does not exist there."""
    cache = cache_of()
    assert cache.flights.join("key", "url")[1]
    cache._reset_after_fork()
    assert cache.flights.join("key", "url")[1]


def rested(seconds: float = 0.1) -> StorageRest:
    """After an operation that failed at the instant 10."""
    rest = StorageRest()
    rest.note(10.0 - seconds, 10.0, has_failed=True)
    return rest


@pytest.mark.parametrize(("seconds", "allows"), [(0.09, True), (0.11, False), (5.0, False)])
def test_a_storage_rests_after_a_failure_that_took_long(seconds: float, allows: bool) -> None:
    """One that fails at once costs nothing."""
    assert StorageRest().allows(10.0)
    assert rested(seconds).allows(10.5) is allows


def test_after_a_second_one_call_tries_whether_it_is_back() -> None:
    """The others go on without it until that is known."""
    rest = rested(0.5)
    assert [rest.allows(now) for now in (10.0, 10.99, 11.0, 11.01, 11.99)] == [
        False,
        False,
        True,
        False,
        False,
    ]
    rest.note(11.0, 11.01, has_failed=True)
    assert [rest.allows(now) for now in (11.5, 12.0)] == [False, True]
    rest.note(12.0, 12.3, has_failed=False)
    assert rest.allows(12.3)


def test_a_rest_by_another_clock_does_not_last() -> None:
    """Clients with clocks of their own may share a cache."""
    assert rested(0.5).allows(3.0)
