"""Translates the errors of requests and urllib3. Mocks raise them; our own pools raise the socket's errors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from socket import gaierror

import requests.exceptions as rex
import urllib3.exceptions as uex

from ...core.timeouts import TIMER_SLACK, Timeout
from ...errors import Failure, innermost
from ...http.http1.errors import CutShortError, NotHttpError
from ...http.messages import HttpRequest
from ..failures import Phase, UnsendableError, failure_of
from .connection import IoTimeouts

__all__ = ["ERRORS", "failure_from", "translate_error"]

ERRORS = (NotHttpError, rex.RequestException, uex.HTTPError, uex.ProxySchemeUnsupported, OSError)

_UNSENDABLE = (
    *(rex.InvalidURL, rex.MissingSchema, rex.InvalidSchema, rex.URLRequired),
    *(rex.InvalidHeader, rex.InvalidJSONError, rex.UnrewindableBodyError),
    *(uex.LocationValueError, uex.ProxySchemeUnsupported, uex.InvalidHeader, uex.UnrewindableBodyError),
)
_TLS = (rex.SSLError, uex.SSLError)
_NO_CONNECTION = (uex.NewConnectionError, uex.EmptyPoolError, uex.FullPoolError, uex.ClosedPoolError)
_NOT_HTTP = (
    *(rex.ContentDecodingError, uex.DecodeError, uex.ProtocolError),
    *(uex.HeaderParsingError, uex.BodyNotHttplibCompatible),
)

_PHASES: tuple[tuple[tuple[type[Exception], ...], Phase], ...] = (
    ((rex.ProxyError, uex.ProxyError), Phase.PROXY),
    ((rex.ConnectTimeout, uex.ConnectTimeoutError, *_NO_CONNECTION, *_TLS), Phase.CONNECT),
)

# The first row that matches is used, where there is no builtin error beneath.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], Callable[[str], Exception]], ...] = (
    (_UNSENDABLE, UnsendableError),
    (_TLS, ssl.SSLError),
    ((uex.NameResolutionError,), gaierror),
    (_NO_CONNECTION, ConnectionError),
    ((rex.Timeout, uex.TimeoutError), TimeoutError),
    # http.client has a subclass for a connection that was closed.
    ((ConnectionResetError,), ConnectionResetError),
    ((rex.ChunkedEncodingError, uex.IncompleteRead, uex.InvalidChunkLength), lambda text: CutShortError()),
    (_NOT_HTTP, lambda text: NotHttpError(detail=text)),
    ((Exception,), ConnectionError),
)


def failure_from(
    phase: Phase,
    error: BaseException,
    request: HttpRequest,
    timeout: Timeout,
    timeouts: IoTimeouts,
    proxy: str | None = None,
) -> Failure:
    """The failure for an error of requests, urllib3 or a socket."""
    phase, error = translate_error(phase, error)
    timed_out = timeouts.expires_at is not None and time.monotonic() >= timeouts.expires_at - TIMER_SLACK
    return failure_of(phase, error, request, timeout, timed_out, proxy)


def translate_error(phase: Phase, error: BaseException) -> tuple[Phase, BaseException]:
    """The phase, and the builtin error beneath an error of requests or urllib3."""
    if isinstance(error, NotHttpError):
        return phase, error
    links = list(_links(error))
    for kinds, known in _PHASES:
        if any(isinstance(link, kinds) for link in links):
            phase = known
            break
    root = innermost(error)  # cuts the links
    if not isinstance(root, ERRORS[1:-1]):
        return phase, root
    text = str(root) or type(root).__name__
    makers = (make for kinds, make in _MEANINGS if any(isinstance(link, kinds) for link in links))
    return phase, next(makers)(text)


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error and the errors that it wraps."""
    yield error
    for link in (getattr(error, "reason", None), *error.args):
        if isinstance(link, BaseException) and link is not error:
            yield from _links(link)
