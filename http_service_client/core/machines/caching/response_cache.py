"""What the calls of all clients that use one cache have in common: its storage, its rules, what is on its way."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from ....http.caching.rules import CacheRules
from ....http.caching.stored import StoredResponse
from ....http.messages import HttpRequest
from ....http.urls import split_url
from .flights import Flights

__all__ = [
    "CacheStorage",
    "Landing",
    "ResponseCache",
    "StorageRest",
    "host_field_of",
    "partition_of",
    "url_key",
]

_MOST = 4096  # URLs that are remembered
_LONG = 0.1  # seconds that an operation of the storage may take before it fails, without consequences
_REST = 1.0  # seconds


class CacheStorage(Protocol):
    """Where a cache keeps its responses. Any thread may call it, several at once. It may lose what it has.

    blocks: its methods wait for a disk or a network: asyncio calls them in a thread.

    Its exceptions never fail a call: a response that cannot be read is not there.
    """

    blocks: bool

    def get(self, key: str, partition: str) -> Sequence[StoredResponse]:
        """The stored responses of a URL's digest, for one partition: a user, say. One for each variant (Vary)."""
        ...

    def set(self, key: str, partition: str, response: StoredResponse) -> None:
        """Keep a response in the place of the one with the same `variant`."""
        ...

    def delete(self, key: str, partition: str | None = None) -> None:
        """Forget the responses of a URL, of one partition or of all."""
        ...


class Landing(NamedTuple):
    """What an exchange has led to, for those who waited for it.

    stored: what the cache has now, or None.   is_error: the server failed, and `stored` may stand in, if stale.
    """

    stored: StoredResponse | None
    is_error: bool = False


class ResponseCache:
    """The state of one cache.   new_lock: makes its locks."""

    def __init__(
        self,
        storage: CacheStorage,
        rules: CacheRules,
        coalesces: bool,
        is_single_user: bool,
        new_lock: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.storage = storage
        self.rules = rules
        self.coalesces = coalesces
        self.is_single_user = is_single_user
        self.flights: Flights[Landing] = Flights(new_lock)
        self.rest = StorageRest()
        self._lock = new_lock()
        # Requests whose response could not be shared last time: equal ones do not wait for each other.
        self._unshared: OrderedDict[str, None] = OrderedDict()
        # Invalidations that the storage did not take: what it has of these URLs is not used.
        self._unconfirmed: OrderedDict[str, None] = OrderedDict()

    def is_shared(self, flight_key: str) -> bool:
        """Whether equal requests wait for each other."""
        return self.coalesces and flight_key not in self._unshared

    def note_shared(self, flight_key: str, was_stored: bool) -> None:
        """Learn from a response whether equal requests may wait for each other."""
        with self._lock:
            _note(self._unshared, flight_key, not was_stored)

    def is_doubtful(self, key: str) -> bool:
        """Whether what the storage has of a URL may be out of date."""
        return key in self._unconfirmed

    def note_deleted(self, key: str, is_done: bool) -> None:
        """Learn whether the storage has forgotten the responses of a URL."""
        with self._lock:
            _note(self._unconfirmed, key, not is_done)

    def _reset_after_fork(self) -> None:
        self.flights.reset_after_fork()


class StorageRest:
    """Whether the storage is left alone for a moment.

    One that hangs, such as a server behind a broken network, would slow down each call by its timeout, several times. After
    a failure that took long, nobody asks it for a second. Then one call tries, and the others go on without it.
    """

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: float | None = None

    def allows(self, now: float) -> bool:
        """Whether a call may ask the storage at this instant. A call that may, asks it."""
        until = self._until
        if until is None:
            return True
        if now < until <= now + _REST:  # further away, it is an instant of another clock
            return False
        self._until = now + _REST
        return True

    def note(self, began: float, now: float, *, has_failed: bool) -> None:
        """An operation has ended that began at this instant."""
        if not has_failed:
            self._until = None
        elif now - began >= _LONG:
            self._until = now + _REST


def _note(remembered: OrderedDict[str, None], key: str, is_so: bool) -> None:
    if is_so:
        remembered[key] = None
        if len(remembered) > _MOST:
            remembered.popitem(last=False)
    else:
        remembered.pop(key, None)


def url_key(url: str) -> str:
    """The key of a URL: its digest, since it may hold secrets."""
    return hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()


def host_field_of(request: HttpRequest) -> str:
    """The Host that the request names, in lower case: a caller may set another one than that of the URL."""
    return (request.headers.get("Host") or split_url(request.url).host_field).lower()


def partition_of(request: HttpRequest, call_key: str | None, parts: Iterable[object], is_shared: bool) -> str:
    """The part of a cache that a request may read.

    Requests with other credentials than these have another one, so that no user is served the response of another
    (unless the cache is a shared one, which keeps only what all may see). So have calls with another `key`, and requests
    that name another Host than their URL: one address may serve many hosts (RFC 9110, 7.1).

    parts: what else makes a difference.
    """
    secrets = (
        []
        if is_shared
        else sorted(
            (name.lower(), value)
            for name, value in request.headers.multi_items()
            if name in request.headers.secret_names
        )
    )
    parts = (call_key, tuple(parts), secrets, host_field_of(request))
    return hashlib.sha256(repr(parts).encode()).hexdigest()
