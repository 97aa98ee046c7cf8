"""A request's final form: encoded, framed and validated, after the caller and the interceptors are done.

Users never write the framing: a wrong Content-Length or a second Transfer-Encoding is how requests are
smuggled (RFC 9112, 6.1 and 6.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidRequestError
from .auth.credentials import basic
from .header_validation import (
    FRAMING_FIELDS,
    check_framing,
    check_trace,
    declared_length,
    is_token,
    validate_headers,
)
from .headers import Headers, build_headers, connection_options
from .messages import HttpRequest
from .urls import normalise_url, redact_url, split_url

if TYPE_CHECKING:
    from .auth.netrc import NetrcEntries

__all__ = ["METHODS_WITHOUT_CONTENT", "Preparation", "parse_method"]

_WITH_RULES = FRAMING_FIELDS | {"cookie"}
_OF_THE_CONNECTION = frozenset({"te", "upgrade"})
_COMMON = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "POST", "PUT", "PATCH", "DELETE"})

METHODS_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""These methods send no ``Content-Length: 0``; every other method without a body does (RFC 9110, 8.6).

The RFC recommends the field where the method gives content a meaning, and advises against it elsewhere.
DELETE and unknown methods send it: aiohttp does so, and both transports send the same bytes.
"""


class Preparation:
    """Brings requests into their final form.

    logins: by host, for requests without an Authorization. Redirects never use them: a server must not be
        able to make us log in elsewhere.
    """

    def __init__(self, logins: NetrcEntries | None = None) -> None:
        self._logins = logins

    def __call__(self, request: HttpRequest, opened: HttpRequest) -> None:
        """Finish the request in place. Raises InvalidRequestError.

        opened: the request as the call was opened; parts that are still the same objects are valid already.
        """
        if request.url is not opened.url:
            if not isinstance(request.url, str):
                raise InvalidRequestError(f"url must be a str, not {type(request.url).__name__}")
            request.url = normalise_url(request.url)
        if request.method is not opened.method:
            request.method = parse_method(request.method)
        if type(request.headers) is not Headers:  # an interceptor may assign what a caller may pass
            request.headers = build_headers(request.headers)
        headers = request.headers
        body = request.body
        if body.charset is not None and "Content-Type" in headers:  # an interceptor may have set it
            request.body = body = body.in_charset_of(headers["Content-Type"])
        request._codec = opened._codec  # an interceptor may return a request of its own making
        if self._logins is not None and "Authorization" not in headers and request.method != "TRACE":
            login = self._logins.find(split_url(request.url).host)
            if login is not None:
                headers["Authorization"] = basic(*login)
        for name in opened.withheld:
            if name not in headers:
                raise InvalidRequestError(
                    f"the request's {name} stayed behind when it was pickled, and the client sets none; pass auth=, "
                    f"set request.headers[{name!r}], or set request.pickles_secrets before pickling"
                )
        if body.length is None and (declared := declared_length(headers)) is not None:
            body.declare_length(declared)
        has_body = body.length != 0
        if request.method == "TRACE":
            if has_body:  # RFC 9110, 9.3.8
                raise InvalidRequestError("a TRACE request has no body; leave json, data and files out")
            check_trace(headers, headers.secret_names)
        if headers.has_any(_OF_THE_CONNECTION):
            _list_in_connection(headers)
        if headers.has_any(_WITH_RULES):
            check_framing(headers, body.length, has_body)
            if "cookie" in headers._fields:
                # The one field whose values are not joined by commas (RFC 6265, 5.4).
                headers["Cookie"] = "; ".join(headers.get_all("Cookie"))
        if body.content_type is not None:
            if "Content-Type" not in headers:
                headers["Content-Type"] = body.content_type
            elif body.content_type.startswith("multipart/") and headers["Content-Type"] != body.content_type:
                raise InvalidRequestError(
                    f"the Content-Type {headers['Content-Type']!r} lacks the boundary of the form; "
                    "leave the header out, or set it to None in the call"
                )
        validate_headers(headers)
        if body.length is not None and (has_body or request.method not in METHODS_WITHOUT_CONTENT):
            headers["Content-Length"] = str(body.length)


def _list_in_connection(headers: Headers) -> None:
    """Name the fields that are for the next recipient alone, lest a proxy pass them on (RFC 9110, 7.8 and 10.1.4)."""
    listed = connection_options(headers.get_all("Connection"))
    for name in ("TE", "Upgrade"):
        if name in headers and name.lower() not in listed:
            headers.add("Connection", name)


def parse_method(method: object) -> str:
    """The method in upper case. Raises InvalidRequestError for a malformed name."""
    if type(method) is str and method in _COMMON:
        return method
    if not isinstance(method, str) or is_token(method) is None:
        shown = redact_url(method) if isinstance(method, str) else method  # it may be a misplaced URL
        raise InvalidRequestError(f"method must be a name such as 'GET', not {shown!r}")
    method = method.upper()
    if method == "CONNECT":  # it opens a tunnel and is not a request for a resource (RFC 9110, 9.3.6)
        raise InvalidRequestError("method CONNECT opens a tunnel; for a proxy set HTTPS_PROXY")
    return method
