"""The Content-Type of a response, and how its bytes are decoded to text.

RFC 9110 8.3 (media types, parameters), WHATWG Encoding 6 (byte order marks), WHATWG Fetch 3.2.1 (more than one
Content-Type: an application's and a proxy's). The charset of the header
comes first, then a byte order mark, then the declaration of an XML document (RFC 7303 3), then UTF-8. The content is
never used for a guess, which would give the same bytes different meanings from day to day. Text is for reading, so decoding never fails: an unknown
charset is ignored, an invalid byte becomes U+FFFD.
"""

from __future__ import annotations

import codecs
from encodings import normalize_encoding
from encodings.aliases import aliases

from ..lazy import lazy_pattern
from .header_validation import TOKEN_CHARACTER

__all__ = ["BYTE_ORDER_MARKS", "charset_of", "decode_text", "parse_content_type", "unquoted"]

# parameter = token "=" ( token / quoted-string ), parsed leniently              RFC 9110 5.6.6
_PARAMETER = lazy_pattern(r';[ \t]*([^\s=;"]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;]*)')
# An encoding declaration stands in the first line, in ASCII                     XML 1.0 4.3.3
_XML_ENCODING = lazy_pattern(
    rb"""<\?xml[ \t\r\n][^>]*?\bencoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][\w.\-]*)["']"""
)
_ITEM = lazy_pattern(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')  # of a list: a comma in quotes belongs to its item
_MEDIA_TYPE = lazy_pattern(rf"{TOKEN_CHARACTER}+/{TOKEN_CHARACTER}+")
_QUOTED_PAIR = lazy_pattern(r"\\(.)")

# Longest first: the mark of UTF-32 LE starts with that of UTF-16 LE.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# UTF-7 hides markup from filters, so the WHATWG forbids it (HTML, 4.2.5.4), and Python takes quadratic time for a body
# that comes in pieces. The others do not decode bytes to text at all.
_NOT_CHARSETS = frozenset(("utf-7", "base64", "bz2", "hex", "quopri", "rot-13", "uu", "zlib"))
_WITHOUT_ALIAS = """
    cp1006 cp720 cp737 cp856 cp874 cp875 iso8859_1 koi8_t koi8_u mac_arabic mac_croatian mac_farsi mac_romanian palmos
    utf_8_sig
"""
# Python's own, by their normalised names; but not its notations, such as unicode_escape, which have no alias.
_CODECS = frozenset((*aliases, *aliases.values(), *_WITHOUT_ALIAS.split()))
_LONGEST_NAME = 40


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """The media type in lower case and its parameters by lower-case name; the first of a name wins.

    Of several values, joined by commas, the last media type counts. It has the charset of one before it if that is of
    the same type and it has none itself.

    >>> parse_content_type('Text/HTML; Charset="utf-8"; x=1')
    ('text/html', {'charset': 'utf-8', 'x': '1'})
    >>> parse_content_type("text/html; charset=gbk, text/html")
    ('text/html', {'charset': 'gbk'})
    """
    if "," not in value:
        return _parse_one(value)
    last, parameters = "", dict[str, str]()
    for item in _ITEM.findall(value):
        media_type, given = _parse_one(item)
        if _MEDIA_TYPE.fullmatch(media_type) is None or media_type == "*/*":
            continue
        if media_type == last and "charset" in parameters:
            given.setdefault("charset", parameters["charset"])
        last, parameters = media_type, given
    return (last, parameters) if last else _parse_one(value)


def _parse_one(value: str) -> tuple[str, dict[str, str]]:
    media_type, semicolon, rest = value.partition(";")
    parameters: dict[str, str] = {}
    for name, text in _PARAMETER.findall(semicolon + rest):
        parameters.setdefault(name.lower(), unquoted(text).strip())
    return media_type.strip().lower(), parameters


def unquoted(text: str) -> str:
    """The content of a quoted-string (RFC 9110 5.6.4); other text as it is."""
    if len(text) > 1 and text[0] == '"' and text[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", text[1:-1])
    return text


def decode_text(content: bytes, content_type: str | None) -> str:
    """The content as text. Never raises."""
    charset = charset_of(content_type) if content_type else None
    if charset is None:
        marks = (name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark))
        charset = next(marks, None) or _declared_in_xml(content, content_type) or "utf-8"
    return content.decode(charset, "replace")


def _declared_in_xml(content: bytes, content_type: str | None) -> str | None:
    media_type = parse_content_type(content_type or "")[0]
    if not media_type.endswith(("/xml", "+xml")):
        return None
    declared = _XML_ENCODING.match(content[:256])
    # UTF-16 without a mark would not have matched as ASCII: such a declaration is wrong.
    known = declared and charset_of(f"text/xml; charset={declared[1].decode('ascii')}")
    return None if not known or known.startswith(("utf-16", "utf-32")) else known


def charset_of(content_type: str) -> str | None:
    """The codec of a Content-Type's charset; None when it has no charset, or an unknown one."""
    name = parse_content_type(content_type)[1].get("charset", "").strip("'\"")
    if not name.isascii() or len(name) > _LONGEST_NAME:
        return None
    normal = normalize_encoding(name).lower()
    # Python remembers each name that it was ever asked for, also each that it does not know: a server that names a new
    # one in each response would fill the memory. So it is asked for names of its own only, in one spelling.
    if normal not in _CODECS:
        return None
    try:
        known = codecs.lookup(normal).name
    except LookupError:  # of another system: mbcs
        return None
    if known in _NOT_CHARSETS:
        return None
    # A byte order mark is not part of the text (WHATWG Encoding 6.1) and would break `json()`.
    return "utf-8-sig" if known == "utf-8" else known
