"""The blocking transport: one exchange over requests, a hand-built `PreparedRequest` into `Session.send`.

Mocks and instrumentation hook into `Session.send` and `HTTPAdapter.send`, so every exchange goes through the first,
and through the second if something is hooked in there.
Everything that requests would decide on its own (redirects, cookies, netrc, proxies, encodings) is switched off in
`adapter`. Errors of requests and urllib3 are translated here only: mocks raise them, our own pools do not.
"""

from __future__ import annotations

import math
import time
from asyncio import CancelledError
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import requests

from ...core.effects import Outcome
from ...core.open_body import OpenResponse
from ...core.outcomes import already_closed, ended_by_close
from ...core.timeouts import Timeout
from ...drivers.interruption import INTERRUPTION
from ...errors import DecodingError, Failure, HttpClientError, ResponseError
from ...http.content_codings.decoder import Decoder, UndecodedBody
from ...http.headers import Headers
from ...http.http1.framing import field_text
from ...http.messages import HttpRequest, HttpResponse
from ...http.proxies.urls import read_proxy
from ...http.redirects import leads_on
from ...http.urls import split_url
from ..base import REDIRECT_BODY, REDIRECT_WAIT, TransportSettings, smaller
from ..failures import BodySourceError, Phase, refusal_of, source_failed
from .adapter import PlainSession, PooledAdapter, prepare
from .compatibility import ADAPTER, NESTED_TLS
from .connection import IoTimeouts, PhaseError
from .errors import ERRORS, failure_from
from .open_body import RequestsBodySource
from .pool import Urllib3StyleResponse

__all__ = ["RequestsTransport"]

_PIECE = 64 * 1024


class RequestsTransport:
    """One pooled adapter on one session, for all threads."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._is_closed = False
        ADAPTER.warn()
        NESTED_TLS.warn()
        self._session = PlainSession()
        self._adapter = PooledAdapter(settings)
        self._session.adapters.clear()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self._session.mount("http+unix://", self._adapter)

    def close(self) -> None:
        """Close every idle connection; one in use is closed after its exchange."""
        self._is_closed = True
        self._session.close()

    def abort(self) -> None:
        """Close every connection, also those in use: their exchanges fail with ClientClosedError."""
        self.close()
        self._adapter.opened.cut()

    def send(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire, the body read whole."""
        return self._send_once(request, timeout)

    def open_response(self, request: HttpRequest, timeout: Timeout) -> Outcome:
        """One exchange on the wire; the body of a success is left unread."""
        return self._send_once(request, timeout, leaves_open=True)

    def _send_once(self, request: HttpRequest, timeout: Timeout, leaves_open: bool = False) -> Outcome:
        if self._is_closed:
            return already_closed()
        started = time.monotonic()
        proxy = self._settings.proxies.proxy_for(request.url)
        if proxy is not None and isinstance(unusable := read_proxy(proxy), Failure):
            return unusable
        timeouts = IoTimeouts.starting(timeout, started)
        try:
            prepared = prepare(request)
        except HttpClientError as unsendable:
            return Failure(type(unsendable), str(unsendable), unsendable.sent_state)
        phase = Phase.RECEIVE
        error: BaseException
        try:
            response = self._session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=timeouts,  # type: ignore[arg-type]  # urllib3's class is accepted too
                verify=True,
                cert=None,
                proxies={} if proxy is None else {split_url(request.url).scheme: proxy},
            )
            if leaves_open and 200 <= response.status_code <= 299:
                now = time.monotonic()
                waited = now - (timeouts.sent_at or now)
                return self._open_response(request, response, now - started, waited)
            with response:
                if leads_on(request, response.status_code, response.headers.get("Location")):
                    content = self._read_redirect(request, response, timeout, started)
                    return _response(request, response, content, time.monotonic() - started)
                content = self._read(request, response, started)
            return _response(request, response, content, time.monotonic() - started)
        except PhaseError as failed:
            phase, error = failed.phase, failed.error
        except HttpClientError as refused:
            return refusal_of(refused)
        except ERRORS as mocked_or_reading:
            error, timeout = mocked_or_reading, timeout.in_body()
        try:
            interruption = INTERRUPTION.get()
            if interruption is not None and interruption.is_set:  # that is why it failed
                raise CancelledError from None
            if isinstance(error, BodySourceError):
                return source_failed(error.error)
            failure = failure_from(phase, error, request, timeout, timeouts, proxy)
            return ended_by_close(failure) if self._adapter.opened.is_cut else failure
        finally:
            del error  # its traceback holds this frame

    def _open_response(
        self, request: HttpRequest, response: requests.Response, elapsed: float, waited: float
    ) -> OpenResponse:
        return OpenResponse(
            response.status_code,
            source=RequestsBodySource(request, response, self._adapter.opened),
            waited=waited,
            headers=_fields(request, response),
            reason_phrase=response.reason or "",
            url=request.url,
            request=request,
            elapsed=elapsed,
        )

    def _read_redirect(
        self, request: HttpRequest, response: requests.Response, timeout: Timeout, started: float
    ) -> bytes:
        """The body of a redirect that is followed: empty if it is not complete soon (see `base.REDIRECT_WAIT`)."""
        raw: Any = response.raw
        if isinstance(raw, Urllib3StyleResponse):
            if raw.ends_with_connection:
                return b""
            now = time.monotonic()
            left = math.inf if timeout.total is None else started + timeout.total - now
            raw.set_timeouts(IoTimeouts.starting(timeout.within(min(REDIRECT_WAIT, left / 2)), now))
        try:
            return self._read(request, response, started, REDIRECT_BODY)
        except (*ERRORS, ResponseError):
            return b""

    def _read(
        self, request: HttpRequest, response: requests.Response, started: float, most: int | None = None
    ) -> bytes:
        """The decoded body, read no further than the size limit, or `most` bytes."""
        raw: Any = response.raw
        coding = response.headers.get("Content-Encoding") if self._settings.decompresses(request) else None
        decoder = Decoder(coding, smaller(most, self._settings.max_response_size))
        undecoded = UndecodedBody(decoder)
        # No list: as objects of their own, pieces of two bytes would take fifty times their size.
        body = BytesIO()
        try:
            while piece := raw.read(_PIECE, decode_content=False):
                undecoded.add(piece)
                body.write(decoder.feed(piece))
            decoder.finish()
        except DecodingError as error:
            while piece := raw.read(_PIECE, decode_content=False):
                undecoded.add(piece)
            error.response = _response(request, response, undecoded.content, time.monotonic() - started)
            raise
        return body.getvalue()


def _response(
    request: HttpRequest, response: requests.Response, content: bytes, elapsed: float
) -> HttpResponse:
    return HttpResponse(
        response.status_code,
        headers=_fields(request, response),
        content=content,
        reason_phrase=response.reason or "",
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _fields(request: HttpRequest, response: requests.Response) -> Headers | list[tuple[str, str]]:
    headers: Any = getattr(response.raw, "headers", None) or response.headers
    if type(headers) is not Headers:
        return _mocked_fields(headers)
    headers.secret_names = request.headers.secret_names
    return headers


def _mocked_fields(headers: Any) -> list[tuple[str, str]]:
    """The fields of a urllib3 response made by a mock. If http.client parsed them, they were read as latin-1."""
    pairs: Iterable[tuple[str, str]] = (
        headers.iteritems() if hasattr(headers, "iteritems") else headers.items()
    )
    return [(name, value if value.isascii() else _text(value)) for name, value in pairs]


def _text(value: str) -> str:
    try:
        return field_text(value.encode("latin-1"))
    except UnicodeError:
        return value
