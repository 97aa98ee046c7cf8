"""Exchanges through requests, for the libraries that have hooked in there (see `hooks`).

Mocks and instrumentation hook into `Session.send` and `HTTPAdapter.send`, so an exchange goes through the first, and
through the second if something is hooked in there. All that requests would decide on its own (redirects, cookies, netrc,
proxies, encodings) is switched off in `adapter`.

Mocks raise the errors of requests and urllib3. They are translated here, so that no other module knows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import requests

from ...http.http1.framing import field_text
from ...http.messages import HttpRequest
from ...http.urls import split_url
from ..base import TransportSettings
from ..failures import Phase
from .adapter import CarriedTimeouts, PlainSession, PooledAdapter, prepare
from .compatibility import ADAPTER
from .connection import IoTimeouts, PhaseError
from .foreign_errors import FOREIGN, translate_error
from .pool import PoolResponse
from .pools import Pools, WireBody

__all__ = ["RequestsExchanges", "RequestsResponse"]


class RequestsExchanges:
    """One pooled adapter on one session, for all threads."""

    def __init__(self, settings: TransportSettings, pools: Pools) -> None:
        ADAPTER.warn()
        self._session = PlainSession()
        self._session.adapters.clear()
        adapter = PooledAdapter(settings, pools)
        for scheme in ("https://", "http://", "http+unix://"):
            self._session.mount(scheme, adapter)

    def send(
        self, request: HttpRequest, body: WireBody, timeouts: IoTimeouts, proxy: str | None
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
            raise PhaseError(*translate_error(Phase.RECEIVE, error))
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        """Close what a recorder has opened."""
        self._session.close()


class RequestsResponse:
    """A response of requests, ours or a mock's, with the interface of `PoolResponse`."""

    content = None
    is_encoded = True  # for all that is known

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._raw: Any = response.raw
        self.status = response.status_code
        self.reason = response.reason or ""

    @property
    def fields(self) -> Iterable[tuple[str, str]]:
        """The header fields."""
        if isinstance(self._raw, PoolResponse):
            return self._raw.fields
        return _mocked_fields(getattr(self._raw, "headers", None) or self._response.headers)

    @property
    def content_coding(self) -> str | None:
        """The value of Content-Encoding, or None."""
        return self._response.headers.get("Content-Encoding")

    @property
    def location(self) -> str | None:
        """The value of Location, or None."""
        return self._response.headers.get("Location")

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends the body."""
        return isinstance(self._raw, PoolResponse) and self._raw.ends_with_connection

    def set_timeouts(self, timeouts: IoTimeouts) -> None:
        """Use these limits for the next reads; a mock has none."""
        if isinstance(self._raw, PoolResponse):
            self._raw.set_timeouts(timeouts)

    def read(self, amount: int) -> bytes:
        """The next piece of the body, undecoded; b"" at its end."""
        error: BaseException
        try:
            data: bytes = self._raw.read(amount, decode_content=False)
            return data
        except FOREIGN as failed:
            error = failed
        try:
            raise PhaseError(*translate_error(Phase.RECEIVE, error))
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        """Close the connection, unless it is back in the pool."""
        self._response.close()


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
