"""`ResilientTransport` and `AsyncResilientTransport`: what a client of httpx or httpx2 sees of the policies."""

from __future__ import annotations

import asyncio
import gzip
import io
import pickle
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    DeadlineExceededError,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    SentState,
    deadline,
)
from http_service_client.events import AttemptFinished
from http_service_client.integrations import (
    AsyncResilientTransport,
    ResilientTransport,
    adapter_base,
    explain,
)
from http_service_client.testing import LoopbackServer, VirtualClock, raw, reset, respond, stall

DOWN = respond(503, body="down")
STOPS = b"HTTP/1.1 503 Down\r\nContent-Length: 100\r\n\r\nx"


class Clients:
    """Makes clients of one library, blocking or asynchronous, and calls by them as if they were blocking."""

    def __init__(self, library: str, is_async: bool, stack: ExitStack) -> None:
        self.library: Any = pytest.importorskip(library, reason=f"{library} is not installed")
        self.is_async = is_async
        self._stack = stack
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        self._transport: Any = AsyncResilientTransport if is_async else ResilientTransport

    def transport(self, config: HttpClientConfig | None = None, **options: Any) -> Any:
        """A transport that waits in virtual time."""
        client = HttpServiceClient(config, clock=VirtualClock())
        return self._transport(client=client, **options)

    def real(self, *arguments: Any, **options: Any) -> Any:
        """A transport of the constructor's own arguments."""
        return self._transport(*arguments, **options)

    def inner(self, **options: Any) -> Any:
        """The library's own transport."""
        return (self.library.AsyncHTTPTransport if self.is_async else self.library.HTTPTransport)(**options)

    def client(self, transport: Any = None, **options: Any) -> Any:
        kind = self.library.AsyncClient if self.is_async else self.library.Client
        client = kind(transport=transport or self.transport(), **options)
        self._stack.callback(lambda: self.wait(client.aclose()) if self.is_async else client.close())
        return client

    def request(self, client: Any, method: str, url: str, **options: Any) -> Any:
        result = client.request(method, url, **options)
        return self.wait(result) if self.is_async else result

    def wait(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)


@pytest.fixture(
    params=[(library, is_async) for library in ("httpx", "httpx2") for is_async in (False, True)],
    ids=lambda case: f"{case[0]}, {'async' if case[1] else 'blocking'}",
)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Both libraries, both ways."""
    with ExitStack() as stack:
        yield Clients(*request.param, stack)


@pytest.mark.parametrize("enters", [False, True])
def test_the_transport_of_the_other_way_is_named(clients: Clients, enters: bool) -> None:
    """A client asks it for what it does not have: when it is entered, or by its first request."""
    kind = clients.library.Client if clients.is_async else clients.library.AsyncClient
    client = kind(transport=clients.transport())
    takes = (
        "; it is for an AsyncClient, and a Client takes a ResilientTransport"
        if clients.is_async
        else "; it is for a Client, and an AsyncClient takes an AsyncResilientTransport"
    )

    async def use() -> None:
        await (client.__aenter__() if enters else client.get("http://127.0.0.1:1/"))

    def use_plainly() -> None:
        client.__enter__() if enters else client.get("http://127.0.0.1:1/")

    with pytest.raises(AttributeError, match=f"object has no attribute '.*'{re.escape(takes)}$"):
        use_plainly() if clients.is_async else clients.wait(use())


def test_another_attribute_is_missing_as_ever(clients: Clients) -> None:
    """Nothing is said of clients then."""
    with pytest.raises(AttributeError, match=r"object has no attribute 'pool'$"):
        clients.transport().pool  # noqa: B018  # it raises


def test_the_response_is_that_of_the_library(clients: Clients, server: LoopbackServer) -> None:
    """After two failures, with its story."""
    server.script("/", DOWN, reset(), respond(200, body="up"))
    response = clients.request(clients.client(), "GET", server.url)
    assert isinstance(response, clients.library.Response)
    assert response.text == "up"
    assert (
        explain(response)
        .splitlines()[-1]
        .endswith("done: 200 after 3 attempts; one without a complete response may have been processed, too")
    )


def test_an_error_that_is_being_handled_is_not_that_of_the_attempt(
    clients: Clients, server: LoopbackServer
) -> None:
    """A request that was sent would be taken for one that was not, and sent again."""
    server.script("/", reset())
    client = clients.client()
    handled = ConnectionRefusedError()
    try:
        raise handled
    except ConnectionRefusedError:
        with pytest.raises(clients.library.TransportError) as caught:
            clients.request(client, "POST", server.url)
    assert handled.__traceback__ is not None
    assert caught.value.sent_state is SentState.MAYBE_PROCESSED
    assert len(server.requests) == 1


def test_a_stream_is_left_unread(clients: Clients, server: LoopbackServer) -> None:
    """Its body is read by the code that asked for it."""
    server.script("/", DOWN, respond(200, body="piece by piece"))
    client = clients.client()
    if clients.is_async:

        async def read() -> tuple[bool, bytes]:
            async with client.stream("GET", server.url) as response:
                return response.is_stream_consumed, await response.aread()

        was_read, content = clients.wait(read())
    else:
        with client.stream("GET", server.url) as response:
            was_read, content = response.is_stream_consumed, response.read()
    assert (was_read, content) == (False, b"piece by piece")


def test_a_discarded_response_keeps_its_connection(clients: Clients, server: LoopbackServer) -> None:
    """Its short body is read before the retry."""
    server.script("/", DOWN, respond(200))
    assert clients.request(clients.client(), "GET", server.url).status_code == 200
    assert server.connection_count == 1


def test_a_long_discarded_response_is_closed(clients: Clients, server: LoopbackServer) -> None:
    """It is not read to its end, and its connection does not block the pool."""
    limits = clients.library.Limits(max_connections=1)
    server.script("/", respond(503, body=b"x" * 3_000_000), respond(200))
    transport = clients.transport(transport=clients.inner(limits=limits))
    assert clients.request(clients.client(transport), "GET", server.url).status_code == 200
    assert server.connection_count == 2


def test_the_body_of_a_discarded_response_costs_no_more_than_the_attempt_has(
    clients: Clients, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops is read for a part of the next attempt's time, which ends when it would have ended."""
    monkeypatch.setattr(adapter_base, "DRAIN_TIME", 6.0)
    server.script("/", raw(STOPS, b"y", every=30.0), stall())
    config = HttpClientConfig(base_timeout=0.3, retry_policy_config={"max_attempts": 2})
    began = time.monotonic()
    with pytest.raises(clients.library.TransportError):
        clients.request(clients.client(clients.transport(config)), "GET", server.url)
    assert time.monotonic() - began < 5
    assert server.wait_for(lambda: len(server.requests) == 2)


def test_the_last_of_some_failures_can_be_read(clients: Clients, server: LoopbackServer) -> None:
    """It is a response like any other."""
    server.script("/", DOWN)
    response = clients.request(clients.client(), "GET", server.url)
    assert (response.status_code, response.text) == (503, "down")


@pytest.mark.parametrize("read_bodies", [True, False])
def test_a_body_that_is_lost(clients: Clients, server: LoopbackServer, read_bodies: bool) -> None:
    """It is fetched again if an attempt includes it; else httpx reads it, after the call."""
    cut = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    server.script("/", cut, respond(200, body="whole"))
    client = clients.client(clients.transport(read_bodies=read_bodies))
    if read_bodies:
        assert clients.request(client, "GET", server.url).text == "whole"
    else:
        with pytest.raises(clients.library.RemoteProtocolError):
            clients.request(client, "GET", server.url)


def test_a_coded_body_that_was_read_is_decoded(clients: Clients, server: LoopbackServer) -> None:
    """By httpx, as ever."""
    server.script("/", respond(200, headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"hello")))
    client = clients.client(clients.transport(read_bodies=True))
    assert clients.request(client, "GET", server.url).text == "hello"


def test_the_last_error_is_that_of_the_library(clients: Clients, server: LoopbackServer) -> None:
    """As it is, with the timeline and the sent state of the call."""
    server.refuse()
    with pytest.raises(clients.library.ConnectError) as caught:
        clients.request(clients.client(), "POST", server.url, content=b"1")
    error: Any = caught.value
    assert type(error) is clients.library.ConnectError
    assert error.sent_state is SentState.NEVER_SENT
    assert error.request.method == "POST"
    assert "attempt 3" in explain(error)


def test_our_errors_are_those_of_the_library_too(clients: Clients, server: LoopbackServer) -> None:
    """A circuit that is open is a transport error for code that knows httpx only. Pickled, it holds no credentials."""
    server.script("/", DOWN)
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 1}, enable_retry_policy=False)
    client = clients.client(clients.transport(config), headers={"Authorization": "Bearer s3cret"})
    clients.request(client, "GET", server.url)
    with pytest.raises(clients.library.ConnectError) as caught:
        clients.request(client, "GET", server.url)
    error = caught.value
    assert isinstance(error, CircuitOpenError)
    assert error.request.headers["Authorization"] == "Bearer s3cret"
    pickled = pickle.dumps(error)
    assert b"s3cret" not in pickled
    assert type(pickle.loads(pickled)) is type(error)


def test_a_deadline_is_a_timeout(clients: Clients, server: LoopbackServer) -> None:
    """And ends the call on time, whatever the library's own timeout."""
    server.script("/", stall())
    client = clients.client(clients.real(), timeout=10)
    began = time.monotonic()
    with deadline(0.2), pytest.raises(clients.library.TimeoutException) as caught:
        clients.request(client, "GET", server.url)
    assert isinstance(caught.value, DeadlineExceededError) or caught.value.sent_state is SentState.ABANDONED
    assert time.monotonic() - began < 5


def test_the_timeout_of_the_request_holds(clients: Clients, server: LoopbackServer) -> None:
    """The smaller one wins, for each attempt."""
    server.script("/", stall(), respond(200, body="fast"))
    client = clients.client(timeout=clients.library.Timeout(10, read=0.1))
    assert clients.request(client, "GET", server.url).text == "fast"


@pytest.mark.parametrize(
    ("attempt", "given", "read"),
    [(None, 5.0, 5.0), (None, None, None), (60.0, 5.0, 5.0), (60.0, None, 60.0), (60.0, 90.0, 60.0)],
)
def test_a_wait_has_the_smaller_limit(
    clients: Clients, attempt: float | None, given: float | None, read: float | None
) -> None:
    """Of what the request allows and what is left of the attempt; None for no limit."""
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        limits = request.extensions["timeout"]
        seen.append((limits["read"], limits.get("read"), limits.get("another")))
        return clients.library.Response(200)

    transport = clients.transport(
        HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=attempt)),
        transport=clients.library.MockTransport(handler),
    )
    clients.request(clients.client(transport, timeout=given), "GET", "https://api.test/")
    ((by_index, by_get, another),) = seen
    assert (by_index, by_get) == (pytest.approx(read, abs=30.0), pytest.approx(read, abs=30.0))
    assert another == (None if attempt is None else pytest.approx(attempt, abs=30.0))


def test_a_generator_is_sent_once(clients: Clients, server: LoopbackServer) -> None:
    """What was read cannot be sent again: the 503 is the result, and no empty body is sent."""
    server.script("/", DOWN, respond(200))

    def plain() -> Iterator[bytes]:
        yield b"pay"

    async def asynchronous() -> Any:
        yield b"pay"

    body: Any = asynchronous() if clients.is_async else plain()
    response = clients.request(clients.client(), "PUT", server.url, content=body)
    assert response.status_code == 503
    assert [request.body for request in server.requests] == [b"pay"]


def test_a_generator_that_was_not_read_is_sent(clients: Clients) -> None:
    """A refused connection has read nothing."""
    with LoopbackServer() as server:
        server.script("/", respond(200))
        server.refuse()
        client = HttpServiceClient(
            clock=VirtualClock(), on_event=lambda event: server.accept() if "Retry" in repr(event) else None
        )
        transport = (AsyncResilientTransport if clients.is_async else ResilientTransport)(client=client)

        async def asynchronous() -> Any:
            yield b"pay"

        body: Any = asynchronous() if clients.is_async else iter([b"pay"])
        response = clients.request(clients.client(transport), "POST", server.url, content=body)
        assert response.status_code == 200
        assert [request.body for request in server.requests] == [b"pay"]


def test_what_can_be_iterated_again_is_sent_again(clients: Clients, server: LoopbackServer) -> None:
    """Each time from its start: it is no iterator itself."""

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"pa", b"y"])

    class AsyncPieces:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in (b"pa", b"y"):
                yield piece

    server.script("/", DOWN, respond(200))
    body: Any = AsyncPieces() if clients.is_async else Pieces()
    response = clients.request(clients.client(), "PUT", server.url, content=body)
    assert response.status_code == 200
    assert [request.body for request in server.requests] == [b"pay", b"pay"]


def test_files_of_a_form_are_sent_again(clients: Clients, server: LoopbackServer) -> None:
    """From their start."""
    server.script("/", DOWN, respond(200))
    files = {"file": ("a.txt", io.BytesIO(b"content"))}
    response = clients.request(clients.client(), "PUT", server.url, files=files)
    assert response.status_code == 200
    first, second = (request.body for request in server.requests)
    assert first == second
    assert b"content" in second


def test_a_file_of_a_form_that_cannot_be_rewound_is_sent_once(
    clients: Clients, server: LoopbackServer
) -> None:
    """A pipe, say: the 503 is the result."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *position: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

        def fileno(self) -> int:
            raise io.UnsupportedOperation

    server.script("/", DOWN, respond(200))
    files = {"file": ("a.txt", Pipe(b"content"))}
    response = clients.request(clients.client(), "PUT", server.url, files=files)
    assert (response.status_code, len(server.requests)) == (503, 1)


def test_the_callers_request_remains_as_it_is(clients: Clients, server: LoopbackServer) -> None:
    """Headers and timeouts of an attempt are set on a copy."""
    server.script("/", DOWN, respond(200))
    client = clients.client(clients.transport(HttpClientConfig(auto_idempotency_key=True)))
    request = client.build_request("POST", server.url, content=b"1")
    before = (dict(request.headers), dict(request.extensions))
    sent = client.send(request)
    response = clients.wait(sent) if clients.is_async else sent
    assert response.status_code == 200
    assert (dict(request.headers), dict(request.extensions)) == before
    keys = {value for each in server.requests for name, value in each.headers if name == "Idempotency-Key"}
    assert len(keys) == 1


def test_each_hop_is_a_call(clients: Clients, server: LoopbackServer) -> None:
    """httpx follows redirects, above the transport."""
    server.script("/", respond(302, headers={"Location": "/next"}))
    server.script("/next", DOWN, respond(200))
    response = clients.request(clients.client(follow_redirects=True), "GET", server.url)
    assert (response.status_code, len(server.requests)) == (200, 3)
    assert explain(response).count("done:") == 2


def test_a_transport_that_retries_is_refused(clients: Clients) -> None:
    """It would retry within each attempt."""
    with pytest.raises(ConfigurationError, match=r"retries=2.*set max_attempts"):
        clients.real(transport=clients.inner(retries=2))


@pytest.mark.parametrize("transport", [object(), "http://proxy", ResilientTransport])
def test_what_is_no_transport_is_refused(clients: Clients, transport: Any) -> None:
    """With the name of what is needed."""
    with pytest.raises(ConfigurationError, match="transport must be a transport with handle_"):
        clients.real(transport=transport)


def test_settings_that_httpx_owns_are_refused(clients: Clients) -> None:
    """None is ignored silently."""
    with pytest.raises(ConfigurationError, match=r"allowed_redirect_count does nothing in .*Transport"):
        clients.real(HttpClientConfig(allowed_redirect_count=1))


def test_a_retry_policy_around_is_in_charge(clients: Clients, server: LoopbackServer) -> None:
    """One level retries."""
    server.script("/", DOWN)
    policy = RetryPolicy(max_attempts=2, backoff_strategy=ConstantBackoff(0.001))
    client = clients.client(clients.real())

    if clients.is_async:

        @policy.apply
        async def call() -> Any:
            response = await client.get(server.url)
            response.raise_for_status()

        with pytest.raises(clients.library.HTTPStatusError):
            clients.wait(call())
    else:

        @policy.apply
        def plain_call() -> Any:
            client.get(server.url).raise_for_status()

        with pytest.raises(clients.library.HTTPStatusError):
            plain_call()
    assert len(server.requests) == 2


def test_of_two_transports_the_outer_one_retries(clients: Clients, server: LoopbackServer) -> None:
    """A transport inside another one's transport passes the exchange on."""
    server.script("/", DOWN)
    inner = clients.transport()

    class Wrapped:
        """Somebody's own transport around ours."""

        def handle_request(self, request: Any) -> Any:
            return inner.handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            return await inner.handle_async_request(request)

        def close(self) -> None:
            inner.close()

        async def aclose(self) -> None:
            await inner.aclose()

    outer = clients.transport(transport=Wrapped())
    clients.request(clients.client(outer), "GET", server.url)
    assert len(server.requests) == 3


def test_the_mock_transport_works_under_it(clients: Clients) -> None:
    """Tests of users keep their mocks, and the body is there for them."""
    seen: list[bytes] = []

    def handler(request: Any) -> Any:
        seen.append(request.content)
        return clients.library.Response(503 if len(seen) < 2 else 200, json={"ok": True})

    transport = clients.transport(transport=clients.library.MockTransport(handler))
    response = clients.request(clients.client(transport), "PUT", "https://api.test/", json={"a": 1})
    assert (response.json(), len(seen)) == ({"ok": True}, 2)
    assert seen[0] == seen[1] != b""


@pytest.mark.parametrize(
    ("name", "text", "ours", "state"),
    [
        ("ConnectTimeout", "", "ConnectTimeoutError", SentState.NEVER_SENT),
        ("ConnectError", "no route", "ConnectError", SentState.NEVER_SENT),
        ("ProxyError", "407 Proxy Authentication Required", "ProxyError", SentState.NEVER_SENT),
        ("PoolTimeout", "", "PoolTimeoutError", SentState.NEVER_SENT),
        ("WriteTimeout", "", "WriteTimeoutError", SentState.MAYBE_PROCESSED),
        ("ReadTimeout", "", "ReadTimeoutError", SentState.MAYBE_PROCESSED),
        ("ReadError", "broken", "ConnectionLostError", SentState.MAYBE_PROCESSED),
        ("WriteError", "broken", "ConnectionLostError", SentState.MAYBE_PROCESSED),
        ("RemoteProtocolError", "Server disconnected", "ConnectionLostError", SentState.MAYBE_PROCESSED),
        (
            "RemoteProtocolError",
            "peer closed connection without sending complete message body",
            "ProtocolError",
            SentState.MAYBE_PROCESSED,
        ),
        ("RemoteProtocolError", "illegal status line", "ProtocolError", SentState.MAYBE_PROCESSED),
    ],
)
def test_what_the_errors_of_the_library_mean(
    clients: Clients, name: str, text: str, ours: str, state: SentState
) -> None:
    """Of an attempt, whose failure is in the story; the library's own error is raised."""

    def handler(request: Any) -> Any:
        raise getattr(clients.library, name)(text, request=request)

    transport = clients.transport(
        HttpClientConfig(enable_retry_policy=False), transport=clients.library.MockTransport(handler)
    )
    with pytest.raises(getattr(clients.library, name)) as caught:
        clients.request(clients.client(transport), "PUT", "https://api.test/")
    (attempt,) = [each for each in caught.value.timeline if isinstance(each, AttemptFinished)]  # type: ignore[attr-defined]
    assert (attempt.error, attempt.sent_state) == (ours, state)


def test_a_cancelled_call_is_not_retried(server: LoopbackServer) -> None:
    """Cancellation passes through, and leaves no slot in use."""
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed")
    server.script("/", stall())

    async def run() -> int:
        transport = AsyncResilientTransport()
        async with httpx.AsyncClient(transport=transport) as client:
            task = asyncio.ensure_future(client.get(server.url))
            while not server.requests:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return transport.client._backends._common.in_use

    assert asyncio.run(run()) == 0
    assert len(server.requests) == 1
