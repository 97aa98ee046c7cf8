"""Hedged calls over real sockets: the loser's connection is closed at once, and both front ends tell the same story."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import pytest

from http_service_client import ClientClosedError, HttpClientConfig, HttpServiceClient
from http_service_client.drivers import blocking
from http_service_client.testing import LoopbackServer, answer, respond, stall
from kit.forks import in_a_child, needs_fork
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.threads import wait_until
from network.faults import Certificates

SETTINGS: dict[str, Any] = {"hedging": {"delay": 0.05}, "trust_env_proxy_settings": False}


def story(events: tuple[Any, ...]) -> list[Any]:
    """The events without their times."""
    times = {"at", "duration", "deadline_left", "call_id", "key", "url"}
    return [{name: value for name, value in event._asdict().items() if name not in times} for event in events]


def hedged_call(front_end: FrontEnd, server: LoopbackServer, **settings: Any) -> Any:
    """A call whose first request hangs; the second one responds."""
    server.script("/", stall(), respond(200, body="hedge"), respond(200))
    client = HttpServiceClient(HttpClientConfig(**{**SETTINGS, **settings}))
    try:
        return front_end.request(client, "GET", f"{server.url}/")
    finally:
        front_end.close(client)


def test_both_front_ends_tell_the_same_story() -> None:
    """The same events, with the same fields but for their times."""
    stories = []
    for made in (BlockingFrontEnd(), AsyncioFrontEnd()):
        with LoopbackServer() as server, made as front_end:
            response = hedged_call(front_end, server)
            assert response.content == b"hedge"
            stories.append(story(response.timeline))
    assert stories[0] == stories[1]
    names = [event["name"] for event in stories[0]]
    assert names == [
        *("hedge_started", "hedge_finished", "hedge_finished"),
        *("attempt_finished", "call_finished"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has the numbers of threads and files")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_hanging_server_leaves_no_thread_and_no_socket(
    front_end: FrontEnd,
    scheme: str,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
) -> None:
    """The client's own threads and sockets, and the server's side of them, end at once, not after the timeout."""
    used = server if scheme == "http" else tls_server
    client = HttpServiceClient(HttpClientConfig(connection_pool=certificates.pool(), **SETTINGS))
    try:
        used.script("/", respond(200))
        front_end.request(client, "GET", f"{used.url}/")  # what a client starts once
        client.drop_idle_connections()
        wait_until(lambda: not client._backends.idle_connections)
        # That of the first call waits for work for a moment.
        wait_until(lambda: not blocking._BRANCHES._workers)
        threading.Event().wait(0.05)
        files, tasks = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        for _ in range(3):  # the retry quota has four tokens
            used.script("/", stall(), respond(200))
            began = time.monotonic()
            assert front_end.request(client, "GET", f"{used.url}/").status_code == 200
            assert time.monotonic() - began < 20  # far below the timeout
        client.drop_idle_connections()
        wait_until(lambda: len(os.listdir("/proc/self/task")) <= tasks)
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= files)
        wait_until(lambda: not blocking._BRANCHES._workers)
        assert [limit.in_use for limit in client._backends._limits()] == [0, 0]
    finally:
        front_end.close(client)


def test_connections_are_kept_from_one_hedged_call_to_the_next(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A quick call on an arm uses the connection of the one before."""
    server.script("/", respond(200))
    client = HttpServiceClient(HttpClientConfig(hedging={"delay": 5.0}, trust_env_proxy_settings=False))
    try:
        for _ in range(5):
            assert front_end.request(client, "GET", f"{server.url}/").status_code == 200
    finally:
        front_end.close(client)
    assert {request.connection for request in server.requests} == {1}


def test_many_hedged_calls_at_the_same_time(server: LoopbackServer) -> None:
    """Threads share one client: no response goes to another call, and no connection is cut that another call uses."""
    served = iter(range(10_000))

    def serve(received: Any) -> Any:
        body = received.target.rpartition("=")[2]
        return respond(200, body=body, delay=0.1 if next(served) % 3 == 0 else 0.0)

    server.script("/", answer(serve))
    settings = {**SETTINGS, "hedging": {"delay": 0.03, "max_share": 1.0}}
    settings["retry_budget_config"] = {"capacity": 1000}
    results: dict[int, list[bytes]] = {}
    with HttpServiceClient(HttpClientConfig(**settings)) as client:

        def work(number: int) -> None:
            results[number] = [
                client.get(f"{server.url}/", params={"n": f"{number}.{turn}"}).content for turn in range(10)
            ]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        wait_until(lambda: not blocking._BRANCHES._workers)
    assert results == {number: [f"{number}.{turn}".encode() for turn in range(10)] for number in range(6)}


def test_closing_the_client_ends_both_requests(front_end: FrontEnd, server: LoopbackServer) -> None:
    """With `abort`, while they are in flight: the call ends with ClientClosedError."""
    server.script("/", stall())
    client = HttpServiceClient(HttpClientConfig(**SETTINGS, enable_retry_policy=False))
    closing = threading.Thread(
        target=lambda: (wait_until(lambda: len(server.requests) == 2), client.close(abort=True))
    )
    closing.start()
    with pytest.raises(ClientClosedError):
        front_end.request(client, "GET", f"{server.url}/")
    closing.join(10)
    wait_until(lambda: not blocking._BRANCHES._workers)


@needs_fork
def test_a_forked_child_hedges_by_itself(server: LoopbackServer) -> None:
    """While a hedged call of the parent is in flight on another thread; the parent's connections stay as they are."""
    server.script("/hangs", stall())
    server.script("/", stall(), respond(200))
    client = HttpServiceClient(HttpClientConfig(**SETTINGS, enable_retry_policy=False))
    ended: list[Any] = []

    def hang() -> None:
        with pytest.raises(ClientClosedError):
            client.get(f"{server.url}/hangs")
        ended.append(True)

    thread = threading.Thread(target=hang)
    thread.start()
    wait_until(lambda: len(server.requests) == 2)

    def child() -> None:
        assert client.get(f"{server.url}/").status_code == 200
        wait_until(lambda: not any(limit.in_use for limit in client._backends._limits()))

    assert in_a_child(child) == 0
    assert not ended
    client.close(abort=True)
    thread.join(10)
    assert ended
