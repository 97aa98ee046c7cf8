"""The head of a request and of a response in HTTP/2 (RFC 9113, 8): which fields there are, and which may not be."""

from __future__ import annotations

import re
from typing import Any

from hpack import Decoder, NeverIndexedHeaderTuple

from ...http.headers import connection_options
from ...http.http1.errors import NotHttpError
from ...http.http1.framing import ParserSettings
from ...http.http1.rules import RULES
from ...http.messages import HttpRequest
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.urls import Url

__all__ = ["Field", "HeadDecoder", "ResponseHead", "check_trailers", "request_fields", "response_head"]

Field = tuple[bytes, bytes]

# They are about one connection of HTTP/1.1. A message that has one of them is malformed (RFC 9113, 8.2.2).
_OF_CONNECTIONS = frozenset({"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"})
_NOT_SENT = _OF_CONNECTIONS | {"host", "te", "http2-settings"}

# RFC 9113, 8.2: a token without capitals.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# RFC 9113, 8.2.1: neither NUL, CR nor LF anywhere, nor white space at either end.
_VALUE = re.compile(rb"(?:[^\x00\r\n \t](?:[^\x00\r\n]*[^\x00\r\n \t])?)?")
_STATUS = re.compile(rb"[1-9][0-9][0-9]")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_HIDDEN_LENGTH = b"\x00content-length"  # no field has this name


class HeadDecoder(Decoder):
    """Decodes heads, and hides Content-Length from h2.

    A body of another length is malformed, which ends its stream (RFC 9113, 8.1.1). h2 would end the connection, and with it
    the exchanges of other callers. The length is checked here and by the connection instead.
    """

    def decode(self, data: bytes, raw: bool = False) -> Any:
        """The fields of a head."""
        fields = super().decode(data, raw)
        return [(_HIDDEN_LENGTH if name == b"content-length" else name, value) for name, value in fields]


def request_fields(request: HttpRequest, url: Url) -> list[Field]:
    """The fields of a request: the pseudo-header fields first, names in lower case.

    Values that are secret are marked: neither this side's table of known values nor that of a proxy keeps them, where
    an attacker who can have requests sent could guess them by their length (RFC 7541, 7.1.3).
    """
    headers = request.headers
    authority = headers.get("Host") or url.host_field
    named = (
        (":method", request.method),
        (":scheme", url.scheme),
        (":authority", authority),
        (":path", url.target),
    )
    fields: list[Field] = [(name.encode(), value.encode()) for name, value in named]
    dropped = _NOT_SENT | connection_options(headers.get_all("Connection"))
    for name, value in headers.pairs():
        lower = name.lower()
        if lower not in dropped:
            kind = NeverIndexedHeaderTuple if lower in headers.secret_names else _plain
            fields.append(kind(lower.encode(), value.encode()))
        elif lower == "te" and "trailers" in connection_options([value]):
            fields.append((b"te", b"trailers"))  # the only value that is allowed
    says_length = request.method in METHODS_WITHOUT_CONTENT or "Content-Length" in headers
    if request.body.length == 0 and not says_length:
        fields.append((b"content-length", b"0"))
    return fields


def _plain(name: bytes, value: bytes) -> Field:
    return name, value


class ResponseHead:
    """The head of a response.

    fields: without the pseudo-header fields.   length: what Content-Length announces, or None.
    """

    __slots__ = ("fields", "length", "status")

    def __init__(self, status: int, fields: list[Field], length: int | None) -> None:
        self.status = status
        self.fields = fields
        self.length = length


def response_head(received: list[Field], limits: ParserSettings) -> ResponseHead:
    """The head, checked, of an interim response too. Raises NotHttpError for one that is malformed: it must not be used.

    See RFC 9113, 8.1.1.
    """
    status: int | None = None
    fields: list[Field] = []
    length: int | None = None
    if len(received) > limits.fields + 1:
        raise NotHttpError(RULES["too-many-fields"])
    for name, value in received:
        if name == b":status" and status is None and not fields and _STATUS.fullmatch(value):
            status = int(value)
            continue
        name = _checked_name(name, value, limits)
        if name == b"content-length":
            if not _LENGTH.fullmatch(value):
                raise NotHttpError(RULES["invalid-content-length"])
            if length is not None and length != int(value):
                raise NotHttpError(RULES["conflicting-content-length"])
            length = int(value)
        fields.append((name, value))
    if status is None:
        raise NotHttpError(RULES["invalid-status"])
    return ResponseHead(status, fields, length)


def check_trailers(received: list[Field], limits: ParserSettings) -> None:
    """Raises NotHttpError for trailers that are malformed, as those with a pseudo-header field are (RFC 9113, 8.1)."""
    if len(received) > limits.fields:
        raise NotHttpError(RULES["too-many-fields"])
    for name, value in received:
        _checked_name(name, value, limits)


def _checked_name(name: bytes, value: bytes, limits: ParserSettings) -> bytes:
    """The name of a field, as it was sent. Raises NotHttpError for a field that makes its message malformed."""
    if len(name) + len(value) > limits.size:
        raise NotHttpError(RULES["head-too-large"])
    if name == _HIDDEN_LENGTH:
        name = b"content-length"
    if not _NAME.fullmatch(name):
        raise NotHttpError(RULES["invalid-header-name"])
    if not _VALUE.fullmatch(value):
        raise NotHttpError(detail=f"the value of its header {name.decode()} is malformed (RFC 9113, 8.2.1)")
    if name.decode() in _OF_CONNECTIONS:
        raise NotHttpError(detail=f"it has the header {name.decode()} (RFC 9113, 8.2.2)")
    return name
