"""Stale responses that are used: in place of an error, or while the cache revalidates them behind the call."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    Cache,
    ConnectionLostError,
    ConstantBackoff,
    HttpRequest,
    HttpResponse,
    RetryPolicy,
)
from http_service_client.events import CacheResult, CallFinished
from kit.caches import Cached, cached_for, used
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.hosts import LOST, A, Bench
from kit.rows import each_row
from kit.telemetry import Notes
from kit.threads import wait_until


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


@each_row("status", [401, 403, 404, 410])
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


def test_a_revalidation_behind_a_call_goes_to_another_host_of_the_service() -> None:
    """It fails over as any call does, though what comes from there is not kept."""
    with BlockingFrontEnd() as front_end:
        at_once = RetryPolicy(2, backoff_strategy=ConstantBackoff(0.0, jitter="none"))
        bench = Bench(front_end, Cache(), retry_policy_config=at_once)
        bench.outcomes[A] = [cached_for(10, "old", "stale-while-revalidate=600"), LOST]
        bench.request()
        bench.clock.advance(20.0)
        assert bench.request().text == "old"
        wait_until(lambda: len(bench.hosts) == 3)
        assert bench.hosts == "aab"


class BreaksBehind(Notes):
    """A telemetry that fails when a call is made for another."""

    failures = 0

    def begin(self, call: Any, parent: Any) -> Any:
        if parent is not None:
            self.failures += 1
            raise RuntimeError("no exporter")
        return super().begin(call, parent)


def test_after_a_revalidation_that_came_to_no_request_there_is_another(front_end: FrontEnd) -> None:
    """Whatever ended it: the next call must not take it for one that is on its way."""
    telemetry = BreaksBehind()
    cached = Cached(front_end, cached_for(10, "old", "stale-while-revalidate=60"), telemetry=telemetry)
    cached.get()
    cached.clock.advance(20.0)

    def has_broken_twice() -> bool:
        assert cached.get().text == "old"
        return telemetry.failures > 1

    assert any(has_broken_twice() for _ in range(10_000))


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
