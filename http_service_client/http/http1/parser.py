"""HTTP/1.1 as the blocking transport speaks it (RFC 9112): a request's head out, a response in.

No socket in here: whoever has one derives from `ReceiveBuffer` and says how to receive.

What is accepted and what is refused follows llhttp, the parser under aiohttp, state by state, for both
worlds must see the same response in the same bytes. Its lenient ways (a line may end without CR, a folded
field is joined) and its strict ones (a field without a colon, bytes after the end) are therefore ours. What
it takes and should not is refused in `framing`, for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from itertools import product

from ..header_validation import TOKEN_CHARACTER
from ..headers import connection_options
from .buffer import EndOfBytes, ReceiveBuffer
from .errors import CutShortError, NotHttpError
from .fast_path import read_fast_head
from .framing import MALFORMED, TOO_LARGE, field_text, is_chunked

__all__ = ["Head", "ResponseBody", "read_head", "request_head"]

_PROTOCOL, _VERSION = rb"(?:HTTP|RTSP|ICE)/", rb"(0\.9|1\.[01]|2\.0)"  # llhttp knows all these
_STATUS_LINE = re.compile(rb"%b%b ([0-9]{3})(?: ([^\r]*))?" % (_PROTOCOL, _VERSION)).fullmatch
_STATUS_START = re.compile(
    rb"H(?:T(?:TP?)?)?|R(?:T(?:SP?)?)?|I(?:CE?)?"
    rb"|%b(?:[0-9]\.?)?|%b%b(?: (?:[0-9]{0,2}|[0-9]{3}(?: [^\r]*)?\r?))?" % (_PROTOCOL, _PROTOCOL, _VERSION)
).fullmatch

_CHARACTER = TOKEN_CHARACTER.encode()
_TOKEN = re.compile(rb"%b+" % _CHARACTER).fullmatch
_FIELD_START = re.compile(rb"(?: ?%b+(?::(?:[ \t]*\r.*|[^\r]*\r?))?| ?\r?)" % _CHARACTER, re.DOTALL).fullmatch
_FOLD_START = re.compile(rb"[ \t][^\r]*\r?").fullmatch

# chunk-ext (RFC 9112, 7.1.1) as llhttp takes it: a name may be empty, spaces may stand in quotes only.
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
    """The head of a request. Host comes first, as RFC 9112, 3.2 wants it; a field of that name takes its place."""
    first = f"Host: {host}\r\n"
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    for line in lines:
        if line[:5] in _HOST:
            first = line
            lines.remove(line)
            break
    return f"{method} {target} HTTP/1.1\r\n{first}{''.join(lines)}\r\n".encode()


_HOST = frozenset(map("".join, product("hH", "oO", "sS", "tT", ":")))  # in any case


class Head:
    """The head of a response: what it says, and how its body is framed.

    fields: names and values, in order.   length: of the body in bytes, or None.   is_chunked: …
    is_last: the connection is of no further use once this response is read.
    is_final: nothing may stand behind it.
    """

    __slots__ = ("fields", "is_chunked", "is_final", "is_last", "length", "reason", "status")

    def __init__(self, version: bytes, status: int, reason: str, fields: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.reason = reason
        self.fields = [(name.decode("ascii"), field_text(value)) for name, value in fields]
        lengths, codings, options = [], [], []
        for name, value in self.fields:
            key = name.lower()
            if key == "content-length":
                lengths.append(value)
            elif key == "transfer-encoding":
                codings.append(value)
            elif key in _CONNECTION:
                options.append(value)
            elif key == "sec-websocket-key1":
                raise NotHttpError(MALFORMED)  # aiohttp refuses what the first drafts of WebSocket used
        self.is_chunked = is_chunked(status, lengths, codings)
        self.length = int(lengths[0]) if lengths else None
        options_named = connection_options(options)
        is_old = version in (b"0.9", b"1.0", b"2.0")  # the last as llhttp has it
        self.is_final = "keep-alive" not in options_named if is_old else "close" in options_named
        # What follows 101 is no longer HTTP.
        self.is_last = self.is_final or "close" in options_named or status == 101


_CONNECTION = ("connection", "proxy-connection")  # one and the same to llhttp


def read_head(incoming: ReceiveBuffer) -> Head:
    """The head of the final response; interim ones (100, 102, 103) are skipped.

    Raises NotHttpError, CutShortError; ConnectionResetError when the connection ends instead.
    """
    while True:
        head = _plain_head(incoming) or _read_one_head(incoming)
        if head.status >= 200 or head.status == 101:
            return head
        if head.is_final:
            while incoming.peek():
                if incoming.skip_blank_lines():
                    raise NotHttpError(MALFORMED)  # nothing may follow what said that it was the last


def _plain_head(incoming: ReceiveBuffer) -> Head | None:
    """The head that nearly all responses have, where it is there in one piece."""
    plain = read_fast_head(incoming.peek(), incoming.limits)
    if plain is None:
        return None
    incoming.take(plain.size)
    head = Head.__new__(Head)
    head.status, head.reason, head.fields, head.length = plain.status, plain.reason, list(plain), plain.length
    head.is_chunked = head.is_final = head.is_last = False
    return head


def _read_one_head(incoming: ReceiveBuffer) -> Head:
    while not incoming.skip_blank_lines():
        if not incoming.peek():
            raise ConnectionResetError("closed without an answer")
    try:
        line = _plain(incoming.line(_STATUS_START))
        match = _STATUS_LINE(line)
        if match is None:
            raise NotHttpError(MALFORMED)
        version, status, reason = match.groups(b"")
        if len(reason) > incoming.limits.size:
            raise NotHttpError(TOO_LARGE)
        return Head(version, int(status), field_text(reason), _read_fields(incoming, incoming.limits.fields))
    except EndOfBytes:
        raise CutShortError from None


def _plain(line: bytes) -> bytes:
    """A line without its end."""
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


def _read_fields(incoming: ReceiveBuffer, most: int, is_trailer: bool = False) -> list[tuple[bytes, bytes]]:
    """The fields up to the empty line; at most so many."""
    fields: list[tuple[bytes, bytes]] = []
    raw = b""  # the last value, with the white space behind it
    may_begin = partial(_may_begin, fields, is_trailer)
    while line := _plain(ended := incoming.line(may_begin)):
        if line[0] in b" \t" and fields:  # folded (RFC 9112, 5.2)
            name, value = fields.pop()
            if value and name.lower() in _FRAMING:
                raise NotHttpError(MALFORMED)
            raw = raw + line if value else line.lstrip(b" \t")
        else:
            if line[0] in b" " and not is_trailer:
                line = line[1:]
                if not line:
                    break
            name, colon, raw = line.partition(b":")
            raw = raw.lstrip(b" \t")
            if not colon or not _TOKEN(name):
                raise NotHttpError(MALFORMED)
            if raw.startswith(b"\r"):  # it ends an empty value, also without LF
                incoming.unread(len(raw) - 1 + len(ended) - len(_plain(ended)))
                raw = b""
        value = raw.rstrip(b" \t")
        if b"\0" in value or b"\r" in value or not _may_frame(name.lower(), raw, fields, is_trailer):
            raise NotHttpError(MALFORMED)
        fields.append((name, value))
        if len(name) + len(raw) > incoming.limits.size or len(fields) > most:
            raise NotHttpError(TOO_LARGE)
    return fields


_FRAMING = (b"content-length", b"transfer-encoding")
_LENGTH = re.compile(rb"[0-9]+[ \t]*").fullmatch


def _may_frame(key: bytes, raw: bytes, fields: list[tuple[bytes, bytes]], is_trailer: bool) -> bool:
    """Whether a field may stand behind these. What frames a body is told at once: the rest may never come."""
    if key == b"content-length":
        is_first = not any(value and name.lower() in _FRAMING for name, value in fields)
        is_number = _LENGTH(raw) is not None if raw else True  # an empty one may be folded
        return is_first and is_number and not is_trailer
    if key == b"transfer-encoding":
        return b"\t" not in raw and not any(name.lower() == b"content-length" for name, _ in fields)
    return True


def _may_begin(fields: list[tuple[bytes, bytes]], is_trailer: bool, line: bytes) -> bool:
    """Whether a line may begin like this, behind these fields."""
    name, colon, raw = line.removesuffix(b"\r").partition(b":")
    if colon and not _may_frame(name.lower(), raw.lstrip(b" \t"), fields, is_trailer):
        return False
    return bool(_FIELD_START(line) or (fields and _FOLD_START(line)))


class ResponseBody:
    """The body of one response, in pieces as they come.

    is_complete: it has been read to its end, and the connection stands before the next response.
    """

    __slots__ = (
        "_head", "_incoming", "_is_chunked", "_left", "_method", "_owes_line", "_receipts", "is_complete",
    )  # fmt: skip

    def __init__(self, incoming: ReceiveBuffer, head: Head, method: str) -> None:
        self._incoming = incoming
        self._receipts = incoming.reads
        self._head = head
        self._method = method
        self._left = head.length
        self._is_chunked = head.is_chunked
        self._owes_line = False  # the end of a chunk, which may come with the next one only
        self.is_complete = False
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            self._left, self._is_chunked = 0, False
        if self._is_chunked:
            self._left = 0
        elif self._left is None:
            head.is_last = True  # it ends with the connection
        elif self._left == 0:
            self._complete()

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
            if (
                line[2] and self._incoming.line(_NO_START) != b"\n"
            ):  # llhttp wants a second LF in place of the CR
                raise NotHttpError(MALFORMED)
            self._left = size
            if not size:
                # llhttp counts them with the fields of the head, the last one when the next message comes.
                most = self._incoming.limits.fields + 1 - len(self._head.fields)
                trailers = _read_fields(self._incoming, most, is_trailer=True)  # nobody reads them
                options = [
                    field_text(value) for name, value in trailers if field_text(name).lower() in _CONNECTION
                ]
                self._complete(is_final="close" in connection_options(options))
        except EndOfBytes:
            raise CutShortError from None
        return bool(self._left)

    def _expect_empty_line(self) -> None:
        try:
            if _plain(self._incoming.line(_END_START)):
                raise NotHttpError(MALFORMED)
        except EndOfBytes:
            raise CutShortError from None

    def _complete(self, is_final: bool = False) -> None:
        if self._head.status != 101 and (rest := self._incoming.skip_blank_lines()):
            # llhttp fails on what came in one piece with the head; after that, the response is out already.
            is_one_piece = self._incoming.reads == self._receipts
            is_final = is_final or self._head.is_final
            if is_one_piece and (is_final or not _may_be_responses(rest, self._method)):
                raise NotHttpError(MALFORMED)
            self._head.is_last = True
        self.is_complete = True


class _Rest(ReceiveBuffer):
    """Bytes after which none will come."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.add(data)

    def receive(self) -> bytes:
        return b""


def _may_be_responses(data: bytes, method: str) -> bool:
    """Whether this is the start, or all, of one or more responses."""
    rest = _Rest(data)
    try:
        body = ResponseBody(rest, read_head(rest), method)
        while body.read():
            pass
    except (CutShortError, ConnectionResetError):
        return True
    except NotHttpError:
        return False
    return True
