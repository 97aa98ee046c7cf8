"""The progress of an upload, for each kind of body."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpResponse
from http_service_client.testing import (
    LoopbackServer,
    ScriptedTransport,
    VirtualClock,
    respond,
    stall_reading,
)
from kit.front_ends import FrontEnd
from kit.rows import each_row
from network.faults import failing, slots_in_use

SIZE = 300_000
Reported = list["tuple[int, int | None]"]


def _pieces() -> Iterator[bytes]:
    yield b"x" * 200_000
    yield b"y" * 100_000


class _Repeatable:
    def __iter__(self) -> Iterator[bytes]:
        return _pieces()


class _AsyncPieces:
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in _pieces():
            yield piece


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"data": b"x" * SIZE},
    "file": lambda: {"data": BytesIO(b"x" * SIZE)},
    "iterable": lambda: {"data": _Repeatable()},
    "iterator": lambda: {"data": _pieces()},
    "form": lambda: {"data": {"a": "x" * SIZE}},
    "json": lambda: {"json": {"a": "x" * SIZE}},
    "files in memory": lambda: {"files": {"a": b"x" * SIZE}},
    "files": lambda: {"files": {"a": BytesIO(b"x" * SIZE)}, "data": {"b": "c"}},
    "small": lambda: {"json": {"a": 1}},
    "async iterable": lambda: {"data": _AsyncPieces()},
}


@pytest.fixture(params=list(BODIES))
def body(request: pytest.FixtureRequest, front_end: FrontEnd) -> Callable[[], dict[str, Any]]:
    """Makes the body keywords of a call, with the same content each time."""
    if "async" in request.param and front_end.name == "blocking":
        pytest.skip("blocking calls take no async iterable")
    return BODIES[request.param]


def test_progress_counts_from_zero_to_the_whole_body(
    front_end: FrontEnd, server: LoopbackServer, body: Callable[[], dict[str, Any]]
) -> None:
    """In steps of at most 64 KiB; the total is the length, where it is known."""
    server.script("/", respond(201))
    reported: Reported = []
    front_end.request(
        front_end.client(), "POST", server.url, progress=lambda *at: reported.append(at), **body()
    )
    (received,) = server.requests
    length = received.header("Content-Length")
    assert {total for _, total in reported} == {None if length is None else int(length)}
    counts = [count for count, _ in reported]
    assert (counts[0], counts[-1]) == (0, len(received.body))
    assert all(0 < after - before <= 65536 for before, after in pairwise(counts))


def test_progress_changes_nothing_on_the_wire(
    front_end: FrontEnd,
    server: LoopbackServer,
    body: Callable[[], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request is the same, byte for byte, with and without a progress function."""
    monkeypatch.setattr("os.urandom", bytes)  # the boundary of a multipart body
    server.script("/", respond(201))
    for progress in (None, lambda *at: None):
        front_end.request(front_end.client(), "POST", server.url, progress=progress, **body())
    without, with_progress = server.requests
    assert with_progress.raw == without.raw


def test_each_attempt_counts_from_zero(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A count that continued would exceed the total."""
    server.script("/", respond(503), respond(201))
    reported: list[int] = []
    client = front_end.client(retry_policy_config={"initial_delay": 0})
    front_end.request(client, "PUT", server.url, data=b"x" * 100, progress=lambda at, _: reported.append(at))
    assert reported == [0, 100, 0, 100]


def test_a_redirect_that_sends_the_body_again_counts_from_zero(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A 307 sends the body again; a 303 does not."""
    server.script("/307", respond(307, headers={"Location": "/303"}))
    server.script("/303", respond(303, headers={"Location": "/"}))
    server.script("/", respond(200))
    reported: list[int] = []
    front_end.request(
        front_end.client(),
        "POST",
        f"{server.url}/307",
        data=b"x" * 100,
        progress=lambda at, _: reported.append(at),
    )
    assert reported == [0, 100, 0, 100]


@pytest.mark.parametrize("options", [{}, {"data": b""}, {"data": {}}])
def test_a_request_without_a_body_reports_no_progress(
    front_end: FrontEnd, server: LoopbackServer, options: dict[str, Any]
) -> None:
    """Not even its completion."""
    server.script("/", respond(200))
    reported: Reported = []
    front_end.request(
        front_end.client(), "POST", server.url, progress=lambda *at: reported.append(at), **options
    )
    assert reported == []


def test_a_request_that_was_never_sent_reports_no_progress(front_end: FrontEnd) -> None:
    """There was no connection."""
    reported: Reported = []
    failing(
        front_end,
        front_end.client(),
        "POST",
        "http://127.0.0.1:9/",
        data=b"x",
        progress=lambda *at: reported.append(at),
    )
    assert reported == []


def test_progress_counts_the_bytes_that_were_sent(front_end: FrontEnd, server: LoopbackServer) -> None:
    """When the server stops reading, the count stops at the size of the buffers in between."""
    server.script("/", stall_reading())
    reported: list[int] = []
    caught = failing(
        front_end, front_end.client(), "POST", server.url, data=b"x" * 50_000_000, timeout=0.5,
        progress=lambda at, _: reported.append(at),
    )  # fmt: skip
    assert caught.type == "AttemptTimeoutError"
    assert 0 < reported[-1] < 40_000_000


def test_progress_counts_compressed_bytes(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The total is the number of bytes on the wire."""
    server.script("/", respond(201))
    reported: Reported = []
    client = front_end.client(enable_request_compression=True)
    front_end.request(
        client, "POST", server.url, json=["x"] * 10_000, progress=lambda *at: reported.append(at)
    )
    length = len(server.requests[0].body)
    assert reported == [(0, length), (length, length)]
    assert length < 1000


def test_progress_is_called_on_the_thread_of_the_call(front_end: FrontEnd, server: LoopbackServer) -> None:
    """In asyncio, inside the running loop."""
    server.script("/", respond(201))
    seen: set[tuple[int, bool]] = set()

    def note(*at: object) -> None:
        seen.add((threading.get_ident(), asyncio._get_running_loop() is not None))

    front_end.request(front_end.client(), "POST", server.url, data=b"x" * SIZE, progress=note)
    assert seen == {(threading.get_ident(), front_end.name == "asyncio")}


def test_an_error_of_progress_ends_the_call(front_end: FrontEnd, server: LoopbackServer) -> None:
    """It is raised unchanged, and nothing is left acquired: this is a way to abort an upload."""
    server.script("/", respond(201))
    client = front_end.client()

    def enough(sent: int, total: int | None) -> None:
        if sent > 100_000:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        front_end.request(client, "PUT", server.url, data=b"x" * SIZE, progress=enough)
    assert slots_in_use(client) == 0
    assert front_end.request(client, "GET", server.url).status_code == 201


async def _async_progress(sent: int, total: int | None) -> None:
    pass


@each_row(
    ("progress", "message"),
    [
        (1, "progress must be a function of two numbers, True or a label for a bar, or None, not 1"),
        ("", "not ''"),
        (_async_progress, "must be a plain function, not async"),
    ],
)
def test_an_invalid_progress_is_refused_before_anything_is_sent(
    front_end: FrontEnd, progress: Any, message: str
) -> None:
    """The message says what to pass instead."""
    with pytest.raises(ConfigurationError, match=message):
        front_end.request(front_end.client(), "POST", "http://127.0.0.1:9/", data=b"x", progress=progress)


def test_a_scripted_transport_reports_progress_too(front_end: FrontEnd) -> None:
    """A test of a progress function needs no server."""
    reported: Reported = []
    transport = ScriptedTransport([HttpResponse(503), HttpResponse(201)])
    client = front_end.client(transport=transport, clock=VirtualClock())
    url = "https://api.example.com/"
    front_end.request(client, "PUT", url, json=[1], progress=lambda *at: reported.append(at))
    assert reported == [(0, 3), (3, 3)] * 2


class TestTheBar:
    """`progress=True` draws a bar of tqdm on standard error."""

    def test_an_upload(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The bar ends at the total, and its line is ended."""
        pytest.importorskip("tqdm")
        server.script("/", respond(201))
        front_end.request(front_end.client(), "POST", server.url, data=b"x" * 2048, progress=True)
        drawn = capsys.readouterr().err
        assert "2.00k/2.00k" in drawn
        assert drawn.endswith("\n")

    def test_a_failed_upload(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The bar stays where it stopped, and is closed."""
        pytest.importorskip("tqdm")
        server.script("/", stall_reading())
        failing(
            front_end,
            front_end.client(),
            "POST",
            server.url,
            data=b"x" * 50_000_000,
            timeout=0.4,
            progress=True,
        )
        drawn = capsys.readouterr().err
        assert "/47.7M" in drawn
        assert "100%" not in drawn
        assert drawn.endswith("\n")

    def test_each_attempt_restarts_the_bar(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """No attempt adds to the one before."""
        pytest.importorskip("tqdm")
        server.script("/", respond(503), respond(201))
        client = front_end.client(retry_policy_config={"initial_delay": 0})
        front_end.request(client, "PUT", server.url, data=b"x" * 2048, progress=True)
        last = capsys.readouterr().err.rstrip("\n").rpartition("\r")[2]
        assert "2.00k/2.00k" in last

    def test_a_download(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str], tmp_path: Any
    ) -> None:
        """The same keyword draws the bar of a download."""
        pytest.importorskip("tqdm")
        server.script("/", respond(200, body=b"x" * 2048))
        front_end.download(front_end.client(), server.url, tmp_path / "file", progress=True)
        assert "2.00k/2.00k" in capsys.readouterr().err

    @pytest.mark.parametrize("progress", [True, "label"])
    def test_without_tqdm(
        self, front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, progress: bool | str
    ) -> None:
        """The error says what to install, before anything is sent."""
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[progress\]'"):
            front_end.request(front_end.client(), "POST", "http://127.0.0.1:9/", data=b"x", progress=progress)
