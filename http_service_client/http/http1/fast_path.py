"""The plain head of a response, which nearly all have: read in one step, for it can be read in one way only.

A parser has to know all that may come. Here is the part that no two parsers see differently: HTTP/1.1, a final
status, fields without folds or odd characters, one Content-Length that is a number, and nothing else that says
how the body ends or what becomes of the connection. `read_fast_head` takes that and leaves the rest to the
parsers, byte by byte as it came.
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
_TELLING = re.compile(  # of the body's end and of the connection's
    rb"\r\n(content-length|transfer-encoding|connection|proxy-connection|upgrade|sec-websocket-key1|content-encoding):"
    rb"[\t ]*([^\r]*)",
    re.IGNORECASE,
).findall
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
_WITHOUT_BODY = (b"204", b"304")  # whatever their fields say


class FastHead:
    """A response's head.

    size: bytes of the head.   length: bytes of the body.   is_encoded: a content coding is to be taken off.
    fields: names and values in order, made text when they are asked for, which most never are.
    """

    __slots__ = ("_fields", "is_encoded", "length", "reason", "size", "status")

    def __init__(
        self, size: int, status: int, reason: str, fields: bytes, length: int, is_encoded: bool
    ) -> None:
        self.size = size
        self.status = status
        self.reason = reason
        self.length = length
        self.is_encoded = is_encoded
        self._fields = fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        found = _FIELDS(self._fields)
        return iter([(name.decode("ascii"), field_text(value.rstrip(b"\t "))) for name, value in found])


def read_fast_head(data: bytes, limits: HeadLimits) -> FastHead | None:
    """The head that these first bytes of a response begin with; None where it is not all there, or not plain.

    The answer to HEAD has no body, whatever the length says.
    """
    match = _HEAD(data)
    if match is None:
        return None
    status, reason, fields = match.groups()
    size = match.end()
    if size > limits.size or fields.count(b"\r") > limits.fields or status in _WITHOUT_BODY:
        return None
    length, is_encoded = None, False
    for name, value in _TELLING(fields):
        kind = name.lower()
        if kind == b"content-length" and length is None and _LENGTH(value := value.rstrip(b"\t ")):
            length = int(value)
        elif kind == b"content-encoding":
            is_encoded = True
        elif kind != b"connection" or value.rstrip(b"\t ").lower() != b"keep-alive":
            return None
    if length is None:
        return None
    return FastHead(size, int(status), (reason or b"").decode("ascii"), fields, length, is_encoded)
