"""`resilience_middleware`: what a session of aiohttp sees of the policies."""

from __future__ import annotations

import asyncio
import io
import pickle
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from http_service_client import (
    AttemptTimeoutError,
    CircuitOpenError,
    ConfigurationError,
    ConnectionLostError,
    ConstantBackoff,
    DeadlineExceededError,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    SentState,
    deadline,
)
from http_service_client.integrations import adapter_base, explain, resilience_middleware
from http_service_client.testing import LoopbackServer, VirtualClock, hang_up, raw, reset, respond, stall

pytestmark = pytest.mark.asyncio

DOWN = respond(503, body="down")


def session(config: HttpClientConfig | None = None, **options: Any) -> aiohttp.ClientSession:
    """A session whose middleware waits in virtual time."""
    client = HttpServiceClient(config, clock=VirtualClock())
    return aiohttp.ClientSession(middlewares=[resilience_middleware(client=client, **options)])


async def test_the_response_is_that_of_aiohttp(server: LoopbackServer) -> None:
    """After two failures, with its story, and its body unread."""
    server.script("/", DOWN, reset(), respond(200, body="up"))
    async with session() as http, http.get(server.url) as response:
        assert isinstance(response, aiohttp.ClientResponse)
        assert await response.content.read() == b"up"
        assert (
            explain(response)
            .splitlines()[-1]
            .endswith(
                "done: 200 after 3 attempts; one without a complete response may have been processed, too"
            )
        )


async def test_an_error_that_is_being_handled_is_not_that_of_the_attempt(server: LoopbackServer) -> None:
    """A request that was sent would be taken for one that was not, and sent again."""
    server.script("/", reset())
    async with session() as http:
        handled = ConnectionRefusedError()
        try:
            raise handled
        except ConnectionRefusedError:
            with pytest.raises(aiohttp.ClientError) as caught:
                await http.post(server.url)
        assert handled.__traceback__ is not None
    assert caught.value.sent_state is SentState.MAYBE_PROCESSED
    assert len(server.requests) == 1


async def test_the_last_of_some_failures_can_be_read(server: LoopbackServer) -> None:
    """Also after the circuit has refused the next attempt."""
    server.script("/", DOWN)
    breaker = {"failure_threshold": 2, "recovery_timeout": 60.0}
    async with (
        session(HttpClientConfig(circuit_breaker_config=breaker)) as http,
        http.get(server.url) as response,
    ):
        assert (response.status, await response.text()) == (503, "down")


@pytest.mark.parametrize(
    ("size", "chunked", "connections"),
    [(1000, False, 1), (1000, True, 1), (10**6, False, 2)],
)
async def test_a_discarded_response_keeps_its_connection(
    server: LoopbackServer, size: int, chunked: bool, connections: int
) -> None:
    """A short body is read before the retry; the connection of a long one is closed."""
    server.script("/", respond(503, body=bytes(size), chunked=chunked), respond(200))
    async with session() as http, http.get(server.url) as response:
        assert response.status == 200
    assert server.connection_count == connections


async def test_the_body_of_a_discarded_response_costs_no_more_than_the_attempt_has(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops is read for a part of the next attempt's time, which ends when it would have ended."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 6.0)
    stops = b"HTTP/1.1 503 Down\r\nContent-Length: 100\r\n\r\nx"
    server.script("/", raw(stops, b"y", every=30.0), stall())
    began = time.monotonic()
    async with session(HttpClientConfig(base_timeout=0.3, retry_policy_config={"max_attempts": 2})) as http:
        with pytest.raises(aiohttp.ServerTimeoutError):
            await http.get(server.url)
    assert time.monotonic() - began < 5
    assert server.wait_for(lambda: len(server.requests) == 2)


async def test_a_connection_upgraded_by_a_request_is_not_read(server: LoopbackServer) -> None:
    """Its bytes are no body, also with read_bodies."""
    upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    server.script("/", raw(upgraded, b"x", every=30.0))
    async with session(read_bodies=True) as http:
        response = await http.get(server.url, headers={"Connection": "upgrade", "Upgrade": "x"})
        assert response.status == 101
        response.close()


async def test_the_last_error_is_that_of_aiohttp(server: LoopbackServer) -> None:
    """As it is, with the timeline and the sent state of the call."""
    server.refuse()
    async with session() as http:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await http.post(server.url, data=b"1")
    error: Any = caught.value
    assert type(error) is aiohttp.ClientConnectorError
    assert error.sent_state is SentState.NEVER_SENT
    assert "attempt 3" in explain(error)


@pytest.mark.parametrize("action", [reset(), hang_up()], ids=["reset", "hang_up"])
async def test_aiohttp_does_not_send_again_what_we_gave_up(server: LoopbackServer, action: Any) -> None:
    """It would, for a lost connection and an idempotent method: six exchanges for three attempts."""
    server.script("/", action)
    async with session() as http:
        with pytest.raises(aiohttp.ServerConnectionError) as caught:
            await http.get(server.url)
    assert len(server.requests) == 3
    assert isinstance(caught.value, ConnectionLostError)
    assert isinstance(caught.value.__cause__, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))


async def test_our_errors_are_those_of_aiohttp_too(server: LoopbackServer) -> None:
    """A circuit that is open is a connection error for code that knows aiohttp only. It can be pickled."""
    server.script("/", DOWN)
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 1}, enable_retry_policy=False)
    async with session(config) as http:
        await http.get(server.url)
        with pytest.raises(aiohttp.ClientConnectionError) as caught:
            await http.get(server.url)
    assert isinstance(caught.value, CircuitOpenError)
    assert caught.value.sent_state is SentState.NEVER_SENT
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.retry_after) == (type(caught.value), caught.value.retry_after)


async def test_the_attempt_as_a_whole_is_bounded(server: LoopbackServer) -> None:
    """By a timeout that is aiohttp's, too."""
    server.script("/", stall())
    async with session(HttpClientConfig(base_timeout=0.1)) as http:
        with pytest.raises(aiohttp.ServerTimeoutError) as caught:
            await http.post(server.url, data=b"1")
    assert isinstance(caught.value, AttemptTimeoutError)
    assert isinstance(caught.value, asyncio.TimeoutError)
    assert caught.value.sent_state is SentState.MAYBE_PROCESSED


async def test_the_cause_of_a_timeout_is_not_the_error_of_an_earlier_attempt(server: LoopbackServer) -> None:
    """Each attempt has its own."""
    server.script("/", reset(), stall())
    config = HttpClientConfig(base_timeout=0.2, retry_policy_config={"max_attempts": 2})
    async with session(config) as http:
        with pytest.raises(AttemptTimeoutError) as caught:
            await http.get(server.url)
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_an_error_of_ours_has_no_response_of_ours(server: LoopbackServer) -> None:
    """Code for aiohttp would take it for one of aiohttp's."""
    server.script("/", DOWN, stall())
    config = HttpClientConfig(base_timeout=0.2, retry_policy_config={"max_attempts": 2})
    async with session(config) as http:
        with pytest.raises(AttemptTimeoutError) as caught:
            await http.get(server.url)
    assert caught.value.response is None
    assert isinstance(caught.value.request, aiohttp.ClientRequest)


async def test_a_deadline_is_a_timeout(server: LoopbackServer) -> None:
    """The ambient one ends the attempt."""
    server.script("/", stall())
    async with aiohttp.ClientSession(middlewares=[resilience_middleware()]) as http:
        with deadline(0.1), pytest.raises(aiohttp.ServerTimeoutError) as caught:
            await http.get(server.url)
    assert isinstance(caught.value, DeadlineExceededError)


async def test_the_timeout_of_the_session_ends_the_call(server: LoopbackServer) -> None:
    """It is aiohttp's own, over all attempts."""
    server.script("/", stall())
    async with session() as http:
        with pytest.raises(asyncio.TimeoutError):
            await http.get(server.url, timeout=aiohttp.ClientTimeout(total=0.1))


async def test_a_lost_body_is_part_of_an_attempt_that_reads_it(server: LoopbackServer) -> None:
    """With read_bodies."""
    cut = hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    server.script("/", cut, respond(200, body="whole"))
    async with session(read_bodies=True) as http, http.get(server.url) as response:
        assert await response.text() == "whole"


async def test_a_body_that_is_not_read_to_its_end_is_closed(server: LoopbackServer) -> None:
    """With read_bodies: whatever ends the read, its caller gets no response to close."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", b"y", every=30.0))
    responses: list[aiohttp.ClientResponse] = []

    async def interrupted(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
        async def read() -> bytes:
            raise asyncio.CancelledError

        responses.append(response := await handler(request))
        response.read = read  # type: ignore[method-assign]
        return response

    async with aiohttp.ClientSession(
        middlewares=[resilience_middleware(read_bodies=True), interrupted]
    ) as http:
        with pytest.raises(asyncio.CancelledError):
            await http.get(server.url)
        assert responses[0].closed


async def test_a_generator_is_sent_once(server: LoopbackServer) -> None:
    """What has been read of it is gone; aiohttp would send an empty body."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"shot"

    server.script("/", DOWN)
    async with session() as http, http.put(server.url, data=pieces()) as response:
        assert response.status == 503
    assert [request.body for request in server.requests] == [b"one shot"]


async def test_a_file_is_rewound(server: LoopbackServer) -> None:
    """To where it was when the session got it; a form with a file as well."""
    server.script("/", DOWN, respond(200))
    file = io.BytesIO(b"header,body")
    file.seek(7)
    async with session() as http, http.put(server.url, data=file):
        pass
    assert [request.body for request in server.requests] == [b"body", b"body"]
    server.script("/form", DOWN, respond(200))
    async with session() as http, http.put(f"{server.url}/form", data={"file": io.BytesIO(b"content")}):
        pass
    first, second = [request.body for request in server.requests[2:]]
    assert b"content" in first
    assert first == second


async def test_an_idempotency_key_is_added_once(server: LoopbackServer) -> None:
    """All attempts have the same one."""
    server.script("/", reset(), respond(200))
    async with session(HttpClientConfig(auto_idempotency_key=True)) as http:
        await http.post(server.url, json={"amount": 5})
    first, second = [dict(request.headers)["Idempotency-Key"] for request in server.requests]
    assert first == second


async def test_a_function_says_what_is_idempotent(server: LoopbackServer) -> None:
    """By the request."""
    server.script("/search", respond(500), respond(200))
    server.script("/pay", respond(500))
    async with session(idempotent=lambda request: True if "search" in request.url else None) as http:
        statuses = [(await http.post(f"{server.url}/{path}")).status for path in ("search", "pay")]
    assert (statuses, len(server.requests)) == ([200, 500], 3)


async def test_one_level_retries(server: LoopbackServer) -> None:
    """A retry policy around the adapter, or the outer one of two adapters."""
    server.script("/", DOWN)
    policy = RetryPolicy(max_attempts=2, clock=VirtualClock())
    async with session() as http:
        await policy.call_async(http.get, server.url)
    assert len(server.requests) == 2
    twice = [resilience_middleware(client=HttpServiceClient(clock=VirtualClock())) for _ in range(2)]
    async with aiohttp.ClientSession(middlewares=twice) as http:
        await http.get(server.url)
    assert len(server.requests) == 5


async def test_a_cancelled_wait_closes_the_response_before(server: LoopbackServer) -> None:
    """No connection is left open, which would be a ResourceWarning."""
    server.script("/", DOWN)
    config = HttpClientConfig(retry_policy_config=RetryPolicy(backoff_strategy=ConstantBackoff(25.0)))
    async with aiohttp.ClientSession(middlewares=[resilience_middleware(config)]) as http:
        task = asyncio.create_task(http.get(server.url))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("settings", [{"connection_timeout": 1.0}, {"proxy": "http://proxy:8080"}])
async def test_settings_that_aiohttp_owns_are_refused(settings: Any) -> None:
    """They would do nothing."""
    message = f"^{next(iter(settings))} does nothing in resilience_middleware: aiohttp decides"
    with pytest.raises(ConfigurationError, match=message):
        resilience_middleware(HttpClientConfig(**settings))
