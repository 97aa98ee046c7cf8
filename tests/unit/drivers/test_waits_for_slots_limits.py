"""How long a call waits for a slot, what it says of the wait, and what it has for its attempt afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ConnectionPoolConfig,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    Timeout,
)
from http_service_client.auth import Bearer
from http_service_client.core.effects import Acquire, Send
from http_service_client.core.layers.exchange import Exchange
from http_service_client.drivers.simulator import Run, Simulator
from http_service_client.errors import DeadlineExceededError, PoolTimeoutError, SentState
from http_service_client.events import ConnectionAwaited
from http_service_client.http.urls import origin_of
from kit.fakes import ORIGIN, SLOW, URL, FakeClock, FakeTransport, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row


def test_a_slot_that_is_not_free_in_time_is_a_pool_timeout(front_end: FrontEnd) -> None:
    """Nothing was sent, the breaker counts nothing, and a POST may be retried."""
    harness = Harness(
        front_end, max_connections_per_host=1, retry_policy_config={"max_attempts": 2, "initial_delay": 0.0}
    )
    holder = harness.state.connections.acquire_later()
    error = harness.error(PoolTimeoutError, "POST", timeout=Timeout(pool=0.001))
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)
    assert len([event for event in error.timeline if event.name == "attempt_finished"]) == 2
    assert harness.state.breaker.snapshot().failures == 0
    holder.release()
    assert harness.request("POST").status_code == 200


@each_row(
    ("timeout", "options", "wait"),
    [
        (Timeout(pool=None), {}, None),
        (Timeout(total=6.0, pool=None), {}, 16.0),
        (Timeout(total=6.0, pool=2.0), {}, 2.0),
        (Timeout(total=2.0, pool=6.0), {}, 6.0),
        (Timeout(pool=2.0), {}, 2.0),
        (Timeout(pool=None), {"total_timeout": 1.0}, 1.0),
        (Timeout(pool=2.0), {"total_timeout": 1.0}, 1.0),
        (Timeout(total=6.0, pool=None), {"total_timeout": 7.0}, 7.0),
        (6.0, {}, 16.0),
    ],
    ids=str,
)
def test_a_wait_for_a_slot_ends_with_the_nearest_limit(
    timeout: Timeout | float, options: dict[str, Any], wait: float | None
) -> None:
    """The pool timeout or the deadline; without the former, ten seconds longer than an attempt may take."""
    harness = Harness(BlockingFrontEnd(), max_connections_per_host=1)
    holder = harness.state.connections.acquire_later()
    call = harness.client._call_builder.build("GET", URL, timeout=timeout, **options)
    plan = harness.client._call_builder.pipelines.call(call.request, call)
    acquire: Any = next(plan)
    assert (type(acquire), acquire.timeout) == (Acquire, wait)
    holder.release()
    assert type(plan.send(True)) is Send
    plan.close()


def test_both_slots_share_one_pool_timeout() -> None:
    """After a wait for the host's slot, only the rest is left for the client's."""
    harness = Harness(BlockingFrontEnd(), max_connections=1, max_connections_per_host=1)
    exchange = Exchange(harness.client._call_builder.origins, harness.limits[0])
    held = [harness.limits[0].acquire_later(), harness.state.connections.acquire_later()]
    call = harness.client._call_builder.build("GET", URL, timeout=Timeout(pool=10.0))
    plan = exchange(call.request, call)
    for_host: Any = next(plan)
    harness.clock.now += 7.0
    held.pop().release()
    for_client: Any = plan.send(True)
    plan.close()
    assert (for_host.timeout, for_client.timeout) == (10.0, pytest.approx(3.0))
    assert [limit.in_use for limit in harness.limits] == [1, 0]


@contextmanager
def slot_granted_after(seconds: float, **options: Any) -> Iterator[Any]:
    """The step of a call's plan that follows its wait for a slot, with the `plan`, its `clock` and the `call`."""
    harness = Harness(BlockingFrontEnd(), max_connections_per_host=1)
    holder = harness.state.connections.acquire_later()
    call = harness.client._call_builder.build("GET", URL, retry_policy=None, **options)
    plan = harness.client._call_builder.pipelines.call(call.request, call)
    assert isinstance(next(plan), Acquire)
    harness.clock.now += seconds
    holder.release()
    yield SimpleNamespace(send=plan.send(True), plan=plan, clock=harness.clock, call=call)
    plan.close()


def test_a_wait_for_a_slot_takes_nothing_from_the_attempt() -> None:
    """The exchange after it has the whole timeout: the queue is the client's own, and no fault of the server."""
    with slot_granted_after(4.0, timeout=10.0) as after:
        assert (type(after.send), after.send.timeout.total) == (Send, 10.0)


@pytest.mark.parametrize("seconds", [0.0, 4.0])
def test_a_wait_for_a_slot_is_in_the_timeline(seconds: float) -> None:
    """Once for both slots, with the seconds that it took, in the attempt that waited."""
    with slot_granted_after(seconds, timeout=10.0) as after:
        (awaited,) = [event for event in after.call.events if isinstance(event, ConnectionAwaited)]
    assert (awaited.attempt, awaited.key, awaited.waited, awaited.at) == (1, ORIGIN, seconds, seconds)


def test_an_attempt_that_found_its_slot_free_waited_for_none(front_end: FrontEnd) -> None:
    """Its timeline does not speak of one."""
    harness = Harness(front_end)
    harness.request()
    assert not [event for event in harness.events if isinstance(event, ConnectionAwaited)]


def test_a_wait_for_a_slot_ends_no_attempt_before_it_begins() -> None:
    """Even if it takes much longer than the attempt may."""
    with slot_granted_after(40.0, timeout=10.0) as after:
        assert (type(after.send), after.send.timeout.total) == (Send, 10.0)


@pytest.mark.parametrize(("waited", "left"), [(1.0, 10.0), (4.0, 8.0)])
def test_a_wait_for_a_slot_takes_time_from_the_deadline(waited: float, left: float) -> None:
    """The attempt has its timeout, or what is left of the deadline if that is less."""
    with slot_granted_after(waited, timeout=10.0, total_timeout=12.0) as after:
        assert (type(after.send), after.send.timeout.total) == (Send, left)


def test_a_deadline_that_passes_with_the_grant_sends_nothing(front_end: FrontEnd) -> None:
    """The error is the deadline's, `never_sent`, and no evidence against the server."""
    harness = Harness(front_end, max_connections_per_host=1, enable_retry_policy=False)
    harness.state.connections.acquire_later()
    error = harness.error(DeadlineExceededError, total_timeout=0.01)
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)
    assert "while the call waited for a connection to https://api.example.com (1 in use)" in str(error)
    assert harness.state.breaker.snapshot().failures == 0


def test_an_attempt_that_the_wait_moved_to_the_deadline_is_cut_by_the_deadline() -> None:
    """Its timeout would have been earlier without the wait; a timeout then says nothing about the server."""
    with slot_granted_after(4.0, timeout=10.0, total_timeout=12.0) as after:
        after.clock.now += 8.0
        with pytest.raises(StopIteration) as ended:
            after.plan.send(SLOW)
    failure = ended.value.value
    assert (failure.error_type, failure.sent_state) == (DeadlineExceededError, SentState.ABANDONED)


def test_a_redirect_s_wait_for_a_slot_takes_nothing_from_the_attempt() -> None:
    """One timeout covers all exchanges of an attempt, and none of their waits."""
    harness = Harness(BlockingFrontEnd(), max_connections_per_host=1)
    call = harness.client._call_builder.build("GET", URL, timeout=10.0)
    plan = harness.client._call_builder.pipelines.call(call.request, call)
    assert next(plan).timeout.total == 10.0
    harness.clock.now += 3.0
    other = harness.client._call_builder.origins.get("https://other.example").connections
    holder = other.acquire_later()
    moved = HttpResponse(302, headers={"Location": "https://other.example/"}, url=URL, request=call.request)
    assert isinstance(plan.send(moved), Acquire)
    harness.clock.now += 30.0
    holder.release()
    send: Any = plan.send(True)
    plan.close()
    assert (type(send), send.timeout.total) == (Send, 7.0)


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({"timeout": Timeout(pool=10.0)}, [2.0, 8.0]),
        ({"timeout": Timeout(pool=3.0)}, [1.5, 1.5]),
        ({"timeout": Timeout(pool=None)}, [2.0, None]),
        ({"timeout": Timeout(total=6.0, pool=None)}, [2.0, 16.0]),
        ({"timeout": Timeout(pool=10.0), "total_timeout": 3.0}, [1.5, 1.5]),
    ],
    ids=str,
)
def test_a_wait_that_collects_garbage_ends_with_the_same_limit(
    options: dict[str, Any], waits: list[float | None]
) -> None:
    """While a stream is open, it is interrupted once: after two seconds, or in the midst of a shorter one."""
    harness, collections = Harness(BlockingFrontEnd(), max_connections_per_host=1), []
    origins = harness.client._call_builder.origins
    exchange = Exchange(origins, harness.limits[0], collect=lambda: collections.append(harness.clock.now))
    holder = harness.state.connections.acquire_later()
    origins.open_bodies.add(object())
    call = harness.client._call_builder.build("GET", URL, **options)
    plan = exchange(call.request, call)
    first: Any = next(plan)
    harness.clock.now += first.timeout
    second: Any = plan.send(False)
    assert ([first.timeout, second.timeout], len(collections)) == (waits, 1)
    holder.release()
    plan.close()


def in_virtual_time(
    urls: list[str],
    respond: Any,
    every: float = 0.0,
    leaked: tuple[str, ...] = (),
    with_auth: tuple[int, ...] = (),
    **limits: int,
) -> list[tuple[float, Any]]:
    """For each of these GETs, begun at intervals: the seconds it took, and its status or type of error.

    leaked: the URLs of streams that were opened before and are never closed.
    with_auth: the numbers of the calls that have an auth flow.
    """
    simulator = Simulator(respond)
    clock: Any = FakeClock()
    clock.monotonic = simulator.clock
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(**limits))
    client = HttpServiceClient(config, transport=FakeTransport(), clock=clock)
    calls = [
        client._call_builder.build(
            "GET", url, timeout=6.0, retry_policy=None, auth=FLOW if number in with_auth else None
        )
        for number, url in enumerate(urls)
    ]
    for url in leaked:
        assert client._call_builder.origins.get(origin_of(url)).connections.try_acquire()
        assert client._backends._limits()[0].try_acquire()
    runs: list[Run[Any]] = [
        simulator.spawn(
            client._call_builder.pipelines.of(call)(call.request, call),
            number * every,
        )
        for number, call in enumerate(calls)
    ]
    simulator.run(until=len(urls) * every + 1000.0)
    ends = [None if not run.is_done else getattr(run.result, "error_type", 200) for run in runs]
    return [(run.ended_at - run.started_at, end) for run, end in zip(runs, ends, strict=True)]


def two_seconds(request: Any, timeout: Timeout) -> tuple[float, Any]:
    return 2.0, HttpResponse(200, request=request)


OTHER = "https://other.example/"


FLOW = Bearer(lambda: "token")


@pytest.mark.parametrize("with_auth", [(), (30,), (31,)])
def test_without_a_pool_timeout_a_wait_goes_on_while_connections_become_free(
    with_auth: tuple[int, ...],
) -> None:
    """For the host's calls, or for those of all hosts, among which the host's wait their turn.

    with_auth: calls with an auth flow go through other layers, and wait in the same queue.
    """
    same_host = in_virtual_time([URL] * 20, two_seconds, max_connections_per_host=1)
    assert same_host[-1] == (40.0, 200)
    others = in_virtual_time(
        [f"https://host-{number}.example/" for number in range(30)] + [URL] * 3,
        two_seconds,
        with_auth=with_auth,
        max_connections=1,
        max_connections_per_host=1,
    )
    assert {end for _, end in others} == {200}
    # Its host's first call waited 60 s for the client's slot: more than the patience.
    assert others[-1][0] == 66.0


@pytest.mark.parametrize(
    ("leaked", "limits"),
    [
        ((OTHER,), {"max_connections": 1, "max_connections_per_host": 2}),
        ((URL,), {"max_connections": 2, "max_connections_per_host": 1}),
    ],
    ids=["the client's slots", "the host's slots"],
)
def test_a_wait_ends_where_no_connection_becomes_free_however_many_calls_come(
    leaked: tuple[str, ...], limits: dict[str, int]
) -> None:
    """Calls that come and give up, and the traffic of other hosts, keep no call waiting."""
    urls = [url for n in range(60) for url in (URL, f"https://host-{n % 5}.example/")]
    ends = in_virtual_time(urls, two_seconds, every=0.8, leaked=leaked, **limits)
    waits, errors = zip(*[end for url, end in zip(urls, ends, strict=True) if url == URL], strict=True)
    assert set(errors) == {PoolTimeoutError}
    assert max(waits) <= 32.0  # the patience for each of the two slots


@pytest.mark.parametrize(("pool_timeout", "ends"), [(None, {200}), (100.0, {200, PoolTimeoutError})])
def test_a_thousand_calls_at_once_end_well_unless_a_pool_timeout_is_set(
    pool_timeout: float | None, ends: set[Any]
) -> None:
    """A default client's twenty connections serve them all, over many times the attempt's timeout."""
    simulator = Simulator(lambda request, timeout: (25.0, HttpResponse(200, request=request)))
    clock: Any = FakeClock()
    clock.monotonic = simulator.clock
    client = HttpServiceClient(
        HttpClientConfig(connection_pool=ConnectionPoolConfig(pool_timeout=pool_timeout)),
        transport=FakeTransport(),
        clock=clock,
    )
    calls = [client._call_builder.build("GET", URL, retry_policy=None) for _ in range(1000)]
    runs: list[Run[Any]] = [
        simulator.spawn(client._call_builder.pipelines.call(call.request, call)) for call in calls
    ]
    simulator.run()
    results = [run.result for run in runs]
    assert {
        each.status_code if isinstance(each, HttpResponse) else each.error_type for each in results
    } == ends
    assert client.get_circuit_breaker_states() == {"https://api.example.com": "closed"}


def test_without_a_pool_timeout_a_call_waits_until_a_slot_is_free(front_end: FrontEnd) -> None:
    """However long another one holds it."""
    harness = Harness(front_end, max_connections_per_host=1, retry_policy_config={"max_attempts": 1})
    holder = harness.state.connections.acquire_later()
    timer = threading.Timer(0.05, holder.release)
    timer.start()
    assert harness.request(timeout=Timeout(pool=None)).status_code == 200
    timer.join()
    assert [limit.in_use for limit in harness.limits] == [0, 0]
