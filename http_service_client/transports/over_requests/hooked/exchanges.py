"""Exchanges through requests, for the libraries that have hooked in there (see `hook_detection`).

Mocks and instrumentation hook into `Session.send` and `HTTPAdapter.send`, so an exchange goes through the first, and
through the second if something is hooked in there. All that requests would decide on its own (redirects, cookies, netrc,
proxies, encodings) is switched off in `adapter`.

Mocks raise the errors of requests and urllib3. They are translated here, so that no other module knows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests

from ....http.headers import Headers
from ....http.http1.framing import field_text
from ....http.messages import HttpRequest
from ....http.urls import split_url
from ...base import TransportSettings
from ...failures import Phase, PhaseError
from ..errors import check_signals
from ..exchange_timeouts import ExchangeTimeouts
from ..origin_pools import Pools, WireBody
from .adapter import CarriedTimeouts, PlainSession, PooledAdapter, prepare
from .compatibility import ADAPTER
from .errors import FOREIGN, translate_error
from .urllib3_style import Urllib3StyleResponse

__all__ = ["RequestsExchanges", "RequestsResponse"]

_PIECE = 64 * 1024


class RequestsExchanges:
    """One pooled adapter on one session, for all threads."""

    def __init__(self, settings: TransportSettings, pools: Pools) -> None:
        ADAPTER.warn()
        self._session = PlainSession()
        adapter = PooledAdapter(settings, pools)
        for scheme in ("https://", "http://", "http+unix://"):
            self._session.mount(scheme, adapter)

    def send(
        self, request: HttpRequest, body: WireBody, timeouts: ExchangeTimeouts, proxy: str | None
    ) -> RequestsResponse:
        """As `Pools.send`."""
        error: BaseException
        try:
            response = self._session.send(
                prepare(request, body),
                stream=True,
                allow_redirects=False,
                timeout=CarriedTimeouts(timeouts),  # type: ignore[arg-type]  # urllib3's class is accepted too
                verify=True,
                cert=None,
                proxies={} if proxy is None else {split_url(request.url).scheme: proxy},
            )
            return RequestsResponse(response)
        except FOREIGN as failed:
            error = failed
        try:
            check_signals(error)
            raise PhaseError(*translate_error(Phase.RECEIVE, error))
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        """Close what a recorder has opened."""
        self._session.close()


class RequestsResponse:
    """A response of requests, ours or a mock's, with the interface of `PoolResponse`.

    A hook may have read the body, or a part of it, before the exchange does. The body of ours is kept by
    `Urllib3StyleResponse`, and that of a mock by requests, decoded.
    """

    content = None
    is_encoded = True  # for all that is known

    def __init__(self, response: requests.Response) -> None:
        headers = getattr(response, "headers", None)
        if not isinstance(headers, Mapping):
            raise TypeError(
                f"what has hooked into requests returned a {type(response).__name__}, which is no response of requests; "
                "return a requests.Response, or mock requests by a library such as responses or requests-mock"
            )
        raw: Any = response.raw
        self._response = response
        self._ours: Urllib3StyleResponse | None = raw if isinstance(raw, Urllib3StyleResponse) else None
        self.status = response.status_code
        self.reason = response.reason or ""
        self.fields: Iterable[tuple[str, str]]
        if self._ours is not None:
            self.fields = self._ours.own.fields
            return
        self.fields = _mocked_fields(getattr(raw, "headers", None) or headers)
        self._first = self._read_mock()
        if not self._first:  # there was none, or it has been read
            self._first = response.content
            if self._first:
                self.fields = [field for field in self.fields if field[0].lower() != "content-encoding"]

    @property
    def content_coding(self) -> str | None:
        """The value of Content-Encoding, or None."""
        return Headers(self.fields).get("Content-Encoding")

    @property
    def location(self) -> str | None:
        """The value of Location, or None."""
        return self._response.headers.get("Location")

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends the body."""
        return self._ours is not None and self._ours.own.ends_with_connection

    def set_timeouts(self, timeouts: ExchangeTimeouts) -> None:
        """Use these limits for the next reads; a mock has none."""
        if self._ours is not None:
            self._ours.own.set_timeouts(timeouts)

    def prefer_long_pieces(self) -> None:
        """See `Connection.prefer_long_pieces`; a mock has no connection."""
        if self._ours is not None:
            self._ours.own.prefer_long_pieces()

    def read(self, amount: int) -> bytes:
        """The next piece of the body, undecoded; b"" at its end."""
        if self._ours is not None:
            return self._ours.next_piece()
        first, self._first = self._first, b""
        return first or self._read_mock()

    def _read_mock(self) -> bytes:
        raw: Any = self._response.raw
        if raw is None:
            return b""
        # requests takes any file for a body; of them, only those of urllib3 decode.
        options = {"decode_content": False} if hasattr(raw, "stream") else {}
        error: BaseException
        try:
            data: bytes = raw.read(_PIECE, **options)
            return data
        except FOREIGN as failed:
            error = failed
        try:
            check_signals(error)
            raise PhaseError(*translate_error(Phase.RECEIVE, error))
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        """Close the connection, unless it is back in the pool."""
        if self._response.raw is not None:
            self._response.close()


def _mocked_fields(headers: Any) -> list[tuple[str, str]]:
    """The fields of a urllib3 response made by a mock. If http.client parsed them, they were read as latin-1."""
    return [(name, value if value.isascii() else _text(value)) for name, value in headers.items()]


def _text(value: str) -> str:
    try:
        return field_text(value.encode("latin-1"))
    except UnicodeError:
        return value
