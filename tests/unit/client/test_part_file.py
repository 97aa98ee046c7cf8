"""The file of a download: its checksum is that of the bytes that are in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from http_service_client.client.part_file import PartFile


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


def test_a_file_with_another_checksum_is_discarded(tmp_path: Path) -> None:
    """The reason names both checksums; nothing is left of the file."""
    with PartFile(tmp_path / "file", checksum_of(b"ab")) as part:
        part.write([b"ax"])
        reason = part.commit()
    assert reason is not None
    assert checksum_of(b"ax") in reason
    assert checksum_of(b"ab") in reason
    assert list(tmp_path.iterdir()) == []
