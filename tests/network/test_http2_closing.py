"""HTTP/2: connections that are kept, dropped and closed, and calls that are cancelled or closed on them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from http_service_client import HttpServiceClient
from http_service_client.errors import ConnectionLostError, HttpClientError
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from network.faults import Certificates
from network.http2_calls import at_once, ok, paths


def never(exchange: Exchange) -> None:
    """No response."""


def test_a_connection_that_the_server_closed_while_idle_is_not_used(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Also where the event loop did not run meanwhile."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "POST", http2_server.url + "/")
    http2_server.exchanges[0].hang_up()
    assert http2_server.connections[0].is_lost.wait(5)
    response = front_end.request(http2_client, "POST", http2_server.url + "/", retry_policy=None)
    assert response.text == "ok"
    assert len(http2_server.connections) == 2


@pytest.mark.parametrize("pool", [{"keep_alive_max_requests": 1}, {"keep_alive_timeout": 0.01}])
def test_a_connection_is_kept_as_long_as_the_settings_say(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server, pool: dict[str, Any]
) -> None:
    """By its requests, and by its idle time."""
    http2_server.on("/", ok)
    client = new_client(pool)
    front_end.request(client, "GET", http2_server.url + "/")
    time.sleep(0.05)
    front_end.request(client, "GET", http2_server.url + "/")
    assert len(http2_server.connections) == 2
    assert http2_server.connections[0].is_lost.wait(5)


def test_idle_connections_can_be_dropped(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """They are among those of the client."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    assert http2_client.drop_idle_connections() == 1
    front_end.request(http2_client, "GET", http2_server.url + "/")
    assert len(http2_server.connections) == 2


def test_closing_closes_the_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """And the client takes no other call."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/")
    front_end.close(http2_client)
    assert http2_server.connections[0].is_lost.wait(5)
    with pytest.raises(HttpClientError, match="was closed"):
        front_end.request(http2_client, "GET", http2_server.url + "/")


def test_a_cancelled_task_resets_its_stream(http2_server: Http2Server, certificates: Certificates) -> None:
    """The connection goes on."""
    http2_server.on("/", never)
    http2_server.on("/other", ok)

    async def run() -> str:
        async with front_end.client(http2=True, connection_pool=certificates.pool()) as client:
            task = asyncio.ensure_future(client.get_async(http2_server.url + "/"))
            while not http2_server.exchanges:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.get_async(http2_server.url + "/other")).text

    with AsyncioFrontEnd() as front_end:
        assert front_end.loop.run_until_complete(run()) == "ok"
    assert http2_server.exchanges[0].was_cancelled.wait(5)
    assert len(http2_server.connections) == 1


def test_a_cancelled_handshake_does_not_harm_those_that_wait_for_it(
    http2_server: Http2Server, certificates: Certificates
) -> None:
    """The first call began it, and is cancelled; the second gets the connection."""
    http2_server.on("/", ok)

    async def run() -> str:
        async with front_end.client(http2=True, connection_pool=certificates.pool()) as client:
            first, second = (
                asyncio.ensure_future(client.get_async(http2_server.url + "/")) for _ in range(2)
            )
            await asyncio.sleep(0.001)
            first.cancel()
            return (await second).text

    with AsyncioFrontEnd() as front_end:
        assert front_end.loop.run_until_complete(run()) == "ok"
    assert paths(http2_server).count("/") <= 2


def test_each_event_loop_has_its_own_connection(
    http2_server: Http2Server, certificates: Certificates
) -> None:
    """A client is used by one `asyncio.run` after another; each closes its connection."""
    http2_server.on("/", ok)
    client = HttpServiceClient(config_of(certificates))

    async def call() -> str:
        return (await client.get_async(http2_server.url + "/")).text

    for _ in range(2):
        assert asyncio.run(call()) == "ok"
    assert len(http2_server.connections) == 2
    assert all(connection.is_lost.wait(5) for connection in http2_server.connections)
    client.close()


def config_of(certificates: Certificates) -> Any:
    from http_service_client import HttpClientConfig

    return HttpClientConfig(http2=True, connection_pool=certificates.pool())


@pytest.mark.parametrize("says_goaway", [False, True])
def test_calls_that_are_in_flight_when_the_client_is_closed(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, says_goaway: bool
) -> None:
    """`close(abort=True)` ends them by ClientClosedError, also those that the server would still complete."""

    def close(exchange: Exchange) -> None:
        if says_goaway:
            exchange.go_away(exchange.id)
        threading.Timer(0.1, http2_client.close, kwargs={"abort": True}).start()

    http2_server.on("/", close)
    began = time.monotonic()
    (error,) = at_once(http2_client, front_end, [http2_server.url + "/"], timeout=20)
    assert (type(error).__name__, error.sent_state.value) == ("ClientClosedError", "abandoned")
    assert time.monotonic() - began < 15  # not at the end of the attempt


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize(
    "error",
    [ConnectionLostError("another service"), TimeoutError("another service"), ConnectionResetError("mine")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_source_is_raised_as_it_is(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    error: Exception,
    is_async: bool,
) -> None:
    """It says nothing about this service: the stream is reset, nothing is repeated, and the circuit counts nothing."""
    if is_async and front_end.name == "blocking":
        pytest.skip("a blocking call cannot read it")
    reads: list[int] = []

    class Source:
        def __iter__(self) -> Any:
            reads.append(1)
            yield b"x"
            raise error

    class AsyncSource:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in Source():
                yield piece

    http2_server.on("/", ok)
    with pytest.raises(type(error)) as caught:
        front_end.request(
            http2_client, "PUT", http2_server.url + "/", data=AsyncSource() if is_async else Source()
        )
    assert (caught.value is error, reads) == (True, [1])
    snapshot = http2_client.get_circuit_breaker(http2_server.url).snapshot()
    assert (snapshot.successes, snapshot.failures, snapshot.abandoned) == (0, 0, 1)
