"""Nothing stays open after a failed exchange, after a client was closed, or after a loop was closed during a call."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import ClientClosedError, HttpClientConfig, HttpServiceClient
from http_service_client.client.streams.base import Streamed
from http_service_client.errors import StreamError
from http_service_client.events import CallFinished, RetryScheduled
from http_service_client.testing.server import Action, LoopbackServer, hang_up, raw, reset, respond, stall
from http_service_client.transports.over_aiohttp import transport as over_aiohttp
from http_service_client.transports.over_aiohttp.pool import Pool
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import Certificates, failing, slots_in_use
from network.proxy_server import running_proxy

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"

FAULTS: dict[str, tuple[Action, dict[str, Any]]] = {
    "reset": (reset(), {}),
    "reset in mid-body": (reset(HEAD + b"half"), {}),
    "hung up": (hang_up(), {}),
    "cut short": (hang_up(HEAD + b"half"), {}),
    "stalled": (stall(), {"timeout": 0.2}),
    "stalled in mid-body": (raw(HEAD + b"half", close=False), {"timeout": 0.2}),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH\r\n", close=False), {}),
    "a wrong chunk": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n", close=False), {}),
    "a wrong coding": (respond(body="no gzip", headers={"Content-Encoding": "gzip"}), {}),
    "too large": (respond(body=b"x" * 1_000_000), {}),
    "an upload refused": (reset(), {"data": b"x" * 3_000_000}),
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_socket_is_left_open_by_close_after_a_failed_exchange(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    fault: str,
    secure: bool,
) -> None:
    """The connection of a failed exchange is closed with it, and `close` leaves none, without the garbage collector."""
    server = tls_server if secure else server
    action, options = FAULTS[fault]
    server.script("/", respond(204), action)
    client = front_end.client(connection_pool=certificates.pool(), max_response_size=10_000)
    gc.disable()
    try:
        front_end.request(client, "GET", server.url + "/")
        failing(front_end, client, "POST", server.url + "/", **options)
        if fault != "a wrong coding":  # that response was read to its end, so the connection is kept
            assert server.wait_for(lambda: server.open_connections == 0)
        front_end.close(client)
        assert server.wait_for(lambda: server.open_connections == 0)
    finally:
        gc.enable()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_plain_with_at_the_end_of_a_loop_closes_everything(
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    secure: bool,
) -> None:
    """`close()` as the last step before the end of `asyncio.run`: asyncio logs no error."""
    server = tls_server if secure else server
    server.script("/", respond(204))

    async def calls() -> None:
        with HttpServiceClient(HttpClientConfig(connection_pool=certificates.pool())) as client:
            await client.get_async(server.url + "/")

    asyncio.run(calls())
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert server.wait_for(lambda: server.open_connections == 0)


@pytest.mark.filterwarnings("ignore:Unclosed connection")  # aiohttp warns of the unfinished call
def test_a_loop_closed_during_a_call_leaves_nothing_behind(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The abandoned call raises nothing, and releases its connection and slots."""
    server.script("/", stall())
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    client = HttpServiceClient()
    loop = asyncio.new_event_loop()
    task = loop.create_task(client.get_async(server.url + "/"))

    async def until_it_is_sent() -> None:
        while not server.requests:
            await asyncio.sleep(0.005)

    loop.run_until_complete(until_it_is_sent())
    loop.close()
    del task, loop
    client.close()
    gc.collect()
    assert not unraisable
    assert slots_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)
    assert "Task was destroyed but it is pending" in caplog.text  # asyncio reports the closed loop itself


# What another thread may do between two steps.


def test_a_session_created_during_close_is_closed_too(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call raises ClientClosedError and sends nothing."""
    server.script("/", respond(204))

    def make_late(settings: Any) -> Any:
        client.close()
        return Pool(settings)

    monkeypatch.setattr(over_aiohttp, "Pool", make_late)
    with AsyncioFrontEnd() as front_end:
        client = front_end.client()
        with pytest.raises(ClientClosedError):
            front_end.request(client, "GET", server.url + "/")
        assert not client._backends._over_aiohttp._pools.all()
    assert not server.requests


def test_close_frees_the_sockets_of_a_loop_that_is_closed_meanwhile(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`close` from another thread finds the loop running, and then closed."""
    server.script("/", respond(204))
    client = HttpServiceClient()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.get_async(server.url + "/"))

    def too_late(*_: Any) -> None:
        monkeypatch.undo()
        loop.close()
        raise RuntimeError("Event loop is closed")

    monkeypatch.setattr(loop, "is_running", lambda: True)
    monkeypatch.setattr(loop, "call_soon_threadsafe", too_late)
    client.close()
    assert loop.is_closed()
    assert server.wait_for(lambda: server.open_connections == 0)


class Interrupted:
    """A lock that another thread acquires first, once, and does some work under it."""

    def __init__(self, lock: Any, work: Callable[[], None]) -> None:
        self._lock = lock
        self._works = [work]

    def __enter__(self) -> None:
        if self._works:
            self._works.pop()()
        self._lock.__enter__()

    def __exit__(self, *about: Any) -> None:
        self._lock.__exit__(*about)


def test_a_call_in_flight_during_close_is_completed_and_its_connection_closed(server: LoopbackServer) -> None:
    """The call gets its response; the connection is not kept for another."""
    server.script("/", respond(204))
    client = HttpServiceClient()
    client._backends.blocking()
    pools = client._backends._over_requests._pools
    pools._lock = Interrupted(pools._lock, client.close)
    assert client.get(server.url + "/").status_code == 204
    assert server.wait_for(lambda: server.open_connections == 0)


def check_a_close_ends_the_reader(front_end: FrontEnd, client: HttpServiceClient, url: str) -> None:
    """A stream that another thread or task closes after 0.1 s raises to its reader then."""

    def listen() -> None:
        with client.stream("GET", url) as response:
            for _ in response.iter_bytes():
                threading.Timer(0.1, response.close).start()

    async def listen_async() -> None:
        async with client.stream_async("GET", url) as response:
            async for _ in response.iter_bytes():
                asyncio.get_running_loop().call_later(0.1, response.close)

    with Stopwatch() as watch, pytest.raises(StreamError, match="closed while it was being read"):
        if isinstance(front_end, AsyncioFrontEnd):
            front_end.loop.run_until_complete(listen_async())
        else:
            listen()
    watch.check_took(0.1)
    assert slots_in_use(client) == 0


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("length", [b"Content-Length: 100\r\n", b""], ids=["a length", "until close"])
def test_closing_a_stream_wakes_its_reader(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    length: bytes,
    secure: bool,
) -> None:
    """Another thread or task closes the stream: the reader gets an error at once, and not the end of the body."""
    server = tls_server if secure else server
    server.script("/", raw(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nhalf", b"", every=20))
    client = front_end.client(connection_pool=certificates.pool())

    check_a_close_ends_the_reader(front_end, client, server.url + "/")


@pytest.mark.parametrize("is_over", [False, True], ids=["a running loop", "a loop that stands still"])
def test_another_thread_may_close_a_stream_of_asyncio(server: LoopbackServer, is_over: bool) -> None:
    """Its loop does it, and the reader gets an error at once."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"", every=20))
    client = HttpServiceClient()
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        async with client.stream_async("GET", server.url + "/") as response:
            async for _ in response.iter_bytes():
                threading.Timer(0.1, response.close).start()

    async def opened() -> Any:
        return await client.stream_async("GET", server.url + "/").__aenter__()

    try:
        if is_over:
            response = loop.run_until_complete(opened())
            closing = threading.Thread(target=response.close)
            closing.start()
            closing.join(5)
        else:
            with Stopwatch() as watch, pytest.raises(StreamError, match="closed while it was being read"):
                loop.run_until_complete(listen())
            watch.check_took(0.1)
        assert slots_in_use(client) == 0
    finally:
        loop.run_until_complete(client.close_async())
        loop.close()


def test_a_stream_closed_between_two_steps_is_not_at_its_end(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of a closed stream is an error, not the end of the body. The call is finished once."""
    server.script("/", respond(200, body=b"x" * 5_000_000))
    events: list[Any] = []
    client = front_end.client(on_event=events.append)
    open_body = Streamed._open_body

    def closed_meanwhile(response: Any) -> Any:
        body = open_body(response)
        response.close()
        return body

    monkeypatch.setattr(Streamed, "_open_body", closed_meanwhile)
    with front_end.stream(client, "GET", server.url + "/") as response, pytest.raises(StreamError):
        response.read()
    assert [type(event) for event in events].count(CallFinished) == 1
    assert slots_in_use(client) == 0


class EmptiedByAnother(deque[Any]):
    """Idle connections that another thread takes between a look and a step."""

    def __bool__(self) -> bool:
        return True


def test_a_call_survives_another_thread_that_takes_the_last_idle_connection(server: LoopbackServer) -> None:
    """It makes a connection of its own. `close` survives it, too."""
    server.script("/", respond(204))
    client = HttpServiceClient()
    client.get(server.url + "/")
    (pool,) = client._backends._over_requests._pools._pools.values()
    taken = pool._idle.pop()
    pool._idle = EmptiedByAnother()
    assert client.get(server.url + "/").status_code == 204
    assert [request.connection for request in server.requests] == [1, 2]
    taken.close()
    client.close()
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_client_closed_between_two_attempts_sends_nothing_more(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """The retry that was scheduled raises ClientClosedError."""
    server.script("/", respond(503), respond(204))

    def close_before_the_retry(event: Any) -> None:
        if isinstance(event, RetryScheduled):
            client.close()

    client = front_end.client(retry_policy_config={"initial_delay": 0.001}, on_event=close_before_the_retry)
    with pytest.raises(ClientClosedError):
        front_end.request(client, "GET", server.url + "/")
    assert len(server.requests) == 1
    assert slots_in_use(client) == 0


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_closing_a_stream_through_a_tls_proxy_wakes_its_reader(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    secure: bool,
) -> None:
    """However many layers of TLS lie between the body and the socket."""
    if secure and isinstance(front_end, AsyncioFrontEnd) and sys.version_info < (3, 11):
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    server = tls_server if secure else server
    server.script("/", raw(HEAD + b"half", close=False))
    with running_proxy(certificates.server_context()) as proxy:
        client = front_end.client(connection_pool=certificates.pool(), proxy=f"https://{proxy.address}")

        check_a_close_ends_the_reader(front_end, client, server.url + "/")
