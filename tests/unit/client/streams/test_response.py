"""A streamed response: what a copy keeps, and what its story and its errors contain."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    DecodingError,
    HttpContext,
    HttpResponse,
    ResponseTooLargeError,
    SentState,
)
from http_service_client.events import AttemptFinished, CallFinished, Timeline
from kit.fakes import RESET
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import StreamingTransport

URL = "https://api.example.com/feed"


def itself(response: Any) -> Any:
    """The response, which the asyncio front end of these tests wraps."""
    return getattr(response, "_response", response)


@pytest.mark.parametrize(
    "copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy], ids=["pickle", "copy"]
)
def test_a_body_that_was_read_goes_along_with_a_copy(
    front_end: FrontEnd, copied: Callable[[Any], Any]
) -> None:
    """So a worker process gets the content too. A copy is a plain response."""
    client = front_end.client(transport=StreamingTransport(b"one ", b"two", headers={"X-A": "1"}))
    with front_end.stream(client, "GET", URL) as response:
        response.read()
        twin = copied(itself(response))
    assert type(twin) is HttpResponse
    assert (twin.content, twin.text) == (b"one two", "one two")
    assert (twin.status_code, twin.headers["X-A"], twin.url) == (200, "1", URL)


class Answering:
    """An interceptor with a response of its own, whatever the server has sent."""

    def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        return HttpResponse(200, content=b"of its own")


def test_the_body_of_an_interceptor_s_response_is_that_of_the_stream(front_end: FrontEnd) -> None:
    """The body that the server has begun to send is closed, and read by nobody."""
    transport = StreamingTransport(b"one")
    client = front_end.client(transport=transport, response_interceptors=[Answering()])
    with front_end.stream(client, "GET", URL) as response:
        assert response.read() == b"of its own"
    assert [source.is_closed for source in transport.sources] == [True]


def test_what_is_kept_in_memory_has_a_limit(front_end: FrontEnd) -> None:
    """A body of just this size is read; one byte more is an error, and releases the connection."""
    for size in (7, 6):
        transport = StreamingTransport(b"one ", b"two")
        client = front_end.client(transport=transport, max_response_size=size)
        with front_end.stream(client, "GET", URL) as response:
            if size == 7:
                assert response.read() == b"one two"
            else:
                with pytest.raises(ResponseTooLargeError, match=r"max_response_size \(6 bytes\)"):
                    response.read()
                assert response.partial_content == b"one "
            assert transport.sources[0].is_closed


def test_a_body_that_was_not_read_is_missing_in_a_copy(front_end: FrontEnd) -> None:
    """The copy has no connection to read it from."""
    client = front_end.client(transport=StreamingTransport(b"one"))
    with front_end.stream(client, "GET", URL) as response:
        twin = pickle.loads(pickle.dumps(itself(response)))
    assert twin.content == b""


@each_row(
    ("name", "remedy"),
    [
        ("ok", "is_success"),
        *((name, "iter_bytes()") for name in ("raw", "iter_content", "iter_raw", "iter_any", "aiter_bytes")),
        *((name, "iter_text()") for name in ("aiter_text", "iter_str")),
        ("aiter_lines", "iter_lines()"),
        *(
            (name, "as_file(), which is a file")
            for name in ("readable", "readinto", "read1", "readline", "readlines", "seek", "tell")
        ),
        ("aread", "read()"),
        ("aclose", "close()"),
    ],
)
def test_a_name_from_another_client_is_answered_with_the_stream_s(
    front_end: FrontEnd, name: str, remedy: str
) -> None:
    """A stream has methods of its own for what a complete response has not."""
    client = front_end.client(transport=StreamingTransport(b"one"))
    with (
        front_end.stream(client, "GET", URL) as response,
        pytest.raises(AttributeError, match=rf"has no attribute '{name}'; use {re.escape(remedy)}$"),
    ):
        getattr(itself(response), name)


@pytest.mark.parametrize(
    "last", [KeyboardInterrupt(), asyncio.CancelledError()], ids=["interrupt", "cancelled"]
)
def test_the_story_of_a_stream_that_was_broken_off_has_a_heading_and_an_end(
    front_end: FrontEnd, last: BaseException
) -> None:
    """As for any other call: what was requested, and how it ended."""
    client = front_end.client(transport=StreamingTransport(b"one", last))
    with front_end.stream(client, "GET", URL) as response:
        with pytest.raises(type(last)):
            list(response.iter_bytes())
        heading, *_, end = response.explain().splitlines()
        assert heading == f"GET {URL}"
        assert end.endswith(f"done: {type(last).__name__} after 1 attempt, abandoned")
        assert isinstance(response.timeline[-1], CallFinished)
    assert response.explain().splitlines() == [heading, *_, end]


def test_the_story_of_a_stream_that_failed_has_a_heading_and_an_end(front_end: FrontEnd) -> None:
    """It is the same text as the error's own timeline."""
    client = front_end.client(transport=StreamingTransport(b"one", RESET))
    with front_end.stream(client, "GET", URL) as response, pytest.raises(ConnectionLostError) as raised:
        list(response.iter_bytes())
    assert response.explain() == raised.value.timeline.explain()  # type: ignore[union-attr]
    assert response.explain().startswith(f"GET {URL}\n")
    assert isinstance(response.timeline[-1], CallFinished)


@pytest.mark.parametrize("method", ["iter_lines", "iter_events"])
def test_a_decoding_error_carries_what_every_error_carries(front_end: FrontEnd, method: str) -> None:
    """Response, request, timeline and sent state, also when a line of the body causes it."""
    transport = StreamingTransport(b"data: " + b"x" * 100)
    client = front_end.client(transport=transport)
    with front_end.stream(client, "GET", URL) as response, pytest.raises(DecodingError) as raised:
        list(getattr(response, method)(max_length=10))
    error = raised.value
    assert error.response is itself(response)
    assert error.request is response.request
    assert error.sent_state is SentState.ANSWERED
    assert isinstance(error.timeline, Timeline)
    assert [type(event) for event in error.timeline] == [AttemptFinished, CallFinished]
    assert error.timeline[-1].error == "DecodingError"
    assert transport.sources[0].is_closed
