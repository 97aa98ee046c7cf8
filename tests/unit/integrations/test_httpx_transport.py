"""`ResilientTransport` and `AsyncResilientTransport`: what a client of httpx or httpx2 sees of the policies."""

from __future__ import annotations

import asyncio
import pickle
import re
import time
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConfigurationError,
    ConnectionPoolConfig,
    ConstantBackoff,
    DeadlineExceededError,
    HttpClientConfig,
    RetryPolicy,
    SentState,
    deadline,
)
from http_service_client.events import AttemptFinished
from http_service_client.integrations import AsyncResilientTransport, ResilientTransport, explain
from http_service_client.testing import LoopbackServer, reset, respond, stall
from kit.httpx_clients import DOWN, Clients


@pytest.mark.parametrize("use", ["enter", "request", "close"])
def test_the_transport_of_the_other_way_is_named(clients: Clients, use: str) -> None:
    """A client asks it for what it does not have: when it is entered, by its first request, or when it is closed."""
    kind = clients.library.Client if clients.is_async else clients.library.AsyncClient
    client = kind(transport=clients.transport())
    takes = (
        "; it is for an AsyncClient, and a Client takes a ResilientTransport"
        if clients.is_async
        else "; it is for a Client, and an AsyncClient takes an AsyncResilientTransport"
    )
    uses = {
        "enter": lambda: client.__enter__() if clients.is_async else client.__aenter__(),
        "request": lambda: client.get("http://127.0.0.1:1/"),
        "close": lambda: client.close() if clients.is_async else client.aclose(),
    }

    async def wait() -> None:
        await uses[use]()

    with pytest.raises(AttributeError, match=f"object has no attribute '.*'{re.escape(takes)}$"):
        uses[use]() if clients.is_async else clients.wait(wait())


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
    message = (
        r"^transport must be a transport with handle_async_request, such as httpx\.AsyncHTTPTransport\(\)"
        if clients.is_async
        else r"^transport must be a transport with handle_request, such as httpx\.HTTPTransport\(\)"
    )
    with pytest.raises(ConfigurationError, match=message):
        clients.real(transport=transport)


def test_a_transport_of_ours_does_not_send(clients: Clients) -> None:
    """Two around each exchange would each retry it."""
    with pytest.raises(ConfigurationError, match="ResilientTransport itself; pass it to the client"):
        clients.real(transport=clients.transport())


def test_whether_bodies_are_read_is_a_flag(clients: Clients) -> None:
    """Nothing else."""
    with pytest.raises(ConfigurationError, match=r"^read_bodies must be True or False"):
        clients.real(read_bodies="no")


def test_settings_that_httpx_owns_are_refused(clients: Clients) -> None:
    """None is ignored silently."""
    name = "AsyncResilientTransport" if clients.is_async else "ResilientTransport"
    with pytest.raises(
        ConfigurationError, match=rf"^allowed_redirect_count does nothing in {name}: httpx decides"
    ):
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
