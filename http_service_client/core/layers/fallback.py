"""Puts a fallback in the place of a response that could not be had, once the retries have ended.

    outcome                                   what happens
    a good response                           returned; kept, if the last good one may stand in later
    a failure that the fallback covers        the last good response, if there is one that is not too old;
                                              else the value, or the function's result; else the failure
    a failure that it does not cover          returned: a 404, an invalid request, a certificate that is not trusted
    a failure of a request that may have      returned, unless the user allows it: a fallback would hide that
    changed something (a POST, say)           something may have happened

The layer is outside of the cache: what stands in is never stored there. Exceptions of interceptors and cancellation pass.

The last good response of one user must not reach another one. The layer sees the request before interceptors, auth flows,
a jar and signers add to it. So a response is kept for requests with equal headers alone (but those that differ with each
call), and only if the request that was sent had no other credentials, as in `core.cache_access`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import HttpClientError, HttpStatusError
from ...events import FallbackSource, FallbackUsed, Timeline
from ...http.caching.directives import parse_directives
from ...http.caching.stored import StoredResponse, request_values, store, vary_names
from ...http.messages import HttpRequest, HttpResponse
from ..cache_access import is_for_same_resource, secrets_in
from ..effects import TIMED_OUT, Invoke, Outcome, Plan
from ..machines.caching.response_cache import partition_of, url_key
from ..machines.fallback import NOTHING, FallbackSettings, LastGood
from ..outcomes import describe

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["FallbackLayer", "FallbackMembership", "set_context"]

# They name one call, and nothing that a response depends on.
_OF_ONE_CALL = frozenset({"traceparent", "tracestate", "x-correlation-id", "x-request-id"})


class FallbackMembership(NamedTuple):
    """A client's last good responses, and what they depend on beside the request.

    adds_credentials: interceptors, signers, a jar or a netrc file may add some to each request.
    signs: signers sign each request, in headers that may have any name.
    parts: of the client: how it decodes, where its connections lead, by which certificate it is known.
    """

    responses: LastGood[StoredResponse]
    adds_credentials: bool
    signs: bool
    parts: tuple[object, ...]


class FallbackLayer:
    """Around the retries of a call that has a fallback.   wall: seconds since the epoch."""

    def __init__(self, membership: FallbackMembership, wall: Callable[[], float]) -> None:
        self._membership = membership
        self._wall = wall

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        settings = call.options.fallback
        if settings is None or call.options.stream is not None or not settings.may_answer(request.method):
            return proceed(request, call)
        return self._guarded(proceed, request, call, settings)

    def _guarded(
        self, proceed: Handler, request: HttpRequest, call: Call, settings: FallbackSettings
    ) -> Plan[Outcome]:
        key = None
        if settings.last_good is not None and request.method in ("GET", "HEAD"):
            key = self._key(request, call)
        outcome = yield from proceed(request, call)
        if isinstance(outcome, HttpResponse):
            if not settings.covers(outcome):
                if key is not None and outcome.is_success and self._may_be_kept(outcome, request, call):
                    stored = store(request, outcome, self._wall())
                    self._membership.responses.keep(key, stored, call.clock(), stored.size)
                return outcome
            outcome.timeline = Timeline(call.events)
            error: HttpClientError = _error_for(outcome)
        else:
            error = call.error(outcome)
            if not settings.covers(error):
                return outcome
        if key is not None and settings.last_good is not None:
            found = self._membership.responses.find(key, call.clock(), settings.last_good)
            if found is not None:
                response = found.result.response(request, found.age)
                return self._used(FallbackSource.LAST_GOOD, response, outcome, call, found.age)
        if settings.value is not NOTHING:
            return self._used(FallbackSource.VALUE, _response(settings.ready_value(), request), outcome, call)
        if settings.function is None:
            return outcome
        result = yield from _ask(settings, error, request, call)
        if result is NOTHING:
            return outcome
        return self._used(FallbackSource.FUNCTION, _response(result, request), outcome, call)

    def _used(
        self,
        source: FallbackSource,
        response: HttpResponse,
        outcome: Outcome,
        call: Call,
        age: float | None = None,
    ) -> HttpResponse:
        call.record(
            FallbackUsed(
                call.elapsed(), call.attempt, call.key, source, describe(outcome), call.sent_state, age,
                call.call_id, call.call_name,
            )
        )  # fmt: skip
        return response

    def _key(self, request: HttpRequest, call: Call) -> Hashable:
        """Equal for requests that may have one response: of the same user, in the same form."""
        member = self._membership
        parts = (request.decompress, *member.parts)
        partition = partition_of(request, call.options.key, parts, is_shared=False)
        headers = sorted(
            (name.lower(), value)
            for name, value in request.headers.multi_items()
            if name.lower() not in _OF_ONE_CALL and name not in request.headers.secret_names
        )
        follows = call.options.max_redirects > 0
        return request.method, url_key(request.url), partition, follows, url_key(repr(headers))

    def _may_be_kept(self, response: HttpResponse, request: HttpRequest, call: Call) -> bool:
        """Whether a response may stand in for one to an equal request."""
        member, sent = self._membership, response.request
        if response.status_code == 206 or response.history or request.content != b"":
            return False
        for headers in (request.headers, response.headers):
            if "no-store" in parse_directives(headers.get_all("Cache-Control")):
                return False
        if sent is None:  # an interceptor has made the response
            return not member.adds_credentials and call.options.auth is None
        names = vary_names(response.headers)
        if "*" in names or request_values(sent, names) != request_values(request, names):
            return False
        settings = call.options.fallback
        if settings is not None and settings.single_user:
            return True
        authenticates = member.signs or call.options.auth is not None
        if authenticates or secrets_in(sent) != secrets_in(request):
            return False
        # Another base URL has the same resources.
        return call.hosts is not None or is_for_same_resource(sent, request)


def _ask(settings: FallbackSettings, error: HttpClientError, request: HttpRequest, call: Call) -> Plan[Any]:
    """What the function returns; NOTHING if it leaves the outcome as it is, or has no time left."""
    args, _ = settings.arguments(error, (request,), {})
    remaining = call.remaining()
    try:
        timeout = None if remaining is None else max(0.0, remaining)
        result = yield from Invoke(settings.function, *args, timeout=timeout)  # type: ignore[arg-type]
    except Exception as raised:
        if raised is error:
            return NOTHING
        set_context(raised, error)
        if isinstance(raised, HttpClientError):
            call.admit(raised)
        raise
    return NOTHING if result is TIMED_OUT else result


def set_context(raised: BaseException, original: BaseException) -> None:
    """Have a fallback's own exception show the failure that it was called for, as if it were raised while handling it."""
    link, seen = raised, {id(raised)}
    while (inner := link.__cause__ or link.__context__) is not None and id(inner) not in seen:
        if inner is original:
            return
        seen.add(id(inner))
        link = inner
    if link is not original:
        link.__context__ = original


def _error_for(response: HttpResponse) -> HttpClientError:
    try:
        response.raise_for_status()
    except HttpStatusError as error:
        return error.with_traceback(None)
    return HttpStatusError(
        f"the response {response.status_code} counts as a failure",
        status_code=response.status_code,
        response=response,
        request=response.request,
        sent_state=response.sent_state,
        timeline=response.timeline,
    )


def _response(value: Any, request: HttpRequest) -> HttpResponse:
    """The response that a value stands for: itself, or one with the value as JSON."""
    if isinstance(value, HttpResponse):
        response = copy.copy(value)
        response.request, response.url = request, request.url
        return response
    return HttpResponse(200, reason_phrase="OK", json=value, url=request.url, request=request)
