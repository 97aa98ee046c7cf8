"""The file of a download in parts: what is missing, what has arrived, and what a later download may use."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.client.downloads import parallel_file
from http_service_client.client.downloads.parallel_file import FilePart, PartedFile
from http_service_client.client.downloads.part_file import Span
from kit.rows import each_row

URL = "https://a.test/"
VERSION = ('"v1"', None, None, 8)


def spans_of(parts: list[FilePart]) -> list[Span]:
    return [(part.start, part.end) for part in parts]


def noted(folder: Path) -> list[Span]:
    """The spans that the record in this folder says have arrived."""
    (record,) = folder.glob("*.json")
    return [(start, end) for start, end in json.loads(record.read_text()).get("spans", [])]


def resumed(path: Path) -> PartedFile:
    """A file that continues an earlier one."""
    file = PartedFile(path, None, resumes=True)
    assert file.restore(URL) == VERSION
    return file


def interrupted(path: Path, *arrived: tuple[int, bytes]) -> None:
    """A download of 8 bytes that ended early.   arrived: beside the first two, of each part its number and bytes."""
    with PartedFile(path, None, resumes=True) as file:
        file.remember(URL, VERSION)
        file.write([b"ab"])
        parts = file.split(8, 2)
        for number, content in arrived:
            parts[number].write([content])


@each_row(
    ("spans", "merged"),
    [
        ([], []),
        ([(0, 0)], [(0, 0)]),
        ([(0, 0), (2, 4)], [(0, 0), (2, 4)]),
        ([(0, 2), (2, 4)], [(0, 4)]),
        ([(4, 6), (0, 2)], [(0, 2), (4, 6)]),
        ([(0, 6), (1, 2)], [(0, 6)]),
        ([(0, 2), (4, 8), (5, 6)], [(0, 2), (4, 8)]),
        ([(0, 3), (2, 5), (5, 5), (7, 7)], [(0, 5)]),
    ],
)
def test_spans_are_merged_in_order(spans: list[Span], merged: list[Span]) -> None:
    """None touches the next, and none is empty but the first."""
    assert parallel_file._merged(spans) == merged


@pytest.mark.parametrize(
    ("total", "most", "spans"),
    [
        (8, 3, [(2, 5), (5, 8)]),
        (8, 6, [(2, 8)]),
        (9, 6, [(2, 8), (8, 9)]),
        (2, 3, []),
        (40, 1, [(at, min(at + 10, 40)) for at in range(2, 40, 10)]),
    ],
)
def test_what_is_missing_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, most: int, spans: list[Span]
) -> None:
    """Into parts of at most so many bytes, and into no more parts than a record can hold."""
    monkeypatch.setattr(parallel_file, "_MOST_PARTS", 4)
    with PartedFile(tmp_path / "file", None) as file:
        assert not file.resumes
        file.write([b"ab"])
        assert (file.is_split, file.arrived) == (False, 2)
        assert spans_of(file.split(total, most)) == spans
        assert (file.is_split, file.arrived) == (bool(spans), 2)
        assert file._part.stat().st_size == total


def test_a_later_download_asks_for_what_is_missing(tmp_path: Path) -> None:
    """Between the spans that arrived. What is there is neither downloaded nor written again."""
    interrupted(tmp_path / "file", (1, b"e"))
    assert noted(tmp_path) == [(0, 2), (4, 5)]
    with resumed(tmp_path / "file") as file:
        assert file.received == 2
        first, last = file.split(8, 9)
        assert spans_of([first, last]) == [(2, 4), (5, 8)]
        assert file.arrived == 3
        last.write([b"fgh"])
        first.write([b"cd"])
        assert file.arrived == 8
        file.join()
        assert (file.received, file.is_split) == (8, False)
        assert file.commit() is None
    assert (tmp_path / "file").read_bytes() == b"abcdefgh"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_download_that_is_resumed_twice_keeps_what_the_first_one_got(tmp_path: Path) -> None:
    """Also if the second one ends before it has begun."""
    interrupted(tmp_path / "file", (1, b"ef"))
    with resumed(tmp_path / "file") as file:
        (missing, last) = file.split(8, 9)
        last.write([b"g"])
        assert spans_of([missing, last]) == [(2, 4), (6, 8)]
    assert noted(tmp_path) == [(0, 2), (4, 7)]


@pytest.mark.parametrize("spans", [None, [[0, 2]], [[0, 1]]])
def test_what_arrived_in_order_is_continued_in_order(tmp_path: Path, spans: Any) -> None:
    """The record says no more of parts, and the file has nothing beyond."""
    interrupted(tmp_path / "file")
    (record,) = tmp_path.glob("*.json")
    given = {name: value for name, value in json.loads(record.read_text()).items() if name != "spans"}
    record.write_text(json.dumps(given if spans is None else {**given, "spans": spans}))
    size = 8 if spans is None else spans[0][1]
    with resumed(tmp_path / "file") as file:
        assert (file.received, file._part.stat().st_size) == (size, size)
        assert noted(tmp_path) == []


def test_a_download_that_was_never_split_is_continued(tmp_path: Path) -> None:
    """It ended before the server had said how long the file is."""
    with PartedFile(tmp_path / "file", None, resumes=True) as file:
        file.remember(URL, VERSION)
        file.write([b"ab"])
    with resumed(tmp_path / "file") as file:
        assert file.received == 2


@pytest.mark.parametrize("checksum", [None, f"sha256:{hashlib.sha256(b'abcdefgh').hexdigest()}"])
def test_the_rest_of_a_download_may_arrive_in_order(tmp_path: Path, checksum: str | None) -> None:
    """As a server sends it that gives no parts any more. Its checksum is that of the whole file."""
    interrupted(tmp_path / "file", (1, b"eX"))
    with PartedFile(tmp_path / "file", checksum, resumes=True) as file:
        assert file.restore(URL) == VERSION
        file.write([b"cde", b"fgh"])
        assert file.commit() is None
    assert (tmp_path / "file").read_bytes() == b"abcdefgh"


def test_without_its_beginning_a_download_starts_over(tmp_path: Path) -> None:
    """Its bytes would have to be asked for before the version is known."""
    interrupted(tmp_path / "file", (1, b"ef"))
    (record,) = tmp_path.glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "spans": [[0, 0], [4, 6]]}))
    with resumed(tmp_path / "file") as file:
        assert (file.received, file._part.stat().st_size) == (0, 0)
        assert spans_of(file.split(8, 9)) == [(0, 8)]


@pytest.mark.parametrize(
    ("spans", "missing"),
    [
        ([[0, 4], [2, 3], [6, 7]], [(4, 6), (7, 8)]),
        ([[0, 4], [7, 5]], [(4, 8)]),
        ([[0, 2], [2, 4]], [(4, 8)]),
        ([[0, 2], [4, 99]], [(2, 4)]),
    ],
)
def test_spans_that_cannot_be_are_not_believed(tmp_path: Path, spans: Any, missing: list[Span]) -> None:
    """Neither within the beginning, nor before their start, nor beyond the end."""
    interrupted(tmp_path / "file")
    (record,) = tmp_path.glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "spans": spans}))
    with resumed(tmp_path / "file") as file:
        assert spans_of(file.split(8, 9)) == missing


def test_a_rewind_discards_what_is_beyond(tmp_path: Path) -> None:
    """As the server says that its file has changed."""
    interrupted(tmp_path / "file", (1, b"ef"))
    with resumed(tmp_path / "file") as file:
        file.rewind(1)
        assert spans_of(file.split(8, 9)) == [(1, 8)]


def test_the_record_lags_behind_by_a_few_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written again after so many bytes, whichever part they are of."""
    monkeypatch.setattr(parallel_file, "_NOTE_EVERY", 3)
    with PartedFile(tmp_path / "file", None, resumes=True) as file:
        file.remember(URL, VERSION)
        first, second = file.split(8, 4)
        seen = []
        for part, content in ((first, b"ab"), (second, b"e"), (second, b"fg"), (first, b"c")):
            part.write([content])
            seen.append(noted(tmp_path))
    assert seen == [[(0, 0)], [(0, 2), (4, 5)], [(0, 2), (4, 5)], [(0, 3), (4, 7)]]


@pytest.mark.parametrize(("arrived", "is_noted"), [(2**24 - 1, False), (2**24, True)])
def test_the_record_is_written_every_16_mebibytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrived: int, is_noted: bool
) -> None:
    """At most so much is downloaded again."""
    monkeypatch.setattr(parallel_file, "_reserve", os.ftruncate)
    with PartedFile(tmp_path / "file", None, resumes=True) as file:
        file.remember(URL, VERSION)
        (part,) = file.split(2**25, 2**25)
        part.rewind(arrived - 1)
        part.write([b"a"])
        assert (noted(tmp_path) == [(0, arrived)]) is is_noted


@pytest.mark.parametrize(("total", "parts"), [(20_000, 10_000), (19_999, 19_999)])
def test_a_long_file_has_longer_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, parts: int
) -> None:
    """So that there are never more than twice ten thousand."""
    monkeypatch.setattr(parallel_file, "_reserve", os.ftruncate)
    with PartedFile(tmp_path / "file", None) as file:
        assert len(file.split(total, 1)) == parts


@pytest.mark.parametrize(("resumes", "is_known"), [(False, True), (True, False)])
def test_what_nobody_could_use_is_not_noted(tmp_path: Path, resumes: bool, is_known: bool) -> None:
    """Of a download that is not resumed, or of a version that is not known."""
    with PartedFile(tmp_path / "file", None, resumes) as file:
        if is_known:
            file.remember(URL, VERSION)
        (part,) = file.split(4, 9)
        part.write([b"ab"])
        file._note_parts()
        assert not any("spans" in path.read_text() for path in tmp_path.glob("*.json"))


@pytest.mark.parametrize("how", ["stop", "start_over", "__exit__"])
def test_nothing_is_written_to_a_part_of_a_download_that_has_ended(tmp_path: Path, how: str) -> None:
    """The file may belong to the next one."""
    with PartedFile(tmp_path / "file", None) as file:
        (part,) = file.split(4, 9)
        assert not file.is_stopped
        getattr(file, how)()
        assert file.is_stopped
        with pytest.raises(InterruptedError, match="the download that this is a part of has ended"):
            part.write([b"ab"])
        assert part.received == 0


def test_a_download_that_starts_over_has_nothing(tmp_path: Path) -> None:
    """Its parts are of another version."""
    with PartedFile(tmp_path / "file", None) as file:
        (part,) = file.split(4, 9)
        part.write([b"ab"])
        file.start_over()
        assert (file.is_split, file.received, file.arrived) == (False, 0, 0)
        assert file._part.stat().st_size == 0


@pytest.mark.parametrize("content", [b"abcd", b"abce"])
def test_the_checksum_is_that_of_all_parts(tmp_path: Path, content: bytes) -> None:
    """In the order of the file, whenever they arrive."""
    checksum = f"sha256:{hashlib.sha256(b'abcd').hexdigest()}"
    with PartedFile(tmp_path / "file", checksum) as file:
        file.write([content[:1]])
        first, second = file.split(4, 2)
        second.write([content[3:]])
        first.write([content[1:3]])
        file.join()
        assert (file.commit() is None) is (content == b"abcd")


def test_a_part_is_a_sink_of_its_own(tmp_path: Path) -> None:
    """The version, the checksum and the end are those of the whole file."""
    with PartedFile(tmp_path / "file", None, resumes=True) as file:
        file.write([b"ab"])
        part, _ = file.split(8, 3)
        assert (part.received, part.resumes, part.restore(URL), part.commit()) == (2, False, None, None)
        part.write([b"cd"])
        part.rewind(3)
        assert (part.received, file.arrived) == (3, 3)
        part.write([b"DE"])
    assert next(tmp_path.glob("*.resume")).read_bytes()[:5] == b"abcDE"


@pytest.mark.parametrize(
    ("about", "free", "fits"),
    [
        (SimpleNamespace(st_blocks=2, st_size=9), 976, True),
        (SimpleNamespace(st_blocks=2, st_size=9), 975, False),
        (SimpleNamespace(st_size=1024), 976, True),
        (SimpleNamespace(st_size=1024), 975, False),
    ],
    ids=["blocks", "blocks, full", "Windows", "Windows, full"],
)
def test_a_file_that_the_disk_has_no_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: Any, free: int, fits: bool
) -> None:
    """Less what is there already. The server says how long it is, and may say any number."""
    with PartedFile(tmp_path / "file", None) as file:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free, of=folder))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", lambda descriptor: about)
            if fits:
                file._check_room(2000)
                return
            with pytest.raises(OSError, match="for 976 bytes") as caught:
                file._check_room(2000)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(file._part))
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
        with pytest.raises(OSError, match="for 2000 bytes"):
            file.split(2000, 9)
        assert (file.is_split, file._part.stat().st_size) == (False, 0)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system has no such call")
@pytest.mark.parametrize(
    ("number", "is_raised"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EFBIG, True), (errno.EOPNOTSUPP, False)],
)
def test_room_is_reserved_where_the_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_raised: bool
) -> None:
    """A full disk is found now. A file system that cannot say so has its size, and no more."""
    asked = []

    def refuse(*arguments: Any) -> None:
        asked.append(arguments[1:])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with PartedFile(tmp_path / "file", None) as file:
        if is_raised:
            with pytest.raises(OSError):
                file.split(2000, 999)
        else:
            assert len(file.split(2000, 999)) == 3
        assert (asked, file._part.stat().st_size) == ([(0, 2000)], 2000)


def test_a_system_without_reservation_gives_the_file_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS does."""
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with PartedFile(tmp_path / "file", None) as file:
        assert len(file.split(2000, 999)) == 3
        assert file._part.stat().st_size == 2000
