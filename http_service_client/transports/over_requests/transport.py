"""The blocking transport: one exchange over our own pools, or through requests if something has hooked in there.

`hook_detection` decides which, in each exchange. The outcome is the same.
"""

from __future__ import annotations

import math
import time
from io import BytesIO
from typing import TYPE_CHECKING

from ...core.effects import Outcome
from ...core.open_body import OpenResponse
from ...core.outcomes import already_closed, ended_by_close
from ...core.timeouts import Timeout
from ...drivers.imports import import_apart
from ...drivers.interruption import INTERRUPTION, cancelled
from ...errors import DecodingError, Failure, HttpClientError, ResponseError
from ...http.content_codings.decoder import Decoder, UndecodedBody
from ...http.headers import Headers
from ...http.http1.errors import NotHttpError
from ...http.messages import HttpRequest, HttpResponse
from ...http.proxies.urls import HttpProxy, read_proxy
from ...http.redirects import REDIRECT_CODES, leads_on
from ..base import REDIRECT_BODY, REDIRECT_WAIT, TransportSettings, smaller
from ..failures import BodySourceError, Phase, PhaseError, refusal_of, source_failed
from .errors import check_signals, failure_from
from .exchange_timeouts import ExchangeTimeouts
from .hook_detection import is_hooked
from .open_body import PooledBodySource
from .origin_pools import Pools, WireBody, wire_body

if TYPE_CHECKING:
    from .hooked.exchanges import RequestsExchanges, RequestsResponse
    from .pool import PoolResponse

    Response = PoolResponse | RequestsResponse

__all__ = ["RequestsTransport"]

_PIECE = 64 * 1024


class RequestsTransport:
    """The pools of one client, for all threads."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._is_closed = False
        self._pools = Pools(settings)
        self._through_requests: RequestsExchanges | None = None
        # Both import urllib3, which no call may do on its way.
        if is_hooked():
            import_apart(_load_requests)
        if _has_tls_within_tls(settings):
            import_apart(_load_nested_tls)

    def close(self) -> None:
        """Close every idle connection; one in use is closed after its exchange."""
        self._is_closed = True
        self._pools.close()
        if self._through_requests is not None:
            self._through_requests.close()

    def abort(self) -> None:
        """Close every connection, also those in use: their exchanges fail with ClientClosedError."""
        self.close()
        self._pools.opened.cut()

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
        timeouts = ExchangeTimeouts.starting(timeout, started)
        try:
            body = wire_body(request)
        except HttpClientError as unsendable:
            return Failure(type(unsendable), str(unsendable), unsendable.sent_state)
        phase = Phase.RECEIVE
        error: BaseException
        try:
            response = self._begin(request, body, timeouts, proxy)
            timeout = timeout.in_body()
            if leaves_open and 200 <= response.status <= 299:
                now = time.monotonic()
                waited = now - (timeouts.sent_at or now)
                return self._open_response(request, response, now - started, waited)
            try:
                if response.status in REDIRECT_CODES and leads_on(
                    request, response.status, response.location
                ):
                    content = self._read_redirect(request, response, timeout, started)
                else:
                    content = self._read(request, response, started)
            finally:
                response.close()
            return _response(request, response, content, time.monotonic() - started)
        except PhaseError as failed:
            phase, error = failed.phase, failed.error
        except HttpClientError as refused:
            return refusal_of(refused)
        except (OSError, NotHttpError) as unread:
            error = unread
        try:
            interruption = INTERRUPTION.get()
            if interruption is not None and interruption.is_set:  # that is why it failed
                raise cancelled() from None
            check_signals(error)
            if isinstance(error, BodySourceError):
                return source_failed(error.error)
            failure = failure_from(phase, error, request, timeout, timeouts, proxy)
            return ended_by_close(failure) if self._pools.opened.is_cut else failure
        finally:
            del error  # its traceback holds this frame

    def _begin(
        self, request: HttpRequest, body: WireBody, timeouts: ExchangeTimeouts, proxy: str | None
    ) -> Response:
        if not is_hooked():
            return self._pools.send(request, body, timeouts, proxy)
        exchanges = self._through_requests
        if exchanges is None:
            import_apart(_load_requests)
            from .hooked.exchanges import RequestsExchanges

            exchanges = self._through_requests = RequestsExchanges(self._settings, self._pools)
        return exchanges.send(request, body, timeouts, proxy)

    def _open_response(
        self, request: HttpRequest, response: Response, elapsed: float, waited: float
    ) -> OpenResponse:
        return OpenResponse(
            response.status,
            source=PooledBodySource(request, response, self._pools.opened),
            waited=waited,
            headers=response.fields,
            reason_phrase=response.reason,
            url=request.url,
            request=request,
            elapsed=elapsed,
        )

    def _read_redirect(
        self, request: HttpRequest, response: Response, timeout: Timeout, started: float
    ) -> bytes:
        """The body of a redirect that is followed: empty if it is not complete soon (see `base.REDIRECT_WAIT`)."""
        if response.ends_with_connection:
            return b""
        now = time.monotonic()
        left = math.inf if timeout.total is None else started + timeout.total - now
        response.set_timeouts(ExchangeTimeouts.starting(timeout.within(min(REDIRECT_WAIT, left / 2)), now))
        try:
            return self._read(request, response, started, REDIRECT_BODY)
        except (PhaseError, OSError, NotHttpError, ResponseError) as unread:
            check_signals(unread)
            return b""

    def _read(
        self, request: HttpRequest, response: Response, started: float, most: int | None = None
    ) -> bytes:
        """The decoded body, read no further than the size limit, or `most` bytes."""
        limit = smaller(most, self._settings.max_response_size)
        whole = response.content
        if whole is not None and not response.is_encoded and (limit is None or len(whole) <= limit):
            return whole
        coding = None
        if response.is_encoded and self._settings.decompresses(
            request, response.status, Headers(response.fields)
        ):
            coding = response.content_coding
        decoder = Decoder(coding, limit)
        undecoded = UndecodedBody(decoder)
        # No list: as objects of their own, pieces of two bytes would take fifty times their size.
        body = BytesIO()
        try:
            while piece := response.read(_PIECE):
                undecoded.add(piece)
                body.write(decoder.feed(piece))
            decoder.finish()
        except DecodingError as error:
            while piece := response.read(_PIECE):
                undecoded.add(piece)
            error.response = _response(request, response, undecoded.content, time.monotonic() - started)
            raise
        return body.getvalue()


def _response(request: HttpRequest, response: Response, content: bytes, elapsed: float) -> HttpResponse:
    return HttpResponse(
        response.status,
        headers=response.fields,
        content=content,
        reason_phrase=response.reason,
        url=request.url,
        request=request,
        elapsed=elapsed,
    )


def _has_tls_within_tls(settings: TransportSettings) -> bool:
    proxy = settings.proxies.https
    found = None if proxy is None else read_proxy(proxy)
    return isinstance(found, HttpProxy) and found.address.scheme == "https"


def _load_requests() -> None:
    from .hooked import exchanges  # noqa: F401


def _load_nested_tls() -> None:
    from . import nested_tls  # noqa: F401
