"""A network that is a script: alike for sync and async calls, without sockets or sleeping.

    transport = ScriptedTransport([HttpResponse(503), ConnectionResetError(), HttpResponse(200, content=b"ok")])
    client = HttpServiceClient(transport=transport)

An outcome may be late: then time passes on the given clock as it would on a network, and a latency beyond
the attempt's timeout becomes the failure that a real transport returns.
"""

from __future__ import annotations

import inspect
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain, repeat
from typing import Any, NamedTuple, Protocol

from ..core.checks import check_number
from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..errors import Failure, HttpClientError, SentState
from ..http.messages import HttpRequest, HttpResponse
from ..http.urls import origin_of, split_url
from ..transports.failures import Phase, failure_of, source_failed

__all__ = ["Late", "ScriptedTransport", "Sent", "late"]


class Late(NamedTuple):
    """An outcome that takes `latency` seconds."""

    latency: float
    outcome: Scripted


# A response is returned as a copy with the request that it answers. An OSError is what the socket would
# have raised: ConnectionRefusedError(), ConnectionResetError(), socket.gaierror(). A function is called
# with the request and returns one of the others.
Scripted = HttpResponse | Failure | OSError | Late | Callable[[HttpRequest], Any]
Script = Scripted | Sequence[Scripted]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_WHILE_CONNECTING = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)


def late(latency: float, outcome: Scripted) -> Late:
    """The outcome, after so many seconds; a timeout's failure if the attempt allows less.

    Raises ConfigurationError (a ValueError) unless the latency is a number of seconds of 0 or more.
    """
    check_number("latency", latency, unit="of seconds ")
    return Late(latency, outcome)


class Sent(NamedTuple):
    """One exchange: the request in its final form, the bytes of its body, its timeout, and its outcome.

    content: b"" for a request that was never sent.
    """

    request: HttpRequest
    content: bytes
    timeout: Timeout
    outcome: Outcome


class Time(Protocol):
    """A clock whose time can be advanced, such as a `testing.VirtualClock`."""

    def elapse(self, seconds: float) -> None: ...
    async def elapse_async(self, seconds: float) -> None: ...


class ScriptedTransport:
    """A transport that answers from a script, for sync and async calls. Thread-safe.

    script: outcomes in order, one for each exchange, the last one for all further ones; or a mapping from
        an absolute URL without its query, a path, or "*" for the rest, to such a list.
    clock: is advanced by the latency of late outcomes; None sleeps.

    Raises TypeError for anything else in a script. A call that no entry of the mapping matches raises LookupError.
    """

    def __init__(self, script: Script | Mapping[str, Script], *, clock: Time | None = None) -> None:
        scripts = script if isinstance(script, Mapping) else {"*": script}
        self._scripts = {key: _repeating(key, given) for key, given in scripts.items()}
        self._for_all = self._scripts["*"] if set(self._scripts) == {"*"} else None
        self._clock = clock
        self._sent: list[Sent] = []

    @property
    def sent(self) -> list[Sent]:
        """Every exchange so far, including those that never reached a server."""
        return list(self._sent)

    @property
    def requests(self) -> list[HttpRequest]:
        """The requests that a server would have seen."""
        return [sent.request for sent in self.sent if sent.outcome.sent_state is not SentState.NEVER_SENT]

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """The next outcome of the script, on the calling thread."""
        latency, outcome = self._next(request, timeout)
        try:
            body = request.outgoing_body
            content = b"" if _is_never_sent(outcome) else body.content
            if content is None:
                content = b"".join(body.chunks())
        except HttpClientError as error:
            return source_failed(error)
        self._note(request, content, timeout, outcome)
        if self._clock is not None:
            self._clock.elapse(latency)
        elif latency > 0:
            time.sleep(latency)
        return outcome

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """The next outcome of the script, in an asyncio task."""
        latency, outcome = self._next(request, timeout)
        try:
            body = request.outgoing_body
            # Read only when it is sent, as by a socket: a body that was consumed may not be retried.
            content = b"" if _is_never_sent(outcome) else body.content
            if content is None:
                content = b"".join([chunk async for chunk in body.async_chunks()])
        except HttpClientError as error:
            return source_failed(error)
        self._note(request, content, timeout, outcome)
        if self._clock is not None:
            await self._clock.elapse_async(latency)
        elif latency > 0:
            import asyncio

            await asyncio.sleep(latency)
        return outcome

    def close(self) -> None:
        """Nothing: there is no connection to close."""

    async def close_async(self) -> None:
        """Nothing: there is no connection to close."""

    def __repr__(self) -> str:
        return f"<ScriptedTransport {', '.join(self._scripts)}, {len(self._sent)} exchanges>"

    def _next(self, request: HttpRequest, timeout: Timeout) -> tuple[float, Outcome]:
        """The latency and the outcome of the next exchange."""
        latency, scripted = 0.0, next(self._for_all or self._script_for(request))
        while not isinstance(scripted, (HttpResponse, Failure, OSError)):
            if isinstance(scripted, Late):
                latency += scripted.latency
                scripted = scripted.outcome
            elif callable(scripted):
                scripted = scripted(request)
            else:
                raise TypeError(_not_an_outcome(scripted))  # a function returned it
        if latency:
            first = timeout.read if timeout.first_byte is None else timeout.first_byte
            bounds = [bound for bound in (timeout.total, first) if bound is not None]
            if bounds and latency > min(bounds):
                timed_out = min(bounds) == timeout.total
                return min(bounds), failure_of(Phase.RECEIVE, TimeoutError(), request, timeout, timed_out)
        if isinstance(scripted, HttpResponse):
            return latency, _answering(request, scripted, latency)
        if isinstance(scripted, OSError):
            phase = Phase.CONNECT if isinstance(scripted, _WHILE_CONNECTING) else Phase.RECEIVE
            return latency, failure_of(phase, scripted, request, timeout, False)
        return latency, scripted

    def _script_for(self, request: HttpRequest) -> Iterator[Scripted]:
        origin, path = origin_of(request.url), split_url(request.url).target.partition("?")[0]
        for key in (f"{origin}{path}", path, "*"):
            if key in self._scripts:
                return self._scripts[key]
        known = ", ".join(map(repr, self._scripts))
        raise LookupError(f"nothing is scripted for {request.method} {origin}{path}, only for {known}")

    def _note(self, request: HttpRequest, content: bytes, timeout: Timeout, outcome: Outcome) -> None:
        self._sent.append(Sent(request.copy(), content, timeout, outcome))


def _repeating(key: str, script: Script) -> Iterator[Scripted]:
    """The outcomes one by one, and the last one forever; an iterator of itertools, so threads may share it."""
    _check_key(key)
    # A Late is a tuple, but a single outcome.
    is_list = isinstance(script, Sequence) and not isinstance(script, (Late, str, bytes))
    outcomes: tuple[Scripted, ...] = tuple(script) if is_list else (script,)  # type: ignore[arg-type,assignment]  # narrowed by `is_list`
    if not outcomes:
        raise ValueError(f"the script of {key!r} needs at least one outcome, such as HttpResponse(200)")
    for outcome in outcomes:
        while isinstance(outcome, Late):
            outcome = outcome.outcome
        if not isinstance(outcome, (HttpResponse, Failure, OSError)) and not callable(outcome):
            raise TypeError(_not_an_outcome(outcome))
        if inspect.iscoroutinefunction(outcome):
            raise TypeError(f"a function of a script must be plain, not the async {outcome!r}")
    return chain(outcomes, repeat(outcomes[-1]))


def _check_key(key: object) -> None:
    """Raise TypeError for a key that would match no request."""
    words: list[str] = []
    if isinstance(key, str):
        words = key.partition("?")[0].split()  # "GET /orders" is written for other libraries
        if words == [key] and (key == "*" or key.startswith("/") or "://" in key):
            return
    remedy = ""
    if words:
        remedy = f"; write {words[-1] if '://' in words[-1] else '/' + words[-1].lstrip('/')!r}"
    raise TypeError(
        f'a key of a script must be a path that begins with "/", a URL, both without a query, or "*", not {key!r}{remedy}'
    )


def _not_an_outcome(scripted: object) -> str:
    remedy = f"; write HttpResponse({scripted})" if type(scripted) is int else ""
    if type(scripted).__name__ == "Response":  # of httpx, requests or a framework
        remedy = "; write an HttpResponse"
    return f"a script consists of responses, failures and errors, not {scripted!r}{remedy}"


def _answering(request: HttpRequest, response: HttpResponse, latency: float) -> HttpResponse:
    """The scripted response as a server would send it for this request."""
    headers = response.headers.copy()
    headers.secret_names = request.headers.secret_names
    return HttpResponse(
        response.status_code,
        headers=headers,
        content=b"" if request.method == "HEAD" else response.content,
        reason_phrase=response.reason_phrase or _PHRASES.get(response.status_code, ""),
        url=request.url,
        request=request,
        elapsed=latency,
    )


def _is_never_sent(outcome: Outcome) -> bool:
    return outcome.sent_state is SentState.NEVER_SENT
