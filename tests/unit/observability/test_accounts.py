"""Events wait to be counted, and nobody who reads the numbers can tell."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from http_service_client import HttpMetrics, HttpRequest, HttpResponse, HttpServiceClient, MetricsCollector
from http_service_client.observability.accounts import MOST_WAITING
from http_service_client.observability.metrics import Waiting
from http_service_client.testing import ScriptedTransport
from kit.fakes import ORIGIN, FakeClock, Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.threads import run_threads

CALLS = "http_requests_total"

# How the number of calls is read. The argument is a client.
READERS: dict[str, Callable[[Any], float]] = {
    "total": lambda client: client.metrics.total(CALLS),
    "snapshot": lambda client: client.metrics.snapshot().counters[0].value,
    "summary": lambda client: client.get_health_summary()["total_requests"],
    "window": lambda client: client.get_health_summary()["window"]["total_requests"],
    "amplification": lambda client: client._collector.amplification()[ORIGIN]["calls"],
    "errors": lambda client: client._collector.errors()[ORIGIN]["404"],
    "attempts": lambda client: client.metrics.total("http_attempts_total"),
    "mean": lambda client: client.metrics.mean("http_request_duration_seconds"),
    "repr": lambda client: int(repr(client._collector).split()[1]),
}


@each_row("read", READERS.values(), ids=READERS)
def test_a_call_is_counted_for_whoever_reads(read: Callable[[Any], float], front_end: FrontEnd) -> None:
    """Each way to read counts first what waits."""

    def respond_in_a_second(request: HttpRequest) -> HttpResponse:
        harness.clock.now += 1.0
        return HttpResponse(404)

    harness = Harness(front_end, respond_in_a_second)
    harness.request()
    assert read(harness.client) == 1


def test_a_bounded_number_of_events_waits(front_end: FrontEnd) -> None:
    """So memory is bounded where nobody reads, and so is the pause of the call that counts them."""
    waiting: list[int] = []
    client = front_end.client(
        transport=ScriptedTransport(HttpResponse(200)),
        on_event=lambda _: waiting.append(len(client.metrics._waiting)),
    )
    for _ in range(MOST_WAITING):
        front_end.request(client, "GET", ORIGIN)
    assert max(waiting) == MOST_WAITING - 1
    assert client.metrics.total(CALLS) == MOST_WAITING


def test_a_listener_can_read_the_call_that_it_is_notified_of(front_end: FrontEnd) -> None:
    """An event waits before the listener is called, so what it reads has this call."""
    seen: list[float] = []

    def listen(event: Any) -> None:
        if event.name == "call_finished":
            seen.append(client.metrics.total(CALLS))

    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)), on_event=listen)
    front_end.request(client, "GET", ORIGIN)
    front_end.request(client, "GET", ORIGIN)
    assert seen == [1, 2]


def test_the_calls_of_a_client_that_is_gone_are_counted() -> None:
    """Its events keep what counts them, but not the client."""
    metrics = HttpMetrics()
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)), metrics=metrics)
    client.get(ORIGIN)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    assert metrics.total(CALLS) == 1


def test_a_call_belongs_to_the_instant_of_its_end(front_end: FrontEnd) -> None:
    """And not to that at which it is counted: a client may be idle for an hour in between."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.clock.now += 120.0
    assert harness.client.get_health_summary(window=60.0)["window"]["total_requests"] == 0
    assert harness.client.get_health_summary(window=180.0)["window"]["total_requests"] == 1


def test_nothing_is_lost_between_threads_that_call_and_read() -> None:
    """16 threads, 50 calls each, two of which read after each call."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))

    def work(number: int) -> None:
        for _ in range(50):
            client.get(ORIGIN)
            if number < 2:
                client.metrics.total(CALLS)

    run_threads(work)
    summary = client.get_health_summary()
    assert (summary["total_requests"], summary["window"]["total_requests"]) == (800, 800)


def test_a_call_that_a_finalizer_ends_while_others_are_counted_is_counted_once() -> None:
    """The garbage collector may run between any two steps of the thread that counts."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    client.get(ORIGIN)
    waiting = client.metrics._waiting
    account, event, now = waiting.popleft()
    ends = iter([None])

    class Interrupting:
        def count(self, events: Sequence[Waiting]) -> None:
            for _ in ends:
                client.get(ORIGIN)
                client.metrics.catch_up()
            account.count(events)

    waiting.appendleft((Interrupting(), event, now))
    assert client.metrics.total(CALLS) == 2
    assert client.metrics.total("http_attempts_total") == 2


@needs_fork
def test_a_forked_child_counts_none_of_its_parents_calls() -> None:
    """Not those either that wait at the fork: the parent counts them."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    client.get(ORIGIN)

    def work() -> None:
        assert client.metrics.total(CALLS) == 0
        client.get(ORIGIN)
        assert client.get_health_summary()["total_requests"] == 1

    assert in_a_child(work) == 0
    assert client.metrics.total(CALLS) == 1


def test_a_follower_is_called_during_the_call_and_for_those_before_it_is_not() -> None:
    """What waited is counted before it follows; from then on each event is counted as it comes."""
    collector = MetricsCollector()
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)), metrics=collector)
    client.get(ORIGIN)
    followed: list[str] = []
    collector.follow(lambda event: followed.append(event.name))  # type: ignore[union-attr]  # no change of a circuit comes
    assert not client.metrics._waiting
    client.get(ORIGIN)
    assert followed == ["attempt_finished", "call_finished"]
    assert client.metrics.total(CALLS) == 2


def test_an_exemplar_is_looked_up_during_the_call() -> None:
    """Its trace is current on the thread of the call alone."""
    collector, clock = MetricsCollector(), FakeClock()
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)), metrics=collector, clock=clock)
    client.get(ORIGIN)
    trace = ["before"]
    collector.keep_exemplars(lambda: {"trace_id": trace[0]})
    trace[0] = "during"
    client.get(ORIGIN)
    trace[0] = "after"
    (histogram,) = client.metrics.snapshot().histograms
    assert [dict(found.labels) for _, found in histogram.exemplars] == [{"trace_id": "during"}]
