"""Parts of a file that do not fit together, from faulty or hostile servers: never a wrong file at the path."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    HttpContext,
    HttpResponse,
    HttpServiceClient,
    InterceptorError,
    InvalidRequestError,
    ProtocolError,
)
from http_service_client.testing import LoopbackServer, answer, hang_up, raw, respond
from http_service_client.testing.actions import Action, Received
from kit.front_ends import FrontEnd
from network.faults import slots_in_use

WHOLE = bytes(range(200))
STRONG, WEAK = {"ETag": '"v1"'}, {"ETag": 'W/"v1"'}


class Responses:
    """A server that sends these responses one after the other; the last one is used repeatedly.

    ranges: the Range of each request.
    """

    def __init__(self, *responses: Action) -> None:
        self._responses = list(responses)
        self.ranges: list[str | None] = []

    def __call__(self, received: Received) -> Action:
        self.ranges.append(received.header("Range"))
        return self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]


def cut_off(headers: dict[str, str], size: int = 100) -> Action:
    """The whole file, broken off, in one chunk: its length stays unknown."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
    return hang_up(head.encode() + b"%x\r\n%b\r\n" % (size, WHOLE[:size]))


def part(first: int, last: int, total: str = "200", headers: dict[str, str] = STRONG) -> Action:
    """A part of the file."""
    fields = {**headers, "Content-Range": f"bytes {first}-{last}/{total}"}
    return respond(206, headers=fields, body=WHOLE[first : last + 1])


def chunked_part(content_range: str, body: bytes) -> Action:
    """A part whose length is given by its Content-Range only."""
    head = f'HTTP/1.1 206 Partial Content\r\nETag: "v1"\r\nContent-Range: bytes {content_range}\r\n'
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    # The next request must not meet a connection that is being closed.
    return raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, close=False)


@pytest.fixture
def fetched(front_end: FrontEnd, server: LoopbackServer, tmp_path: Path) -> Any:
    """Downloads from these responses, and returns the content of the file."""
    client: HttpServiceClient = front_end.client(
        retry_policy_config={"max_attempts": 3, "initial_delay": 0.001}
    )

    def fetch(responses: Responses) -> bytes:
        server.script("/file", answer(responses))
        try:
            front_end.download(client, server.url + "/file", tmp_path / "file")
            return (tmp_path / "file").read_bytes()
        finally:
            assert len(list(tmp_path.iterdir())) <= (tmp_path / "file").exists()
            assert slots_in_use(client) == 0

    return fetch


def test_an_unrequested_part_of_another_version_does_not_become_the_file(fetched: Any) -> None:
    """It once was a success without a file."""
    other = part(0, 199, headers={"ETag": 'W/"v2"'})
    responses = Responses(cut_off(WEAK), other, respond(200, body=WHOLE))
    assert fetched(responses) == WHOLE
    assert responses.ranges == [None, None, None]


def test_a_416_to_a_request_without_range_does_not_complete_the_file(fetched: Any) -> None:
    """Only a 416 to the request for the rest does."""
    responses = Responses(cut_off(WEAK), respond(416, headers={**WEAK, "Content-Range": "bytes */100"}))
    with pytest.raises(Exception, match="416"):
        fetched(responses)


@pytest.mark.parametrize(
    "body", [WHOLE[100:] + b"more", WHOLE[100:150], b""], ids=["too long", "too short", "empty"]
)
def test_a_part_of_another_length_than_its_range_is_discarded(fetched: Any, body: bytes) -> None:
    """The download starts over, without Range."""
    responses = Responses(cut_off(STRONG), chunked_part("100-199/200", body), respond(200, body=WHOLE))
    assert fetched(responses) == WHOLE
    assert responses.ranges == [None, "bytes=100-", None]


def test_an_empty_part_is_not_requested_endlessly(fetched: Any) -> None:
    """It counts as a failed attempt."""
    responses = Responses(cut_off(STRONG), chunked_part("100-199/200", b""))
    with pytest.raises(ProtocolError):
        fetched(responses)
    assert len(responses.ranges) == 3


def test_parts_of_a_file_of_unknown_length_are_requested_until_its_end(fetched: Any) -> None:
    """A 206 may be shorter than the requested range (RFC 9110, 15.3.7), and ``/*`` does not say by how much."""
    end = respond(416, headers={"Content-Range": "bytes */200"})
    responses = Responses(cut_off(STRONG), part(100, 149, "*"), part(150, 199, "*"), end)
    assert fetched(responses) == WHOLE
    assert responses.ranges == [None, "bytes=100-", "bytes=150-", "bytes=200-"]


@pytest.mark.parametrize("name", ["Range", "If-Range"])
def test_a_download_sets_its_own_ranges(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, name: str
) -> None:
    """Range and If-Range are refused among the headers of the call."""
    with pytest.raises(InvalidRequestError, match="leave them out"):
        front_end.download(
            front_end.client(), server.url + "/", tmp_path / "file", headers={name: "bytes=0-9"}
        )
    assert (list(tmp_path.iterdir()), server.requests) == ([], [])


class Replaces:
    """Returns another response."""

    def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        return HttpResponse(response.status_code, content=b"replaced")


class Spoils:
    """Returns something that is not a response."""

    def intercept_response(self, response: HttpResponse, context: HttpContext) -> Any:
        return "no response"


@pytest.mark.parametrize("interceptor", [Replaces, Spoils])
def test_a_response_that_an_interceptor_replaced_releases_its_connection(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, interceptor: type
) -> None:
    """Whether the interceptor returned another response, or something else."""
    server.script("/file", respond(body=b"x" * 3_000_000))
    client = front_end.client(response_interceptors=[interceptor])
    with suppress(InterceptorError):
        front_end.download(client, server.url + "/file", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"replaced"
    assert slots_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)


NEWER = WHOLE[::-1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ETag": '"v1"'}, {"ETag": '"v2"'}),
        ({"ETag": '"v1"'}, {"ETag": 'W/"v2"'}),
        ({"ETag": '"v1"'}, {"ETag": '"v1"', "total": "201"}),
        (
            {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 09:49:37 GMT"},
            {"Last-Modified": "Sun, 06 Nov 1994 08:49:38 GMT"},
        ),
    ],
    ids=["another tag", "another weak tag", "another length", "another date"],
)
def test_a_part_of_another_version_is_not_appended(
    fetched: Any, first: dict[str, str], second: dict[str, str]
) -> None:
    """A server that ignores If-Range: what there is is dropped, and the whole file is requested at once."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in first.items())
    head = f"HTTP/1.1 200 OK\r\n{fields}Content-Length: 200\r\n\r\n".encode()
    total = second.get("total", "200")
    other = part(100, 199, total, headers={name: value for name, value in second.items() if name != "total"})
    responses = Responses(hang_up(head + WHOLE[:100]), other, respond(200, body=NEWER))
    assert fetched(responses) == NEWER
    assert responses.ranges == [None, "bytes=100-", None]


def test_the_rest_with_the_status_of_a_whole_file_is_not_the_file(fetched: Any) -> None:
    """Some servers honour a Range and answer 200: it once was the file, a hundred bytes short."""
    rest = respond(200, headers={**STRONG, "Content-Range": "bytes 100-199/200"}, body=WHOLE[100:])
    responses = Responses(cut_off(STRONG), rest)
    assert fetched(responses) == WHOLE
    assert responses.ranges == [None, "bytes=100-"]


def test_a_stored_part_that_a_cache_sends_to_all_is_not_the_file(fetched: Any) -> None:
    """Nothing was requested by Range, and the body has the length of its part."""
    part_of_it = respond(200, headers={**STRONG, "Content-Range": "bytes 0-99/200"}, body=WHOLE[:100])
    assert fetched(Responses(part_of_it, respond(200, headers=STRONG, body=WHOLE))) == WHOLE


@pytest.mark.parametrize("content_range", ["bytes 0-199/200", "bytes 0-9/200", "bytes */200", "nonsense"])
def test_a_whole_file_is_one_whatever_its_range_says(fetched: Any, content_range: str) -> None:
    """A Content-Range has no meaning in a 200 whose body is not of its length (RFC 9110, 14.4)."""
    responses = Responses(respond(200, headers={"Content-Range": content_range}, body=WHOLE))
    assert fetched(responses) == WHOLE
    assert responses.ranges == [None]
