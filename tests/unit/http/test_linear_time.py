"""What a peer sends is read in linear time: twice the input takes twice the time, and not four times.

Each row is an input that is hard for its parser: it can be begun in many places, or its end is missing. It is read at
one size and at four times that size. In linear time that takes 4 times as long, in quadratic time 16 times; the bound
is between them, and the best of several runs counts, since a machine may be busy.
"""

from __future__ import annotations

import gzip
import math
import time
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.errors import HttpClientError
from http_service_client.http.auth.challenges import parse_challenges
from http_service_client.http.bodies.event_stream import EventStreamDecoder
from http_service_client.http.bodies.lines import LineDecoder
from http_service_client.http.bodies.ranges import parse_content_range
from http_service_client.http.caching.directives import parse_directives
from http_service_client.http.content_codings.decoder import Decoder
from http_service_client.http.cookies.dates import parse_cookie_date
from http_service_client.http.cookies.header import parse_set_cookie
from http_service_client.http.cookies.jar import CookieJar
from http_service_client.http.fields.dates import parse_http_date
from http_service_client.http.fields.links import parse_links
from http_service_client.http.fields.retry_after import parse_retry_after
from http_service_client.http.headers import Headers
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.fast_path import read_fast_head
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.media_types import charset_of, parse_content_type
from http_service_client.http.messages import HttpResponse
from http_service_client.http.path_templates import is_of_template
from http_service_client.http.problems import Problem
from http_service_client.http.redirects import next_hop
from http_service_client.http.secret_names import SecretNames
from http_service_client.http.urls import redact_url

LIMITS = ParserSettings(fields=10**9, size=10**9)
PIECE = 1024


def in_pieces(decoder: Any, text: str) -> None:
    data = text.encode()
    for start in range(0, len(data), PIECE):
        decoder.feed(data[start : start + PIECE])
    decoder.finish()


def read_response(text: str) -> None:
    """In pieces of a kilobyte, after which the connection ends."""
    data = text.encode("latin-1")
    parser = ResponseParser(LIMITS)
    for start in range(0, len(data) + PIECE, PIECE):
        parser.feed(data[start : start + PIECE])
        if parser.read_head() is not None:
            while parser.read_body():
                pass


def response(name: str) -> Callable[[str], HttpResponse]:
    return lambda value: HttpResponse(404, headers=[(name, value)], url="http://h/a")


def raising(read: Callable[[str], object]) -> Callable[[str], None]:
    def reading(text: str) -> None:
        try:
            read(text)
        except (HttpClientError, NotHttpError, ValueError):
            pass

    return reading


OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = f"{OK}Transfer-Encoding: chunked\r\n\r\n"
JSON = '{"title": "%s", "detail": "%s"}'

# What reads it, its beginning, the part that is repeated, its end, and how many characters take some milliseconds.
ROWS: dict[str, tuple[Callable[[str], object], str, str, str, int]] = {
    "Link: targets that do not end": (parse_links, "", "<a", "", 60_000),
    "Link: empty parameters": (parse_links, "<a>", " ;;;;", "", 20_000),
    "Link: quotes that do not end": (parse_links, "<a>", ';a="\\', "", 40_000),
    "Link: spaces before no parameter": (parse_links, "<a>", ";" + " " * 99, "", 200_000),
    "Link: many": (lambda value: response("Link")(value).links, "", "<b>;rel=c, ", "", 4000),
    "WWW-Authenticate: schemes": (lambda value: parse_challenges([value]), "", "a,", "", 20_000),
    "WWW-Authenticate: parameters": (lambda value: parse_challenges([value]), "a ", "a=b,", "", 20_000),
    "WWW-Authenticate: quotes that do not end": (lambda value: parse_challenges([value]), "a ", ',a="\\', "", 20_000),
    "WWW-Authenticate: escapes": (lambda value: parse_challenges([value]), 'a b="', '\\"', "", 40_000),
    "WWW-Authenticate: spaces": (lambda value: parse_challenges([value]), "a ,a = ", " \t", "@", 400_000),
    "WWW-Authenticate: a token68 without end": (lambda value: parse_challenges([value]), "a ", "b=", "@", 100_000),
    "WWW-Authenticate: equals signs": (lambda value: parse_challenges([value]), "a b", "=", "@", 200_000),
    "Content-Type: quotes that do not end": (parse_content_type, "a/b", ';a="', "", 40_000),
    "Content-Type: escapes in quotes": (parse_content_type, 'a/b;a="', '\\"', "", 20_000),
    "Content-Type: spaces": (parse_content_type, "a/b", "; \t a", "", 40_000),
    "Content-Type: a long charset": (charset_of, "a/b;charset=", "utf-8", "", 400_000),
    "Cache-Control: quotes without an end": (lambda line: parse_directives([line]), "", 'a="b\\",', "", 20_000),
    "Cache-Control: directives": (lambda line: parse_directives([line]), "", "max-age=1,", "", 20_000),
    "Cache-Control: a number of many digits": (lambda line: parse_directives([line] * 2), "max-age=", "9", "", 40_000),
    "Set-Cookie: a Max-Age of zeros": (lambda line: parse_set_cookie([line]), "a=b;max-age=", "0", "x", 100_000),
    "Set-Cookie: Max-Age again and again": (lambda line: parse_set_cookie([line]), "a=b", ";max-age=0 ", "", 100_000),
    "Set-Cookie: a date of many parts": (parse_cookie_date, "", "1:2:3 4 ", "", 40_000),
    "Set-Cookie: attributes": (lambda line: CookieJar().store("http://a.test/", [line], 0.0), "a=b", "; a=", "", 20_000),
    "Set-Cookie: a domain of many labels": (
        lambda line: CookieJar().store("http://a.test/", [line], 0.0), "a=b; Domain=", "a.", "test", 400_000,
    ),
    "Location: dots": (raising(lambda value: next_hop("GET", "http://h/", 302, value)), "", "/..", "", 40_000),
    "Location: escapes": (raising(lambda value: next_hop("GET", "http://h/", 302, value)), "/", "%", "", 20_000),
    "Location: a long host": (raising(lambda value: next_hop("GET", "http://h/", 302, value)), "//", "é", "", 200_000),
    "Location: user information": (raising(lambda value: next_hop("GET", "http://h/", 302, value)), "//", "a@", "", 200_000),
    "a URL of a template": (lambda url: is_of_template(url, "/{a}-{b}-{c}-{d}.json"), "http://h/", "-", "", 40_000),
    "URL: a query": (redact_url, "http://h/?", "a=%61&", "", 20_000),
    "a repr: Link": (lambda text: repr(Headers({"Link": text})), "", "<//a@?b=c&", "", 10_000),
    "a repr: Location": (lambda text: repr(Headers({"Location": text})), "http://", "a@:/", "", 400_000),
    "a repr: a name": (lambda text: text in SecretNames(("x-*-a*-b",)), "x-", "-a", "", 20_000),
    "Retry-After: digits": (lambda value: parse_retry_after(value, 0.0), "", "9", "", 200_000),
    "Retry-After: no date": (lambda value: parse_http_date(value, 0.0), "S", "a", ", 06 Nov", 400_000),
    "Content-Range: digits": (raising(parse_content_range), "bytes 0-", "9", "", 200_000),
    "a reason phrase": (lambda text: HttpResponse(200, reason_phrase=text), "", "\x1b\u2028 ", "", 1_000_000),
    "a problem as text": (lambda text: str(Problem(title=text, detail=text)), "", "a-", "", 1_000_000),
    "lines: one without end": (lambda text: in_pieces(LineDecoder(None, None), text), "", "a\u2028", "", 200_000),
    "lines: empty ones": (lambda text: in_pieces(LineDecoder(None, None), text), "", "\r\n\n", "", 60_000),
    "lines: UTF-7": (lambda text: in_pieces(LineDecoder("utf-7", None), text), "+", "AGEA", "", 400_000),
    "lines: ISO 2022": (lambda text: in_pieces(LineDecoder("iso-2022-kr", None), text), "", "\x1b", "", 40_000),
    "events: data": (lambda text: in_pieces(EventStreamDecoder(None), text), "", "data\n", "\n", 20_000),
    "events: one that does not end": (lambda text: in_pieces(EventStreamDecoder(None), text), "data:", "a", "", 400_000),
    "a head: folded values": (raising(read_response), f"{OK}A: b\r\n", " c\r\n", "\r\n", 20_000),
    "a head: a line without end": (raising(read_response), f"{OK}A: ", "\t ", "", 100_000),
    "a head: many fields": (raising(read_response), OK, "A: b\r\n", "\r\n", 20_000),
    "a head: interim ones": (raising(read_response), "", "HTTP/1.1 103 A\r\n\r\n", TWO := f"{OK}Content-Length: 0\r\n\r\n", 40_000),
    "a head on the fast path": (lambda text: read_fast_head(text.encode(), LIMITS), OK[:-2], "\r\nA: b", "\r\n\r", 100_000),
    "chunks of one byte": (raising(read_response), CHUNKED, "1\r\na\r\n", "0\r\n\r\n", 10_000),
    "a chunk's size without end": (raising(read_response), CHUNKED, "0", "", 20_000),
    "a chunk's extensions": (raising(read_response), f"{CHUNKED}0", ';a="\\', "\r\n\r\n", 20_000),
    "trailers": (raising(read_response), f"{CHUNKED}0\r\n", "A: b\r\n", "\r\n", 20_000),
}  # fmt: skip


def seconds(run: Callable[[], object]) -> float:
    """Of this thread's own work."""
    started = time.thread_time()
    run()
    return time.thread_time() - started


def check(read: Callable[[int], object], size: int) -> None:
    """Four times the input takes less than ten times as long, the best of several runs of each."""
    once = four_times = math.inf
    for run in range(20):
        once = min(once, seconds(lambda: read(size)))
        four_times = min(four_times, seconds(lambda: read(4 * size)))
        if run >= 1 and four_times < 10 * once + 0.002:  # a clock of low resolution
            return
    pytest.fail(f"{size} took {once:.4f} s, {4 * size} took {four_times:.4f} s")


@pytest.mark.parametrize("name", ROWS)
def test_a_peer_s_text_is_read_in_linear_time(name: str) -> None:
    """However hard it is."""
    read, start, unit, end, size = ROWS[name]
    texts = {each: start + unit * (each // len(unit)) + end for each in (size, 4 * size)}
    check(lambda each: read(texts[each]), size)


@pytest.mark.parametrize("unit", [gzip.compress(b"", mtime=0), gzip.compress(b"a", mtime=0), b"\0"])
def test_a_coded_body_is_decoded_in_linear_time(unit: bytes) -> None:
    """However many members it has, or bytes of padding."""
    member = gzip.compress(b"a", mtime=0)
    check(lambda size: Decoder("gzip", None).feed(member + unit * (size // len(unit))), 100_000)
