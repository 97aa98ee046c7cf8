"""What one call may see and keep in a cache.

A response is stored only if the request that was sent is the one that the cache layer saw, outside of interceptors and
auth flows: the same URL and Host, the same values of the fields in Vary, the same credentials. If credentials were added, it is
stored only if it says that all may see it (`public`, `s-maxage`).

A failure of the storage is a miss. An invalidation that failed is made good before the storage is asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from ..events import CacheFailed, CacheResult, CacheUsed
from ..http.caching.rules import Judgement, Use, judge, may_use_after_error, outdated_urls, why_not_stored
from ..http.caching.stored import StoredResponse, request_values, vary_names
from ..http.messages import HttpRequest, HttpResponse
from ..http.redirects import REDIRECT_CODES
from ..http.urls import origin_of
from .call import Call
from .checks import refuse_awaitable
from .effects import TIMED_OUT, Plan, Work
from .machines.caching.flights import Flight
from .machines.caching.response_cache import Landing, ResponseCache, host_field_of, partition_of, url_key
from .signals import raise_if_of_signal_handler

__all__ = ["OVERTAKEN", "CacheAccess", "is_for_same_resource", "secrets_in"]

OVERTAKEN = "it was out of date when it came"
"""Why a response is not stored that a change has overtaken."""

_PATIENCE = 1.0  # seconds for an operation of the storage
# Each look-up compares the request with all variants of its URL, name by name. A service that names a header with a new
# value for each request in Vary, or thousands of headers, would make that slow.
_VARIANTS = 100
_VARY_NAMES = 100
_MISSING = object()


class CacheAccess:
    """The access of one call.

    wall: seconds since the epoch.   decodes: whether its response is decoded.
    adds_credentials: something inside may add some to its request.   authenticates: something inside does, in whatever
    header.   socket, certificate, trust: see `CacheMembership`.

    key: of the URL.   partition: the part of the cache that it may read.   landings: how many flights had landed before.
    """

    __slots__ = (
        *(
            "_adds_credentials",
            "_authenticates",
            "_flight_key",
            "_has_certificate",
            "_variants",
            "_wall",
            "cache",
            "call",
            "key",
            "landings",
            "partition",
            "request",
        ),
    )

    def __init__(
        self,
        cache: ResponseCache,
        request: HttpRequest,
        call: Call,
        wall: Callable[[], float],
        *,
        decodes: bool,
        adds_credentials: bool,
        authenticates: bool = False,
        socket: str | None = None,
        certificate: str | None = None,
        trust: str | None = None,
    ) -> None:
        self.cache = cache
        self.request = request
        self.call = call
        self._wall = wall
        self._adds_credentials = adds_credentials
        self._authenticates = authenticates
        self._has_certificate = certificate is not None
        self._variants = 0
        self._flight_key: str | None = None
        self.landings = cache.flights.landings
        self.key = url_key(request.url)
        is_shared = cache.rules.shared
        parts = (decodes, adds_credentials, socket, None if is_shared else certificate, trust)
        self.partition = partition_of(request, call.options.key, parts, is_shared)

    @property
    def flight_key(self) -> str:
        """Equal requests have the same one."""
        if self._flight_key is None:
            fields = sorted((name.lower(), value) for name, value in self.request.headers.multi_items())
            follows = self.call.options.max_redirects > 0
            text = repr((self.key, self.partition, follows, fields))
            self._flight_key = hashlib.sha256(text.encode()).hexdigest()
        return self._flight_key

    # The storage.

    def find(self) -> Plan[StoredResponse | None]:
        """The stored response that the request selects, whether it may be used or not."""
        if self.cache.is_doubtful(self.key):
            yield from self.drop()
            return None
        found = yield from self._ask("get", self._stored)
        if found is _MISSING:
            return None
        self._variants, fitting = found
        if self.call.options.max_redirects:  # a stored redirect would have to be followed
            fitting = [each for each in fitting if each.status_code not in REDIRECT_CODES]
        return max(fitting, key=lambda each: each.received_at, default=None)

    def _stored(self) -> tuple[int, list[StoredResponse]]:
        """The number of variants, and those for the request. If they are something else, the storage is to blame."""
        found = self.cache.storage.get(self.key, self.partition)
        refuse_awaitable(found)
        variants = tuple(found)
        return len(variants), [each for each in variants if each.is_for(self.request)]

    def keep(self, stored: StoredResponse, flight: Flight[Landing]) -> Plan[str | None]:
        """Store a response: in the place of all variants, once there are too many. Returns why it was not stored, or None.

        flight: that brought it. If it is overtaken while the storage works, the deletion may have come before.
        """
        if self._variants >= _VARIANTS:
            yield from self.drop_own()
        done = yield from self._ask("set", self.cache.storage.set, self.key, self.partition, stored)
        if flight.is_overtaken:
            yield from self.drop()
            return OVERTAKEN
        return "its storage failed" if done is _MISSING else None

    def drop_own(self) -> Plan[None]:
        """Delete the responses that this call may read."""
        yield from self._delete(self.key, self.partition)

    def drop(self, key: str | None = None) -> Plan[None]:
        """Delete all responses of a URL, by default of the call's. It stays in doubt until the storage did it."""
        key = self.key if key is None else key
        done = yield from self._delete(key)
        self.cache.note_deleted(key, is_done=done is not _MISSING)

    def _delete(self, *place: str) -> Plan[Any]:
        return self._ask("delete", self.cache.storage.delete, *place)

    def _ask(self, operation: str, function: Callable[..., Any], *arguments: Any) -> Plan[Any]:
        """What the storage returns; _MISSING if it failed, or took too long."""
        rest, clock = self.cache.rest, self.call.clock
        began = clock()
        if not rest.allows(began):
            self._record_failure(
                operation, "TimeoutError", "it took too long a moment ago, and rests for a second"
            )
            return _MISSING
        try:
            if self.cache.storage.blocks:
                answer = yield from Work(function, *arguments, timeout=_PATIENCE, is_needed=False)
            else:
                answer = function(*arguments)
            if answer is not TIMED_OUT:
                refuse_awaitable(answer)
                rest.note(began, clock(), has_failed=False)
                return answer
            error, message = "TimeoutError", f"no result within {_PATIENCE:g} s"
        except Exception as raised:
            raise_if_of_signal_handler()
            error, message = type(raised).__name__, str(raised)
        rest.note(began, clock(), has_failed=True)
        self._record_failure(operation, error, message)
        return _MISSING

    def _record_failure(self, operation: str, error: str, message: str) -> None:
        call = self.call
        call.record(
            CacheFailed(
                call.elapsed(),
                call.attempt,
                call.key,
                operation,
                error,
                message,
                call.call_id,
                call.call_name,
            )
        )

    # What the storage has, for this call.

    def judge(self, stored: StoredResponse) -> Judgement:
        """How a stored response may be used now."""
        return judge(stored, self.request, self._wall(), self.cache.rules)

    def may_use_after_error(self, stored: StoredResponse) -> bool:
        """Whether a stored response may stand in for an error."""
        return may_use_after_error(stored, self.request, self._wall(), self.cache.rules)

    def shared(self, landing: Landing) -> HttpResponse | None:
        """The response that an equal request has brought, if it may be used for this one."""
        stored = landing.stored
        if stored is None:
            return None
        judgement = self.judge(stored)
        if landing.is_error:
            if not self.may_use_after_error(stored):
                return None
            return self.use(stored, judgement, "the server failed", is_collapsed=True)
        if judgement.use in (Use.FRESH, Use.STALE):
            return self.use(stored, judgement, is_collapsed=True)
        return None

    def use(
        self,
        stored: StoredResponse,
        judgement: Judgement,
        reason: str = "",
        *,
        result: CacheResult | None = None,
        is_collapsed: bool = False,
    ) -> HttpResponse:
        """The response to the request, from the cache."""
        if result is None:
            result = CacheResult.HIT if judgement.ttl > 0 and not reason else CacheResult.STALE
        if result is CacheResult.STALE and not reason:
            is_behind = judgement.use is Use.BEHIND
            reason = "it is being revalidated" if is_behind else "the request accepts it"
        self._record(result, judgement.age, judgement.ttl, reason, False, is_collapsed)
        return stored.response(self.request, judgement.age)

    def record_miss(self, found: StoredResponse | None, reason: str, *, is_stored: bool = False) -> None:
        """Record that the response is the server's own.   found: what was stored of it before."""
        age = None if found is None else self.judge(found).age
        self._record(CacheResult.MISS, age, None, reason, is_stored, False)

    def _record(
        self,
        result: CacheResult,
        age: float | None,
        ttl: float | None,
        reason: str,
        is_stored: bool,
        is_collapsed: bool,
    ) -> None:
        call = self.call
        call.record(
            CacheUsed(
                call.elapsed(), call.attempt, call.key, result, age, ttl, reason, is_stored, is_collapsed,
                call.call_id, call.call_name,
            )
        )  # fmt: skip

    # What the server sent.

    def why_not_stored(self, response: HttpResponse, confirmation: HttpResponse | None = None) -> str | None:
        """Why its response may not be stored; None if it may.   confirmation: the 304 that `response` was confirmed by."""
        request, call, rules = self.request, self.call, self.cache.rules
        seen = response.request if confirmation is None else confirmation.request
        sent = seen or call.request
        if call.current.answered_by is not None:
            return f"{call.current.answered_by} responded"
        if response.history:
            return "it was redirected"
        if not is_for_same_resource(sent, request):
            has_moved = call.hosts is not None and origin_of(sent.url) != origin_of(request.url)
            return "an alternate host responded" if has_moved else "an interceptor changed the URL"
        names = vary_names(response.headers)
        if len(names) > _VARY_NAMES:
            return f"Vary names more than {_VARY_NAMES} headers"
        if request_values(sent, names) != request_values(request, names):
            return "Vary names a header that was added later"
        if rules.shared:
            is_personal = self._authenticates or self._has_certificate or bool(secrets_in(sent))
        else:
            is_seen = seen is not None or not self._adds_credentials
            is_personal = self._authenticates or not (is_seen and secrets_in(sent) == secrets_in(request))
            is_personal = is_personal and not self.cache.is_single_user
        return why_not_stored(request, response, self._wall(), rules, has_credentials=is_personal)

    def drop_changed(self, response: HttpResponse | None) -> Plan[None]:
        """Forget what a request that changes something has put out of date.   response: None if it did not arrive."""
        for url in self.changed_urls(response):
            yield from self.drop(self.doubt(url))

    def changed_urls(self, response: HttpResponse | None) -> list[str]:
        """The URLs that a request which changes something puts out of date, and those that it was redirected to."""
        urls = outdated_urls(self.request, response)
        for hop in self.call.hops:
            urls += outdated_urls(hop, None)
        return list(dict.fromkeys(urls))

    def doubt(self, url: str) -> str:
        """From now on, nothing that was stored of a URL is used before it is deleted. Returns its key."""
        key = url_key(url)
        self.cache.note_deleted(key, is_done=False)
        self.cache.flights.overtake(key)
        return key


def is_for_same_resource(sent: HttpRequest, request: HttpRequest) -> bool:
    """Whether a request that was sent names what its call named: interceptors and auth flows may change that."""
    is_same = sent.url == request.url and sent.method == request.method
    return is_same and host_field_of(sent) == host_field_of(request)


def secrets_in(request: HttpRequest) -> dict[str, list[str]]:
    """The headers of a request that hold secrets, by their lower-case names."""
    headers = request.headers
    return {name.lower(): headers.get_all(name) for name in headers if name in headers.secret_names}
