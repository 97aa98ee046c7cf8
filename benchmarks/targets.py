"""The measurements, and the targets that they have to meet.

A *field* is a set of contenders that take turns; a *target* compares two of them by a ratio, ours to theirs, of
CPU time, of wall time or of calls a second. Measurements without a peer are a time or an amount (memory).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from . import alone, bodies, calls, guards, handshakes, processes, scripted
from .blocking_peers import RAW
from .clients import OURS
from .measuring import Work
from .processes import FIRST, FIRST_ASYNC


class Field(NamedTuple):
    """Contenders that take turns.

    enter: a context manager that makes them, given the server's URL.
    rounds, repeat: the number of turns, and of repetitions in each; quick_rounds: of the short form, 0 to skip.
    """

    title: str
    enter: Callable[[str], AbstractContextManager[dict[str, Work]]]
    rounds: int
    repeat: int
    quick_rounds: int


class Target(NamedTuple):
    """A ratio that has to be met.

    limit: the highest cost of ours, as a share of theirs; for "rate" targets, the lowest share of their calls
        a second; for "µs" targets, the highest CPU time of one call of ours. None for a figure that is only reported.
    quick: the limit of the short form, always a ratio, and so loose that only a gross regression reaches it; None if the
        short form leaves the target out.
    kind: what is compared: "cpu", "wall", "rate" (calls a second), "µs", or "above": by how many times the CPU time of
        `unit` ours takes longer than theirs.
    """

    what: str
    field: str
    ours: str
    theirs: str
    limit: float | None
    quick: float | None = None
    kind: str = "cpu"
    unit: str = ""


class Amount(NamedTuple):
    """A number of megabytes that must not be exceeded."""

    what: str
    measure: Callable[[], float]
    limit: float


FIELDS = {
    "blocking": Field("Blocking GET + json()", calls.blocking, 21, 200, 5),
    "async": Field("Async GET + json()", calls.asynchronous, 21, 200, 5),
    "twenty at once": Field("Async GET + json(), twenty at once", calls.twenty, 21, 400, 5),
    "concurrent": Field("Async GET + json(), 1,000 at once", calls.concurrent, 15, 1000, 3),
    "async alone": Field("Async GET + json(), each client in a fresh process", alone.asynchronous, 21, 200, 0),
    "concurrent alone": Field("… 1,000 at once, each client in a fresh process", alone.concurrent, 15, 1000, 0),
    "many connections": Field("300 connections at once, of a server that takes 20 ms", calls.many_connections, 15, 300, 0),
    "threads": Field("GET + json() from 16 threads", calls.threads, 15, 1600, 0),
    "blocking posts": Field("POST of 10 KB of JSON", calls.blocking_posts, 15, 100, 5),
    "async posts": Field("POST of 10 KB of JSON, async", calls.async_posts, 15, 100, 5),
    "blocking uploads": Field("A form with a file of 10 KB", bodies.blocking_uploads, 15, 100, 0),
    "async uploads": Field("A form with a file of 10 KB, async", bodies.async_uploads, 15, 100, 0),
    "large json": Field("GET + json() of 1 MB", bodies.large_json, 11, 4, 0),
    "handshakes": Field("GET over a new TLS connection", handshakes.blocking, 11, 20, 0),
    "async handshakes": Field("GET over a new TLS connection, async", handshakes.asynchronous, 11, 20, 0),
    "core": Field("A call over the scripted transport, beside GETs over a connection", scripted.drivers, 21, 500, 5),
    "promises": Field("A scripted call, by what is promised", scripted.promises, 15, 500, 0),
    "plain guards": Field("Guarding a function that does nothing", guards.plain, 15, 2000, 5),
    "async guards": Field("Guarding an async function that does nothing", guards.asynchronous, 15, 2000, 5),
    "blocking bodies": Field("100 MB up and down", bodies.blocking, 25, 1, 0),
    "async bodies": Field("100 MB up and down, async", bodies.asynchronous, 25, 1, 0),
    "blocking downloads": Field("100 MB down to a file", bodies.blocking_downloads, 15, 1, 0),
    "async downloads": Field("100 MB down to a file, async", bodies.async_downloads, 15, 1, 0),
    "imports": Field("An import in a fresh interpreter", processes.imports, 15, 1, 3),
}  # fmt: skip

TARGETS = (
    Target("blocking GET + json(), to http.client", "blocking", OURS, "http.client", 0.75, 2.5),
    Target("… to requests", "blocking", OURS, "requests", 0.13, 0.35),
    Target("… to requests + Retry + pybreaker", "blocking", OURS, "requests + Retry + pybreaker", 0.13, 0.35),
    Target("… to httpx", "blocking", OURS, "httpx", 0.30, 0.60),
    Target("… to httpx2", "blocking", OURS, "httpx2", 0.35),
    Target("… to pyreqwest", "blocking", OURS, "pyreqwest", 1.6),
    Target("… to wreq", "blocking", OURS, "wreq", None),
    Target("… to pycurl", "blocking", OURS, "pycurl", None),
    Target("… above the raw socket, in scripted calls", "core", OURS, RAW, None, kind="above", unit="blocking driver"),
    Target("async GET + json(), to aiohttp", "async", OURS, "aiohttp", 0.70, 1.5),
    Target("… to aiohttp, both on uvloop", "async", f"{OURS}, uvloop", "aiohttp, uvloop", 0.70, 1.5),
    Target("… to httpx", "async", OURS, "httpx", 0.20, 0.40),
    Target("… to pyreqwest", "async", OURS, "pyreqwest", 0.95),
    Target("… to wreq", "async", OURS, "wreq", None),
    Target("twenty at once, wall, to aiohttp", "twenty at once", OURS, "aiohttp", 0.85, kind="wall"),
    Target("twenty at once, CPU, to aiohttp", "twenty at once", OURS, "aiohttp", 0.85, 1.5),
    Target("twenty at once, wall, to pyreqwest", "twenty at once", OURS, "pyreqwest", None, kind="wall"),
    Target("1,000 async calls at once, calls a second, to aiohttp", "concurrent", OURS, "aiohttp", 1.2, kind="rate"),
    Target("1,000 async calls at once, CPU, to aiohttp", "concurrent", OURS, "aiohttp", 1.0, 1.8),
    Target("async GET + json() in a fresh process, to aiohttp", "async alone", OURS, "aiohttp", None),
    Target("1,000 at once in a fresh process, calls a second, to aiohttp", "concurrent alone", OURS, "aiohttp", None, kind="rate"),
    Target("300 connections at once, CPU, to aiohttp", "many connections", OURS, "aiohttp", 1.0),
    Target("16 threads on one client, calls a second, to requests", "threads", OURS, "requests", 4.0, kind="rate"),
    Target("POST of 10 KB of JSON, to requests", "blocking posts", OURS, "requests", 0.30, 0.60),
    Target("… async, to aiohttp", "async posts", OURS, "aiohttp", 0.85, 1.5),
    Target("a form with a file of 10 KB, to requests", "blocking uploads", OURS, "requests", 0.30),
    Target("… async, to aiohttp", "async uploads", OURS, "aiohttp", 0.70),
    Target("GET + json() of 1 MB, to requests", "large json", OURS, "requests", 1.0),
    Target("… with orjson", "large json", f"{OURS}, orjson", "requests", 0.60),
    Target("a new TLS connection for each call, to requests", "handshakes", OURS, "requests", 1.0),
    Target("… async, to aiohttp", "async handshakes", OURS, "aiohttp", 1.0),
    Target("scripted call, blocking driver, to a GET by requests", "core", "blocking driver", "requests", 0.030, 0.10),
    Target("scripted call, asyncio driver, to a GET by requests", "core", "asyncio driver", "requests", 0.030, 0.10),
    Target("retry + breaker on a no-op, to tenacity + pybreaker", "plain guards", OURS, "tenacity + pybreaker", 0.20, 0.4),
    Target("… async", "async guards", OURS, "tenacity + pybreaker", 0.20, 0.4),
    Target("a pipeline of five policies on a no-op", "plain guards", guards.FIVE, guards.STACK, 6, 0.8, kind="µs"),
    Target("… async", "async guards", guards.FIVE, guards.STACK, 8, 0.4, kind="µs"),
    Target("… async, to tenacity + pybreaker + aiolimiter", "async guards", guards.FIVE, guards.STACK, 0.25, 0.4),
    Target("breaker on a no-op, to purgatory", "plain guards", "our breaker", "purgatory", 1.0, 2.0),
    Target("… async", "async guards", "our breaker", "purgatory", 1.0, 2.0),
    Target("breaker by failure rate, to one by failures in a row", "plain guards", "our breaker, by failure rate", "our breaker", 1.2, 1.6),
    Target("100 MB upload, to requests", "blocking bodies", "our upload", "requests upload", 1.05),
    Target("100 MB download, to requests", "blocking bodies", "our download", "requests download", 1.05),
    Target("100 MB upload, to aiohttp", "async bodies", "our upload", "aiohttp upload", 1.05),
    Target("100 MB download, to aiohttp", "async bodies", "our download", "aiohttp download", 1.05),
    Target("100 MB down to a file, to requests", "blocking downloads", OURS, "requests", 0.80),
    Target("… async, to aiohttp", "async downloads", OURS, "aiohttp", 1.0),
    Target("first blocking GET in a fresh process, to requests", "imports", FIRST, "requests, first GET", 1.2, 2.5),
    Target("first async GET in a fresh process, to aiohttp", "imports", FIRST_ASYNC, "aiohttp, first GET", 1.1, 2.2),
    Target("import http_service_client, to import requests", "imports", OURS, "requests", 0.5, 0.7),
)  # fmt: skip

AMOUNTS = (
    Amount(
        "100 MB up and down, blocking and asyncio: growth of the peak, MB",
        processes.growth_over_100_mb_bodies,
        8.0,
    ),
    Amount("10,000 origins with circuit and budget, MB", processes.memory_of_10_000_origins, 12.0),
    Amount("100,000 calls, half failing: growth, MB", processes.growth_over_100_000_calls, 2.0),
)
