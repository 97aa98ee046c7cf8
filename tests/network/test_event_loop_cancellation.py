"""Calls on each kind of event loop: cancelled at every step, cut by a timeout of their caller, and by a server that has gone."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient, ProxyError, Timeout
from http_service_client.errors import ConnectionLostError, RequestTimeoutError
from http_service_client.testing.server import Action, LoopbackServer, Received, answer, respond, stall
from network.faults import Certificates, served, slots_in_use

pytestmark = pytest.mark.usefixtures("nothing_left_unclosed")


def in_a_loop(calls: Coroutine[Any, Any, Any], kind: str) -> None:
    async def run() -> None:
        if kind == "eager":
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        await asyncio.create_task(calls)

    if kind != "uvloop":
        asyncio.run(run())
        return
    loop = pytest.importorskip("uvloop").new_event_loop()
    try:
        loop.run_until_complete(run())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def echo(received: Received) -> Action:
    return respond(200, body=received.target * 1000, chunked=True)


KINDS = ["plain", "uvloop", *(["eager"] if sys.version_info >= (3, 12) else [])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("body", [None, b"x" * 300_000], ids=["get", "upload"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_call_may_be_cancelled_at_every_step(
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    kind: str,
    secure: bool,
    body: bytes | None,
    warm: bool,
) -> None:
    """Wherever the cancellation comes, slots are released, and no connection is reused in mid-response."""
    server = tls_server if secure else server
    server.script("/", answer(echo))

    async def calls() -> None:
        config = HttpClientConfig(connection_pool=certificates.pool(), enable_circuit_breaker=False)
        async with HttpServiceClient(config) as client:
            for steps in range(40):
                if warm:
                    await client.get_async(server.url + "/")
                task = asyncio.create_task(client.request_async("POST", server.url + "/", data=body))
                for _ in range(steps):
                    await asyncio.sleep(0)
                    if task.done():
                        break
                    if steps > 20:
                        await asyncio.sleep(0.001)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    pass
                assert slots_in_use(client) == 0
                response = await client.get_async(
                    server.url + "/", params={"step": steps}, headers={} if warm else {"Connection": "close"}
                )
                assert response.text == f"/?step={steps}" * 1000  # not what was left on an earlier connection
                for _ in range(5):  # in which the loop reports the end of a connection that is not kept
                    await asyncio.sleep(0)
                (pool,) = client._backends._over_aiohttp._pools.all()
                assert all(connection.is_idle for connection in pool._open)
                assert not pool._connecting

    in_a_loop(calls(), kind)


def test_a_timeout_leaves_no_cancellation_in_the_task(server: LoopbackServer) -> None:
    """An attempt that timed out does not look like a cancellation by the caller."""
    server.script("/", stall())

    async def calls() -> None:
        async with HttpServiceClient() as client:
            with pytest.raises(RequestTimeoutError):
                await client.get_async(server.url + "/", timeout=0.05, retry_policy=None)
            task: Any = asyncio.current_task()
            if sys.version_info >= (3, 11):
                assert task.cancelling() == 0
            await asyncio.sleep(0)  # would raise a pending cancellation

    asyncio.run(calls())


@pytest.mark.parametrize("outer", ["wait_for", "timeout"])
def test_a_timeout_of_the_caller_is_not_taken_for_ours(server: LoopbackServer, outer: str) -> None:
    """wait_for and asyncio.timeout around a call end it as they end any other awaitable."""
    if outer == "timeout" and sys.version_info < (3, 11):
        pytest.skip("asyncio.timeout came with Python 3.11")
    server.script("/cut", stall())
    server.script("/", respond(204))

    async def cut(client: HttpServiceClient) -> None:
        call = client.get_async(server.url + "/cut", timeout=60)
        if outer == "wait_for":
            await asyncio.wait_for(call, 0.3)
        else:
            async with asyncio.timeout(0.3):
                await call

    async def calls() -> None:
        async with HttpServiceClient() as client:
            await client.get_async(server.url + "/")  # imports the libraries before the time starts
            with pytest.raises(asyncio.TimeoutError) as caught:
                await cut(client)
            assert not isinstance(caught.value, RequestTimeoutError)
            assert slots_in_use(client) == 0
            assert (await client.get_async(server.url + "/")).status_code == 204
        # On a busy machine the timeout may come before the request is sent: then no connection is closed.
        assert {request.connection for request in server.received("/cut")} <= {1}
        if server.received("/cut"):
            assert server.received("/")[-1].connection == 2

    asyncio.run(calls())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks count their cancellations since Python 3.11")
@pytest.mark.parametrize("ours", [0.05, 0.0505, 0.049])
def test_both_timeouts_may_come_in_the_same_tick(server: LoopbackServer, ours: float) -> None:
    """Whichever comes first, the outer timeout is raised, and the task keeps no cancellation."""
    server.script("/", stall())

    async def calls() -> None:
        async with HttpServiceClient() as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.get_async(server.url + "/", timeout=ours, retry_policy=None)
            task: Any = asyncio.current_task()
            assert task.cancelling() == 0

    asyncio.run(calls())


async def some_pieces() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield b"x" * 50_000
        await asyncio.sleep(0)


UPLOADS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": dict,
    "a long body": lambda: {"data": b"x" * 1_000_000},
    "with a write timeout": lambda: {"data": b"x", "timeout": Timeout(total=10, write=5)},
    "a generator": lambda: {"data": some_pieces()},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["direct", "tunnel"])
@pytest.mark.parametrize("upload", UPLOADS)
def test_a_connection_that_ends_at_once_is_lost_on_each_kind_of_loop(
    kind: str, way: str, upload: str, certificates: Certificates
) -> None:
    """uvloop raises RuntimeError where one writes to a transport that has ended, or has it read on."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        if way == "tunnel":
            accepted.recv(65536)
            accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        accepted.close()

    async def calls() -> None:
        with served(serve) as address:
            proxy = {"proxy": f"http://{address}"} if way == "tunnel" else {}
            config = HttpClientConfig(
                enable_retry_policy=False,
                enable_circuit_breaker=False,
                connection_pool=certificates.pool(),
                **proxy,
            )
            async with HttpServiceClient(config) as client:
                for _ in range(20):
                    url = "https://localhost:9/" if way == "tunnel" else f"http://{address}/"
                    with pytest.raises(ProxyError if way == "tunnel" else ConnectionLostError):
                        await client.post_async(url, **UPLOADS[upload]())
                (pool,) = client._backends._over_aiohttp._pools.all()
                await asyncio.sleep(0.01)
                assert not pool._open

    in_a_loop(calls(), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_what_a_transport_holds_is_not_sent_yet_on_each_kind_of_loop(
    certificates: Certificates, kind: str, secure: bool
) -> None:
    """TLS has passed all of the upload on to the transport below, which waits for a server that answered early.

    The next request gets another connection: on this one, it would wait for the rest to be read.
    """
    requests: list[bytes] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(64)
        requests.append(received)
        accepted.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        is_over.wait(10)

    async def calls() -> None:
        with served(serve, certificates.server_context() if secure else None, takes=4096) as address:
            pool = certificates.pool(socket_options=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)])
            async with HttpServiceClient(HttpClientConfig(connection_pool=pool)) as client:
                for body in (b"x" * 60_000, b""):
                    url = f"http{'s' * secure}://{address}/"
                    assert (await client.post_async(url, data=body, timeout=5)).status_code == 413

    in_a_loop(calls(), kind)
    assert len(requests) == 2
