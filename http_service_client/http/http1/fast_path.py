"""The head of an ordinary response, parsed with one regex: this subset of HTTP has a single reading.

No two parsers disagree about it: HTTP/1.1, a final status, fields without folds or odd characters, one
Content-Length that is a number or one `chunked`, or a status without a body. `read_fast_head` takes such a head, which
nearly all responses have, and leaves all others to the full parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..header_validation import TOKEN_CHARACTER
from .framing import ParserSettings, field_text

__all__ = ["FastHead", "read_fast_head", "read_fast_response"]

_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([\t -~]*))?((?:\r\n%b+:[\t -~\x80-\xff]*)*)\r\n\r\n"
    % TOKEN_CHARACTER.encode()
).match
_FIELDS = re.compile(rb"\r\n([^:]+):[\t ]*([^\r]*)").findall
_FRAMING = re.compile(  # the fields that say how the body ends, or the connection
    rb"\r\n(content-length|transfer-encoding|connection|proxy-connection|content-encoding|keep-alive):"
    rb"[\t ]*([^\r]*)",
    re.IGNORECASE,
).findall
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,7})\r\n").match
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_WITHOUT_BODY = (b"204", b"304")  # whatever their fields say


class FastHead:
    """A response's head. Iteration gives its fields, decoded only then, since most are never read.

    size: bytes of the head.   length: bytes of the body; None if it is chunked.   is_encoded: it has a content coding.
    is_last: the connection cannot be used again after this response.   keep_alive: the Keep-Alive field, or None.
    """

    __slots__ = (
        "_fields",
        "is_chunked",
        "is_encoded",
        "is_last",
        "keep_alive",
        "length",
        "reason",
        "size",
        "status",
    )

    def __init__(
        self,
        size: int,
        status: int,
        reason: str,
        fields: bytes,
        length: int | None,
        is_encoded: bool,
        is_last: bool,
        keep_alive: str | None = None,
    ) -> None:
        self.size = size
        self.status = status
        self.reason = reason
        self.length = length
        self.is_chunked = length is None
        self.is_encoded = is_encoded
        self.is_last = is_last
        self.keep_alive = keep_alive
        self._fields = fields

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        """Names and values."""
        return [(name, value.rstrip(b"\t ")) for name, value in _FIELDS(self._fields)]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(name.decode("ascii"), field_text(value)) for name, value in self.raw_fields()])


def read_fast_head(data: bytes | bytearray, settings: ParserSettings, at: int = 0) -> FastHead | None:
    """The head that starts at this index of the bytes; None if it is incomplete, or not in the subset.

    A response to HEAD has no body, whatever the length says.
    """
    match = _HEAD(data, at)
    if match is None:
        return None
    status, reason, fields = match.groups()
    size = match.end() - at
    if size > settings.size or fields.count(b"\r") > settings.fields:
        return None
    length, is_chunked, is_encoded, is_last, keep_alive = None, False, False, False, None
    for name, value in _FRAMING(fields):
        key, value = name.lower(), value.rstrip(b"\t ")
        if key == b"content-length" and length is None and not is_chunked and _LENGTH(value):
            length = int(value)
        elif key == b"content-encoding":
            is_encoded = True
        elif key == b"keep-alive":
            keep_alive = value.decode("latin-1")
        elif key == b"transfer-encoding" and length is None and not is_chunked and value == b"chunked":
            is_chunked = True
        elif key in (b"connection", b"proxy-connection"):
            is_last = is_last or b"close" in [option.strip(b"\t ") for option in value.lower().split(b",")]
        else:
            return None
    if status in _WITHOUT_BODY:
        length = 0
    elif length is None and not is_chunked:
        return None
    text = (reason or b"").decode("ascii")
    return FastHead(size, int(status), text, bytes(fields), length, is_encoded, is_last, keep_alive)


def read_fast_response(data: bytes, settings: ParserSettings, method: str) -> tuple[FastHead, bytes] | None:
    """The head and the body of a response to this method; None unless these bytes are all of it, and in the subset.

    A body in chunks is taken if it has one chunk and no trailers.
    """
    head = read_fast_head(data, settings)
    if head is None:
        return None
    start, end = head.size, len(data)
    length = 0 if method == "HEAD" else head.length
    if length is None:
        chunk = _CHUNK(data, start)
        if chunk is None or data[-len(_LAST_CHUNK) :] != _LAST_CHUNK:
            return None
        start, end, length = chunk.end(), end - len(_LAST_CHUNK), int(chunk[1], 16)
    return (head, data[start:end]) if end - start == length else None
