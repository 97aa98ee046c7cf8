"""Iterators over a body: pieces, pieces of one size, lines and events, of a body to come or of one that was read."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionLostError,
    HttpResponse,
    ServerSentEvent,
    StreamError,
)
from http_service_client.testing import ScriptedTransport
from kit.fakes import RESET
from kit.front_ends import FrontEnd
from kit.streaming import StreamingTransport

URL = "https://api.example.com/feed"

BODY = b"data: one\n\ndata: two\n\nend"
LINES = ["data: one", "", "data: two", "", "end"]
EVENTS = [ServerSentEvent(data="one"), ServerSentEvent(data="two")]
IN_FIVES = [b"data:", b" one\n", b"\ndata", b": two", b"\n\nend"]


@pytest.fixture(params=["streamed", "buffered"])
def transport(request: pytest.FixtureRequest) -> Any:
    """A network that sends the body in pieces, and a response that has all of it: a script's, or an interceptor's."""
    if request.param == "streamed":
        return StreamingTransport(BODY[:7], BODY[7:8], BODY[8:])
    return ScriptedTransport([HttpResponse(200, content=BODY)])


@pytest.mark.parametrize("is_read", [False, True], ids=["not read", "after read"])
@pytest.mark.parametrize(
    ("iterate", "items"),
    [
        (lambda response: response.iter_lines(), LINES),
        (lambda response: response.iter_events(), EVENTS),
        (lambda response: response.iter_bytes(5), IN_FIVES),
        (lambda response: response.iter_bytes(len(BODY) + 1), [BODY]),
    ],
    ids=["lines", "events", "pieces of 5", "one piece"],
)
def test_each_iterator_gives_all_of_the_body(
    front_end: FrontEnd, transport: Any, iterate: Any, items: list[Any], is_read: bool
) -> None:
    """The same items, whether the body is still to come or was read by `read()`."""
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        if is_read:
            response.read()
        assert list(islice(iterate(response), 50)) == items


def test_a_body_that_was_read_can_be_iterated_again(front_end: FrontEnd, transport: Any) -> None:
    """It is kept, so each iterator starts at the beginning."""
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        response.read()
        for _ in range(2):
            assert list(response.iter_lines()) == LINES
            assert list(response.iter_bytes()) == [BODY]


def test_a_body_that_was_read_can_be_iterated_after_its_block(front_end: FrontEnd, transport: Any) -> None:
    """The response keeps it and needs no connection for it."""
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        response.read()
    assert list(response.iter_lines()) == LINES
    assert list(response.iter_events()) == EVENTS
    assert list(response.iter_bytes(5)) == IN_FIVES
    assert list(response.iter_bytes()) == [BODY]


def test_an_empty_body_that_was_read_has_no_items(front_end: FrontEnd) -> None:
    """No line, no event and no piece, as if it were streamed."""
    client = front_end.client(transport=StreamingTransport())
    with front_end.stream(client, "GET", URL) as response:
        assert response.read() == b""
        assert list(response.iter_lines()) == []
        assert list(response.iter_events()) == []
        assert list(response.iter_bytes()) == []
        assert list(response.iter_bytes(5)) == []


@pytest.mark.parametrize("method", ["iter_bytes", "iter_lines", "iter_events"])
def test_a_body_that_was_not_kept_is_iterated_once(front_end: FrontEnd, transport: Any, method: str) -> None:
    """A second iterator is an error, and not an empty body."""
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        list(getattr(response, method)())
        with pytest.raises(StreamError, match="read only once"):
            list(getattr(response, method)())


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "4"])
def test_a_piece_has_a_whole_number_of_bytes(front_end: FrontEnd, transport: Any, size: Any) -> None:
    """Of 1 or more. A wrong size is refused at once, and leaves the body to be read."""
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        with pytest.raises(
            ConfigurationError, match=r"^chunk_size must be a whole number of bytes of 1 or more"
        ):
            response.iter_bytes(size)
        assert list(response.iter_bytes(len(BODY))) == [BODY]


def test_a_piece_of_a_size_comes_as_soon_as_it_is_whole(front_end: FrontEnd) -> None:
    """Its reader does not wait for what follows it."""
    client = front_end.client(transport=StreamingTransport(b"abc", RESET))
    with front_end.stream(client, "GET", URL) as response:
        pieces = iter(response.iter_bytes(3))
        assert next(pieces) == b"abc"
        with pytest.raises(ConnectionLostError):
            next(pieces)


def test_an_iterator_that_has_ended_stays_at_its_end(front_end: FrontEnd, transport: Any) -> None:
    """Also when its response has been closed meanwhile."""
    with front_end.stream(front_end.client(transport=transport), "GET", URL) as response:
        pieces = iter(response.iter_bytes())
        assert b"".join(pieces) == BODY
        assert next(pieces, None) is None
    assert next(pieces, None) is None
