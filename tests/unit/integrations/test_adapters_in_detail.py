"""What the adapters of all libraries have in common: what is left of an attempt, and what a call leaves behind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from types import FrameType
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from http_service_client import (
    ClientClosedError,
    ConfigurationError,
    ConnectionPoolConfig,
    EgressPolicy,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.events import AttemptFinished
from http_service_client.integrations import AsyncResilientTransport, ResilientAdapter, adapter_base, explain
from http_service_client.integrations.adapter_base import links
from http_service_client.testing import LoopbackServer, VirtualClock, raw, reset, respond, stall
from kit.adapters import WAYS, RequestsWay, Way, leaving_bodies
from kit.httpx_clients import STOPS, Clients, Sends
from kit.telemetry import Notes


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def client_of(*, on_event: Any = None, **settings: Any) -> HttpServiceClient:
    """A client in virtual time."""
    config = HttpClientConfig(trust_env_proxy_settings=False, **settings)
    return HttpServiceClient(config, clock=VirtualClock(), on_event=on_event)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_body_that_is_read_once_is_not_sent_again_after_a_timeout(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """What was read of it is gone, and an empty one would be sent in its place."""
    server.script("/", stall())
    session = way(client_of(base_timeout=0.2), None, stack)
    with pytest.raises(Exception, match=r"time|within"):
        session.request("PUT", server.url, data=iter([b"pay"]))
    assert [request.body for request in server.requests] == [b"pay"]


@pytest.mark.parametrize("way", [way for way in WAYS if way is not RequestsWay], ids=lambda way: way.name)
def test_an_attempt_has_time_left_after_a_response_was_discarded(
    way: type[Way], server: LoopbackServer, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it at least: the body of that response may stop. requests reads none."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 60.0)
    server.script("/", raw(STOPS, b"y", every=30.0), respond(200))
    attempts: list[AttemptFinished] = []
    client = client_of(
        base_timeout=1.0,
        on_event=lambda event: attempts.append(event) if isinstance(event, AttemptFinished) else None,
    )
    leaving_bodies(way)(client, None, stack).request("GET", server.url)
    assert [attempt.status_code for attempt in attempts] == [503, 200]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize(("attempt", "within"), [(1.2, 0.6), (30.0, 1.0), (None, 1.0)])
def test_a_response_is_discarded_within_half_of_an_attempt_s_time_or_a_second(
    library: str, stack: ExitStack, attempt: float | None, within: float
) -> None:
    """Each read of its body has what is left of that."""
    clients = Clients(library, False, stack)
    seen: list[float] = []

    class Down(clients.library.SyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, request: Any) -> None:
            self._limits = request.extensions["timeout"]

        def __iter__(self) -> Iterator[bytes]:
            seen.append(self._limits["read"])
            yield b"down"

    class Sends503(Sends):
        def handle_request(self, request: Any) -> Any:
            return self._library.Response(503, stream=Down(request))

    pool = ConnectionPoolConfig(request_timeout=attempt)
    transport = clients.transport(HttpClientConfig(connection_pool=pool), transport=Sends503(clients))
    clients.request(clients.client(transport, timeout=None), "GET", "https://api.test/")
    first, second, _ = seen  # the client reads the last one
    assert within - 0.15 < first <= within
    assert within - 0.15 < second <= within


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_attempt_whose_whole_time_is_over_says_so(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """In its story, whatever the library makes of it."""
    server.script("/", stall())
    attempts: list[AttemptFinished] = []
    client = client_of(
        base_timeout=0.2,
        enable_retry_policy=False,
        on_event=lambda event: attempts.append(event) if isinstance(event, AttemptFinished) else None,
    )
    with pytest.raises(Exception, match=r"time|within"):
        way(client, None, stack).request("GET", server.url)
    assert [attempt.error for attempt in attempts] == ["AttemptTimeoutError"]


@pytest.mark.parametrize(
    ("limit", "early", "error"),
    [
        (0.2, 0.01, "AttemptTimeoutError"),
        (60.0, 60.0, "ReadTimeoutError"),
        (None, 60.0, "ReadTimeoutError"),
    ],
)
def test_a_timeout_is_that_of_the_attempt_from_a_tick_of_the_clock_before_its_end(
    limit: float | None, early: float, error: str
) -> None:
    """A socket may wake up so early. Before that, or without a limit, it is one of a single read."""

    class TimesOut(HTTPAdapter):
        def send(self, *arguments: Any, **options: Any) -> requests.Response:
            time.sleep(max(0.0, (limit or 0.0) - early))
            raise requests.ReadTimeout("no more")

    pool = ConnectionPoolConfig(request_timeout=limit)
    config = HttpClientConfig(connection_pool=pool, enable_retry_policy=False)
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(config, adapter=TimesOut()))
        with pytest.raises(requests.ReadTimeout) as caught:
            session.get("http://a.test/")
    attempts = [each.error for each in caught.value.timeline if isinstance(each, AttemptFinished)]  # type: ignore[attr-defined]
    assert attempts == [error]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_is_secret_to_the_client_is_so_under_another_library(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """Headers that the client was told of, and not others."""
    seen: list[Any] = []
    config = HttpClientConfig(sensitive_headers=["X-Account"], trust_env_proxy_settings=False)
    client = HttpServiceClient(config, on_exchange=lambda request, *_: seen.append(request.redacted()))
    way(client, None, stack).request("GET", server.url, headers={"X-Account": "1234", "X-Plan": "gold"})
    (request,) = seen
    assert (request.headers["X-Account"], request.headers["X-Plan"]) == ("***", "gold")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_egress_policy_that_a_shared_client_gets_is_an_error(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """At the next call: the library would not keep to it."""
    client = client_of()
    session = way(client, None, stack)
    client.reconfigure(HttpClientConfig(egress_policy=EgressPolicy()))
    with pytest.raises(ConfigurationError, match="cannot keep to the egress_policy"):
        session.request("GET", server.url)
    assert server.requests == []


class OddOnes(Notes):
    """A telemetry with a header for every other exchange."""

    def begin(self, call: Any, parent: Any) -> Any:
        seen: Any = super().begin(call, parent)
        begin_exchange = seen.begin_exchange

        def begin(request: HttpRequest, context: Any, is_own: bool) -> Any:
            end = begin_exchange(request, context, is_own)
            if self.exchanges % 2 == 0:
                del request.headers["X-Exchange"]
            return end

        seen.begin_exchange = begin
        return seen


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_header_of_one_attempt_is_not_that_of_the_next(
    way: type[Way], server: LoopbackServer, stack: ExitStack
) -> None:
    """Each has what was set for it."""
    server.script("/", respond(503), respond(503), respond(200))
    client = HttpServiceClient(clock=VirtualClock(), telemetry=OddOnes())
    way(client, None, stack).request("GET", server.url)
    received = [{name.lower(): value for name, value in request.headers} for request in server.requests]
    assert [headers.get("x-exchange") for headers in received] == ["1", None, "3"]


def test_what_would_have_helped_is_told_on_request(server: LoopbackServer, stack: ExitStack) -> None:
    """A story is of what happened, otherwise."""
    server.script("/", reset())
    session = RequestsWay(client_of(), None, stack)
    with pytest.raises(requests.ConnectionError) as caught:
        session.request("POST", server.url)
    told = explain(caught.value, why=True)
    assert "idempotent=True" in told
    assert "idempotent=True" not in explain(caught.value)


def test_the_story_of_an_error_that_a_response_was_made_into(
    server: LoopbackServer, stack: ExitStack
) -> None:
    """As by `raise_for_status`: it is that of the response."""
    server.script("/", respond(404))
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(client=client_of()))
        with pytest.raises(requests.HTTPError) as caught:
            session.get(server.url).raise_for_status()
    assert explain(caught.value).splitlines()[0] == f"GET {server.url}/"


class Interrupted(BaseException):
    """What ends a call between two attempts."""


def interrupts(response: HttpResponse) -> bool:
    raise Interrupted


@pytest.mark.parametrize("way", [RequestsWay], ids=lambda way: way.name)
def test_a_call_that_is_interrupted_leaves_nothing_to_the_cycle_collector(
    way: type[Way], server: LoopbackServer, stack: ExitStack, no_reference_cycles: None
) -> None:
    """Between two attempts: a response refers to its request."""
    server.script("/", respond(503))
    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(interrupts)])
    client = stack.enter_context(client_of(retry_policy_config=policy))
    session = way(client, None, stack)
    with pytest.raises(Interrupted):
        session.request("GET", server.url)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_attempt_that_failed_leaves_nothing_to_the_cycle_collector(
    library: str, is_async: bool, stack: ExitStack, no_reference_cycles: None
) -> None:
    """An error refers to all that it came through."""
    clients = Clients(library, is_async, stack)
    client = stack.enter_context(client_of(retry_policy_config={"max_attempts": 2}))
    errors = [clients.library.ReadError("broken") for _ in range(2)]
    transport = clients._transport(client=client, transport=Sends(clients, *errors))
    errors.clear()
    request = clients.library.Request("GET", "https://api.test/")

    async def fail() -> None:
        with pytest.raises(clients.library.ReadError):  # here, since the loop would be in a cycle with it
            await transport.handle_async_request(request)

    if is_async:
        clients.wait(fail())
    else:
        with pytest.raises(clients.library.ReadError):
            transport.handle_request(request)


class Alarmed(HTTPAdapter):
    """A time limit of the program's own strikes while it sends: by the handler of a signal, which raises."""

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        def handle(number: int, frame: FrameType | None) -> None:
            raise TimeoutError("the time limit of the job")

        try:
            handle(14, sys._getframe())
        except TimeoutError as error:
            raise requests.ReadTimeout("no more") from error
        raise AssertionError


def test_a_time_limit_of_the_program_leaves_nothing_to_the_cycle_collector(
    stack: ExitStack, no_reference_cycles: None
) -> None:
    """It is raised as it was, and not as the timeout that the library made of it."""
    client = stack.enter_context(client_of())
    session = stack.enter_context(requests.Session())
    session.mount("http://", ResilientAdapter(client=client, adapter=Alarmed()))
    with pytest.raises(TimeoutError, match="the time limit of the job"):
        session.get("http://a.test/")


def test_a_chain_of_errors_has_an_end() -> None:
    """Also one that leads back to itself: each error is in it once. What is being handled is not."""
    error, cause = LookupError(), ValueError()
    error.__cause__ = cause
    assert list(islice(links(error), 9)) == [error, cause]
    try:
        raise LookupError("of another call")
    except LookupError:
        assert list(islice(links(error), 9)) == [error, cause]
    cause.__context__ = error
    assert list(islice(links(error), 9)) == [error, cause]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_an_exchange_whose_loop_has_ended_is_given_up_quietly(library: str, stack: ExitStack) -> None:
    """Whatever context it is closed from, as by the garbage collector."""
    clients, begun = Clients(library, True, stack), asyncio.Event()

    class Waits(Sends):
        async def handle_async_request(self, request: Any) -> Any:
            begun.set()
            await asyncio.sleep(60)

    transport = AsyncResilientTransport(transport=Waits(clients))
    call = transport.handle_async_request(clients.library.Request("GET", "https://api.test/"))

    async def begin() -> asyncio.Task[Any]:
        task = asyncio.create_task(call)
        await begun.wait()
        return task

    clients._loop.set_exception_handler(lambda *about: None)  # of a task that never ends
    task = clients.wait(begin())
    call.close()
    clients.wait(asyncio.sleep(0))  # for what was cancelled by that
    assert not task.done()


def test_an_error_of_both_is_shown_as_ours(server: LoopbackServer, stack: ExitStack) -> None:
    """By its class, of the name, the module and the description that it has elsewhere."""
    client = client_of()
    client.close()
    session = RequestsWay(client, None, stack)
    with pytest.raises(requests.ConnectionError) as caught:
        session.request("GET", server.url)
    kind, ours = type(caught.value), ClientClosedError
    assert kind is not ours
    assert (kind.__name__, kind.__module__, kind.__doc__) == (ours.__name__, ours.__module__, ours.__doc__)
