"""Each call has an id, and may have a name: in its events, log records, metrics and context."""

from __future__ import annotations

import logging
from typing import Any, get_args

import pytest

from http_service_client import (
    CircuitOpenError,
    ConfigurationError,
    ConnectionLostError,
    HttpContext,
    HttpRequest,
)
from http_service_client.drivers.call_ids import CALL_IDS
from http_service_client.events import CallFinished, Event, RetryScheduled, Timeline
from kit.fakes import RESET, Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from kit.guarded import policy_of
from kit.rows import each_row

HOP = (307, {"Location": "/next"})


def test_every_event_of_a_call_has_its_id_and_its_name(front_end: FrontEnd) -> None:
    """Of every kind: a redirect, a retry, a refusal, the end."""
    contexts: list[HttpContext] = []
    harness = Harness(
        front_end,
        on_exchange=lambda request, outcome, context: contexts.append(context),
        enable_request_compression=True,
    )
    harness.transport.script = [HOP, 415, 503, RESET, RESET]
    harness.error(ConnectionLostError, "PUT", data=b"x" * 5000, name="charge card")
    assert set(harness.names()) == {
        *("redirect_followed", "coding_refused", "attempt_finished"),
        *("retry_scheduled", "retry_stopped", "call_finished"),
    }
    context = contexts[0]
    assert {(event.call_id, event.call_name) for event in harness.events} == {
        (context.call_id, "charge card")
    }
    assert context.call_name == "charge card"


def test_a_refusal_by_the_circuit_has_the_id_and_the_name(front_end: FrontEnd) -> None:
    """Nothing was sent, and it is in the log of the call all the same."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.state.breaker.isolate()
    harness.events.clear()
    harness.error(CircuitOpenError, name="charge card")
    refused, finished = harness.events
    assert refused.name == "circuit_refused"
    assert (refused.call_id, refused.call_name) == (finished.call_id, "charge card")


def test_no_two_calls_have_one_id(front_end: FrontEnd) -> None:
    """The timeline knows the id of its call. A call without a name has none."""
    harness = Harness(front_end, 200)
    first, second = harness.request().timeline, harness.request().timeline
    assert first is not None
    assert second is not None
    assert first.call_id != second.call_id
    assert len(first.call_id) < 20
    assert first[-1].call_name is None
    assert Timeline().call_id == ""


@needs_fork
def test_a_forked_child_makes_other_ids() -> None:
    """It would go on with the numbers of its parent otherwise."""
    process = CALL_IDS.new().partition("-")[0]

    def work() -> None:
        assert CALL_IDS.new().partition("-")[0] != process

    assert in_a_child(work) == 0


def test_a_call_of_an_interceptor_knows_the_call_around_it(front_end: FrontEnd) -> None:
    """Its `CallFinished` has that call's id; it has an id of its own."""

    class TokenFetcher:
        def intercept_request(self, request: HttpRequest, context: HttpContext) -> Any:
            if request.url.endswith("/token"):
                return request
            return self.fetch_async(request) if front_end.name == "asyncio" else self.fetch(request)

        def fetch(self, request: HttpRequest) -> HttpRequest:
            harness.client.get("https://api.example.com/token")
            return request

        async def fetch_async(self, request: HttpRequest) -> HttpRequest:
            await harness.client.get_async("https://api.example.com/token")
            return request

    harness = Harness(front_end, 200, request_interceptors=[TokenFetcher()])
    harness.request()
    inner, outer = (event for event in harness.events if isinstance(event, CallFinished))
    assert (inner.parent_id, outer.parent_id) == (outer.call_id, None)
    assert inner.call_id != outer.call_id


def test_the_retry_of_a_function_has_the_id_of_the_call_that_failed(front_end: FrontEnd) -> None:
    """The retry is on its account."""
    harness = Harness(front_end, 503, 200)
    front_end.run(policy_of(2).apply(harness.calling("GET", name="list orders")))
    (retry,) = (event for event in harness.events if isinstance(event, RetryScheduled))
    failed = next(event for event in harness.events if isinstance(event, CallFinished))
    assert (retry.call_id, retry.call_name) == (failed.call_id, "list orders")


def test_the_log_has_the_id_and_the_name(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """The name in the text, both as attributes."""
    harness = Harness(front_end, 503, 200)
    with caplog.at_level(logging.INFO, "http_service_client"):
        timeline = harness.request(name="list orders").timeline
    (record,) = caplog.records
    assert timeline is not None
    assert record.getMessage().startswith("https://api.example.com (list orders): retry in ")
    assert vars(record)["http_call_id"] == timeline.call_id
    assert vars(record)["http_call_name"] == "list orders"


def test_the_name_is_in_the_story(front_end: FrontEnd) -> None:
    """Of the call, and not its id: in virtual time, equal calls have equal stories."""
    harness = Harness(front_end, 200)
    story = harness.request(name="list orders").explain()
    assert story.startswith("GET https://api.example.com/charges (list orders)\n")
    harness.clock.now -= harness.clock.now - 1000
    assert harness.request(name="list orders").explain() == story


def test_the_name_is_a_label(front_end: FrontEnd) -> None:
    """Of the metrics of calls. Totals without the label count all calls."""
    metrics = (harness := Harness(front_end, 200, 404, 404)).client.metrics
    for name in ("list orders", "list orders", None):
        harness.request(name=name)
    labels = {"name": "list orders"}
    assert metrics.total("http_requests_total") == 3
    assert metrics.total("http_requests_total", labels) == 2
    assert metrics.total("http_errors_total", labels) == 1
    (timed,) = (each for each in metrics.snapshot().histograms if dict(each.labels).get("name"))
    assert (timed.name, timed.count) == ("http_request_duration_seconds", 2)


@each_row("name", ["", "two\nlines", "x" * 101, 42, True])
def test_a_name_that_cannot_be_shown_is_refused(front_end: FrontEnd, name: Any) -> None:
    """Before anything is sent."""
    harness = Harness(front_end, 200)
    with pytest.raises(ConfigurationError, match="name must be a short text in one line"):
        harness.request(name=name)
    assert harness.sends == 0


def test_an_auth_flow_s_events_have_the_id_and_the_name(front_end: FrontEnd) -> None:
    """Both when it continues and when it must stop."""

    def again(request: HttpRequest) -> Any:
        response = yield request
        if response.status_code == 401:
            yield request

    flow = type("Again", (), {"auth_flow": staticmethod(again)})()
    harness = Harness(front_end, 401, 200)
    harness.request(name="charge card", auth=flow)
    harness.transport.script = [401]
    harness.request("POST", name="charge card", auth=flow, data=iter([b"x"]))
    events = [event for event in harness.events if event.name in ("auth_continued", "auth_stopped")]
    assert [event.name for event in events] == ["auth_continued", "auth_stopped"]
    assert all(event.call_id and event.call_name == "charge card" for event in events)


@each_row("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_has_an_id_and_a_name(kind: Any) -> None:
    """A new kind, too. Its own name stays the last field."""
    assert kind._fields[-3:] == ("call_id", "call_name", "name")
