"""A decompression bomb costs no more memory than the limit, as `benchmarks/memory.py` measures at full size; an idle
connection costs little.
"""

from __future__ import annotations

import gc
import gzip
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from http_service_client.http.http1.buffer import ReceiveBuffer
from http_service_client.testing.server import LoopbackServer, raw, respond
from kit.front_ends import FrontEnd

CODINGS = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    "gzip, gzip": lambda body: gzip.compress(gzip.compress(body, mtime=0), mtime=0),
}

MEASURED = """
import asyncio, re, sys
from http_service_client import HttpClientConfig, HttpServiceClient, ResponseTooLargeError

def peak():  # in kB; not ru_maxrss, which a child process inherits from its parent
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s*(\\d+) kB", file.read())[1])

client = HttpServiceClient(HttpClientConfig(max_response_size=1_000_000))
url = sys.argv[2]

def blocking():
    client.get(url + "/small")
    before = peak()
    for number in range(3):
        try:
            client.get(url + f"/{number}")
        except ResponseTooLargeError:
            print(peak() - before)
    client.close()

async def asynchronous():
    await client.get_async(url + "/small")
    before = peak()
    for number in range(3):
        try:
            await client.get_async(url + f"/{number}")
        except ResponseTooLargeError:
            print(peak() - before)
    await client.close_async()

blocking() if sys.argv[1] == "blocking" else asyncio.run(asynchronous())
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux reports the peak of one process"
)
@pytest.mark.parametrize("name", ["blocking", "asyncio"])
def test_a_bomb_costs_no_more_memory_than_the_limit(server: LoopbackServer, name: str) -> None:
    """Given three bombs of 30 MB and a limit of 1 MB, the process grows by less than 8 MB."""
    server.script("/small", respond(204))
    for number, (coding, compress) in enumerate(CODINGS.items()):
        bomb = compress(bytes(30_000_000))
        server.script(f"/{number}", respond(body=bomb, headers={"Content-Encoding": coding}))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, name, server.url], stdout=subprocess.PIPE, text=True, check=True
    )
    grown = [int(line) for line in done.stdout.split()]
    assert len(grown) == len(CODINGS), "each bomb must be refused"
    assert max(grown) < 8000


def test_a_body_in_tiny_chunks_costs_little_more_than_its_size(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """As objects of their own, chunks of two bytes would take twenty times their size."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.script("/", raw(head + b"2\r\nxy\r\n" * 40_000 + b"0\r\n\r\n"))
    client = front_end.client()
    front_end.request(client, "HEAD", server.url + "/first")
    tracemalloc.start()
    try:
        content = front_end.request(client, "GET", server.url + "/").content
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content == b"xy" * 40_000
    assert peak < 3_000_000  # most of it what was received at once


def receive_buffers() -> list[ReceiveBuffer]:
    return [found for found in gc.get_objects() if type(found) is ReceiveBuffer]


def test_an_idle_connection_does_not_keep_the_end_of_its_last_body(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A thousand of them would keep 64 MB."""
    server.script("/", respond(body=bytes(3_000_000)))
    client, of_others = front_end.client(), receive_buffers()
    with ExitStack() as stack:
        streams = [front_end.stream(client, "GET", server.url + "/") for _ in range(3)]
        for response in [stack.enter_context(stream) for stream in streams]:
            assert sum(map(len, response.iter_bytes())) == 3_000_000
    buffers = [buffer for buffer in receive_buffers() if all(buffer is not other for other in of_others)]
    assert server.connection_count == 3
    assert len(buffers) >= 3
    assert max(len(buffer.data) for buffer in buffers) < 1000
