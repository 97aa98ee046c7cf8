"""The rules of HTTP/1.1 that a response can break, by name, and which of these faults may be tolerated.

A fault may be tolerated when there is only one way to go on. It may never be tolerated where two readers could see
different ends of the response, or different header fields: that is how responses are smuggled and split (RFC 9112,
11.1 and 11.2). After a response with a tolerated fault the connection is closed, so a peer that frames its responses
differently can harm this response alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["RULES", "TOLERABLE", "Rule"]


class Rule(NamedTuple):
    """One rule.

    name: stable, for code.   section: where the rule is stated.   text: the fault, as part of a sentence.
    remedy: what is done with a tolerated fault; "" if it is never tolerated.
    """

    name: str
    section: str
    text: str
    remedy: str = ""


_ALL = (
    # The status line
    Rule("not-http", "RFC 9112, 4", "it does not begin with an HTTP status line"),
    Rule(
        "unknown-version",
        "RFC 9112, 2.3",
        "its version is not HTTP/1.1, 1.0, 0.9 or 2.0",
        "it is read as HTTP/1.0",
    ),
    Rule("invalid-status", "RFC 9110, 15", "its status is not a number from 100 to 999"),
    # Lines
    Rule("bare-cr", "RFC 9112, 2.2", "a CR is not followed by LF"),
    Rule("head-too-large", "RFC 9110, 5.4", "its headers are too large"),
    Rule("too-many-fields", "RFC 9110, 5.4", "it has too many headers"),
    # Header fields
    Rule("missing-colon", "RFC 9112, 5", "a header line has no colon", "the line is skipped"),
    Rule("space-before-colon", "RFC 9112, 5.1", "a header name ends in white space", "it is removed"),
    Rule("invalid-header-name", "RFC 9110, 5.1", "a header name is not a token", "the line is skipped"),
    Rule(
        "space-before-first-header",
        "RFC 9112, 2.2",
        "white space comes before the first header",
        "the line is skipped",
    ),
    Rule("nul-in-value", "RFC 9110, 5.5", "a header value contains NUL", "NUL becomes a space"),
    Rule(
        "folded-framing-header",
        "RFC 9112, 5.2",
        "Content-Length or Transfer-Encoding goes on in a second line",
    ),
    # The framing of the body
    Rule(
        "repeated-content-length",
        "RFC 9112, 6.3",
        "Content-Length has more than one value",
        "the values are one if they are equal",
    ),
    Rule("conflicting-content-length", "RFC 9112, 6.3", "Content-Length has different values"),
    Rule("invalid-content-length", "RFC 9110, 8.6", "Content-Length is not a number of up to 18 digits"),
    Rule("length-and-transfer-encoding", "RFC 9112, 6.3", "it has both Content-Length and Transfer-Encoding"),
    Rule("repeated-transfer-encoding", "RFC 9112, 6.1", "it has Transfer-Encoding twice"),
    Rule("unknown-transfer-encoding", "RFC 9112, 6.1", "Transfer-Encoding is neither chunked nor identity"),
    # Chunks
    Rule("invalid-chunk-size", "RFC 9112, 7.1", "the size of a chunk is not a hexadecimal number of 64 bits"),
    Rule("invalid-chunk-extension", "RFC 9112, 7.1.1", "the extension of a chunk is invalid"),
    Rule("chunk-line-too-long", "RFC 9112, 7.1.1", "the line before a chunk is too long"),
    Rule("bare-lf-in-chunks", "RFC 9112, 7.1", "a line of a chunk ends in LF, not CR LF", "it ends there"),
    Rule("missing-chunk-end", "RFC 9112, 7.1", "a chunk is longer or shorter than its size"),
    Rule(
        "framing-in-trailers", "RFC 9110, 6.5.1", "Content-Length or Transfer-Encoding is among the trailers"
    ),
    # The end of the connection
    Rule("cut-short", "RFC 9112, 8", "the connection ended before the response was complete"),
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in _ALL})
"""All rules, by name."""

TOLERABLE: tuple[str, ...] = tuple(rule.name for rule in _ALL if rule.remedy)
"""The names of the faults that may be tolerated."""
