"""One raw response has one reading: both transports return the same response or raise the same error."""

from __future__ import annotations

import pytest

from http_service_client import ProtocolError
from http_service_client.testing.server import LoopbackServer, raw, reset, respond
from kit.front_ends import FrontEnd
from network.faults import failing

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

READ = {
    "lines end in LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, b"hi"),
    "blank lines before": (b"\r\n\r\n" + OK + TWO, 200, b"hi"),
    "no reason": (b"HTTP/1.1 200\r\n" + TWO, 200, b"hi"),
    "empty reason": (b"HTTP/1.1 200 \r\n" + TWO, 200, b"hi"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + TWO, 200, b"hi"),
    "an odd status": (b"HTTP/1.1 999 Whatever\r\n" + TWO, 999, b"hi"),
    "until the end of the connection": (OK + b"\r\nhi", 200, b"hi"),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", 200, b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", 204, b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", 304, b""),
    "304 in chunks": (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, b""),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + TWO, 200, b"hi"),
    "103 first": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + TWO, 200, b"hi"),
    "102, 103, 103 first": (
        b"HTTP/1.1 102 Processing\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2 + OK + TWO,
        200,
        b"hi",
    ),
    "103 with a length": (b"HTTP/1.1 103 E\r\nContent-Length: 2\r\n\r\n" + OK + TWO, 200, b"hi"),
    "an unrequested 101": (b"HTTP/1.1 101 Switching Protocols\r\n\r\nhi", 101, b""),
    "chunks": (CHUNKED + b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, b"hi"),
    "a chunk with an extension": (CHUNKED + b"2;a=b\r\nhi\r\n0\r\n\r\n", 200, b"hi"),
    "a chunk size with spaces": (CHUNKED + b"2  \r\nhi\r\n0\r\n\r\n", 200, b"hi"),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", 200, b"hi"),
    "chunks of HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, b"hi",
    ),
    "the identity coding": (OK + b"Transfer-Encoding: Identity\r\n\r\nhi", 200, b"hi"),
    "a folded field": (OK + b"X: a\r\n b\r\n" + TWO, 200, b"hi"),
    "a field of control characters": (OK + b"X: a\x01\x7f\r\n" + TWO, 200, b"hi"),
    "a field of nearly 64 KiB": (OK + b"X: " + b"y" * 60_000 + b"\r\n" + TWO, 200, b"hi"),
    "256 fields": (OK + b"X: y\r\n" * 255 + TWO, 200, b"hi"),
    "a body in a response without one": (b"HTTP/1.1 204 No Content\r\n\r\nhi", 204, b""),
    "more than the length": (OK + b"Content-Length: 1\r\n\r\nhi", 200, b"h"),
    "a response that is broken after the response": (OK + TWO + OK + b"X\r\n\r\n", 200, b"hi"),
    "a response that is broken after one in chunks": (
        CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + OK + b"Transfer-Encoding: x\r\n\r\n", 200, b"hi",
    ),
    "a length with spaces": (OK + b"Content-Length:  2 \r\n\r\nhi", 200, b"hi"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_lenient_framing_is_accepted(front_end: FrontEnd, server: LoopbackServer, name: str) -> None:
    """Every response that is valid, or has one reading, is accepted, with the same content."""
    data, status, content = READ[name]
    server.script("/", raw(data))
    response = front_end.request(front_end.client(), "GET", server.url + "/", retry_policy=None)
    assert (response.status_code, response.content) == (status, content)


BROKEN = "is not valid HTTP: "
LARGE = "is not valid HTTP: it"
CUT = "was cut short after "

REFUSED = {
    "not HTTP at all": (b"SSH-2.0-OpenSSH_9.6\r\n", BROKEN),
    "a page without a head": (b"<html>", BROKEN),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", BROKEN),
    "an odd version": (b"HTTP/1.2 200 OK\r\n" + TWO, BROKEN),
    "a name in lower case": (b"http/1.1 200 OK\r\n" + TWO, BROKEN),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n" + TWO, BROKEN),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n" + TWO, BROKEN),
    "two spaces": (b"HTTP/1.1  200 OK\r\n" + TWO, BROKEN),
    "a space before the colon": (OK + b"X : a\r\n" + TWO, BROKEN),
    "no colon": (OK + b"Xa\r\n" + TWO, BROKEN),
    "no name": (OK + b": a\r\n" + TWO, BROKEN),
    "an odd name": (OK + b"X(: a\r\n" + TWO, BROKEN),
    "a name beyond ASCII": (OK + "é: a\r\n".encode() + TWO, BROKEN),
    "NUL in a value": (OK + b"X: a\0b\r\n" + TWO, BROKEN),
    "CR in a value": (OK + b"X: a\rb\r\n" + TWO, BROKEN),
    "two lengths": (OK + b"Content-Length: 2\r\n" + TWO, BROKEN),
    "a list of lengths": (OK + b"Content-Length: 2, 2\r\n\r\nhi", BROKEN),
    "a signed length": (OK + b"Content-Length: +2\r\n\r\nhi", BROKEN),
    "a negative length": (OK + b"Content-Length: -2\r\n\r\nhi", BROKEN),
    "an empty length": (OK + b"Content-Length: \r\n\r\nhi", BROKEN),
    "an absurd length": (OK + b"Content-Length: 99999999999999999999\r\n\r\nhi", BROKEN),
    "a length and chunks": (OK + b"Transfer-Encoding: chunked\r\n" + TWO, BROKEN),
    "chunks and a length": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", BROKEN,
    ),
    "chunked is not the last coding": (OK + b"Transfer-Encoding: chunked, x\r\n\r\nhi", BROKEN),
    "a chunk size in letters": (CHUNKED + b"two\r\nhi\r\n0\r\n\r\n", BROKEN),
    "a chunk size with a prefix": (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", BROKEN),
    "a signed chunk size": (CHUNKED + b"+2\r\nhi\r\n0\r\n\r\n", BROKEN),
    "no chunk size": (CHUNKED + b"\r\nhi\r\n0\r\n\r\n", BROKEN),
    "a chunk size that ends in LF": (CHUNKED + b"2\nhi\r\n0\r\n\r\n", BROKEN),
    "a chunk that is too long": (CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n", BROKEN),
    "a trailer without a colon": (CHUNKED + b"2\r\nhi\r\n0\r\nX\r\n\r\n", BROKEN),
    "a field of more than 64 KiB": (OK + b"X: " + b"y" * 70_000 + b"\r\n" + TWO, LARGE),
    "a field without end": (OK + b"X: " + b"y" * 300_000, LARGE),
    "257 fields": (OK + b"X: y\r\n" * 256 + TWO, LARGE),
    "less than the length": (OK + b"Content-Length: 3\r\n\r\nhi", CUT),
    "none of the length": (OK + b"Content-Length: 3\r\n\r\n", CUT),
    "no last chunk": (CHUNKED + b"2\r\nhi\r\n", CUT),
    "half a chunk": (CHUNKED + b"5\r\nhi", CUT),
    "half a chunk size": (CHUNKED + b"5", CUT),
    "no end of the trailers": (CHUNKED + b"2\r\nhi\r\n0\r\n", CUT),
    "half a status line": (b"HTTP/1.1 20", CUT),
    "half a field": (OK + b"Content-Le", CUT),
    "no end of the head": (OK + b"Content-Length: 2\r\n", CUT),
    "an interim response alone": (b"HTTP/1.1 103 Early Hints\r\n\r\n", None),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_responses_are_refused(front_end: FrontEnd, server: LoopbackServer, name: str) -> None:
    """A response that breaks the rules or ends too early is a ProtocolError; both transports have the same message."""
    data, message = REFUSED[name]
    server.script("/", raw(data))
    client = front_end.client()
    caught = failing(front_end, client, "GET", server.url + "/")
    if message is None:
        assert caught.type == "ConnectionLostError"
        assert caught.message == f"the connection to {server.url}/ was lost (ConnectionResetError)"
        return
    assert (caught.type, caught.sent, caught.cause) == ("ProtocolError", "maybe_processed", "NoneType")
    assert caught.message.startswith(f"the response from {server.url}/ {message}")
    server.script("/", respond(204))
    assert front_end.request(client, "GET", server.url + "/").status_code == 204


@pytest.mark.parametrize(
    "sent",
    [b"", OK, OK + b"\r\nhalf of an endless bo", OK + b"Content-Length: 9\r\n\r\nhi", CHUNKED + b"5\r\nhi"],
    ids=["nothing", "half a head", "until close", "by length", "in chunks"],
)
def test_a_reset_is_a_lost_connection(front_end: FrontEnd, server: LoopbackServer, sent: bytes) -> None:
    """At any point of the response, also where the end of the connection would end the body."""
    server.script("/", reset(sent))
    caught = failing(front_end, front_end.client(), "GET", server.url + "/")
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectionLostError", "maybe_processed", "ConnectionResetError",
    )  # fmt: skip
    assert "(ConnectionResetError: Connection reset by peer)" in caught.message


def test_a_connection_closed_without_a_response_is_lost(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The server closes it in an orderly way before it responds."""
    server.script("/", raw(b""))
    caught = failing(front_end, front_end.client(), "POST", server.url + "/")
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectionLostError", "maybe_processed", "ConnectionResetError",
    )  # fmt: skip


def test_a_response_to_head_has_no_body(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Whatever its Content-Length; the connection is reused."""
    server.script("/", respond(200, headers={"Content-Length": "1000", "Content-Encoding": "gzip"}))
    client = front_end.client()
    for _ in range(2):
        response = front_end.request(client, "HEAD", server.url + "/")
        assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == "1000"
    assert server.connection_count == 1


def test_the_text_of_a_head_is_decoded(front_end: FrontEnd, server: LoopbackServer) -> None:
    """As UTF-8 if it is valid, else as latin-1. Repeated fields, order and case are kept."""
    server.script(
        "/",
        raw(
            b"HTTP/1.1 200 Gr\xc3\xb6\xc3\x9fe\r\nX-Utf: \xe2\x82\xac \r\nX-Latin: \xe9t\xe9\r\n"
            b"set-COOKIE: a=1\r\nX-Empty:\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
            close=False,
        ),
        raw(b"HTTP/1.1 200 Gr\xf6\xdfe\r\nContent-Length: 0\r\n\r\n"),
    )
    client = front_end.client()
    response = front_end.request(client, "GET", server.url + "/")
    assert response.reason_phrase == "Größe"
    assert response.headers.multi_items() == [
        ("X-Utf", "€"), ("X-Latin", "été"), ("set-COOKIE", "a=1"), ("set-COOKIE", "b=2"), ("X-Empty", ""),
        ("Content-Length", "0"),
    ]  # fmt: skip
    assert response.headers["Set-Cookie"] == "a=1, b=2"
    assert front_end.request(client, "GET", server.url + "/").reason_phrase == "Größe"


@pytest.mark.parametrize("is_kept", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize(
    ("head", "is_accepted"),
    [
        (b"X: y\r\n" * 9, True),
        (b"X: y\r\n" * 10, False),
        (b"Long: " + b"y" * 196 + b"\r\n", True),
        (b"Long: " + b"y" * 197 + b"\r\n", False),
    ],
    ids=["as many as allowed", "one too many", "as long as allowed", "a byte too long"],
)
def test_the_limits_of_a_head_are_configurable(
    front_end: FrontEnd, server: LoopbackServer, head: bytes, is_accepted: bool, is_kept: bool
) -> None:
    """`max_response_headers` fields of at most `max_response_header_size` bytes, on a new and on a kept connection."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 0\r\n\r\n"))
    server.script("/before", respond(204))
    client = front_end.client(
        max_response_headers=10, max_response_header_size=200, enable_retry_policy=False
    )
    if is_kept:
        front_end.request(client, "GET", server.url + "/before")
    if is_accepted:
        assert front_end.request(client, "GET", server.url + "/").status_code == 200
    else:
        with pytest.raises(ProtocolError, match=r"too large|too many"):
            front_end.request(client, "GET", server.url + "/")
