"""Two facts of `facts.py` that are measured: `python -m benchmarks.proofs`. It fails where what is written there is not so.

bound      a body of 30 bytes arrives one by one, for 3 s. Does a timeout of half a second end the attempt?
resumes    three calls, of which the server closes the connection. Did the last one resume a session of TLS?
"""

from __future__ import annotations

import http.client
import io
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import aiohttp
import httpx
import requests
import urllib3

from http_service_client import HttpServiceClient

from .async_peers import async_calls
from .blocking_peers import blocking_calls
from .clients import OURS, OnLoop
from .facts import FACTS, NO
from .scenarios import Scenario, installed
from .server import running_server, running_tls_server

TIMEOUT, TOO_LONG = 0.5, 2.0  # seconds
_DELTA = timedelta(seconds=TIMEOUT)


def resuming() -> dict[str, bool]:
    """Which clients resume a session, each in all ways in which it can be called."""
    with running_tls_server() as (url, ca_file), ExitStack() as stack, OnLoop() as on_loop:
        scenario = Scenario(f"{url}/close", ca_file=ca_file)
        seen = {name: _last(call) for name, call in blocking_calls(stack, scenario).items()}
        for name, coroutine in async_calls(on_loop, scenario).items():
            resumed = _last(partial(_completed, on_loop, coroutine))
            if seen.setdefault(name, resumed) != resumed:
                raise AssertionError(f"{name} resumes in one way of calling, and not in the other")
        return seen


def _last(call: Callable[[], Any]) -> bool:
    return bool([call() for _ in range(3)][-1]["resumed"])


def _completed(on_loop: OnLoop, coroutine: Callable[[], Any]) -> Any:
    return on_loop.loop.run_until_complete(coroutine())


def bounding() -> dict[str, bool]:
    """Which clients have a timeout that ends such an attempt."""
    with running_server() as base, OnLoop() as on_loop:
        url = f"{base}/trickle"
        return {name: _is_bounded(partial(call, url, on_loop)) for name, call in _WITH_TIMEOUT.items()}


def _is_bounded(call: Callable[[], Any]) -> bool:
    """Whether it ends early, and by an error."""
    started = time.monotonic()
    try:
        call()
    except Exception:
        return time.monotonic() - started < TOO_LONG
    assert time.monotonic() - started > TOO_LONG, "the server sent the body at once"
    return False


def _http_client(url: str, _: OnLoop) -> None:
    connection = http.client.HTTPConnection(*Scenario(url).address, timeout=TIMEOUT)
    connection.request("GET", "/trickle")
    try:
        connection.getresponse().read()
    finally:
        connection.close()


def _urllib3(url: str, _: OnLoop) -> None:
    with urllib3.PoolManager(timeout=urllib3.Timeout(total=TIMEOUT), retries=False) as pool:
        pool.request("GET", url)


def _pycurl(url: str, _: OnLoop) -> None:
    pycurl = installed("pycurl")
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.WRITEDATA, io.BytesIO())
    handle.setopt(pycurl.TIMEOUT_MS, int(1000 * TIMEOUT))
    try:
        handle.perform()
    finally:
        handle.close()


def _aiohttp(url: str, on_loop: OnLoop) -> None:
    async def call() -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            await response.read()

    on_loop.loop.run_until_complete(call())


def _aiosonic(url: str, on_loop: OnLoop) -> None:
    async def call() -> None:
        timeouts = installed("aiosonic.timeout").Timeouts(request_timeout=TIMEOUT)
        async with installed("aiosonic").HTTPClient() as client:
            await (await client.get(url, timeouts=timeouts)).content()

    on_loop.loop.run_until_complete(call())


def _ours(url: str, _: OnLoop) -> None:
    with HttpServiceClient() as client:
        client.get(url, timeout=TIMEOUT, retry_policy=False)


def _pyreqwest(url: str, _: OnLoop) -> None:
    with installed("pyreqwest.client").SyncClientBuilder().timeout(_DELTA).build() as client:
        client.get(url).build().send().bytes()


_ALL: dict[str, Callable[[str, OnLoop], object]] = {
    OURS: _ours,
    "requests": lambda url, _: requests.get(url, timeout=TIMEOUT),
    "urllib3": _urllib3,
    "http.client": _http_client,
    "httpx": lambda url, _: httpx.get(url, timeout=TIMEOUT),
    "httpx2": lambda url, _: installed("httpx2").get(url, timeout=TIMEOUT),
    "aiohttp": _aiohttp,
    "aiosonic": _aiosonic,
    "httpr": lambda url, _: installed("httpr").Client(timeout=TIMEOUT).get(url).content,
    "pyreqwest": _pyreqwest,
    "wreq": lambda url, _: installed("wreq.blocking").Client(timeout=_DELTA).get(url).bytes(),
    "pycurl": _pycurl,
}
_WITH_TIMEOUT = {name: call for name, call in _ALL.items() if name == OURS or installed(name)}


def main() -> int:
    """Measure, and compare with what is written."""
    is_right = True
    for column, seen in (("bound", bounding()), ("resumes", resuming())):
        for name, does in seen.items():
            written = getattr(FACTS[name], column)
            is_right = is_right and does == (written != NO)
            print(f"{column:<10}{name:<22}{'yes' if does else 'no':<6}written: {written}")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
