"""Nothing stays open: after a failed exchange, a closed client, a loop that ended under its calls."""

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
from http_service_client.client.streams.response import _Streamed
from http_service_client.errors import ConnectionLostError
from http_service_client.events import CallFinished
from http_service_client.testing.server import Action, LoopbackServer, hang_up, raw, reset, respond, stall
from http_service_client.transports.over_aiohttp import sessions as over_aiohttp_sessions
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import Certificates, failing, places_in_use

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"

FAULTS: dict[str, tuple[Action, dict[str, Any]]] = {
    "reset": (reset(), {}),
    "reset in mid-body": (reset(HEAD + b"half"), {}),
    "hung up": (hang_up(), {}),
    "cut short": (hang_up(HEAD + b"half"), {}),
    "stalled": (stall(), {"timeout": 0.2}),
    "stalled in mid-body": (raw(HEAD + b"half", b"", every=5), {"timeout": 0.2}),
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
    """The connection of a failed exchange ends with it, and `close` leaves none, without help of the collector."""
    server = tls_server if secure else server
    action, options = FAULTS[fault]
    server.script("/", respond(204), action)
    client = front_end.client(connection_pool=certificates.pool(), max_response_size=10_000)
    gc.disable()
    try:
        front_end.request(client, "GET", server.url + "/")
        failing(front_end, client, "POST", server.url + "/", **options)
        if fault != "a wrong coding":  # which was read to its end: the connection is as good as before
            assert server.wait_for(lambda: server.open_connections == 0)
        front_end.close(client)
        assert server.wait_for(lambda: server.open_connections == 0)
    finally:
        gc.enable()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_plain_with_in_the_last_lines_of_a_loop(
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    secure: bool,
) -> None:
    """`close()` as the last thing before the end of `asyncio.run`: all is closed, and asyncio has no complaint."""
    server = tls_server if secure else server
    server.script("/", respond(204))

    async def calls() -> None:
        with HttpServiceClient(HttpClientConfig(connection_pool=certificates.pool())) as client:
            await client.get_async(server.url + "/")

    asyncio.run(calls())
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert server.wait_for(lambda: server.open_connections == 0)


@pytest.mark.filterwarnings("ignore:Unclosed connection")  # aiohttp's word on a call that nobody finished
def test_a_loop_that_was_closed_under_a_call(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The forgotten call ends without an error of ours, and gives back all that it held."""
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
    assert places_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)
    assert (
        "Task was destroyed but it is pending" in caplog.text
    )  # asyncio's own word, to whoever closed the loop


# In the very moment: what another thread may do between two steps.


def test_a_session_made_while_the_client_is_closed(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed too, and the call says why it cannot be made."""
    server.script("/", respond(204))
    make = over_aiohttp_sessions.new_session

    def make_late(settings: Any) -> Any:
        client.close()
        return make(settings)

    monkeypatch.setattr(over_aiohttp_sessions, "new_session", make_late)
    with AsyncioFrontEnd() as front_end:
        client = front_end.client()
        with pytest.raises(ClientClosedError):
            front_end.request(client, "GET", server.url + "/")
        assert not client._backends._over_aiohttp._sessions._sessions
    assert not server.requests


def test_a_loop_that_ends_while_the_client_is_closed(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`close` from another thread frees the sockets all the same."""
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
    """A lock that another thread was first to take: it did something, once."""

    def __init__(self, lock: Any, work: Callable[[], None]) -> None:
        self._lock = lock
        self._works = [work]

    def __enter__(self) -> None:
        if self._works:
            self._works.pop()()
        self._lock.__enter__()

    def __exit__(self, *about: Any) -> None:
        self._lock.__exit__(*about)


def test_a_pool_made_while_the_client_is_closed(server: LoopbackServer) -> None:
    """A call that was under way is finished, and its connection is not kept."""
    server.script("/", respond(204))
    client = HttpServiceClient()
    client._backends.blocking()
    adapter = client._backends._over_requests._adapter
    adapter._lock = Interrupted(adapter._lock, client.close)
    assert client.get(server.url + "/").status_code == 204
    assert server.wait_for(lambda: server.open_connections == 0)


def test_an_idle_connection_taken_while_the_stale_ones_are_dropped(server: LoopbackServer) -> None:
    """Another thread took the last one between a look and a step: the look comes to nothing."""

    class JustTaken(deque[Any]):
        def __bool__(self) -> bool:
            return True

    server.script("*", respond(204))
    with HttpServiceClient() as client:
        client.get(server.url + "/")
        (pool,) = client._backends._over_requests._adapter._pools.values()
        pool._idle.pop().close()
        pool._idle = JustTaken()
        assert client.get(server.url.replace("127.0.0.1", "localhost") + "/").status_code == 204
        pool._idle = deque()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("length", [b"Content-Length: 100\r\n", b""], ids=["a length", "until close"])
def test_closing_a_stream_wakes_who_reads_it(
    front_end: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    length: bytes,
    secure: bool,
) -> None:
    """A listener is stopped by another thread, or another task: at once, and it is not told that all has come."""
    server = tls_server if secure else server
    server.script("/", raw(b"HTTP/1.1 200 OK\r\n" + length + b"\r\nhalf", b"", every=20))
    client = front_end.client(connection_pool=certificates.pool())

    def listen() -> None:
        with client.stream("GET", server.url + "/") as response:
            for _ in response.iter_bytes():
                threading.Timer(0.1, response.close).start()

    async def listen_async() -> None:
        async with client.stream_async("GET", server.url + "/") as response:
            async for _ in response.iter_bytes():
                asyncio.get_running_loop().call_later(0.1, response.close)

    with Stopwatch() as watch, pytest.raises(ConnectionLostError):
        if isinstance(front_end, AsyncioFrontEnd):
            front_end.loop.run_until_complete(listen_async())
        else:
            listen()
    watch.check_took(0.1)
    assert places_in_use(client) == 0


def test_a_stream_closed_in_between_is_not_read_to_its_end(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more to come is not the same as nobody there to ask. And the call ends but once."""
    server.script("/", respond(200, body=b"x" * 5_000_000))
    events: list[Any] = []
    client = front_end.client(on_event=events.append)
    open_body = _Streamed._open_body

    def closed_meanwhile(response: Any) -> Any:
        body = open_body(response)
        response.close()
        return body

    monkeypatch.setattr(_Streamed, "_open_body", closed_meanwhile)
    with front_end.stream(client, "GET", server.url + "/") as response, pytest.raises(ConnectionLostError):
        response.read()
    assert [type(event) for event in events].count(CallFinished) == 1
    assert places_in_use(client) == 0
