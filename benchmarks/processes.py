"""Measurements that need a separate interpreter: imports and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .measuring import Sample, Work

FIRST, FIRST_ASYNC = "http_service_client, first GET", "http_service_client, first async GET"
_IMPORTS = {
    "http_service_client": "import http_service_client",
    "HttpServiceClient()": "from http_service_client import HttpServiceClient; HttpServiceClient()",
    "requests": "import requests",
    "aiohttp": "import aiohttp",
    "httpx": "import httpx",
    FIRST: """
from http_service_client import HttpServiceClient
HttpServiceClient().get("{base}")
""",
    "requests, first GET": """
import requests
requests.Session().get("{base}")
""",
    FIRST_ASYNC: """
import asyncio
from http_service_client import HttpServiceClient
async def get():
    async with HttpServiceClient() as client:
        await client.get_async("{base}")
asyncio.run(get())
""",
    "aiohttp, first GET": """
import asyncio, aiohttp
async def get():
    async with aiohttp.ClientSession() as session, session.get("{base}") as response:
        await response.read()
asyncio.run(get())
""",
}

_TIMED = """
import time
cpu, wall = time.process_time(), time.perf_counter()
{}
print(time.process_time() - cpu, time.perf_counter() - wall)
"""

_ORIGINS = """
import gc, tracemalloc
from http_service_client import HttpResponse, HttpServiceClient
from benchmarks.clients import our_config

class Answering:
    def send(self, request, timeout):
        return HttpResponse(200)

client = HttpServiceClient(our_config(), transport=Answering())
for number in range(2000):  # fills the bounded caches: URLs, series of metrics
    client.get(f"https://warm-{number}.example.com/")
gc.collect()
tracemalloc.start()
for number in range(10_000):
    client.get(f"https://service-{number}.example.com/")
gc.collect()
print(tracemalloc.get_traced_memory()[0] / 1e6)
"""

_CALLS = """
import gc, time
from http_service_client import HttpResponse, HttpServiceClient, NetworkError
from benchmarks.clients import our_config, Forgetful

class Impatient:  # no SystemClock: waits on that one can be ended by closing the client, and do not call its `sleep`
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def sleep(self, seconds):
        pass

    async def sleep_async(self, seconds):
        pass

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

script = {"/works": HttpResponse(200, content=b"{}"), "/fails": ConnectionResetError()}
client = HttpServiceClient(our_config(), transport=Forgetful(script), clock=Impatient())

def calls(number):
    for _ in range(number // 2):
        client.get("https://api.example.com/works").json()
        try:
            client.get("https://api.example.com/fails")
        except NetworkError:
            pass

calls(20_000)
gc.collect()
before = resident()
calls(100_000)
gc.collect()
print(max(0, resident() - before) / 1e6)
"""

_BODIES = """
import asyncio, resource, tempfile
from http_service_client import HttpServiceClient
from benchmarks.clients import our_config
from benchmarks.server import running_server

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000

def blocking(size, file):
    with HttpServiceClient(our_config()) as client:
        with client.stream("GET", f"{base}/bytes/{size}", max_response_size=None) as response:
            for piece in response.iter_bytes():
                pass
        file.seek(0)
        client.post(base, data=file)

async def in_tasks(size, file):
    async with HttpServiceClient(our_config()) as client:
        async with client.stream_async("GET", f"{base}/bytes/{size}", max_response_size=None) as response:
            async for piece in response.iter_bytes():
                pass
        file.seek(0)
        await client.post_async(base, data=file)

with running_server() as base, tempfile.TemporaryFile() as small, tempfile.TemporaryFile() as large:
    small.write(bytes(1_000_000))
    for _ in range(100):
        large.write(bytes(1_000_000))
    blocking(1_000_000, small)
    asyncio.run(in_tasks(1_000_000, small))
    before = peak()
    blocking(100_000_000, large)
    asyncio.run(in_tasks(100_000_000, large))
    print(peak() - before)
"""


def run(code: str) -> list[float]:
    """The numbers that a fresh interpreter prints. From the second run on, the package is compiled, as when installed."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=environ
    )
    return [float(number) for number in done.stdout.split()]


@contextmanager
def imports(base: str) -> Iterator[dict[str, Work]]:
    """An import, or a first call, in a fresh interpreter each time."""

    def work(code: str) -> Work:
        return lambda times: Sample(*run(_TIMED.format(code)))

    yield {name: work(code.format(base=base)) for name, code in _IMPORTS.items()}


def memory_of_10_000_origins() -> float:
    """Megabytes of 10,000 origins, each with circuit, budget and connection limit."""
    return run(_ORIGINS)[0]


def growth_over_100_mb_bodies() -> float:
    """Megabytes by which 100 MB up and down, blocking and asyncio, raise the peak of resident memory above that of 1 MB."""
    return run(_BODIES)[0]


def growth_over_100_000_calls() -> float:
    """Megabytes by which resident memory grows over 100,000 calls, half of them failing."""
    return run(_CALLS)[0]
