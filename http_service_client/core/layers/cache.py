"""Responses that were received before, by the rules of `http.caching`.

    request                              what happens
    GET                                  a stored response, if it may be used; else it is sent, and the response stored
    HEAD                                 answered by the stored response to a GET; else sent
    with a body, Range or a condition,
    a stream or a download               passes by: the response is neither looked up nor stored
    POST, PUT, PATCH, DELETE, …          sent; then the stored responses of its URL are forgotten

The layer is outside of the retries, so a stored response costs no attempt, permit or connection. It is outside of the
interceptors and auth flows, too, and cannot see what they will add: see `core.cache_access`.

Equal GETs in flight make one exchange: see `core.machines.caching.flights`. Only those that the response may be used for get
it. The others, and those that have waited for as long as an attempt of their own may take, make an exchange each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ...errors import (
    CallRefusedError,
    ClientClosedError,
    DeadlineExceededError,
    Failure,
    SentState,
    TlsVerificationError,
    TransportError,
)
from ...events import CacheResult
from ...http.caching.directives import parse_directives
from ...http.caching.rules import Use, conditions, confirmed, is_conclusive, is_error
from ...http.caching.stored import StoredResponse, store
from ...http.messages import HttpRequest, HttpResponse
from ..cache_access import OVERTAKEN, CacheAccess
from ..call import Call
from ..effects import Acquire, Outcome, Plan, Start
from ..layer import compose
from ..machines.caching.flights import begin_wait, end_wait, enter, leave
from ..machines.caching.response_cache import Landing, ResponseCache
from .telemetry import Telemetry, TelemetryLayer
from .whole_call import CallLayer

if TYPE_CHECKING:
    from ..layer import Handler
    from ..machines.caching.flights import Flight

__all__ = ["CacheLayer", "CacheMembership"]

_PASSING = ("Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range")
_VALIDATORS = ("ETag", "Last-Modified", "Content-Length")


class CacheMembership(NamedTuple):
    """A client's part in a cache.

    new_id: makes the id of a call that revalidates a response behind another call.
    decompresses: whether responses are decoded where the request does not say.
    adds_credentials: interceptors, signers, a jar or a netrc file may add some to each request.
    signs: signers sign each request, in headers that may have any name.
    socket: the Unix socket that all its connections lead to; a URL is another service's there.
    certificate: of the client itself, by which services know their user.   None for none, of both.
    trust: which services the client believes, and may call. A response that another client got from a service that this
        one would not have believed, or not called, is none for it.
    """

    cache: ResponseCache
    new_id: Callable[[], str]
    decompresses: bool
    adds_credentials: bool
    signs: bool
    socket: str | None
    certificate: str | None
    trust: str | None


class CacheLayer:
    """Answers from the cache, keeps it up to date, and lets equal requests share one exchange.

    wall: seconds since the epoch.
    telemetry: sees the calls of its own, which revalidate responses; None where it is switched off.
    """

    def __init__(
        self, membership: CacheMembership, wall: Callable[[], float], telemetry: Telemetry | None
    ) -> None:
        self._membership = membership
        self._cache, self._new_id = membership.cache, membership.new_id
        self._wall = wall
        self._around = (None if telemetry is None else TelemetryLayer(telemetry), CallLayer())

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        method = request.method
        if method not in ("GET", "HEAD"):
            return self._changing(proceed, request, call)
        headers = request.headers
        asked = parse_directives(headers.get_all("Cache-Control"))
        if (
            call.options.stream is not None
            or "no-store" in asked
            or any(name in headers for name in _PASSING)
            or request.content != b""
        ):
            return proceed(request, call)
        return self._reading(proceed, request, call, "only-if-cached" in asked)

    def _access(self, request: HttpRequest, call: Call) -> CacheAccess:
        member = self._membership
        return CacheAccess(
            self._cache,
            request,
            call,
            self._wall,
            decodes=member.decompresses if request.decompress is None else request.decompress,
            adds_credentials=member.adds_credentials or call.options.auth is not None,
            authenticates=member.signs or call.options.auth is not None,
            socket=member.socket,
            certificate=member.certificate,
            trust=member.trust,
        )

    def _changing(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        access = self._access(request, call)
        try:
            outcome = yield from proceed(request, call)
        except BaseException:
            if call.attempt:  # cancelled; the server may have processed it
                for url in access.changed_urls(None):
                    access.doubt(url)
            raise
        if isinstance(outcome, Failure):
            if call.sent_state in (SentState.NEVER_SENT, SentState.REFUSED):
                return outcome
            response = None
        else:
            response = outcome.history[0] if outcome.history else outcome
            if call.attempt > 1 and 400 <= response.status_code < 500:
                response = None  # an earlier attempt may have been processed
        yield from access.drop_changed(response)
        return outcome

    def _reading(
        self, proceed: Handler, request: HttpRequest, call: Call, must_be_here: bool
    ) -> Plan[Outcome]:
        access = self._access(request, call)
        found = yield from access.find()
        if found is not None:
            judgement = access.judge(found)
            if judgement.use is not Use.CONFIRM:
                reason = ""
                if judgement.use is Use.BEHIND and request.method == "HEAD":
                    reason = "a GET will revalidate it"  # the response to HEAD has no body to store
                elif judgement.use is Use.BEHIND:
                    plan = partial(self._revalidate_behind, proceed, access, found)
                    if not (yield from Start(plan, is_needed=False, for_caller=True)):
                        reason = "many others are being revalidated"
                return access.use(found, judgement, reason)
        if must_be_here:
            access.record_miss(found, "only-if-cached")
            return HttpResponse(504, reason_phrase="Gateway Timeout", url=request.url, request=request)
        if request.method == "HEAD":
            return (yield from self._send_head(proceed, access, found))
        return (yield from self._fetch(proceed, access, found))

    def _send_head(
        self, proceed: Handler, access: CacheAccess, found: StoredResponse | None
    ) -> Plan[Outcome]:
        outcome = yield from proceed(access.request, access.call)
        access.record_miss(found, "HEAD")
        if found is not None and isinstance(outcome, HttpResponse) and outcome.is_success:
            known, headers = found.response(access.request, 0.0).headers, outcome.headers
            if any(
                name in headers and known.get(name, headers[name]) != headers[name] for name in _VALIDATORS
            ):
                yield from access.drop_own()  # RFC 9111, 4.3.5
        return outcome

    def _fetch(self, proceed: Handler, access: CacheAccess, found: StoredResponse | None) -> Plan[Outcome]:
        """Send the request, or wait for the response to an equal one."""
        flights, call = self._cache.flights, access.call
        while self._cache.is_shared(access.flight_key):
            flight, leads = flights.join(access.flight_key, access.key)
            if leads:
                return (yield from self._lead(proceed, access, found, flight))
            around = begin_wait(flight)
            if around is None:  # of code inside of this flight, such as an interceptor
                break
            waiter = flight.wait()
            limits = [limit for limit in (call.options.timeout.total, call.remaining()) if limit is not None]
            try:
                if not waiter.is_granted:
                    yield from Acquire(waiter, max(0.0, min(limits)) if limits else None)
            finally:
                waiter.release()
                end_wait(around, flight)
            if flight.result is not None:
                response = access.shared(flight.result)
                if response is not None:
                    return response
            elif flight.has_landed:
                continue  # the one that led was cancelled: another one leads
            break
        return (yield from self._lead(proceed, access, found, flights.fly_alone(access.key)))

    def _lead(
        self, proceed: Handler, access: CacheAccess, found: StoredResponse | None, flight: Flight[Landing]
    ) -> Plan[Outcome]:
        landing: Landing | None = None
        token = enter(flight)
        try:
            outcome, landing = yield from self._exchange(proceed, access, found, flight)
            return outcome
        finally:
            self._cache.flights.land(flight, landing)
            leave(token)

    def _revalidate_behind(self, proceed: Handler, access: CacheAccess, found: StoredResponse) -> Plan[None]:
        """A call of its own, which brings a stored response up to date while the caller goes on with it."""
        flight, leads = self._cache.flights.join(access.flight_key, access.key)
        if not leads:
            return
        try:
            call = access.call
            twin = Call(
                access.request.copy(),
                call.key,
                call.origin_state,
                call.breaker,
                call.options.but(on_finish=None, progress=None, is_nested=False),
                call.clock,
                None,
                call.client_listener,
                self._new_id(),
                call.call_name,
            )
            twin.telemetry = call.telemetry
            twin.hosts = None if call.hosts is None else call.hosts.afresh()
            own = self._access(twin.request, twin)
            own.landings = access.landings
            revalidate = compose(self._around, lambda *_: self._lead(proceed, own, found, flight))
            outcome = yield from revalidate(twin.request, twin)
            if isinstance(outcome, Failure):
                twin.end(None, outcome.error_type.__name__)
            else:
                twin.end(outcome.status_code, None)
        except Exception:
            pass  # an interceptor's own: the events of this call show it, and nobody waits for it
        finally:
            self._cache.flights.land(flight, None)

    def _exchange(
        self, proceed: Handler, access: CacheAccess, found: StoredResponse | None, flight: Flight[Landing]
    ) -> Plan[tuple[Outcome, Landing | None]]:
        """Send the request: if there is a stored response, as a question whether that one is valid still."""
        request, call = access.request, access.call
        if self._cache.flights.landings != access.landings:  # one may have brought the response since
            found = yield from access.find()
            if found is not None:
                judgement = access.judge(found)
                if judgement.use in (Use.FRESH, Use.STALE):
                    return access.use(found, judgement), Landing(found)
        added = {} if found is None else conditions(found)
        sent = request
        if added:
            sent = request.copy()
            for name, value in added.items():
                sent.headers[name] = value
        outcome = yield from proceed(sent, call)
        if found is not None and added and isinstance(outcome, HttpResponse) and outcome.status_code == 304:
            renewed = None
            if not outcome.history and call.current.answered_by is None:
                renewed = confirmed(found, request, outcome, self._wall())
            if renewed is not None:
                return (yield from self._renewed(access, renewed, outcome, flight))
            # It is about another response than ours, which is out of date then.
            yield from access.drop_own()
            found = None
            outcome = yield from proceed(request, call)
        if found is not None and _has_failed(outcome) and access.may_use_after_error(found):
            return access.use(found, access.judge(found), _words(outcome)), Landing(found, is_error=True)
        if isinstance(outcome, Failure):
            access.record_miss(found, outcome.error_type.__name__)
            return outcome, Landing(None) if _concerns_others(outcome) else None
        reason = OVERTAKEN if flight.is_overtaken else access.why_not_stored(outcome)
        stored = None
        if reason is None:
            stored = store(request, outcome, self._wall())
            reason = yield from access.keep(stored, flight)
        elif found is not None and is_conclusive(outcome.status_code):
            yield from access.drop_own()
        is_fresh = stored is not None and access.judge(stored).use is Use.FRESH
        self._cache.note_shared(access.flight_key, is_fresh)
        access.record_miss(found, reason or "", is_stored=reason is None)
        return outcome, Landing(stored)

    def _renewed(
        self,
        access: CacheAccess,
        renewed: StoredResponse,
        confirmation: HttpResponse,
        flight: Flight[Landing],
    ) -> Plan[tuple[Outcome, Landing]]:
        """The response that the server confirmed."""
        judgement = access.judge(renewed)
        response = access.use(renewed, judgement, result=CacheResult.REVALIDATED)
        if access.why_not_stored(response, confirmation) is not None:  # by the headers of the 304
            yield from access.drop_own()
            self._cache.note_shared(access.flight_key, False)
            return response, Landing(None)
        if not flight.is_overtaken:
            yield from access.keep(renewed, flight)
        self._cache.note_shared(access.flight_key, judgement.use is Use.FRESH)
        return response, Landing(renewed)


def _has_failed(outcome: Outcome) -> bool:
    """Whether a stored response may stand in, if it allows that: the server failed, or could not be reached.

    A request that is not allowed, a certificate that is not trusted or a client that was closed is no such failure.
    """
    if isinstance(outcome, HttpResponse):
        return is_error(outcome.status_code)
    kind = outcome.error_type
    if issubclass(kind, (TlsVerificationError, ClientClosedError)):
        return False
    return issubclass(kind, (TransportError, CallRefusedError))


def _concerns_others(failure: Failure) -> bool:
    """Whether an equal request may expect the same: not if a limit of this call's own ended it."""
    is_own = failure.sent_state is SentState.ABANDONED or issubclass(
        failure.error_type, DeadlineExceededError
    )
    return _has_failed(failure) and not is_own


def _words(outcome: Outcome) -> str:
    if isinstance(outcome, HttpResponse):
        return f"the server responded with {outcome.status_code}"
    return f"the request failed with {outcome.error_type.__name__}"
