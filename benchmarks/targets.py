"""The measurements, and the targets that they have to meet.

A *field* is a set of contenders that take turns; a *target* compares two of them by a ratio, ours to theirs, of
CPU time or of calls a second. Measurements without a peer are a time (the scripted call) or an amount (memory).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from . import bodies, clients, guards, processes
from .clients import OURS
from .measuring import Work


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
        a second; for "µs" targets, the highest CPU time of one call of ours.
    quick: the limit of the short form, always a ratio, and so loose that only a gross regression reaches it.
    """

    what: str
    field: str
    ours: str
    theirs: str
    limit: float
    quick: float | None = None
    kind: str = "cpu"  # or "rate", or "µs"


class Amount(NamedTuple):
    """A number of megabytes that must not be exceeded."""

    what: str
    measure: Callable[[], float]
    limit: float


FIELDS = {
    "blocking": Field("Blocking GET + json()", clients.blocking, 21, 200, 5),
    "async": Field("Async GET + json()", clients.asynchronous, 21, 200, 5),
    "core": Field("A call over the scripted transport", clients.scripted, 21, 500, 5),
    "promises": Field("A scripted call, by what is promised", clients.promises, 15, 500, 0),
    "plain guards": Field("Guarding a function that does nothing", guards.plain, 15, 2000, 5),
    "async guards": Field("Guarding an async function that does nothing", guards.asynchronous, 15, 2000, 5),
    "threads": Field("GET + json() from 16 threads", clients.threads, 15, 1600, 0),
    "concurrent": Field("GET + json(), 1,000 at once", clients.concurrent, 15, 1000, 0),
    "blocking bodies": Field("100 MB up and down", bodies.blocking, 25, 1, 0),
    "async bodies": Field("100 MB up and down, async", bodies.asynchronous, 25, 1, 0),
    "imports": Field("An import in a fresh interpreter", processes.imports, 15, 1, 3),
}

TARGETS = (
    Target("blocking GET + json(), to requests", "blocking", OURS, "requests", 0.60, 0.60),
    Target("… to requests + Retry + pybreaker", "blocking", OURS, "requests + Retry + pybreaker", 0.55, 0.60),
    Target("… to httpx", "blocking", OURS, "httpx", 0.90, 1.0),
    Target("async GET + json(), to aiohttp", "async", OURS, "aiohttp", 1.05, 1.5),
    Target("… to httpx.AsyncClient", "async", OURS, "httpx.AsyncClient", 0.25, 0.4),
    Target("scripted call, blocking driver", "core", "blocking driver", "requests", 30, 0.12, kind="µs"),
    Target("scripted call, asyncio driver", "core", "asyncio driver", "requests", 30, 0.12, kind="µs"),
    Target("retry + breaker on a no-op, to tenacity + pybreaker", "plain guards", OURS, "tenacity + pybreaker", 0.20, 0.4),
    Target("… async", "async guards", OURS, "tenacity + pybreaker", 0.20, 0.4),
    Target("a pipeline of five policies on a no-op", "plain guards", guards.FIVE, guards.STACK, 6, 0.8, kind="µs"),
    Target("… async", "async guards", guards.FIVE, guards.STACK, 8, 0.4, kind="µs"),
    Target("… async, to tenacity + pybreaker + aiolimiter", "async guards", guards.FIVE, guards.STACK, 0.25, 0.4),
    Target("breaker on a no-op, to purgatory", "plain guards", "our breaker", "purgatory", 1.0, 2.0),
    Target("… async", "async guards", "our breaker", "purgatory", 1.0, 2.0),
    Target("breaker by failure rate, to one by failures in a row", "plain guards", "our breaker, by failure rate", "our breaker", 1.2, 1.6),
    Target("16 threads on one client, calls a second, to requests", "threads", OURS, "requests", 1.5, kind="rate"),
    Target("1,000 async calls at once, calls a second, to aiohttp", "concurrent", OURS, "aiohttp", 0.95, kind="rate"),
    Target("100 MB upload, to requests", "blocking bodies", "our upload", "requests upload", 1.05),
    Target("100 MB download, to requests", "blocking bodies", "our download", "requests download", 1.05),
    Target("100 MB upload, to aiohttp", "async bodies", "our upload", "aiohttp upload", 1.05),
    Target("100 MB download, to aiohttp", "async bodies", "our download", "aiohttp download", 1.05),
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
