"""The file of a download: its checksum is that of the bytes that are in it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from http_service_client import InvalidRequestError
from http_service_client.client.downloads import part_file, part_file_names
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
    assert reason is not None
    assert checksum_of(b"ax") in reason
    assert checksum_of(b"ab") in reason
    assert list(tmp_path.iterdir()) == []


def resumable(path: Path) -> PartFile:
    return PartFile(path, None, resumes=True)


def interrupted(path: Path, content: bytes) -> None:
    """A download that ends with so much of its file."""
    with resumable(path) as part:
        part.remember("https://a.test/", ('"v1"', None, None, None))
        part.write([content])


def test_a_part_is_moved_before_another_download_may_go_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would truncate the file that is complete, under its final name."""
    pytest.importorskip("fcntl")
    replace, tried = os.replace, []

    def replace_late(source: Path, target: Path) -> None:
        if source.suffix == ".resume":
            with pytest.raises(InvalidRequestError, match="another download is writing to it"):
                resumable(tmp_path / "file")
            tried.append(source)
        replace(source, target)

    monkeypatch.setattr(part_file.os, "replace", replace_late)
    with resumable(tmp_path / "file") as part:
        part.write([b"ab"])
        assert part.commit() is None
    assert len(tried) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_child_that_was_forked_does_not_keep_the_part_locked(tmp_path: Path) -> None:
    """It has the parent's open files, as if they were duplicated."""
    with resumable(tmp_path / "file") as part:
        part.write([b"ab"])
        inherited = os.dup(part._file.fileno())
    try:
        with resumable(tmp_path / "file") as part:
            assert part._file.seek(0, os.SEEK_END) == 2
    finally:
        os.close(inherited)


def test_a_record_is_written_through_no_link(tmp_path: Path) -> None:
    """Another user may put one into a folder like /tmp."""
    interrupted(tmp_path / "file", b"ab")
    (record,) = tmp_path.glob("*.json")
    victim = tmp_path / "victim"
    victim.write_text("kept")
    record.with_suffix(".new").symlink_to(victim)
    interrupted(tmp_path / "file", b"cd")
    assert victim.read_text() == "kept"


def test_a_record_that_is_not_this_user_s_own_is_not_believed(tmp_path: Path) -> None:
    """With the validators of another version, two versions would be joined in one file."""
    interrupted(tmp_path / "file", b"ab")
    (record,) = tmp_path.glob("*.json")
    with resumable(tmp_path / "file") as part:
        assert part.restore("https://a.test/") == ('"v1"', None, None, None)
    elsewhere = record.rename(tmp_path / "elsewhere")
    record.symlink_to(elsewhere)
    with resumable(tmp_path / "file") as part:
        assert part.restore("https://a.test/") is None


def test_a_file_with_another_name_is_not_used(tmp_path: Path) -> None:
    """A process that knows the other name can write to it."""
    (tmp_path / "record").write_text("x")
    os.link(tmp_path / "record", tmp_path / "other")
    with pytest.raises(PermissionError, match="does not belong to this user"):
        part_file_names.read_own(tmp_path / "record")


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


def test_without_locks_no_download_takes_another_one_s_part_for_an_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems have no locks. The name is random there."""
    fcntl = pytest.importorskip("fcntl")

    def flock(*about: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with PartFile(tmp_path / "file", None) as first:
        first.write([b"first"])
        with PartFile(tmp_path / "file", None) as second:
            second.write([b"second"])
            assert first.commit() is None
            assert (tmp_path / "file").read_bytes() == b"first"
            assert second.commit() is None
    assert (tmp_path / "file").read_bytes() == b"second"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_part_that_its_download_has_just_removed_is_in_nobody_s_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next download opens the file, then finds it without a name: it creates one of its own."""
    pytest.importorskip("fcntl")
    open_file, first = os.open, resumable(tmp_path / "file")

    def open_before_the_removal(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = open_file(path, flags, mode)
        with first:  # it has received nothing, so nothing is kept
            pass
        return descriptor

    monkeypatch.setattr(part_file_names.os, "open", open_before_the_removal)
    with resumable(tmp_path / "file") as part:
        monkeypatch.undo()
        part.write([b"all"])
        assert part.commit() is None
    assert (tmp_path / "file").read_bytes() == b"all"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner that can be compared")
def test_a_file_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its bytes nor its record; that user could have put anything into it."""
    interrupted(tmp_path / "file", b"abc")
    (tmp_path / "record").write_text("x")
    assert part_file_names.read_own(tmp_path / "record") == "x"
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(PermissionError, match="does not belong to this user"):
        part_file_names.read_own(tmp_path / "record")
    with pytest.raises(InvalidRequestError, match="is in the way of the download; remove it"):
        resumable(tmp_path / "file").__enter__()
    monkeypatch.delattr(os, "geteuid")  # Windows
    assert part_file_names.read_own(tmp_path / "record") == "x"
