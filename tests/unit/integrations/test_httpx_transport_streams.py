"""What our transports for httpx read of a response's body, and when they close it: by streams that tell."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client import (
    ConnectionPoolConfig,
    ConstantBackoff,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.events import RetryScheduled
from http_service_client.integrations import AsyncResilientTransport, adapter_base
from kit.httpx_clients import Clients

KIB = 1024
URL = "https://api.test/"


class Body:
    """The body of a response: what was read of it, and whether it was closed.

    every: seconds before each piece.   error: is raised in place of a piece that is an error.
    """

    def __init__(self, *pieces: bytes | Exception, every: float = 0.0, fails_to_close: bool = False) -> None:
        self._pieces = pieces
        self._every = every
        self._fails_to_close = fails_to_close
        self.read = 0
        self.is_closed = False

    def stream(self, clients: Clients) -> Any:
        """As the library has it, for clients of one way alone."""
        library, body = clients.library, self

        class Plain(library.SyncByteStream):  # type: ignore[misc]
            def __iter__(self) -> Iterator[bytes]:
                for piece in body._pieces:
                    time.sleep(body._every)
                    yield body._next(piece)

            def close(self) -> None:
                body._close(library)

        class Asynchronous(library.AsyncByteStream):  # type: ignore[misc]
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for piece in body._pieces:
                    await asyncio.sleep(body._every)
                    yield body._next(piece)

            async def aclose(self) -> None:
                body._close(library)

        return Asynchronous() if clients.is_async else Plain()

    def _next(self, piece: bytes | Exception) -> bytes:
        self.read += 1
        if isinstance(piece, Exception):
            raise piece
        return piece

    def _close(self, library: Any) -> None:
        self.is_closed = True
        if self._fails_to_close:
            raise library.ReadError("it cannot be closed")


def answering(clients: Clients, *responses: Any) -> Any:
    """The library's transport with a response for each exchange: a status, headers, and a body.

    No exchange begins before the body of the one before is closed: there may be one connection alone.
    """
    script = iter(responses)
    bodies: list[Body] = []

    def handler(request: Any) -> Any:
        assert all(each.is_closed for each in bodies)
        status, headers, body = next(script)
        bodies.append(body)
        return clients.library.Response(status, headers=headers, stream=body.stream(clients))

    return clients.library.MockTransport(handler)


@pytest.mark.parametrize(
    ("headers", "sizes", "read"),
    [
        ({}, [32 * KIB, 32 * KIB], 2),
        ({}, [32 * KIB, 32 * KIB, 1, 1], 3),
        ({}, [64 * KIB + 1, 1], 1),
        ({"Content-Length": str(64 * KIB)}, [64 * KIB], 1),
        ({"Content-Length": str(64 * KIB + 1)}, [1], 0),
        ({"Content-Length": "unknown"}, [32 * KIB, 32 * KIB, 1, 1], 3),
    ],
)
def test_of_a_response_that_is_discarded_64_kib_are_read_at_most(
    clients: Clients, headers: dict[str, str], sizes: list[int], read: int
) -> None:
    """And nothing of one that says that it is longer. It is closed in any case."""
    body = Body(*map(bytes, sizes))
    transport = clients.transport(transport=answering(clients, (503, headers, body), (200, {}, Body(b"up"))))
    response = clients.request(clients.client(transport), "GET", URL)
    assert (response.status_code, response.text) == (200, "up")
    assert (body.read, body.is_closed) == (read, True)


def test_discarding_a_response_ends_in_time(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little comes at a time."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 0.05)
    body = Body(*[b""] * 2000, every=0.001)
    transport = clients.transport(transport=answering(clients, (503, {}, body), (200, {}, Body(b"up"))))
    assert clients.request(clients.client(transport), "GET", URL).text == "up"
    assert 0 < body.read < 1500
    assert body.is_closed


@pytest.mark.parametrize("fails_to_close", [False, True])
@pytest.mark.parametrize("has_error", [False, True])
def test_a_response_that_cannot_be_discarded_is_none_the_less(
    clients: Clients, has_error: bool, fails_to_close: bool
) -> None:
    """The next attempt is made."""
    error = clients.library.ReadError("it is lost")
    body = Body(b"x", *[error] * has_error, fails_to_close=fails_to_close)
    transport = clients.transport(transport=answering(clients, (503, {}, body), (200, {}, Body(b"up"))))
    assert clients.request(clients.client(transport), "GET", URL).text == "up"
    assert body.is_closed


class Interrupted(BaseException):
    """What ends a call between two attempts."""


def interrupting(clients: Clients, body: Body) -> Any:
    """A client whose call is interrupted when its first response has come."""

    def interrupts(response: HttpResponse) -> bool:
        raise Interrupted

    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(interrupts)])
    config = HttpClientConfig(retry_policy_config=policy)
    return clients.client(clients.transport(config, transport=answering(clients, (503, {}, body))))


@pytest.mark.parametrize("fails_to_close", [False, True])
def test_a_call_that_is_interrupted_closes_its_response(clients: Clients, fails_to_close: bool) -> None:
    """Between two attempts, nobody else has it. An asynchronous one is closed at the next turn of its loop."""
    body = Body(b"x", fails_to_close=fails_to_close)
    client = interrupting(clients, body)
    with pytest.raises(Interrupted):
        clients.request(client, "GET", URL)
    clients.wait(asyncio.sleep(0))
    assert (body.read, body.is_closed) == (0, True)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_nothing_is_kept_of_a_response_that_was_closed(library: str) -> None:
    """By a task of its own, which is over then."""
    tasks: list[weakref.ref[Any]] = []

    class Noted(Body):
        def stream(self, clients: Clients) -> Any:
            class Stream(clients.library.AsyncByteStream):  # type: ignore[misc,name-defined]
                async def aclose(self) -> None:
                    tasks.append(weakref.ref(asyncio.current_task()))

            return Stream()

    with ExitStack() as stack:
        clients = Clients(library, True, stack)
        client = interrupting(clients, Noted())
        with pytest.raises(Interrupted):
            clients.request(client, "GET", URL)
        clients.wait(asyncio.sleep(0.01))
        gc.collect()
        assert [task() for task in tasks] == [None]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_call_whose_loop_has_ended_is_given_up_quietly(library: str) -> None:
    """Its connections have ended with the loop, which closes nothing any more."""
    body, waits = Body(b"x"), asyncio.Event()

    def listen(event: object) -> None:
        if isinstance(event, RetryScheduled):
            waits.set()

    with ExitStack() as stack:
        clients = Clients(library, True, stack)
        backoff = ConstantBackoff(60.0, jitter="none")
        config = HttpClientConfig(retry_policy_config=RetryPolicy(backoff_strategy=backoff))
        client = HttpServiceClient(config, on_event=listen)
        transport = AsyncResilientTransport(client=client, transport=answering(clients, (503, {}, body)))
        call = transport.handle_async_request(clients.library.Request("GET", URL))

        async def begin() -> asyncio.Task[Any]:
            task = asyncio.create_task(call)
            await waits.wait()
            await asyncio.sleep(0.01)
            return task

        clients._loop.set_exception_handler(lambda *about: None)  # of a task that never ends
        task = clients.wait(begin())
        call.close()
        assert not task.done()
    assert not body.is_closed


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_response_that_is_being_closed_is_not_forgotten(library: str) -> None:
    """By a loop that keeps no task alive, while the last piece is waited for."""
    waits: list[weakref.ref[asyncio.Future[None]]] = []

    class Slow(Body):
        def stream(self, clients: Clients) -> Any:
            body = self

            class Stream(clients.library.AsyncByteStream):  # type: ignore[misc,name-defined]
                async def aclose(self) -> None:
                    future = asyncio.get_running_loop().create_future()
                    waits.append(weakref.ref(future))
                    await future
                    body.is_closed = True

            return Stream()

    with ExitStack() as stack:
        clients, body = Clients(library, True, stack), Slow()
        client = interrupting(clients, body)
        with pytest.raises(Interrupted):
            clients.request(client, "GET", URL)
        clients.wait(asyncio.sleep(0))
        gc.collect()
        (future,) = (each() for each in waits)
        assert future is not None
        future.set_result(None)
        clients.wait(asyncio.sleep(0.01))
        assert body.is_closed


def test_an_attempt_that_reads_the_body_has_one_limit_for_both(clients: Clients) -> None:
    """A body that trickles ends it, and is closed; the next attempt is made. `read_bodies` alone does that."""
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=0.1))
    for read_bodies, text in ((True, "fast"), (False, "x" * 20)):
        slow = Body(*[b"x"] * 20, every=0.02)
        fast = [(200, {}, Body(b"fa", b"st")) for _ in range(2)]  # one more, for a machine that stands still
        inner = answering(clients, (200, {}, slow), *fast)
        transport = clients.transport(config, transport=inner, read_bodies=read_bodies)
        assert clients.request(clients.client(transport, timeout=None), "GET", URL).text == text
        assert slow.is_closed


@pytest.mark.parametrize("fails_to_close", [False, True])
def test_a_limit_is_not_needed_to_read_a_body(clients: Clients, fails_to_close: bool) -> None:
    """Of several pieces: they are one body. It is whole, whatever comes of closing it."""
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=None))
    body = Body(b"on", b"ce", fails_to_close=fails_to_close)
    transport = clients.transport(config, transport=answering(clients, (200, {}, body)), read_bodies=True)
    response = clients.request(clients.client(transport), "GET", URL)
    assert (response.text, body.read) == ("once", 2)
    assert body.is_closed


def test_a_body_that_cannot_be_read_is_closed(clients: Clients) -> None:
    """The attempt has failed, and another one is made."""
    body = Body(b"x", clients.library.ReadError("it is lost"))
    inner = answering(clients, (200, {}, body), (200, {}, Body(b"up")))
    transport = clients.transport(transport=inner, read_bodies=True)
    assert clients.request(clients.client(transport), "GET", URL).text == "up"
    assert body.is_closed


def test_a_connection_upgraded_by_a_request_is_not_read(clients: Clients) -> None:
    """Its bytes are no body, also with `read_bodies`; whoever asked for it reads it."""
    body = Body(b"x")
    transport = clients.transport(transport=answering(clients, (101, {}, body)), read_bodies=True)
    client = clients.client(transport)
    request = client.build_request("GET", URL, headers={"Connection": "upgrade", "Upgrade": "x"})
    sent = client.send(request, stream=True)
    response = clients.wait(sent) if clients.is_async else sent
    assert (response.status_code, body.read, body.is_closed) == (101, 0, False)
    clients.wait(response.aclose()) if clients.is_async else response.close()
    assert body.is_closed


@pytest.mark.parametrize("read_bodies", [False, True])
def test_whoever_judges_a_response_sees_the_body_if_it_is_read(clients: Clients, read_bodies: bool) -> None:
    """And none otherwise."""
    seen: list[bytes] = []

    def judges(response: HttpResponse) -> bool:
        seen.append(response.content)
        return False

    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(judges)])
    transport = clients.transport(
        HttpClientConfig(retry_policy_config=policy),
        transport=answering(clients, (503, {}, Body(b"do", b"wn"))),
        read_bodies=read_bodies,
    )
    assert clients.request(clients.client(transport), "GET", URL).text == "down"
    assert seen == [b"down" if read_bodies else b""]
