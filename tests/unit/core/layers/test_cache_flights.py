"""Equal GETs in flight make one exchange."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    Cache,
    CircuitOpenError,
    ClientClosedError,
    ConnectError,
    DeadlineExceededError,
    EgressRefusedError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    MemoryStorage,
    ReadTimeoutError,
    SentState,
    TlsVerificationError,
    TransportError,
)
from http_service_client.core.layers.cache import _concerns_others
from http_service_client.core.machines.caching.flights import Flights
from http_service_client.errors import Failure
from http_service_client.events import CacheResult
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.caches import URL, cached_for, used
from kit.fakes import failure, short
from kit.front_ends import FrontEnd, run_task
from kit.jumping_loop import JumpingLoop
from kit.rows import each_row


class Async:
    """A client for tasks of one loop, in virtual time."""

    def __init__(self, *script: Any, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.transport = ScriptedTransport(list(script), clock=self.clock)
        self.cache = Cache(**settings)
        self.client = HttpServiceClient(
            cache=self.cache, transport=self.transport, clock=self.clock
        ).with_options(retry_policy=False)

    def gather(self, *calls: dict[str, Any]) -> list[Any]:
        async def run() -> list[Any]:
            return await asyncio.gather(
                *(self.client.get_async(URL, **call) for call in calls), return_exceptions=True
            )

        return run_task(run())


def test_equal_requests_share_one_exchange() -> None:
    """The others wait for it, and their responses say so."""
    network = Async(late(1.0, cached_for(60, "x")))
    responses = network.gather(*[{}] * 200)
    assert [response.text for response in responses] == ["x"] * 200
    assert len(network.transport.sent) == 1
    assert sorted(used(response).is_collapsed for response in responses) == [False] + [True] * 199
    assert used(responses[1]).cache_status == "http-service-client; fwd=miss; ttl=59; collapsed"
    assert {(used(each).result, used(each).reason) for each in responses[1:]} == {(CacheResult.HIT, "")}


def test_a_call_inside_of_the_same_call_does_not_wait_for_it(front_end: FrontEnd) -> None:
    """Such as that of an interceptor, which would wait for itself as long as an attempt may take."""
    transport = ScriptedTransport(cached_for(60, "x"))
    inner: list[HttpResponse] = []

    class Outer:
        async def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            if not inner:
                inner.append(HttpResponse(100))  # it has begun
                inner.append(await client.get_async(URL))
            return request

    class OuterBlocking:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            if not inner:
                inner.append(HttpResponse(100))
                inner.append(client.get(URL))
            return request

    interceptor = Outer() if front_end.name == "asyncio" else OuterBlocking()
    client = front_end.client(
        transport=transport, cache=Cache(), request_interceptors=[interceptor], total_timeout=20.0
    )
    outer = front_end.request(client, "GET", URL)
    assert [outer.text, inner[-1].text] == ["x", "x"]
    assert [used(outer).is_collapsed, used(inner[-1]).is_collapsed] == [False, False]
    assert len(transport.sent) == 2


def test_other_requests_make_an_exchange_of_their_own() -> None:
    """Other headers, other credentials, and one whose caller wants to see redirects."""
    network = Async(late(1.0, cached_for(60)))
    config = HttpClientConfig(allowed_redirect_count=1)
    network.client = HttpServiceClient(
        config, cache=network.cache, transport=network.transport, clock=network.clock
    )
    others: list[dict[str, Any]] = [{"headers": {"Accept-Language": "de"}}, {"auth": "token"}]
    network.gather({}, *others, {"allow_redirects": False})
    assert len(network.transport.sent) == 4


@pytest.mark.parametrize("directive", ["no-store", "max-age=0", "max-age=0, stale-if-error=60"])
def test_a_response_that_is_not_kept_fresh_is_not_shared(directive: str) -> None:
    """Each request makes its own exchange then; and the next time they do not wait for each other."""
    network = Async(late(1.0, HttpResponse(200, headers={"Cache-Control": directive})))
    network.gather({}, {}, {})
    assert (len(network.transport.sent), network.clock.monotonic()) == (3, 2.0)
    network.gather({}, {}, {})
    assert (len(network.transport.sent), network.clock.monotonic()) == (6, 3.0)


def test_a_response_that_may_not_be_kept_any_more_is_not_shared() -> None:
    """A 304 may say so; the next time, requests do not wait for each other."""
    tag = {"ETag": '"1"'}
    gone = HttpResponse(304, headers={"Cache-Control": "no-store", **tag})
    fresh = HttpResponse(200, headers={"Cache-Control": "no-store"})
    network = Async(cached_for(1, "x", **tag), late(1.0, gone), late(1.0, fresh))
    network.gather({})
    network.clock.advance(10.0)
    network.gather({})
    began = network.clock.monotonic()
    network.gather({}, {}, {})
    assert network.clock.monotonic() - began == 1.0
    assert not [sent for sent in network.transport.requests[2:] if "If-None-Match" in sent.headers]


@each_row(
    ("outcome", "concerns"),
    [
        (failure(ConnectError, SentState.NEVER_SENT), True),
        (failure(ReadTimeoutError), True),
        (failure(CircuitOpenError, SentState.NEVER_SENT), True),
        (failure(TransportError, SentState.ABANDONED), False),
        (failure(DeadlineExceededError, SentState.NEVER_SENT), False),
        (failure(DeadlineExceededError, SentState.ABANDONED), False),
        (failure(TlsVerificationError, SentState.NEVER_SENT), False),
        (failure(ClientClosedError, SentState.NEVER_SENT), False),
        (failure(EgressRefusedError, SentState.NEVER_SENT), False),
    ],
    ids=short,
)
def test_a_failure_concerns_others_if_they_may_expect_the_same(outcome: Failure, concerns: bool) -> None:
    """Not one of a limit of the call's own, nor one that is none of the service's."""
    assert _concerns_others(outcome) is concerns


def test_a_response_that_is_confirmed_is_shared_again() -> None:
    """When the service says that it stays fresh, requests that come later wait for the one exchange."""
    tag = {"ETag": '"1"'}
    once = HttpResponse(200, content="x", headers={"Cache-Control": "no-cache", **tag})
    network = Async(once, late(1.0, HttpResponse(304, headers={"Cache-Control": "max-age=5", **tag})))
    network.gather({})
    network.gather({})
    network.clock.advance(10.0)
    assert [response.text for response in network.gather({}, {}, {})] == ["x"] * 3
    assert len(network.transport.sent) == 3


def test_a_response_that_went_while_a_call_waited_is_not_asked_about() -> None:
    """The first one learns that it is gone; the others send their requests without its tag."""
    cached = cached_for(1, "x", ETag='"1"')
    network = Async(cached, late(1.0, HttpResponse(404, headers={"Cache-Control": "no-store"})))
    network.gather({})
    network.clock.advance(10.0)
    responses = network.gather({}, {}, {})
    assert [response.status_code for response in responses] == [404] * 3
    tags = [request.headers.get("If-None-Match") for request in network.transport.requests]
    assert tags == [None, '"1"', None, None]


def test_it_can_be_switched_off() -> None:
    """coalesce=False."""
    network = Async(late(1.0, cached_for(60)), coalesce=False)
    network.gather({}, {}, {})
    assert len(network.transport.sent) == 3


def test_a_failure_is_not_shared() -> None:
    """The others try it themselves, all at once."""
    network = Async(late(1.0, ConnectionResetError()), late(1.0, cached_for(60)))
    outcomes = network.gather({}, {}, {})
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "ConnectionLostError", "HttpResponse", "HttpResponse",
    ]  # fmt: skip
    assert network.clock.monotonic() == 2.0


def test_a_failed_revalidation_is_shared_where_a_stale_response_may_stand_in() -> None:
    """One failed exchange covers all who wait for it."""
    network = Async(cached_for(1, "good", "stale-if-error=60"), late(1.0, HttpResponse(503)))
    network.gather({})
    network.clock.advance(10.0)
    responses = network.gather({}, {}, {})
    assert [response.text for response in responses] == ["good"] * 3
    assert [used(response).is_collapsed for response in responses] == [False, True, True]
    assert len(network.transport.sent) == 2


def test_when_the_first_is_cancelled_another_one_goes_on() -> None:
    """The rest still make one exchange among them."""
    network = Async(late(5.0, cached_for(60, "x")))

    async def run() -> list[HttpResponse[Any]]:
        first = asyncio.ensure_future(network.client.get_async(URL))
        others = [asyncio.ensure_future(network.client.get_async(URL)) for _ in range(5)]
        await asyncio.sleep(0)
        await network.clock.elapse_async(1.0)
        first.cancel()
        return await asyncio.gather(*others)

    assert [response.text for response in run_task(run())] == ["x"] * 5
    assert len(network.transport.sent) == 2


def test_the_deadline_of_the_first_is_not_that_of_the_others() -> None:
    """Its call fails; one of the others makes the exchange for the rest."""
    network = Async(late(5.0, cached_for(60, "x")))
    first, *others = network.gather({"total_timeout": 1.0}, {}, {})
    assert isinstance(first, DeadlineExceededError)
    assert [response.text for response in others] == ["x", "x"]
    assert len(network.transport.sent) == 2


class Hangs:
    """A service whose first response comes when somebody else has got one."""

    def __init__(self) -> None:
        self.sent = 0
        self.is_over = asyncio.Event()

    async def send_async(self, request: HttpRequest, timeout: object) -> HttpResponse:
        self.sent += 1
        if self.sent == 1:
            await self.is_over.wait()
        return cached_for(60, "slow" if self.sent == 1 else "quick")


@pytest.mark.parametrize("limit", [{"total_timeout": 0.05}, {"timeout": 0.05}])
def test_a_waiting_call_keeps_its_own_limits(limit: dict[str, Any]) -> None:
    """After its deadline it fails. After the timeout of an attempt it makes an exchange itself: the first may hang."""

    async def run() -> Any:
        service, cache = Hangs(), Cache()
        client = HttpServiceClient(cache=cache, transport=service)
        first = asyncio.ensure_future(client.get_async(URL))
        await asyncio.sleep(0)
        (flight,) = cache.state.flights._shared.values()
        try:
            return (await client.get_async(URL, **limit)).text
        except DeadlineExceededError as error:
            return type(error)
        finally:
            assert not flight._landing._waiting, "the first one holds nothing of a call that has ended"
            service.is_over.set()
            await first

    assert run_task(run()) == (DeadlineExceededError if "total_timeout" in limit else "quick")


def test_a_call_waits_for_another_no_longer_than_an_attempt_may_take() -> None:
    """Be it less than a second."""
    loop = JumpingLoop()

    async def run() -> tuple[str, float]:
        service = Hangs()
        client = HttpServiceClient(cache=Cache(), transport=service)
        first = asyncio.ensure_future(client.get_async(URL))
        await asyncio.sleep(0)
        began = loop.time()
        response = await client.get_async(URL, timeout=0.5)
        waited = loop.time() - began
        service.is_over.set()
        await first
        return response.text, waited

    try:
        assert loop.run_until_complete(run()) == ("quick", pytest.approx(0.5, abs=0.1))
    finally:
        loop.close()


def test_what_was_changed_meanwhile_is_neither_stored_nor_joined() -> None:
    """A GET that was on its way during a POST may hold the old state; a GET after the POST must see the new one."""
    clock = VirtualClock()

    transport = ScriptedTransport(
        [
            late(5.0, cached_for(60, "old")),
            HttpResponse(204),
            late(1.0, cached_for(60, "new")),
        ],
        clock=clock,
    )
    client = HttpServiceClient(cache=Cache(), transport=transport, clock=clock)

    async def run() -> list[str]:
        before = asyncio.ensure_future(client.get_async(URL))
        await clock.elapse_async(1.0)
        await client.post_async(URL)
        after = await client.get_async(URL)
        return [(await before).text, after.text, (await client.get_async(URL)).text]

    assert run_task(run()) == ["old", "new", "new"]
    assert len(transport.sent) == 3


def test_a_change_that_was_cancelled_ends_what_was_stored() -> None:
    """The service may have made it."""
    clock = VirtualClock()
    script = [cached_for(60, "old"), late(5.0, HttpResponse(204)), cached_for(60, "new")]
    transport = ScriptedTransport(script, clock=clock)
    client = HttpServiceClient(cache=Cache(), transport=transport, clock=clock)

    async def run() -> str:
        await client.get_async(URL)
        change = asyncio.ensure_future(client.post_async(URL))
        await clock.elapse_async(1.0)
        change.cancel()
        await asyncio.wait([change])
        assert change.cancelled()
        return (await client.get_async(URL)).text

    assert run_task(run()) == "new"


class Gate:
    """A service that responds when the test lets it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.came = threading.Event()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.came.set()
        assert self.opened.wait(10)
        return cached_for(60, "x")


def in_thread(function: Callable[[], Any], results: list[Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    return thread


@pytest.mark.parametrize("leader", ["thread", "task"])
def test_threads_and_tasks_share_one_exchange(leader: str) -> None:
    """Whichever came first."""
    gate, results = Gate(), []  # type: ignore[var-annotated]
    transport = ScriptedTransport([gate])
    cache = Cache()
    client = HttpServiceClient(cache=cache, transport=transport)

    async def call() -> Any:
        return await client.get_async(URL)

    ways = [lambda: client.get(URL), lambda: asyncio.run(call())]
    if leader == "task":
        ways.reverse()
    threads = [in_thread(ways[0], results)]
    assert gate.came.wait(10)
    threads += [in_thread(way, results) for way in ways * 3]
    flight = next(iter(cache.state.flights._shared.values()))
    while len(flight._landing._waiting) < 6:
        threading.Event().wait(0.001)
    gate.opened.set()
    for thread in threads:
        thread.join(10)
    assert [response.text for response in results] == ["x"] * 7
    assert len(transport.sent) == 1


def test_one_that_does_not_go_on_holds_up_no_other() -> None:
    """Its event loop may be busy with other code."""
    flights: Flights[str] = Flights(threading.Lock)
    flight, _ = flights.join("key", "subject")
    busy, other = flight.wait(), flight.wait()
    flights.land(flight, "x")
    assert (busy.is_granted, other.is_granted) == (True, True)


def test_no_flight_is_left() -> None:
    """Neither after a response nor after a failure."""
    network = Async(cached_for(60), ConnectionResetError(), storage=MemoryStorage(1))
    network.gather({})
    network.gather({})
    flights = network.cache.state.flights
    assert (flights._shared, flights._by_subject) == ({}, {})
