"""The body of a response through aiohttp: from memory, after a hook or a mock, and piece by piece from a connection."""

from __future__ import annotations

import gzip
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from http_service_client import (
    AttemptTimeoutError,
    ClientClosedError,
    ConnectionLostError,
    ReadTimeoutError,
    Timeout,
)
from http_service_client.errors import Failure
from http_service_client.http.messages import HttpRequest
from http_service_client.transports.over_aiohttp.hooked import body as bodies
from http_service_client.transports.over_aiohttp.hooked.body import (
    AiohttpBodySource,
    ends_with_the_connection,
)
from http_service_client.transports.over_aiohttp.hooked.mocks import (
    BufferedResponse,
    as_unread,
    without_false_coding,
)
from kit.front_ends import run_task
from kit.rows import each_row

URL = "http://a.test/"


class Response:
    """A response of aiohttp.   seen: bytes of the body that arrived.   kept: those that `read` returns."""

    def __init__(
        self, *fields: tuple[str, str], kept: bytes = b"", seen: int = 0, at_eof: bool = True
    ) -> None:
        self.status, self.reason = 201, "Because"
        self.headers = CIMultiDictProxy(CIMultiDict(fields))
        self.raw_headers = tuple((name.encode(), value.encode()) for name, value in fields)
        self.content: Any = SimpleNamespace(total_bytes=seen, at_eof=lambda: at_eof)
        self.kept = kept
        self.closed = 0

    async def read(self) -> bytes:
        return self.kept

    def close(self) -> None:
        self.closed += 1


async def read_by_pieces(response: Any) -> list[bytes]:
    return [piece async for piece in response.content.iter_any()]


@pytest.mark.parametrize(("seen", "at_eof"), [(0, True), (0, False), (3, False)])
def test_a_body_that_nobody_has_read_stays_where_it_is(seen: int, at_eof: bool) -> None:
    """An empty one is at its end from the beginning; of another, some may have arrived."""
    response: Any = Response(seen=seen, at_eof=at_eof, kept=b"abc")
    assert run_task(as_unread(response)) is response


def test_a_body_that_a_hook_has_read_can_be_read_again() -> None:
    """As it arrived: the head with it."""
    response: Any = Response(("X-A", "1"), seen=3, kept=b"abc")
    buffered = run_task(as_unread(response))
    assert isinstance(buffered, BufferedResponse)
    assert (buffered.status, buffered.reason) == (201, "Because")
    assert buffered.headers is response.headers
    assert buffered.raw_headers == ((b"X-A", b"1"),)
    assert run_task(read_by_pieces(buffered)) == [b"abc"]
    assert run_task(buffered.content.readany()) == b""
    buffered.close()
    assert response.closed == 0


def test_a_hook_that_keeps_nothing_is_told_what_to_call() -> None:
    """The body is lost."""
    response: Any = Response(seen=3)
    with pytest.raises(RuntimeError) as caught:
        run_task(as_unread(response))
    assert str(caught.value) == (
        "what has hooked into aiohttp has read the body of the response from `content`, which keeps nothing for "
        "others; use `await response.read()` there"
    )


@pytest.mark.parametrize(
    ("codings", "content", "is_kept"),
    [
        (["gzip"], gzip.compress(b"abc"), True),
        (["gzip"], b"abc", False),
        (["identity", "gzip"], gzip.compress(b"abc"), True),
        (["identity", "gzip"], b"abc", False),
    ],
)
def test_a_coding_that_was_undone_is_not_announced(codings: list[str], content: bytes, is_kept: bool) -> None:
    """A recording may have the decoded body with the header of the encoded one. The response itself stays as it is."""
    fields = [("Content-Encoding", coding) for coding in codings]
    response: Any = Response(*fields, ("X-A", "1"), kept=content)
    buffered = run_task(without_false_coding(response))
    assert buffered.headers.getall("Content-Encoding", []) == (codings if is_kept else [])
    assert (buffered.headers["X-A"], buffered.raw_headers) == ("1", None)
    assert response.headers.getall("Content-Encoding") == codings
    assert run_task(buffered.content.readany()) == content


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], True),
        ([("Content-Length", "3")], False),
        ([("Transfer-Encoding", "chunked")], False),
        ([("Transfer-Encoding", "Identity")], True),
        ([("Transfer-Encoding", "identity"), ("Content-Length", "3")], False),
    ],
)
def test_a_body_without_a_framing_ends_with_the_connection(
    fields: list[tuple[str, str]], expected: bool
) -> None:
    """RFC 9112, 6.3."""
    response: Any = Response(*fields)
    assert ends_with_the_connection(response) is expected


class Content:
    """A body whose pieces, or error, a test sets."""

    def __init__(self, *pieces: bytes | BaseException) -> None:
        self.pieces = list(pieces)

    async def readany(self) -> bytes:
        piece = self.pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        return piece


class Body:
    """A source between stand-ins."""

    def __init__(
        self,
        *pieces: bytes | BaseException,
        fatal_error: Exception | None = None,
        is_closed: bool = False,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.response: Any = Response(*fields)
        self.response.content = Content(*pieces)
        sessions: Any = SimpleNamespace(is_closed=is_closed)
        connection = SimpleNamespace(fatal_error=fatal_error)
        self.source = AiohttpBodySource(HttpRequest("GET", URL), self.response, connection, sessions)

    def read(self, **limits: float) -> Any:
        return run_task(self.source.read_async(Timeout(**limits)))


def test_the_pieces_of_a_body_are_passed_on() -> None:
    """To its end, which is empty."""
    body = Body(b"ab", b"c", b"")
    assert [body.read(), body.read(), body.read()] == [b"ab", b"c", b""]
    assert body.response.closed == 0
    body.source.close()
    assert body.response.closed == 1


@each_row(
    ("error", "is_closed", "fields", "expected"),
    [
        (None, False, (), b""),
        (ConnectionResetError(104, "reset"), False, (), ConnectionLostError),
        (ConnectionResetError(104, "reset"), False, (("Content-Length", "3"),), b""),
        (None, True, (), ClientClosedError),
        (None, True, (("Content-Length", "3"),), b""),
        (ConnectionResetError(104, "reset"), True, (), ClientClosedError),
    ],
)
def test_what_ends_with_the_connection_ends_by_a_close_of_the_server_alone(
    error: Exception | None, is_closed: bool, fields: Any, expected: Any
) -> None:
    """aiohttp takes a reset, or our own close, for the end of such a body."""
    found = Body(b"", fatal_error=error, is_closed=is_closed, fields=fields).read()
    assert (found.error_type if isinstance(found, Failure) else found) == expected


def test_a_piece_is_passed_on_whatever_came_after_it() -> None:
    """The error is raised at the end."""
    body = Body(b"ab", b"", fatal_error=ConnectionResetError(104, "reset"))
    assert body.read() == b"ab"
    assert isinstance(body.read(), Failure)


def test_an_error_in_the_body_is_a_failure() -> None:
    """With the error that ended the connection, where there is one."""
    for lost_by, name in ((None, "ConnectionResetError"), (BrokenPipeError(32, "x"), "BrokenPipeError")):
        failure = Body(ConnectionResetError(104, "x"), fatal_error=lost_by).read()
        assert failure.error_type is ConnectionLostError
        assert name in failure.message
    assert Body(ConnectionResetError(104, "x"), is_closed=True).read().error_type is ClientClosedError


class Timer:
    """A timer whose time is over at once, or never.   limits: of those that were made."""

    limits: list[float | None] = []  # a test replaces it
    timed_out = False

    def __init__(self, timeout: Timeout, proxy: object) -> None:
        assert proxy is None
        self.limits.append(timeout.total)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize(
    ("limits", "within", "error_type", "message"),
    [
        ({"read": 3.0}, 3.0, ReadTimeoutError, "timed out reading from http://a.test/: nothing arrived for 3 s"),
        (
            {"read": 3.0, "total": 2.0}, 2.0, AttemptTimeoutError,
            "no complete response from http://a.test/ within 2 s",
        ),
        (
            {"read": 2.0, "total": 3.0}, 2.0, ReadTimeoutError,
            "timed out reading from http://a.test/: nothing arrived for 2 s",
        ),
    ],
)  # fmt: skip
def test_the_wait_for_a_piece_has_the_shorter_limit(
    limits: dict[str, float], within: float, error_type: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a read, or what is left of the whole."""
    made: Any = type("Made", (Timer,), {"limits": [], "timed_out": True})
    monkeypatch.setattr(bodies, "ExchangeTimer", made)
    failure = Body(TimeoutError()).read(**limits)
    assert made.limits == [within]
    assert (failure.error_type, failure.message) == (error_type, message)


def test_a_timeout_of_the_socket_is_not_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has given the connection up, before any limit of ours."""
    monkeypatch.setattr(bodies, "ExchangeTimer", type("Made", (Timer,), {"limits": []}))
    failure = Body(TimeoutError(110, "timed out")).read(total=5.0)
    assert (failure.error_type, failure.message) == (
        ReadTimeoutError,
        "timed out reading from http://a.test/",
    )
