"""One client, many event loops: each has a session of its own, which is closed with it."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from http_service_client import ClientClosedError, HttpClientConfig, HttpServiceClient
from http_service_client.errors import ConnectionLostError
from http_service_client.testing.server import LoopbackServer, answer, respond, stall
from http_service_client.transports.over_aiohttp import sessions as over_aiohttp_sessions
from http_service_client.transports.over_aiohttp.asyncio_transports import (
    close_socket,
    read_at_most,
    write_buffer_size,
)
from kit.front_ends import FrontEnd
from network.faults import Certificates, slots_in_use

pytestmark = pytest.mark.usefixtures("nothing_left_unclosed")


async def two_calls(client: HttpServiceClient, url: str) -> None:
    for _ in range(2):
        assert (await client.get_async(url)).status_code == 204


def test_a_client_outlives_its_loops(server: LoopbackServer) -> None:
    """Repeated asyncio.run with one client that nobody closes: each loop closes its connections."""
    server.script("/", respond(204))
    client = HttpServiceClient()
    for run in range(1, 4):
        asyncio.run(two_calls(client, server.url + "/"))
        assert server.connection_count == run
    assert server.wait_for(lambda: server.open_connections == 0)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[HttpServiceClient, LoopbackServer]]:
    """One client for all tests of a module."""
    with LoopbackServer() as server, HttpServiceClient() as client:
        server.script("/", respond(204))
        yield client, server


@pytest.mark.asyncio
@pytest.mark.parametrize("run", [1, 2])
async def test_a_loop_for_each_test(shared: tuple[HttpServiceClient, LoopbackServer], run: int) -> None:
    """As with pytest-asyncio."""
    client, server = shared
    await two_calls(client, server.url + "/")


def test_two_loops_may_run_at_the_same_time(server: LoopbackServer) -> None:
    """Two threads, a loop in each, one client: each loop has connections and responses of its own."""
    server.script("/", answer(lambda received: respond(200, body=received.target, delay=0.01)))
    meeting = threading.Barrier(2)
    errors: list[BaseException] = []

    def run(loop: int) -> None:
        async def calls() -> None:
            meeting.wait(5)
            for turn in range(5):
                targets = [f"/?loop={loop}&turn={turn}&call={call}" for call in range(4)]
                responses = await asyncio.gather(*[client.get_async(server.url + each) for each in targets])
                assert [response.text for response in responses] == targets
            meeting.wait(5)

        try:
            asyncio.run(calls())
        except BaseException as error:
            errors.append(error)

    with HttpServiceClient() as client:
        threads = [threading.Thread(target=run, args=(loop,)) for loop in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert not errors
        assert slots_in_use(client) == 0
    used = [
        {request.connection for request in server.requests if f"loop={loop}&" in request.target}
        for loop in range(2)
    ]
    assert used[0].isdisjoint(used[1])
    assert [len(each) for each in used] == [4, 4]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("ending", ["another loop", "close", "nothing"])
def test_the_sockets_of_a_loop_closed_without_a_shutdown_are_closed(
    server: LoopbackServer, tls_server: LoopbackServer, certificates: Certificates, ending: str, secure: bool
) -> None:
    """The next loop, `close`, or the garbage collector closes them, without a crash or a warning."""
    server = tls_server if secure else server
    server.script("/", respond(204))
    client = HttpServiceClient(HttpClientConfig(connection_pool=certificates.pool()))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(two_calls(client, server.url + "/"))
    loop.close()
    if ending == "another loop":
        asyncio.run(two_calls(client, server.url + "/"))
    elif ending == "close":
        client.close()
    del client, loop
    gc.collect()
    assert server.wait_for(lambda: server.open_connections == 0)


async def endless() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.sleep(100)


@pytest.mark.parametrize(
    ("address", "body"), [("hole", None), ("mute", endless)], ids=["connecting", "sending"]
)
def test_a_call_ends_silently_with_a_loop_that_is_closed_meanwhile(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, address: str, body: Any
) -> None:
    """Its coroutine is closed by the garbage collector, and can cancel no task of its own then."""
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    url = f"http://{request.getfixturevalue(address)}/"
    client = HttpServiceClient()
    loop = asyncio.new_event_loop()
    # asyncio reports the tasks that are lost with their loop.
    loop.set_exception_handler(lambda loop, context: None)

    async def begin() -> None:
        task = asyncio.ensure_future(client.post_async(url, data=body and body(), timeout=5))
        await asyncio.wait([task], timeout=0.05)

    loop.run_until_complete(begin())
    loop.close()
    del loop, begin
    gc.collect()
    client.close()
    assert [repr(each.exc_value) for each in unraisable] == []


def close_from_the_same_loop(client: HttpServiceClient, loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(client.close_async())


def close_from_another_loop(client: HttpServiceClient, loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run(client.close_async())
    loop.run_until_complete(asyncio.sleep(0.01))  # the pool is closed when its own loop runs again


def close_from_no_loop(client: HttpServiceClient, loop: asyncio.AbstractEventLoop) -> None:
    client.close()


def close_from_another_thread(client: HttpServiceClient, loop: asyncio.AbstractEventLoop) -> None:
    thread = threading.Thread(target=client.close)
    thread.start()
    thread.join(5)


@pytest.mark.parametrize(
    "close",
    [close_from_the_same_loop, close_from_another_loop, close_from_no_loop, close_from_another_thread],
)
def test_closing_from_anywhere(
    server: LoopbackServer, close: Callable[[HttpServiceClient, asyncio.AbstractEventLoop], None]
) -> None:
    """A client may be closed from anywhere: its connections are closed, and later calls raise ClientClosedError."""
    server.script("/", respond(204))
    client = HttpServiceClient()
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(two_calls(client, server.url + "/"))
        client.get(server.url + "/")
        close(client, loop)
        assert server.wait_for(lambda: server.open_connections == 0)
        close(client, loop)  # closing again does nothing
        with pytest.raises(ClientClosedError):
            loop.run_until_complete(client.get_async(server.url + "/"))
        with pytest.raises(ClientClosedError):
            client.get(server.url + "/")
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


@pytest.mark.parametrize("by", ["the same loop", "another thread"])
def test_closing_ends_the_requests_in_flight(server: LoopbackServer, by: str) -> None:
    """They end at once with an error of this package, and none is retried."""
    server.script("/", stall())

    async def calls() -> None:
        client = HttpServiceClient()
        tasks = [asyncio.create_task(client.get_async(server.url + "/", timeout=5)) for _ in range(3)]
        while len(server.requests) < 3:
            await asyncio.sleep(0.005)
        if by == "the same loop":
            await client.close_async()
        else:
            await asyncio.get_running_loop().run_in_executor(None, client.close)
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 3)
        assert {type(result) for result in results} <= {ConnectionLostError, ClientClosedError}
        assert slots_in_use(client) == 0

    asyncio.run(calls())
    assert len(server.requests) == 3


def test_leaving_a_with_block_closes_the_client(server: LoopbackServer) -> None:
    """`with` and `async with`, also after an explicit close inside."""
    server.script("/", respond(204))

    async def calls() -> None:
        async with HttpServiceClient() as client:
            await two_calls(client, server.url + "/")
            await client.close_async()
        with pytest.raises(ClientClosedError):
            await client.get_async(server.url + "/")

    asyncio.run(calls())
    with HttpServiceClient() as client:
        client.get(server.url + "/")
        client.close()
    with pytest.raises(ClientClosedError):
        client.get(server.url + "/")
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_plain_with_inside_a_loop_leaves_nothing_open(
    server: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Easily written for `async with`. The loop may end before the pool is closed, and then closes it itself."""
    server.script("/", respond(204))
    before = set(over_aiohttp_sessions._CLOSING)  # of a loop that another test has abandoned, say

    async def calls() -> None:
        with HttpServiceClient() as client:
            await two_calls(client, server.url + "/")

    for _ in range(3):
        asyncio.run(calls())
        gc.collect()  # asyncio logs "Task was destroyed but it is pending" when a task is collected
    assert caplog.messages == []
    assert not set(over_aiohttp_sessions._CLOSING) - before
    assert server.wait_for(lambda: server.open_connections == 0)


# As an error, this warning hangs uvloop.
@pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning")
@pytest.mark.parametrize("ending", ["shut down", "closed"])
def test_uvloop_works_too(server: LoopbackServer, ending: str) -> None:
    """Where it is installed; also for a loop that is closed without a shutdown."""
    uvloop = pytest.importorskip("uvloop")
    server.script("/", respond(204))
    with HttpServiceClient() as client:
        for _ in range(2):
            loop = uvloop.new_event_loop()
            loop.run_until_complete(two_calls(client, server.url + "/"))
            if ending == "shut down":
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_transport_that_hides_its_socket_is_left_to_its_loop() -> None:
    """Only asyncio's own transports need help after their loop was closed; those of other loops have no such socket."""

    class Sealed:
        __slots__ = ()

    close_socket(Sealed())


def test_tls_within_tls_hides_no_socket() -> None:
    """Nor what the kernel has not accepted of an upload."""
    sock = Mock()
    raw: Any = SimpleNamespace(_sock=sock, get_write_buffer_size=lambda: 7)
    outer = SimpleNamespace(_ssl_protocol=SimpleNamespace(_transport=raw))
    inner = SimpleNamespace(_ssl_protocol=SimpleNamespace(_transport=outer))
    assert write_buffer_size(inner) == 7
    close_socket(inner)
    sock.close.assert_called_once_with()


def test_asyncio_reads_no_more_at_once_than_it_is_asked_to() -> None:
    """Its own transports on a selector, that is; others read as much as they like."""

    async def pieces() -> list[bytes]:
        ours, theirs = socket.socketpair()
        theirs.sendall(b"abcdefg")
        theirs.close()
        seen: list[bytes] = []
        ended = asyncio.get_running_loop().create_future()
        protocol = Mock(asyncio.Protocol, data_received=seen.append, eof_received=lambda: False)
        protocol.connection_made.side_effect = lambda transport: read_at_most(transport, 3)
        protocol.connection_lost.side_effect = ended.set_result
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
        await ended
        return seen

    loop = asyncio.SelectorEventLoop()
    assert loop.run_until_complete(pieces()) == [b"abc", b"def", b"g"]
    loop.close()
    read_at_most(object(), 3)


# Blocking verbs inside a loop.


def test_a_blocking_verb_inside_a_loop_warns_once(server: LoopbackServer) -> None:
    """It works, and warns once, at the caller's line, that it stops every task."""
    server.script("/", respond(204))

    async def calls() -> None:
        with HttpServiceClient() as client:
            client.get(server.url + "/")
            client.request("GET", server.url + "/")

    for first in ("get", "request"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if first == "get":
                asyncio.run(calls())
            else:
                asyncio.run(by_request(server.url + "/"))
        (warning,) = caught
        assert "a blocking call inside a running event loop" in str(warning.message)
        assert warning.filename == __file__


async def by_request(url: str) -> None:
    with HttpServiceClient() as client:
        client.request("GET", url)


def test_one_client_serves_sync_and_async_calls(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Blocking and async calls of one client share its limits and its circuits, not its connections."""
    server.script("/", respond(204))
    client = front_end.client()
    front_end.request(client, "GET", server.url + "/")
    client.get(server.url + "/")
    asyncio.run(two_calls(client, server.url + "/"))
    assert client.get_circuit_breaker_states() == {server.url: "closed"}
