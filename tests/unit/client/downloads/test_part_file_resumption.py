"""The part of a file that an earlier download left: its lock, its record, and which download may continue it."""

from __future__ import annotations

import errno
import json
import os
import threading
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from http_service_client import InvalidRequestError
from http_service_client.client.downloads import part_file, part_file_names
from http_service_client.client.downloads.parallel_file import PartedFile
from http_service_client.client.downloads.part_file import PartFile


def test_a_thread_that_comes_late_is_refused_and_waits_for_nothing(tmp_path: Path) -> None:
    """It has a piece for a file that is closed."""
    part, refused = resumable(tmp_path / "file"), []
    part.__exit__()

    def write() -> None:
        try:
            part.write([b"late"])
        except ValueError as error:
            refused.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(10)
    assert len(refused) == 1
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
    assert not record.with_suffix(".new").is_symlink()


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


VERSION = ('"v1"', None, None, 4)


DAMAGED = {
    "no JSON": "{",
    "no text": b"\xff",
    "a list": [VERSION],
    "no version": {"version": None},
    "a version that is missing": {},
    "a version that is too short": {"version": VERSION[1:]},
    "a version that is too long": {"version": [None, *VERSION]},
    "validators of another kind": {"version": [5, None, None, 4]},
    "a size that is text": {"version": [*VERSION[:3], "4"]},
    "a size that is a share": {"version": [*VERSION[:3], 4.5]},
    "a size that is a switch": {"version": [*VERSION[:3], True]},
    "another URL": {"version": VERSION, "url": "0" * 64},
    "no URL": {"version": VERSION, "url": None},
    "spans that are none": {"version": VERSION, "spans": 5},
    "a span without its end": {"version": VERSION, "spans": [[0]]},
    "a span of text": {"version": VERSION, "spans": [["a", "b"]]},
    "a span of nothing": {"version": VERSION, "spans": [[None, 2]]},
    "a part that is not the first": {"version": VERSION, "spans": [[1, 2]]},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_record_that_is_damaged_is_none(tmp_path: Path, damage: str) -> None:
    """The download begins again, and not with bytes of which nobody knows what they are."""
    interrupted(tmp_path / "file", b"ab")
    (record,) = tmp_path.glob("*.json")
    url = json.loads(record.read_text())["url"]
    given = DAMAGED[damage]
    if isinstance(given, dict):
        given = {name: value for name, value in {"url": url, **given}.items() if name != "url" or value}
    text = given if isinstance(given, (str, bytes)) else json.dumps(given)
    record.write_bytes(text if isinstance(text, bytes) else text.encode())
    with resumable(tmp_path / "file") as part:
        assert part.restore("https://a.test/") is None
        assert (part.received, part._file.seek(0, os.SEEK_END)) == (0, 0)


@pytest.mark.parametrize("version", [VERSION, (None, None, None, None), ("a", "b", "c", 0)])
@pytest.mark.parametrize(
    ("spans", "received"), [(None, 4), ([], 4), ([[0, 3]], 3), ([[0, 9]], 4), ([[0, 1], [2, 3]], 1)]
)
def test_a_record_says_how_much_can_be_used(
    tmp_path: Path, version: tuple[Any, ...], spans: Any, received: int
) -> None:
    """All of a file that came in order; of one that came in parts, the first. Never more than there is."""
    interrupted(tmp_path / "file", b"abcd")
    (record,) = tmp_path.glob("*.json")
    given = {**json.loads(record.read_text()), "version": version}
    record.write_text(json.dumps(given if spans is None else {**given, "spans": spans}))
    with resumable(tmp_path / "file") as part:
        assert part.restore("https://a.test/") == version
        assert (part.received, part._file.seek(0, os.SEEK_END)) == (received, received)


def test_a_record_does_not_tell_the_url(tmp_path: Path) -> None:
    """Its query may be secret."""
    with resumable(tmp_path / "file") as part:
        part.remember("https://a.test/?key=s3cret", VERSION)
        part.write([b"ab"])
    (record,) = tmp_path.glob("*.json")
    assert json.loads(record.read_text())["version"] == list(VERSION)
    assert "a.test" not in record.read_text()


def test_a_file_with_another_name_is_not_used(tmp_path: Path) -> None:
    """A process that knows the other name can write to it."""
    (tmp_path / "record").write_text("x")
    os.link(tmp_path / "record", tmp_path / "other")
    with pytest.raises(PermissionError, match="does not belong to this user"):
        part_file_names.read_own(tmp_path / "record")


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


@pytest.mark.parametrize("resumes", [True, False])
def test_a_system_without_locks_has_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumes: bool
) -> None:
    """As Windows: complete ones, and such as end early."""
    monkeypatch.setattr(part_file_names, "fcntl", None)
    with PartFile(tmp_path / "file", None, resumes) as part:
        part.remember("https://a.test/", VERSION)
        part.write([b"ab"])
    assert any(tmp_path.iterdir()) is resumes
    with PartFile(tmp_path / "file", None, resumes) as part:
        assert part.restore("https://a.test/") == (VERSION if resumes else None)
        part.write([b"cd"])
        assert part.commit() is None
    assert (tmp_path / "file").read_bytes() == (b"abcd" if resumes else b"cd")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_part_that_its_download_has_just_removed_is_in_nobody_s_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next download opens the file, then finds it without a name: it creates one of its own."""
    pytest.importorskip("fcntl")
    open_file, first = os.open, resumable(tmp_path / "file")

    def open_before_the_removal(path: Path, flags: int, mode: int = 0o777) -> int:
        monkeypatch.undo()
        descriptor = open_file(path, flags, mode)
        with first:  # it has received nothing, so nothing is kept
            pass
        return descriptor

    monkeypatch.setattr(part_file_names.os, "open", open_before_the_removal)
    with resumable(tmp_path / "file") as part:
        part.write([b"all"])
        assert part.commit() is None
    assert (tmp_path / "file").read_bytes() == b"all"


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("is_complete", [True, False])
def test_a_download_that_has_ended_removes_nothing_of_the_next_one(
    tmp_path: Path, resumes: bool, is_complete: bool
) -> None:
    """Whose file has the name that its own had."""
    first = PartFile(tmp_path / "file", None, resumes)
    if is_complete:
        assert first.commit() is None
    else:
        first.__exit__()
    with PartFile(tmp_path / "file", None, resumes) as part:
        assert part._part == first._part
        part.write([b"all"])
        first.__exit__()
        assert part._part.exists()
        assert part.commit() is None
    assert (tmp_path / "file").read_bytes() == b"all"


def test_the_name_of_a_part_is_free_as_soon_as_its_lock_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next download may have it then."""
    pytest.importorskip("fcntl")
    begun: list[PartFile] = []

    def unlock_and_begin(file: FileIO) -> None:
        monkeypatch.undo()
        part_file_names.unlock(file)
        begun.append(PartFile(tmp_path / "file", None))

    monkeypatch.setattr(part_file, "unlock", unlock_and_begin)
    with PartFile(tmp_path / "file", None) as first:
        first.write([b"ab"])
    with begun[0] as part:
        assert part._part == first._part
        assert part._part.exists()


def test_a_part_that_somebody_has_removed_is_no_error(tmp_path: Path) -> None:
    """It is gone, as it was to be."""
    with PartFile(tmp_path / "file", None) as part:
        part.write([b"ab"])
        part._part.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed")
@pytest.mark.parametrize("kind", [PartFile, PartedFile])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_part_that_somebody_has_removed_is_not_the_file(
    tmp_path: Path, kind: type[PartFile], resumes: bool
) -> None:
    """Nor is that of the next download, which has the same name: what it has yet is neither moved nor removed."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with ExitStack() as opened:
        with kind(path, None, resumes) as part:
            part.write([b"abc"])
            part._part.unlink()
            other = opened.enter_context(kind(path, None, resumes))
            assert other._part == part._part
            other.write([b"a"])
            with pytest.raises(FileNotFoundError, match=r"removed meanwhile.*\.file"):
                part.commit()
            part.remember("https://a.test/", VERSION)
        assert path.read_bytes() == b"old"
        assert other._part.read_bytes() == b"a"
        assert not other._record.exists()
        other.write([b"bc"])
        assert other.commit() is None
    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_where_no_file_is_recognised_again_each_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems give a file another number at each look. Names are random there."""
    for module in (part_file, part_file_names):
        monkeypatch.setattr(module, "is_at", lambda *_: False)
    path = tmp_path / "file"
    with PartFile(path, None) as part:
        part.write([b"abc"])
        assert part.commit() is None
    assert path.read_bytes() == b"abc"
    with PartFile(path, None) as part:
        part.write([b"ab"])
        part._part.unlink()  # somebody else does: it is gone, as it was to be


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
