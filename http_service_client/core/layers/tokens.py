"""Tokens for calls: one fetch for all callers, and never a request without its token.

The layer stands outside the circuit breaker and the attempt's timeout. An attempt that has to wait for a token has not
begun, and holds no permit that the fetch might need: a token service may be at the origin of the calls themselves.
Inside, the auth flow adds the token, and asks for another one after a 401.

A fetch is a call of its own, with attempts, circuit, throttle gate, connections and timeline of its own. It runs beside
the calls that wait for it (`core.machines.caching.token_cache` says who starts it): the deadline or the cancellation of one of
them does not end what the others wait for. Without a token, the attempt is refused. It is not repeated, since the fetch
has had its retries.

A provider may make calls, and these may need tokens of their own. One that needs the very token that is being fetched would
wait for itself, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...errors import (
    ClientClosedError,
    DeadlineExceededError,
    Failure,
    HttpClientError,
    SentState,
    TokenError,
)
from ...events import TokenAwaited
from ...http.messages import HttpRequest, HttpResponse
from ..effects import Acquire, Outcome, Plan, Start
from ..machines.caching.token_cache import ABANDONED, Fetch, Token, TokenCache
from ..outcomes import already_closed

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..machines.circuit_breaker.breaker import CircuitBreaker
    from ..telemetry import CallTelemetry

__all__ = [
    "Fetched",
    "Needs",
    "TokenNeeded",
    "TokenRequests",
    "TokenSource",
    "Tokens",
    "TokensLayer",
    "no_token",
]


# The fetches that enclose the running code, or wait for the one that does.
_FETCHING: ContextVar[tuple[Fetch, ...]] = ContextVar("http_service_client.fetching", default=())


class Fetched(NamedTuple):
    """A new token.   lifetime: seconds from the request for it; None if unknown."""

    value: str
    lifetime: float | None


class TokenRequests(Protocol):
    """Sends the requests of a fetch: each is a call of its own."""

    def send(self, request: HttpRequest, timeout: float) -> Plan[HttpResponse | HttpClientError]:
        """The response, whatever its status, or the error that ended the call after all its attempts.

        timeout: seconds for the call, its retries included.
        """
        ...

    def wall_clock(self) -> float:
        """Seconds since the epoch."""
        ...


class TokenSource(Protocol):
    """Where tokens come from.

    cache: shared by all clients that use this object.   refresh_ahead: seconds before a token's end from which the next one
    is fetched; it may begin later, but not earlier.   source_name: for messages; without secrets.
    """

    @property
    def cache(self) -> TokenCache: ...

    @property
    def refresh_ahead(self) -> float: ...

    @property
    def source_name(self) -> str: ...

    def fetch(self, requests: TokenRequests, refused: str | None) -> Plan[Fetched | Failure]:
        """A new token, or the failure of all who wait for it.   refused: the value that was refused last, or None."""
        ...


class TokenNeeded(NamedTuple):
    """What a flow yields to be sent a token, in place of a request.

    refused: a token that got a 401. The same token is sent again if asking for another one is of no use.
    waits: False to drop the refused one without waiting for another.
    """

    source: TokenSource
    refused: Token | None = None
    waits: bool = True


class Needs(NamedTuple):
    """What a fetch has from the call that starts it.

    key: of its state.   held: the breaker whose permit it holds, or None.   telemetry: sees it, or None.
    """

    key: str | None
    held: CircuitBreaker | None
    telemetry: CallTelemetry | None


class Tokens:
    """Finds tokens for the calls of one client.

    handler, new_call: of the fetches.  new_call takes a request, the seconds for the call as a whole, and its `Needs`.
    clock: monotonic seconds.   wall_clock: seconds since the epoch.   random: uniform in [0, 1), for jitter.
    """

    def __init__(
        self,
        handler: Handler,
        new_call: Callable[[HttpRequest, float, Needs], Call],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._handler = handler
        self._new_call = new_call
        self._clock = clock
        self._wall_clock = wall_clock
        self._random = random

    def get(
        self, needed: TokenNeeded, call: Call, record: Callable[[TokenAwaited], object] | None = None
    ) -> Plan[Token | Failure]:
        """A token for the call's next request, or why there is none. Its `sent_state` is about that request alone.

        record: gets the event of a wait, in place of the call's timeline.
        """
        record = record or call.record
        source, refused, waits = needed
        cache, began_at = source.cache, self._clock()
        if refused is not None and (not cache.refuse(refused, began_at) or not waits):
            return refused
        has_waited = False
        while True:
            token, fetch, is_new = cache.look_up(self._clock(), self._wall_clock())
            if token is None and fetch in _FETCHING.get():
                return no_token(source, _OWN_CALL)
            if is_new and fetch is not None:
                yield from self._start(source, fetch, call)
            if token is not None:
                if has_waited:
                    record(self._awaited(call, source, began_at, None))
                return token
            assert fetch is not None
            has_waited = True
            result = yield from self._await(fetch, source, call)
            if not is_new and (result is ABANDONED or (fetch.is_over.is_open and _is_closed(result))):
                continue  # the one that started it is gone with its loop or its client
            if isinstance(result, Token):  # however short its life: those that waited for it use it
                record(self._awaited(call, source, began_at, None))
                return result
            failure = result if isinstance(result, Failure) else _lost(source, fetch)
            record(self._awaited(call, source, began_at, failure.error_type.__name__))
            return failure

    def _start(self, source: TokenSource, fetch: Fetch, call: Call) -> Plan[None]:
        held = None if call.scope is None else call.scope.breaker
        needs = Needs(call.options.key, held, call.telemetry)
        try:
            # A loop that ends now ends the fetch before it has begun.
            lost = partial(source.cache.abandon, fetch)
            around = (*_FETCHING.get(), fetch)
            yield from Start(partial(self._fetch, source, fetch, needs, around), on_end=lost)
        except BaseException:
            source.cache.abandon(fetch)
            raise

    def _await(self, fetch: Fetch, source: TokenSource, call: Call) -> Plan[object]:
        """The fetch's result; ABANDONED when it is lost; or why this call does not wait for it any longer."""
        now = self._clock()
        left, lease = call.remaining(), fetch.lease_ends_at - now
        waiter = fetch.is_over.wait_later()
        try:
            was_woken = yield from Acquire(waiter, max(0.0, lease if left is None else min(left, lease)))
        finally:
            waiter.release()
        if call.current.expires_at is not None:
            call.current.postpone(self._clock() - now, call.deadline_at)  # the attempt does not pay for it
        if fetch.is_over.is_open:
            return fetch.result
        if was_woken:
            return already_closed()
        if left is None or lease <= left:
            return ABANDONED
        message = f"the deadline expired while the call was waiting for a token from {source.source_name}"
        return Failure(DeadlineExceededError, message, SentState.NEVER_SENT)

    def _fetch(
        self, source: TokenSource, fetch: Fetch, needs: Needs, around: tuple[Fetch, ...]
    ) -> Plan[None]:
        """The plan of one fetch, in a context of its own. It ends the fetch, whatever happens.

        around: see `_FETCHING`.
        """
        if not source.cache.begin(fetch):
            return
        _FETCHING.set(around)
        result: object = ABANDONED
        began_at, began_wall = self._clock(), self._wall_clock()
        try:
            requests = _Requests(self._handler, self._new_call, needs, self._wall_clock)
            fetched = yield from source.fetch(requests, source.cache.refused)
            if isinstance(fetched, Fetched):
                result = Token(
                    fetched.value,
                    fetched.lifetime,
                    began_at,
                    began_wall,
                    source.refresh_ahead,
                    self._random(),
                )
            else:
                # Not by its cause: a provider may have used another client, and that one may be closed.
                result = already_closed() if requests.client_is_closed else fetched
        except Exception as error:  # of the provider
            result = no_token(source, f"{type(error).__name__} was raised", error)
        finally:
            source.cache.finish(fetch, result, self._clock())

    def _awaited(self, call: Call, source: TokenSource, began_at: float, error: str | None) -> TokenAwaited:
        waited = self._clock() - began_at
        return TokenAwaited(
            call.elapsed(),
            call.attempt,
            call.key,
            waited,
            source.source_name,
            error,
            call.call_id,
            call.call_name,
        )


class _Requests:
    """The requests of one fetch.   client_is_closed: so one of them was refused."""

    def __init__(
        self,
        handler: Handler,
        new_call: Callable[[HttpRequest, float, Needs], Call],
        needs: Needs,
        wall_clock: Callable[[], float],
    ) -> None:
        self._handler = handler
        self._new_call = new_call
        self._needs = needs
        self.wall_clock = wall_clock
        self.client_is_closed = False

    def send(self, request: HttpRequest, timeout: float) -> Plan[HttpResponse | HttpClientError]:
        call = self._new_call(request, timeout, self._needs)
        result = call.finish((yield from self._handler(call.request, call)))
        self.client_is_closed = isinstance(result, ClientClosedError)
        return result


class TokensLayer:
    """Makes sure of a token before an attempt begins, for calls whose flow sends one."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        source = call.options.auth
        if isinstance(getattr(source, "cache", None), TokenCache):
            found = yield from self._tokens.get(TokenNeeded(source), call)  # type: ignore[arg-type]  # it has a cache
            if isinstance(found, Failure):
                return found
        return (yield from proceed(request, call))


_OWN_CALL = (
    "a call that fetches it needs the token itself; make that call with auth=None, or with another client"
)


def _is_closed(result: object) -> bool:
    return isinstance(result, Failure) and result.error_type is ClientClosedError


def _lost(source: TokenSource, fetch: Fetch) -> Failure:
    is_over = fetch.is_over.is_open
    return no_token(source, "its fetch was interrupted" if is_over else "its fetch has not ended in time")


def no_token(
    source: TokenSource,
    problem: str,
    cause: BaseException | None = None,
    error_code: str | None = None,
    retry_after: float | None = None,
) -> Failure:
    """The failure of those that needed a token.   problem: the end of the message."""
    message = f"there is no token from {source.source_name}: {problem}"
    details = {"source": source.source_name, "error_code": error_code, "retry_after": retry_after}
    return Failure(TokenError, message, SentState.NEVER_SENT, cause, details)
