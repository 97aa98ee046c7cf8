"""Lines of text: the same however the bytes are cut, and together the response's text."""

from __future__ import annotations

import codecs
import encodings.aliases
import re
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import DecodingError
from http_service_client.http.bodies.lines import LineDecoder
from http_service_client.http.media_types import decode_text
from kit.rows import each_row

# After an invalid escape sequence, these charsets may decode the rest differently from piece to piece.
NAMES = sorted(set(encodings.aliases.aliases.values()))
CHARSETS = [name for name in NAMES if not name.startswith("iso2022")]


def lines_of(
    data: bytes,
    cuts: list[int],
    charset: str | None = None,
    limit: int | None = None,
    keep_ends: bool = False,
) -> list[str]:
    """The lines of `data`, fed in pieces."""
    decoder = LineDecoder(charset, limit, keep_ends=keep_ends)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    lines = [line for start, end in pairwise(edges) for line in decoder.feed(data[start:end])]
    return lines + decoder.finish()


@each_row(
    ("text", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb\r", ["a", "b"]),
        ("\n", [""]),
        ("\r\n\r\n", ["", ""]),
        ("\r\r\n\n", ["", "", ""]),
        ("\n\r", ["", ""]),
        ("a\n\nb", ["a", "", "b"]),
        ("a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i", ["a\u2028b\u2029c\x0bd\x0ce\x1cf\x1dg\x1eh\x85i"]),
        ("\ufeffa\ufeff", ["a\ufeff"]),
    ],
)
def test_lines_end_with_cr_lf_or_both(text: str, lines: list[str]) -> None:
    """And with nothing else; byte by byte, and in one piece."""
    data = text.encode()
    assert lines_of(data, []) == lines
    assert lines_of(data, list(range(len(data)))) == lines


@given(st.text("ab\r\n"), st.lists(st.integers(0, 1000)))
@example("a\r\nb\rc\n\rd", list(range(12)))
def test_lines_may_keep_their_ends(text: str, cuts: list[int]) -> None:
    """Together they are the text, and without their ends they are the same lines."""
    data = text.encode()
    kept = lines_of(data, cuts, keep_ends=True)
    assert "".join(kept) == text
    assert [re.sub(r"\r\n$|[\r\n]$", "", line) for line in kept] == lines_of(data, cuts)


@given(
    st.one_of(st.text().map(str.encode), st.text("ab\r\n").map(str.encode), st.binary()),
    st.lists(st.integers(0, 1000)),
    st.one_of(st.none(), st.sampled_from(CHARSETS), st.text(max_size=10)),
)
@example(codecs.BOM_UTF8 + b"a", [1, 2], None)
@example(codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le"), [1, 2, 3, 5], None)
@example(codecs.BOM_UTF32_LE + "a".encode("utf-32-le"), [1, 2, 3], None)
@example(codecs.BOM_UTF16_BE + "a".encode("utf-16-be"), [1], "utf-16")
@example("a\n".encode("utf-16-le"), [1], "utf-16")
@example("a\n".encode("utf-32-le"), [3], "utf-32")
@example(codecs.BOM_UTF8[:2], [1], None)
@example(b"\xe2\x82", [1], None)
@example(b"a", [], "zlib")
@example(b"a", [], "rot13")
@example(b"a", [], "\0")
def test_lines_are_those_of_the_text(data: bytes, cuts: list[int], charset: str | None) -> None:
    """However the bytes are cut, in every charset, without an error."""
    text = decode_text(data, None if charset is None else f"text/plain; charset={charset}")
    expected = re.split(r"\r\n|\r|\n", text)
    assert lines_of(data, cuts, charset) == (expected if expected[-1] else expected[:-1])


@given(
    st.sampled_from(["iso2022_jp", "iso2022_jp_ext", "iso2022_kr"]),
    st.text("aé\r\n漢字한글"),
    st.binary(),
    st.lists(st.integers(0, 1000)),
)
@example("iso2022_jp", "", b"\xfe\x1b{&{-&{\xfe{a\xff}B", [])
def test_charsets_with_escape_sequences_are_decoded(
    charset: str, text: str, junk: bytes, cuts: list[int]
) -> None:
    """Valid text as it was written; invalid text without an error."""
    data = text.encode(charset, "replace")
    expected = re.split(r"\r\n|\r|\n", data.decode(charset))
    assert lines_of(data, cuts, charset) == (expected if expected[-1] else expected[:-1])
    lines_of(data + junk, cuts, charset)


@each_row("charset", NAMES)
def test_every_charset_can_be_decoded_in_pieces(charset: str) -> None:
    """Each codec of Python's that is one has a decoder for it."""
    assert len("".join(lines_of(b"abcd", [1, 2, 3], charset))) in (1, 2, 4)


@pytest.mark.parametrize("cuts", [[11], [1, 11], [5, 11]])
def test_an_escape_sequence_that_never_ends_is_invalid(cuts: list[int]) -> None:
    """And no error: a decoder waits for the rest of one, but not for so many bytes. None of them is lost."""
    data = b"a\x1b&$(\x8e\x1b\x8e&@,b\nc"
    text, last = found = lines_of(data, cuts, "iso2022_jp")
    assert (text[:2], text[-1], last) == ("a\ufffd", "b", "c")
    assert found == lines_of(data, [11], "iso2022_jp")


@given(st.text("ab\r\n"), st.lists(st.integers(0, 1000)), st.integers(0, 10))
def test_a_line_over_the_limit_is_an_error(text: str, cuts: list[int], limit: int) -> None:
    """A line of exactly the limit is allowed, its line end does not count, and cuts do not matter."""
    data = text.encode()
    if max(map(len, re.split("[\r\n]", text))) > limit:
        with pytest.raises(DecodingError, match=f"longer than {limit} characters; raise max_length"):
            lines_of(data, cuts, limit=limit)
    else:
        lines_of(data, cuts, limit=limit)


def test_the_lines_before_one_that_is_too_long_are_kept() -> None:
    """They came in the same bytes."""
    decoder = LineDecoder(None, 3)
    assert decoder.completed == []
    with pytest.raises(DecodingError):
        decoder.feed(b"a\n123\n1234\nc\n")
    assert decoder.completed == ["a", "123"]


def test_lines_come_as_soon_as_they_are_complete() -> None:
    """Even at a CR: its LF may come a minute later."""
    decoder = LineDecoder(None, None)
    assert decoder.feed(b"") == []
    assert decoder.feed(b"a\r") == ["a"]
    assert decoder.feed(b"\nb") == []
    assert decoder.length == 1
    assert decoder.feed(b"c\nd\n") == ["bc", "d"]
    assert decoder.finish() == []
    assert decoder.finish() == []


def test_a_long_line_in_tiny_pieces_takes_little_memory() -> None:
    """Each piece as an object of its own would take thirty times its length."""
    decoder = LineDecoder("latin-1", None)
    tracemalloc.start()
    for _ in range(50_000):
        decoder.feed(b"xy")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoder.length == 100_000
    assert held < 4 * decoder.length
    assert decoder.finish() == ["xy" * 50_000]


def test_a_long_line_is_decoded_in_linear_time() -> None:
    """200,000 pieces of one line are joined once; joined each time, they would take minutes."""
    started = time.process_time()
    decoder = LineDecoder("latin-1", None)
    for _ in range(200_000):
        decoder.feed(b"x")
    assert decoder.finish() == ["x" * 200_000]
    assert time.process_time() - started < 5.0
