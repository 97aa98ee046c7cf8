"""Calls and streams that break over real connections leave nothing for the cycle collector.

An error holds its traceback, a traceback its frames, a frame the response, its body and the connection. With one
cycle among them, a socket stays open until the collector happens to run.
"""

from __future__ import annotations

import gzip
import weakref
from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.errors import HttpClientError
from http_service_client.testing.server import LoopbackServer, hang_up, raw, reset, respond, stall
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from network.faults import Certificates

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT_GZIP = gzip.compress(b"plain", mtime=0)[:-4]

BREAKS: dict[str, Any] = {
    "reset in the body": reset(HEAD + b"half"),
    "closed in the body": hang_up(HEAD + b"half"),
    "closed in a chunk": hang_up(CHUNKED + b"5\r\n123"),
    "bad chunk": raw(CHUNKED, b"5\r\n12345\r\nzz\r\n", every=0.02),
    "stopped in the body": raw(HEAD + b"half", close=False),
    "wrong coding": respond(headers={"Content-Encoding": "gzip"}, body=CUT_GZIP),
    "too large": respond(body=b"x" * 3_000_000),
    "reset before the head": reset(),
    "no response": stall(),
    "not HTTP": raw(b"SSH-2.0-OpenSSH\r\n"),
}
TIMEOUTS = {"stopped in the body": 0.1, "no response": 0.03}  # the others do not wait for it
ACTS = ("read", "bytes", "lines", "request", "upload", "download")


def act(name: str, client: HttpServiceClient, url: str, path: Path) -> None:
    if name == "request":
        client.get(url)
    elif name == "upload":
        client.post(url, data=b"x" * 1_000_000)
    elif name == "download":
        client.download(url, path)
    else:
        options = {} if name == "read" else {"max_response_size": 10_000}
        with client.stream("GET", url, **options) as response:
            if name == "read":
                response.read()
            for _ in response.iter_bytes() if name == "bytes" else response.iter_lines():
                pass


async def act_async(name: str, client: HttpServiceClient, url: str, path: Path) -> None:
    if name == "request":
        await client.get_async(url)
    elif name == "upload":
        await client.post_async(url, data=b"x" * 1_000_000)
    elif name == "download":
        await client.download_async(url, path)
    else:
        options = {} if name == "read" else {"max_response_size": 10_000}
        async with client.stream_async("GET", url, **options) as response:
            if name == "read":
                await response.read()
            async for _ in response.iter_bytes() if name == "bytes" else response.iter_lines():
                pass


def alive_after(
    front_end: FrontEnd, client: HttpServiceClient, url: str, path: Path
) -> list[tuple[str, HttpClientError]]:
    """The errors that still exist after their `except` block, although nothing refers to them.

    Each way to call is tried on a new connection, and on one that served a call before.
    """
    kept: list[tuple[str, weakref.ref[HttpClientError]]] = []

    def calls() -> None:
        for name in ACTS:
            for is_warm in (False, True):
                if is_warm:
                    client.get(url + "fine", timeout=5)
                try:
                    act(name, client, url, path)
                except HttpClientError as error:
                    kept.append((name, weakref.ref(error)))

    async def calls_async() -> None:
        for name in ACTS:
            for is_warm in (False, True):
                if is_warm:
                    await client.get_async(url + "fine", timeout=5)
                try:
                    await act_async(name, client, url, path)
                except HttpClientError as error:
                    kept.append((name, weakref.ref(error)))

    if isinstance(front_end, AsyncioFrontEnd):
        front_end.loop.run_until_complete(calls_async())  # which itself leaves a cycle behind each error
    else:
        calls()
    assert len(kept) == 2 * len(ACTS)
    return [(name, error) for name, reference in kept if (error := reference()) is not None]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_leaves_no_cycle(
    each_path: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    tmp_path: Path,
    name: str,
    secure: bool,
    no_reference_cycles: None,  # the last: it looks while client and server are still there
) -> None:
    """Error, response, frames and connection are freed at once, without the collector."""
    server = tls_server if secure else server
    server.script("/", BREAKS[name])
    server.script("/fine", respond(204))
    client = each_path.client(
        connection_pool=certificates.pool(request_timeout=TIMEOUTS.get(name, 5.0)),
        max_response_size=10_000,
        enable_retry_policy=False,
        enable_circuit_breaker=False,
    )
    assert alive_after(each_path, client, server.url + "/", tmp_path / "file") == []
    if name != "wrong coding":  # which was read to its end: the connection is kept
        assert server.wait_for(lambda: server.open_connections == 0)
