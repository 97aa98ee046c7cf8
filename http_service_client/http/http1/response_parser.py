"""Reads the responses of one connection (RFC 9112). It does no I/O: both transports feed it with what they receive.

    parser.begin("GET")
    while (head := parser.read_head()) is None:
        parser.feed(receive())              # b"" when the connection has ended
    while (piece := parser.read_body()) != b"":
        if piece is None:
            parser.feed(receive())

A response is read line by line. A line in its usual form is matched by one regex; for any other line `faults` says
which rule it breaks, and where. The result for some bytes never depends on how the network cuts them. Bytes after a
complete response are not parsed at all; the connection is closed.

Accepted, though a strict reader would not: lines of the head that end in LF, values that are folded, control
characters in values, a missing reason phrase, names and values of chunk extensions that are empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...lazy import lazy_pattern
from ..header_validation import TOKEN_CHARACTER
from .buffer import ReceiveBuffer
from .errors import CutShortError, NotHttpError
from .fast_path import FastHead, read_fast_head
from .faults import (
    CODING,
    LENGTH,
    Fault,
    equal_lengths,
    excerpt,
    fault_in_chunk_line,
    fault_in_field,
    fault_in_status_line,
    may_frame,
)
from .framing import ParserSettings, field_text
from .head import Head
from .rules import RULES, Rule

__all__ = ["ResponseParser"]

_STATUS_LINE = re.compile(rb"HTTP/(0\.9|1\.[01]|2\.0) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n").fullmatch
_OTHER_VERSION = lazy_pattern(
    rb"HTTP/[0-9](?:\.[0-9]{1,2})?[ \t]+([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n", re.IGNORECASE
)
_FIELD = re.compile(rb"(%b+):([^\0\r\n]*)\r?\n" % TOKEN_CHARACTER.encode()).fullmatch
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,7})\r\n").match  # as servers write it
_SPACE_BEFORE_VALUE = lazy_pattern(rb"[^:]+:([ \t]+)")
_SIZE = re.compile(rb"[0-9A-Fa-f]+").match
_LAST_CHUNK = b"0\r\n\r\n"  # without extensions and trailers (RFC 9112 7.1)
_MOST_CHUNKS = 1000  # taken at once; each costs much more memory than a tiny chunk has
_BEFORE_REASON = len("HTTP/1.1 200 ")


class ResponseParser:
    """Reads one response after the other. `begin` comes first, then `read_head`, then `read_body`.

    head: of the response that is being read; None before it is complete.   is_complete: the response was read to its end.
    """

    __slots__ = (
        "_body_left",
        "_buffer",
        "_chunk_left",
        "_closes",
        "_fields",
        "_folded",
        "_in_trailers",
        "_line_start",
        "_method",
        "_owes_line_end",
        "_parts",
        "_report",
        "_section_start",
        "_skipped",
        "_status",
        "_tolerated",
        "_trailers_left",
        "head",
        "is_complete",
        "settings",
    )

    def __init__(self, settings: ParserSettings = ParserSettings()) -> None:  # noqa: B008  # it is immutable
        self.settings = settings
        self._buffer = ReceiveBuffer()
        self._method = "GET"
        self._closes = False  # an interim response said so, or a fault was tolerated
        self._tolerated: list[Rule] = []
        self._report: Callable[[Rule], object] | None = None
        self.forget()

    def begin(self, method: str) -> None:
        """A request with this method was sent: the next bytes are its response."""
        if self.head is not None or self._status is not None:
            self.forget()
        self._buffer.restart_count()
        self._method = method
        self._closes = False
        if self._tolerated:
            self._tolerated = []
        self._report = None

    def forget(self) -> None:
        """Free the last response."""
        self._buffer.free_taken()
        self.head: Head | FastHead | None = None
        self.is_complete = False
        # Version, status and reason of a head that has begun.
        self._status: tuple[bytes, int, str] | None = None
        self._begin_fields()
        self._chunk_left = 0
        self._owes_line_end = self._in_trailers = False

    def _begin_fields(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []  # of the last value, by line
        self._skipped: Rule | None = None  # that the last line broke, if it was skipped
        self._line_start = self._section_start = self._buffer.offset

    def feed(self, data: bytes) -> None:
        """Bytes arrived; b"" when the connection has ended."""
        self._buffer.feed(data)

    def report_faults(self, report: Callable[[Rule], object]) -> None:
        """Call the function for each rule that this response breaks, and that the settings tolerate."""
        self._report = report
        for rule in self._tolerated:
            report(rule)

    @property
    def rest(self) -> bytes:
        """The received bytes that were not read."""
        return self._buffer.rest

    # The head

    def read_head(self) -> Head | FastHead | None:
        """The head of the final response; None until it is complete. Interim ones (100, 102, 103) are skipped.

        Raises NotHttpError, CutShortError; ConnectionResetError if the connection ends before any byte.
        """
        while self.head is None:
            head: Head | FastHead | None
            if self._status is None:
                has_more = self._buffer.skip_line_ends()
                if self._buffer.offset > self.settings.total:
                    raise NotHttpError(RULES["head-too-large"], self.settings.total)
                if not has_more:
                    if self._buffer.has_ended:
                        raise ConnectionResetError("closed without a response")
                    return None
                head = self._read_fast_head()
                if head is None and not self._read_status_line():
                    return None
            else:
                head = None
            if head is None:
                if not self._read_fields(self.settings.total - self._section_start):
                    return None
                version, status, reason = self._status  # type: ignore[misc]  # `_read_status_line` has set it
                head = Head(version, status, reason, self._fields)
            self._status = None
            self._begin_fields()
            self._closes = self._closes or head.is_last
            if head.status >= 200 or head.status == 101:
                self._begin_body(head)
        return self.head

    def _read_fast_head(self) -> FastHead | None:
        buffer = self._buffer
        head = read_fast_head(buffer.data, self.settings, buffer.at)
        if head is not None:
            if buffer.offset + head.size > self.settings.total:
                return None
            buffer.at += head.size
        return head

    def _read_status_line(self) -> bool:
        """Whether the status line is complete."""
        line = self._take_line(self.settings.size + _BEFORE_REASON, self.settings.total - self._buffer.offset)
        if line is None:
            return False
        match = _STATUS_LINE(line)
        if match is not None:
            version = match[1]
        else:
            fault = fault_in_status_line(line)
            assert fault is not None  # a complete line without one matches
            match = _OTHER_VERSION.fullmatch(line)
            if match is None:
                raise self._error(line, fault)
            self._tolerate(line, fault)
            version = b"1.0"
        *_, status, reason = match.groups(b"")
        self._status = version, int(status), field_text(reason)
        return True

    def _take_line(self, most: int, room: int) -> bytes | None:
        """The next line; None while it is incomplete.

        most: bytes that it may have without its end, and without white space before a header value.
        room: bytes that it may have in all.
        """
        buffer = self._buffer
        self._line_start = buffer.offset
        line = buffer.take_line()
        if line is None:
            if buffer.may_judge():
                self._judge(buffer.rest, most, room)
            if buffer.has_ended:
                raise CutShortError(buffer.offset + len(buffer.rest))
            return None
        if len(line) > most or len(line) > room:
            self._judge(line, most, room)
        return line

    def _judge(self, line: bytes, most: int, room: int) -> None:
        """Raises the first fault in a line that is incomplete or too long, unless it is tolerated."""
        text = line.rstrip(b"\r\n")
        if space := _SPACE_BEFORE_VALUE.match(text):
            most += len(space[1])
        is_long = len(text) > most or len(line) > room
        if is_long:
            line = text[: min(most, room)]
        fault: Fault | None = None
        if self._status is None and self.head is None:
            fault = fault_in_status_line(line)
        elif line and (self.head is None or self._in_trailers):
            if self._skipped is None or line[0] not in b" \t":
                fault = fault_in_field(line, self._fields, self._in_trailers)
                if self._opens_tunnel and may_frame(line):
                    fault = None
        elif line:
            fault = fault_in_chunk_line(line)
        if fault is not None and fault.rule.name not in self.settings.tolerated:
            raise self._error(line, fault)
        if is_long:
            is_chunk = self.head is not None and not self._in_trailers
            raise self._error(
                line, Fault(RULES["chunk-line-too-long" if is_chunk else "head-too-large"], 0, 0)
            )

    def _error(self, line: bytes, fault: Fault) -> NotHttpError:
        return NotHttpError(
            fault.rule, self._line_start + fault.start, excerpt(line, fault) if fault.end else ""
        )

    def _tolerate(self, line: bytes, fault: Fault) -> None:
        """Note a fault, or raise it."""
        if fault.rule.name not in self.settings.tolerated:
            raise self._error(line, fault)
        if fault.rule not in self._tolerated:
            self._tolerated.append(fault.rule)
            if self._report is not None:
                self._report(fault.rule)
        self._closes = True
        if self.head is not None:
            self.head.is_last = True

    @property
    def _opens_tunnel(self) -> bool:
        """Whether a tunnel begins behind this head, whatever its fields say of a body (RFC 9110, 9.3.6)."""
        return self._method == "CONNECT" and self._status is not None and 200 <= self._status[1] <= 299

    def _read_fields(self, left: int) -> bool:
        """Whether the fields up to the empty line are complete.   left: bytes that they may have."""
        most_fields = self.settings.fields
        if self._in_trailers:
            most_fields -= self._trailers_left
        while True:
            room = left - (self._buffer.offset - self._section_start)
            line = self._take_line(self.settings.size + 1, room)
            if line is None:
                return False
            match = _FIELD(line)
            name = value = b""
            if match is not None:
                name, value = match.groups()
            if match is None or name.lower() in (LENGTH, CODING):
                if match is not None and self._opens_tunnel:
                    continue
                if line in (b"\r\n", b"\n"):
                    self._join_folds()
                    return True
                mended = self._mended(line)
                if mended is None:
                    continue
                if mended[0] in b" \t":
                    self._fold(mended)
                    continue
                name, _, value = mended.rstrip(b"\r\n").partition(b":")
            if len(self._fields) >= most_fields:
                raise self._error(line, Fault(RULES["too-many-fields"], 0, 0))
            self._join_folds()
            self._skipped = None
            value = value.strip(b" \t")
            self._parts, self._folded = [value], len(line)  # `_folded` counts the bytes of its lines
            self._fields.append((name, value))

    def _mended(self, line: bytes) -> bytes | None:
        """A line without the faults that are tolerated; None if it is skipped. Raises any other fault."""
        if line[0] in b" \t" and self._skipped is not None:
            is_length = self._skipped.name == "repeated-content-length"
            if is_length or may_frame(line):
                rule = RULES["folded-framing-header"] if is_length else self._skipped
                raise self._error(line, Fault(rule, 0, 1))
            self._skip(line, self._skipped)
            return None
        while (fault := fault_in_field(line, self._fields, self._in_trailers)) is not None:
            name = fault.rule.name
            if name in self.settings.tolerated:
                if name == "repeated-content-length":
                    one = equal_lengths(line, self._fields)
                    if one is None:
                        raise self._error(line, Fault(RULES["conflicting-content-length"], 0, fault.end))
                    self._tolerate(line, fault)
                    if any(each.lower() == LENGTH for each, _ in self._fields):
                        self._skipped = fault.rule
                        return None
                    return b"Content-Length:%b\r\n" % one
                if may_frame(line):
                    raise self._error(line, fault)
            self._tolerate(line, fault)
            if name == "nul-in-value":
                line = line.replace(b"\0", b" ")
            elif name == "space-before-colon":
                line = line[: fault.start] + line[fault.end - 1 :]
            else:
                self._skip(line, fault.rule)
                return None
        return line

    def _skip(self, line: bytes, rule: Rule) -> None:
        """Skip a line and its folds. A CR in it is refused: to another reader it may end the line before a field."""
        at = line.find(b"\r", 0, -2 if line[-2:] == b"\r\n" else -1)
        if at >= 0:
            raise self._error(line, Fault(RULES["bare-cr"], at, at + 1))
        self._skipped = rule

    def _fold(self, line: bytes) -> None:
        """Append a line to the last value. A space takes the place of the fold (RFC 9112, 5.2)."""
        self._folded += len(line)
        if self._folded > self.settings.size:
            raise self._error(line, Fault(RULES["head-too-large"], 0, 0))
        self._parts.append(line.strip(b" \t\r\n"))

    def _join_folds(self) -> None:
        """Join the lines of a folded value once: joined each time, a thousand short lines would take quadratic time."""
        if len(self._parts) > 1:
            self._fields[-1] = (self._fields[-1][0], b" ".join(self._parts).strip(b" "))

    # The body

    def _begin_body(self, head: Head | FastHead) -> None:
        self.head = head
        head.is_last = self._closes
        self._body_left: int | None = head.length
        if self._method == "HEAD":
            self._body_left = 0
        elif head.is_chunked:
            return
        if self._body_left is None:
            head.is_last = True  # the body ends with the connection
        elif not self._body_left:
            self._complete()

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends the body. The head has been read."""
        head = self.head
        return head is not None and not self.is_complete and not head.is_chunked and self._body_left is None

    def read_body(self) -> bytes | None:
        """The next piece of the body; b"" at its end, None if more bytes are needed. Raises CutShortError, NotHttpError."""
        if self.is_complete:
            return b""
        if self.head.is_chunked:  # type: ignore[union-attr]  # `read_head` has returned it
            return self._read_chunks()
        buffer, left = self._buffer, self._body_left
        piece = buffer.take(left)
        if piece:
            if left is not None:
                self._body_left = left = left - len(piece)
                if not left:
                    self._complete()
            return piece
        if not buffer.has_ended:
            return None
        if left is not None:
            raise CutShortError(buffer.offset)
        self.is_complete = True
        return b""

    def _read_chunks(self) -> bytes | None:
        buffer = self._buffer
        while True:
            if self._chunk_left:
                piece = buffer.take(self._chunk_left)
                self._chunk_left -= len(piece)
                self._owes_line_end = not self._chunk_left
                if piece:
                    self._complete_if_next(b"\r\n" + _LAST_CHUNK)
                    return piece
                break
            if self._owes_line_end and not self._take_line_end():
                break
            if self._in_trailers:
                if not self._read_fields(self.settings.between):
                    return None
                self._complete()
                return b""
            if pieces := self._take_whole_chunks():
                self._complete_if_next(_LAST_CHUNK)
                return pieces
            line = self._take_line(self.settings.between, self.settings.between)
            if line is None:
                return None
            if (fault := fault_in_chunk_line(line)) is not None:
                self._tolerate(line, fault)
            self._chunk_left = int(_SIZE(line)[0], 16)  # type: ignore[index]  # it has no fault
            if not self._chunk_left:
                self._in_trailers = True
                self._trailers_left = len(self.head.raw_fields())  # type: ignore[union-attr]  # as above
                self._begin_fields()
        if buffer.has_ended:
            raise CutShortError(buffer.offset + len(buffer.rest))
        return None

    def _take_whole_chunks(self) -> bytes:
        """The content of the chunks that are complete, as most are; b"" if the next one is not."""
        buffer = self._buffer
        data, at = buffer.data, buffer.at
        view = memoryview(data)  # its slices are no copies
        pieces: list[memoryview] = []
        while len(pieces) < _MOST_CHUNKS and (match := _CHUNK(data, at)) is not None:
            start = match.end()
            end = start + int(match[1], 16)
            if end == start or data[end : end + 2] != b"\r\n":
                break
            pieces.append(view[start:end])
            at = end + 2
        buffer.at = at
        return b"".join(pieces)

    def _complete_if_next(self, end: bytes) -> None:
        """End the body with its last bytes, if its end has arrived, and is of the usual form.

        A stream of events is often left at an event that says that it is the last one. Its connection is free then.
        """
        buffer = self._buffer
        at = buffer.at + len(end)
        if buffer.data[buffer.at : at] == end:
            buffer.at = at
            self._complete()

    def _take_line_end(self) -> bool:
        """Whether the line end after a chunk has arrived."""
        buffer = self._buffer
        end = bytes(buffer.data[buffer.at : buffer.at + 2])
        self._line_start = buffer.offset
        size = 2
        if end[:1] == b"\n":
            self._tolerate(end, Fault(RULES["bare-lf-in-chunks"], 0, 1))
            size = 1
        elif end not in (b"", b"\r", b"\r\n"):
            at = int(end[:1] == b"\r")
            raise self._error(end, Fault(RULES["missing-chunk-end"], at, at + 1))
        if len(end) < size:
            return False
        buffer.at += size
        self._owes_line_end = False
        return True

    def _complete(self) -> None:
        # The response is complete, so bytes after it cannot change it: a call that succeeded must not fail by how the
        # network cut its bytes. They belong to no request, and only a connection without any serves another.
        head: Any = self.head  # which has been read
        if head.status != 101 and self._buffer.skip_line_ends():
            head.is_last = True
        self.is_complete = True
