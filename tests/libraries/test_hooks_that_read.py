"""A hook that reads the body, as logging and hooks of instrumentation do, takes nothing of it from the caller."""

from __future__ import annotations

import functools
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
import requests
import requests.adapters
import responses

from http_service_client import DecodingError, HttpResponse, ResponseTooLargeError, TransportError
from http_service_client.testing import LoopbackServer, raw, respond
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd

BODY = b"0123456789" * 30_000  # more than one piece
SEND: dict[str, type] = {
    "Session.send": requests.Session,
    "HTTPAdapter.send": requests.adapters.HTTPAdapter,
}


class Reading:
    """A hook that reads each response, and keeps what it saw."""

    def __init__(self, patch: pytest.MonkeyPatch, hook: str, how: str) -> None:
        self.seen: list[bytes] = []
        self._patch, self._hook, self._how = patch, hook, how

    def front_end(self) -> FrontEnd:
        """What the hook sees. From now on it is in force."""
        return self._into_aiohttp() if self._hook == "aiohttp" else self._into(SEND[self._hook], "send")

    def _into(self, kind: type, name: str) -> FrontEnd:
        real = getattr(kind, name)

        @functools.wraps(real)
        def reading(*given: Any, **options: Any) -> Any:
            response = real(*given, **options)
            if self._how == "whole":
                self.seen.append(response.content)
            elif self._how == "iterated":
                self.seen.append(b"".join(response.iter_content(1000)))
            elif self._how == "raw":
                self.seen.append(b"".join(iter(response.raw.read, b"")))
            else:
                self.seen.append(next(response.iter_content(1000), b""))
            return response

        self._patch.setattr(kind, name, reading)
        return BlockingFrontEnd()

    def _into_aiohttp(self) -> FrontEnd:
        real = aiohttp.ClientSession._request

        async def reading(*given: Any, **options: Any) -> Any:
            response = await real(*given, **options)
            self.seen.append(await response.read())
            return response

        self._patch.setattr(aiohttp.ClientSession, "_request", reading)
        return AsyncioFrontEnd()


WAYS = [(hook, how) for hook in SEND for how in ("whole", "iterated", "raw", "in part")] + [
    ("aiohttp", "whole")
]


@pytest.fixture(params=WAYS, ids=" ".join)
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Reading:
    """A hook that reads, in each of these ways, not in force yet."""
    return Reading(monkeypatch, *request.param)


@pytest.fixture
def front_end(reading: Reading) -> Iterator[FrontEnd]:
    """The front end that the hook sees."""
    with reading.front_end() as made:
        yield made


@pytest.mark.parametrize("chunked", [False, True])
def test_the_caller_gets_the_whole_body(
    reading: Reading, front_end: FrontEnd, server: LoopbackServer, chunked: bool
) -> None:
    """Whatever the hook has read of it; and the connection is used again."""
    server.script("/", respond(200, body=BODY, chunked=chunked))
    client = front_end.client()
    for _ in range(2):
        assert front_end.request(client, "GET", server.url + "/").content == BODY
    assert all(seen and BODY.startswith(seen) for seen in reading.seen)
    assert len(reading.seen) == 2
    assert server.connection_count == 1


def test_the_caller_gets_a_coded_body_decoded(
    reading: Reading, front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Once, even if requests has decoded it for the hook."""
    server.script("/", respond(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"}))
    response = front_end.request(front_end.client(), "GET", server.url + "/")
    assert response.content == BODY
    assert response.headers["Content-Encoding"] == "gzip"


def test_a_coded_body_that_is_to_stay_coded_does(
    reading: Reading, front_end: FrontEnd, server: LoopbackServer
) -> None:
    """`decompress=False` holds, whatever the hook saw."""
    packed = gzip.compress(BODY)
    server.script("/", respond(body=packed, headers={"Content-Encoding": "gzip"}))
    response = front_end.request(front_end.client(), "GET", server.url + "/", decompress=False)
    assert response.content == packed


def test_a_stream_and_a_download_are_whole(
    reading: Reading, front_end: FrontEnd, server: LoopbackServer, tmp_path: Path
) -> None:
    """A file that a hook has read is not saved as an empty one."""
    server.script("/", respond(200, body=BODY))
    client, path = front_end.client(), tmp_path / "file"
    with front_end.stream(client, "GET", server.url + "/") as response:
        assert b"".join(response.iter_bytes()) == BODY
    front_end.download(client, server.url + "/", path)
    assert path.read_bytes() == BODY


def test_a_body_that_is_cut_short_is_an_error(
    reading: Reading, front_end: FrontEnd, server: LoopbackServer
) -> None:
    """The hook meets it first."""
    server.script("/", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"))
    with pytest.raises(TransportError) as caught:
        front_end.request(front_end.client(), "GET", server.url + "/", retry_policy=False)
    assert caught.value.sent_state == "maybe_processed"


def test_an_empty_body_is_empty(reading: Reading, front_end: FrontEnd, server: LoopbackServer) -> None:
    """There was nothing to take."""
    server.script("/", respond(204))
    assert front_end.request(front_end.client(), "GET", server.url + "/").content == b""


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Reading, FrontEnd]]:
    """A hook in requests that reads whole bodies."""
    reading = Reading(monkeypatch, "Session.send", "whole")
    with reading.front_end() as front_end:
        yield reading, front_end


def test_a_hook_in_requests_sees_the_decoded_body(
    logged: tuple[Reading, FrontEnd], server: LoopbackServer
) -> None:
    """As with any response of requests."""
    reading, front_end = logged
    server.script("/", respond(body=gzip.compress(b"packed"), headers={"Content-Encoding": "gzip"}))
    assert front_end.request(front_end.client(), "GET", server.url + "/").content == b"packed"
    assert reading.seen == [b"packed"]


def test_a_hook_reads_no_more_than_the_limit(
    logged: tuple[Reading, FrontEnd], server: LoopbackServer
) -> None:
    """A decompression bomb does not grow in the hook either."""
    reading, front_end = logged
    server.script("/", respond(body=gzip.compress(bytes(3_000_000)), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ResponseTooLargeError):
        front_end.request(front_end.client(max_response_size=100_000), "GET", server.url + "/")
    assert len(reading.seen[0]) <= 100_000


def test_a_corrupt_body_is_the_error_that_it_is_without_a_hook(
    logged: tuple[Reading, FrontEnd], server: LoopbackServer
) -> None:
    """With the response, whose bytes are as they arrived."""
    _, front_end = logged
    packed = gzip.compress(BODY)[:-1]
    server.script("/", respond(201, body=packed, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(DecodingError) as caught:
        front_end.request(front_end.client(), "POST", server.url + "/")
    assert caught.value.sent_state == "answered"
    assert caught.value.response is not None
    assert caught.value.response.content == packed


def test_a_mocked_body_that_a_hook_has_read_is_whole(logged: tuple[Reading, FrontEnd]) -> None:
    """Instrumentation beside a mock."""
    _, front_end = logged
    with responses.RequestsMock() as mocked:
        mocked.get("https://api.test/", body=gzip.compress(b"packed"), headers={"Content-Encoding": "gzip"})
        response = front_end.request(front_end.client(), "GET", "https://api.test/")
    assert response.content == b"packed"


def _returned(monkeypatch: pytest.MonkeyPatch, response: Any) -> HttpResponse:
    monkeypatch.setattr(requests.Session, "send", lambda *_, **__: response)
    with BlockingFrontEnd() as front_end:
        return front_end.request(front_end.client(), "GET", "https://api.test/")


@pytest.mark.parametrize("part", ["_content", "raw"])
def test_a_response_made_by_hand_is_a_response(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests without a mocking library make it: with `_content`, or a file as `raw`."""
    made = requests.Response()
    made.status_code, made.headers["X-Id"] = 200, "7"
    setattr(made, part, b'{"id": 1}' if part == "_content" else io.BytesIO(b'{"id": 1}'))
    response = _returned(monkeypatch, made)
    assert (response.json(), response.headers["X-Id"]) == ({"id": 1}, "7")


def test_a_response_made_by_hand_needs_no_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is empty then."""
    made = requests.Response()
    made.status_code = 204
    assert _returned(monkeypatch, made).content == b""


def test_a_bare_mock_is_no_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to return instead."""
    with pytest.raises(TypeError, match=r"returned a Mock.*return a requests\.Response"):
        _returned(monkeypatch, Mock(status_code=200, content=b"{}"))


def test_a_body_that_a_hook_in_aiohttp_has_used_up_is_an_error(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp keeps nothing of what is read from `content`: better no response than an empty one."""
    real = aiohttp.ClientSession._request

    async def reading(*given: Any, **options: Any) -> Any:
        response = await real(*given, **options)
        async for _ in response.content:
            pass
        return response

    server.script("/", respond(200, body=BODY))
    with AsyncioFrontEnd() as front_end:
        client = front_end.client()
        monkeypatch.setattr(aiohttp.ClientSession, "_request", reading)
        with pytest.raises(RuntimeError, match=r"use `await response\.read"):
            front_end.request(client, "GET", server.url + "/")
