"""`resume=True`: what has arrived stays for the next call, also of another process. Killed processes leave no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    ChecksumError,
    ConfigurationError,
    HttpServiceClient,
    InvalidRequestError,
    ProtocolError,
)
from http_service_client.client.downloads.part_file import PartFile
from http_service_client.testing import LoopbackServer, answer, raw, respond
from kit.front_ends import FrontEnd
from kit.threads import wait_until
from network.test_downloads import CONTENT, SHA, File

HALF = 500_000
needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.bin"


def fail(front_end: FrontEnd, url: str, path: Path, **options: Any) -> None:
    """A download that gives up after one attempt, on a client that is gone afterwards."""
    client = front_end.client()
    with pytest.raises(ProtocolError):
        front_end.download(client, url, path, retry_policy=None, resume=True, **options)


def fetch(front_end: FrontEnd, url: str, path: Path, **options: Any) -> Any:
    return front_end.download(front_end.client(), url, path, retry_policy=None, resume=True, **options)


def test_the_next_call_continues_where_the_last_one_failed(
    front_end: FrontEnd, server: LoopbackServer, path: Path
) -> None:
    """With another client: the file and its version are on the disk. In the end, only the target is."""
    file = File(CONTENT, HALF, None)
    server.script("/", answer(file))
    fail(front_end, server.url + "/", path, checksum=SHA)
    assert not path.exists()
    assert len(os.listdir(path.parent)) == 2
    response = fetch(front_end, server.url + "/", path, checksum=SHA)
    assert (path.read_bytes(), response.status_code) == (CONTENT, 206)
    assert file.ranges == [None, f"bytes={HALF}-"]
    assert os.listdir(path.parent) == [path.name]


def test_another_version_starts_over(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """Two halves of two versions would make a file that never existed."""
    server.script("/", answer(File(CONTENT, HALF)))
    fail(front_end, server.url + "/", path)
    changed = CONTENT[::-1]
    server.script("/", answer(File(changed, etag='"v2"')))
    fetch(front_end, server.url + "/", path)
    assert path.read_bytes() == changed
    assert os.listdir(path.parent) == [path.name]


def test_another_url_starts_over(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """Two resources may have the same entity tag."""
    server.script("/", answer(File(CONTENT, HALF)))
    fail(front_end, server.url + "/?id=1", path)
    other = File(CONTENT[::-1])
    server.script("/", answer(other))
    fetch(front_end, server.url + "/?id=2", path)
    assert other.ranges == [None]
    assert path.read_bytes() == CONTENT[::-1]


def test_a_file_that_had_arrived_whole_is_finished(
    front_end: FrontEnd, server: LoopbackServer, path: Path
) -> None:
    """The process was killed before it could rename the file. One byte is requested again, for a response."""
    file = File()

    def with_416(received: Any) -> Any:
        if received.header("Range") == f"bytes={len(CONTENT)}-":
            return respond(416, headers={"Content-Range": f"bytes */{len(CONTENT)}", "ETag": '"v1"'})
        return file(received)

    server.script("/", answer(with_416))
    part = PartFile(path, None, resumes=True)
    part.remember(server.url + "/", ('"v1"', None, None, len(CONTENT)))
    part.write([CONTENT])
    part.__exit__()
    response = fetch(front_end, server.url + "/", path)
    assert (path.read_bytes(), response.status_code) == (CONTENT, 206)
    assert file.ranges == [f"bytes={len(CONTENT) - 1}-"]


def test_a_wrong_checksum_leaves_nothing_to_resume(
    front_end: FrontEnd, server: LoopbackServer, path: Path
) -> None:
    """What is wrong would stay wrong."""
    server.script("/", answer(File(CONTENT[::-1])))
    with pytest.raises(ChecksumError):
        fetch(front_end, server.url + "/", path, checksum=SHA)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("record", ["", "[]", '{"url": 1}', '{"version": [1, 2, 3, 4], "url": ""}', None])
def test_a_damaged_record_starts_over(
    front_end: FrontEnd, server: LoopbackServer, path: Path, record: str | None
) -> None:
    """The bytes alone do not say which version they are of."""
    server.script("/", answer(File(CONTENT, HALF)))
    fail(front_end, server.url + "/", path)
    (known,) = path.parent.glob(".*.json")
    known.unlink() if record is None else known.write_text(record)
    file = File()
    server.script("/", answer(file))
    fetch(front_end, server.url + "/", path)
    assert (file.ranges, path.read_bytes()) == ([None], CONTENT)


@needs_locks
def test_two_downloads_do_not_write_to_one_part(
    front_end: FrontEnd, server: LoopbackServer, path: Path
) -> None:
    """The second one is refused, and the first one is not disturbed."""
    with PartFile(path, None, resumes=True) as first:
        first.write([b"abc"])
        with pytest.raises(InvalidRequestError, match="another download"):
            fetch(front_end, server.url + "/", path)
        assert first.commit() is None
    assert path.read_bytes() == b"abc"


@needs_locks
def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """In a shared folder, somebody may wait for the expected name."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    with PartFile(tmp_path / "file", None, resumes=True) as part:
        name = part._part
    name.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        PartFile(tmp_path / "file", None, resumes=True)
    assert victim.read_bytes() == b"precious"


def test_resume_is_true_or_false(front_end: FrontEnd, path: Path) -> None:
    """Anything else is a mistake."""
    with pytest.raises(ConfigurationError, match="resume"):
        front_end.download(HttpServiceClient(), "https://api.example.com/", path, resume="yes")


KILLED = """
import sys
from http_service_client import HttpServiceClient
HttpServiceClient().download(sys.argv[1], sys.argv[2], resume=sys.argv[3] == "True")
"""


@needs_locks
@pytest.mark.parametrize("resume", [False, True])
def test_the_next_download_takes_care_of_what_a_killed_process_left(
    server: LoopbackServer, path: Path, resume: bool
) -> None:
    """It goes on with it if both ask for that, and removes it otherwise. Other downloads' files stay."""
    head = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: %d\r\n\r\n' % len(CONTENT)
    server.script("/", raw(head + CONTENT[:HALF], close=False))
    command = [sys.executable, "-c", KILLED, server.url + "/", str(path), str(resume)]
    process = subprocess.Popen(command)
    try:
        size = lambda: sum(part.stat().st_size for part in path.parent.glob(".*"))  # noqa: E731
        assert server.wait_for(lambda: bool(server.requests), timeout=20)
        wait_until(lambda: size() > 100_000)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    file = File()
    server.script("/", answer(file))
    with PartFile(path, None) as other:
        other.write([b"x"])
        with HttpServiceClient() as client:
            client.download(server.url + "/", path, resume=resume)
        assert other._part.exists()
    assert path.read_bytes() == CONTENT
    assert (file.ranges[0] is not None) == resume
    assert os.listdir(path.parent) == [path.name]
