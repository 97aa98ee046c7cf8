"""The files of downloads in progress: their names, and who may take one for an orphan."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from http_service_client import InvalidRequestError
from http_service_client.client.downloads import part_file_names
from http_service_client.client.downloads.part_file_names import open_new, open_resumable, unlock, write_own

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="files cannot be locked here, so that names are random"
)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes the files of the test at its end."""
    with ExitStack() as stack:
        yield stack


def test_a_part_is_beside_its_target_under_a_hidden_name(tmp_path: Path, opened: ExitStack) -> None:
    """Which begins as the target's does, and fits where that fits."""
    for target in (tmp_path / "report.csv", tmp_path / ("x" * 250)):
        file, path = open_new(target)
        opened.enter_context(file)
        assert path.parent == tmp_path
        assert path.name.startswith(f".{target.name[:40]}.")
        assert path.name.endswith(".0.part")
        assert len(path.name) < 64


def test_a_part_to_resume_has_the_same_name_in_each_release(tmp_path: Path, opened: ExitStack) -> None:
    """One that an older release left is continued by a newer one."""
    file, path = open_resumable(tmp_path / "report.csv")
    opened.enter_context(file)
    assert path.name == ".report.csv.f6bcd0c3.resume"


@pytest.mark.parametrize(
    "create",
    [
        lambda path: open_new(path)[0].close(),
        lambda path: open_resumable(path)[0].close(),
        lambda path: write_own(path, "text"),
    ],
    ids=["new", "to resume", "record"],
)
def test_each_file_has_the_mode_of_any_new_file(tmp_path: Path, create: Callable[[Path], None]) -> None:
    """As the user's umask says."""
    before = os.umask(0)
    try:
        create(tmp_path / "file")
        (created,) = tmp_path.iterdir()
        (tmp_path / "usual").touch()
        assert oct(created.stat().st_mode) == oct((tmp_path / "usual").stat().st_mode)
        os.umask(0o77)
        created.unlink()
        create(tmp_path / "file")
        assert oct(created.stat().st_mode & 0o777) == "0o600"
    finally:
        os.umask(before)


@pytest.mark.parametrize("opens", [open_new, open_resumable])
def test_a_fake_file_system_sees_each_part(
    opens: Callable[[Path], Any], tmp_path: Path, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It replaces `open`, as pyfakefs does. Nothing else is created, also where files cannot be locked (Windows)."""
    seen = []

    def fake(file: Any, *args: Any, **options: Any) -> Any:
        seen.append(real(file, *args, **options))
        return seen[-1]

    real = open
    monkeypatch.setattr(builtins, "open", fake)
    file, _ = opens(tmp_path / "report.csv")
    opened.enter_context(file)
    assert seen == [file]
    monkeypatch.setattr(part_file_names, "fcntl", None)
    file, _ = opens(tmp_path / "other.csv")
    opened.enter_context(file)
    assert seen[1:] == [file]


def test_targets_that_begin_alike_have_parts_of_their_own(tmp_path: Path, opened: ExitStack) -> None:
    """Also those whose names are too long to be taken as a whole."""
    paths = []
    for name in ("a", "b", "x" * 60, "x" * 61):
        for opens in (open_new, open_resumable):
            file, path = opens(tmp_path / name)
            opened.enter_context(file)
            paths.append(path)
    assert len(set(paths)) == 8


def test_the_part_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    """It is not locked: the next download to the target starts with an empty one of that name."""
    file, orphan = open_new(tmp_path / "target")
    file.write(b"half")
    file.close()
    file, path = open_new(tmp_path / "target")
    with file:
        assert (path, file.read()) == (orphan, b"")


def test_downloads_to_one_target_leave_each_other_s_parts_alone(tmp_path: Path, opened: ExitStack) -> None:
    """Sixteen have names that a later process recognises; the others, names at random."""
    files = [opened.enter_context(open_new(tmp_path / "target")[0]) for _ in range(18)]
    for number, file in enumerate(files):
        file.write(b"%d" % number)
    names = [str(file.name) for file in files]
    assert [name.rpartition(".part")[0].rpartition(".")[2] for name in names[:16]] == [
        str(number) for number in range(16)
    ]
    assert len({*names}) == 18
    assert [Path(name).read_bytes() for name in names] == [b"%d" % number for number in range(18)]
    assert all(len(name.rpartition(".part")[0].rpartition(".")[2]) == 8 for name in names[16:])
    assert all(name.endswith(".part") for name in names)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder", "pipe"])
def test_what_is_no_part_is_neither_removed_nor_written_to(
    tmp_path: Path, opened: ExitStack, kind: str
) -> None:
    """Another user of the folder may have put it there."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    file, path = open_new(tmp_path / "target")
    file.close()
    path.unlink()
    if kind == "symlink":
        path.symlink_to(precious)
    elif kind == "hard link":
        os.link(precious, path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    file, other = open_new(tmp_path / "target")
    opened.enter_context(file).write(b"new")
    assert (other != path, precious.read_bytes(), os.path.lexists(path)) == (True, b"kept", True)


def test_a_part_to_resume_is_kept_and_belongs_to_one_download(tmp_path: Path, opened: ExitStack) -> None:
    """A second one is refused until the first has ended."""
    file, path = open_resumable(tmp_path / "target")
    opened.enter_context(file).write(b"half")
    with pytest.raises(
        InvalidRequestError, match="another download is writing to it; wait until it has ended"
    ):
        open_resumable(tmp_path / "target")
    unlock(file)
    again, same = open_resumable(tmp_path / "target")
    assert (same, opened.enter_context(again).read()) == (path, b"half")


def test_what_is_no_part_is_not_resumed(tmp_path: Path) -> None:
    """A file with another name is in the way; through a link nothing is opened."""
    file, path = open_resumable(tmp_path / "target")
    file.close()
    os.link(path, tmp_path / "second name")
    with pytest.raises(InvalidRequestError, match="is in the way of the download; remove it"):
        open_resumable(tmp_path / "target")
    path.unlink()
    path.symlink_to(tmp_path / "second name")
    with pytest.raises(OSError):
        open_resumable(tmp_path / "target")


def before_the_lock(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Lets another process act once, between the opening of a file and its lock."""
    lock = part_file_names._try_lock

    def act_and_lock(descriptor: int) -> bool | None:
        monkeypatch.undo()
        act()
        return lock(descriptor)

    monkeypatch.setattr(part_file_names, "_try_lock", act_and_lock)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_part_that_was_taken_for_an_orphan_before_its_lock_is_left(
    tmp_path: Path, opened: ExitStack, monkeypatch: pytest.MonkeyPatch, is_removed: bool
) -> None:
    """Another process has removed it, or is about to: the download has the next name."""
    file, first = open_new(tmp_path / "target")
    file.close()
    first.unlink()

    def take() -> None:
        other = opened.enter_context(first.open("r+b", buffering=0))
        assert part_file_names._try_lock(other.fileno())
        if is_removed:
            first.unlink()
            unlock(other)

    before_the_lock(monkeypatch, take)
    file, path = open_new(tmp_path / "target")
    opened.enter_context(file)
    assert path.name == first.name.replace(".0.part", ".1.part")
    assert path.exists()


def test_a_part_that_is_complete_before_its_lock_is_no_orphan(
    tmp_path: Path, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its download has moved it away, and the name is the next one's."""
    file, path = open_new(tmp_path / "target")
    file.close()

    def complete_and_begin() -> None:
        path.rename(tmp_path / "target")
        path.write_bytes(b"of the next one")

    before_the_lock(monkeypatch, complete_and_begin)
    file, _ = open_new(tmp_path / "target")
    opened.enter_context(file)
    assert path.read_bytes() == b"of the next one"


def test_a_part_to_resume_that_is_complete_before_its_lock_is_not_continued(
    tmp_path: Path, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its download has moved it to the target, which stays as it is."""
    file, path = open_resumable(tmp_path / "target")
    file.write(b"all")
    file.close()
    before_the_lock(monkeypatch, lambda: path.rename(tmp_path / "target"))
    file, again = open_resumable(tmp_path / "target")
    opened.enter_context(file).write(b"new")
    assert (again, again.read_bytes()) == (path, b"new")
    assert (tmp_path / "target").read_bytes() == b"all"


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="the system does not tell which files are open"
)
def test_a_look_for_orphans_leaves_no_file_open(tmp_path: Path) -> None:
    """Neither an orphan nor a file that somebody else has put there."""
    (orphan, path), before = open_new(tmp_path / "target"), len(os.listdir("/proc/self/fd"))
    orphan.close()
    file, path = open_new(tmp_path / "target")
    with file:
        assert len(os.listdir("/proc/self/fd")) == before
    os.link(path, tmp_path / "second name")
    with open_new(tmp_path / "target")[0]:
        assert len(os.listdir("/proc/self/fd")) == before
