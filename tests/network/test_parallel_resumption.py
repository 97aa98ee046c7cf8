"""`download_parallel(resume=True)`: what has arrived of the parts counts in a later download, of either kind."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from http_service_client import HttpServiceClient, HttpStatusError, TransportError
from http_service_client.client.downloads import parallel_download, parallel_file
from http_service_client.client.downloads.parallel_file import PartedFile
from http_service_client.testing import LoopbackServer, answer, hang_up, respond
from http_service_client.testing.actions import Action
from kit.front_ends import FrontEnd
from network.test_parallel_downloads import CONTENT, FIRST, SHA, File

URL = "https://a.test/"
VERSION = ('"v1"', None, None, 1000)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_download, "_FIRST", FIRST)
    monkeypatch.setattr(parallel_download, "_LEAST", FIRST)


@pytest.fixture
def client(front_end: FrontEnd) -> HttpServiceClient:
    return front_end.client(enable_retry_policy=False, enable_circuit_breaker=False)


def interrupted(front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path) -> File:
    """A download of which the last part failed, when all others had arrived. Returns the file as it is from then on."""

    def part(start: int, end: int) -> Action | None:
        return respond(404) if end == len(CONTENT) else None

    server.script("/file", answer(File(part=part)))
    with pytest.raises(HttpStatusError):
        front_end.download_parallel(client, server.url + "/file", path, resume=True, parts=1)
    assert not path.exists()
    file = File()
    server.script("/file", answer(file))
    return file


def test_only_what_is_missing_is_requested(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each part; the first request sees whether the file is still the same."""
    monkeypatch.setattr(parallel_download, "_MOST", 4 * FIRST)
    file = interrupted(front_end, client, server, tmp_path / "file")
    front_end.download_parallel(client, server.url + "/file", tmp_path / "file", resume=True, checksum=SHA)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file"]
    requested = sum(end - start for start, end in filter(None, file.requests))
    assert requested < len(CONTENT) / 3
    assert None not in file.requests
    assert file.conditions[0] == '"v1"'


def test_a_plain_download_goes_on_with_the_beginning(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, tmp_path: Path
) -> None:
    """What arrived beyond a gap is of no use to it, and is never taken for the file."""
    file = interrupted(front_end, client, server, tmp_path / "file")
    front_end.download(client, server.url + "/file", tmp_path / "file", resume=True, checksum=SHA)
    assert (tmp_path / "file").read_bytes() == CONTENT
    ((start, end),) = file.requests  # type: ignore[misc]  # a range
    assert FIRST <= start < end == len(CONTENT)


def test_a_plain_download_is_continued_in_parts(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, tmp_path: Path
) -> None:
    """From where it broke off."""
    file = File(part=lambda *_: None)
    cut = f'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: {len(CONTENT)}\r\n\r\n'.encode()
    server.script("/file", hang_up(cut + CONTENT[: 3 * FIRST + 7]))
    with pytest.raises(TransportError):
        front_end.download(client, server.url + "/file", tmp_path / "file", resume=True)
    server.script("/file", answer(file))
    front_end.download_parallel(client, server.url + "/file", tmp_path / "file", resume=True, checksum=SHA)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert file.requests[0] == (3 * FIRST + 7, 4 * FIRST)


def test_another_version_starts_over(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, tmp_path: Path
) -> None:
    """Nothing of the old one is left, whatever had arrived of it."""
    file = interrupted(front_end, client, server, tmp_path / "file")
    file.content, file.etag = bytes(reversed(CONTENT)), '"v2"'
    digest = hashlib.sha256(file.content).hexdigest()
    front_end.download_parallel(
        client, server.url + "/file", tmp_path / "file", resume=True, checksum=f"sha256:{digest}"
    )
    assert (tmp_path / "file").read_bytes() == file.content


# The file alone.


def parted(path: Path) -> PartedFile:
    return PartedFile(path, None, resumes=True)


def killed(path: Path, *writes: tuple[int, bytes]) -> None:
    """A process that had the first 100 bytes, wrote to parts of 300 bytes, and was killed."""
    file = parted(path)
    assert file.restore(URL) is None
    file.remember(URL, VERSION)
    file.write([b"a" * 100])
    parts = file.split(1000, 300)
    for number, data in writes:
        parts[number].write([data])
    file._file.close()  # as the system does, which frees the lock


def spans_of(parts: Any) -> list[tuple[int, int]]:
    return [(part.received, part.end) for part in parts]


def test_a_killed_process_loses_what_was_not_noted(tmp_path: Path) -> None:
    """The size of the file is that of all of it, and says nothing."""
    killed(tmp_path / "file", (0, b"b" * 50), (2, b"c" * 10))
    with parted(tmp_path / "file") as file:
        assert file.restore(URL) == VERSION
        assert (file.received, file.arrived) == (100, 100)
        assert spans_of(file.split(1000, 300)) == [(100, 400), (400, 700), (700, 1000)]


def test_a_killed_process_keeps_what_was_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the rest is split again."""
    monkeypatch.setattr(parallel_file, "_NOTE_EVERY", 1)
    killed(tmp_path / "file", (0, b"b" * 50), (1, b"c" * 300), (2, b"d" * 10))
    with parted(tmp_path / "file") as file:
        assert file.restore(URL) == VERSION
        assert file.received == 150
        parts = file.split(1000, 300)
        assert spans_of(parts) == [(150, 400), (710, 1000)]
        assert file.arrived == 100 + 50 + 300 + 10
        for part in parts:
            part.write([b"e" * (part.end - part.received)])
        file.join()
        assert file.commit() is None
    assert (
        tmp_path / "file"
    ).read_bytes() == b"a" * 100 + b"b" * 50 + b"e" * 250 + b"c" * 300 + b"d" * 10 + b"e" * 290


@pytest.mark.parametrize(
    "spans",
    [
        [[5, 100]],
        [["x", 1]],
        [[1]],
        5,
        {"a": 1},
        [[0, 50], [900, 2000]],
        [[0, 0], [400, 500]],
        [[0, 100], [60, 50]],
    ],
)
def test_a_damaged_record_is_not_believed(tmp_path: Path, spans: Any) -> None:
    """It may say less than there is, and never more than the file has."""
    killed(tmp_path / "file")
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "spans": spans}))
    with parted(tmp_path / "file") as file:
        file.restore(URL)
        assert file.received <= 100
        parts = spans_of(file.split(1000, 1000))
        assert parts[0][0] == file.received
        assert parts[-1][1] in (900, 1000)


def test_a_part_takes_no_bytes_of_another(tmp_path: Path) -> None:
    """Whatever its server sends."""
    with parted(tmp_path / "file") as file:
        first, second = file.split(200, 100)
        second.write([b"2" * 100])
        first.write([b"1" * 60, b"1" * 90])
        file.join()
        assert file.commit() is None
    assert (tmp_path / "file").read_bytes() == b"1" * 100 + b"2" * 100


def test_nothing_is_written_to_a_part_that_was_stopped(tmp_path: Path) -> None:
    """A thread may still come from the network when the file is another download's."""
    with parted(tmp_path / "file") as file:
        parts = file.split(200, 100)
        file.stop()
        with pytest.raises(InterruptedError):
            parts[0].write([b"x"])
    with pytest.raises((InterruptedError, ValueError)):
        parts[1].write([b"x"])


def test_the_disk_has_room_for_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is found before the first part is requested; a file system that cannot say so is used all the same."""
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot reserve space")
    for number, is_full in ((errno.ENOSPC, True), (errno.EOPNOTSUPP, False)):

        def refuse(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(parallel_file.os, "posix_fallocate", refuse)
        with parted(tmp_path / "file") as file:
            if is_full:
                with pytest.raises(OSError, match="space"):
                    file.split(200, 100)
            else:
                assert len(file.split(200, 100)) == 2


@pytest.mark.parametrize("total", [10**17, 10**18 - 1])
def test_a_length_that_no_disk_has_room_for_is_refused(tmp_path: Path, total: int) -> None:
    """The length is what a server says. Nothing is made for each part of it."""
    with parted(tmp_path / "file") as file, pytest.raises(OSError, match="space"):
        file.split(total, 100)
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_has_a_bounded_number_of_parts(tmp_path: Path) -> None:
    """However small they were to be."""
    with parted(tmp_path / "file") as file:
        assert len(file.split(1_000_000, 1)) <= 10_001


def test_room_that_the_file_has_already_is_not_needed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier download reserved it, and filled the disk."""
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot reserve space")

    class Usage:
        free = 0

    killed(tmp_path / "file")
    monkeypatch.setattr(parallel_file.shutil, "disk_usage", lambda _: Usage)
    with parted(tmp_path / "file") as file:
        file.restore(URL)
        assert file.split(1000, 300)


def test_a_thread_that_is_late_does_not_touch_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then it may be that of the next download."""
    file = parted(tmp_path / "file")
    with file:
        file.restore(URL)
        file.remember(URL, VERSION)
        file.write([b"a" * 100])
        parts = file.split(1000, 300)
    (record,) = tmp_path.glob("*.json")
    record.write_text("the next one's")
    with pytest.raises(InterruptedError):
        parts[0].write([b"x"])
    assert record.read_text() == "the next one's"


def test_what_was_discarded_has_not_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may send an earlier part than the one that was requested: the file is cut there."""
    monkeypatch.setattr(parallel_file, "_NOTE_EVERY", 1)
    killed(tmp_path / "file", (1, b"c" * 300))
    with parted(tmp_path / "file") as file:
        file.restore(URL)
        file.rewind(50)
        assert spans_of(file.split(1000, 1000)) == [(50, 1000)]


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_are_what_is_missing(tmp_path: Path, seed: int) -> None:
    """Each byte of the file has arrived, or is of one part; whatever was left by an earlier download."""
    random = Random(seed)
    total = random.randrange(1, 200)
    received = random.randrange(0, total)
    kept = [(start, start + random.randrange(0, 30)) for start in random.choices(range(received, total), k=4)]
    kept = [(start, min(end, total)) for start, end in kept]
    with parted(tmp_path / "file") as file:
        file.write([b"x" * received])
        file._kept = kept
        parts = file.split(total, random.randrange(1, 50))
        arrived = {byte for start, end in [(0, received), *kept] for byte in range(start, end)}
        missing = [byte for part in parts for byte in range(part.start, part.end)]
        assert sorted(missing) == sorted(set(range(total)) - arrived)
        assert file.arrived == (len(arrived) if parts else received)
