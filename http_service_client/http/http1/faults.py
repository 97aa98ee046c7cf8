"""The first fault in a line of a response: which rule it breaks, and where.

Each function here looks at a line from its beginning, whether the line is complete or not. A fault is found at the
first byte with which no valid line can go on, from the bytes up to there alone. So the same bytes have the same
fault wherever the network cuts them, and the rest of such a line, which may never arrive, is not waited for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...lazy import lazy_pattern
from ..header_validation import TOKEN_CHARACTER
from .rules import RULES, Rule

__all__ = [
    "CODING",
    "LENGTH",
    "Fault",
    "equal_lengths",
    "excerpt",
    "fault_in_chunk_line",
    "fault_in_field",
    "fault_in_status_line",
    "may_frame",
]


class Fault(NamedTuple):
    """A broken rule.   start: where, in the line.   end: of the bytes that show it."""

    rule: Rule
    start: int
    end: int


_MOST_SHOWN = 60  # bytes


def excerpt(line: bytes, fault: Fault) -> str:
    r"""The bytes of a line that show a fault: escaped, and without the values of headers, which may be secret.

    >>> excerpt(b"X-Token: abc\0def", Fault(RULES["nul-in-value"], 12, 13))
    "'X-Token:...\\x00'"
    """
    # A folded line is a value from its first byte on, whatever colons it has.
    value_at = 0 if line[:1] in (b" ", b"\t") else line.find(b":", 0, fault.start) + 1
    if value_at and fault.rule.name in _WITHIN_VALUE:
        shown = line[:value_at][-_MOST_SHOWN:] + b"..." + line[fault.start : fault.end]
    elif fault.rule.name in _MAYBE_A_VALUE and _LETTERS.fullmatch(line, 0, fault.start or fault.end) is None:
        shown = b"..." + (line[fault.start : fault.end] if fault.start else b"")
    else:
        first = max(0, fault.end - _MOST_SHOWN)
        shown = (b"..." if first else b"") + line[first : fault.end]
    return repr(shown)[1:]


_WITHIN_VALUE = ("nul-in-value", "bare-cr")
# A server that breaks a value over two lines sends the rest of a secret where a name should be.
_MAYBE_A_VALUE = ("missing-colon", "invalid-header-name", "bare-cr", "nul-in-value")
_LETTERS = lazy_pattern(rb"[A-Za-z-]*")

_TOKEN = rb"%b+" % TOKEN_CHARACTER.encode()
LENGTH, CODING = b"content-length", b"transfer-encoding"

_VERSION = rb"(?:0\.9|1\.[01]|2\.0)"
_STATUS_PREFIX = lazy_pattern(  # the longest beginning that a valid line may have
    rb"(?:H(?:T(?:T(?:P(?:/(?:%b(?: (?:[1-9](?:[0-9](?:[0-9](?: [^\r\n]*)?\r?\n?)?)?)?)?|(?:[01]\.?|2\.?)?))?)?)?)?)?"
    % _VERSION
)
_ANY_CASE = lazy_pattern(rb"h(?:t(?:t(?:p/?)?)?)?", re.IGNORECASE)

_NAME_PREFIX = lazy_pattern(rb"(?:%b)?" % _TOKEN)
_SPACED_COLON = lazy_pattern(rb"[ \t]+:")
_VALUE_PREFIX = lazy_pattern(rb"[^\0\r\n]*(?:\r?\n?)")
_LENGTH_PREFIX = lazy_pattern(rb"[ \t]*(?:[0-9]{1,18}[ \t]*(?:\r?\n?))?")
_LENGTHS = lazy_pattern(rb"[0-9]{1,18}(?:[ \t]*,[ \t]*[0-9]{1,18})*")
_NO_LETTER = lazy_pattern(rb"[^a-z-]+")

# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), where a name or a value may be empty, too
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*'
_CHUNK_PREFIX = lazy_pattern(
    rb"(?:(?:0+(?:[1-9A-Fa-f][0-9A-Fa-f]{0,15})?|[1-9A-Fa-f][0-9A-Fa-f]{0,15})[ \t]*"
    rb'(?:;[ \t]*(?:%b[ \t]*)?(?:=[ \t]*(?:%b(?:"[ \t]*|\\?\Z)|%b[ \t]*)?)?)*\r?)?'
    % (_TOKEN, _QUOTED, _TOKEN)
)


def _end(pattern: re.Pattern[bytes], line: bytes, start: int = 0) -> int:
    """Where the longest valid beginning ends."""
    match = pattern.match(line, start)
    assert match is not None  # every part of these patterns is optional
    return match.end()


def fault_in_status_line(line: bytes) -> Fault | None:
    """The first fault in a status line."""
    at = _end(_STATUS_PREFIX, line)
    if at == len(line):
        return None
    if at < 5:
        name = "unknown-version" if _ANY_CASE.fullmatch(line[: at + 1]) else "not-http"
    elif at < 9:
        name = "unknown-version"
    elif at < 13:
        name = "invalid-status"
    else:
        return Fault(RULES["bare-cr"], at - 1, at)
    return Fault(RULES[name], at, at + 1)


def fault_in_field(line: bytes, before: Sequence[tuple[bytes, bytes]], is_trailer: bool) -> Fault | None:
    """The first fault in a header line.

    before: the fields that come before it.   is_trailer: it is part of the trailers.
    """
    if line[0] in b" \t":
        if not before:
            return Fault(RULES["space-before-first-header"], 0, 1)
        if before[-1][0].lower() in (LENGTH, CODING):
            return Fault(RULES["folded-framing-header"], 0, 1)
        return _fault_in_value(line)
    at = _end(_NAME_PREFIX, line)
    if at == len(line) or line[at:] in (b"\r", b"\r\n", b"\n"):
        # An empty line ends the head; a name alone is a fault once its line is complete.
        return Fault(RULES["missing-colon"], 0, at) if at and line[-1:] == b"\n" else None
    if line[at] in b" \t":  # the rest of the line tells which rule this breaks
        if line[-1:] != b"\n":
            return None
        if spaced := _SPACED_COLON.match(line, at):
            return Fault(RULES["space-before-colon"], at, spaced.end())
        return Fault(RULES["invalid-header-name" if b":" in line else "missing-colon"], 0, at)
    if line[at] != 0x3A or not at:
        if line[at] == 0x0D:
            return Fault(RULES["bare-cr"], at, at + 1)
        return Fault(RULES["invalid-header-name"], at, at + 1)
    key = line[:at].lower()
    if key == LENGTH:
        return _fault_in_length(line, at + 1, before, is_trailer)
    if key == CODING:
        return _fault_in_coding(line, at + 1, before, is_trailer)
    return _fault_in_value(line)


def _fault_in_value(line: bytes) -> Fault | None:
    at = _end(_VALUE_PREFIX, line)  # the name before it is a token, and has no such fault
    if at == len(line):
        return None
    if line[at - 1] == 0x0D:
        return Fault(RULES["bare-cr"], at - 1, at)
    return Fault(RULES["nul-in-value"], at, at + 1)


def _names(before: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
    return {name.lower() for name, _ in before}


def _fault_in_length(
    line: bytes, start: int, before: Sequence[tuple[bytes, bytes]], is_trailer: bool
) -> Fault | None:
    if is_trailer:
        return Fault(RULES["framing-in-trailers"], 0, start)
    names = _names(before)
    if CODING in names:
        return Fault(RULES["length-and-transfer-encoding"], 0, start)
    if LENGTH in names:
        return Fault(RULES["repeated-content-length"], 0, start)
    at = _end(_LENGTH_PREFIX, line, start)
    if at == len(line):
        return None
    if line[at] == 0x2C and line[start:at].strip():
        return Fault(RULES["repeated-content-length"], at, at + 1)
    if line[at - 1] == 0x0D:
        return Fault(RULES["bare-cr"], at - 1, at)
    return Fault(RULES["invalid-content-length"], at, at + 1)


def _fault_in_coding(
    line: bytes, start: int, before: Sequence[tuple[bytes, bytes]], is_trailer: bool
) -> Fault | None:
    if is_trailer:
        return Fault(RULES["framing-in-trailers"], 0, start)
    names = _names(before)
    if LENGTH in names:
        return Fault(RULES["length-and-transfer-encoding"], 0, start)
    if CODING in names:
        return Fault(RULES["repeated-transfer-encoding"], 0, start)
    if (fault := _fault_in_value(line)) is not None:
        return fault
    # identity is RFC 2616's name for no coding. We send no TE, and decode no other (RFC 9110, 10.1.4).
    value = line[start:].strip(b" \t\r\n")
    if line[-1:] == b"\n" and value.lower() not in (b"chunked", b"identity"):
        return Fault(RULES["unknown-transfer-encoding"], start, len(line.rstrip(b"\r\n")[:_MOST_SHOWN]))
    return None


def equal_lengths(line: bytes, before: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The one length that a complete Content-Length line and those before it give; None if there is not exactly one."""
    value = line.partition(b":")[2].strip(b" \t\r\n")
    if not _LENGTHS.fullmatch(value):
        return None
    values = [each.strip(b" \t") for each in value.split(b",")]
    values += [value for name, value in before if name.lower() == LENGTH]
    return values[0] if len({int(each) for each in values}) == 1 else None


def may_frame(line: bytes) -> bool:
    """Whether a malformed line may have been meant to frame the body: such a line is never skipped."""
    name = _NO_LETTER.sub(b"", line.partition(b":")[0].lower())
    return name.startswith((LENGTH, CODING))


def fault_in_chunk_line(line: bytes) -> Fault | None:
    """The first fault in the line that begins a chunk."""
    at = _end(_CHUNK_PREFIX, line)
    if at == len(line) or line[at - 1 :] == b"\r\n":
        return None
    if not at:
        return Fault(RULES["invalid-chunk-size"], 0, 1)
    if line[at - 1] == 0x0D:
        return Fault(RULES["bare-cr"], at - 1, at)
    if line[at] == 0x0A:
        return Fault(RULES["bare-lf-in-chunks"], at, at + 1)
    name = "invalid-chunk-extension" if b";" in line[:at] else "invalid-chunk-size"
    return Fault(RULES[name], at, at + 1)
