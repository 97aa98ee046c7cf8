"""How much memory a response or a connection can cost: `python -m benchmarks.memory`. Each line runs in a separate interpreter.

A bomb of 200 MB under a limit of 10 MiB must make the process grow by less than 40 MB, a stream of 1 GiB, read
piece by piece, by less than 8 MB. Growth means the peak of resident memory, after a first call (only Linux
reports it). A thousand more idle connections, each of which has served 2 MB, must take less than 12 MB of the memory that
Python's objects have.
"""

from __future__ import annotations

import gzip
import importlib
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from http_service_client.testing import LoopbackServer, respond

from .processes import run
from .server import running_server

SIZE = 200_000_000
LIMIT = 10 * 1024 * 1024
STREAMED = 1024**3

_CALL = """
import asyncio, re
from http_service_client import HttpClientConfig, HttpServiceClient, ResponseTooLargeError

def peak():  # not ru_maxrss: on Linux it starts with the peak of the parent process
    with open("/proc/self/status") as file:
        return int(re.search("VmHWM: *([0-9]+) kB", file.read().replace("\t", " "))[1]) / 1e3

config = HttpClientConfig(max_response_size={limit})

base, path, mode, size = {base!r}, {path!r}, {mode!r}, {size!r}

def blocking():
    with HttpServiceClient(config) as client:
        client.get(base + "/small")
        before = peak()
        if size is None:
            try:
                client.get(base + path)
            except ResponseTooLargeError:
                return peak() - before
        else:
            with client.stream("GET", base + path, max_response_size=None) as response:
                if sum(len(piece) for piece in response.iter_bytes()) == size:
                    return peak() - before
        raise AssertionError("neither too large nor complete")

async def asynchronous():
    async with HttpServiceClient(config) as client:
        await client.get_async(base + "/small")
        before = peak()
        if size is None:
            try:
                await client.get_async(base + path)
            except ResponseTooLargeError:
                return peak() - before
        else:
            async with client.stream_async("GET", base + path, max_response_size=None) as response:
                read = 0
                async for piece in response.iter_bytes():
                    read += len(piece)
                if read == size:
                    return peak() - before
        raise AssertionError("neither too large nor complete")

print(blocking() if mode == "blocking" else asyncio.run(asynchronous()))
"""

_IDLE = """
import asyncio, gc, tracemalloc
from contextlib import AsyncExitStack, ExitStack
from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpServiceClient

def used():
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1e6

pool = ConnectionPoolConfig(max_connections=1000, max_connections_per_host=1000, keep_alive_timeout=300.0)
config = HttpClientConfig(connection_pool=pool, base_timeout=60.0)
url, mode = {base!r} + "/bytes/2000000", {mode!r}  # larger than all buffers: a stream of it keeps its connection

def blocking():
    with HttpServiceClient(config) as client:
        def connect(count):
            with ExitStack() as stack:
                for response in [stack.enter_context(client.stream("GET", url)) for _ in range(count)]:
                    sum(map(len, response.iter_bytes()))
            return used()
        return 10 * (-connect(50) + connect(150))

async def asynchronous():
    async with HttpServiceClient(config) as client:
        async def connect(count):
            async with AsyncExitStack() as stack:
                for response in [
                    await stack.enter_async_context(client.stream_async("GET", url)) for _ in range(count)
                ]:
                    async for piece in response.iter_bytes():
                        pass
            return used()
        return 10 * (-await connect(50) + await connect(150))

tracemalloc.start()
print(blocking() if mode == "blocking" else asyncio.run(asynchronous()))
"""


def bombs() -> dict[str, bytes]:
    """Content codings, and 200 MB of zeros in each."""
    zeros = bytes(SIZE)
    packed = gzip.compress(zeros, mtime=0)
    made = {"gzip": packed, "deflate": zlib.compress(zeros), "gzip, gzip": gzip.compress(packed, mtime=0)}
    makers: dict[str, tuple[str, Callable[..., bytes]]] = {
        "br": ("brotli", lambda module: bytes(module.compress(zeros, quality=5))),
        "zstd": ("zstandard", lambda module: bytes(module.compress(zeros))),
    }
    for coding, (name, make) in makers.items():
        try:
            made[coding] = make(importlib.import_module(name))
        except ImportError:
            print(f"{coding} is skipped: {name} is not installed")
    return made


@contextmanager
def serving(bombs: dict[str, bytes]) -> Iterator[str]:
    """A server with a bomb at /0, /1, and so on, and an empty response at all other paths."""
    with LoopbackServer() as server:
        server.script("*", respond(204))
        for number, (coding, body) in enumerate(bombs.items()):
            server.script(f"/{number}", respond(headers={"Content-Encoding": coding}, body=body))
        yield server.url


def growth(base: str, path: str, mode: str, size: int | None = None) -> float:
    """Megabytes by which the peak of a process grows. size: of the stream; None for a bomb."""
    return run(_CALL.format(base=base, path=path, mode=mode, size=size, limit=LIMIT))[0]


def idle(base: str, mode: str) -> float:
    """Megabytes that a thousand more idle connections take."""
    return run(_IDLE.format(base=base, mode=mode))[0]


def main() -> int:
    """Measure and print; the exit code says whether all growth stayed below its limit."""
    is_met = True

    def check(what: str, measure: Callable[[str], float], limit: float) -> None:
        nonlocal is_met
        for mode in ("blocking", "asyncio"):
            grown = measure(mode)
            is_met = is_met and grown < limit
            print(f"{what:<32}{mode:<10}{grown:7.1f} MB   below {limit:.0f}", flush=True)

    made = bombs()
    with serving(made) as base:
        for number, coding in enumerate(made):
            check(f"200 MB of {coding}", partial(growth, base, f"/{number}"), 40.0)
    with running_server() as base:
        check("1 GiB streamed", partial(growth, base, f"/bytes/{STREAMED}", size=STREAMED), 8.0)
        check("1,000 idle connections", partial(idle, base), 12.0)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
