"""Text of a server on a terminal: it can be read, and can do nothing."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.cli.request.text import SafeDecoder, format_json, is_binary, is_json, safe
from kit.rows import each_row


@each_row(
    ("text", "shown"),
    [
        ("tea\tfor two\n", "tea\tfor two\n"),
        ("größer, 日本, 👨\u200d👩\u200d👧", "größer, 日本, 👨\u200d👩\u200d👧"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\x9b2J", "\\u009b2J"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\r", "\\u000d"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("a\u2029b", "a\\u2029b"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_acts_on_is_shown_as_an_escape(text: str, shown: str) -> None:
    """Letters of all scripts and joined emojis stay."""
    assert safe(text) == shown


@given(st.text())
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    """Whatever the text is."""
    left = {each for each in safe(text) if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert left <= set("\n\t\u200c\u200d")


_CHARSETS = [
    "",
    "utf-8",
    "utf-16",
    "utf-32",
    "iso-2022-jp",
    "shift_jis",
    "gb18030",
    "mbcs",
    "zlib",
    "no-such",
]


@given(st.binary(max_size=40), st.integers(1, 40), st.sampled_from(_CHARSETS))
def test_pieces_are_decoded_as_the_whole(content: bytes, at: int, charset: str) -> None:
    """A character, or a CR LF, may be split between two pieces. No charset of a server raises an error."""
    content_type = f"text/plain; charset={charset}"
    whole, parts = SafeDecoder(content_type), SafeDecoder(content_type)
    assert parts(content[:at]) + parts(content[at:], final=True) == whole(content, final=True)


def test_line_ends_become_line_feeds() -> None:
    """A carriage return alone would let the next text hide the line."""
    assert SafeDecoder("text/plain")(b"a\r\nb\rc", final=True) == "a\nb\nc"


def test_the_charset_of_the_content_type_counts() -> None:
    """And a byte order mark, where there is none."""
    assert SafeDecoder("text/plain; charset=latin-1")(b"\xfc", final=True) == "ü"
    marked = "ü".encode("utf-16")
    assert SafeDecoder("text/plain")(marked, final=True) == "ü"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON, st.booleans())
def test_formatted_json_is_the_same_json(value: object, is_ascii: bool) -> None:
    """With escapes in place of what a terminal acts on, too."""
    shown = format_json(json.dumps(value, ensure_ascii=is_ascii))
    assert shown is not None
    assert json.loads(shown) == value


@each_row(
    ("text", "shown"),
    [
        ("[]", "[]"),
        ('{ "a" : { } }', '{\n  "a": {}\n}'),
        ('{"a": [[1]], "b": 2}', '{\n  "a": [\n    [\n      1\n    ]\n  ],\n  "b": 2\n}'),
        ("[1e400, 1.10, 12345678901234567890]", "[\n  1e400,\n  1.10,\n  12345678901234567890\n]"),
        ('{"a": 1, "a": 2}', '{\n  "a": 1,\n  "a": 2\n}'),
        (r'["{[:,]}\"", "\u00fc\u001b"]', '[\n  "{[:,]}\\"",\n  "ü\\u001b"\n]'),
        ("{", None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_tokens_stay_as_they_were_sent(text: str, shown: str | None) -> None:
    """A number keeps its digits, and a repeated name is seen."""
    assert format_json(text) == shown


@each_row(
    ("content_type", "start", "expected"),
    [
        ("application/json", b"{}", False),
        ("", "grün".encode(), False),
        ("", "grün".encode()[:3], False),  # the rest of the character follows
        ("text/plain; charset=latin-1", b"gr\xfcn", False),
        ("text/plain", b"gr\xfcn", True),
        ("", b"a\0b", True),
        ("", b"a" * 4095 + b"\xff", True),
        ("", b"a" * 4096 + b"\xff", False),
        ("", "ü".encode("utf-16"), False),
        ("image/png", b"abc", True),
        ("image/svg+xml", b"<svg/>", False),
        ("application/octet-stream", b"abc", True),
    ],
)
def test_a_body_that_nobody_can_read_is_recognised(content_type: str, start: bytes, expected: bool) -> None:
    """By its media type, or by its first bytes."""
    assert is_binary(content_type, start) is expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/Problem+JSON; charset=utf-8", True),
        ("text/json-ish", False),
        ("", False),
    ],
)
def test_json_is_known_by_its_media_type(content_type: str, expected: bool) -> None:
    """Formats made of it included."""
    assert is_json(content_type) is expected
