"""The file of a download: its bytes, its checksum, its place, and what is left when it ends."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from http_service_client import InvalidRequestError
from http_service_client.client.downloads import part_file
from http_service_client.client.downloads.parallel_file import PartedFile
from http_service_client.client.downloads.part_file import PartFile


def checksum_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize(
    ("offset", "content"),
    [(0, b"XY"), (1, b"aXY"), (4, b"abcdXY"), (8, b"abcdefghXY")],
    ids=["to the start", "into the first piece", "between pieces", "nowhere"],
)
@pytest.mark.parametrize("has_checksum", [True, False])
def test_after_a_rewind_the_checksum_starts_over(
    tmp_path: Path, offset: int, content: bytes, has_checksum: bool
) -> None:
    """Bytes that were discarded do not count, bytes that were kept do."""
    path = tmp_path / "file"
    with PartFile(path, checksum_of(content) if has_checksum else None) as part:
        part.write([b"abcd", b"efgh"])
        part.rewind(offset)
        assert part.received == offset
        part.write([b"X", b"Y"])
        assert part.received == len(content)
        assert part.commit() is None
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("pieces", [[b"abc"], [b"ab", b"", b"c"], [b"a", b"b", b"c"] * 1000])
@pytest.mark.parametrize("accepted", [None, 1, 2])
@pytest.mark.parametrize("has_writev", [True, False])
def test_all_pieces_are_written_in_order(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[bytes],
    accepted: int | None,
    has_writev: bool,
) -> None:
    """However many there are, and however few bytes the system accepts in one call."""
    write, writev = os.write, getattr(os, "writev", None)

    class Reluctant(FileIO):
        def write(self, data: Any) -> int:
            return write(self.fileno(), data[:accepted])

    def writev_some(descriptor: int, buffers: Sequence[bytes]) -> int:
        assert writev is not None
        return int(
            write(descriptor, b"".join(buffers)[:accepted]) if accepted else writev(descriptor, buffers)
        )

    if writev is None or not has_writev:
        monkeypatch.setattr(part_file, "_MOST_AT_ONCE", 1)
    else:
        monkeypatch.setattr(part_file.os, "writev", writev_some)
    with Reluctant(tmp_path / "file", "w") as file:
        part_file.write_all(file, pieces)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_a_file_with_another_checksum_is_discarded(tmp_path: Path) -> None:
    """The reason names both checksums; nothing is left of the file."""
    with PartFile(tmp_path / "file", checksum_of(b"ab")) as part:
        part.write([b"ax"])
        reason = part.commit()
    found, expected = checksum_of(b"ax"), checksum_of(b"ab")
    assert reason == f"the file has the checksum {found}, not {expected}; it was discarded"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "new/", "folder", "folder/"])
def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nor is what can only be one. A slash at the end is not left out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidRequestError, match=f"^path '{name}' is a folder; add the name of the file"):
        PartFile(name, None)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


class PathOfBytes:
    def __fspath__(self) -> bytes:
        return b"file"


@pytest.mark.parametrize("path", [5, None, b"file", PathOfBytes()])
def test_a_path_is_text(path: Any) -> None:
    """Or an object that stands for it."""
    with pytest.raises(
        InvalidRequestError, match=f"^path must be a str or a Path, not {type(path).__name__}$"
    ):
        PartFile(path, None)


def test_a_file_goes_where_a_file_can_be(tmp_path: Path) -> None:
    """Into a folder that exists, and in the place of a file."""
    with pytest.raises(
        InvalidRequestError, match=r"^path .*: the folder .* does not exist; create it first$"
    ):
        PartFile(tmp_path / "missing" / "file", None)
    with pytest.raises(InvalidRequestError, match=r"^path .* is not a regular file; write to another path$"):
        PartFile(os.devnull, None)


@pytest.mark.skipif(os.name == "nt", reason="files have no modes there")
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_private_file_stays_private(tmp_path: Path, mode: int) -> None:
    """The file that takes its place has its mode, from the beginning."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    with PartFile(path, None) as part:
        assert part._part.stat().st_mode & 0o777 == mode
        part.write([b"new"])
        assert part.commit() is None
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", mode)


@pytest.mark.parametrize(("kept", "content"), [(5, b"abcde"), (6, b"abcdef"), (7, b"abcdefg")])
def test_a_checksum_is_read_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, content: bytes
) -> None:
    """Of what is kept alone; a file that somebody cut meanwhile has an end, too."""
    monkeypatch.setattr(part_file, "_BLOCK", 2)
    with PartFile(tmp_path / "file", checksum_of(content)) as part:
        part.write([b"abcdefgh"])
        part.rewind(kept)
        part.received += 9
        part._read_for_checksum()
        part.received -= 9
        assert part.commit() is None


@pytest.mark.skipif(not hasattr(os, "writev"), reason="the system has no such call")
@pytest.mark.parametrize(("count", "calls"), [(1, 0), (2, 1), (1000, 1), (1001, 0)])
def test_many_pieces_are_written_in_one_call_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, calls: int
) -> None:
    """As many as any system takes."""
    writev, seen = os.writev, []

    def counted(descriptor: int, buffers: Sequence[bytes]) -> int:
        seen.append(len(buffers))
        return writev(descriptor, buffers)

    monkeypatch.setattr(part_file.os, "writev", counted)
    with FileIO(tmp_path / "file", "w") as file:
        part_file.write_all(file, [b"ab"] * count)
    assert len(seen) == calls
    assert (tmp_path / "file").read_bytes() == b"ab" * count


@pytest.mark.parametrize("mebibytes", [1, 2, 2.5])
def test_no_more_than_a_mebibyte_is_read_at_once(tmp_path: Path, mebibytes: float) -> None:
    """However long the file is."""
    size, asked = int(mebibytes * 2**20), []

    class Counting:
        def __init__(self, file: FileIO) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def read(self, most: int) -> bytes:
            asked.append(most)
            return self._file.read(most)

    with PartFile(tmp_path / "file", checksum_of(bytes(size))) as part:
        part.write([bytes(size + 1)])
        part._file = Counting(part._file)  # type: ignore[assignment]
        part.rewind(size)
        assert part.commit() is None
    assert asked == [2**20] * (size // 2**20) + [size % 2**20] * bool(size % 2**20)


def as_on_windows(monkeypatch: pytest.MonkeyPatch, opened: list[PartFile]) -> None:
    """Refuses to move and to remove a file that is open."""
    unlink, replace = Path.unlink, os.replace

    def refuse(path: Path) -> None:
        for part in opened:
            if path == part._part and not part._file.closed:
                raise PermissionError(errno.EACCES, "the file is open", str(path))

    def unlink_closed(path: Path, missing_ok: bool = False) -> None:
        refuse(path)
        unlink(path, missing_ok)

    def replace_closed(source: Path, target: Path) -> None:
        refuse(source)
        replace(source, target)

    monkeypatch.setattr(part_file, "_MOVES_OPEN_FILES", False)
    monkeypatch.setattr(Path, "unlink", unlink_closed)
    monkeypatch.setattr(part_file.os, "replace", replace_closed)


@pytest.mark.parametrize("moves_open_files", [True, False], ids=["", "Windows"])
@pytest.mark.parametrize(
    ("resumes", "content", "is_kept"),
    [(False, b"ab", False), (True, b"", False), (True, b"a", True), (True, b"ab", True)],
)
def test_what_is_left_of_a_download_that_ended_early(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moves_open_files: bool,
    resumes: bool,
    content: bytes,
    is_kept: bool,
) -> None:
    """Only what a later download can go on with: its bytes, and the record of their version."""
    opened: list[PartFile] = []
    if not moves_open_files:
        as_on_windows(monkeypatch, opened)
    with PartFile(tmp_path / "file", None, resumes) as part:
        opened.append(part)
        part.remember("https://a.test/", (None, None, None, None))
        part.write([content])
    assert part._file.closed
    assert len(list(tmp_path.iterdir())) == (2 if is_kept else 0)
    assert (tmp_path / "file").exists() is False


@pytest.mark.parametrize("moves_open_files", [True, False], ids=["", "Windows"])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_file_that_is_complete_is_all_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves_open_files: bool, resumes: bool
) -> None:
    """Neither its record nor its other name."""
    opened: list[PartFile] = []
    if not moves_open_files:
        as_on_windows(monkeypatch, opened)
    with PartFile(tmp_path / "file", None, resumes) as part:
        opened.append(part)
        part.remember("https://a.test/", (None, None, None, None))
        part.write([b"ab"])
        assert part.commit() is None
        assert part._file.closed
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("moves_open_files", [True, False], ids=["", "Windows"])
def test_a_download_that_is_given_up_in_its_last_moment_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves_open_files: bool
) -> None:
    """The thread that still works on the file does not move it, and cleans up afterwards."""
    part = PartFile(tmp_path / "file", None)
    if not moves_open_files:
        as_on_windows(monkeypatch, [part])
    part.write([b"ab"])
    has_waited = []

    def give_up(descriptor: int) -> None:
        thread = threading.Thread(target=part.__exit__, daemon=True)
        thread.start()
        thread.join(10)
        has_waited.append(thread.is_alive())

    monkeypatch.setattr(part_file.os, "fsync", give_up)
    part.commit()
    assert has_waited == [False]
    assert list(tmp_path.iterdir()) == []


def test_bytes_beyond_a_part_are_not_written(tmp_path: Path) -> None:
    """They would be another part's; a part that is complete takes nothing more."""
    with PartedFile(tmp_path / "file", None) as file:
        file.write([b"ab"])
        first, second = file.split(10, 4)
        assert [(part.start, part.end) for part in (first, second)] == [(2, 6), (6, 10)]
        second.write([b"ghij"])
        first.write([b"cd", b"efXXXX"])
        first.write([b"YY"])
        assert (first.received, second.received, file.arrived) == (6, 10, 10)
        file.join()
        assert file.commit() is None
    assert (tmp_path / "file").read_bytes() == b"abcdefghij"
