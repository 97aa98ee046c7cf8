"""Closing a client while a library of asyncio makes an exchange for it: an abort ends it, whatever its timeout."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import pytest

from http_service_client import (
    ClientClosedError,
    ConnectionPoolConfig,
    ConstantBackoff,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    SentState,
)
from http_service_client.drivers.aio import ABORTED, Aborts, bounded
from http_service_client.integrations import adapter_base, resilience_middleware
from http_service_client.testing import LoopbackServer, raw, respond
from kit.adapters import WAYS, Way, leaving_bodies
from kit.front_ends import AsyncioFrontEnd
from kit.httpx_clients import STOPS

FOR_ASYNCIO = [way for way in WAYS if way.plain is AsyncioFrontEnd]


@pytest.fixture(params=FOR_ASYNCIO, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> type[Way]:
    """Each library of asyncio in turn."""
    kind: type[Way] = request.param
    return kind


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def during(
    way: type[Way],
    stack: ExitStack,
    server: LoopbackServer,
    close: Callable[[HttpServiceClient], Any],
    **settings: Any,
) -> Exception | None:
    """The error of a request during which another thread closes the client."""
    client = HttpServiceClient(HttpClientConfig(trust_env_proxy_settings=False, **settings))
    session = way(client, None, stack)

    def close_in_flight() -> None:
        ends_at = time.monotonic() + 10
        while not server.requests and time.monotonic() < ends_at:
            time.sleep(0.005)
        close(client)

    thread = threading.Thread(target=close_in_flight, daemon=True)
    thread.start()
    try:
        session.request("GET", server.url)
    except Exception as error:
        return error
    finally:
        thread.join(10)
        assert client._backends.is_idle()
    return None


@pytest.mark.parametrize("timeout", [60.0, None])
@pytest.mark.parametrize("how", [{"abort": True}, {"grace": 0.05}], ids=["abort", "grace"])
def test_an_abort_ends_an_exchange(
    way: type[Way], stack: ExitStack, server: LoopbackServer, timeout: float | None, how: dict[str, Any]
) -> None:
    """The server may have processed the request, so nothing is sent again."""
    server.script("/", respond(delay=60.0))
    pool = ConnectionPoolConfig(request_timeout=timeout)
    began = time.monotonic()
    error = during(way, stack, server, lambda client: client.close(**how), connection_pool=pool)
    assert isinstance(error, ClientClosedError)
    assert (error.sent_state, len(server.requests)) == (SentState.ABANDONED, 1)
    assert time.monotonic() - began < 30


def test_an_abort_while_a_response_is_discarded_ends_the_call(
    way: type[Way], stack: ExitStack, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next exchange, of which nothing is sent."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 0.5)
    server.script("/", raw(STOPS, b"y", every=30.0), respond(200))
    policy = RetryPolicy(backoff_strategy=ConstantBackoff(0.0, jitter="none"))

    def close(client: HttpServiceClient) -> None:
        time.sleep(0.1)
        client.close(abort=True)

    error = during(leaving_bodies(way), stack, server, close, retry_policy_config=policy)
    assert isinstance(error, ClientClosedError)
    assert (error.sent_state, len(server.requests)) == (SentState.ANSWERED, 1)


def test_a_plain_close_lets_an_exchange_end(way: type[Way], stack: ExitStack, server: LoopbackServer) -> None:
    """The session and its connections are not the client's."""
    server.script("/", respond(delay=0.2))
    assert during(way, stack, server, lambda client: client.close()) is None


def test_it_is_an_error_of_the_library_too(server: LoopbackServer) -> None:
    """For code that catches aiohttp's."""
    server.script("/", respond(delay=60.0))
    client = HttpServiceClient()

    async def run() -> None:
        async with aiohttp.ClientSession(middlewares=[resilience_middleware(client=client)]) as session:
            asyncio.get_running_loop().call_later(0.1, lambda: client.close(abort=True))
            with pytest.raises(aiohttp.ClientConnectionError, match="closed during the call"):
                await session.get(server.url)

    asyncio.run(run())


def test_a_cancellation_by_the_caller_stays_one(server: LoopbackServer) -> None:
    """Also where the client is closed at the same time."""
    server.script("/", respond(delay=60.0))
    client = HttpServiceClient()

    async def run() -> None:
        async with aiohttp.ClientSession(middlewares=[resilience_middleware(client=client)]) as session:
            task = asyncio.ensure_future(session.get(server.url))
            await asyncio.sleep(0.1)
            task.cancel()
            client.close(abort=True)
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


class TestAborts:
    """The part of the driver that ends such work."""

    def test_work_that_begins_after_the_abort_ends_at_once(self) -> None:
        """It was on its way when another thread closed the client."""

        async def run() -> Any:
            aborts = Aborts()
            aborts.abort()
            return await bounded(asyncio.sleep(60), None, aborts)

        assert asyncio.run(run()) is ABORTED

    def test_what_has_ended_is_left_alone(self) -> None:
        """An abort that comes too late changes nothing, and nothing is kept."""

        async def run() -> Any:
            aborts = Aborts()
            result = await bounded(asyncio.sleep(0, "done"), 60, aborts)
            aborts.abort()
            await asyncio.sleep(0)
            return result, aborts._loops, aborts._aborted

        assert asyncio.run(run()) == ("done", {}, set())

    @pytest.mark.parametrize("timeout", [60.0, None])
    def test_work_that_ends_in_spite_of_the_abort_has_been_done(self, timeout: float | None) -> None:
        """Its result is used, or its error raised."""
        ended: list[str] = []

        async def stubborn(aborts: Aborts, error: Exception | None) -> str:
            aborts.abort()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
            if error is not None:
                raise error
            return "done"

        async def run(error: Exception | None) -> Any:
            aborts = Aborts()
            return await bounded(stubborn(aborts, error), timeout, aborts)

        assert asyncio.run(run(None)) == "done"
        with pytest.raises(ValueError, match="its own"):
            asyncio.run(run(ValueError("its own")))
        assert ended == ["cancelled"] * 2

    def test_a_loop_that_was_closed_is_passed_over(self) -> None:
        """Its tasks will never end."""
        loop, aborts = asyncio.new_event_loop(), Aborts()
        aborts.enter(loop.create_future())
        loop.close()
        aborts.abort()
        assert aborts.are_over

    def test_work_that_cancels_itself_was_not_aborted(self) -> None:
        """Its caller sees the cancellation."""

        async def cancelled() -> None:
            raise asyncio.CancelledError

        async def run() -> None:
            await bounded(cancelled(), 60, Aborts())

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run())


@pytest.mark.parametrize("any_way", WAYS, ids=lambda way: way.name)
def test_a_client_that_is_closed_while_a_call_begins_waits_for_nothing(
    any_way: type[Way], stack: ExitStack, server: LoopbackServer
) -> None:
    """The call has the outcome of its first attempt at most, and makes no other."""
    server.script("/", respond(503))

    def close(request: object) -> None:
        client.close()

    config = HttpClientConfig(
        trust_env_proxy_settings=False,
        state_key=close,
        retry_policy_config=RetryPolicy(backoff_strategy=ConstantBackoff(60.0, jitter="none")),
    )
    client = HttpServiceClient(config)
    session = any_way(client, None, stack)
    began = time.monotonic()
    with pytest.raises(ClientClosedError):
        session.request("GET", server.url)
    assert time.monotonic() - began < 30
    assert len(server.requests) <= 1
