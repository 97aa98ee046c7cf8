"""Interim responses, and what becomes of a connection: kept, closed, or closed for what stands behind the answer."""

from __future__ import annotations

from wire.responses.rows import BROKEN, CHUNKED, IN_CHUNKS, LENGTH_2, OK, TWO, read, refused

__all__ = ["INTERIM", "KEEP_ALIVE", "SURPLUS"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
OLD = b"HTTP/1.0 200 OK\r\n"

INTERIM = [
    read("100", CONTINUE + OK + TWO),
    read("100, then the answer", CONTINUE, OK + TWO),
    read("102", b"HTTP/1.1 102 Processing\r\n\r\n" + OK + TWO),
    read("103 with links", HINTS + b"Link: </a>; rel=preload\r\n\r\n" + OK + TWO),
    read("103, 103, 102, 100", (HINTS + b"\r\n") * 2 + b"HTTP/1.1 102 Processing\r\n\r\n" + CONTINUE + OK + TWO),
    read("a thousand of 103", (HINTS + b"Link: </a>\r\n\r\n") * 1000 + OK + TWO),
    read("103 with 200 fields each", (HINTS + b"X: y\r\n" * 200 + b"\r\n") * 3 + OK + TWO),
    read("103 without a reason", b"HTTP/1.1 103\r\n\r\n" + OK + TWO),
    read("103 that ends in LF", b"HTTP/1.1 103 E\n\n" + OK + TWO),
    read("103 with a cookie", HINTS + b"Set-Cookie: a=1\r\n\r\n" + OK + TWO),
    read("103 cut in two packets", HINTS + b"Li", b"nk: </a>\r\n\r\n" + OK + TWO),
    read("103 with a length", HINTS + b"Content-Length: 2\r\n\r\n" + OK + TWO),
    read("103 in chunks", HINTS + b"Transfer-Encoding: chunked\r\n\r\n" + OK + TWO),
    read("104", b"HTTP/1.1 104 Upload Resumption Supported\r\n\r\n" + OK + TWO),
    read("199", b"HTTP/1.1 199 Odd\r\n\r\n" + OK + TWO),
    read("100 before 204", CONTINUE + b"HTTP/1.1 204 No Content\r\n\r\n", status=204, reason="No Content", headers=[], content=b""),
    read("100 before chunks", CONTINUE + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", headers=IN_CHUNKS),
    read("103 before HEAD's", HINTS + b"\r\n" + OK + b"Content-Length: 2\r\n\r\n", method="HEAD", content=b""),
    read("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", status=101, reason="Switching Protocols",
         headers=[], content=b"", again=False),
    read("101 and what follows it", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi",
         status=101, reason="Switching Protocols", headers=[("Upgrade", "x"), ("Connection", "upgrade")], content=b"", again=False),
    read("101, and what follows it later", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", OTHER, status=101,
         reason="Switching Protocols", headers=[], content=b"", again=False),
    refused("100 of HTTP/1.0", b"HTTP/1.0 100 Continue\r\n\r\n" + OK + TWO, says=BROKEN),
    refused("103 that closes", HINTS + b"Connection: close\r\n\r\n" + OK + TWO, says=BROKEN),
    refused("104 with a length", b"HTTP/1.1 104 Odd\r\nContent-Length: 2\r\n\r\nhi" + OK + TWO, says=BROKEN),
    refused("104 in chunks", b"HTTP/1.1 104 Odd\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK + TWO, says=BROKEN),
    refused("103 with a body", HINTS + b"Content-Length: 2\r\n\r\nhi" + OK + TWO, says=BROKEN),
    refused("103 with a field that is none", HINTS + b"X\r\n\r\n" + OK + TWO, says=BROKEN),
    refused("103 with two lengths", HINTS + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + OK + TWO, says=BROKEN),
    refused("199 before a status below 100", b"HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 099 Odd\r\n\r\n", says=BROKEN),
]  # fmt: skip


def connected(option: str) -> list[tuple[str, str]]:
    """Headers."""
    return [("Connection", option), *LENGTH_2]


KEEP_ALIVE = [
    read("HTTP/1.1", OK + TWO),
    read("HTTP/1.1, close", OK + b"Connection: close\r\n" + TWO, headers=connected("close"), again=False),
    read("HTTP/1.1, CLOSE", OK + b"Connection: CLOSE\r\n" + TWO, headers=connected("CLOSE"), again=False),
    read("HTTP/1.1, keep-alive", OK + b"Connection: keep-alive\r\n" + TWO, headers=connected("keep-alive")),
    read("HTTP/1.1, both", OK + b"Connection: keep-alive, close\r\n" + TWO, headers=connected("keep-alive, close"), again=False),
    read("HTTP/1.1, close among others", OK + b"Connection: x ,\tclose , y\r\n" + TWO, headers=connected("x ,\tclose , y"), again=False),
    read("HTTP/1.1, close in the second field", OK + b"Connection: x\r\nConnection: close\r\n" + TWO,
         headers=[("Connection", "x"), ("Connection", "close"), *LENGTH_2], again=False),
    read("HTTP/1.1, closed", OK + b"Connection: closed\r\n" + TWO, headers=connected("closed")),
    read("HTTP/1.1, unclose", OK + b"Connection: unclose\r\n" + TWO, headers=connected("unclose")),
    read("HTTP/1.1, nothing", OK + b"Connection:\r\n" + TWO, headers=connected("")),
    read("HTTP/1.1, Upgrade offered", OK + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + TWO,
         headers=[("Connection", "upgrade"), ("Upgrade", "h2c"), *LENGTH_2]),
    read("HTTP/1.1, Proxy-Connection", OK + b"Proxy-Connection: close\r\n" + TWO,
         headers=[("Proxy-Connection", "close"), *LENGTH_2], again=False),
    read("HTTP/1.1, Keep-Alive", OK + b"Keep-Alive: timeout=5, max=1\r\n" + TWO, headers=[("Keep-Alive", "timeout=5, max=1"), *LENGTH_2]),
    read("HTTP/1.1, until the end", OK + b"Connection: keep-alive\r\n\r\nhi", headers=[("Connection", "keep-alive")], ends=True),
    read("HTTP/1.1 in chunks, close", CHUNKED[:-2] + b"Connection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
         headers=[("Transfer-Encoding", "chunked"), ("Connection", "close")], again=False),
    read("HTTP/1.1, an error", b"HTTP/1.1 500 Oops\r\n" + TWO, status=500, reason="Oops"),
    read("HTTP/1.0", OLD + TWO, again=False),
    read("HTTP/1.0, keep-alive", OLD + b"Connection: keep-alive\r\n" + TWO, headers=connected("keep-alive")),
    read("HTTP/1.0, Keep-Alive", OLD + b"Connection: Keep-Alive\r\n" + TWO, headers=connected("Keep-Alive")),
    read("HTTP/1.0, close", OLD + b"Connection: close\r\n" + TWO, headers=connected("close"), again=False),
    read("HTTP/1.0, both", OLD + b"Connection: keep-alive, close\r\n" + TWO, headers=connected("keep-alive, close"), again=False),
    read("HTTP/1.0, keep-alive in chunks", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"2\r\nhi\r\n0\r\n\r\n", headers=[("Connection", "keep-alive"), ("Transfer-Encoding", "chunked")]),
    read("HTTP/1.0, keep-alive until the end", OLD + b"Connection: keep-alive\r\n\r\nhi", headers=[("Connection", "keep-alive")], ends=True),
    read("closed without a word", OK + TWO, ends=True),
]  # fmt: skip

SURPLUS = [
    read("a line end", OK + TWO + b"\r\n"),
    read("line ends", OK + TWO + b"\r\n\n\r\n"),
    read("a line end, later", OK + TWO, b"\r\n", again=False),
    read("a byte that might begin another", OK + TWO + b"H", again=False),
    read("half of another", OK + TWO + OTHER[:30], again=False),
    read("another", OK + TWO + OTHER, again=False),
    read("another, later", OK + TWO, OTHER, again=False),
    read("another behind a line end", OK + TWO + b"\r\n" + OTHER, again=False),
    read("two others", OK + TWO + OTHER + OTHER, again=False),
    read("another behind chunks", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + OTHER, headers=IN_CHUNKS, again=False),
    read("another behind 204", b"HTTP/1.1 204 No Content\r\n\r\n" + OTHER, status=204, reason="No Content", headers=[], content=b"", again=False),
    read("half of another behind HEAD's", OK + b"Content-Length: 2\r\n\r\n" + OTHER[:9], method="HEAD", content=b"", again=False),
    read("junk, later", OK + TWO, b"junk", again=False),
    read("a line end behind the body, later", OK + b"Content-Length: 2\r\n\r\n", b"hi\r\n"),
    read("junk behind the body, later", OK + b"Content-Length: 2\r\n\r\n", b"hijunk", again=False),
    read("junk behind the end", OK + b"\r\nhi" + OTHER, headers=[], content=b"hi" + OTHER, ends=True),
    refused("junk", OK + TWO + b"junk", says=BROKEN),
    refused("a space", OK + TWO + b" ", says=BROKEN),
    refused("another that is broken", OK + TWO + OK + b"X\r\n\r\n", says=BROKEN),
    refused("another that can be read in two ways", OK + TWO + OK + b"Transfer-Encoding: gzip\r\n\r\n", says=BROKEN),
    refused("another behind one that is none", b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nhi" + OTHER, says=BROKEN),
    refused("another behind a trailer that closes", CHUNKED + b"2\r\nhi\r\n0\r\nConnection: close\r\n\r\n" + OTHER, says=BROKEN),
    refused("another and junk", OK + TWO + OTHER + b"junk", says=BROKEN),
    refused("another behind the last", OK + b"Connection: close\r\n" + TWO + OTHER, says=BROKEN),
    refused("another behind one of HTTP/1.0", OLD + TWO + OTHER, says=BROKEN),
    read("a line end behind the last", OK + b"Connection: close\r\n" + TWO + b"\r\n", headers=connected("close"), again=False),
]  # fmt: skip
