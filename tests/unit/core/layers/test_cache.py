"""A cache answers for the service while it may, and never longer."""

from __future__ import annotations

from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest

from http_service_client import Cache, ConnectionLostError, HttpRequest, HttpResponse, InvalidRequestError
from http_service_client.events import CacheResult, CacheUsed
from http_service_client.testing import VirtualClock
from kit.caches import URL, Cached, cached_for, used
from kit.front_ends import FrontEnd
from kit.interceptors import on_request
from kit.rows import each_row


def test_a_fresh_response_is_used_without_an_exchange(front_end: FrontEnd) -> None:
    """The second call makes no attempt, and its response says where it comes from and how old it is."""
    cached = Cached(front_end, cached_for(60, "first"), cached_for(60, "second"))
    first = cached.get()
    cached.clock.advance(20.0)
    second = cached.get()
    assert (first.text, second.text, cached.sends) == ("first", "first", 1)
    assert (first.from_cache, second.from_cache) == (False, True)
    assert (first.attempts, second.attempts, second.headers["Age"], second.url) == (1, 0, "20", URL)
    assert used(second)[3:6] == (CacheResult.HIT, 20.0, 40.0)
    assert used(second).cache_status == "http-service-client; hit; ttl=40"
    assert (used(first).reason, used(first).cache_status) == ("", "http-service-client; fwd=miss; stored")


def test_a_stale_response_is_fetched_again(front_end: FrontEnd) -> None:
    """Without a validator there is nothing to ask the service."""
    cached = Cached(front_end, cached_for(60, "first"), cached_for(60, "second"))
    cached.get()
    cached.clock.advance(60.0)
    response = cached.get()
    assert (response.text, response.from_cache, cached.sends) == ("second", False, 2)
    assert "If-None-Match" not in cached.transport.requests[1].headers


def test_a_stale_response_is_revalidated(front_end: FrontEnd) -> None:
    """The service confirms it by 304; then it is fresh again, with the headers of the 304."""
    confirmation = HttpResponse(304, headers={"Cache-Control": "max-age=90", "X-Seen": "2"})
    cached = Cached(front_end, cached_for(60, "body", ETag='"v1"'), confirmation)
    cached.get()
    cached.clock.advance(100.0)
    confirmed, again = cached.get(), cached.get()
    assert cached.transport.requests[1].headers["If-None-Match"] == '"v1"'
    assert (confirmed.status_code, confirmed.text, confirmed.headers["X-Seen"]) == (200, "body", "2")
    assert (confirmed.from_cache, confirmed.attempts) == (True, 1)
    assert used(confirmed).result is CacheResult.REVALIDATED
    assert (again.text, again.headers["Age"], cached.sends) == ("body", "0", 2)


def test_a_confirmation_without_a_date_is_of_now(front_end: FrontEnd) -> None:
    """A server without a clock sends none (RFC 9110, 6.6.1): the Date of the stored response would make it old at once."""
    clock = VirtualClock()
    date = formatdate(clock.wall(), usegmt=True)
    confirmation = HttpResponse(304, headers={"Cache-Control": "max-age=60"})
    cached = Cached(front_end, cached_for(60, "body", ETag='"v1"', Date=date), confirmation, clock=clock)
    cached.get()
    cached.clock.advance(100.0)
    confirmed, again = cached.get(), cached.get()
    assert (confirmed.from_cache, confirmed.attempts, again.attempts) == (True, 1, 0)


def test_a_304_to_a_request_without_a_condition_is_not_believed(front_end: FrontEnd) -> None:
    """The stored response has no validator, so the 304 is not about it."""
    cached = Cached(front_end, cached_for(1, "old"), HttpResponse(304))
    cached.get()
    cached.clock.advance(10.0)
    response = cached.get()
    assert (response.status_code, response.from_cache) == (304, False)


def test_a_304_about_another_response_ends_the_stored_one(front_end: FrontEnd) -> None:
    """Also if the request without the condition brings none in its place."""
    about = HttpResponse(304, headers={"ETag": '"v2"'})
    cached = Cached(front_end, cached_for(1, "old", ETag='"v1"'), about, HttpResponse(503))
    cached.get()
    cached.clock.advance(10.0)
    for _ in range(2):
        assert cached.get().status_code == 503
    assert [sent.headers.get("If-None-Match") for sent in cached.transport.requests] == [
        None,
        '"v1"',
        None,
        None,
    ]


def test_a_304_about_another_response_is_not_believed(front_end: FrontEnd) -> None:
    """The stored response is dropped, and the request is sent without its condition."""
    cached = Cached(
        front_end,
        cached_for(1, "old", ETag='"v1"'),
        HttpResponse(304, headers={"ETag": '"v2"'}),
        cached_for(60, "new", ETag='"v2"'),
    )
    cached.get()
    cached.clock.advance(10.0)
    assert cached.get().text == "new"
    assert "If-None-Match" not in cached.transport.requests[2].headers


@pytest.mark.parametrize("by", ["an interceptor", "the target of a redirect"])
def test_only_the_service_confirms_a_response(front_end: FrontEnd, by: str) -> None:
    """A 304 of an interceptor, or about another URL, says nothing about the stored response."""

    def respond(request: HttpRequest) -> HttpResponse:
        if request.url != URL:
            return HttpResponse(304)
        if by != "an interceptor" and "If-None-Match" in request.headers:
            return HttpResponse(307, headers={"Location": "/elsewhere"})
        return cached_for(1, str(len(cached.transport.sent)), ETag='"1"')

    def confirm(request: HttpRequest, _: object) -> HttpRequest | HttpResponse:
        return HttpResponse(304) if "If-None-Match" in request.headers else request

    interceptors = [on_request(confirm)] if by == "an interceptor" else []
    cached = Cached(front_end, respond, request_interceptors=interceptors)
    first = cached.get().text
    cached.clock.advance(10.0)
    response = cached.get()
    assert (response.from_cache, response.text != first) == (False, True)


def test_no_cache_in_a_response_means_revalidate(front_end: FrontEnd) -> None:
    """It is stored, and never used without asking."""
    stored = HttpResponse(200, content="x", headers={"Cache-Control": "no-cache", "ETag": '"1"'})
    cached = Cached(front_end, stored, HttpResponse(304))
    assert [cached.get().text for _ in range(3)] == ["x"] * 3
    assert cached.sends == 3


@each_row(
    ("directives", "sends"),
    [
        ({"Cache-Control": "no-store"}, 2),
        ({"Cache-Control": "no-cache"}, 2),
        ({"Cache-Control": "max-age=10"}, 2),
        ({"Cache-Control": "min-fresh=50"}, 2),
        ({"Cache-Control": "max-age=30"}, 1),
        ({"Cache-Control": "min-fresh=30"}, 1),
    ],
)
def test_a_request_may_want_more(front_end: FrontEnd, directives: dict[str, str], sends: int) -> None:
    """Its Cache-Control says what it does not accept; the stored response is 20 s old and fresh for another 40."""
    cached = Cached(front_end, cached_for(60))
    cached.get()
    cached.clock.advance(20.0)
    cached.get(headers=directives)
    assert cached.sends == sends


def test_a_request_may_accept_less(front_end: FrontEnd) -> None:
    """max-stale: a response that has been stale for a shorter time will do."""
    cached = Cached(front_end, cached_for(60))
    cached.get()
    cached.clock.advance(90.0)
    response = cached.get(headers={"Cache-Control": "max-stale=40"})
    assert (response.from_cache, used(response).result, cached.sends) == (True, CacheResult.STALE, 1)
    cached.get(headers={"Cache-Control": "max-stale=20"})
    assert cached.sends == 2


@pytest.mark.parametrize(("age", "result"), [(59.5, CacheResult.HIT), (60.0, CacheResult.STALE)])
def test_a_response_is_stale_when_nothing_is_left_of_its_time(
    front_end: FrontEnd, age: float, result: CacheResult
) -> None:
    """A request that accepts it is told so."""
    cached = Cached(front_end, cached_for(60))
    cached.get()
    cached.clock.advance(age)
    response = cached.get(headers={"Cache-Control": "max-stale"})
    assert (response.from_cache, used(response).result) == (True, result)


def test_only_if_cached_sends_nothing(front_end: FrontEnd) -> None:
    """The response is 504 when there is nothing to use (RFC 9111, 5.2.1.7)."""
    cached = Cached(front_end, cached_for(60, "x"))
    asked = {"headers": {"Cache-Control": "only-if-cached"}}
    response = cached.get(**asked)
    assert (response.status_code, response.reason_phrase, cached.sends) == (504, "Gateway Timeout", 0)
    assert (used(response).result, used(response).reason) == (CacheResult.MISS, "only-if-cached")
    cached.get()
    assert (cached.get(**asked).text, cached.sends) == ("x", 1)


def test_a_head_request_is_answered_by_a_stored_get(front_end: FrontEnd) -> None:
    """With its headers and without its body."""
    cached = Cached(front_end, cached_for(60, "body", ETag='"1"'))
    cached.get()
    response = cached.request("HEAD")
    assert (response.content, response.headers["ETag"], cached.sends) == (b"", '"1"', 1)
    assert (used(response).result, used(response).reason) == (CacheResult.HIT, "")


@each_row(
    "outcome",
    [
        HttpResponse(404, headers={"ETag": '"2"'}),
        ConnectionResetError(),
        HttpResponse(200, headers={"ETag": '"1"'}),
        HttpResponse(200),
    ],
    ids=["an error page", "no response", "the same tag", "no tag"],
)
def test_a_head_request_that_shows_no_change_ends_nothing(front_end: FrontEnd, outcome: Any) -> None:
    """The stored response stays, and is used."""
    cached = Cached(front_end, cached_for(60, "body", ETag='"1"'), outcome)
    cached.get()
    with suppress(ConnectionLostError):
        cached.request("HEAD", headers={"Cache-Control": "no-cache"})
    assert (cached.get().text, cached.sends) == ("body", 2)


@each_row(("status", "stays"), [(500, True), (503, True), (200, False), (404, False)])
def test_only_a_conclusive_response_ends_the_stored_one(
    front_end: FrontEnd, status: int, stays: bool
) -> None:
    """An error page of a service that is down says nothing about the resource."""
    other = HttpResponse(status, headers={"Cache-Control": "no-store"})
    cached = Cached(front_end, cached_for(1, "old", ETag='"1"'), other)
    for _ in range(3):
        cached.get()
        cached.clock.advance(10.0)
    assert ("If-None-Match" in cached.transport.requests[2].headers) is stays


def test_a_revalidation_that_fails_is_the_failure_of_the_call(front_end: FrontEnd) -> None:
    """Where a stale response may not stand in for it."""
    cached = Cached(front_end, cached_for(1, "old", ETag='"1"'), ConnectionResetError())
    cached.get()
    cached.clock.advance(10.0)
    with pytest.raises(ConnectionLostError) as raised:
        cached.get()
    (missed,) = [event for event in raised.value.timeline if isinstance(event, CacheUsed)]
    assert (missed.result, missed.reason) == (CacheResult.MISS, "ConnectionLostError")


@each_row(
    ("name", "stored", "now"),
    [
        ("ETag", '"1"', '"2"'),
        ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"),
        ("Content-Length", "0", "7"),
    ],
)
def test_a_head_response_that_differs_ends_the_stored_one(
    front_end: FrontEnd, name: str, stored: str, now: str
) -> None:
    """It shows that the resource has changed (RFC 9111, 4.3.5)."""
    tag = {} if name == "ETag" else {"ETag": '"same"'}
    cached = Cached(front_end, cached_for(60, **tag, **{name: stored}), cached_for(60, **tag, **{name: now}))
    cached.get()
    cached.clock.advance(100.0)
    response = cached.request("HEAD")
    assert used(response)[3:9] == (CacheResult.MISS, 100.0, None, "HEAD", False, False)
    cached.get()
    assert "If-None-Match" not in cached.transport.requests[2].headers


def test_a_head_request_without_a_stored_response_is_sent(front_end: FrontEnd) -> None:
    """It ends nothing, and its response is not stored: it has no body."""
    cached = Cached(front_end, cached_for(60, ETag='"1"'))
    assert [cached.request("HEAD").from_cache for _ in range(2)] == [False, False]
    assert [sent.request.method for sent in cached.transport.sent] == ["HEAD", "HEAD"]


@each_row(
    "headers",
    [
        {"Range": "bytes=0-1"},
        {"If-None-Match": '"mine"'},
        {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"If-Match": '"mine"'},
        {"If-Unmodified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"If-Range": '"mine"'},
    ],
)
def test_ranges_and_conditions_of_the_caller_pass_by(front_end: FrontEnd, headers: dict[str, str]) -> None:
    """They are sent as they are, and the response is the service's own."""
    cached = Cached(front_end, cached_for(60), HttpResponse(206), cached_for(60))
    cached.get()
    assert cached.get(headers=headers).status_code == 206
    assert cached.transport.requests[1].headers[next(iter(headers))] == next(iter(headers.values()))
    assert cached.get().from_cache


def test_a_get_with_a_body_passes_by(front_end: FrontEnd) -> None:
    """Its response depends on the body, which no key of the cache knows."""
    cached = Cached(front_end, cached_for(60, "plain"), cached_for(60, "of the body"))
    cached.get()
    assert cached.get(data=b"query").text == "of the body"
    assert cached.get().text == "plain"


def test_a_partial_response_is_not_stored(front_end: FrontEnd) -> None:
    """206 is no response to a request for the whole."""
    partial = HttpResponse(206, headers={"Cache-Control": "max-age=60", "ETag": '"1"'})
    cached = Cached(front_end, partial)
    cached.get()
    cached.get()
    assert cached.sends == 2


def test_streams_and_downloads_pass_by(front_end: FrontEnd, tmp_path: Any) -> None:
    """They read what the service sends now."""
    cached = Cached(front_end, cached_for(60, "x"))
    cached.get()
    with front_end.stream(cached.client, "GET", URL) as response:
        assert response.status_code == 200
    front_end.download(cached.client, URL, tmp_path / "file")
    assert cached.sends == 3


def test_a_cache_is_counted(front_end: FrontEnd) -> None:
    """Hits, misses and confirmations have a metric; a hit is no attempt."""
    cached = Cached(front_end, cached_for(60))
    for _ in range(3):
        cached.get()
    metrics = cached.client.metrics
    assert metrics.total("http_cache_requests_total", {"result": "hit"}) == 2
    assert metrics.total("http_cache_requests_total", {"result": "miss"}) == 1
    assert (metrics.total("http_requests_total"), metrics.total("http_attempts_total")) == (3, 1)


def test_clients_share_a_cache(front_end: FrontEnd) -> None:
    """What one has stored, another one uses."""
    cache = Cache()
    one = Cached(front_end, cached_for(60, "x"), cache=cache)
    other = Cached(front_end, HttpResponse(500), cache=cache)
    one.get()
    assert other.get().text == "x"


def test_each_caller_has_a_response_of_its_own(front_end: FrontEnd) -> None:
    """A change to its headers does not reach the cache."""
    cached = Cached(front_end, cached_for(60, "x"))
    cached.get().headers["Cache-Control"] = "no-store"
    cached.get().headers["X-Mine"] = "1"
    assert "X-Mine" not in cached.get().headers


def test_a_view_may_have_no_cache(front_end: FrontEnd) -> None:
    """`with_options(cache=False)`: its calls are always sent."""
    cached = Cached(front_end, cached_for(60))
    cached.get()
    view = cached.client.with_options(cache=False)
    assert not front_end.request(view, "GET", URL).from_cache
    assert cached.get().from_cache


def test_a_header_that_cannot_be_sent_is_no_fault_of_the_storage(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The cache compares it with the stored one before the request is checked."""
    cached = Cached(front_end, cached_for(60, Vary="X"))
    cached.get(headers={"X": "a"})
    with pytest.raises(InvalidRequestError, match="lone surrogate"):
        cached.get(headers={"X": "\ud800"})
    assert "storage" not in caplog.text
