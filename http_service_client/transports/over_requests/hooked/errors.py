"""Translates the errors of requests and urllib3, which mocks raise: into a phase, and a builtin error."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from socket import gaierror

import requests.exceptions as rex
import urllib3.exceptions as uex

from ....errors import innermost
from ....http.http1.errors import CutShortError, NotHttpError
from ...failures import Phase, UnsendableError

__all__ = ["FOREIGN", "translate_error"]

_WRAPPERS = (rex.RequestException, uex.HTTPError, uex.ProxySchemeUnsupported)
FOREIGN = (NotHttpError, *_WRAPPERS, OSError)

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


def translate_error(phase: Phase, error: BaseException) -> tuple[Phase, BaseException]:
    """The phase, and the builtin error beneath an error of requests or urllib3. To be called outside of its handler."""
    if isinstance(error, NotHttpError):
        return phase, error
    links = list(_links(error))
    for kinds, known in _PHASES:
        if any(isinstance(link, kinds) for link in links):
            phase = known
            break
    root = innermost(error, implicitly=True)  # cuts the links
    if not isinstance(root, _WRAPPERS):
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
