"""`download` and `download_async`: a whole file or none, over connections that break."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    ChecksumError,
    ConstantBackoff,
    DeadlineExceededError,
    HttpServiceClient,
    HttpStatusError,
    InvalidRequestError,
    ProtocolError,
    ResponseTooLargeError,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.testing import LoopbackServer, ScriptedTransport, answer, hang_up, respond, stall
from http_service_client.testing.actions import Action, Received
from kit.front_ends import FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import slots_in_use

CONTENT = bytes(range(251)) * 4000  # about 1 MB, and no power of two
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
NO_DELAY = ConstantBackoff(0.001, jitter="none")
QUICK = {"retry_policy_config": {"max_attempts": 4, "initial_delay": 0.001}}


class File:
    """A file on the server. Each response breaks off after the next of these numbers of bytes; the last one repeats."""

    def __init__(
        self, content: bytes = CONTENT, *breaks: int | None, etag: str | None = '"v1"', **headers: str
    ) -> None:
        self.content = content
        self.breaks = list(breaks) or [None]
        self.headers = {**({} if etag is None else {"ETag": etag}), **headers}
        self.ranges: list[str | None] = []

    def __call__(self, received: Received) -> Action:
        wanted = received.header("Range")
        self.ranges.append(wanted)
        assert received.header("Accept-Encoding") == "identity"
        start, status, headers = 0, 200, dict(self.headers)
        if wanted is not None and received.header("If-Range") == self.headers.get("ETag"):
            start, status = int(wanted[len("bytes=") : -1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        rest = self.content[start:]
        breaks_at = self.breaks.pop(0) if len(self.breaks) > 1 else self.breaks[0]
        if breaks_at is None or breaks_at >= len(rest):
            return respond(status, headers=headers, body=rest)
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(rest)}\r\n{fields}\r\n"
        return hang_up(head.encode() + rest[:breaks_at])


@pytest.fixture
def client(front_end: FrontEnd) -> HttpServiceClient:
    return front_end.client(**QUICK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.bin"


def fetch(
    front_end: FrontEnd,
    client: HttpServiceClient,
    server: LoopbackServer,
    file: Any,
    path: Path,
    **options: Any,
) -> Any:
    server.script("/file", answer(file))
    return front_end.download(client, server.url + "/file", path, **options)


def nothing_left(client: HttpServiceClient, path: Path) -> bool:
    return not os.listdir(path.parent) and slots_in_use(client) == 0


def test_a_file_is_downloaded(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """The file has the content of the body, the response its status and headers, and nothing else is left."""
    response = fetch(front_end, client, server, File(), path)
    assert path.read_bytes() == CONTENT
    assert (response.status_code, response.headers["ETag"], response.attempts) == (200, '"v1"', 1)
    assert os.listdir(path.parent) == [path.name]
    assert slots_in_use(client) == 0


def test_it_replaces_an_old_file(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A file at the path is overwritten."""
    path.write_bytes(b"old")
    fetch(front_end, client, server, File(), path, checksum=SHA)
    assert path.read_bytes() == CONTENT


def test_an_empty_body_is_an_empty_file(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A file without bytes is a file."""
    fetch(front_end, client, server, File(b""), path)
    assert path.read_bytes() == b""


def test_a_download_resumes_after_a_broken_connection(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """Each attempt requests the bytes that are missing."""
    file = File(CONTENT, 400_000, 300_000, None)
    response = fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert (response.status_code, response.attempts) == (206, 3)
    assert file.ranges[0] is None
    starts = [int(each[6:-1]) for each in file.ranges[1:] if each]
    assert 0 < starts[0] <= 400_000
    assert starts[0] < starts[1] <= starts[0] + 300_000


def test_a_file_that_changed_is_downloaded_from_the_start(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """Two halves of two versions would be a file that never existed."""
    old, new = File(b"o" * 500_000, 300_000), File(CONTENT, etag='"v2"')
    files = iter([old, new])
    fetch(front_end, client, server, lambda received: next(files)(received), path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert new.ranges[0] is not None


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_validator_a_download_starts_over(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path, etag: str | None
) -> None:
    """Nothing shows that the rest belongs to the same version."""
    file = File(CONTENT, 400_000, None, etag=etag)
    fetch(front_end, client, server, file, path)
    assert (file.ranges, path.read_bytes()) == ([None, None], CONTENT)


def test_a_server_may_send_the_file_in_parts(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A 206 may be shorter than the requested range (RFC 9110, 15.3.7): the rest is requested again."""
    whole, starts = File(CONTENT, 200_000), []

    def give(received: Received) -> Action:
        if received.header("Range") is None:
            return whole(received)
        start = int((received.header("Range") or "")[6:-1])
        starts.append(start)
        end = min(start + 500_000, len(CONTENT))
        headers = {"ETag": '"v1"', "Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
        return respond(206, headers=headers, body=CONTENT[start:end])

    response = fetch(front_end, client, server, give, path)
    assert path.read_bytes() == CONTENT
    assert (len(starts), response.attempts) == (2, 2)


def test_an_unrequested_part_is_an_error(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """A 206 to a request without Range does not become a file."""
    client = front_end.client(enable_retry_policy=False)
    headers = {"Content-Range": "bytes 5-9/10"}
    with pytest.raises(ProtocolError, match="part of the file"):
        fetch(front_end, client, server, lambda _: respond(206, headers=headers, body=b"56789"), path)
    assert nothing_left(client, path)


def test_a_416_at_the_end_completes_the_file(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """The connection broke after the last byte: the 416 confirms the length."""

    def give(received: Received) -> Action:
        if received.header("Range") is None:
            head = 'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n'
            return hang_up(head.encode() + b"%x\r\n%b\r\n" % (1000, CONTENT[:1000]))
        return respond(416, headers={"Content-Range": "bytes */1000"})

    response = fetch(front_end, client, server, give, path)
    assert path.read_bytes() == CONTENT[:1000]
    assert response.status_code == 200


def test_a_download_that_always_breaks_leaves_no_file(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """After the last attempt the error is raised, with the timeline."""
    with pytest.raises(ProtocolError) as caught:
        fetch(front_end, client, server, File(CONTENT, 1000), path)
    assert nothing_left(client, path)
    assert caught.value.timeline is not None
    assert caught.value.timeline[-1].attempts == 4


@pytest.mark.parametrize("status", [204, 301, 404, 500])
def test_a_response_without_a_file_is_an_error(
    front_end: FrontEnd, server: LoopbackServer, path: Path, status: int
) -> None:
    """A status without a file raises HttpStatusError."""
    client = front_end.client(enable_retry_policy=False)
    with pytest.raises(HttpStatusError, match=str(status)) as caught:
        fetch(front_end, client, server, lambda _: respond(status), path)
    assert caught.value.status_code == status
    assert nothing_left(client, path)


def test_an_outage_before_the_first_byte_is_retried(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A 503 is retried as for any call."""
    file, outages = File(), iter([respond(503), None])
    fetch(front_end, client, server, lambda received: next(outages) or file(received), path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_keeps_the_old_file(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """The new file is discarded; another attempt would bring the same one."""
    path.write_bytes(b"old")
    file = File()
    with pytest.raises(ChecksumError, match="sha256:"):
        fetch(front_end, client, server, file, path, checksum="sha256:" + "0" * 64)
    assert len(file.ranges) == 1  # not retried
    assert (path.read_bytes(), os.listdir(path.parent)) == (b"old", [path.name])


@pytest.mark.parametrize("checksum", ["sha256", "crc:00", "sha256:12", 7])
def test_an_invalid_checksum_is_refused_before_anything_is_sent(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path, checksum: Any
) -> None:
    """An algorithm and a digest of its length are required."""
    with pytest.raises(InvalidRequestError, match="checksum"):
        front_end.download(client, server.url + "/file", path, checksum=checksum)
    assert not server.requests
    assert nothing_left(client, path)


@pytest.mark.parametrize("wrong", ["", "missing/report.bin", "/dev/null", 7, b"/tmp/x"])
def test_an_invalid_path_is_refused_before_anything_is_sent(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, tmp_path: Path, wrong: Any
) -> None:
    """A path must name a regular file in a folder that exists."""
    with pytest.raises(InvalidRequestError, match="path"):
        front_end.download(
            client, server.url + "/file", tmp_path / wrong if isinstance(wrong, str) else wrong
        )
    assert not server.requests


def test_a_symbolic_link_is_followed(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """The target is replaced, and the link stays a link."""
    target = path.with_name("target.bin")
    target.write_bytes(b"old")
    path.symlink_to(target)
    fetch(front_end, client, server, File(), path)
    assert path.is_symlink()
    assert target.read_bytes() == CONTENT


def test_a_name_may_be_as_long_as_the_file_system_allows(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """The hidden part file is not named after it."""
    long = path.with_name("\u00fc" * 120)
    fetch(front_end, client, server, File(), long)
    assert long.read_bytes() == CONTENT


def test_the_size_limit_applies(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """The configuration's limit, unless the call has its own."""
    client = front_end.client(max_response_size=100_000)
    with pytest.raises(ResponseTooLargeError, match="use None for no limit"):
        fetch(front_end, client, server, File(), path)
    assert nothing_left(client, path)
    fetch(front_end, client, server, File(), path, max_response_size=None)
    assert path.read_bytes() == CONTENT


def test_the_size_limit_counts_the_whole_file(
    front_end: FrontEnd, server: LoopbackServer, path: Path
) -> None:
    """Each part alone is below the limit."""
    client = front_end.client(max_response_size=600_000, **QUICK)
    with pytest.raises(ResponseTooLargeError):
        fetch(front_end, client, server, File(CONTENT, 510_000, None), path)
    assert nothing_left(client, path)


def test_the_deadline_ends_a_download(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """It covers all attempts, and no part file is left."""
    responses = iter([File(CONTENT, 400_000), lambda _: stall()])
    with pytest.raises(DeadlineExceededError):
        fetch(front_end, client, server, lambda received: next(responses)(received), path, total_timeout=0.4)
    assert nothing_left(client, path)


def test_progress_never_goes_back(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """It counts the bytes of the file over all attempts, up to the total."""
    reported: list[tuple[int, int | None]] = []
    fetch(
        front_end,
        client,
        server,
        File(CONTENT, 600_000, None),
        path,
        progress=lambda *at: reported.append(at),
    )
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert [at for at, _ in reported] == sorted({at for at, _ in reported})


def test_progress_of_a_coded_file_has_no_total(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """Content-Length counts the coded bytes, progress those of the file."""
    reported: list[tuple[int, int | None]] = []
    coded = respond(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"abc" * 100, mtime=0))
    fetch(front_end, client, server, lambda _: coded, path, progress=lambda *at: reported.append(at))
    assert reported[-1][0] == 300
    assert {total for _, total in reported} == {None}


def test_progress_counts_the_file_and_not_the_request(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A download may send a body; its progress is that of the file."""
    reported: list[tuple[int, int | None]] = []
    fetch(
        front_end,
        client,
        server,
        File(b"abc"),
        path,
        json={"q": "x" * 50},
        progress=lambda *at: reported.append(at),
    )
    assert reported == [(3, 3)]


def test_progress_may_be_an_async_function(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """With a sync client, too."""
    reported: list[int] = []

    async def report(received: int, total: int | None) -> None:
        reported.append(received)

    fetch(front_end, client, server, File(), path, progress=report)
    assert reported[-1] == len(CONTENT)


def test_an_error_of_progress_ends_the_download(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """It is raised unchanged, and nothing is left."""

    def stop(received: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(front_end, client, server, File(), path, progress=stop)
    assert nothing_left(client, path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk_is_an_os_error(
    front_end: FrontEnd,
    server: LoopbackServer,
    client: HttpServiceClient,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    """Whether a small file is written at its end, or a large one on the way; nothing is left of it."""

    def open_full(target: Path) -> tuple[Any, Path]:
        part = target.with_name(".full.part")
        part.touch()
        return FileIO("/dev/full", "r+b"), part

    monkeypatch.setattr("http_service_client.client.downloads.part_file.open_new", open_full)
    with pytest.raises(OSError, match="No space left"):
        fetch(front_end, client, server, File(b"x" * size), path)
    assert nothing_left(client, path)


def test_a_replaced_file_keeps_its_mode(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A private file stays private, and so is the part file that replaces it."""
    path.write_bytes(b"old")
    path.chmod(0o600)
    modes = []
    fetch(
        front_end, client, server, File(), path,
        progress=lambda *_: modes.extend(each.stat().st_mode & 0o777 for each in path.parent.iterdir()),
    )  # fmt: skip
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (CONTENT, 0o600)
    assert set(modes) == {0o600}  # while it grew, too


def test_a_damaged_file_is_not_resumed(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """A retry after a wrong checksum downloads the whole file."""
    damaged = RetryCondition.on_exceptions([ChecksumError])
    policy = RetryPolicy(retry_conditions=[damaged], backoff_strategy=NO_DELAY)
    file = File()
    files = iter([File(b"?" + CONTENT[1:]), file])
    fetch(
        front_end, front_end.client(), server, lambda received: next(files)(received), path,
        checksum=SHA, retry_policy=policy,
    )  # fmt: skip
    assert (path.read_bytes(), file.ranges) == (CONTENT, [None])


def test_an_async_progress_is_cut_by_the_deadline(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A progress function that hangs does not hold the call."""

    async def hang(received: int, total: int | None) -> None:
        await asyncio.sleep(30)

    with Stopwatch() as watch, pytest.raises(DeadlineExceededError):
        fetch(front_end, client, server, File(), path, progress=hang, total_timeout=0.3)
    watch.check_took(0.3)
    assert nothing_left(client, path)


def test_a_download_over_a_scripted_transport(front_end: FrontEnd, path: Path) -> None:
    """A transport that streams nothing can be downloaded from, too."""
    from http_service_client import HttpResponse

    client = front_end.client(transport=ScriptedTransport([HttpResponse(200, content=b"abc")]))
    front_end.download(client, "https://files.example.com/a", path)
    assert path.read_bytes() == b"abc"


def test_a_mock_with_a_wrong_length_is_downloaded_once(front_end: FrontEnd, path: Path) -> None:
    """Recorders remove codings but leave Content-Length as it was. The rest is not requested again and again."""
    from http_service_client import HttpResponse

    recorded = HttpResponse(200, headers={"Content-Length": "100"}, content=b"abc")
    client = front_end.client(transport=ScriptedTransport([recorded]))
    front_end.download(client, "https://files.example.com/a", path)
    assert path.read_bytes() == b"abc"
