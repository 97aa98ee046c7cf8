"""What a stream knows of its call, and what it says when its content is asked for at the wrong time."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest

from http_service_client import HttpResponse, ResponseTooLargeError, StreamError
from http_service_client.events import AttemptFinished
from http_service_client.testing import ScriptedTransport
from kit.event_feeds import EventServer
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import StreamingTransport

URL = "https://api.example.com/feed"


def test_a_stream_tells_what_led_to_it(front_end: FrontEnd) -> None:
    """Before its body has been read, and after it."""
    clock = FakeClock()
    client = front_end.client(transport=EventServer(clock, HttpResponse(503), (b"one",)), clock=clock)
    with front_end.stream(client, "GET", URL) as response:
        assert response.attempts == 2
        assert [event.status_code for event in response.timeline if isinstance(event, AttemptFinished)] == [
            503,
            200,
        ]
        story = response.explain()
        assert story.startswith(f"GET {URL}\n")
        assert response.read() == b"one"
    assert response.explain().startswith(story)
    assert response.attempts == 2


@each_row(
    ("use", "problem"),
    [
        (lambda response: None, "has not been read yet; call read()"),
        (lambda response: list(response.iter_bytes()), "was read in pieces, which are not kept"),
        (lambda response: response.close(), "was closed unread; call read() inside the with block"),
    ],
    ids=["not read", "in pieces", "closed"],
)
def test_content_that_is_not_there_is_an_error(front_end: FrontEnd, use: Any, problem: str) -> None:
    """Which says why, and what to do."""
    client = front_end.client(transport=StreamingTransport(b"one"))
    with front_end.stream(client, "GET", URL) as response:
        use(response)
        with pytest.raises(StreamError) as caught:
            response.content  # noqa: B018
    assert problem in str(caught.value)


@pytest.mark.parametrize("content", [None, b"in memory"])
def test_a_closed_stream_is_not_read(front_end: FrontEnd, content: bytes | None) -> None:
    """It says where to read it, whether its body was in memory or to come."""
    transport: Any = StreamingTransport(b"one")
    if content is not None:
        transport = ScriptedTransport([HttpResponse(200, content=content)])
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        pass
    for read in (response.read, response.iter_bytes, response.iter_lines):
        with pytest.raises(StreamError, match="the stream is closed; read its body inside the with block"):
            read()


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_a_forked_child_reads_what_is_in_memory_alone(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, is_in_memory: bool
) -> None:
    """The bytes of a connection are the parent's."""
    transport: Any = StreamingTransport(b"one")
    if is_in_memory:
        transport = ScriptedTransport([HttpResponse(200, content=b"one")])
    client = front_end.client(transport=transport)
    with front_end.stream(client, "GET", URL) as response, monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        if is_in_memory:
            assert response.read() == b"one"
        else:
            with pytest.raises(StreamError, match="before a fork; its bytes belong to the parent"):
                list(response.iter_bytes())


def test_a_body_in_memory_has_the_limit_of_any_other(front_end: FrontEnd) -> None:
    """That of the call."""
    client = front_end.client(transport=ScriptedTransport([HttpResponse(200, content=b"in memory")]))
    for most in (8, 9):
        with front_end.stream(client, "GET", URL, max_response_size=most) as response:
            if most == 8:
                with pytest.raises(ResponseTooLargeError):
                    list(response.iter_bytes())
            else:
                assert list(response.iter_bytes()) == [b"in memory"]


def test_an_error_has_the_data_of_its_type(front_end: FrontEnd) -> None:
    """As that of any other call, and its content without a read."""
    answer = HttpResponse(404, headers={"Content-Type": "application/json"}, content=b'{"code": 7}')
    client = front_end.client(transport=ScriptedTransport([answer]))
    with front_end.stream(client, "GET", URL, error_type=dict[str, int]) as response:
        assert (response.data, response.content) == ({"code": 7}, b'{"code": 7}')


def test_a_deep_copy_is_a_response_with_what_was_read(front_end: FrontEnd) -> None:
    """Of its own, and without a connection."""
    client = front_end.client(transport=StreamingTransport(b"one ", b"two", headers={"X-A": "1"}))
    with front_end.stream(client, "GET", URL) as response:
        response.read()
        twin = copy.deepcopy(getattr(response, "_response", response))
    assert type(twin) is HttpResponse
    assert (twin.content, twin.headers["X-A"]) == (b"one two", "1")
    assert twin.headers is not response.headers
