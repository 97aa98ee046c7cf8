"""`download_parallel` from servers whose parts are not what they say, and onto disks that fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.client.downloads import parallel_file
from http_service_client.client.downloads.parallel_file import PartedFile
from http_service_client.testing import LoopbackServer, answer, hang_up, respond
from http_service_client.testing.actions import Action, Received
from kit.front_ends import FrontEnd
from network.test_parallel_downloads import CONTENT, FIRST, SHA, File, client, fetch, path, small_parts

__all__ = ["client", "path", "small_parts"]  # fixtures


def chunked(file: File, start: int, end: int, body: bytes) -> Action:
    span = {"ETag": '"v1"', "Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
    return respond(206, headers=span, body=body, chunked=True)


@pytest.mark.parametrize("size", ["longer than it says", "longer than the part", "shorter"])
def test_nothing_is_kept_of_a_part_whose_length_is_a_lie(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path, size: str
) -> None:
    """Whose bytes they are is not known: the next attempt requests them again."""
    lied: list[int] = []

    def lies_once(start: int, end: int) -> Action | None:
        if start != FIRST or lied:
            return None
        lied.append(end)
        whole = end - start
        said, sent = {
            "longer than it says": (whole // 3, whole // 2),
            "longer than the part": (whole, whole + 10),
            "shorter": (whole, whole // 2),
        }[size]
        return chunked(file, start, start + said, b"x" * sent)

    file = File(part=lies_once)
    fetch(front_end, client, server, file, path)
    assert path.read_bytes() == CONTENT
    assert None not in file.requests


def test_a_part_that_breaks_after_its_last_byte_is_resumed(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """Nothing is missing but the end of the body: the range that is requested then must not be empty."""
    broken: list[int] = []

    def breaks_once(start: int, end: int) -> Action | None:
        if start != FIRST or broken:
            return None
        broken.append(end)
        head = file.head(start, end).replace(
            b"Content-Length: %d" % (end - start), b"Transfer-Encoding: chunked"
        )
        return hang_up(head + b"%x\r\n" % (end - start) + CONTENT[start:end] + b"\r\n")

    file = File(part=breaks_once)
    fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert all(each is not None and each[0] < each[1] for each in file.requests)
    assert sum(end - start for start, end in filter(None, file.requests)) < len(CONTENT) + FIRST


def test_a_download_keeps_nothing_of_a_longer_part_that_breaks(
    front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, path: Path
) -> None:
    """It starts over, since nobody vouches for the bytes beyond its Content-Range."""

    def play(received: Received) -> Action:
        ranges.append(received.header("Range"))
        if len(ranges) == 2:
            start = int(ranges[1].removeprefix("bytes=").rstrip("-"))
            head = file.head(start, start + 1000).replace(
                b"Content-Length: 1000", b"Transfer-Encoding: chunked"
            )
            return hang_up(head + b"%x\r\n" % 400_000 + b"x" * 400_000 + b"\r\n")
        if len(ranges) == 1:
            head = f'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: {len(CONTENT)}\r\n\r\n'
            return hang_up(head.encode() + CONTENT[:300_000])
        return file(received)

    ranges: list[Any] = []
    file = File()
    server.script("/file", answer(play))
    front_end.download(client, server.url + "/file", path)
    assert path.read_bytes() == CONTENT
    assert ranges[2] is None


class _FullDisk:
    """A file to which nothing can be written any more."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, piece: bytes) -> int:
        raise OSError(28, "No space left on device")


def test_a_block_that_does_not_reach_the_disk_has_not_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later download would take the hole in the file for its bytes."""
    monkeypatch.setattr(parallel_file, "_reserve", os.ftruncate)
    with pytest.raises(OSError, match="No space"), PartedFile(tmp_path / "file", None, True) as file:
        file.remember("https://example.com/", ('"v1"', None, None, 100))
        file.write([b"a" * 10])
        part = file.split(100, 90)[0]
        part.write([b"b" * 20])
        file._file = _FullDisk(file._file)  # type: ignore[assignment]
        part.write([b"c" * 20])
    with PartedFile(tmp_path / "file", None, True) as file:
        assert file.restore("https://example.com/") == ('"v1"', None, None, 100)
        assert file.received == 30
