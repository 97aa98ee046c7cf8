"""Closing a client while calls are in flight: waits end, a grace lets calls finish, an abort cuts them."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    ConfigurationError,
    ConnectionPoolConfig,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    SentState,
)
from http_service_client.drivers.clocks import SystemClock
from http_service_client.events import RetryStopped, StopReason
from http_service_client.testing import LoopbackServer, raw, respond, stall, stall_reading
from kit.rows import each_row
from kit.stopwatch import Stopwatch
from network.faults import slots_in_use

pytestmark = pytest.mark.parametrize("front_end", ["blocking", "asyncio"])

Call = Callable[[HttpServiceClient], Any]  # makes a call of its front end: a response, or an awaitable


def get(server: LoopbackServer, method: str = "GET", **options: Any) -> Callable[[str], Call]:
    """A call in either front end."""

    def of(front_end: str) -> Call:
        verb = "request" if front_end == "blocking" else "request_async"
        return lambda client: getattr(client, verb)(method, server.url + "/", **options)

    return of


def read_stream(server: LoopbackServer) -> Callable[[str], Call]:
    """A stream that is read to its end."""

    def blocking(client: HttpServiceClient) -> bytes:
        with client.stream("GET", server.url + "/") as response:
            return response.read()

    async def in_asyncio(client: HttpServiceClient) -> bytes:
        async with client.stream_async("GET", server.url + "/") as response:
            return await response.read()

    return lambda front_end: blocking if front_end == "blocking" else in_asyncio


def during(
    front_end: str,
    call: Callable[[str], Call],
    close: Callable[[HttpServiceClient], None],
    is_in_flight: Callable[[], bool],
    **settings: Any,
) -> tuple[Any, HttpServiceClient]:
    """The result or the error of a call during which another thread closes the client."""
    client = HttpServiceClient(HttpClientConfig(**settings))

    def close_in_flight() -> None:
        until(is_in_flight)
        close(client)

    closing = threading.Thread(target=close_in_flight, daemon=True)
    closing.start()
    try:
        if front_end == "blocking":
            result = call(front_end)(client)
        else:
            result = asyncio.run(asyncio.wait_for(call(front_end)(client), 20))
    except ClientClosedError as error:
        result = error
    closing.join(10)
    assert not closing.is_alive()
    assert slots_in_use(client) == 0
    return result, client


def until(condition: Callable[[], bool]) -> None:
    """Look until the condition holds."""
    ends_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@pytest.mark.parametrize("pause", ["8", "20"])
def test_a_wait_for_a_retry_ends_with_the_client(server: LoopbackServer, front_end: str, pause: str) -> None:
    """Only ClientClosedError could follow it: nothing is sent any more."""
    server.script("/", respond(503, headers={"Retry-After": pause}))
    sent = lambda: len(server.requests) == 1  # noqa: E731
    with Stopwatch() as watch:
        error, _ = during(front_end, get(server), lambda client: (time.sleep(0.1), client.close())[1], sent)
    assert type(error) is ClientClosedError
    assert error.sent_state is SentState.REFUSED  # by the attempt that was made
    assert watch.seconds < 5
    assert len(server.requests) == 1


@pytest.mark.parametrize("pause", ["8", "20"])
def test_a_wait_for_the_end_of_a_pause_ends_with_the_client(
    server: LoopbackServer, front_end: str, pause: str
) -> None:
    """Another call met the pause; this one would wait for its end, and was never sent."""
    server.script("/", respond(429, headers={"Retry-After": pause}))

    def two(front_end: str) -> Any:
        if front_end == "blocking":
            return lambda client: (
                client.get(server.url + "/", retry_policy=False),
                client.get(server.url + "/", timeout=60.0),
            )

        async def call(client: HttpServiceClient) -> None:
            await client.get_async(server.url + "/", retry_policy=False)
            await client.get_async(server.url + "/", timeout=60.0)

        return call

    sent = lambda: len(server.requests) == 1  # noqa: E731
    with Stopwatch() as watch:
        error, _ = during(front_end, two, lambda client: (time.sleep(0.1), client.close())[1], sent)
    assert type(error) is ClientClosedError
    assert error.sent_state is SentState.NEVER_SENT
    assert watch.seconds < 5


def test_a_wait_for_a_connection_ends_with_the_client(server: LoopbackServer, front_end: str) -> None:
    """The call was never sent."""
    server.script("/", respond(204))
    client = HttpServiceClient(HttpClientConfig(connection_pool=ConnectionPoolConfig(max_connections=1)))
    client._backends._common.try_acquire()
    timer = threading.Timer(0.1, client.close)
    timer.start()
    with pytest.raises(ClientClosedError) as caught:
        if front_end == "blocking":
            client.get(server.url + "/")
        else:
            asyncio.run(client.get_async(server.url + "/"))
    timer.join()
    assert caught.value.sent_state is SentState.NEVER_SENT
    assert client._backends._common.waiting == 0
    assert server.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kwargs", [{"abort": True}, {"grace": 0}, {"grace": 0.1}], ids=str)
def test_an_abort_ends_a_call_that_waits_for_its_headers(
    server: LoopbackServer, front_end: str, method: str, kwargs: dict[str, Any]
) -> None:
    """Also one that a retry policy would repeat. Nothing is known about the request, and the server is not to blame."""
    server.script("/", stall())
    error, client = during(
        front_end,
        get(server, method),
        lambda client: client.close(**kwargs),
        lambda: len(server.requests) == 1,
    )
    assert type(error) is ClientClosedError
    assert error.sent_state is SentState.ABANDONED
    assert "closed during the call" in str(error)
    assert (len(server.requests), error.timeline[-1].attempts) == (1, 1)
    stops = [event.reason for event in error.timeline if isinstance(event, RetryStopped)]
    assert set(stops) <= {StopReason.NOT_RETRYABLE}  # the connection's own error is not judged
    (breaker,) = [state.breaker for _, state in client._call_builder.origins.items()]
    assert breaker.snapshot().failures == 0


def test_a_close_does_not_wait_for_an_upload_that_the_server_does_not_read(
    server: LoopbackServer, front_end: str
) -> None:
    """The bytes that the kernel has not accepted are discarded; the server may have acted on the others."""
    server.script("/", stall_reading())
    client = HttpServiceClient(HttpClientConfig(max_connections=5))
    upload: dict[str, Any] = {"data": bytes(8_000_000), "timeout": 20}

    async def closed_during_the_call() -> Any:
        task = asyncio.ensure_future(client.post_async(server.url + "/", **upload))
        while not server.requests:
            await asyncio.sleep(0.005)
        await asyncio.wait_for(client.close_async(abort=True), 10)
        return (await asyncio.gather(task, return_exceptions=True))[0]

    with Stopwatch() as watch:
        if front_end == "blocking":
            error, client = during(
                front_end,
                get(server, "POST", **upload),
                lambda client: client.close(abort=True),
                lambda: len(server.requests) == 1,
            )
        else:
            error = asyncio.run(closed_during_the_call())
    assert type(error) is ClientClosedError
    assert error.sent_state is SentState.ABANDONED
    assert watch.seconds < 8
    assert slots_in_use(client) == 0


class Interruption(BaseException):
    """What Ctrl-C raises in `close`, and a cancellation in `close_async`."""


class InterruptedClock(SystemClock):
    """Its first sleep is interrupted."""

    def sleep(self, seconds: float) -> None:
        raise Interruption

    async def sleep_async(self, seconds: float) -> None:
        raise Interruption


def test_a_grace_that_is_interrupted_ends_with_an_abort(server: LoopbackServer, front_end: str) -> None:
    """Or the calls in other threads would go on, and the sockets stay open, with nobody to end them."""
    server.script("/", stall())
    client = HttpServiceClient(HttpClientConfig(enable_retry_policy=False), clock=InterruptedClock())

    async def interrupted() -> Any:
        task = asyncio.ensure_future(client.get_async(server.url + "/"))
        while not server.requests:
            await asyncio.sleep(0.005)
        with pytest.raises(Interruption):
            await client.close_async(grace=60)
        return (await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10))[0]

    if front_end == "asyncio":
        error = asyncio.run(interrupted())
    else:
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.get, server.url + "/", timeout=20)
            until(lambda: len(server.requests) == 1)
            with pytest.raises(Interruption):
                client.close(grace=60)
            error = call.exception(10)
    assert type(error) is ClientClosedError
    assert error.sent_state is SentState.ABANDONED


BODIES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhalf",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
}


@pytest.mark.parametrize("call", [get, read_stream])
@pytest.mark.parametrize("body", BODIES)
def test_an_abort_ends_a_body_and_never_shortens_it(
    server: LoopbackServer, front_end: str, body: str, call: Any
) -> None:
    """The end of the connection is not taken for the end of the body."""
    server.script("/", raw(BODIES[body], close=False))
    begun = lambda: len(server.requests) == 1  # noqa: E731
    close = lambda client: (time.sleep(0.1), client.close(abort=True))[1]  # noqa: E731
    error, _ = during(front_end, call(server), close, begun)
    assert type(error) is ClientClosedError


def test_a_grace_lets_calls_finish(server: LoopbackServer, front_end: str) -> None:
    """Their retries too. `close` returns as soon as no call is in flight."""
    server.script("/", respond(503, delay=0.1), respond(200, body=b"done", delay=0.1))
    ended: list[float] = []

    def close(client: HttpServiceClient) -> None:
        client.close(grace=15)
        ended.append(time.monotonic())

    started = time.monotonic()
    response, client = during(
        front_end,
        get(server),
        close,
        lambda: len(server.requests) == 1,
        retry_policy_config={"initial_delay": 0.01},
    )
    assert isinstance(response, HttpResponse)
    assert (response.content, response.attempts) == (b"done", 2)
    assert ended[0] - started < 10
    with pytest.raises(ClientClosedError):
        client.get(server.url + "/")


def test_a_grace_waits_for_open_streams(server: LoopbackServer, front_end: str) -> None:
    """Also while nobody reads from them."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf", close=False))

    def blocking(client: HttpServiceClient) -> bytes:
        with client.stream("GET", server.url + "/") as response:
            time.sleep(0.3)
            return response.read()

    async def in_asyncio(client: HttpServiceClient) -> bytes:
        async with client.stream_async("GET", server.url + "/") as response:
            await asyncio.sleep(0.3)
            return await response.read()

    content, _ = during(
        front_end,
        lambda name: blocking if name == "blocking" else in_asyncio,
        lambda client: client.close(grace=15),
        lambda: len(server.requests) == 1,
    )
    assert content == b"half"


def test_close_async_takes_the_same_arguments(server: LoopbackServer, front_end: str) -> None:
    """A grace waits without blocking the loop, and an abort ends calls of every thread."""
    server.script("/quick", respond(204, delay=0.2))
    server.script("/", stall())
    results: list[Any] = []

    async def main(client: HttpServiceClient) -> None:
        quick = asyncio.create_task(client.get_async(server.url + "/quick"))
        if front_end == "blocking":
            slow: Any = asyncio.create_task(asyncio.to_thread(client.get, server.url + "/"))
        else:
            slow = asyncio.create_task(client.get_async(server.url + "/"))
        while len(server.requests) < 2:
            await asyncio.sleep(0.005)
        await client.close_async(grace=0.6)
        results.extend(await asyncio.gather(quick, slow, return_exceptions=True))

    asyncio.run(main(HttpServiceClient()))
    assert [type(result) for result in results] == [HttpResponse, ClientClosedError]


@each_row("grace", [-1, float("nan"), "soon", True])
def test_a_grace_must_be_a_duration(front_end: str, grace: Any) -> None:
    """A wrong one closes nothing."""
    client = HttpServiceClient()
    with pytest.raises(ConfigurationError, match="grace must be"):
        if front_end == "blocking":
            client.close(grace=grace)
        else:
            asyncio.run(client.close_async(grace=grace))
    assert repr(client) == "<HttpServiceClient>"
    client.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX only")
@pytest.mark.parametrize("path", ["/stall", "/retry"])
def test_a_signal_handler_may_abort_the_call_that_it_interrupts(
    server: LoopbackServer, front_end: str, path: str
) -> None:
    """While the call waits for its headers, or for its retry."""
    server.script("/stall", stall())
    server.script("/retry", respond(503, headers={"Retry-After": "8"}))
    client = HttpServiceClient()
    before = signal.signal(signal.SIGALRM, lambda *_: client.close(abort=True))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with Stopwatch() as watch, pytest.raises(ClientClosedError):
            if front_end == "blocking":
                client.get(server.url + path)
            else:
                asyncio.run(client.get_async(server.url + path))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert watch.seconds < 5
