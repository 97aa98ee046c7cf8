"""What a source of server-sent events takes along from one connection to the next, and what it says of each."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from http_service_client import ConstantBackoff, HttpResponse, HttpServiceClient, HttpStatusError, RetryPolicy
from http_service_client.core.machines.limits.semaphore import Waiter
from kit.event_feeds import URL, EventServer, Feed
from kit.fakes import REFUSED, RESET, FakeClock
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from kit.rows import each_row


def test_each_connection_may_take_what_is_left_of_the_total_timeout(front_end: FrontEnd) -> None:
    """Not all of it again."""
    feed = Feed(front_end, *[(b"data: a\n\n",)] * 2, total_timeout=8.0)
    assert feed.data == ["a", "a"]
    assert [timeout.total for timeout in feed.server.timeouts] == [8.0, 4.5, 1.0]


def test_the_waits_are_those_of_the_retry_policy(front_end: FrontEnd) -> None:
    """Above what the server, or the caller, wants at least."""
    policy = RetryPolicy(backoff_strategy=ConstantBackoff(7.0, jitter="none"))
    feed = Feed(
        front_end, (b"data: a\n\n",), (b"",), (b"data: b\n\n",), reconnect_delay=2.0, retry_policy=policy
    )
    assert feed.data == ["a", "b"]
    assert feed.clock.sleeps == [9.0, 9.0, 9.0]


def test_an_id_without_an_event_is_continued_from(front_end: FrontEnd) -> None:
    """A server sends such ids where all events so far were not for this listener."""
    feed = Feed(front_end, (b"id: 1\ndata: a\n\nid: 2\n\n",), (b"id: 3\n\n", RESET))
    assert feed.server.ids == [None, "2", "3"]


def test_the_wait_that_the_server_sets_outlasts_an_interruption(front_end: FrontEnd) -> None:
    """Which takes the connection, but not what was learned from it."""
    clock = FakeClock()
    server = EventServer(clock, (b"retry: 10000\ndata: a\n\n", KeyboardInterrupt()), (b"data: b\n\n",))
    client = front_end.client(transport=server, clock=clock, random=lambda: 0.5)
    events = front_end.events(client, URL)
    with pytest.raises(KeyboardInterrupt):
        list(events)
    assert [event.data for event in events] == ["b"]
    assert clock.sleeps == [10.5]


def test_a_source_without_a_retry_budget_pays_nothing(front_end: FrontEnd) -> None:
    """Its waits are those of the policy, however often a connection fails."""
    refused = [REFUSED] * 7
    feed = Feed(front_end, (b"data: a\n\n",), *refused, retry_budget=False, reconnect_delay=0.0)
    assert feed.error is None
    assert feed.clock.sleeps == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize(("connections", "left"), [(1, 1), (41, 9)])
def test_a_connection_that_cost_no_retry_counts_once(
    front_end: FrontEnd, connections: int, left: int
) -> None:
    """As a call that succeeds, five of which earn a retry; its events earn nothing on top of that."""
    clock = FakeClock()
    server = EventServer(clock, *[(b"data: a\n\n",)] * connections)
    client = front_end.client(transport=server, clock=clock, random=lambda: 0.0)
    budget = client._call_builder.origins.get("https://api.example.com").budget
    while budget.balance > 1:
        budget.try_withdraw()
    assert len(list(front_end.events(client, URL, reconnect_delay=0.0))) == connections
    assert budget.balance == left


def waiters() -> int:
    """How many waits there are, of whatever kind."""
    gc.collect()
    return sum(type(thing) is Waiter for thing in gc.get_objects())


def test_a_source_keeps_nothing_of_its_waits(front_end: FrontEnd) -> None:
    """It may reconnect for months."""
    clock = FakeClock()
    server = EventServer(clock, *[(b"data: a\n\n",)] * 9)
    events = front_end.events(front_end.client(transport=server, clock=clock), URL)
    before = waiters()
    assert len(list(events)) == 9
    assert waiters() == before


@pytest.mark.parametrize(
    ("connection", "cause"),
    [((b":\n\n",), "its end"), (RESET, "ConnectionLostError"), (HttpResponse(503), "status 503")],
    ids=["end", "reset", "503"],
)
def test_a_record_of_the_log_says_why_a_source_reconnects(
    caplog: pytest.LogCaptureFixture, connection: Any, cause: str
) -> None:
    """In its text and in its fields."""
    with caplog.at_level(logging.INFO, "http_service_client.events"):
        Feed(BlockingFrontEnd(), (b"data: a\n\n",), connection, reconnect_delay=0.0)
    record = caplog.records[-1]
    assert record.getMessage() == f"reconnecting to {URL} in 1.000 s after {cause}"
    assert {name: value for name, value in vars(record).items() if name.startswith("http_")} == {
        "http_event": "reconnecting",
        "http_url": URL,
        "http_delay": 1.0,
        "http_cause": cause,
    }


@pytest.mark.parametrize("status", [404, 503])
def test_a_status_raises_what_it_raises_in_any_call(front_end: FrontEnd, status: int) -> None:
    """With what the body says."""
    answer = HttpResponse(
        status, headers={"Content-Type": "application/json"}, content=b'{"error": "no feed"}'
    )
    feed = Feed(front_end, answer, retry_policy=False)
    with pytest.raises(HttpStatusError) as caught:
        answer.raise_for_status()
    assert str(feed.error) == str(caught.value)
    assert "no feed" in str(feed.error)


@each_row(
    ("answer", "what"),
    [
        (HttpResponse(205), "205, which brings no events"),
        (({"Content-Type": "text/html"}, b""), "content of type text/html, not text/event-stream"),
        (({}, b""), "content of type (none), not text/event-stream"),
    ],
    ids=["205", "HTML", "no type"],
)
def test_an_answer_that_brings_no_events_is_described(front_end: FrontEnd, answer: Any, what: str) -> None:
    """By what it is, and what it answers."""
    assert str(Feed(front_end, answer).error) == f"GET {URL} answered {what}"


def test_the_end_of_a_block_closes_its_source() -> None:
    """Each front end has its own `with`."""
    server = EventServer(FakeClock(), (b"data: a\n\ndata: b\n\n",), (b"data: a\n\ndata: b\n\n",))
    client = HttpServiceClient(transport=server)
    with client.events(URL) as events:
        assert next(events).data == "a"

    async def listen() -> None:
        async with client.events_async(URL) as events:
            assert (await anext(events)).data == "a"

    run_task(listen())
    assert [source.is_closed for source in server.sources] == [True, True]


def test_a_source_that_was_never_read_may_be_closed(front_end: FrontEnd) -> None:
    """It has no response, and sends nothing."""
    server = EventServer(FakeClock(), (b"data: a\n\n",))
    events = front_end.events(front_end.client(transport=server), URL)
    assert (events.response, events.last_event_id) == (None, "")
    events.close()
    assert list(events) == []
    assert server.requests == []
