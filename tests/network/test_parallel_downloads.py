"""`download_parallel`: one file over several connections, and all the ways in which its parts may not fit."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    ChecksumError,
    ConfigurationError,
    HttpServiceClient,
    InvalidRequestError,
    ResponseTooLargeError,
)
from http_service_client.client.downloads import parallel_download
from http_service_client.testing import LoopbackServer, answer, hang_up, respond
from http_service_client.testing.actions import Action, Received
from kit.front_ends import FrontEnd
from network.faults import slots_in_use

FIRST = 50_000
CONTENT = bytes(range(251)) * 6000  # about 1.5 MB: half a part is progress
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
QUICK: dict[str, Any] = {"retry_policy_config": {"max_attempts": 4, "initial_delay": 0.001}}

Part = Callable[[int, int], Action | None]


class File:
    """A file on the server.

    part: may return another action for the part of these bytes, the end excluded.
    requests: start and end of each range that was requested; None for all of the file.
    """

    def __init__(self, content: bytes = CONTENT, etag: str | None = '"v1"', part: Part | None = None) -> None:
        self.content = content
        self.etag = etag
        self.part = part
        self.requests: list[tuple[int, int] | None] = []
        self.conditions: list[str | None] = []

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.etag is None else {"ETag": self.etag}

    def __call__(self, received: Received) -> Action:
        given = received.header("Range")
        self.conditions.append(received.header("If-Range"))
        if given is None or received.header("If-Range") not in (None, self.etag):
            self.requests.append(None)
            return respond(200, headers=self.headers, body=self.content)
        first, _, last = given.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(self.content)) + 1, len(self.content))
        self.requests.append((start, end))
        if start >= len(self.content):
            return respond(416, headers={"Content-Range": f"bytes */{len(self.content)}"})
        other = self.part(start, end) if self.part is not None else None
        return other or self.range(start, end)

    def range(self, start: int, end: int, **headers: str) -> Action:
        span = {"Content-Range": f"bytes {start}-{end - 1}/{len(self.content)}"}
        return respond(206, headers={**self.headers, **span, **headers}, body=self.content[start:end])

    def breaking(self, start: int, end: int, after: int) -> Action:
        """The part, whose connection breaks after so many bytes."""
        return hang_up(self.head(start, end) + self.content[start : start + after])

    def head(self, start: int, end: int) -> bytes:
        span = f"bytes {start}-{end - 1}/{len(self.content)}"
        return (
            f"HTTP/1.1 206 Partial Content\r\nETag: {self.etag}\r\nContent-Range: {span}\r\n"
            f"Content-Length: {end - start}\r\n\r\n"
        ).encode()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_download, "_FIRST", FIRST)
    monkeypatch.setattr(parallel_download, "_LEAST", FIRST)


@pytest.fixture
def client(front_end: FrontEnd) -> HttpServiceClient:
    return front_end.client(**QUICK)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """The target. At the end, nothing but the file itself may be left beside it."""
    yield tmp_path / "file"
    assert set(os.listdir(tmp_path)) <= {"file"}


def fetch(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    file: Any,
    path: Path,
    **options: Any,
) -> Any:
    server.script("/file", answer(file))
    try:
        return front_end.download_parallel(client, server.url + "/file", path, **options)
    finally:
        assert slots_in_use(client) == 0


def test_the_parts_are_requested_once_each(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """The first alone, the others under If-Range; together they are the file."""
    file = File()
    response = fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert (response.status_code, response.headers["ETag"]) == (206, '"v1"')
    first, *others = file.requests
    assert first == (0, FIRST)
    assert len(others) == 4
    assert [start for start, _ in sorted(others)] == [FIRST, *(end for _, end in sorted(others)[:-1])]
    assert file.conditions == [None, *['"v1"'] * 4]


@pytest.mark.parametrize(
    ("parts", "settings", "most"),
    [
        (1, {}, 1),
        (3, {}, 3),
        (8, {"max_connections_per_host": 2}, 2),
        (8, {"bulkhead": {"max_concurrent": 2, "max_waiting": 0}}, 2),
    ],
)
def test_at_most_so_many_run_at_a_time(
    front_end: FrontEnd, server: LoopbackServer, path: Path, parts: int, settings: dict[str, Any], most: int
) -> None:
    """And never more than the client has connections or permits: a part would wait for another, or be refused."""
    lock, running, seen = threading.Lock(), 0, 0
    barrier = threading.Barrier(most)

    def count(start: int, end: int) -> None:
        nonlocal running, seen
        if not start:
            return
        with lock:
            running += 1
            seen = max(seen, running)
        barrier.wait(10)  # as many as may run do run
        with lock:
            running -= 1

    client = front_end.client(**settings, **QUICK)
    fetch(front_end, client, server, File(part=count), path, parts=parts)
    assert path.read_bytes() == CONTENT
    assert seen == most


def test_a_broken_part_is_resumed(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Each for itself, from where it stopped."""
    broken: set[int] = set()

    def breaks_once(start: int, end: int) -> Action | None:
        if end in broken:
            return None
        broken.add(end)
        return file.breaking(start, end, (end - start) // 2)

    file = File(part=breaks_once)
    fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert len(file.requests) == 10
    assert sum(end - start for start, end in filter(None, file.requests)) < 2 * len(CONTENT)


@pytest.mark.parametrize(
    ("etag", "is_ranged", "count"),
    [('"v1"', False, 1), (None, True, 2), ('W/"v1"', True, 2)],
    ids=["no ranges", "no validator", "weak validator"],
)
def test_without_ranges_or_a_validator_it_is_one_stream(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    path: Path,
    etag: str | None,
    is_ranged: bool,
    count: int,
) -> None:
    """Where ranges are not known, the first response is the whole file already."""
    file = File(
        etag=etag, part=None if is_ranged else lambda *_: respond(200, headers={"ETag": '"v1"'}, body=CONTENT)
    )
    assert fetch(front_end, client, server, file, path, checksum=SHA).status_code == 200
    assert path.read_bytes() == CONTENT
    assert len(file.requests) == count


@pytest.mark.parametrize("size", [0, 1, FIRST, FIRST + 1])
def test_a_small_file_has_no_other_parts(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, size: int
) -> None:
    """And an empty one, which has no first byte, is a file, too."""
    file = File(CONTENT[:size])
    fetch(front_end, client, server, file, path)
    assert path.read_bytes() == CONTENT[:size]
    assert len(file.requests) == (1 if 0 < size <= FIRST else 2)


ODD_FIRST = {
    "no Content-Range": respond(206, headers={"ETag": '"v1"'}, body=CONTENT[:FIRST]),
    "several parts": respond(
        206, headers={"Content-Type": "multipart/byteranges; boundary=x"}, body=b"--x--"
    ),
    "a gap": respond(206, headers={"Content-Range": f"bytes 9-99/{len(CONTENT)}"}, body=CONTENT[9:100]),
}


@pytest.mark.parametrize("odd", ODD_FIRST)
def test_a_first_part_that_cannot_be_used_is_one_stream(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, odd: str
) -> None:
    """A server that does not understand ranges well still has the file."""
    file = File(part=lambda *_: ODD_FIRST[odd])
    fetch(front_end, client, server, file, path, checksum=SHA)
    assert file.requests == [(0, FIRST), None]


def test_parts_with_the_status_of_a_whole_file_are_parts(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Some servers honour a Range and answer 200: the first part once was the file."""

    def mislabelled(start: int, end: int) -> Action:
        headers = {**file.headers, "Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
        return respond(200, headers=headers, body=CONTENT[start:end])

    file = File(part=mislabelled)
    fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert len(file.requests) > 1


def test_a_file_that_changes_meanwhile_comes_as_one_stream(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """No byte of the old version is left, nor counted as progress."""
    new = bytes(reversed(CONTENT)) + b"more"
    reports: list[tuple[int, int | None]] = []

    def changing(received: Received) -> Action:
        action = file(received)
        if len(file.requests) == 3:
            file.content, file.etag = new, '"v2"'
        return action

    file = File()
    response = fetch(
        front_end, client, server, changing, path, progress=lambda *report: reports.append(report)
    )
    assert path.read_bytes() == new
    assert response.headers["ETag"] == '"v2"'
    of_the_new = [received for received, total in reports if total == len(new)]
    assert of_the_new == sorted(of_the_new)
    assert (of_the_new[0] <= len(new) // 2, of_the_new[-1]) == (True, len(new))


@pytest.mark.parametrize("kind", ["another length", "another tag", "outside", "304", "416"])
def test_a_part_that_does_not_fit_is_never_written(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, kind: str
) -> None:
    """Whatever the server says: the file comes as one stream then."""

    def odd(start: int, end: int) -> Action | None:
        if start != FIRST:
            return None
        body = b"x" * (end - start)
        span = f"bytes {start}-{end - 1}/"
        return {
            "another length": respond(
                206, headers={"ETag": '"v1"', "Content-Range": f"{span}999999"}, body=body
            ),
            "another tag": file.range(start, end, ETag='"v2"'),
            "outside": file.range(start - 10, end),
            "304": respond(304),
            "416": respond(416, headers={"Content-Range": "bytes */9"}),
        }[kind]

    file = File(part=odd)
    fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert file.requests.count(None) == 1  # the server may see an abandoned part after it


def test_a_wrong_checksum_discards_the_file(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """It is that of the whole file; nothing is kept for a later download."""
    with pytest.raises(ChecksumError, match="the file has the checksum") as caught:
        fetch(front_end, client, server, File(), path, checksum="sha256:" + "0" * 64, resume=True)
    assert caught.value.response is not None
    assert not path.exists()


def test_a_file_that_is_too_large_is_refused_after_the_first_part(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Its length is known by then. A file of exactly the limit is not too large."""
    file = File()
    with pytest.raises(ResponseTooLargeError):
        fetch(front_end, client, server, file, path, max_response_size=len(CONTENT) - 1)
    assert file.requests == [(0, FIRST)]
    fetch(front_end, client, server, file, path, max_response_size=len(CONTENT))
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("is_async", [False, True])
def test_progress_counts_the_bytes_of_all_parts(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, is_async: bool
) -> None:
    """It only grows, and ends at the total."""
    reported: list[tuple[int, int | None]] = []

    async def progress(received: int, total: int | None) -> None:
        reported.append((received, total))

    fetch(
        front_end,
        client,
        server,
        File(),
        path,
        progress=progress if is_async else lambda *it: reported.append(it),
    )
    received = [each for each, _ in reported]
    assert received == sorted(received) or is_async  # tasks of a portal may report in any order
    assert max(received) == len(CONTENT)
    assert {total for _, total in reported} == {len(CONTENT)}


def test_one_bar_is_drawn(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For all parts."""
    pytest.importorskip("tqdm")
    fetch(front_end, client, server, File(), path, progress="file")
    drawn = capsys.readouterr().err
    assert "file: 100%" in drawn
    assert drawn.count("\n") == 1


def test_a_file_that_has_not_changed_is_not_downloaded(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """304 to a condition of the caller's is a response, as for `download`."""
    response = fetch(
        front_end, client, server, lambda _: respond(304), path, headers={"If-None-Match": '"v1"'}
    )
    assert response.status_code == 304
    assert not path.exists()


def test_a_redirect_is_followed_by_each_part(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Such as one to a storage service."""
    server.script("/go", respond(302, headers={"Location": "/file"}))
    server.script("/file", answer(File()))
    front_end.download_parallel(client, server.url + "/go", path, checksum=SHA)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"parts": 0}, ConfigurationError, "^parts must"),
        ({"parts": 2.5}, ConfigurationError, "^parts must"),
        ({"resume": 1}, ConfigurationError, "^resume must"),
        ({"data": map(bytes, [])}, InvalidRequestError, "download_parallel sends its body several times"),
        ({"total_timeout": 0}, ConfigurationError, "total_timeout"),
        ({"checksum": "sha256"}, InvalidRequestError, "checksum"),
        ({"headers": {"Range": "bytes=0-1"}}, InvalidRequestError, "sets Range"),
    ],
)
def test_wrong_arguments_are_refused(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    path: Path,
    options: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    """Before anything is sent."""
    file = File()
    with pytest.raises(kind, match=message):
        fetch(front_end, client, server, file, path, **options)
    assert file.requests == []
