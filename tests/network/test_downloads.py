"""`download` and `download_async`: the whole file or none, over connections that break."""

from __future__ import annotations

import asyncio
import hashlib
import os
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
from network.faults import places_in_use

CONTENT = bytes(range(251)) * 4000  # about 1 MB, and no power of two
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
AT_ONCE = ConstantBackoff(0.001, jitter="none")
QUICK = {"retry_policy_config": {"max_attempts": 4, "initial_delay": 0.001}}


class File:
    """A file on the server that breaks off after so many bytes of each answer, the last entry standing for ever."""

    def __init__(
        self, content: bytes = CONTENT, *breaks: int | None, etag: str | None = '"v1"', **headers: str
    ) -> None:
        self.content = content
        self.breaks = list(breaks) or [None]
        self.headers = {**({} if etag is None else {"ETag": etag}), **headers}
        self.asked: list[str | None] = []

    def __call__(self, received: Received) -> Action:
        asked = received.header("Range")
        self.asked.append(asked)
        assert received.header("Accept-Encoding") == "identity"
        start, status, headers = 0, 200, dict(self.headers)
        if asked is not None and received.header("If-Range") == self.headers.get("ETag"):
            start, status = int(asked[len("bytes=") : -1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        rest = self.content[start:]
        broken = self.breaks.pop(0) if len(self.breaks) > 1 else self.breaks[0]
        if broken is None or broken >= len(rest):
            return respond(status, headers=headers, body=rest)
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(rest)}\r\n{fields}\r\n"
        return hang_up(head.encode() + rest[:broken])


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
    return not os.listdir(path.parent) and places_in_use(client) == 0


def test_a_file(front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path) -> None:
    response = fetch(front_end, client, server, File(), path)
    assert path.read_bytes() == CONTENT
    assert (response.status_code, response.headers["ETag"], response.attempts) == (200, '"v1"', 1)
    assert os.listdir(path.parent) == [path.name]
    assert places_in_use(client) == 0


def test_it_takes_the_place_of_an_old_one(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    path.write_bytes(b"old")
    fetch(front_end, client, server, File(), path, checksum=SHA)
    assert path.read_bytes() == CONTENT


def test_an_empty_file(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    fetch(front_end, client, server, File(b""), path)
    assert path.read_bytes() == b""


def test_a_broken_connection_is_gone_on_with(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    file = File(CONTENT, 400_000, 300_000, None)
    response = fetch(front_end, client, server, file, path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert (response.status_code, response.attempts) == (206, 3)
    assert file.asked[0] is None
    starts = [int(asked[6:-1]) for asked in file.asked[1:] if asked]
    assert 0 < starts[0] <= 400_000
    assert starts[0] < starts[1] <= starts[0] + 300_000


def test_a_file_that_changed_is_begun_anew(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """Two halves of two versions make a file that never was."""
    old, new = File(b"o" * 500_000, 300_000), File(CONTENT, etag='"v2"')
    files = iter([old, new])
    fetch(front_end, client, server, lambda received: next(files)(received), path, checksum=SHA)
    assert path.read_bytes() == CONTENT
    assert new.asked[0] is not None


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_validator_it_is_begun_anew(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path, etag: str | None
) -> None:
    file = File(CONTENT, 400_000, None, etag=etag)
    fetch(front_end, client, server, file, path)
    assert (file.asked, path.read_bytes()) == ([None, None], CONTENT)


def test_a_server_that_gives_the_file_in_parts(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A 206 may be shorter than what was asked for (RFC 9110, 15.3.7): the rest is asked for again."""
    whole, asked = File(CONTENT, 200_000), []

    def give(received: Received) -> Action:
        if received.header("Range") is None:
            return whole(received)
        start = int((received.header("Range") or "")[6:-1])
        asked.append(start)
        end = min(start + 500_000, len(CONTENT))
        headers = {"ETag": '"v1"', "Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
        return respond(206, headers=headers, body=CONTENT[start:end])

    response = fetch(front_end, client, server, give, path)
    assert path.read_bytes() == CONTENT
    assert (len(asked), response.attempts) == (2, 2)


def test_a_part_that_nobody_asked_for(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    client = front_end.client(enable_retry_policy=False)
    headers = {"Content-Range": "bytes 5-9/10"}
    with pytest.raises(ProtocolError, match="part of the file"):
        fetch(front_end, client, server, lambda _: respond(206, headers=headers, body=b"56789"), path)
    assert nothing_left(client, path)


def test_a_file_that_is_there_already_but_for_the_end(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """The connection broke behind the last byte: 416 says that there is no more."""

    def give(received: Received) -> Action:
        if received.header("Range") is None:
            head = 'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n'
            return hang_up(head.encode() + b"%x\r\n%b\r\n" % (1000, CONTENT[:1000]))
        return respond(416, headers={"Content-Range": "bytes */1000"})

    response = fetch(front_end, client, server, give, path)
    assert path.read_bytes() == CONTENT[:1000]
    assert response.status_code == 200


def test_what_breaks_each_time_leaves_nothing(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    with pytest.raises(ProtocolError) as caught:
        fetch(front_end, client, server, File(CONTENT, 1000), path)
    assert nothing_left(client, path)
    assert caught.value.timeline is not None
    assert caught.value.timeline[-1].attempts == 4


@pytest.mark.parametrize("status", [204, 301, 404, 500])
def test_what_is_no_file(front_end: FrontEnd, server: LoopbackServer, path: Path, status: int) -> None:
    client = front_end.client(enable_retry_policy=False)
    with pytest.raises(HttpStatusError, match=str(status)) as caught:
        fetch(front_end, client, server, lambda _: respond(status), path)
    assert caught.value.status_code == status
    assert nothing_left(client, path)


def test_an_outage_before_the_first_byte_is_waited_out(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    file, answers = File(), iter([respond(503), None])
    fetch(front_end, client, server, lambda received: next(answers) or file(received), path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    path.write_bytes(b"old")
    file = File()
    with pytest.raises(ChecksumError, match="sha256:"):
        fetch(front_end, client, server, file, path, checksum="sha256:" + "0" * 64)
    assert len(file.asked) == 1  # it would not get better
    assert (path.read_bytes(), os.listdir(path.parent)) == (b"old", [path.name])


@pytest.mark.parametrize("checksum", ["sha256", "crc:00", "sha256:12", 7])
def test_what_is_no_checksum(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path, checksum: Any
) -> None:
    with pytest.raises(InvalidRequestError, match="checksum"):
        front_end.download(client, server.url + "/file", path, checksum=checksum)
    assert not server.requests
    assert nothing_left(client, path)


@pytest.mark.parametrize("place", ["", "missing/report.bin", "/dev/null", 7, b"/tmp/x"])
def test_what_is_no_path(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, tmp_path: Path, place: Any
) -> None:
    with pytest.raises(InvalidRequestError, match="path"):
        front_end.download(
            client, server.url + "/file", tmp_path / place if isinstance(place, str) else place
        )
    assert not server.requests


def test_a_link_stays_a_link(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    target = path.with_name("target.bin")
    target.write_bytes(b"old")
    path.symlink_to(target)
    fetch(front_end, client, server, File(), path)
    assert path.is_symlink()
    assert target.read_bytes() == CONTENT


def test_a_long_name(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    long = path.with_name("\u00fc" * 120)
    fetch(front_end, client, server, File(), long)
    assert long.read_bytes() == CONTENT


def test_the_size_limit_holds(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    client = front_end.client(max_response_size=100_000)
    with pytest.raises(ResponseTooLargeError):
        fetch(front_end, client, server, File(), path)
    assert nothing_left(client, path)
    fetch(front_end, client, server, File(), path, max_response_size=None)
    assert path.read_bytes() == CONTENT


def test_the_size_limit_is_that_of_the_file(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """Not of each part of it."""
    client = front_end.client(max_response_size=600_000, **QUICK)
    with pytest.raises(ResponseTooLargeError):
        fetch(front_end, client, server, File(CONTENT, 510_000, None), path)
    assert nothing_left(client, path)


def test_the_deadline_holds(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    answers = iter([File(CONTENT, 400_000), lambda _: stall()])
    with Stopwatch() as watch, pytest.raises(DeadlineExceededError):
        fetch(front_end, client, server, lambda received: next(answers)(received), path, total_timeout=0.4)
    watch.check_took(0.4)
    assert nothing_left(client, path)


def test_progress(front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(front_end, client, server, File(CONTENT, 600_000, None), path, progress=lambda *at: told.append(at))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [at for at, _ in told] == sorted({at for at, _ in told})


def test_progress_is_of_the_file_and_not_of_the_question(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    """A download may send a body; it tells of what comes."""
    told: list[tuple[int, int | None]] = []
    fetch(
        front_end,
        client,
        server,
        File(b"abc"),
        path,
        json={"q": "x" * 50},
        progress=lambda *at: told.append(at),
    )
    assert told == [(3, 3)]


def test_an_async_progress(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    told: list[int] = []

    async def tell(received: int, total: int | None) -> None:
        told.append(received)

    fetch(front_end, client, server, File(), path, progress=tell)
    assert told[-1] == len(CONTENT)


def test_a_progress_that_raises_ends_it(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    def stop(received: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(front_end, client, server, File(), path, progress=stop)
    assert nothing_left(client, path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk(
    front_end: FrontEnd,
    server: LoopbackServer,
    client: HttpServiceClient,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    """It may be told while bytes are written, or only when the buffer is: then once more when the file is closed."""

    def open_full(place: Path, mode: str) -> Any:
        place.touch()
        return open("/dev/full", "r+b")

    monkeypatch.setattr("http_service_client.client.part_file.open", open_full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        fetch(front_end, client, server, File(b"x" * size), path)
    assert nothing_left(client, path)


def test_what_was_private_stays_private(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    path.write_bytes(b"old")
    path.chmod(0o600)
    modes = []
    fetch(
        front_end, client, server, File(), path,
        progress=lambda *_: modes.extend(each.stat().st_mode & 0o777 for each in path.parent.iterdir()),
    )  # fmt: skip
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (CONTENT, 0o600)
    assert set(modes) == {0o600}  # while it grew, too


def test_a_damaged_file_is_not_gone_on_with(front_end: FrontEnd, server: LoopbackServer, path: Path) -> None:
    """Whoever retries a wrong checksum gets the file anew."""
    damaged = RetryCondition.on_exceptions([ChecksumError])
    policy = RetryPolicy(retry_conditions=[damaged], backoff_strategy=AT_ONCE)
    file = File()
    files = iter([File(b"?" + CONTENT[1:]), file])
    fetch(
        front_end, front_end.client(), server, lambda received: next(files)(received), path,
        checksum=SHA, retry_policy=policy,
    )  # fmt: skip
    assert (path.read_bytes(), file.asked) == (CONTENT, [None])


def test_an_async_progress_does_not_outlast_the_deadline(
    front_end: FrontEnd, server: LoopbackServer, client: HttpServiceClient, path: Path
) -> None:
    async def hang(received: int, total: int | None) -> None:
        await asyncio.sleep(30)

    with Stopwatch() as watch, pytest.raises(DeadlineExceededError):
        fetch(front_end, client, server, File(), path, progress=hang, total_timeout=0.3)
    watch.check_took(0.3)
    assert nothing_left(client, path)


def test_over_a_scripted_transport(front_end: FrontEnd, path: Path) -> None:
    from http_service_client import HttpResponse

    client = front_end.client(transport=ScriptedTransport([HttpResponse(200, content=b"abc")]))
    front_end.download(client, "https://files.example.com/a", path)
    assert path.read_bytes() == b"abc"


def test_a_mock_with_a_length_of_its_own(front_end: FrontEnd, path: Path) -> None:
    """Recorders take codings off and leave Content-Length as it was. It is not asked for again and again."""
    from http_service_client import HttpResponse

    recorded = HttpResponse(200, headers={"Content-Length": "100"}, content=b"abc")
    client = front_end.client(transport=ScriptedTransport([recorded]))
    front_end.download(client, "https://files.example.com/a", path)
    assert path.read_bytes() == b"abc"
