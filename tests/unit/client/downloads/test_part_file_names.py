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
from http_service_client.client.downloads.part_file_names import open_new, open_resumable, unlock

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


@pytest.mark.parametrize("opens", [open_new, open_resumable])
def test_a_fake_file_system_sees_each_part(
    opens: Callable[[Path], Any], tmp_path: Path, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It replaces `open`, as pyfakefs does."""
    seen = []

    def fake(file: Any, *args: Any, **options: Any) -> Any:
        seen.append(real(file, *args, **options))
        return seen[-1]

    real = open
    monkeypatch.setattr(builtins, "open", fake)
    file, _ = opens(tmp_path / "report.csv")
    opened.enter_context(file)
    assert seen == [file]


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


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder"])
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
