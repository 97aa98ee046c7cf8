"""Text, lines and JSON values of a stream, and what is kept when something ends it."""

from __future__ import annotations

import asyncio
import csv
import gzip
import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionLostError,
    DecodingError,
    HttpClientError,
    HttpServiceClient,
    ReadTimeoutError,
    ResponseValidationError,
)
from kit.fakes import RESET, FakeClock
from kit.front_ends import FrontEnd
from kit.rows import each_row
from kit.streaming import StreamingTransport

URL = "https://api.example.com/feed"


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def stream(front_end: FrontEnd, *script: Any, headers: dict[str, str] | None = None, **options: Any) -> Any:
    client = front_end.client(transport=StreamingTransport(*script, headers=headers or {}))
    return front_end.stream(client, "GET", URL, **options)


@each_row(
    ("content_type", "encoding", "data", "text"),
    [
        ("text/plain", None, "a€\n😀".encode(), "a€\n😀"),
        ("text/plain; charset=utf-16-le", None, "a€😀".encode("utf-16-le"), "a€😀"),
        ("text/plain", None, b"\xef\xbb\xbfa", "a"),
        ("text/plain", None, b"a\xff\xe2\x82", "a\ufffd\ufffd"),
        ("text/plain; charset=utf-8", "latin-1", b"\xe9", "é"),
    ],
)
def test_text_is_decoded_however_the_bytes_are_cut(
    front_end: FrontEnd, content_type: str, encoding: str | None, data: bytes, text: str
) -> None:
    """A character is never cut; an encoding that is given wins over the header's."""
    with stream(front_end, *bytewise(data), headers={"Content-Type": content_type}) as response:
        pieces = list(response.iter_text(encoding=encoding))
    assert "".join(pieces) == text
    assert all(pieces)


def test_lines_may_keep_their_ends(front_end: FrontEnd) -> None:
    """So `csv` reads a field with a line end in it, and the lines together are the text."""
    rows = [["id", "name"], ["1", "two\r\nlines"], ["2", "a\nb"]]
    data = b'id,name\r\n1,"two\r\nlines"\r\n2,"a\nb"\r\nold\rend'
    for cut in (bytewise(data), [data], [data[:9], data[9:]]):
        with stream(front_end, *cut) as response:
            lines = list(response.iter_lines(keep_ends=True))
        assert "".join(lines) == data.decode()
        assert lines[-2:] == ["old\r", "end"]
        assert list(csv.reader(lines[:-2])) == rows


@each_row("length", [0, -1, 1.5, True, "4"], ids=repr)
def test_a_length_is_a_number_of_characters(front_end: FrontEnd, length: Any) -> None:
    """1 or more. A wrong one is refused before the body is claimed."""
    with stream(front_end, b"abc") as response:
        for method in (response.iter_lines, response.iter_events, response.iter_json):
            with pytest.raises(ConfigurationError, match="max_length must be"):
                next(iter(method(max_length=length)))
        assert response.read() == b"abc"


@each_row("encoding", ["klingon", "zlib", "", 8, b"utf-8", PurePath("utf-8")])
def test_an_encoding_that_is_not_a_charset_is_refused(front_end: FrontEnd, encoding: Any) -> None:
    """Before the body is claimed."""
    with stream(front_end, b"abc") as response:
        for method in (response.iter_text, response.iter_lines):
            with pytest.raises(ConfigurationError, match="encoding must be a charset such as 'utf-8'"):
                next(iter(method(encoding=encoding)))
        with pytest.raises(ConfigurationError, match="keep_ends must be True or False"):
            next(iter(response.iter_lines(keep_ends="yes")))
        assert response.read() == b"abc"


def test_json_lines_are_values(front_end: FrontEnd) -> None:
    """One for each line that is not blank, however the bytes are cut."""
    data = '{"a":1}\r\n\n  \n\x1e["é"]\nnull\n2.5'.encode()
    for cut in (bytewise(data), [data]):
        with stream(front_end, *cut, headers={"Content-Type": "application/x-ndjson"}) as response:
            assert list(response.iter_json()) == [{"a": 1}, ["é"], None, 2.5]


def test_a_value_waits_for_nothing_behind_its_line(front_end: FrontEnd) -> None:
    """A CR ends it, although an LF may follow."""
    values: list[Any] = []
    with (
        pytest.raises(ConnectionLostError),
        stream(front_end, b"1\r", RESET) as response,
    ):
        for value in response.iter_json():
            values.append(value)  # the rest is lost
    assert values == [1]


def test_a_line_that_is_not_json_is_named(front_end: FrontEnd) -> None:
    """What came before it is kept, and the iteration goes on after it."""
    with stream(front_end, b'1\n\n{"a" 1}\n2\n') as response:
        values = iter(response.iter_json())
        assert next(values) == 1
        with pytest.raises(
            ResponseValidationError,
            match=r"^line 3 of the response of https://api\.example\.com/feed is not JSON: .* at column 6$",
        ) as caught:
            next(values)
        assert caught.value.response is not None
        assert caught.value.response.status_code == 200
        assert list(values) == [2]


def test_a_line_that_is_nested_too_deeply_is_named(front_end: FrontEnd) -> None:
    """As any other that is not JSON for us."""
    with stream(front_end, b"1\n" + b"[" * 200_000 + b"\n") as response:
        values = iter(response.iter_json())
        assert next(values) == 1
        with pytest.raises(ResponseValidationError, match="line 2"):
            next(values)


def test_nan_is_accepted_unless_strict(front_end: FrontEnd) -> None:
    """As by `json()`."""
    with stream(front_end, b"NaN\n1") as response:
        first, second = response.iter_json()
    assert math.isnan(first)
    assert second == 1
    with (
        stream(front_end, b"NaN\n1") as response,
        pytest.raises(ResponseValidationError, match=r"line 1 .* NaN"),
    ):
        next(iter(response.iter_json(strict=True)))


def test_strict_holds_beside_a_type(front_end: FrontEnd) -> None:
    """pydantic takes NaN for a number."""
    pytest.importorskip("pydantic")
    for is_strict in (False, True):
        with stream(front_end, b"NaN\n1") as response:
            values = iter(response.iter_json(float, strict=is_strict))
            if is_strict:
                with pytest.raises(ResponseValidationError, match=r"line 1 .* NaN"):
                    next(values)
            else:
                assert math.isnan(next(values))
            assert next(values) == 1.0


@dataclass
class Order:
    id: int


def test_json_lines_may_have_a_type(front_end: FrontEnd) -> None:
    """The error names the line and the path."""
    pytest.importorskip("pydantic")
    with stream(front_end, b'{"id":1}\n{"id":"x"}\n{"id":3}\n') as response:
        values = iter(response.iter_json(Order))
        assert next(values) == Order(1)
        with pytest.raises(ResponseValidationError, match=r"^line 2 of .* is not a valid Order: id: "):
            next(values)
        assert list(values) == [Order(3)]


@each_row("method", ["iter_lines", "iter_json", "iter_events"])
def test_items_before_one_that_is_too_long_are_not_lost(front_end: FrontEnd, method: str) -> None:
    """Though the same bytes brought them all."""
    data = {"iter_events": b"data: 1\n\ndata: 2\n\ndata: " + b"3" * 20}.get(method, b"1\n2\n" + b"3" * 20)
    items = []
    with stream(front_end, data) as response, pytest.raises(DecodingError, match="max_length"):
        for item in getattr(response, method)(max_length=10):
            items.append(getattr(item, "data", item))  # they are kept when it raises
    assert [str(item) for item in items] == ["1", "2"]


@pytest.mark.parametrize("ending", [RESET, KeyboardInterrupt()], ids=["failed", "interrupted"])
def test_a_read_that_fails_keeps_what_came(front_end: FrontEnd, ending: Any) -> None:
    """The response has it, also as the error's."""
    with stream(front_end, b"one ", b"two", ending) as response:
        assert response.partial_content == b""
        with pytest.raises((ConnectionLostError, KeyboardInterrupt)) as caught:
            response.read()
        assert response.partial_content == b"one two"
        if isinstance(caught.value, HttpClientError):
            assert caught.value.response.partial_content == b"one two"  # type: ignore[union-attr]


class PingTransport(StreamingTransport):
    """Sends a comment each second, of virtual time, and an event each 30 seconds."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(headers={"Content-Type": "text/event-stream"})
        self._clock = clock

    def send(self, request: Any, timeout: Any) -> Any:
        response = super().send(request, timeout)
        response.source.read = self._read
        return response

    def _read(self, timeout: Any) -> bytes:
        self._clock.now += 1.0
        return b"data: x\n\n" if self._clock.now % 30 == 0 else b": ping\n\n"

    open_response = send


def test_comments_do_not_count_as_events(front_end: FrontEnd) -> None:
    """`idle_timeout` bounds the wait for each event, whatever else arrives."""
    for limit, expected in ((40.0, 3), (20.0, 1)):
        clock = FakeClock(now=1010.0)
        client = front_end.client(transport=PingTransport(clock), clock=clock)
        events = []
        with front_end.stream(client, "GET", URL) as response:
            try:
                for event in response.iter_events(idle_timeout=limit):
                    events.append(event)
                    if len(events) == 3:
                        break
            except ReadTimeoutError as error:
                assert str(error).endswith("no event for 20 s")  # noqa: PT017
        assert len(events) == expected


def test_an_event_source_says_what_did_not_come(front_end: FrontEnd) -> None:
    """In the error after its last connection."""
    clock = FakeClock(now=1010.25)  # at no instant of which an event comes
    client = front_end.client(transport=PingTransport(clock), clock=clock)
    with pytest.raises(ReadTimeoutError, match="no event for 5 s"):
        list(front_end.events(client, URL, idle_timeout=5.0, max_reconnects=1))


def test_an_idle_timeout_is_checked(front_end: FrontEnd) -> None:
    """Before the body is claimed."""
    with stream(front_end, b"abc") as response:
        for wrong in (0, -1, math.nan, "5"):
            with pytest.raises(ConfigurationError, match="idle_timeout must be a positive"):
                next(iter(response.iter_events(idle_timeout=wrong)))
        assert response.read() == b"abc"


def test_for_over_an_asyncio_stream_says_what_to_write() -> None:
    """For each of its iterators."""

    async def mixed_up() -> None:
        client = HttpServiceClient(transport=StreamingTransport(b"1\n"))
        for method in ("iter_bytes", "iter_text", "iter_lines", "iter_json", "iter_events"):
            async with client.stream_async("GET", URL) as response:
                with pytest.raises(TypeError, match="write 'async for', not 'for'"):
                    list(getattr(response, method)())

    asyncio.run(mixed_up())


def test_a_response_that_is_iterated_itself_names_the_methods() -> None:
    """As the response of requests can be; here there are several forms of a body to choose from."""
    client = HttpServiceClient(transport=StreamingTransport(b"1\n"))
    with client.stream("GET", URL) as response, pytest.raises(TypeError, match=r"over response\.iter_bytes"):
        list(response)  # type: ignore[call-overload]

    async def mixed_up() -> None:
        client = HttpServiceClient(transport=StreamingTransport(b"1\n"))
        async with client.stream_async("GET", URL) as response:
            with pytest.raises(TypeError, match=r"over response\.iter_bytes"):
                [piece async for piece in response]  # type: ignore[attr-defined]
            with pytest.raises(TypeError, match="write 'async for', not 'for'"):
                list(response.as_file())  # type: ignore[call-overload]

    asyncio.run(mixed_up())


def test_a_blocking_iterator_does_not_pass_for_an_asynchronous_one() -> None:
    """It may be the body of another request."""
    client = HttpServiceClient(transport=StreamingTransport(b"1\n"))
    with client.stream("GET", URL) as response:
        assert not hasattr(response.iter_bytes(), "__aiter__")


def test_a_body_that_was_read_can_be_read_in_any_form(front_end: FrontEnd) -> None:
    """Its body is in memory already."""
    body = gzip.compress(b"1\n2\n")
    with stream(front_end, body, headers={"Content-Encoding": "gzip"}) as response:
        response.read()
        assert list(response.iter_json()) == [1, 2]
        assert list(response.iter_text()) == ["1\n2\n"]
