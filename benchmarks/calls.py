"""Small calls, by ours and by the libraries that people would use instead: one after the other, and many at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import aiohttp
import aiohttp_retry
import httpx
import httpx_retries
import pybreaker
import requests
import requests.adapters
import urllib3

from .async_peers import BARE, aiohttp_call, async_calls, bare_protocol
from .blocking_peers import RAW, blocking_calls, raw_socket
from .clients import OURS, OnLoop, repeated
from .measuring import Work
from .scenarios import Call, Scenario, installed

# About 10 KB: an order with its lines.
ORDER = {
    "customer": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "lines": [
        {"number": number, "article": f"A-{number:05}", "quantity": number % 7 + 1, "price": number * 1.25, "note": "gift"}
        for number in range(125)
    ],
}  # fmt: skip
_UVLOOP = (OURS, "aiohttp")  # those that are measured on uvloop, too


@contextmanager
def blocking(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() on one kept-alive connection, by each blocking client."""
    scenario = Scenario(f"{base}/orders/42")
    with ExitStack() as stack:
        made = blocking_calls(stack, scenario) | _combined(stack, scenario.url)
        made[RAW] = raw_socket(stack, scenario)
        yield {name: repeated(call) for name, call in made.items()}


def _combined(stack: ExitStack, url: str) -> dict[str, Call]:
    """Libraries with what they are stacked with by hand, and requests without its look at the environment."""
    plain = stack.enter_context(requests.Session())
    plain.trust_env = False
    guarded = stack.enter_context(requests.Session())
    retry = urllib3.Retry(3, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504])
    guarded.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    transport = httpx_retries.RetryTransport(retry=httpx_retries.Retry(total=3))
    httpx_retry = stack.enter_context(httpx.Client(transport=transport))
    return {
        "requests, trust_env off": lambda: plain.get(url).json(),
        "requests + Retry + pybreaker": lambda: breaker.call(guarded.get, url).json(),
        "httpx + httpx-retries": lambda: httpx_retry.get(url).json(),
    }


@contextmanager
def asynchronous(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() on one kept-alive connection, by each async client."""
    scenario = Scenario(f"{base}/orders/42")
    with _loops() as (on_loop, on_uvloop):
        made = async_calls(on_loop, scenario)
        retrying = on_loop.make(lambda: aiohttp_retry.RetryClient(client_session=aiohttp.ClientSession()))
        made["aiohttp-retry"] = aiohttp_call(on_loop.enter(retrying), scenario)
        made[BARE] = bare_protocol(on_loop, scenario)
        works = {name: on_loop.repeated(call) for name, call in made.items()}
        for name, call in _on_uvloop(on_uvloop, scenario).items():
            works[name] = on_uvloop.repeated(call)
        yield works


@contextmanager
def twenty(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() by twenty tasks at once, each of which makes one call after the other."""
    scenario = Scenario(f"{base}/orders/42")
    with _loops() as (on_loop, on_uvloop):
        works = {name: on_loop.by_tasks(20, call) for name, call in async_calls(on_loop, scenario).items()}
        for name, call in _on_uvloop(on_uvloop, scenario).items():
            works[name] = on_uvloop.by_tasks(20, call)
        yield works


@contextmanager
def _loops() -> Iterator[tuple[OnLoop, OnLoop]]:
    """asyncio's own loop, and uvloop's; twice the first where uvloop is not installed."""
    uvloop = installed("uvloop")
    with OnLoop() as plain:
        if uvloop is None:
            yield plain, plain
        else:
            with OnLoop(uvloop.new_event_loop) as fast:
                yield plain, fast


def _on_uvloop(on_loop: OnLoop, scenario: Scenario) -> dict[str, Call]:
    if installed("uvloop") is None:
        return {}
    return {f"{name}, uvloop": call for name, call in async_calls(on_loop, scenario, _UVLOOP).items()}


# httpx and httpx2 are left out of what follows: they take minutes.
_AT_ONCE = (OURS, "aiohttp", "aiosonic", "pyreqwest", "wreq")


@contextmanager
def concurrent(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() by 1,000 tasks at once, with the number of connections that each client has by default."""
    with OnLoop() as on_loop:
        made = async_calls(on_loop, Scenario(f"{base}/orders/42"), _AT_ONCE)
        yield {name: on_loop.at_once(call) for name, call in made.items()}


@contextmanager
def many_connections(base: str, count: int = 300) -> Iterator[dict[str, Work]]:
    """GET and json() over so many connections to one host at once, of a server that takes 20 ms for each."""
    with OnLoop() as on_loop:
        made = async_calls(on_loop, Scenario(f"{base}/wait/20", connections=count), _AT_ONCE)
        yield {name: on_loop.at_once(call) for name, call in made.items()}


@contextmanager
def threads(base: str, count: int = 16) -> Iterator[dict[str, Work]]:
    """GET and json() from many threads at once, on one client or session."""
    scenario = Scenario(f"{base}/orders/42", connections=count)
    with ExitStack() as stack:
        made = blocking_calls(
            stack, scenario, (OURS, "requests", "httpx", "urllib3", "httpr", "pyreqwest", "wreq")
        )
        yield {name: _from_threads(count, repeated(call)) for name, call in made.items()}


def _from_threads(count: int, work: Work) -> Work:
    def shared(times: int) -> None:
        workers = [threading.Thread(target=work, args=(times // count,)) for _ in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return shared


@contextmanager
def blocking_posts(base: str) -> Iterator[dict[str, Work]]:
    """A POST of 10 KB of JSON, by each blocking client."""
    scenario = Scenario(f"{base}/orders", json=ORDER)
    with ExitStack() as stack:
        made = blocking_calls(stack, scenario)
        made[RAW] = raw_socket(stack, scenario)
        yield {name: repeated(call) for name, call in made.items()}


@contextmanager
def async_posts(base: str) -> Iterator[dict[str, Work]]:
    """A POST of 10 KB of JSON, by each async client."""
    with OnLoop() as on_loop:
        made = async_calls(on_loop, Scenario(f"{base}/orders", json=ORDER))
        yield {name: on_loop.repeated(call) for name, call in made.items()}
