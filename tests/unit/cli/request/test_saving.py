"""A body as a file: complete or not at all, resumed, and named by nobody but its user."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from http_service_client.cli.request.saving import Bar, file_name, save, size_text
from http_service_client.errors import ConfigurationError
from http_service_client.testing import LoopbackServer, answer, hang_up, respond
from http_service_client.testing.actions import Action, Received
from kit.command_line import run_in_terminal, run_piped, without_styles

BODY = bytes(range(256)) * 1000
VERSION = {"ETag": '"1"', "Content-Type": "application/octet-stream"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def part(request: Received) -> Action:
    """What was requested of the body."""
    match = re.fullmatch(r"bytes=(\d+)-", request.header("Range") or "")
    assert match is not None
    start = int(match[1])
    span = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"}
    return respond(206, body=BODY[start:], headers=VERSION | span)


def broken(size: int) -> Action:
    """The connection breaks after so many bytes."""
    head = f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {len(BODY)}\r\n\r\n'
    return hang_up(head.encode() + BODY[:size])


def test_output_replaces_a_file(server: LoopbackServer, folder: Path, front_end_flag: list[str]) -> None:
    """Nothing is written to standard output or, without a terminal, to standard error."""
    (folder / "a.bin").write_bytes(b"old")
    server.script("/x", respond(body=BODY, headers=VERSION))
    assert run_piped("get", f"{server.url}/x", "-o", "a.bin", *front_end_flag) == (0, b"", "")
    assert (folder / "a.bin").read_bytes() == BODY
    assert os.listdir(folder) == ["a.bin"]


def test_download_is_named_by_the_url_that_was_typed(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Not by a redirect or a header, and never over a file that is there."""
    server.script("/May%202026.csv", respond(302, headers={"Location": "/.bashrc"}))
    server.script(
        "/.bashrc", respond(body=b"id", headers={"Content-Disposition": 'attachment; filename=".profile"'})
    )
    checksum = f"sha256:{hashlib.sha256(b'id').hexdigest()}"
    options = ["--download", "--checksum", checksum, *front_end_flag]
    arguments = ["get", f"{server.url}/May%202026.csv?v=1", *options]
    assert run_piped(*arguments) == (0, b"", "")
    assert os.listdir(folder) == ["May 2026.csv"]
    refused = run_piped(*arguments)
    assert refused.code == 2
    assert refused.errors == "error: 'May 2026.csv' is there already; --output 'May 2026.csv' replaces it"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example.com/b/c.tar.gz#x", "c.tar.gz"),
        ("https://a.example.com/gr%C3%BCn%20;x.txt", "grün _x.txt"),
        ("https://a.example.com/..%2F..%2Fetc%2Fpasswd", "_.._etc_passwd"),
        ("https://a.example.com/%1b%5b2J", "__2J"),
        ("https://a.example.com/.bashrc", "bashrc"),
        ("https://a.example.com/XMAX", "XMAX"),
        ("https://a.example.com/", None),
        ("https://a.example.com", None),
        ("https://a.example.com/..", None),
        ("https://a.example.com/NUL.txt", None),
    ],
)
def test_a_name_cannot_lead_elsewhere(url: str, name: str | None) -> None:
    """Not out of the folder, not to a hidden file, not to a device."""
    if name is not None:
        assert file_name(url) == name
    else:
        with pytest.raises(ConfigurationError, match="give one by --output FILE"):
            file_name(url)


def test_a_lost_connection_goes_on_where_it_stopped(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Within one command."""
    (folder / "quick.json").write_text('{"retry_policy_config": {"initial_delay": 0.001}}')
    server.script("/x", broken(100_000), answer(part))
    arguments = ["get", f"{server.url}/x", "-o", "a.bin", "--config", "quick.json", *front_end_flag]
    assert run_piped(*arguments, "--checksum", f"sha256:{_digest()}") == (0, b"", "")
    assert (folder / "a.bin").read_bytes() == BODY
    assert server.requests[1].header("Range") == "bytes=100000-"


def test_the_next_command_goes_on_where_one_failed(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """It says so; --no-resume keeps nothing."""
    server.script("/x", broken(100_000), answer(part))
    arguments = ["get", f"{server.url}/x", "-o", "a.bin", "--retries", "0", *front_end_flag]
    failed = run_piped(*arguments)
    assert failed.code == 6
    assert failed.errors.endswith("; the same command goes on with what has arrived, if the server can")
    assert not (folder / "a.bin").exists()
    assert run_piped(*arguments) == (0, b"", "")
    assert (folder / "a.bin").read_bytes() == BODY
    assert server.requests[1].header("Range") == "bytes=100000-"

    server.script("/y", broken(100_000))
    assert run_piped("get", f"{server.url}/y", "-o", "b.bin", "--retries", "0", "--no-resume").code == 6
    assert os.listdir(folder) == ["a.bin"]


@pytest.mark.parametrize(
    ("verb", "options", "size"), [("get", [], 0), ("get", ["--no-resume"], 100), ("post", [], 100)]
)
def test_nobody_is_told_to_go_on_where_nothing_was_kept(
    verb: str,
    options: list[str],
    size: int,
    server: LoopbackServer,
    folder: Path,
    front_end_flag: list[str],
) -> None:
    """Nothing arrived, or the next command would start anew."""
    server.script("/x", broken(size))
    arguments = [verb, f"{server.url}/x", "-o", "a.bin", "--retries", "0", *options]
    done = run_piped(*arguments, *front_end_flag)
    assert done.code == 6
    assert "goes on" not in done.errors
    assert os.listdir(folder) == []


def test_a_long_response_of_a_post_that_breaks_off_is_not_kept(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Nor is anybody told to go on with it: it cannot be requested in parts."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"
    server.script("/x", hang_up(head + b"x" * 2_000_000))
    done = run_piped("post", f"{server.url}/x", "-o", "a.bin", *front_end_flag)
    assert (done.code, "goes on" in done.errors) == (6, False)
    assert os.listdir(folder) == []


def test_a_file_with_a_wrong_checksum_is_not_gone_on_with(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """It was discarded, and the error does not advise to continue."""
    server.script("/x", respond(body=BODY))
    checksum = f"sha256:{64 * '0'}"
    done = run_piped("get", f"{server.url}/x", "-o", "a.bin", "--checksum", checksum, *front_end_flag)
    assert (done.code, done.output) == (6, b"")
    assert done.errors.endswith(f", not {checksum}; it was discarded")
    assert os.listdir(folder) == []


def test_parts_are_requested_at_a_time(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Where the server confirms that they are of the same file."""
    body = BODY * 20

    def one(request: Received) -> Action:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("Range") or "")
        assert match is not None
        start, end = int(match[1]), min(int(match[2] or len(body)), len(body) - 1)
        span = {"Content-Range": f"bytes {start}-{end}/{len(body)}"}
        return respond(206, body=body[start : end + 1], headers=VERSION | span)

    server.script("/x", answer(one))
    done = run_piped("get", f"{server.url}/x", "-o", "a.bin", "--parallel", "3", *front_end_flag)
    assert done == (0, b"", "")
    assert (folder / "a.bin").read_bytes() == body
    assert len({request.header("Range") for request in server.requests}) > 1


def _digest() -> str:
    return hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(("status", "code"), [(302, 3), (404, 4), (503, 5), (204, 6)])
def test_an_error_is_not_saved(
    status: int, code: int, server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Whatever the method; the exit code is that of --check-status."""
    server.script("/x", respond(status, json={"detail": "no such report"} if status > 400 else None))
    for verb in ("get", "post"):
        done = run_piped(verb, f"{server.url}/x", "-o", "a", "--retries", "0", *front_end_flag)
        assert (done.code, done.output) == (code, b"")
        assert f"answered {status}" in done.errors
        assert ("no such report" in done.errors) is (status > 400)
    assert os.listdir(folder) == []


def test_a_response_without_a_body_is_not_saved(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """Its status is named."""
    server.script("/x", respond(204))
    done = run_piped("post", f"{server.url}/x", "-o", "a", *front_end_flag)
    assert done == (6, b"", "error: POST answered 204 No Content: there is nothing to save")


@pytest.mark.parametrize("verb", ["get", "post"])
def test_a_saved_response_is_explained_and_checked_too(
    verb: str, server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """As one that is shown."""
    server.script("/x", respond(body=b"tea"))
    options = ["-o", "a", "--explain", "--check-status", *front_end_flag]
    done = run_piped(verb, f"{server.url}/x", *options)
    assert done.code == 0
    assert done.errors.endswith("  done: 200 after 1 attempt, answered")


def test_the_response_of_a_post_is_saved(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Complete or not at all."""
    server.script("/x", respond(201, body=BODY))
    assert run_piped("post", f"{server.url}/x", "-d", "q", "-o", "a", *front_end_flag) == (0, b"", "")
    assert (folder / "a").read_bytes() == BODY
    server.script("/y", broken(100))
    assert run_piped("post", f"{server.url}/y", "-d", "q", "-o", "b", *front_end_flag).code == 6
    assert os.listdir(folder) == ["a"]


@pytest.mark.parametrize("verb", ["get", "post"])
@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("no/such/file", "there is no folder 'no/such'"),
        (os.devnull, "is not a regular file; redirect standard output instead"),
        (".", "is not a regular file"),
        ("-", "is not a regular file"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_a_wrong_argument(
    verb: str, path: str, part: str, server: LoopbackServer
) -> None:
    """Found before anything is sent. A device is not replaced by a file."""
    done = run_piped(verb, f"{server.url}/x", "-o", path)
    assert done.code == 2
    assert part in done.errors
    assert server.requests == []
    assert not os.path.isfile(os.devnull)


def test_a_full_disk_is_one_line(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, front_end_flag: list[str]
) -> None:
    """No traceback; the response was received, so a script must not repeat the request."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")

    monkeypatch.setattr(os, "replace", full)
    server.script("/x", respond(body=b"x"))
    for verb in ("get", "post"):
        done = run_piped(verb, f"{server.url}/x", "-o", "a", *front_end_flag)
        assert done == (6, b"", "error: [Errno 28] No space left on device: 'a'")
        coloured = run_piped(verb, f"{server.url}/x", "-o", "a", "--color", "always", *front_end_flag)
        assert without_styles(coloured.errors) == done.errors


def test_a_file_that_was_not_completed_leaves_nothing(folder: Path) -> None:
    """The one that was there before stays as it was, and what had arrived is deleted."""

    def interrupted() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    (folder / "a").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        save(interrupted(), "a", lambda *_: None)
    assert os.listdir(folder) == ["a"]
    assert (folder / "a").read_bytes() == b"old"


def test_a_body_without_a_known_length_is_counted_as_it_is_saved(folder: Path) -> None:
    """Piece by piece."""
    seen: list[tuple[int, int | None]] = []
    save([b"ab", b"", b"cde"], "a", lambda done, total: seen.append((done, total)))
    assert seen == [(2, None), (2, None), (5, None)]


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_terminal_sees_the_end(server: LoopbackServer, folder: Path, front_end_flag: list[str]) -> None:
    """The bar is removed, and a line stays."""
    server.script("/x", respond(body=BODY, headers=VERSION))
    code, shown = run_in_terminal("get", f"{server.url}/x", "-o", "a.bin", *front_end_flag, NO_COLOR="1")
    assert code == 0
    assert shown.endswith("\r\x1b[Ksaved 256.0 kB to a.bin\n")


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("is_there", [True, False])
def test_what_has_not_changed_is_not_saved(
    is_there: bool, server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """Nor is anything said to be: a 304 leaves the file that is there, if one is."""
    if is_there:
        (folder / "a.bin").write_bytes(b"old")
    server.script("/x", respond(304))
    arguments = ["get", f"{server.url}/x", "-o", "a.bin", "-H", 'If-None-Match: "1"', *front_end_flag]
    assert run_in_terminal(*arguments, NO_COLOR="1") == (0, "\r\x1b[K")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"old"] * is_there


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_terminal_sees_how_a_file_is_sent(
    server: LoopbackServer, folder: Path, front_end_flag: list[str]
) -> None:
    """A bar, which is gone when the response is shown. A text is sent without one."""
    (folder / "a.bin").write_bytes(BODY * 20)
    server.script("/x", respond(body=b"tea"))
    for body in (["-d", "@a.bin"], ["-F", "f=a.bin"]):
        arguments = ["put", f"{server.url}/x", *body, "-b", *front_end_flag]
        code, shown = run_in_terminal(*arguments, NO_COLOR="1")
        assert code == 0
        assert re.search(r"\r\x1b\[Ksending  100 %  #+  5.1 MB of 5.1 MB", shown)
        assert shown.endswith("\r\x1b[Ktea\n")
        assert run_piped(*arguments) == (0, b"tea", "")
    for options in (["-d", "tea"], []):
        arguments = ["put", f"{server.url}/x", *options, "-b", *front_end_flag]
        assert run_in_terminal(*arguments, NO_COLOR="1") == (0, "tea\n")


class TestBar:
    """Drawn on a terminal, in one line."""

    @pytest.fixture
    def drawn(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What is seen: a terminal shows a line without an end only when it is flushed."""
        monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
        return []

    @staticmethod
    def bar(drawn: list[str], times: list[float]) -> Bar:
        class Stream:
            written = ""

            def write(self, text: str) -> None:
                self.written += text

            def flush(self) -> None:
                drawn.append(self.written.removeprefix("\r\x1b[K"))
                self.written = ""

            def fileno(self) -> int:
                return 1

        instants = iter(times)
        return Bar("a.bin", Stream(), True, now=lambda: next(instants))  # type: ignore[arg-type]  # it writes

    def test_it_shows_the_share_and_the_time_left(self, drawn: list[str]) -> None:
        """What an earlier download left counts as done, and not for the speed."""
        bar = self.bar(drawn, [100.0, 100.0, 102.0, 104.0])
        bar(1_000_000, 4_000_000)
        bar(2_000_000, 4_000_000)
        bar(4_000_000, 4_000_000)
        bar.close()
        assert drawn == [
            "a.bin   50 %  ##########..........  2.0 MB of 4.0 MB  4 s left",
            "a.bin  100 %  ####################  4.0 MB of 4.0 MB  0 s left",
            "",
        ]

    def test_a_length_that_nobody_knows_shows_the_bytes(self, drawn: list[str]) -> None:
        """At most ten times a second."""
        bar = self.bar(drawn, [100.0, 100.05, 100.125, 100.1875, 100.25])
        for done in (500, 1500, 2500, 3500):
            bar(done, None)
        assert drawn == ["a.bin  1.5 kB", "a.bin  3.5 kB"]

    def test_a_tenth_of_a_second_is_long_enough_for_the_next_drawing(self, drawn: list[str]) -> None:
        """Exactly that."""
        bar = self.bar(drawn, [0.0, 0.1])
        bar(1500, None)
        assert drawn == ["a.bin  1.5 kB"]

    def test_no_time_is_left_of_a_file_that_was_there_already(self, drawn: list[str]) -> None:
        """Nothing has been received, so nothing is said about the speed."""
        bar = self.bar(drawn, [0.0, 0.0])
        bar(2000, 2000)
        assert drawn == ["a.bin  100 %  ####################  2.0 kB of 2.0 kB"]

    @pytest.mark.parametrize(
        ("size", "text"),
        [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000_000, "2.5 GB"), (10**16, "10000.0 TB")],
    )
    def test_sizes_have_units(self, size: int, text: str) -> None:
        """Decimal ones."""
        assert size_text(size) == text
