"""Content codings and charsets: the content and text of a body, or the reason why it cannot be decoded."""

from __future__ import annotations

import gzip
import zlib

from wire.responses.rows import CHUNKED, OK, Row, read, rejected

__all__ = ["BOMBS", "CHARSETS", "CODINGS", "LIMIT"]

LIMIT = 100_000  # max_response_size, in bytes

GZIP = bytes.fromhex("1f8b0800000000000203cbc80400ac2a93d802000000")  # hi
GZIP_NAMED = bytes.fromhex("1f8b08080000000002ff68692e74787400cbc80400ac2a93d802000000")  # with a file name
ZLIB = bytes.fromhex("789ccbc80400013b00d2")
RAW_DEFLATE = bytes.fromhex("cbc80400")
BROTLI = bytes.fromhex("8b0080686903")
ZSTD = bytes.fromhex("28b52ffd20021100006869")
BROTLI_MEGABYTE = bytes.fromhex("5b3f428f7f02201e0b04f2731e00")  # a million zeros
ZSTD_MEGABYTE = bytes.fromhex(
    "28b52ffda040420f004c000008000100fcff39100202001000020010000200100002001000020010000200100003120a00"
)
GZIP_CUT = "the response's gzip content is cut short"
CORRUPT = "the response's gzip content is corrupt: Error -3 while decompressing data: "
AFTER_END = "the response's {} content has bytes after its end"
TOO_LARGE = "the response is larger than max_response_size (100000 bytes); raise it, or use client.stream or client.download"


def coded(coding: str, body: bytes) -> bytes:
    """A response with this coding."""
    return OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding.encode(), len(body)) + body


def decodable(name: str, coding: str, body: bytes, content: bytes = b"hi", needs: str = "") -> Row:
    """A response that decodes to this content."""
    headers = [("Content-Encoding", coding), ("Content-Length", str(len(body)))]
    return read(name, coded(coding, body), headers=headers, content=content, needs=needs)


def undecodable(name: str, coding: str, body: bytes, message: str, needs: str = "") -> Row:
    """A response whose coding is broken. Its framing is valid, so its connection is reused."""
    return rejected(
        name,
        coded(coding, body),
        message=message,
        error="DecodingError",
        sent="answered",
        is_reused=True,
        needs=needs,
    )


CODINGS = [
    decodable("gzip", "gzip", GZIP),
    decodable("GZIP", "GZIP", GZIP),
    decodable("x-gzip", "x-gzip", GZIP),
    decodable("gzip with a file name", "gzip", GZIP_NAMED),
    decodable("gzip of two members", "gzip", GZIP + GZIP, content=b"hihi"),
    decodable("gzip and zero padding", "gzip", GZIP + bytes(8)),
    decodable("gzip of nothing", "gzip", b"", content=b""),
    decodable("gzip of an empty text", "gzip", gzip.compress(b"", mtime=0), content=b""),
    read("gzip in chunks", CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\nb\r\n" + GZIP[:11] + b"\r\nb\r\n" + GZIP[11:]
         + b"\r\n0\r\n\r\n", headers=[("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")]),
    read("gzip in two packets", coded("gzip", GZIP)[:-7], GZIP[-7:],
         headers=[("Content-Encoding", "gzip"), ("Content-Length", "22")]),
    read("gzip that ends with the connection", OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP, headers=[("Content-Encoding", "gzip")], closes=True),
    decodable("deflate, which is zlib", "deflate", ZLIB),
    decodable("deflate, raw", "deflate", RAW_DEFLATE),
    decodable("br", "br", BROTLI, needs="br"),
    decodable("zstd", "zstd", ZSTD, needs="zstd"),
    decodable("zstd of two frames", "zstd", ZSTD + ZSTD, content=b"hihi", needs="zstd"),
    decodable("identity", "identity", b"hi"),
    decodable("an empty coding", "", b"hi"),
    decodable("gzip and identity", "identity, gzip", GZIP),
    decodable("a list with empty items", ",gzip, ,", GZIP),
    decodable("gzip of gzip", "gzip, gzip", gzip.compress(GZIP, mtime=0)),
    decodable("gzip of deflate", "deflate, gzip", gzip.compress(ZLIB, mtime=0)),
    decodable("gzip of br", "br, gzip", gzip.compress(BROTLI, mtime=0), needs="br"),
    read("stacked in two fields", OK + b"Content-Encoding: deflate\r\nContent-Encoding: gzip\r\nContent-Length: 30\r\n\r\n"
         + gzip.compress(ZLIB, mtime=0),
         headers=[("Content-Encoding", "deflate"), ("Content-Encoding", "gzip"), ("Content-Length", "30")]),
    undecodable("gzip cut in its head", "gzip", GZIP[:5], GZIP_CUT),
    undecodable("gzip cut in its data", "gzip", GZIP[:12], GZIP_CUT),
    undecodable("gzip cut before its sum", "gzip", GZIP[:-8], GZIP_CUT),
    undecodable("gzip cut in its sum", "gzip", GZIP[:-1], GZIP_CUT),
    undecodable("gzip cut in its second member", "gzip", GZIP + GZIP[:12], GZIP_CUT),
    undecodable("gzip that is text", "gzip", b"hi there", CORRUPT + "incorrect header check"),
    undecodable("gzip that is zlib", "gzip", ZLIB, CORRUPT + "incorrect header check"),
    undecodable("gzip with a wrong sum", "gzip", GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:], CORRUPT + "incorrect data check"),
    undecodable("gzip with a wrong length", "gzip", GZIP[:-1] + b"\1", CORRUPT + "incorrect length check"),
    undecodable("gzip with a wrong method", "gzip", b"\x1f\x8b\x07" + GZIP[3:], CORRUPT + "unknown compression method"),
    undecodable("junk after gzip", "gzip", GZIP + b"junk", CORRUPT + "incorrect header check"),
    undecodable("deflate that is cut", "deflate", ZLIB[:-1], "the response's deflate content is cut short"),
    undecodable("deflate of a byte", "deflate", ZLIB[:1], "the response's deflate content is cut short"),
    undecodable("junk after deflate", "deflate", ZLIB + b"junk", AFTER_END.format("deflate")),
    undecodable("junk after raw deflate", "deflate", RAW_DEFLATE + b"junk", AFTER_END.format("deflate")),
    undecodable("br that is cut", "br", BROTLI[:-1], "the response's br content is cut short", needs="br"),
    undecodable("junk after br", "br", BROTLI + b"junk", "the response's br content is corrupt: brotli: decoder failed", needs="br"),
    undecodable("zstd that is cut", "zstd", ZSTD[:-1], "the response's zstd content is cut short", needs="zstd"),
    decodable("an unknown coding", "rot13", b"uv", content=b"uv"),
    decodable("a charset in place of a coding", "UTF-8", b"hi"),
    decodable("no coding, in words", "none", b"hi"),
    decodable("the coding of an upload to S3", "gzip, aws-chunked", GZIP),
    decodable("an unknown coding below gzip", "rot13, gzip", GZIP),
    decodable("gzip below an unknown coding", "gzip, rot13", b"junk", content=b"junk"),
    decodable("a coding with a parameter", "gzip;q=1", b"hi"),
    undecodable("six codings", ", ".join(["gzip"] * 6), GZIP, "the response has 6 content codings; 5 are allowed"),
    undecodable("gzip of gzip that is cut", "gzip, gzip", gzip.compress(GZIP[:-1], mtime=0), GZIP_CUT),
    undecodable("two gzip codings, but one in the body", "gzip, gzip", GZIP, CORRUPT + "incorrect header check"),
    rejected("gzip in a body that is cut short", coded("gzip", GZIP)[:-3], rule="cut-short", at=len(coded("gzip", GZIP)) - 3, closes=True),
    rejected("gzip in chunks, the second of which is broken", CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\nb\r\n" + GZIP[:11] + b"\r\n", b"x\r\n",
            rule="invalid-chunk-size", at=87),
]  # fmt: skip


def too_large(name: str, raw: bytes, is_reused: bool | None = True, needs: str = "") -> Row:
    """A response that is larger than the limit, as it is or when it is decoded."""
    error = "ResponseTooLargeError"
    return rejected(
        name, raw, message=TOO_LARGE, error=error, sent="answered", is_reused=is_reused, needs=needs
    )


def bomb(coding: str, body: bytes, needs: str = "") -> Row:
    """A response that is small until it is decoded."""
    return too_large(f"a bomb of {coding}", coded(coding, body), needs=needs)


MEGABYTE = gzip.compress(bytes(1_000_000), mtime=0)

BOMBS = [
    read("a body as large as the limit", OK + b"Content-Length: 100000\r\n\r\n" + b"x" * LIMIT,
         headers=[("Content-Length", "100000")], content=b"x" * LIMIT),
    too_large("a body one byte larger", OK + b"Content-Length: 100001\r\n\r\n" + b"x" * (LIMIT + 1), is_reused=None),
    too_large("a larger body in chunks", CHUNKED + (b"7530\r\n" + b"x" * 30_000 + b"\r\n") * 4 + b"0\r\n\r\n", is_reused=None),
    too_large("a body without end", OK + b"\r\n" + b"x" * 200_000, is_reused=False),
    decodable("a decoded body as large as the limit", "gzip", gzip.compress(b"x" * LIMIT, mtime=0), content=b"x" * LIMIT),
    bomb("gzip", MEGABYTE),
    bomb("deflate", zlib.compress(bytes(1_000_000))),
    bomb("br", BROTLI_MEGABYTE, needs="br"),
    bomb("zstd", ZSTD_MEGABYTE, needs="zstd"),
    bomb("gzip, gzip", gzip.compress(MEGABYTE, mtime=0)),
    bomb("br, gzip", gzip.compress(BROTLI_MEGABYTE, mtime=0), needs="br"),
    bomb("gzip, gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(MEGABYTE, mtime=0), mtime=0), mtime=0)),
    too_large("a bomb of many members", coded("gzip", gzip.compress(bytes(10_000), mtime=0) * 11)),
    too_large("an endless row of empty members", coded("gzip", gzip.compress(b"", mtime=0) * 6000), is_reused=None),
    read("HEAD with a length above the limit", OK + b"Content-Length: 100001\r\n\r\n", method="HEAD",
         headers=[("Content-Length", "100001")], content=b""),
]  # fmt: skip


def typed(name: str, content_type: str, content: bytes, text: str) -> Row:
    """A response of this Content-Type."""
    raw = (
        OK
        + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n" % (content_type.encode(), len(content))
        + content
    )
    headers = [("Content-Type", content_type), ("Content-Length", str(len(content)))]
    return read(name, raw, headers=headers, content=content, text=text)


def untyped(name: str, content: bytes, text: str) -> Row:
    """A response without Content-Type."""
    raw = OK + b"Content-Length: %d\r\n\r\n" % len(content) + content
    return read(name, raw, headers=[("Content-Length", str(len(content)))], content=content, text=text)


CHARSETS = [
    untyped("no charset, ASCII", b"plain", "plain"),
    untyped("no charset, UTF-8", "größe €".encode(), "größe €"),
    untyped("no charset, not UTF-8", b"gr\xf6\xdfe", "gr\ufffd\ufffde"),
    untyped("no charset, an empty body", b"", ""),
    untyped("the byte order mark of UTF-8", b"\xef\xbb\xbfhi", "hi"),
    untyped("the byte order mark of UTF-16 LE", b"\xff\xfeh\0i\0", "hi"),
    untyped("the byte order mark of UTF-16 BE", b"\xfe\xff\0h\0i", "hi"),
    untyped("the byte order mark of UTF-32 LE", b"\xff\xfe\0\0h\0\0\0i\0\0\0", "hi"),
    untyped("half a character of UTF-16", b"\xff\xfeh\0i", "h\ufffd"),
    typed("a type without a charset", "text/html", "größe".encode(), "größe"),
    typed("UTF-8", "text/plain; charset=utf-8", "größe".encode(), "größe"),
    typed("UTF-8 in quotes and capitals", 'text/plain; CHARSET="UTF-8"', "größe".encode(), "größe"),
    typed("UTF-8 and its byte order mark", "text/plain; charset=utf-8", b"\xef\xbb\xbfhi", "hi"),
    typed("latin-1", "text/plain; charset=iso-8859-1", b"gr\xf6\xdfe", "größe"),
    typed("latin-1 comes before the byte order mark", "text/plain; charset=latin-1", b"\xef\xbb\xbfhi", "ï»¿hi"),
    typed("Windows-1252", "text/plain; charset=windows-1252", b"\x80", "€"),
    typed("Shift_JIS", "text/plain; charset=Shift_JIS", b"\x93\xfa\x96{", "日本"),
    typed("UTF-16 by name", "text/plain; charset=utf-16", b"\xff\xfeh\0i\0", "hi"),
    typed("ASCII with another byte", "text/plain; charset=us-ascii", b"\xe9", "\ufffd"),
    typed("an unknown charset", "text/plain; charset=klingon", "größe".encode(), "größe"),
    typed("an empty charset", "text/plain; charset=", b"hi", "hi"),
    typed("a codec that is not a charset: zlib", "text/plain; charset=zlib", b"hi", "hi"),
    typed("a codec that is not a charset: rot13", "text/plain; charset=rot13", b"hi", "hi"),
    typed("a codec that is not a charset: punycode", "text/plain; charset=punycode", b"hi-", "hi-"),
    typed("a codec that is not a charset: undefined", "text/plain; charset=undefined", b"hi", "hi"),
    typed("two charsets", "text/plain; charset=latin-1; charset=utf-8", b"\xe9", "é"),
    typed("a charset among other parameters", 'text/plain; a="b;charset=utf-8"; charset=latin-1', b"\xe9", "é"),
    typed("an invalid Content-Type", ";;=;charset=latin-1", b"\xe9", "é"),
]  # fmt: skip
