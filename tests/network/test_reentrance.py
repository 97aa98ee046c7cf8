"""A signal handler or a finalizer may make a call, or close the client, in the midst of any other call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from http_service_client import FibonacciBackoff, HttpServiceClient, RetryPolicy
from http_service_client.client import backends
from http_service_client.core.effects import Acquire
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.drivers import blocking, imports, portal, threads
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.http.urls import split_url
from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.network import resolver, tls
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_aiohttp import sessions
from http_service_client.transports.over_aiohttp.pool import Pool
from http_service_client.transports.over_requests import origin_pools
from kit.reentry import interrupt_each_line
from network.faults import Certificates
from network.test_processes import CHECKOUT

has_signals = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there is no such signal here")


def a_call(client: HttpServiceClient, url: str) -> Callable[[], object]:
    return lambda: client.get(url, timeout=5)


def test_a_call_may_interrupt_the_creation_of_the_tls_context(certificates: Certificates) -> None:
    """Both get a context, and later calls the first one that was ready."""
    authority = certificates.pool().ssl_ca_file
    settings: list[TlsSettings] = []

    def work() -> None:
        settings.append(TlsSettings(ca_file=authority))  # one: those of the system take twenty milliseconds
        assert settings[-1].context_for(("a.test", 443)).check_hostname

    def action() -> None:
        if settings:
            assert settings[-1].context_for(("b.test", 443)).check_hostname

    assert interrupt_each_line(work, action, [tls]) > 5


def test_a_call_may_interrupt_the_making_of_a_pool(server: LoopbackServer) -> None:
    """The blocking transport has a pool for each origin."""
    server.script("*", respond(204))
    with HttpServiceClient() as client:
        client.get(server.url + "/")
        made = client._backends._over_requests
        assert made is not None
        origins = iter(range(1, 10_000))

        def make() -> None:
            made._pools.get(split_url(f"http://host{next(origins)}.test/"), None)

        assert interrupt_each_line(make, make, [origin_pools]) > 5
        assert interrupt_each_line(make, client.close, [origin_pools]) > 5


def test_a_handler_may_close_the_client_while_a_loop_opens_or_closes_its_session() -> None:
    """SIGTERM comes when it comes."""
    made: list[sessions.LoopSessions] = []
    no_proxies: Any = None

    def work() -> None:
        settings = TransportSettings(75.0, 1000, None, True, TlsSettings(), no_proxies)
        made.append(sessions.LoopSessions(partial(Pool, settings)))

        async def main() -> None:
            await made[-1].get()
            await made[-1].close_async()

        asyncio.run(main())

    assert interrupt_each_line(work, lambda: made and made[-1].close(), [sessions]) > 5


def test_a_call_may_interrupt_another_that_awaits_user_code() -> None:
    """Both use the portal, whose loop must not wait for the thread that was interrupted."""
    runs: list[portal.Portal] = []

    async def value() -> str:
        await asyncio.sleep(0)
        return "value"

    def work() -> None:
        runs.append(portal.Portal())
        assert runs[-1].run(value()) == "value"
        runs[-1].stop()

    def action() -> None:
        if runs:
            assert runs[-1].run(value()) == "value"

    assert interrupt_each_line(work, action, [portal, concurrent.futures._base]) > 20
    for run in runs:
        run.stop()


def test_the_thread_that_grants_a_slot_never_waits_for_one_that_was_interrupted() -> None:
    """It calls `on_grant` in the midst of its own call."""
    limits: list[FairSemaphore] = []

    def work() -> None:
        limits.append(FairSemaphore(1, lock=ForkSafeLock()))
        assert limits[-1].try_acquire()
        waiter = limits[-1].acquire_later()
        releases.append(threading.Timer(0.02, release, [limits[-1]]))
        releases[-1].start()
        assert blocking.wait_for_grant(Acquire(waiter, 5.0))

    def release(limit: FairSemaphore) -> None:
        if limit.waiting:
            limit.release()

    def action() -> None:
        if limits and limits[-1].waiting:
            thread = threading.Thread(target=release, args=(limits[-1],))
            thread.start()
            thread.join(5)
            assert not thread.is_alive()

    releases: list[threading.Timer] = []
    assert interrupt_each_line(work, action, [blocking]) > 3


def test_a_look_up_may_interrupt_another_of_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they share it or not, both get the addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: found)

    def look_up() -> None:
        assert resolver.resolve("a.test", 80, 5.0) == found

    assert interrupt_each_line(look_up, look_up, [resolver, threads]) > 20
    assert not resolver._RUNNING


def test_a_call_may_interrupt_the_making_of_a_backend(server: LoopbackServer) -> None:
    """The first call of a client makes its driver and its transport."""
    server.script("*", respond(204))
    clients: list[HttpServiceClient] = []

    def work() -> None:
        clients.append(HttpServiceClient())
        assert clients[-1].get(server.url + "/", timeout=5).status_code == 204

    def action() -> None:
        if clients:
            assert clients[-1].get(server.url + "/", timeout=5).status_code == 204

    assert interrupt_each_line(work, action, [backends, imports]) > 10
    for client in clients:
        client.close()


# The first call imports what calls need.

SIGNAL_DURING = """
import faulthandler, os, signal, sys
from http_service_client import HttpServiceClient
faulthandler.dump_traceback_later(20, exit=True)
client = HttpServiceClient()
results = []

class Interrupts:
    "Sends a signal when the import of the module begins."
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGALRM)
            for _ in range(1000):  # the handler runs here, if this is the main thread
                pass

def handler(*about):
    if sys.argv[3] == "calls":
        results.append(client.get(sys.argv[1], timeout=5).status_code)
    else:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, handler)
sys.meta_path.insert(0, Interrupts())
try:
    results.append(client.get(sys.argv[1], timeout=5).status_code)
except KeyboardInterrupt:
    results.append("interrupted")
results.append(client.get(sys.argv[1], timeout=5).status_code)
print(results)
client.close()
"""


@has_signals
@pytest.mark.parametrize(
    ("module", "action", "printed"),
    [
        ("http_service_client.transports.over_requests.origin_pools", "calls", "[204, 204, 204]"),
        ("http_service_client.drivers.blocking", "raises", "['interrupted', 204]"),
    ],
)
def test_a_signal_may_interrupt_the_import_of_the_first_call(
    server: LoopbackServer, module: str, action: str, printed: str
) -> None:
    """A call in the handler waits for the import; an exception that it raises does not end the import half-way."""
    server.script("/", respond(204))
    ended = run(textwrap.dedent(SIGNAL_DURING), server.url + "/", module, action)
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", printed + "\n")


IMPORTS = """
import asyncio, sys
from http_service_client import HttpClientConfig, HttpServiceClient, RetryPolicy
from http_service_client.core.layer_order import CallLayer  # the outermost layer

url, kind, folder = sys.argv[1:]
imported = set()

class Awaits:
    async def intercept_request(self, request, context):
        await asyncio.sleep(0)
        return request

interceptors = [] if kind == "asyncio" else [Awaits]
call_layer = CallLayer.__call__

def watch(*arguments):
    before = set(sys.modules)
    outcome = yield from call_layer(*arguments)
    imported.update(set(sys.modules) - before)
    return outcome

CallLayer.__call__ = watch
config = HttpClientConfig(
    request_interceptors=interceptors, enable_request_compression=True, cookies=True,
    retry_policy_config={"initial_delay": 0.001},
)
client = HttpServiceClient(config)

def blocking():
    client.get(url + "redirect")
    client.post(url, json={"a": "b" * 100_000}, idempotent=True)
    client.put(url, files={"file": ("name.txt", b"content")})
    client.get(url + "flaky")
    with client.stream("GET", url) as response:
        response.read()
    client.download(url + "file", folder + "/file")
    try:
        client.get(url + "broken", retry_policy=None)
    except ConnectionError:
        pass

async def awaiting():
    await client.get_async(url + "redirect")
    await client.post_async(url, json={"a": "b" * 100_000}, idempotent=True)
    await client.put_async(url, files={"file": ("name.txt", b"content")})
    await client.get_async(url + "flaky")
    async with client.stream_async("GET", url) as response:
        await response.read()
    await client.download_async(url + "file", folder + "/file")
    try:
        await client.get_async(url + "broken", retry_policy=None)
    except ConnectionError:
        pass
    await client.close_async()

blocking() if kind == "blocking" else asyncio.run(awaiting())
print(sorted(imported))
client.close()
"""


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_no_call_imports_a_module_in_its_midst(server: LoopbackServer, tmp_path: Any, kind: str) -> None:
    """An exception thrown into a thread during an import can wedge the import lock of the whole process."""
    server.script(
        "/", respond(200, body="text", headers={"Set-Cookie": "a=b; Expires=Wed, 21 Oct 2065 07:28:00 GMT"})
    )
    server.script("/redirect", respond(302, headers={"Location": "/"}))
    server.script("/flaky", respond(503), respond(204))
    server.script("/file", respond(200, body="file"))
    server.script("/broken", respond(200, headers={"Content-Length": "x"}))
    url = f"http://localhost:{server.port}/"
    ended = run(textwrap.dedent(IMPORTS), url, kind, str(tmp_path))
    assert (ended.stderr, ended.stdout) == ("", "[]\n")


def test_a_guarded_function_imports_nothing_in_its_midst() -> None:
    """Its first failure is not the time to import what computes the waits."""
    program = """
import pickle, sys
from http_service_client import FibonacciBackoff, RetryPolicy
policy = RetryPolicy()
assert "backoff" not in sys.modules
if sys.argv[1:]:
    policy = pickle.loads(bytes.fromhex(sys.argv[1]))
else:
    policy = RetryPolicy(backoff_strategy=FibonacciBackoff(0.0))
before = {*sys.modules}
calls = []
def fails():
    calls.append(None)
    raise ConnectionError
try:
    policy.call(fails)
except ConnectionError:
    pass
assert len(calls) == 3
print({*sys.modules} - before)
"""
    kept = pickle.dumps(RetryPolicy(backoff_strategy=FibonacciBackoff(0.0)))
    assert [run(program).stdout, run(program, kept.hex()).stdout] == ["set()\n", "set()\n"]


EVERYTHING = """
import asyncio, sys
from http_service_client import (
    FallbackPolicy, HedgingPolicy, HttpClientConfig, HttpServiceClient
)
from http_service_client.auth import Digest
from http_service_client.core.layer_order import CallLayer  # the outermost layer
from http_service_client.policies import BulkheadSettings, Cache, RateLimitSettings

url, kind = sys.argv[1:]
imported = set()
call_layer = CallLayer.__call__

def watch(*arguments):
    before = set(sys.modules)
    outcome = yield from call_layer(*arguments)
    imported.update(set(sys.modules) - before)
    return outcome

CallLayer.__call__ = watch
config = HttpClientConfig(
    base_url=url, alternate_urls=[url.replace("localhost", "127.0.0.1")], chaos={"latency": 0.001, "latency_rate": 0.5},
    rate_limit=RateLimitSettings(rate=1000), bulkhead=BulkheadSettings(max_concurrent=5), adaptive_limit={},
    load_shedding={}, deadline_check={}, hedging={"delay": 0.05}, fallback={"last_good": 60.0}, cookies=True,
    propagation={}, request_signers=[lambda request, context: None], auth=Digest("user", "secret"),
    routes={"GET /orders/{id}": {"timeout": 5}}, state_key="by_route", total_timeout=20,
    retry_policy_config={"initial_delay": 0.001}, enable_request_compression=True,
)
plain = HttpClientConfig(base_url=url, retry_policy_config={"initial_delay": 0.001})
kept = HttpServiceClient(plain), HttpServiceClient(config, cache=Cache())
options = [
    {"auth": Digest("user", "secret")}, {"fallback": FallbackPolicy(value="none")}, {"auth": "token"},
    {"hedging": HedgingPolicy(delay=0.05)}, {"path_params": {"id": "1"}}, {"timeout": 5, "name": "look up"},
]

def blocking():
    for client in kept:
        for each in options:
            client.get("orders/{id}" if "path_params" in each else "orders/1", **each)
        client.get("flaky")
        with client.stream("GET", "orders/1") as response:
            list(response.iter_lines())
        client.with_options(auth=Digest("other", "secret"), cookies=True).get("orders/1")
        client.close()

async def awaiting():
    for client in kept:
        for each in options:
            await client.get_async("orders/{id}" if "path_params" in each else "orders/1", **each)
        await client.get_async("flaky")
        async with client.stream_async("GET", "orders/1") as response:
            async for line in response.iter_lines():
                pass
        await client.with_options(auth=Digest("other", "secret"), cookies=True).get_async("orders/1")
        await client.close_async()

blocking() if kind == "blocking" else asyncio.run(awaiting())
print(sorted(imported))
"""


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_no_call_of_a_client_with_everything_set_imports_a_module_in_its_midst(
    server: LoopbackServer, kind: str
) -> None:
    """What a setting or a keyword needs is imported with it, and before the call begins."""
    server.script("/orders/1", respond(200, body="text", headers={"Cache-Control": "no-store"}))
    server.script("/flaky", respond(503), respond(204))
    ended = run(textwrap.dedent(EVERYTHING), f"http://localhost:{server.port}/", kind)
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr  # which says that chaos is on


def test_a_call_through_a_proxy_with_tls_imports_nothing_in_its_midst() -> None:
    """TLS within TLS is that of urllib3, which takes longer to import than a call does."""
    program = """
        import sys
        from http_service_client import HttpClientConfig, HttpServiceClient
        for proxy in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
            with HttpServiceClient(HttpClientConfig(proxy=proxy)):
                print("urllib3" in sys.modules)
    """
    ended = run(textwrap.dedent(program))
    assert (ended.returncode, ended.stdout) == (0, "False\nTrue\n"), ended.stderr


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
