"""Event sources over real connections: they go on, and any thread may end them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpServiceClient, Timeout
from http_service_client.testing import LoopbackServer, raw, reset, respond
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from network.faults import slots_in_use

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def collected(front_end: FrontEnd, client: HttpServiceClient, url: str, **options: Any) -> list[str]:
    """The data of all events of a source."""
    if isinstance(front_end, BlockingFrontEnd):
        with client.events(url, **options) as events:
            return [event.data for event in events]

    async def listen() -> list[str]:
        async with client.events_async(url, **options) as events:
            return [event.data async for event in events]

    result: list[str] = run_task(listen())
    return result


def test_events_go_on_over_broken_and_silent_connections(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A reset, a server that only sends comments, and one that is down for a moment."""
    pings = [chunk(b": ping\n\n")] * 50
    server.script(
        "/",
        reset(HEAD + chunk(b"retry: 10\nid: 1\ndata: a\n\n")),
        raw(HEAD + chunk(b"id: 2\ndata: b\n\n"), *pings, every=0.05),
        respond(503),
        raw(HEAD + chunk(b"data: c\n\n"), every=0.05),
        respond(204),
    )
    pool = ConnectionPoolConfig(max_connections=1)
    config = HttpClientConfig(connection_pool=pool, retry_policy_config={"initial_delay": 0.01})
    client = HttpServiceClient(config)
    timeout = Timeout(total=5.0, between=2.0)
    assert collected(front_end, client, server.url + "/", timeout=timeout, idle_timeout=0.2) == [
        "a",
        "b",
        "c",
    ]
    assert [request.header("Last-Event-ID") for request in server.requests] == [None, "1", "2", "2", "2"]
    assert slots_in_use(client) == 0
    client.close()


ENDINGS = {
    "reads": raw(HEAD + chunk(b"data: a\n\n"), b"", every=60),
    "waits": raw(HEAD + chunk(b"retry: 35000\ndata: a\n\n"), b"0\r\n\r\n"),
    "connects": reset(HEAD + chunk(b"retry: 1\ndata: a\n\n")),
}


@pytest.mark.parametrize("step", ENDINGS)
def test_another_thread_may_end_a_source(front_end: FrontEnd, server: LoopbackServer, step: str) -> None:
    """Its iteration then ends without an error and without the rest of a wait, and its connection is free."""
    server.script("/", ENDINGS[step], respond(404, delay=1.5))
    client = front_end.client(retry_policy_config={"initial_delay": 0.001})
    began = time.monotonic()
    if isinstance(front_end, BlockingFrontEnd):
        with client.events(server.url + "/") as events:
            assert next(events).data == "a"
            threading.Timer(0.5, events.close).start()
            assert list(events) == []
    else:

        async def listen() -> None:
            async with client.events_async(server.url + "/") as events:
                assert (await anext(events)).data == "a"
                threading.Timer(0.5, events.close).start()
                assert [event async for event in events] == []

        front_end.run(listen)
    assert time.monotonic() - began < 30
    assert len(server.requests) == (2 if step == "connects" else 1)
    assert slots_in_use(client) == 0


def test_a_cancelled_listener_leaves_no_connection(server: LoopbackServer) -> None:
    """Nor a slot."""
    server.script("/", raw(HEAD + chunk(b"data: a\n\n"), b"", every=20))

    async def listen() -> int:
        async with HttpServiceClient() as client:
            async with client.events_async(server.url + "/") as events:
                assert (await anext(events)).data == "a"
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(events), 0.1)
            return slots_in_use(client)

    assert run_task(listen()) == 0


def test_a_step_after_a_cancelled_one_connects_again(server: LoopbackServer) -> None:
    """Whoever limits a step by a timeout of their own may go on."""
    server.script(
        "/",
        raw(HEAD + chunk(b"id: 1\ndata: a\n\n"), b"", every=20),
        raw(HEAD + chunk(b"data: b\n\n"), b"", every=20),
    )

    async def listen() -> list[str]:
        async with HttpServiceClient() as client, client.events_async(server.url + "/") as events:
            first = await anext(events)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(events), 0.1)
            return [first.data, (await anext(events)).data]

    assert run_task(listen()) == ["a", "b"]
    assert [request.header("Last-Event-ID") for request in server.requests] == [None, "1"]
