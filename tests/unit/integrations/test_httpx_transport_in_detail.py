"""Our transports for httpx: what they make of requests, limits and errors, and of the transport that sends."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from http_service_client import (
    ConnectionPoolConfig,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
    SentState,
    Timeout,
)
from http_service_client.events import AttemptFinished
from http_service_client.testing import LoopbackServer, respond
from kit.httpx_clients import Clients, Sends

URL = "https://api.test/"
ONCE = HttpClientConfig(enable_retry_policy=False)


@pytest.mark.parametrize("error", [None, LookupError])
def test_the_transport_that_sends_is_opened_and_closed_with_the_client(
    clients: Clients, error: type[Exception] | None
) -> None:
    """It learns how the block of the client ended."""
    sends = Sends(clients)
    client = clients.client(clients.transport(transport=sends))

    async def use() -> None:
        async with client:
            if error is not None:
                raise error

    def use_plainly() -> None:
        with client:
            if error is not None:
                raise error

    try:
        clients.wait(use()) if clients.is_async else use_plainly()
    except LookupError:
        pass
    assert sends.done == ["entered", ("exited", error)]


def test_a_transport_may_be_entered_by_itself(clients: Clients) -> None:
    """As one of the library's own."""
    transport = clients.transport(transport=Sends(clients))

    async def enter() -> Any:
        async with transport as entered:
            return entered

    def enter_plainly() -> Any:
        with transport as entered:
            return entered

    assert (clients.wait(enter()) if clients.is_async else enter_plainly()) is transport


def test_a_client_that_was_not_entered_closes_the_transport_that_sends(clients: Clients) -> None:
    """By its own method."""
    sends = Sends(clients)
    client = clients.client(clients.transport(transport=sends))
    clients.wait(client.aclose()) if clients.is_async else client.close()
    assert sends.done == ["closed"]


def test_a_transport_with_a_default_one_inside_closes_its_connections(
    clients: Clients, server: LoopbackServer
) -> None:
    """With the client. All its requests have the same one."""
    server.script("/", respond(200))
    client = clients.client()
    for _ in range(2):
        clients.request(client, "GET", server.url)
    assert (server.connection_count, server.open_connections) == (1, 1)
    clients.wait(client.aclose()) if clients.is_async else client.close()
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_request_of_another_library_is_an_error(clients: Clients) -> None:
    """It says which ones there are."""
    with pytest.raises(TypeError, match="for requests of httpx and httpx2, not object"):
        clients.handled(clients.transport(), object())


def test_a_request_may_be_of_a_class_of_one_s_own(clients: Clients) -> None:
    """Which is the library's, too."""

    class Request(clients.library.Request):  # type: ignore[misc,name-defined]
        pass

    sends = Sends(clients)
    assert clients.handled(clients.transport(transport=sends), Request("GET", URL)).status_code == 200
    assert len(sends.sent) == 1


def test_a_request_without_timeouts_has_those_of_the_attempt(clients: Clients) -> None:
    """As one has that no client has made."""
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=60.0))
    sends = Sends(clients)
    clients.handled(clients.transport(config, transport=sends), clients.library.Request("GET", URL))
    (request,) = sends.sent
    assert 30.0 < request.extensions["timeout"]["read"] <= 60.0


PARTS = ("connect", "read", "write")


@pytest.mark.parametrize("part", [*PARTS, "pool"])
def test_each_limit_of_a_request_is_its_own(clients: Clients, part: str) -> None:
    """The others are those of the client, or none."""
    sends = Sends(clients)
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=None))
    transport = clients.transport(config, transport=sends)
    timeout = clients.library.Timeout(None, **{part: 3.0})
    clients.request(clients.client(transport, timeout=timeout), "GET", URL)
    (request,) = sends.sent
    limits = request.extensions["timeout"]
    assert {name: limits[name] for name in (*PARTS, "pool")} == {
        "connect": 5.0,
        "read": None,
        "write": None,
        "pool": None,
        part: 3.0,
    }


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("ours", "given", "smaller"), [(5.0, 7.0, 5.0), (7.0, 5.0, 5.0), (5.0, None, 5.0)])
def test_the_smaller_limit_of_the_call_and_of_the_request_holds(
    clients: Clients, part: str, ours: float, given: float | None, smaller: float
) -> None:
    """For each part of an exchange that a call has a limit for."""
    sends = Sends(clients)
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(request_timeout=None))
    whole = clients.transport(config).client
    view = whole.with_options(timeout=Timeout(**{part: ours}))
    transport = clients._transport(client=view, transport=sends)
    timeout = clients.library.Timeout(None, **{part: given})
    clients.request(clients.client(transport, timeout=timeout), "GET", URL)
    (request,) = sends.sent
    assert request.extensions["timeout"][part] == smaller


def test_a_limit_of_zero_is_one(clients: Clients) -> None:
    """httpx takes it for none: such a wait ends within a millisecond, and not never."""
    sends = Sends(clients)
    transport = clients.transport(transport=sends)
    clients.request(clients.client(transport, timeout=clients.library.Timeout(5.0, read=0)), "GET", URL)
    (request,) = sends.sent
    assert 0.0 < request.extensions["timeout"]["read"] <= 0.001


def test_an_attempt_whose_time_is_over_waits_no_more(clients: Clients) -> None:
    """What is left is never zero, which would be no limit to a socket."""
    seen: list[float] = []

    def handler(request: Any) -> Any:
        limits = request.extensions["timeout"]
        limits.expires_at -= 60.0
        seen.append(limits["read"])
        return clients.library.Response(200)

    transport = clients.transport(transport=clients.library.MockTransport(handler))
    clients.request(clients.client(transport), "GET", URL)
    assert 0.0 < seen[0] <= 0.001


def test_a_body_in_memory_is_at_the_request(clients: Clients) -> None:
    """For the transport that sends, and for whoever judges the request."""
    judged: list[bytes | None] = []

    def idempotent(request: HttpRequest) -> None:
        judged.append(request.body.content)

    sends = Sends(clients)
    transport = clients.transport(transport=sends, idempotent=idempotent)
    clients.request(clients.client(transport), "POST", URL, content=b"pay")
    assert (sends.sent[0].content, judged) == (b"pay", [b"pay"])


def test_whoever_judges_a_body_that_is_not_in_memory_sees_none(clients: Clients) -> None:
    """And the transport that sends reads it."""
    judged: list[bytes | None] = []

    def idempotent(request: HttpRequest) -> None:
        judged.append(request.body.content)

    async def asynchronous() -> AsyncIterator[bytes]:
        yield b"pay"

    sends = Sends(clients)
    transport = clients.transport(transport=sends, idempotent=idempotent)
    body: Any = asynchronous() if clients.is_async else iter([b"pay"])
    clients.request(clients.client(transport), "POST", URL, content=body)
    with pytest.raises(clients.library.RequestNotRead):
        _ = sends.sent[0].content
    assert judged == [None]


def test_who_sends_a_body_may_close_it(clients: Clients) -> None:
    """The stream that the caller gave is closed then."""
    closed: list[str] = []

    class Stream(clients.library.SyncByteStream, clients.library.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"pay"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"pay"

        def close(self) -> None:
            closed.append("plainly")

        async def aclose(self) -> None:
            closed.append("by awaiting")

    class Closing(Sends):
        def handle_request(self, request: Any) -> Any:
            request.stream.close()
            return super().handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            await request.stream.aclose()
            return super().handle_request(request)

    request = clients.library.Request("POST", URL, stream=Stream())
    clients.handled(clients.transport(transport=Closing(clients)), request)
    assert closed == ["by awaiting" if clients.is_async else "plainly"]


def failing(clients: Clients, error: Exception, **request: Any) -> tuple[Any, AttemptFinished]:
    """What is raised after a single attempt that failed by an error of the library, and that attempt."""
    transport = clients.transport(ONCE, transport=Sends(clients, error))
    with pytest.raises(clients.library.TransportError) as caught:
        clients.request(clients.client(transport), "POST", URL, **request)
    (attempt,) = (each for each in caught.value.timeline if isinstance(each, AttemptFinished))
    return caught.value, attempt


@pytest.mark.parametrize(
    ("name", "beneath", "ours", "state"),
    [
        ("ConnectError", socket.gaierror(8, "unknown"), "NameResolutionError", SentState.NEVER_SENT),
        ("ConnectError", ssl.SSLError(1, "bad"), "TlsError", SentState.NEVER_SENT),
        (
            "ConnectError",
            ssl.SSLCertVerificationError(1, "bad"),
            "TlsVerificationError",
            SentState.NEVER_SENT,
        ),
        ("ConnectTimeout", socket.gaierror(8, "unknown"), "ConnectTimeoutError", SentState.NEVER_SENT),
        ("ReadError", ConnectionResetError(104, "reset"), "ConnectionLostError", SentState.MAYBE_PROCESSED),
        ("ReadError", ssl.SSLCertVerificationError(1, "bad"), "TlsVerificationError", SentState.NEVER_SENT),
    ],
)
def test_the_error_of_the_system_beneath_tells_more(
    clients: Clients, name: str, beneath: Exception, ours: str, state: SentState
) -> None:
    """It is the last one of a chain that may have several."""
    error = getattr(clients.library, name)("in the words of the library")
    error.__cause__ = OSError("all attempts failed")
    error.__cause__.__cause__ = LookupError()
    error.__cause__.__cause__.__context__ = beneath
    raised, attempt = failing(clients, error)
    assert (raised, attempt.error, attempt.sent_state) == (error, ours, state)


def test_what_cannot_be_sent_is_no_fault_of_the_server(clients: Clients) -> None:
    """Its scheme, say."""
    _, attempt = failing(clients, clients.library.UnsupportedProtocol("ftp"))
    assert (attempt.error, attempt.sent_state) == ("InvalidRequestError", SentState.NEVER_SENT)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "RemoteProtocolError",
            "peer closed connection without sending complete message body (received 1 byte)",
            "was cut short",
        ),
        ("RemoteProtocolError", "illegal status line", "is not valid HTTP: illegal status line"),
        ("RemoteProtocolError", "Server disconnected without sending a response.", "was lost"),
        ("ConnectError", "no route", "could not connect to https://api.test (ConnectionError: no route)"),
        ("ReadError", "broken", "was lost (ConnectionError: broken)"),
    ],
)
def test_what_was_wrong_with_an_exchange_is_told(
    clients: Clients, name: str, text: str, message: str
) -> None:
    """To whoever observes exchanges, in the words of this package."""
    seen: list[Any] = []
    client = HttpServiceClient(ONCE, on_exchange=lambda request, outcome, _: seen.append(outcome))
    error = getattr(clients.library, name)(text)
    transport = clients._transport(client=client, transport=Sends(clients, error))
    with pytest.raises(type(error)):
        clients.request(clients.client(transport), "GET", URL)
    (failure,) = seen
    assert message in failure.message


class StreamReset:
    """An event of h2, in which the library has found it."""

    def __init__(self, error_code: int) -> None:
        self.error_code = error_code


class ConnectionTerminated(StreamReset):
    """Another one."""


@pytest.mark.parametrize(
    ("arguments", "sent_state"),
    [
        ((StreamReset(7),), SentState.REFUSED),
        ((StreamReset(8),), SentState.MAYBE_PROCESSED),
        ((ConnectionTerminated(7),), SentState.MAYBE_PROCESSED),
        ((7,), SentState.MAYBE_PROCESSED),
        ((), SentState.MAYBE_PROCESSED),
    ],
    ids=["refused", "cancelled", "ended", "a number", "nothing"],
)
def test_a_stream_of_http_2_that_was_refused_was_not_processed(
    clients: Clients, arguments: tuple[Any, ...], sent_state: SentState
) -> None:
    """It says so by this code alone (RFC 9113, 8.7)."""
    error = clients.library.RemoteProtocolError("in the words of the library")
    error.__cause__ = ValueError(*arguments)
    _, attempt = failing(clients, error)
    assert attempt.sent_state is sent_state


@pytest.mark.parametrize(
    ("protocol", "version"),
    [(b"HTTP/2", "HTTP/2"), (b"HTTP/1.1", "HTTP/1.1"), (b"HTTP/1.0", "HTTP/1.1"), (None, "HTTP/1.1")],
)
def test_whoever_judges_a_response_sees_its_version(
    clients: Clients, protocol: bytes | None, version: str
) -> None:
    """One of the two that there are to a client."""
    seen: list[str] = []

    def judges(response: HttpResponse) -> bool:
        seen.append(response.http_version)
        return False

    response = clients.library.Response(
        503, extensions={} if protocol is None else {"http_version": protocol}
    )
    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(judges)])
    config = HttpClientConfig(retry_policy_config=policy)
    transport = clients.transport(config, transport=Sends(clients, response))
    clients.request(clients.client(transport), "GET", URL)
    assert seen == [version]
