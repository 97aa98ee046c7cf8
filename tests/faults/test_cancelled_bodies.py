"""A task is cancelled at each of its waits while it streams or downloads, and in the tick in which a wait ends.

Whatever it waits for (a connection, the head, a piece, a write to the disk, the delay before a retry), it ends as
cancelled. The connection, the slots, the permit and the part file are gone, and the client works.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from faults.runner import settled_permits
from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.core.layers.circuit_breaker import CircuitBreakerLayer
from http_service_client.testing import LoopbackServer
from http_service_client.testing.actions import Action, Received, answer, raw, respond
from network.faults import Certificates, slots_in_use
from network.proxy_server import running_proxy

CONTENT = bytes(range(256)) * 4
PAUSE = 0.002  # seconds between the pieces, so that the client waits for each
MOST_WAITS = 80

Scenario = Callable[[HttpServiceClient, str, Path], Coroutine[Any, Any, object]]


def pieces(received: Received) -> Action:
    """The file in pieces. With X-Breaks the first response breaks off, and a Range request gets the rest."""
    start = int((received.header("Range") or "bytes=0-")[6:-1])
    status, rest = ("206 Partial Content", CONTENT[start:]) if start else ("200 OK", CONTENT)
    head = f'HTTP/1.1 {status}\r\nETag: "1"\r\nContent-Length: {len(rest)}\r\n'
    if start:
        head += f"Content-Range: bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}\r\n"
    breaks = received.header("X-Breaks") == "yes" and not start
    sent = rest[: len(rest) // 2] if breaks else rest
    parts = [sent[at : at + 300] for at in range(0, len(sent), 300)]
    return raw(head.encode() + b"\r\n", *parts, every=PAUSE, close=breaks)


async def stream(client: HttpServiceClient, url: str, path: Path) -> None:
    async with client.stream_async("GET", url) as response:
        async for _ in response.iter_bytes():
            pass


async def stream_lines(client: HttpServiceClient, url: str, path: Path) -> None:
    async with client.stream_async("GET", url) as response:
        async for _ in response.iter_lines():
            await asyncio.sleep(0)


async def read(client: HttpServiceClient, url: str, path: Path) -> None:
    async with client.stream_async("GET", url) as response:
        assert await response.read() == CONTENT


async def download(client: HttpServiceClient, url: str, path: Path) -> None:
    await client.download_async(url, path)


async def download_again(client: HttpServiceClient, url: str, path: Path) -> None:
    """It breaks off, and the second attempt continues it."""
    await client.download_async(url, path, headers={"X-Breaks": "yes"})


SCENARIOS: list[Scenario] = [stream, stream_lines, read, download, download_again]


class Interrupted:
    """Awaits a coroutine, and cancels its task at the coroutine's n-th wait.

    as_it_ends: cancel in the tick in which the future is done, before the task is woken.
    waits: how many waits there were so far.
    """

    def __init__(self, awaited: Coroutine[Any, Any, object], at: int, as_it_ends: bool) -> None:
        self._awaited = awaited
        self._at = at
        self._as_it_ends = as_it_ends
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        error: BaseException | None = None
        while True:
            try:
                future = self._awaited.send(None) if error is None else self._awaited.throw(error)
            except StopIteration as stop:
                return stop.value
            self.waits += 1
            if self.waits == self._at:
                if self._as_it_ends and future is not None:
                    future.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            try:
                yield future
                error = None
            except BaseException as thrown:
                error = thrown


@pytest.fixture
def admitted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every attempt that a circuit admitted, with a permit or by the free pass."""
    admitted: list[object] = []
    real = CircuitBreakerLayer.__call__

    def counting(self: CircuitBreakerLayer, proceed: Any, request: Any, call: Any) -> Any:
        def beyond(request: Any, call: Any) -> Any:
            admitted.append(request)
            return (yield from proceed(request, call))

        return (yield from real(self, beyond, request, call))

    monkeypatch.setattr(CircuitBreakerLayer, "__call__", counting)
    return admitted


@pytest.mark.parametrize("way", ["plain", "tls", "tunnel"])
@pytest.mark.parametrize("as_it_ends", [False, True], ids=["while it waits", "as it ends"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cancelled_at_each_wait(
    scenario: Scenario,
    as_it_ends: bool,
    way: str,
    certificates: Certificates,
    admitted: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task ends as cancelled, and leaves nothing acquired, no part file and no wrong bytes in the file."""
    if way == "tunnel" and as_it_ends and sys.version_info < (3, 11):
        pytest.skip("start_tls of Python 3.10 leaves an object of its own unclosed, which causes a warning")
    config = HttpClientConfig(
        retry_policy_config={"initial_delay": 0.001}, connection_pool=certificates.pool(max_connections=1)
    )
    path = tmp_path / "file"

    async def main(server: LoopbackServer, at: int) -> bool:
        admitted.clear()
        async with HttpServiceClient(config) as client:
            interrupted = Interrupted(scenario(client, server.url + "/file", path), at, as_it_ends)

            async def awaiting() -> None:
                await interrupted

            task = asyncio.create_task(awaiting())
            with suppress(asyncio.CancelledError):
                await task
            was_reached = interrupted.waits >= at
            assert task.cancelled() is was_reached
            assert slots_in_use(client) == 0
            assert settled_permits(client) == len(admitted)
            assert (await client.get_async(server.url + "/healthy", timeout=20)).status_code == 204
            is_clean = await asyncio.to_thread(server.wait_for, lambda: server.open_connections <= 1)
            assert is_clean, f"{server.open_connections} connections are open"
        return was_reached

    with ExitStack() as stack:
        tls = None if way == "plain" else certificates.server_context()
        server = stack.enter_context(LoopbackServer(tls=tls))
        if way == "tunnel":
            proxy = stack.enter_context(running_proxy())
            monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
            monkeypatch.delenv("NO_PROXY", raising=False)
        server.script("/file", answer(pieces))
        server.script("/healthy", respond(204))
        for at in range(1, MOST_WAITS):
            was_reached = asyncio.run(main(server, at))
            left = os.listdir(tmp_path)
            assert left in ([], ["file"]), "the part file was not removed"
            if left:
                assert path.read_bytes() == CONTENT
                path.unlink()
            if not was_reached:
                break
        # To connect is one wait: `test_event_loop_cancellation` cancels within it.
        assert 2 < at < MOST_WAITS - 1
