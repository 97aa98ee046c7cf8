"""Server-sent events that go on: reconnection, its waits and its ends, in virtual time."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    DecodingError,
    Headers,
    HttpResponse,
    HttpServiceClient,
    HttpStatusError,
    InvalidRequestError,
    ResponseValidationError,
    StreamError,
    TlsVerificationError,
    deadline,
)
from http_service_client.errors import SentState
from kit.event_feeds import URL, EventServer, Feed
from kit.fakes import READ_TIMEOUT, REFUSED, RESET, FakeClock, failure
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from kit.rows import each_row


def test_events_go_on_after_the_connection_ends(front_end: FrontEnd) -> None:
    """In order or broken off: the next one continues after the last event, after a wait. 204 is the end."""
    feed = Feed(
        front_end, (b"id: 1\ndata: a\n\n",), (b"data: b\n\nid: 2\ndata: c\n\n", RESET), (b"data: d\n\n",)
    )
    assert feed.error is None
    assert feed.data == ["a", "b", "c", "d"]
    assert [event.id for event in feed.events] == ["1", "1", "2", "2"]
    assert feed.server.ids == [None, "1", "2", "2"]
    assert feed.clock.sleeps == [3.5, 3.5, 3.5]  # three seconds, and a jittered second
    assert all(source.is_closed for source in feed.server.sources)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, ("text/event-stream", "no-cache")),
        ({"Accept": "*/*", "cache-control": "no-store"}, ("*/*", "no-store")),
        ([("ACCEPT", "*/*")], ("*/*", "no-cache")),
    ],
)
def test_each_connection_asks_for_new_events(front_end: FrontEnd, given: Any, sent: tuple[str, str]) -> None:
    """Not for those that a cache on the way has kept. Headers of the caller's own take precedence."""
    feed = Feed(front_end, (b"id: 1\ndata: a\n\n",), (b"data: b\n\n",), headers=given)
    assert feed.data == ["a", "b"]
    headers = [request.headers for request in feed.server.requests]
    assert [(each.get_all("Accept"), each.get_all("Cache-Control")) for each in headers] == [
        ([sent[0]], [sent[1]])
    ] * 3


@pytest.mark.parametrize(
    ("headers", "sent", "accept"),
    [
        (None, None, "text/event-stream"),
        ({"X-A": "1"}, "1", "text/event-stream"),
        ([("X-A", "1")], "1", "text/event-stream"),
        (Headers({"X-A": "1"}), "1", "text/event-stream"),
        ([("accept", "text/event-stream;q=1")], None, "text/event-stream;q=1"),
    ],
)
def test_each_connection_has_the_headers_of_the_call(
    front_end: FrontEnd, headers: Any, sent: str | None, accept: str
) -> None:
    """In any form that a call takes; an Accept of its own comes first."""
    feed = Feed(front_end, (b"id: 1\ndata: a\n\n",), headers=headers)
    assert feed.error is None
    assert [request.headers.get("X-A") for request in feed.server.requests] == [sent, sent]
    assert [request.headers.get_all("Accept") for request in feed.server.requests] == [[accept], [accept]]
    assert feed.server.ids == [None, "1"]


@pytest.mark.parametrize("policy", [False, None])
def test_a_source_without_retries_reconnects(front_end: FrontEnd, policy: bool | None) -> None:
    """After the delays of the default policy; its first connection is one attempt."""
    feed = Feed(front_end, (b"data: a\n\n",), REFUSED, (b"data: b\n\n",), retry_policy=policy)
    assert feed.data == ["a", "b"]
    assert feed.clock.sleeps == [3.5, 4.0, 3.5]
    assert len(Feed(front_end, REFUSED, retry_policy=policy).server.requests) == 1


def test_an_id_that_no_header_can_carry_is_not_sent(front_end: FrontEnd) -> None:
    """The events go on after the one before it, and do not end with an error about a header."""
    feed = Feed(front_end, (b"id: 1\ndata: a\n\nid: \x1b\ndata: b\n\n",), (b"id: \x7f\n\n",))
    assert feed.error is None
    assert [event.id for event in feed.events] == ["1", "\x1b"]
    assert feed.server.ids == [None, "1", "1"]


def test_the_server_sets_the_wait(front_end: FrontEnd) -> None:
    """Also without an event; nobody waits for days."""
    feed = Feed(front_end, (b"retry: 10000\n\n",), (b"data: x\nretry: 99999999999\n\n",), reconnect_delay=0.0)
    assert feed.clock.sleeps == [10.5, 300.5]


def test_the_waits_grow_while_connections_bring_nothing(front_end: FrontEnd) -> None:
    """An event, or a connection that lasted, ends that."""
    feed = Feed(front_end, (b"data: a\n\n",), (b":\n\n",), (b"",), (b"data: b\n\n",), reconnect_delay=0.0)
    assert feed.data == ["a", "b"]
    assert feed.clock.sleeps == [0.5, 1.0, 2.0, 0.5]
    for lasts, sleeps in ((10.0, [0.5, 0.5, 0.5]), (9.9, [0.5, 1.0, 2.0])):
        lasting = Feed(front_end, *[(b":\n\n",)] * 3, lasts=lasts, reconnect_delay=0.0)
        assert lasting.clock.sleeps == sleeps


@pytest.mark.parametrize(("refused", "left"), [(1, 4), (2, 3), (6, 0)])
def test_reconnections_are_paid_for(front_end: FrontEnd, refused: int, left: int) -> None:
    """Each but the first costs a retry; the one that brings an event gets its own back."""
    feed = Feed(front_end, (b"data: a\n\n",), *[REFUSED] * refused, (b"data: b\n\n",), reconnect_delay=0.0)
    assert feed.data == ["a", "b"]
    assert feed.client._call_builder.origins.get("https://api.example.com").budget.balance == left


def test_a_spent_budget_delays_a_reconnection(front_end: FrontEnd) -> None:
    """It ends nothing: the listener waits for two delays at a time."""
    feed = Feed(front_end, (b"data: a\n\n",), *[REFUSED] * 6, (b"data: b\n\n",), reconnect_delay=0.0)
    assert feed.data == ["a", "b"]
    assert feed.clock.sleeps == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0 + 30.0, 30.0 + 30.0, 0.5]


@each_row(
    ("failed", "wait"),
    [
        (REFUSED, 1.0),
        (READ_TIMEOUT, 1.0),
        (HttpResponse(503), 1.0),
        ((503, b"a body"), 1.0),
        (HttpResponse(429, headers={"Retry-After": "20"}), 21.0),
        (HttpResponse(429, headers={"Retry-After": "999999999"}), 3601.0),
    ],
    ids=["refused", "timeout", "503", "503 with a body", "429", "429 for years"],
)
def test_a_reconnection_that_fails_is_made_again(front_end: FrontEnd, failed: Any, wait: float) -> None:
    """After a longer wait, in one attempt each. None of them keeps its connection."""
    feed = Feed(front_end, (b"id: 7\ndata: a\n\n",), failed, (b"data: b\n\n",), reconnect_delay=0.0)
    assert feed.error is None
    assert feed.data == ["a", "b"]
    assert all(source.is_closed for source in feed.server.sources)
    assert feed.server.ids == [None, "7", "7", "7"]
    assert feed.clock.sleeps == [0.5, wait, 0.5]


@each_row(
    ("failed", "error", "attempts"),
    [
        (REFUSED, ConnectError, 3),
        (HttpResponse(503), HttpStatusError, 3),
        (HttpResponse(404), HttpStatusError, 1),
        (HttpResponse(205), HttpStatusError, 1),
        (({"Content-Type": "text/html"}, b"data: x\n\n"), ResponseValidationError, 1),
        (({}, b"data: x\n\n"), ResponseValidationError, 1),
    ],
    ids=["refused", "503", "404", "205", "HTML", "no type"],
)
def test_a_first_connection_that_fails_raises(
    front_end: FrontEnd, failed: Any, error: type[Exception], attempts: int
) -> None:
    """After the retries of any call."""
    feed = Feed(front_end, failed, failed, failed)
    assert type(feed.error) is error
    assert len(feed.server.requests) == attempts
    assert all(source.is_closed for source in feed.server.sources)


@each_row(
    ("failed", "error"),
    [
        (failure(TlsVerificationError, SentState.NEVER_SENT), TlsVerificationError),
        (HttpResponse(404), HttpStatusError),
        (({"Content-Type": "text/html"}, b"data: x\n\n"), ResponseValidationError),
        ((b"data: " + b"x" * 100,), DecodingError),
    ],
    ids=["certificate", "404", "HTML", "too large"],
)
def test_some_failures_of_a_reconnection_are_final(
    front_end: FrontEnd, failed: Any, error: type[Exception]
) -> None:
    """Another connection would not help."""
    feed = Feed(front_end, (b"data: a\n\n",), failed, max_length=50)
    assert feed.data == ["a"]
    assert type(feed.error) is error
    assert len(feed.server.requests) == 2


@pytest.mark.parametrize(("ending", "error"), [(RESET, ConnectionLostError), (b"", StreamError)])
def test_reconnections_may_be_limited(front_end: FrontEnd, ending: Any, error: type[Exception]) -> None:
    """Those in a row that bring no event."""
    feed = Feed(front_end, (b"data: a\n\n",), *[(b":\n\n", ending)] * 5, max_reconnects=2)
    assert type(feed.error) is error
    assert len(feed.server.requests) == 3
    if error is StreamError:
        assert str(feed.error) == f"3 connections in a row to {URL} brought no event"


def test_the_first_connections_may_bring_nothing_as_well(front_end: FrontEnd) -> None:
    """They are counted as later ones, and waited for as long."""
    feed = Feed(front_end, *[(b":\n\n",)] * 5, max_reconnects=2, reconnect_delay=0.0)
    assert str(feed.error) == f"3 connections in a row to {URL} brought no event"
    assert feed.clock.sleeps == [0.5, 1.0]


def test_a_deadline_bounds_all_connections(front_end: FrontEnd) -> None:
    """A wait that would cross it is not begun."""
    feed = Feed(front_end, *[(b"data: a\n\n",)] * 9, total_timeout=8.0)
    assert isinstance(feed.error, DeadlineExceededError)
    assert feed.clock.sleeps == [3.5, 3.5]
    assert str(feed.error) == f"the deadline expires before the next connection to {URL}, in 3.5 s"
    with deadline(2.0):
        feed = Feed(front_end, *[(b"data: a\n\n",)] * 9)
    assert isinstance(feed.error, DeadlineExceededError)
    assert feed.clock.sleeps == []
    # No time would be left after the second.
    feed = Feed(front_end, *[(b"data: a\n\n",)] * 9, total_timeout=7.0)
    assert feed.clock.sleeps == [3.5]


def test_an_open_circuit_is_waited_for(front_end: FrontEnd) -> None:
    """It is asked again when it lets a trial pass."""
    refused = [REFUSED] * 5
    feed = Feed(front_end, (b"data: a\n\n",), *refused, (b"data: b\n\n",), breaker=True, reconnect_delay=0.0)
    assert feed.error is None
    assert feed.data == ["a", "b"]
    assert feed.clock.sleeps[-2] == 14.0 + 60.0  # until a trial may pass, and the backoff
    assert len(feed.server.requests) == 8


@pytest.mark.parametrize(
    "options", [{"method": "POST", "json": {}}, {"method": "POST", "data": iter([b"x"]), "idempotent": True}]
)
def test_a_request_that_may_not_be_sent_again_is_refused(
    front_end: FrontEnd, options: dict[str, Any]
) -> None:
    """Before it is sent."""
    feed = Feed(front_end, **options)
    assert isinstance(feed.error, InvalidRequestError)
    assert "again when the connection ends" in str(feed.error)
    assert feed.server.requests == []


def test_a_post_may_be_repeated_if_the_caller_says_so(front_end: FrontEnd) -> None:
    """With its body."""
    feed = Feed(
        front_end, (b"data: a\n\n",), method="POST", json={"q": 1}, idempotent=True, last_event_id="5"
    )
    assert feed.error is None
    assert [request.body.content for request in feed.server.requests] == [b'{"q":1}'] * 2
    assert feed.server.ids == ["5", "5"]


@each_row(
    ("name", "wrong"),
    [
        ("reconnect_delay", -1.0),
        ("max_reconnects", 0),
        ("max_length", 0),
        ("idle_timeout", 0),
        ("total_timeout", 0),
        ("last_event_id", 5),
        ("last_event_id", "5\n"),
    ],
)
def test_wrong_arguments_are_refused_at_once(name: str, wrong: Any) -> None:
    """They are named, and nothing is sent."""
    client = HttpServiceClient()
    for events in (client.events, client.events_async):
        with pytest.raises(ConfigurationError, match=rf"\b{name}\b"):
            events(URL, **{name: wrong})
    with pytest.raises(InvalidRequestError, match="pass last_event_id="):
        client.events(URL, headers={"last-event-id": "5"})


def test_a_source_says_where_it_stands() -> None:
    """Not connected, open or over; and which event was the last."""
    clock = FakeClock()
    server = EventServer(clock, (b"id: 3\ndata: a\n\ndata: b\n\n",))
    client = HttpServiceClient(transport=server, clock=clock)
    with client.events(URL) as events:
        assert repr(events) == "<EventSource GET https://api.example.com/feed not connected>"
        assert next(events).data == "a"
        assert events.last_event_id == "3"
        assert events.response is not None
        assert events.response.status_code == 200
        assert repr(events) == "<EventSource GET https://api.example.com/feed open>"
    assert server.sources[0].is_closed
    assert repr(events) == "<EventSource GET https://api.example.com/feed over>"
    assert list(events) == []


@each_row(
    ("connections", "options"),
    [
        ([REFUSED] * 3, {}),
        ([HttpResponse(404)], {}),
        ([({"Content-Type": "text/html"}, b"")], {}),
        ([(b"data: a\n\n",), HttpResponse(404)], {}),
        ([(b"data: a\n\n",), failure(TlsVerificationError, SentState.NEVER_SENT)], {}),
        ([(b"data: " + b"x" * 100,)], {"max_length": 50}),
        ([(b":\n\n",)] * 3, {"max_reconnects": 2}),
        ([(b":\n\n", RESET)] * 3, {"max_reconnects": 2}),
        ([(b"data: a\n\n",)] * 3, {"total_timeout": 5.0}),
    ],
    ids=["refused", "404", "HTML", "404 later", "TLS", "too large", "no event", "broken", "deadline"],
)
def test_an_error_ends_a_source(front_end: FrontEnd, connections: list[Any], options: dict[str, Any]) -> None:
    """Each later step raises StreamError, so that the error does not pass for an end, and sends nothing."""
    feed = Feed(front_end, *connections, (b"data: more\n\n",), **options)
    assert feed.error is not None
    sent = len(feed.server.requests)
    for _ in range(2):
        with pytest.raises(StreamError, match="call events"):
            next(feed.source)
    assert len(feed.server.requests) == sent
    assert all(source.is_closed for source in feed.server.sources)


def test_a_source_goes_on_after_an_interruption(front_end: FrontEnd) -> None:
    """It took the connection, so the next step opens another at once, after the last event."""
    clock = FakeClock()
    server = EventServer(clock, (b"id: 1\ndata: a\n\n", KeyboardInterrupt()), (b"data: b\n\n",))
    events = front_end.events(front_end.client(transport=server, clock=clock), URL)
    assert next(events).data == "a"
    with pytest.raises(KeyboardInterrupt):
        next(events)
    assert server.sources[0].is_closed
    assert next(events).data == "b"
    assert clock.sleeps == []
    assert server.ids == [None, "1"]
    events.close()


@each_row("connection", [(b"data: a\n\n",), (503, b"a body"), REFUSED])
def test_a_source_that_is_closed_while_it_connects_ends(front_end: FrontEnd, connection: Any) -> None:
    """It keeps no connection, gives no event and raises no error."""
    clock = FakeClock()
    server = EventServer(clock, (b"data: before\n\n",), connection, (b"data: after\n\n",))
    source = front_end.events(front_end.client(transport=server, clock=clock), URL)
    assert next(source).data == "before"
    server.on_request = source.close  # as another thread does it
    assert list(source) == []
    assert len(server.requests) == 2
    assert all(body.is_closed for body in server.sources)


def test_reconnections_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At the level of retries."""
    with caplog.at_level(logging.INFO, "http_service_client"):
        Feed(BlockingFrontEnd(), (b"data: a\n\n", RESET))
    assert (
        "reconnecting to https://api.example.com/feed in 3.500 s after ConnectionLostError" in caplog.messages
    )


def test_for_over_an_asyncio_source_says_what_to_write() -> None:
    """As for a stream."""
    events = HttpServiceClient().events_async(URL)
    for wrong in (iter, lambda it: it.__enter__()):
        with pytest.raises(TypeError, match="async for"):
            wrong(events)


def test_async_for_over_a_blocking_source_says_what_to_write() -> None:
    """And so does `async with`."""
    events: Any = HttpServiceClient().events(URL)

    async def enter() -> None:
        async with events:
            pass

    for wrong in (lambda: run_task(enter()), lambda: aiter(events)):
        with pytest.raises(
            TypeError, match=r"or in asyncio 'async with client.events_async\(…\) as events'$"
        ):
            wrong()


def test_a_view_s_total_timeout_bounds_its_sources() -> None:
    """As that of the configuration; a call's own comes first."""
    clock = FakeClock()
    server = EventServer(clock, *[(b"data: a\n\n",)] * 9)
    client = HttpServiceClient(transport=server, clock=clock, random=lambda: 0.5)
    view = client.with_options(total_timeout=5.0)
    with pytest.raises(DeadlineExceededError):
        list(view.events(URL))
    assert clock.sleeps == [3.5]
    assert len(list(view.events(URL, total_timeout=None))) == 7
