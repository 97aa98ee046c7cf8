"""Around values of headers, spaces and tabs are optional (RFC 9110, 5.6.3), and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from http_service_client import CookieJar, HttpRequest, Propagation
from http_service_client.http.bodies.ranges import (
    ContentRange,
    Refuse,
    Validators,
    judge_response,
    parse_content_range,
)
from http_service_client.http.caching.directives import parse_directives
from http_service_client.http.caching.stored import request_values, vary_names
from http_service_client.http.content_codings.decoder import content_codings
from http_service_client.http.cookies.header import cookie_names, parse_set_cookie
from http_service_client.http.fields.rate_limits import read_quotas
from http_service_client.http.fields.retry_after import asks_to_retry, parse_retry_after, requested_delay
from http_service_client.http.headers import Headers, build_headers, connection_options
from http_service_client.http.media_types import charset_of
from http_service_client.http.redirects import leads_on, next_hop
from kit.rows import each_row

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"  # 784111777 seconds after the epoch
URL = "https://api.example.com/a"


def delay(name: str, value: str) -> float | None:
    return requested_delay(Headers({name: value}), 0.0)


def delay_by_dates(sent: str) -> float | None:
    return requested_delay(Headers({"Retry-After": DATE, "Date": sent}), 784111770.0)


def jar(line: str) -> list[Any]:
    cookies = CookieJar()
    cookies.store(URL, [line], 0.0)
    return [(cookie.name, cookie.value, cookie.path) for cookie in cookies]


def destination(location: str) -> str | None:
    hop = next_hop("GET", URL, 302, location)
    return None if hop is None else hop.url


def is_followed(location: str) -> bool:
    request = HttpRequest("GET", URL)
    request.follows_redirects = True
    return leads_on(request, 302, location)


def quota(name: str, value: str) -> Any:
    """What is left by RateLimit, or by X-RateLimit with this field, and until when."""
    others = {"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "784111800", "X-RateLimit-Limit": "9"}
    headers = {name: value} if name == "RateLimit" else {**others, name: value}
    found = read_quotas(Headers(headers), 784111700.0)
    return found[0][1:] if found else None


def vary_digests(text: str) -> Any:
    return request_values(HttpRequest("GET", URL, headers={"Accept": f"a,{text},c"}), ["accept"])


def length_judgement(value: str) -> str:
    headers = Headers({"Content-Range": "bytes 5-9/10", "Content-Length": value})
    return type(judge_response(206, headers, 5, Validators())).__name__


# What reads the value, the value, what it is, and what it is with a letter at either end.
TABLE: list[tuple[Callable[[str], Any], str, Any, Any]] = [
    (lambda text: asks_to_retry(Headers({"x-should-retry": text})), "true", True, None),
    (lambda text: delay("retry-after-ms", text), "5000", 5.0, None),
    (lambda text: delay("Retry-After", text), "5", 5.0, None),
    (delay_by_dates, DATE, 0.0, 7.0),
    (lambda text: parse_retry_after(text, 784111776.0), DATE, 1.0, None),
    (lambda text: build_headers({"a": text})["a"], "b", "b", "XbX"),
    (lambda text: connection_options([f"a,{text},b"]), "Close", {"a", "close", "b"}, {"a", "xclosex", "b"}),
    (lambda text: parse_set_cookie([f"a={text}; Path=/"]), "b", {"a": "b"}, {"a": "XbX"}),
    (lambda text: parse_set_cookie([f"{text}=b"]), "a", {"a": "b"}, {"XaX": "b"}),
    (lambda text: cookie_names(f"a=1;{text}=2"), "b", ["a", "b"], ["a", "XbX"]),
    (lambda text: content_codings(f"br,{text}"), "gzip", ["br", "gzip"], []),
    (parse_content_range, "bytes 0-9/10", ContentRange(0, 9, 10), None),
    (length_judgement, "5", "Continue", "Refuse"),
    (destination, "/b", "https://api.example.com/b", "https://api.example.com/X/bX"),
    (is_followed, "", False, True),
    (lambda text: quota("X-RateLimit-Remaining", text), "7", (7, 100.0, 9), None),
    (lambda text: quota("X-RateLimit-Reset", text), "5", (7, 5.0, 9), None),
    (lambda text: quota("X-RateLimit-Limit", text), "8", (7, 100.0, 8), (7, 100.0, None)),
    (lambda text: quota("Age", text), "0", (7, 100.0, 9), None),
    (lambda text: quota("Date", text), DATE, (7, 23.0, 9), (7, 100.0, 9)),
    (lambda text: quota("RateLimit", text), "limit=9, remaining=7, reset=3", (7, 3.0, 9), None),
    (lambda text: vary_names(Headers({"Vary": f"a,{text},c"})), "B", ["a", "b", "c"], ["a", "c", "xbx"]),
    (lambda text: Propagation().inbound({"x-request-attempt": text}.get).attempt, "5", 5, 1),
    (vary_digests, "b", vary_digests("b"), vary_digests("XbX")),
    (lambda text: parse_directives([f"a,{text}"]), "b=5", {"a": None, "b": "5"}, {"a": None, "xb": "5X"}),
    (lambda text: jar(f"a={text}"), "b", [("a", "b", "/")], [("a", "XbX", "/")]),
    (lambda text: jar(f"{text}=b"), "a", [("a", "b", "/")], [("XaX", "b", "/")]),
    (lambda text: jar(f"a=b; path={text}"), "/c", [("a", "b", "/c")], [("a", "b", "/")]),
    (lambda text: jar(f"a=b;{text}=/c"), "path", [("a", "b", "/c")], [("a", "b", "/")]),
]


@each_row(("read", "value", "meaning", "other"), TABLE)
def test_only_spaces_and_tabs_are_optional(
    read: Callable[[str], Any], value: str, meaning: Any, other: Any
) -> None:
    """A letter at the edge belongs to the value."""
    for around in ("", " ", "\t", " \t "):
        assert read(f"{around}{value}{around}") == meaning
    assert read(f"X{value}X") == other


def test_a_charset_may_be_quoted_by_either_mark() -> None:
    """As some servers write it; a letter at the edge belongs to its name."""
    for name in ("utf-8", '"utf-8"', "'utf-8'"):
        assert charset_of(f"text/plain; charset={name}") == "utf-8-sig"
    assert charset_of("text/plain; charset=Xutf-8") is None


def test_a_length_that_differs_refuses_a_part() -> None:
    """The sum of the bytes of its range."""
    headers = Headers({"Content-Range": "bytes 5-9/10", "Content-Length": "6"})
    judgement = judge_response(206, headers, 5, Validators())
    assert isinstance(judgement, Refuse)
    assert judgement.reason == "the response's Content-Length does not match its Content-Range (5 bytes)"
