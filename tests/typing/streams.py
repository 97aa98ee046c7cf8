"""Type checkers know what a stream returns, and find a wrong `with`. Checked by mypy and pyright, not run."""

from io import BufferedReader
from typing import Any

from typing_extensions import assert_type

from http_service_client import (
    AsyncEventSource,
    AsyncStreamedResponse,
    EventSource,
    HttpServiceClient,
    ServerSentEvent,
    StreamedResponse,
)


def blocking(client: HttpServiceClient) -> bytes:
    with client.stream("GET", "/") as response:
        assert_type(response, StreamedResponse)
        for line in response.iter_lines():
            assert_type(line, str)
        for count in response.iter_json(int):
            assert_type(count, int)
        for value in response.iter_json():
            assert_type(value, Any)
        assert_type(response.as_file(), BufferedReader)
        return response.read()  # no return is needed after the block: it swallows no error


async def awaited(client: HttpServiceClient) -> bytes:
    async with client.stream_async("GET", "/") as response:
        assert_type(response, AsyncStreamedResponse)
        async for line in response.iter_lines():
            assert_type(line, str)
        async for count in response.iter_json(int):
            assert_type(count, int)
        assert_type(await response.as_file().readline(), bytes)
        return await response.read()


def events(client: HttpServiceClient) -> None:
    with client.events("/") as events:
        assert_type(events, EventSource)
        for event in events:
            assert_type(event, ServerSentEvent)


async def events_awaited(client: HttpServiceClient) -> None:
    async with client.events_async("/") as events:
        assert_type(events, AsyncEventSource)
        async for event in events:
            assert_type(event, ServerSentEvent)


async def mixed_up(client: HttpServiceClient) -> None:
    async with client.stream("GET", "/"):  # type: ignore[attr-defined]  # this is what is tested
        pass
    with client.stream_async("GET", "/"):  # type: ignore[attr-defined]  # so is this
        pass
