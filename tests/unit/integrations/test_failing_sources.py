"""A body whose source raises under an adapter: that is no error of the exchange, whatever the library makes of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import requests
from requests.adapters import BaseAdapter

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.integrations import (
    AsyncResilientTransport,
    ResilientAdapter,
    ResilientTransport,
    resilience_middleware,
)
from http_service_client.testing import LoopbackServer, respond


class File:
    """A file that can be rewound, and whose reads fail, as one on a network drive does."""

    def __init__(self, error: Exception) -> None:
        self.error, self.reads = error, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self.read()

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        raise self.error

    def tell(self) -> int:
        return 0

    def seek(self, position: int, whence: int = 0) -> int:
        return 10 if whence == 2 else 0


class Pieces:
    """An iterable that begins from its start each time, and fails in its midst."""

    def __init__(self, error: Exception) -> None:
        self.error, self.reads = error, 0

    def __iter__(self) -> Iterator[bytes]:
        self.reads += 1
        yield b"a part"
        raise self.error


class AsyncPieces:
    """The same, for asyncio."""

    def __init__(self, error: Exception) -> None:
        self.error, self.reads = error, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.reads += 1
        yield b"a part"
        raise self.error


class OpenFile(io.BytesIO):
    """A file as aiohttp takes it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(b"x" * 100)
        self.error, self.reads = error, 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        raise self.error


def by_requests(client: HttpServiceClient, url: str, body: Any) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", ResilientAdapter(client=client))
        session.put(url, data=body)


def by_httpx(client: HttpServiceClient, url: str, body: Any) -> None:
    httpx: Any = pytest.importorskip("httpx")
    with httpx.Client(transport=ResilientTransport(client=client), trust_env=False) as session:
        session.put(url, content=body)


def by_httpx_async(client: HttpServiceClient, url: str, body: Any) -> None:
    httpx: Any = pytest.importorskip("httpx")

    async def main() -> None:
        transport = AsyncResilientTransport(client=client)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as session:
            await session.put(url, content=body)

    asyncio.run(main())


def by_aiohttp(client: HttpServiceClient, url: str, body: Any) -> None:
    async def main() -> None:
        middleware = resilience_middleware(client=client)
        async with aiohttp.ClientSession(middlewares=[middleware]) as session, session.put(url, data=body):
            pass

    asyncio.run(main())


WAYS: dict[str, tuple[Callable[[HttpServiceClient, str, Any], None], type[Any]]] = {
    "requests, a file": (by_requests, File),
    "requests, an iterable": (by_requests, Pieces),
    "httpx, a file": (by_httpx, File),
    "httpx, an iterable": (by_httpx, Pieces),
    "httpx in asyncio": (by_httpx_async, AsyncPieces),
    "aiohttp, a file": (by_aiohttp, OpenFile),
    "aiohttp, an iterable": (by_aiohttp, AsyncPieces),
}


def error_of_httpx() -> Exception:
    httpx: Any = pytest.importorskip("httpx")
    error: Exception = httpx.ConnectError("of another service")
    return error


@pytest.mark.parametrize(
    "error",
    [
        lambda: OSError(5, "Input/output error"),
        lambda: TimeoutError("of another service"),
        lambda: ConnectionResetError("of another service"),
        lambda: requests.ConnectionError("of another service"),
        error_of_httpx,
        lambda: LookupError("a bug"),
    ],
    ids=["OSError", "TimeoutError", "ConnectionResetError", "requests", "httpx", "LookupError"],
)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_sent_again_and_the_server_is_not_to_blame(
    server: LoopbackServer, way: str, error: Callable[[], Exception]
) -> None:
    """The error is what the library raises without an adapter: its own, or that of the source."""
    send, kind = WAYS[way]
    body = kind(error())
    with HttpServiceClient(HttpClientConfig(retry_policy_config={"initial_delay": 0.001})) as client:
        with pytest.raises((type(body.error), requests.RequestException, aiohttp.ClientError)):
            send(client, server.url + "/", body)
        snapshot = client.get_circuit_breaker(server.url).snapshot()
    assert (body.reads, snapshot.failures, snapshot.abandoned) == (1, 0, 1)
    assert server.requests == []


def test_the_request_of_a_response_has_the_body_that_was_given(server: LoopbackServer) -> None:
    """And no wrapper around it: a hook may look at it."""
    server.script("/", respond(200))
    with HttpServiceClient() as client, requests.Session() as session:
        session.trust_env = False
        session.mount("http://", ResilientAdapter(client=client))
        pieces = iter([b"one", b"two"])
        response = session.put(server.url + "/", data=pieces)
    assert response.request.body is pieces
    assert server.requests[0].body == b"onetwo"


class Shared(aiohttp.Payload):
    """A body of aiohttp that several requests may send at the same time."""

    _default_content_type = "text/plain"

    def __init__(self, requests: int) -> None:
        super().__init__(None)
        self._waiting, self._all_are_here = requests, asyncio.Event()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "shared"

    async def write(self, writer: Any) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._all_are_here.set()
        await self._all_are_here.wait()
        await writer.write(b"shared")


def test_requests_of_aiohttp_may_share_a_body(server: LoopbackServer) -> None:
    """While one of them is being sent, another one begins and ends."""

    async def main() -> list[int]:
        body, url = Shared(2), server.url + "/"
        async with aiohttp.ClientSession(middlewares=[resilience_middleware()]) as session:
            return [
                each.status for each in await asyncio.gather(*[session.put(url, data=body) for _ in range(2)])
            ]

    server.script("/", respond(200), respond(200))
    assert asyncio.run(main()) == [200, 200]
    assert [request.body for request in server.requests] == [b"shared", b"shared"]


def answering_by_requests(client: HttpServiceClient, body: Any) -> Any:
    class Answers(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> Any:
            with suppress(LookupError):
                list(request.body)  # type: ignore[arg-type]
            response = requests.Response()
            response.status_code, response.request, response.raw = 202, request, io.BytesIO()
            return response

        def close(self) -> None:
            """There is nothing to close."""

    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(client=client, adapter=Answers()))
        return session.put("http://api.test/", data=body)


def answering_by_httpx(client: HttpServiceClient, body: Any) -> Any:
    httpx: Any = pytest.importorskip("httpx")

    class Answers(httpx.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            with suppress(LookupError):
                request.read()
            return httpx.Response(202)

    with httpx.Client(transport=ResilientTransport(client=client, transport=Answers())) as session:
        return session.put("http://api.test/", content=body)


def answering_by_aiohttp(client: HttpServiceClient, body: Any) -> Any:
    async def main() -> Any:
        async def answers(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
            with pytest.raises(aiohttp.ClientError):
                await handler(request)
            return await session.get(server.url)

        middlewares = [resilience_middleware(client=client), answers]
        with LoopbackServer() as server:
            server.script("/", respond(202))
            async with (
                aiohttp.ClientSession() as session,
                aiohttp.ClientSession(middlewares=middlewares) as http,
            ):
                return await http.put(server.url + "/put", data=body)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("send", "kind"),
    [
        (answering_by_requests, Pieces),
        (answering_by_httpx, Pieces),
        (answering_by_aiohttp, AsyncPieces),
    ],
    ids=["requests", "httpx", "aiohttp"],
)
def test_who_sends_may_answer_all_the_same(send: Callable[..., Any], kind: type[Any]) -> None:
    """That is the response: whoever answers has seen the error."""
    with HttpServiceClient() as client:
        response = send(client, kind(LookupError("a bug")))
        snapshot = client.get_health_summary()
    assert getattr(response, "status", None) or response.status_code == 202
    assert (snapshot["total_requests"], snapshot["total_errors"]) == (1, 0)
    assert response.timeline[-1].status_code == 202


@pytest.fixture
def client() -> Iterator[HttpServiceClient]:
    """It lives longer than what is looked at."""
    with HttpServiceClient() as client:
        yield client


def by_httpx2(client: HttpServiceClient, url: str, body: Any) -> None:
    httpx2: Any = pytest.importorskip("httpx2")
    with httpx2.Client(transport=ResilientTransport(client=client), trust_env=False) as session:
        session.put(url, content=body)


def by_httpx2_async(client: HttpServiceClient, url: str, body: Any) -> None:
    httpx2: Any = pytest.importorskip("httpx2")

    async def main() -> None:
        transport = AsyncResilientTransport(client=client)
        async with httpx2.AsyncClient(transport=transport, trust_env=False) as session:
            with pytest.raises(LookupError):  # here, since the loop's frames would be in a cycle with it
                await session.put(url, content=body)

    asyncio.run(main())
    raise LookupError


@pytest.mark.parametrize(
    ("send", "kind"),
    [(by_requests, Pieces), (by_httpx2, Pieces), (by_httpx2_async, AsyncPieces)],
    ids=["requests", "httpx2", "httpx2 in asyncio"],
)
def test_nothing_of_a_source_is_left_to_the_cycle_collector(
    client: HttpServiceClient,
    server: LoopbackServer,
    send: Callable[[HttpServiceClient, str, Any], None],
    kind: type[Any],
    no_reference_cycles: None,
) -> None:
    """Where its error is raised as it is: that refers to what sent it. aiohttp itself makes cycles then."""
    body = kind(LookupError("a bug"))
    with pytest.raises(LookupError):
        send(client, server.url + "/", body)
    body.error = None
