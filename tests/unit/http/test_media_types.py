"""Content-Type, and the text of a response's bytes."""

from __future__ import annotations

import codecs
import encodings.aliases
import time

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.media_types import charset_of, decode_text, parse_content_type, unquoted
from kit.rows import each_row

REPEATED = [
    ("text/plain; charset=gbk, text/plain; charset=gbk", ("text/plain", "gbk")),
    ("text/plain; charset=gbk, text/plain", ("text/plain", "gbk")),
    ("text/plain, text/plain; charset=gbk", ("text/plain", "gbk")),
    ("text/plain; charset=gbk, text/html", ("text/html", None)),
    ("text/html; charset=gbk, text/plain, text/html", ("text/html", None)),
    ("text/plain; charset=gbk; x=1, text/plain; charset=big5", ("text/plain", "big5")),
    ("text/html; charset=gbk, */*", ("text/html", "gbk")),
    ("text/html; charset=gbk, garbage, ", ("text/html", "gbk")),
    ('text/html; x="a, text/plain"; charset=gbk', ("text/html", "gbk")),
    ('text/html; x="\\", text/plain"; charset=gbk', ("text/html", "gbk")),
    ('text/html; x="open, text/plain', ("text/html", None)),
    ("garbage, more", ("garbage, more", None)),
    ("garbage, text/html; charset=gbk", ("text/html", "gbk")),
    ("*/*, text/html; charset=gbk", ("text/html", "gbk")),
    (",", (",", None)),
]


@each_row(("value", "expected"), REPEATED)
def test_of_several_content_types_the_last_counts(value: str, expected: tuple[str, str | None]) -> None:
    """With the charset of one before it that is of the same type (WHATWG Fetch, 3.2.1)."""
    media_type, parameters = parse_content_type(value)
    assert (media_type, parameters.get("charset")) == expected


def test_a_list_of_content_types_is_read_in_linear_time() -> None:
    """A header of 64 KiB takes no longer than another one of its size."""
    for item in (",", '"', '",', "a/b,", 'a/b;x="\\'):
        began = time.process_time()
        parse_content_type(item * (65_536 // len(item)))
        assert time.process_time() - began < 5.0


LATIN_XML = b"<?xml version='1.0' encoding=\"ISO-8859-1\"?><n>\xfc</n>"


@each_row(
    ("content", "content_type", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode(), "text/html", "é"),
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", "é"),
        ("é".encode("utf-16"), "text/html", "é"),
        ("é".encode("utf-32"), "text/html", "é"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), "text/html", "é"),
        (codecs.BOM_UTF16_LE + "é".encode("utf-16-le"), "text/html", "é"),
        (codecs.BOM_UTF32_BE + "é".encode("utf-32-be"), "text/html", "é"),
        (codecs.BOM_UTF32_LE + "é".encode("utf-32-le"), "text/html", "é"),
        ("é".encode("utf-8-sig"), "text/html", "é"),
        ("é".encode("utf-8-sig"), "application/json; charset=utf-8", "é"),
        ("é".encode("utf-8-sig"), 'application/json; charset="UTF8"', "é"),
        ("é".encode(), "text/html; charset='utf-8'", "é"),
        (b"\xff", None, "\ufffd"),
        (b"\xff", "text/html; charset=ascii", "\ufffd"),
        ("é".encode(), "text/html; charset=ascii", "\ufffd\ufffd"),
        ("é".encode(), "text/html; charset=latin-1é", "é"),
        ("é".encode("latin-1"), f"text/html; charset=latin{'-' * 34}1", "é"),  # 40 characters
        ("é".encode(), f"text/html; charset=latin{'-' * 35}1", "é"),
        ("é".encode(), "text/html; charset=zlib", "é"),
        ("é".encode(), "text/html; charset=rot13", "é"),
        ("é".encode(), "text/html; charset=base64", "é"),
        ("é".encode(), "text/html; charset=idna", "é"),
        ("é".encode(), "text/html; charset=undefined", "é"),
        (b"\\d\xc3\xa9", "text/html; charset=unicode_escape", "\\dé"),
        ("é".encode(), "text/html; charset=no-such", "é"),
        ("é".encode(), "text/html; charset=utf-7", "é"),
        ("é".encode(), "text/html; charset=" + "a" * 64 * 1024, "é"),
        ("é".encode("koi8-u", "replace"), "text/html; charset=KOI8-U", "?"),
        ("é".encode("latin-1"), "text/html; charset=Latin-1", "é"),
        ("é".encode(), "text/html; charset=\x00", "é"),
        ("é".encode(), "text/html; charset=é", "é"),
        ("é".encode(), "text/html; charset=", "é"),
        ("é".encode(), "charset", "é"),
        (b"", "text/html; charset=utf-16", ""),
        (LATIN_XML, "text/xml", LATIN_XML.decode("latin-1")),
        (LATIN_XML, "application/soap+xml; action=x", LATIN_XML.decode("latin-1")),
        (LATIN_XML, "text/xml; charset=windows-1251", LATIN_XML.decode("cp1251")),
        (LATIN_XML, "text/html", LATIN_XML.decode("utf-8", "replace")),
        (LATIN_XML, None, LATIN_XML.decode("utf-8", "replace")),
        (b"\xef\xbb\xbf" + LATIN_XML, "text/xml", LATIN_XML.decode("utf-8", "replace")),
        (
            b"<?xml version='1.0' encoding='utf-16'?>\xc3\xa9",
            "text/xml",
            "<?xml version='1.0' encoding='utf-16'?>é",
        ),
        (
            b"<?xml version='1.0' encoding='utf-32'?>\xc3\xa9",
            "text/xml",
            "<?xml version='1.0' encoding='utf-32'?>é",
        ),
        (
            b"<?xml version='1.0'?><a encoding='latin-1'>\xc3\xa9",
            "text/xml",
            "<?xml version='1.0'?><a encoding='latin-1'>é",
        ),
    ],
)
def test_text_is_decoded_by_header_then_byte_order_mark_then_declaration_then_utf8(
    content: bytes, content_type: str | None, text: str
) -> None:
    """An unknown charset is ignored, an invalid byte becomes U+FFFD."""
    assert decode_text(content, content_type) == text


@each_row("name", sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values()}))
def test_a_charset_is_one_of_text(name: str) -> None:
    """Python has codecs beside: of bytes to bytes, notations of its own, and UTF-7, which hides markup (HTML, 4.2.5.4)."""
    try:
        codec = codecs.lookup(name)
    except LookupError:  # of another system
        return
    notations = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
    is_text = codec._is_text_encoding and codec.name not in notations  # type: ignore[attr-defined]
    assert (charset_of(f"text/html; charset={name}") is not None) is is_text


@each_row("name", ["idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_7"])
def test_a_notation_is_no_charset(name: str) -> None:
    """Whether or not Python has an alias for it."""
    assert charset_of(f"text/html; charset={name}") is None


def test_a_declaration_ends_within_256_bytes() -> None:
    """It is looked for in each text of XML."""
    start = b"<?xml" + b" " * 233 + b"encoding='latin-1'"
    assert len(start) == 256
    assert decode_text(start + b"?>\xe9", "text/xml").endswith("é")
    assert decode_text(b"<?xml " + start[5:] + b"?>\xe9", "text/xml").endswith("\ufffd")


@each_row(
    ("text", "content"),
    [
        ('"a"', "a"),
        ('"a\\"b\\\\"', 'a"b\\'),
        ('""', ""),
        ('"', '"'),
        ('"a', '"a'),
        ('a"', 'a"'),
        ("'a'", "'a'"),
        ("", ""),
    ],
)
def test_a_quoted_string_begins_and_ends_with_a_mark(text: str, content: str) -> None:
    """RFC 9110, 5.6.4; other text is as it is."""
    assert unquoted(text) == content


@given(st.binary(), st.one_of(st.text(), st.builds("text/x; charset={}".format, st.text())))
def test_text_never_fails(content: bytes, content_type: str) -> None:
    """With any bytes and any header."""
    assert isinstance(decode_text(content, content_type), str)


CODECS = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "mbcs", "oem", "palmos"})
# Every byte alone, then what begins a shift, a pair or a mark in one codec or another.
ODD = [bytes([byte]) for byte in range(256)]
ODD += [
    b"\\d \xff\xfe abc",
    b"\x1b$B\x81",
    b"\x1b(",
    b"~{\xff~",
    b"\x0e\x80\x0f",
    b"+-\xd8\x00",
    b"\xff\xfe\x00\xd8",
]


@each_row("name", CODECS)
def test_text_never_fails_for_any_codec_that_python_has(name: str) -> None:
    """Some are not text codecs, some raise for every input, some warn."""
    for content in ODD:
        assert isinstance(decode_text(content, f"text/x; charset={name}"), str)


def test_a_server_cannot_fill_the_cache_of_codecs() -> None:
    """Python remembers every name that it was asked for, known or not, in any spelling, for as long as it runs."""
    charset_of("a/b; charset=latin-1")
    before = len(encodings._cache)  # type: ignore[attr-defined]  # private to Python
    for number in range(10):
        assert charset_of(f"a/b; charset=unknown-{number}") is None
        assert charset_of(f"a/b; charset=latin{'!' * number}-1") == "iso8859-1"
    assert len(encodings._cache) == before  # type: ignore[attr-defined]


@each_row(
    ("value", "parsed"),
    [
        ("", ("", {})),
        ("Text/HTML", ("text/html", {})),
        ('a/b; x="1;2\\"3"; Y=z ;x=no', ("a/b", {"x": '1;2"3', "y": "z"})),
        ("a/b;;; x", ("a/b", {})),
        ('a/b; x="unclosed', ("a/b", {"x": '"unclosed'})),
        ("a/b; =1; x=2", ("a/b", {"x": "2"})),
    ],
)
def test_content_types_are_parsed_leniently(value: str, parsed: tuple[str, dict[str, str]]) -> None:
    """Malformed parameters are skipped."""
    assert parse_content_type(value) == parsed


def test_content_types_are_parsed_in_linear_time() -> None:
    """A header of 100,000 characters takes no noticeable time; in quadratic time it would take minutes."""
    started = time.process_time()
    for value in (
        "a/b" + ';x="' * 50_000,
        "a/b" + "; " * 50_000,
        "a/b;" + " " * 100_000,
        'a/b; x="' + "\\" * 100_001,
    ):
        parse_content_type(value)
    assert time.process_time() - started < 5.0
