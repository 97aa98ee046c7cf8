"""Interim responses, and whether a connection is kept, or closed because of bytes after the response."""

from __future__ import annotations

from wire.responses.rows import CHUNKED, IN_CHUNKS, LENGTH_2, OK, TWO, read, rejected

__all__ = ["INTERIM", "KEEP_ALIVE", "SURPLUS"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
OLD = b"HTTP/1.0 200 OK\r\n"

INTERIM = [
    read("100", CONTINUE + OK + TWO),
    read("100, then the response", CONTINUE, OK + TWO),
    read("102", b"HTTP/1.1 102 Processing\r\n\r\n" + OK + TWO),
    read("103 with links", HINTS + b"Link: </a>; rel=preload\r\n\r\n" + OK + TWO),
    read("103, 103, 102, 100", (HINTS + b"\r\n") * 2 + b"HTTP/1.1 102 Processing\r\n\r\n" + CONTINUE + OK + TWO),
    read("a thousand times 103", (HINTS + b"Link: </a>\r\n\r\n") * 1000 + OK + TWO),
    read("103 with 200 fields each", (HINTS + b"X: y\r\n" * 200 + b"\r\n") * 3 + OK + TWO),
    read("103 without a reason", b"HTTP/1.1 103\r\n\r\n" + OK + TWO),
    read("103 that ends in LF", b"HTTP/1.1 103 E\n\n" + OK + TWO),
    read("103 with a cookie", HINTS + b"Set-Cookie: a=1\r\n\r\n" + OK + TWO),
    read("103 in two packets", HINTS + b"Li", b"nk: </a>\r\n\r\n" + OK + TWO),
    read("103 with a length", HINTS + b"Content-Length: 2\r\n\r\n" + OK + TWO),
    read("103 in chunks", HINTS + b"Transfer-Encoding: chunked\r\n\r\n" + OK + TWO),
    read("104", b"HTTP/1.1 104 Upload Resumption Supported\r\n\r\n" + OK + TWO),
    read("199", b"HTTP/1.1 199 Odd\r\n\r\n" + OK + TWO),
    read("100 before 204", CONTINUE + b"HTTP/1.1 204 No Content\r\n\r\n", status=204, reason="No Content", headers=[], content=b""),
    read("100 before chunks", CONTINUE + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", headers=IN_CHUNKS),
    read("103 before the response to HEAD", HINTS + b"\r\n" + OK + b"Content-Length: 2\r\n\r\n", method="HEAD", content=b""),
    read("101 without a request for it", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", status=101, reason="Switching Protocols",
         headers=[], content=b"", is_reused=False),
    read("101 and bytes after it", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi",
         status=101, reason="Switching Protocols", headers=[("Upgrade", "x"), ("Connection", "upgrade")], content=b"", is_reused=False),
    read("101, and later bytes after it", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", OTHER, status=101,
         reason="Switching Protocols", headers=[], content=b"", is_reused=False),
    read("100 of HTTP/1.0", b"HTTP/1.0 100 Continue\r\n\r\n" + OK + TWO, is_reused=False),
    read("103 that closes", HINTS + b"Connection: close\r\n\r\n" + OK + TWO, is_reused=False),
    rejected("104 with a length", b"HTTP/1.1 104 Odd\r\nContent-Length: 2\r\n\r\nhi" + OK + TWO, rule="unknown-version", at=39),
    rejected("104 in chunks", b"HTTP/1.1 104 Odd\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK + TWO, rule="not-http", at=48),
    rejected("103 with a body", HINTS + b"Content-Length: 2\r\n\r\nhi" + OK + TWO, rule="unknown-version", at=47),
    rejected("103 with an invalid field", HINTS + b"X\r\n\r\n" + OK + TWO, rule="missing-colon", at=26),
    rejected("103 with two lengths", HINTS + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + OK + TWO, rule="repeated-content-length", at=45),
    rejected("199 before a status below 100", b"HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 099 Odd\r\n\r\n", rule="invalid-status", at=29),
]  # fmt: skip


def connected(option: str) -> list[tuple[str, str]]:
    """Headers with this Connection option."""
    return [("Connection", option), *LENGTH_2]


KEEP_ALIVE = [
    read("HTTP/1.1", OK + TWO),
    read("HTTP/1.1, close", OK + b"Connection: close\r\n" + TWO, headers=connected("close"), is_reused=False),
    read("HTTP/1.1, CLOSE", OK + b"Connection: CLOSE\r\n" + TWO, headers=connected("CLOSE"), is_reused=False),
    read("HTTP/1.1, keep-alive", OK + b"Connection: keep-alive\r\n" + TWO, headers=connected("keep-alive")),
    read("HTTP/1.1, both", OK + b"Connection: keep-alive, close\r\n" + TWO, headers=connected("keep-alive, close"), is_reused=False),
    read("HTTP/1.1, close among others", OK + b"Connection: x ,\tclose , y\r\n" + TWO, headers=connected("x ,\tclose , y"), is_reused=False),
    read("HTTP/1.1, close in the second field", OK + b"Connection: x\r\nConnection: close\r\n" + TWO,
         headers=[("Connection", "x"), ("Connection", "close"), *LENGTH_2], is_reused=False),
    read("HTTP/1.1, closed", OK + b"Connection: closed\r\n" + TWO, headers=connected("closed")),
    read("HTTP/1.1, unclose", OK + b"Connection: unclose\r\n" + TWO, headers=connected("unclose")),
    read("HTTP/1.1, empty", OK + b"Connection:\r\n" + TWO, headers=connected("")),
    read("HTTP/1.1, Upgrade offered", OK + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + TWO,
         headers=[("Connection", "upgrade"), ("Upgrade", "h2c"), *LENGTH_2]),
    read("HTTP/1.1, Proxy-Connection", OK + b"Proxy-Connection: close\r\n" + TWO,
         headers=[("Proxy-Connection", "close"), *LENGTH_2], is_reused=False),
    read("HTTP/1.1, Keep-Alive", OK + b"Keep-Alive: timeout=5, max=1\r\n" + TWO, headers=[("Keep-Alive", "timeout=5, max=1"), *LENGTH_2]),
    read("HTTP/1.1, a body that ends with the connection", OK + b"Connection: keep-alive\r\n\r\nhi", headers=[("Connection", "keep-alive")], closes=True),
    read("HTTP/1.1 in chunks, close", CHUNKED[:-2] + b"Connection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
         headers=[("Transfer-Encoding", "chunked"), ("Connection", "close")], is_reused=False),
    read("HTTP/1.1, an error status", b"HTTP/1.1 500 Oops\r\n" + TWO, status=500, reason="Oops"),
    read("HTTP/1.0", OLD + TWO, is_reused=False),
    read("HTTP/1.0, keep-alive", OLD + b"Connection: keep-alive\r\n" + TWO, headers=connected("keep-alive")),
    read("HTTP/1.0, Keep-Alive", OLD + b"Connection: Keep-Alive\r\n" + TWO, headers=connected("Keep-Alive")),
    read("HTTP/1.0, close", OLD + b"Connection: close\r\n" + TWO, headers=connected("close"), is_reused=False),
    read("HTTP/1.0, both", OLD + b"Connection: keep-alive, close\r\n" + TWO, headers=connected("keep-alive, close"), is_reused=False),
    read("HTTP/1.0, keep-alive in chunks", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"2\r\nhi\r\n0\r\n\r\n", headers=[("Connection", "keep-alive"), ("Transfer-Encoding", "chunked")], is_reused=False),
    read("HTTP/1.0, keep-alive and a body that ends with the connection", OLD + b"Connection: keep-alive\r\n\r\nhi", headers=[("Connection", "keep-alive")], closes=True),
    read("closed without Connection: close", OK + TWO, closes=True),
]  # fmt: skip

SURPLUS = [
    read("a line end", OK + TWO + b"\r\n"),
    read("line ends", OK + TWO + b"\r\n\n\r\n"),
    read("a line end, later", OK + TWO, b"\r\n", is_reused=False),
    read("the first byte of another response", OK + TWO + b"H", is_reused=False),
    read("half of another response", OK + TWO + OTHER[:30], is_reused=False),
    read("another response", OK + TWO + OTHER, is_reused=False),
    read("another response, later", OK + TWO, OTHER, is_reused=False),
    read("another response after a line end", OK + TWO + b"\r\n" + OTHER, is_reused=False),
    read("two more responses", OK + TWO + OTHER + OTHER, is_reused=False),
    read("another response after chunks", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + OTHER, headers=IN_CHUNKS, is_reused=False),
    read("another response after 204", b"HTTP/1.1 204 No Content\r\n\r\n" + OTHER, status=204, reason="No Content", headers=[], content=b"", is_reused=False),
    read("half of another response after that to HEAD", OK + b"Content-Length: 2\r\n\r\n" + OTHER[:9], method="HEAD", content=b"", is_reused=False),
    read("junk, later", OK + TWO, b"junk", is_reused=False),
    read("a line end after the body, later", OK + b"Content-Length: 2\r\n\r\n", b"hi\r\n"),
    read("junk after the body, later", OK + b"Content-Length: 2\r\n\r\n", b"hijunk", is_reused=False),
    read("bytes up to the end of the connection are the body", OK + b"\r\nhi" + OTHER, headers=[], content=b"hi" + OTHER, closes=True),
    read("junk", OK + TWO + b"junk", is_reused=False),
    read("a space", OK + TWO + b" ", is_reused=False),
    read("NUL", OK + TWO + b"\0", is_reused=False),
    read("junk after an empty body", OK + b"Content-Length: 0\r\n\r\njunk", headers=[("Content-Length", "0")], content=b"", is_reused=False),
    read("junk with the end of the head", OK + b"Content-Length: 2\r", b"\n\r\nhijunk", is_reused=False),
    read("junk with the last byte of the head", OK + b"Content-Length: 0\r\n\r", b"\njunk", headers=[("Content-Length", "0")], content=b"", is_reused=False),
    read("junk after a head whose lines end in LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhijunk", is_reused=False),
    read("junk after blank lines and an interim response", b"\r\n" + CONTINUE + b"\r\n" + OK + TWO + b"junk", is_reused=False),
    read("junk after chunks and a trailer", CHUNKED + b"2\r\nhi\r\n0\r\nX: y\r\n\r\njunk", headers=IN_CHUNKS, is_reused=False),
    read("junk after a long body", OK + b"Content-Length: 70000\r\n\r\n" + b"x" * 70000 + b"junk",
         headers=[("Content-Length", "70000")], content=b"x" * 70000, is_reused=False),
    read("another response that is broken", OK + TWO + OK + b"X\r\n\r\n", is_reused=False),
    read("another response that can be read in two ways", OK + TWO + OK + b"Transfer-Encoding: gzip\r\n\r\n", is_reused=False),
    rejected("another response after an invalid one", b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nhi" + OTHER, rule="invalid-status", at=9),
    read("another response after a trailer with close", CHUNKED + b"2\r\nhi\r\n0\r\nConnection: close\r\n\r\n" + OTHER,
         headers=IN_CHUNKS, is_reused=False),
    read("another response and junk", OK + TWO + OTHER + b"junk", is_reused=False),
    read("another response after Connection: close", OK + b"Connection: close\r\n" + TWO + OTHER, headers=connected("close"), is_reused=False),
    read("another response after HTTP/1.0", OLD + TWO + OTHER, is_reused=False),
    read("a line end after Connection: close", OK + b"Connection: close\r\n" + TWO + b"\r\n", headers=connected("close"), is_reused=False),
]  # fmt: skip
