"""The cases of the public cache test suite (https://cache-tests.fyi) that apply to the cache of a client.

`table_cache_suite` has those of two GETs; the others are here. Left out, and why:

- `cdn-cache-control` and `interim`: of caches in front of a server.
- `conditional-*` with a condition of the caller's own, and the reuse of a range: such requests pass by. The suite calls
  it optimal to answer them, and no requirement.
- `method-POST`: the response to a POST is not stored.
- `stale-warning-*`: RFC 9111 has no Warning any more.
- `head-*`: a response to HEAD ends the stored one if they differ; it does not bring it up to date.
- `invalidate-*-failed`: a request that failed by 5xx may have been processed, so what is stored is forgotten.
- `other-age-delay`: a response that was not stored has the Age that it came with.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import Any

import pytest

from http_service_client import Headers, HttpRequest, HttpResponse
from kit.caches import URL, Cached
from kit.front_ends import FrontEnd
from kit.rows import each_row

from .table_cache_suite import ASKED, HIT, SENT, TABLE, Row

ROWS = [pytest.param(row, id=row.id) for rows in TABLE.values() for row in rows]
SUITE: dict[str, Any] = {"heuristic": 0.1}


def fields(text: str, now: float) -> list[tuple[str, str]]:
    """The fields in the notation of the table. A signed number is a date, in seconds from now."""
    pairs = []
    for field in filter(None, text.split(" | ")):
        name, _, value = field.partition(": ")
        is_date = name in ("Date", "Expires", "Last-Modified") and re.fullmatch(r"[+-]\d+", value)
        pairs.append((name, formatdate(now + int(value), usegmt=True) if is_date else value))
    return pairs


def response(text: str, now: float, status: int = 200, content: bytes = b"x") -> HttpResponse:
    """A response in the notation of the table."""
    if text[:3].isdigit():
        status, text = int(text[:3]), text[6:]
    return HttpResponse(status, headers=Headers(fields(text, now)), content=b"" if status == 204 else content)


def served(front_end: FrontEnd, *texts: str, **settings: Any) -> Cached:
    """A client of a service that sends these responses, and confirms what it is asked about."""
    left = list(texts)

    def respond(request: HttpRequest) -> HttpResponse:
        text = left.pop(0) if len(left) > 1 else left[0]
        if "If-None-Match" in request.headers or "If-Modified-Since" in request.headers:
            return response(text, cached.clock.wall(), 304, b"")
        return response(text, cached.clock.wall())

    cached = Cached(front_end, respond, settings=SUITE | settings, enable_circuit_breaker=False)
    cached.clock.advance(1_000.0)
    cached.clock.set_wall(1_785_000_000.0)
    return cached


@each_row("row", ROWS)
def test_the_suite(front_end: FrontEnd, row: Row) -> None:
    """The second GET is answered as the case wants."""
    cached = served(front_end, row.first, shared=row.is_shared)
    asks = [fields(text, cached.clock.wall()) for text in row.asks]
    cached.get(headers=asks[0], allow_redirects=False)
    cached.clock.advance(3.0)
    second = cached.get(headers=asks[1], allow_redirects=False)
    if cached.sends == 1:
        found = HIT
    else:
        sent = cached.transport.sent[1].request.headers
        found = ASKED if {"If-None-Match", "If-Modified-Since"} & set(sent) else SENT
    if row.expected is SENT:
        assert found != HIT
    else:
        assert found == row.expected
    assert second.from_cache is (found != SENT)


def test_each_case_is_there_once() -> None:
    """No id stands in the table twice."""
    ids = [row.id for rows in TABLE.values() for row in rows]
    assert len(ids) == len(set(ids)) == 179


STATUSES = [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]


@each_row("status", STATUSES)
def test_status_fresh(front_end: FrontEnd, status: int) -> None:
    """`status-*-fresh`: any final status is stored that says for how long."""
    cached = served(front_end, f"{status} | Cache-Control: max-age=100000 | Date: +0")
    for _ in range(2):
        assert cached.get(allow_redirects=False).status_code == status
    assert cached.sends == 1


@each_row("status", STATUSES)
def test_status_stale(front_end: FrontEnd, status: int) -> None:
    """`status-*-stale`: none is used when it has expired."""
    cached = served(front_end, f"{status} | Expires: -5000 | Last-Modified: -100000 | Date: +0")
    for _ in range(2):
        cached.get(allow_redirects=False)
    assert cached.sends == 2


@pytest.mark.parametrize(("status", "sends"), [(599, 2), (200, 1)])
def test_must_understand(front_end: FrontEnd, status: int, sends: int) -> None:
    """`status-*-must-understand`: it is stored if the status is known, no-store or not (RFC 9111, 5.2.2.3)."""
    cached = served(front_end, f"{status} | Cache-Control: max-age=3600, no-store, must-understand")
    cached.get()
    cached.get()
    assert cached.sends == sends


KEPT = [
    *("Test-Header", "X-Test-Header", "Content-Foo", "X-Content-Foo", "Content-Encoding", "Content-Location"),
    *("Content-MD5", "Content-Security-Policy", "Content-Type", "Clear-Site-Data", "ETag", "Expires"),
    *("Public-Key-Pins", "Set-Cookie2", "X-Frame-Options", "X-XSS-Protection"),
]
DROPPED = [
    *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization"),
    *("Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"),
]


@each_row("name", [*KEPT, *DROPPED])
def test_headers_that_are_stored(front_end: FrontEnd, name: str) -> None:
    """`headers-store-*`: all but those of the connection (RFC 9111, 3.1).

    `headers-store-Set-Cookie` differs: a cookie is for the one who received it.
    """
    cached = served(front_end, f"Date: +0 | {name}: value | Cache-Control: max-age=3600")
    cached.get()
    stored = cached.get()
    assert stored.from_cache
    assert stored.headers.get(name) == ("value" if name in KEPT else None)


def test_headers_of_the_connection_by_name(front_end: FrontEnd) -> None:
    """`headers-omit-headers-listed-in-Connection`."""
    cached = served(front_end, "Cache-Control: max-age=9 | Connection: a, b | a: 1 | b: 2 | c: 3")
    cached.get()
    stored = cached.get().headers
    assert [stored.get(name) for name in "abc"] == [None, None, "3"]


RENEWED = [
    *("Test-Header", "X-Test-Header", "Content-Foo", "X-Content-Foo", "Content-Location", "Content-MD5"),
    *("Content-Security-Policy", "Content-Type", "Clear-Site-Data", "Expires", "Public-Key-Pins"),
    *("Set-Cookie2", "X-Frame-Options", "X-XSS-Protection"),
]


@each_row("name", [*RENEWED, "Content-Length", "Content-Encoding", "Content-Range"])
def test_headers_of_a_304(front_end: FrontEnd, name: str) -> None:
    """`304-etag-update-response-*`: they replace the stored ones (RFC 9111, 3.2).

    Those that describe the content stay, since it was decoded when it came; the suite asks for it for Content-Length only.
    """
    head = 'Date: +0 | Cache-Control: max-age=2 | ETag: "1"'
    cached = served(front_end, f"{head} | {name}: 36", f"{head} | {name}: 10")
    cached.get()
    cached.clock.advance(3.0)
    expected = "10" if name in RENEWED else "36"
    assert [cached.get().headers[name] for _ in range(2)] == [expected] * 2
    assert cached.sends == 2


def test_a_304_without_a_header_leaves_the_stored_one(front_end: FrontEnd) -> None:
    """`304-lm-use-stored-Test-Header`."""
    head = "Cache-Control: max-age=2 | Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT | Date: +0"
    cached = served(front_end, f"{head} | Test-Header: a", head)
    cached.get()
    cached.clock.advance(3.0)
    assert cached.get().headers["Test-Header"] == "a"


@pytest.mark.parametrize("directives", ["no-store", "no-store, max-age=0"])
def test_no_store_leaves_an_older_response(front_end: FrontEnd, directives: str) -> None:
    """`cc-resp-no-store-old-*`: a fresh one is still used."""
    cached = served(front_end, "Cache-Control: max-age=9999 | A: 1", f"Cache-Control: {directives} | A: 2")
    for _ in range(3):
        assert cached.get().headers["A"] == "1"


def test_must_revalidate(front_end: FrontEnd) -> None:
    """`cc-resp-must-revalidate-stale`: it is used while it is fresh, and confirmed after that."""
    cached = served(front_end, 'Cache-Control: max-age=2, must-revalidate | ETag: "a"')
    cached.get()
    assert cached.get().attempts == 0
    cached.clock.advance(3.0)
    assert cached.get(headers={"Cache-Control": "max-stale=100"}).attempts == 1


def test_vary_keeps_several(front_end: FrontEnd) -> None:
    """`vary-invalidate`: another variant does not end the first one."""
    cached = served(front_end, "Cache-Control: max-age=5000 | Vary: Foo")
    hits = [cached.get(headers={"Foo": value}).from_cache for value in "121"]
    assert hits == [False, False, True]


@pytest.mark.parametrize("query", [("a", "b"), ("a", "a")])
def test_the_query_is_part_of_the_url(front_end: FrontEnd, query: tuple[str, str]) -> None:
    """`query-args-*`."""
    cached = served(front_end, "Cache-Control: max-age=100000")
    for value in query:
        cached.get(f"{URL}?test={value}")
    assert cached.sends == len(set(query))


@each_row("method", ["POST", "PUT", "DELETE", "M-SEARCH"])
@each_row("name", ["", "Location", "Content-Location"])
def test_invalidation(front_end: FrontEnd, method: str, name: str) -> None:
    """`invalidate-*`: of the URL itself, and of those that the response names (RFC 9111, 4.4)."""
    target = f"{URL}/target"
    fresh = "Cache-Control: max-age=100000"
    cached = served(front_end, fresh, f"{name}: target" if name else "", fresh)
    cached.get(target)
    cached.request(method, f"{URL}/x" if name else target, data=b"abc")
    assert not cached.get(target).from_cache


@each_row(
    ("directives", "is_shared"),
    [("must-revalidate", False), ("no-cache", False), ("proxy-revalidate", True), ("s-maxage=2", True)],
)
def test_stale_close(front_end: FrontEnd, directives: str, is_shared: bool) -> None:
    """`stale-close-*`: these forbid to use a stale response when the server closes the connection."""
    first = response(f"Cache-Control: max-age=2, {directives}", 0.0)
    cached = Cached(
        front_end, first, HttpResponse(503), settings={"stale_if_error": 999, "shared": is_shared}
    )
    cached.get()
    cached.clock.advance(3.0)
    assert cached.get().status_code == 503


@pytest.mark.parametrize("outcome", [HttpResponse(503), ConnectionResetError()])
def test_stale_if_error(front_end: FrontEnd, outcome: Any) -> None:
    """`stale-sie-*`: the directive allows it (RFC 5861, 4)."""
    first = response("Cache-Control: max-age=2, stale-if-error=60", 0.0)
    cached = Cached(front_end, first, outcome)
    cached.get()
    cached.clock.advance(3.0)
    assert (cached.get().status_code, cached.sends) == (200, 2)


def test_age(front_end: FrontEnd) -> None:
    """`other-age-update-*`, `other-date-update`: a stored response has its age now, and the date that it came with."""
    cached = served(front_end, "Cache-Control: max-age=100000 | Date: +0 | Age: 30")
    first = cached.get()
    cached.clock.advance(3.0)
    stored = cached.get()
    assert stored.headers["Age"] == "33"
    assert stored.headers["Date"] == first.headers["Date"]
