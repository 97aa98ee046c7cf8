"""A cache answers for the service while it may, and never longer."""

from __future__ import annotations

from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest

from http_service_client import (
    Cache,
    ConnectionLostError,
    HttpRequest,
    HttpResponse,
    InvalidRequestError,
    MemoryStorage,
)
from http_service_client.events import CacheResult, CacheUsed, CallFinished
from http_service_client.policies import StoredResponse
from http_service_client.testing import VirtualClock
from kit.caches import URL, Cached, cached_for, failed, used
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.interceptors import on_request
from kit.threads import wait_until


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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(("status", "stays"), [(500, True), (503, True), (200, False), (404, False)])
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


# Requests that change something.


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MOVE"])
def test_a_change_ends_what_was_stored(front_end: FrontEnd, method: str) -> None:
    """After a success, the next GET asks the service."""
    cached = Cached(front_end, cached_for(60, "old"), HttpResponse(204), cached_for(60, "new"))
    cached.get()
    cached.request(method)
    assert cached.get().text == "new"


def test_a_refused_change_ends_nothing(front_end: FrontEnd) -> None:
    """The service did not do what it refused with 4xx."""
    cached = Cached(front_end, cached_for(60), HttpResponse(409))
    cached.get()
    cached.request("POST")
    assert cached.get().from_cache


@pytest.mark.parametrize("outcome", [HttpResponse(500), ConnectionResetError()])
def test_a_change_that_may_have_happened_ends_what_was_stored(front_end: FrontEnd, outcome: Any) -> None:
    """The service may have made the change before it failed."""
    cached = Cached(front_end, cached_for(60, "old"), outcome, cached_for(60, "new"))
    cached.get()
    try:
        cached.request("POST")
    except ConnectionLostError:
        pass
    assert cached.get().text == "new"


@pytest.mark.parametrize(("lost", "status", "text"), [
    (1, 204, "new"), (1, 400, "new"), (1, 404, "new"), (1, 499, "new"), (0, 400, "old"), (0, 499, "old"),
])  # fmt: skip
def test_a_refusal_after_a_lost_attempt_is_that_of_a_change_that_may_have_happened(
    front_end: FrontEnd, lost: int, status: int, text: str
) -> None:
    """A repeated DELETE is answered by 404 when the lost one was processed."""
    cached = Cached(
        front_end,
        *(cached_for(60, "old"), *[ConnectionResetError()] * lost, HttpResponse(status)),
        cached_for(60, "new"),
        enable_retry_policy=True,
    )
    cached.get()
    assert cached.request("DELETE").attempts == 1 + lost
    assert cached.get().text == text


@pytest.mark.parametrize(
    "script", [[cached_for(60, "old")], [cached_for(1, "old", ETag='"1"'), HttpResponse(304)]]
)
def test_a_change_ends_what_is_being_stored(front_end: FrontEnd, script: list[Any]) -> None:
    """A slow storage has the old response only when the new one has been made."""

    class Slow(MemoryStorage):
        blocks = True  # a blocking client inside, which does not run in an event loop
        is_late = False

        def set(self, key: str, partition: str, response: StoredResponse) -> None:
            if self.is_late:
                self.is_late = False
                with BlockingFrontEnd() as other:
                    Cached(other, HttpResponse(204), cache=cached.cache).request("POST")
            super().set(key, partition, response)

    storage = Slow()
    cached = Cached(front_end, *script, cached_for(60, "new"), cache=Cache(storage=storage))
    for _ in script[1:]:
        cached.get()
        cached.clock.advance(10.0)
    storage.is_late = True
    response = cached.get()
    assert (response.text, failed(response), cached.get().text) == ("old", [], "new")


def test_a_response_that_came_meanwhile_is_used(front_end: FrontEnd) -> None:
    """A slow storage says that there is none, when another call has just brought one."""

    class Slow(MemoryStorage):
        blocks = True  # a blocking client inside, which does not run in an event loop
        is_late = True

        def get(self, key: str, partition: str) -> list[StoredResponse]:
            found = list(super().get(key, partition))
            if self.is_late:
                self.is_late = False
                with BlockingFrontEnd() as other:
                    Cached(other, cached_for(60, "new"), cache=cached.cache).get()
            return found

    cached = Cached(front_end, HttpResponse(500), cache=Cache(storage=Slow()))
    response = cached.get()
    assert (response.text, response.from_cache, cached.sends) == ("new", True, 0)


def test_a_response_is_not_said_to_be_stored_when_the_storage_failed(front_end: FrontEnd) -> None:
    """The timeline names the reason, beside the failure itself."""

    class Full(MemoryStorage):
        def set(self, key: str, partition: str, response: StoredResponse) -> None:
            raise OSError("No space left on device")

    response = Cached(front_end, cached_for(60, "new"), cache=Cache(storage=Full())).get()
    (failure,) = failed(response)
    assert (failure.operation, failure.message) == ("set", "No space left on device")
    assert str(used(response)) == "not in the cache; not stored: its storage failed"


def test_a_change_ends_what_it_names(front_end: FrontEnd) -> None:
    """Location and Content-Location of the same origin; another origin's resources are not this one's to end."""
    here, there = "https://api.example.com/orders/7", "https://other.example.com/orders/7"
    names = {"Location": "/orders/7", "Content-Location": there}
    cached = Cached(
        front_end,
        {"/orders/7": [cached_for(60)], "/items": [HttpResponse(201, headers=names)]},
    )
    for url in (here, there):
        cached.get(url)
    cached.request("POST")
    assert (cached.get(here).from_cache, cached.get(there).from_cache) == (False, True)


@pytest.mark.parametrize("status", [201, 399])
def test_a_change_that_was_repeated_ends_what_its_response_names(front_end: FrontEnd, status: int) -> None:
    """Its last response is not a refusal, so it is about what was done."""
    here = "https://api.example.com/orders/7"
    script = {
        "/orders/7": [cached_for(60, "old"), cached_for(60, "new")],
        "/items": [ConnectionResetError(), HttpResponse(status, headers={"Content-Location": here})],
    }
    cached = Cached(front_end, script, enable_retry_policy=True)
    cached.get(here)
    assert cached.request("DELETE").attempts == 2
    assert cached.get(here).text == "new"


@pytest.mark.parametrize("outcome", [HttpResponse(204), ConnectionResetError()])
def test_a_change_ends_what_it_was_redirected_to(front_end: FrontEnd, outcome: Any) -> None:
    """By 307 and 308 the request itself goes on, over several hops and to another origin."""
    target = "https://other.example.com/orders/7"
    script = {
        "/items": [HttpResponse(308, headers={"Location": "/moved"})],
        "/moved": [HttpResponse(307, headers={"Location": f"{target}#part"})],
        "/orders/7": [cached_for(60, "old"), outcome, cached_for(60, "new")],
    }
    cached = Cached(front_end, script)
    cached.get(target)
    with suppress(ConnectionLostError):
        cached.request("POST")
    assert cached.get(target).text == "new"


def test_a_change_ends_what_the_response_to_it_names(front_end: FrontEnd) -> None:
    """That is the first of several, if it was redirected: the others are responses to a GET."""
    here, there = "https://api.example.com/orders/7", "https://api.example.com/orders/8"
    script = {
        "/items": [HttpResponse(303, headers={"Location": "/a", "Content-Location": "/orders/7"})],
        "/a": [HttpResponse(302, headers={"Location": "/b", "Content-Location": "/orders/8"})],
        "/b": [HttpResponse(200)],
        "/orders/7": [cached_for(60)],
        "/orders/8": [cached_for(60)],
    }
    cached = Cached(front_end, script)
    for url in (here, there):
        cached.get(url)
    assert len(cached.request("POST").history) == 2
    assert [cached.get(url).from_cache for url in (here, there)] == [False, True]


def test_a_redirect_to_get_ends_nothing_there(front_end: FrontEnd) -> None:
    """By 303 the next request reads."""
    target = "https://other.example.com/orders/7"
    script = {
        "/items": [HttpResponse(303, headers={"Location": target})],
        "/orders/7": [cached_for(60, "old"), HttpResponse(200)],
    }
    cached = Cached(front_end, script)
    cached.get(target)
    cached.request("POST")
    assert cached.get(target).from_cache


def test_reading_methods_end_nothing(front_end: FrontEnd) -> None:
    """OPTIONS and QUERY are safe."""
    cached = Cached(front_end, cached_for(60), HttpResponse(200), HttpResponse(200))
    cached.get()
    cached.request("OPTIONS")
    cached.request("QUERY", data=b"x")
    assert cached.get().from_cache


# Errors.


def test_the_last_good_response_stands_in_for_an_error(front_end: FrontEnd) -> None:
    """stale-if-error of the response; its end is a limit."""
    cached = Cached(front_end, cached_for(10, "good", "stale-if-error=60"), HttpResponse(503))
    cached.get()
    cached.clock.advance(60.0)
    response = cached.get()
    assert (response.text, used(response).result) == ("good", CacheResult.STALE)
    assert used(response).reason == "the server responded with 503"
    cached.clock.advance(11.0)
    assert cached.get().status_code == 503


def test_a_response_that_is_not_fresh_enough_stands_in_for_an_error(front_end: FrontEnd) -> None:
    """min-fresh: it is not used before the service is asked; the story does not call it stale."""
    cached = Cached(front_end, cached_for(60, "good"), HttpResponse(503))
    cached.get()
    cached.clock.advance(20.0)
    response = cached.get(headers={"Cache-Control": "min-fresh=50"})
    assert (response.text, cached.sends) == ("good", 2)
    assert "fresh for another 40 s: the server responded with 503" in response.explain()


def test_the_setting_keeps_the_last_good_response(front_end: FrontEnd) -> None:
    """Of a service that says nothing of caches: each call asks it, and a failure is covered."""
    cached = Cached(
        front_end,
        HttpResponse(200, content="good"),
        ConnectionResetError(),
        settings={"stale_if_error": 3600},
    )
    cached.get()
    cached.clock.advance(3599.0)
    response = cached.get()
    assert (response.text, cached.sends) == ("good", 2)
    assert "stale for 3599 s: the request failed with ConnectionLostError" in response.explain()
    cached.clock.advance(2.0)
    with pytest.raises(ConnectionLostError):
        cached.get()


def test_it_stands_in_while_the_circuit_is_open(front_end: FrontEnd) -> None:
    """A call that the circuit breaker refuses gets the last good response."""
    cached = Cached(
        front_end,
        HttpResponse(200, content="good"),
        HttpResponse(500),
        settings={"stale_if_error": 3600},
        circuit_breaker_config={"failure_threshold": 1, "failure_rate": None},
    )
    cached.get()
    cached.get()
    response = cached.get()
    assert (response.text, response.attempts, cached.sends) == ("good", 0, 2)
    assert "CircuitOpenError" in used(response).reason


@pytest.mark.parametrize("directive", ["must-revalidate", "no-cache"])
def test_a_response_may_forbid_its_use_after_an_error(front_end: FrontEnd, directive: str) -> None:
    """Then the error is the caller's, whatever the settings (RFC 9111, 5.2.2.2)."""
    cached = Cached(
        front_end, cached_for(10, "good", directive), HttpResponse(503), settings={"stale_if_error": 3600}
    )
    cached.get()
    cached.clock.advance(20.0)
    assert cached.get().status_code == 503


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_was_withdrawn_does_not_come_back(front_end: FrontEnd, status: int) -> None:
    """A conclusive response ends the stored one, so that it does not stand in for a later error."""
    cached = Cached(
        front_end,
        cached_for(10, "secret", "stale-if-error=999"),
        HttpResponse(status, headers={"Cache-Control": "no-store"}),
        HttpResponse(503),
    )
    cached.get()
    cached.clock.advance(20.0)
    assert [cached.get().status_code, cached.get().status_code] == [status, 503]


def test_a_stale_response_is_used_and_revalidated_behind_the_call(front_end: FrontEnd) -> None:
    """stale-while-revalidate: the caller does not wait, and the next one has the new response."""
    cached = Cached(
        front_end,
        cached_for(10, "old", "stale-while-revalidate=60", ETag='"1"'),
        cached_for(10, "new"),
        HttpResponse(500),
    )
    cached.get()
    cached.clock.advance(20.0)
    response = cached.get()
    assert (response.text, response.attempts, used(response).result) == ("old", 0, CacheResult.STALE)
    following = next(found for _ in range(10_000) if (found := cached.get()).text != "old")
    assert (following.text, following.from_cache, cached.sends) == ("new", True, 2)


@pytest.mark.parametrize(
    ("outcome", "end"),
    [(HttpResponse(201), (201, None)), (ConnectionResetError(), (None, "ConnectionLostError"))],
    ids=["response", "error"],
)
def test_a_revalidation_behind_a_call_is_a_call_of_its_own(
    front_end: FrontEnd, outcome: Any, end: tuple[int | None, str | None]
) -> None:
    """The listener sees how it ended, under an id of its own."""
    events: list[Any] = []
    stale = cached_for(10, "old", "stale-while-revalidate=600")
    cached = Cached(front_end, stale, outcome, on_event=events.append)
    own = {used(cached.get()).call_id}
    cached.clock.advance(20.0)
    own.add(used(cached.get()).call_id)

    def behind() -> list[CallFinished]:
        return [event for event in events if isinstance(event, CallFinished) and event.call_id not in own]

    def has_ended() -> bool:
        own.add(used(cached.get()).call_id)  # which lets the event loop go on
        return bool(behind())

    wait_until(has_ended)
    ended = behind()[0]
    assert (ended.status_code, ended.error, ended.attempts) == (*end, 1)


def test_a_revalidation_behind_a_call_retries_itself() -> None:
    """Also if a policy repeats the call: that one has its response by then."""
    with BlockingFrontEnd() as front_end:
        stale = cached_for(10, "old", "stale-while-revalidate=600")
        cached = Cached(front_end, stale, HttpResponse(503), HttpResponse(201), enable_retry_policy=True)
        cached.get()
        cached.clock.advance(20.0)
        cached.get()
        wait_until(lambda: cached.sends == 3)


def test_a_head_request_revalidates_nothing(front_end: FrontEnd) -> None:
    """It gets the stale headers at once; what the service sends to HEAD has no body to keep for a GET."""

    def respond(request: HttpRequest) -> HttpResponse:
        return cached_for(10, "" if request.method == "HEAD" else "body", "stale-while-revalidate=60")

    cached = Cached(front_end, respond)
    cached.get()
    cached.clock.advance(20.0)
    assert used(cached.request("HEAD")).reason == "a GET will revalidate it"
    cached.clock.advance(100.0)
    assert [cached.get().text, cached.get().text] == ["body", "body"]
    assert [each.request.method for each in cached.transport.sent] == ["GET", "GET"]


def test_the_window_of_revalidation_has_an_end(front_end: FrontEnd) -> None:
    """After it, a call waits for the service."""
    cached = Cached(front_end, cached_for(10, "old", "stale-while-revalidate=60"), cached_for(10, "new"))
    cached.get()
    cached.clock.advance(71.0)
    assert cached.get().text == "new"


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


class Hanging(MemoryStorage):
    """A storage that fails after so many seconds while it `hangs`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.hangs = True
        self.asked: list[str] = []
        self.clock: VirtualClock

    def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        if self.hangs:
            self.clock.advance(self.seconds)
            raise ConnectionError("timed out")

    def get(self, key: str, partition: str) -> list[StoredResponse]:
        self._ask("get")
        return list(super().get(key, partition))

    def set(self, key: str, partition: str, response: StoredResponse) -> None:
        self._ask("set")
        super().set(key, partition, response)

    def delete(self, key: str, partition: str | None = None) -> None:
        self._ask("delete")
        super().delete(key, partition)


def hanging(front_end: FrontEnd, seconds: float, *script: Any) -> tuple[Hanging, Cached]:
    storage = Hanging(seconds)
    cached = Cached(front_end, *script, cache=Cache(storage=storage))
    storage.clock = cached.clock
    return storage, cached


def test_a_storage_that_hangs_slows_one_call_a_second(front_end: FrontEnd) -> None:
    """The others go on without it; each of them says so."""
    storage, cached = hanging(front_end, 0.25, *[cached_for(60, "x")] * 6)
    waits = []
    for _ in range(3):
        began = cached.clock.monotonic()
        response = cached.get()
        waits.append(cached.clock.monotonic() - began)
        assert [each.operation for each in failed(response)] == ["get", "set"]
    assert (waits, storage.asked) == ([0.25, 0.0, 0.0], ["get"])
    assert failed(response)[0].message == "it took too long a moment ago, and rests for a second"
    cached.clock.advance(1.0)
    storage.hangs = False
    assert [cached.get().from_cache for _ in range(2)] == [False, True]


def test_a_storage_that_fails_at_once_is_asked_each_time(front_end: FrontEnd) -> None:
    """It costs nothing to ask, and it may be back."""
    storage, cached = hanging(front_end, 0.09, *[cached_for(60, "x")] * 2)
    cached.get()
    cached.get()
    assert storage.asked == ["get", "set"] * 2


def test_what_changed_while_the_storage_rested_is_not_used(front_end: FrontEnd) -> None:
    """The deletion is made good first."""
    script = [cached_for(60, "old"), cached_for(60, "other"), HttpResponse(204), cached_for(60, "new")]
    storage, cached = hanging(front_end, 0.25, *script)
    storage.hangs = False
    cached.get()
    storage.hangs = True
    cached.get(f"{URL}/other")
    storage.asked.clear()
    cached.request("POST")
    assert storage.asked == []
    storage.hangs = False
    cached.clock.advance(1.0)
    assert (cached.get().text, storage.asked[0]) == ("new", "delete")
