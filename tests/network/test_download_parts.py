"""Parts of a file that do not fit together, as odd or hostile servers give them: never a wrong file at the path."""

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
from network.faults import places_in_use

WHOLE = bytes(range(200))
STRONG, WEAK = {"ETag": '"v1"'}, {"ETag": 'W/"v1"'}


class Answers:
    """A server that gives these answers, one after the other; the last one stands for ever."""

    def __init__(self, *answers: Action) -> None:
        self._answers = list(answers)
        self.asked: list[str | None] = []

    def __call__(self, received: Received) -> Action:
        self.asked.append(received.header("Range"))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def cut_off(headers: dict[str, str], size: int = 100) -> Action:
    """The whole, which breaks off; in one chunk, so that its length stays unknown."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
    return hang_up(head.encode() + b"%x\r\n%b\r\n" % (size, WHOLE[:size]))


def part(first: int, last: int, total: str = "200", headers: dict[str, str] = STRONG) -> Action:
    fields = {**headers, "Content-Range": f"bytes {first}-{last}/{total}"}
    return respond(206, headers=fields, body=WHOLE[first : last + 1])


def chunked_part(content_range: str, body: bytes) -> Action:
    """A part whose length nothing but its Content-Range tells."""
    head = f'HTTP/1.1 206 Partial Content\r\nETag: "v1"\r\nContent-Range: bytes {content_range}\r\n'
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    return raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)


@pytest.fixture
def fetched(front_end: FrontEnd, server: LoopbackServer, tmp_path: Path) -> Any:
    """Downloads what the answers give; the file's content."""
    client: HttpServiceClient = front_end.client(
        retry_policy_config={"max_attempts": 3, "initial_delay": 0.001}
    )

    def fetch(answers: Answers) -> bytes:
        server.script("/file", answer(answers))
        try:
            front_end.download(client, server.url + "/file", tmp_path / "file")
            return (tmp_path / "file").read_bytes()
        finally:
            assert len(list(tmp_path.iterdir())) <= (tmp_path / "file").exists()
            assert places_in_use(client) == 0

    return fetch


def test_a_part_of_another_version_that_nobody_asked_for_is_no_file(fetched: Any) -> None:
    """It once was a success without a file."""
    other = part(0, 199, headers={"ETag": 'W/"v2"'})
    answers = Answers(cut_off(WEAK), other, respond(200, body=WHOLE))
    assert fetched(answers) == WHOLE
    assert answers.asked == [None, None, None]


def test_a_416_to_a_request_for_the_whole_does_not_make_it_whole(fetched: Any) -> None:
    answers = Answers(cut_off(WEAK), respond(416, headers={**WEAK, "Content-Range": "bytes */100"}))
    with pytest.raises(Exception, match="416"):
        fetched(answers)


@pytest.mark.parametrize("body", [WHOLE[100:] + b"more", WHOLE[100:150], b""])
def test_a_part_that_is_not_as_long_as_it_says(fetched: Any, body: bytes) -> None:
    answers = Answers(cut_off(STRONG), chunked_part("100-199/200", body), respond(200, body=WHOLE))
    assert fetched(answers) == WHOLE
    assert answers.asked == [None, "bytes=100-", None]


def test_an_empty_part_is_not_asked_for_again_and_again(fetched: Any) -> None:
    answers = Answers(cut_off(STRONG), chunked_part("100-199/200", b""))
    with pytest.raises(ProtocolError):
        fetched(answers)
    assert len(answers.asked) == 3


def test_parts_of_an_unknown_whole_are_asked_for_until_there_is_no_more(fetched: Any) -> None:
    """A 206 may be shorter than what was asked for (RFC 9110, 15.3.7), and ``/*`` does not tell by how much."""
    end = respond(416, headers={"Content-Range": "bytes */200"})
    answers = Answers(cut_off(STRONG), part(100, 149, "*"), part(150, 199, "*"), end)
    assert fetched(answers) == WHOLE
    assert answers.asked == [None, "bytes=100-", "bytes=150-", "bytes=200-"]


@pytest.mark.parametrize("name", ["Range", "If-Range"])
def test_ranges_are_the_download_s_own(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidRequestError, match="leave them out"):
        front_end.download(
            front_end.client(), server.url + "/", tmp_path / "file", headers={name: "bytes=0-9"}
        )
    assert (list(tmp_path.iterdir()), server.requests) == ([], [])


class Replaces:
    def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        return HttpResponse(response.status_code, content=b"replaced")


class Spoils:
    def intercept_response(self, response: HttpResponse, context: HttpContext) -> Any:
        return "no response"


@pytest.mark.parametrize("interceptor", [Replaces, Spoils])
def test_a_response_that_an_interceptor_did_away_with_is_let_go(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, interceptor: type
) -> None:
    server.script("/file", respond(body=b"x" * 3_000_000))
    client = front_end.client(response_interceptors=[interceptor])
    with suppress(InterceptorError):
        front_end.download(client, server.url + "/file", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"replaced"
    assert places_in_use(client) == 0
    assert server.wait_for(lambda: server.open_connections == 0)
