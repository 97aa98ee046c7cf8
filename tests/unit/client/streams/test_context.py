"""A stream that is used in a wrong way: the error names the right one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpServiceClient, StreamError
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/"
REMEDY = r"with client\.stream\(.*async with client\.stream_async\("


def a_client() -> HttpServiceClient:
    return HttpServiceClient(transport=ScriptedTransport([HttpResponse(200, content="a\nb")]))


async def by_async_with(stream: Any) -> None:
    async with stream:
        pass


async def by_await(stream: Any) -> None:
    await stream


async def by_async_for(stream: Any) -> None:
    async for _ in stream:
        pass


def by_with(stream: Any) -> None:
    with stream:
        pass


MISUSES: list[tuple[str, Callable[[Any], Awaitable[None]]]] = [
    ("stream", by_async_with),
    ("stream", by_await),
    ("stream_async", by_await),
    ("stream_async", by_async_for),
]


@pytest.mark.parametrize(("verb", "misuse"), MISUSES)
def test_a_misuse_in_asyncio_names_the_remedy(verb: str, misuse: Callable[[Any], Any]) -> None:
    """`async with` or `await` for a blocking stream, `await` or `async for` for an async one."""
    with a_client() as client, pytest.raises(TypeError, match=REMEDY):
        asyncio.run(misuse(getattr(client, verb)("GET", URL)))


@pytest.mark.parametrize(("verb", "misuse"), [("stream_async", by_with), ("stream", list)])
def test_a_misuse_in_blocking_code_names_the_remedy(verb: str, misuse: Callable[[Any], Any]) -> None:
    """`with` for an async stream, and `for` without `with`."""
    with a_client() as client, pytest.raises(TypeError, match=REMEDY):
        misuse(getattr(client, verb)("GET", URL))


@each_row("verb", ["stream", "stream_async"])
@each_row("name", ["read", "status_code", "iter_lines"])
def test_a_forgotten_with_is_an_error(verb: str, name: str) -> None:
    """The first attribute that is used says so, and nothing is sent."""
    with a_client() as client:
        stream = getattr(client, verb)("GET", URL)
        with pytest.raises(AttributeError, match=f"'{name}'.*{REMEDY}"):
            getattr(stream, name)
        assert client.metrics.total("http_requests_total") == 0


def test_a_stream_is_opened_once() -> None:
    """A second `with` is an error."""
    with a_client() as client:
        stream = client.stream("GET", URL)
        by_with(stream)
        with pytest.raises(StreamError, match="opened before"):
            by_with(stream)


def test_an_async_stream_is_opened_once() -> None:
    """A second `async with` is an error."""

    async def twice() -> None:
        async with HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)])) as client:
            stream = client.stream_async("GET", URL)
            await by_async_with(stream)
            with pytest.raises(StreamError, match="opened before"):
                await by_async_with(stream)

    asyncio.run(twice())


def test_content_that_is_missing_says_why(front_end: FrontEnd) -> None:
    """For a scripted response as for a real one."""
    client = front_end.client(transport=ScriptedTransport([HttpResponse(200, content="a\nb")]))
    with front_end.stream(client, "GET", URL) as response:
        assert list(response.iter_lines()) == ["a", "b"]
        with pytest.raises(StreamError, match="read in pieces"):
            response.content  # noqa: B018  # it raises
    with front_end.stream(client, "GET", URL) as response:
        pass
    with pytest.raises(StreamError, match="closed unread"):
        response.content  # noqa: B018  # it raises


def test_the_repr_names_the_class_and_the_status(front_end: FrontEnd) -> None:
    """Sync and async responses differ in their class."""
    client = front_end.client(transport=ScriptedTransport([HttpResponse(200)]))
    with front_end.stream(client, "GET", URL) as response:
        kind = "StreamedResponse" if front_end.name == "blocking" else "AsyncStreamedResponse"
        assert repr(getattr(response, "_response", response)) == f"<{kind} [200]>"


def test_an_attribute_of_another_client_s_response_names_ours(front_end: FrontEnd) -> None:
    """A user of requests looks for `iter_content`."""
    client = front_end.client(transport=ScriptedTransport([HttpResponse(200)]))
    with (
        front_end.stream(client, "GET", URL) as response,
        pytest.raises(AttributeError, match=r"'iter_content'; use iter_bytes\(\)"),
    ):
        response.iter_content()


@pytest.mark.parametrize(
    ("verb", "shown"),
    [("stream", "'with client.stream("), ("stream_async", "'async with client.stream_async(")],
)
def test_a_stream_that_is_not_open_shows_how_to_open_it(verb: str, shown: str) -> None:
    """A notebook shows what a cell returns."""
    with a_client() as client:
        assert repr(getattr(client, verb)("GET", URL)).startswith(f"<stream not open: write {shown}")


def test_a_stream_that_was_opened_shows_its_response() -> None:
    """Also when it is closed again."""
    with a_client() as client:
        stream = client.stream("GET", URL)
        by_with(stream)
        assert repr(stream) == "<stream of <StreamedResponse [200]>>"
    with a_client() as client:
        later = client.stream_async("GET", URL)
        asyncio.run(by_async_with(later))
        assert repr(later) == "<stream of <AsyncStreamedResponse [200]>>"
