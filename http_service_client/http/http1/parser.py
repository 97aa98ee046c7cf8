"""HTTP/1.1 for the blocking transport (RFC 9112): writes the head of a request, parses a response.

There is no socket here: code that has one subclasses `ReceiveBuffer`.

The parser accepts and refuses the same bytes as llhttp, the parser under aiohttp, state by state, because
sync and async calls must see the same response. So it is lenient where llhttp is (a line may end without CR,
a folded field is joined) and strict where llhttp is (a field without a colon, an invalid chunk). What llhttp accepts and should not is refused
for both in `framing`. Bytes after a complete response are not parsed at all; the connection is closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from itertools import product

from ..header_validation import TOKEN_CHARACTER
from ..headers import connection_options
from .buffer import FREE_TEXT, EndOfBytes, ReceiveBuffer
from .errors import CutShortError, NotHttpError
from .fast_path import read_fast_head
from .framing import MALFORMED, TOO_LARGE, field_text, is_chunked

__all__ = ["Head", "ResponseBody", "read_head", "request_head"]

_PROTOCOL, _VERSION = rb"(?:HTTP|RTSP|ICE)/", rb"(0\.9|1\.[01]|2\.0)"  # llhttp accepts all of these
_STATUS_LINE = re.compile(rb"%b%b ([0-9]{3})(?: ([^\r]*))?" % (_PROTOCOL, _VERSION)).fullmatch
_STATUS_START = re.compile(
    rb"H(?:T(?:TP?)?)?|R(?:T(?:SP?)?)?|I(?:CE?)?"
    rb"|%b(?:[0-9]\.?)?|%b%b(?: (?:[0-9]{0,2}|[0-9]{3}(?: [^\r]*)?\r?))?" % (_PROTOCOL, _PROTOCOL, _VERSION)
).fullmatch

_CHARACTER = TOKEN_CHARACTER.encode()
_TOKEN = re.compile(rb"%b+" % _CHARACTER).fullmatch
_VALUE_START = rb"(?::(?:[ \t]*\r.*|[^\r]*\r?))?"
_FIELD_START = re.compile(rb"(?: ?%b+%b| ?\r?)" % (_CHARACTER, _VALUE_START), re.DOTALL).fullmatch
# Spaces before the colon. After these names, llhttp goes on to the end of the head, which is then refused.
_SPACED = rb"(?:content-length|transfer-encoding|(?:proxy-)?connection|upgrade) +"
_IS_SPACED = re.compile(_SPACED, re.IGNORECASE).fullmatch
_SPACED_START = re.compile(rb" ?%b%b" % (_SPACED, _VALUE_START), re.DOTALL | re.IGNORECASE).fullmatch
_FOLD_START = re.compile(rb"[ \t][^\r]*\r?").fullmatch

# chunk-ext (RFC 9112, 7.1.1) as llhttp accepts it: a name may be empty, spaces are allowed in quotes only.
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*'
_EXTENSION = rb';%b*(?:=%b*(?:%b")?)?' % (_CHARACTER, _CHARACTER, _QUOTED)
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]+)[ \t]*(?:\r\n|(\n)|(?:%b)+(?:(?<!;)\r\n|\n))" % _EXTENSION
).fullmatch
_CHUNK_START = re.compile(
    rb"[0-9A-Fa-f]+[ \t]*(?:%b)*(?:;%b*=%b*%b\\?)?\r?" % (_EXTENSION, _CHARACTER, _CHARACTER, _QUOTED)
).fullmatch
_NO_START = re.compile(rb"").fullmatch
_END_START = re.compile(rb"\r?").fullmatch
_LARGEST_CHUNK = 2**64 - 1


def request_head(method: str, target: str, host: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request. Host comes first (RFC 9112, 3.2); a Host among the fields replaces ours."""
    first = f"Host: {host}\r\n"
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    for line in lines:
        if line[:5] in _HOST:
            first = line
            lines.remove(line)
            break
    return f"{method} {target} HTTP/1.1\r\n{first}{''.join(lines)}\r\n".encode()


_HOST = frozenset(map("".join, product("hH", "oO", "sS", "tT", ":")))  # in any letter case


class Head:
    """The head of a response, and the framing of its body.

    fields: names and values, in order.   length: of the body in bytes, or None.   is_chunked: of the body.
    is_last: the connection cannot be used again after this response.   keep_alive: the Keep-Alive field, or None.
    is_final: no byte may follow this response if it is an interim one.   size: of the head in bytes.
    """

    __slots__ = (
        "fields",
        "is_chunked",
        "is_final",
        "is_last",
        "keep_alive",
        "length",
        "reason",
        "size",
        "status",
    )

    def __init__(
        self, version: bytes, status: int, reason: str, fields: list[tuple[bytes, bytes]], size: int
    ) -> None:
        self.status = status
        self.reason = reason
        self.size = size
        self.fields = [(name.decode("ascii"), field_text(value)) for name, value in fields]
        self.keep_alive: str | None = None
        lengths, codings, options = [], [], []
        for name, value in self.fields:
            key = name.lower()
            if key == "content-length":
                lengths.append(value)
            elif key == "transfer-encoding":
                codings.append(value)
            elif key in _CONNECTION:
                options.append(value)
            elif key == "keep-alive":
                self.keep_alive = value
            elif key == "sec-websocket-key1":  # from the first drafts of WebSocket; aiohttp refuses it
                raise NotHttpError(MALFORMED)
        self.is_chunked = is_chunked(status, lengths, codings)
        self.length = int(lengths[0]) if lengths else None
        named = connection_options(options)
        closes_by_default = version in (b"0.9", b"1.0", b"2.0")  # 2.0 because llhttp has it so
        self.is_final = "keep-alive" not in named if closes_by_default else "close" in named
        # The bytes after a 101 are no longer HTTP.
        self.is_last = self.is_final or "close" in named or status == 101


_CONNECTION = ("connection", "proxy-connection")  # llhttp treats them alike


def read_head(incoming: ReceiveBuffer) -> Head:
    """The head of the final response; interim ones (100, 102, 103) are skipped.

    Raises NotHttpError, CutShortError; ConnectionResetError when the connection ends before any byte.
    """
    left = incoming.limits.total - incoming.skipped
    incoming.skipped = 0
    while left >= 0:
        head = _fast_head(incoming) or _parse_head(incoming, left)
        left -= head.size
        if left < 0:
            break
        if head.status >= 200 or head.status == 101:
            return head
        if head.is_final:
            while incoming.peek():
                if incoming.skip_blank_lines():
                    raise NotHttpError(MALFORMED)  # nothing may follow a response that ended the connection
    raise NotHttpError(TOO_LARGE)


def _fast_head(incoming: ReceiveBuffer) -> Head | None:
    """The head of an ordinary response, if all of it is in the buffer."""
    fast = read_fast_head(incoming.peek(), incoming.limits)
    if fast is None:
        return None
    incoming.take(fast.size)
    head = Head.__new__(Head)
    head.status, head.reason, head.fields, head.length = fast.status, fast.reason, list(fast), fast.length
    head.size, head.keep_alive = fast.size, fast.keep_alive
    head.is_chunked = head.is_final = head.is_last = False
    return head


def _parse_head(incoming: ReceiveBuffer, left: int) -> Head:
    """left: bytes that it may have."""
    while not incoming.skip_blank_lines():
        if not incoming.peek():
            raise ConnectionResetError("closed without a response")
    try:
        line = incoming.line(_may_begin_head)
        match = _STATUS_LINE(_without_end(line))
        if match is None:
            raise NotHttpError(MALFORMED)
        version, status, reason = match.groups(b"")
        if len(reason) > incoming.limits.size:
            raise NotHttpError(TOO_LARGE)
        fields, size = _read_fields(incoming, incoming.limits.fields, left - len(line))
        return Head(version, int(status), field_text(reason), fields, len(line) + size)
    except EndOfBytes:
        raise CutShortError from None


def _may_begin_head(line: bytes) -> object:
    """Whether a status line may begin like this."""
    if _STATUS_START(line) is None:
        return False
    return FREE_TEXT if line.count(b" ") > 1 and b"\r" not in line else True  # within the reason phrase


def _without_end(line: bytes) -> bytes:
    """A line without its line end."""
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


def _read_fields(
    incoming: ReceiveBuffer, most: int, left: int, is_trailer: bool = False
) -> tuple[list[tuple[bytes, bytes]], int]:
    """The fields up to the empty line, at most so many, and their size in bytes, at most `left`."""
    fields: list[tuple[bytes, bytes]] = []
    size = raw_size = 0
    is_refused = False
    parts: list[bytes] = []  # of the last value, by line, with the white space after it
    may_begin = partial(_may_begin, fields, is_trailer)
    while line := _without_end(whole := incoming.line(may_begin)):
        is_folded = line[0] in b" \t" and bool(fields)  # RFC 9112, 5.2
        if not _may_follow(fields, line):
            raise NotHttpError(MALFORMED)
        if is_folded and fields[-1][1]:
            name = fields[-1][0]
            if b"\0" in line or b"\r" in line:
                raise NotHttpError(MALFORMED)
            # Joined once: joined each time, a thousand short lines would take quadratic time.
            parts.append(line)
        else:
            if is_folded:
                name, raw = fields.pop()[0], line.lstrip(b" \t")
            else:
                _join_last(fields, parts)
                if line[0] in b" " and not is_trailer:
                    line = line[1:]
                    if not line:
                        break
                name, colon, raw = line.partition(b":")
                raw = raw.lstrip(b" \t")
                if _IS_SPACED(name) and not is_trailer:
                    name, is_refused = name.rstrip(b" "), True
                if not colon or not _TOKEN(name):
                    raise NotHttpError(MALFORMED)
                if raw.startswith(b"\r"):  # it ends an empty value, even without LF
                    incoming.unread(len(raw) - 1 + len(whole) - len(_without_end(whole)))
                    raw = b""
            value = raw.rstrip(b" \t")
            if b"\0" in value or b"\r" in value or not _may_frame(name.lower(), raw, fields, is_trailer):
                raise NotHttpError(MALFORMED)
            if b"\t" in raw and _is_chunked(name, value):
                value = raw
            fields.append((name, value))
            parts, raw_size = [raw], 0
        size += len(whole)
        raw_size += len(parts[-1])
        if len(name) + raw_size > incoming.limits.size or len(fields) > most or size > left:
            raise NotHttpError(TOO_LARGE)
    if is_refused:
        raise NotHttpError(MALFORMED)
    _join_last(fields, parts)
    return fields, size + len(whole)


def _join_last(fields: list[tuple[bytes, bytes]], parts: list[bytes]) -> None:
    """Join the lines of a folded value, which is the last one."""
    if len(parts) > 1:
        name, raw = fields[-1][0], b"".join(parts)
        value = raw.rstrip(b" \t")
        fields[-1] = (name, raw if _is_chunked(name, value) else value)


def _is_chunked(name: bytes, value: bytes) -> bool:
    """Whether a field says `chunked`. llhttp does not see it before a tab or a fold: it stays, and the head is refused."""
    return name.lower() == b"transfer-encoding" and value.lower() == b"chunked"


_FRAMING = (b"content-length", b"transfer-encoding")
_LENGTH = re.compile(rb"0*[0-9]{1,19}[ \t]*").fullmatch


def _may_follow(fields: list[tuple[bytes, bytes]], line: bytes) -> bool:
    """Whether a line that begins like this may follow these fields: a length is on one line, and not on none."""
    if not fields or fields[-1][0].lower() != b"content-length":
        return True
    return bool(fields[-1][1]) != (line[0] in b" \t")


def _may_frame(key: bytes, raw: bytes, fields: list[tuple[bytes, bytes]], is_trailer: bool) -> bool:
    """Whether a field may follow these. Contradictory framing is refused at once: more may never arrive."""
    if key == b"content-length":
        if not raw:  # its value may be on the next line
            return not is_trailer and not any(
                value and name.lower() == b"transfer-encoding" for name, value in fields
            )
        is_first = not any(value and name.lower() in _FRAMING for name, value in fields)
        return is_first and not is_trailer and _LENGTH(raw) is not None
    if key == b"transfer-encoding":
        return not any(name.lower() == b"content-length" for name, _ in fields)
    return True


def _may_begin(fields: list[tuple[bytes, bytes]], is_trailer: bool, line: bytes) -> object:
    """Whether a line may begin like this, after these fields."""
    if not _may_follow(fields, line):
        return False
    if line[0] in b" \t" and fields and fields[-1][0].lower() == b"content-length":  # its value comes here
        value = line.strip(b" \t\r")
        return not value or _LENGTH(value)
    name, colon, raw = line.removesuffix(b"\r").partition(b":")
    key = name.rstrip(b" ").lower()
    if colon and not _may_frame(key, raw.lstrip(b" \t"), fields, is_trailer):
        return False
    is_field = bool(_FIELD_START(line) or (not is_trailer and _SPACED_START(line)))
    if not is_field and not (fields and _FOLD_START(line)):
        return False
    is_free = bool(colon) and key.lstrip(b" ") not in _FRAMING and b"\r" not in line
    return FREE_TEXT if is_field and is_free else True


class ResponseBody:
    """The body of one response, in pieces as they arrive.

    is_complete: it has been read to its end; the next byte of the connection belongs to the next response.
    """

    __slots__ = ("_head", "_incoming", "_is_chunked", "_left", "_owes_line", "is_complete")

    def __init__(self, incoming: ReceiveBuffer, head: Head, method: str) -> None:
        self._incoming = incoming
        self._head = head
        self._left = head.length
        self._is_chunked = head.is_chunked
        self._owes_line = False  # the line end of a chunk, which may arrive with the next chunk
        self.is_complete = False
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            self._left, self._is_chunked = 0, False
        if self._is_chunked:
            self._left = 0
        elif self._left is None:
            head.is_last = True  # it ends with the connection
        elif self._left == 0:
            self._complete()

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends it."""
        return self._left is None and not self.is_complete

    def read(self) -> bytes:
        """The next piece; b"" at the end. Raises CutShortError, NotHttpError."""
        if self.is_complete or (self._is_chunked and not self._left and not self._next_chunk()):
            return b""
        piece = self._incoming.read_some(self._left)
        if not piece:
            if self._left is None:
                self.is_complete = True
                return b""
            raise CutShortError
        if self._left is not None:
            self._left -= len(piece)
            if not self._left:
                if not self._is_chunked:
                    self._complete()
                elif self._incoming.is_drained:
                    self._owes_line = True
                else:
                    self._expect_empty_line()
        return piece

    def _next_chunk(self) -> bool:
        if self._owes_line:
            self._owes_line = False
            self._expect_empty_line()
        try:
            line = _CHUNK_LINE(self._incoming.line(_CHUNK_START))
            if line is None or (size := int(line[1], 16)) > _LARGEST_CHUNK:
                raise NotHttpError(MALFORMED)
            # After a bare LF, llhttp wants a second LF in place of the CR.
            if line[2] and self._incoming.line(_NO_START) != b"\n":
                raise NotHttpError(MALFORMED)
            self._left = size
            if not size:
                # llhttp counts trailers with the fields of the head, the last one when the next message comes.
                limits = self._incoming.limits
                most = limits.fields + 1 - len(self._head.fields)
                _read_fields(self._incoming, most, limits.between, is_trailer=True)  # callers never see them
                self._complete()
        except EndOfBytes:
            raise CutShortError from None
        return bool(self._left)

    def _expect_empty_line(self) -> None:
        try:
            if _without_end(self._incoming.line(_END_START)):
                raise NotHttpError(MALFORMED)
        except EndOfBytes:
            raise CutShortError from None

    def _complete(self) -> None:
        # The response is complete, so bytes after it cannot change it: a call that succeeded must not fail by how the
        # network cut its bytes. They belong to no request, and only a connection without any serves another.
        if self._head.status != 101 and self._incoming.skip_blank_lines():
            self._head.is_last = True
        self.is_complete = True
