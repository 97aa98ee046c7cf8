"""A branch of a blocking call is cancelled in any phase of its exchange: its thread ends at once, and its sockets are closed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient, Timeout
from http_service_client.core.effects import Begin, Branch, FirstOf, Outcome, Plan, Send, Sleep
from http_service_client.drivers import blocking
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import LoopbackServer, drip, raw, respond, stall, stall_reading
from http_service_client.transports.network import resolver
from kit.threads import Held, wait_until
from network.faults import Certificates

_LONG = Timeout(total=60.0, connect=60.0)


def exchange(url: str, content: bytes = b"") -> Plan[Outcome]:
    method = "PUT" if content else "GET"
    return (yield Send(HttpRequest(method, url, content=content), _LONG))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """Of the process, also those that Python's `threading` does not know."""
    return len(os.listdir("/proc/self/task"))


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc has the numbers of threads and files")


def race(
    client: HttpServiceClient, hanging: str, quick: str, begun: Callable[[], object], content: bytes
) -> Any:
    """The outcome of a second exchange, while the first one hangs and is then cancelled."""

    def plan() -> Plan[Any]:
        branches = [Branch(lambda: exchange(hanging, content)), Branch(lambda: exchange(quick))]
        try:
            yield from Begin(branches[0])
            wait_until(begun)
            yield from Begin(branches[1])
            index = yield from FirstOf(branches)
            assert index == 1
            return branches[1].take()
        finally:
            for branch in branches:
                branch.cancel()

    return client._backends.blocking().run(plan())


def client_for(certificates: Certificates) -> HttpServiceClient:
    return HttpServiceClient(
        HttpClientConfig(connection_pool=certificates.pool(), trust_env_proxy_settings=False)
    )


@linux_only
@pytest.mark.parametrize(
    "phase", ["connecting", "TLS handshake", "upload", "head", "head over TLS", "body", "body without length"]
)
def test_an_exchange_is_cut_in_each_phase(
    phase: str,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    hole: str,
    mute: str,
) -> None:
    """Within milliseconds: neither its thread nor its socket outlives the race for long."""
    server.script("/quick", respond(200))
    server.script("/head", stall())
    tls_server.script("/head", stall())
    server.script("/body", drip(b"x" * 1000))
    server.script("/endless", raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 1000, every=0.05))
    server.script("/upload", stall_reading())
    url = {
        "connecting": f"http://{hole}/",
        "TLS handshake": f"https://{mute}/",
        "upload": f"{server.url}/upload",
        "head": f"{server.url}/head",
        "head over TLS": f"{tls_server.url}/head",
        "body": f"{server.url}/body",
        "body without length": f"{server.url}/endless",
    }[phase]
    content = b"x" * 50_000_000 if phase == "upload" else b""
    with client_for(certificates) as client:
        # These servers keep a thread and a connection until their end.
        kept = 2 if phase in ("TLS handshake", "upload") else 0
        # Those of the test before wait for work for a moment.
        wait_until(lambda: not blocking._BRANCHES._workers)
        files, tasks = open_files() + kept, threads() + kept
        for _ in range(2):  # the second time with an idle connection
            ends_at = time.monotonic() + 0.1
            outcome = race(
                client, url, f"{server.url}/quick", lambda at=ends_at: time.monotonic() > at, content
            )  # type: ignore[misc]
            assert outcome.status_code == 200
        client.drop_idle_connections()
        # The servers' side of each connection is in this process, too.
        wait_until(lambda: open_files() <= files and threads() <= tasks)
        wait_until(lambda: not blocking._BRANCHES._workers)


def test_a_look_up_of_a_name_is_abandoned(
    monkeypatch: pytest.MonkeyPatch, server: LoopbackServer, certificates: Certificates
) -> None:
    """The system's resolver goes on, on a thread of its own; the branch does not wait for it."""
    held, look_up = Held(), resolver._look_up

    def looked_up(host: str, port: int) -> Any:
        return held() or [] if host == "slow.test" else look_up(host, port)

    monkeypatch.setattr(resolver, "_look_up", looked_up)
    server.script("/quick", respond(200))
    with client_for(certificates) as client:
        outcome = race(client, "http://slow.test/", f"{server.url}/quick", held.began.is_set, b"")
        assert outcome.status_code == 200
        wait_until(lambda: not blocking._BRANCHES._workers)
        assert not held.has_ended.is_set()
    held.may_end.set()


def test_a_connection_that_was_released_is_not_cut(
    server: LoopbackServer, certificates: Certificates
) -> None:
    """A branch that is cancelled after the end of its exchange leaves the connection to the next one."""
    server.script("/", respond(200))
    with client_for(certificates) as client:

        def then_waits() -> Plan[Any]:
            yield from exchange(f"{server.url}/")
            yield from Sleep(60.0)

        def plan() -> Plan[Any]:
            branch = Branch(then_waits)
            try:
                yield from Begin(branch)
                wait_until(lambda: client._backends.idle_connections == 1)
            finally:
                branch.cancel()
            yield from FirstOf([branch])

        client._backends.blocking().run(plan())
        assert client.get(f"{server.url}/").status_code == 200
        assert server.requests[-1].connection == server.requests[0].connection
