"""HTTP/1.1 as the blocking transport speaks it (RFC 9112): a request's head out, a response in.

No socket in here: whoever has one derives from `Incoming` and says how to receive.

What is accepted and what is refused follows llhttp, the parser under aiohttp, for both worlds must see
the same response in the same bytes. So a line may end without CR, but a chunk's may not; a folded line is
joined; two Content-Lengths, a Content-Length beside a Transfer-Encoding, a field without a colon, bytes after
the end are refused: each has been a way to smuggle one response into another (RFC 9112, 11.2).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable

from .failures import CutShortError, NotHttpError

__all__ = [
    "MALFORMED",
    "MAX_FIELDS",
    "MAX_FIELD_SIZE",
    "TOO_LARGE",
    "Body",
    "Head",
    "Incoming",
    "field_text",
    "read_head",
    "request_head",
]

MAX_FIELDS = 256  # in one head, or one trailer section
MAX_FIELD_SIZE = 64 * 1024  # bytes of a field's name, its value, or a reason phrase

_STATUS_LINE = re.compile(rb"HTTP/(0\.9|1\.[01]|2\.0) ([0-9]{3})(?: ([^\x00\r]*))?").fullmatch
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?").fullmatch

_INTERIM = b"HTTP/1.1 1"

MALFORMED = "it breaks the rules of HTTP"
TOO_LARGE = "its headers are too large or too many"


def request_head(method: str, target: str, host: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request. Host comes first, as RFC 9112, 3.2 wants it; a field of that name takes its place."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in fields:
        if name.lower() == "host":
            lines[1] = f"{name}: {value}"
        else:
            lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def field_text(value: bytes) -> str:
    """A header value as UTF-8 where it is, else latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


class EndOfBytes(Exception):
    """The connection ended where a line was to come."""


class Incoming(ABC):
    """The bytes of one connection, as lines and as pieces.

    receipts: how often some were received.
    """

    def __init__(self) -> None:
        self.receipts = 0
        self._data = b""
        self._at = 0

    @abstractmethod
    def receive(self) -> bytes:
        """At least one byte, or b"" when the other side has closed."""

    @property
    def is_empty(self) -> bool:
        """Whether all that was received has been taken."""
        return self._at >= len(self._data)

    @property
    def is_junk(self) -> bool:
        """Whether what is there begins with neither a response nor an empty line."""
        rest = self._data[self._at :].lstrip(b"\r\n")
        return bool(rest) and not rest.startswith(b"HTTP/")

    def _receive(self) -> bytes:
        self.receipts += 1
        return self.receive()

    def add(self, data: bytes) -> None:
        """Put bytes behind those that are there, which were received in another way."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def peek(self) -> bytes:
        """The bytes that are there, or else the next to come, left where they are; b"" at the end."""
        if self.is_empty:
            self.add(self._receive())
        return self._data[self._at :]

    @property
    def may_be_interim(self) -> bool:
        """Whether what is there, if anything, is (or may become) the head of an interim response."""
        start = self._data[self._at : self._at + 10]
        return start == _INTERIM[: len(start)]

    def skip_interim_heads(self) -> None:
        """Take complete heads of interim responses away."""
        while len(self._data) - self._at > len(_INTERIM) and self.may_be_interim:
            end = self._data.find(b"\r\n\r\n", self._at)
            if end < 0:
                return
            self._at = end + 4

    def line(self, *, strict: bool = False) -> bytes:
        """The next line without its end. strict: it must end in CR LF.

        Raises NotHttpError for a line that never ends, EndOfBytes.
        """
        end = self._data.find(b"\n", self._at)
        while end < 0:
            waiting = len(self._data) - self._at
            if waiting > 2 * MAX_FIELD_SIZE:
                raise NotHttpError(TOO_LARGE)
            more = self._receive()
            if not more:
                raise EndOfBytes
            self.add(more)
            end = self._data.find(b"\n", waiting)
        line = self._data[self._at : end]
        self._at = end + 1
        if line.endswith(b"\r"):
            return line[:-1]
        if strict:
            raise NotHttpError(MALFORMED)
        return line

    def some(self, most: int | None = None) -> bytes:
        """The bytes that are there, or else the next to come; at most so many. b"" at the end."""
        data = self._data[self._at :] if not self.is_empty else self._receive()
        self._data, self._at = b"", 0
        if most is not None and len(data) > most:
            data, self._data = data[:most], data[most:]
        return data


class Head:
    """The head of a response: what it says, and how its body is framed.

    fields: names and values, in order.   length: of the body in bytes, or None.   is_chunked: …
    is_last: the connection is of no further use once this response is read.
    """

    __slots__ = ("fields", "is_chunked", "is_last", "length", "reason", "status")

    def __init__(self, version: bytes, status: int, reason: str, fields: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.reason = reason
        self.fields = [(name.decode("ascii"), field_text(value)) for name, value in fields]
        lengths, codings, options = [], b"", b""
        for name, value in fields:
            key = name.lower()
            if key == b"content-length":
                lengths.append(value)
            elif key == b"transfer-encoding":
                codings += b"," + value.lower()
            elif key == b"connection":
                options += b"," + value.lower()
        if lengths and (len(lengths) > 1 or codings or not _LENGTH(lengths[0])):
            raise NotHttpError(MALFORMED)
        self.length = int(lengths[0]) if lengths else None
        self.is_chunked = codings.rpartition(b",")[2].strip() == b"chunked"
        wishes = {option.strip() for option in options.split(b",")}
        self.is_last = (
            b"close" in wishes
            or (version in (b"0.9", b"1.0") and b"keep-alive" not in wishes)
            or status == 101  # what follows is no longer HTTP
        )


def read_head(incoming: Incoming) -> Head:
    """The head of the final response; interim ones (100, 102, 103) are skipped.

    Raises NotHttpError, CutShortError; ConnectionResetError when the connection ends instead.
    """
    while True:
        head = _read_one_head(incoming)
        if not 100 <= head.status < 200 or head.status == 101:
            return head


def _read_one_head(incoming: Incoming) -> Head:
    start = incoming.peek()
    if not start:
        raise ConnectionResetError("closed without an answer")
    if not b"HTTP/".startswith(start.lstrip(b"\r\n")[:5]):
        raise NotHttpError(MALFORMED)  # without waiting for the end of a line that may never come
    try:
        line = incoming.line()
        while not line:
            line = incoming.line()
        match = _STATUS_LINE(line)
        if match is None:
            raise NotHttpError(MALFORMED)
        version, status, reason = match.groups(b"")
        if len(reason) > MAX_FIELD_SIZE:
            raise NotHttpError(TOO_LARGE)
        return Head(version, int(status), field_text(reason), _read_fields(incoming))
    except EndOfBytes:
        raise CutShortError from None


def _read_fields(incoming: Incoming) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    while line := incoming.line():
        if line[0] in b" \t" and fields:  # folded (RFC 9112, 5.2)
            name, value = fields.pop()
            value += line.rstrip(b" \t")
        else:
            name, colon, value = line.lstrip(b" \t").partition(b":")
            value = value.strip(b" \t")
            if not colon or not _TOKEN(name) or b"\0" in value or b"\r" in value:
                raise NotHttpError(MALFORMED)
        fields.append((name, value))
        if len(name) > MAX_FIELD_SIZE or len(value) > MAX_FIELD_SIZE or len(fields) > MAX_FIELDS:
            raise NotHttpError(TOO_LARGE)
    return fields


class Body:
    """The body of one response, in pieces as they come.

    is_complete: it has been read to its end, and the connection stands before the next response.
    """

    __slots__ = ("_head", "_incoming", "_is_chunked", "_left", "_receipts", "is_complete")

    def __init__(self, incoming: Incoming, head: Head, method: str) -> None:
        self._incoming = incoming
        self._receipts = incoming.receipts
        self._head = head
        self._left = head.length
        self._is_chunked = head.is_chunked
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
        piece = self._incoming.some(self._left)
        if not piece:
            if self._left is None:
                self.is_complete = True
                return b""
            raise CutShortError
        if self._left is not None:
            self._left -= len(piece)
            if not self._left:
                if self._is_chunked:
                    self._expect_empty_line()
                else:
                    self._complete()
        return piece

    def _next_chunk(self) -> bool:
        try:
            size = _CHUNK_SIZE(self._incoming.line(strict=True))
            if size is None:
                raise NotHttpError(MALFORMED)
            self._left = int(size[1], 16)
            if not self._left:
                _read_fields(self._incoming)  # the trailers: nobody reads them, but they must be fields
                self._complete()
        except EndOfBytes:
            raise CutShortError from None
        return bool(self._left)

    def _expect_empty_line(self) -> None:
        try:
            if self._incoming.line(strict=True):
                raise NotHttpError(MALFORMED)
        except EndOfBytes:
            raise CutShortError from None

    def _complete(self) -> None:
        if not self._incoming.is_empty and self._head.status != 101:
            # llhttp fails on what came in one piece with the head; after that, the response is out already.
            if self._incoming.receipts == self._receipts and self._incoming.is_junk:
                raise NotHttpError(MALFORMED)
            self._head.is_last = True
        self.is_complete = True
