"""One file over several connections: into which parts it is split, what is reported of it, and how it is committed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ChecksumError, DeadlineExceededError, HttpResponse
from http_service_client.client.downloads import parallel_file
from http_service_client.client.downloads.parallel_download import ParallelDownload
from http_service_client.client.downloads.parallel_file import PartedFile
from http_service_client.core.effects import TIMED_OUT
from http_service_client.http.bodies.ranges import Validators
from kit.downloads import driven
from kit.fakes import FakeClock

MIB = 1024 * 1024


class Begun(Exception):
    """A call would begin now."""


class Download:
    """A download whose calls do not begin.   options: those of the last one."""

    def __init__(self, folder: Path, parts: int = 4, checksum: str | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.options: dict[str, Any] = {}
        seconds = options.pop("total_timeout", None)
        self.file = PartedFile(folder / "file", checksum)
        self.itself = ParallelDownload(
            self._begin, self.file, parts, self.clock.monotonic, seconds, {**options}
        )

    def _begin(self, saver: object, options: Any) -> Any:
        self.options = dict(options)
        raise Begun

    def begin(self) -> dict[str, Any]:
        with pytest.raises(Begun):
            self.itself.run(None, self.itself.first())  # type: ignore[arg-type]  # it is not reached
        return self.options

    def split(self, total: int) -> list[tuple[int, int]]:
        """The spans of the parts, after the first part has come."""
        self.itself.first().split = Validators('"v1"', None, None, total)
        return [(part.start, part.end) for part in driven(self.itself.split())]


@pytest.fixture(autouse=True)
def no_room_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_file, "_reserve", os.ftruncate)


@pytest.mark.parametrize(
    ("total", "parts", "lengths"),
    [
        (9 * MIB, 4, [2 * MIB] * 4),
        (9 * MIB + 1, 4, [2 * MIB + 1] * 3 + [2 * MIB - 2]),
        (3 * MIB, 4, [MIB, MIB]),
        (2 * MIB + 1, 2, [MIB, 1]),
        (1 * MIB + 200 * MIB, 1, [64 * MIB] * 3 + [8 * MIB]),
    ],
    ids=["even", "rounded up", "none too short", "a short rest", "none too long"],
)
def test_what_follows_the_first_part_is_split_evenly(
    tmp_path: Path, total: int, parts: int, lengths: list[int]
) -> None:
    """Into as many parts as may arrive at a time, each of 1 MiB to 64 MiB."""
    download = Download(tmp_path, parts)
    with download.file as file:
        file.write([bytes(MIB)])
        assert not download.itself.is_split
        spans = download.split(total)
        assert download.itself.is_split
        assert [end - start for start, end in spans] == lengths
        assert (spans[0][0], spans[-1][1]) == (MIB, total)


def test_what_is_reported_is_the_progress_of_the_whole_file(tmp_path: Path) -> None:
    """Of the first part as it is; then of all parts; and of one stream as it is again."""
    reports: list[Any] = []
    download = Download(tmp_path, progress=lambda *report: reports.append(report))
    with download.file as file:
        report = download.begin()["progress"]
        report(7, 10 * MIB)
        file.write([bytes(MIB)])
        download.split(10 * MIB)
        part, *_ = file._parts
        part.write([b"abc"])
        report(MIB + 3, 10 * MIB)
        driven(download.itself.start_over())
        assert not download.itself.is_split
        report(5, None)
    assert reports == [(7, 10 * MIB), (MIB + 3, 10 * MIB), (5, None)]


def test_the_time_of_the_download_is_not_that_of_its_parts(tmp_path: Path) -> None:
    """Writing has what is left of it; a call has no limit of its own beside it."""
    download = Download(tmp_path, total_timeout=5.0, timeout=3.0)
    with download.file, download.itself.limits():
        assert download.begin() == {"timeout": 3.0, "total_timeout": None}
        download.clock.now += 2.0
        plan = download.itself.commit(HttpResponse(206))
        assert next(plan).timeout == 3.0
        with pytest.raises(DeadlineExceededError, match="expired while the file was being written"):
            plan.send(TIMED_OUT)


def test_without_a_total_timeout_writing_has_no_limit(tmp_path: Path) -> None:
    """Whatever the clock says."""
    download = Download(tmp_path)
    with download.file, download.itself.limits():
        assert next(download.itself.commit(HttpResponse(206))).timeout is None  # type: ignore[attr-defined]


def test_a_file_with_a_wrong_checksum_is_discarded(tmp_path: Path) -> None:
    """Its error has the response."""
    response = HttpResponse(206)
    download = Download(tmp_path, checksum="sha256:" + "0" * 64)
    with download.file as file:
        file.write([b"abc"])
        download.split(3)
        with pytest.raises(ChecksumError, match="it was discarded") as caught:
            driven(download.itself.commit(response))
        assert file.received == 0
    assert caught.value.response is response
    assert list(tmp_path.iterdir()) == []
