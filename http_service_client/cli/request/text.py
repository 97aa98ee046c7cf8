r"""Text of a server on a terminal: readable, and unable to do anything there.

What a terminal acts on (control characters, and marks that reverse the text around them) is shown as an escape,
such as ``\u001b``: nothing is hidden, and JSON stays JSON. Only line feeds and tabs pass.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import unicodedata
from collections.abc import Iterator

from ...http.bodies.lines import TextDecoder
from ...http.media_types import BYTE_ORDER_MARKS, charset_of, parse_content_type

__all__ = ["SafeDecoder", "format_json", "is_binary", "is_json", "safe"]

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|([{}\[\]:,])|([^\s{}\[\]:,"]+)')
_SUSPICIOUS = re.compile(r"[^\x20-\x7e\n\t]")
# Joiners, which several scripts need and which change nothing around them.
_HARMLESS = "\u200c\u200d"
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BINARY_TYPES = re.compile(
    r"(?:image/(?!svg)|audio/|video/|font/|application/(?:octet-stream|pdf|zip|gzip|zstd|x-tar|wasm|protobuf|grpc))"
).match


def safe(text: str) -> str:
    r"""The text with what a terminal acts on as escapes.

    >>> safe("a\x1b]0;b\x07 \u202e ü")
    'a\\u001b]0;b\\u0007 \\u202e ü'
    """
    return _SUSPICIOUS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _HARMLESS or unicodedata.category(character) not in _INVISIBLE:
        return character
    units = character.encode("utf-16-be", "surrogatepass")  # two of them beyond U+FFFF, as JSON has them
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class SafeDecoder:
    """Bytes of a body, as they arrive, to safe text.   content_type: of the response."""

    def __init__(self, content_type: str) -> None:
        self._decoder = TextDecoder(parse_content_type(content_type)[1].get("charset"))
        # CR alone would write over the line.
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=True)

    def __call__(self, piece: bytes, final: bool = False) -> str:
        """The next piece."""
        return safe(self._line_ends.decode(self._decoder.decode(piece, final), final))


def is_json(content_type: str) -> bool:
    """Whether the media type is JSON's, or that of a format made of it."""
    media_type = parse_content_type(content_type)[0]
    return media_type == "application/json" or media_type.endswith("+json")


def is_binary(content_type: str, start: bytes) -> bool:
    """Whether a body is nothing to read, by its media type or its first bytes."""
    if _BINARY_TYPES(content_type.lower()):
        return True
    if charset_of(content_type) is not None or start.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        return False
    if b"\0" in start:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start[:4096])  # its end may be half a character
    except UnicodeDecodeError:
        return True
    return False


def format_json(text: str) -> str | None:
    r"""JSON with line ends and indents, safe; None for a text that is not JSON.

    Tokens stay as they were sent, so a number keeps its digits and a repeated name is seen; only escapes of printable
    characters become the characters.

    >>> print(format_json('{"a":[1.50,{}],"a":"\\u00fc"}'))
    {
      "a": [
        1.50,
        {}
      ],
      "a": "ü"
    }
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return "".join(_formatted(text))


def _formatted(text: str) -> Iterator[str]:
    tokens = [match[0] for match in _TOKEN.finditer(text)]
    depth = 0
    for token, following, before in zip(tokens, [*tokens[1:], ""], ["", *tokens], strict=False):
        if token in "{[":
            depth += 1
            yield token if following in ("}", "]") else f"{token}\n{'  ' * depth}"
        elif token in "}]":
            depth -= 1
            yield token if before in ("{", "[") else f"\n{'  ' * depth}{token}"
        elif token == ",":
            yield f",\n{'  ' * depth}"
        elif token == ":":
            yield ": "
        elif token[0] == '"':
            yield safe(json.dumps(json.loads(token), ensure_ascii=False))
        else:
            yield safe(token)
