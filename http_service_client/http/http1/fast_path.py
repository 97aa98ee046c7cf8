"""The head of an ordinary response, parsed with one regex: this subset of HTTP has a single reading.

No two parsers disagree about it: HTTP/1.1, a final status, fields without folds or odd characters, one
Content-Length that is a number, and no other field that affects the end of the body or the connection.
`read_fast_head` takes such a head, which nearly all responses have, and leaves all others to the full parsers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..header_validation import TOKEN_CHARACTER
from .framing import HeadLimits, field_text

__all__ = ["FastHead", "read_fast_head"]

_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([\t -~]*))?((?:\r\n%b+:[\t -~\x80-\xff]*)*)\r\n\r\n"
    % TOKEN_CHARACTER.encode()
).match
_FIELDS = re.compile(rb"\r\n([^:]+):[\t ]*([^\r]*)").findall
_FRAMING = re.compile(  # the fields that say how the body ends, or the connection
    rb"\r\n(content-length|transfer-encoding|connection|proxy-connection|upgrade|sec-websocket-key1|content-encoding"
    rb"|keep-alive):"
    rb"[\t ]*([^\r]*)",
    re.IGNORECASE,
).findall
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
_WITHOUT_BODY = (b"204", b"304")  # whatever their fields say


class FastHead:
    """A response's head. Iteration gives its fields, decoded only then, since most are never read.

    size: bytes of the head.   length: bytes of the body.   is_encoded: the body has a content coding.
    keep_alive: the Keep-Alive field; None without one.
    """

    __slots__ = ("_fields", "is_encoded", "keep_alive", "length", "reason", "size", "status")

    def __init__(
        self,
        size: int,
        status: int,
        reason: str,
        fields: bytes,
        length: int,
        is_encoded: bool,
        keep_alive: str | None,
    ) -> None:
        self.size = size
        self.status = status
        self.reason = reason
        self.length = length
        self.is_encoded = is_encoded
        self.keep_alive = keep_alive
        self._fields = fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        found = _FIELDS(self._fields)
        return iter([(name.decode("ascii"), field_text(value.rstrip(b"\t "))) for name, value in found])


def read_fast_head(data: bytes, limits: HeadLimits) -> FastHead | None:
    """The head at the start of these bytes; None if it is incomplete, or not in the subset.

    A response to HEAD has no body, whatever the length says.
    """
    match = _HEAD(data)
    if match is None:
        return None
    status, reason, fields = match.groups()
    size = match.end()
    if size > limits.size or fields.count(b"\r") > limits.fields or status in _WITHOUT_BODY:
        return None
    length, is_encoded, keep_alive = None, False, None
    for name, value in _FRAMING(fields):
        key = name.lower()
        if key == b"content-length" and length is None and _LENGTH(value := value.rstrip(b"\t ")):
            length = int(value)
        elif key == b"content-encoding":
            is_encoded = True
        elif key == b"keep-alive":
            keep_alive = value.decode("latin-1")
        elif key != b"connection" or value.rstrip(b"\t ").lower() != b"keep-alive":
            return None
    if length is None:
        return None
    return FastHead(
        size, int(status), (reason or b"").decode("ascii"), fields, length, is_encoded, keep_alive
    )
