"""A transport of the user's own that is of a wrong kind: the error names it, and what to write instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import requests

from http_service_client import ConfigurationError, HttpResponse, HttpServiceClient
from http_service_client.core.checks import shown
from http_service_client.errors import ConnectError
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/"


class Plain:
    def send(self, request: Any, timeout: Any) -> Any:
        return HttpResponse(200)


class Async:
    async def send_async(self, request: Any, timeout: Any) -> Any:
        return HttpResponse(200)


class SendIsAsync:
    async def send(self, request: Any, timeout: Any) -> Any:
        return HttpResponse(200)


class SendYields:
    def send(self, request: Any, timeout: Any) -> Any:
        yield HttpResponse(200)


class SendAsyncYields:
    async def send_async(self, request: Any, timeout: Any) -> Any:
        yield HttpResponse(200)


class SendIsText(Async):
    send = "text"


class Returns:
    """A transport of both front ends that returns this."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def send(self, request: Any, timeout: Any) -> Any:
        return self.value

    async def send_async(self, request: Any, timeout: Any) -> Any:
        return self.value


class OpensNothing(Plain, Async):
    """The same, where a body is left open."""

    def open_response(self, request: Any, timeout: Any) -> Any:
        return None

    async def open_response_async(self, request: Any, timeout: Any) -> Any:
        return None


def session_of_aiohttp() -> Any:
    async def make() -> Any:
        async with aiohttp.ClientSession() as session:
            return session

    return asyncio.run(make())


@each_row(
    ("made", "message"),
    [
        (
            SendIsAsync,
            "send of transport must be a plain function, not the async .*; name that one send_async",
        ),
        (SendYields, "send of transport must be a function without a yield"),
        (SendAsyncYields, "send_async of transport must be a function without a yield"),
        (SendIsText, "send of transport must be a function without a yield, not 'text'"),
        (requests.Session, "not <requests.*; mount an integrations.ResilientAdapter in that session$"),
        (session_of_aiohttp, "make that session with integrations.resilience_middleware$"),
    ],
)
def test_what_cannot_send_is_refused_when_it_is_given(made: Callable[[], Any], message: str) -> None:
    """It would fail in the first call, in the layers around it."""
    with pytest.raises(ConfigurationError, match=message):
        HttpServiceClient(transport=made())


def test_calls_of_the_front_end_that_it_lacks_are_refused(front_end: FrontEnd) -> None:
    """Before anything of the call is begun."""
    is_blocking = front_end.name == "blocking"
    client = front_end.client(transport=Async() if is_blocking else Plain())
    message = (
        r"of the class Async, has no send, which blocking calls need; use the client's \*_async methods"
        if is_blocking
        else r"of the class Plain, has no send_async, which asyncio calls need; call the client in a thread"
    )
    with pytest.raises(ConfigurationError, match=message):
        front_end.request(client, "GET", URL)


@each_row("value", [None, 200, {"a": 1}, ConnectError("no")], ids=repr)
def test_it_returns_outcomes(front_end: FrontEnd, value: Any) -> None:
    """Anything else is a bug of its own, and is reported as that."""
    client = front_end.client(transport=Returns(value))
    with pytest.raises(
        TypeError,
        match=r"Returns\.send(_async)? of a transport must return an HttpResponse or a Failure, not ",
    ) as caught:
        front_end.request(client, "GET", URL)
    remedy = "; for an error, return Failure(ConnectError, 'why', SentState.NEVER_SENT)"
    assert str(caught.value).endswith(remedy if isinstance(value, Exception) else shown(value))


def test_it_opens_outcomes(front_end: FrontEnd) -> None:
    """As above, for the response of a stream."""
    client = front_end.client(transport=OpensNothing())
    with (
        pytest.raises(TypeError, match=r"open_response.* must return an HttpResponse or a Failure, not None"),
        front_end.stream(client, "GET", URL),
    ):
        pass


def test_what_it_returns_is_awaited_where_that_is_possible(front_end: FrontEnd) -> None:
    """A function that is not declared with `async` may return a coroutine to asyncio, and to nobody else."""

    class Delegates:
        def send(self, request: Any, timeout: Any) -> Any:
            return Async().send_async(request, timeout)

        def send_async(self, request: Any, timeout: Any) -> Any:
            return Async().send_async(request, timeout)

    client = front_end.client(transport=Delegates())
    if front_end.name == "asyncio":
        assert front_end.request(client, "GET", URL).status_code == 200
    else:
        with pytest.raises(TypeError, match="which nobody awaits"):
            front_end.request(client, "GET", URL)


def test_in_asyncio_it_returns_an_awaitable() -> None:
    """The error says so, and not only that a response cannot be awaited."""

    class NotAsync:
        def send_async(self, request: Any, timeout: Any) -> Any:
            return HttpResponse(200)

    client = HttpServiceClient(transport=NotAsync())
    with pytest.raises(
        TypeError, match=r"send_async returned <HttpResponse \[200\]>, which cannot be awaited"
    ):
        asyncio.run(client.get_async(URL))
