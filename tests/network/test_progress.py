"""What an upload tells of its progress: in both worlds, for each kind of body."""

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
from network.faults import failing, places_in_use

SIZE = 300_000
Told = list["tuple[int, int | None]"]


def _pieces() -> Iterator[bytes]:
    yield b"x" * 200_000
    yield b"y" * 100_000


class _Anew:
    def __iter__(self) -> Iterator[bytes]:
        return _pieces()


class _AsyncPieces:
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in _pieces():
            yield piece


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"data": b"x" * SIZE},
    "file": lambda: {"data": BytesIO(b"x" * SIZE)},
    "iterable": lambda: {"data": _Anew()},
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
    """Makes the body keywords of a call, the same each time."""
    if "async" in request.param and front_end.name == "blocking":
        pytest.skip("blocking calls take no async iterable")
    return BODIES[request.param]


def test_it_counts_from_nothing_to_all(
    front_end: FrontEnd, server: LoopbackServer, body: Callable[[], dict[str, Any]]
) -> None:
    """In steps that a person can watch; the total is the length, where there is one."""
    server.script("/", respond(201))
    told: Told = []
    front_end.request(front_end.client(), "POST", server.url, progress=lambda *at: told.append(at), **body())
    (received,) = server.requests
    length = received.header("Content-Length")
    assert {total for _, total in told} == {None if length is None else int(length)}
    counts = [count for count, _ in told]
    assert (counts[0], counts[-1]) == (0, len(received.body))
    assert all(0 < after - before <= 65536 for before, after in pairwise(counts))


def test_it_changes_nothing_on_the_wire(
    front_end: FrontEnd,
    server: LoopbackServer,
    body: Callable[[], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request is the same, byte for byte, whether anybody watches or not."""
    monkeypatch.setattr("os.urandom", bytes)  # the boundary of a multipart body
    server.script("/", respond(201))
    for progress in (None, lambda *at: None):
        front_end.request(front_end.client(), "POST", server.url, progress=progress, **body())
    unwatched, watched = server.requests
    assert watched.raw == unwatched.raw


def test_each_attempt_counts_anew(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A bar that went on would say more than there is."""
    server.script("/", respond(503), respond(201))
    told: list[int] = []
    client = front_end.client(retry_policy_config={"initial_delay": 0})
    front_end.request(client, "PUT", server.url, data=b"x" * 100, progress=lambda at, _: told.append(at))
    assert told == [0, 100, 0, 100]


def test_a_redirect_that_sends_the_body_again_counts_anew(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """307 does; 303 sends none."""
    server.script("/307", respond(307, headers={"Location": "/303"}))
    server.script("/303", respond(303, headers={"Location": "/"}))
    server.script("/", respond(200))
    told: list[int] = []
    front_end.request(
        front_end.client(),
        "POST",
        f"{server.url}/307",
        data=b"x" * 100,
        progress=lambda at, _: told.append(at),
    )
    assert told == [0, 100, 0, 100]


@pytest.mark.parametrize("options", [{}, {"data": b""}, {"data": {}}])
def test_without_a_body_there_is_nothing_to_tell(
    front_end: FrontEnd, server: LoopbackServer, options: dict[str, Any]
) -> None:
    """Not even that it is complete."""
    server.script("/", respond(200))
    told: Told = []
    front_end.request(front_end.client(), "POST", server.url, progress=lambda *at: told.append(at), **options)
    assert told == []


def test_what_never_left_is_not_told(front_end: FrontEnd) -> None:
    """No connection, no progress."""
    told: Told = []
    failing(
        front_end,
        front_end.client(),
        "POST",
        "http://127.0.0.1:9/",
        data=b"x",
        progress=lambda *at: told.append(at),
    )
    assert told == []


def test_it_tells_what_was_sent_and_not_what_is_meant_to_be(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """A server that stops reading stops the count, at what the buffers on the way hold."""
    server.script("/", stall_reading())
    told: list[int] = []
    caught = failing(
        front_end, front_end.client(), "POST", server.url, data=b"x" * 50_000_000, timeout=0.5,
        progress=lambda at, _: told.append(at),
    )  # fmt: skip
    assert caught.type == "AttemptTimeoutError"
    assert 0 < told[-1] < 40_000_000


def test_compressed_bytes_are_what_is_sent(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The total is that of the wire."""
    server.script("/", respond(201))
    told: Told = []
    client = front_end.client(enable_request_compression=True)
    front_end.request(client, "POST", server.url, json=["x"] * 10_000, progress=lambda *at: told.append(at))
    length = len(server.requests[0].body)
    assert told == [(0, length), (length, length)]
    assert length < 1000


def test_it_is_told_where_it_is_sent(front_end: FrontEnd, server: LoopbackServer) -> None:
    """On the thread of the call, and in the task of the loop."""
    server.script("/", respond(201))
    places: set[tuple[int, bool]] = set()

    def note(*at: object) -> None:
        places.add((threading.get_ident(), asyncio._get_running_loop() is not None))

    front_end.request(front_end.client(), "POST", server.url, data=b"x" * SIZE, progress=note)
    assert places == {(threading.get_ident(), front_end.name == "asyncio")}


def test_what_it_raises_ends_the_call(front_end: FrontEnd, server: LoopbackServer) -> None:
    """As it is, at once, with nothing left behind: a way to break an upload off."""
    server.script("/", respond(201))
    client = front_end.client()

    def enough(sent: int, total: int | None) -> None:
        if sent > 100_000:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        front_end.request(client, "PUT", server.url, data=b"x" * SIZE, progress=enough)
    assert places_in_use(client) == 0
    assert front_end.request(client, "GET", server.url).status_code == 201


async def _async_progress(sent: int, total: int | None) -> None:
    pass


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (1, "progress must be a function of two numbers, True for a bar, or None, not 1"),
        ("bar", "not 'bar'"),
        (_async_progress, "must be a plain function, not async"),
    ],
)
def test_what_is_no_progress_is_told_before_anything_is_sent(
    front_end: FrontEnd, progress: Any, told: str
) -> None:
    """With the way to say it right."""
    with pytest.raises(ConfigurationError, match=told):
        front_end.request(front_end.client(), "POST", "http://127.0.0.1:9/", data=b"x", progress=progress)


def test_a_scripted_network_tells_it_too(front_end: FrontEnd) -> None:
    """So that a test of a progress function needs no server."""
    told: Told = []
    transport = ScriptedTransport([HttpResponse(503), HttpResponse(201)])
    client = front_end.client(transport=transport, clock=VirtualClock())
    url = "https://api.example.com/"
    front_end.request(client, "PUT", url, json=[1], progress=lambda *at: told.append(at))
    assert told == [(0, 3), (3, 3)] * 2


class TestTheBar:
    """`progress=True` is a bar of tqdm, on standard error."""

    def test_an_upload(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It ends at all of it, and its line with it."""
        pytest.importorskip("tqdm")
        server.script("/", respond(201))
        front_end.request(front_end.client(), "POST", server.url, data=b"x" * 2048, progress=True)
        drawn = capsys.readouterr().err
        assert "2.00k/2.00k" in drawn
        assert drawn.endswith("\n")

    def test_a_failed_upload(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It stays where it stopped, and is closed."""
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

    def test_each_attempt_begins_it_anew(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """And no attempt adds to the one before."""
        pytest.importorskip("tqdm")
        server.script("/", respond(503), respond(201))
        client = front_end.client(retry_policy_config={"initial_delay": 0})
        front_end.request(client, "PUT", server.url, data=b"x" * 2048, progress=True)
        last = capsys.readouterr().err.rstrip("\n").rpartition("\r")[2]
        assert "2.00k/2.00k" in last

    def test_a_download(
        self, front_end: FrontEnd, server: LoopbackServer, capsys: pytest.CaptureFixture[str], tmp_path: Any
    ) -> None:
        """The same keyword."""
        pytest.importorskip("tqdm")
        server.script("/", respond(200, body=b"x" * 2048))
        front_end.download(front_end.client(), server.url, tmp_path / "file", progress=True)
        assert "2.00k/2.00k" in capsys.readouterr().err

    def test_without_tqdm(self, front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says what to install, before anything is sent."""
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with pytest.raises(ConfigurationError, match=r"pip install http-service-client\[progress\]"):
            front_end.request(front_end.client(), "POST", "http://127.0.0.1:9/", data=b"x", progress=True)
