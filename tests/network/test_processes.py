"""Threads, forks, interrupts, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.testing.server import (
    Action,
    LoopbackServer,
    Received,
    answer,
    raw,
    respond,
    stall,
)
from http_service_client.transports.over_requests import connection
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from network.faults import Certificates, slots_in_use

CHECKOUT = Path(__file__).resolve().parents[2]


def echo(received: Received) -> Action:
    return respond(200, body=received.target)


def test_sixteen_threads_share_a_client(server: LoopbackServer) -> None:
    """Each gets the responses to its own requests."""
    server.script("/", answer(echo))
    with HttpServiceClient() as client, ThreadPoolExecutor(16) as threads:

        def calls(thread: int) -> None:
            for call in range(10):
                target = f"/?thread={thread}&call={call}"
                assert client.get(server.url + target).text == target

        for future in [threads.submit(calls, thread) for thread in range(16)]:
            future.result()
        assert slots_in_use(client) == 0
    assert server.connection_count <= 16


def test_sixteen_tasks_share_a_client(server: LoopbackServer) -> None:
    """Each gets the responses to its own requests."""
    server.script("/", answer(echo))

    async def calls(client: HttpServiceClient, task: int) -> None:
        for call in range(10):
            target = f"/?task={task}&call={call}"
            assert (await client.get_async(server.url + target)).text == target

    async def main() -> None:
        async with HttpServiceClient() as client:
            await asyncio.gather(*[calls(client, task) for task in range(16)])
            assert slots_in_use(client) == 0

    asyncio.run(main())
    assert server.connection_count <= 16


class AddsHeader:
    """An interceptor that really awaits."""

    async def intercept_request(self, request: Any, context: Any) -> Any:
        await asyncio.sleep(0.001)
        request.headers["X-Async"] = str(os.getpid())
        return request


# Forks.


@needs_fork
def test_a_forked_child_has_connections_of_its_own(server: LoopbackServer) -> None:
    """After the fork of a process with open connections, neither process reads the other's responses."""
    server.script("/", answer(echo))
    client = HttpServiceClient(HttpClientConfig(request_interceptors=[AddsHeader]))
    loop = asyncio.new_event_loop()

    def calls(label: str) -> None:
        for call in range(20):
            target = f"/?{label}&{call}"
            assert client.get(server.url + target).text == target

    async def calls_async(label: str) -> None:
        for call in range(20):
            target = f"/?{label}&async&{call}"
            assert (await client.get_async(server.url + target)).text == target

    calls("warm")
    loop.run_until_complete(calls_async("warm"))

    def child() -> None:
        calls("child")
        asyncio.run(calls_async("child"))
        client.close()

    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(in_a_child(child)))
    waiting.start()
    calls("parent")
    loop.run_until_complete(calls_async("parent"))
    waiting.join(15)
    assert codes == [0]
    calls("later")
    loop.run_until_complete(calls_async("later"))
    pids = {
        request.target.split("?")[1].split("&")[0]: request.header("X-Async") for request in server.requests
    }
    assert pids["warm"] == pids["parent"] == pids["later"] == str(os.getpid()) != pids["child"]
    used: dict[bool, set[int]] = {False: set(), True: set()}
    for request in server.requests:
        used["child" in request.target].add(request.connection)
    # One of each front end: the parent's served it before the fork, during the child's life and after it.
    assert [len(used[of_the_child]) for of_the_child in (False, True)] == [2, 2]
    assert used[False].isdisjoint(used[True])
    loop.run_until_complete(client.close_async())
    loop.close()


@needs_fork
def test_a_forked_child_inherits_no_held_slot(server: LoopbackServer) -> None:
    """After a fork during calls, the slots that threads of the parent hold are free in the child."""
    server.script("/held", stall())
    server.script("/", respond(204))
    with HttpServiceClient(HttpClientConfig(max_connections=2, max_connections_per_host=2)) as client:

        def hold_a_slot() -> None:
            with pytest.raises(ConnectionError):
                client.get(server.url + "/held", timeout=9, retry_policy=None)

        threads = [threading.Thread(target=hold_a_slot) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert server.wait_for(lambda: len(server.received("/held")) == 2)
        assert slots_in_use(client) == 4  # two of the host's, and two of the client's
        assert in_a_child(lambda: client.get(server.url + "/", timeout=1) and None) == 0
        assert slots_in_use(client) == 4  # two of the host's, and two of the client's
        assert [request.connection for request in server.received("/")] == [3]
        server.refuse()  # ends these calls
        for thread in threads:
            thread.join(5)


@needs_fork
def test_a_forked_child_creates_the_tls_context_that_the_parent_was_creating(
    tls_server: LoopbackServer, certificates: Certificates
) -> None:
    """After a fork while another thread creates the context, the child does not wait for that thread."""
    tls_server.script("/", respond(204))
    client = HttpServiceClient(HttpClientConfig(connection_pool=certificates.pool()))
    is_held, may_end = threading.Event(), threading.Event()

    def hold_the_lock() -> None:
        with client._backends._settings.tls._shared_for(())._lock:
            is_held.set()
            may_end.wait(10)

    thread = threading.Thread(target=hold_the_lock)
    thread.start()
    assert is_held.wait(5)
    with client:
        assert in_a_child(lambda: client.get(tls_server.url + "/") and None) == 0
    may_end.set()
    thread.join(5)


# Interrupts.


def test_an_interrupt_closes_the_connection(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C in a read, the connection is in mid-response and serves no other call."""
    server.script("/", answer(echo))
    receive = connection.Connection.receive
    reads = []

    def interrupted(self: Any) -> bytes:
        reads.append(self)
        if len(reads) == 2:
            raise KeyboardInterrupt
        return receive(self)

    with HttpServiceClient() as client:
        assert client.get(server.url + "/?1").text == "/?1"
        monkeypatch.setattr(connection.Connection, "receive", interrupted)
        reads.append(None)
        with pytest.raises(KeyboardInterrupt):
            client.get(server.url + "/?2")
        assert slots_in_use(client) == 0
        monkeypatch.undo()
        assert client.get(server.url + "/?3").text == "/?3"
    assert [request.connection for request in server.requests if request.target == "/?3"] == [2]


# The end of the interpreter.

PROGRAM = """
import asyncio, logging, sys
from http_service_client import HttpClientConfig, HttpServiceClient

class Awaits:
    async def intercept_request(self, request, context):
        await asyncio.sleep(0.001)
        return request

class Calls:
    "Makes a call of its own on the portal's loop, and so leaves a connection there."
    async def intercept_request(self, request, context):
        if not request.url.endswith("/inner"):
            await client.get_async(request.url + "inner")
        return request

async def calls():
    for _ in range(3):
        assert (await client.get_async(url)).status_code == 204

logging.getLogger("asyncio").setLevel(logging.ERROR)  # debug mode reports the imports of a first call as a slow step
url = sys.argv[1]
client = HttpServiceClient()
"""

ENDINGS = {
    "never closed": "client.get(url)",
    "closed": "client.get(url); client.close()",
    "never used": "",
    "async, never closed": "asyncio.run(calls())",
    "async, closed": "asyncio.run(calls()); asyncio.run(client.close_async())",
    "sync and async": "client.get(url); asyncio.run(calls()); client.get(url)",
    "async interceptor": "client = HttpServiceClient(HttpClientConfig(request_interceptors=[Awaits])); client.get(url)",
    "async interceptor that calls": (
        "client = HttpServiceClient(HttpClientConfig(request_interceptors=[Calls])); client.get(url)"
    ),
    "async interceptor, closed": (
        "client = HttpServiceClient(HttpClientConfig(request_interceptors=[Calls])); client.get(url); client.close()"
    ),
    "a loop without a shutdown": "loop = asyncio.new_event_loop(); loop.run_until_complete(calls()); loop.close()",
    "in a daemon thread": (
        "import threading; threading.Thread(target=lambda: client.get(url + 'held', timeout=9), daemon=True).start(); "
        "import time; time.sleep(0.2)"
    ),
    "an error at the end": "client.get(url); raise SystemExit(0)",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_interpreter_ends_without_a_warning(server: LoopbackServer, name: str) -> None:
    """Nothing is reported as unclosed, and no thread keeps the process alive, whatever the program forgot."""
    server.script("*", respond(204))
    server.script("/held", stall())
    program = textwrap.dedent(PROGRAM) + ENDINGS[name]
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, server.url + "/"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")


def test_close_closes_the_connections(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Idle connections are closed at once."""
    server.script("/", respond(204))
    client = front_end.client()
    front_end.request(client, "GET", server.url + "/")
    front_end.close(client)
    assert server.wait_for(lambda: server.open_connections == 0)


def read_whole(client: HttpServiceClient, url: str, path: Path) -> None:
    client.get(url)


def read_stream(client: HttpServiceClient, url: str, path: Path) -> None:
    with client.stream("GET", url) as response:
        response.read()


def iterate_over_stream(client: HttpServiceClient, url: str, path: Path) -> None:
    with client.stream("GET", url) as response:
        for _ in response.iter_bytes():
            pass


def save(client: HttpServiceClient, url: str, path: Path) -> None:
    client.download(url, path)


@pytest.mark.parametrize("body", ["length", "chunks", "until close"])
@pytest.mark.parametrize("call", [read_whole, read_stream, iterate_over_stream, save])
def test_an_interrupt_in_a_body_closes_the_connection(
    server: LoopbackServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[HttpServiceClient, str, Path], None],
    body: str,
) -> None:
    """At once, though the client lives on: the rest of the body is nobody's, and the slot is free."""
    heads = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf",
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "until close": b"HTTP/1.1 200 OK\r\n\r\nhalf",
    }
    server.script("/", raw(heads[body], close=False))
    server.script("/next", respond(204))
    receive = connection.Connection.receive
    reads: list[Any] = []

    def interrupted(self: Any) -> bytes:
        reads.append(self)
        if len(reads) == 2:
            raise KeyboardInterrupt
        return receive(self)

    with HttpServiceClient() as client:
        monkeypatch.setattr(connection.Connection, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call(client, server.url + "/", tmp_path / "file")
        assert reads[0] is reads[1]  # the first read brought the head
        assert slots_in_use(client) == 0
        assert server.wait_for(lambda: server.open_connections == 0)
        assert os.listdir(tmp_path) == []
        assert client.get(server.url + "/next").status_code == 204
    assert [request.connection for request in server.requests] == [1, 2]
